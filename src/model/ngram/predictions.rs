//! Computes the probabilities of all n-grams and the entropies after all contexts, in time proportional to the number
//! of n-grams.
//!
//! Let n be the n-gram that consists of a context h and one of its followers. The suffix n′ of n consists of h′ and the
//! same follower. Therefore the probabilities q can be computed from the lowest order up:
//! `q(n) = (a(n) − D) / a(h·) + γ(h) · q(n′)`. A token w that does not follow h has probability γ(h) · q(w | h′).
//!
//! The entropy after h needs no sum over the vocabulary. Let S(h) = Σ q ln q over all tokens, which is the negative
//! of the entropy, and let F be the set of n-grams n that consist of h and a follower. Then
//!
//! ```text
//! S(h) = Σ_F q(n) ln q(n)  +  γ · (S(h′) − Σ_F q(n′) ln q(n′))  +  γ ln γ · (1 − Σ_F q(n′))
//! ```
//!
//! because q ln q = γ q′ (ln γ + ln q′) for tokens that do not follow h, where q′ is their probability after h′.

use super::counts::{ContextNode, Level, NgramCounts, NgramNode};
use super::discounts::Discounts;
use crate::documents::TokenId;
use rayon::prelude::*;

/// The predictions of a model, indexed by order and then by node.
#[derive(Debug)]
pub(super) struct Predictions {
    /// ln q of every n-gram. At index 0, ln q of the uniform distribution to which the empty context backs off.
    log_probabilities: Vec<Vec<f64>>,
    /// ln γ of every context.
    log_backoffs: Vec<Vec<f64>>,
    /// Entropy after every context, in nats.
    entropies: Vec<Vec<f64>>,
}

/// Contexts per parallel task. Does not affect results.
const CONTEXTS_PER_TASK: usize = 4096;

/// The predictions of the next lower order.
struct LowerOrder<'a> {
    probabilities: &'a [f64],
    log_probabilities: &'a [f64],
    /// S(h′) of each context h′ of the next lower order.
    sums: &'a [f64],
}

/// The predictions after a range of contexts.
#[derive(Default)]
struct ContextPredictions {
    probabilities: Vec<f64>,
    log_probabilities: Vec<f64>,
    log_backoffs: Vec<f64>,
    /// S(h) of each context h.
    sums: Vec<f64>,
}

impl Predictions {
    /// Computes all predictions. `discounts` has those of each order; index 0 is unused.
    pub fn compute(counts: &NgramCounts, discounts: &[Discounts]) -> Self {
        let vocab_size = counts.vocab_size() as f64;
        let mut probabilities = vec![1.0 / vocab_size];
        let mut sums = vec![-vocab_size.ln()];
        let mut predictions = Self {
            log_probabilities: vec![vec![-vocab_size.ln()]],
            log_backoffs: Vec::new(),
            entropies: Vec::new(),
        };
        for (order, &discounts) in discounts.iter().enumerate().skip(1) {
            let (contexts, level) = (&counts.levels[order - 1], &counts.levels[order]);
            let lower = LowerOrder {
                probabilities: &probabilities,
                log_probabilities: &predictions.log_probabilities[order - 1],
                sums: &sums,
            };
            let tasks = contexts.len().div_ceil(CONTEXTS_PER_TASK);
            let parts: Vec<ContextPredictions> = (0..tasks)
                .into_par_iter()
                .map(|task| {
                    let start = task * CONTEXTS_PER_TASK;
                    let mut part = ContextPredictions::default();
                    for context in start..contexts.len().min(start + CONTEXTS_PER_TASK) {
                        part.add(contexts, context, level, discounts, &lower);
                    }
                    part
                })
                .collect();
            let log_probabilities = parts.iter().flat_map(|part| &part.log_probabilities).copied().collect();
            probabilities = parts.iter().flat_map(|part| &part.probabilities).copied().collect();
            sums = parts.iter().flat_map(|part| &part.sums).copied().collect();
            predictions.log_probabilities.push(log_probabilities);
            predictions
                .log_backoffs
                .push(parts.iter().flat_map(|part| &part.log_backoffs).copied().collect());
            predictions.entropies.push(sums.iter().map(|sum| (-sum).max(0.0)).collect());
        }
        predictions
    }

