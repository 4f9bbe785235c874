//! Computes tiles of f32 or bf16 with vectors of any width.
//!
//! CPUs with vectors of sixteen numbers have 32 vector registers, so a block of sums has up to four vectors of columns.
//! CPUs with shorter vectors may have only 16 registers, so a block has two vectors of columns. A word of two bf16 is
//! split into two f32 by shifting and masking, because a bf16 is the upper half of an f32.
//!
//! Every shape of a block is compiled as a function of its own, whose innermost loop has no bounds check per row. In
//! larger functions, and in loops with such checks, the compiler keeps some of the sums in memory.

use super::{MatmulOptions, OutputMode, PANEL, Precision, Tile};
use pulp::{Simd, WithSimd};

/// Steps along the depth in one turn of the innermost loop. With one step, counting and the addresses of the rows take
/// execution ports from the multiplications.
const STEPS: usize = 4;

/// The same where the left factor is read transposed, which needs one address for all rows.
const TRANSPOSED_STEPS: usize = 2;

/// Computes a tile of `rows` rows. Numbers of bf16 need registers for both halves of a word, which leaves room for the
/// sums of four rows.
pub(super) fn compute_tile(options: MatmulOptions, mut tile: Tile, rows: usize) {
    let mut first_row = 0;
    while first_row < rows {
        first_row += match rows - first_row {
            6.. if options.precision == Precision::F32 => all_columns::<6>(options, &mut tile, first_row),
            4.. => all_columns::<4>(options, &mut tile, first_row),
            2.. => all_columns::<2>(options, &mut tile, first_row),
            _ => all_columns::<1>(options, &mut tile, first_row),
        };
    }
}

/// Computes all columns of the `ROWS` rows from `first_row` on. Returns `ROWS`.
fn all_columns<const ROWS: usize>(options: MatmulOptions, tile: &mut Tile, first_row: usize) -> usize {
    let lanes = options.instructions.lanes();
    let mut column = 0;
    while column < tile.columns {
        let vectors = if lanes == 16 && tile.columns - column > PANEL / 2 { 4 } else { 2 };
        match (vectors, tile.left_stride.is_none()) {
            (4, false) => columns::<ROWS, 4, false>(options, tile, first_row, column),
            (4, true) => columns::<ROWS, 4, true>(options, tile, first_row, column),
            (_, false) => columns::<ROWS, 2, false>(options, tile, first_row, column),
            (_, true) => columns::<ROWS, 2, true>(options, tile, first_row, column),
        }
        column += vectors * lanes;
    }
    ROWS
}

/// Computes `VECTORS` vectors of columns from `column` on.
fn columns<const ROWS: usize, const VECTORS: usize, const TRANSPOSED: bool>(
    options: MatmulOptions,
    tile: &mut Tile,
    first_row: usize,
    column: usize,
) {
    let arch = options.instructions.arch;
    match options.precision {
        Precision::F32 => {
            arch.dispatch(Block::<ROWS, VECTORS, TRANSPOSED, false> { tile, first_row, column });
        }
        Precision::Bf16 => {
            arch.dispatch(Block::<ROWS, VECTORS, TRANSPOSED, true> { tile, first_row, column });
        }
    }
}

/// `ROWS` rows and `VECTORS` vectors of columns, with all sums in registers.
struct Block<'a, 't, const ROWS: usize, const VECTORS: usize, const TRANSPOSED: bool, const BF16: bool> {
    tile: &'a mut Tile<'t>,
    first_row: usize,
    column: usize,
}

impl<const ROWS: usize, const VECTORS: usize, const TRANSPOSED: bool, const BF16: bool> WithSimd
    for Block<'_, '_, ROWS, VECTORS, TRANSPOSED, BF16>
{
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { tile, first_row, column } = self;
        let mut sums = [[simd.splat_f32s(0.0); VECTORS]; ROWS];
        for (left, right) in tile.segments {
            let (right, _) = right.as_chunks::<PANEL>();
            if TRANSPOSED {
                let left = &left[first_row..];
                assert!(left.len() + PANEL >= right.len() * PANEL + ROWS, "the left factor is too short");
                add_transposed::<S, ROWS, VECTORS, BF16>(simd, left, right, column, &mut sums);
            } else {
                let stride = tile.left_stride.unwrap_or_default();
                let rows = std::array::from_fn(|row| &left[(first_row + row) * stride..][..right.len()]);
                add_rows::<S, ROWS, VECTORS, PANEL, BF16>(simd, rows, right, column, &mut sums);
            }
        }
        let width = (VECTORS * S::F32_LANES).min(tile.columns - column);
        for (row, sums) in sums.into_iter().enumerate() {
            let out = &mut tile.out[(first_row + row) * tile.out_stride + column..][..width];
            store::<S, VECTORS>(simd, sums, tile.mode, out);
        }
    }
}

