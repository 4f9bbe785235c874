//! Figures and an HTML page made of a run's records; nothing new is computed here.
//!
//! [`write()`] makes `report.html`, one self-contained page that loads nothing from elsewhere, and `figures/`, every figure
//! as SVG and PNG. Each of these is laid out once and drawn in both formats. With JavaScript the page draws interactive
//! figures of the same series instead, with plotly.js; without it, it shows the others. Text from a corpus and names from a
//! file are data: they are escaped in all output. The store writes every file atomically.
//!
//! ```
//! use genloss::{config::CONTROL, report, store, verdict};
//!
//! let study = store::read_all("generations/reference/quiet-collapse".as_ref())?;
//! let recorded = &study[0];
//! let (name, observations) = (&recorded.experiment.name, recorded.observations());
//! let comparisons = verdict::compare(name, &observations, CONTROL, &recorded.catalogue());
//! let svg = report::figure(recorded, &comparisons, "effects").expect("an arm was compared");
//! assert!(svg.starts_with("<svg"));
//! # Ok::<(), store::StoreError>(())
//! ```

mod document;
mod figures;
mod font;
mod laws;
mod page;
mod palette;
mod panel;
mod raster;
mod render;
mod scene;
mod series;

pub(crate) use document::document;
pub use laws::{FitTable, FitTopic, tables};

use crate::fit::Fitted;
use crate::store::{self, RunRecord, Sample, StoreError};
use crate::verdict::ArmComparison;
use maud::Markup;
use rayon::prelude::*;
use series::Series;
use std::path::{Path, PathBuf};

/// Error in writing a report.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// A file could not be written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The numbers of a fit could not be written as JSON.
    #[error("{}", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// The value that JSON cannot represent.
        source: serde_json::Error,
    },
    /// The folder for figures is a symbolic link, or is reached through one.
    #[error("{}: is a symbolic link, and figures are not written through one; remove it, or give another --out", path.display())]
    Link {
        /// The link.
        path: PathBuf,
    },
    /// A figure could not be drawn.
    #[error("drawing a figure")]
    Drawing(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// A figure that has been written to its files, with everything that the page shows of it.
struct DrawnFigure {
    topic: figures::Topic,
    svg: Markup,
    caption: String,
    /// Path of its files below the page's folder, without extension.
    file: String,
}

/// Writes the page and its figures into the folder `out`, which need not exist, and returns the path of the page.
///
/// The figures of a single experiment go to `figures/`. If there are several experiments, the figures of each go to
/// `figures/<experiment>/`. `comparisons` and `samples` may cover fewer arms than are recorded, or none.
///
/// # Errors
/// When a file cannot be written, or a figure cannot be drawn.
pub fn write(
    recorded: &[RunRecord],
    comparisons: &[ArmComparison],
    samples: &[Sample],
    out: &Path,
) -> Result<PathBuf, ReportError> {
    let mut sections = Vec::with_capacity(recorded.len());
    store::remove_unfinished(out)?;
    for (one, arms) in recorded.iter().zip(series::arms_of_all(recorded)) {
        let name = &one.experiment.name;
        let folder = if recorded.len() == 1 { "figures".to_owned() } else { format!("figures/{name}") };
        check_folder(out, &folder)?;
        let mut section = section(one, arms, comparisons, samples);
        section.figures = draw(one, &section.comparisons, out, &folder)?;
        sections.push(section);
    }
    let page = out.join("report.html");
    store::write_derived(&page, page::html(&sections).as_bytes())?;
    Ok(page)
}

/// The part of the page that is about `recorded`, without figures.
fn section<'a>(
    recorded: &'a RunRecord,
    arms: Vec<Series<'a>>,
    comparisons: &'a [ArmComparison],
    samples: &'a [Sample],
) -> page::ExperimentSection<'a> {
    let name = &recorded.experiment.name;
    let comparisons = comparisons.iter().filter(|comparison| comparison.experiment == *name).collect();
    let samples = samples.iter().filter(|sample| sample.experiment == *name).collect();
    page::ExperimentSection { recorded, arms, comparisons, samples, figures: Vec::new() }
}

