//! Packing bf16 with `vcvtne2ps2bf16`, which rounds thirty-two numbers in one instruction. Subnormal f32 become zero,
//! as they do in `vdpbf16ps`.

#![allow(unsafe_code)]

use super::PANEL;
use super::packed_rows::pack_pair;
use super::panels::row_pair;
use crate::instructions::Avx512Bf16;
use std::arch::x86_64::{
    __m512, __m512i, _mm512_cvtne2ps_pbh, _mm512_loadu_ps, _mm512_loadu_si512, _mm512_permutexvar_epi16,
    _mm512_storeu_si512,
};

/// Numbers in a vector.
const LANES: usize = 16;

/// For each half word of the interleaved result, its index in a vector of sixteen lower halves followed by sixteen
/// upper halves.
const INTERLEAVED: [u16; 2 * LANES] = {
    let mut indices = [0; 2 * LANES];
    let mut lane = 0;
    while lane < LANES {
        indices[2 * lane] = lane as u16;
        indices[2 * lane + 1] = (LANES + lane) as u16;
        lane += 1;
    }
    indices
};

/// Packs each pair of consecutive `numbers` into a word. The length of `numbers` must be even.
pub(super) fn pack_pairs(_: Avx512Bf16, numbers: &[f32], words: &mut [u32]) {
    // SAFETY: an `Avx512Bf16` exists only where every feature that the function enables was detected.
    unsafe { pack_pairs_in_vectors(numbers, words) }
}

/// Packs one panel: the `width` columns of `numbers` (K, `columns`) from `first_column` on, two rows to a word.
pub(super) fn pack_panel(
    _: Avx512Bf16,
    numbers: &[f32],
    columns: usize,
    first_column: usize,
    width: usize,
    words: &mut [[u32; PANEL]],
) {
    // SAFETY: an `Avx512Bf16` exists only where every feature that the function enables was detected.
    unsafe { pack_panel_in_vectors(numbers, columns, first_column, width, words) }
}

#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
fn pack_pairs_in_vectors(numbers: &[f32], words: &mut [u32]) {
    let (numbers, numbers_rest) = numbers.as_chunks::<{ 2 * LANES }>();
    let (words, words_rest) = words.as_chunks_mut::<LANES>();
    for (numbers, words) in numbers.iter().zip(words) {
        let (first, second) = numbers.split_at(LANES);
        store(words, round(load(first), load(second)));
    }
    for (word, numbers) in words_rest.iter_mut().zip(numbers_rest.chunks_exact(2)) {
        *word = pack_pair(numbers[0], numbers[1]);
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
fn pack_panel_in_vectors(
    numbers: &[f32],
    columns: usize,
    first_column: usize,
    width: usize,
    words: &mut [[u32; PANEL]],
) {
    // SAFETY: the array has the 64 bytes that are read.
    let indices = unsafe { _mm512_loadu_si512(INTERLEAVED.as_ptr().cast()) };
    for (words, rows) in words.iter_mut().zip(numbers.chunks(2 * columns)) {
        let (first, second) = row_pair(rows, columns, first_column, width);
        let whole = width - width % LANES;
        for at in (0..whole).step_by(LANES) {
            let halves = round(load(&first[at..at + LANES]), load(&second[at..at + LANES]));
            store(&mut words[at..at + LANES], _mm512_permutexvar_epi16(indices, halves));
        }
        for at in whole..width {
            words[at] = pack_pair(first[at], second[at]);
        }
        words[width..].fill(0);
    }
}

/// Rounds thirty-two numbers to bf16. Those of `lower` are in the lower half of the result, those of `upper` in the
/// upper half.
#[inline]
#[target_feature(enable = "avx512f,avx512bf16")]
fn round(lower: __m512, upper: __m512) -> __m512i {
    // SAFETY: both types are 64 plain bytes.
    unsafe { std::mem::transmute(_mm512_cvtne2ps_pbh(upper, lower)) }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn load(numbers: &[f32]) -> __m512 {
    assert_eq!(numbers.len(), LANES);
    // SAFETY: the slice has the 64 bytes that are read.
    unsafe { _mm512_loadu_ps(numbers.as_ptr()) }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn store(words: &mut [u32], vector: __m512i) {
    assert_eq!(words.len(), LANES);
    // SAFETY: the slice has the 64 bytes that are written.
    unsafe { _mm512_storeu_si512(words.as_mut_ptr().cast(), vector) }
}
