//! Attention over whole sequences, forwards and backwards.
//!
//! A head's queries are taken 64 at a time, and only the keys up to the last of them are looked at: half the work is
//! spared, and the products of queries and keys never exist whole. Backwards they are made again, bit for bit, from
//! each row's largest product and the sum of its exponentials (Dao et al. 2022, FlashAttention).
//!
//! With `S = Q Kᵀ · scale`, `P = softmax(S)`, `O = P V` and `g = ∂L/∂O`: `∂L/∂V = Pᵀ g`, `∂L/∂P = g Vᵀ`,
//! `∂L/∂S = P ∘ (∂L/∂P − Σ_row P ∘ ∂L/∂P)`, `∂L/∂Q = ∂L/∂S K · scale` and `∂L/∂K = ∂L/∂Sᵀ Q · scale`.

use super::super::matmul::{How, Into, PANEL, Panels, Units, depth, multiply, multiply_transposed};
use super::super::{exp, sum_pairs, vectorised};
use super::{Heads, Rotary, rotate, rotate_back, softmax};
use std::ops::Range;

/// Queries of a head that are handled together.
const QUERIES: usize = 64;

/// What turns a row's products into probabilities: the largest of them, and one over the sum of the exponentials.
pub type Normaliser = (f32, f32);

/// Room to work in.
#[derive(Default)]
pub struct Scratch {
    /// Of one head, queries and keys rotated: (T, D) each.
    q: Vec<f32>,
    k: Vec<f32>,
    v: Vec<f32>,
    /// The gradients of the three.
    dq: Vec<f32>,
    dk: Vec<f32>,
    dv: Vec<f32>,
    /// Of some queries: products with keys or probabilities, and the gradients of the latter.
    p: Vec<f32>,
    dp: Vec<f32>,
    /// What the queries mixed, or the gradient of that, (T, D).
    o: Vec<f32>,
    q_rows: Units,
    o_rows: Units,
    p_rows: Units,
    /// Keys and values, summed along the width of a head.
    k_across: Panels,
    v_across: Panels,
    /// Keys, values, queries and gradients, summed over positions.
    k_down: Panels,
    v_down: Panels,
    q_down: Panels,
    o_down: Panels,
    p_down: Panels,
}

/// Attention over sequences of one length.
#[derive(Clone, Copy)]
pub struct Causal<'a> {
    /// How its products are made.
    pub how: How,
    /// Positions of a sequence, T.
    pub time: usize,
    /// Its heads.
    pub heads: Heads,
    /// The rotations of at least T positions.
    pub rotary: &'a Rotary,
}

impl Causal<'_> {
    fn scale(&self) -> f32 {
        1.0 / (self.heads.width as f32).sqrt()
    }

    /// Some queries, and the number of keys that the last of them sees.
    fn blocks(&self) -> impl DoubleEndedIterator<Item = (Range<usize>, usize)> + use<> {
        let time = self.time;
        (0..time).step_by(QUERIES).map(move |start| {
            let end = time.min(start + QUERIES);
            (start..end, end)
        })
    }
}

/// Attention over each of the sequences (B, T): from `qkv` (B·T, (H + 2K) D) to `mixed` (B·T, H D), and in
/// `normalisers` (B, H, T) what [`backward`] needs.
pub fn forward(
    over: Causal,
    qkv: &[f32],
    scratch: &mut Scratch,
    mixed: &mut [f32],
    normalisers: &mut [Normaliser],
) {
    let Causal { how, time, heads, rotary } = over;
    let sequences = qkv
        .chunks_exact(time * heads.row())
        .zip(mixed.chunks_exact_mut(time * heads.queries * heads.width))
        .zip(normalisers.chunks_exact_mut(time * heads.queries));
    for ((qkv, mixed), normalisers) in sequences {
        for key_head in 0..heads.keys {
            scratch.take_keys(heads, key_head, rotary, qkv);
            scratch.k_across.write_columns(how.precision, &scratch.k, heads.width);
            scratch.v_down.write_rows(how.precision, &scratch.v, heads.width);
            for head in heads.of(key_head) {
                take_rotated(qkv, heads.row(), head * heads.width, rotary, &mut scratch.q);
                forward_head(over, scratch, &mut normalisers[head * time..(head + 1) * time]);
                put(&scratch.o, heads.width, mixed, heads.queries * heads.width, head * heads.width);
            }
        }
    }
}

