//! The style sheet of the page.

pub(super) const CSS: &str = include_str!("style.css");
