//! Matrix products and fused transformer operations on rows of f32 and bf16, for the CPU.
//!
//! A transformer spends its time in matrix products ([`matmul`]) and in chains of small operations between them. Each
//! function here runs such a chain in one pass over plain slices, where a tensor library would allocate a tensor per
//! operation. The crate has no types for tensors or models: shapes are arguments, and rows are contiguous.
//!
//! Functions run on the calling thread unless their name ends in `_parallel`; callers split their batch over threads.
//! Each function is compiled for several instruction sets, and the widest one that the processor has is chosen at run
//! time (see [`instructions`]).
//!
//! `unsafe` is confined to four modules. Three use instructions no safe library offers: rounding to bf16, products of
//! bf16 pairs, and products of bf16 tiles (AMX). Their entry points take a token that only instruction-set detection can
//! create. The fourth, [`mapped`], maps files into memory.
//!
//! ```
//! use genloss_kernels::Precision;
//! use genloss_kernels::matmul::{MatmulOptions, OutputMode, PackedRows, Panels, multiply};
//!
//! let options = MatmulOptions::new(Precision::F32);
//! // (1 2) times the 2 × 3 matrix with rows (1 0 2) and (0 1 3).
//! let left = PackedRows::pack(options.precision, &[1.0, 2.0], 2);
//! let right = Panels::from_rows(options.precision, &[1.0, 0.0, 2.0, 0.0, 1.0, 3.0], 3);
//! let mut product = [0.0; 3];
//! multiply(options, &left.words, left.stride, right.view(), &mut product, OutputMode::Overwrite);
//! assert_eq!(product, [1.0, 2.0, 8.0]);
//! ```

pub mod activation;
pub mod adamw;
pub mod attention;
pub mod bandwidth;
mod best_rate;
pub mod geglu;
pub mod instructions;
pub mod mapped;
pub mod matmul;
pub mod norm;
mod precision;
pub mod softcap;
pub mod softmax;
pub mod swiglu;

pub use precision::{Precision, UnknownPrecision};

/// Number of parallel partial sums. It is the same for every vector width, so that the order of a sum does not depend
/// on the CPU.
const LANES: usize = 16;

