//! Creates, writes, flushes, renames and removes files and folders. Every change that genloss makes to files of results
//! goes through this module. A call that is interrupted by a signal is repeated.
//!
//! In builds with debug assertions a test can [`watch`] a folder: the watcher is called before each operation there,
//! and can make it fail.
//!
//! ```
//! use genloss::files;
//!
//! let folder = tempfile::tempdir()?;
//! let path = folder.path().join("record.json");
//! // Another process sees the old file or the new one, but never a part of it.
//! files::write_whole(&path, b"{}")?;
//! assert!(!files::create_exclusively(&path, b"")?, "the file exists");
//! # Ok::<(), std::io::Error>(())
//! ```

use std::fs::{self, File};
use std::io::{self, BufWriter, ErrorKind, Seek, Write};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, SystemTime};

/// Beginning of the names of unfinished files.
const TEMPORARY: &str = ".genloss-tmp-";

/// Beginning of the names of unfinished files in versions up to 0.1.
const OLD_TEMPORARY: &str = ".tmp-";

/// One change of the file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation<'a> {
    /// A folder is created in an existing one.
    CreateDir(&'a Path),
    /// An empty file is created. Until a temporary file is created, its name is unknown; the path then consists of its
    /// folder and the beginning of its name.
    Create(&'a Path),
    /// A file gets its contents, of this many bytes.
    Write(&'a Path, u64),
    /// The contents of a file are flushed to disk.
    Sync(&'a Path),
    /// The names in a folder are flushed to disk.
    SyncDir(&'a Path),
    /// Some bytes are appended to a file.
    Append(&'a Path),
    /// A file or folder is renamed.
    Rename(&'a Path, &'a Path),
    /// A file gets a second name.
    Link(&'a Path, &'a Path),
    /// A file is removed.
    RemoveFile(&'a Path),
    /// A folder is removed with all that it contains.
    RemoveDir(&'a Path),
}

impl Operation<'_> {
    /// The path that is changed.
    #[must_use]
    pub fn path(&self) -> &Path {
        match self {
            Self::CreateDir(path)
            | Self::Create(path)
            | Self::Write(path, _)
            | Self::Sync(path)
            | Self::SyncDir(path)
            | Self::Append(path)
            | Self::Rename(_, path)
            | Self::Link(_, path)
            | Self::RemoveFile(path)
            | Self::RemoveDir(path) => path,
        }
    }
}

/// Creates a folder and the missing ones above it. Each new name is flushed to disk.
///
/// # Errors
/// If the file system fails.
pub fn create_dirs(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    let above = containing_folder(path);
    create_dirs(above)?;
    match create_dir(path) {
        // Another thread was faster.
        Err(error) if error.kind() == ErrorKind::AlreadyExists && path.is_dir() => {}
        created => created?,
    }
    sync_dir(above)
}

/// Creates a folder. The folder above it must exist, and the new one must not.
///
/// # Errors
/// If the file system fails.
pub fn create_dir(path: &Path) -> io::Result<()> {
    carry_out(Operation::CreateDir(path), || fs::create_dir(path))
}

/// Opens a file for writing without changing it, and creates it if it does not exist.
///
/// # Errors
/// If the file system fails.
pub fn create_or_open(path: &Path) -> io::Result<File> {
    let open = || File::options().create(true).truncate(false).write(true).open(path);
    carry_out(Operation::Create(path), open)
}

/// Writes a file without flushing it to disk. After an error the file may be incomplete.
///
/// # Errors
/// If the file system fails.
pub fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = carry_out(Operation::Create(path), || File::create(path))?;
    write_to(&mut file, path, bytes)
}

fn write_to(file: &mut File, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let operation = Operation::Write(path, bytes.len() as u64);
    #[cfg(debug_assertions)]
    if let Some(error) = watch::shortened(&operation) {
        file.write_all(&bytes[..bytes.len() / 2])?;
        return Err(error);
    }
    carry_out(operation, || {
        begin_anew(file)?;
        file.write_all(bytes)
    })
}

/// Removes what an attempt that failed has written.
fn begin_anew(mut file: &File) -> io::Result<()> {
    file.set_len(0)?;
    file.rewind()
}

/// Writes a file of `length` bytes piece by piece, without flushing it to disk. After an error the file may be incomplete.
///
/// # Errors
/// If the file system or `fill` fails.
pub fn write_pieces(
    path: &Path,
    length: u64,
    fill: impl Fn(&mut dyn Write) -> io::Result<()>,
) -> io::Result<()> {
    let file = carry_out(Operation::Create(path), || File::create(path))?;
    fill_file(&file, path, length, fill)
}

fn fill_file(
    file: &File,
    path: &Path,
    length: u64,
    fill: impl Fn(&mut dyn Write) -> io::Result<()>,
) -> io::Result<()> {
    let operation = Operation::Write(path, length);
    #[cfg(debug_assertions)]
    if let Some(error) = watch::shortened(&operation) {
        file.set_len(length / 2)?;
        return Err(error);
    }
    carry_out(operation, || {
        begin_anew(file)?;
        let mut writer = BufWriter::new(file);
        fill(&mut writer)?;
        writer.flush()
    })
}

/// Copies a file without flushing it to disk. After an error the copy may be incomplete.
///
/// # Errors
/// If the file system fails.
pub fn copy(from: &Path, to: &Path) -> io::Result<()> {
    let bytes = fs::metadata(from)?.len();
    carry_out(Operation::Create(to), || File::create(to))?;
    carry_out(Operation::Write(to, bytes), || fs::copy(from, to).map(drop))
}

/// Writes a file completely or not at all, and flushes it to disk. It is written under a random name, at which nobody
/// can have placed a link, and then renamed to `path`.
///
/// # Errors
/// If the file system fails.
pub fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    replace(path, |file, temporary| write_to(file, temporary, bytes))
}

/// As [`write_whole`], for a file of `length` bytes that `fill` writes piece by piece.
///
/// # Errors
/// If the file system or `fill` fails.
pub fn write_whole_pieces(
    path: &Path,
    length: u64,
    fill: impl Fn(&mut dyn Write) -> io::Result<()>,
) -> io::Result<()> {
    replace(path, |file, temporary| fill_file(file, temporary, length, fill))
}

/// Replaces or creates a file by one that `write` writes, and flushes it to disk.
fn replace(path: &Path, write: impl FnOnce(&mut File, &Path) -> io::Result<()>) -> io::Result<()> {
    let folder = containing_folder(path);
    let (mut file, temporary) = create_temporary(folder)?;
    // While it is locked, no other process takes it for the remains of a killed process.
    let _ = file.try_lock();
    let written = write(&mut file, &temporary)
        .and_then(|()| carry_out(Operation::Sync(&temporary), || file.sync_all()))
        .and_then(|()| rename(&temporary, path));
    if written.is_err() {
        // The first error is the one to report.
        let _ = remove_file(&temporary);
    }
    written
}

fn create_temporary(folder: &Path) -> io::Result<(File, PathBuf)> {
    let beginning = folder.join(TEMPORARY);
    let create = || temporary_in(folder).and_then(|file| file.keep().map_err(|kept| kept.error));
    carry_out(Operation::Create(&beginning), create)
}

fn temporary_in(folder: &Path) -> io::Result<tempfile::NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(TEMPORARY);
    // Readable by others as far as the user's umask allows, like every other file of a run.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    builder.tempfile_in(folder)
}

/// Replaces or creates a file on which no result depends. Readers see all of it or none, but it is not flushed to disk,
/// and no watcher sees the operation. It may be called at any time without a change of what tests observe.
///
/// # Errors
/// If the file system fails.
pub fn replace_unwatched(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = temporary_in(containing_folder(path))?;
    // While it is locked, no other process takes it for the remains of a killed process.
    let _ = file.as_file().try_lock();
    file.write_all(bytes)?;
    file.persist(path).map(drop).map_err(|error| error.error)
}

/// Removes a file that [`replace_unwatched`] made.
///
/// # Errors
/// If the file system fails.
pub fn remove_unwatched(path: &Path) -> io::Result<()> {
    fs::remove_file(path)
}

/// Creates a folder for files that [`replace_unwatched`] makes.
///
/// # Errors
/// If the file system fails, except that the folder may exist.
pub fn create_dir_unwatched(path: &Path) -> io::Result<()> {
    match fs::create_dir(path) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
        created => created,
    }
}

/// Removes a folder that [`create_dir_unwatched`] made, if it is empty.
///
/// # Errors
/// If the folder is not empty, or if the file system fails.
pub fn remove_empty_dir_unwatched(path: &Path) -> io::Result<()> {
    fs::remove_dir(path)
}

/// Returns true for names that [`write_whole`] gives to unfinished files, in this version or an earlier one.
#[must_use]
pub fn is_temporary(name: &str) -> bool {
    name.starts_with(TEMPORARY) || is_old_temporary(name)
}

/// Returns true for names that versions up to 0.1 gave to unfinished files.
#[must_use]
pub fn is_old_temporary(name: &str) -> bool {
    name.starts_with(OLD_TEMPORARY)
}

/// Removes the unfinished files that killed processes left in a folder during [`write_whole`]. The folder need not
/// exist. Files that another process is writing stay. Unfinished files of earlier versions stay too, because other
/// programs could use such names.
///
/// # Errors
/// If the file system fails.
pub fn remove_unfinished(folder: &Path) -> io::Result<()> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        let is_ours = entry.file_name().to_string_lossy().starts_with(TEMPORARY);
        let is_abandoned = || File::open(entry.path()).is_ok_and(|file| file.try_lock().is_ok());
        if is_ours && entry.file_type()?.is_file() && is_abandoned() {
            remove_file(&entry.path())?;
        }
    }
    Ok(())
}

