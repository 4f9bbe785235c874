//! Which documents train a generation. Pure: lengths in, a plan out.
//!
//! Let N be the budget (`corpus.train_tokens`), S what a generation writes (`synthesis.tokens`), and f the natural
//! fraction. The parts of generation g ≥ 1 are
//!
//! | budget | natural | synthetic |
//! |---|---|---|
//! | constant | f·N | N − f·N |
//! | added | f·N | N |
//! | growing | f·(N + g·S) | the rest of N + g·S |
//!
//! each rounded to the nearest token, and each *exact*: the last document of a part is cut where the part ends.
//! Under a growing budget a mixture holds as much as an accumulating lineage does by then. Where it draws on the
//! latest corpus alone, that corpus is as large as this takes, and larger than S.
//!
//! With `"proportional"` f is what there is to draw on, N/(N + S) with the latest corpus under a budget that does not
//! grow, else N/(N + g·S). Under a growing budget everything is taken, and under a constant one the documents are
//! drawn uniformly without replacement from the whole pool (Kazdan et al. 2024), so that the parts are an outcome of
//! the draw. A cut document is not ended by an end-of-text token.
//!
//! *Fixed* natural documents are a prefix of the seed's order, the same one that generation 0 trains on. *Fresh*
//! ones begin behind everything that earlier generations of the lineage took.

mod settings;

pub use settings::{
    Budget, Mixture, NaturalDocuments, NaturalFraction, PUBLISHED_REGIMES, Regime, SyntheticDocuments,
};

use crate::seed::Stream;
use crate::units::Tokens;
use rand::seq::SliceRandom;

/// The leading `tokens` of a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Excerpt {
    /// Its index in its corpus.
    pub document: usize,
    /// At least 1; less than the document's length only at the end of a part.
    pub tokens: usize,
}

/// What a generation trains on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MixturePlan {
    /// Natural documents, as places in the seed's order.
    pub natural: Vec<Excerpt>,
    /// Synthetic documents, with the generation that wrote them.
    pub synthetic: Vec<(usize, Excerpt)>,
}

impl MixturePlan {
    /// Natural tokens.
    #[must_use]
    pub fn natural_tokens(&self) -> Tokens {
        Tokens(self.natural.iter().map(|excerpt| excerpt.tokens as u64).sum())
    }

    /// Synthetic tokens.
    #[must_use]
    pub fn synthetic_tokens(&self) -> Tokens {
        Tokens(self.synthetic.iter().map(|(_, excerpt)| excerpt.tokens as u64).sum())
    }
}

/// How many tokens of each kind a mixture takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenSplit {
    /// Natural tokens.
    pub natural: Tokens,
    /// Synthetic tokens.
    pub synthetic: Tokens,
}

/// What stands for a mixture to draw on.
#[derive(Clone, Copy, Debug)]
pub struct DocumentPool<'a> {
    /// Tokens of every natural document, in the seed's order.
    pub natural: &'a [usize],
    /// Tokens of every synthetic document, by the generation that wrote it: 0..g. Those that the mixture does not draw on
    /// (see [`source_generations`]) may be left empty.
    pub synthetic: &'a [Vec<usize>],
}

/// Not enough text for a mixture.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MixtureError {
    /// Too little natural text.
    #[error(
        "generation {generation} takes {wanted} tokens of natural text from place {offset} on, but the train split ends at {available}; lower corpus.train_tokens or the natural fraction, add text, or lower corpus.heldout_share and corpus.reference_share"
    )]
    Natural {
        /// The generation.
        generation: usize,
        /// Tokens wanted.
        wanted: Tokens,
        /// Tokens that come before.
        offset: Tokens,
        /// Tokens of the whole train split.
        available: Tokens,
    },
    /// Too little synthetic text.
    #[error(
        "generation {generation} takes {wanted} tokens of synthetic text, but the pool holds {available}; raise synthesis.tokens or the natural fraction"
    )]
    Synthetic {
        /// The generation.
        generation: usize,
        /// Tokens wanted.
        wanted: Tokens,
        /// Tokens there are.
        available: Tokens,
    },
}

