//! The page of fitted laws: figures, tables, and the runs that they were fitted to.

use super::inline;
use crate::fit::Fitted;
use crate::report::DrawnFigure;
use crate::report::laws::{FitTable, tables};
use maud::{Markup, html};

/// The contents of the page.
pub(super) fn article(fitted: &Fitted, runs: &[&str], figures: &[DrawnFigure]) -> Markup {
    html! {
        article {
            header {
                p.kicker { "Model collapse, measured" }
                h1 { "Loss laws" }
                p { "How held-out loss falls with tokens and parameters, for each blend of natural and synthetic text." }
            }
            section { @for figure in figures { (inline(figure)) } }
            @for shown in &tables(fitted) { (table(shown)) }
            @if !fitted.notes.is_empty() {
                section { h2 { "Notes" } ul { @for note in &fitted.notes { li { (note) "." } } } }
            }
            section {
                h2 { "Fitted to" }
                p { (fitted.points.len()) " models of the runs below; every number is in fit.json." }
                details { summary { (runs.len()) " runs" } ul { @for run in runs { li { (run) } } } }
            }
        }
    }
}

fn table(FitTable { title, header, rows, below, .. }: &FitTable) -> Markup {
    html! {
        section {
            h2 { (title.as_deref().unwrap_or("The laws")) }
            div.scroll tabindex="0" role="group" aria-label="Table, scrolls sideways" {
                table.records {
                    thead { tr { @for name in *header { th { (name) } } } }
                    tbody { @for row in rows { tr { @for cell in row { td { (cell) } } } } }
                }
            }
            @if let Some(below) = below { p.sub { (below) } }
        }
    }
}
