//! Entropy: over how many types is the text spread?
//!
//! - `unigram_entropy` (and `_words`): `H = −Σ p ln p` over token types, in nats; falls when a distribution narrows.
//!   The plug-in value is too small by about (types − 1)/2n, and by more when types are still being discovered. The
//!   reported value is the estimate of Chao, Wang and Jost (2013), which infers the share of unseen types from the
//!   numbers of types seen once and twice; its bias is an order smaller, and negative where the tail is far from
//!   exhausted.
//! - `bigram_entropy`: the same for pairs of adjacent tokens within documents, which is the joint entropy of a pair, in
//!   nats. At the usual n most pairs are seen once, so a bias of a few percent remains: compare at equal n.
//! - `predictive_entropy`: *how uncertain is the model itself?* Mean entropy of its predictions over the tokens of the
//!   held-out text, in nats per token. Falls when a model becomes more confident, even while its loss hardly moves.
//!   It has no bias from n: the distribution comes from the model, not from a sample.
//! - `hill_0`, `hill_1`, `hill_2` (and `_words`): the effective number of types of order q (Hill 1973), `(Σ
//!   p^q)^{1/(1−q)}`; the larger q, the more common types weigh. Falls when a distribution narrows. `hill_0` is the
//!   number of types *at n tokens*. It is not corrected for unseen types, because no estimate of their number is
//!   reliable, so it is comparable only at equal n. `hill_1 = exp H`, with the corrected H, includes types that were
//!   not seen, so it can be larger than `hill_0`, and than n, where most types occur once. `hill_2 = n(n−1) / Σ
//!   c(c−1)`, whose reciprocal is unbiased (Simpson 1949).
//! - `zipf_exponent` (and `_words`): *how steep is the rank–frequency curve?* The exponent a of `p(r) ∝ r^{−a}` over
//!   the ranks r of the R = 1000 most frequent types (all types if there are fewer), by maximum likelihood: the root of
//!   `Σ r^{−a} ln r / Σ r^{−a} = Σ c_r ln r / Σ c_r`. Rises when a distribution narrows. Ranks come from the same
//!   counts, which makes it a little too steep where counts are small; using only frequent types keeps this bias small.
//!
//! Standard errors: block jackknife; for `predictive_entropy` the ratio estimator over documents.

use crate::measure::counts::{TypeCounts, types_seen};
use crate::measure::uncertainty::mean_over;
use crate::measure::{
    CountedGeneration,
    Direction::{Down, Up},
    Estimate, Family, MeasureError, Metric, MetricDefinition,
};

/// The Zipf exponent is fitted to this many of the most frequent types.
pub(in crate::measure) const ZIPF_RANKS: usize = 1000;
/// Above this `n A`, the unseen part is a small difference between large numbers, divided by a still smaller one. Below, the
/// series that avoids this would need many more terms.
const CANCELS_FROM: f64 = 5.0;
/// The largest Zipf exponent that is searched for.
const STEEPEST: f64 = 20.0;

/// Entropies, Hill numbers and Zipf exponents, of tokens and of words.
pub(super) struct Entropy;

impl Metric for Entropy {
    fn definitions(&self) -> Vec<MetricDefinition> {
        let of = |id, label, unit, narrowing| {
            MetricDefinition::builtin(id, label, unit, Family::Entropy, narrowing)
        };
        vec![
            of("unigram_entropy", "token entropy", "nats", Down),
            of("bigram_entropy", "token-pair entropy", "nats", Down),
            of("predictive_entropy", "entropy of the model's predictions", "nats/token", Down)
                .on_fixed_text(),
            of("hill_0", "token types seen", "types", Down),
            of("hill_1", "effective token types, order 1, seen or not", "types", Down),
            of("hill_2", "effective token types, order 2", "types", Down),
            of("zipf_exponent", "Zipf exponent of tokens", "1", Up),
            of("unigram_entropy_words", "word entropy", "nats", Down),
            of("hill_0_words", "word types seen", "types", Down),
            of("hill_1_words", "effective word types, order 1, seen or not", "types", Down),
            of("hill_2_words", "effective word types, order 2", "types", Down),
            of("zipf_exponent_words", "Zipf exponent of words", "1", Up),
        ]
    }

