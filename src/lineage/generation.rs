//! One generation: train, write, measure, commit.

use super::cache::CachedResult;
use super::natural::NaturalOrder;
use super::{PreparedText, Run, RunContext, RunError, SiblingRuns, learner};
use crate::config::{Arm, Experiment};
use crate::corpus::world::World;
use crate::documents::Documents;
use crate::measure::{self, FactAnswer, FourGrams, Inputs, Measured};
use crate::model::LanguageModel;
use crate::progress::Event;
use crate::seed::{SHARED, streams};
use crate::stage::Stage;
use crate::store::{Address, Fingerprints, GenerationOutput, GenerationRecord, MixtureRecord, Store};
use crate::synthesis::SynthesisSettings;
use crate::synthesis::{self, Sources, SynthesisRecord};
use crate::training::{Init, Learner, Start, Trained};
use crate::units::NatsPerToken;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Makes the generations of one seed of a run.
pub(super) struct GenerationRunner<'a> {
    run: &'a Run<'a>,
    pub(super) experiment: &'a Experiment,
    prepared: &'a PreparedText,
    pub(super) store: &'a Store,
    context: &'a RunContext<'a>,
    /// Runs whose committed results may be reused.
    siblings: &'a SiblingRuns<'a>,
    pub(super) seed: u64,
    /// The documents of the train split that lineages can use, in this seed's order.
    pub(super) natural: Documents,
    /// 4-grams of the natural text that the seed trains on.
    known: FourGrams,
    /// The built-in world, if the text comes from it.
    world: Option<World>,
}

impl<'a> GenerationRunner<'a> {
    pub(super) fn new(run: &'a Run<'a>, siblings: &'a SiblingRuns<'a>) -> Self {
        let Run { experiment, prepared, store, context, .. } = run;
        let seed = siblings.seed();
        let natural = NaturalOrder::new(&prepared.train, experiment, seed).used_by(experiment);
        let known = FourGrams::new(&natural.prefix(experiment.corpus.train_tokens));
        let world = experiment.corpus.built_in_world();
        Self { run, experiment, prepared, store, context, siblings, seed, natural, known, world }
    }

    /// Makes and commits a generation, whose predecessors are committed.
    pub(super) fn make(&self, arm: &Arm, generation: usize) -> Result<(), RunError> {
        let address = self.address(arm, generation);
        let stage = self.stage(address);
        let (text, mixture) = self.mix(arm, generation, &stage)?;
        let fingerprints = self.fingerprints(arm, generation, &mixture.hash)?;
        let trained = match self.siblings.find(&fingerprints)? {
            Some(CachedResult::Generation(folder)) if !self.has_followers(address) => {
                return self.adopt(address, &folder, fingerprints, &stage);
            }
            Some(CachedResult::Model { model_dir, training }) => {
                Trained { model: self.learner(arm, generation)?.load_trained(&model_dir)?, record: training }
            }
            // If later generations were trained on this one, it is made again and compared with their training text.
            Some(CachedResult::Generation(_)) | None => {
                self.train(arm, address, &text, &fingerprints, &stage)?
            }
        };
        self.write_and_commit(arm, address, mixture, trained, fingerprints, &stage)
    }

    fn fingerprints(&self, arm: &Arm, generation: usize, text: &str) -> Result<Fingerprints, RunError> {
        let parent = match generation.checked_sub(1) {
            Some(earlier) => self.run.fingerprints(self.seed, arm, earlier)?,
            None => None,
        };
        let metrics = self.context.metrics.custom_definitions();
        Ok(self.run.inputs(self.seed, arm).fingerprints(generation, text, &metrics, parent.as_ref()))
    }

    /// Commits a copy of an equal generation.
    fn adopt(
        &self,
        address: Address,
        folder: &Path,
        fingerprints: Fingerprints,
        stage: &Stage,
    ) -> Result<(), RunError> {
        self.store.adopt(address, folder, &fingerprints)?;
        self.announce(address, fingerprints, &self.store.record(address)?, stage);
        Ok(())
    }

    /// Lets a trained model write, measures the model and its text, and commits the generation.
    fn write_and_commit(
        &self,
        arm: &Arm,
        address: Address,
        mixture: MixtureRecord,
        Trained { model, record: training }: Trained,
        fingerprints: Fingerprints,
        stage: &Stage,
    ) -> Result<(), RunError> {
        let generation = address.generation;
        let precise = model.in_full_precision();
        let precise = precise.as_deref().unwrap_or(model.as_ref());
        let loaded = self.first_model(arm, generation)?;
        let first = loaded.as_deref();
        let (documents, synthesis) =
            self.write(arm, generation, model.as_ref(), first.unwrap_or(precise), stage)?;
        self.check_followers(address, &documents)?;
        let Measured { measurements, missing, curves } = self.measure(precise, first, &documents, stage)?;
        let metrics = self.context.metrics.custom_definitions();
        let machine = Some(self.context.provenance.machine());
        let record = GenerationRecord {
            mixture,
            training,
            synthesis,
            machine,
            measurements,
            missing,
            metrics,
            curves,
        };
        let texts = self.prepared.tokenizer.decode_documents(&documents);
        let output = GenerationOutput {
            record: &record,
            documents: &documents,
            texts: &texts,
            fingerprints: &fingerprints,
            origin: &self.context.provenance.origin(),
            tokenizer_config: &self.prepared.tokenizer.config_json(),
        };
        self.store.commit::<RunError>(address, output, |dir| Ok(model.save(dir)?))?;
        self.announce(address, fingerprints, &record, stage);
        self.note_missing(address, &record.missing);
        Ok(())
    }

