//! Distinct and repeated n-grams: how much of the text has occurred before?
//!
//! - `distinct_1` … `distinct_4`: distinct n-grams divided by all n-grams (Li et al. 2016), n-grams taken within
//!   documents. A share; falls when a distribution narrows. It also falls with n, so it is comparable only at equal n.
//! - `repetition`: *does the text go round in circles?* Share of 4-grams that already occurred in the same document:
//!   `Σ_d (4-grams − distinct 4-grams) / Σ_d 4-grams`, the seq-rep-4 of Welleck et al. (2020), summed over documents
//!   before dividing. Rises when a distribution narrows. Longer documents repeat more; it does not depend on n.
//!
//! Standard errors: block jackknife for `distinct_1` … `distinct_4`, ratio estimator over documents for repetition.

use crate::measure::counts::{TypeCounts, types_seen};
use crate::measure::grams::Grams;
use crate::measure::uncertainty::mean_over;
use crate::measure::{
    CountedGeneration,
    Direction::{Down, Up},
    Estimate,
    Family::Form,
    MeasureError, Metric, MetricDefinition,
};

/// Shares of distinct n-grams, and of 4-grams repeated within a document.
pub(super) struct DistinctNgrams;

impl Metric for DistinctNgrams {
    fn definitions(&self) -> Vec<MetricDefinition> {
        let of = |id, label, narrowing| MetricDefinition::builtin(id, label, "share", Form, narrowing);
        vec![
            of("distinct_1", "distinct tokens", Down),
            of("distinct_2", "distinct 2-grams", Down),
            of("distinct_3", "distinct 3-grams", Down),
            of("distinct_4", "distinct 4-grams", Down),
            of("repetition", "4-grams repeated in a document", Up),
        ]
    }

    fn measure(&self, generation: &CountedGeneration) -> Result<Vec<Option<Estimate>>, MeasureError> {
        let synthetic = generation.inputs().synthetic;
        let three_grams = generation.pairs.longer(synthetic);
        let four_grams = three_grams.longer(synthetic);
        Ok(vec![
            distinct(generation.tokens()),
            distinct(generation.token_pairs()),
            distinct(&three_grams.counts()),
            distinct(&four_grams.counts()),
            mean_over(&repeated(&four_grams), &four_grams.ends, |_| true),
        ])
    }

    fn why_missing(&self, id: &str, _: &CountedGeneration) -> Option<String> {
        let why = match id {
            "repetition" => "fewer than two documents have four tokens",
            _ => "the text has fewer than two such n-grams",
        };
        Some(why.to_owned())
    }
}

fn distinct(counts: &TypeCounts) -> Option<Estimate> {
    let [share] = counts.estimate(|counts, n| [(n > 0).then(|| types_seen(counts) as f64 / n as f64)]);
    share
}

/// For each n-gram, in order: 1 if it occurred earlier in the same document, else 0.
fn repeated(grams: &Grams) -> Vec<f32> {
    let mut last_document = vec![usize::MAX; grams.types];
    let mut flags = Vec::with_capacity(grams.ids.len());
    let mut start = 0;
    for (document, &end) in grams.ends.iter().enumerate() {
        for &id in &grams.ids[start..end] {
            let before = std::mem::replace(&mut last_document[id as usize], document);
            flags.push(if before == document { 1.0 } else { 0.0 });
        }
        start = end;
    }
    flags
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::documents::Documents;
    use crate::selection::repeated_share;

    /// `a b c d a b c d e`: 4-grams abcd bcda cdab dabc abcd bcde; one of six occurred before. The second
    /// document contains abcd too, but for the first time.
    #[test]
    fn repetition_is_counted_within_a_document() {
        let documents: Documents = [&[1, 2, 3, 4, 1, 2, 3, 4, 5][..], &[1, 2, 3, 4]].into_iter().collect();
        let four = Grams::unigrams(&documents).longer(&documents).longer(&documents).longer(&documents);
        assert_eq!(repeated(&four), [0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0]);
        let selected: Vec<f64> = documents.iter().map(repeated_share).collect();
        assert_eq!(selected, [1.0 / 6.0, 0.0], "the selection rule uses the same share");
    }
}
