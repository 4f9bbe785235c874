//! Figures and a page out of what is on record: computes nothing new.
//!
//! [`write()`] makes `report.html`, one self-contained page without scripts or links to elsewhere, and `figures/`, every
//! figure of the page as SVG and PNG. Each figure is laid out once and drawn by one function onto either backend. Text
//! from a corpus and names from a file are data: they are escaped wherever they go. The
//! store writes them, so that a page is whole or does not exist.

mod figures;
mod laws;
mod page;
mod palette;
mod panel;
mod render;
mod scene;
mod series;

pub use laws::{Table, tables};

use crate::fit::Fitted;
use crate::store::{self, RunRecord, Sample, StoreError};
use crate::verdict::ArmComparison;
use rayon::prelude::*;
use std::path::{Path, PathBuf};

/// What can go wrong with a report.
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
        /// What cannot be written.
        source: serde_json::Error,
    },
    /// A figure could not be drawn.
    #[error("drawing a figure: {0}")]
    Drawing(String),
}

/// A figure as the page needs it.
struct Drawn {
    part: figures::Part,
    svg: String,
    caption: String,
    alt: String,
    file: String,
}

/// Writes the page and its figures into the folder `out`, which need not exist; the path of the page.
///
/// A single experiment's figures go to `figures/`; those of several to `figures/<experiment>/`. `comparisons` and
/// `samples` may cover fewer arms than are recorded, or none.
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
    for one in recorded {
        let name = &one.experiment.name;
        let folder = if recorded.len() == 1 { "figures".to_owned() } else { format!("figures/{name}") };
        let comparisons: Vec<&ArmComparison> = comparisons.iter().filter(|c| c.experiment == *name).collect();
        let samples = samples.iter().filter(|sample| sample.experiment == *name).collect();
        let drawn = draw(one, &comparisons, out, &folder)?;
        sections.push(page::Section { recorded: one, comparisons, samples, figures: drawn });
    }
    let page = out.join("report.html");
    store::write_derived(&page, page::html(&sections).into_string().as_bytes())?;
    Ok(page)
}

/// Draws every figure of an experiment into `out`/`folder`.
fn draw(
    recorded: &RunRecord,
    comparisons: &[&ArmComparison],
    out: &Path,
    folder: &str,
) -> Result<Vec<Drawn>, ReportError> {
    let figures = figures::all(recorded, comparisons);
    let drawn = figures.into_par_iter().map(|(part, figure)| {
        let file = format!("{folder}/{}", figure.name);
        let svg = put_figure(&figure, &out.join(&file))?;
        Ok(Drawn { part, svg, caption: figure.caption, alt: figure.alt, file })
    });
    drawn.collect()
}

/// Writes the page of laws fitted to `runs`, their figures, and `fit.json` with all numbers into the folder `out`, which
/// need not exist; the paths of page and numbers.
///
/// # Errors
/// When a file cannot be written, or a figure cannot be drawn.
pub fn write_fit(fitted: &Fitted, runs: &[&str], out: &Path) -> Result<[PathBuf; 2], ReportError> {
    let numbers = out.join("fit.json");
    let json = serde_json::to_vec_pretty(fitted)
        .map_err(|source| ReportError::Json { path: numbers.clone(), source })?;
    store::write_derived(&numbers, &json)?;
    let drawn = figures::of_fit(fitted).into_iter().map(|figure| {
        let file = format!("figures/{}", figure.name);
        let svg = put_figure(&figure, &out.join(&file))?;
        Ok(Drawn { part: figures::Part::Laws, svg, caption: figure.caption, alt: figure.alt, file })
    });
    let drawn: Vec<Drawn> = drawn.collect::<Result<_, ReportError>>()?;
    let page = out.join("report.html");
    store::write_derived(&page, page::fit(fitted, runs, &drawn).into_string().as_bytes())?;
    Ok([page, numbers])
}

/// Writes a figure as SVG and PNG to `path`, which has no ending; the SVG.
fn put_figure(figure: &figures::Figure, path: &Path) -> Result<String, ReportError> {
    let svg = render::svg(&figure.scene)?;
    store::write_derived(&path.with_extension("svg"), svg.as_bytes())?;
    store::write_derived(&path.with_extension("png"), &render::png(&figure.scene)?)?;
    Ok(svg)
}
