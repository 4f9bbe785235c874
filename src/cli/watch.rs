//! `genloss watch`: shows runs in a browser, as they happen.

use super::output::{self, say};
use crate::watch::{Beside, Server, WatchSettings};
use anyhow::{Result, ensure};
use std::future;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

/// Options of `genloss watch`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Folders of runs, or folders above them [default: generations].
    #[arg(value_name = "DIR")]
    folders: Vec<PathBuf>,
    /// Listen on this address instead of 127.0.0.1; the address that is printed then has a token, without which nothing
    /// is answered.
    #[arg(long, value_name = "ADDR")]
    address: Option<IpAddr>,
    /// Listen on this port; 0 takes one that is free.
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// Open the page in the browser of this machine.
    #[arg(long)]
    open: bool,
}

/// `--watch` of commands that run experiments.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct WatchArgs {
    /// Show the run in a browser while it goes on, at an address that is printed; see genloss watch.
    #[arg(long)]
    watch: bool,
}

impl Args {
    /// Answers requests until the user ends the program.
    pub fn exec(self) -> Result<()> {
        let folders = match self.folders.is_empty() {
            true => vec![PathBuf::from("generations")],
            false => self.folders.clone(),
        };
        // The first run may come later, but a folder that was named should be there.
        for folder in folders.iter().filter(|_| !self.folders.is_empty()) {
            let shown = folder.display();
            let problem = if folder.is_file() { "is a file" } else { "there is no such folder" };
            ensure!(folder.is_dir(), "{shown}: {problem}; give the folder of a run, or one above several");
        }
        let settings = WatchSettings { folders, address: self.address, port: self.port };
        let server = Server::bind(settings, false)?;
        let url = server.url();
        output::emit(&format!("{url}\n"))?;
        say("Ctrl-C ends");
        if self.open
            && let Err(error) = open::that_detached(&url)
        {
            say(&format!("the browser could not be opened: {error}"));
        }
        // Nothing is written, so any signal may end the program.
        Ok(server.serve(future::pending())?)
    }
}

impl WatchArgs {
    /// Starts the server over some folders, if it is asked for, and says where it is. It ends when the result is dropped.
    pub fn start(self, folders: &[&Path]) -> Result<Option<Beside>> {
        if !self.watch {
            return Ok(None);
        }
        let later: String = folders.iter().map(|folder| format!(" {}", folder.display())).collect();
        let folders = folders.iter().map(|folder| (*folder).to_owned()).collect();
        let beside = Beside::start(WatchSettings { folders, ..WatchSettings::default() })?;
        say(&format!("watch at {} until the end; later with genloss watch{later}", beside.url()));
        Ok(Some(beside))
    }
}
