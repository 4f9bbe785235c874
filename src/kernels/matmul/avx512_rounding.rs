//! Rounding to bf16 with `vcvtne2ps2bf16`: thirty-two numbers in one instruction. Numbers below the smallest normal one
//! become zero, as they do in the products.

#![allow(unsafe_code)]

use super::PANEL;
use super::units::pair;
use std::arch::x86_64::{
    __m512, __m512i, _mm512_cvtne2ps_pbh, _mm512_loadu_ps, _mm512_loadu_si512, _mm512_permutexvar_epi16,
    _mm512_storeu_si512,
};

/// Numbers of a vector.
const LANES: usize = 16;

/// For each unit, the places of its halves in a vector of sixteen first halves and sixteen second ones.
const INTERLEAVED: [u16; 2 * LANES] = {
    let mut places = [0; 2 * LANES];
    let mut lane = 0;
    while lane < LANES {
        places[2 * lane] = lane as u16;
        places[2 * lane + 1] = (LANES + lane) as u16;
        lane += 1;
    }
    places
};

/// Units of neighbours in `numbers`, whose count is even. Only on a processor that has the instructions.
pub(super) fn neighbours(numbers: &[f32], units: &mut [u32]) {
    // SAFETY: the caller found the features when the program ran (`Instructions::bf16`).
    unsafe { neighbours_in_vectors(numbers, units) }
}

/// The rows of a panel: units of numbers above each other in columns `first..first + width` of `numbers`, which has
/// rows of `columns` numbers. Only on a processor that has the instructions.
pub(super) fn panel(numbers: &[f32], columns: usize, first: usize, width: usize, units: &mut [[u32; PANEL]]) {
    // SAFETY: the caller found the features when the program ran (`Instructions::bf16`).
    unsafe { panel_in_vectors(numbers, columns, first, width, units) }
}

#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
fn neighbours_in_vectors(numbers: &[f32], units: &mut [u32]) {
    let (numbers, numbers_rest) = numbers.as_chunks::<{ 2 * LANES }>();
    let (units, units_rest) = units.as_chunks_mut::<LANES>();
    for (numbers, units) in numbers.iter().zip(units) {
        let (first, second) = numbers.split_at(LANES);
        store(units, rounded(load(first), load(second)));
    }
    for (unit, numbers) in units_rest.iter_mut().zip(numbers_rest.chunks_exact(2)) {
        *unit = pair(numbers[0], numbers[1]);
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
fn panel_in_vectors(numbers: &[f32], columns: usize, first: usize, width: usize, units: &mut [[u32; PANEL]]) {
    // SAFETY: the array has the 64 bytes that are read.
    let places = unsafe { _mm512_loadu_si512(INTERLEAVED.as_ptr().cast()) };
    for (units, rows) in units.iter_mut().zip(numbers.chunks(2 * columns)) {
        let upper = &rows[first..first + width];
        let lower = rows.get(columns + first..columns + first + width).unwrap_or(&[0.0; PANEL][..width]);
        let whole = width - width % LANES;
        for at in (0..whole).step_by(LANES) {
            let halves = rounded(load(&upper[at..at + LANES]), load(&lower[at..at + LANES]));
            store(&mut units[at..at + LANES], _mm512_permutexvar_epi16(places, halves));
        }
        for at in whole..width {
            units[at] = pair(upper[at], lower[at]);
        }
        units[width..].fill(0);
    }
}

/// Sixteen numbers in the lower half, sixteen in the upper.
#[inline]
#[target_feature(enable = "avx512f,avx512bf16")]
fn rounded(lower: __m512, upper: __m512) -> __m512i {
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
fn store(units: &mut [u32], vector: __m512i) {
    assert_eq!(units.len(), LANES);
    // SAFETY: the slice has the 64 bytes that are written.
    unsafe { _mm512_storeu_si512(units.as_mut_ptr().cast(), vector) }
}
