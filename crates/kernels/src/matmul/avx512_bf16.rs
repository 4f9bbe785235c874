//! Tiles of bf16 with `vdpbf16ps`, which adds two products to each of sixteen sums in one instruction.

#![allow(unsafe_code)]

use super::{OutputMode, PANEL, Tile};
use crate::instructions::Avx512Bf16;
use std::arch::x86_64::{
    __m512, __m512bh, __m512i, _mm512_add_ps, _mm512_dpbf16_ps, _mm512_loadu_ps, _mm512_loadu_si512,
    _mm512_mask_storeu_ps, _mm512_maskz_loadu_ps, _mm512_set1_epi32, _mm512_setzero_ps, _mm512_setzero_si512,
    _mm512_storeu_ps,
};

/// Numbers in a vector.
const LANES: usize = 16;

/// Computes a tile of `rows` rows.
pub(super) fn compute_tile(_: Avx512Bf16, mut tile: Tile, rows: usize) {
    // SAFETY: an `Avx512Bf16` exists only where every feature that `all_rows` enables was detected.
    unsafe { all_rows(&mut tile, rows) }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512bf16")]
fn all_rows(tile: &mut Tile, rows: usize) {
    let mut first_row = 0;
    while first_row < rows {
        first_row += match rows - first_row {
            6.. => all_columns::<6>(tile, first_row),
            4.. => all_columns::<4>(tile, first_row),
            2.. => all_columns::<2>(tile, first_row),
            _ => all_columns::<1>(tile, first_row),
        };
    }
}

/// Computes all columns of the `ROWS` rows from `first_row` on. Returns `ROWS`.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512bf16")]
fn all_columns<const ROWS: usize>(tile: &mut Tile, first_row: usize) -> usize {
    match (tile.columns > PANEL / 2, tile.left_stride) {
        (true, Some(stride)) => block::<ROWS, 4, false>(tile, first_row, stride),
        (true, None) => block::<ROWS, 4, true>(tile, first_row, 1),
        (false, Some(stride)) => block::<ROWS, 2, false>(tile, first_row, stride),
        (false, None) => block::<ROWS, 2, true>(tile, first_row, 1),
    }
    ROWS
}

/// Computes a block of `ROWS` rows and `VECTORS` vectors of columns, with all sums in registers.
#[inline(never)]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512bf16")]
fn block<const ROWS: usize, const VECTORS: usize, const TRANSPOSED: bool>(
    tile: &mut Tile,
    first_row: usize,
    stride: usize,
) {
    let mut sums = [[_mm512_setzero_ps(); VECTORS]; ROWS];
    for (left, right) in tile.segments {
        let (right, _) = right.as_chunks::<PANEL>();
        let Some(last_k) = right.len().checked_sub(1) else { continue };
        let step = if TRANSPOSED { PANEL } else { 1 };
        let last_row = (first_row + ROWS - 1).checked_mul(stride);
        let last_word = last_row.and_then(|start| start.checked_add(last_k * step));
        assert!(last_word.is_some_and(|index| index < left.len()), "the left factor is too short");
        for (k, words) in right.iter().enumerate() {
            let mut vectors = [_mm512_setzero_si512(); VECTORS];
            for (vector, words) in vectors.iter_mut().zip(words.as_chunks::<LANES>().0) {
                // SAFETY: the array has the 64 bytes that are read.
                *vector = unsafe { _mm512_loadu_si512(words.as_ptr().cast()) };
            }
            for (row, sums) in sums.iter_mut().enumerate() {
                // SAFETY: the index grows with `row` and `k`, and its largest value was checked above.
                let word = unsafe { *left.get_unchecked((first_row + row) * stride + k * step) };
                let left = as_bf16(_mm512_set1_epi32(word.cast_signed()));
                for (sum, &right) in sums.iter_mut().zip(&vectors) {
                    *sum = _mm512_dpbf16_ps(*sum, left, as_bf16(right));
                }
            }
        }
    }
    let rows = tile.out[first_row * tile.out_stride..].chunks_mut(tile.out_stride);
    for (sums, row) in sums.into_iter().zip(rows) {
        let row = &mut row[..tile.columns];
        let whole: Option<&mut [[f32; LANES]; VECTORS]> = row.as_chunks_mut::<LANES>().0.first_chunk_mut();
        if let Some(whole) = whole {
            for (out, sum) in whole.iter_mut().zip(sums) {
                store(out, sum, tile.mode);
            }
        } else {
            for (out, sum) in row.chunks_mut(LANES).zip(sums) {
                store_up_to_16(out, sum, tile.mode);
            }
        }
    }
}

/// Reinterprets the bits as bf16 pairs.
#[inline]
#[target_feature(enable = "avx512f,avx512bf16")]
fn as_bf16(words: __m512i) -> __m512bh {
    // SAFETY: both types are 64 plain bytes.
    unsafe { std::mem::transmute(words) }
}

/// Writes `sum` to `out`, or adds it there.
#[inline]
#[target_feature(enable = "avx512f")]
fn store(out: &mut [f32; LANES], sum: __m512, mode: OutputMode) {
    // SAFETY: `out` has the 64 bytes that are read and written.
    unsafe {
        let sum = match mode {
            OutputMode::Overwrite => sum,
            OutputMode::Accumulate => _mm512_add_ps(_mm512_loadu_ps(out.as_ptr()), sum),
        };
        _mm512_storeu_ps(out.as_mut_ptr(), sum);
    }
}

/// Writes the first numbers of `sum` to `out`, which has at most sixteen, or adds them there.
#[inline]
#[target_feature(enable = "avx512f")]
fn store_up_to_16(out: &mut [f32], sum: __m512, mode: OutputMode) {
    if let Ok(out) = <&mut [f32; LANES]>::try_from(&mut *out) {
        return store(out, sum, mode);
    }
    let mask = (1u16 << out.len()) - 1;
    // SAFETY: the mask has one bit per number of `out`; numbers without a bit are neither read nor written.
    unsafe {
        let sum = match mode {
            OutputMode::Overwrite => sum,
            OutputMode::Accumulate => _mm512_add_ps(_mm512_maskz_loadu_ps(mask, out.as_ptr()), sum),
        };
        _mm512_mask_storeu_ps(out.as_mut_ptr(), mask, sum);
    }
}
