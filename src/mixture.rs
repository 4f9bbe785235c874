//! Mixtures: how much natural and how much synthetic text does a generation train on, and which documents?
//!
//! This is a pure function from document lengths to a plan; no text is read here. Let N be the training budget
//! (`corpus.train_tokens`), S the number of tokens that each generation writes (`synthesis.tokens`), and f the natural
//! fraction. Generation g ≥ 1 trains on the following numbers of tokens, rounded to the nearest integer:
//!
//! | budget | natural | synthetic |
//! |---|---|---|
//! | constant | f·N | N − f·N |
//! | added | f·N | N |
//! | growing | f·(N + g·S) | the rest of N + g·S |
//! | repeated | N: the first f·N of them, again and again | none |
//!
//! The totals are exact: the last document of each kind is cut to fit, and a cut document does not end in an
//! end-of-text token. A growing budget equals the size of all text of a lineage that accumulates. If a mixture with a
//! growing budget draws on the latest corpus alone, the previous generation writes as much as this mixture needs, which
//! can be more than S.
//!
//! With `"proportional"`, f is the natural share of the available text: N/(N + S) if the mixture draws on the latest
//! corpus under a budget that does not grow, else N/(N + g·S). Under a growing budget all available text is used. Under
//! a constant budget, documents are drawn uniformly without replacement from natural and synthetic text together
//! (Kazdan et al. 2024), so the actual split is random and f is its expectation.
//!
//! *Fixed* natural documents are a prefix of the seed's document order, the same prefix that generation 0 trains on.
//! *Fresh* ones follow the last document that an earlier generation of the lineage used.
//!
//! A limit (`corpus.natural_tokens`) makes natural text scarce: there are only the first documents of the seed's order, and
//! generations that take more fixed natural text, generation 0 included, read them again from the beginning. Fresh text
//! cannot be read again.
//!
//! ```
//! use genloss::mixture::{Mixture, parts};
//! use genloss::units::Tokens;
//!
//! let anchored = Mixture::published("anchored").unwrap();
//! let split = parts(&anchored, 1, Tokens(1000), Tokens(1000));
//! assert_eq!((split.natural, split.synthetic), (Tokens(100), Tokens(900)));
//! ```

mod settings;

pub use settings::{
    Budget, Mixture, NaturalDocuments, NaturalFraction, PUBLISHED_REGIMES, Regime, SyntheticDocuments,
};

use crate::seed::Stream;
use crate::units::Tokens;
use rand::seq::SliceRandom;
use std::collections::BTreeMap;

/// The first `tokens` tokens of a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Excerpt {
    /// Index of the document in its corpus.
    pub document: usize,
    /// At least 1. Less than the length of the document only where a kind of text, or the text that is read again and
    /// again, ends.
    pub tokens: usize,
}

/// The excerpts that a generation trains on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MixturePlan {
    /// Natural documents, indexed in the seed's document order. A document occurs several times if it is read again.
    pub natural: Vec<Excerpt>,
    /// Synthetic documents, each with the generation that wrote it.
    pub synthetic: Vec<(usize, Excerpt)>,
}

impl MixturePlan {
    /// Number of natural tokens.
    #[must_use]
    pub fn natural_tokens(&self) -> Tokens {
        Tokens(self.natural.iter().map(|excerpt| excerpt.tokens as u64).sum())
    }

    /// Number of natural tokens, each counted once however often it is read.
    #[must_use]
    pub fn distinct_natural_tokens(&self) -> Tokens {
        let mut longest: BTreeMap<usize, usize> = BTreeMap::new();
        for excerpt in &self.natural {
            let tokens = longest.entry(excerpt.document).or_default();
            *tokens = excerpt.tokens.max(*tokens);
        }
        Tokens(longest.values().map(|&tokens| tokens as u64).sum())
    }

    /// Number of synthetic tokens.
    #[must_use]
    pub fn synthetic_tokens(&self) -> Tokens {
        Tokens(self.synthetic.iter().map(|(_, excerpt)| excerpt.tokens as u64).sum())
    }
}

/// Numbers of natural and synthetic tokens in a mixture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenSplit {
    /// Tokens of natural text.
    pub natural: Tokens,
    /// Tokens of synthetic text.
    pub synthetic: Tokens,
}

