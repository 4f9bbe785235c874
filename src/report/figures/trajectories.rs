//! Metrics over generations: a panel per metric, a line per arm.

use super::Figure;
use super::legend::{self, BAND, LegendEntry};
use crate::config::CONTROL;
use crate::measure::{Catalogue, Direction, Family, MetricDefinition};
use crate::report::palette::BLACK;
use crate::report::panel::{Axis, EDGE, FIGURE_WIDTH, Panel, PanelArea, PanelGrid, PanelLabels, title};
use crate::report::scene::Scene;
use crate::report::series::{Series, Spread, arms, has, last_generation, spreads};
use crate::store::RunRecord;

/// Held-out loss of frequent, medium and rare tokens.
pub(in crate::report) const RARITY: [&str; 3] =
    ["heldout_loss_head", "heldout_loss_torso", "heldout_loss_tail"];
/// Recall of popular, medium and rare facts.
pub(in crate::report) const FACTS: [&str; 3] = ["fact_recall_head", "fact_recall_torso", "fact_recall_tail"];

/// Largest number of arms besides the control for which all ranges over seeds are drawn. With more, the ranges would
/// hide each other, so only the control's range is drawn.
const MOST_BANDS: usize = 4;

const UNSEEN_TYPES: &str = " Effective types of order 1 include an estimate of types that the sample lacks; types seen do \
    not, and so can be fewer.";

/// The metrics of a family that have no figure of their own.
pub(super) fn family(recorded: &RunRecord, family: Family) -> Option<Figure> {
    let (name, heading) = name_and_heading(family);
    let catalogue = recorded.catalogue();
    let is_elsewhere =
        |metric: &MetricDefinition| RARITY.contains(&&*metric.id) || FACTS.contains(&&*metric.id);
    let metrics: Vec<&MetricDefinition> =
        catalogue.iter().filter(|metric| metric.family == family && !is_elsewhere(metric)).collect();
    draw(recorded, name, heading, &metrics)
}

fn name_and_heading(family: Family) -> (&'static str, &'static str) {
    match family {
        Family::HeldOut => {
            ("trajectories_heldout", "Held-out text: how surprised is the model by natural text?")
        }
        Family::Tail => ("trajectories_tail", "Tail: do rare types live on in the synthetic text?"),
        Family::Entropy => ("trajectories_entropy", "Entropy: how varied is the synthetic text?"),
        Family::Divergence => {
            ("trajectories_divergence", "Divergence: how far is synthetic text from natural text?")
        }
        Family::Form => {
            ("trajectories_form", "Form: repetition, novelty, compressibility of the synthetic text")
        }
        Family::Other => ("trajectories_other", "Other metrics"),
    }
}

/// A panel for each metric of [`RARITY`].
pub(super) fn rarity(recorded: &RunRecord) -> Option<Figure> {
    let catalogue = Catalogue::builtin();
    let heading = "Which tokens of natural text is the model forgetting?";
    draw(recorded, "loss_by_rarity", heading, &by_id(&catalogue, &RARITY))
}

/// A panel for each metric of [`FACTS`].
pub(super) fn facts(recorded: &RunRecord) -> Option<Figure> {
    let catalogue = Catalogue::builtin();
    draw(recorded, "fact_recall", "Which facts does the model still know?", &by_id(&catalogue, &FACTS))
}

fn by_id<'a>(catalogue: &'a Catalogue, ids: &[&str]) -> Vec<&'a MetricDefinition> {
    ids.iter().filter_map(|id| catalogue.get(id)).collect()
}

fn draw(
    recorded: &RunRecord,
    name: &'static str,
    heading: &str,
    metrics: &[&MetricDefinition],
) -> Option<Figure> {
    let metrics: Vec<&MetricDefinition> =
        metrics.iter().copied().filter(|metric| has(recorded, &metric.id)).collect();
    if metrics.is_empty() {
        return None;
    }
    let arms = arms(recorded);
    let mut scene = Scene::new(FIGURE_WIDTH, 0.0);
    let top = title(&mut scene, heading);
    let top = legend::draw(&mut scene, top, &arms, &entries(recorded, &arms, &metrics));
    let grid = PanelGrid::new(top + 6.0, metrics.len(), 252.0);
    for (index, metric) in metrics.iter().enumerate() {
        draw_panel(&mut scene, grid.area(index), recorded, &arms, metric);
    }
    scene.height = grid.bottom(metrics.len()) + EDGE - 8.0;
    let labels: Vec<&str> = metrics.iter().map(|metric| &*metric.label).collect();
    let spread = match recorded.experiment.seeds.len() {
        0 | 1 => "",
        _ if shows_bands(&arms) => {
            "Lines are means over seeds; shades run from the lowest seed to the highest. "
        }
        _ => "Lines are means over seeds; the shade is the control's range over seeds. ",
    };
    let unseen = if metrics.iter().any(|metric| metric.id.starts_with("hill_1")) { UNSEEN_TYPES } else { "" };
    let caption = format!("{spread}Generation 0 has seen natural text only.{unseen}");
    let alt = format!("{heading} Line charts over generations, one line per arm: {}.", labels.join("; "));
    Some(Figure { name, caption, alt, scene })
}

