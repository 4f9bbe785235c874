//! The pages: the list of runs, and the report pages with what runs do now above them.

use super::now::{Now, badge, generations, gone, query_value};
use super::runs::{Run, RunState, Runs};
use super::verdicts::{ArmVerdict, Verdicts};
use crate::report;
use crate::store::{self, RunRecord, Sample, StoreError};
use crate::terminal::printable;
use crate::verdict::Verdict;
use maud::{Markup, PreEscaped, html};
use std::path::Path;
use std::time::UNIX_EPOCH;

/// Synthetic documents on a page per generation.
const SAMPLES: usize = 3;

const CSS: &str = include_str!("watch.css");
const SCRIPT: &str = include_str!("watch.js");

/// The list of all runs.
pub(super) fn list(runs: &Runs, verdicts: &Verdicts) -> String {
    let body = html! {
        main data-events="/events" {
            h1 { "Runs" }
            (connection())
            p.tools {
                label { "Filter " input type="search" id="filter" autocomplete="off" placeholder="name, folder, state, verdict"; }
                button form="chosen" { "Show the chosen runs on one page" }
            }
            form id="chosen" action="/runs" {
                div.scroll {
                    table.runs {
                        thead {
                            tr {
                                th { "" }
                                @for (heading, key) in [
                                    ("Run", "name"), ("State", "state"), ("Progress", "percent"), ("Verdicts", "verdicts"),
                                    ("Arms", "arms"), ("Seeds", "seeds"), ("Changed", "changed"),
                                ] {
                                    th { button.sort type="button" data-key=(key) { (heading) } }
                                }
                            }
                        }
                        tbody id="runs" {
                            @for (id, run) in newest_first(runs) { (row(id, run, verdicts)) }
                        }
                    }
                }
                p id="none" hidden[!runs.found.is_empty()] { "There is no run yet." }
                p id="unmatched" hidden { "No run matches." }
            }
        }
    };
    document("Runs", &body)
}

fn newest_first(runs: &Runs) -> Vec<(&String, &Run)> {
    let mut all: Vec<(&String, &Run)> = runs.found.iter().collect();
    all.sort_by_key(|(_, run)| std::cmp::Reverse(run.changed));
    all
}

fn row(id: &str, run: &Run, verdicts: &Verdicts) -> Markup {
    let found = verdicts.on(id, run);
    // Runs are sorted by their worst verdict, then by the next.
    let place = |one: &ArmVerdict| Verdict::ALL.iter().position(|verdict| *verdict == one.verdict);
    let mut places: Vec<usize> = found.iter().filter_map(place).collect();
    places.sort_unstable();
    let places: Vec<String> = places.iter().map(usize::to_string).collect();
    let changed =
        run.changed.and_then(|time| time.duration_since(UNIX_EPOCH).ok()).map_or(0, |time| time.as_secs());
    html! {
        tr data-name=(run.name) data-state=(run.state.word()) data-percent=(run.percent()) data-verdicts=(places.join(" "))
            data-arms=(run.arms) data-seeds=(run.seeds) data-changed=(changed) {
            td { input type="checkbox" name="run" value=(id) autocomplete="off" aria-label={ "Choose " (run.name) ", " (run.folder.display()) }; }
            th {
                a href={ "/run?run=" (query_value(id)) } { (run.name) }
                div.sub { (run.folder.display()) @if run.is_study { ", a study" } }
            }
            td { (badge(&run.state)) @if let Some(reason) = run.state.reason() { div.sub { (reason) (run.state.hint()) } } }
            td { span.together { (generations(run)) } }
            td {
                @for one in found { span.arm { (one.arm) " " span.{ "badge " (one.verdict.word()) } { (one.verdict.word()) } } " " }
                @if !found.is_empty() && run.percent() < 100 { span.sub { "so far" } }
            }
            td.n { (run.arms) } td.n { (run.seeds) }
            td.n { time data-seconds=(changed) { } }
        }
    }
}

/// Where the script says why the page may not be up to date.
fn connection() -> Markup {
    html! {
        p id="lost" role="status" hidden {}
        noscript { p { "Without JavaScript this page does not change by itself; load it again." } }
    }
}

