//! One generation: mix, train, write, measure, commit.

use super::prepare::natural_order;
use super::twins::Twin;
use super::{PreparedText, Run, RunContext, RunError};
use crate::config::{
    Arm, Budget, Experiment, Init, Mixture, Model, NaturalDocuments, Synthesis, Transformer,
};
use crate::documents::{Documents, TokenId};
use crate::measure::{self, Curves, FactAnswer, FourGrams, Inputs, Measurement};
use crate::mixture::{self, Plan, Pool};
use crate::model::{self, LanguageModel};
use crate::progress::Event;
use crate::seed::{SHARED, StreamKey, streams};
use crate::stage::Stage;
use crate::store::{Address, GenerationOutput, GenerationRecord, MixtureRecord, Store, StoreError};
use crate::synthesis::{self, Sources, SynthesisRecord};
use crate::tokenizer::Tokenizer;
use crate::training::{Learner, NgramLearner, Start, Trained, TransformerLearner};
use crate::units::{NatsPerToken, Tokens};
use candle_core::Device;
use std::collections::BTreeMap;
use std::time::Duration;

/// Makes the generations of the lineages of one seed.
pub(super) struct GenerationRunner<'a> {
    pub(super) experiment: &'a Experiment,
    prepared: &'a PreparedText,
    pub(super) store: &'a Store,
    context: &'a RunContext<'a>,
    /// Runs that may have trained the same models.
    pub(super) sibling_runs: &'a [&'a Run<'a>],
    pub(super) seed: u64,
    /// The train split in this seed's order.
    natural: Documents,
    /// 4-grams of the natural text that the seed trains on.
    known: FourGrams,
}

impl<'a> GenerationRunner<'a> {
    pub(super) fn new(run: &'a Run<'a>, sibling_runs: &'a [&'a Run<'a>], seed: u64) -> Self {
        let Run { experiment, prepared, store, context } = run;
        let natural = natural_order(&prepared.train, seed);
        let known = FourGrams::new(&natural.prefix(experiment.corpus.train_tokens));
        Self { experiment, prepared, store, context, sibling_runs, seed, natural, known }
    }

    /// Makes and commits a generation, whose predecessors stand.
    pub(super) fn make(&self, arm: &Arm, generation: usize) -> Result<(), RunError> {
        let address = self.address(arm, generation);
        let stage = self.stage(address);
        let (text, mixture) = self.mix(arm, generation, &stage)?;
        let trained = match self.twin(arm, generation, &mixture.hash)? {
            Some(Twin::Generation(folder)) if !self.has_followers(address)? => {
                self.store.adopt(address, &folder)?;
                self.announce(&self.store.record(address)?, &stage);
                return Ok(());
            }
            Some(Twin::Model { model_dir, training }) => {
                Trained { model: self.learner(arm, generation).recall(&model_dir)?, record: training }
            }
            // What others have learnt from is made here, and checked against them.
            Some(Twin::Generation(_)) | None => self.train(arm, address, &text, &stage)?,
        };
        self.write_and_commit(arm, address, mixture, trained, &stage)
    }

    /// Has a trained model write, measures both, and commits the generation.
    fn write_and_commit(
        &self,
        arm: &Arm,
        address: Address,
        mixture: MixtureRecord,
        Trained { model, record: training }: Trained,
        stage: &Stage,
    ) -> Result<(), RunError> {
        let generation = address.generation;
        let precise = model.in_full_precision();
        let precise = precise.as_deref().unwrap_or(model.as_ref());
        let loaded = self.first_model(arm, generation)?;
        let first = loaded.as_deref().unwrap_or(precise);
        let (documents, synthesis) = self.write(arm, generation, model.as_ref(), first, stage)?;
        self.check_followers(address, &documents)?;
        let (measurements, curves) = self.measure(precise, first, &documents, stage)?;
        let metrics = self.context.metrics.custom_definitions();
        let record = GenerationRecord { mixture, training, synthesis, measurements, metrics, curves };
        let texts = self.prepared.tokenizer.decode_documents(&documents);
        let written = GenerationOutput { record: &record, documents: &documents, texts: &texts };
        self.store.commit::<RunError>(address, written, |dir| Ok(model.save(dir)?))?;
        self.announce(&record, stage);
        Ok(())
    }

