//! The n-grams of a text and their counts, as one sorted array per order.
//!
//! An n-gram of order k is represented by a *node*: a number that indexes the arrays of its order. Nodes are sorted by
//! the n-gram's context (its first k − 1 tokens) and then by its last token, so the followers of a context are
//! adjacent. Each node has a *suffix*: the node of order k − 1 for the n-gram without its first token. Order 0 has one
//! node, the empty n-gram. Order 1 has all tokens of the vocabulary, seen or not, so its nodes are token ids.

use crate::documents::{Documents, TokenId};
use crate::model::ModelError;
use crate::stage::Stage;
use rayon::prelude::*;
use std::ops::Range;

/// The n-grams of one order. The comments give the length of each array for n nodes.
#[derive(Clone, Debug, Default)]
pub(super) struct Level {
    /// (n) Last tokens.
    pub tokens: Vec<TokenId>,
    /// (n + 1) Cumulative counts: the count of node i is `cumulative[i + 1] − cumulative[i]`.
    pub cumulative: Vec<u32>,
    /// (n) Suffix of each node, a node of the next lower order.
    pub suffixes: Vec<u32>,
    /// (n + 1) The followers of node i are the nodes `children[i]..children[i + 1]` of the next higher order. Empty in
    /// the highest order.
    pub children: Vec<u32>,
}

/// All n-grams up to the order of a model.
#[derive(Clone, Debug)]
pub(super) struct NgramCounts {
    /// One level for each order from 0.
    pub levels: Vec<Level>,
}

/// The context of a token: a node of an order lower than that of the model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ContextNode {
    /// Number of tokens of the context, which is the order of the node.
    pub length: usize,
    pub node: u32,
}

/// An n-gram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NgramNode {
    pub order: usize,
    pub node: u32,
}

impl Level {
    pub fn count(&self, node: usize) -> u32 {
        self.cumulative[node + 1] - self.cumulative[node]
    }

    pub fn len(&self) -> usize {
        self.tokens.len()
    }

    pub fn children_of(&self, node: usize) -> Range<usize> {
        self.children[node] as usize..self.children[node + 1] as usize
    }
}

impl NgramCounts {
    pub fn order(&self) -> usize {
        self.levels.len() - 1
    }

    pub fn vocab_size(&self) -> usize {
        self.levels[1].len()
    }

    /// The counts of all nodes of an order.
    pub fn of_order(&self, order: usize) -> impl Iterator<Item = u32> + '_ {
        self.levels[order].cumulative.windows(2).map(|pair| pair[1] - pair[0])
    }

    /// The context at the beginning of a document.
    pub fn context_of_start(&self, start: TokenId) -> ContextNode {
        if self.order() == 1 {
            ContextNode { length: 0, node: 0 }
        } else {
            ContextNode { length: 1, node: start }
        }
    }

    /// The context without its first token. The empty context is returned unchanged.
    pub fn shorter(&self, context: ContextNode) -> ContextNode {
        let node = self.levels[context.length].suffixes[context.node as usize];
        ContextNode { length: context.length.saturating_sub(1), node }
    }

    /// The node of the n-gram `context` followed by `token`, or `None` if this n-gram was not seen. After the empty
    /// context, every token counts as seen.
    pub fn follower(&self, context: ContextNode, token: TokenId) -> Option<u32> {
        if context.length == 0 {
            return Some(token);
        }
        let range = self.levels[context.length].children_of(context.node as usize);
        let start = range.start;
        let found = self.levels[context.length + 1].tokens[range].binary_search(&token).ok()?;
        Some((start + found) as u32)
    }

    /// The longest n-gram seen that is a suffix of `context` followed by `token`.
    pub fn find(&self, mut context: ContextNode, token: TokenId) -> NgramNode {
        loop {
            if let Some(node) = self.follower(context, token) {
                return NgramNode { order: context.length + 1, node };
            }
            context = self.shorter(context);
        }
    }

    /// The context of the next token, where `found` is the longest n-gram seen that is a suffix of the text so far.
    pub fn context_after(&self, found: NgramNode) -> ContextNode {
        let context = ContextNode { length: found.order, node: found.node };
        if found.order == self.order() { self.shorter(context) } else { context }
    }
}

/// Marks positions that are too close to the start of a document to have an n-gram of the current order.
const NO_NODE: u32 = u32::MAX;

/// Counts all n-grams up to `order`. Advances `stage` by the number of tokens of `documents`.
pub(super) fn count(
    documents: &Documents,
    order: usize,
    vocab_size: usize,
    start: TokenId,
    stage: &Stage,
) -> Result<NgramCounts, ModelError> {
    let tokens = documents.flat();
    let mut raw = vec![0; vocab_size];
    for &token in tokens {
        raw[token as usize] += 1;
    }
    let root = Level {
        tokens: vec![0],
        cumulative: vec![0, 0],
        suffixes: vec![0],
        children: vec![0, vocab_size as u32],
    };
    let first =
        Level { tokens: (0..vocab_size as u32).collect(), suffixes: vec![0; vocab_size], ..Level::default() };
    let mut levels = vec![root, first];
    // For each position, the node of the n-gram of the current order that ends there.
    let mut nodes = tokens.to_vec();
    let mut begins_with_start: Vec<bool> = (0..vocab_size as u32).map(|token| token == start).collect();
    for k in 2..=order {
        if stage.interrupted() {
            return Err(ModelError::Interrupted);
        }
        let contexts = nodes_before(documents, &nodes, if k == 2 { start } else { NO_NODE });
        let parents = &mut levels[k - 1];
        let next = next_level(tokens, &contexts, &nodes, parents);
        let counts = continuation_counts(&raw, &begins_with_start, k, &next.level);
        parents.cumulative = cumulative(&counts);
        begins_with_start = inherit(&begins_with_start, &parents.children);
        nodes = next.nodes;
        raw = next.counts;
        levels.push(next.level);
        stage.advance(step_progress(tokens.len(), k - 1, order));
    }
    levels[order].cumulative = cumulative(&raw);
    stage.advance(step_progress(tokens.len(), order, order));
    Ok(NgramCounts { levels })
}