    fn measure(&self, generation: &CountedGeneration) -> Result<Vec<Option<Estimate>>, MeasureError> {
        let [unigram, tokens @ ..] = of_types(generation.tokens());
        let model = [entropy_of_pairs(generation.token_pairs()), predictive_entropy(generation)];
        Ok([&[unigram][..], &model, &tokens, &of_types(generation.words())].concat())
    }

    fn why_missing(&self, id: &str, generation: &CountedGeneration) -> Option<String> {
        if id == "predictive_entropy" {
            return Some(why_no_predictive_entropy(&generation.inputs().heldout_scores.entropies));
        }
        let (counts, what) = match id {
            "bigram_entropy" => (generation.token_pairs(), "pairs of adjacent tokens"),
            _ if id.ends_with("_words") => (generation.words(), "words"),
            _ => (generation.tokens(), "tokens"),
        };
        if counts.n() < 2 {
            return generation.why_undefined(id, &format!("the text has fewer than two {what}"));
        }
        let why = match id {
            "hill_2" | "hill_2_words" => "too few types occur twice",
            "zipf_exponent" | "zipf_exponent_words" => "one type makes up all of the text, or nearly all",
            _ => "too many types occur only once: the estimate for unseen types is not a finite number",
        };
        Some(why.to_owned())
    }
}

/// Entropy, the Hill numbers of order 0, 1 and 2, and the Zipf exponent.
fn of_types(counts: &TypeCounts) -> [Option<Estimate>; 5] {
    let harmonic = harmonic_numbers(counts.n());
    counts.estimate(|counts, n| {
        let entropy = entropy(counts, n, &harmonic);
        [entropy, Some(types_seen(counts) as f64), entropy.map(f64::exp), hill_2(counts, n), zipf(counts)]
    })
}

fn entropy_of_pairs(pairs: &TypeCounts) -> Option<Estimate> {
    let harmonic = harmonic_numbers(pairs.n());
    let [pair_entropy] = pairs.estimate(|counts, n| [entropy(counts, n, &harmonic)]);
    pair_entropy
}

/// Mean entropy of the model's predictions over held-out tokens, in nats per token.
fn predictive_entropy(generation: &CountedGeneration) -> Option<Estimate> {
    let inputs = generation.inputs();
    mean_over(&inputs.heldout_scores.entropies, &inputs.reference.heldout_ends, |_| true)
}

fn why_no_predictive_entropy(entropies: &[f32]) -> String {
    let why = match entropies.iter().all(|entropy| entropy.is_finite()) {
        true => "fewer than two held-out documents have tokens",
        false => "the model's prediction of a held-out token has no finite entropy",
    };
    why.to_owned()
}

/// `harmonic[k] = 1 + 1/2 + … + 1/k`, for k < n.
pub(in crate::measure) fn harmonic_numbers(n: u64) -> Vec<f64> {
    let reciprocals = (1..n).scan(0.0, |sum, k| {
        *sum += 1.0 / k as f64;
        Some(*sum)
    });
    std::iter::once(0.0).chain(reciprocals).collect()
}

