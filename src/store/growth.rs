//! What an experiment may add to the one on record: seeds, arms and generations.
//!
//! Committed generations stay, with one exception. The last generation of a lineage writes no more text than is measured.
//! If later ones are added, it is *outgrown*: it is set aside, and made again from its own model with the text that the
//! next generation needs. It then is what it would have been in an experiment that had all generations from the start.

use super::{Address, OUTGROWN, StoreError, beside, disk};
use crate::config::{Arm, Experiment};
use crate::corpus::CorpusSource;
use std::path::{Path, PathBuf};

/// The experiment on record, enlarged as far as `wanted` only adds to it. If this equals `wanted`, nothing has changed that
/// committed generations depend on.
pub(super) fn enlarged(recorded: &Experiment, wanted: &Experiment) -> Experiment {
    // No result depends on what is expected.
    let mut enlarged = Experiment { expectations: wanted.expectations.clone(), ..recorded.clone() };
    if recorded.seeds.iter().all(|seed| wanted.seeds.contains(seed)) {
        enlarged.seeds.clone_from(&wanted.seeds);
    }
    if wanted.generations > recorded.generations {
        enlarged.generations = wanted.generations;
    }
    if recorded.arms.iter().all(|arm| named(&wanted.arms, &arm.name).is_some()) {
        let arms = wanted.arms.iter().map(|arm| named(&recorded.arms, &arm.name).unwrap_or(arm));
        enlarged.arms = arms.cloned().collect();
    }
    enlarged
}

/// The experiment on record, with the places of files where `wanted` has them. Their contents must be the same.
pub(super) fn moved(recorded: Experiment, wanted: &Experiment) -> Experiment {
    let mut moved = recorded;
    if let (CorpusSource::Files(_), CorpusSource::Files(_)) = (&moved.corpus.source, &wanted.corpus.source) {
        moved.corpus.source = wanted.corpus.source.clone();
    }
    if moved.tokenizer.path.is_some() && wanted.tokenizer.path.is_some() {
        moved.tokenizer.path.clone_from(&wanted.tokenizer.path);
    }
    moved
}

fn named<'a>(arms: &'a [Arm], name: &str) -> Option<&'a Arm> {
    arms.iter().find(|arm| arm.name == name)
}

/// Whether `wanted` has seeds, arms or generations that are not on record.
pub(super) fn is_larger(recorded: &Experiment, wanted: &Experiment) -> bool {
    wanted.seeds.len() > recorded.seeds.len()
        || wanted.arms.len() > recorded.arms.len()
        || wanted.generations > recorded.generations
}

/// A line for every generation that would have to write another number of tokens than it did, and cannot be made again,
/// because later ones were trained on it.
pub(super) fn rewritten(recorded: &Experiment, wanted: &Experiment) -> Vec<String> {
    let mut lines = Vec::new();
    for (arm, wanted_arm) in arms_of_both(recorded, wanted) {
        for generation in 0..recorded.generations {
            let (then, now) =
                (recorded.tokens_written(arm, generation), wanted.tokens_written(wanted_arm, generation));
            if then != now {
                lines.push(format!(
                    "arm \"{}\" would have written {now} tokens in generation {generation} instead of {then}",
                    arm.name
                ));
            }
        }
    }
    lines
}

/// Sets the committed generations at `root` aside that `wanted` outgrows.
pub(super) fn set_outgrown_aside(
    root: &Path,
    recorded: &Experiment,
    wanted: &Experiment,
) -> Result<(), StoreError> {
    let last = recorded.generations;
    for (arm, wanted_arm) in arms_of_both(recorded, wanted) {
        if wanted.tokens_written(wanted_arm, last) <= recorded.tokens_written(arm, last) {
            continue;
        }
        for &seed in &recorded.seeds {
            let folder = Address::of(recorded, seed, arm, last).folder(root);
            if folder.exists() {
                let aside = outgrown(&folder);
                disk::remove_dir(&aside)?;
                disk::rename_dir(&folder, &aside)?;
            }
        }
    }
    Ok(())
}

/// Where a generation is while it is outgrown and not yet made again.
pub(super) fn outgrown(folder: &Path) -> PathBuf {
    beside(folder, OUTGROWN)
}

fn arms_of_both<'a>(
    recorded: &'a Experiment,
    wanted: &'a Experiment,
) -> impl Iterator<Item = (&'a Arm, &'a Arm)> {
    recorded.arms.iter().filter_map(|arm| Some((arm, named(&wanted.arms, &arm.name)?)))
}
