//! Divergence: how far is the synthetic text from natural text?
//!
//! Let p be the frequencies in the reference text and q those in the synthetic text. The types are model tokens
//! (`_unigram`) or pairs of adjacent tokens within documents (`_bigram`).
//!
//! - `kl_unigram`, `kl_bigram`: `KL(p ‖ q′) = Σ p ln(p/q′)`, natural relative to synthetic: *what does it cost to read
//!   natural text with the synthetic text's frequencies?* Types that died out cost most. To keep their cost finite, `q′
//!   = (1 − ε)·q + ε·p` with ε = 0.01: the skew divergence (Lee 1999). In nats, 0..=ln 100; never above the true KL.
//! - `js_unigram`, `js_bigram`: Jensen–Shannon divergence, `½ KL(p ‖ m) + ½ KL(q ‖ m)` with m = (p + q)/2. In nats,
//!   0..=ln 2, no smoothing needed (Lin 1991).
//! - `tv_unigram`, `tv_bigram`: total variation, `½ Σ |p − q|`: the share of the text that would have to change. 0..=1.
//!
//! All rise when a distribution narrows, and also when it shifts or widens. All are biased upwards by sampling (two
//! natural samples differ too), and more strongly the more types there are per token: compare an arm with the control
//! at equal n, not with 0. Over all pairs, most of which are seen once, that bias would dominate, and because it is
//! smaller for narrower text, it would make a text with a cut tail look *closer* to natural. Pairs are therefore
//! compared over bins: one for each pair that the reference contains at least 10 times, and one per first token for all
//! its other pairs. Merging types never raises a divergence, so these are lower bounds of the divergences of pairs.
//!
//! Standard errors: block jackknife over the synthetic text. The error of the reference, which all arms share, is not
//! included.

use crate::measure::counts::TypeCounts;
use crate::measure::{
    CountedGeneration, Direction::Up, Estimate, Family, MeasureError, Metric, MetricDefinition,
};

/// ε: the share of natural frequencies in q′.
pub(in crate::measure) const SKEW: f64 = 0.01;

/// Divergences from natural text, of tokens and of token pairs.
pub(super) struct Divergence;

impl Metric for Divergence {
    fn definitions(&self) -> Vec<MetricDefinition> {
        let of = |id, label, unit| MetricDefinition::builtin(id, label, unit, Family::Divergence, Up);
        vec![
            of("kl_unigram", "KL divergence, tokens", "nats"),
            of("js_unigram", "Jensen–Shannon divergence, tokens", "nats"),
            of("tv_unigram", "total variation, tokens", "share"),
            of("kl_bigram", "KL divergence, token pairs", "nats"),
            of("js_bigram", "Jensen–Shannon divergence, token pairs", "nats"),
            of("tv_bigram", "total variation, token pairs", "share"),
        ]
    }

    fn measure(&self, generation: &CountedGeneration) -> Result<Vec<Option<Estimate>>, MeasureError> {
        let reference = generation.inputs().reference;
        let synthetic = generation.inputs().synthetic;
        let bins = &reference.pair_bins;
        let pairs = TypeCounts::new(&bins.of(synthetic), bins.natural().len(), synthetic.len());
        let tokens = of_types(&reference.tokens.counts, generation.tokens());
        Ok([tokens, of_types(bins.natural(), &pairs)].concat())
    }

    fn why_missing(&self, id: &str, generation: &CountedGeneration) -> Option<String> {
        let (counts, what) = match id.ends_with("_bigram") {
            true => (generation.token_pairs(), "pairs of adjacent tokens"),
            false => (generation.tokens(), "tokens"),
        };
        let whose = if counts.n() < 2 { "text has fewer than two" } else { "reference has no" };
        Some(format!("the {whose} {what}"))
    }
}

/// KL, Jensen–Shannon and total variation, with standard errors.
fn of_types(natural: &[u32], counts: &TypeCounts) -> [Option<Estimate>; 3] {
    counts.estimate(|counts, n| match divergences(natural, counts, n) {
        Some([kl, js, tv]) => [Some(kl), Some(js), Some(tv)],
        None => [None; 3],
    })
}

/// KL, Jensen–Shannon and total variation of synthetic `counts`, which sum to `n`, from `natural` counts by the same
/// ids. None if either text is empty.
fn divergences(natural: &[u32], counts: &[u32], n: u64) -> Option<[f64; 3]> {
    let natural_n: u64 = natural.iter().map(|&count| u64::from(count)).sum();
    if n == 0 || natural_n == 0 {
        return None;
    }
    let natural_share = 1.0 / natural_n as f64;
    let share = 1.0 / n as f64;
    let [mut kl, mut js, mut tv] = [0.0; 3];
    for id in 0..natural.len().max(counts.len()) {
        let p = f64::from(natural.get(id).copied().unwrap_or(0)) * natural_share;
        let q = f64::from(counts.get(id).copied().unwrap_or(0)) * share;
        if p > 0.0 {
            kl += p * (p / ((1.0 - SKEW) * q + SKEW * p)).ln();
            js += p * (2.0 * p / (p + q)).ln();
        }
        if q > 0.0 {
            js += q * (2.0 * q / (p + q)).ln();
        }
        tv += (p - q).abs();
    }
    Some([kl, 0.5 * js, 0.5 * tv])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// p = (½, ½), q = (¾, ¼): q′ = (0.7475, 0.2525), so KL = ½ ln(½/0.7475) + ½ ln(½/0.2525); TV = ¼; and with
    /// m = (5/8, 3/8) JS = ¼[ln(4/5) + ln(4/3)] + ½[¾ ln(6/5) + ¼ ln(2/3)].
    #[test]
    fn divergences_of_two_coins_are_those_of_the_closed_form() {
        let [kl, js, tv] = divergences(&[2, 2], &[3, 1], 4).unwrap();
        let kl_by_hand = 0.5 * (0.5_f64 / 0.7475).ln() + 0.5 * (0.5_f64 / 0.2525).ln();
        assert!((kl - kl_by_hand).abs() < 1e-12);
        // The true KL is ½ ln(2/3) + ½ ln 2 = ½ ln(4/3), a little more than the skew divergence.
        let unskewed = 0.5 * (4.0_f64 / 3.0).ln();
        assert!(kl < unskewed && kl > 0.95 * unskewed);
        let js_by_hand = 0.25 * (0.8_f64.ln() + (4.0_f64 / 3.0).ln())
            + 0.5 * (0.75 * 1.2_f64.ln() + 0.25 * (2.0_f64 / 3.0).ln());
        assert!((js - js_by_hand).abs() < 1e-12);
        assert!((tv - 0.25).abs() < 1e-12);
    }

    #[test]
    fn texts_without_a_common_type_have_the_largest_divergences() {
        let [kl, js, tv] = divergences(&[9], &[0, 3], 3).unwrap();
        assert!((kl - 100_f64.ln()).abs() < 1e-12);
        assert!((js - std::f64::consts::LN_2).abs() < 1e-12);
        assert!((tv - 1.0).abs() < 1e-12);
        assert_eq!(divergences(&[], &[3], 3), None);
    }
}
