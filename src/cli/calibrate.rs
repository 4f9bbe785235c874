//! `genloss calibrate`: the error rates of the verdict in experiments like this one.

use super::counts;
use super::machine::{self, MachineArgs};
use super::memory::ForceArgs;
use super::output::{self, OutputFormat, say};
use super::stop;
use crate::calibration::{self, ArmRates, Contrast, Proportion};
use crate::config::{self, Experiment};
use crate::lineage::{self, RunContext};
use crate::measure::Metrics;
use crate::progress::Silent;
use crate::seed::{SHARED, StreamKey, streams};
use crate::stage::Stage;
use crate::store::{self, RunRecord};
use crate::units::counted;
use crate::verdict::Observation;
use anyhow::{Context, Result, anyhow, bail, ensure};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::PathBuf;

/// Options of `genloss calibrate`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// An experiment file (its seeds are ignored), or the folder of a run or study with many seeds.
    #[arg(value_name = "FILE|DIR")]
    file: PathBuf,
    /// Change a setting: `training.tokens=200000`.
    #[arg(long = "set", value_name = "KEY.PATH=VALUE")]
    settings: Vec<String>,
    /// Number of seeds to run; more seeds give more precise rates [default: 200].
    #[arg(long, value_parser = counts::up_to_a_million)]
    seeds: Option<u64>,
    /// The first seed [default: 1].
    #[arg(long)]
    first_seed: Option<u64>,
    /// Numbers of seeds per experiment, separated by commas; each gives a row per arm [default: 1, 3 and 5, as far as there
    /// are seeds].
    #[arg(long, value_delimiter = ',')]
    per_experiment: Vec<usize>,
    /// Comparisons to draw for each arm and number of seeds.
    #[arg(long, default_value_t = 1000, value_parser = counts::up_to_a_million)]
    comparisons: u64,
    /// Output format.
    #[arg(long, value_enum, default_value = "table")]
    format: OutputFormat,
    #[command(flatten)]
    force: ForceArgs,
    #[command(flatten)]
    machine: MachineArgs,
}

impl Args {
    /// Runs the seeds, or reads them from a run, and prints the rates.
    pub fn exec(self) -> Result<()> {
        let (experiment, observed) = if self.file.is_dir() {
            let (experiment, observed) = self.read()?;
            self.check_sizes(observed.len() as u64)?;
            (experiment, observed)
        } else {
            self.check_sizes(self.seeds())?;
            self.observe()?
        };
        let sizes = self.sizes(observed.len());
        let contrasts = Contrast::all(&experiment);
        let comparisons = self.comparisons as usize;
        let rates_of = |&size: &usize| calibration::rates(&observed, &contrasts, size, comparisons);
        let rates: Vec<ArmRates> =
            machine::with_status_lines("judging experiments", || sizes.iter().flat_map(rates_of).collect());
        show(&rates, self.format)
    }

    /// Returns an error unless every number of seeds per experiment is from 1 to `seeds`, and occurs once.
    fn check_sizes(&self, seeds: u64) -> Result<()> {
        let mut seen = BTreeSet::new();
        if let Some(twice) = self.per_experiment.iter().find(|size| !seen.insert(**size)) {
            bail!("--per-experiment: {twice} is given twice; give each number of seeds once");
        }
        let unusable = self.per_experiment.iter().find(|&&size| size == 0 || size as u64 > seeds);
        let Some(size) = unusable else { return Ok(()) };
        let found = counted(seeds, "seed");
        bail!("--per-experiment {size}, of {found}: give sizes from 1 to {seeds}, or run more seeds")
    }

    fn seeds(&self) -> u64 {
        self.seeds.unwrap_or(200)
    }

    /// The numbers of seeds per experiment, of `seeds` seeds in all.
    fn sizes(&self, seeds: usize) -> Vec<usize> {
        match &self.per_experiment[..] {
            [] => [1, 3, 5].into_iter().filter(|&size| size <= seeds).collect(),
            given => given.to_vec(),
        }
    }

    /// Returns an error if the last seed is larger than an experiment file may have.
    fn seeds_to_run(&self) -> Result<Range<u64>> {
        const LARGEST: u64 = i64::MAX as u64;
        let (first, seeds) = (self.first_seed.unwrap_or(1), self.seeds());
        let end = first.checked_add(seeds).filter(|&end| end - 1 <= LARGEST);
        let end = end.with_context(|| {
            format!("--first-seed {first}: with {}, the last is above {LARGEST}", counted(seeds, "seed"))
        })?;
        Ok(first..end)
    }