/// The page of runs: what each does now, and the report of all that have records.
pub(super) fn report_page(parts: &[Now], missing: &[String], report: Option<&str>, events: &str) -> String {
    let above = html! {
        div.watch data-events=(events) {
            p { a href="/" { "All runs" } }
            (connection())
            @for part in parts { (part.html()) }
            @for id in missing { (gone(id)) }
        }
    };
    match report {
        None => {
            let is_unreadable = parts.iter().any(|part| matches!(part.run.state, RunState::Unreadable(_)));
            let why = if is_unreadable {
                "The records cannot be read; the reason is above."
            } else {
                "No generation is committed yet; this page shows the first one when it is."
            };
            let body = html! { (above) main data-unreadable[is_unreadable] { p { (why) } } };
            let names: Vec<&str> = parts.iter().map(|part| &*part.run.name).collect();
            document(&names.join(", "), &body)
        }
        Some(report) => with_part(report, &above),
    }
}

/// Puts a part above the main part of a report page, and the script after everything.
fn with_part(report: &str, above: &Markup) -> String {
    let above = printable(&above.clone().into_string()).into_owned();
    let style = format!("<style>{CSS}</style>");
    let script = format!("<script>{SCRIPT}</script>");
    let (head, rest) = report.split_once("</head>").unwrap_or(("", report));
    let (before, main) = rest.split_once("<main").unwrap_or(("", rest));
    let (main, end) = main.rsplit_once("</body>").unwrap_or((main, ""));
    format!("{head}{style}</head>{before}{above}<main{main}{script}</body>{end}")
}

/// A page with the style and the script of this module.
pub(super) fn document(title: &str, body: &Markup) -> String {
    report::document(title, CSS, &html! { (body) script { (PreEscaped(SCRIPT)) } })
}

/// A page with one sentence.
pub(super) fn message(text: &str) -> String {
    document("genloss watch", &html! { main { p { (text) } p { a href="/" { "All runs" } } } })
}

/// The records of a run or study that have generations, and some documents of each.
///
/// # Errors
/// If a record or a corpus cannot be read.
pub(super) fn records_of(folder: &Path) -> Result<FolderRecords, StoreError> {
    let has_generations = |record: &RunRecord| record.lineages.iter().any(|one| !one.generations.is_empty());
    let with_samples = |record: RunRecord| Ok((store::samples(folder, &record, SAMPLES)?, record));
    let records: Result<_, StoreError> =
        store::read_all(folder)?.into_iter().filter(has_generations).map(with_samples).collect();
    let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
    Ok(FolderRecords { name, records: records? })
}

/// The records of a run or study, each with some documents.
pub(super) struct FolderRecords {
    /// The name of the folder.
    name: String,
    records: Vec<(Vec<Sample>, RunRecord)>,
}

/// The report page of these records; `None` if there are none. An experiment whose name is taken is called after its
/// folder too.
pub(super) fn report_of(folders: Vec<FolderRecords>) -> Option<String> {
    let (mut records, mut samples): (Vec<RunRecord>, Vec<Sample>) = (Vec::new(), Vec::new());
    for FolderRecords { name: folder, records: of_folder } in folders {
        for (mut own, mut record) in of_folder {
            let name = record.experiment.name.clone();
            let is_taken = |name: &str| records.iter().any(|other: &RunRecord| other.experiment.name == name);
            if is_taken(&name) {
                let numbered = (2..).map(|number| format!("{name}@{folder}-{number}"));
                let free =
                    std::iter::once(format!("{name}@{folder}")).chain(numbered).find(|name| !is_taken(name));
                record.experiment.name = free.unwrap_or(name);
                own.iter_mut().for_each(|sample| sample.experiment.clone_from(&record.experiment.name));
            }
            samples.extend(own);
            records.push(record);
        }
    }
    if records.is_empty() {
        return None;
    }
    let comparisons: Vec<_> = records.iter().flat_map(RunRecord::comparisons).collect();
    Some(report::page(&records, &comparisons, &samples))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_part_stands_above_the_main_part_and_the_script_at_the_end() {
        let report =
            "<html><head><title>x</title></head><body><main><p>&lt;/body&gt;</p></main></body></html>";
        let page = with_part(report, &html! { p { "above" } });
        let place = |text: &str| page.find(text).unwrap_or_else(|| panic!("{text}: {page}"));
        assert!(place("<style>") < place("</head>") && place("<p>above") < place("<main>"));
        assert!(place("</main>") < place("<script>") && place("<script>") < place("</body>"));
        assert!(page.ends_with("</body></html>"));
    }

    #[test]
    fn the_script_ends_no_element_early() {
        assert!(!SCRIPT.contains("</script") && !SCRIPT.contains("<!--") && !CSS.contains("</style"));
    }
}
