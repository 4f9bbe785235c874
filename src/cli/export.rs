//! `genloss export`: writes runs as Parquet tables, or as what another program reads.

use super::{compare, machine, output};
use crate::interop::models::Wanted;
use crate::interop::{dataset, mlflow, models, tensorboard};
use crate::lineage::{KeptTexts, PreparedText};
use crate::store::{self, RunRecord};
use anyhow::{Result, bail, ensure};
use clap::ValueEnum;
use std::path::{Path, PathBuf};

/// Options of `genloss export`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Folders of runs: one experiment each, such as the cells of a sweep.
    #[arg(required = true, value_name = "DIR")]
    folders: Vec<PathBuf>,
    /// What to write.
    #[arg(long, value_enum, default_value = "study", value_name = "FORM")]
    to: ExportForm,
    /// Where to write it: a folder that does not exist yet, or is empty; for TensorBoard any folder.
    #[arg(long, value_name = "FOLDER")]
    out: PathBuf,
    /// Leave out the natural text of a dataset.
    #[arg(long)]
    without_natural: bool,
    /// Only models of this arm.
    #[arg(long)]
    arm: Option<String>,
    /// Only models of this seed.
    #[arg(long)]
    seed: Option<u64>,
    /// Only models of this generation.
    #[arg(long)]
    generation: Option<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum ExportForm {
    /// Parquet tables of all measurements, which compare, inspect, fit and report read like a run.
    Study,
    /// A log folder of TensorBoard: metrics, loss curves, histograms of ranks, documents.
    Tensorboard,
    /// A folder of Hugging Face datasets: natural text and every corpus, with a data card.
    Dataset,
    /// Model folders with model cards.
    Models,
    /// A file store of MLflow: settings, metrics, verdicts.
    Mlflow,
}

impl Args {
    /// Writes the folder and prints its path.
    pub fn exec(self) -> Result<()> {
        self.check_options()?;
        let recorded = compare::read_with_folders(&self.folders)?;
        match self.to {
            ExportForm::Study => {
                let recorded: Vec<_> = recorded.into_iter().map(|(_, recorded)| recorded).collect();
                store::export(&recorded, &self.out)?;
            }
            ExportForm::Tensorboard => {
                for (folder, recorded) in &recorded {
                    tensorboard::export(folder, recorded, &self.out)?;
                }
            }
            ExportForm::Dataset => {
                let (folder, recorded) = one_run(&recorded)?;
                let comparisons = compare::comparisons(recorded);
                let natural = if self.without_natural { None } else { Some(natural_text(folder, recorded)?) };
                dataset::export(folder, recorded, &comparisons, natural.as_ref(), &self.out)?;
            }
            ExportForm::Models => {
                let (folder, recorded) = one_run(&recorded)?;
                let wanted = Wanted { arm: self.arm, seed: self.seed, generation: self.generation };
                models::export(folder, recorded, &compare::comparisons(recorded), &wanted, &self.out)?;
            }
            ExportForm::Mlflow => {
                let with_comparisons = |(folder, recorded)| {
                    let comparisons = compare::comparisons(&recorded);
                    (folder, recorded, comparisons)
                };
                let all: Vec<mlflow::Exported> = recorded.into_iter().map(with_comparisons).collect();
                mlflow::export(&all, &self.out)?;
            }
        }
        output::emit(&format!("{}\n", self.out.display()))
    }

    /// An error if an option is given that the form has no use for.
    fn check_options(&self) -> Result<()> {
        let of_models = [
            ("--arm", self.arm.is_some()),
            ("--seed", self.seed.is_some()),
            ("--generation", self.generation.is_some()),
        ];
        let given = of_models.iter().find(|(_, is_given)| *is_given && self.to != ExportForm::Models);
        if let Some((option, _)) = given {
            bail!("{option}: chooses models; add --to models, or leave it out");
        }
        ensure!(
            !self.without_natural || self.to == ExportForm::Dataset,
            "--without-natural: is about a dataset; add --to dataset, or leave it out"
        );
        Ok(())
    }
}

/// The only run among those read.
fn one_run<'a>(recorded: &'a [(&'a Path, RunRecord)]) -> Result<(&'a Path, &'a RunRecord)> {
    let [(folder, recorded)] = recorded else {
        bail!("a dataset or a folder of models is made of one run; give one DIR at a time");
    };
    ensure!(
        !store::is_study(folder),
        "{}: a study has neither text nor models; give the folder of the run that it was exported from",
        folder.display()
    );
    Ok((folder, recorded))
}

/// The natural text of a run, read again from where it came from.
fn natural_text(folder: &Path, recorded: &RunRecord) -> Result<PreparedText> {
    let what = format!("{}: reading its natural text again", folder.display());
    let prepared = machine::with_status_lines(&what, || {
        KeptTexts::beside(folder).prepare_together(&[&recorded.experiment])
    });
    prepared.map_err(|error| {
        anyhow::Error::from(error).context(format!(
            "{}: its natural text is needed; restore it, or leave it out with --without-natural",
            folder.display()
        ))
    })
}
