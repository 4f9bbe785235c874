//! Attention over whole sequences, forward and backward.
//!
//! The queries of a head are processed 64 at a time, and only the keys up to the last of these queries are read. This
//! saves half of the work, and the matrix of all products of queries and keys is never stored. The backward pass
//! recomputes these products with bit-identical results, and converts them into probabilities with the [`SoftmaxStats`]
//! of each row (Dao et al. 2022, FlashAttention).
//!
//! With `S = Q Kᵀ · scale`, `P = softmax(S)`, `O = P V` and `g = ∂L/∂O`: `∂L/∂V = Pᵀ g`, `∂L/∂P = g Vᵀ`,
//! `∂L/∂S = P ∘ (∂L/∂P − Σ_row P ∘ ∂L/∂P)`, `∂L/∂Q = ∂L/∂S K · scale` and `∂L/∂K = ∂L/∂Sᵀ Q · scale`. Where scores are
//! capped, the gradient goes through the cap before it is scaled.

use super::super::matmul::{
    MatmulOptions, OutputMode, PANEL, PackedRows, Panels, multiply, multiply_transposed, packed_len,
};
use super::super::{exp, softcap, sum_over_pairs, vectorised};
use super::{Heads, Rotary, Scoring, SoftmaxStats, rotate, rotate_back, softmax};
use std::ops::Range;

/// Number of queries of a head that are processed together.
const QUERY_BLOCK: usize = 64;

/// Reusable memory for [`forward`] and [`backward`]. Its contents do not carry over from call to call.
#[derive(Default)]
pub struct AttentionScratch {
    /// Rotated queries of one head, (T, D).
    q: Vec<f32>,
    /// Rotated keys of one head, (T, D).
    k: Vec<f32>,
    /// Values of one head, (T, D).
    v: Vec<f32>,
    /// Gradient of the queries, (T, D).
    dq: Vec<f32>,
    /// Gradient of the keys, (T, D).
    dk: Vec<f32>,
    /// Gradient of the values, (T, D).
    dv: Vec<f32>,
    /// Products of one block of queries with the keys, (queries, keys); later the probabilities computed from them.
    p: Vec<f32>,
    /// The capped products, where there is a cap, from which `p` was computed in the backward pass.
    capped: Vec<f32>,
    /// Gradient of the probabilities in `p`, (queries, keys); later the gradient of the products.
    dp: Vec<f32>,
    /// Output of one head, (T, D), in the forward pass; gradient of that output in the backward pass.
    o: Vec<f32>,
    /// `q` as the left factor of a product.
    q_rows: PackedRows,
    /// `o` as the left factor of a product.
    o_rows: PackedRows,
    /// `p` in the forward pass and `dp` in the backward pass, as the left factor of a product.
    p_rows: PackedRows,
    /// `k`, packed for sums along the width of a head.
    k_by_width: Panels,
    /// `v`, packed for sums along the width of a head.
    v_by_width: Panels,
    /// `k`, packed for sums over positions.
    k_by_position: Panels,
    /// `v`, packed for sums over positions.
    v_by_position: Panels,
    /// A block of `q`, packed for sums over positions.
    q_by_position: Panels,
    /// A block of `o`, packed for sums over positions.
    o_by_position: Panels,
    /// `dp`, later `p`, packed for sums over positions.
    p_by_position: Panels,
}

/// Attention over sequences of equal length.
#[derive(Clone, Copy)]
pub struct CausalAttention<'a> {
    /// Number format and instructions of the matrix products.
    pub options: MatmulOptions,
    /// Positions in a sequence, T.
    pub sequence_len: usize,
    /// Number and width of the heads.
    pub heads: Heads,
    /// How products of queries and keys become scores, and which keys a query reads.
    pub scoring: Scoring,
    /// Rotations of at least T positions.
    pub rotary: &'a Rotary,
}

impl CausalAttention<'_> {
    /// Blocks of queries, each with the number of keys to which its last query attends.
    fn query_blocks(&self) -> impl DoubleEndedIterator<Item = (Range<usize>, usize)> + use<> {
        let length = self.sequence_len;
        (0..length).step_by(QUERY_BLOCK).map(move |start| {
            let end = length.min(start + QUERY_BLOCK);
            (start..end, end)
        })
    }
}

