//! The losses of models as they are, without a law: a panel per kind of synthetic text, a line per share of it.

use super::Figure;
use super::legend::{self, LegendEntry};
use crate::config::CONTROL;
use crate::fit::{Fitted, Point};
use crate::report::palette::SeriesStyle;
use crate::report::panel::{Axis, EDGE, FIGURE_WIDTH, Panel, PanelArea, PanelGrid, PanelLabels, title};
use crate::report::scene::Scene;
use crate::report::series::{Series, Spread};
use std::collections::{BTreeMap, BTreeSet};

const HEADING: &str = "Loss by tokens seen, as measured";

/// Mean loss of the largest models by tokens seen. None if they have all seen the same number of tokens.
pub(super) fn panels(fitted: &Fitted) -> Option<Figure> {
    let largest = fitted.points.iter().map(|point| point.size).max()?;
    let points: Vec<&Point> = fitted.points.iter().filter(|point| point.size == largest).collect();
    let tokens: BTreeSet<u64> = points.iter().map(|point| point.tokens.0).collect();
    let sources: BTreeSet<&str> =
        points.iter().filter(|p| !p.blend.is_natural()).map(|p| &*p.blend.source).collect();
    if tokens.len() < 2 || sources.is_empty() {
        return None;
    }
    let shares: BTreeSet<u32> = points.iter().map(|point| point.blend.synthetic_percent).collect();
    let names: Vec<String> = shares.iter().map(|share| name(*share)).collect();
    let series: Vec<Series> = names
        .iter()
        .zip(&shares)
        .map(|(name, share)| Series { name, style: style(*share, &shares) })
        .collect();
    let mut scene = Scene::new(FIGURE_WIDTH, 0.0);
    let top = title(&mut scene, HEADING);
    let top = legend::draw(&mut scene, top, &series, &[LegendEntry::Note("bars: range over seeds")]);
    let y = Axis::linear(points.iter().map(|point| point.loss_nats));
    let grid = PanelGrid::new(top + 6.0, sources.len(), 300.0);
    for (index, source) in sources.iter().enumerate() {
        draw_panel(&mut scene, grid.area(index), y.clone(), source, &points, &shares);
    }
    scene.height = grid.bottom(sources.len()) + EDGE - 8.0;
    let caption = format!(
        "Models of {largest}. Lines are means over seeds; natural text, in black, is the same in every panel."
    );
    let sources: Vec<&str> = sources.into_iter().collect();
    let alt = format!(
        "{HEADING} A panel for each kind of synthetic text, a line for each share: {}.",
        sources.join("; ")
    );
    Some(Figure { name: "observed_loss", caption, alt, scene })
}

fn name(share: u32) -> String {
    if share == 0 { "natural text alone".to_owned() } else { format!("{share} % synthetic") }
}

fn style(share: u32, shares: &BTreeSet<u32>) -> SeriesStyle {
    let index = shares.iter().filter(|other| **other > 0 && **other < share).count();
    SeriesStyle::of(if share == 0 { CONTROL } else { "" }, index)
}

fn draw_panel(
    scene: &mut Scene,
    area: PanelArea,
    y: Axis,
    source: &str,
    points: &[&Point],
    shares: &BTreeSet<u32>,
) {
    let belongs = |point: &&&Point| point.blend.is_natural() || point.blend.source == source;
    let own: Vec<&&Point> = points.iter().filter(belongs).collect();
    let labels = PanelLabels { title: source, note: "held-out loss, nats per token", x: "tokens seen, D" };
    let x = Axis::marked(own.iter().map(|point| point.tokens.0 as f64));
    let panel = Panel::draw(scene, area, &labels, x, y);
    for share in shares.iter().rev() {
        let mut by_tokens: BTreeMap<u64, Vec<f64>> = BTreeMap::new();
        for point in own.iter().filter(|point| point.blend.synthetic_percent == *share) {
            by_tokens.entry(point.tokens.0).or_default().push(point.loss_nats);
        }
        let means =
            by_tokens.iter().filter_map(|(tokens, losses)| Some((*tokens as f64, Spread::of(0, losses)?)));
        let means: Vec<(f64, Spread)> = means.collect();
        let style = style(*share, shares);
        style.line(scene, panel.curve(means.iter().map(|(tokens, spread)| (*tokens, spread.mean))), 1.8);
        for (tokens, spread) in means {
            scene.line(vec![panel.at(tokens, spread.low), panel.at(tokens, spread.high)], style.ink, 1.4);
            style.marker(scene, panel.at(tokens, spread.mean), 3.4, false);
        }
    }
}
