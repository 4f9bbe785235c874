//! Matrix products and fused operations on rows of f32, for the processor.
//!
//! A transformer spends its time in matrix products ([`matmul`]), and in chains of small operations in between, which
//! candle does on one thread with a fresh tensor for each. The functions here do such a chain in one pass over plain
//! slices. They run on one thread: the caller cuts its batch over threads. Each is compiled for several instruction sets
//! and the widest is picked at run time ([`instructions`]). `unsafe` is for what no safe library offers, here and nowhere
//! else: rounding to bf16, and the products of bf16 pairs.
//!
//! [`crate::model::transformer`] has the same formulas written plainly on candle: that is what they are tested
//! against, and what runs on a GPU.

use candle_core::{CpuStorage, InplaceOp1, Layout, Result, Storage, Tensor};
use std::cell::Cell;

pub mod activation;
pub mod attention;
pub mod instructions;
pub mod matmul;
pub mod norm;
pub mod softmax;

/// Lanes of a sum: partial sums that run side by side.
const LANES: usize = 16;

/// Compiles a function for each instruction set, and calls the widest.
///
/// The closure must be inlined into pulp's dispatch to be compiled for more than the smallest common set. The compiler
/// does so only if it calls the closure itself, not a shim around it: that is, if the closure can be called but once,
/// which [`Once`] sees to.
macro_rules! vectorised {
    ($(#[$meta:meta])* $vis:vis fn $name:ident($($arg:ident: $type:ty),* $(,)?) $(-> $ret:ty)? $body:block) => {
        $(#[$meta])*
        $vis fn $name($($arg: $type),*) $(-> $ret)? {
            #[inline(always)]
            fn body($($arg: $type),*) $(-> $ret)? $body
            let once = $crate::kernels::Once;
            $crate::kernels::instructions::Instructions::get().arch.dispatch(
                #[inline(always)]
                move || {
                    once.give_away();
                    body($($arg),*)
                },
            )
        }
    };
}
pub(crate) use vectorised;

/// Something that can be given away once.
pub(crate) struct Once;

impl Once {
    #[inline(always)]
    pub(crate) fn give_away(self) {}
}

/// `e^x` to about two units in the last place, for x ≤ 88; 0 below −87. (The range reduction and the polynomial of
/// Cephes' `expf`.)
#[inline(always)]
#[must_use]
pub fn exp(x: f32) -> f32 {
    // Adding 1.5 · 2^23 rounds to an integer, which then stands in the low bits.
    const ROUND: f32 = 12_582_912.0;
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

/// `Σ f(a_i, b_i)` over lanes, in an order that depends on the length only.
#[inline(always)]
fn sum_pairs(a: &[f32], b: &[f32], f: impl Fn(f32, f32) -> f32) -> f32 {
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
    add_lanes(lanes)
}

/// The sum of the lanes, pairwise.
#[inline(always)]
fn add_lanes(mut lanes: [f32; LANES]) -> f32 {
    let mut width = LANES / 2;
    while width > 0 {
        for lane in 0..width {
            lanes[lane] += lanes[lane + width];
        }
        width /= 2;
    }
    lanes[0]
}

/// The largest of a row; negative infinity for an empty one.
#[inline(always)]
fn max(row: &[f32]) -> f32 {
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
    /// `target += other`.
    pub fn add(target: &mut [f32], other: &[f32]) {
        for (t, o) in target.iter_mut().zip(other) {
            *t += o;
        }
    }
}

/// Hands `read` the elements of a contiguous f32 tensor on the processor.
///
/// # Errors
/// When the tensor is not one.
pub fn read<R>(tensor: &Tensor, read: impl FnOnce(&[f32]) -> R) -> Result<R> {
    let (storage, layout) = tensor.storage_and_layout();
    let Storage::Cpu(storage) = &*storage else { candle_core::bail!("the tensor is not on the processor") };
    let Some((start, end)) = layout.contiguous_offsets() else {
        candle_core::bail!("the tensor is not contiguous")
    };
    Ok(read(&storage.as_slice::<f32>()?[start..end]))
}

/// Hands `change` the elements of a contiguous f32 tensor on the processor, to be changed in place.
///
/// # Errors
/// When the tensor is not one.
pub fn change<R>(tensor: &Tensor, change: impl FnOnce(&mut [f32]) -> R) -> Result<R> {
    let op = Change { change: Cell::new(Some(change)), result: Cell::new(None) };
    tensor.inplace_op1(&op)?;
    match op.result.into_inner() {
        Some(result) => Ok(result),
        None => candle_core::bail!("the change was not made"),
    }
}

struct Change<F, R> {
    change: Cell<Option<F>>,
    result: Cell<Option<R>>,
}

impl<R, F: FnOnce(&mut [f32]) -> R> InplaceOp1 for Change<F, R> {
    fn name(&self) -> &'static str {
        "change"
    }

    fn cpu_fwd(&self, storage: &mut CpuStorage, layout: &Layout) -> Result<()> {
        let CpuStorage::F32(elements) = storage else { candle_core::bail!("the tensor is not f32") };
        let Some((start, end)) = layout.contiguous_offsets() else {
            candle_core::bail!("the tensor is not contiguous")
        };
        if let Some(change) = self.change.take() {
            self.result.set(Some(change(&mut elements[start..end])));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Against the correctly rounded f64 exponential, over the range softmax uses.
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
            assert_eq!(sum_pairs(&row, &row, |a, _| a), (length * length.saturating_sub(1) / 2) as f32);
            assert_eq!(max(&row), if length == 0 { f32::NEG_INFINITY } else { (length - 1) as f32 });
        }
    }

    #[test]
    fn a_tensor_changes_in_place() {
        let tensor = Tensor::new(&[1f32, 2.0], &candle_core::Device::Cpu).unwrap();
        let sum = change(&tensor, |x| {
            x[0] = 5.0;
            x[0] + x[1]
        });
        assert_eq!(sum.unwrap(), 7.0);
        assert_eq!(tensor.to_vec1::<f32>().unwrap(), [5.0, 2.0]);
    }
}
