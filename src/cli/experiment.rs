//! Arguments of commands that read an experiment file.

use crate::config::{self, ConfigError, Expectation, Experiment, Sweep};
use crate::lineage::RunError;
use crate::measure::Catalogue;
use crate::settings;
use std::path::PathBuf;

/// An experiment file and settings that override it.
#[derive(Debug, clap::Args)]
pub struct ExperimentArgs {
    /// The experiment file.
    pub file: PathBuf,
    /// Change a setting: training.tokens=200000, arm.anchored.mixture.natural_fraction=0.2,
    /// 'grid.model.width=[32, 64]'.
    #[arg(long = "set", value_name = "KEY.PATH=VALUE")]
    settings: Vec<String>,
}

impl ExperimentArgs {
    /// The experiment of a file without a grid.
    pub fn load(&self) -> Result<Experiment, ConfigError> {
        let experiment = config::load(&self.file, &self.settings)?;
        self.check_expected_metrics(&experiment)?;
        Ok(experiment)
    }

    /// The experiments of a file with a grid; None if the file has no grid.
    pub fn load_sweep(&self) -> Result<Option<Sweep>, ConfigError> {
        let sweep = config::load_sweep(&self.file, &self.settings)?;
        // All experiments of a sweep expect the same.
        let mut first = sweep.iter().flat_map(|sweep| sweep.experiments.first());
        first.try_for_each(|experiment| self.check_expected_metrics(experiment))?;
        Ok(sweep)
    }

    /// If an error is about a setting, adds the `--set` that gave it, or its position in the experiment file; returns
    /// other errors unchanged.
    pub fn located(&self, error: anyhow::Error) -> anyhow::Error {
        let setting = error.chain().find_map(|cause| match cause.downcast_ref::<RunError>() {
            Some(RunError::Setting { key, .. }) => Some(key.clone()),
            Some(_) | None => setting_in(&cause.to_string()),
        });
        let sets = |given: &&String| {
            let path = given.split_once('=').map(|(path, _)| path.trim());
            path.is_some() && path == setting.as_deref()
        };
        if let Some(given) = self.settings.iter().rfind(sets) {
            return error.context(format!("--set {given}"));
        }
        match setting.and_then(|key| self.position(&key)) {
            Some(position) => error.context(position),
            None => error,
        }
    }

    /// Checks that there are the metrics of which numbers are expected.
    fn check_expected_metrics(&self, experiment: &Experiment) -> Result<(), ConfigError> {
        let catalogue = Catalogue::builtin();
        let is_unknown = |expected: &Expectation| catalogue.get(&expected.metric).is_none();
        let Some(place) = experiment.expectations.iter().position(is_unknown) else { return Ok(()) };
        let metric = &experiment.expectations[place].metric;
        let ids = catalogue.iter().map(|definition| &*definition.id);
        let advice = settings::nearest(metric, ids)
            .map_or("docs/METRICS.md has them all".to_owned(), |nearest| {
                format!("the nearest is \"{nearest}\"")
            });
        let message = format!("there is no metric \"{metric}\"; {advice}");
        let key = "expect".to_owned();
        // Of several tables with this name, only the first has a position in the file.
        let in_file = self.position(&key).filter(|_| place == 0);
        let position = in_file.or_else(|| Some(self.file.display().to_string()));
        Err(ConfigError::Setting { position, key, message })
    }

    /// Where the experiment file has a setting: `file:line:column`.
    fn position(&self, key: &str) -> Option<String> {
        let text = std::fs::read_to_string(&self.file).ok()?;
        config::position(&text, &self.file.display().to_string(), key).ok()
    }
}

/// The setting that a message begins with: `corpus: …`, `synthesis.command: …`.
fn setting_in(message: &str) -> Option<String> {
    const TABLES: [&str; 5] = ["corpus", "tokenizer", "model", "training", "synthesis"];
    let key = message.split_once(": ")?.0;
    let is_key = TABLES.contains(&key.split('.').next()?)
        && key.chars().all(|c| c.is_ascii_lowercase() || matches!(c, '_' | '.'));
    is_key.then(|| key.to_owned())
}
