//! Means over replicates, held against the exact expectation.
//!
//! The standard error is the replicates' standard deviation over √replicates; with one replicate there is none.
//! `z = (mean − exact)/std_err` reads as a standard normal only if the mean of that many replicates is nearly normal.
//! It is withheld
//!
//! - with fewer than 30 replicates, or where all of them agree to the last bit;
//! - where the skewness of the replicates exceeds 0.3 √replicates. A sample of R has a skewness of √R if one replicate
//!   is all there is, and of √(R/k) if k of them differ from the rest, so this asks that at least eleven carry the
//!   mean. Deep collapse fails it: H is 0 in nearly all lineages, and its mean is that of the few others;
//! - where the caller knows that the mean is carried by replicates too rare to be among them at all: see
//!   [`super::gaussian`].

use serde::Serialize;

/// Fewer replicates say too little about their own spread.
const LEAST_REPLICATES: usize = 30;

/// The largest skewness over √replicates at which z is given.
pub(super) const MOST_SKEW: f64 = 0.3;

/// One statistic of one generation, over all replicates.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    /// 0 is the fit to natural samples.
    pub generation: usize,
    /// Its name.
    pub statistic: &'static str,
    /// Mean over replicates.
    pub mean: f64,
    /// Its standard error; none with one replicate.
    pub std_err: Option<f64>,
    /// The expectation, where it is known.
    pub exact: Option<f64>,
    /// (mean − exact)/std_err, where it can be trusted.
    pub z: Option<f64>,
}

impl Row {
    /// Summarises the values of the replicates, in their order.
    #[must_use]
    pub fn new(generation: usize, statistic: &'static str, values: &[f64], exact: Option<f64>) -> Self {
        let size = values.len() as f64;
        let mean = values.iter().sum::<f64>() / size;
        let moment = |power: i32| values.iter().map(|value| (value - mean).powi(power)).sum::<f64>() / size;
        let variance = moment(2);
        let std_err = (values.len() > 1).then(|| (variance / (size - 1.0)).sqrt());
        let skewness = moment(3) / variance.powf(1.5);
        let trusted = values.len() >= LEAST_REPLICATES && skewness.abs() <= MOST_SKEW * size.sqrt();
        // Rounding of the mean is no spread.
        let spread = std_err.filter(|&error| trusted && error > 1e-13 * mean.abs());
        let z = exact.zip(spread).map(|(exact, error)| (mean - exact) / error).filter(|z| z.is_finite());
        Self { generation, statistic, mean, std_err, exact, z }
    }

    /// The same without z.
    #[must_use]
    pub fn without_z(self) -> Self {
        Self { z: None, ..self }
    }
}

/// The rows of every generation and statistic, in that order. `values[replicate][generation][statistic]` has the same
/// shape throughout; `exact` gives the expectation of a generation and the place of a statistic in `names`.
#[must_use]
pub fn rows<const S: usize>(
    names: [&'static str; S],
    values: &[Vec<[f64; S]>],
    exact: impl Fn(usize, usize) -> Option<f64>,
) -> Vec<Row> {
    let generations = values.first().map_or(0, Vec::len);
    let mut rows = Vec::with_capacity(generations * S);
    for generation in 0..generations {
        for (place, name) in names.into_iter().enumerate() {
            let over_replicates: Vec<f64> = values.iter().map(|lineage| lineage[generation][place]).collect();
            rows.push(Row::new(generation, name, &over_replicates, exact(generation, place)));
        }
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 1, …, 50: mean 25.5, variance 50·51/12, standard error √(variance/50).
    #[test]
    fn a_row_is_what_the_hand_computes() {
        let values: Vec<f64> = (1..=50).map(f64::from).collect();
        let row = Row::new(3, "x", &values, Some(20.0));
        let error = (51.0_f64 / 12.0).sqrt();
        assert!((row.mean - 25.5).abs() < 1e-12 && (row.std_err.unwrap() - error).abs() < 1e-12);
        assert!((row.z.unwrap() - 5.5 / error).abs() < 1e-12);
    }

    #[test]
    fn z_is_withheld_where_a_few_replicates_are_the_mean() {
        let mut values = vec![0.0; 100];
        values[3] = 1.0;
        assert_eq!(Row::new(0, "x", &values, Some(0.5)).z, None);
        for value in &mut values[..40] {
            *value = 1.0;
        }
        assert!(Row::new(0, "x", &values, Some(0.5)).z.is_some());
        assert_eq!(Row::new(0, "x", &[0.25; 100], Some(0.5)).z, None);
        assert_eq!(Row::new(0, "x", &[0.25], Some(0.5)).std_err, None);
    }
}
