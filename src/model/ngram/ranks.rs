//! How many tokens are more probable than a given one, and how much probability they have, without a look at the whole
//! vocabulary.
//!
//! Tokens are ordered by descending probability and, where it is equal, by id. Let M_h(w) be the sum of p(v | h) over all
//! tokens v before w in this order. The followers F of h have probabilities of their own. All other tokens have those of
//! the shorter context h′, times γ(h), and are therefore ordered as they are there:
//!
//! ```text
//! M_h(w) = Σ_{v ∈ F, v before w} p(v | h)  +  γ(h) · (M_h′(w) − Σ_{v ∈ F, v before w at h′} p(v | h′))
//! ```
//!
//! where "before w at h′" compares p(v | h′) with p(w | h) / γ(h). Both sums are binary searches among followers that were
//! sorted once. Numbers of tokens follow in the same way.

use super::counts::{ContextNode, NgramCounts, NgramNode};
use super::predictions::Predictions;
use crate::documents::TokenId;
use rayon::prelude::*;

/// A context with at most this number of followers is not sorted but searched from one end to the other.
const FEW: usize = 16;

/// What comes before a token in the order of descending probability.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Before {
    /// Number of tokens.
    pub tokens: i64,
    /// Their probability.
    pub mass: f64,
}

/// The place of a token in the order: its natural-log probability in some context, and its id.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Place {
    log: f64,
    token: TokenId,
}

impl Place {
    fn is_before(self, other: Self) -> bool {
        self.log > other.log || (self.log == other.log && self.token < other.token)
    }
}

/// Tokens in order, and the probability before each of them and before the end.
#[derive(Debug, Default)]
struct Ordered {
    places: Vec<Place>,
    mass: Vec<f64>,
}

impl Ordered {
    fn new(mut places: Vec<Place>) -> Self {
        places.sort_unstable_by(|a, b| b.log.total_cmp(&a.log).then(a.token.cmp(&b.token)));
        let mut sum = 0.0;
        let mut mass = vec![0.0];
        mass.extend(places.iter().map(|place| {
            sum += place.log.exp();
            sum
        }));
        Self { places, mass }
    }

    fn before(&self, place: Place) -> Before {
        let count = self.places.partition_point(|one| one.is_before(place));
        Before { tokens: count as i64, mass: self.mass[count] }
    }
}

/// The followers of a context by their probabilities in this context, and in the shorter one.
#[derive(Debug)]
struct Followers {
    here: Ordered,
    shorter: Ordered,
}

/// The sorted followers of all contexts that have many.
#[derive(Debug)]
pub(super) struct Ranks {
    /// For each length of a context, those of each context.
    followers: Vec<Vec<Option<Box<Followers>>>>,
}

impl Ranks {
    /// Sorts the followers of all contexts that have many.
    pub fn new(counts: &NgramCounts, predictions: &Predictions) -> Self {
        let of_context = |length: usize, node: usize| {
            let context = ContextNode { length, node: node as u32 };
            let is_sorted = length == 0 || counts.levels[length].children_of(node).len() > FEW;
            is_sorted.then(|| {
                let (here, shorter) = places(counts, predictions, context).unzip();
                Box::new(Followers { here: Ordered::new(here), shorter: Ordered::new(shorter) })
            })
        };
        let of_length = |length: usize| {
            let contexts = (0..counts.levels[length].len()).into_par_iter();
            contexts.map(|node| of_context(length, node)).collect()
        };
        Self { followers: (0..counts.order()).map(of_length).collect() }
    }

    /// What comes before `token` in the order of the prediction after `context`. `found` is the longest n-gram seen that is a
    /// suffix of `context` followed by `token`.
    pub fn before(
        &self,
        counts: &NgramCounts,
        predictions: &Predictions,
        context: ContextNode,
        found: NgramNode,
        token: TokenId,
    ) -> Before {
        let seen = found.order - 1;
        let own = predictions.log_probability(found);
        // In contexts that are longer than the one in which the token was seen, its probability is multiplied by what each
        // leaves to the shorter one.
        let mut log = own;
        let mut longer = context;
        while longer.length > seen {
            log += predictions.log_backoff(longer);
            longer = counts.shorter(longer);
        }
        let mut before = Before::default();
        let (mut at, mut factor) = (context, 1.0);
        loop {
            // Exact where the token was seen, so that tokens of equal probability are ordered by id.
            let place = Place { log: if at.length == seen { own } else { log }, token };
            log = place.log - predictions.log_backoff(at);
            let shorter = Place { log: if at.length == seen + 1 { own } else { log }, token };
            let (here, below) = self.among_followers(counts, predictions, at, place, shorter);
            before.tokens += here.tokens;
            before.mass += factor * here.mass;
            if at.length == 0 {
                return before;
            }
            factor *= predictions.log_backoff(at).exp();
            before.tokens -= below.tokens;
            before.mass -= factor * below.mass;
            at = counts.shorter(at);
        }
    }

    /// The followers of `context` before `place`, and those before `shorter` in the shorter context.
    fn among_followers(
        &self,
        counts: &NgramCounts,
        predictions: &Predictions,
        context: ContextNode,
        place: Place,
        shorter: Place,
    ) -> (Before, Before) {
        if let Some(followers) = &self.followers[context.length][context.node as usize] {
            return (followers.here.before(place), followers.shorter.before(shorter));
        }
        let mut found = (Before::default(), Before::default());
        let count = |before: &mut Before, one: Place, place: Place| {
            if one.is_before(place) {
                before.tokens += 1;
                before.mass += one.log.exp();
            }
        };
        for (here, below) in places(counts, predictions, context) {
            count(&mut found.0, here, place);
            count(&mut found.1, below, shorter);
        }
        found
    }
}

/// The places of each follower of a context, in this context and in the shorter one.
fn places<'a>(
    counts: &'a NgramCounts,
    predictions: &'a Predictions,
    context: ContextNode,
) -> impl Iterator<Item = (Place, Place)> + 'a {
    let level = &counts.levels[context.length + 1];
    counts.levels[context.length].children_of(context.node as usize).map(move |node| {
        let token = level.tokens[node];
        let here = NgramNode { order: context.length + 1, node: node as u32 };
        let shorter = NgramNode { order: context.length, node: level.suffixes[node] };
        let place = |ngram| Place { log: predictions.log_probability(ngram), token };
        (place(here), place(shorter))
    })
}
