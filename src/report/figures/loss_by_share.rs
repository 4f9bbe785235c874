//! Predicted loss by share of synthetic text: a panel per kind of text, with the best share and its interval.

use super::Figure;
use super::legend::{self, BAND, LegendEntry};
use crate::fit::{Fitted, Optimum, ShareLoss};
use crate::report::palette::{BLACK, SeriesStyle};
use crate::report::panel::{Axis, EDGE, FIGURE_WIDTH, Panel, PanelArea, PanelGrid, PanelLabels, title};
use crate::report::scene::Scene;

const HEADING: &str = "Which share of synthetic text gives the least loss?";

/// Loss by share.
pub(super) fn curves(fitted: &Fitted) -> Option<Figure> {
    if fitted.optima.is_empty() {
        return None;
    }
    let mut scene = Scene::new(FIGURE_WIDTH, 0.0);
    let top = title(&mut scene, HEADING);
    let entries = [
        LegendEntry::Dashed("best share"),
        LegendEntry::Band("its 95 % interval"),
        LegendEntry::Note("bars: 95 % intervals of the predicted loss"),
    ];
    let top = legend::draw(&mut scene, top, &[], &entries);
    let grid = PanelGrid::new(top + 6.0, fitted.optima.len(), 300.0);
    for (index, optimum) in fitted.optima.iter().enumerate() {
        draw_panel(&mut scene, grid.area(index), optimum, SeriesStyle::of("", index));
    }
    scene.height = grid.bottom(fitted.optima.len()) + EDGE - 8.0;
    let caption = format!("Predicted losses at {}, D = {}.", fitted.at.size, fitted.at.tokens);
    let sources: Vec<&str> = fitted.optima.iter().map(|optimum| optimum.source.as_str()).collect();
    let alt = format!("{HEADING} A panel for each kind of synthetic text: {}.", sources.join("; "));
    Some(Figure { name: "loss_by_share", caption, alt, scene })
}

fn draw_panel(scene: &mut Scene, area: PanelArea, optimum: &Optimum, style: SeriesStyle) {
    let values = optimum.losses.iter().flat_map(|at| at.interval.into_iter().chain([at.loss_nats]));
    let y = Axis::linear(values);
    let (low, high) = y.ends();
    let labels = PanelLabels {
        title: &optimum.source,
        note: "predicted held-out loss, nats per token",
        x: "share of synthetic text",
    };
    let panel = Panel::draw(scene, area, &labels, Axis::between(-0.04, 1.04), y);
    let [from, to] = optimum.interval;
    scene.rectangle(panel.at(from, high), panel.at(to, low), BAND);
    scene.dashed(&[panel.at(optimum.share, low), panel.at(optimum.share, high)], (5.0, 3.0), BLACK, 1.2);
    let at = |loss: &ShareLoss| panel.at(loss.share, loss.loss_nats);
    style.line(scene, optimum.losses.iter().map(at).collect(), 1.8);
    for loss in &optimum.losses {
        let ends = loss.interval.map(|nats| panel.at(loss.share, nats));
        scene.line(ends.to_vec(), style.ink, 1.4);
        style.marker(scene, at(loss), 3.4, false);
    }
}
