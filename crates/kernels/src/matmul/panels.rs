//! A matrix packed into panels of 64 columns.

use super::PANEL;
#[cfg(target_arch = "x86_64")]
use super::avx512_rounding;
use super::packed_rows::{PackedRows, pack_pair, packed_len};
use crate::Precision;
use crate::instructions::Instructions;
use crate::vectorised;
use rayon::prelude::*;

/// A matrix (K, N), packed as (⌈N / 64⌉, depth, 64) words for products that sum over K. The depth is K words in f32 and
/// ⌈K / 2⌉ words in bf16.
#[derive(Clone, Debug, Default)]
pub struct Panels {
    words: Vec<u32>,
    depth: usize,
    columns: usize,
}

/// Borrowed panels, possibly cut to the first part of their depth or to their first columns.
#[derive(Clone, Copy, Debug)]
pub struct PanelsView<'a> {
    words: &'a [u32],
    /// Words in a panel of the whole matrix.
    panel_len: usize,
    pub(super) depth: usize,
    pub(super) columns: usize,
}

impl<'a> PanelsView<'a> {
    /// Cuts the depth to its first `depth` words.
    #[must_use]
    pub fn first_words(self, depth: usize) -> Self {
        Self { depth: depth.min(self.depth), ..self }
    }

    /// Cuts the matrix to its first `columns` columns.
    #[must_use]
    pub fn first_columns(self, columns: usize) -> Self {
        Self { columns: columns.min(self.columns), ..self }
    }

    /// The number of columns, N.
    #[must_use]
    pub fn columns(self) -> usize {
        self.columns
    }

    /// The words of one panel, (depth, 64).
    pub(super) fn panel(self, panel: usize) -> &'a [u32] {
        &self.words[panel * self.panel_len..][..self.depth * PANEL]
    }
}

impl Panels {
    /// Packs `numbers` (K, `columns`).
    #[must_use]
    pub fn from_rows(precision: Precision, numbers: &[f32], columns: usize) -> Self {
        let mut panels = Self::default();
        panels.pack_rows(precision, numbers, columns);
        panels
    }

    /// Packs the transpose of `numbers` (N, `length`), where `length` is K.
    #[must_use]
    pub fn from_transposed(precision: Precision, numbers: &[f32], length: usize) -> Self {
        let mut panels = Self::default();
        panels.pack_transposed(precision, numbers, length);
        panels
    }

    /// A view of the whole matrix.
    #[must_use]
    pub fn view(&self) -> PanelsView<'_> {
        PanelsView {
            words: &self.words,
            panel_len: self.depth * PANEL,
            depth: self.depth,
            columns: self.columns,
        }
    }

    /// The number of panels, ⌈N / 64⌉.
    #[must_use]
    pub fn panel_count(&self) -> usize {
        self.columns.div_ceil(PANEL)
    }

    fn reshape(&mut self, depth: usize, columns: usize) {
        (self.depth, self.columns) = (depth, columns);
        self.words.resize(self.panel_count() * depth * PANEL, 0);
    }

    /// The same as [`from_rows`](Self::from_rows), reusing the memory.
    pub fn pack_rows(&mut self, precision: Precision, numbers: &[f32], columns: usize) {
        self.resize(precision, numbers.len() / columns.max(1), columns);
        self.pack_rows_at(precision, 0, numbers);
    }

    /// Allocates space for (`rows`, `columns`) numbers, to be filled by [`pack_rows_at`](Self::pack_rows_at).
    pub fn resize(&mut self, precision: Precision, rows: usize, columns: usize) {
        self.reshape(packed_len(precision, rows), columns);
    }

    /// Packs `numbers`, rows of N numbers, into the rows from `first_row` on. In bf16 two neighbouring rows share their
    /// words. Therefore `first_row` must be even, and so must the number of rows, unless the matrix ends with them.
    pub fn pack_rows_at(&mut self, precision: Precision, first_row: usize, numbers: &[f32]) {
        let panel_len = self.depth * PANEL;
        let start = packed_len(precision, first_row) * PANEL;
        let length = packed_len(precision, numbers.len() / self.columns.max(1)) * PANEL;
        for panel in 0..self.panel_count() {
            let words = &mut self.words[panel * panel_len + start..][..length];
            pack_panel(precision, numbers, self.columns, panel * PANEL, words);
        }
    }

    /// The same as [`pack_rows`](Self::pack_rows), with one parallel task per panel.
    pub fn pack_rows_parallel(&mut self, precision: Precision, numbers: &[f32], columns: usize) {
        self.reshape(packed_len(precision, numbers.len() / columns.max(1)), columns);
        let panel_len = (self.depth * PANEL).max(1);
        self.words.par_chunks_mut(panel_len).enumerate().for_each(|(panel, words)| {
            pack_panel(precision, numbers, columns, panel * PANEL, words);
        });
    }

    /// The same as [`from_transposed`](Self::from_transposed), reusing the memory.
    pub fn pack_transposed(&mut self, precision: Precision, numbers: &[f32], length: usize) {
        self.reshape(packed_len(precision, length), numbers.len() / length.max(1));
        let panel_len = (self.depth * PANEL).max(1);
        let rows = numbers.chunks(PANEL * length.max(1));
        for (words, rows) in self.words.chunks_mut(panel_len).zip(rows) {
            pack_panel_transposed(precision, rows, length, words);
        }
    }

    /// The same as [`pack_transposed`](Self::pack_transposed), with one parallel task per panel.
    pub fn pack_transposed_parallel(&mut self, precision: Precision, numbers: &[f32], length: usize) {
        self.reshape(packed_len(precision, length), numbers.len() / length.max(1));
        let panel_len = (self.depth * PANEL).max(1);
        let rows = numbers.par_chunks(PANEL * length.max(1));
        let panels = self.words.par_chunks_mut(panel_len).zip(rows);
        panels.for_each(|(words, rows)| pack_panel_transposed(precision, rows, length, words));
    }
}