    /// Notes which metrics have no value, grouped by reason.
    fn note_missing(&self, address: Address, missing: &BTreeMap<String, String>) {
        let mut by_reason: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for (metric, reason) in missing {
            by_reason.entry(reason).or_default().push(metric);
        }
        let place = self.place(address);
        for (reason, metrics) in by_reason {
            let metrics = metrics.join(", ");
            let note = format!("{place}: no {metrics}: {reason}");
            self.context.observer.observe(&Event::Note(note));
        }
    }

    /// Reports a committed generation to siblings and observers.
    fn announce(
        &self,
        address: Address,
        fingerprints: Fingerprints,
        record: &GenerationRecord,
        stage: &Stage,
    ) {
        self.siblings.insert(self.run, address, fingerprints);
        let key = stage.at("").key().clone();
        if let Some(remark) = worse_than_guessing(record, self.prepared.tokenizer.vocab_size()) {
            let place = self.place(address);
            self.context.observer.observe(&Event::Note(format!("{place}: {remark}")));
        }
        self.context.observer.observe(&Event::GenerationCommitted { key, summary: summary(record) });
    }

    pub(super) fn address<'b>(&self, arm: &'b Arm, generation: usize) -> Address<'b> {
        Address::of(self.experiment, self.seed, arm, generation)
    }

    /// The stage in which the training text of a generation is mixed.
    pub(super) fn stage(&self, address: Address) -> Stage<'a> {
        let arm = address.arm.unwrap_or(SHARED);
        let key = self.experiment.stream_key(self.seed, arm, address.generation, streams::MIXTURE);
        Stage::new(key, self.context.observer, self.context.interrupt)
    }

    /// The corpus of the previous generation, if the arm writes from it.
    fn previous(&self, arm: &Arm, generation: usize) -> Result<Option<Documents>, RunError> {
        let reads = self.experiment.at(arm, generation).synthesis.method.properties().reads_previous;
        let earlier = generation.checked_sub(1).filter(|_| reads);
        earlier.map(|earlier| self.corpus(self.address(arm, earlier))).transpose()
    }

    fn learner(&self, arm: &Arm, generation: usize) -> Result<Box<dyn Learner>, RunError> {
        let start = self.start(arm, generation)?;
        let arm = self.experiment.at(arm, generation);
        Ok(learner(&arm, &self.prepared.tokenizer, start, self.context.device))
    }

    fn train(
        &self,
        arm: &Arm,
        address: Address,
        text: &Documents,
        fingerprints: &Fingerprints,
        stage: &Stage,
    ) -> Result<Trained, RunError> {
        let learner = self.learner(arm, address.generation)?;
        let minutes = self.experiment.at(arm, address.generation).training.checkpoint_minutes;
        let every = Duration::from_secs_f64(minutes * 60.0);
        let (mut checkpoints, fault) = self.store.checkpoints(address, &fingerprints.model, every)?;
        if let Some(fault) = fault {
            let note = format!("{}: training starts again: {fault}", self.place(address));
            self.context.observer.observe(&Event::Note(note));
        }
        // Streams of generation 0 name no arm, so that arms that write differently can have the same model.
        let stream_arm = if address.generation == 0 { SHARED } else { &arm.name };
        let key = self.experiment.stream_key(self.seed, stream_arm, address.generation, streams::TRAINING);
        Ok(learner.fit(text, &mut checkpoints, &stage.with_key(key))?)
    }

    /// The weights that a generation starts from.
    fn start(&self, arm: &Arm, generation: usize) -> Result<Start, RunError> {
        let arm_now = self.experiment.at(arm, generation);
        let previous = match (arm_now.training.init, generation.checked_sub(1)) {
            (Init::Chained, Some(earlier)) => Some(self.verified_model_dir(arm, earlier)?),
            (Init::Scratch | Init::Base, _) | (Init::Chained, None) => None,
        };
        Ok(arm_now.training.start(previous))
    }

    fn verified_model_dir(&self, arm: &Arm, generation: usize) -> Result<PathBuf, RunError> {
        let address = self.address(arm, generation);
        self.store.verify(address)?;
        Ok(self.store.model_dir(address))
    }

    /// The model of generation 0; `None` for generation 0 itself.
    fn first_model(&self, arm: &Arm, generation: usize) -> Result<Option<Box<dyn LanguageModel>>, RunError> {
        if generation == 0 {
            return Ok(None);
        }
        let folder = self.verified_model_dir(arm, 0)?;
        Ok(Some(self.learner(arm, 0)?.load_trained(&folder)?))
    }

    /// Lets `model` write the corpus of a generation; selection scores it with `first`, the model of generation 0.
    fn write(
        &self,
        arm: &Arm,
        generation: usize,
        model: &dyn LanguageModel,
        first: &dyn LanguageModel,
        stage: &Stage,
    ) -> Result<(Documents, SynthesisRecord), RunError> {
        let natural = self.natural.prefix(self.experiment.corpus.train_tokens);
        let previous = self.previous(arm, generation)?;
        let sources = Sources {
            natural: &natural,
            previous: previous.as_ref(),
            tokenizer: &self.prepared.tokenizer,
            world: self.world.as_ref(),
        };
        let tokens = self.experiment.tokens_written(arm, generation);
        let synthesis = SynthesisSettings { tokens, ..self.experiment.at(arm, generation).synthesis.clone() };
        let written =
            synthesis::write_corpus(model, &synthesis, sources, first, &stage.at(streams::SYNTHESIS));
        written.map_err(|source| RunError::synthesis(source, self.place(self.address(arm, generation))))
    }

    /// Seed, arm and generation, for messages.
    fn place(&self, address: Address) -> String {
        let arm = address.arm.map_or("all arms".to_owned(), |arm| format!("arm \"{arm}\""));
        format!("seed {}, {arm}, generation {}", self.seed, address.generation)
    }

    /// Measures a corpus and the model that wrote it, against `first`, the model of generation 0 (None if it is that model).
    fn measure(
        &self,
        model: &dyn LanguageModel,
        first: Option<&dyn LanguageModel>,
        documents: &Documents,
        stage: &Stage,
    ) -> Result<Measured, RunError> {
        let prepared = self.prepared;
        let synthetic = documents.prefix(self.experiment.measured_tokens);
        let own_text = measure::own_text_sample(&synthetic, prepared.heldout.tokens());
        let scoring = stage.at(streams::SCORING);
        let own_tokens = first.map_or(0, |_| own_text.tokens().0);
        let tokens = prepared.heldout.tokens().0 + synthetic.tokens().0 + own_tokens;
        scoring.begin(tokens * model.members().len().max(1) as u64, "tokens");
        let heldout_scores = model.score(&prepared.heldout, &scoring)?;
        let synthetic_scores_0 = first.unwrap_or(model).score(&synthetic, &scoring)?;
        let own_text_scores = match first {
            Some(_) => model.score(&own_text, &scoring)?,
            None => synthetic_scores_0.first(own_text.flat().len()),
        };
        scoring.end();
        let inputs = Inputs {
            reference: &prepared.reference,
            synthetic: &synthetic,
            synthetic_texts: &prepared.tokenizer.decode_documents(&synthetic),
            heldout_scores: &heldout_scores,
            synthetic_scores_0: Some(&synthetic_scores_0),
            own_text_scores: Some(&own_text_scores),
            natural_training: Some(&self.known),
            heldout_floor: prepared.heldout_floor_nats.map(NatsPerToken),
            facts: &self.ask_facts(model, &stage.at(streams::FACTS))?,
        };
        Ok(measure::measure(&inputs, self.context.metrics, &stage.at(streams::MEASURING))?)
    }

    /// The model's answers to questions about the world's facts; empty if the text is not from the built-in world.
    fn ask_facts(&self, model: &dyn LanguageModel, stage: &Stage) -> Result<Vec<FactAnswer>, RunError> {
        let facts = &self.prepared.facts;
        if facts.is_empty() {
            return Ok(Vec::new());
        }
        stage.begin(facts.len() as u64, "facts");
        let answers = measure::recall(model, facts, &|ids| self.prepared.tokenizer.decode(ids), stage)?;
        stage.end();
        Ok(answers)
    }
}

/// A remark if the held-out loss is above that of a model that finds all tokens equally probable.
fn worse_than_guessing(record: &GenerationRecord, vocab_size: usize) -> Option<String> {
    let guessing = (vocab_size as f64).ln();
    let loss = record.measurements.iter().find(|one| one.metric == "heldout_loss")?.value;
    (loss > guessing).then(|| {
        format!(
            "the held-out loss of {loss:.3} nats per token is above {guessing:.3}, that of guessing among {vocab_size} \
             tokens: the model is worse than none; check its training, and the text that it was trained on"
        )
    })
}

/// The metrics of a generation that a log line shows.
fn summary(record: &GenerationRecord) -> String {
    let shown = ["heldout_loss", "unigram_entropy", "tail_coverage"];
    let found = record.measurements.iter().filter(|one| shown.contains(&one.metric.as_str()));
    found.map(|one| format!("{} {:.3}", one.metric, one.value)).collect::<Vec<_>>().join(", ")
}