/// The parts of generation `generation` of a lineage whose generations write `written` tokens each. Under a constant
/// budget and a proportional fraction these are the expected parts; the draw decides.
#[must_use]
pub fn parts(mixture: &Mixture, generation: usize, budget: Tokens, written: Tokens) -> TokenSplit {
    if generation == 0 {
        return TokenSplit { natural: budget, synthetic: Tokens(0) };
    }
    let corpora = match mixture.budget {
        Budget::Growing => generation,
        Budget::Constant | Budget::Added => synthetic_generations(mixture, generation).len(),
    };
    let whole = budget.0 + corpora as u64 * written.0;
    let fraction = fraction(mixture, generation).unwrap_or(budget.0 as f64 / whole as f64);
    let total = if mixture.budget == Budget::Growing { whole } else { budget.0 };
    let natural = ((fraction * total as f64).round() as u64).min(total);
    let synthetic = if mixture.budget == Budget::Added { budget.0 } else { total - natural };
    TokenSplit { natural: Tokens(natural), synthetic: Tokens(synthetic) }
}

/// Tokens of each corpus that generation `generation` ≥ 1 draws on: `written`, unless its budget grows and it draws on
/// the latest corpus alone, which then holds all that it takes.
#[must_use]
pub fn corpus_tokens(mixture: &Mixture, generation: usize, budget: Tokens, written: Tokens) -> Tokens {
    match (mixture.synthetic, mixture.budget) {
        (SyntheticDocuments::Latest, Budget::Growing) => {
            parts(mixture, generation, budget, written).synthetic.max(written)
        }
        _ => written,
    }
}

/// The parts of generations 1..=`generations` of a lineage that writes `written` tokens each generation.
///
/// # Errors
/// When a generation takes more synthetic text than there is by then.
pub fn schedule(
    mixture: &Mixture,
    generations: usize,
    budget: Tokens,
    written: Tokens,
) -> Result<Vec<TokenSplit>, MixtureError> {
    let part_of = |generation| {
        let parts = parts(mixture, generation, budget, written);
        let each = corpus_tokens(mixture, generation, budget, written);
        let available = Tokens(synthetic_generations(mixture, generation).len() as u64 * each.0);
        if parts.synthetic > available && !is_drawn_from_whole_pool(mixture, generation) {
            return Err(MixtureError::Synthetic { generation, wanted: parts.synthetic, available });
        }
        Ok(parts)
    };
    (1..=generations).map(part_of).collect()
}

/// How far into the seed's order of natural documents a lineage of `generations` reaches, in tokens. Cut documents
/// are not gone on with, so that a fresh mixture may need a few documents more.
#[must_use]
pub fn natural_reach(mixture: &Mixture, generations: usize, budget: Tokens, written: Tokens) -> Tokens {
    let taken = (1..=generations).map(|g| natural_drawn_on(mixture, g, budget, written).0);
    match mixture.natural {
        NaturalDocuments::Fixed => Tokens(taken.max().unwrap_or(0).max(budget.0)),
        NaturalDocuments::Fresh => Tokens(budget.0 + taken.sum::<u64>()),
    }
}

/// Checks that the natural documents of a seed suffice for every generation of a lineage that writes `written` tokens
/// each generation. `natural` holds their lengths in the seed's order.
///
/// # Errors
/// When a generation takes more natural text than there is left for it.
pub fn check_natural(
    mixture: &Mixture,
    generations: usize,
    budget: Tokens,
    written: Tokens,
    natural: &[usize],
) -> Result<(), MixtureError> {
    for generation in 0..=generations {
        let first = first_natural_document(mixture, generation, budget, written, natural);
        let wanted = natural_drawn_on(mixture, generation, budget, written);
        natural_prefix(generation, wanted, first, natural)?;
    }
    Ok(())
}