/// The lengths of all documents that a mixture can draw on.
#[derive(Clone, Copy, Debug)]
pub struct DocumentPool<'a> {
    /// Length in tokens of every natural document, in the seed's document order.
    pub natural: &'a [usize],
    /// Whether fixed natural documents are read again from the beginning where they do not suffice.
    pub rereads: bool,
    /// Length in tokens of every synthetic document, one list for each generation 0..g. The list may be empty for a
    /// generation that the mixture does not draw on (see [`source_generations`]).
    pub synthetic: &'a [Vec<usize>],
}

/// There is not enough text for a mixture.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MixtureError {
    /// The train split has too little text.
    #[error(
        "generation {generation} needs {wanted} tokens of natural text after the first {offset}, but the train split ends at {available}; lower corpus.train_tokens or the natural fraction, add text, or lower corpus.heldout_share and corpus.reference_share"
    )]
    Natural {
        /// Generation that the mixture is for.
        generation: usize,
        /// Tokens that the mixture needs.
        wanted: Tokens,
        /// Tokens of the train split before the first document that the mixture may use.
        offset: Tokens,
        /// Tokens in the whole train split.
        available: Tokens,
    },
    /// Earlier generations write too little text.
    #[error(
        "generation {generation} needs {wanted} tokens of synthetic text, but earlier generations provide {available}; raise synthesis.tokens or the natural fraction"
    )]
    Synthetic {
        /// Generation that the mixture is for.
        generation: usize,
        /// Tokens that the mixture needs.
        wanted: Tokens,
        /// Tokens in the corpora that the mixture draws on.
        available: Tokens,
    },
    /// Fresh natural text would have to go beyond `corpus.natural_tokens`.
    #[error(
        "the fresh natural text of all generations takes more than the {limit} tokens of corpus.natural_tokens; raise it, lower the natural fraction or corpus.train_tokens, or read the same text again with natural = \"fixed\""
    )]
    FreshBeyondLimit {
        /// `corpus.natural_tokens`.
        limit: Tokens,
    },
    /// The text to be repeated has less than half a token.
    #[error(
        "generation {generation} would repeat a text of 0 tokens; raise the natural fraction or corpus.train_tokens"
    )]
    NothingToRepeat {
        /// Generation that the mixture is for.
        generation: usize,
    },
}

/// The token counts of generation `generation` in a lineage whose generations write `written` tokens each. If documents
/// are [drawn from the whole pool](is_drawn_from_whole_pool), these are the expected counts.
#[must_use]
pub fn parts(mixture: &Mixture, generation: usize, budget: Tokens, written: Tokens) -> TokenSplit {
    if generation == 0 {
        return TokenSplit { natural: budget, synthetic: Tokens(0) };
    }
    let (natural, total) = natural_part(mixture, generation, budget, written);
    let (natural, synthetic) = match mixture.budget {
        Budget::Constant | Budget::Growing => (natural, total - natural),
        Budget::Added => (natural, budget.0),
        Budget::Repeated => (budget.0, 0),
    };
    TokenSplit { natural: Tokens(natural), synthetic: Tokens(synthetic) }
}

/// The natural share of a generation ≥ 1 in tokens, and the number of tokens that it is a share of.
fn natural_part(mixture: &Mixture, generation: usize, budget: Tokens, written: Tokens) -> (u64, u64) {
    let corpora = match mixture.budget {
        Budget::Growing => generation,
        Budget::Constant | Budget::Added | Budget::Repeated => {
            synthetic_generations(mixture, generation).len()
        }
    };
    let whole = budget.0 + corpora as u64 * written.0;
    let fraction = fraction(mixture, generation).unwrap_or(budget.0 as f64 / whole as f64);
    let total = if mixture.budget == Budget::Growing { whole } else { budget.0 };
    (((fraction * total as f64).round() as u64).min(total), total)
}

/// Whether the natural fraction of a generation ≥ 1 lies between 0 and 1, and yet rounds to no token or to all of them. A
/// budget that is added or repeated has no synthetic share to lose.
#[must_use]
pub fn a_share_vanishes(mixture: &Mixture, generation: usize, budget: Tokens, written: Tokens) -> bool {
    let (natural, total) = natural_part(mixture, generation, budget, written);
    let is_mixed = fraction(mixture, generation).is_some_and(|fraction| 0.0 < fraction && fraction < 1.0);
    let splits_total = matches!(mixture.budget, Budget::Constant | Budget::Growing);
    is_mixed && (natural == 0 || splits_total && natural == total)
}

