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
//!   text over the number in natural text of the same size, by rarefaction of the reference's second half:
//!   `Σ_tail 1 − C(D − d, k)/C(D, k)`. D: documents of that half; d: those that hold the type; k: as many as hold n
//!   tokens. If the text is longer than the half, it is rarefied to the half's size in the same way. A ratio, 1 in
//!   expectation for natural text of any size; falls when a distribution narrows.
//!
//! Standard errors: block jackknife, which errs on the large side here (see `uncertainty`), but at least what one tail
//! type makes: where every type is found the jackknife sees nothing vary, though the next text may lack one. The error of
//! the reference is not in them: it is the same factor for every arm and generation.

use super::counts::Incidence;
use super::natural::Natural;
use super::{Collected, Texts};

/// Measures the tail family on tokens and on words.
pub(super) fn measure(texts: &Texts, collected: &mut Collected) {
    of_types(&texts.reference.tokens, &texts.token_documents, "", texts.tokens.n(), collected);
    of_types(&texts.reference.words, &texts.word_documents, "_words", texts.words.n(), collected);
}

fn of_types(natural: &Natural, text: &Incidence, suffix: &str, n: u64, collected: &mut Collected) {
    let tail = natural.tail();
    let mass = |id: &usize| f64::from(natural.second[*id]);
    let whole_mass: f64 = tail.iter().map(mass).sum();
    let [alive, coverage] = text.counts.estimate(|documents, incidences| {
        let found = tail.iter().filter(|&&id| documents.get(id).is_some_and(|&holding| holding > 0));
        let survivors = natural.survivors(&tail, documents, text.size_of(incidences));
        [
            (whole_mass > 0.0).then(|| found.map(mass).sum::<f64>() / whole_mass),
            (survivors.expected > 0.0).then(|| survivors.found / survivors.expected),
        ]
    });
    let one_type = 1.0 / tail.len() as f64;
    let expected = natural.survivors(&tail, text.counts.total(), text.size_of(text.counts.n())).expected;
    collected.add(&format!("tail_mass{suffix}"), alive.map(|alive| alive.known_to(one_type)), n);
    collected.add(&format!("tail_coverage{suffix}"), coverage.map(|found| found.known_to(1.0 / expected)), n);
}
