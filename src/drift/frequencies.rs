//! Natural frequencies of types.

use super::{DriftError, fault};
use crate::rarity::Rarity;

/// A distribution over types, and which of them are its tail. Holding one means that it is valid.
#[derive(Clone, Debug, PartialEq)]
pub struct Frequencies {
    probabilities: Vec<f64>,
    is_tail: Vec<bool>,
}

impl Frequencies {
    /// Frequencies in proportion to `weights` (types), which need not be sorted or sum to 1. A weight of 0 is a type
    /// that never occurs.
    ///
    /// # Errors
    /// When there are no types, a weight is negative or no number, or all are 0.
    pub fn new(weights: &[f64]) -> Result<Self, DriftError> {
        const SETTING: &str = "frequencies";
        if weights.is_empty() {
            return Err(fault("types", "there are none; give at least one type"));
        }
        if let Some((place, weight)) = weights.iter().enumerate().find(|(_, w)| !w.is_finite() || **w < 0.0) {
            let message = format!("number {} is {weight}; a frequency is 0 or above", place + 1);
            return Err(fault(SETTING, message));
        }
        let total: f64 = weights.iter().sum();
        if total <= 0.0 || !total.is_finite() {
            return Err(fault(SETTING, format!("they sum to {total}; give at least one above 0")));
        }
        let probabilities: Vec<f64> = weights.iter().map(|weight| weight / total).collect();
        let is_tail = tail(&probabilities);
        Ok(Self { probabilities, is_tail })
    }

    /// Zipf–Mandelbrot: the type of rank r has a weight of `(r + shift)^−exponent`, r = 1, 2, … An exponent of 0 is the
    /// uniform distribution.
    ///
    /// # Errors
    /// When there are no types, or a number is out of range.
    pub fn zipf(types: usize, exponent: f64, shift: f64) -> Result<Self, DriftError> {
        if !exponent.is_finite() || exponent < 0.0 {
            return Err(fault("zipf", format!("{exponent} is not a number from 0 up")));
        }
        if !shift.is_finite() || shift <= -1.0 {
            return Err(fault("shift", format!("{shift} is not a number above -1")));
        }
        let weights: Vec<f64> = (1..=types).map(|rank| (rank as f64 + shift).powf(-exponent)).collect();
        Self::new(&weights)
    }

    /// Frequencies in proportion to counts.
    ///
    /// # Errors
    /// When there are no types, or none was counted.
    pub fn from_counts(counts: &[u64]) -> Result<Self, DriftError> {
        let weights: Vec<f64> = counts.iter().map(|&count| count as f64).collect();
        Self::new(&weights)
    }

    /// Natural frequency of each type. They sum to 1.
    #[must_use]
    pub fn probabilities(&self) -> &[f64] {
        &self.probabilities
    }

    /// Whether each type is among the rarest ones that hold the last 1 % of the mass: see [`Rarity`].
    #[must_use]
    pub fn is_tail(&self) -> &[bool] {
        &self.is_tail
    }

    /// 1 − Σ p².
    #[must_use]
    pub fn gini_simpson(&self) -> f64 {
        1.0 - self.probabilities.iter().map(|p| p * p).sum::<f64>()
    }

    /// The mass of the tail types.
    #[must_use]
    pub fn tail_mass(&self) -> f64 {
        self.probabilities.iter().zip(&self.is_tail).filter(|(_, tail)| **tail).map(|(p, _)| p).sum()
    }
}

/// Types of equal frequency stand in the order of their ids.
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
    fn the_tail_is_found_in_any_order() {
        let frequencies = Frequencies::new(&[0.05, 5.0, 3.5, 0.1, 0.0, 1.35]).unwrap();
        assert_eq!(frequencies.is_tail(), [true, false, false, false, false, false]);
        assert!((frequencies.tail_mass() - 0.005).abs() < 1e-12);
    }

    #[test]
    fn a_zipf_exponent_of_0_is_uniform() {
        let frequencies = Frequencies::zipf(4, 0.0, 0.0).unwrap();
        assert_eq!(frequencies.probabilities(), [0.25; 4]);
        assert!((frequencies.gini_simpson() - 0.75).abs() < 1e-15);
    }

    #[test]
    fn what_is_no_distribution_is_refused() {
        let said = |weights: &[f64]| Frequencies::new(weights).unwrap_err().to_string();
        assert!(said(&[]).starts_with("types: there are none"));
        assert!(said(&[1.0, -2.0]).contains("number 2 is -2"));
        assert!(said(&[f64::NAN]).contains("number 1 is NaN"));
        assert!(said(&[0.0, 0.0]).contains("sum to 0"));
    }
}