/// Flushes the contents of a file to disk.
///
/// # Errors
/// If the file system fails.
pub fn sync(path: &Path) -> io::Result<()> {
    carry_out(Operation::Sync(path), || File::open(path)?.sync_all())
}

/// Flushes the names in a folder to disk, where the file system can do that.
///
/// # Errors
/// If the file system fails.
pub fn sync_dir(path: &Path) -> io::Result<()> {
    // Only Unix can open a folder as a file; elsewhere its names are flushed with their files.
    let sync = || if cfg!(unix) { File::open(path)?.sync_all() } else { Ok(()) };
    match carry_out(Operation::SyncDir(path), sync) {
        // Some network file systems cannot do this, nor can a user who may not read the folder.
        Err(error)
            if matches!(
                error.kind(),
                ErrorKind::InvalidInput | ErrorKind::Unsupported | ErrorKind::PermissionDenied
            ) =>
        {
            Ok(())
        }
        synced => synced,
    }
}

/// Renames a file or folder, and flushes the new name to disk. An existing file of that name is replaced.
///
/// # Errors
/// If the file system fails.
pub fn rename(from: &Path, to: &Path) -> io::Result<()> {
    carry_out(Operation::Rename(from, to), || fs::rename(from, to))?;
    sync_dir(containing_folder(to))
}

