//! Random streams, one for each place in an experiment where random numbers are drawn.
//!
//! Every draw comes from a ChaCha8 stream whose key is the BLAKE3 hash of *where* the draw is made: seed, arm,
//! generation, the name of the stream ([`streams`]), and an item (a document, an epoch). This has two consequences.
//! First, an additional draw in one place never shifts the draws in another: a change in sampling, for example, cannot
//! alter an initialisation. Second, a stream is never saved but rebuilt from its key, so a resumed run draws the same
//! numbers as an uninterrupted one.
//!
//! An experiment may let its seeds differ in some [`Source`]s only. The streams of the other sources then are those of
//! seed 0, whatever the seed. This depends on no other seed of the experiment, so seeds can be added to a run.
//!
//! ```
//! use genloss::seed::{StreamKey, streams};
//! use rand::Rng;
//! let key = StreamKey::new(3, "anchored", 2, streams::SYNTHESIS);
//! let first: u64 = key.stream(0).random();
//! assert_eq!(first, key.stream(0).random::<u64>());
//! assert_ne!(first, key.stream(1).random::<u64>());
//! ```

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The generator of all draws. Its algorithm is named explicitly because its output must never change.
pub type Stream = ChaCha8Rng;

/// The key of a family of random streams, one for each item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamKey {
    /// The experiment's seed.
    pub seed: u64,
    /// The arm's name; [`SHARED`] for draws that all arms of a seed share.
    pub arm: String,
    /// The generation, from 0.
    pub generation: usize,
    /// The name of the stream: one of [`streams`], or another name in a program that adds its own.
    pub stage: &'static str,
    /// The sources whose streams depend on the seed.
    pub vary: Varied,
    /// The writer, from 0, of a generation that has several.
    pub writer: usize,
}

/// The seed of draws in which the seeds of an experiment do not differ.
const COMMON_SEED: u64 = 0;

/// A source of randomness.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// The initial weights of transformers.
    Initialisation,
    /// Which text is trained on, and in which order: the order of the natural documents, mixing, epochs, and gaps.
    Data,
    /// What is written, and all other draws: prompts, tokens, selection.
    Sampling,
}

impl Source {
    /// Every source.
    pub const ALL: [Self; 3] = [Self::Initialisation, Self::Data, Self::Sampling];

    /// The name in experiment files.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Initialisation => "initialisation",
            Self::Data => "data",
            Self::Sampling => "sampling",
        }
    }

    /// The source that the stream with this name belongs to.
    #[must_use]
    pub fn of(stage: &str) -> Self {
        match stage {
            streams::INITIALISATION => Self::Initialisation,
            streams::NATURAL_ORDER | streams::MIXTURE | streams::TRAINING | streams::GAPS => Self::Data,
            _ => Self::Sampling,
        }
    }
}

/// The sources of randomness in which seeds differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Varied {
    initialisation: bool,
    data: bool,
    sampling: bool,
}

impl Varied {
    /// Seeds differ in everything.
    pub const ALL: Self = Self { initialisation: true, data: true, sampling: true };

    /// Seeds differ in these sources.
    #[must_use]
    pub fn new(sources: &[Source]) -> Self {
        let [initialisation, data, sampling] = Source::ALL.map(|source| sources.contains(&source));
        Self { initialisation, data, sampling }
    }

    /// Whether seeds differ in `source`.
    #[must_use]
    pub fn has(self, source: Source) -> bool {
        match source {
            Source::Initialisation => self.initialisation,
            Source::Data => self.data,
            Source::Sampling => self.sampling,
        }
    }

    /// Names of the sources in which seeds differ (`true`) or do not differ (`false`), in the order of [`Source::ALL`].
    #[must_use]
    pub fn names(self, differ: bool) -> Vec<&'static str> {
        let sources = Source::ALL.into_iter().filter(|&source| self.has(source) == differ);
        sources.map(Source::name).collect()
    }
}

/// The arm name in the keys of draws that all arms of a seed share: generation 0 and the order of the natural
/// documents.
pub const SHARED: &str = "";

