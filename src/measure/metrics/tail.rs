//! The tail: does the text still contain rare types?
//!
//! `natural` explains which types form the tail and why the reference text is split into two halves. Both metrics are
//! computed on model tokens and on words (`_words`).
//!
//! - `tail_mass`: *what share of the natural use of rare types could this text still teach?* Natural mass (in the
//!   second half) of the tail types that occur in the synthetic text at all, divided by the natural mass of all tail
//!   types. A share; falls when a distribution narrows. It rises with n and is below 1 even for natural text, so it is
//!   comparable only at equal n; all texts are measured at the same n.
//! - `tail_coverage`: *how many rare types are left, compared with what chance would leave?* The number of tail types
//!   in the text divided by the number in natural text of the same size, by rarefaction of the reference's second half:
//!   `Σ_tail 1 − C(D − d, k)/C(D, k)`. D is the number of documents of that half, d the number of those that contain
//!   the type, and k the number of documents that together have n tokens on average. If the text is longer than the
//!   half, it is rarefied to the half's size in the same way. A ratio, 1 in expectation for natural text of any size;
//!   falls when a distribution narrows.
//!
//! Standard errors: block jackknife, which is too large rather than too small here (see `uncertainty`). It is raised to
//! at least the effect of one tail type: if all of them are found, no block makes a difference, although the next text
//! may lack one. The error of the reference is not included: it is the same factor for every arm and generation.

use crate::measure::counts::Incidence;
use crate::measure::natural::Natural;
use crate::measure::{
    CountedGeneration, Direction::Down, Estimate, Family, MeasureError, Metric, MetricDefinition,
};

/// Tail mass and tail coverage, of tokens and of words.
pub(super) struct Tail;

impl Metric for Tail {
    fn definitions(&self) -> Vec<MetricDefinition> {
        let of = |id, label, unit| MetricDefinition::builtin(id, label, unit, Family::Tail, Down);
        vec![
            of("tail_mass", "rare-token mass alive", "share"),
            of("tail_coverage", "rare tokens found", "ratio"),
            of("tail_mass_words", "rare-word mass alive", "share"),
            of("tail_coverage_words", "rare words found", "ratio"),
        ]
    }

    fn measure(&self, generation: &CountedGeneration) -> Result<Vec<Option<Estimate>>, MeasureError> {
        let reference = generation.inputs().reference;
        let tokens = of_types(&reference.tokens, &generation.token_documents, generation.tokens().n());
        let words = of_types(&reference.words, &generation.word_documents, generation.words().n());
        Ok([tokens, words].concat())
    }

    fn why_missing(&self, id: &str, generation: &CountedGeneration) -> Option<String> {
        let why = if generation.tokens().n() < 2 {
            "the text has fewer than two tokens"
        } else {
            "the two halves of the reference have no rare type in common"
        };
        generation.why_undefined(id, why)
    }
}

/// Tail mass and tail coverage of a text of `n` tokens or words.
fn of_types(natural: &Natural, text: &Incidence, n: u64) -> [Option<Estimate>; 2] {
    let tail = natural.tail();
    let mass = |id: &usize| f64::from(natural.second[*id]);
    let whole_mass: f64 = tail.iter().map(mass).sum();
    let [alive, coverage] = text.counts.estimate(|documents, incidences| {
        let found = tail.iter().filter(|&&id| documents.get(id).is_some_and(|&containing| containing > 0));
        let types = natural.surviving_types(&tail, documents, text.size_of(incidences));
        [
            (whole_mass > 0.0).then(|| found.map(mass).sum::<f64>() / whole_mass),
            (types.expected > 0.0).then(|| types.found / types.expected),
        ]
    });
    let expected =
        natural.surviving_types(&tail, text.counts.by_type(), text.size_of(text.counts.n())).expected;
    let finished = |estimate: Option<Estimate>, one_type: f64| {
        estimate.map(|estimate| estimate.with_error_at_least(one_type).with_n(n))
    };
    [finished(alive, 1.0 / tail.len() as f64), finished(coverage, 1.0 / expected)]
}
