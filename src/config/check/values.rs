//! Values that stand by themselves: names, numbers within a range.

use crate::config::error::{ConfigError, setting};
use crate::units::Tokens;

pub(in crate::config) const LARGEST_SHAPE: usize = 1 << 20;

pub(in crate::config) fn check_name(key: &str, name: &str) -> Result<(), ConfigError> {
    let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '=' | ',');
    if name.is_empty() || name.len() > 100 || name.starts_with('.') || !name.chars().all(good) {
        let message = format!(
            "{name:?} is no name for a folder; use up to 100 letters, digits, \"-\", \"_\", \".\", \"=\" and \",\", not beginning with \".\""
        );
        return Err(setting(key, message));
    }
    Ok(())
}

pub(in crate::config) fn within(
    key: &str,
    value: usize,
    least: usize,
    most: usize,
) -> Result<usize, ConfigError> {
    if (least..=most).contains(&value) {
        return Ok(value);
    }
    Err(setting(key, format!("{value} is not within {least} to {most}")))
}

/// A finite number for which `good` holds; `range` says in words what that is.
pub(in crate::config) fn number(
    key: &str,
    value: f64,
    good: impl Fn(f64) -> bool,
    range: &str,
) -> Result<f64, ConfigError> {
    if value.is_finite() && good(value) {
        return Ok(value);
    }
    Err(setting(key, format!("{value} is not {range}")))
}

pub(in crate::config) fn positive(key: &str, value: f64) -> Result<f64, ConfigError> {
    number(key, value, |x| x > 0.0, "a number above 0")
}

pub(in crate::config) fn share(key: &str, value: f64) -> Result<f64, ConfigError> {
    number(key, value, |x| (0.0..=1.0).contains(&x), "a number from 0 to 1")
}

pub(super) fn open_share(key: &str, value: f64) -> Result<f64, ConfigError> {
    number(key, value, |x| x > 0.0 && x < 1.0, "a number between 0 and 1, both excluded")
}

pub(super) fn tokens(key: &str, value: u64) -> Result<Tokens, ConfigError> {
    const MOST: u64 = 1_000_000_000_000;
    if (1..=MOST).contains(&value) {
        return Ok(Tokens(value));
    }
    Err(setting(key, format!("{value} is not within 1 to {}", Tokens(MOST))))
}
