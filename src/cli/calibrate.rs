//! `genloss calibrate`: how often the verdict is wrong, in experiments like this one.

use super::output::{self, Format, say};
use super::surroundings::{self, MachineArgs};
use crate::calibration::{self, ArmRates, Share};
use crate::config;
use crate::lineage::{self, Surroundings};
use crate::progress::Silent;
use crate::seed::{Place, SHARED};
use crate::stage::Stage;
use crate::store;
use crate::verdict::Observation;
use anyhow::{Result, ensure};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Options of `genloss calibrate`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// An experiment file, whose own seeds do not count; or the folder of a run with many seeds.
    #[arg(value_name = "FILE|DIR")]
    file: PathBuf,
    /// Change a setting: `training.tokens=200000`.
    #[arg(long = "set", value_name = "KEY.PATH=VALUE")]
    settings: Vec<String>,
    /// Seeds to run: more seeds, surer rates.
    #[arg(long, default_value_t = 200)]
    seeds: u64,
    /// The first of them.
    #[arg(long, default_value_t = 1)]
    first_seed: u64,
    /// Seeds of an experiment.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 3, 5])]
    per_experiment: Vec<usize>,
    /// Comparisons of each arm, for each number of seeds.
    #[arg(long, default_value_t = 1000)]
    comparisons: usize,
    /// How to show it.
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
    #[command(flatten)]
    machine: MachineArgs,
}

impl Args {
    /// Runs the seeds, unless they were run before, and prints the rates.
    pub fn exec(self) -> Result<()> {
        let observed = if self.file.is_dir() { self.read()? } else { self.observe()? };
        for &size in &self.per_experiment {
            let fits = (1..=observed.len()).contains(&size);
            ensure!(fits, "--per-experiment {size}: give numbers from 1 to the {} seeds", observed.len());
        }
        let rates: Vec<ArmRates> = self
            .per_experiment
            .iter()
            .flat_map(|&size| calibration::rates(&observed, size, self.comparisons))
            .collect();
        show(&rates, self.format)
    }

    /// What a run holds, by seed.
    fn read(&self) -> Result<Vec<Vec<Observation>>> {
        let mut by_seed: BTreeMap<u64, Vec<Observation>> = BTreeMap::new();
        for observation in store::read(&self.file)?.observations() {
            by_seed.entry(observation.seed).or_default().push(observation);
        }
        Ok(by_seed.into_values().collect())
    }

    fn observe(&self) -> Result<Vec<Vec<Observation>>> {
        let experiment = config::load(&self.file, &self.settings)?;
        let device = self.machine.open()?;
        let observer = surroundings::observer();
        let interrupt = surroundings::interrupt()?;
        say(&format!("{}: reading text and learning the tokenizer", experiment.name));
        let prepared = lineage::prepare(&experiment)?;
        let provenance = self.machine.provenance();
        let surroundings =
            Surroundings { device: &device, observer: &Silent, interrupt: &interrupt, provenance };
        let place = Place::new(self.first_seed, SHARED, 0, "calibration");
        let stage = Stage::new(place, observer.as_ref(), &interrupt);
        let seeds = self.first_seed..self.first_seed.saturating_add(self.seeds);
        Ok(calibration::observe(&experiment, &prepared, seeds, &surroundings, &stage)?)
    }
}

const HEADER: [&str; 9] = [
    "arm",
    "seeds",
    "comparisons",
    "called",
    "at most",
    "by generation 3",
    "collapsed",
    "intervals that cover",
    "seeds right",
];

fn show(rates: &[ArmRates], format: Format) -> Result<()> {
    let percent = |share: f64| format!("{:.1} %", 100.0 * share);
    let shown = |share: Share| if share.of == 0 { "–".to_owned() } else { percent(share.value()) };
    let row = |rates: &ArmRates| {
        vec![
            rates.arm.clone(),
            rates.seeds.to_string(),
            rates.comparisons.to_string(),
            shown(rates.called),
            percent(rates.called.upper_bound()),
            rates.called_by.get(2).map_or("–".to_owned(), |&share| shown(share)),
            shown(rates.collapsed),
            shown(rates.covered),
            shown(rates.settled_as_said),
        ]
    };
    let rows: Vec<Vec<String>> = rates.iter().map(row).collect();
    match format {
        Format::Json => output::json(&rates),
        Format::Table => output::emit(&output::table(&HEADER, &rows)),
        Format::Markdown => output::emit(&output::markdown(&HEADER, &rows)),
        Format::Csv => output::csv(rows.iter()),
    }
}
