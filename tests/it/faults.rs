//! The file system fails at every operation in turn, in eight ways: a run, a sweep and a report end with a clear error,
//! lose no committed generation, and give the same bits when they are run again.
//!
//! By default only a sample of operations fails. `GENLOSS_ALL_FAULTS=1 cargo test --test it faults` makes every
//! operation fail in every way.

use candle_core::Device;
use genloss::config::{self, CONTROL, Experiment};
use genloss::files::{self, Operation, Watcher};
use genloss::lineage::{self, PreparedText, RunContext};
use genloss::measure::Metrics;
use genloss::progress::{Event, Recorder, Silent, error_chain};
use genloss::store::{self, Provenance, RunRecord};
use genloss::{report, sweep, verdict};
use std::collections::BTreeMap;
use std::error::Error;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::{self, ThreadId};
use std::{fs, mem};

const NGRAM: &str = r#"
name = "counts"
seeds = [1]
generations = 2
corpus = { source = "world", train_tokens = 3000, heldout_tokens = 500, reference_tokens = 2000 }
tokenizer = { vocab_size = 300 }
model = { kind = "ngram", order = 2 }
[[arm]]
name = "unanchored"
mixture = "replace"
"#;

/// Saves a checkpoint after each of the four steps of training.
const TRANSFORMER: &str = r#"
name = "small"
seeds = [1]
generations = 1
corpus = { source = "world", train_tokens = 3000, heldout_tokens = 300, reference_tokens = 1000 }
tokenizer = { vocab_size = 300 }
model = { layers = 1, width = 8, heads = 2, context = 16 }
training = { tokens = 512, batch = 8, init = "chained", checkpoint_minutes = 1e-9 }
synthesis = { max_document_tokens = 32 }
[[arm]]
name = "unanchored"
mixture = "replace"
"#;

/// One way in which the n-th operation fails.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    /// The operation fails with an error of the operating system and changes nothing.
    Error(i32),
    /// A write ends after half of its bytes.
    ShortWrite,
    /// The process ends before the operation.
    ExitBefore,
    /// The process ends after the operation.
    ExitAfter,
    /// The power fails before the operation: all that was not flushed to disk is lost.
    PowerCut,
}

/// EIO, ENOSPC, EDQUOT and EINTR on Linux, and ways to end.
const FAULTS: [Fault; 8] = [
    Fault::Error(5),
    Fault::Error(28),
    Fault::Error(122),
    Fault::Error(4),
    Fault::ShortWrite,
    Fault::ExitBefore,
    Fault::ExitAfter,
    Fault::PowerCut,
];

/// How to undo an operation, and the file or folder whose flush makes the operation permanent.
struct Unflushed {
    flush: PathBuf,
    undo: Undo,
}

enum Undo {
    RemoveFile(PathBuf),
    RemoveDir(PathBuf),
    Empty(PathBuf),
    Rename {
        from: PathBuf,
        to: PathBuf,
        replaced: Option<Vec<u8>>,
    },
    /// Files by path, and folders, which have no contents.
    Restore(Vec<(PathBuf, Option<Vec<u8>>)>),
}

impl Undo {
    fn carry_out(self) {
        // The folder of a file that was not flushed may be gone already.
        let _ = match self {
            Self::RemoveFile(path) => fs::remove_file(path),
            Self::RemoveDir(path) => fs::remove_dir_all(path),
            Self::Empty(path) if path.exists() => fs::write(path, ""),
            Self::Empty(_) => Ok(()),
            Self::Rename { from, to, replaced } => {
                fs::rename(&to, from).and_then(|()| replaced.map_or(Ok(()), |bytes| fs::write(to, bytes)))
            }
            Self::Restore(entries) => entries.into_iter().try_for_each(|(path, bytes)| match bytes {
                Some(bytes) => fs::write(path, bytes),
                None => fs::create_dir(path),
            }),
        };
    }
}

/// Makes one operation fail.
struct FaultyDisk {
    fault: Fault,
    at: u64,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    operations: u64,
    has_fired: bool,
    /// After the process has ended or the power has failed, no operation is carried out.
    is_over: bool,
    unflushed: Vec<Unflushed>,
    /// How to undo the operation that each thread is carrying out.
    #[expect(clippy::disallowed_types, reason = "looked up by thread, never iterated")]
    begun: std::collections::HashMap<ThreadId, Undo>,
}