/// Which documents train generation `generation`. Of a corpus that holds more than the lineage would have written,
/// because other arms share it, the beginning counts.
///
/// # Errors
/// When there is not enough text of either kind.
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
    if is_drawn_from_whole_pool(mixture, generation) {
        let natural = natural_prefix(generation, budget, first, pool.natural)?;
        return Ok(draw_from_whole_pool(natural, synthetic, budget, stream));
    }
    let natural = natural_prefix(generation, parts.natural, first, pool.natural)?;
    let synthetic = take_synthetic(mixture, generation, parts.synthetic, synthetic, stream)?;
    Ok(MixturePlan { natural, synthetic })
}

/// Whether a generation's documents are drawn uniformly from natural and synthetic text together, so that its parts are
/// an outcome of the draw.
#[must_use]
pub fn is_drawn_from_whole_pool(mixture: &Mixture, generation: usize) -> bool {
    generation > 0
        && mixture.natural_fraction == NaturalFraction::Proportional
        && mixture.budget == Budget::Constant
}

/// The generations whose corpora generation `generation` draws on; none if all of its text is natural.
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

/// The generations whose corpora a mixture may draw on.
fn synthetic_generations(mixture: &Mixture, generation: usize) -> std::ops::Range<usize> {
    match mixture.synthetic {
        SyntheticDocuments::Latest => generation.saturating_sub(1)..generation,
        SyntheticDocuments::All => 0..generation,
    }
}

/// The given natural fraction of a generation ≥ 1; `None` when it is proportional.
fn fraction(mixture: &Mixture, generation: usize) -> Option<f64> {
    match &mixture.natural_fraction {
        NaturalFraction::Proportional => None,
        NaturalFraction::Schedule(fractions) => fractions.get(generation - 1).or(fractions.last()).copied(),
    }
}

/// Natural tokens that a generation draws on, whether or not the draw takes them all.
fn natural_drawn_on(mixture: &Mixture, generation: usize, budget: Tokens, written: Tokens) -> Tokens {
    if is_drawn_from_whole_pool(mixture, generation) {
        budget
    } else {
        parts(mixture, generation, budget, written).natural
    }
}

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
        let taken = natural_drawn_on(mixture, earlier, budget, written);
        first + documents_holding(&natural[first..], taken)
    })
}

/// How many leading documents it takes to hold `wanted` tokens.
fn documents_holding(lengths: &[usize], wanted: Tokens) -> usize {
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

fn whole_documents(lengths: &[usize], first: usize) -> impl Iterator<Item = Excerpt> + '_ {
    let excerpts = lengths.iter().enumerate().skip(first);
    excerpts.map(|(document, &tokens)| Excerpt { document, tokens }).filter(|excerpt| excerpt.tokens > 0)
}

fn natural_prefix(
    generation: usize,
    wanted: Tokens,
    first: usize,
    natural: &[usize],
) -> Result<Vec<Excerpt>, MixtureError> {
    cut_to(wanted, whole_documents(natural, first), |excerpt| excerpt).ok_or_else(|| MixtureError::Natural {
        generation,
        wanted,
        offset: sum(&natural[..first]),
        available: sum(natural),
    })
}

/// The leading `each` tokens of every corpus that a mixture draws on.
fn synthetic_pool(
    sources: std::ops::Range<usize>,
    generation: usize,
    each: Tokens,
    corpora: &[Vec<usize>],
) -> Result<Vec<(usize, Excerpt)>, MixtureError> {
    let mut documents = Vec::new();
    for author in sources {
        let corpus = &corpora[author];
        let excerpts = cut_to(each, whole_documents(corpus, 0), |excerpt| excerpt)
            .ok_or_else(|| MixtureError::Synthetic { generation, wanted: each, available: sum(corpus) })?;
        documents.extend(excerpts.into_iter().map(|excerpt| (author, excerpt)));
    }
    Ok(documents)
}

/// The latest corpus from its beginning; of several corpora, documents in random order.
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

/// The leading items that hold exactly `wanted` tokens, the last one cut; `None` if there are not so many.
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