/// Computes the attention output (B·T, H D) of B sequences from `qkv` (B·T, (H + 2K) D). Stores in `stats` (B, H, T)
/// the softmax statistics that [`backward`] needs.
pub fn forward(
    attention: CausalAttention,
    qkv: &[f32],
    scratch: &mut AttentionScratch,
    output: &mut [f32],
    stats: &mut [SoftmaxStats],
) {
    let CausalAttention { options, sequence_len, heads, rotary, .. } = attention;
    let (row, width, output_row) = (heads.qkv_width(), heads.width, heads.output_width());
    let sequences = qkv
        .chunks_exact(sequence_len * row)
        .zip(output.chunks_exact_mut(sequence_len * output_row))
        .zip(stats.chunks_exact_mut(sequence_len * heads.queries));
    for ((qkv, output), stats) in sequences {
        for key_head in 0..heads.keys {
            scratch.load_keys_and_values(heads, key_head, rotary, qkv);
            scratch.k_by_width.pack_transposed(options.precision, &scratch.k, width);
            scratch.v_by_position.pack_rows(options.precision, &scratch.v, width);
            for head in heads.queries_of(key_head) {
                copy_rotated(qkv, row, head * width, width, rotary, &mut scratch.q);
                let stats = &mut stats[head * sequence_len..(head + 1) * sequence_len];
                forward_head(attention, scratch, stats);
                insert_columns(&scratch.o, width, output, output_row, head * width);
            }
        }
    }
}

/// Computes the output of one query head in `scratch.o` (T, D).
fn forward_head(attention: CausalAttention, scratch: &mut AttentionScratch, stats: &mut [SoftmaxStats]) {
    let AttentionScratch { q, p, o, q_rows, p_rows, k_by_width, v_by_position, .. } = scratch;
    let CausalAttention { options, sequence_len, heads, .. } = attention;
    let (precision, width) = (options.precision, heads.width);
    q_rows.repack(precision, q, width);
    o.resize(sequence_len * width, 0.0);
    for (queries, key_count) in attention.query_blocks() {
        p.resize(queries.len() * key_count, 0.0);
        let left = &q_rows.words[queries.start * q_rows.stride..];
        let keys = k_by_width.view().first_columns(key_count);
        multiply(options, left, q_rows.stride, keys, p, OutputMode::Overwrite);
        attention.scoring.cap(p);
        probabilities(p, key_count, queries.start, attention.scoring, &mut stats[queries.clone()]);
        p_rows.repack(precision, p, key_count);
        let values = v_by_position.view().first_words(packed_len(precision, key_count));
        let out = &mut o[queries.start * width..queries.end * width];
        multiply(options, &p_rows.words, p_rows.stride, values, out, OutputMode::Overwrite);
    }
}

/// Replaces `qkv` (B·T, (H + 2K) D) by its gradient, given the gradient of the attention output (B·T, H D) and the
/// `stats` of [`forward`].
pub fn backward(
    attention: CausalAttention,
    qkv: &mut [f32],
    scratch: &mut AttentionScratch,
    output_grad: &[f32],
    stats: &[SoftmaxStats],
) {
    let CausalAttention { sequence_len, heads, .. } = attention;
    let sequences = qkv
        .chunks_exact_mut(sequence_len * heads.qkv_width())
        .zip(output_grad.chunks_exact(sequence_len * heads.output_width()))
        .zip(stats.chunks_exact(sequence_len * heads.queries));
    for ((qkv, output_grad), stats) in sequences {
        for key_head in 0..heads.keys {
            backward_key_head(attention, key_head, qkv, scratch, output_grad, stats);
        }
    }
}

/// The part of [`backward`] for one sequence and one key–value head with all the query heads that read it.
fn backward_key_head(
    attention: CausalAttention,
    key_head: usize,
    qkv: &mut [f32],
    scratch: &mut AttentionScratch,
    output_grad: &[f32],
    stats: &[SoftmaxStats],
) {
    let CausalAttention { options, sequence_len, heads, rotary, .. } = attention;
    let (row, width, precision) = (heads.qkv_width(), heads.width, options.precision);
    scratch.load_keys_and_values(heads, key_head, rotary, qkv);
    scratch.k_by_width.pack_transposed(precision, &scratch.k, width);
    scratch.k_by_position.pack_rows(precision, &scratch.k, width);
    scratch.v_by_width.pack_transposed(precision, &scratch.v, width);
    for gradient in [&mut scratch.dq, &mut scratch.dk, &mut scratch.dv] {
        gradient.resize(sequence_len * width, 0.0);
    }
    let mut mode = OutputMode::Overwrite;
    for head in heads.queries_of(key_head) {
        copy_rotated(qkv, row, head * width, width, rotary, &mut scratch.q);
        copy_columns(output_grad, heads.output_width(), head * width, width, &mut scratch.o);
        let stats = &stats[head * sequence_len..(head + 1) * sequence_len];
        backward_head(attention, scratch, stats, mode);
        insert_rotated_back(&scratch.dq, width, rotary, qkv, row, head * width);
        mode = OutputMode::Accumulate;
    }
    let (key, value) = heads.key_and_value(key_head);
    insert_rotated_back(&scratch.dk, width, rotary, qkv, row, key);
    insert_columns(&scratch.dv, width, qkv, row, value);
}

