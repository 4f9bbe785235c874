//! `genloss verify`: checks results of this build against known values.

use super::machine::{self, MachineArgs};
use super::output::{self, OutputFormat, say};
use super::stop;
use crate::lineage::RunContext;
use crate::measure::Metrics;
use crate::progress::Silent;
use crate::seed::{SHARED, StreamKey, streams};
use crate::stage::Stage;
use crate::verify::{self, Check, CheckGroup, Fault, Thoroughness, VerifySettings};
use anyhow::{Result, bail, ensure};
use clap::ValueEnum;
use clap::builder::PossibleValue;

/// Options of `genloss verify`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Seed of the random draws; a sound build passes with any.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Fewer draws and no language models: seconds instead of half an hour.
    #[arg(long)]
    quick: bool,
    /// Run one group of checks only.
    #[arg(long, value_enum)]
    only: Option<CheckGroup>,
    /// Inject a fault into the simulator, to see that checks catch it.
    #[arg(long, value_enum, value_name = "FAULT")]
    inject: Option<Fault>,
    /// Output format.
    #[arg(long, value_enum, default_value = "table")]
    format: OutputFormat,
    #[command(flatten)]
    machine: MachineArgs,
}

impl ValueEnum for CheckGroup {
    fn value_variants<'a>() -> &'a [Self] {
        &Self::ALL
    }
    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(PossibleValue::new(self.name()))
    }
}

impl ValueEnum for Fault {
    fn value_variants<'a>() -> &'a [Self] {
        &Self::ALL
    }
    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(PossibleValue::new(self.name()))
    }
}

impl Args {
    /// Runs the checks and prints their outcomes.
    ///
    /// # Errors
    /// If a check fails.
    pub fn exec(self) -> Result<()> {
        let checks = self.checks()?;
        show(&checks, self.format)?;
        let failed = checks.iter().filter(|check| !check.passed).count();
        if failed > 0 {
            bail!("{failed} of {} checks failed", checks.len());
        }
        Ok(())
    }

    fn checks(&self) -> Result<Vec<Check>> {
        let runs_simulator = matches!(self.only, None | Some(CheckGroup::Oracles));
        ensure!(
            self.inject.is_none() || runs_simulator,
            "--inject breaks the simulator, which --only {} does not run; use --only oracles, or leave out --only",
            self.only.map_or("", CheckGroup::name)
        );
        let device = self.machine.open()?;
        let observer = machine::observer();
        let interrupt = stop::interrupt(stop::WhenAsked::KeepNothing)?;
        let provenance = self.machine.provenance();
        let context = RunContext {
            device: &device,
            observer: &Silent,
            interrupt: &interrupt,
            metrics: &Metrics::builtin(),
            provenance,
        };
        let thoroughness = if self.quick { Thoroughness::Quick } else { Thoroughness::Full };
        let plan = VerifySettings { seed: self.seed, thoroughness, fault: self.inject };
        let stage =
            Stage::new(StreamKey::new(self.seed, SHARED, 0, streams::VERIFY), observer.as_ref(), &interrupt);
        let mut findings = Vec::new();
        for group in CheckGroup::ALL.into_iter().filter(|group| self.only.is_none_or(|only| only == *group)) {
            say(&format!("verifying: {}", group.name()));
            findings.extend(verify::findings(group, &plan, &context, &stage)?);
        }
        Ok(verify::judge(findings))
    }
}

const HEADER: [&str; 6] = ["group", "check", "found", "expected", "z", "outcome"];

fn show(checks: &[Check], format: OutputFormat) -> Result<()> {
    let row = |check: &Check| {
        vec![
            check.group.name().to_owned(),
            check.name.clone(),
            check.found.clone(),
            check.expected.clone(),
            check.z.map_or("–".to_owned(), |z| format!("{z:.2}")),
            if check.passed { "pass" } else { "FAIL" }.to_owned(),
        ]
    };
    let rows = || checks.iter().map(row).collect::<Vec<_>>();
    match format {
        OutputFormat::Json => output::json(&checks),
        OutputFormat::Csv => output::csv(checks),
        OutputFormat::Table => output::emit(&output::table(&HEADER, &rows())),
        OutputFormat::Markdown => output::emit(&output::markdown(&HEADER, &rows())),
    }
}