    /// The experiment of a run or study, and the observations of its finished seeds, one list per seed.
    fn read(&self) -> Result<(Experiment, Vec<Vec<Observation>>)> {
        let is_for_a_file = !self.settings.is_empty() || self.seeds.is_some() || self.first_seed.is_some();
        ensure!(
            !is_for_a_file,
            "{}: the seeds of this run have been run already; --set, --seeds and --first-seed need an experiment file",
            self.file.display()
        );
        let [recorded] = <[RunRecord; 1]>::try_from(store::read_all(&self.file)?).map_err(|all| {
            let found = all.len();
            anyhow!(
                "{}: {found} experiments; export the one to judge into a study of its own",
                self.file.display()
            )
        })?;
        let generations = recorded.experiment.generations + 1;
        let unfinished: BTreeSet<u64> = recorded
            .lineages
            .iter()
            .filter(|lineage| lineage.generations.len() < generations)
            .map(|lineage| lineage.seed)
            .collect();
        if !unfinished.is_empty() {
            say(&format!("{} unfinished seeds are left out", unfinished.len()));
        }
        let mut by_seed: BTreeMap<u64, Vec<Observation>> = BTreeMap::new();
        for observation in recorded.observations() {
            if !unfinished.contains(&observation.seed) {
                by_seed.entry(observation.seed).or_default().push(observation);
            }
        }
        Ok((recorded.experiment, by_seed.into_values().collect()))
    }

    /// Runs the seeds. Returns the experiment and the observations, one list per seed.
    fn observe(&self) -> Result<(Experiment, Vec<Vec<Observation>>)> {
        let experiment = config::load(&self.file, &self.settings)?;
        let seeds = self.seeds_to_run()?;
        self.force.check(std::slice::from_ref(&experiment))?;
        let device = self.machine.open()?;
        let observer = machine::observer();
        let what = format!("{}: reading text and learning the tokenizer", experiment.name);
        let prepared = machine::with_status_lines(&what, || lineage::prepare(&experiment))?;
        let interrupt = stop::interrupt(stop::WhenAsked::KeepNothing)?;
        let provenance = self.machine.provenance();
        let context = RunContext {
            device: &device,
            observer: &Silent,
            interrupt: &interrupt,
            metrics: &Metrics::builtin(),
            provenance,
        };
        let key = StreamKey::new(seeds.start, SHARED, 0, streams::CALIBRATION);
        let stage = Stage::new(key, observer.as_ref(), &interrupt);
        let observed = calibration::observe(&experiment, &prepared, seeds, &context, &stage)?;
        Ok((experiment, observed))
    }
}

const HEADER: [&str; 11] = [
    "arm",
    "seeds",
    "comparisons",
    "called",
    "called at most",
    "by generation 3",
    "collapsed",
    "degraded",
    "stable",
    "intervals that cover",
    "seeds right",
];

/// A table row. Proportions are from 0 to 1, and None if there are no cases.
#[derive(Serialize)]
struct RatesRow<'a> {
    arm: &'a str,
    seeds: usize,
    comparisons: usize,
    called: Option<f64>,
    called_at_most: f64,
    called_by_generation_3: Option<f64>,
    collapsed: Option<f64>,
    degraded: Option<f64>,
    stable: Option<f64>,
    covered: Option<f64>,
    seeds_right: Option<f64>,
    seeds_right_of: usize,
}

impl<'a> RatesRow<'a> {
    fn new(rates: &'a ArmRates) -> Self {
        let share = |share: Proportion| (share.of > 0).then(|| share.value());
        Self {
            arm: &rates.arm,
            seeds: rates.seeds,
            comparisons: rates.comparisons,
            called: share(rates.called),
            called_at_most: rates.called.upper_bound(),
            called_by_generation_3: rates.called_by.get(2).copied().and_then(share),
            collapsed: share(rates.collapsed),
            degraded: share(rates.degraded),
            stable: share(rates.stable),
            // The interval of a single seed describes that seed only; it is not meant to cover the mean over seeds.
            covered: share(rates.covered).filter(|_| rates.seeds > 1),
            seeds_right: share(rates.seeds_estimate_right),
            seeds_right_of: rates.seeds_estimate_right.of,
        }
    }

    fn cells(&self) -> Vec<String> {
        let percent = |share: f64| format!("{:.1} %", 100.0 * share);
        let shown = |share: Option<f64>| share.map_or("–".to_owned(), percent);
        let right = self.seeds_right.map(|share| format!("{} of {}", percent(share), self.seeds_right_of));
        vec![
            self.arm.to_owned(),
            self.seeds.to_string(),
            self.comparisons.to_string(),
            shown(self.called),
            percent(self.called_at_most),
            shown(self.called_by_generation_3),
            shown(self.collapsed),
            shown(self.degraded),
            shown(self.stable),
            shown(self.covered),
            right.unwrap_or_else(|| "–".to_owned()),
        ]
    }
}

fn show(rates: &[ArmRates], format: OutputFormat) -> Result<()> {
    let rows: Vec<RatesRow> = rates.iter().map(RatesRow::new).collect();
    let cells = || rows.iter().map(RatesRow::cells).collect::<Vec<_>>();
    match format {
        OutputFormat::Json => output::json(&rates),
        OutputFormat::Table => output::emit(&output::table(&HEADER, &cells())),
        OutputFormat::Markdown => output::emit(&output::markdown(&HEADER, &cells())),
        OutputFormat::Csv => output::csv(rows.iter()),
    }
}
