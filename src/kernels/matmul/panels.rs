//! A factor in panels of 64 columns.

use super::PANEL;
#[cfg(target_arch = "x86_64")]
use super::avx512_rounding;
use super::units::{Units, depth, pair};
use crate::config::Precision;
use crate::kernels::instructions::Instructions;
use crate::kernels::vectorised;
use rayon::prelude::*;

/// A factor (depth, N) in panels: (N / 64, depth, 64) units.
#[derive(Clone, Debug, Default)]
pub struct Panels {
    units: Vec<u32>,
    depth: usize,
    columns: usize,
}

/// A factor in panels, or the first part of its depth.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    units: &'a [u32],
    /// Units of a panel.
    panel: usize,
    pub(super) depth: usize,
    pub(super) columns: usize,
}

impl<'a> View<'a> {
    /// Only the first units of the depth.
    #[must_use]
    pub fn first(self, depth: usize) -> Self {
        Self { depth: depth.min(self.depth), ..self }
    }

    /// Only the first columns.
    #[must_use]
    pub fn columns(self, columns: usize) -> Self {
        Self { columns: columns.min(self.columns), ..self }
    }

    /// Its columns.
    #[must_use]
    pub fn width(self) -> usize {
        self.columns
    }

    /// (depth, 64)
    pub(super) fn panel(self, panel: usize) -> &'a [u32] {
        &self.units[panel * self.panel..][..self.depth * PANEL]
    }
}

impl Panels {
    /// Of `numbers` (K, `columns`), which are summed over their rows.
    #[must_use]
    pub fn of_rows(precision: Precision, numbers: &[f32], columns: usize) -> Self {
        let mut panels = Self::default();
        panels.write_rows(precision, numbers, columns);
        panels
    }

    /// Of `numbers` (columns, `length`), which are summed along their rows.
    #[must_use]
    pub fn of_columns(precision: Precision, numbers: &[f32], length: usize) -> Self {
        let mut panels = Self::default();
        panels.write_columns(precision, numbers, length);
        panels
    }

    /// The whole.
    #[must_use]
    pub fn view(&self) -> View<'_> {
        View { units: &self.units, panel: self.depth * PANEL, depth: self.depth, columns: self.columns }
    }

    /// The number of panels.
    #[must_use]
    pub fn count(&self) -> usize {
        self.columns.div_ceil(PANEL)
    }

    fn shape(&mut self, depth: usize, columns: usize) {
        (self.depth, self.columns) = (depth, columns);
        self.units.resize(self.count() * depth * PANEL, 0);
    }

    /// Becomes [`of_rows`](Self::of_rows).
    pub fn write_rows(&mut self, precision: Precision, numbers: &[f32], columns: usize) {
        self.open(precision, numbers.len() / columns.max(1), columns);
        self.write_some_rows(precision, 0, numbers);
    }

    /// Makes room for [`of_rows`](Self::of_rows) of numbers (`rows`, `columns`), to be written some rows at a time.
    pub fn open(&mut self, precision: Precision, rows: usize, columns: usize) {
        self.shape(depth(precision, rows), columns);
    }

    /// Writes `numbers`, the rows from row `first` on: an even one, and an even number of them but at the end.
    pub fn write_some_rows(&mut self, precision: Precision, first: usize, numbers: &[f32]) {
        let size = self.depth * PANEL;
        let start = depth(precision, first) * PANEL;
        let length = depth(precision, numbers.len() / self.columns.max(1)) * PANEL;
        for panel in 0..self.count() {
            let units = &mut self.units[panel * size + start..][..length];
            write_rows(precision, numbers, self.columns, panel * PANEL, units);
        }
    }

    /// Becomes [`of_rows`](Self::of_rows), the panels in parallel.
    pub fn write_rows_in_parallel(&mut self, precision: Precision, numbers: &[f32], columns: usize) {
        self.shape(depth(precision, numbers.len() / columns.max(1)), columns);
        let panel = (self.depth * PANEL).max(1);
        self.units.par_chunks_mut(panel).enumerate().for_each(|(index, units)| {
            write_rows(precision, numbers, columns, index * PANEL, units);
        });
    }

    /// Becomes [`of_columns`](Self::of_columns).
    pub fn write_columns(&mut self, precision: Precision, numbers: &[f32], length: usize) {
        self.shape(depth(precision, length), numbers.len() / length.max(1));
        let size = (self.depth * PANEL).max(1);
        for (units, rows) in self.units.chunks_mut(size).zip(numbers.chunks(PANEL * length.max(1))) {
            write_columns(precision, rows, length, units);
        }
    }

    /// Becomes [`of_columns`](Self::of_columns), the panels in parallel.
    pub fn write_columns_in_parallel(&mut self, precision: Precision, numbers: &[f32], length: usize) {
        self.shape(depth(precision, length), numbers.len() / length.max(1));
        let size = (self.depth * PANEL).max(1);
        let panels = self.units.par_chunks_mut(size).zip(numbers.par_chunks(PANEL * length.max(1)));
        panels.for_each(|(units, rows)| write_columns(precision, rows, length, units));
    }
}

