//! Whole numbers on the command line, which may be written 15e12, 1.5e3 or 100_000.

use anyhow::{Context, Result, bail, ensure};

/// Parses a whole number.
pub fn count(text: &str) -> Result<u64> {
    let wrong = || format!("{text:?} is not a whole number; write 100000, 100_000, 1e5 or 15e12");
    let plain = text.replace('_', "");
    let (mantissa, exponent) = plain.split_once(['e', 'E']).unwrap_or((&plain, "0"));
    let exponent: usize =
        exponent.trim_start_matches('+').parse().ok().filter(|&e| e < 20).with_context(wrong)?;
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let fraction = fraction.trim_end_matches('0');
    if fraction.len() > exponent || whole.is_empty() {
        bail!(wrong());
    }
    let digits = format!("{whole}{fraction}{}", "0".repeat(exponent - fraction.len()));
    ensure!(digits.chars().all(|c| c.is_ascii_digit()), wrong());
    digits.parse().with_context(|| format!("{text:?} is too large; give at most 1.8e19"))
}

/// Parses a whole number of at least 1.
pub fn positive_count(text: &str) -> Result<u64> {
    let count = count(text)?;
    ensure!(count > 0, "give at least 1");
    Ok(count)
}

/// Parses a whole number from 1 to a million.
pub fn up_to_a_million(text: &str) -> Result<u64> {
    let count = positive_count(text)?;
    ensure!(count <= 1_000_000, "give at most 1_000_000");
    Ok(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_may_have_an_exponent_or_underscores() {
        let good = [("15e12", 15_000_000_000_000), ("1e6", 1_000_000), ("100_000", 100_000), ("1.5e3", 1500)];
        for (text, expected) in good {
            assert_eq!(count(text).unwrap(), expected);
        }
        for text in ["1.5", "-3", "1e-2", "", "e5", "15 12", "1e25", "99999999999999999999999", "nan"] {
            assert!(count(text).is_err(), "{text}");
        }
        assert!(positive_count("0").is_err() && up_to_a_million("1000001").is_err());
    }
}