/// Packs one panel: the columns of `numbers` (K, `columns`) from `first_column` on.
fn pack_panel(precision: Precision, numbers: &[f32], columns: usize, first_column: usize, words: &mut [u32]) {
    let width = PANEL.min(columns - first_column);
    let (words, _) = words.as_chunks_mut::<PANEL>();
    match precision {
        Precision::F32 => {
            for (words, row) in words.iter_mut().zip(numbers.chunks_exact(columns)) {
                copy_row(&row[first_column..first_column + width], words);
            }
        }
        Precision::Bf16 => {
            #[cfg(target_arch = "x86_64")]
            if let Some(proof) = Instructions::get().bf16 {
                return avx512_rounding::pack_panel(proof, numbers, columns, first_column, width, words);
            }
            for (words, rows) in words.iter_mut().zip(numbers.chunks(2 * columns)) {
                let (first, second) = row_pair(rows, columns, first_column, width);
                pack_row_pair(first, second, words);
            }
        }
    }
}

/// The `width` columns from `first_column` on of two neighbouring rows (2, `columns`). A missing second row is all
/// zeros.
pub(super) fn row_pair(rows: &[f32], columns: usize, first_column: usize, width: usize) -> (&[f32], &[f32]) {
    let start = columns + first_column;
    let second = rows.get(start..start + width).unwrap_or(&[0.0; PANEL][..width]);
    (&rows[first_column..first_column + width], second)
}

vectorised! {
    fn copy_row(row: &[f32], words: &mut [u32; PANEL]) {
        for (word, number) in words.iter_mut().zip(row) {
            *word = number.to_bits();
        }
        words[row.len()..].fill(0);
    }
}

vectorised! {
    fn pack_row_pair(first: &[f32], second: &[f32], words: &mut [u32; PANEL]) {
        for ((word, &a), &b) in words.iter_mut().zip(first).zip(second) {
            *word = pack_pair(a, b);
        }
        words[first.len()..].fill(0);
    }
}

/// The columns of a panel (depth, 64) as rows, (64, depth).
pub(super) fn rows_of(panel: &[u32]) -> Vec<u32> {
    let (panel, _) = panel.as_chunks::<PANEL>();
    let mut rows = vec![0; PANEL * panel.len()];
    for (row, words) in rows.chunks_exact_mut(panel.len().max(1)).enumerate() {
        for (word, of_panel) in words.iter_mut().zip(panel) {
            *word = of_panel[row];
        }
    }
    rows
}

/// Packs one panel whose columns are `rows` (up to 64, `length`).
fn pack_panel_transposed(precision: Precision, rows: &[f32], length: usize, words: &mut [u32]) {
    let rows = PackedRows::pack(precision, rows, length);
    let width = rows.words.len() / rows.stride.max(1);
    let (panel, _) = words.as_chunks_mut::<PANEL>();
    transpose(&rows.words, rows.stride, width, panel);
}

vectorised! {
    fn transpose(rows: &[u32], stride: usize, width: usize, panel: &mut [[u32; PANEL]]) {
        const BLOCK: usize = 16;
        for start in (0..stride).step_by(BLOCK) {
            let end = stride.min(start + BLOCK);
            for (column, row) in rows.chunks_exact(stride).enumerate() {
                for (words, &word) in panel[start..end].iter_mut().zip(&row[start..end]) {
                    words[column] = word;
                }
            }
        }
        if width < PANEL {
            for words in panel {
                words[width..].fill(0);
            }
        }
    }
}
