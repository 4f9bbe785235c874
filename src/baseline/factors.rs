//! The factor by which a decoder changes the frequency of each type.
//!
//! Truncating a language model's predictions is not the same as truncating the frequencies of types: top-k keeps a rare
//! type where it is expected, and cuts a frequent one where it is not. A decoder changes the frequency of a type by
//!
//! ```text
//! factor = Σ_contexts P(context) q′(type | context) / Σ_contexts P(context) q(type | context)
//!        = mean over occurrences of the type of q′/q,
//! ```
//!
//! with q the prediction and q′ the distribution after decoding. Contexts and occurrences are those of held-out natural
//! text. The q′/q of a word of several tokens is the product of the q′/q of these tokens.
//!
//! If natural text were drawn from q, the mean of q′/q over all its tokens would be 1, whatever the decoder. A model
//! also gives probability to text that nobody writes. A decoder removes this probability and distributes it over all
//! the rest, so the mean is c > 1. The models of the baseline make no errors and have no such probability to
//! distribute, but these ratios would give a word of k tokens a factor of cᵏ in every generation. Therefore every
//! token's q′/q is divided by c.
//!
//! Rare types occur too seldom in held-out text to have a mean each, so the types of a bin share one mean. A bin is an
//! octave of counts in the reference text (1, 2–3, 4–7, …). Beginning with the rarest types, a bin is merged with the
//! next more frequent ones until it has [`LEAST_OCCURRENCES`]. Bins that remain at the frequent end are merged with the
//! bin before them.
//!
//! **Limits.** The factor is always that of generation 0: models that learn from decoded text predict more sharply, and
//! then a decoder has less left to cut. The types of a bin also differ from each other: the factor of a bin is right
//! for their total frequency, while the survival of a type depends on the factor of that type alone.
//!
//! ```
//! use genloss::baseline::factors::factors;
//! use genloss::measure::Occurrence;
//!
//! // A rare type (id 0) that the decoder cuts in half of its 40 occurrences, and a frequent one that it never cuts.
//! let occurrence = |position: usize| Occurrence { id: (position / 40) as u32, tokens: position..position + 1 };
//! let occurrences: Vec<Occurrence> = (0..80).map(occurrence).collect();
//! let log_ratios = (0..80).map(|position| if position < 20 { f32::NEG_INFINITY } else { 0.0 }).collect();
//! let factors = factors(&[1, 1000], &occurrences, &[log_ratios]).unwrap();
//! // Relative to the mean of all 80 ratios, 0.75.
//! assert!((factors[0] - 0.5 / 0.75).abs() < 1e-9 && (factors[1] - 1.0 / 0.75).abs() < 1e-9);
//! ```

use crate::measure::Occurrence;
use std::collections::BTreeSet;

/// The smallest number of occurrences in a bin. If all types together have fewer occurrences, there is only one bin.
pub const LEAST_OCCURRENCES: usize = 30;

/// Factors closer to 1 than this may differ from it only by the rounding of f32 probabilities.
const ROUNDING: f64 = 1e-5;

/// The factor by which a decoder changes the frequency of each type, in the order of `counts`.
///
/// `counts` are the counts of the types in the reference text, and `occurrences` are the places of the types in
/// held-out text. `log_ratios` has one list per model, with ln q′/q of every held-out token. Returns None if no type
/// occurs in held-out text, or if that text is too short to distinguish rare types from frequent ones. If all factors
/// differ from 1 only by rounding, they are 1.
#[must_use]
pub fn factors(counts: &[u32], occurrences: &[Occurrence], log_ratios: &[Vec<f32>]) -> Option<Vec<f64>> {
    let mut bins = vec![Bin::default(); u32::BITS as usize];
    let centred: Vec<Vec<f64>> = log_ratios.iter().map(|log_ratios| centred(log_ratios)).collect();
    for occurrence in occurrences {
        let Some(bin) = counts.get(occurrence.id as usize).copied().and_then(octave) else { continue };
        for ratios in centred.iter().filter_map(|ratios| ratios.get(occurrence.tokens.clone())) {
            bins[bin].ratios += ratios.iter().product::<f64>();
            bins[bin].terms += 1;
        }
        bins[bin].occurrences += 1;
    }
    let factors = mean_ratios(&bins)?;
    let octaves: BTreeSet<usize> = counts.iter().copied().filter_map(octave).collect();
    if octaves.len() > 1 && bins.iter().map(|bin| bin.occurrences).sum::<usize>() < 2 * LEAST_OCCURRENCES {
        return None;
    }
    let is_plain = octaves.iter().all(|&octave| (factors[octave] - 1.0).abs() < ROUNDING);
    let of = |bin: usize| if is_plain { 1.0 } else { factors[bin] };
    Some(counts.iter().map(|&count| octave(count).map_or(1.0, of)).collect())
}

