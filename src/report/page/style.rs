//! The look of the page.

/// The whole style sheet.
pub(super) const CSS: &str = include_str!("style.css");