impl StreamKey {
    /// The key of the stream `stage` at a generation of an arm. Seeds differ in every stream.
    #[must_use]
    pub fn new(seed: u64, arm: &str, generation: usize, stage: &'static str) -> Self {
        Self { seed, arm: arm.to_owned(), generation, stage, vary: Varied::ALL, writer: 0 }
    }

    /// The key of the stream in an experiment whose seeds differ in some sources only.
    #[must_use]
    pub fn varying(self, vary: Varied) -> Self {
        Self { vary, ..self }
    }

    /// The key of the same stream of another writer of the generation.
    #[must_use]
    pub fn of_writer(&self, writer: usize) -> Self {
        Self { writer, ..self.clone() }
    }

    /// The key of another stream at the same generation.
    #[must_use]
    pub fn at(&self, stage: &'static str) -> Self {
        Self { stage, ..self.clone() }
    }

    /// The stream of item `item`.
    #[must_use]
    pub fn stream(&self, item: u64) -> Stream {
        let mut hasher = blake3::Hasher::new_derive_key("genloss random stream 1");
        let seed = if self.vary.has(Source::of(self.stage)) { self.seed } else { COMMON_SEED };
        hasher.update(&seed.to_le_bytes());
        hasher.update(&(self.arm.len() as u64).to_le_bytes());
        hasher.update(self.arm.as_bytes());
        hasher.update(&(self.generation as u64).to_le_bytes());
        hasher.update(&(self.stage.len() as u64).to_le_bytes());
        hasher.update(self.stage.as_bytes());
        hasher.update(&item.to_le_bytes());
        // Added only where it matters, so that the streams of earlier versions stay as they were.
        if self.writer > 0 {
            hasher.update(&(self.writer as u64).to_le_bytes());
        }
        ChaCha8Rng::from_seed(*hasher.finalize().as_bytes())
    }
}

