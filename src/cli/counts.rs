//! Whole numbers of the command line.

use anyhow::{Context, Result, bail, ensure};

/// A whole number, which may be written 15e12, 1.5e3 or 100_000.
pub fn count(text: &str) -> Result<u64> {
    let fault = || format!("{text:?} is no whole number; write 100000, 100_000, 1e5 or 15e12");
    let plain = text.replace('_', "");
    let (mantissa, exponent) = plain.split_once(['e', 'E']).unwrap_or((&plain, "0"));
    let exponent: usize =
        exponent.trim_start_matches('+').parse().ok().filter(|&e| e < 20).with_context(fault)?;
    let (whole, part) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let part = part.trim_end_matches('0');
    if part.len() > exponent || whole.is_empty() {
        bail!(fault());
    }
    let digits = format!("{whole}{part}{}", "0".repeat(exponent - part.len()));
    ensure!(digits.chars().all(|c| c.is_ascii_digit()), fault());
    digits.parse().with_context(|| format!("{text:?} is too large; give at most 2^53"))
}

/// The same, from 1 on.
pub fn positive_count(text: &str) -> Result<u64> {
    let count = count(text)?;
    ensure!(count > 0, "give at least 1");
    Ok(count)
}