/// Writes one panel of `numbers` (K, `columns`), from column `first` on.
fn write_rows(precision: Precision, numbers: &[f32], columns: usize, first: usize, units: &mut [u32]) {
    let width = PANEL.min(columns - first);
    let (units, _) = units.as_chunks_mut::<PANEL>();
    match precision {
        Precision::F32 => {
            for (units, row) in units.iter_mut().zip(numbers.chunks_exact(columns)) {
                bits(&row[first..first + width], units);
            }
        }
        Precision::Bf16 => {
            #[cfg(target_arch = "x86_64")]
            if Instructions::get().bf16 {
                return avx512_rounding::panel(numbers, columns, first, width, units);
            }
            for (units, rows) in units.iter_mut().zip(numbers.chunks(2 * columns)) {
                let lower =
                    rows.get(columns + first..columns + first + width).unwrap_or(&[0.0; PANEL][..width]);
                pairs(&rows[first..first + width], lower, units);
            }
        }
    }
}

/// Fills a row of a panel up with zeros.
#[inline(always)]
fn fill(units: &mut [u32; PANEL], width: usize) {
    units[width..].fill(0);
}

vectorised! {
    fn bits(row: &[f32], units: &mut [u32; PANEL]) {
        for (unit, number) in units.iter_mut().zip(row) {
            *unit = number.to_bits();
        }
        fill(units, row.len());
    }
}

vectorised! {
    fn pairs(upper: &[f32], lower: &[f32], units: &mut [u32; PANEL]) {
        for ((unit, &upper), &lower) in units.iter_mut().zip(upper).zip(lower) {
            *unit = pair(upper, lower);
        }
        fill(units, upper.len());
    }
}

/// Writes one panel whose columns are `rows` (up to 64, `length`).
fn write_columns(precision: Precision, rows: &[f32], length: usize, units: &mut [u32]) {
    let rows = Units::rows(precision, rows, length);
    let width = rows.units.len() / rows.stride.max(1);
    let (panel, _) = units.as_chunks_mut::<PANEL>();
    transpose(&rows.units, rows.stride, width, panel);
}

vectorised! {
    fn transpose(rows: &[u32], stride: usize, width: usize, panel: &mut [[u32; PANEL]]) {
        const BLOCK: usize = 16;
        for start in (0..stride).step_by(BLOCK) {
            let end = stride.min(start + BLOCK);
            for (column, row) in rows.chunks_exact(stride).enumerate() {
                for (units, &unit) in panel[start..end].iter_mut().zip(&row[start..end]) {
                    units[column] = unit;
                }
            }
        }
        if width < PANEL {
            for units in panel {
                fill(units, width);
            }
        }
    }
}