/// Entropy in nats by Chao, Wang and Jost (2013), "Entropy and the species accumulation curve", eq. 3: with f₁, f₂ the
/// numbers of types seen once and twice,
/// `Σ c/n · Σ_{k=c}^{n−1} 1/k  +  f₁/n · (1−A)^{1−n} · (−ln A − Σ_{r=1}^{n−1} (1−A)^r / r)`.
pub(in crate::measure) fn entropy(counts: &[u32], n: u64, harmonic: &[f64]) -> Option<f64> {
    if n == 0 {
        return None;
    }
    let all_but_one = harmonic[n as usize - 1];
    let (mut seen, mut once, mut twice) = (0.0, 0_u64, 0_u64);
    for &count in counts.iter().filter(|&&count| count > 0) {
        seen += f64::from(count) * (all_but_one - harmonic[count as usize - 1]);
        once += u64::from(count == 1);
        twice += u64::from(count == 2);
    }
    Some(seen / n as f64 + unseen_entropy(n, once, twice))
}

/// The second term of [`entropy`]: the contribution of types that were not seen.
fn unseen_entropy(n: u64, once: u64, twice: u64) -> f64 {
    let (size, singles, doubles) = (n as f64, once as f64, twice as f64);
    // A: the mean probability of types that were seen once.
    let mean_single = match (once, twice) {
        (0, _) => return 0.0,
        (_, 0) => 2.0 / ((size - 1.0) * (singles - 1.0) + 2.0),
        _ => 2.0 * doubles / ((size - 1.0) * singles + 2.0 * doubles),
    };
    if mean_single >= 1.0 {
        return 0.0;
    }
    if size * mean_single > CANCELS_FROM {
        return singles / size * remaining_series(1.0 - mean_single, n);
    }
    let (mut power, mut series) = (1.0, 0.0);
    for r in 1..n {
        power *= 1.0 - mean_single;
        series += power / r as f64;
    }
    // `power` is now (1 − A)^(n − 1).
    singles / size / power * (-mean_single.ln() - series)
}

/// `(−ln A − Σ q^r/r) / q^(n−1)` with `q = 1 − A` and r from 1 to n − 1, without cancellation: as −ln A is the sum over all
/// r, this is the sum of `q^(r−n+1) / r` over r ≥ n.
fn remaining_series(q: f64, n: u64) -> f64 {
    let (mut power, mut sum) = (1.0, 0.0);
    for r in n.. {
        power *= q;
        let term = power / r as f64;
        sum += term;
        if term <= sum * f64::EPSILON {
            break;
        }
    }
    sum
}

/// Hill's number of order 2. None if no type occurs twice.
pub(in crate::measure) fn hill_2(counts: &[u32], n: u64) -> Option<f64> {
    let pairs: f64 = counts.iter().map(|&count| f64::from(count) * (f64::from(count) - 1.0)).sum();
    (pairs > 0.0).then(|| n as f64 * (n as f64 - 1.0) / pairs)
}

/// The Zipf exponent. None if one type makes up all of the text, or nearly all.
fn zipf(counts: &[u32]) -> Option<f64> {
    let mut ranked: Vec<u32> = counts.iter().copied().filter(|&count| count > 0).collect();
    ranked.sort_unstable_by(|a, b| b.cmp(a));
    ranked.truncate(ZIPF_RANKS);
    if ranked.len() < 2 {
        return None;
    }
    let log_ranks: Vec<f64> = (1..=ranked.len()).map(|rank| (rank as f64).ln()).collect();
    let total: f64 = ranked.iter().map(|&count| f64::from(count)).sum();
    let mean_log_rank =
        ranked.iter().zip(&log_ranks).map(|(&count, log)| f64::from(count) * log).sum::<f64>() / total;
    let exponent = exponent_with_mean_log_rank(mean_log_rank, &log_ranks);
    (exponent < STEEPEST - 1e-6).then_some(exponent)
}

