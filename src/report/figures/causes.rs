//! Where differences from the control come from: a panel per metric, a row per arm, a bar per part.

use super::Figure;
use super::legend::{self, Extra};
use super::rows::{Frame, Rows, extent};
use crate::attribution::{Attribution, attribute};
use crate::report::palette::{Look, MUTED, PARTS};
use crate::report::panel::{EDGE, FIGURE_WIDTH, title};
use crate::report::scene::{Ink, Scene};
use crate::report::series::{ArmView, arms};
use crate::store::RunRecord;
use crate::verdict::ArmComparison;

/// Height of a bar.
const BAR: f64 = 8.0;

/// A part of a difference.
struct Part {
    name: &'static str,
    ink: Ink,
    of: fn(&Attribution) -> f64,
}

const SPLIT: [Part; 3] = [
    Part { name: "finite sampling", ink: PARTS[0], of: |found| found.sampling },
    Part { name: "decoding", ink: PARTS[1], of: |found| found.decoding },
    Part { name: "the model's misfit, with its 95 % interval", ink: PARTS[2], of: |found| found.misfit },
];

/// An arm, and the parts of its differences at the last generation.
type Row<'a> = (ArmView<'a>, Vec<Attribution>);

/// The parts of every difference that has a baseline, at the last generation of each arm.
pub(super) fn bars(recorded: &RunRecord, comparisons: &[&ArmComparison]) -> Option<Figure> {
    let baseline = recorded.baseline.as_ref()?;
    let parts = |arm: &ArmView| {
        let comparison = comparisons.iter().find(|comparison| comparison.arm == arm.name)?;
        let last = comparison.last_generation();
        let mut found = attribute(comparison, baseline);
        found.retain(|found| Some(found.generation) == last);
        Some(found).filter(|found| !found.is_empty())
    };
    let rows: Vec<Row> = arms(recorded).into_iter().filter_map(|arm| Some((arm, parts(&arm)?))).collect();
    let metrics = metrics(&rows);
    if metrics.is_empty() {
        return None;
    }
    let acts = |part: &&Part| rows.iter().any(|(_, found)| found.iter().any(|found| (part.of)(found) != 0.0));
    let split: Vec<&Part> = SPLIT.iter().filter(acts).collect();
    let mut scene = Scene::new(FIGURE_WIDTH, 0.0);
    let heading = "Where does the difference from the control come from?";
    let top = title(&mut scene, heading);
    let mut extras: Vec<Extra> = split.iter().map(|part| Extra::Bar(part.name, part.ink)).collect();
    extras.push(Extra::Note("marker: the difference that was seen, the sum of the bars"));
    let top = legend::arms(&mut scene, top, &[], &extras) + 6.0;
    let row = BAR * split.len() as f64 + 14.0;
    let panels = Rows { arms: rows.iter().map(|(arm, _)| *arm).collect(), columns: 5, row, top };
    for (index, id) in metrics.iter().enumerate() {
        let frame = panels.frame(&mut scene, index);
        panel(&mut scene, &frame, id, &rows, &split);
    }
    scene.height = panels.bottom(metrics.len()) + EDGE - 8.0;
    let mut caption = format!(
        "Arm minus control at the last generation that both reached. Sampling and decoding: means over {} lineages of \
         models that count types without error.",
        baseline.replicates
    );
    let is_shown = |name: &str| rows.iter().any(|(arm, _)| arm.name == name);
    let reached = comparisons.iter().filter(|comparison| comparison.last_generation().is_some());
    let missing: Vec<&str> =
        reached.map(|comparison| comparison.arm.as_str()).filter(|name| !is_shown(name)).collect();
    if !missing.is_empty() {
        caption += &format!(" Not known of {}: what a decoder does to each type.", missing.join(", "));
    }
    let alt = format!("{heading} Bars per metric and arm; `genloss compare` prints the same numbers.");
    Some(Figure { name: "causes", caption, alt, scene })
}

/// The metrics of tokens, then those of words.
fn metrics(rows: &[Row]) -> Vec<String> {
    let mut metrics: Vec<String> = Vec::new();
    for found in rows.iter().flat_map(|(_, found)| found) {
        if !metrics.contains(&found.metric) {
            metrics.push(found.metric.clone());
        }
    }
    metrics.sort_by_key(|metric| metric.ends_with("_words"));
    metrics
}

fn panel(scene: &mut Scene, frame: &Frame, id: &str, rows: &[Row], split: &[&Part]) {
    let of_arms = rows.iter().map(|(arm, found)| {
        let found = found.iter().find(|found| found.metric == id)?;
        Some((arm.look, found))
    });
    let found: Vec<Option<(Look, &Attribution)>> = of_arms.collect();
    let all = found.iter().flatten().map(|(_, found)| *found);
    let sizes = all.clone().flat_map(|f| [f.sampling, f.decoding, f.misfit, f.difference]);
    let (low, high) = extent(sizes, all.flat_map(|f| [f.misfit_ci_low, f.misfit_ci_high]), 0.5);
    let scale = frame.scale(low, high);
    frame.heading(scene, id);
    scale.draw(scene);
    for (index, found) in found.iter().enumerate() {
        let Some((look, found)) = found else { continue };
        let middle = frame.middle(index);
        let first = middle - BAR * split.len() as f64 / 2.0;
        for (place, part) in split.iter().enumerate() {
            let top = first + BAR * place as f64;
            let (from, to) = (scale.at(0.0), scale.at((part.of)(found)));
            scene.rectangle((from, top + 0.5), (to, top + BAR - 0.5), part.ink);
        }
        let of_misfit = [found.misfit_ci_low, found.misfit_ci_high];
        scale.interval(scene, first + BAR * (split.len() as f64 - 0.5), of_misfit, MUTED);
        look.marker(scene, (scale.at(found.difference), middle), 4.2, false);
    }
}
