//! A claim that this process holds.

use super::{ClaimRecord, Lost, Release, create, done_path, live, nonce, path, read};
use crate::files;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// The longest time between two signs of life.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// Signs of life within one lease.
const SIGNS_PER_LEASE: u32 = 10;

/// A thing that this process holds. It is given back when the claim is dropped.
#[derive(Debug)]
pub struct Claim {
    folder: PathBuf,
    name: String,
    number: u64,
    record: ClaimRecord,
    /// Ends when the sender is dropped.
    signs_of_life: Option<(Sender<()>, JoinHandle<()>)>,
}

impl Claim {
    pub(super) fn new(folder: &Path, name: &str, number: u64, record: ClaimRecord) -> Self {
        let pause =
            Duration::from_secs_f64(record.lease_seconds / f64::from(SIGNS_PER_LEASE)).min(LONGEST_PAUSE);
        let path = path(folder, name, number);
        let (sender, ended) = channel::<()>();
        let show_life = move || {
            while ended.recv_timeout(pause) == Err(RecvTimeoutError::Timeout) {
                // A sign that fails is followed by others. Without any, another process takes over.
                let _ = files::append(&path, b"\n");
            }
        };
        Self {
            folder: folder.to_owned(),
            name: name.to_owned(),
            number,
            record,
            signs_of_life: Some((sender, thread::spawn(show_life))),
        }
    }

    /// The number and nonce of the claim, for names of unfinished files: different for every claim on a thing.
    #[must_use]
    pub fn id(&self) -> String {
        format!("{:04}-{}", self.number, &self.record.nonce[..8])
    }

    /// Returns an error if another process has taken over. Call this before every write of results.
    ///
    /// # Errors
    /// If the claim is no longer the highest, or its file cannot be read.
    pub fn check(&self) -> Result<(), Lost> {
        let is_mine =
            read(&path(&self.folder, &self.name, self.number)).is_ok_and(|found| found == self.record);
        let is_taken = path(&self.folder, &self.name, self.number + 1).exists();
        let is_done = done_path(&self.folder, &self.name).exists();
        if is_mine && !is_taken && !is_done { Ok(()) } else { Err(Lost { name: self.name.clone() }) }
    }

    /// Gives the thing back. With an error, the attempt counts as failed.
    ///
    /// # Errors
    /// If the file system fails. The claim is then void once this process has ended.
    pub fn release(mut self, error: Option<String>) -> io::Result<()> {
        self.end(|claim| claim.give_back(error))
    }

    /// Marks the thing as done. `note` is kept in the mark.
    ///
    /// # Errors
    /// If the file system fails. The claim is then void once this process has ended.
    pub fn finish(mut self, note: &str) -> io::Result<()> {
        self.end(|claim| files::create_exclusively(&done_path(&claim.folder, &claim.name), note.as_bytes()))
    }

    fn give_back(&self, error: Option<String>) -> io::Result<bool> {
        let nonce = nonce(&self.record.process);
        let record = ClaimRecord { nonce, released: Some(Release { error }), ..self.record.clone() };
        create(&self.folder, &self.name, self.number + 1, &record)
    }

    /// Stops the signs of life and, if this process still holds the thing, carries out `act`. Does nothing the second time.
    fn end(&mut self, act: impl FnOnce(&Self) -> io::Result<bool>) -> io::Result<()> {
        let Some((sender, thread)) = self.signs_of_life.take() else { return Ok(()) };
        drop(sender);
        // A panic of the thread is a failed sign of life.
        let _ = thread.join();
        live().remove(&self.record.nonce);
        if self.check().is_err() { Ok(()) } else { act(self).map(drop) }
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        // If this fails, the claim is void once this process has ended.
        let _ = self.end(|claim| claim.give_back(None));
    }
}