/// Declares a constant for each name, and the list `ALL` of the names.
macro_rules! stream_names {
    ($($(#[$doc:meta])* $name:ident = $text:literal;)*) => {
        $($(#[$doc])* pub const $name: &str = $text;)*
        #[cfg(test)]
        pub(super) const ALL: &[&str] = &[$($text),*];
    };
}

/// The names of the random streams, each used in one place only. A name is part of the hashed key of its streams, so
/// changing the name changes every result that depends on them. Names marked "no draws" only label a stage in progress
/// output.
pub mod streams {
    stream_names! {
        /// The order in which a seed takes natural documents.
        NATURAL_ORDER = "natural order";
        /// Which documents a mixture takes.
        MIXTURE = "mixture";
        /// Initial weights of a transformer.
        INITIALISATION = "initialisation";
        /// The order of training text; the item is the epoch.
        TRAINING = "training";
        /// The documents of an epoch whose middle is moved to the end, and the position of the middle.
        GAPS = "gaps";
        /// The tokens of generated documents; the item is the document.
        SYNTHESIS = "synthesis";
        /// Prompts and source documents of generated documents.
        PROMPTS = "prompts";
        /// Which spans of a document are rewritten.
        SPANS = "spans";
        /// Importance resampling; the item is the document.
        SELECTION = "selection";
        /// Training documents of the detector of synthetic text.
        DETECTOR = "detector";
        /// No draws: scores of held-out and synthetic text.
        SCORING = "scoring";
        /// No draws: questions about the world's facts.
        FACTS = "facts";
        /// No draws: metrics.
        MEASURING = "measuring";
        /// No draws: the effect of an arm's decoder on held-out text.
        DECODING = "decoding";
        /// No draws: a check before a run.
        CHECK = "check";
        /// No draws: timing trials.
        TRIAL = "trial";

        /// The words of the built-in world.
        WORLD_LEXICON = "world lexicon";
        /// The facts of the built-in world.
        WORLD_FACTS = "world facts";
        /// The documents of the built-in world; the item is the document.
        WORLD_DOCUMENT = "world document";

        /// The stage of a simulation of drift.
        DRIFT = "drift";
        /// Natural data of a simulated lineage.
        DRIFT_NATURAL = "drift natural";
        /// Part of the natural data of a simulated lineage.
        DRIFT_NATURAL_SUBSET = "drift natural subset";
        /// Fresh natural data of a simulated generation.
        DRIFT_FRESH = "drift fresh";
        /// The corpus that a simulated generation writes.
        DRIFT_CORPUS = "drift corpus";
        /// The part of a pool that a simulated generation learns from.
        DRIFT_SUBSET = "drift subset";
        /// The text that a simulated generation is measured on.
        DRIFT_TEXT = "drift text";
        /// The design matrix of simulated regressions.
        DRIFT_DESIGN = "drift design";
        /// A second implementation that the simulator is compared with.
        DRIFT_TWIN = "drift twin";

        /// A fit of loss laws.
        FIT = "fit";
        /// Starting points of a fit.
        FIT_STARTS = "starts";
        /// Residuals that a bootstrap resamples.
        FIT_RESIDUALS = "residuals";
        /// Resampled experiments of a calibration.
        CALIBRATION = "calibration";

        /// The stage of `genloss verify`.
        VERIFY = "verify";
        /// Texts that metrics are verified on.
        VERIFY_METRICS = "verify metrics";
        /// Simulated experiments that the verdict is verified on.
        VERIFY_VERDICT = "verify verdict";
        /// A model that memorises its training text.
        VERIFY_MEMORISING = "verify memorising";
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::Rng;
    use std::collections::BTreeSet;

    #[test]
    fn every_part_of_a_key_changes_its_stream() {
        let base = StreamKey::new(1, "a", 1, streams::TRAINING);
        let others = [
            StreamKey::new(2, "a", 1, streams::TRAINING),
            StreamKey::new(1, "b", 1, streams::TRAINING),
            StreamKey::new(1, "a", 2, streams::TRAINING),
            base.at(streams::SYNTHESIS),
            base.of_writer(1),
        ];
        let draws: BTreeSet<u64> = others
            .iter()
            .chain([&base])
            .map(|key| key.stream(0).random())
            .chain([base.stream(1).random()])
            .collect();
        assert_eq!(draws.len(), 7);
    }

    #[test]
    fn seeds_differ_in_the_sources_that_vary_and_in_no_others() {
        let of_source = [
            (Source::Initialisation, vec![streams::INITIALISATION]),
            (Source::Data, vec![streams::NATURAL_ORDER, streams::MIXTURE, streams::TRAINING, streams::GAPS]),
            (
                Source::Sampling,
                vec![streams::PROMPTS, streams::SYNTHESIS, streams::SPANS, streams::SELECTION],
            ),
        ];
        for (varied, _) in &of_source {
            for (source, names) in &of_source {
                for name in names {
                    let draw = |seed| -> u64 {
                        let key = StreamKey::new(seed, "a", 1, name).varying(Varied::new(&[*varied]));
                        key.stream(0).random()
                    };
                    assert_eq!(draw(1) != draw(2), varied == source, "{name} where {varied:?} varies");
                }
            }
        }
        let key = StreamKey::new(3, "a", 1, streams::TRAINING);
        let all = Varied::new(&[Source::Data, Source::Sampling, Source::Initialisation]);
        assert_eq!(key.clone().varying(all), key);
    }

    #[test]
    fn no_two_streams_have_the_same_name() {
        let distinct: BTreeSet<&str> = streams::ALL.iter().copied().collect();
        assert_eq!(distinct.len(), streams::ALL.len());
    }

    /// The expected draw was computed independently: the key with another implementation of BLAKE3, and the draw from
    /// the definition of ChaCha8.
    #[test]
    fn a_stream_never_changes_between_versions() {
        let draw: u64 = StreamKey::new(1, "control", 0, streams::TRAINING).stream(7).random();
        assert_eq!(draw, 0xf9ca_c199_1fb2_3b26);
    }
}