    /// Whether a generation that comes after it stands.
    fn has_followers(&self, address: Address) -> Result<bool, RunError> {
        for arm in self.experiment.arms.iter().filter(|arm| self.address(arm, address.generation) == address)
        {
            let follower = self.address(arm, address.generation + 1);
            if address.generation < self.experiment.generations && self.store.is_committed(follower)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Refuses what was written anew, and otherwise, under generations that have learnt from what stood there before: a
    /// command of the user's may write something else each time.
    fn check_followers(&self, address: Address, documents: &Documents) -> Result<(), RunError> {
        let arms = self.experiment.arms.iter();
        for arm in arms.filter(|arm| self.address(arm, address.generation) == address) {
            for later in address.generation + 1..=self.experiment.generations {
                let follower = self.address(arm, later);
                if !self.store.is_committed(follower)? {
                    break;
                }
                let corpus = |generation| match generation == address.generation {
                    true => Ok(documents.clone()),
                    false => self.store.synthetic(self.address(arm, generation)),
                };
                let corpora = (0..later).map(corpus).collect::<Result<Vec<_>, _>>()?;
                let (_, now) = self.mix_of(arm, &corpora, &self.stage(follower))?;
                if now.hash != self.store.record(follower)?.mixture.hash {
                    return Err(StoreError::Orphaned { folder: self.store.generation_dir(follower) }.into());
                }
            }
        }
        Ok(())
    }

    fn announce(&self, record: &GenerationRecord, stage: &Stage) {
        let key = stage.at("").key().clone();
        self.context.observer.observe(&Event::GenerationCommitted { key, summary: summary(record) });
    }

    pub(super) fn address<'b>(&self, arm: &'b Arm, generation: usize) -> Address<'b> {
        Address::of(self.experiment, self.seed, arm, generation)
    }