impl FaultyDisk {
    fn new(fault: Fault, at: u64) -> Arc<Self> {
        Arc::new(Self { fault, at, state: Mutex::default() })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Undoes the operations that were not flushed, the last one first.
    fn lose_unflushed(&self) {
        let unflushed = mem::take(&mut self.state().unflushed);
        unflushed.into_iter().rev().for_each(|one| one.undo.carry_out());
    }

    /// Counts an operation; true if it is the one that fails.
    fn is_next(&self, state: &mut State) -> bool {
        state.operations += 1;
        let is_next = state.operations == self.at && !state.has_fired;
        state.has_fired |= is_next;
        is_next
    }
}

fn ended() -> io::Error {
    io::Error::other("the process has ended")
}

fn parent(path: &Path) -> PathBuf {
    files::containing_folder(path).to_owned()
}

impl Watcher for FaultyDisk {
    fn before(&self, operation: &Operation) -> io::Result<()> {
        let mut state = self.state();
        if state.is_over {
            return Err(ended());
        }
        if self.fault != Fault::ShortWrite && self.is_next(&mut state) {
            match self.fault {
                Fault::Error(number) => return Err(io::Error::from_raw_os_error(number)),
                Fault::ExitBefore | Fault::PowerCut => {
                    state.is_over = true;
                    return Err(ended());
                }
                Fault::ExitAfter => state.is_over = true,
                Fault::ShortWrite => {}
            }
        }
        if self.fault == Fault::PowerCut {
            state.begun.insert(thread::current().id(), undo_of(operation));
        }
        Ok(())
    }

    fn shortened(&self, _: &Operation) -> Option<io::Error> {
        let fires = self.fault == Fault::ShortWrite && self.is_next(&mut self.state());
        fires.then(|| io::Error::from_raw_os_error(28))
    }

    fn after(&self, operation: &Operation) {
        let mut state = self.state();
        let Some(undo) = state.begun.remove(&thread::current().id()) else { return };
        let log = &mut state.unflushed;
        match operation {
            Operation::Sync(path) => {
                log.retain(|one| !matches!(&one.undo, Undo::Empty(written) if written == path));
            }
            Operation::SyncDir(folder) => {
                log.retain(|one| one.flush != *folder || matches!(one.undo, Undo::Empty(_)));
            }
            Operation::Write(path, _) => {
                // The name of a temporary file is only known now.
                log.push(Unflushed { flush: parent(path), undo: Undo::RemoveFile((*path).to_owned()) });
                log.push(Unflushed { flush: (*path).to_owned(), undo });
            }
            operation => log.push(Unflushed { flush: parent(operation.path()), undo }),
        }
    }
}

fn undo_of(operation: &Operation) -> Undo {
    let owned = |path: &Path| path.to_owned();
    match operation {
        Operation::CreateDir(path) => Undo::RemoveDir(owned(path)),
        Operation::Create(path) if path.exists() => Undo::Restore(Vec::new()),
        Operation::Create(path) | Operation::Link(_, path) => Undo::RemoveFile(owned(path)),
        Operation::Write(path, _) => Undo::Empty(owned(path)),
        Operation::Rename(from, to) => {
            Undo::Rename { from: owned(from), to: owned(to), replaced: fs::read(to).ok() }
        }
        Operation::Append(path) | Operation::RemoveFile(path) | Operation::RemoveDir(path) => {
            Undo::Restore(tree(path))
        }
        Operation::Sync(_) | Operation::SyncDir(_) => Undo::Restore(Vec::new()),
    }
}

/// Every file and folder at or below a path, with folders before what they contain.
fn tree(path: &Path) -> Vec<(PathBuf, Option<Vec<u8>>)> {
    if !path.is_dir() {
        return fs::read(path).map(|bytes| vec![(path.to_owned(), Some(bytes))]).unwrap_or_default();
    }
    let mut entries = vec![(path.to_owned(), None)];
    for entry in fs::read_dir(path).unwrap() {
        entries.extend(tree(&entry.unwrap().path()));
    }
    entries
}

/// A folder's files and folders by their names below it.
fn snapshot(root: &Path) -> BTreeMap<PathBuf, Option<Vec<u8>>> {
    let below = |path: PathBuf| path.strip_prefix(root).unwrap().to_owned();
    tree(root).into_iter().map(|(path, bytes)| (below(path), bytes)).collect()
}

type Outcome = Result<(), Box<dyn Error>>;

/// Work that writes into a folder, and reports to a recorder which generations it has committed.
type Work<'a> = &'a dyn Fn(&Path, &Recorder) -> Outcome;

/// Makes `work` fail at its operations in every way, and checks what is left on disk. Returns the number of faults.
fn inject_everywhere(work: Work) -> u64 {
    let dir = tempfile::tempdir().unwrap();
    let whole = dir.path().join("whole");
    work(&whole, &Recorder::default()).unwrap();
    let whole = snapshot(&whole);
    let mut injected = 0;
    for (which, fault) in FAULTS.into_iter().enumerate() {
        let total = count_operations(work, fault);
        let all = std::env::var_os("GENLOSS_ALL_FAULTS").is_some();
        // In a sample, different operations for each kind of fault.
        let step = if all { 1 } else { (total / 4).max(1) };
        let first = if all { 1 } else { 1 + (which as u64 * 5) % step };
        for at in (first..=total).step_by(step as usize) {
            let root = dir.path().join(format!("{which}-{at}/out"));
            injected += u64::from(inject(work, fault, at, &root, &whole));
            fs::remove_dir_all(root.parent().unwrap()).unwrap();
        }
    }
    injected
}

fn count_operations(work: Work, fault: Fault) -> u64 {
    let dir = tempfile::tempdir().unwrap();
    let disk = FaultyDisk::new(fault, u64::MAX);
    let _watch = files::watch(dir.path(), Arc::clone(&disk) as Arc<dyn Watcher>);
    work(&dir.path().join("out"), &Recorder::default()).unwrap();
    disk.state().operations
}

/// Runs `work` with one fault, then again without. Returns false if the fault did not occur.
fn inject(
    work: Work,
    fault: Fault,
    at: u64,
    root: &Path,
    whole: &BTreeMap<PathBuf, Option<Vec<u8>>>,
) -> bool {
    let place = format!("{fault:?} at operation {at}");
    fs::create_dir_all(root.parent().unwrap()).unwrap();
    let (disk, recorder) = (FaultyDisk::new(fault, at), Recorder::default());
    let outcome = {
        let _watch = files::watch(root.parent().unwrap(), Arc::clone(&disk) as Arc<dyn Watcher>);
        catch_unwind(AssertUnwindSafe(|| work(root, &recorder)))
    };
    let outcome = outcome.unwrap_or_else(|_| panic!("{place}: a panic"));
    disk.lose_unflushed();
    check_message(&outcome, fault, root, &place);
    check_committed(root, &recorder, &place);
    let fired = disk.state().has_fired;
    let again = work(root, &Recorder::default());
    again.unwrap_or_else(|error| panic!("{place}: the second attempt: {}", error_chain(error.as_ref())));
    let found = snapshot(root);
    let names = |files: &BTreeMap<PathBuf, _>| files.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&found), names(whole), "{place}");
    for (path, bytes) in whole {
        assert!(found[path] == *bytes, "{place}: {} differs", path.display());
    }
    fired
}

