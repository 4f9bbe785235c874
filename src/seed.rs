//! One named random stream per place in an experiment.
//!
//! Every draw of genloss comes from a ChaCha8 stream whose key is the BLAKE3 hash of *where* the draw is made: seed,
//! arm, generation, stage, and an item within the stage (a document, an epoch). Two things follow. Adding a draw in
//! one place never shifts the draws of another, so a change in sampling cannot alter an initialisation. And a
//! stream is rebuilt from its name, never saved, so a resumed run draws what an undisturbed one would have drawn.
//!
//! ```
//! use genloss::seed::Place;
//! use rand::Rng;
//! let place = Place::new(3, "anchored", 2, "synthesis");
//! let first: u64 = place.stream(0).random();
//! assert_eq!(first, place.stream(0).random::<u64>());
//! assert_ne!(first, place.stream(1).random::<u64>());
//! ```

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

/// The generator behind every draw, named by its algorithm because its output must never change.
pub type Stream = ChaCha8Rng;

/// Where in an experiment a draw is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The experiment's seed.
    pub seed: u64,
    /// The arm's name; [`SHARED`] for what all arms of a seed have in common.
    pub arm: String,
    /// The generation.
    pub generation: usize,
    /// The stage: `"initialisation"`, `"training"`, `"synthesis"`, …
    pub stage: &'static str,
}

/// The arm name of what all arms of a seed share: generation 0 and the order of the natural documents.
pub const SHARED: &str = "";

impl Place {
    /// Names a place.
    #[must_use]
    pub fn new(seed: u64, arm: &str, generation: usize, stage: &'static str) -> Self {
        Self { seed, arm: arm.to_owned(), generation, stage }
    }

    /// The same place at another stage.
    #[must_use]
    pub fn at(&self, stage: &'static str) -> Self {
        Self { stage, ..self.clone() }
    }

    /// The stream of item `item` at this place.
    #[must_use]
    pub fn stream(&self, item: u64) -> Stream {
        let mut hasher = blake3::Hasher::new_derive_key("genloss random stream 1");
        hasher.update(&self.seed.to_le_bytes());
        hasher.update(&(self.arm.len() as u64).to_le_bytes());
        hasher.update(self.arm.as_bytes());
        hasher.update(&(self.generation as u64).to_le_bytes());
        hasher.update(&(self.stage.len() as u64).to_le_bytes());
        hasher.update(self.stage.as_bytes());
        hasher.update(&item.to_le_bytes());
        ChaCha8Rng::from_seed(*hasher.finalize().as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::Rng;
    use std::collections::BTreeSet;

    #[test]
    fn every_part_of_a_place_changes_its_stream() {
        let base = Place::new(1, "a", 1, "training");
        let others = [
            Place::new(2, "a", 1, "training"),
            Place::new(1, "b", 1, "training"),
            Place::new(1, "a", 2, "training"),
            base.at("synthesis"),
        ];
        let draws: BTreeSet<u64> = others
            .iter()
            .chain([&base])
            .map(|place| place.stream(0).random())
            .chain([base.stream(1).random()])
            .collect();
        assert_eq!(draws.len(), 6);
    }

    /// The key by another implementation of BLAKE3, the draw by ChaCha8 worked out from its definition.
    #[test]
    fn a_stream_never_changes_between_versions() {
        let draw: u64 = Place::new(1, "control", 0, "training").stream(7).random();
        assert_eq!(draw, 0xf9ca_c199_1fb2_3b26);
    }
}