/// Gives a file a second name, and flushes the name to disk. Where the file system cannot do that, the file is copied. The
/// new name must not exist.
///
/// # Errors
/// If the file system fails.
pub fn link_or_copy(from: &Path, to: &Path) -> io::Result<()> {
    match carry_out(Operation::Link(from, to), || fs::hard_link(from, to)) {
        Ok(()) => sync_dir(containing_folder(to)),
        Err(error) if matches!(error.kind(), ErrorKind::AlreadyExists | ErrorKind::NotFound) => Err(error),
        // No links here, or none between two file systems, or too many of this file.
        Err(_) => write_whole(to, &fs::read(from)?),
    }
}

/// Appends bytes to a file, which must exist. The file system sets the time of the change by its own clock.
///
/// # Errors
/// If the file system fails.
pub fn append(path: &Path, bytes: &[u8]) -> io::Result<()> {
    carry_out(Operation::Append(path), || File::options().append(true).open(path)?.write_all(bytes))
}

/// Renames a finished folder to a name that several processes may want. Returns false, and leaves `from` where it is,
/// if there is a folder of that name already.
///
/// # Errors
/// If the file system fails.
pub fn rename_if_absent(from: &Path, to: &Path) -> io::Result<bool> {
    match carry_out(Operation::Rename(from, to), || fs::rename(from, to)) {
        // Network file systems may report an error for a rename that took place, so look before reporting.
        Err(_) if to.is_dir() => {
            sync_dir(containing_folder(to))?;
            Ok(!from.exists())
        }
        renamed => {
            renamed?;
            sync_dir(containing_folder(to))?;
            Ok(true)
        }
    }
}

/// Creates a file with a name that several processes may want: at most one of them creates it, also on network file
/// systems without locks. The file is written and flushed under a temporary name and then gets its name by `link(2)`.
/// Returns false if there is a file of that name already.
///
/// # Errors
/// If the file system fails, or has no hard links.
pub fn create_exclusively(path: &Path, bytes: &[u8]) -> io::Result<bool> {
    let (mut file, temporary) = create_temporary(containing_folder(path))?;
    let written = write_to(&mut file, &temporary, bytes)
        .and_then(|()| carry_out(Operation::Sync(&temporary), || file.sync_all()));
    let linked = written.and_then(|()| {
        let linked = carry_out(Operation::Link(&temporary, path), || fs::hard_link(&temporary, path));
        match linked {
            Ok(()) => Ok(true),
            // Network file systems may report an error for a link that was made, so look before reporting.
            Err(_) if fs::read(path).is_ok_and(|found| found == bytes) => Ok(true),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(false),
            Err(error) => Err(error),
        }
    });
    let removed = remove_file(&temporary);
    linked.and_then(|linked| removed.map(|()| linked))
}

