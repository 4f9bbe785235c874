//! The loss foreseen by share of synthetic text: a panel for each kind of text, with the best share and its interval.

use super::Figure;
use super::legend::{self, BAND, Extra};
use crate::fit::{Fitted, Optimum, ShareLoss};
use crate::report::palette::{BLACK, Look};
use crate::report::panel::{Axis, Cell, EDGE, FIGURE_WIDTH, Grid, Panel, Words, title};
use crate::report::scene::Scene;

/// Loss by share.
pub(super) fn curves(fitted: &Fitted) -> Option<Figure> {
    if fitted.optima.is_empty() {
        return None;
    }
    let mut scene = Scene::new(FIGURE_WIDTH, 0.0);
    let heading = "Which share of synthetic text gives the least loss?";
    let top = title(&mut scene, heading);
    let extras = [
        Extra::Dashed("best share"),
        Extra::Band("its 95 % interval"),
        Extra::Note("bars: 95 % intervals of the loss foreseen"),
    ];
    let top = legend::arms(&mut scene, top, &[], &extras);
    let grid = Grid::new(top + 6.0, fitted.optima.len(), 300.0);
    for (index, optimum) in fitted.optima.iter().enumerate() {
        panel(&mut scene, grid.cell(index), optimum, Look::of("", index));
    }
    scene.height = grid.bottom(fitted.optima.len()) + EDGE - 8.0;
    let caption = format!("Losses foreseen at {}, D = {}.", fitted.at.size, fitted.at.tokens);
    let sources: Vec<&str> = fitted.optima.iter().map(|optimum| optimum.source.as_str()).collect();
    let alt = format!("{heading} A panel for each kind of synthetic text: {}.", sources.join("; "));
    Some(Figure { name: "loss_by_share", caption, alt, scene })
}

fn panel(scene: &mut Scene, cell: Cell, optimum: &Optimum, look: Look) {
    let ends = optimum.losses.iter().flat_map(|at| at.interval.into_iter().chain([at.loss_nats]));
    let y = Axis::linear(ends);
    let (low, high) = y.ends();
    let words = Words {
        title: &optimum.source,
        note: "held-out loss foreseen, nats per token",
        x: "share of synthetic text",
    };
    let panel = Panel::draw(scene, cell, &words, Axis::between(-0.04, 1.04), y);
    let [from, to] = optimum.interval;
    scene.rectangle(panel.at(from, high), panel.at(to, low), BAND);
    scene.dashed(&[panel.at(optimum.share, low), panel.at(optimum.share, high)], (5.0, 3.0), BLACK, 1.2);
    let at = |loss: &ShareLoss| panel.at(loss.share, loss.loss_nats);
    look.line(scene, optimum.losses.iter().map(at).collect(), 1.8);
    for loss in &optimum.losses {
        let ends = loss.interval.map(|nats| panel.at(loss.share, nats));
        scene.line(ends.to_vec(), look.ink, 1.4);
        look.marker(scene, at(loss), 3.4, false);
    }
}
