//! Matrix products in f32 or bf16, on one thread.
//!
//! Factors are packed into 32-bit *words* along the dimension that is summed over: a word is one f32, or two
//! neighbouring bf16. The code that splits, transposes and traverses words is the same for both precisions; only the
//! inner step `sum + a · b` differs. Products of bf16 are exact in f32, and sums are f32.
//!
//! - The right factor is packed as [`Panels`] of 64 columns: (⌈N / 64⌉, depth, 64) words, the last panel padded with
//!   zeros.
//! - The left factor is packed as rows, [`PackedRows`] (M, depth), or as panels, which are then read transposed.
//!
//! A product is computed in tiles of up to 6 × 64 sums that stay in registers. With vectors of sixteen numbers
//! these sums fill 24 of the 32 registers, and one step along the depth loads ten operands for 24 multiplications. With
//! vectors of eight numbers, products of many rows are computed in strips of 16 columns instead, to the same bits. Where
//! the CPU has AMX, it multiplies bf16 in tiles of its own, which round sums differently.
//!
//! Every sum is computed in order along the depth, so results are bit-identical for any number of threads and any split
//! of the rows. They do depend on the [`Instructions`].
//!
//! The [crate's first page](crate) has an example.

use super::Precision;
use super::instructions::Instructions;
use strips::{StripProduct, Sums};

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
pub(crate) mod amx;
#[cfg(target_arch = "x86_64")]
mod avx512_bf16;
#[cfg(target_arch = "x86_64")]
mod avx512_rounding;
mod packed_rows;
mod panels;
mod peak;
mod portable;
mod strips;

pub use packed_rows::{PackedRows, pack_pair, packed_len, round_to_bf16};
pub use panels::{Panels, PanelsView};
pub use peak::peak_gflops;

/// Columns of a panel.
pub const PANEL: usize = 64;
/// Largest number of rows in a tile.
const TILE_ROWS: usize = 6;
/// Largest depth, in words, of the part of a panel that is multiplied with all rows before the next part. It fits into
/// the second-level cache.
const DEPTH_BLOCK: usize = 512;

/// Number format and instructions of a product.
#[derive(Clone, Copy, Debug)]
pub struct MatmulOptions {
    /// Number format of the factors.
    pub precision: Precision,
    /// Instructions to compute with.
    pub instructions: Instructions,
}

impl MatmulOptions {
    /// Options with this precision and the instructions that the process uses, [`Instructions::get`].
    #[must_use]
    pub fn new(precision: Precision) -> Self {
        Self { precision, instructions: Instructions::get() }
    }

    /// The sums that are computed together, and where they are kept, in words for users.
    #[must_use]
    pub fn sums(self) -> &'static str {
        let Instructions { amx, bf16, .. } = self.instructions;
        match (self.precision, self.instructions.lanes()) {
            (Precision::Bf16, _) if amx.is_some() => "32 × 32, in four of eight tile registers",
            (Precision::Bf16, _) if bf16.is_some() => {
                "6 × 64, in 24 of 32 vector registers, by pairs of numbers"
            }
            (Precision::F32, 16) => "6 × 64, in 24 of 32 vector registers",
            (Precision::Bf16, 16) => "4 × 64, in 16 of 32 vector registers, after bf16 were made f32",
            (Precision::F32, 8) => {
                "6 × 16, in 12 of 16 vector registers; 30 rows and more with a copy of the columns"
            }
            (Precision::Bf16, 8) => {
                "4 or 6 × 16, in vector registers, after bf16 were made f32; 30 rows and more with a copy of the columns"
            }
            (Precision::F32, _) => "6 rows at a time",
            (Precision::Bf16, _) => "4 rows at a time, after bf16 were made f32",
        }
    }

    /// The proof that products are computed in tiles of AMX, if they are.
    #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
    fn amx(self) -> Option<crate::instructions::Amx> {
        self.instructions.amx.filter(|_| self.precision == Precision::Bf16)
    }
}

/// The treatment of the numbers that the output already contains.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutputMode {
    /// The product replaces them.
    Overwrite,
    /// The product is added to them.
    Accumulate,
}

/// A product of up to [`TILE_ROWS`] rows with the columns of one panel.
struct Tile<'a> {
    /// Pairs of a left and a right factor; the tile is the sum of their products. A left factor starts at the tile's
    /// first word. A right factor has the shape (depth, 64).
    segments: &'a [(&'a [u32], &'a [u32])],
    /// Distance in words between the rows of a left factor. `None` if left factors are panels, of shape (depth, 64).
    left_stride: Option<usize>,
    columns: usize,
    /// The output, from the first number of the tile on.
    out: &'a mut [f32],
    out_stride: usize,
    mode: OutputMode,
}