/// Size of each corpus that generation `generation` ≥ 1 draws on: `written`, or more if the budget grows and all
/// synthetic text comes from the latest corpus.
#[must_use]
pub fn corpus_tokens(mixture: &Mixture, generation: usize, budget: Tokens, written: Tokens) -> Tokens {
    match (mixture.synthetic, mixture.budget) {
        (SyntheticDocuments::Latest, Budget::Growing) => {
            parts(mixture, generation, budget, written).synthetic.max(written)
        }
        _ => written,
    }
}

/// The token counts of generations 1..=`generations` in a lineage whose generations write `written` tokens each.
///
/// # Errors
/// If a generation needs more synthetic text than earlier generations have written, or repeats a text without tokens.
pub fn schedule(
    mixture: &Mixture,
    generations: usize,
    budget: Tokens,
    written: Tokens,
) -> Result<Vec<TokenSplit>, MixtureError> {
    let split_of = |generation| {
        let parts = parts(mixture, generation, budget, written);
        if natural_text(mixture, generation, budget, written) == Tokens(0) && parts.natural > Tokens(0) {
            return Err(MixtureError::NothingToRepeat { generation });
        }
        let each = corpus_tokens(mixture, generation, budget, written);
        let available = Tokens(synthetic_generations(mixture, generation).len() as u64 * each.0);
        if parts.synthetic > available && !is_drawn_from_whole_pool(mixture, generation) {
            return Err(MixtureError::Synthetic { generation, wanted: parts.synthetic, available });
        }
        Ok(parts)
    };
    (1..=generations).map(split_of).collect()
}

/// Natural tokens that a lineage of `generations` needs from the start of the seed's document order. The rest of a cut
/// document is not used, so a mixture of fresh documents may need a few documents more.
#[must_use]
pub fn natural_reach(mixture: &Mixture, generations: usize, budget: Tokens, written: Tokens) -> Tokens {
    let taken = (1..=generations).map(|g| natural_text(mixture, g, budget, written).0);
    match mixture.natural {
        NaturalDocuments::Fixed => Tokens(taken.max().unwrap_or(0).max(budget.0)),
        NaturalDocuments::Fresh => Tokens(budget.0 + taken.sum::<u64>()),
    }
}

/// As [`natural_reach`], if a seed has at most `limit` natural tokens.
///
/// # Errors
/// If the mixture takes fresh natural text beyond the limit.
pub fn natural_reach_within(
    limit: Option<Tokens>,
    mixture: &Mixture,
    generations: usize,
    budget: Tokens,
    written: Tokens,
) -> Result<Tokens, MixtureError> {
    let reach = natural_reach(mixture, generations, budget, written);
    match limit {
        Some(limit) if reach > limit && mixture.natural == NaturalDocuments::Fresh => {
            Err(MixtureError::FreshBeyondLimit { limit })
        }
        Some(limit) => Ok(reach.min(limit)),
        None => Ok(reach),
    }
}

/// Checks that a seed has enough natural text for every generation of a lineage. `natural` has the length in tokens of
/// every natural document, in the seed's document order, without those beyond `limit`, the most natural tokens that a
/// seed has.
///
/// # Errors
/// If there is not enough natural text for a generation.
pub fn check_natural(
    limit: Option<Tokens>,
    mixture: &Mixture,
    generations: usize,
    budget: Tokens,
    written: Tokens,
    natural: &[usize],
) -> Result<(), MixtureError> {
    for generation in 0..=generations {
        let first = first_natural_document(mixture, generation, budget, written, natural);
        let wanted = natural_text(mixture, generation, budget, written);
        let found = natural_prefix(generation, wanted, first, natural, rereads(mixture, limit.is_some()));
        found.map_err(|error| match limit {
            Some(limit) => MixtureError::FreshBeyondLimit { limit },
            None => error,
        })?;
    }
    Ok(())
}

/// How many of the natural documents, in the seed's document order, the generations of a lineage can use: the leading
/// ones. `natural` has the length in tokens of every natural document.
#[must_use]
pub fn natural_documents(
    mixture: &Mixture,
    generations: usize,
    budget: Tokens,
    written: Tokens,
    natural: &[usize],
) -> usize {
    let used_by = |generation| {
        let first = first_natural_document(mixture, generation, budget, written, natural);
        first + documents_needed(&natural[first..], natural_text(mixture, generation, budget, written))
    };
    (0..=generations).map(used_by).max().unwrap_or(0)
}

