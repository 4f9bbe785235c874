//! Divergence: how far is the synthetic text from natural text?
//!
//! With p the frequencies in the reference text and q those in the synthetic text, of model tokens (`_unigram`) and
//! of pairs of neighbouring tokens within documents (`_bigram`):
//!
//! - `kl_unigram`, `kl_bigram`: `KL(p ‖ q′) = Σ p ln(p/q′)`, natural relative to synthetic: *what does it cost to read
//!   natural text with the synthetic text's frequencies?* Types that died out cost most. So that they cost something
//!   finite, `q′ = (1 − ε)·q + ε·p` with ε = 0.01: the skew divergence (Lee 1999). In nats, 0..=ln 100; never above the
//!   true KL.
//! - `js_unigram`, `js_bigram`: Jensen–Shannon divergence, `½ KL(p ‖ m) + ½ KL(q ‖ m)` with m = (p + q)/2. In nats,
//!   0..=ln 2, no smoothing needed (Lin 1991).
//! - `tv_unigram`, `tv_bigram`: total variation, `½ Σ |p − q|`: the share of the text that would have to change. 0..=1.
//!
//! All rise when a distribution narrows, and also when it shifts or widens. All are biased upwards by sampling (two
//! natural samples differ too), the more the more types there are to a token: hold an arm against the control at equal
//! n, not against 0. Over all pairs, most of which are seen once, that bias would be the greater part, and, being
//! smaller for narrower text, would make a text with a cut tail come out *nearer* to natural. Pairs are therefore
//! compared over cells: one for each pair that the reference holds at least 10 times, and one per first token for all
//! its other pairs. Merging types never raises a divergence, so these are lower bounds of the divergences of pairs.
//!
//! Standard errors: block jackknife over the synthetic text; the reference is common to all arms and not in them.

use super::counts::{Counts, tally};
use super::grams::{bigrams, number};
use super::{Collected, Texts};
use crate::documents::Documents;

/// The natural part of q′.
const SKEW: f64 = 0.01;
/// How often the reference must hold a pair for it to have a cell of its own.
const OWN_CELL: u32 = 10;

/// The cells that pairs of tokens are compared over.
#[derive(Clone, Debug)]
pub(super) struct Cells {
    /// Pairs with a cell of their own, sorted; cell i is pair i's, and the cells of first tokens follow.
    pairs: Vec<u64>,
    /// Counts of the reference by cell.
    natural: Vec<u32>,
}

impl Cells {
    /// Cells by the frequent pairs of `reference`.
    pub(super) fn new(reference: &Documents) -> Self {
        let (ids, mut pairs) = number(&bigrams(reference));
        let counts = tally(&ids, 0);
        let mut count = counts.iter();
        pairs.retain(|_| count.next().is_some_and(|&count| count >= OWN_CELL));
        let mut cells = Self { pairs, natural: Vec::new() };
        cells.natural = tally(&cells.of(reference), cells.pairs.len());
        cells
    }

    /// The cells of the pairs of `documents`.
    fn of(&self, documents: &Documents) -> Vec<u32> {
        let cell = |pair: u64| match self.pairs.binary_search(&pair) {
            Ok(place) => place as u32,
            Err(_) => self.pairs.len() as u32 + (pair >> u32::BITS) as u32,
        };
        bigrams(documents).into_iter().map(cell).collect()
    }
}

/// Measures the divergence family.
pub(super) fn measure(synthetic: &Documents, texts: &Texts, collected: &mut Collected) {
    of_types(&texts.reference.tokens.counts, &texts.tokens, "unigram", collected);
    let cells = &texts.reference.cells;
    let pairs = Counts::new(&cells.of(synthetic), cells.natural.len(), synthetic.len());
    of_types(&cells.natural, &pairs, "bigram", collected);
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
        // The true KL is ½ ln(2/3) + ½ ln 2 = ½ ln(4/3): a little above.
        let unskewed = 0.5 * (4.0_f64 / 3.0).ln();
        assert!(kl < unskewed && kl > 0.95 * unskewed);
        let js_by_hand = 0.25 * (0.8_f64.ln() + (4.0_f64 / 3.0).ln())
            + 0.5 * (0.75 * 1.2_f64.ln() + 0.25 * (2.0_f64 / 3.0).ln());
        assert!((js - js_by_hand).abs() < 1e-12);
        assert!((tv - 0.25).abs() < 1e-12);
    }

    /// `1 2` occurs 10 times and has a cell, `1 3` and `2 1` share those of their first tokens.
    #[test]
    fn frequent_pairs_have_cells_and_others_share_those_of_their_first_token() {
        let mut reference: Documents = vec![&[1, 2][..]; 10].into_iter().collect();
        reference.push(&[1, 3]);
        reference.push(&[2, 1, 3]);
        let cells = Cells::new(&reference);
        assert_eq!(cells.natural, [10, 0, 2, 1]);
        let other: Documents = [&[1, 2, 2, 1, 7][..], &[3]].into_iter().collect();
        assert_eq!(cells.of(&other), [0, 3, 3, 2]);
    }

    #[test]
    fn texts_without_a_common_type_are_as_far_apart_as_can_be() {
        let [kl, js, tv] = divergences(&[9], &[0, 3], 3).unwrap();
        assert!((kl - 100_f64.ln()).abs() < 1e-12);
        assert!((js - std::f64::consts::LN_2).abs() < 1e-12);
        assert!((tv - 1.0).abs() < 1e-12);
        assert_eq!(divergences(&[], &[3], 3), None);
    }
}