/// Adds the product of `rows`, each as long as `right`, with columns of `right`, from `column` on.
#[inline(always)]
pub(super) fn add_rows<
    S: Simd,
    const ROWS: usize,
    const VECTORS: usize,
    const WIDTH: usize,
    const BF16: bool,
>(
    simd: S,
    rows: [&[u32]; ROWS],
    right: &[[u32; WIDTH]],
    column: usize,
    sums: &mut [[S::f32s; VECTORS]; ROWS],
) {
    let rows = rows.map(|row| row.as_chunks::<STEPS>());
    let (turns, others) = right.as_chunks::<STEPS>();
    for (turn, right) in turns.iter().enumerate() {
        let rows: [&[u32; STEPS]; ROWS] = std::array::from_fn(|row| &rows[row].0[turn]);
        for (k, right) in right.iter().enumerate() {
            step::<S, ROWS, VECTORS, BF16>(simd, &rows.map(|row| row[k]), &right[column..], sums);
        }
    }
    for (k, right) in others.iter().enumerate() {
        step::<S, ROWS, VECTORS, BF16>(simd, &rows.map(|(_, row)| row[k]), &right[column..], sums);
    }
}

/// Adds the product of the first `ROWS` columns of a panel, transposed, with columns of `right`, from `column` on. The
/// panel may lack the end of its last row.
#[inline(always)]
fn add_transposed<S: Simd, const ROWS: usize, const VECTORS: usize, const BF16: bool>(
    simd: S,
    panel: &[u32],
    right: &[[u32; PANEL]],
    column: usize,
    sums: &mut [[S::f32s; VECTORS]; ROWS],
) {
    let (left_turns, _) = panel.as_chunks::<{ TRANSPOSED_STEPS * PANEL }>();
    let (right_turns, _) = right.as_chunks::<TRANSPOSED_STEPS>();
    for (left, right) in left_turns.iter().zip(right_turns) {
        for (k, right) in right.iter().enumerate() {
            let left = std::array::from_fn(|row| left[k * PANEL + row]);
            step::<S, ROWS, VECTORS, BF16>(simd, &left, &right[column..], sums);
        }
    }
    let done = TRANSPOSED_STEPS * left_turns.len().min(right_turns.len());
    for (left, right) in panel[done * PANEL..].chunks(PANEL).zip(&right[done..]) {
        let Some(left) = left.first_chunk::<ROWS>() else { break };
        step::<S, ROWS, VECTORS, BF16>(simd, left, &right[column..], sums);
    }
}

/// Adds the products of a column of the left factor and a row of the right one.
#[inline(always)]
fn step<S: Simd, const ROWS: usize, const VECTORS: usize, const BF16: bool>(
    simd: S,
    left: &[u32; ROWS],
    right: &[u32],
    sums: &mut [[S::f32s; VECTORS]; ROWS],
) {
    let (vectors, _) = S::as_simd_u32s(right);
    let right: [S::u32s; VECTORS] = std::array::from_fn(|v| vectors[v]);
    for (sums, &word) in sums.iter_mut().zip(left) {
        for (sum, right) in sums.iter_mut().zip(right) {
            *sum = multiply_add::<S, BF16>(simd, word, right, *sum);
        }
    }
}

/// Writes the first numbers of `sums` to `out`, or adds them there.
#[inline(always)]
fn store<S: Simd, const VECTORS: usize>(
    simd: S,
    sums: [S::f32s; VECTORS],
    mode: OutputMode,
    out: &mut [f32],
) {
    if out.len() == VECTORS * S::F32_LANES {
        let (out, _) = S::as_mut_simd_f32s(out);
        for (out, sum) in out.iter_mut().zip(sums) {
            *out = match mode {
                OutputMode::Overwrite => sum,
                OutputMode::Accumulate => simd.add_f32s(*out, sum),
            };
        }
        return;
    }
    let mut values = [0f32; PANEL];
    let (vectors, _) = S::as_mut_simd_f32s(&mut values);
    vectors[..VECTORS].copy_from_slice(&sums);
    for (out, value) in out.iter_mut().zip(values) {
        *out = match mode {
            OutputMode::Overwrite => value,
            OutputMode::Accumulate => *out + value,
        };
    }
}

/// `sum + a · b`, for the one or two numbers in each word.
#[inline(always)]
fn multiply_add<S: Simd, const BF16: bool>(simd: S, left: u32, right: S::u32s, sum: S::f32s) -> S::f32s {
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
