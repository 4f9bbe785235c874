//! Probabilities of all n-grams and entropies after all contexts, in time proportional to the number of n-grams.
//!
//! The follower n of context h has the suffix n′, a follower of h′. So, from the lowest order up,
//! `q(n) = (a(n) − D) / a(h·) + γ(h) · q(n′)`, and a token w that does not follow h has γ(h) · q(w | h′).
//!
//! The entropy after h needs no pass over the vocabulary. With S = Σ q ln q, and F the followers of h,
//!
//! ```text
//! S(h) = Σ_F q(n) ln q(n)  +  γ · (S(h′) − Σ_F q(n′) ln q(n′))  +  γ ln γ · (1 − Σ_F q(n′))
//! ```
//!
//! because outside of F, q ln q = γ q′ (ln γ + ln q′).

use super::counts::{Context, Counts, Level, Node};
use super::discounts::Discounts;
use crate::documents::TokenId;
use rayon::prelude::*;

/// What a model predicts, by order and node.
#[derive(Debug)]
pub(super) struct Predictions {
    /// ln q of every n-gram. Index 0 holds the uniform distribution below the empty context.
    log_probabilities: Vec<Vec<f64>>,
    /// ln γ of every context.
    log_backoffs: Vec<Vec<f64>>,
    /// Entropy after every context, in nats.
    entropies: Vec<Vec<f64>>,
}

/// Contexts of a task. It decides nothing but the overhead.
const CONTEXTS_PER_TASK: usize = 4096;

/// What is known of the order below.
struct Below<'a> {
    probabilities: &'a [f64],
    log_probabilities: &'a [f64],
    /// S of each context one token shorter.
    sums: &'a [f64],
}

/// The outcome for some neighbouring contexts.
#[derive(Default)]
struct Part {
    probabilities: Vec<f64>,
    log_probabilities: Vec<f64>,
    log_backoffs: Vec<f64>,
    /// S of each context.
    sums: Vec<f64>,
}

impl Predictions {
    /// `discounts` by order; index 0 is unused.
    pub fn compute(counts: &Counts, discounts: &[Discounts]) -> Self {
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
            let below = Below {
                probabilities: &probabilities,
                log_probabilities: &predictions.log_probabilities[order - 1],
                sums: &sums,
            };
            let tasks = contexts.len().div_ceil(CONTEXTS_PER_TASK);
            let parts: Vec<Part> = (0..tasks)
                .into_par_iter()
                .map(|task| {
                    let start = task * CONTEXTS_PER_TASK;
                    let mut part = Part::default();
                    for context in start..contexts.len().min(start + CONTEXTS_PER_TASK) {
                        part.add(contexts, context, level, discounts, &below);
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

    /// The natural-log probability of `token` after `context`, and the context after that.
    pub fn score(&self, counts: &Counts, mut context: Context, token: TokenId) -> (f64, Context) {
        let mut log_backoff = 0.0;
        loop {
            if let Some(node) = counts.follower(context, token) {
                let order = context.length + 1;
                let log_probability = self.log_probabilities[order][node as usize] + log_backoff;
                return (log_probability, counts.context_after(Node { order, node }));
            }
            log_backoff += self.log_backoffs[context.length][context.node as usize];
            context = counts.shorter(context);
        }
    }

    /// The entropy in nats of the prediction after `context`.
    pub fn entropy(&self, context: Context) -> f64 {
        self.entropies[context.length][context.node as usize]
    }

    /// Writes the natural-log probabilities (V) of all tokens after `context`.
    pub fn fill<T: FromLog>(&self, counts: &Counts, context: Context, logs: &mut [T]) {
        let log_backoff = self.log_backoffs[context.length][context.node as usize];
        self.fill_scaled(counts, context, 0.0, log_backoff, logs);
    }

    /// The shorter contexts first, scaled by what is left to them; then the followers of this one, over them.
    fn fill_scaled<T: FromLog>(
        &self,
        counts: &Counts,
        context: Context,
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
        let next_backoff = self.log_backoffs[shorter.length][shorter.node as usize];
        self.fill_scaled(counts, shorter, log_scale + log_backoff, next_backoff, logs);
        for (&token, &own) in level.tokens[range].iter().zip(own) {
            logs[token as usize] = T::from_log(own + log_scale);
        }
    }
}

/// A float to keep log-probabilities in.
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

impl Part {
    fn add(&mut self, contexts: &Level, context: usize, level: &Level, discounts: Discounts, below: &Below) {
        let range = contexts.children_of(context);
        let total = f64::from(level.cumulative[range.end] - level.cumulative[range.start]);
        let taken: f64 = range.clone().map(|node| discounts.of(level.count(node))).sum();
        // After a context that nothing followed, the shorter one speaks.
        let (scale, backoff) = if total > 0.0 { (1.0 / total, taken / total) } else { (0.0, 1.0) };
        let log_backoff = backoff.ln();
        let (mut sum, mut mass_below, mut sum_below) = (0.0, 0.0, 0.0);
        for node in range {
            let suffix = level.suffixes[node] as usize;
            let (lower, log_lower) = (below.probabilities[suffix], below.log_probabilities[suffix]);
            let count = level.count(node);
            let probability = (f64::from(count) - discounts.of(count)) * scale + backoff * lower;
            let log_probability = probability.ln();
            sum += probability * log_probability;
            mass_below += lower;
            sum_below += lower * log_lower;
            self.probabilities.push(probability);
            self.log_probabilities.push(log_probability);
        }
        let sum_of_shorter = below.sums[contexts.suffixes[context] as usize];
        sum += backoff * (sum_of_shorter - sum_below) + backoff * log_backoff * (1.0 - mass_below);
        self.log_backoffs.push(log_backoff);
        self.sums.push(sum);
    }
}