/// The progress to report for step `step` (from 1) of `steps`. The sum over all steps is `total`.
fn step_progress(total: usize, step: usize, steps: usize) -> u64 {
    (total * step / steps - total * (step - 1) / steps) as u64
}

/// For each position, the node of the n-gram that ends just before it; `at_start` at the beginning of a document.
fn nodes_before(documents: &Documents, nodes: &[u32], at_start: u32) -> Vec<u32> {
    let mut contexts = Vec::with_capacity(nodes.len());
    for document in documents.iter().filter(|document| !document.is_empty()) {
        let from = contexts.len();
        contexts.push(at_start);
        contexts.extend_from_slice(&nodes[from..from + document.len() - 1]);
    }
    contexts
}

struct NextLevel {
    level: Level,
    /// Number of occurrences of each node.
    counts: Vec<u32>,
    /// For each position, the node of the n-gram that ends there.
    nodes: Vec<u32>,
}

/// Builds the level above `parents`, whose nodes are the contexts of the new level, and sets the children of `parents`.
fn next_level(tokens: &[TokenId], contexts: &[u32], suffixes: &[u32], parents: &mut Level) -> NextLevel {
    let (mut entries, ends) = group_by_context(tokens, contexts, parents.len());
    sort_groups(&mut entries, &ends);

    let mut next =
        NextLevel { level: Level::default(), counts: Vec::new(), nodes: vec![NO_NODE; tokens.len()] };
    let level = &mut next.level;
    parents.children = Vec::with_capacity(ends.len() + 1);
    parents.children.push(0);
    let mut from = 0;
    for &end in &ends {
        let mut previous = None;
        for &entry in &entries[from..end as usize] {
            let (token, position) = ((entry >> 32) as TokenId, entry as u32 as usize);
            if previous != Some(token) {
                previous = Some(token);
                level.tokens.push(token);
                level.suffixes.push(suffixes[position]);
                next.counts.push(0);
            }
            let node = level.tokens.len() - 1;
            next.counts[node] += 1;
            next.nodes[position] = node as u32;
        }
        from = end as usize;
        parents.children.push(level.tokens.len() as u32);
    }
    next
}

/// Returns the entries `token · 2^32 + position`, grouped by context, and the end of each context's group.
fn group_by_context(tokens: &[TokenId], contexts: &[u32], parents: usize) -> (Vec<u64>, Vec<u32>) {
    // `ends` first has the size of each group, then its start, and after the groups are filled its end.
    let mut ends = vec![0_u32; parents];
    for &context in contexts {
        if context != NO_NODE {
            ends[context as usize] += 1;
        }
    }
    let mut total = 0;
    for end in &mut ends {
        let size = *end;
        *end = total;
        total += size;
    }
    let mut entries = vec![0_u64; total as usize];
    for (position, (&context, &token)) in contexts.iter().zip(tokens).enumerate() {
        if context != NO_NODE {
            let end = &mut ends[context as usize];
            entries[*end as usize] = u64::from(token) << 32 | position as u64;
            *end += 1;
        }
    }
    (entries, ends)
}

/// Sorts the entries of each group, with many groups per parallel task. All entries differ, so the result is unique.
fn sort_groups(mut entries: &mut [u64], ends: &[u32]) {
    const GROUPS_PER_TASK: usize = 512;
    let mut work = Vec::new();
    let mut from = 0;
    for ends in ends.chunks(GROUPS_PER_TASK) {
        let end = ends[ends.len() - 1] as usize;
        let (task_entries, rest) = entries.split_at_mut(end - from);
        work.push((task_entries, ends, from));
        entries = rest;
        from = end;
    }
    work.into_par_iter().for_each(|(entries, ends, offset)| {
        let mut from = 0;
        for &end in ends {
            let end = end as usize - offset;
            if end - from > 1 {
                entries[from..end].sort_unstable();
            }
            from = end;
        }
    });
}

/// Computes the counts a(·) of the level below `above`, which has order `k`. The count of an n-gram is the number of
/// different tokens seen before it, or its number of occurrences if it has at least two tokens and begins with the
/// start token.
fn continuation_counts(raw: &[u32], begins_with_start: &[bool], k: usize, above: &Level) -> Vec<u32> {
    let mut counts = vec![0; raw.len()];
    for &suffix in &above.suffixes {
        counts[suffix as usize] += 1;
    }
    if k > 2 {
        for ((count, &raw), _) in
            counts.iter_mut().zip(raw).zip(begins_with_start).filter(|(_, begins)| **begins)
        {
            *count = raw;
        }
    }
    counts
}

/// For each node of the next higher order, the value of its context in `parents`.
fn inherit(parents: &[bool], children: &[u32]) -> Vec<bool> {
    let mut inherited = Vec::new();
    for (&begins, range) in parents.iter().zip(children.windows(2)) {
        inherited.extend(std::iter::repeat_n(begins, (range[1] - range[0]) as usize));
    }
    inherited
}

fn cumulative(counts: &[u32]) -> Vec<u32> {
    let mut sum = 0;
    let mut sums = Vec::with_capacity(counts.len() + 1);
    sums.push(0);
    for &count in counts {
        sum += count;
        sums.push(sum);
    }
    sums
}
