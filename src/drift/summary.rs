//! Means over replicates, compared with the exact expectation.
//!
//! The standard error is the replicates' standard deviation divided by √replicates; one replicate has none. `z = (mean
//! − exact)/std_err` is close to standard normal only if the mean over the replicates is close to normal. z is
//! withheld:
//!
//! - if there are fewer than 30 replicates, or all of them agree to the last bit;
//! - if the skewness of the replicates exceeds 0.3 √replicates. In a sample of R values, k of which differ from all the
//!   others, the skewness is about √(R/k), so this requires that at least eleven replicates determine the mean. Deep
//!   collapse violates it: H is 0 in nearly all lineages, and the few others determine its mean;
//! - if the caller knows that the mean is determined by lineages so rare that a sample may contain none of them
//!   ([`super::gaussian`]).
//!
//! A mean that is no number, because a replicate has no value or the sum overflows, is written as missing, with the reason.
//!
//! ```
//! use genloss::drift::DriftRow;
//! let values: Vec<f64> = (1..=50).map(f64::from).collect();
//! let row = DriftRow::new(0, "example", &values, Some(25.5));
//! assert_eq!((row.mean, row.z), (25.5, Some(0.0)));
//! ```

use serde::{Serialize, Serializer};

/// Minimum number of replicates for z. The standard deviation of fewer replicates is too uncertain.
const MIN_REPLICATES: usize = 30;

/// Maximum of skewness/√replicates at which z is reported.
pub(super) const MAX_SKEW: f64 = 0.3;

/// One statistic of one generation, summarised over all replicates.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DriftRow {
    /// Generation 0 is the fit to natural samples.
    pub generation: usize,
    /// Name of the statistic, as listed in the documentation of its simulation.
    pub statistic: &'static str,
    /// Mean over replicates; not finite if there is none.
    #[serde(serialize_with = "finite")]
    pub mean: f64,
    /// Standard error of the mean; None for a single replicate, and without a mean.
    pub std_err: Option<f64>,
    /// Exact expectation, if it is known.
    pub exact: Option<f64>,
    /// (mean − exact)/std_err, unless it is withheld (see [`super::summary`]).
    pub z: Option<f64>,
    /// Why there is no mean; None if there is one.
    pub reason: Option<&'static str>,
}

/// Writes a number that is not finite as missing.
fn finite<S: Serializer>(value: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    Some(value).filter(|value| value.is_finite()).serialize(serializer)
}

impl DriftRow {
    /// Summarises the values of all replicates.
    #[must_use]
    pub fn new(generation: usize, statistic: &'static str, values: &[f64], exact: Option<f64>) -> Self {
        let size = values.len() as f64;
        let mean = values.iter().sum::<f64>() / size;
        let moment = |power: i32| values.iter().map(|value| (value - mean).powi(power)).sum::<f64>() / size;
        let variance = moment(2);
        let std_err = (values.len() > 1).then(|| (variance / (size - 1.0)).sqrt()).filter(|e| e.is_finite());
        let skewness = moment(3) / variance.powf(1.5);
        let is_nearly_normal = values.len() >= MIN_REPLICATES && skewness.abs() <= MAX_SKEW * size.sqrt();
        // Replicates that differ only by rounding have no spread.
        let spread = std_err.filter(|&error| is_nearly_normal && error > 1e-13 * mean.abs());
        let z = exact.zip(spread).map(|(exact, error)| (mean - exact) / error).filter(|z| z.is_finite());
        let reason = (!mean.is_finite()).then_some("the mean is too large for a double, or undefined");
        let exact = exact.filter(|exact| exact.is_finite());
        Self { generation, statistic, mean, std_err, exact, z, reason }
    }

    /// The same row with `reason` instead of the general one, if there is no mean.
    #[must_use]
    pub fn because(self, reason: &'static str) -> Self {
        Self { reason: self.reason.map(|_| reason), ..self }
    }

    /// The same row with z withheld.
    #[must_use]
    pub fn without_z(self) -> Self {
        Self { z: None, ..self }
    }
}

/// One row for each generation and statistic, ordered by generation, then as in `names`.
/// `values[replicate][generation][statistic]` has the same number of generations for all replicates. `exact` is called
/// with a generation and the index of a statistic in `names`.
#[must_use]
pub fn rows<const S: usize>(
    names: [&'static str; S],
    values: &[Vec<[f64; S]>],
    exact: impl Fn(usize, usize) -> Option<f64>,
) -> Vec<DriftRow> {
    let generations = values.first().map_or(0, Vec::len);
    let mut rows = Vec::with_capacity(generations * S);
    for generation in 0..generations {
        for (index, name) in names.into_iter().enumerate() {
            let over_replicates: Vec<f64> = values.iter().map(|lineage| lineage[generation][index]).collect();
            rows.push(DriftRow::new(generation, name, &over_replicates, exact(generation, index)));
        }
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 1, …, 50: mean 25.5, variance 50·51/12, standard error √(variance/50) = √(51/12).
    #[test]
    fn mean_standard_error_and_z_match_a_calculation_by_hand() {
        let values: Vec<f64> = (1..=50).map(f64::from).collect();
        let row = DriftRow::new(3, "x", &values, Some(20.0));
        let error = (51.0_f64 / 12.0).sqrt();
        assert!((row.mean - 25.5).abs() < 1e-12 && (row.std_err.unwrap() - error).abs() < 1e-12);
        assert!((row.z.unwrap() - 5.5 / error).abs() < 1e-12);
    }

    #[test]
    fn a_mean_that_is_no_number_is_missing_with_a_reason() {
        for values in [[1.0, f64::NAN], [1.0, f64::INFINITY], [f64::MAX, f64::MAX]] {
            let row = DriftRow::new(0, "x", &values, Some(f64::INFINITY));
            assert_eq!((row.std_err, row.exact, row.z), (None, None, None));
            let json = serde_json::to_value(row.because("it ended")).unwrap();
            assert_eq!((&json["mean"], &json["reason"]), (&serde_json::Value::Null, &"it ended".into()));
        }
        assert_eq!(DriftRow::new(0, "x", &[1.0, 2.0], None).because("it ended").reason, None);
    }

    #[test]
    fn z_is_withheld_if_a_few_replicates_determine_the_mean() {
        let mut values = vec![0.0; 100];
        values[3] = 1.0;
        assert_eq!(DriftRow::new(0, "x", &values, Some(0.5)).z, None);
        for value in &mut values[..40] {
            *value = 1.0;
        }
        assert!(DriftRow::new(0, "x", &values, Some(0.5)).z.is_some());
        assert_eq!(DriftRow::new(0, "x", &[0.25; 100], Some(0.5)).z, None);
        assert_eq!(DriftRow::new(0, "x", &[0.25], Some(0.5)).std_err, None);
    }
}
