//! The headline differences from the control with their intervals: a panel per metric, a row per arm.

use super::Figure;
use super::legend::{self, Extra};
use super::rows::{Frame, Rows, extent};
use crate::report::palette::DANGER;
use crate::report::panel::{EDGE, FIGURE_WIDTH, title};
use crate::report::scene::Scene;
use crate::report::series::{ArmView, arms};
use crate::store::RunRecord;
use crate::verdict::{ArmComparison, Effect, headline};

/// Headline differences at the last generation of each arm.
pub(super) fn forest(recorded: &RunRecord, comparisons: &[&ArmComparison]) -> Option<Figure> {
    let rows: Vec<(ArmView, &ArmComparison)> = arms(recorded)
        .into_iter()
        .filter_map(|arm| {
            Some((arm, *comparisons.iter().find(|c| c.arm == arm.name && !c.effects.is_empty())?))
        })
        .collect();
    let shown = |id: &&str| rows.iter().any(|(_, comparison)| at_last(comparison, id).is_some());
    let metrics: Vec<&str> = headline().iter().map(|headline| headline.metric).filter(shown).collect();
    if metrics.is_empty() {
        return None;
    }
    let mut scene = Scene::new(FIGURE_WIDTH, 0.0);
    let heading = "How far from the control, at the last generation?";
    let top = title(&mut scene, heading);
    let extras = [
        Extra::Danger("beyond the practical size"),
        Extra::Note("bars: 95 % intervals; filled markers: significant narrowing"),
    ];
    let top = legend::arms(&mut scene, top, &[], &extras) + 6.0;
    let panels = Rows { arms: rows.iter().map(|(arm, _)| *arm).collect(), columns: 4, row: 24.0, top };
    for (index, id) in metrics.iter().enumerate() {
        let frame = panels.frame(&mut scene, index);
        panel(&mut scene, &frame, id, &rows);
    }
    scene.height = panels.bottom(metrics.len()) + EDGE - 8.0;
    let caption = "Differences from the control of the same seeds, at the last generation that both reached."
        .to_owned();
    let alt =
        format!("{heading} Intervals per arm and headline metric; the verdict table says the same in words.");
    Some(Figure { name: "effects", caption, alt, scene })
}

/// The effect of a metric at the last generation compared.
fn at_last<'a>(comparison: &'a ArmComparison, id: &str) -> Option<&'a Effect> {
    comparison.effects.iter().filter(|effect| effect.metric == id).max_by_key(|effect| effect.generation)
}

fn panel(scene: &mut Scene, frame: &Frame, id: &str, rows: &[(ArmView, &ArmComparison)]) {
    let effects: Vec<(&ArmView, &Effect)> =
        rows.iter().filter_map(|(arm, comparison)| Some((arm, at_last(comparison, id)?))).collect();
    let practical = effects.iter().find_map(|(_, effect)| effect.practical_size).unwrap_or(0.0);
    let points =
        effects.iter().map(|(_, effect)| effect.difference).chain([1.6 * practical, -0.4 * practical]);
    let ends = effects.iter().flat_map(|(_, effect)| [effect.ci_low, effect.ci_high]);
    let (low, high) = extent(points, ends, 1.0);
    let scale = frame.scale(low, high);
    frame.heading(scene, id);
    let edge = if practical < 0.0 { frame.left } else { frame.right };
    let from = scale.at(practical);
    scene.rectangle((from, frame.top), (edge, frame.bottom), DANGER.faint(0.13));
    scene.line(vec![(from, frame.top), (from, frame.bottom)], DANGER.faint(0.7), 1.0);
    scale.draw(scene);
    for (index, (arm, comparison)) in rows.iter().enumerate() {
        if let Some(effect) = at_last(comparison, id) {
            let y = frame.middle(index);
            scale.interval(scene, y, [effect.ci_low, effect.ci_high], arm.look.ink);
            arm.look.marker(scene, (scale.at(effect.difference), y), 4.2, !effect.significant);
        }
    }
}