/// The occurrences of types of similar frequency.
#[derive(Clone, Copy, Debug, Default)]
struct Bin {
    occurrences: usize,
    /// Sum of q′/q over occurrences and models.
    ratios: f64,
    /// The number of terms of that sum.
    terms: usize,
}

impl Bin {
    fn merged_with(self, other: Self) -> Self {
        Self {
            occurrences: self.occurrences + other.occurrences,
            ratios: self.ratios + other.ratios,
            terms: self.terms + other.terms,
        }
    }
}

/// The bin of a count; None for 0.
fn octave(count: u32) -> Option<usize> {
    count.checked_ilog2().map(|octave| octave as usize)
}

/// q′/q of every token, divided by its mean over all tokens.
fn centred(log_ratios: &[f32]) -> Vec<f64> {
    let ratios: Vec<f64> = log_ratios.iter().map(|&log| f64::from(log).exp()).collect();
    let mean = ratios.iter().sum::<f64>() / ratios.len() as f64;
    ratios.into_iter().map(|ratio| ratio / mean).collect()
}

/// The mean ratio of every bin, after merging bins with too few occurrences.
fn mean_ratios(bins: &[Bin]) -> Option<Vec<f64>> {
    // For every merged bin: how many neighbouring bins it was merged from, and the bin itself.
    let mut runs: Vec<(usize, Bin)> = Vec::new();
    let (mut first, mut open) = (0, Bin::default());
    for (index, &bin) in bins.iter().enumerate() {
        open = open.merged_with(bin);
        if open.occurrences >= LEAST_OCCURRENCES {
            runs.push((index + 1 - first, open));
            (first, open) = (index + 1, Bin::default());
        }
    }
    let rest = bins.len() - first;
    match runs.last_mut() {
        Some((length, last)) => (*length, *last) = (*length + rest, last.merged_with(open)),
        None => runs.push((rest, open)),
    }
    // If every occurrence is cut, count half of one as kept: a frequency of 0 would be too certain.
    let mean = |run: &Bin| Some(run.ratios.max(0.5) / run.terms as f64).filter(|mean| mean.is_finite());
    let means = runs.iter().map(|(length, run)| Some(vec![mean(run)?; *length]));
    means.collect::<Option<Vec<_>>>().map(|means| means.concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn occurrences(ids: &[u32]) -> Vec<Occurrence> {
        ids.iter().enumerate().map(|(index, &id)| Occurrence { id, tokens: index..index + 1 }).collect()
    }

    /// Three bins by count: 1 (types 0 and 1), 4 (type 2), 100 (type 3). Of the 30 occurrences of types 0 and 1, 20 are
    /// cut and 10 are doubled, so the mean of both types is 20/30. The 10 occurrences of type 2 are merged with the 30
    /// of type 3, and their mean is 50/40. The mean over all occurrences is 70/70.
    #[test]
    fn a_factor_is_the_mean_ratio_over_types_of_similar_frequency() {
        let ids: Vec<u32> = [vec![0; 20], vec![1; 10], vec![2; 10], vec![3; 30]].concat();
        let logs = |id: u32| [f32::NEG_INFINITY, 2f32.ln(), 0.5f32.ln(), 1.5f32.ln()][id as usize];
        let log_ratios: Vec<f32> = ids.iter().map(|&id| logs(id)).collect();
        let found = factors(&[1, 1, 4, 100, 0], &occurrences(&ids), &[log_ratios]).unwrap();
        let expected = [2.0 / 3.0, 2.0 / 3.0, 1.25, 1.25, 1.0];
        assert!(found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-6), "{found:?}");
    }

    /// A rare and a frequent type with 59 occurrences together make only one bin, and with 60 they make two. A ratio
    /// that is the same for all types changes nothing, and rounding does not matter.
    #[test]
    fn rare_types_must_be_distinguishable_from_frequent_ones() {
        let of = |each: usize, log: f32| {
            let ids = [vec![0; each], vec![1; 30]].concat();
            factors(&[1, 100], &occurrences(&ids), &[vec![log; ids.len()]])
        };
        assert_eq!(of(29, 0.0), None);
        assert_eq!(of(30, 1e-7), Some(vec![1.0, 1.0]));
    }

    /// In the first model the ratios 1, ½ and 3 have the mean 1.5, so the product of the last two is 1.5/1.5² = 2/3. In
    /// the second model, whose predictions do not change, the product is 1. The mean of the two products is 5/6.
    #[test]
    fn the_ratio_of_a_word_is_the_product_of_those_of_its_tokens() {
        let word = Occurrence { id: 0, tokens: 1..3 };
        let log_ratios = [vec![0.0, 0.5f32.ln(), 3f32.ln()], vec![0.0; 3]];
        assert!((factors(&[7], &[word], &log_ratios).unwrap()[0] - 5.0 / 6.0).abs() < 1e-6);
        assert_eq!(factors(&[7], &[], &log_ratios), None);
        assert_eq!(factors(&[7], &[Occurrence { id: 0, tokens: 0..1 }], &[]), None);
    }
}
