//! Standard errors: how far would a number move if other documents had been drawn?
//!
//! **Means** (losses, shares of positions) are ratios Σy/Σx over documents and use the closed form of the ratio
//! estimator (Cochran 1977, §6.4): with R = Σy/Σx over D documents,
//! `se² = D/(D−1) · Σ (y_d − R·x_d)² / (Σx)²`. Tokens of one document may depend on each other in any way.
//!
//! **Everything else** is a function of counts and uses the delete-a-block jackknife (Künsch 1989): the text is cut
//! into G blocks with equally many tokens, the statistic is computed G times with one block left out, and
//! `se² = (G−1)/G · Σ (θ₍g₎ − mean θ)²`. Equal blocks matter: type counts grow with the size of the text, and blocks
//! of unequal size would add that growth to the error. At most G − 1 documents are cut in two.
//!
//! Why not the bootstrap? A resample leaves out 1/e of the documents, and with them the types that occur once, so
//! it sees a text with a thinner tail than the one measured: for the number of types its standard error is
//! about half of the true one. The jackknife errs in the other direction, by the Efron–Stein inequality (1981): for the
//! number of types among n independent tokens it estimates `Σ λe^{−λ}` where the truth is `Σ e^{−λ}(1 − e^{−λ})`
//! (λ: expected count of a type), which under a power law gives a standard error at most 1.2 times too large. It is
//! also deterministic. With 32 blocks the standard error itself is known to about 13 % (1/√(2·31)).
//!
//! A text of fewer than 32 documents is cut into one block per document, but into at least two. The standard error of a
//! single document then reflects the spread within it, but not that between documents.

use super::MeasureError;
use crate::documents::Documents;
use std::ops::Range;

/// The largest number of jackknife blocks.
pub(super) const BLOCKS: usize = 32;

/// Where each document ends in the flat order of tokens.
pub(super) fn ends(documents: &Documents) -> Vec<usize> {
    documents.ends().iter().map(|&end| end as usize).collect()
}

/// A number with its standard error.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    /// The number, in the unit of its metric.
    pub value: f64,
    /// Standard error of `value`, in the same unit; from sampling documents.
    pub std_err: f64,
    /// How many tokens (or words, n-grams, facts: whatever is counted) `value` was computed from.
    pub n: u64,
}

impl Estimate {
    /// The ratio Σy/Σx over independent clusters `(y, x)`, usually documents; `n` is Σx. None if fewer than two clusters
    /// have an x other than 0, because then nothing shows how much clusters vary.
    #[must_use]
    pub fn ratio(clusters: &[(f64, f64)]) -> Option<Self> {
        let count = clusters.len() as f64;
        let (sum_y, sum_x) =
            clusters.iter().fold((0.0, 0.0), |(sum_y, sum_x), (y, x)| (sum_y + y, sum_x + x));
        let informative = clusters.iter().filter(|(_, x)| *x != 0.0).count();
        if informative < 2 || sum_x == 0.0 {
            return None;
        }
        let value = sum_y / sum_x;
        let squares: f64 = clusters.iter().map(|(y, x)| (y - value * x).powi(2)).sum();
        let std_err = (count / (count - 1.0) * squares).sqrt() / sum_x;
        Some(Self { value, std_err, n: sum_x.round() as u64 })
    }

    /// The mean of `values`, one for each token of `documents`, with documents as independent clusters. None if there
    /// are fewer than two tokens.
    ///
    /// # Errors
    /// If the number of values differs from the number of tokens.
    pub fn mean_over_tokens(documents: &Documents, values: &[f32]) -> Result<Option<Self>, MeasureError> {
        super::same_size("values", values.len(), "tokens", documents.flat().len())?;
        Ok(mean_over(values, &ends(documents), |_| true))
    }

    /// The estimate times a constant.
    #[must_use]
    pub fn scaled(self, factor: f64) -> Self {
        Self { value: self.value * factor, std_err: self.std_err * factor.abs(), ..self }
    }

    /// The same estimate with another `n`.
    #[must_use]
    pub fn with_n(self, n: u64) -> Self {
        Self { n, ..self }
    }

    /// The estimate with a standard error of at least `std_err`.
    pub(super) fn with_error_at_least(self, std_err: f64) -> Self {
        Self { std_err: self.std_err.max(std_err), ..self }
    }
}

