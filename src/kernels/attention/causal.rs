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
use super::{Heads, Rotary, softmax, split, split_backward};

/// Queries of a head that are handled together.
const QUERIES: usize = 64;

/// What turns a row's products into probabilities: the largest of them, and one over the sum of the exponentials.
pub type Normaliser = (f32, f32);

/// Room to work in.
#[derive(Default)]
pub struct Scratch {
    /// Of one sequence, rotated: (H, T, D), (K, T, D), (K, T, D).
    q: Vec<f32>,
    k: Vec<f32>,
    v: Vec<f32>,
    /// The gradients of the three.
    dq: Vec<f32>,
    dk: Vec<f32>,
    dv: Vec<f32>,
    /// Of some queries of one head: products with keys or probabilities, and the gradients of the latter.
    p: Vec<f32>,
    dp: Vec<f32>,
    /// Of one head: what its queries mixed, or the gradient of that, (T, D).
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

    /// The numbers of a head in (heads, T, D).
    fn head(&self, head: usize) -> std::ops::Range<usize> {
        let size = self.time * self.heads.width;
        head * size..(head + 1) * size
    }

    /// Some queries, and the number of keys that the last of them sees.
    fn blocks(&self) -> impl Iterator<Item = (std::ops::Range<usize>, usize)> {
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
    let Causal { how, time, heads, .. } = over;
    let sequences = qkv
        .chunks_exact(time * heads.row())
        .zip(mixed.chunks_exact_mut(time * heads.queries * heads.width))
        .zip(normalisers.chunks_exact_mut(time * heads.queries));
    for ((qkv, mixed), normalisers) in sequences {
        scratch.open(over, qkv);
        for key_head in 0..heads.keys {
            let of_keys = over.head(key_head);
            scratch.k_across.write_columns(how.precision, &scratch.k[of_keys.clone()], heads.width);
            scratch.v_down.write_rows(how.precision, &scratch.v[of_keys], heads.width);
            let group = heads.queries / heads.keys;
            for head in key_head * group..(key_head + 1) * group {
                let normalisers = &mut normalisers[head * time..(head + 1) * time];
                forward_head(over, head, scratch, normalisers);
                put_head(&scratch.o, heads, head, mixed);
            }
        }
    }
}

/// What the queries of one head mix, into `scratch.o` (T, D).
fn forward_head(over: Causal, head: usize, scratch: &mut Scratch, normalisers: &mut [Normaliser]) {
    let Scratch { q, p, o, q_rows, p_rows, k_across, v_down, .. } = scratch;
    let Causal { how, time, heads, .. } = over;
    let width = heads.width;
    q_rows.write(how.precision, &q[over.head(head)], width);
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

/// The gradient of `qkv` (B·T, (H + 2K) D), given that of `mixed` (B·T, H D) and what [`forward`] left.
pub fn backward(
    over: Causal,
    qkv: &mut [f32],
    scratch: &mut Scratch,
    mixed_gradient: &[f32],
    normalisers: &[Normaliser],
) {
    let Causal { how, time, heads, rotary } = over;
    let sequences = qkv
        .chunks_exact_mut(time * heads.row())
        .zip(mixed_gradient.chunks_exact(time * heads.queries * heads.width))
        .zip(normalisers.chunks_exact(time * heads.queries));
    for ((qkv, mixed_gradient), normalisers) in sequences {
        scratch.open(over, qkv);
        for (gradient, values) in
            [(&mut scratch.dq, &scratch.q), (&mut scratch.dk, &scratch.k), (&mut scratch.dv, &scratch.v)]
        {
            gradient.clear();
            gradient.resize(values.len(), 0.0);
        }
        for key_head in 0..heads.keys {
            let of_keys = over.head(key_head);
            scratch.k_across.write_columns(how.precision, &scratch.k[of_keys.clone()], heads.width);
            scratch.k_down.write_rows(how.precision, &scratch.k[of_keys.clone()], heads.width);
            scratch.v_across.write_columns(how.precision, &scratch.v[of_keys], heads.width);
            let group = heads.queries / heads.keys;
            for head in key_head * group..(key_head + 1) * group {
                take_head(mixed_gradient, heads, head, &mut scratch.o);
                let normalisers = &normalisers[head * time..(head + 1) * time];
                backward_head(over, head, key_head, scratch, normalisers);
            }
        }
        split_backward(&scratch.dq, &scratch.dk, &scratch.dv, time, heads, rotary, qkv);
    }
}

/// Adds to the gradients of a head's queries, keys and values; `scratch.o` (T, D) is the gradient of what it mixed.
fn backward_head(
    over: Causal,
    head: usize,
    key_head: usize,
    scratch: &mut Scratch,
    normalisers: &[Normaliser],
) {
    let Scratch { q, dq, dk, dv, p, dp, o, q_rows, o_rows, p_rows, .. } = scratch;
    let Scratch { k_across, v_across, k_down, q_down, o_down, p_down, .. } = scratch;
    let (how, width) = (over.how, over.heads.width);
    let precision = how.precision;
    let q = &q[over.head(head)];
    q_rows.write(precision, q, width);
    o_rows.write(precision, o, width);
    for (queries, seen) in over.blocks() {
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
        let dq = &mut dq[over.head(head)][numbers.clone()];
        multiply(how, &p_rows.units, p_rows.stride, keys, dq, Into::Replace);
        let start = over.head(key_head).start;
        let of_keys = start..start + seen * width;
        p_down.write_rows(precision, dp, seen);
        q_down.write_rows(precision, &q[numbers.clone()], width);
        add_transposed(how, p_down, q_down, &mut dk[of_keys.clone()]);
        p_down.write_rows(precision, p, seen);
        o_down.write_rows(precision, &o[numbers], width);
        add_transposed(how, p_down, o_down, &mut dv[of_keys]);
    }
}

/// `out` (M, D) += leftᵀ · right.
fn add_transposed(how: How, left: &Panels, right: &Panels, out: &mut [f32]) {
    let pair = [(left.view(), right.view())];
    let rows = PANEL * right.view().width();
    for (panel, out) in out.chunks_mut(rows).enumerate() {
        multiply_transposed(how, &pair, panel, out, Into::Add);
    }
}

impl Scratch {
    /// Takes in one sequence.
    fn open(&mut self, over: Causal, qkv: &[f32]) {
        let Causal { time, heads, rotary, .. } = over;
        let size = time * heads.width;
        self.q.resize(heads.queries * size, 0.0);
        self.k.resize(heads.keys * size, 0.0);
        self.v.resize(heads.keys * size, 0.0);
        split(qkv, time, heads, rotary, &mut self.q, &mut self.k, &mut self.v);
    }
}

/// Copies a head's (T, D) to its place in (T, H D).
fn put_head(from: &[f32], heads: Heads, head: usize, rows: &mut [f32]) {
    let Heads { queries, width, .. } = heads;
    for (from, row) in from.chunks_exact(width).zip(rows.chunks_exact_mut(queries * width)) {
        row[head * width..][..width].copy_from_slice(from);
    }
}

/// Copies a head's (T, D) from its place in (T, H D).
fn take_head(rows: &[f32], heads: Heads, head: usize, to: &mut Vec<f32>) {
    let Heads { queries, width, .. } = heads;
    to.clear();
    for row in rows.chunks_exact(queries * width) {
        to.extend_from_slice(&row[head * width..][..width]);
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
