//! The studies below `generations/reference/`, each read once.

use anyhow::{Context, Result, ensure};
use genloss::fit::{self, FitSettings, Fitted};
use genloss::store::{self, RunRecord};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::rc::Rc;

/// The folder of the studies, and those that have been read or fitted so far.
pub struct Studies {
    folder: PathBuf,
    read: RefCell<BTreeMap<String, Rc<Vec<RunRecord>>>>,
    fitted: RefCell<BTreeMap<String, Rc<Fitted>>>,
}

impl Studies {
    pub fn new(folder: PathBuf) -> Self {
        Self { folder, read: RefCell::default(), fitted: RefCell::default() }
    }

    /// The experiments of a study.
    pub fn all(&self, study: &str) -> Result<Rc<Vec<RunRecord>>> {
        if let Some(known) = self.read.borrow().get(study) {
            return Ok(Rc::clone(known));
        }
        let folder = self.folder.join(study);
        ensure!(store::is_study(&folder), "{}: no such study", folder.display());
        let recorded = Rc::new(store::read_study(&folder)?);
        self.read.borrow_mut().insert(study.to_owned(), Rc::clone(&recorded));
        Ok(recorded)
    }

    /// Gives the only experiment of a study to `show`.
    pub fn with_single<T>(&self, study: &str, show: impl FnOnce(&RunRecord) -> Result<T>) -> Result<T> {
        match &self.all(study)?[..] {
            [single] => show(single),
            all => anyhow::bail!("{study} has {} experiments instead of one", all.len()),
        }
    }

    /// The laws that `genloss fit` fits to a study without further options.
    pub fn fit(&self, study: &str) -> Result<Rc<Fitted>> {
        if let Some(known) = self.fitted.borrow().get(study) {
            return Ok(Rc::clone(known));
        }
        let recorded = self.all(study)?;
        let settings = FitSettings { parameters: None, tokens: None, resamples: 1000, seed: 1 };
        let points = fit::points(&recorded, fit::last_generation(&recorded))?;
        let fitted = Rc::new(fit::fit(points, &settings).with_context(|| study.to_owned())?);
        self.fitted.borrow_mut().insert(study.to_owned(), Rc::clone(&fitted));
        Ok(fitted)
    }
}
