//! What each process of a run does at the moment, on disk, for those who look on from another process or machine.
//!
//! ```text
//! generations/<experiment>/.live/HOST-PID-xxxxxxxx.json
//! ```
//!
//! [`Live`] is an observer that passes every event on and keeps this file. A thread writes it at most once a second, so
//! that the computation never waits for the disk, and at least every five seconds, as a sign of life. The file is
//! replaced atomically but not flushed, because no result depends on it, and it is removed when the work ends. The file
//! of a process that was killed stays until another process works on the run. [`Onlooker`] reads the files.
//!
//! ```
//! use genloss::live::{Live, Onlooker};
//! use genloss::progress::{Event, Observer, Silent};
//!
//! let root = tempfile::tempdir()?;
//! let live = Live::new(root.path(), &Silent);
//! live.observe(&Event::LineageStarted { seed: 1, arm: "anchored".to_owned(), generations: 4, done: 0 });
//! let mut onlooker = Onlooker::new();
//! while onlooker.look(root.path()).is_empty() {}
//! assert_eq!(onlooker.look(root.path())[0].record.lineages[0].arm, "anchored");
//! drop(live);
//! assert!(onlooker.look(root.path()).is_empty());
//! # Ok::<(), std::io::Error>(())
//! ```

mod look;
mod record;
mod state;

pub use look::{Onlooker, Seen};
pub use record::{LineageNow, LiveRecord, LossNow, StageNow};

use crate::claims::Process;
use crate::files;
use crate::progress::{Event, Observer};
use state::State;
use std::io::{self, ErrorKind};
use std::mem;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

const FOLDER: &str = ".live";

/// Shortest time between two writes.
const PAUSE: Duration = Duration::from_secs(1);

/// A process that has not written for this many pauses writes even if nothing has changed.
const LONGEST_SILENCE: u32 = 5;

/// Keeps a file about the work of this process on one run, and passes every event on.
pub struct Live<'a> {
    next: &'a dyn Observer,
    file: PathBuf,
    shared: Arc<Mutex<Shared>>,
    /// Started by the first event of a stage or lineage, and woken by others when it is asleep. Ends when the sender is
    /// dropped.
    writer: Mutex<Option<(Sender<()>, JoinHandle<()>)>>,
}

#[derive(Default)]
struct Shared {
    state: State,
    /// The first error in writing the file, until it has been told.
    error: Option<io::Error>,
    /// Whether the thread waits for new work.
    is_asleep: bool,
}

impl<'a> Live<'a> {
    /// An observer of the run at `root` that passes every event on to `next`. It writes nothing before a lineage or stage
    /// begins.
    #[must_use]
    pub fn new(root: &Path, next: &'a dyn Observer) -> Self {
        let file = root.join(FOLDER).join(file_name(&Process::this()));
        Self { next, file, shared: Arc::default(), writer: Mutex::default() }
    }

    fn start(&self) {
        let mut writer = lock(&self.writer);
        if let Some((sender, _)) = writer.as_ref() {
            if mem::take(&mut lock(&self.shared).is_asleep) {
                // A thread that has ended cannot be woken.
                let _ = sender.send(());
            }
            return;
        }
        let (shared, file) = (Arc::clone(&self.shared), self.file.clone());
        let (sender, woken) = channel();
        // Without the thread there is no file, and the work goes on.
        let thread =
            thread::Builder::new().name("live".to_owned()).spawn(move || keep_file(&shared, &file, &woken));
        *writer = thread.ok().map(|thread| (sender, thread));
    }
}

impl Observer for Live<'_> {
    fn observe(&self, event: &Event) {
        let error = {
            let mut shared = lock(&self.shared);
            shared.state.take_in(event);
            shared.error.take()
        };
        if matches!(event, Event::LineageStarted { .. } | Event::StageStarted { .. }) {
            self.start();
        }
        self.next.observe(event);
        if let Some(error) = error {
            let file = self.file.display();
            self.next
                .observe(&Event::Note(format!("{file}: {error}; genloss watch cannot see this process")));
        }
    }
}

