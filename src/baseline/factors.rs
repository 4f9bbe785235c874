//! What does a decoder do to a type? Seen in context.
//!
//! A truncation of a language model's predictions is not one of the frequencies of types: top-k keeps a rare type where it
//! is expected, and cuts a frequent one where it is not. What a decoder does to how often a type is written is
//!
//! ```text
//! factor = Σ_contexts P(context) q′(type | context) / Σ_contexts P(context) q(type | context)
//!        = mean over occurrences of the type of q′/q,
//! ```
//!
//! with q the prediction and q′ what is drawn from after decoding. Contexts and occurrences are those of held-out natural
//! text. A word is written by several tokens; its q′/q is the product of theirs.
//!
//! Were natural text drawn from q, the mean of q′/q over all its tokens would be 1, whatever the decoder. A model also
//! gives probability to what nobody writes; a decoder takes that away and hands it to all the rest, and the mean is c > 1.
//! A baseline whose models err in nothing has no such noise to hand out, and a word of many tokens should not gain cᵏ by
//! it, again in every generation. So every token's q′/q is divided by c.
//!
//! Rare types occur too seldom in held-out text to have a mean each, so a mean is over all occurrences of types of about
//! one natural frequency: a bin is an octave of counts in the reference text (1, 2–3, 4–7, …), joined with more frequent
//! ones until there are [`LEAST_OCCURRENCES`]. Joining begins with the rarest; what remains at the frequent end joins
//! the bin before it.
//!
//! **Where it is wrong.** The factor is that of generation 0 for ever: models that learn from decoded text predict more
//! sharply, and then there is less left to cut. And types of a bin are not alike: the factor of a bin is right for their
//! sum, while which of them die depends on each.

use crate::measure::Occurrence;
use std::collections::BTreeSet;

/// Occurrences that a bin has at least, if there are so many in all.
pub const LEAST_OCCURRENCES: usize = 30;

/// What f32 probabilities leave of a factor of 1.
const ROUNDING: f64 = 1e-5;

/// By how much each type (types) becomes more frequent, given its count in the reference text (types), where types occur
/// in held-out text, and, for each of some models, ln q′/q of every held-out token. None if nothing occurs, or if there is
/// too little text to tell rare types from frequent ones. Factors that differ from 1 by rounding only are 1.
#[must_use]
pub fn factors(counts: &[u32], occurrences: &[Occurrence], log_ratios: &[Vec<f32>]) -> Option<Vec<f64>> {
    let mut bins = vec![Bin::default(); u32::BITS as usize];
    let centred: Vec<Vec<f64>> = log_ratios.iter().map(|log_ratios| centred(log_ratios)).collect();
    for occurrence in occurrences {
        let Some(bin) = counts.get(occurrence.id as usize).copied().and_then(octave) else { continue };
        for ratios in centred.iter().filter_map(|ratios| ratios.get(occurrence.tokens.clone())) {
            bins[bin].ratios += ratios.iter().product::<f64>();
            bins[bin].scores += 1;
        }
        bins[bin].occurrences += 1;
    }
    let factors = joined(&bins)?;
    let octaves: BTreeSet<usize> = counts.iter().copied().filter_map(octave).collect();
    if octaves.len() > 1 && bins.iter().map(|bin| bin.occurrences).sum::<usize>() < 2 * LEAST_OCCURRENCES {
        return None;
    }
    let is_plain = octaves.iter().all(|&octave| (factors[octave] - 1.0).abs() < ROUNDING);
    let of = |bin: usize| if is_plain { 1.0 } else { factors[bin] };
    Some(counts.iter().map(|&count| octave(count).map_or(1.0, of)).collect())
}

#[derive(Clone, Copy, Debug, Default)]
struct Bin {
    occurrences: usize,
    /// Over occurrences and models.
    ratios: f64,
    scores: usize,
}

impl Bin {
    fn with(self, other: Self) -> Self {
        Self {
            occurrences: self.occurrences + other.occurrences,
            ratios: self.ratios + other.ratios,
            scores: self.scores + other.scores,
        }
    }
}

/// The bin of a count; none for 0.
fn octave(count: u32) -> Option<usize> {
    count.checked_ilog2().map(|octave| octave as usize)
}

