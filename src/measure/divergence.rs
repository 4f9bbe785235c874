//! Divergence: how far is the synthetic text from natural text?
//!
//! With p the frequencies of types in the reference text and q those in the synthetic text, for model tokens
//! (`_unigram`) and for pairs of neighbouring tokens within documents (`_bigram`):
//!
//! - `kl_unigram`, `kl_bigram`: `KL(p ‖ q) = Σ p ln(p/q)`, natural relative to synthetic: *what does it cost to read
//!   natural text with the synthetic text's frequencies?* Types that died out cost most. In nats, unbounded. So that
//!   a type that does not occur costs something finite, `q = (c + ½) / (n + ½(K + 1))` (Krichevsky and Trofimov 1981)
//!   over the K types of the reference and one cell for all others.
//! - `js_unigram`, `js_bigram`: Jensen–Shannon divergence, `½ KL(p ‖ m) + ½ KL(q ‖ m)` with m = (p + q)/2. In nats,
//!   0..=ln 2, no smoothing needed (Lin 1991).
//! - `tv_unigram`, `tv_bigram`: total variation, `½ Σ |p − q|`: the share of the text that would have to change. 0..=1.
//!
//! All rise when a distribution narrows, and also when it shifts or widens. All are biased upwards by sampling (two
//! natural samples differ too), by roughly the same amount at equal n against the same reference: hold an arm against
//! the control, not against 0. Standard errors: block jackknife over the synthetic text; the reference is common to
//! all arms and not in them.

use super::counts::{Counts, types_seen};
use super::{Collected, Texts};

/// Measures the divergence family.
pub(super) fn measure(texts: &Texts, collected: &mut Collected) {
    of_types(&texts.reference.tokens.counts, &texts.tokens, "unigram", collected);
    of_types(&texts.reference.bigram_counts, &texts.bigrams, "bigram", collected);
}

fn of_types(natural: &[u32], counts: &Counts, suffix: &str, collected: &mut Collected) {
    let [kl, js, tv] = counts.estimate(|counts, n| match divergences(natural, counts, n) {
        Some([kl, js, tv]) => [Some(kl), Some(js), Some(tv)],
        None => [None; 3],
    });
    collected.add(&format!("kl_{suffix}"), kl, counts.n());
    collected.add(&format!("js_{suffix}"), js, counts.n());
    collected.add(&format!("tv_{suffix}"), tv, counts.n());
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
    let smoothed_share = 1.0 / (n as f64 + 0.5 * (types_seen(natural) + 1) as f64);
    let [mut kl, mut js, mut tv] = [0.0; 3];
    for id in 0..natural.len().max(counts.len()) {
        let count = f64::from(counts.get(id).copied().unwrap_or(0));
        let p = f64::from(natural.get(id).copied().unwrap_or(0)) * natural_share;
        let q = count * share;
        if p > 0.0 {
            kl += p * (p / ((count + 0.5) * smoothed_share)).ln();
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

    /// p = (½, ½), q = (¾, ¼): KL = ½ ln(2/3) + ½ ln 2 = ½ ln(4/3), TV = ¼, and with m = (5/8, 3/8)
    /// JS = ¼[ln(4/5) + ln(4/3)] + ½[¾ ln(6/5) + ¼ ln(2/3)]. Counts are large, so that smoothing does not show.
    #[test]
    fn divergences_of_two_coins_are_those_of_the_closed_form() {
        let million = 1_000_000;
        let [kl, js, tv] =
            divergences(&[2 * million, 2 * million], &[3 * million, million], 4_000_000).unwrap();
        assert!((kl - 0.5 * (4.0_f64 / 3.0).ln()).abs() < 1e-6);
        let by_hand = 0.25 * (0.8_f64.ln() + (4.0_f64 / 3.0).ln())
            + 0.5 * (0.75 * 1.2_f64.ln() + 0.25 * (2.0_f64 / 3.0).ln());
        assert!((js - by_hand).abs() < 1e-12);
        assert!((tv - 0.25).abs() < 1e-12);
    }

    /// p = (1), q has another type only: JS = ln 2, TV = 1, and by the smoothing q₁ = ½ / (3 + ½·2) = 1/8.
    #[test]
    fn texts_without_a_common_type_are_as_far_apart_as_can_be() {
        let [kl, js, tv] = divergences(&[9], &[0, 3], 3).unwrap();
        assert!((kl - 8.0_f64.ln()).abs() < 1e-12);
        assert!((js - std::f64::consts::LN_2).abs() < 1e-12);
        assert!((tv - 1.0).abs() < 1e-12);
        assert_eq!(divergences(&[], &[3], 3), None);
    }
}