/// The page that [`write()`] would write, without the static figures for readers without JavaScript, and without writing
/// any file.
#[must_use]
pub fn page(recorded: &[RunRecord], comparisons: &[ArmComparison], samples: &[Sample]) -> String {
    let all = recorded.iter().zip(series::arms_of_all(recorded));
    let sections = all.map(|(one, arms)| section(one, arms, comparisons, samples));
    page::html(&sections.collect::<Vec<_>>())
}

/// Checks that no folder on the way from `out` to `folder` is a link, because a link could lead to files of
/// somebody else. Then removes unfinished files that a killed process left in `folder`.
fn check_folder(out: &Path, folder: &str) -> Result<(), ReportError> {
    let mut path = out.to_owned();
    for part in Path::new(folder) {
        path.push(part);
        if path.is_symlink() {
            return Err(ReportError::Link { path });
        }
    }
    Ok(store::remove_unfinished(&path)?)
}

/// Draws every figure of an experiment into `out`/`folder`.
fn draw(
    recorded: &RunRecord,
    comparisons: &[&ArmComparison],
    out: &Path,
    folder: &str,
) -> Result<Vec<DrawnFigure>, ReportError> {
    let figures = figures::of_experiment(recorded, comparisons);
    figures.into_par_iter().map(|(topic, figure)| write_figure(topic, figure, out, folder)).collect()
}

/// Writes the page of laws fitted to `runs`, their figures, and `fit.json` with all numbers into the folder `out`,
/// which need not exist; returns the paths of the page and of `fit.json`.
///
/// # Errors
/// If a file cannot be written, or a figure cannot be drawn.
pub fn write_fit(fitted: &Fitted, runs: &[&str], out: &Path) -> Result<[PathBuf; 2], ReportError> {
    let numbers = out.join("fit.json");
    store::remove_unfinished(out)?;
    check_folder(out, "figures")?;
    let json = serde_json::to_vec_pretty(fitted)
        .map_err(|source| ReportError::Json { path: numbers.clone(), source })?;
    store::write_derived(&numbers, &json)?;
    let figures = figures::of_fit(fitted).into_iter();
    let drawn = figures.map(|figure| write_figure(figures::Topic::Laws, figure, out, "figures"));
    let drawn: Vec<DrawnFigure> = drawn.collect::<Result<_, ReportError>>()?;
    let page = out.join("report.html");
    store::write_derived(&page, page::fit(fitted, runs, &drawn).as_bytes())?;
    Ok([page, numbers])
}

/// The figure of an experiment that [`write()`] would put into `figures/<name>.svg`; None if there is no such figure, or
/// nothing on record to show in it.
#[must_use]
pub fn figure(recorded: &RunRecord, comparisons: &[ArmComparison], name: &str) -> Option<String> {
    let comparisons: Vec<&ArmComparison> = comparisons.iter().collect();
    let figures = figures::of_experiment(recorded, &comparisons).into_iter().map(|(_, figure)| figure);
    svg_called(name, figures)
}

/// The figure of fitted laws that [`write_fit`] would put into `figures/<name>.svg`, if there is one.
#[must_use]
pub fn fit_figure(fitted: &Fitted, name: &str) -> Option<String> {
    svg_called(name, figures::of_fit(fitted).into_iter())
}

fn svg_called(name: &str, mut figures: impl Iterator<Item = figures::Figure>) -> Option<String> {
    let found = figures.find(|figure| figure.name == name)?;
    Some(render::svg_file(&found.scene, &found.alt))
}

/// Writes a figure as SVG and PNG into `out`/`folder`.
fn write_figure(
    topic: figures::Topic,
    figure: figures::Figure,
    out: &Path,
    folder: &str,
) -> Result<DrawnFigure, ReportError> {
    let file = format!("{folder}/{}", figure.name);
    let path = out.join(&file);
    store::write_derived(
        &path.with_extension("svg"),
        render::svg_file(&figure.scene, &figure.alt).as_bytes(),
    )?;
    store::write_derived(&path.with_extension("png"), &render::png(&figure.scene)?)?;
    let svg = render::svg_element(&figure.scene, &figure.alt);
    Ok(DrawnFigure { topic, svg, caption: figure.caption, file })
}
