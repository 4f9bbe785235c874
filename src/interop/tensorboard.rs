//! Runs as TensorBoard shows them.
//!
//! ```text
//! LOGDIR/<experiment>/<arm>/seed-1/    one TensorBoard run
//!   events.out.tfevents.0000000000.genloss    everything about generation 0
//!   events.out.tfevents.0000000001.genloss    …
//! ```
//!
//! | tag | step | content |
//! |---|---|---|
//! | `tail/tail_coverage`, … | generation | a metric, under its family |
//! | `ranks/log10_rank` | generation | histogram of the tokens of the measured text by the rank of their type in it |
//! | `documents` | generation | the first documents of the corpus |
//! | `training_loss/generation_003` | optimiser step | loss curve of one generation, in nats per token |
//!
//! An event file holds one generation and is written whole, so a log folder of an interrupted and resumed run is the same
//! as that of an uninterrupted one. TensorBoard reads the files of a folder in the order of their names.

mod event;
mod ranks;

use super::series::{self, TaggedValue};
use super::{InteropError, card};
use crate::config::{Arm, Experiment};
use crate::files;
use crate::measure::{self, Direction, MetricDefinition};
use crate::progress::{Event, Observer, error_chain};
use crate::seed::{SHARED, StreamKey};
use crate::store::{self, Address, GenerationRecord, RunRecord, StoreError};
use crate::training::TrainingRecord;
use event::{Caption, Content, EventFile};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// Documents that are shown per generation.
const DOCUMENTS: usize = 3;

/// Writes every generation of `recorded`, which was read from `folder`, a run or a study, into `logdir`. Event files of
/// an earlier export of the same experiment are replaced. A study has neither documents nor ranks.
///
/// # Errors
/// If a corpus cannot be read, or if the disk fails.
pub fn export(folder: &Path, recorded: &RunRecord, logdir: &Path) -> Result<(), InteropError> {
    let experiment = &recorded.experiment;
    let log = Log { experiment, logdir };
    for lineage in &recorded.lineages {
        let Some(arm) = experiment.arms.iter().find(|arm| arm.name == lineage.arm) else { continue };
        log.remove_after(arm, lineage.seed, lineage.generations.len())?;
        for (generation, record) in lineage.generations.iter().enumerate() {
            let written = match store::is_study(folder) {
                true => Written { texts: None, ranks: None, at: SystemTime::now() },
                false => {
                    Written::read(folder, experiment, Address::of(experiment, lineage.seed, arm, generation))?
                }
            };
            log.write(arm, lineage.seed, generation, record, &written)?;
        }
    }
    Ok(())
}

/// Writes the generations of a run into a log folder as they are committed. Other events are passed on. Whatever fails
/// becomes a note, because it must not stop the run.
pub struct Follower<'a> {
    observer: &'a dyn Observer,
    root: &'a Path,
    log: Log<'a>,
}

impl<'a> Follower<'a> {
    /// Creates the log folder.
    ///
    /// # Errors
    /// If the folder cannot be created.
    pub fn new(
        experiment: &'a Experiment,
        root: &'a Path,
        logdir: &'a Path,
        observer: &'a dyn Observer,
    ) -> Result<Self, InteropError> {
        files::create_dirs(logdir).map_err(|source| StoreError::File { path: logdir.to_owned(), source })?;
        Ok(Self { observer, root, log: Log { experiment, logdir } })
    }

    /// Writes what was committed before this process began.
    fn catch_up(&self) -> Result<(), InteropError> {
        export(self.root, &store::read(self.root)?, self.log.logdir)
    }

    /// Writes a committed generation for each arm that it belongs to.
    fn add(&self, key: &StreamKey) -> Result<(), InteropError> {
        let experiment = self.log.experiment;
        let name = (key.arm != SHARED).then_some(key.arm.as_str());
        let address = Address { seed: key.seed, arm: name, generation: key.generation };
        let record = store::read_generation(self.root, address)?;
        let written = Written::read(self.root, experiment, address)?;
        let is_of = |arm: &&Arm| Address::of(experiment, key.seed, arm, key.generation) == address;
        let mut arms = experiment.arms.iter().filter(is_of);
        arms.try_for_each(|arm| self.log.write(arm, key.seed, key.generation, &record, &written))
    }
}

impl Observer for Follower<'_> {
    fn observe(&self, event: &Event) {
        self.observer.observe(event);
        let written = match event {
            Event::RunStarted { .. } => self.catch_up(),
            Event::GenerationCommitted { key, .. } => self.add(key),
            _ => Ok(()),
        };
        if let Err(error) = written {
            let note = format!(
                "TensorBoard: {}; genloss export --to tensorboard writes all of it",
                error_chain(&error)
            );
            self.observer.observe(&Event::Note(note));
        }
    }
}