/// Compiles a function for each instruction set, and calls the version for the set that this process uses.
///
/// The compiler specialises the body only if it is inlined into pulp's dispatch, and it inlines the closure only if
/// the closure can be called at most once. Moving a [`CallOnce`] into the closure makes it `FnOnce`.
macro_rules! vectorised {
    ($(#[$meta:meta])* $vis:vis fn $name:ident($($arg:ident: $type:ty),* $(,)?) $(-> $ret:ty)? $body:block) => {
        $(#[$meta])*
        $vis fn $name($($arg: $type),*) $(-> $ret)? {
            #[inline(always)]
            fn body($($arg: $type),*) $(-> $ret)? $body
            let once = $crate::CallOnce;
            $crate::instructions::Instructions::get().arch.dispatch(
                #[inline(always)]
                move || {
                    once.consume();
                    body($($arg),*)
                },
            )
        }
    };
}
use vectorised;

/// A value that a closure consumes, so that the closure implements only `FnOnce`.
struct CallOnce;

impl CallOnce {
    #[inline(always)]
    fn consume(self) {}
}

/// `e^x` for x ≤ 88, with a relative error below 3e-7; 0 for x < −87. NaN stays NaN.
///
/// Range reduction and polynomial are those of `expf` in the Cephes library.
#[inline(always)]
#[must_use]
pub fn exp(x: f32) -> f32 {
    // Adding 1.5 · 2^23 rounds to an integer, which the low bits of the sum then contain.
    const ROUND: f32 = 12_582_912.0;
    // ln 2, split in two so that `whole * LN2_HIGH` is exact.
    const LN2_HIGH: f32 = 0.693_359_4;
    const LN2_LOW: f32 = -2.121_944_4e-4;
    let clamped = x.clamp(-87.0, 88.0);
    let shifted = clamped * std::f32::consts::LOG2_E + ROUND;
    let whole = shifted - ROUND;
    let rest = clamped - whole * LN2_HIGH - whole * LN2_LOW;
    let mut p = 1.987_569_2e-4;
    p = p * rest + 1.398_199_9e-3;
    p = p * rest + 8.333_452e-3;
    p = p * rest + 4.166_579_6e-2;
    p = p * rest + 1.666_666_5e-1;
    p = p * rest + 5e-1;
    p = p * rest * rest + rest + 1.0;
    let power = f32::from_bits((shifted.to_bits() << 23).wrapping_add(0x3f80_0000));
    if x < -87.0 { 0.0 } else { p * power }
}

/// `Σ f(a_i, b_i)`. The order of the sum depends only on the length.
#[inline(always)]
fn sum_over_pairs(a: &[f32], b: &[f32], f: impl Fn(f32, f32) -> f32) -> f32 {
    let mut lanes = [0f32; LANES];
    let whole = a.len() - a.len() % LANES;
    for (a, b) in a[..whole].chunks_exact(LANES).zip(b[..whole].chunks_exact(LANES)) {
        for lane in 0..LANES {
            lanes[lane] += f(a[lane], b[lane]);
        }
    }
    for (lane, (&a, &b)) in a[whole..].iter().zip(&b[whole..]).enumerate() {
        lanes[lane] += f(a, b);
    }
    sum_lanes(lanes)
}

/// The sum of the lanes, added pairwise.
#[inline(always)]
fn sum_lanes(mut lanes: [f32; LANES]) -> f32 {
    let mut width = LANES / 2;
    while width > 0 {
        for lane in 0..width {
            lanes[lane] += lanes[lane + width];
        }
        width /= 2;
    }
    lanes[0]
}

/// The largest element of a row; −∞ for an empty one.
#[inline(always)]
fn row_max(row: &[f32]) -> f32 {
    let mut lanes = [f32::NEG_INFINITY; LANES];
    let (chunks, rest) = row.as_chunks::<LANES>();
    for chunk in chunks {
        for lane in 0..LANES {
            lanes[lane] = if chunk[lane] > lanes[lane] { chunk[lane] } else { lanes[lane] };
        }
    }
    lanes.iter().chain(rest).fold(f32::NEG_INFINITY, |a, &b| if b > a { b } else { a })
}

vectorised! {
    /// `target += other`, element by element.
    pub fn add_assign(target: &mut [f32], other: &[f32]) {
        for (t, o) in target.iter_mut().zip(other) {
            *t += o;
        }
    }
}

vectorised! {
    /// Adds `row` (M) to each row of `rows` (N, M).
    pub fn add_to_rows(rows: &mut [f32], row: &[f32]) {
        for target in rows.chunks_exact_mut(row.len()) {
            for (t, r) in target.iter_mut().zip(row) {
                *t += r;
            }
        }
    }
}

vectorised! {
    /// Adds the sum of the rows of `rows` (N, M) to `sum` (M).
    pub fn add_sum_of_rows(rows: &[f32], sum: &mut [f32]) {
        for row in rows.chunks_exact(sum.len()) {
            for (s, r) in sum.iter_mut().zip(row) {
                *s += r;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Expected values: the exponential in f64.
    #[test]
    fn the_exponential_is_right_to_three_parts_in_ten_million() {
        for step in -8_700..=8_800 {
            let x = step as f32 / 100.0;
            let exact = f64::from(x).exp();
            assert!((f64::from(exp(x)) / exact - 1.0).abs() < 3e-7, "exp({x}) = {} not {exact}", exp(x));
        }
        assert_eq!(exp(0.0), 1.0);
        assert_eq!(exp(f32::NEG_INFINITY), 0.0);
        assert!(exp(f32::NAN).is_nan());
    }

    #[test]
    fn sums_and_maxima_cover_rows_of_any_length() {
        for length in 0..70usize {
            let row: Vec<f32> = (0..length).map(|i| i as f32).collect();
            assert_eq!(sum_over_pairs(&row, &row, |a, _| a), (length * length.saturating_sub(1) / 2) as f32);
            assert_eq!(row_max(&row), if length == 0 { f32::NEG_INFINITY } else { (length - 1) as f32 });
        }
    }
}
