//! Computes tiles of f32 or bf16 with vectors of any width.
//!
//! CPUs with vectors of sixteen numbers have 32 vector registers, so a block of sums has up to four vectors of columns.
//! CPUs with shorter vectors may have only 16 registers, so a block has two vectors of columns. A word of two bf16 is
//! split into two f32 by shifting and masking, because a bf16 is the upper half of an f32.

use super::{MatmulOptions, OutputMode, PANEL, Precision, Tile};
use pulp::{Simd, WithSimd};

pub(super) fn compute_tile(options: MatmulOptions, tile: Tile, rows: usize) {
    let arch = options.instructions.arch;
    match options.precision {
        Precision::F32 => arch.dispatch(TileKernel::<false> { tile, rows }),
        Precision::Bf16 => arch.dispatch(TileKernel::<true> { tile, rows }),
    }
}

struct TileKernel<'a, const BF16: bool> {
    tile: Tile<'a>,
    rows: usize,
}

impl<const BF16: bool> WithSimd for TileKernel<'_, BF16> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { mut tile, rows } = self;
        let mut first_row = 0;
        while first_row < rows {
            first_row += match rows - first_row {
                6.. => all_columns::<S, 6, BF16>(simd, &mut tile, first_row),
                4.. => all_columns::<S, 4, BF16>(simd, &mut tile, first_row),
                2.. => all_columns::<S, 2, BF16>(simd, &mut tile, first_row),
                _ => all_columns::<S, 1, BF16>(simd, &mut tile, first_row),
            };
        }
    }
}

/// Computes all columns of the `ROWS` rows from `first_row` on. Returns `ROWS`.
#[inline(always)]
fn all_columns<S: Simd, const ROWS: usize, const BF16: bool>(
    simd: S,
    tile: &mut Tile,
    first_row: usize,
) -> usize {
    let wide = S::F32_LANES == 16;
    let mut column = 0;
    while column < tile.columns {
        match (wide && tile.columns - column > 32, tile.left_stride) {
            (true, Some(stride)) => block::<S, ROWS, 4, BF16, false>(simd, tile, first_row, column, stride),
            (true, None) => block::<S, ROWS, 4, BF16, true>(simd, tile, first_row, column, 1),
            (false, Some(stride)) => block::<S, ROWS, 2, BF16, false>(simd, tile, first_row, column, stride),
            (false, None) => block::<S, ROWS, 2, BF16, true>(simd, tile, first_row, column, 1),
        }
        column += S::F32_LANES * if wide && tile.columns - column > 32 { 4 } else { 2 };
    }
    ROWS
}

/// Computes a block of `ROWS` rows and `VECTORS` vectors of columns, with all sums in registers.
#[inline(always)]
fn block<S: Simd, const ROWS: usize, const VECTORS: usize, const BF16: bool, const TRANSPOSED: bool>(
    simd: S,
    tile: &mut Tile,
    first_row: usize,
    column: usize,
    stride: usize,
) {
    let mut sums = [[simd.splat_f32s(0.0); VECTORS]; ROWS];
    for (left, right) in tile.segments {
        let (right, _) = right.as_chunks::<PANEL>();
        let rows: [&[u32]; ROWS] = std::array::from_fn(|row| {
            let start = (first_row + row) * stride;
            if TRANSPOSED { &left[start..] } else { &left[start..start + right.len()] }
        });
        for (k, words) in right.iter().enumerate() {
            let (vectors, _) = S::as_simd_u32s(&words[column..]);
            let right: [S::u32s; VECTORS] = std::array::from_fn(|v| vectors[v]);
            for (sums, row) in sums.iter_mut().zip(rows) {
                let word = row[if TRANSPOSED { k * PANEL } else { k }];
                for (sum, right) in sums.iter_mut().zip(right) {
                    *sum = multiply_add::<S, BF16>(simd, word, right, *sum);
                }
            }
        }
    }
    let width = (VECTORS * S::F32_LANES).min(tile.columns - column);
    for (row, sums) in sums.iter().enumerate() {
        let out = &mut tile.out[(first_row + row) * tile.out_stride + column..][..width];
        let mut values = [0f32; PANEL];
        let (vectors, _) = S::as_mut_simd_f32s(&mut values);
        vectors[..VECTORS].copy_from_slice(sums);
        match tile.mode {
            OutputMode::Overwrite => out.copy_from_slice(&values[..width]),
            OutputMode::Accumulate => {
                for (out, value) in out.iter_mut().zip(values) {
                    *out += value;
                }
            }
        }
    }
}

/// `sum + a · b`, for the one or two numbers in each word.
#[inline(always)]
pub(super) fn multiply_add<S: Simd, const BF16: bool>(
    simd: S,
    left: u32,
    right: S::u32s,
    sum: S::f32s,
) -> S::f32s {
    let number = |bits: u32| simd.splat_f32s(f32::from_bits(bits));
    if !BF16 {
        return simd.mul_add_e_f32s(number(left), simd.transmute_f32s_u32s(right), sum);
    }
    const UPPER: u32 = 0xffff_0000;
    let first = simd.transmute_f32s_u32s(simd.wrapping_dyn_shl_u32s(right, simd.splat_u32s(16)));
    let second = simd.transmute_f32s_u32s(simd.and_u32s(right, simd.splat_u32s(UPPER)));
    let sum = simd.mul_add_e_f32s(number(left << 16), first, sum);
    simd.mul_add_e_f32s(number(left & UPPER), second, sum)
}
