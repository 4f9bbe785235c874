//! From settings back to the file that says them: every default written out.

use super::file::{
    ArmTable, CorpusTable, ExperimentFile, FractionValue, InitValue, MethodValue, MixtureTable, MixtureValue,
    ModelKind, ModelTable, SeedValue, SourceValue, SynthesisTable, TokenizerTable, TrainingTable, WorldTable,
    WriterTable,
};
use super::settings::{
    Arm, Beam, Contrastive, Corpus, Decoding, Experiment, Init, Method, Mixture, Model, NaturalFraction,
    Source, Strategy, Synthesis, Tokenizer, Training, TrainingLength, Writer,
};
use crate::units::Tokens;
use toml::Table;

impl From<&Experiment> for ExperimentFile {
    fn from(experiment: &Experiment) -> Self {
        Self {
            name: experiment.name.clone(),
            seeds: experiment.seeds.clone(),
            generations: experiment.generations,
            corpus: (&experiment.corpus).into(),
            tokenizer: (&experiment.tokenizer).into(),
            model: (&experiment.model).into(),
            training: (&experiment.training).into(),
            synthesis: (&experiment.synthesis).into(),
            writer: experiment.writer.as_ref().map(WriterTable::from),
            measured_tokens: Some(experiment.measured_tokens.0),
            arms: experiment.arms.iter().map(ArmTable::from).collect(),
            grid: Table::new(),
        }
    }
}

impl From<&Corpus> for CorpusTable {
    fn from(corpus: &Corpus) -> Self {
        let (source, split, text_field, world) = match &corpus.source {
            Source::World(world) => {
                let table = WorldTable {
                    seed: Some(world.seed),
                    nouns: Some(world.nouns),
                    entities: Some(world.entities),
                    relations: Some(world.relations),
                    zipf_exponent: Some(world.zipf_exponent),
                    fact_share: Some(world.fact_share),
                };
                (SourceValue::World, None, None, Some(table))
            }
            Source::Files(files) => {
                let paths = SourceValue::Paths(files.paths.clone());
                (paths, Some(files.split), Some(files.text_field.clone()), None)
            }
        };
        Self {
            source,
            split,
            text_field,
            train_tokens: corpus.train_tokens.0,
            heldout_tokens: corpus.heldout_tokens.0,
            reference_tokens: corpus.reference_tokens.0,
            heldout_share: Some(corpus.heldout_share),
            reference_share: Some(corpus.reference_share),
            world,
        }
    }
}

impl From<&Tokenizer> for TokenizerTable {
    fn from(tokenizer: &Tokenizer) -> Self {
        match tokenizer {
            Tokenizer::Learn { vocab_size } => Self { vocab_size: Some(*vocab_size), path: None },
            Tokenizer::File { path } => Self { vocab_size: None, path: Some(path.clone()) },
        }
    }
}

impl From<&Model> for ModelTable {
    fn from(model: &Model) -> Self {
        match model {
            Model::Transformer(shape) => Self {
                kind: Some(ModelKind::Transformer),
                layers: Some(shape.layers),
                width: Some(shape.width),
                heads: Some(shape.heads),
                ffn: Some(shape.ffn),
                context: Some(shape.context),
                precision: Some(shape.precision),
                order: None,
            },
            Model::Ngram(shape) => {
                Self { kind: Some(ModelKind::Ngram), order: Some(shape.order), ..Self::default() }
            }
        }
    }
}

impl From<&Training> for TrainingTable {
    fn from(training: &Training) -> Self {
        let (tokens, epochs) = match training.length {
            TrainingLength::Tokens(Tokens(tokens)) => (Some(tokens), None),
            TrainingLength::Epochs(epochs) => (None, Some(epochs)),
        };
        let (init, base) = match &training.init {
            Init::Scratch => (InitValue::Scratch, None),
            Init::Chained { base } => (InitValue::Chained, base.clone()),
            Init::Base { base } => (InitValue::Base, Some(base.clone())),
        };
        Self {
            tokens,
            epochs,
            init: Some(init),
            base,
            batch: Some(training.batch),
            learning_rate: Some(training.learning_rate),
            warmup_fraction: Some(training.warmup_fraction),
            final_rate_fraction: Some(training.final_rate_fraction),
            weight_decay: Some(training.weight_decay),
            beta1: Some(training.beta1),
            beta2: Some(training.beta2),
            gradient_clip: Some(training.gradient_clip),
            fim_share: Some(training.fim_share),
            checkpoint_minutes: Some(training.checkpoint_minutes.0),
        }
    }
}