/// Computes the gradients of one query head from `scratch.o` (T, D), the gradient of the head's output. Overwrites
/// `scratch.dq`. Depending on `mode`, overwrites `scratch.dk` and `scratch.dv` or adds to them. Blocks are processed
/// from the last query to the first, because the last block attends to all keys and therefore overwrites all of `dk`
/// and `dv`.
fn backward_head(
    attention: CausalAttention,
    scratch: &mut AttentionScratch,
    stats: &[SoftmaxStats],
    mut mode: OutputMode,
) {
    let AttentionScratch { q, dq, dk, dv, p, capped, dp, o, q_rows, o_rows, p_rows, .. } = scratch;
    let AttentionScratch { k_by_width, v_by_width, k_by_position, .. } = scratch;
    let AttentionScratch { q_by_position, o_by_position, p_by_position, .. } = scratch;
    let (options, width) = (attention.options, attention.heads.width);
    let precision = options.precision;
    q_rows.repack(precision, q, width);
    o_rows.repack(precision, o, width);
    for (queries, key_count) in attention.query_blocks().rev() {
        let elements = queries.start * width..queries.end * width;
        let words = queries.start * q_rows.stride;
        p.resize(queries.len() * key_count, 0.0);
        dp.resize(queries.len() * key_count, 0.0);
        let keys = k_by_width.view().first_columns(key_count);
        multiply(options, &q_rows.words[words..], q_rows.stride, keys, p, OutputMode::Overwrite);
        attention.scoring.cap(p);
        if attention.scoring.cap.is_some() {
            capped.clone_from(p);
        }
        recompute_probabilities(p, key_count, queries.start, attention.scoring, &stats[queries.clone()]);
        let values = v_by_width.view().first_columns(key_count);
        multiply(options, &o_rows.words[words..], o_rows.stride, values, dp, OutputMode::Overwrite);
        product_grad(p, dp, key_count, queries.start, attention.scoring.softmax_scale());
        if let Scoring { scale, cap: Some(cap), .. } = attention.scoring {
            softcap::backward(capped, dp, scale, cap);
        }

        p_rows.repack(precision, dp, key_count);
        let keys = k_by_position.view().first_words(packed_len(precision, key_count));
        let dq = &mut dq[elements.clone()];
        multiply(options, &p_rows.words, p_rows.stride, keys, dq, OutputMode::Overwrite);
        p_by_position.pack_rows(precision, dp, key_count);
        q_by_position.pack_rows(precision, &q[elements.clone()], width);
        multiply_all_panels(options, p_by_position, q_by_position, &mut dk[..key_count * width], mode);
        p_by_position.pack_rows(precision, p, key_count);
        o_by_position.pack_rows(precision, &o[elements], width);
        multiply_all_panels(options, p_by_position, o_by_position, &mut dv[..key_count * width], mode);
        mode = OutputMode::Accumulate;
    }
}

/// Computes leftᵀ · right. Depending on `mode`, writes it to `out` (M, N) or adds it there.
fn multiply_all_panels(
    options: MatmulOptions,
    left: &Panels,
    right: &Panels,
    out: &mut [f32],
    mode: OutputMode,
) {
    let pair = [(left.view(), right.view())];
    let panel_rows = PANEL * right.view().columns();
    for (panel, out) in out.chunks_mut(panel_rows).enumerate() {
        multiply_transposed(options, &pair, panel, out, mode);
    }
}