/// The time on the clock of the file system that `folder` is in, which may differ from the clock of this machine.
///
/// # Errors
/// If the file system fails.
pub fn time_in(folder: &Path) -> io::Result<SystemTime> {
    let (mut file, temporary) = create_temporary(folder)?;
    let time = write_to(&mut file, &temporary, b"\n").and_then(|()| file.metadata()?.modified());
    remove_file(&temporary)?;
    time
}

/// Removes a file or a link, if it exists.
///
/// # Errors
/// If the file system fails.
pub fn remove_file(path: &Path) -> io::Result<()> {
    if_it_exists(path, carry_out_removal(Operation::RemoveFile(path), || fs::remove_file(path)))
}

/// Removes a folder with all that it contains, if it exists. If it is a link to a folder, only the link is removed.
///
/// # Errors
/// If the file system fails.
pub fn remove_dir(path: &Path) -> io::Result<()> {
    let remove = || if path.is_symlink() { fs::remove_file(path) } else { fs::remove_dir_all(path) };
    if_it_exists(path, carry_out_removal(Operation::RemoveDir(path), remove))
}

fn carry_out_removal(operation: Operation, act: impl FnMut() -> io::Result<()>) -> Option<io::Result<()>> {
    let exists = operation.path().exists() || operation.path().is_symlink();
    exists.then(|| carry_out(operation, act))
}

fn if_it_exists(path: &Path, removed: Option<io::Result<()>>) -> io::Result<()> {
    match removed {
        None => Ok(()),
        Some(Err(error)) if error.kind() == ErrorKind::NotFound && !path.exists() => Ok(()),
        Some(removed) => removed,
    }
}

/// The folder that `path` is in: `.` for a bare name, whose [`Path::parent`] is empty.
#[must_use]
pub fn containing_folder(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Advice on an error in writing or reading results. The advice is in parentheses and belongs after the path.
#[must_use]
pub fn remedy(error: &io::Error) -> &'static str {
    match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
            " (free space or raise the quota, then run again; nothing that is committed is lost)"
        }
        ErrorKind::FileTooLarge => {
            " (larger than this shell or file system allows; raise ulimit -f or give another --out, then run again; \
             nothing that is committed is lost)"
        }
        ErrorKind::PermissionDenied => {
            " (permit this user to read it, and to write it if it is to be changed, or give another folder)"
        }
        ErrorKind::ReadOnlyFilesystem => " (is read-only; give another --out)",
        ErrorKind::NotADirectory | ErrorKind::AlreadyExists => {
            " (a file is in the way of a folder; move it, or give another --out)"
        }
        ErrorKind::IsADirectory => " (a folder is in the way of a file; move it, or give another --out)",
        ErrorKind::InvalidFilename => {
            " (the name is too long, or not allowed by this file system; give another --out)"
        }
        ErrorKind::NotFound => " (check the path)",
        ErrorKind::InvalidData => " (damaged; restore it from a copy, or give another --out)",
        _ => " (check the disk, then run again; nothing that is committed is lost)",
    }
}

/// Largest number of attempts at a call that is interrupted by signals.
const MAX_ATTEMPTS: u32 = 1000;

/// Attempts at a call that finds a stale handle of a network file system, and the pause between them.
const STALE_ATTEMPTS: u32 = 10;
const STALE_PAUSE: Duration = Duration::from_millis(100);

/// Calls the file system, again if a signal interrupts the call or a handle has become stale.
///
/// # Errors
/// If the file system fails.
pub fn persistently<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    let mut attempts = 0;
    loop {
        attempts += 1;
        match call() {
            Err(error) if error.kind() == ErrorKind::Interrupted && attempts < MAX_ATTEMPTS => {}
            Err(error) if error.kind() == ErrorKind::StaleNetworkFileHandle && attempts < STALE_ATTEMPTS => {
                thread::sleep(STALE_PAUSE);
            }
            result => return result,
        }
    }
}

fn carry_out<T>(operation: Operation, mut act: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    persistently(|| watched(&operation, &mut act))
}

#[cfg(not(debug_assertions))]
fn watched<T>(_: &Operation, act: &mut impl FnMut() -> io::Result<T>) -> io::Result<T> {
    act()
}

#[cfg(debug_assertions)]
use watch::watched;
#[cfg(debug_assertions)]
pub use watch::{Watch, Watcher, watch};