/// What the queries of one head mix, into `scratch.o` (T, D).
fn forward_head(over: Causal, scratch: &mut Scratch, normalisers: &mut [Normaliser]) {
    let Scratch { q, p, o, q_rows, p_rows, k_across, v_down, .. } = scratch;
    let Causal { how, time, heads, .. } = over;
    let width = heads.width;
    q_rows.write(how.precision, q, width);
    o.resize(time * width, 0.0);
    for (queries, seen) in over.blocks() {
        p.resize(queries.len() * seen, 0.0);
        let left = &q_rows.units[queries.start * q_rows.stride..];
        multiply(how, left, q_rows.stride, k_across.view().columns(seen), p, Into::Replace);
        probabilities(p, seen, queries.start, over.scale(), &mut normalisers[queries.clone()]);
        p_rows.write(how.precision, p, seen);
        let values = v_down.view().first(depth(how.precision, seen));
        let out = &mut o[queries.start * width..queries.end * width];
        multiply(how, &p_rows.units, p_rows.stride, values, out, Into::Replace);
    }
}

/// The gradient of `qkv` (B·T, (H + 2K) D), in its place, given that of `mixed` (B·T, H D) and what [`forward`] left.
pub fn backward(
    over: Causal,
    qkv: &mut [f32],
    scratch: &mut Scratch,
    mixed_gradient: &[f32],
    normalisers: &[Normaliser],
) {
    let Causal { how, time, heads, rotary } = over;
    let (row, width) = (heads.row(), heads.width);
    let sequences = qkv
        .chunks_exact_mut(time * row)
        .zip(mixed_gradient.chunks_exact(time * heads.queries * width))
        .zip(normalisers.chunks_exact(time * heads.queries));
    for ((qkv, mixed_gradient), normalisers) in sequences {
        for key_head in 0..heads.keys {
            scratch.take_keys(heads, key_head, rotary, qkv);
            scratch.k_across.write_columns(how.precision, &scratch.k, width);
            scratch.k_down.write_rows(how.precision, &scratch.k, width);
            scratch.v_across.write_columns(how.precision, &scratch.v, width);
            for gradient in [&mut scratch.dq, &mut scratch.dk, &mut scratch.dv] {
                gradient.resize(time * width, 0.0);
            }
            let mut into = Into::Replace;
            for head in heads.of(key_head) {
                take_rotated(qkv, row, head * width, rotary, &mut scratch.q);
                take(mixed_gradient, heads.queries * width, head * width, width, &mut scratch.o);
                backward_head(over, scratch, &normalisers[head * time..(head + 1) * time], into);
                put_rotated_back(&scratch.dq, rotary, qkv, row, head * width);
                into = Into::Add;
            }
            let (key, value) = heads.key_and_value(key_head);
            put_rotated_back(&scratch.dk, rotary, qkv, row, key);
            put(&scratch.dv, width, qkv, row, value);
        }
    }
}

/// The gradient of a head's queries, and that of keys and values replaced or added to; `scratch.o` (T, D) is the
/// gradient of what it mixed. The last queries come first, because they see all keys.
fn backward_head(over: Causal, scratch: &mut Scratch, normalisers: &[Normaliser], mut into: Into) {
    let Scratch { q, dq, dk, dv, p, dp, o, q_rows, o_rows, p_rows, .. } = scratch;
    let Scratch { k_across, v_across, k_down, q_down, o_down, p_down, .. } = scratch;
    let (how, width) = (over.how, over.heads.width);
    let precision = how.precision;
    q_rows.write(precision, q, width);
    o_rows.write(precision, o, width);
    for (queries, seen) in over.blocks().rev() {
        let numbers = queries.start * width..queries.end * width;
        let units = queries.start * q_rows.stride;
        p.resize(queries.len() * seen, 0.0);
        dp.resize(queries.len() * seen, 0.0);
        let keys = k_across.view().columns(seen);
        multiply(how, &q_rows.units[units..], q_rows.stride, keys, p, Into::Replace);
        probabilities_again(p, seen, queries.start, over.scale(), &normalisers[queries.clone()]);
        let values = v_across.view().columns(seen);
        multiply(how, &o_rows.units[units..], o_rows.stride, values, dp, Into::Replace);
        probabilities_backward(p, dp, seen, queries.start, over.scale());

        p_rows.write(precision, dp, seen);
        let keys = k_down.view().first(depth(precision, seen));
        multiply(how, &p_rows.units, p_rows.stride, keys, &mut dq[numbers.clone()], Into::Replace);
        p_down.write_rows(precision, dp, seen);
        q_down.write_rows(precision, &q[numbers.clone()], width);
        transposed(how, p_down, q_down, &mut dk[..seen * width], into);
        p_down.write_rows(precision, p, seen);
        o_down.write_rows(precision, &o[numbers], width);
        transposed(how, p_down, o_down, &mut dv[..seen * width], into);
        into = Into::Add;
    }
}

