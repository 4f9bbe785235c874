//! Rows of numbers packed into 32-bit words: one f32 per word, or two bf16.

use crate::Precision;
use crate::instructions::Instructions;
use crate::vectorised;

/// Rows of packed words. A copy made with `clone_from` reuses the memory of the rows that it replaces.
#[derive(Debug, Default)]
pub struct PackedRows {
    /// The words of all rows, (rows, stride).
    pub words: Vec<u32>,
    /// Words in a row.
    pub stride: usize,
}

/// The number of 32-bit words into which `numbers` values are packed. If the number of bf16 is odd, the second half of
/// the last word is zero.
#[must_use]
pub fn packed_len(precision: Precision, numbers: usize) -> usize {
    match precision {
        Precision::F32 => numbers,
        Precision::Bf16 => numbers.div_ceil(2),
    }
}

impl Clone for PackedRows {
    fn clone(&self) -> Self {
        Self { words: self.words.clone(), stride: self.stride }
    }

    fn clone_from(&mut self, source: &Self) {
        self.words.clone_from(&source.words);
        self.stride = source.stride;
    }
}

impl PackedRows {
    /// Packs `numbers` (rows, `columns`).
    #[must_use]
    pub fn pack(precision: Precision, numbers: &[f32], columns: usize) -> Self {
        let mut packed = Self::default();
        packed.repack(precision, numbers, columns);
        packed
    }

    /// Replaces the contents by `numbers` (rows, `columns`), reusing the memory if it is large enough.
    pub fn repack(&mut self, precision: Precision, numbers: &[f32], columns: usize) {
        self.resize(precision, numbers.len() / columns.max(1), columns);
        self.pack_at(precision, 0, numbers, columns);
    }

    /// Allocates space for (`rows`, `columns`) numbers, to be filled by [`pack_at`](Self::pack_at).
    pub fn resize(&mut self, precision: Precision, rows: usize, columns: usize) {
        self.stride = packed_len(precision, columns);
        self.words.resize(rows * self.stride, 0);
    }

    /// Packs `numbers`, rows of `columns` numbers, into the rows from `first_row` on.
    pub fn pack_at(&mut self, precision: Precision, first_row: usize, numbers: &[f32], columns: usize) {
        let words = &mut self.words[first_row * self.stride..];
        match precision {
            Precision::F32 => copy_bits(numbers, words),
            Precision::Bf16 if columns.is_multiple_of(2) => pack_even_rows(numbers, words),
            Precision::Bf16 => {
                let rows = numbers.chunks_exact(columns).zip(words.chunks_exact_mut(self.stride));
                rows.for_each(|(row, words)| pack_pairs(row, words));
            }
        }
    }

    /// Fills `numbers` with unpacked rows of `columns` numbers, from row `first_row` on.
    pub fn unpack(&self, precision: Precision, columns: usize, first_row: usize, numbers: &mut [f32]) {
        let words = &self.words[first_row * self.stride..];
        match precision {
            Precision::F32 => copy_numbers(words, numbers),
            Precision::Bf16 if columns.is_multiple_of(2) => unpack_pairs(words, numbers),
            Precision::Bf16 => {
                let rows = words.chunks_exact(self.stride).zip(numbers.chunks_exact_mut(columns));
                rows.for_each(|(words, row)| unpack_pairs(words, row));
            }
        }
    }
}

/// Packs rows of even length to bf16. Because the length is even, no word spans two rows.
fn pack_even_rows(numbers: &[f32], words: &mut [u32]) {
    #[cfg(target_arch = "x86_64")]
    if let Some(proof) = Instructions::get().bf16 {
        return super::avx512_rounding::pack_pairs(proof, numbers, words);
    }
    pack_pairs(numbers, words);
}

/// Returns the bits of the nearest bf16 (ties to even) in the upper half. The lower half is arbitrary.
#[inline(always)]
fn rounded_bits(x: f32) -> u32 {
    let bits = x.to_bits();
    // For the largest NaNs the addition would overflow to zero.
    if x.is_nan() { 0x7fc0_0000 } else { bits.wrapping_add(0x7fff + ((bits >> 16) & 1)) }
}

/// The nearest bf16, as an f32. Ties go to the even neighbour.
#[inline(always)]
#[must_use]
pub fn round_to_bf16(x: f32) -> f32 {
    f32::from_bits(rounded_bits(x) & 0xffff_0000)
}

/// Packs two numbers, rounded to bf16, into a word. The first one is in the lower half.
#[inline(always)]
#[must_use]
pub fn pack_pair(first: f32, second: f32) -> u32 {
    rounded_bits(first) >> 16 | rounded_bits(second) & 0xffff_0000
}

vectorised! {
    fn copy_bits(numbers: &[f32], words: &mut [u32]) {
        for (word, number) in words.iter_mut().zip(numbers) {
            *word = number.to_bits();
        }
    }
}

vectorised! {
    fn copy_numbers(words: &[u32], numbers: &mut [f32]) {
        for (word, number) in words.iter().zip(numbers) {
            *number = f32::from_bits(*word);
        }
    }
}

vectorised! {
    fn pack_pairs(numbers: &[f32], words: &mut [u32]) {
        let (pairs, rest) = numbers.as_chunks::<2>();
        for (word, &[first, second]) in words.iter_mut().zip(pairs) {
            *word = pack_pair(first, second);
        }
        if let (Some(word), Some(&last)) = (words.get_mut(pairs.len()), rest.first()) {
            *word = pack_pair(last, 0.0);
        }
    }
}

vectorised! {
    fn unpack_pairs(words: &[u32], numbers: &mut [f32]) {
        let (pairs, rest) = numbers.as_chunks_mut::<2>();
        for (word, [first, second]) in words.iter().zip(&mut *pairs) {
            *first = f32::from_bits(word << 16);
            *second = f32::from_bits(word & 0xffff_0000);
        }
        if let (Some(word), Some(last)) = (words.get(pairs.len()), rest.first_mut()) {
            *last = f32::from_bits(word << 16);
        }
    }
}