    fn stage(&self, address: Address) -> Stage<'a> {
        let key =
            StreamKey::new(self.seed, address.arm.unwrap_or(SHARED), address.generation, streams::MIXTURE);
        Stage::new(key, self.context.observer, self.context.interrupt)
    }

    /// What the generation before wrote, where an arm writes from it.
    fn previous(&self, arm: &Arm, generation: usize) -> Result<Option<Documents>, RunError> {
        let reads = self.experiment.at(arm, generation).synthesis.reads_previous();
        let earlier = generation.checked_sub(1).filter(|_| reads);
        Ok(earlier.map(|earlier| self.store.synthetic(self.address(arm, earlier))).transpose()?)
    }

    /// The text that a generation trains on, natural documents first.
    fn mix(
        &self,
        arm: &Arm,
        generation: usize,
        stage: &Stage,
    ) -> Result<(Documents, MixtureRecord), RunError> {
        let corpora = (0..generation)
            .map(|earlier| self.store.synthetic(self.address(arm, earlier)))
            .collect::<Result<Vec<_>, _>>()?;
        self.mix_of(arm, &corpora, stage)
    }

    /// The same, out of what each generation before it wrote.
    fn mix_of(
        &self,
        arm: &Arm,
        corpora: &[Documents],
        stage: &Stage,
    ) -> Result<(Documents, MixtureRecord), RunError> {
        let generation = corpora.len();
        let synthetic: Vec<Vec<usize>> = corpora.iter().map(lengths).collect();
        let pool = Pool { natural: &lengths(&self.natural), synthetic: &synthetic };
        let (budget, written) = (self.experiment.corpus.train_tokens, arm.synthesis.tokens);
        let plan = mixture::plan(&arm.mixture, generation, budget, written, pool, &mut stage.stream(0))
            .map_err(|source| RunError::Mixture { arm: arm.name.clone(), source })?;
        let natural = plan.natural.iter().map(|piece| &self.natural.get(piece.document)[..piece.tokens]);
        let written =
            plan.synthetic.iter().map(|(g, piece)| &corpora[*g].get(piece.document)[..piece.tokens]);
        let text: Documents = natural.chain(written).collect();
        let record = record_of(&arm.mixture, &plan, &text);
        Ok((text, record))
    }

    fn learner(&self, arm: &Arm, generation: usize) -> Box<dyn Learner> {
        let start = self.start(arm, generation);
        learner(&self.experiment.at(arm, generation), &self.prepared.tokenizer, start, self.context.device)
    }

    fn train(
        &self,
        arm: &Arm,
        address: Address,
        text: &Documents,
        stage: &Stage,
    ) -> Result<Trained, RunError> {
        let learner = self.learner(arm, address.generation);
        let minutes = self.experiment.at(arm, address.generation).training.checkpoint_minutes.0;
        let every = Duration::from_secs_f64(minutes * 60.0);
        let mut checkpoints = self.store.checkpoints(address, every);
        // Generation 0 is the same for every arm that trains alike, whether or not they share its corpus (see `twins`).
        let is_first = address.generation == 0;
        let key = StreamKey::new(
            self.seed,
            if is_first { SHARED } else { &arm.name },
            address.generation,
            streams::TRAINING,
        );
        let stage = stage.with_key(key);
        Ok(learner.fit(text, &mut checkpoints, &stage)?)
    }

    fn start(&self, arm: &Arm, generation: usize) -> Start {
        match &self.experiment.at(arm, generation).training.init {
            Init::Scratch => Start::Scratch,
            Init::Base { base } => Start::Base(base.clone()),
            Init::Chained { base } if generation == 0 => base.clone().map_or(Start::Scratch, Start::Base),
            Init::Chained { .. } => Start::Previous(self.store.model_dir(self.address(arm, generation - 1))),
        }
    }

    /// The model of generation 0; None for generation 0 itself.
    fn first_model(&self, arm: &Arm, generation: usize) -> Result<Option<Box<dyn LanguageModel>>, RunError> {
        if generation == 0 {
            return Ok(None);
        }
        let folder = self.store.model_dir(self.address(arm, 0));
        Ok(Some(model::load(&folder, self.context.device)?.model))
    }

    /// The corpus of a generation; selection asks `first`, the model of generation 0.
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
        let sources =
            Sources { natural: &natural, previous: previous.as_ref(), tokenizer: &self.prepared.tokenizer };
        let tokens = tokens_written(self.experiment, arm, generation);
        let synthesis = Synthesis { tokens, ..self.experiment.at(arm, generation).synthesis.clone() };
        synthesis::write_corpus(model, &synthesis, sources, first, &stage.at(streams::SYNTHESIS)).map_err(
            |source| {
                let of = self.address(arm, generation).arm;
                let arm = of.map_or("all arms".to_owned(), |arm| format!("arm \"{arm}\""));
                let place = format!("seed {}, {arm}, generation {generation}", self.seed);
                RunError::synthesis(source, place)
            },
        )
    }

    /// Measures a corpus and the model that wrote it, against the model of generation 0.
    fn measure(
        &self,
        model: &dyn LanguageModel,
        first: &dyn LanguageModel,
        documents: &Documents,
        stage: &Stage,
    ) -> Result<(Vec<Measurement>, Curves), RunError> {
        let prepared = self.prepared;
        let synthetic = documents.prefix(self.experiment.measured_tokens);
        let scoring = stage.at(streams::SCORING);
        scoring.begin(prepared.heldout.tokens().0 + synthetic.tokens().0, "tokens");
        let heldout_scores = model.score(&prepared.heldout, &scoring)?;
        let synthetic_scores_0 = first.score(&synthetic, &scoring)?;
        scoring.end();
        let inputs = Inputs {
            reference: &prepared.reference,
            synthetic: &synthetic,
            synthetic_texts: &prepared.tokenizer.decode_documents(&synthetic),
            heldout_scores: &heldout_scores,
            synthetic_scores_0: Some(&synthetic_scores_0),
            natural_training: Some(&self.known),
            heldout_floor: prepared.heldout_floor_nats.map(NatsPerToken),
            facts: &self.ask_facts(model, &stage.at(streams::FACTS))?,
        };
        Ok(measure::measure(&inputs, self.context.metrics, &stage.at(streams::MEASURING))?)
    }

    /// What the model still knows of the world's facts; nothing where there is no world.
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

