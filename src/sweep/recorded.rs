//! Runs in folders: prepared there by one process, and taken up by others.

use super::{PreparedSweep, grouped};
use crate::config::Experiment;
use crate::lineage::{PreparedText, RunError};
use crate::store::{self, Provenance, Store, StoreError};
use std::path::{Path, PathBuf};

/// The runs in a folder: a single one, or those of a sweep.
#[derive(Debug)]
pub struct RecordedRuns {
    /// The folder of each run.
    pub folders: Vec<PathBuf>,
    /// The experiment of each run.
    pub experiments: Vec<Experiment>,
    /// Whether they are those of a sweep, each in a folder below the one that was given.
    pub are_of_sweep: bool,
}

impl RecordedRuns {
    /// Finds the runs in `root`.
    ///
    /// # Errors
    /// If there is none, or if an experiment cannot be read.
    pub fn find(root: &Path) -> Result<Self, StoreError> {
        let below = if store::is_store(root) { Vec::new() } else { store::stores_below(root) };
        let are_of_sweep = !below.is_empty();
        let folders = if are_of_sweep { below } else { vec![root.to_owned()] };
        let experiments = folders.iter().map(|folder| store::experiment(folder)).collect::<Result<_, _>>()?;
        Ok(Self { folders, experiments, are_of_sweep })
    }

    /// The runs with the text that workers need. It is removed when a finished run is closed.
    pub fn prepared(&self) -> Self {
        let is_prepared = |(folder, _): &(&PathBuf, &Experiment)| store::text_folder(folder).exists();
        let prepared = self.folders.iter().zip(&self.experiments).filter(is_prepared);
        let (folders, experiments) =
            prepared.map(|(folder, experiment)| (folder.clone(), experiment.clone())).unzip();
        Self { folders, experiments, are_of_sweep: self.are_of_sweep }
    }
}

impl<'a> PreparedSweep<'a> {
    /// Records every experiment in its folder, with its text, so that other processes can work on it. Experiments with
    /// the same text share its files.
    ///
    /// # Errors
    /// If a folder belongs to another experiment, if another process works on it and its records would have to change,
    /// or if the disk fails.
    pub fn save(&self, folders: &[PathBuf], provenance: &Provenance) -> Result<(), RunError> {
        let mut saved: Vec<Option<PathBuf>> = vec![None; self.texts.len()];
        for (index, (experiment, folder)) in self.experiments.iter().zip(folders).enumerate() {
            let text = self.text(index);
            let recorded = text.provenance(experiment, provenance.clone());
            let store = Store::open(folder, experiment, &recorded, &text.tokenizer_json)?;
            store.forget_failures(experiment)?;
            store.reopen_incomplete(experiment)?;
            let to = store::text_folder(folder);
            if !text.is_saved_in(&to) {
                match &saved[self.text_of[index]] {
                    Some(from) => store::share_text(from, &to)?,
                    None => text.save(&to)?,
                }
            }
            saved[self.text_of[index]] = Some(to);
        }
        Ok(())
    }

    /// The text that [`Self::save`] recorded in the folders of experiments.
    ///
    /// # Errors
    /// If a run was not prepared, or if its text cannot be read.
    pub fn load(experiments: &'a [Experiment], folders: &[PathBuf]) -> Result<Self, RunError> {
        let identity = |folder: &PathBuf| store::text_identity(&store::text_folder(folder));
        let identities = folders.iter().map(identity).collect::<Result<Vec<_>, _>>()?;
        let (groups, text_of) = grouped(&identities);
        let text = |group: &Vec<usize>| {
            let folder = &folders[group[0]];
            let tokenizer = Store::join(folder, store::LEASE)?.tokenizer_json().to_owned();
            PreparedText::load(&store::text_folder(folder), tokenizer)
        };
        Ok(Self { experiments, texts: groups.iter().map(text).collect::<Result<_, _>>()?, text_of })
    }
}