/// Chooses the documents that generation `generation` trains on. A corpus can be larger than this lineage needs,
/// because other arms share it; then only its beginning is used. `stream` is the source of random numbers, if any are
/// needed.
///
/// # Errors
/// If there is not enough natural or synthetic text.
pub fn plan(
    mixture: &Mixture,
    generation: usize,
    budget: Tokens,
    written: Tokens,
    pool: DocumentPool,
    stream: &mut Stream,
) -> Result<MixturePlan, MixtureError> {
    let first = first_natural_document(mixture, generation, budget, written, pool.natural);
    let parts = parts(mixture, generation, budget, written);
    let each = corpus_tokens(mixture, generation, budget, written);
    let sources = source_generations(mixture, generation, budget, written);
    let synthetic = synthetic_pool(sources, generation, each, pool.synthetic)?;
    let text = natural_text(mixture, generation, budget, written);
    let natural = natural_prefix(generation, text, first, pool.natural, rereads(mixture, pool.rereads))?;
    if is_drawn_from_whole_pool(mixture, generation) {
        return Ok(draw_from_whole_pool(natural, synthetic, budget, stream));
    }
    let natural = repeated(natural, parts.natural).ok_or(MixtureError::NothingToRepeat { generation })?;
    let synthetic = take_synthetic(mixture, generation, parts.synthetic, synthetic, stream)?;
    Ok(MixturePlan { natural, synthetic })
}

/// Whether documents are drawn uniformly from natural and synthetic text together, so that the split between the two is
/// random.
#[must_use]
pub fn is_drawn_from_whole_pool(mixture: &Mixture, generation: usize) -> bool {
    generation > 0
        && mixture.natural_fraction == NaturalFraction::Proportional
        && mixture.budget == Budget::Constant
}

/// The generations whose corpora generation `generation` draws on; empty if all of its text is natural.
#[must_use]
pub fn source_generations(
    mixture: &Mixture,
    generation: usize,
    budget: Tokens,
    written: Tokens,
) -> std::ops::Range<usize> {
    let takes_synthetic_text = is_drawn_from_whole_pool(mixture, generation)
        || parts(mixture, generation, budget, written).synthetic > Tokens(0);
    if takes_synthetic_text { synthetic_generations(mixture, generation) } else { 0..0 }
}

/// The generations whose text `mixture.synthetic` allows, even if no synthetic text is needed.
fn synthetic_generations(mixture: &Mixture, generation: usize) -> std::ops::Range<usize> {
    match mixture.synthetic {
        SyntheticDocuments::Latest => generation.saturating_sub(1)..generation,
        SyntheticDocuments::All => 0..generation,
    }
}

/// The natural fraction of a generation ≥ 1; `None` if it is proportional.
fn fraction(mixture: &Mixture, generation: usize) -> Option<f64> {
    match &mixture.natural_fraction {
        NaturalFraction::Proportional => None,
        NaturalFraction::Schedule(fractions) => fractions.get(generation - 1).or(fractions.last()).copied(),
    }
}

/// Natural tokens that a generation draws on: those of its mixture, or the text that a repeated budget repeats. A draw
/// from the whole pool may use fewer.
#[must_use]
pub fn natural_text(mixture: &Mixture, generation: usize, budget: Tokens, written: Tokens) -> Tokens {
    if generation == 0 || is_drawn_from_whole_pool(mixture, generation) {
        budget
    } else {
        Tokens(natural_part(mixture, generation, budget, written).0)
    }
}

/// Whether a mixture reads natural text again, if natural text is limited.
fn rereads(mixture: &Mixture, is_limited: bool) -> bool {
    is_limited && mixture.natural == NaturalDocuments::Fixed
}

/// Index of the first natural document that a generation may use.
fn first_natural_document(
    mixture: &Mixture,
    generation: usize,
    budget: Tokens,
    written: Tokens,
    natural: &[usize],
) -> usize {
    if mixture.natural == NaturalDocuments::Fixed {
        return 0;
    }
    (0..generation).fold(0, |first, earlier| {
        let taken = natural_text(mixture, earlier, budget, written);
        first + documents_needed(&natural[first..], taken)
    })
}

/// Number of leading documents that together have at least `wanted` tokens.
fn documents_needed(lengths: &[usize], wanted: Tokens) -> usize {
    let mut left = wanted.0;
    lengths
        .iter()
        .take_while(|&&length| {
            let needed = left > 0;
            left = left.saturating_sub(length as u64);
            needed
        })
        .count()
}

fn sum(lengths: &[usize]) -> Tokens {
    Tokens(lengths.iter().map(|&length| length as u64).sum())
}