/// Returns true if the ranges of all arms are drawn, false if only the control's range is drawn.
fn shows_bands(arms: &[Series]) -> bool {
    arms.len() <= MOST_BANDS + 1
}

/// The legend's entries after the arms.
fn entries<'a>(recorded: &RunRecord, arms: &[Series], metrics: &[&MetricDefinition]) -> Vec<LegendEntry<'a>> {
    let mut extras = Vec::new();
    if recorded.experiment.seeds.len() > 1 && arms.iter().any(|arm| arm.name == CONTROL) {
        extras.push(LegendEntry::Band("range over seeds"));
    }
    if metrics.iter().any(|metric| floor(recorded, metric).is_some()) {
        extras.push(LegendEntry::Dashed("loss of an ideal reader"));
    }
    let is_simulated =
        |arm: &Series| metrics.iter().any(|metric| !under_drift(recorded, arm, metric).is_empty());
    if arms.iter().any(is_simulated) {
        extras.push(LegendEntry::Dashed("where drift and decoding alone would take an arm"));
    }
    extras
}

/// The lowest expected loss that any model can have, if it is known.
pub(in crate::report) fn floor(recorded: &RunRecord, metric: &MetricDefinition) -> Option<f64> {
    let known = recorded.provenance.heldout_floor_nats.filter(|floor| floor.is_finite());
    known.filter(|_| metric.id == "heldout_loss")
}

/// Generations and values of an arm under drift and decoding alone; empty if they are not known.
pub(in crate::report) fn under_drift(
    recorded: &RunRecord,
    arm: &Series,
    metric: &MetricDefinition,
) -> Vec<(f64, f64)> {
    let curve = recorded.baseline.as_ref().and_then(|baseline| baseline.curve(arm.name, &metric.id));
    let means = curve.map_or(&[][..], |curve| &curve.decoding).iter();
    means.enumerate().map(|(generation, mean)| (generation as f64, mean.mean)).collect()
}

fn draw_panel(
    scene: &mut Scene,
    area: PanelArea,
    recorded: &RunRecord,
    arms: &[Series],
    metric: &MetricDefinition,
) {
    let lines: Vec<(Series, Vec<Spread>)> =
        arms.iter().map(|arm| (*arm, spreads(recorded, arm.name, &metric.id))).collect();
    let floor = floor(recorded, metric);
    let drifts: Vec<Vec<(f64, f64)>> = arms.iter().map(|arm| under_drift(recorded, arm, metric)).collect();
    let values = lines.iter().flat_map(|(_, spreads)| spreads.iter().flat_map(|s| [s.low, s.high]));
    let values = values.chain(floor).chain(drifts.iter().flatten().map(|(_, value)| *value));
    let last = last_generation(recorded);
    let note = note(metric);
    let labels = PanelLabels { title: &metric.label, note: &note, x: "generation" };
    let panel = Panel::draw(scene, area, &labels, Axis::generations(last), Axis::linear(values));
    if let Some(level) = floor {
        scene.dashed(&panel.level(level), (5.0, 3.0), BLACK, 1.2);
    }
    for (arm, spreads) in &lines {
        if arm.name == CONTROL {
            scene.area(band(&panel, spreads), BAND);
        } else if shows_bands(arms) {
            scene.area(band(&panel, spreads), arm.style.ink.faint(0.14));
        }
    }
    for (arm, drift) in arms.iter().zip(drifts) {
        scene.dashed(&panel.curve(drift), (3.0, 3.0), arm.style.ink.faint(0.75), 1.0);
    }
    // The control is drawn last, on top of the arms that are compared with it.
    for (arm, spreads) in lines.iter().rev() {
        line(scene, &panel, arm, spreads, last);
    }
}

/// The unit, and the direction of narrowing.
fn note(metric: &MetricDefinition) -> String {
    let unit = Some(&*metric.unit).filter(|unit| !["", "1"].contains(unit));
    let direction = match metric.narrowing {
        Direction::Up => Some("rises when narrowing"),
        Direction::Down => Some("falls when narrowing"),
        Direction::Unclear => None,
    };
    unit.into_iter().chain(direction).collect::<Vec<_>>().join(", ")
}

fn band(panel: &Panel, spreads: &[Spread]) -> Vec<(f64, f64)> {
    let upper = spreads.iter().map(|s| (s.generation as f64, s.high));
    let lower = spreads.iter().rev().map(|s| (s.generation as f64, s.low));
    panel.curve(upper.chain(lower))
}

fn line(scene: &mut Scene, panel: &Panel, arm: &Series, spreads: &[Spread], last: usize) {
    let points = panel.curve(spreads.iter().map(|s| (s.generation as f64, s.mean)));
    let every = last / 10 + 1;
    arm.style.line(scene, points.clone(), 1.8);
    for point in points.iter().step_by(every) {
        arm.style.marker(scene, *point, 3.2, false);
    }
}