impl AttentionScratch {
    /// Copies the rotated keys and the values of one key–value head into `k` and `v`.
    fn load_keys_and_values(&mut self, heads: Heads, key_head: usize, rotary: &Rotary, qkv: &[f32]) {
        let (key, value) = heads.key_and_value(key_head);
        copy_rotated(qkv, heads.qkv_width(), key, heads.width, rotary, &mut self.k);
        copy_columns(qkv, heads.qkv_width(), value, heads.width, &mut self.v);
    }
}

/// Copies the `width` columns from `start` on of `rows` (T, `row_len`) to `to` (T, `width`).
fn copy_columns(rows: &[f32], row_len: usize, start: usize, width: usize, to: &mut Vec<f32>) {
    to.clear();
    for row in rows.chunks_exact(row_len) {
        to.extend_from_slice(&row[start..start + width]);
    }
}

/// Copies `from` (T, `width`) to the `width` columns from `start` on of `rows` (T, `row_len`): the reverse of
/// [`copy_columns`].
fn insert_columns(from: &[f32], width: usize, rows: &mut [f32], row_len: usize, start: usize) {
    for (from, row) in from.chunks_exact(width).zip(rows.chunks_exact_mut(row_len)) {
        row[start..start + width].copy_from_slice(from);
    }
}

vectorised! {
    /// Copies the columns of one head like [`copy_columns`], and rotates each row by its position.
    fn copy_rotated(
        rows: &[f32], row_len: usize, start: usize, width: usize, rotary: &Rotary, to: &mut Vec<f32>,
    ) {
        to.resize(rows.len() / row_len * width, 0.0);
        for (position, (row, to)) in rows.chunks_exact(row_len).zip(to.chunks_exact_mut(width)).enumerate() {
            rotate(&row[start..start + width], rotary.at(position), to);
        }
    }
}

vectorised! {
    /// Rotates each row of `from` back by its position, and copies it to the columns of one head like
    /// [`insert_columns`].
    fn insert_rotated_back(
        from: &[f32], width: usize, rotary: &Rotary, rows: &mut [f32], row_len: usize, start: usize,
    ) {
        let pairs = from.chunks_exact(width).zip(rows.chunks_exact_mut(row_len));
        for (position, (from, row)) in pairs.enumerate() {
            rotate_back(from, rotary.at(position), &mut row[start..start + width]);
        }
    }
}

vectorised! {
    /// Replaces products (queries, keys), capped if there is a cap, by probabilities. The first query has position `first`.
    /// The probability of a key that the query does not read is 0.
    fn probabilities(
        products: &mut [f32], key_count: usize, first: usize, scoring: Scoring, stats: &mut [SoftmaxStats],
    ) {
        for ((row, position), stats) in products.chunks_exact_mut(key_count).zip(first..).zip(stats) {
            let (past, future) = row.split_at_mut(position + 1);
            let (before, read) = past.split_at_mut(scoring.first_key(position));
            *stats = softmax(read, scoring.softmax_scale());
            before.fill(0.0);
            future.fill(0.0);
        }
    }
}

vectorised! {
    /// Computes the same as [`probabilities`] from the known statistics of each row.
    fn recompute_probabilities(
        products: &mut [f32], key_count: usize, first: usize, scoring: Scoring, stats: &[SoftmaxStats],
    ) {
        let scale = scoring.softmax_scale();
        let rows = products.chunks_exact_mut(key_count).zip(first..).zip(stats);
        for ((row, position), &SoftmaxStats { max, inverse_sum }) in rows {
            let (past, future) = row.split_at_mut(position + 1);
            let (before, read) = past.split_at_mut(scoring.first_key(position));
            for value in read {
                *value = exp((*value - max) * scale) * inverse_sum;
            }
            before.fill(0.0);
            future.fill(0.0);
        }
    }
}

vectorised! {
    /// Replaces the gradient g of the probabilities by the gradient of the products: `scale · p · (g − Σ g p)`.
    fn product_grad(probabilities: &[f32], gradient: &mut [f32], key_count: usize, first: usize, scale: f32) {
        let rows = probabilities.chunks_exact(key_count).zip(gradient.chunks_exact_mut(key_count)).zip(first..);
        for ((p, g), position) in rows {
            let (past, future) = g.split_at_mut(position + 1);
            let mean = sum_over_pairs(&p[..past.len()], past, |a, b| a * b);
            for (g, p) in past.iter_mut().zip(p) {
                *g = scale * p * (*g - mean);
            }
            future.fill(0.0);
        }
    }
}
