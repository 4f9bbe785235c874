//! Sources of the differences from the control: a panel per metric, a row per arm, a bar per component.

use super::Figure;
use super::legend::{self, LegendEntry};
use super::rows::{RowPanel, RowPanels, extent};
use crate::attribution::{Attribution, attribute};
use crate::baseline::Baseline;
use crate::report::palette::{COMPONENTS, MUTED};
use crate::report::panel::{EDGE, FIGURE_WIDTH, title};
use crate::report::scene::{Ink, Scene};
use crate::report::series::{Series, arms};
use crate::store::RunRecord;
use crate::verdict::ArmComparison;

/// Height of a bar, in points.
const BAR: f64 = 8.0;

const HEADING: &str = "Where does the difference from the control come from?";

/// One of the three components that add up to a difference.
struct Component {
    name: &'static str,
    ink: Ink,
    value: fn(&Attribution) -> f64,
}

const ALL: [Component; 3] = [
    Component { name: "finite sampling", ink: COMPONENTS[0], value: |found| found.sampling },
    Component { name: "decoding", ink: COMPONENTS[1], value: |found| found.decoding },
    Component {
        name: "the model's misfit, with its 95 % interval",
        ink: COMPONENTS[2],
        value: |found| found.misfit,
    },
];

/// An arm, and the components of its differences at the last generation.
struct ArmCauses<'a> {
    arm: Series<'a>,
    found: Vec<Attribution>,
}

impl<'a> ArmCauses<'a> {
    /// None if the arm has not been compared, or if none of its metrics has a baseline.
    fn new(arm: Series<'a>, comparisons: &[&ArmComparison], baseline: &Baseline) -> Option<Self> {
        let comparison = comparisons.iter().find(|comparison| comparison.arm == arm.name)?;
        let last = comparison.last_generation();
        let mut found = attribute(comparison, baseline);
        found.retain(|found| Some(found.generation) == last);
        (!found.is_empty()).then_some(Self { arm, found })
    }

    fn of(&self, metric: &str) -> Option<&Attribution> {
        self.found.iter().find(|found| found.metric == metric)
    }
}

/// The components of every difference that has a baseline, at the last generation of each arm.
pub(super) fn bars(recorded: &RunRecord, comparisons: &[&ArmComparison]) -> Option<Figure> {
    let baseline = recorded.baseline.as_ref()?;
    let rows: Vec<ArmCauses> =
        arms(recorded).into_iter().filter_map(|arm| ArmCauses::new(arm, comparisons, baseline)).collect();
    let metrics = metrics(&rows);
    if metrics.is_empty() {
        return None;
    }
    let is_zero = |component: &Component| {
        rows.iter().flat_map(|row| &row.found).all(|found| (component.value)(found) == 0.0)
    };
    let components: Vec<&Component> = ALL.iter().filter(|component| !is_zero(component)).collect();
    let mut scene = Scene::new(FIGURE_WIDTH, 0.0);
    let top = title(&mut scene, HEADING);
    let bars = components.iter().map(|component| LegendEntry::Bar(component.name, component.ink));
    let note = LegendEntry::Note("marker: the observed difference, the sum of the bars");
    let top = legend::draw(&mut scene, top, &[], &bars.chain([note]).collect::<Vec<_>>()) + 6.0;
    let panels = RowPanels {
        series: rows.iter().map(|row| row.arm).collect(),
        columns: 5,
        row_height: BAR * components.len() as f64 + 14.0,
        top,
    };
    for (index, metric) in metrics.iter().enumerate() {
        let panel = panels.panel(&mut scene, index);
        draw_panel(&mut scene, &panel, metric, &rows, &components);
    }
    scene.height = panels.bottom(metrics.len()) + EDGE - 8.0;
    let alt = format!("{HEADING} Bars per metric and arm; `genloss compare --why` prints the same numbers.");
    Some(Figure { name: "causes", caption: caption(&rows, comparisons, baseline), alt, scene })
}

/// The metrics of tokens, then those of words.
fn metrics<'a>(rows: &'a [ArmCauses]) -> Vec<&'a str> {
    let mut metrics: Vec<&str> = Vec::new();
    for found in rows.iter().flat_map(|row| &row.found) {
        if !metrics.contains(&found.metric.as_str()) {
            metrics.push(&found.metric);
        }
    }
    metrics.sort_by_key(|metric| metric.ends_with("_words"));
    metrics
}

fn caption(rows: &[ArmCauses], comparisons: &[&ArmComparison], baseline: &Baseline) -> String {
    let mut caption = format!(
        "Arm minus control at the last generation that both reached. The bars for sampling and decoding are means over \
         {} lineages of models that count types without error.",
        baseline.replicates
    );
    let missing: Vec<&str> = comparisons
        .iter()
        .filter(|comparison| comparison.last_generation().is_some())
        .map(|comparison| comparison.arm.as_str())
        .filter(|name| rows.iter().all(|row| row.arm.name != *name))
        .collect();
    if !missing.is_empty() {
        caption += &format!(
            " Not shown, because the effect of the decoder on each type is unknown: {}.",
            missing.join(", ")
        );
    }
    caption
}

fn draw_panel(
    scene: &mut Scene,
    panel: &RowPanel,
    metric: &str,
    rows: &[ArmCauses],
    components: &[&Component],
) {
    let all: Vec<&Attribution> = rows.iter().filter_map(|row| row.of(metric)).collect();
    let sizes = all.iter().flat_map(|f| [f.sampling, f.decoding, f.misfit, f.difference]);
    let ends = all.iter().flat_map(|f| [f.misfit_ci_low, f.misfit_ci_high]);
    let (low, high) = extent(sizes, ends, 0.5);
    let axis = panel.axis(low, high);
    panel.heading(scene, metric);
    axis.draw(scene);
    for (index, row) in rows.iter().enumerate() {
        let Some(found) = row.of(metric) else { continue };
        let middle = panel.middle(index);
        let first = middle - BAR * components.len() as f64 / 2.0;
        for (place, component) in components.iter().enumerate() {
            let top = first + BAR * place as f64;
            let (from, to) = (axis.at(0.0), axis.at((component.value)(found)));
            scene.rectangle((from, top + 0.5), (to, top + BAR - 0.5), component.ink);
        }
        let misfit_ends = [found.misfit_ci_low, found.misfit_ci_high];
        axis.interval(scene, first + BAR * (components.len() as f64 - 0.5), misfit_ends, MUTED);
        row.arm.style.marker(scene, (axis.at(found.difference), middle), 4.2, false);
    }
}
