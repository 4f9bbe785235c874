//! The server: addresses, answers and events.

use super::access::{Access, Admission, protect};
use super::changes::{OpenPage, PAUSE, Watch};
use super::{WatchError, WatchSettings, pages};
use crate::claims::Process;
use axum::Router;
use axum::extract::{ConnectInfo, Query, Request, State};
use axum::http::{Method, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::sse::{Event as SentEvent, KeepAlive, Sse};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use futures_util::future::{Either, select};
use futures_util::stream::{self, Stream};
use std::convert::Infallible;
use std::future::Future;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread;
use std::time::Duration;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;

/// Threads that read and compute.
const THREADS: usize = 2;

/// Requests that read or compute at the same time.
const READERS: usize = 4;

/// A server that listens.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    access: Access,
    watch: Arc<Watch>,
}

struct Shared {
    access: Access,
    watch: Arc<Watch>,
}

/// The query of an address.
type Pairs = Query<Vec<(String, String)>>;

impl Server {
    /// Begins to listen. `is_beside` says whether a run is going on in this process, to which the server then yields.
    ///
    /// # Errors
    /// If it cannot listen at this address, or if threads cannot be started.
    pub fn bind(settings: WatchSettings, is_beside: bool) -> Result<Self, WatchError> {
        let ip = settings.address.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
        let address = SocketAddr::new(ip, settings.port);
        let listener =
            TcpListener::bind(address).map_err(|source| WatchError::Address { address, source })?;
        listener.set_nonblocking(true)?;
        let port = listener.local_addr()?.port();
        let access = Access::new(ip, port, settings.address.is_some(), Process::this().host);
        let pool = rayon::ThreadPoolBuilder::new().num_threads(THREADS).thread_name(|_| "watch".to_owned());
        let pool = pool.start_handler(move |_| {
            if is_beside {
                yield_to_others();
            }
        });
        let pool = pool.build().map_err(std::io::Error::other)?;
        let watch = Arc::new(Watch::new(settings.folders, pool));
        Ok(Self { listener, access, watch })
    }

    pub(super) fn watch(&self) -> Arc<Watch> {
        Arc::clone(&self.watch)
    }

    /// The address of the first page.
    #[must_use]
    pub fn url(&self) -> String {
        self.access.url()
    }

    /// Answers requests until `end` is there.
    ///
    /// # Errors
    /// If the server cannot be started.
    pub fn serve(self, end: impl Future<Output = ()> + Send + 'static) -> Result<(), WatchError> {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_io().enable_time().max_blocking_threads(READERS).build()?;
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::from_std(self.listener)?;
            tokio::spawn(look_while_a_page_is_open(Arc::clone(&self.watch)));
            let router = router(Shared { access: self.access, watch: self.watch });
            let service = router.into_make_service_with_connect_info::<SocketAddr>();
            let served = tokio::spawn(async { axum::serve(listener, service).await });
            match select(Box::pin(end), served).await {
                Either::Left(_) => Ok(()),
                Either::Right((served, _)) => served.map_err(std::io::Error::other)?,
            }
        })?;
        // A report that is being made is not waited for.
        runtime.shutdown_background();
        Ok(())
    }
}

/// Lets the scheduler prefer the threads that compute results.
fn yield_to_others() {
    // On Linux this is about the calling thread alone.
    #[cfg(target_os = "linux")]
    let _ = rustix::process::setpriority_process(None, 19);
}

async fn look_while_a_page_is_open(watch: Arc<Watch>) {
    for looks in 0_u64.. {
        while watch.events.receiver_count() == 0 {
            watch.opened.notified().await;
        }
        let looking = Arc::clone(&watch);
        // A look that panics is followed by others.
        let _ = tokio::task::spawn_blocking(move || looking.here(|| looking.look(looks))).await;
        tokio::time::sleep(PAUSE).await;
    }
}

fn router(shared: Shared) -> Router {
    let shared = Arc::new(shared);
    Router::new()
        .route("/", get(list))
        .route("/run", get(page))
        .route("/runs", get(page))
        .route("/now", get(now))
        .route("/events", get(events))
        .fallback(nowhere)
        .layer(middleware::from_fn_with_state(Arc::clone(&shared), admit))
        .with_state(shared)
}

