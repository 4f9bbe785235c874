//! What is left of the tail: a panel per metric, a row per arm of a run, or per blend of many.

use super::Figure;
use super::laws::Key;
use super::legend::{self, Extra};
use super::rows::{Frame, Rows, extent};
use crate::config::CONTROL;
use crate::fit::{Blend, Fitted, NATURAL, Point, TAIL};
use crate::report::palette::BLACK;
use crate::report::panel::{EDGE, FIGURE_WIDTH, title};
use crate::report::scene::Scene;
use crate::report::series::{ArmView, Spread, arms, last_generation, spreads};
use crate::store::RunRecord;

/// A row: who, and for each metric of [`TAIL`] the spread over seeds.
type Row<'a> = (ArmView<'a>, [Option<Spread>; TAIL.len()]);

const HEADING: &str = "What is left of the tail?";

/// At the last generation of a run, by arm.
pub(super) fn of_run(recorded: &RunRecord) -> Option<Figure> {
    let last = last_generation(recorded);
    let at_last =
        |arm: &str, metric| spreads(recorded, arm, metric).into_iter().find(|s| s.generation == last);
    let left = |arm: &ArmView| TAIL.map(|metric| at_last(arm.name, metric));
    let rows: Vec<Row> = arms(recorded).into_iter().map(|arm| (arm, left(&arm))).collect();
    draw(&rows, format!("Generation {last}. Means over seeds, and their range."))
}

/// In the largest models that have seen most, by what they were trained on.
pub(super) fn of_blends(fitted: &Fitted) -> Option<Figure> {
    let largest = fitted.points.iter().map(|point| (point.size, point.tokens)).max()?;
    let points: Vec<&Point> =
        fitted.points.iter().filter(|point| (point.size, point.tokens) == largest).collect();
    let key = Key::new(points.iter().map(|point| &point.blend));
    let of_blend = |blend: &Blend, metric| {
        let own = points.iter().filter(|point| point.blend == *blend);
        let values: Vec<f64> = own.filter_map(|point| point.tail.get(metric).copied()).collect();
        Spread::of(0, &values)
    };
    let rows: Vec<Row> = key
        .views()
        .into_iter()
        .zip(key.blends())
        .map(|(view, blend)| (view, TAIL.map(|metric| of_blend(blend, metric))))
        .collect();
    let (size, tokens) = largest;
    draw(&rows, format!("Models of {size} that have seen D = {tokens}. Means over seeds, and their range."))
}

fn draw(rows: &[Row], caption: String) -> Option<Figure> {
    let places: Vec<usize> =
        (0..TAIL.len()).filter(|&place| rows.iter().any(|(_, spreads)| spreads[place].is_some())).collect();
    if places.is_empty() {
        return None;
    }
    let mut scene = Scene::new(FIGURE_WIDTH, 0.0);
    let top = title(&mut scene, HEADING);
    let extras = [Extra::Dashed("natural text alone"), Extra::Note("bars: range over seeds")];
    let top = legend::arms(&mut scene, top, &[], &extras) + 6.0;
    let panels =
        Rows { arms: rows.iter().map(|(arm, _)| *arm).collect(), columns: places.len(), row: 24.0, top };
    for (index, &place) in places.iter().enumerate() {
        let frame = panels.frame(&mut scene, index);
        frame.heading(&mut scene, TAIL[place]);
        panel(&mut scene, &frame, rows, place);
    }
    scene.height = panels.bottom(places.len()) + EDGE - 8.0;
    let names: Vec<&str> = rows.iter().map(|(arm, _)| arm.name).collect();
    let alt = format!(
        "{HEADING} Medium and rare facts known, rare words and rare tokens written, a row for each of {}.",
        names.join("; ")
    );
    Some(Figure { name: "tail_left", caption, alt, scene })
}

fn panel(scene: &mut Scene, frame: &Frame, rows: &[Row], place: usize) {
    let spreads = || rows.iter().filter_map(|(_, spreads)| spreads[place]);
    let (low, high) = extent(spreads().map(|s| s.mean), spreads().flat_map(|s| [s.low, s.high]), 1.0);
    let scale = frame.scale(low, high);
    scale.draw(scene);
    let natural = rows.iter().find(|(arm, _)| [CONTROL, NATURAL].contains(&arm.name));
    if let Some(natural) = natural.and_then(|(_, spreads)| spreads[place]) {
        let x = scale.at(natural.mean);
        scene.dashed(&[(x, frame.top), (x, frame.bottom)], (5.0, 3.0), BLACK, 1.2);
    }
    for (index, (arm, spreads)) in rows.iter().enumerate() {
        if let Some(spread) = spreads[place] {
            let y = frame.middle(index);
            scale.interval(scene, y, [spread.low, spread.high], arm.look.ink);
            arm.look.marker(scene, (scale.at(spread.mean), y), 4.2, false);
        }
    }
}
