//! Means over seeds with their intervals, formatted for the documents.

use anyhow::{Result, ensure};
use statrs::distribution::{ContinuousCDF, StudentsT};

/// "+0.550 [+0.445, +0.656]": the mean of one value per seed, with the 95 % interval of Student's t.
pub fn mean_with_interval(values: &[f64]) -> Result<String> {
    ensure!(values.len() >= 2, "an interval needs at least two seeds");
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (n - 1.0);
    let half = StudentsT::new(0.0, 1.0, n - 1.0)?.inverse_cdf(0.975) * (variance / n).sqrt();
    Ok(minus(&format!("{mean:+.3} [{:+.3}, {:+.3}]", mean - half, mean + half)))
}

/// The mean with three decimals: "4.317".
pub fn mean(values: &[f64]) -> String {
    minus(&format!("{:.3}", values.iter().sum::<f64>() / values.len() as f64))
}

/// Replaces hyphens by minus signs.
fn minus(text: &str) -> String {
    text.replace('-', "−")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The values 1, 2, 3 have mean 2 and standard deviation 1; t = 4.303 at two degrees of freedom; 4.303 / √3 =
    /// 2.484.
    #[test]
    fn an_interval_is_that_of_students_t() {
        assert_eq!(mean_with_interval(&[1.0, 2.0, 3.0]).unwrap(), "+2.000 [−0.484, +4.484]");
        assert!(mean_with_interval(&[1.0]).is_err());
    }
}