/// Refuses requests that may not read, and protects the answers to others.
async fn admit(State(shared): State<Arc<Shared>>, request: Request, next: Next) -> Response {
    let mut response = if !matches!(*request.method(), Method::GET | Method::HEAD) {
        StatusCode::METHOD_NOT_ALLOWED.into_response()
    } else {
        match shared.access.check(request.uri(), request.headers()) {
            Ok(Admission::Allowed) => next.run(request).await,
            Ok(Admission::WithCookie { cookie, path }) => {
                (StatusCode::SEE_OTHER, [(header::SET_COOKIE, cookie), (header::LOCATION, path)])
                    .into_response()
            }
            Err(refusal) => (StatusCode::FORBIDDEN, refusal.message()).into_response(),
        }
    };
    protect(response.headers_mut());
    response
}

/// The runs that an address names.
fn ids(pairs: Vec<(String, String)>) -> Vec<String> {
    pairs.into_iter().filter(|(key, _)| key == "run").map(|(_, id)| id).collect()
}

/// Does what reads or computes on another thread than the one that answers.
async fn read(shared: &Shared, work: impl FnOnce(&Watch) -> Option<String> + Send + 'static) -> Response {
    let watch = Arc::clone(&shared.watch);
    match tokio::task::spawn_blocking(move || watch.here(|| work(&watch))).await {
        Ok(Some(html)) => Html(html).into_response(),
        Ok(None) => {
            let text =
                "There is no such run below the watched folders. This page looks again every five seconds.";
            ([(header::REFRESH, "5")], missing(text)).into_response()
        }
        Err(_) => {
            let text = "This page could not be made; genloss report may tell why.";
            (StatusCode::INTERNAL_SERVER_ERROR, Html(pages::message(text))).into_response()
        }
    }
}

fn missing(text: &str) -> Response {
    (StatusCode::NOT_FOUND, Html(pages::message(text))).into_response()
}

async fn list(State(shared): State<Arc<Shared>>) -> Response {
    read(&shared, |watch| Some(watch.list())).await
}

async fn page(State(shared): State<Arc<Shared>>, Query(pairs): Pairs) -> Response {
    match ids(pairs) {
        ids if ids.is_empty() => missing("Choose a run in the list."),
        ids => read(&shared, move |watch| watch.page(&ids)).await,
    }
}

async fn now(State(shared): State<Arc<Shared>>, Query(pairs): Pairs) -> Response {
    let id = ids(pairs).into_iter().next().unwrap_or_default();
    read(&shared, move |watch| watch.now(&id)).await
}

async fn nowhere() -> Response {
    missing("There is no such page.")
}

async fn events(
    State(shared): State<Arc<Shared>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    Query(pairs): Pairs,
) -> Sse<impl Stream<Item = Result<SentEvent, Infallible>>> {
    let receiver = shared.watch.events.subscribe();
    let page = shared.watch.open_page(ids(pairs), peer.ip());
    let sent = stream::unfold((receiver, page), |(mut receiver, page)| async move {
        let name = next_name(&mut receiver, &page).await?;
        // Browsers drop an event without data.
        Some((Ok(SentEvent::default().event(name).data(name)), (receiver, page)))
    });
    Sse::new(sent).keep_alive(KeepAlive::new().interval(Duration::from_secs(15)))
}

/// The name of the next event for a page; `None` when the server ends.
async fn next_name(receiver: &mut Receiver<super::changes::Event>, page: &OpenPage) -> Option<&'static str> {
    loop {
        match receiver.recv().await {
            Ok(event) => {
                if let Some(name) = page.name_of(&event) {
                    return Some(name);
                }
            }
            // The page was too slow for some events: it had better look at everything.
            Err(RecvError::Lagged(_)) => return Some("records"),
            Err(RecvError::Closed) => return None,
        }
    }
}

/// Answers requests on a thread of its own.
pub(super) fn serve_aside(
    server: Server,
    end: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<thread::JoinHandle<Result<(), WatchError>>> {
    thread::Builder::new().name("watch".to_owned()).spawn(move || server.serve(end))
}