/// What a generation wrote, as far as it is kept.
struct Written {
    texts: Option<Vec<String>>,
    ranks: Option<event::Histogram>,
    /// When the generation was committed.
    at: SystemTime,
}

impl Written {
    fn read(root: &Path, experiment: &Experiment, address: Address) -> Result<Self, StoreError> {
        let corpus = store::read_corpus(root, address)?;
        Ok(Self {
            texts: store::read_documents(root, address, DOCUMENTS)?,
            ranks: corpus.map(|corpus| ranks::histogram(&corpus.prefix(experiment.measured_tokens))),
            at: store::committed_at(root, address)?,
        })
    }
}

/// The log folder of an experiment.
#[derive(Clone, Copy)]
struct Log<'a> {
    experiment: &'a Experiment,
    logdir: &'a Path,
}

impl Log<'_> {
    fn folder(self, arm: &Arm, seed: u64) -> PathBuf {
        self.logdir.join(&self.experiment.name).join(&arm.name).join(format!("seed-{seed}"))
    }

    fn write(
        self,
        arm: &Arm,
        seed: u64,
        generation: usize,
        record: &GenerationRecord,
        written: &Written,
    ) -> Result<(), InteropError> {
        let since_1970 = written.at.duration_since(UNIX_EPOCH).unwrap_or_default();
        let mut file = EventFile::new(since_1970.as_secs_f64());
        add_measurements(&mut file, generation as u64, record);
        add_loss_curve(&mut file, generation, &record.training);
        if let Some(ranks) = &written.ranks {
            let description = "Tokens of the measured text by the decimal logarithm of their type's rank in this text: 0 is \
                               the most frequent type. A text that narrows moves to the left.";
            let caption = caption("Ranks of the tokens (log10)", description);
            file.add("ranks/log10_rank", generation as u64, &caption, &Content::Histogram(ranks.clone()));
        }
        if let Some(texts) = &written.texts {
            let caption = caption("Documents", "The first documents of the corpus of each generation.");
            let texts = texts.iter().map(|text| verbatim(text)).collect();
            file.add("documents", generation as u64, &caption, &Content::Texts(texts));
        }
        let path = self.folder(arm, seed).join(event_file(generation));
        Ok(store::write_derived(&path, &file.into_bytes())?)
    }

    /// Removes the event files of a lineage from generation `kept` on, which an earlier export may have left.
    fn remove_after(self, arm: &Arm, seed: u64, kept: usize) -> Result<(), StoreError> {
        let folder = self.folder(arm, seed);
        let stale = (kept..).map(|generation| folder.join(event_file(generation)));
        for path in stale.take_while(|path| path.exists()) {
            files::remove_file(&path).map_err(|source| StoreError::File { path, source })?;
        }
        Ok(())
    }
}

fn event_file(generation: usize) -> String {
    format!("events.out.tfevents.{generation:010}.genloss")
}

fn caption(title: &str, description: &str) -> Caption {
    Caption { title: title.to_owned(), description: description.to_owned() }
}

fn add_measurements(file: &mut EventFile, step: u64, record: &GenerationRecord) {
    for TaggedValue { tag, metric, value } in series::measurements(record) {
        let caption = caption(&metric.label, &in_words(&metric));
        file.add(&tag, step, &caption, &Content::Scalar(value));
    }
}

/// The question that a metric answers, its unit and its direction.
fn in_words(definition: &MetricDefinition) -> String {
    let unit = if definition.unit == "1" { "No unit" } else { &definition.unit };
    let direction = match definition.narrowing {
        Direction::Up => "rises when the distribution narrows",
        Direction::Down => "falls when the distribution narrows",
        Direction::Unclear => "may rise or fall when the distribution narrows",
    };
    let question = measure::explanation(&definition.id).map_or("", |explanation| explanation.question);
    format!("{} {}; {direction}.", card::plain(question), card::plain(unit)).trim_start().to_owned()
}

fn add_loss_curve(file: &mut EventFile, generation: usize, training: &TrainingRecord) {
    let title = format!("Training loss of generation {generation}");
    let caption = caption(&title, "Nats per token, the mean since the point before, by optimiser step.");
    for (step, loss_nats) in series::loss_curve(training) {
        file.add(&series::loss_tag(generation), step, &caption, &Content::Scalar(loss_nats));
    }
}

/// A text as a Markdown code block, so that nothing in it is taken for Markdown or HTML. Every character that a reader may
/// take for the end of a line begins a new line of the block.
fn verbatim(text: &str) -> String {
    const LINE_ENDS: [char; 7] = ['\n', '\r', '\u{b}', '\u{c}', '\u{85}', '\u{2028}', '\u{2029}'];
    let lines = text.split(LINE_ENDS).map(|line| format!("    {line}"));
    lines.collect::<Vec<_>>().join("\n")
}