/// Uncut excerpts of the documents from `first` on; empty documents are skipped.
fn whole_documents(lengths: &[usize], first: usize) -> impl Iterator<Item = Excerpt> + Clone + '_ {
    let excerpts = lengths.iter().enumerate().skip(first);
    excerpts.map(|(document, &tokens)| Excerpt { document, tokens }).filter(|excerpt| excerpt.tokens > 0)
}

/// The first `wanted` tokens from document `first` on. If there are fewer and `rereads`, they are read again.
fn natural_prefix(
    generation: usize,
    wanted: Tokens,
    first: usize,
    natural: &[usize],
    rereads: bool,
) -> Result<Vec<Excerpt>, MixtureError> {
    let available = sum(&natural[first..]);
    let once = cut_to(wanted.min(available), whole_documents(natural, first), |excerpt| excerpt);
    let found = once.filter(|_| rereads || wanted <= available).and_then(|once| repeated(once, wanted));
    found.ok_or_else(|| MixtureError::Natural {
        generation,
        wanted,
        offset: sum(&natural[..first]),
        available: sum(natural),
    })
}

/// Exactly `wanted` tokens of `text`, which is read again from the beginning as often as necessary; `None` if it has no
/// tokens and some are wanted.
fn repeated(text: Vec<Excerpt>, wanted: Tokens) -> Option<Vec<Excerpt>> {
    cut_to(wanted, text.into_iter().cycle(), |excerpt| excerpt)
}

/// The documents in the first `each` tokens of every corpus in `sources`, each with the generation that wrote it.
fn synthetic_pool(
    sources: std::ops::Range<usize>,
    generation: usize,
    each: Tokens,
    corpora: &[Vec<usize>],
) -> Result<Vec<(usize, Excerpt)>, MixtureError> {
    let mut documents = Vec::new();
    for source in sources {
        let corpus = &corpora[source];
        let excerpts = cut_to(each, whole_documents(corpus, 0), |excerpt| excerpt)
            .ok_or_else(|| MixtureError::Synthetic { generation, wanted: each, available: sum(corpus) })?;
        documents.extend(excerpts.into_iter().map(|excerpt| (source, excerpt)));
    }
    Ok(documents)
}

/// Takes `wanted` tokens, either from the start of the latest corpus or from all corpora in random order.
fn take_synthetic(
    mixture: &Mixture,
    generation: usize,
    wanted: Tokens,
    mut documents: Vec<(usize, Excerpt)>,
    stream: &mut Stream,
) -> Result<Vec<(usize, Excerpt)>, MixtureError> {
    let available = Tokens(documents.iter().map(|(_, excerpt)| excerpt.tokens as u64).sum());
    if mixture.synthetic == SyntheticDocuments::All && wanted < available {
        documents.shuffle(stream);
    }
    cut_to(wanted, documents.into_iter(), |(_, excerpt)| excerpt).ok_or(MixtureError::Synthetic {
        generation,
        wanted,
        available,
    })
}

fn draw_from_whole_pool(
    natural: Vec<Excerpt>,
    synthetic: Vec<(usize, Excerpt)>,
    budget: Tokens,
    stream: &mut Stream,
) -> MixturePlan {
    let natural = natural.into_iter().map(|excerpt| (None, excerpt));
    let synthetic = synthetic.into_iter().map(|(generation, excerpt)| (Some(generation), excerpt));
    let mut all: Vec<(Option<usize>, Excerpt)> = natural.chain(synthetic).collect();
    all.shuffle(stream);
    let drawn = cut_to(budget, all.into_iter(), |(_, excerpt)| excerpt).unwrap_or_default();
    let mut plan = MixturePlan::default();
    for (generation, excerpt) in drawn {
        match generation {
            None => plan.natural.push(excerpt),
            Some(generation) => plan.synthetic.push((generation, excerpt)),
        }
    }
    plan
}

/// The leading items with exactly `wanted` tokens in total, the last one cut; `None` if there are too few tokens.
fn cut_to<T>(
    wanted: Tokens,
    items: impl Iterator<Item = T>,
    excerpt_of: impl Fn(&mut T) -> &mut Excerpt,
) -> Option<Vec<T>> {
    let mut left = wanted.0 as usize;
    let mut taken = Vec::new();
    for mut item in items {
        if left == 0 {
            break;
        }
        let excerpt = excerpt_of(&mut item);
        excerpt.tokens = excerpt.tokens.min(left);
        left -= excerpt.tokens;
        taken.push(item);
    }
    (left == 0).then_some(taken)
}
