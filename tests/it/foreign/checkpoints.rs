//! Training does not continue from a checkpoint that was trained on another text, or that is damaged.

use crate::folder::{checkpoints, contents};
use candle_core::Device;
use genloss::config;
use genloss::lineage::{self, RunContext, RunError};
use genloss::measure::Metrics;
use genloss::progress::{Event, Observer, Recorder, Silent};
use genloss::seed::streams;
use genloss::store::Provenance;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

const FILE: &str = r#"
name = "resumed"
seeds = [1]
generations = 1
corpus = { source = "world", train_tokens = 2000, heldout_tokens = 400, reference_tokens = 800 }
tokenizer = { vocab_size = 300 }
model = { layers = 1, width = 16, heads = 2, context = 16 }
training = { tokens = 3000, batch = 4 }
synthesis = { max_document_tokens = 64 }
[[arm]]
name = "replace"
mixture = "replace"
"#;

fn run(root: &Path, observer: &dyn Observer, interrupt: &AtomicBool) -> Result<(), RunError> {
    run_of(FILE, root, observer, interrupt)
}

fn run_of(file: &str, root: &Path, observer: &dyn Observer, interrupt: &AtomicBool) -> Result<(), RunError> {
    let context = RunContext {
        device: &Device::Cpu,
        observer,
        interrupt,
        metrics: &Metrics::builtin(),
        provenance: Provenance::default(),
    };
    let experiment = config::parse(file, "resumed.toml", &[]).unwrap();
    lineage::run(&experiment, &lineage::prepare(&experiment).unwrap(), root, &context)
}

/// Interrupts the training of generation 1 of the arm "replace" after ten steps.
struct Stop<'a> {
    interrupt: &'a AtomicBool,
    steps_left: AtomicU64,
    in_training: AtomicBool,
}

impl Observer for Stop<'_> {
    fn observe(&self, event: &Event) {
        match event {
            Event::StageStarted { key, .. } => {
                let is_it = key.stage == streams::TRAINING && key.generation == 1 && key.arm == "replace";
                self.in_training.store(is_it, Ordering::Relaxed);
            }
            Event::Advanced { .. }
                if self.in_training.load(Ordering::Relaxed)
                    && self.steps_left.fetch_sub(1, Ordering::Relaxed) == 1 =>
            {
                self.interrupt.store(true, Ordering::Relaxed);
            }
            _ => {}
        }
    }
}

/// A run that stopped in the training of generation 1, and the folder of its checkpoint.
fn stopped() -> (tempfile::TempDir, PathBuf) {
    stopped_in(FILE)
}

fn stopped_in(file: &str) -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let interrupt = AtomicBool::new(false);
    let stop =
        Stop { interrupt: &interrupt, steps_left: AtomicU64::new(10), in_training: AtomicBool::new(false) };
    assert!(matches!(run_of(file, dir.path(), &stop, &interrupt), Err(RunError::Interrupted)));
    let work = checkpoints(&dir.path().join("seed-1/replace"), "gen-001").unwrap();
    let mut checkpoints = fs::read_dir(&work).unwrap().map(|entry| entry.unwrap().path());
    let checkpoint = checkpoints.next().unwrap();
    assert!(checkpoints.next().is_none());
    (dir, checkpoint)
}

/// Resumes a run and returns its notes. Checks that its store ends up like that of a run that was never interrupted.
fn notes_of_resumed(root: &Path) -> Vec<String> {
    let recorder = Recorder::default();
    run(root, &recorder, &AtomicBool::new(false)).unwrap();
    let whole = tempfile::tempdir().unwrap();
    run(whole.path(), &Silent, &AtomicBool::new(false)).unwrap();
    assert!(contents(root) == contents(whole.path()), "the resumed run differs from a whole one");
    let events = recorder.events().into_iter();
    events
        .filter_map(|event| match event {
            Event::Note(note) => Some(note),
            _ => None,
        })
        .filter(|note| note.contains("checkpoint"))
        .collect()
}

#[test]
fn a_sound_checkpoint_is_continued_without_a_note() {
    let (dir, _) = stopped();
    assert_eq!(notes_of_resumed(dir.path()), Vec::<String>::new());
}

#[test]
fn one_flipped_bit_of_a_checkpoint_is_seen_and_training_starts_again() {
    for name in ["state.safetensors", "progress.json", "manifest.json"] {
        let (dir, checkpoint) = stopped();
        let file = checkpoint.join(name);
        let mut bytes = fs::read(&file).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(&file, bytes).unwrap();
        let notes = notes_of_resumed(dir.path());
        assert_eq!(notes.len(), 1, "{name}: {notes:?}");
        assert!(
            notes[0].starts_with("seed 1, arm \"replace\", generation 1: training starts again"),
            "{notes:?}"
        );
    }
}

/// A sound checkpoint of an equal model on another text takes the place of the run's own.
#[test]
fn a_checkpoint_that_saw_another_text_is_thrown_away() {
    let (dir, checkpoint) = stopped();
    let (_other, of_other) = stopped_in(&FILE.replace("train_tokens = 2000", "train_tokens = 2100"));
    for name in ["state.safetensors", "progress.json", "manifest.json"] {
        fs::copy(of_other.join(name), checkpoint.join(name)).unwrap();
    }
    let notes = notes_of_resumed(dir.path());
    assert!(notes.len() == 1 && notes[0].contains("trained on another text"), "{notes:?}");
}

/// Checkpoints of earlier versions have no manifest.
#[test]
fn a_checkpoint_that_nothing_vouches_for_is_thrown_away() {
    let (dir, checkpoint) = stopped();
    fs::remove_file(checkpoint.join("manifest.json")).unwrap();
    let notes = notes_of_resumed(dir.path());
    assert!(notes.len() == 1 && notes[0].contains("manifest.json"), "{notes:?}");
}