/// Computes `rows` (M, stride) · `right` (depth, N), and writes it to `out` (M, N) or adds it there. Only the first
/// `depth` words of each row are used.
///
/// # Panics
/// If a slice is shorter than its shape.
pub fn multiply(
    options: MatmulOptions,
    rows: &[u32],
    stride: usize,
    right: PanelsView,
    out: &mut [f32],
    mode: OutputMode,
) {
    let columns = right.columns;
    if columns == 0 || right.depth == 0 {
        if mode == OutputMode::Overwrite {
            out.fill(0.0);
        }
        return;
    }
    let row_count = out.len() / columns;
    for (panel, first_column) in (0..columns).step_by(PANEL).enumerate() {
        let panel = right.panel(panel);
        for start in (0..right.depth).step_by(DEPTH_BLOCK) {
            let depth = DEPTH_BLOCK.min(right.depth - start);
            let block = &panel[start * PANEL..(start + depth) * PANEL];
            let mode = if start > 0 { OutputMode::Accumulate } else { mode };
            #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
            if let Some(proof) = options.amx() {
                let segments = [amx::Segment { rows: &rows[start..], stride, panel: block }];
                let output = amx::Output {
                    rows: row_count,
                    columns: PANEL.min(columns - first_column),
                    numbers: &mut out[first_column..],
                    stride: columns,
                    mode,
                };
                amx::multiply(proof, &segments, output);
                continue;
            }
            if strips::are_used(options, row_count) {
                let product = StripProduct {
                    rows: &rows[start..],
                    stride,
                    panel: block,
                    columns: PANEL.min(columns - first_column),
                    out: &mut out[first_column..],
                    out_stride: columns,
                    sums: mode.into(),
                };
                strips::multiply(options, product, row_count);
                continue;
            }
            for row in (0..row_count).step_by(TILE_ROWS) {
                let segments = [(&rows[row * stride + start..], block)];
                let tile = Tile {
                    segments: &segments,
                    left_stride: Some(stride),
                    columns: PANEL.min(columns - first_column),
                    out: &mut out[row * columns + first_column..],
                    out_stride: columns,
                    mode,
                };
                compute_tile(options, tile, TILE_ROWS.min(row_count - row));
            }
        }
    }
}

/// Computes Σ leftᵀ · right over pairs of a left factor (depth, M) and a right factor (depth, N). Only those rows of
/// the result are computed that belong to panel number `panel` of the left factors. They are written to `out` (up to
/// 64, N) or added there.
///
/// # Panics
/// If the factors of a pair differ in depth, or a slice is shorter than its shape.
pub fn multiply_transposed(
    options: MatmulOptions,
    pairs: &[(PanelsView, PanelsView)],
    panel: usize,
    out: &mut [f32],
    mode: OutputMode,
) {
    let columns = pairs.first().map_or(0, |pair| pair.1.columns);
    if columns == 0 {
        return;
    }
    let row_count = out.len() / columns;
    #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
    if let Some(proof) = options.amx() {
        return amx::multiply_transposed(proof, pairs, panel, out, mode);
    }
    // Parts of sums can wait in the output if it holds nothing else.
    let fits = mode == OutputMode::Overwrite && pairs.iter().all(|(left, _)| left.depth <= DEPTH_BLOCK);
    if fits && strips::are_used(options, row_count) {
        return multiply_transposed_in_strips(options, pairs, panel, out, row_count);
    }
    for (right_panel, first_column) in (0..columns).step_by(PANEL).enumerate() {
        let segments: Vec<(&[u32], &[u32])> =
            pairs.iter().map(|(left, right)| (left.panel(panel), right.panel(right_panel))).collect();
        let mut shifted = segments.clone();
        for row in (0..row_count).step_by(TILE_ROWS) {
            for (shifted, whole) in shifted.iter_mut().zip(&segments) {
                shifted.0 = whole.0.get(row..).unwrap_or_default();
            }
            let tile = Tile {
                segments: &shifted,
                left_stride: None,
                columns: PANEL.min(columns - first_column),
                out: &mut out[row * columns + first_column..],
                out_stride: columns,
                mode,
            };
            compute_tile(options, tile, TILE_ROWS.min(row_count - row));
        }
    }
}

/// As [`multiply_transposed`], which overwrites `out` (`row_count`, N).
fn multiply_transposed_in_strips(
    options: MatmulOptions,
    pairs: &[(PanelsView, PanelsView)],
    panel: usize,
    out: &mut [f32],
    row_count: usize,
) {
    let columns = out.len() / row_count;
    let lefts: Vec<Vec<u32>> = pairs.iter().map(|(left, _)| panels::rows_of(left.panel(panel))).collect();
    for (right_panel, first_column) in (0..columns).step_by(PANEL).enumerate() {
        for (index, ((_, right), rows)) in pairs.iter().zip(&lefts).enumerate() {
            let product = StripProduct {
                rows,
                stride: right.depth,
                panel: right.panel(right_panel),
                columns: PANEL.min(columns - first_column),
                out: &mut out[first_column..],
                out_stride: columns,
                sums: if index == 0 { Sums::Begin } else { Sums::GoOn },
            };
            strips::multiply(options, product, row_count);
        }
    }
}

impl From<OutputMode> for Sums {
    fn from(mode: OutputMode) -> Self {
        match mode {
            OutputMode::Overwrite => Self::Begin,
            OutputMode::Accumulate => Self::Add,
        }
    }
}

fn compute_tile(options: MatmulOptions, tile: Tile, rows: usize) {
    #[cfg(target_arch = "x86_64")]
    if let (Precision::Bf16, Some(proof)) = (options.precision, options.instructions.bf16) {
        return avx512_bf16::compute_tile(proof, tile, rows);
    }
    portable::compute_tile(options, tile, rows);
}

#[cfg(test)]
mod tests;
