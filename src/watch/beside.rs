//! The server beside a run in the same process.

use super::server::serve_aside;
use super::{Server, WatchError, WatchSettings};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::oneshot;

/// Time for open pages to fetch the end of a run.
const GRACE: Duration = Duration::from_secs(3);

/// A server on a thread of its own, which ends with this value. Pages that are open have a few seconds to show the end.
#[derive(Debug)]
pub struct Beside {
    url: String,
    end: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<Result<(), WatchError>>>,
    watch: std::sync::Arc<super::changes::Watch>,
}

impl Beside {
    /// Starts the server.
    ///
    /// # Errors
    /// If it cannot listen, or if its threads cannot be started.
    pub fn start(settings: WatchSettings) -> Result<Self, WatchError> {
        let server = Server::bind(settings, true)?;
        let (url, watch) = (server.url(), server.watch());
        let (end, ended) = oneshot::channel();
        let thread = serve_aside(server, async {
            // Sent at the end, or dropped.
            let _ = ended.await;
        })?;
        Ok(Self { url, end: Some(end), thread: Some(thread), watch })
    }

    /// The address of the first page.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        if self.watch.events.receiver_count() > 0 {
            std::thread::sleep(GRACE);
        }
        drop(self.end.take());
        if let Some(thread) = self.thread.take() {
            // What the server has failed of is no matter of the run.
            let _ = thread.join();
        }
    }
}
