//! The tail: are rare types still written?
//!
//! Which types are the tail, and why the reference text is used in halves, is told in `natural`. Both metrics are
//! taken on model tokens, and again on words (`_words`).
//!
//! - `tail_mass`: *what share of the natural use of rare types could this text still teach?* Natural mass (in the
//!   second half) of the tail types that occur in the synthetic text at all, over the natural mass of all tail
//!   types. A share; falls when a distribution narrows. Rises with n, also for natural text, which stays below 1:
//!   comparable at equal n only, which is how it is measured.
//! - `tail_coverage`: *how many rare types are left, beside what chance would leave?* The number of tail types in the
//!   text over the number in natural text of the same size, by rarefaction (Hurlbert 1971) of the reference's second
//!   half: `Σ_tail 1 − C(N − c, m)/C(N, m)`. N: tokens of that half; c: the type's count in it; m = min(n, N). If the
//!   text is longer than the half, its own count is rarefied to m in the same way. A ratio, 1 in expectation for
//!   natural text of any size; falls when a distribution narrows.
//!
//! Standard errors: block jackknife, which errs on the large side here (see `uncertainty`). That of the reference
//! is not in them: it is the same factor for every arm and generation.

use super::counts::Counts;
use super::natural::{Natural, rarefied};
use super::{Collected, Texts};

/// Measures the tail family on tokens and on words.
pub(super) fn measure(texts: &Texts, collected: &mut Collected) {
    of_types(&texts.reference.tokens, &texts.tokens, "", collected);
    of_types(&texts.reference.words, &texts.words, "_words", collected);
}

fn of_types(natural: &Natural, counts: &Counts, suffix: &str, collected: &mut Collected) {
    let tail = natural.tail();
    let half = natural.second_half();
    let whole_mass = mass(natural, tail.iter().copied());
    let [alive, coverage] = counts.estimate(|counts, n| {
        let drawn = n.min(half);
        let found = tail.iter().copied().filter(|&id| counts.get(id).is_some_and(|&count| count > 0));
        let expected = rarefied(&natural.second, &tail, half, drawn);
        [
            (whole_mass > 0.0).then(|| mass(natural, found) / whole_mass),
            (expected > 0.0).then(|| rarefied(counts, &tail, n, drawn) / expected),
        ]
    });
    collected.add(&format!("tail_mass{suffix}"), alive, counts.n());
    collected.add(&format!("tail_coverage{suffix}"), coverage, counts.n());
}

/// Occurrences of the types `ids` in the second half.
fn mass(natural: &Natural, ids: impl Iterator<Item = usize>) -> f64 {
    ids.map(|id| f64::from(natural.second[id])).sum()
}
