//! The address of a generation (seed, arm and number), and its folder.

use crate::config::{Arm, Experiment};
use std::path::{Path, PathBuf};

/// One generation of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Address<'a> {
    /// The seed.
    pub seed: u64,
    /// The arm; `None` for the generation 0 that arms share.
    pub arm: Option<&'a str>,
    /// The generation.
    pub generation: usize,
}

impl<'a> Address<'a> {
    /// The address of a generation of `arm`. If the arm shares its generation 0 with other arms, the address of that
    /// generation names no arm.
    #[must_use]
    pub fn of(experiment: &Experiment, seed: u64, arm: &'a Arm, generation: usize) -> Self {
        let is_shared = generation == 0 && experiment.shares_generation_0(arm);
        Self { seed, arm: (!is_shared).then_some(arm.name.as_str()), generation }
    }

    /// Returns true if the store at `root` has this generation. Does not verify its contents.
    #[must_use]
    pub fn exists_in(&self, root: &Path) -> bool {
        self.folder(root).exists()
    }

    pub(super) fn folder(&self, root: &Path) -> PathBuf {
        let seed = root.join(format!("seed-{}", self.seed));
        let lineage = self.arm.map_or(seed.clone(), |arm| seed.join(arm));
        lineage.join(format!("gen-{:03}", self.generation))
    }
}