/// The learner of an arm's model.
pub fn learner(arm: &Arm, tokenizer: &Tokenizer, start: Start, device: &Device) -> Box<dyn Learner> {
    let (vocab_size, special) = (tokenizer.vocab_size(), tokenizer.special());
    match &arm.model {
        Model::Ngram(ngram) => Box::new(NgramLearner { ngram: *ngram, vocab_size, special }),
        Model::Transformer(shape) => Box::new(transformer_learner(arm, shape, tokenizer, start, device)),
    }
}

/// The learner of a transformer.
pub(super) fn transformer_learner(
    arm: &Arm,
    shape: &Transformer,
    tokenizer: &Tokenizer,
    start: Start,
    device: &Device,
) -> TransformerLearner {
    TransformerLearner {
        architecture: shape.clone(),
        training: arm.training.clone(),
        vocab_size: tokenizer.vocab_size(),
        special: tokenizer.special(),
        sentinels: tokenizer.sentinels(),
        start,
        device: device.clone(),
    }
}

/// Tokens that an arm's training sees of a mixture that holds `held`.
#[must_use]
pub fn tokens_seen(arm: &Arm, tokenizer: &Tokenizer, held: Tokens) -> Tokens {
    match &arm.model {
        Model::Ngram(_) => held,
        Model::Transformer(shape) => {
            transformer_learner(arm, shape, tokenizer, Start::Scratch, &Device::Cpu).tokens_seen(held)
        }
    }
}

/// Tokens that a generation of an arm writes: `synthesis.tokens`, or more where the next generation trains on more. A
/// generation 0 that arms share writes enough for each of them; a last generation, only what is measured.
#[must_use]
pub fn tokens_written(experiment: &Experiment, arm: &Arm, generation: usize) -> Tokens {
    if generation == experiment.generations {
        return experiment.measured_tokens;
    }
    let is_shared = generation == 0 && experiment.shares_generation_0(arm);
    let writes_for =
        |other: &&Arm| other.name == arm.name || (is_shared && experiment.shares_generation_0(other));
    let budget = experiment.corpus.train_tokens;
    let needs =
        |other: &Arm| mixture::corpus_tokens(&other.mixture, generation + 1, budget, other.synthesis.tokens);
    experiment.arms.iter().filter(writes_for).map(needs).max().unwrap_or(arm.synthesis.tokens)
}

fn lengths(documents: &Documents) -> Vec<usize> {
    documents.iter().map(<[TokenId]>::len).collect()
}

fn record_of(mixture: &Mixture, plan: &Plan, text: &Documents) -> MixtureRecord {
    let mut synthetic_tokens = BTreeMap::new();
    for (generation, piece) in &plan.synthetic {
        synthetic_tokens.entry(*generation).or_insert(Tokens(0)).0 += piece.tokens as u64;
    }
    let which = match mixture.natural {
        NaturalDocuments::Fixed => "fixed",
        NaturalDocuments::Fresh => "fresh",
    };
    let how = match mixture.budget {
        Budget::Constant => "displaces synthetic text",
        Budget::Added => "added to synthetic text",
        Budget::Growing => "part of a growing pool",
    };
    let mut hasher = blake3::Hasher::new();
    for document in text.iter() {
        hasher.update(&(document.len() as u64).to_le_bytes());
        let bytes: Vec<u8> = document.iter().flat_map(|id| id.to_le_bytes()).collect();
        hasher.update(&bytes);
    }
    MixtureRecord {
        natural_tokens: plan.natural_tokens(),
        natural_documents: plan.natural.len() as u64,
        synthetic_tokens,
        synthetic_documents: plan.synthetic.len() as u64,
        natural: format!("{which}, {how}"),
        hash: hasher.finalize().to_hex().to_string(),
    }
}

/// What a log line says of a generation.
fn summary(record: &GenerationRecord) -> String {
    let shown = ["heldout_loss", "unigram_entropy", "tail_coverage"];
    let found = record.measurements.iter().filter(|one| shown.contains(&one.metric.as_str()));
    found.map(|one| format!("{} {:.3}", one.metric, one.value)).collect::<Vec<_>>().join(", ")
}
