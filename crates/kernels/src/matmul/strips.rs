//! Products with vectors of eight numbers, of which the sixteen registers hold tiles of 6 × 16 sums.
//!
//! In a panel of 64 columns, the sixteen columns of such a tile lie a panel's width apart from step to step, so that they
//! share few sets of the first-level cache and drive each other out. They are therefore copied into a *strip* (depth, 16)
//! first, which all rows are then multiplied with. Sums are computed in the same order as by [`portable`](super::portable),
//! to the same bits.

use super::portable::add_rows;
use super::{DEPTH_BLOCK, MatmulOptions, PANEL, Precision};
use pulp::{Simd, WithSimd};

/// Columns of a strip: two vectors.
const STRIP: usize = 16;

/// Fewest rows for which copying a strip is worth it.
const FEWEST_ROWS: usize = 30;

/// What becomes of the numbers that the output already contains.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sums {
    /// The product replaces them.
    Begin,
    /// They are the sums so far of products of the same rows and columns, and sums go on from there.
    GoOn,
    /// The product is added to them.
    Add,
}

/// Rows times the columns of one panel.
pub(super) struct StripProduct<'a> {
    /// Row r begins at word r times `stride`.
    pub(super) rows: &'a [u32],
    pub(super) stride: usize,
    /// The part of a panel that the first words of each row are multiplied with, (depth, 64) with at most [`DEPTH_BLOCK`]
    /// steps.
    pub(super) panel: &'a [u32],
    /// Columns of the panel that belong to the matrix.
    pub(super) columns: usize,
    /// The output, from the first of the panel's columns on.
    pub(super) out: &'a mut [f32],
    pub(super) out_stride: usize,
    pub(super) sums: Sums,
}

/// Whether products of so many rows are computed in strips.
pub(super) fn are_used(options: MatmulOptions, rows: usize) -> bool {
    #[cfg(target_arch = "x86_64")]
    let has_eight_lanes = matches!(options.instructions.arch, pulp::Arch::V3(_));
    #[cfg(not(target_arch = "x86_64"))]
    let has_eight_lanes = false;
    has_eight_lanes && rows >= FEWEST_ROWS
}

/// Computes the product for the first `rows` rows.
pub(super) fn multiply(options: MatmulOptions, product: StripProduct, rows: usize) {
    let arch = options.instructions.arch;
    match options.precision {
        Precision::F32 => arch.dispatch(StripKernel::<false> { product, rows }),
        Precision::Bf16 => arch.dispatch(StripKernel::<true> { product, rows }),
    }
}

struct StripKernel<'a, const BF16: bool> {
    product: StripProduct<'a>,
    rows: usize,
}

impl<const BF16: bool> WithSimd for StripKernel<'_, BF16> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { mut product, rows } = self;
        let (panel, _) = product.panel.as_chunks::<PANEL>();
        let mut strip = [[0u32; STRIP]; DEPTH_BLOCK];
        let strip = &mut strip[..panel.len()];
        for column in (0..product.columns).step_by(STRIP) {
            for (to, from) in strip.iter_mut().zip(panel) {
                *to = from.as_chunks().0[column / STRIP];
            }
            match product.sums {
                Sums::Begin | Sums::Add => {
                    all_rows::<S, BF16, false>(simd, &mut product, strip, column, rows);
                }
                Sums::GoOn => all_rows::<S, BF16, true>(simd, &mut product, strip, column, rows),
            }
        }
    }
}

/// Computes all rows of a strip.
#[inline(always)]
fn all_rows<S: Simd, const BF16: bool, const GOES_ON: bool>(
    simd: S,
    product: &mut StripProduct,
    strip: &[[u32; STRIP]],
    column: usize,
    rows: usize,
) {
    let mut row = 0;
    while row < rows {
        row += match rows - row {
            6.. => block::<S, 6, BF16, GOES_ON>(simd, product, strip, row, column),
            4.. => block::<S, 4, BF16, GOES_ON>(simd, product, strip, row, column),
            2.. => block::<S, 2, BF16, GOES_ON>(simd, product, strip, row, column),
            _ => block::<S, 1, BF16, GOES_ON>(simd, product, strip, row, column),
        };
    }
}

/// Computes `ROWS` rows of a strip, with all sums in registers. Returns `ROWS`.
#[inline(always)]
fn block<S: Simd, const ROWS: usize, const BF16: bool, const GOES_ON: bool>(
    simd: S,
    product: &mut StripProduct,
    strip: &[[u32; STRIP]],
    first_row: usize,
    column: usize,
) -> usize {
    let width = STRIP.min(product.columns - column);
    let starts: [usize; ROWS] = std::array::from_fn(|row| (first_row + row) * product.out_stride + column);
    let mut sums: [[S::f32s; 2]; ROWS] = std::array::from_fn(|row| match GOES_ON {
        true => {
            let values = load(&product.out[starts[row]..][..width]);
            let (vectors, _) = S::as_simd_f32s(&values);
            [vectors[0], vectors[1]]
        }
        false => [simd.splat_f32s(0.0); 2],
    });
    let left = |row: usize| &product.rows[(first_row + row) * product.stride..][..strip.len()];
    add_rows::<S, ROWS, 2, STRIP, BF16>(simd, std::array::from_fn(left), strip, 0, &mut sums);
    for (sums, start) in sums.into_iter().zip(starts) {
        let out = &mut product.out[start..][..width];
        let mut values = [0f32; STRIP];
        let (vectors, _) = S::as_mut_simd_f32s(&mut values);
        (vectors[0], vectors[1]) = (sums[0], sums[1]);
        // Without the case of a whole strip, copies of unknown length would cost an eighth of the time of training.
        match <&mut [f32; STRIP]>::try_from(&mut *out) {
            Ok(whole) => store(whole, values, product.sums),
            Err(_) => store(out, values, product.sums),
        }
    }
    ROWS
}

/// The numbers of `out`, followed by zeros.
#[inline(always)]
fn load(out: &[f32]) -> [f32; STRIP] {
    <[f32; STRIP]>::try_from(out).unwrap_or_else(|_| {
        let mut values = [0f32; STRIP];
        values[..out.len()].copy_from_slice(out);
        values
    })
}

/// Writes the first of `values` to `out`, or adds them there.
#[inline(always)]
fn store<'a>(out: impl IntoIterator<Item = &'a mut f32>, values: [f32; STRIP], so_far: Sums) {
    for (out, value) in out.into_iter().zip(values) {
        *out = match so_far {
            Sums::Begin | Sums::GoOn => value,
            Sums::Add => *out + value,
        };
    }
}