/// The mean of `values` over the positions that are `included`, with documents (given by where each ends) as
/// independent clusters.
pub(super) fn mean_over(
    values: &[f32],
    ends: &[usize],
    included: impl Fn(usize) -> bool,
) -> Option<Estimate> {
    let sums: Vec<(f64, f64)> = clusters(ends)
        .into_iter()
        .map(|range| {
            let positions = range.filter(|&position| included(position));
            positions
                .fold((0.0, 0.0), |(sum, count), position| (sum + f64::from(values[position]), count + 1.0))
        })
        .collect();
    Estimate::ratio(&sums)
}

/// The number of blocks that a text of `documents` documents and `length` tokens is cut into; fewer than two if it is
/// too short to be cut.
pub(super) fn block_count(documents: usize, length: usize) -> usize {
    documents.clamp(2, BLOCKS).min(length)
}

/// `0..length` cut into `blocks` ranges whose lengths differ by at most one.
pub(super) fn block_ranges(length: usize, blocks: usize) -> impl Iterator<Item = Range<usize>> {
    (0..blocks).map(move |block| length * block / blocks..length * (block + 1) / blocks)
}

/// The jackknife's standard error, from one value per block left out.
pub(super) fn jackknife(left_out: &[f64]) -> f64 {
    let blocks = left_out.len() as f64;
    let mean = left_out.iter().sum::<f64>() / blocks;
    let squares: f64 = left_out.iter().map(|value| (value - mean).powi(2)).sum();
    ((blocks - 1.0) / blocks * squares).sqrt()
}

/// The ranges of positions that count as independent: the documents, given by where each ends, or the blocks of the
/// only document.
pub(super) fn clusters(ends: &[usize]) -> Vec<Range<usize>> {
    match ends {
        [] => Vec::new(),
        &[length] => block_ranges(length, block_count(BLOCKS, length)).collect(),
        _ => ends.iter().scan(0, |start, &end| Some(std::mem::replace(start, end)..end)).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The jackknife of a mean is the textbook standard error: values 1, 2, 3, 4 have sd² = 5/3 and se² = 5/12.
    #[test]
    fn the_jackknife_of_a_mean_is_its_textbook_standard_error() {
        let left_out: Vec<f64> = (1..=4).map(|value| (10.0 - f64::from(value)) / 3.0).collect();
        assert!((jackknife(&left_out) - (5.0_f64 / 12.0).sqrt()).abs() < 1e-12);
    }

    /// With one token per document a ratio is a mean: the same numbers.
    #[test]
    fn a_ratio_of_single_tokens_is_a_mean() {
        let estimate = Estimate::ratio(&[(1.0, 1.0), (2.0, 1.0), (3.0, 1.0), (4.0, 1.0)]).unwrap();
        assert!((estimate.value - 2.5).abs() < 1e-12);
        assert!((estimate.std_err - (5.0_f64 / 12.0).sqrt()).abs() < 1e-12);
    }

    #[test]
    fn a_ratio_needs_two_documents_and_something_to_divide_by() {
        assert_eq!(Estimate::ratio(&[(1.0, 1.0)]), None);
        assert_eq!(Estimate::ratio(&[(0.0, 0.0), (0.0, 0.0)]), None);
        assert_eq!(Estimate::ratio(&[(3.0, 2.0), (0.0, 0.0), (0.0, 0.0)]), None);
    }

    #[test]
    fn blocks_are_equal_to_within_one_and_cover_everything() {
        let ranges: Vec<_> = block_ranges(100, 32).collect();
        assert_eq!(ranges.first().map(|range| range.start), Some(0));
        assert_eq!(ranges.last().map(|range| range.end), Some(100));
        assert!(ranges.windows(2).all(|pair| pair[0].end == pair[1].start));
        assert!(ranges.iter().all(|range| (3..=4).contains(&range.len())));
    }

    #[test]
    fn a_single_document_is_cut_into_blocks_and_several_are_left_whole() {
        assert_eq!(clusters(&[64]).len(), 32);
        assert_eq!(clusters(&[3]), [0..1, 1..2, 2..3]);
        assert_eq!(clusters(&[2, 2, 5]), [0..2, 2..2, 2..5]);
    }
}
