//! Notes for readers of results: what is missing in a run, and what does not belong to it.

use super::{Address, DRIFT, LineageRecord, Machine, RunRecord, StoreError, disk, open, study};
use crate::config::Experiment;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Remarks for readers of the results in `folder`, which is a run or a study: what is missing, which folders are not of
/// the experiment, whether machines differ, and in what seeds do not differ.
///
/// # Errors
/// If a folder cannot be listed.
pub fn notes(folder: &Path, recorded: &RunRecord) -> Result<Vec<String>, StoreError> {
    let mut notes = missing_generations(folder, recorded);
    notes.extend(missing_baseline(folder, recorded).filter(|_| recorded.is_finished()));
    if !study::is_study(folder) {
        notes.extend(foreign_folders(folder, &recorded.experiment)?);
    }
    notes.extend(several_machines(recorded));
    notes.extend(recorded.experiment.shared_by_seeds());
    Ok(notes)
}

fn missing_generations(folder: &Path, recorded: &RunRecord) -> Vec<String> {
    let experiment = &recorded.experiment;
    let per_lineage = experiment.generations + 1;
    let found = addresses(recorded, |lineage| lineage.generations.len());
    let all = addresses(recorded, |_| per_lineage);
    let mut notes = Vec::new();
    if found < all {
        notes.push(format!(
            "not finished: {found} of {all} generations are on record, and differences are computed from these"
        ));
    }
    for lineage in recorded.lineages.iter().filter(|lineage| lineage.generations.len() < per_lineage) {
        let Some(arm) = experiment.arms.iter().find(|arm| arm.name == lineage.arm) else { continue };
        let missing = lineage.generations.len();
        let exists = |g: &usize| Address::of(experiment, lineage.seed, arm, *g).exists_in(folder);
        if let Some(later) = (missing..per_lineage).find(exists) {
            notes.push(format!(
                "seed {}, arm \"{}\": generation {missing} is missing, so that generation {later} and those after it are \
                 left out; run again to repeat what is missing",
                lineage.seed, lineage.arm
            ));
        }
    }
    notes
}

/// The number of the first generations of every lineage; one that arms share counts once.
fn addresses(recorded: &RunRecord, generations: impl Fn(&LineageRecord) -> usize) -> usize {
    let experiment = &recorded.experiment;
    let of_lineage = |lineage: &LineageRecord| {
        let arm = experiment.arms.iter().find(|arm| arm.name == lineage.arm);
        let of_arm =
            |arm| (0..generations(lineage)).map(move |g| Address::of(experiment, lineage.seed, arm, g));
        arm.into_iter().flat_map(of_arm).collect::<Vec<_>>()
    };
    recorded.lineages.iter().flat_map(of_lineage).collect::<BTreeSet<Address>>().len()
}

/// A remark if the run has no baseline of drift alone.
fn missing_baseline(folder: &Path, recorded: &RunRecord) -> Option<String> {
    if recorded.baseline.is_some() {
        return None;
    }
    let empty = "so that differences are not split into sampling, decoding and misfit";
    Some(if study::is_study(folder) {
        format!(
            "the baseline of experiment \"{}\" is missing, {empty}; write it with genloss run, and export the run again",
            recorded.experiment.name
        )
    } else if folder.join(DRIFT).exists() {
        format!("{DRIFT} was computed for other settings, {empty}; genloss run writes it again")
    } else {
        format!("{DRIFT} is missing, {empty}; genloss run writes it again")
    })
}

/// A remark if there are folders of seeds, arms or generations that the experiment does not have.
fn foreign_folders(root: &Path, experiment: &Experiment) -> Result<Option<String>, StoreError> {
    let expected = expected_folders(root, experiment);
    let mut foreign: Vec<String> = Vec::new();
    for seed in disk::names(root)?.into_iter().filter(|name| name.starts_with("seed-")) {
        foreign.extend(foreign_below(root, &seed, &expected)?);
    }
    const SHOWN: usize = 5;
    let more = match foreign.len().saturating_sub(SHOWN) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    foreign.truncate(SHOWN);
    Ok((!foreign.is_empty()).then(|| {
        format!(
            "{}{more}: not of this experiment, and left out; see the seeds, arms and generations of experiment.toml, \
             or remove what does not belong here",
            foreign.join(", ")
        )
    }))
}

/// The folders of all generations of `experiment`, and the folders above them.
fn expected_folders(root: &Path, experiment: &Experiment) -> BTreeSet<PathBuf> {
    let mut expected = BTreeSet::new();
    for &seed in &experiment.seeds {
        for arm in &experiment.arms {
            for generation in 0..=experiment.generations {
                let folder = Address::of(experiment, seed, arm, generation).folder(root);
                let above = folder.ancestors().skip(1).take_while(|above| *above != root);
                expected.extend(above.map(Path::to_owned));
                expected.insert(folder);
            }
        }
    }
    expected
}

/// The folders at or below `name` that are not expected, by their paths below `root`. Hidden folders, in which a run
/// keeps unfinished work, are left out.
fn foreign_below(root: &Path, name: &str, expected: &BTreeSet<PathBuf>) -> Result<Vec<String>, StoreError> {
    let folder = root.join(name);
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    if !expected.contains(&folder) {
        return Ok(vec![name.to_owned()]);
    }
    if folder.file_name().is_some_and(|last| open::is_generation(&last.to_string_lossy())) {
        return Ok(Vec::new());
    }
    let mut foreign = Vec::new();
    for below in disk::names(&folder)?.into_iter().filter(|below| !below.starts_with('.')) {
        foreign.extend(foreign_below(root, &format!("{name}/{below}"), expected)?);
    }
    Ok(foreign)
}

/// A remark if generations were made with different vector instructions or devices.
fn several_machines(recorded: &RunRecord) -> Option<String> {
    let mut counts: BTreeMap<&Machine, usize> = BTreeMap::new();
    for machine in
        recorded.lineages.iter().flat_map(|one| &one.generations).filter_map(|one| one.machine.as_ref())
    {
        *counts.entry(machine).or_default() += 1;
    }
    let each: Vec<String> = counts.iter().map(|(machine, count)| format!("{count} with {machine}")).collect();
    (each.len() > 1).then(|| {
        format!(
            "generations were made with different vector instructions or devices, so the last bits of results may \
             differ: {}; to avoid this on a cluster, ask for one kind of processor, such as genloss submit … -- \
             --constraint=FEATURE (sinfo -o \"%N %f\" lists features)",
            each.join("; ")
        )
    })
}
