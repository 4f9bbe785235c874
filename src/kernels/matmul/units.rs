//! Numbers in units of 32 bits: one f32, or two bf16.

use crate::config::Precision;
use crate::kernels::instructions::Instructions;
use crate::kernels::vectorised;

/// Rows of units.
#[derive(Clone, Debug, Default)]
pub struct Units {
    /// (rows, stride)
    pub units: Vec<u32>,
    /// Units of a row.
    pub stride: usize,
}

/// Units that so many numbers take.
#[must_use]
pub fn depth(precision: Precision, numbers: usize) -> usize {
    match precision {
        Precision::F32 => numbers,
        Precision::Bf16 => numbers.div_ceil(2),
    }
}

impl Units {
    /// `numbers` (rows, `columns`) in units.
    #[must_use]
    pub fn rows(precision: Precision, numbers: &[f32], columns: usize) -> Self {
        let mut units = Self::default();
        units.write(precision, numbers, columns);
        units
    }

    /// Becomes `numbers` (rows, `columns`) in units.
    pub fn write(&mut self, precision: Precision, numbers: &[f32], columns: usize) {
        self.open(precision, numbers.len() / columns.max(1), columns);
        self.write_some(precision, 0, numbers, columns);
    }

    /// Makes room for numbers (`rows`, `columns`), to be written some rows at a time.
    pub fn open(&mut self, precision: Precision, rows: usize, columns: usize) {
        self.stride = depth(precision, columns);
        self.units.resize(rows * self.stride, 0);
    }

    /// Writes `numbers`, the rows of `columns` numbers from row `first` on.
    pub fn write_some(&mut self, precision: Precision, first: usize, numbers: &[f32], columns: usize) {
        let units = &mut self.units[first * self.stride..];
        match precision {
            Precision::F32 => copy_bits(numbers, units),
            Precision::Bf16 if columns.is_multiple_of(2) => round_neighbours(numbers, units),
            Precision::Bf16 => {
                let rows = numbers.chunks_exact(columns).zip(units.chunks_exact_mut(self.stride));
                rows.for_each(|(row, units)| round_pairs(row, units));
            }
        }
    }

    /// The numbers again, from row `first` on: (rows, `columns`), as far as `numbers` goes.
    pub fn read(&self, precision: Precision, columns: usize, first: usize, numbers: &mut [f32]) {
        let units = &self.units[first * self.stride..];
        match precision {
            Precision::F32 => copy_numbers(units, numbers),
            Precision::Bf16 if columns.is_multiple_of(2) => split_pairs(units, numbers),
            Precision::Bf16 => {
                let rows = units.chunks_exact(self.stride).zip(numbers.chunks_exact_mut(columns));
                rows.for_each(|(units, row)| split_pairs(units, row));
            }
        }
    }
}

/// Units of neighbours in `numbers`, whose count is even.
fn round_neighbours(numbers: &[f32], units: &mut [u32]) {
    #[cfg(target_arch = "x86_64")]
    if Instructions::get().bf16 {
        return super::avx512_rounding::neighbours(numbers, units);
    }
    round_pairs(numbers, units);
}

/// The bits of the nearest bf16 in the upper half, of two equally near the even one; the lower half is arbitrary.
#[inline(always)]
fn rounded(x: f32) -> u32 {
    let bits = x.to_bits();
    // Rounding would carry the largest NaNs over into zero.
    if x.is_nan() { 0x7fc0_0000 } else { bits.wrapping_add(0x7fff + ((bits >> 16) & 1)) }
}

/// The nearest bf16.
#[inline(always)]
#[must_use]
pub fn round(x: f32) -> f32 {
    f32::from_bits(rounded(x) & 0xffff_0000)
}

/// A unit of two bf16: the first in the lower half.
#[inline(always)]
#[must_use]
pub fn pair(first: f32, second: f32) -> u32 {
    rounded(first) >> 16 | rounded(second) & 0xffff_0000
}

vectorised! {
    fn copy_bits(numbers: &[f32], units: &mut [u32]) {
        for (unit, number) in units.iter_mut().zip(numbers) {
            *unit = number.to_bits();
        }
    }
}

vectorised! {
    fn copy_numbers(units: &[u32], numbers: &mut [f32]) {
        for (unit, number) in units.iter().zip(numbers) {
            *number = f32::from_bits(*unit);
        }
    }
}

vectorised! {
    /// A number without a second one gets a zero.
    fn round_pairs(numbers: &[f32], units: &mut [u32]) {
        let (pairs, rest) = numbers.as_chunks::<2>();
        for (unit, &[first, second]) in units.iter_mut().zip(pairs) {
            *unit = pair(first, second);
        }
        if let (Some(unit), Some(&last)) = (units.get_mut(pairs.len()), rest.first()) {
            *unit = pair(last, 0.0);
        }
    }
}

vectorised! {
    fn split_pairs(units: &[u32], numbers: &mut [f32]) {
        let (pairs, rest) = numbers.as_chunks_mut::<2>();
        for (unit, [first, second]) in units.iter().zip(&mut *pairs) {
            *first = f32::from_bits(unit << 16);
            *second = f32::from_bits(unit & 0xffff_0000);
        }
        if let (Some(unit), Some(last)) = (units.get(pairs.len()), rest.first_mut()) {
            *last = f32::from_bits(unit << 16);
        }
    }
}
