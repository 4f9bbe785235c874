//! Newtypes for quantities that are easily confused.
//!
//! ```
//! use genloss::units::{BitsPerByte, Tokens};
//!
//! assert_eq!(Tokens(1_250_000).to_string(), "1_250_000");
//! // 8 ln 2 nats over 4 bytes are 2 bits per byte.
//! assert_eq!(BitsPerByte::from_sums(8.0 * std::f64::consts::LN_2, 4), BitsPerByte(2.0));
//! ```

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;

/// A number of model tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
#[schemars(inline)]
pub struct Tokens(pub u64);

impl fmt::Display for Tokens {
    /// Digits in groups of three: `1_250_000`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = self.0.to_string();
        let mut grouped = String::with_capacity(digits.len() + digits.len() / 3);
        for (index, digit) in digits.chars().enumerate() {
            if index > 0 && (digits.len() - index).is_multiple_of(3) {
                grouped.push('_');
            }
            grouped.push(digit);
        }
        f.pad(&grouped)
    }
}

/// A number with its noun: `1 seed`, `2_000 seeds`.
///
/// ```
/// assert_eq!(genloss::units::counted(1, "seed"), "1 seed");
/// assert_eq!(genloss::units::counted(2000, "seed"), "2_000 seeds");
/// ```
#[must_use]
pub fn counted(number: u64, noun: &str) -> String {
    format!("{} {noun}{}", Tokens(number), if number == 1 { "" } else { "s" })
}

/// A loss: the mean of −ln p over tokens, where p is the predicted probability of a token.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(transparent)]
pub struct NatsPerToken(pub f64);

/// A loss that does not depend on the tokenizer: `Σ nats / (ln 2 · Σ bytes)`.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(transparent)]
pub struct BitsPerByte(pub f64);

impl BitsPerByte {
    /// Divides the sum of nats over all documents by the sum of their bytes, so that each document is weighted by its
    /// length.
    #[must_use]
    pub fn from_sums(nats: f64, bytes: u64) -> Self {
        Self(nats / (std::f64::consts::LN_2 * bytes as f64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_written_in_groups_of_three_digits() {
        assert_eq!(Tokens(7).to_string(), "7");
        assert_eq!(Tokens(1_250_000).to_string(), "1_250_000");
    }
}