/// Checks that an error is one line that names a path once, and that it says what to do if the disk is full.
fn check_message(outcome: &Outcome, fault: Fault, root: &Path, place: &str) {
    let Err(error) = outcome else { return };
    let message = error_chain(error.as_ref());
    assert_eq!(message.lines().count(), 1, "{place}: {message}");
    assert!(fault != Fault::Error(4), "{place}: {message}");
    let named = message.matches(root.parent().unwrap().to_str().unwrap()).count();
    assert_eq!(named, 1, "{place}: {message}");
    if matches!(fault, Fault::Error(28 | 122) | Fault::ShortWrite) {
        assert!(message.contains("free space") && message.contains("run again"), "{place}: {message}");
    }
}

/// Checks that every generation that was reported as committed is on disk and undamaged.
fn check_committed(root: &Path, recorder: &Recorder, place: &str) {
    for event in recorder.events() {
        let Event::GenerationCommitted { key, summary } = event else { continue };
        let store = if root.join("experiment.toml").exists() {
            root.to_owned()
        } else {
            root.join(summary.split(':').next().unwrap())
        };
        let seed = store.join(format!("seed-{}", key.seed));
        let lineage = if key.arm.is_empty() { seed } else { seed.join(&key.arm) };
        let folder = lineage.join(format!("gen-{:03}", key.generation));
        assert!(folder.exists(), "{place}: {} is lost", folder.display());
        store::read(&store).unwrap_or_else(|error| panic!("{place}: {}", error_chain(&error)));
    }
}

fn context<'a>(recorder: &'a Recorder, interrupt: &'a AtomicBool, metrics: &'a Metrics) -> RunContext<'a> {
    RunContext {
        device: &Device::Cpu,
        observer: recorder,
        interrupt,
        metrics,
        provenance: Provenance::default(),
    }
}

