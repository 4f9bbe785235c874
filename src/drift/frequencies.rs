//! The natural distribution over types.

use super::{DriftError, invalid};
use crate::rarity::Rarity;

/// A probability distribution over types, and which types form its tail. Probabilities are finite, not negative, and
/// sum to 1.
///
/// ```
/// use genloss::drift::Frequencies;
/// let uniform = Frequencies::zipf(4, 0.0, 0.0)?;
/// assert_eq!(uniform.probabilities(), [0.25; 4]);
/// # Ok::<(), genloss::drift::DriftError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Frequencies {
    probabilities: Vec<f64>,
    is_tail: Vec<bool>,
}

impl Frequencies {
    /// Frequencies in proportion to `weights`, one weight per type, which need not be sorted or sum to 1. A type of
    /// weight 0 never occurs.
    ///
    /// # Errors
    /// If there are no types, a weight is negative or not finite, or all weights are 0.
    pub fn new(weights: &[f64]) -> Result<Self, DriftError> {
        const SETTING: &str = "frequencies";
        if weights.is_empty() {
            return Err(invalid("types", "there are none; give at least one type"));
        }
        if let Some((index, weight)) = weights.iter().enumerate().find(|(_, w)| !w.is_finite() || **w < 0.0) {
            let message = format!("number {} is {weight}; a frequency is 0 or above", index + 1);
            return Err(invalid(SETTING, message));
        }
        let total: f64 = weights.iter().sum();
        if total <= 0.0 || !total.is_finite() {
            return Err(invalid(SETTING, format!("they sum to {total}; give at least one above 0")));
        }
        let probabilities: Vec<f64> = weights.iter().map(|weight| weight / total).collect();
        let is_tail = tail(&probabilities);
        Ok(Self { probabilities, is_tail })
    }

    /// Zipf–Mandelbrot: the type of rank r = 1, 2, … has weight `(r + shift)^−exponent`. An exponent of 0 gives the
    /// uniform distribution.
    ///
    /// # Errors
    /// If there are no types, the exponent is negative, or the shift is −1 or less.
    pub fn zipf(types: usize, exponent: f64, shift: f64) -> Result<Self, DriftError> {
        if !exponent.is_finite() || exponent < 0.0 {
            return Err(invalid("zipf", format!("{exponent} is not a number from 0 up")));
        }
        if !shift.is_finite() || shift <= -1.0 {
            return Err(invalid("shift", format!("{shift} is not a number above -1")));
        }
        let weights: Vec<f64> = (1..=types).map(|rank| (rank as f64 + shift).powf(-exponent)).collect();
        Self::new(&weights)
    }

    /// Frequencies in proportion to `counts`, one count per type.
    ///
    /// # Errors
    /// If there are no types, or all counts are 0.
    pub fn from_counts(counts: &[u64]) -> Result<Self, DriftError> {
        let weights: Vec<f64> = counts.iter().map(|&count| count as f64).collect();
        Self::new(&weights)
    }

    /// The probability of each type.
    #[must_use]
    pub fn probabilities(&self) -> &[f64] {
        &self.probabilities
    }

    /// For each type, whether it is a tail type: one of the rarest, which together have the last 1 % of the mass
    /// ([`Rarity`]). Types of probability 0 are never tail types.
    #[must_use]
    pub fn is_tail(&self) -> &[bool] {
        &self.is_tail
    }

    /// 1 − Σ p²: the probability that two independent draws differ. It is summed as `2 Σ_i p_i Σ_{j<i} p_j`, in ascending
    /// order of p, so that it is accurate even if nearly all of the mass is in one type.
    #[must_use]
    pub fn gini_simpson(&self) -> f64 {
        let mut ascending = self.probabilities.clone();
        ascending.sort_by(f64::total_cmp);
        let pairs = ascending.iter().scan(0.0, |rarer, p| {
            let product = *rarer * p;
            *rarer += p;
            Some(product)
        });
        2.0 * pairs.sum::<f64>()
    }

    /// Total probability of the tail types.
    #[must_use]
    pub fn tail_mass(&self) -> f64 {
        self.probabilities.iter().zip(&self.is_tail).filter(|(_, tail)| **tail).map(|(p, _)| p).sum()
    }
}

/// Flags the tail types. Among types of equal frequency, the lower id counts as the more frequent.
fn tail(probabilities: &[f64]) -> Vec<bool> {
    let mut order: Vec<usize> = (0..probabilities.len()).collect();
    order.sort_by(|&a, &b| probabilities[b].total_cmp(&probabilities[a]));
    let descending: Vec<f64> = order.iter().map(|&id| probabilities[id]).collect();
    let mut is_tail = vec![false; probabilities.len()];
    for (id, rarity) in order.into_iter().zip(Rarity::of_descending(&descending)) {
        is_tail[id] = rarity == Rarity::Tail && probabilities[id] > 0.0;
    }
    is_tail
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tail_is_found_whatever_the_order_of_types() {
        let frequencies = Frequencies::new(&[0.05, 5.0, 3.5, 0.1, 0.0, 1.35]).unwrap();
        assert_eq!(frequencies.is_tail(), [true, false, false, false, false, false]);
        assert!((frequencies.tail_mass() - 0.005).abs() < 1e-12);
    }

    #[test]
    fn a_zipf_exponent_of_0_is_uniform() {
        let frequencies = Frequencies::zipf(4, 0.0, 0.0).unwrap();
        assert_eq!(frequencies.probabilities(), [0.25; 4]);
        assert!((frequencies.gini_simpson() - 0.75).abs() < 1e-15);
        // Two types: 2 p (1 − p).
        let nearly_one = Frequencies::new(&[1.0, 1e-30]).unwrap().gini_simpson();
        assert!((nearly_one / 2e-30 - 1.0).abs() < 1e-12, "{nearly_one}");
    }

    #[test]
    fn weights_that_form_no_distribution_are_errors() {
        let message = |weights: &[f64]| Frequencies::new(weights).unwrap_err().to_string();
        assert!(message(&[]).starts_with("types: there are none"));
        assert!(message(&[1.0, -2.0]).contains("number 2 is -2"));
        assert!(message(&[f64::NAN]).contains("number 1 is NaN"));
        assert!(message(&[0.0, 0.0]).contains("sum to 0"));
    }
}
