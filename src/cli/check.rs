//! `genloss check`: what an experiment resolves to, what it trains on, and what it will cost on this machine.

use super::output;
use super::run::default_root;
use super::surroundings::MachineArgs;
use crate::config::{self, Arm, Experiment, Method, Model, Selection, Synthesis, Training, TrainingLength};
use crate::documents::Documents;
use crate::lineage::{self, Prepared};
use crate::mixture::{self, Parts};
use crate::model::LanguageModel;
use crate::progress::Silent;
use crate::seed::Place;
use crate::stage::Stage;
use crate::synthesis::{self, Sources};
use crate::training::{NoCheckpoints, Start};
use crate::units::Tokens;
use anyhow::Result;
use candle_core::Device;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

/// Options of `genloss check`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The experiment file.
    file: PathBuf,
    /// Change a setting: `training.tokens=200000`, `arm.anchored.mixture.natural_fraction=0.2`.
    #[arg(long = "set", value_name = "KEY.PATH=VALUE")]
    settings: Vec<String>,
    #[command(flatten)]
    machine: MachineArgs,
}

impl Args {
    /// Checks the file and its text, and prints what a run would do.
    pub fn exec(self) -> Result<()> {
        let experiment = config::load(&self.file, &self.settings)?;
        let device = self.machine.open()?;
        let prepared = lineage::prepare(&experiment)?;
        let mut text = format!("# {}, resolved\n{}\n", self.file.display(), experiment.to_toml());
        text.push_str(&counts(&experiment, &prepared)?);
        text.push_str(&Cost::of(&experiment, &prepared, &device)?.shown(&experiment));
        output::emit(&text)
    }
}

fn schedule(experiment: &Experiment, arm: &Arm) -> Result<Vec<Parts>> {
    let budget = experiment.corpus.train_tokens;
    let mut parts = vec![Parts { natural: budget, synthetic: Tokens(0) }];
    parts.extend(mixture::schedule(&arm.mixture, experiment.generations, budget, arm.synthesis.tokens)?);
    Ok(parts)
}

/// What every generation of every arm trains on.
fn counts(experiment: &Experiment, prepared: &Prepared) -> Result<String> {
    let mut rows = Vec::new();
    for arm in &experiment.arms {
        for (generation, parts) in schedule(experiment, arm)?.iter().enumerate() {
            let is_drawn = mixture::is_drawn_from_whole_pool(&arm.mixture, generation);
            let about = if is_drawn { "about " } else { "" };
            let held = Tokens(parts.natural.0 + parts.synthetic.0);
            let seen = lineage::tokens_seen(arm, &prepared.tokenizer, held);
            rows.push(vec![
                arm.name.clone(),
                generation.to_string(),
                format!("{about}{}", parts.natural),
                format!("{about}{}", parts.synthetic),
                seen.to_string(),
                lineage::tokens_written(experiment, arm, generation).to_string(),
            ]);
        }
    }
    let header = ["arm", "generation", "natural tokens", "synthetic tokens", "tokens seen", "tokens written"];
    let splits = format!(
        "train split {} tokens, held-out {}, reference {}; vocabulary {}\n",
        prepared.train.tokens(),
        prepared.heldout.tokens(),
        experiment.corpus.reference_tokens,
        prepared.tokenizer.vocab_size(),
    );
    Ok(format!("{}{splits}\n", output::table(&header, &rows)))
}

/// What an experiment costs.
struct Cost {
    generations: u64,
    seconds: f64,
    disk_bytes: u64,
    memory_bytes: u64,
}

impl Cost {
    /// Estimates by trying each arm's model for a moment on this machine.
    fn of(experiment: &Experiment, prepared: &Prepared, device: &Device) -> Result<Self> {
        let mut cost = Self { generations: 0, seconds: 0.0, disk_bytes: 0, memory_bytes: 0 };
        let mut tried: Vec<(&Model, Trial)> = Vec::new();
        for arm in &experiment.arms {
            let trial = match tried.iter().find(|(model, _)| *model == &arm.model) {
                Some((_, trial)) => *trial,
                None => {
                    let trial = Trial::of(experiment, arm, prepared, device)?;
                    tried.push((&arm.model, trial));
                    trial
                }
            };
            let shares_first = experiment.shares_generation_0(arm) && arm.name != experiment.control().name;
            let parts = schedule(experiment, arm)?;
            for (generation, parts) in parts.iter().enumerate().skip(usize::from(shares_first)) {
                let held = Tokens(parts.natural.0 + parts.synthetic.0);
                let work = Work {
                    seen: lineage::tokens_seen(arm, &prepared.tokenizer, held),
                    written: lineage::tokens_written(experiment, arm, generation),
                    scored: Tokens(prepared.heldout.tokens().0 + experiment.measured_tokens().0),
                };
                cost.add(&trial, &work, prepared);
            }
        }
        let seeds = experiment.seeds.len() as u64;
        cost.generations *= seeds;
        cost.seconds *= seeds as f64;
        cost.disk_bytes *= seeds;
        Ok(cost)
    }