/// The root of the likelihood equation, by Newton's method: the mean of ln r falls monotonically in a, with minus the
/// variance of ln r as its slope. Within 0..=20; counts in falling order rule out a negative root.
fn exponent_with_mean_log_rank(target: f64, log_ranks: &[f64]) -> f64 {
    let moments = |exponent: f64| {
        let (mut mass, mut first, mut second) = (0.0, 0.0, 0.0);
        for log in log_ranks {
            let weight = (-exponent * log).exp();
            mass += weight;
            first += weight * log;
            second += weight * log * log;
        }
        let mean = first / mass;
        (mean, second / mass - mean * mean)
    };
    // Bisection bounds keep Newton's steps from running away where the curve is flat.
    let (mut low, mut high, mut exponent) = (0.0, STEEPEST, 1.0);
    for _ in 0..100 {
        let (mean, variance) = moments(exponent);
        if mean > target {
            low = exponent;
        } else {
            high = exponent;
        }
        let step = exponent + (mean - target) / variance;
        let next = if step > low && step < high { step } else { 0.5 * (low + high) };
        let moved = (next - exponent).abs();
        exponent = next;
        if moved < 1e-12 {
            break;
        }
    }
    exponent
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entropy_of(counts: &[u32]) -> f64 {
        let n = counts.iter().map(|&count| u64::from(count)).sum();
        entropy(counts, n, &harmonic_numbers(n)).unwrap()
    }

    /// Counts 2, 1, 1 (n = 4). First term: 2/4·(1/2 + 1/3) + 2·1/4·(1 + 1/2 + 1/3) = 5/12 + 11/12 = 4/3.
    /// Second: A = 2·1/(3·2 + 2) = 1/4, (3/4)^−3 = 64/27, −ln ¼ − (3/4 + 9/32 + 9/64) = 1.386294 − 1.171875,
    /// all times 2/4: 0.254125.
    #[test]
    fn the_entropy_of_four_tokens_equals_the_value_computed_by_hand() {
        let by_hand = 4.0 / 3.0 + 0.5 * 64.0 / 27.0 * (4.0_f64.ln() - 1.171_875);
        assert!((entropy_of(&[2, 1, 1]) - by_hand).abs() < 1e-12);
    }

    /// Computed with 400 digits (mpmath). With doubled text, hardly any type occurs once and many twice.
    #[test]
    fn the_unseen_part_is_exact_where_few_types_occur_once() {
        for (n, once, twice, expected) in [
            (4000, 3, 60, 1.829_871_895_350_29e-5),
            (771, 1, 58, 1.107_227_056_214_98e-5),
            (1000, 100, 260, 0.016_458_097_995_370_2),
            (1000, 100, 240, 0.017_641_994_817_983_1),
        ] {
            let found = unseen_entropy(n, once, twice);
            assert!((found / expected - 1.0).abs() < 1e-9, "{n}, {once}, {twice}: {found}");
        }
    }

    /// All tokens are of one type: no entropy, effectively one type.
    #[test]
    fn a_single_type_has_no_entropy() {
        assert!(entropy_of(&[0, 7]).abs() < 1e-12);
        assert_eq!(hill_2(&[0, 7], 7), Some(1.0));
        assert_eq!(zipf(&[0, 7]), None);
        // The exponent would be ln 10⁹ / ln 2 = 29.9.
        assert_eq!(zipf(&[1_000_000_000, 1]), None);
    }

    /// Equal counts have exponent 0; counts ∝ 1/r have exponent 1; ∝ 1/r² exponent 2 (up to rounding of counts).
    #[test]
    fn the_zipf_exponent_of_a_power_law_is_its_exponent() {
        assert!(zipf(&[5; 40]).unwrap() < 1e-6);
        for exponent in [0.5, 1.0, 2.0] {
            let counts: Vec<u32> = (1..=200).map(|r| (1e9 / f64::from(r).powf(exponent)) as u32).collect();
            assert!((zipf(&counts).unwrap() - exponent).abs() < 1e-4);
        }
    }

    #[test]
    fn text_in_which_no_type_occurs_twice_has_no_second_hill_number_and_a_finite_entropy() {
        assert_eq!(hill_2(&[1, 1, 1], 3), None);
        assert!(entropy_of(&[1; 1000]).is_finite());
        assert!(entropy_of(&[1]).abs() < 1e-12);
    }
}