/// For tests of what happens when the file system fails.
#[cfg(debug_assertions)]
mod watch {
    use super::Operation;
    use std::io;
    use std::path::{Path, PathBuf};
    use std::sync::{Arc, Mutex, PoisonError};

    /// Observes every operation in a folder, before and after it.
    pub trait Watcher: Send + Sync {
        /// Called before an operation. If the result is an error, the operation is not carried out, and fails with this
        /// error.
        ///
        /// # Errors
        /// Whatever error the operation should have.
        fn before(&self, operation: &Operation) -> io::Result<()>;

        /// Called before a write. If the result is an error, the write stops after half of its bytes, and fails with
        /// this error.
        fn shortened(&self, _: &Operation) -> Option<io::Error> {
            None
        }

        /// Called after an operation has been carried out.
        fn after(&self, operation: &Operation);
    }

    type Entry = (PathBuf, Arc<dyn Watcher>);

    static WATCHERS: Mutex<Vec<Entry>> = Mutex::new(Vec::new());

    /// Ends the watching of a folder when it is dropped.
    pub struct Watch(Arc<dyn Watcher>);

    /// Calls `watcher` for every operation of this process in `folder`, until the result is dropped.
    #[must_use]
    pub fn watch(folder: &Path, watcher: Arc<dyn Watcher>) -> Watch {
        let mut watchers = WATCHERS.lock().unwrap_or_else(PoisonError::into_inner);
        watchers.push((folder.to_owned(), Arc::clone(&watcher)));
        Watch(watcher)
    }

    impl Drop for Watch {
        fn drop(&mut self) {
            let mut watchers = WATCHERS.lock().unwrap_or_else(PoisonError::into_inner);
            watchers.retain(|(_, watcher)| !Arc::ptr_eq(watcher, &self.0));
        }
    }

    fn watcher_of(operation: &Operation) -> Option<Arc<dyn Watcher>> {
        let watchers = WATCHERS.lock().unwrap_or_else(PoisonError::into_inner);
        let found = watchers.iter().find(|(folder, _)| operation.path().starts_with(folder));
        found.map(|(_, watcher)| Arc::clone(watcher))
    }

    pub(super) fn watched<T>(
        operation: &Operation,
        act: &mut impl FnMut() -> io::Result<T>,
    ) -> io::Result<T> {
        let Some(watcher) = watcher_of(operation) else { return act() };
        watcher.before(operation)?;
        let done = act()?;
        watcher.after(operation);
        Ok(done)
    }

    pub(super) fn shortened(operation: &Operation) -> Option<io::Error> {
        watcher_of(operation)?.shortened(operation)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bare_name_is_in_the_working_directory() {
        assert_eq!(containing_folder(Path::new("study")), Path::new("."));
        assert_eq!(containing_folder(Path::new("studies/one")), Path::new("studies"));
    }

    #[cfg(unix)]
    #[test]
    fn a_link_that_somebody_placed_is_replaced_and_what_it_leads_to_stays() {
        let dir = tempfile::tempdir().unwrap();
        let (theirs, page) = (dir.path().join("theirs"), dir.path().join("report.html"));
        fs::write(&theirs, "theirs").unwrap();
        std::os::unix::fs::symlink(&theirs, &page).unwrap();
        write_whole(&page, b"ours").unwrap();
        assert_eq!(
            (fs::read(&theirs).unwrap(), fs::read(&page).unwrap()),
            (b"theirs".into(), b"ours".into())
        );
        assert!(!page.is_symlink());
    }

    #[test]
    fn unfinished_files_are_removed_unless_somebody_is_writing_them() {
        let dir = tempfile::tempdir().unwrap();
        let [left, busy, theirs] =
            [".genloss-tmp-a", ".genloss-tmp-b", ".tmp-c"].map(|name| dir.path().join(name));
        for path in [&left, &busy, &theirs] {
            fs::write(path, "half").unwrap();
        }
        let file = File::open(&busy).unwrap();
        file.lock().unwrap();
        remove_unfinished(dir.path()).unwrap();
        assert!(!left.exists() && busy.exists() && theirs.exists());
        remove_unfinished(&dir.path().join("absent")).unwrap();
    }

    #[test]
    fn folders_are_created_with_those_above_and_removed_with_what_they_contain() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("a/b/c");
        create_dirs(&folder).unwrap();
        create_dirs(&folder).unwrap();
        write(&folder.join("file"), b"text").unwrap();
        remove_dir(&dir.path().join("a")).unwrap();
        remove_dir(&dir.path().join("a")).unwrap();
        remove_file(&dir.path().join("a")).unwrap();
        assert!(!folder.exists());
    }
}