/// q′/q of every token, over its mean.
fn centred(log_ratios: &[f32]) -> Vec<f64> {
    let ratios: Vec<f64> = log_ratios.iter().map(|&log| f64::from(log).exp()).collect();
    let mean = ratios.iter().sum::<f64>() / ratios.len() as f64;
    ratios.into_iter().map(|ratio| ratio / mean).collect()
}

/// The mean ratio of every bin, after joining those with too little in them.
fn joined(bins: &[Bin]) -> Option<Vec<f64>> {
    let mut runs: Vec<(usize, Bin)> = Vec::new();
    let (mut first, mut open) = (0, Bin::default());
    for (place, &bin) in bins.iter().enumerate() {
        open = open.with(bin);
        if open.occurrences >= LEAST_OCCURRENCES {
            runs.push((place + 1 - first, open));
            (first, open) = (place + 1, Bin::default());
        }
    }
    let rest = bins.len() - first;
    match runs.last_mut() {
        Some((length, last)) => (*length, *last) = (*length + rest, last.with(open)),
        None => runs.push((rest, open)),
    }
    // Where every occurrence is cut, half of one might have stayed: no decoder writes nothing at all.
    let mean = |run: &Bin| Some(run.ratios.max(0.5) / run.scores as f64).filter(|mean| mean.is_finite());
    let means = runs.iter().map(|(length, run)| Some(vec![mean(run)?; *length]));
    means.collect::<Option<Vec<_>>>().map(|means| means.concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn occurrences(ids: &[u32]) -> Vec<Occurrence> {
        ids.iter().enumerate().map(|(place, &id)| Occurrence { id, tokens: place..place + 1 }).collect()
    }

    /// Three bins by count: 1 (types 0 and 1), 4 (type 2), 100 (type 3). Of 30 rare occurrences 20 are cut and 10
    /// doubled: 2/3, whichever of the two types they are. The 10 of count 4 join the 30 of count 100: 50/40. The mean
    /// over all is 70/70.
    #[test]
    fn a_factor_is_the_mean_ratio_over_types_of_about_one_frequency() {
        let ids: Vec<u32> = [vec![0; 20], vec![1; 10], vec![2; 10], vec![3; 30]].concat();
        let logs = |id: u32| [f32::NEG_INFINITY, 2f32.ln(), 0.5f32.ln(), 1.5f32.ln()][id as usize];
        let log_ratios: Vec<f32> = ids.iter().map(|&id| logs(id)).collect();
        let found = factors(&[1, 1, 4, 100, 0], &occurrences(&ids), &[log_ratios]).unwrap();
        let expected = [2.0 / 3.0, 2.0 / 3.0, 1.25, 1.25, 1.0];
        assert!(found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-6), "{found:?}");
    }

    /// 59 occurrences of a rare and a frequent type are one bin, 60 are two. And a ratio that is the same for all is no
    /// change, whatever its last digit.
    #[test]
    fn rare_types_must_be_told_from_frequent_ones() {
        let of = |each: usize, log: f32| {
            let ids = [vec![0; each], vec![1; 30]].concat();
            factors(&[1, 100], &occurrences(&ids), &[vec![log; ids.len()]])
        };
        assert_eq!(of(29, 0.0), None);
        assert_eq!(of(30, 1e-7), Some(vec![1.0, 1.0]));
    }

    /// Ratios of 1, ½ and 3 have the mean 1.5, so that the last two make 1.5/1.5²; in the eyes of a second model, which
    /// changes nothing, 1. The mean of both is 5/6.
    #[test]
    fn a_word_is_as_much_more_frequent_as_the_product_of_its_tokens() {
        let word = Occurrence { id: 0, tokens: 1..3 };
        let log_ratios = [vec![0.0, 0.5f32.ln(), 3f32.ln()], vec![0.0; 3]];
        assert!((factors(&[7], &[word], &log_ratios).unwrap()[0] - 5.0 / 6.0).abs() < 1e-6);
        assert_eq!(factors(&[7], &[], &log_ratios), None);
        assert_eq!(factors(&[7], &[Occurrence { id: 0, tokens: 0..1 }], &[]), None);
    }
}
