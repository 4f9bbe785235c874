//! The headline differences from the control with their intervals: a panel per metric, a row per arm.

use super::Figure;
use super::legend::{self, LegendEntry};
use super::rows::{RowPanel, RowPanels, extent};
use crate::report::palette::DANGER;
use crate::report::panel::{EDGE, FIGURE_WIDTH, title};
use crate::report::scene::Scene;
use crate::report::series::{Series, arms};
use crate::store::RunRecord;
use crate::verdict::{ArmComparison, Effect, headline_metrics};

const HEADING: &str = "How far from the control, at the last generation?";

/// An arm that has been compared with the control.
struct ComparedArm<'a> {
    arm: Series<'a>,
    comparison: &'a ArmComparison,
}

impl<'a> ComparedArm<'a> {
    /// None if the arm has not been compared with the control in any metric.
    fn new(arm: Series<'a>, comparisons: &[&'a ArmComparison]) -> Option<Self> {
        let comparison = comparisons.iter().find(|comparison| comparison.arm == arm.name)?;
        (!comparison.effects.is_empty()).then_some(Self { arm, comparison })
    }

    /// The effect at the last generation that was compared.
    fn last_effect(&self, metric: &str) -> Option<&'a Effect> {
        let effects = self.comparison.effects.iter().filter(|effect| effect.metric == metric);
        effects.max_by_key(|effect| effect.generation)
    }
}

/// Headline differences at the last generation of each arm.
pub(super) fn forest(recorded: &RunRecord, comparisons: &[&ArmComparison]) -> Option<Figure> {
    let rows: Vec<ComparedArm> =
        arms(recorded).into_iter().filter_map(|arm| ComparedArm::new(arm, comparisons)).collect();
    let is_measured = |metric: &&str| rows.iter().any(|row| row.last_effect(metric).is_some());
    let metrics: Vec<&str> =
        headline_metrics().iter().map(|headline| headline.metric).filter(is_measured).collect();
    if metrics.is_empty() {
        return None;
    }
    let mut scene = Scene::new(FIGURE_WIDTH, 0.0);
    let top = title(&mut scene, HEADING);
    let entries = [
        LegendEntry::Danger("beyond the practical size"),
        LegendEntry::Note("bars: 95 % intervals; filled markers: significant narrowing"),
    ];
    let top = legend::draw(&mut scene, top, &[], &entries) + 6.0;
    let series = rows.iter().map(|row| row.arm).collect();
    let panels = RowPanels { series, columns: 4, row_height: 24.0, top };
    for (index, metric) in metrics.iter().enumerate() {
        let panel = panels.panel(&mut scene, index);
        draw_panel(&mut scene, &panel, metric, &rows);
    }
    scene.height = panels.bottom(metrics.len()) + EDGE - 8.0;
    let caption = "Differences from the control of the same seeds, at the last generation that both reached.";
    let alt = format!(
        "{HEADING} Intervals per arm and headline metric; the table of verdicts has the same numbers."
    );
    Some(Figure { name: "effects", caption: caption.to_owned(), alt, scene })
}

fn draw_panel(scene: &mut Scene, panel: &RowPanel, metric: &str, rows: &[ComparedArm]) {
    let effects: Vec<&Effect> = rows.iter().filter_map(|row| row.last_effect(metric)).collect();
    let practical = effects.iter().find_map(|effect| effect.practical_size).unwrap_or(0.0);
    let differences = effects.iter().map(|effect| effect.difference);
    let ends = effects.iter().flat_map(|effect| [effect.ci_low, effect.ci_high]);
    let (low, high) = extent(differences.chain([1.6 * practical, -0.4 * practical]), ends, 1.0);
    let axis = panel.axis(low, high);
    panel.heading(scene, metric);
    let edge = if practical < 0.0 { panel.left } else { panel.right };
    let from = axis.at(practical);
    scene.rectangle((from, panel.top), (edge, panel.bottom), DANGER.faint(0.13));
    scene.line(vec![(from, panel.top), (from, panel.bottom)], DANGER.faint(0.7), 1.0);
    axis.draw(scene);
    for (index, row) in rows.iter().enumerate() {
        if let Some(effect) = row.last_effect(metric) {
            let y = panel.middle(index);
            axis.interval(scene, y, [effect.ci_low, effect.ci_high], row.arm.style.ink);
            row.arm.style.marker(scene, (axis.at(effect.difference), y), 4.2, !effect.significant);
        }
    }
}
