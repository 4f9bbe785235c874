//! What can be seen of a run without reading its records: which generations are committed, and whether anything changed.

use super::manifest::{MANIFEST, Manifest};
use super::{Address, DRIFT, EXPERIMENT, LEASE, MEASUREMENTS, Sample, StoreError, UNITS, Unit};
use super::{claims_folder, disk, open, read, study};
use crate::claims::{ClaimState, Claims, Process};
use crate::config::Experiment;
use crate::measure::{Catalogue, Measurement, MetricDefinition};
use crate::verdict::Observation;
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Which generations of a run are committed. Nothing is verified.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Glance {
    /// All generations of the experiment; one that arms share counts once.
    pub generations: u64,
    /// Those that are committed.
    pub done: u64,
    /// Whether there is a file with the baseline.
    pub has_baseline: bool,
    /// The number of committed generations of every lineage with later generations, by seed and arm.
    pub lineages: BTreeMap<(u64, String), usize>,
}

impl Glance {
    /// Looks at the run at `root`, with one listing of each lineage's folder.
    #[must_use]
    pub fn of(root: &Path, experiment: &Experiment) -> Self {
        let mut glance = Self { has_baseline: root.join(DRIFT).exists(), ..Self::default() };
        let mut listed: BTreeMap<PathBuf, BTreeSet<String>> = BTreeMap::new();
        for unit in Unit::all(experiment) {
            for arm in &unit.arms {
                glance.lineages.insert((unit.seed, arm.clone()), 0);
            }
            for address in unit.addresses(experiment) {
                glance.generations += 1;
                let folder = address.folder(root);
                let (Some(lineage), Some(name)) = (folder.parent(), folder.file_name()) else { continue };
                let names = listed
                    .entry(lineage.to_owned())
                    .or_insert_with(|| disk::names(lineage).unwrap_or_default().into_iter().collect());
                if !names.contains(&*name.to_string_lossy()) {
                    continue;
                }
                glance.done += 1;
                let lineage = address.arm.map(|arm| (unit.seed, arm.to_owned()));
                if let Some(committed) = lineage.and_then(|lineage| glance.lineages.get_mut(&lineage)) {
                    *committed += usize::from(address.generation > 0);
                }
            }
        }
        glance
    }
}

/// When the files and folders of a run changed in which a generation is committed or an attempt is noted. The contents
/// of live files are not among them.
#[must_use]
pub fn changed(root: &Path) -> BTreeMap<PathBuf, SystemTime> {
    let lineages = open::lineage_folders(root).unwrap_or_default();
    let others = [root.join(EXPERIMENT), root.join(DRIFT), claims_folder(root), root.join(UNITS)];
    let time =
        |path: PathBuf| fs::metadata(&path).and_then(|found| found.modified()).ok().map(|time| (path, time));
    lineages.into_iter().chain(others).filter_map(time).collect()
}

/// A number that changes when a record of a run or study is written, changed or removed. Files are not read.
#[must_use]
pub fn stamp(root: &Path) -> u64 {
    let paths_in =
        |folder: &Path| fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let lineages = open::lineage_folders(root).unwrap_or_default();
    let generations = lineages.iter().flat_map(|folder| paths_in(folder));
    let records = generations.flat_map(|folder| [folder.join(MEASUREMENTS), folder.join(MANIFEST)]);
    let experiments = paths_in(&root.join(study::EXPERIMENTS));
    let mut files: Vec<(PathBuf, u64, Option<SystemTime>)> = paths_in(root)
        .chain(experiments)
        .chain(records)
        .filter_map(|path| {
            let found = fs::metadata(&path).ok().filter(|found| found.is_file())?;
            Some((path, found.len(), found.modified().ok()))
        })
        .collect();
    files.sort();
    let mut hasher = DefaultHasher::new();
    files.hash(&mut hasher);
    hasher.finish()
}

/// The claims on the units of a run, for a process that only reads.
#[derive(Debug)]
pub struct ClaimsSeen(Claims);

impl ClaimsSeen {
    /// The claims on the run at `root`.
    #[must_use]
    pub fn new(root: &Path) -> Self {
        Self(Claims::read_only(&claims_folder(root), Process::this(), LEASE))
    }

    /// The state of every unit that was ever claimed; nothing if that cannot be read.
    #[must_use]
    pub fn survey(&self, root: &Path) -> BTreeMap<Unit, ClaimState> {
        open::survey(&self.0, root).unwrap_or_default()
    }
}

/// The part of a [`super::GenerationRecord`] that verdicts take.
#[derive(Deserialize)]
struct MeasurementsOnly {
    measurements: Vec<Measurement>,
    #[serde(default)]
    metrics: Vec<MetricDefinition>,
}

/// What the verdict takes, of the committed generations of a run: see [`super::RunRecord::observations`]. The curves are
/// compared with their hash but not kept, so this is for an overview of many runs.
///
/// # Errors
/// If a file cannot be read or was changed after it was written.
pub fn observations(
    root: &Path,
    experiment: &Experiment,
) -> Result<(Vec<Observation>, Catalogue), StoreError> {
    let (mut observations, mut catalogue) = (Vec::new(), Catalogue::builtin());
    let mut unknown: BTreeMap<String, String> = BTreeMap::new();
    read::provenance(root)?;
    read::baseline(root, experiment)?;
    for &seed in &experiment.seeds {
        for arm in &experiment.arms {
            for generation in usize::from(experiment.writer.is_some())..=experiment.generations {
                let address = Address::of(experiment, seed, arm, generation);
                if !address.exists_in(root) {
                    break;
                }
                let folder = address.folder(root);
                Manifest::read(&folder, address)?.check(&folder, MEASUREMENTS)?;
                let read = measurements(&folder.join(MEASUREMENTS))?;
                read.metrics.iter().for_each(|definition| catalogue.add_if_new(definition));
                for Measurement { metric, unit, value, std_err, .. } in read.measurements {
                    unknown.entry(metric.clone()).or_insert(unit);
                    observations.push(Observation {
                        seed,
                        arm: arm.name.clone(),
                        generation,
                        metric,
                        value,
                        std_err,
                    });
                }
            }
        }
    }
    unknown.iter().for_each(|(metric, unit)| catalogue.add_unknown(metric, unit));
    Ok((observations, catalogue))
}

fn measurements(path: &Path) -> Result<MeasurementsOnly, StoreError> {
    let json = |source| StoreError::Json { path: path.to_owned(), source };
    serde_json::from_str(&disk::read_text(path)?).map_err(json)
}

/// The first `most` synthetic documents of one committed generation; `None` if its corpus is not on record.
///
/// # Errors
/// If the corpus cannot be read or was changed after it was written.
pub fn sample(
    root: &Path,
    experiment: &Experiment,
    seed: u64,
    arm: &str,
    generation: usize,
    most: usize,
) -> Result<Option<Sample>, StoreError> {
    let Some(arm) = experiment.arms.iter().find(|one| one.name == arm) else { return Ok(None) };
    read::sample(root, experiment, seed, arm, generation, most)
}