fn run(experiment: &Experiment, prepared: &PreparedText, root: &Path, recorder: &Recorder) -> Outcome {
    let (interrupt, metrics) = (AtomicBool::new(false), Metrics::builtin());
    Ok(lineage::run(experiment, prepared, root, &context(recorder, &interrupt, &metrics))?)
}

fn faults_in_a_run(file: &str) -> u64 {
    let experiment = config::parse(file, "file.toml", &[]).unwrap();
    let prepared = lineage::prepare(&experiment).unwrap();
    inject_everywhere(&|root, recorder| run(&experiment, &prepared, root, recorder))
}

fn tell(what: &str, faults: u64) {
    #[allow(clippy::print_stdout, reason = "the number is of interest when all faults are injected")]
    {
        println!("{what}: {faults} faults");
    }
    assert!(faults >= 30, "{what}: only {faults} faults");
}

#[test]
fn an_ngram_run_survives_faults_of_the_file_system() {
    tell("n-gram run", faults_in_a_run(NGRAM));
}

#[test]
fn a_transformer_run_with_checkpoints_survives_faults_of_the_file_system() {
    tell("transformer run", faults_in_a_run(TRANSFORMER));
}

#[test]
fn a_sweep_survives_faults_of_the_file_system() {
    let file = format!("{NGRAM}[grid]\nsynthesis.temperature = [1.0, 0.8]\n");
    let sweep = config::parse_sweep(&file, "file.toml", &[]).unwrap().unwrap();
    let prepared = sweep::prepare(&sweep.experiments).unwrap();
    let units = prepared.groups();
    let faults = inject_everywhere(&|root, recorder| {
        let (interrupt, metrics) = (AtomicBool::new(false), Metrics::builtin());
        Ok(prepared.run(root, &units, 1, &context(recorder, &interrupt, &metrics))?)
    });
    tell("sweep", faults);
}

#[test]
fn a_report_survives_faults_of_the_file_system() {
    let recorded = recorded();
    let faults = inject_everywhere(&|root, _| {
        let all = std::slice::from_ref(&recorded);
        let of = verdict::compare("counts", &recorded.observations(), CONTROL, &recorded.catalogue());
        report::write(all, &of[..0], &[], root)?;
        Ok(())
    });
    tell("report", faults);
}

#[test]
fn an_export_survives_faults_of_the_file_system() {
    let recorded = recorded();
    let faults = inject_everywhere(&|root, _| {
        if !store::is_study(root) {
            store::export(std::slice::from_ref(&recorded), root)?;
        }
        Ok(())
    });
    tell("export", faults);
}

fn recorded() -> RunRecord {
    let dir = tempfile::tempdir().unwrap();
    let experiment = config::parse(NGRAM, "file.toml", &[]).unwrap();
    let prepared = lineage::prepare(&experiment).unwrap();
    let interrupt = AtomicBool::new(false);
    let context = RunContext {
        device: &Device::Cpu,
        observer: &Silent,
        interrupt: &interrupt,
        metrics: &Metrics::builtin(),
        provenance: Provenance::default(),
    };
    lineage::run(&experiment, &prepared, dir.path(), &context).unwrap();
    store::read(dir.path()).unwrap()
}

struct ReadOnly;

impl Watcher for ReadOnly {
    fn before(&self, _: &Operation) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn after(&self, _: &Operation) {}
}

#[test]
fn a_finished_run_in_a_read_only_folder_is_finished_and_an_unfinished_one_says_what_to_do() {
    let experiment = config::parse(NGRAM, "file.toml", &[]).unwrap();
    let prepared = lineage::prepare(&experiment).unwrap();
    let dir = tempfile::tempdir().unwrap();
    run(&experiment, &prepared, dir.path(), &Recorder::default()).unwrap();
    let before = snapshot(dir.path());
    let read_only = || files::watch(dir.path(), Arc::new(ReadOnly));
    {
        let (_watch, recorder) = (read_only(), Recorder::default());
        run(&experiment, &prepared, dir.path(), &recorder).unwrap();
        assert!(matches!(recorder.events()[0], Event::RunStarted { generations: 5, done: 5, .. }));
    }
    assert!(snapshot(dir.path()) == before);
    fs::remove_dir_all(dir.path().join("seed-1/unanchored/gen-002")).unwrap();
    let _watch = read_only();
    let error = run(&experiment, &prepared, dir.path(), &Recorder::default()).unwrap_err();
    let message = error_chain(error.as_ref());
    assert!(message.contains("is read-only; give another --out"), "{message}");
}
