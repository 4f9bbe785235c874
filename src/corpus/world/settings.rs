//! The table `[corpus.world]`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A built-in artificial language with a known distribution.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct WorldSettings {
    /// Seed of the language itself, which determines its lexicon and facts.
    pub seed: u64,
    /// Number of nouns in the lexicon. The other word classes scale with it.
    #[schemars(range(min = 10, max = 20_000))]
    pub nouns: usize,
    /// Number of entities that facts are about.
    #[schemars(range(min = 10, max = 20_000))]
    pub entities: usize,
    /// Number of relations of each entity.
    #[schemars(range(min = 1, max = 20))]
    pub relations: usize,
    /// Exponent of the Zipf–Mandelbrot distributions of words and entities.
    #[schemars(extend("exclusiveMinimum" = 0.0, "x-sensible" = {"minimum": 0.01, "maximum": 10.0, "why": "below, all words are equally frequent; above, a few are the whole language"}))]
    pub zipf_exponent: f64,
    /// Share of sentences that state a fact.
    #[schemars(extend("exclusiveMinimum" = 0.0, "exclusiveMaximum" = 1.0, "x-sensible" = {"minimum": 0.01, "maximum": 0.99, "why": "both kinds of sentence must occur"}))]
    pub fact_share: f64,
}

impl Default for WorldSettings {
    fn default() -> Self {
        Self { seed: 1, nouns: 600, entities: 150, relations: 4, zipf_exponent: 1.0, fact_share: 0.4 }
    }
}
