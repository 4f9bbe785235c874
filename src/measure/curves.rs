//! Curves for figures: rank–frequency curves of words, and survival of types by their natural frequency.

use super::CountedGeneration;
use super::counts::{Incidence, tally};
use super::natural::Natural;
use serde::{Deserialize, Serialize};

/// Curves for figures.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Curves {
    /// Relative frequency of word types by rank in the synthetic text, at about 60 log-spaced ranks.
    pub rank_frequency_words: Vec<RankPoint>,
    /// The same curve for the natural reference text, over the same number of words.
    pub natural_rank_frequency_words: Vec<RankPoint>,
    /// Survival of token types by their natural frequency.
    pub survival: Vec<SurvivalBin>,
}

/// A point of a rank–frequency curve.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct RankPoint {
    /// 1 is the most frequent type.
    pub rank: u64,
    /// Share of all words.
    pub frequency: f64,
}

/// Token types of similar natural frequency, and how many of them still occur.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct SurvivalBin {
    /// Lowest natural frequency in the bin (share of reference tokens).
    pub frequency_from: f64,
    /// Highest natural frequency in the bin.
    pub frequency_to: f64,
    /// The number of types in the bin.
    pub types: u64,
    /// The number of them that occur in the synthetic text.
    pub found: u64,
    /// The number of them expected in natural text of the same size.
    pub expected: f64,
}

/// Number of points of a rank–frequency curve, before equal ranks are merged.
const RANK_POINTS: usize = 60;
/// Number of bins of the survival curve, before empty ones are dropped.
const SURVIVAL_BINS: usize = 10;

/// All curves of a generation.
pub(super) fn curves(generation: &CountedGeneration) -> Curves {
    let reference = generation.inputs().reference;
    let natural = reference.word_documents.flat();
    let equal_n = generation.word_ids.len().min(natural.len());
    Curves {
        rank_frequency_words: rank_frequency(&tally(&generation.word_ids[..equal_n], 0)),
        natural_rank_frequency_words: rank_frequency(&tally(&natural[..equal_n], 0)),
        survival: survival(&reference.tokens, &generation.token_documents),
    }
}

/// Relative frequency by rank at about 60 log-spaced ranks, including the first and the last.
fn rank_frequency(counts: &[u32]) -> Vec<RankPoint> {
    let mut ranked: Vec<u32> = counts.iter().copied().filter(|&count| count > 0).collect();
    ranked.sort_unstable_by(|a, b| b.cmp(a));
    let total: f64 = ranked.iter().map(|&count| f64::from(count)).sum();
    let last = ranked.len() as f64;
    let spaced = (0..RANK_POINTS).map(|point| last.powf(point as f64 / (RANK_POINTS - 1) as f64).round());
    let mut ranks: Vec<usize> =
        spaced.map(|rank| rank as usize).filter(|rank| (1..=ranked.len()).contains(rank)).collect();
    ranks.dedup();
    let point = |rank: usize| RankPoint { rank: rank as u64, frequency: f64::from(ranked[rank - 1]) / total };
    ranks.into_iter().map(point).collect()
}

/// Counts, for bins of types of similar natural frequency, the types that occur in the text and those expected in
/// natural text of its size. Bins are log-spaced in the frequency in the reference's first half; expectations come from
/// its second half. A text longer than the second half is rarefied to the size of that half, and the number of types
/// found is rounded.
fn survival(natural: &Natural, text: &Incidence) -> Vec<SurvivalBin> {
    if natural.second_size.tokens == 0.0 {
        // A reference of one document has no second half, and nothing is expected.
        return Vec::new();
    }
    let first_half: f64 = natural.first.iter().map(|&count| f64::from(count)).sum();
    let most = f64::from(natural.first.iter().copied().max().unwrap_or(0));
    let bin_of = |count: u32| {
        let bin = f64::from(count).ln() / most.ln().max(f64::MIN_POSITIVE) * SURVIVAL_BINS as f64;
        (bin as usize).min(SURVIVAL_BINS - 1)
    };
    let mut bins = vec![Vec::new(); SURVIVAL_BINS];
    for (id, &count) in natural.first.iter().enumerate().filter(|&(_, &count)| count > 0) {
        bins[bin_of(count)].push(id);
    }
    bins.retain(|ids| !ids.is_empty());
    let frequency = |count: Option<u32>| f64::from(count.unwrap_or(0)) / first_half;
    let size = text.size_of(text.counts.n());
    let bin = |ids: Vec<usize>| {
        let surviving = natural.surviving_types(&ids, text.counts.by_type(), size);
        SurvivalBin {
            frequency_from: frequency(ids.iter().map(|&id| natural.first[id]).min()),
            frequency_to: frequency(ids.iter().map(|&id| natural.first[id]).max()),
            types: ids.len() as u64,
            found: surviving.found.round() as u64,
            expected: surviving.expected,
        }
    };
    bins.into_iter().map(bin).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::documents::Documents;

    #[test]
    fn a_rank_frequency_curve_starts_at_the_first_rank_and_ends_at_the_last() {
        let counts: Vec<u32> = (1..=5000).map(|rank| 10_000 / rank).collect();
        let curve = rank_frequency(&counts);
        assert!((30..=RANK_POINTS).contains(&curve.len()));
        assert_eq!((curve[0].rank, curve[curve.len() - 1].rank), (1, 5000));
        assert!(curve.windows(2).all(|pair| pair[0].rank < pair[1].rank));
        assert_eq!(rank_frequency(&[0, 0]), []);
        assert_eq!(rank_frequency(&[3, 1]).iter().map(|p| p.frequency).collect::<Vec<_>>(), [0.75, 0.25]);
    }

    #[test]
    fn every_type_of_the_first_half_is_in_one_bin_and_equal_halves_lose_nothing() {
        let document: Vec<u32> = (0..50_u32).flat_map(|id| vec![id; 1 + (id * id) as usize]).collect();
        let natural: Documents = [&document[..], &document].into_iter().collect();
        let bins = survival(&Natural::new(&natural), &Incidence::new(&natural, 50));
        assert_eq!(bins.iter().map(|bin| bin.types).sum::<u64>(), 50);
        for bin in &bins {
            assert!(bin.frequency_from <= bin.frequency_to);
            assert_eq!((bin.found, bin.expected), (bin.types, bin.types as f64));
        }
    }
}
