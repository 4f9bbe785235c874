//! Tiles of bf16 with `vdpbf16ps`: sixteen sums of two products each in one instruction.

#![allow(unsafe_code)]

use super::{Into, PANEL, Tile};
use std::arch::x86_64::{
    __m512, __m512bh, __m512i, _mm512_add_ps, _mm512_dpbf16_ps, _mm512_loadu_ps, _mm512_loadu_si512,
    _mm512_mask_storeu_ps, _mm512_maskz_loadu_ps, _mm512_set1_epi32, _mm512_setzero_ps, _mm512_setzero_si512,
    _mm512_storeu_ps,
};

/// Numbers of a vector.
const LANES: usize = 16;

/// Makes a tile of so many rows. Only on a processor that has the instructions.
pub(super) fn run(mut tile: Tile, rows: usize) {
    // SAFETY: the caller found the features when the program ran (`Instructions::bf16`).
    unsafe { all_rows(&mut tile, rows) }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512bf16")]
fn all_rows(tile: &mut Tile, rows: usize) {
    let mut first = 0;
    while first < rows {
        first += match rows - first {
            6.. => columns::<6>(tile, first),
            4.. => columns::<4>(tile, first),
            2.. => columns::<2>(tile, first),
            _ => columns::<1>(tile, first),
        };
    }
}

/// All columns of `ROWS` rows from row `first` of the tile on.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512bf16")]
fn columns<const ROWS: usize>(tile: &mut Tile, first: usize) -> usize {
    match (tile.columns > PANEL / 2, tile.stride) {
        (true, Some(stride)) => sums::<ROWS, 4, false>(tile, first, stride),
        (true, None) => sums::<ROWS, 4, true>(tile, first, 1),
        (false, Some(stride)) => sums::<ROWS, 2, false>(tile, first, stride),
        (false, None) => sums::<ROWS, 2, true>(tile, first, 1),
    }
    ROWS
}

/// `ROWS` × `VECTORS` vectors of sums.
#[inline(never)]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512bf16")]
fn sums<const ROWS: usize, const VECTORS: usize, const TRANSPOSED: bool>(
    tile: &mut Tile,
    first: usize,
    stride: usize,
) {
    let mut sums = [[_mm512_setzero_ps(); VECTORS]; ROWS];
    for (left, right) in tile.parts {
        let (right, _) = right.as_chunks::<PANEL>();
        let Some(deepest) = right.len().checked_sub(1) else { continue };
        let step = if TRANSPOSED { PANEL } else { 1 };
        assert!((first + ROWS - 1) * stride + deepest * step < left.len(), "the left factor is too short");
        for (k, units) in right.iter().enumerate() {
            let mut vectors = [_mm512_setzero_si512(); VECTORS];
            for (vector, units) in vectors.iter_mut().zip(units.as_chunks::<LANES>().0) {
                // SAFETY: the array has the 64 bytes that are read.
                *vector = unsafe { _mm512_loadu_si512(units.as_ptr().cast()) };
            }
            for (row, sums) in sums.iter_mut().enumerate() {
                // SAFETY: the largest index, that of the last row and the last k, was checked above.
                let unit = unsafe { *left.get_unchecked((first + row) * stride + k * step) };
                let left = pairs(_mm512_set1_epi32(unit.cast_signed()));
                for (sum, &right) in sums.iter_mut().zip(&vectors) {
                    *sum = _mm512_dpbf16_ps(*sum, left, pairs(right));
                }
            }
        }
    }
    let rows = tile.out[first * tile.row..].chunks_mut(tile.row);
    for (sums, row) in sums.into_iter().zip(rows) {
        let row = &mut row[..tile.columns];
        let whole: Option<&mut [[f32; LANES]; VECTORS]> = row.as_chunks_mut::<LANES>().0.first_chunk_mut();
        if let Some(whole) = whole {
            for (out, sum) in whole.iter_mut().zip(sums) {
                store(out, sum, tile.into);
            }
        } else {
            for (out, sum) in row.chunks_mut(LANES).zip(sums) {
                store_part(out, sum, tile.into);
            }
        }
    }
}

/// The same bits, taken for pairs of bf16.
#[inline]
#[target_feature(enable = "avx512f,avx512bf16")]
fn pairs(units: __m512i) -> __m512bh {
    // SAFETY: both types are 64 plain bytes.
    unsafe { std::mem::transmute(units) }
}

/// Writes `sum` to `out`.
#[inline]
#[target_feature(enable = "avx512f")]
fn store(out: &mut [f32; LANES], sum: __m512, into: Into) {
    // SAFETY: `out` has the 64 bytes that are read and written.
    unsafe {
        let sum = if into == Into::Add { _mm512_add_ps(_mm512_loadu_ps(out.as_ptr()), sum) } else { sum };
        _mm512_storeu_ps(out.as_mut_ptr(), sum);
    }
}

/// Writes the first numbers of `sum` to `out`, which has at most sixteen.
#[inline]
#[target_feature(enable = "avx512f")]
fn store_part(out: &mut [f32], sum: __m512, into: Into) {
    if let Ok(out) = <&mut [f32; LANES]>::try_from(&mut *out) {
        return store(out, sum, into);
    }
    let mask = (1u16 << out.len()) - 1;
    // SAFETY: the mask has as many bits as `out` has numbers; others are neither read nor written.
    unsafe {
        let there = _mm512_maskz_loadu_ps(mask, out.as_ptr());
        let sum = if into == Into::Add { _mm512_add_ps(there, sum) } else { sum };
        _mm512_mask_storeu_ps(out.as_mut_ptr(), mask, sum);
    }
}