    fn add(&mut self, trial: &Trial, work: &Work, prepared: &Prepared) {
        let &Work { seen, written, scored } = work;
        self.generations += 1;
        self.seconds += seen.0 as f64 * trial.training_seconds_per_token
            + written.0 as f64 * trial.writing_seconds_per_token
            + scored.0 as f64 * trial.scoring_seconds_per_token;
        // Token ids and text compress to about three bytes a token; the tokenizer goes with every model.
        self.disk_bytes += trial.model_bytes + 3 * written.0 + prepared.tokenizer_json.len() as u64;
        self.memory_bytes = self.memory_bytes.max(trial.memory_bytes);
    }

    fn shown(&self, experiment: &Experiment) -> String {
        let minutes = self.seconds / 60.0;
        let time = if minutes < 60.0 {
            format!("{:.0} minutes", minutes.ceil())
        } else {
            format!("{:.1} hours", minutes / 60.0)
        };
        let mebibytes = |bytes: u64| bytes.div_ceil(1 << 20);
        format!(
            "estimate for this machine: {} generations, about {time}; {} MiB on disk below {}; {} MiB of memory\n",
            self.generations,
            mebibytes(self.disk_bytes),
            default_root(experiment).display(),
            mebibytes(self.memory_bytes),
        )
    }
}

/// Tokens that a generation has to do with.
struct Work {
    seen: Tokens,
    written: Tokens,
    scored: Tokens,
}

/// How fast a model trains, writes and scores here, and how large it is.
#[derive(Clone, Copy)]
struct Trial {
    training_seconds_per_token: f64,
    writing_seconds_per_token: f64,
    scoring_seconds_per_token: f64,
    model_bytes: u64,
    memory_bytes: u64,
}

impl Trial {
    fn of(experiment: &Experiment, arm: &Arm, prepared: &Prepared, device: &Device) -> Result<Self> {
        let (steps, context) = match &arm.model {
            Model::Transformer(shape) => (4, shape.context),
            Model::Ngram(_) => (1, 1),
        };
        let length = TrainingLength::Tokens(Tokens((steps * arm.training.batch * context) as u64));
        let brief = Arm { training: Training { length, ..arm.training.clone() }, ..arm.clone() };
        let never = AtomicBool::new(false);
        let stage = Stage::new(Place::new(0, "", 0, "trial"), &Silent, &never);
        let text = prepared.train.prefix(experiment.corpus.train_tokens);
        let trained = lineage::tokens_seen(&brief, &prepared.tokenizer, text.tokens());
        let learner = lineage::learner(&brief, &prepared.tokenizer, Start::Scratch, device);
        let (fitted, training) = timed(|| learner.fit(&text, &mut NoCheckpoints, &stage));
        let fitted = fitted?;
        let (written, writing) = timed(|| write_a_little(arm, fitted.model.as_ref(), prepared, &stage));
        let sample = prepared.heldout.prefix(Tokens(4096));
        let (scored, scoring) = timed(|| fitted.model.score(&sample, &stage));
        scored?;
        let folder = tempfile::tempdir()?;
        fitted.model.save(folder.path())?;
        let model_bytes: u64 = std::fs::read_dir(folder.path())?
            .flatten()
            .filter_map(|file| file.metadata().ok())
            .map(|file| file.len())
            .sum();
        Ok(Self {
            training_seconds_per_token: training / trained.0 as f64,
            writing_seconds_per_token: writing / written? as f64,
            scoring_seconds_per_token: scoring / sample.tokens().0 as f64,
            model_bytes,
            memory_bytes: memory(arm, model_bytes, prepared),
        })
    }
}

/// Writes a small corpus and says how many tokens it has. A command of the user's is not run for a trial: the model
/// writes in its place. Nothing is selected: a model that has hardly learnt says little of what would be kept.
fn write_a_little(arm: &Arm, model: &dyn LanguageModel, prepared: &Prepared, stage: &Stage) -> Result<u64> {
    let tokens = Tokens(arm.synthesis.tokens.0.min(16_384));
    let method = match &arm.synthesis.method {
        Method::External { .. } => Method::Textbook,
        method => method.clone(),
    };
    let selection = Selection::default();
    let little = Synthesis { method, tokens, selection, ..arm.synthesis.clone() };
    let sources = Sources { natural: &prepared.train, previous: None, tokenizer: &prepared.tokenizer };
    let (documents, _): (Documents, _) = synthesis::write_corpus(model, &little, sources, model, stage)?;
    Ok(documents.tokens().0)
}

/// Weights, gradients, two moments; what a step keeps for its backward pass; the text as ids and as characters.
fn memory(arm: &Arm, model_bytes: u64, prepared: &Prepared) -> u64 {
    let activations = match &arm.model {
        Model::Ngram(_) => 0,
        Model::Transformer(shape) => {
            let per_layer = 12 * shape.width + 4 * shape.ffn + 2 * shape.heads * shape.context;
            let per_token = shape.layers * per_layer + 2 * prepared.tokenizer.vocab_size();
            4 * per_token * arm.training.batch * shape.context
        }
    };
    4 * model_bytes + activations as u64 + 12 * prepared.train.tokens().0
}

fn timed<T>(work: impl FnOnce() -> T) -> (T, f64) {
    let started = Instant::now();
    let done = work();
    (done, started.elapsed().as_secs_f64())
}
