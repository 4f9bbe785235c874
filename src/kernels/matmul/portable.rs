//! Tiles on whatever vectors there are.
//!
//! Vectors of sixteen numbers have 32 registers, and a step handles 64 columns; smaller ones have 16 registers or
//! fewer, and a step handles two vectors. A pair of bf16 is taken apart into two f32, each with sixteen zero bits at its
//! end.

use super::{How, Into, PANEL, Precision, Tile};
use pulp::{Simd, WithSimd};

pub(super) fn run(how: How, tile: Tile, rows: usize) {
    let arch = how.instructions.arch;
    match how.precision {
        Precision::F32 => arch.dispatch(Run::<false> { tile, rows }),
        Precision::Bf16 => arch.dispatch(Run::<true> { tile, rows }),
    }
}

struct Run<'a, const BF16: bool> {
    tile: Tile<'a>,
    rows: usize,
}

impl<const BF16: bool> WithSimd for Run<'_, BF16> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { mut tile, rows } = self;
        let mut first = 0;
        while first < rows {
            match rows - first {
                6.. => columns::<S, 6, BF16>(simd, &mut tile, first),
                4.. => columns::<S, 4, BF16>(simd, &mut tile, first),
                2.. => columns::<S, 2, BF16>(simd, &mut tile, first),
                _ => columns::<S, 1, BF16>(simd, &mut tile, first),
            }
            first += match rows - first {
                6.. => 6,
                4.. => 4,
                2.. => 2,
                _ => 1,
            };
        }
    }
}

/// All columns of `ROWS` rows from row `first` of the tile on.
#[inline(always)]
fn columns<S: Simd, const ROWS: usize, const BF16: bool>(simd: S, tile: &mut Tile, first: usize) {
    let wide = S::F32_LANES == 16;
    let mut column = 0;
    while column < tile.columns {
        match (wide && tile.columns - column > 32, tile.stride) {
            (true, Some(stride)) => sums::<S, ROWS, 4, BF16, false>(simd, tile, first, column, stride),
            (true, None) => sums::<S, ROWS, 4, BF16, true>(simd, tile, first, column, 1),
            (false, Some(stride)) => sums::<S, ROWS, 2, BF16, false>(simd, tile, first, column, stride),
            (false, None) => sums::<S, ROWS, 2, BF16, true>(simd, tile, first, column, 1),
        }
        column += S::F32_LANES * if wide && tile.columns - column > 32 { 4 } else { 2 };
    }
}

/// `ROWS` × `VECTORS` vectors of sums.
#[inline(always)]
fn sums<S: Simd, const ROWS: usize, const VECTORS: usize, const BF16: bool, const TRANSPOSED: bool>(
    simd: S,
    tile: &mut Tile,
    first: usize,
    column: usize,
    stride: usize,
) {
    let mut sums = [[simd.splat_f32s(0.0); VECTORS]; ROWS];
    for (left, right) in tile.parts {
        let (right, _) = right.as_chunks::<PANEL>();
        let rows: [&[u32]; ROWS] = std::array::from_fn(|row| {
            let start = (first + row) * stride;
            if TRANSPOSED { &left[start..] } else { &left[start..start + right.len()] }
        });
        for (k, units) in right.iter().enumerate() {
            let (vectors, _) = S::as_simd_u32s(&units[column..]);
            let right: [S::u32s; VECTORS] = std::array::from_fn(|v| vectors[v]);
            for (sums, row) in sums.iter_mut().zip(rows) {
                let unit = row[if TRANSPOSED { k * PANEL } else { k }];
                for (sum, right) in sums.iter_mut().zip(right) {
                    *sum = step::<S, BF16>(simd, unit, right, *sum);
                }
            }
        }
    }
    let width = VECTORS * S::F32_LANES;
    let width = width.min(tile.columns - column);
    for (row, sums) in sums.iter().enumerate() {
        let out = &mut tile.out[(first + row) * tile.row + column..][..width];
        let mut values = [0f32; PANEL];
        let (vectors, _) = S::as_mut_simd_f32s(&mut values);
        vectors[..VECTORS].copy_from_slice(sums);
        match tile.into {
            Into::Replace => out.copy_from_slice(&values[..width]),
            Into::Add => {
                for (out, value) in out.iter_mut().zip(values) {
                    *out += value;
                }
            }
        }
    }
}

/// `sum + a · b` for the numbers of a unit.
#[inline(always)]
fn step<S: Simd, const BF16: bool>(simd: S, left: u32, right: S::u32s, sum: S::f32s) -> S::f32s {
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