    /// The natural-log probability of `token` after `context`, and the context of the next token.
    pub fn score(
        &self,
        counts: &NgramCounts,
        mut context: ContextNode,
        token: TokenId,
    ) -> (f64, ContextNode) {
        let mut log_backoff = 0.0;
        loop {
            if let Some(node) = counts.follower(context, token) {
                let found = NgramNode { order: context.length + 1, node };
                return (self.log_probability(found) + log_backoff, counts.context_after(found));
            }
            log_backoff += self.log_backoff(context);
            context = counts.shorter(context);
        }
    }

    /// The natural-log probability of the last token of `ngram` after those before it.
    pub fn log_probability(&self, ngram: NgramNode) -> f64 {
        self.log_probabilities[ngram.order][ngram.node as usize]
    }

    /// ln γ: the natural logarithm of what `context` leaves to the shorter context.
    pub fn log_backoff(&self, context: ContextNode) -> f64 {
        self.log_backoffs[context.length][context.node as usize]
    }

    /// The entropy in nats of the prediction after `context`.
    pub fn entropy(&self, context: ContextNode) -> f64 {
        self.entropies[context.length][context.node as usize]
    }

    /// Writes the natural-log probabilities of all tokens after `context` to `logs`, by token id.
    pub fn fill<T: FromLog>(&self, counts: &NgramCounts, context: ContextNode, logs: &mut [T]) {
        self.fill_scaled(counts, context, 0.0, self.log_backoff(context), logs);
    }

    /// Writes the predictions of the shorter contexts, scaled by their backoff mass, and then overwrites those of the
    /// followers of `context`.
    fn fill_scaled<T: FromLog>(
        &self,
        counts: &NgramCounts,
        context: ContextNode,
        log_scale: f64,
        log_backoff: f64,
        logs: &mut [T],
    ) {
        let level = &counts.levels[context.length + 1];
        let range = counts.levels[context.length].children_of(context.node as usize);
        let own = &self.log_probabilities[context.length + 1][range.clone()];
        if context.length == 0 {
            for (log, &own) in logs.iter_mut().zip(own) {
                *log = T::from_log(own + log_scale);
            }
            return;
        }
        let shorter = counts.shorter(context);
        self.fill_scaled(counts, shorter, log_scale + log_backoff, self.log_backoff(shorter), logs);
        for (&token, &own) in level.tokens[range].iter().zip(own) {
            logs[token as usize] = T::from_log(own + log_scale);
        }
    }
}

/// A float type for log-probabilities.
pub(super) trait FromLog {
    fn from_log(log: f64) -> Self;
}

impl FromLog for f64 {
    fn from_log(log: f64) -> Self {
        log
    }
}

impl FromLog for f32 {
    fn from_log(log: f64) -> Self {
        log as f32
    }
}

impl ContextPredictions {
    /// Appends the predictions after one context.
    fn add(
        &mut self,
        contexts: &Level,
        context: usize,
        level: &Level,
        discounts: Discounts,
        lower: &LowerOrder,
    ) {
        let range = contexts.children_of(context);
        let total = f64::from(level.cumulative[range.end] - level.cumulative[range.start]);
        let taken: f64 = range.clone().map(|node| discounts.of(level.count(node))).sum();
        // A context without followers leaves all mass to the shorter context.
        let (scale, backoff) = if total > 0.0 { (1.0 / total, taken / total) } else { (0.0, 1.0) };
        let log_backoff = backoff.ln();
        let (mut sum, mut mass_below, mut sum_below) = (0.0, 0.0, 0.0);
        for node in range {
            let suffix = level.suffixes[node] as usize;
            let (suffix_probability, suffix_log) =
                (lower.probabilities[suffix], lower.log_probabilities[suffix]);
            let count = level.count(node);
            let probability = (f64::from(count) - discounts.of(count)) * scale + backoff * suffix_probability;
            let log_probability = probability.ln();
            sum += probability * log_probability;
            mass_below += suffix_probability;
            sum_below += suffix_probability * suffix_log;
            self.probabilities.push(probability);
            self.log_probabilities.push(log_probability);
        }
        let sum_of_shorter = lower.sums[contexts.suffixes[context] as usize];
        sum += backoff * (sum_of_shorter - sum_below) + backoff * log_backoff * (1.0 - mass_below);
        self.log_backoffs.push(log_backoff);
        self.sums.push(sum);
    }
}
