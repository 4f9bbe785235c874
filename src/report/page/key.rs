//! The key of an arm: a short piece of its line, with its marker.

use crate::report::palette::SeriesStyle;
use maud::{Markup, html};

/// Radius of the marker, in CSS pixels.
const RADIUS: f64 = 3.6;

/// The key as a picture. Black is the colour of writing, which is light where the page is dark.
pub(super) fn key(style: SeriesStyle) -> Markup {
    let color = match style.ink.rgb {
        (0, 0, 0) => "var(--ink)".to_owned(),
        (red, green, blue) => format!("rgb({red},{green},{blue})"),
    };
    let dashes = style.dash().map(|(dash, gap)| format!("{dash} {gap}"));
    let corners = style.corners().iter().map(|(x, y)| format!("{:.1},{:.1}", RADIUS * x, RADIUS * y));
    let corners: Vec<String> = corners.collect();
    html! {
        span.key style={ "color:" (color) } aria-hidden="true" {
            svg width="28" height="12" viewBox="-14 -6 28 12" fill="currentColor" {
                path d="M-14 0H14" stroke="currentColor" stroke-width="2" stroke-dasharray=[dashes] {}
                @if corners.is_empty() { circle r=(RADIUS) {} } @else { polygon points=(corners.join(" ")) {} }
            }
        }
    }
}