/// `out` (M, D) = or += leftᵀ · right.
fn transposed(how: How, left: &Panels, right: &Panels, out: &mut [f32], into: Into) {
    let pair = [(left.view(), right.view())];
    let rows = PANEL * right.view().width();
    for (panel, out) in out.chunks_mut(rows).enumerate() {
        multiply_transposed(how, &pair, panel, out, into);
    }
}

impl Scratch {
    /// Takes in the keys and values of one key–value head.
    fn take_keys(&mut self, heads: Heads, key_head: usize, rotary: &Rotary, qkv: &[f32]) {
        let (key, value) = heads.key_and_value(key_head);
        take_rotated(qkv, heads.row(), key, rotary, &mut self.k);
        take(qkv, heads.row(), value, heads.width, &mut self.v);
    }
}

/// `to` (T, `width`) becomes the columns from `start` on of rows (T, `row`).
fn take(rows: &[f32], row: usize, start: usize, width: usize, to: &mut Vec<f32>) {
    to.clear();
    for row in rows.chunks_exact(row) {
        to.extend_from_slice(&row[start..start + width]);
    }
}

/// The reverse of [`take`].
fn put(from: &[f32], width: usize, rows: &mut [f32], row: usize, start: usize) {
    for (from, row) in from.chunks_exact(width).zip(rows.chunks_exact_mut(row)) {
        row[start..start + width].copy_from_slice(from);
    }
}

vectorised! {
    /// Like [`take`], each row of a head rotated by its position.
    fn take_rotated(rows: &[f32], row: usize, start: usize, rotary: &Rotary, to: &mut Vec<f32>) {
        let width = 2 * rotary.half;
        to.resize(rows.len() / row * width, 0.0);
        for (position, (row, to)) in rows.chunks_exact(row).zip(to.chunks_exact_mut(width)).enumerate() {
            rotate(&row[start..start + width], rotary.at(position), to);
        }
    }
}

vectorised! {
    /// Like [`put`], each row of a head rotated back.
    fn put_rotated_back(from: &[f32], rotary: &Rotary, rows: &mut [f32], row: usize, start: usize) {
        let width = 2 * rotary.half;
        for (position, (from, row)) in from.chunks_exact(width).zip(rows.chunks_exact_mut(row)).enumerate() {
            rotate_back(from, rotary.at(position), &mut row[start..start + width]);
        }
    }
}

vectorised! {
    /// Replaces the products (queries, seen) of the queries from `first` on by probabilities, zero for keys ahead.
    fn probabilities(products: &mut [f32], seen: usize, first: usize, scale: f32, normalisers: &mut [Normaliser]) {
        for ((row, position), normaliser) in products.chunks_exact_mut(seen).zip(first..).zip(normalisers) {
            let (past, ahead) = row.split_at_mut(position + 1);
            *normaliser = softmax(past, scale);
            ahead.fill(0.0);
        }
    }
}

vectorised! {
    /// The same, when the normalisers are known.
    fn probabilities_again(products: &mut [f32], seen: usize, first: usize, scale: f32, normalisers: &[Normaliser]) {
        let rows = products.chunks_exact_mut(seen).zip(first..).zip(normalisers);
        for ((row, position), &(largest, share)) in rows {
            let (past, ahead) = row.split_at_mut(position + 1);
            for value in past {
                *value = exp((*value - largest) * scale) * share;
            }
            ahead.fill(0.0);
        }
    }
}

vectorised! {
    /// Replaces the gradient of the probabilities by that of the products: `scale · p · (g − Σ g p)`.
    fn probabilities_backward(probabilities: &[f32], gradient: &mut [f32], seen: usize, first: usize, scale: f32) {
        let rows = probabilities.chunks_exact(seen).zip(gradient.chunks_exact_mut(seen)).zip(first..);
        for ((p, g), position) in rows {
            let (past, ahead) = g.split_at_mut(position + 1);
            let mean = sum_pairs(&p[..past.len()], past, |a, b| a * b);
            for (g, p) in past.iter_mut().zip(p) {
                *g = scale * p * (*g - mean);
            }
            ahead.fill(0.0);
        }
    }
}
