//! `genloss watch`: a small web server over folders of runs, finished or going on, that reads only.
//!
//! | path | answer |
//! |---|---|
//! | `/` | all runs, with state, progress and verdicts so far |
//! | `/run?run=…` | the report page of a run, with what it does now above it |
//! | `/runs?run=…&run=…` | one report page of several runs |
//! | `/now?run=…` | what a run does now, as a part of a page |
//! | `/events`, `/events?run=…` | server-sent events: `list`, `now` and `records` when something has changed |
//!
//! Every page works without JavaScript; with it, a page fetches itself again on an event. What a run does is read from the
//! files of [`crate::live`], which other processes and machines write. While no page is open, nothing is read. While one
//! is, folders of runs at work are looked at every second, and those of others every five seconds, by the time at which
//! they changed.
//!
//! The server listens on 127.0.0.1 unless another address is named; then every request needs a token. Requests for other
//! host names are refused, so that no web site can read the pages through a name that leads here.
//!
//! `docs/how-to/watch.md` says how it is used.

mod access;
mod beside;
mod changes;
mod now;
mod pages;
mod runs;
mod server;
mod verdicts;

pub use beside::Beside;
pub use server::Server;

use std::path::PathBuf;

/// Where the server listens, and what it shows.
#[derive(Clone, Debug, Default)]
pub struct WatchSettings {
    /// Folders of runs, or folders above them. They need not exist yet.
    pub folders: Vec<PathBuf>,
    /// The address; `None` for 127.0.0.1, which needs no token.
    pub address: Option<std::net::IpAddr>,
    /// The port; 0 for any that is free.
    pub port: u16,
}

/// An error of the server.
#[derive(Debug, thiserror::Error)]
pub enum WatchError {
    /// The server cannot listen there.
    #[error("{address}: cannot listen there; give another --port, or an --address of this machine")]
    Address {
        /// Address and port.
        address: std::net::SocketAddr,
        /// The error of the operating system.
        source: std::io::Error,
    },
    /// The server could not be started, or has failed.
    #[error("the server: {0}")]
    Server(#[from] std::io::Error),
}