impl SynthesisTable {
    /// This table, and the keys that say what a document is written from.
    fn with_method(self, method: &Method) -> Self {
        let table = |method| Self { method: Some(method), ..self };
        match method {
            Method::Textbook => Self { seed: Some(SeedValue::Nothing), ..table(MethodValue::Textbook) },
            Method::Keywords { count } => Self {
                seed: Some(SeedValue::Keywords),
                keywords: Some(*count),
                ..table(MethodValue::Textbook)
            },
            Method::Continuation { prefix_tokens, prefix } => Self {
                prefix: Some(*prefix),
                prefix_tokens: Some(*prefix_tokens),
                ..table(MethodValue::Continuation)
            },
            Method::Rephrase { fidelity, span_tokens, view_tokens } => Self {
                fidelity: Some(*fidelity),
                span_tokens: Some(*span_tokens),
                view_tokens: Some(*view_tokens),
                ..table(MethodValue::Rephrase)
            },
            Method::TokenEdit { sharpness } => {
                Self { sharpness: Some(*sharpness), ..table(MethodValue::TokenEdit) }
            }
            Method::External { command, timeout_seconds } => Self {
                command: Some(command.clone()),
                timeout_seconds: Some(timeout_seconds.0),
                ..table(MethodValue::External)
            },
        }
    }
}

impl From<&Synthesis> for SynthesisTable {
    fn from(synthesis: &Synthesis) -> Self {
        let table = Self {
            tokens: Some(synthesis.tokens.0),
            max_document_tokens: Some(synthesis.max_document_tokens),
            selection: Some((&synthesis.selection).into()),
            ..Self::from(&synthesis.decoding)
        };
        table.with_method(&synthesis.method)
    }
}

impl From<&Strategy> for SynthesisTable {
    fn from(strategy: &Strategy) -> Self {
        match strategy.clone() {
            Strategy::TokenByToken(decoding) => {
                let Decoding { greedy, repetition_penalty, temperature, top_k, top_p, min_p, typical_p } =
                    decoding;
                Self {
                    greedy: Some(greedy),
                    repetition_penalty: Some(repetition_penalty),
                    temperature: Some(temperature),
                    top_k,
                    top_p,
                    min_p,
                    typical_p,
                    ..Self::default()
                }
            }
            Strategy::Beam(Beam { beams, length_penalty }) => {
                Self { beams: Some(beams), length_penalty: Some(length_penalty), ..Self::default() }
            }
            Strategy::Contrastive(Contrastive { k, alpha }) => {
                Self { contrastive_k: Some(k), contrastive_alpha: Some(alpha), ..Self::default() }
            }
        }
    }
}

impl From<&Writer> for WriterTable {
    fn from(writer: &Writer) -> Self {
        Self {
            model: Some((&writer.model).into()),
            training: Some((&writer.training).into()),
            // How much it writes is what the arms take of it.
            synthesis: Some(SynthesisTable { tokens: None, ..(&writer.synthesis).into() }),
        }
    }
}

impl From<&Arm> for ArmTable {
    fn from(arm: &Arm) -> Self {
        Self {
            name: arm.name.clone(),
            mixture: Some(MixtureValue::Settings((&arm.mixture).into())),
            model: Some((&arm.model).into()),
            training: Some((&arm.training).into()),
            synthesis: Some((&arm.synthesis).into()),
        }
    }
}

impl From<&Mixture> for MixtureTable {
    fn from(mixture: &Mixture) -> Self {
        Self {
            natural_fraction: Some(match &mixture.natural_fraction {
                NaturalFraction::Schedule(fractions) => FractionValue::Schedule(fractions.clone()),
                NaturalFraction::Proportional => FractionValue::Proportional,
            }),
            natural: Some(mixture.natural),
            synthetic: Some(mixture.synthetic),
            budget: Some(mixture.budget),
        }
    }
}