impl Drop for Live<'_> {
    fn drop(&mut self) {
        let Some((sender, thread)) = lock(&self.writer).take() else { return };
        drop(sender);
        // A thread that panicked writes no more.
        let _ = thread.join();
        // A file that cannot be removed is that of a process that has ended.
        let _ = files::remove_unwatched(&self.file);
        remove_ended(files::containing_folder(&self.file));
    }
}

/// Writes the file until the work ends. While there is no work, there is no file.
fn keep_file(shared: &Mutex<Shared>, file: &Path, woken: &Receiver<()>) {
    remove_ended(files::containing_folder(file));
    let mut silent_for = LONGEST_SILENCE;
    loop {
        silent_for = if write_if_due(shared, file, silent_for) { 0 } else { silent_for + 1 };
        let signal = match woken.recv_timeout(PAUSE) {
            Err(RecvTimeoutError::Timeout) if fell_asleep(shared) => {
                // A file that cannot be removed is replaced later.
                let _ = files::remove_unwatched(file);
                silent_for = LONGEST_SILENCE;
                woken.recv().map_err(RecvTimeoutError::from)
            }
            signal => signal,
        };
        if signal == Err(RecvTimeoutError::Disconnected) {
            return;
        }
    }
}

fn fell_asleep(shared: &Mutex<Shared>) -> bool {
    let mut shared = lock(shared);
    shared.is_asleep = shared.state.is_idle();
    shared.is_asleep
}

/// Writes the file if something has changed, or if the process was silent for long. Returns true if it was due.
fn write_if_due(shared: &Mutex<Shared>, file: &Path, silent_for: u32) -> bool {
    let text = {
        let mut shared = lock(shared);
        if !shared.state.has_changed() && silent_for < LONGEST_SILENCE {
            return false;
        }
        serde_json::to_vec(&shared.state.record())
    };
    if let Err(error) = text.map_err(io::Error::from).and_then(|text| write(file, &text)) {
        let mut shared = lock(shared);
        if !shared.state.has_failed {
            shared.state.has_failed = true;
            shared.error = Some(error);
        }
    }
    true
}

fn write(file: &Path, text: &[u8]) -> io::Result<()> {
    match files::replace_unwatched(file, text) {
        // The first write, or another process has removed the empty folder.
        Err(error) if error.kind() == ErrorKind::NotFound => {
            files::create_dir_unwatched(files::containing_folder(file))?;
            files::replace_unwatched(file, text)
        }
        written => written,
    }
}

/// Removes the files of all processes, and the folder: for a run of which everything is made. Nobody can know at once whether a
/// process of another host has ended; one that has not, writes its file again if it still has something to say.
pub fn remove_all(root: &Path) {
    remove(&root.join(FOLDER), |_| true);
}

/// Removes the files of processes that have ended, and the folder if nothing is left in it.
fn remove_ended(folder: &Path) {
    remove(folder, |seen| seen.has_ended);
}

fn remove(folder: &Path, is_unneeded: impl Fn(&Seen) -> bool) {
    if !folder.is_dir() {
        return;
    }
    // Whatever cannot be removed is left to the next process.
    let _ = files::remove_unfinished(folder);
    for seen in Onlooker::new().look_in(folder) {
        if is_unneeded(&seen) {
            // Another process may be doing the same.
            let _ = files::remove_unwatched(&seen.file);
        }
    }
    let _ = files::remove_empty_dir_unwatched(folder);
}

/// A name for the file of a process: host and number for people, and a hash that tells apart containers.
fn file_name(process: &Process) -> String {
    let is_plain = |c: &char| c.is_ascii_alphanumeric() || "-.".contains(*c);
    let host: String = process.host.chars().filter(is_plain).take(64).collect();
    let hash = blake3::hash(format!("{process:?}").as_bytes()).to_hex();
    format!("{host}-{}-{}.json", process.pid, &hash[..8])
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
