//! Matrix products in f32 or bf16, on one thread.
//!
//! The numbers of a factor lie in *units* of 32 bits along the dimension that is summed over: one f32, or two
//! neighbouring bf16. Whatever walks, cuts and transposes units is the same for both precisions; only the step
//! `sum + a · b` of a unit differs. Products of bf16 are exact in f32, where they are summed.
//!
//! The right factor lies in [`Panels`] of 64 columns, (N / 64, depth, 64) units, the last one filled up with zeros.
//! The left factor lies in rows, (M, depth) units; or in panels too, from which it is read transposed. A product is
//! made in tiles of up to 6 × 64 sums that stay in registers: with vectors of sixteen numbers those are 24 of 32
//! registers, and a step along the depth reads ten operands for 24 multiplications.
//!
//! Every sum runs along the depth in order: its bits depend neither on the threads nor on how rows were cut. They do
//! depend on the [`Instructions`].

use super::instructions::Instructions;
use crate::config::Precision;
use std::time::Instant;

#[cfg(target_arch = "x86_64")]
mod avx512_bf16;
#[cfg(target_arch = "x86_64")]
mod avx512_rounding;
mod panels;
mod portable;
mod units;

pub use panels::{Panels, View};
pub use units::{Units, depth, pair, round};

/// Columns of a panel.
pub const PANEL: usize = 64;
/// Rows of a tile, at most.
const TILE_ROWS: usize = 6;
/// Units of depth that are multiplied before the next rows come: a panel of so many stays in the second-level cache.
const DEPTH_BLOCK: usize = 512;

/// How to multiply.
#[derive(Clone, Copy, Debug)]
pub struct How {
    /// What the factors are made of.
    pub precision: Precision,
    /// What to compute with.
    pub instructions: Instructions,
}

impl How {
    /// In this precision, as fast as the processor can.
    #[must_use]
    pub fn new(precision: Precision) -> Self {
        Self { precision, instructions: Instructions::get() }
    }
}

/// What to do with the numbers that are already there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Into {
    /// Forget them.
    Replace,
    /// Add to them.
    Add,
}

/// A product of up to [`TILE_ROWS`] rows with columns of one panel.
struct Tile<'a> {
    /// The left and the right factor, one part of the depth after the other. Left, the first unit of the tile, rows
    /// `stride` units apart if there is a stride, else (depth, 64); right, (depth, 64).
    parts: &'a [(&'a [u32], &'a [u32])],
    stride: Option<usize>,
    columns: usize,
    /// From the tile's first number; rows `row` numbers apart.
    out: &'a mut [f32],
    row: usize,
    into: Into,
}

/// `out` (M, N) = or += `rows` (M, stride) · `right` (depth, N): of each row, as many units as the right factor is
/// deep.
///
/// # Panics
/// When the slices are shorter than their dimensions say.
pub fn multiply(how: How, rows: &[u32], stride: usize, right: View, out: &mut [f32], into: Into) {
    let columns = right.columns;
    if columns == 0 || right.depth == 0 {
        if into == Into::Replace {
            out.fill(0.0);
        }
        return;
    }
    let count = out.len() / columns;
    for (panel, first) in (0..columns).step_by(PANEL).enumerate() {
        let panel = right.panel(panel);
        for start in (0..right.depth).step_by(DEPTH_BLOCK) {
            let depth = DEPTH_BLOCK.min(right.depth - start);
            let part = &panel[start * PANEL..(start + depth) * PANEL];
            let into = if start > 0 { Into::Add } else { into };
            for at in (0..count).step_by(TILE_ROWS) {
                let parts = [(&rows[at * stride + start..], part)];
                let out = &mut out[at * columns + first..];
                let tile = Tile {
                    parts: &parts,
                    stride: Some(stride),
                    columns: PANEL.min(columns - first),
                    out,
                    row: columns,
                    into,
                };
                run(how, tile, TILE_ROWS.min(count - at));
            }
        }
    }
}

/// `out` (M, N) = or += Σ leftᵀ · right over pairs of factors with the same depth: of the left factors (depth, M), the
/// columns of the panel `panel` only, which are the rows of `out`.
///
/// # Panics
/// When the factors do not fit together.
pub fn multiply_transposed(how: How, pairs: &[(View, View)], panel: usize, out: &mut [f32], into: Into) {
    let columns = pairs.first().map_or(0, |pair| pair.1.columns);
    if columns == 0 {
        return;
    }
    let count = out.len() / columns;
    for (right, first) in (0..columns).step_by(PANEL).enumerate() {
        let parts: Vec<(&[u32], &[u32])> =
            pairs.iter().map(|(a, b)| (a.panel(panel), b.panel(right))).collect();
        let mut shifted = parts.clone();
        for at in (0..count).step_by(TILE_ROWS) {
            for (shifted, whole) in shifted.iter_mut().zip(&parts) {
                shifted.0 = whole.0.get(at..).unwrap_or_default();
            }
            let tile = Tile {
                parts: &shifted,
                stride: None,
                columns: PANEL.min(columns - first),
                out: &mut out[at * columns + first..],
                row: columns,
                into,
            };
            run(how, tile, TILE_ROWS.min(count - at));
        }
    }
}

/// Makes a tile of so many rows.
fn run(how: How, tile: Tile, rows: usize) {
    #[cfg(target_arch = "x86_64")]
    if how.precision == Precision::Bf16 && how.instructions.bf16 {
        return avx512_bf16::run(tile, rows);
    }
    portable::run(how, tile, rows);
}

/// Multiplications and additions per second (10⁹) that the threads of the current pool reach together with a product
/// that stays in the caches: the best of several tries.
#[must_use]
pub fn peak_gflops(precision: Precision) -> f64 {
    const SIDE: usize = 192;
    const TRIES: usize = 8;
    const SECONDS: f64 = 0.1;
    let how = How::new(precision);
    let try_once = |_: rayon::BroadcastContext| {
        let ones = vec![1f32; SIDE * SIDE];
        let rows = Units::rows(precision, &ones, SIDE);
        let panels = Panels::of_rows(precision, &ones, SIDE);
        let mut out = vec![0f32; SIDE * SIDE];
        let start = Instant::now();
        let mut products = 0;
        while start.elapsed().as_secs_f64() < SECONDS {
            multiply(how, &rows.units, rows.stride, panels.view(), &mut out, Into::Replace);
            products += 1;
        }
        f64::from(products) * 2.0 * (SIDE as f64).powi(3) / start.elapsed().as_secs_f64() / 1e9
    };
    (0..TRIES).map(|_| rayon::broadcast(try_once).iter().sum()).fold(0.0, f64::max)
}

#[cfg(test)]
mod tests;
