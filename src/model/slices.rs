//! Access to contiguous f32 tensors on the CPU as slices: the interface between candle and [`genloss_kernels`].

use candle_core::{CpuStorage, InplaceOp1, Layout, Result, Storage, Tensor};
use std::cell::Cell;

/// Calls `read` with the elements of a contiguous f32 tensor on the CPU.
///
/// # Errors
/// If the tensor is on another device, not contiguous, or not f32.
pub fn with_slice<R>(tensor: &Tensor, read: impl FnOnce(&[f32]) -> R) -> Result<R> {
    let (storage, layout) = tensor.storage_and_layout();
    let Storage::Cpu(storage) = &*storage else { candle_core::bail!("the tensor is not on the CPU") };
    let Some((start, end)) = layout.contiguous_offsets() else {
        candle_core::bail!("the tensor is not contiguous")
    };
    Ok(read(&storage.as_slice::<f32>()?[start..end]))
}

/// Calls `change` with the elements of a contiguous f32 tensor on the CPU, which it may change in place.
///
/// # Errors
/// If the tensor is on another device, not contiguous, or not f32.
pub fn with_slice_mut<R>(tensor: &Tensor, change: impl FnOnce(&mut [f32]) -> R) -> Result<R> {
    let operation = InPlace { change: Cell::new(Some(change)), result: Cell::new(None) };
    tensor.inplace_op1(&operation)?;
    match operation.result.into_inner() {
        Some(result) => Ok(result),
        None => candle_core::bail!("candle did not run the in-place operation"),
    }
}

/// Calls `change` with the elements of a contiguous f32 tensor: in place on the CPU, on a copy that replaces them on another
/// device.
///
/// # Errors
/// If the device fails, or the tensor is not contiguous or not f32.
pub fn change_numbers(tensor: &mut Tensor, change: impl FnOnce(&mut [f32])) -> Result<()> {
    if tensor.device().is_cpu() {
        return with_slice_mut(tensor, change);
    }
    let mut numbers = tensor.flatten_all()?.to_vec1::<f32>()?;
    change(&mut numbers);
    *tensor = Tensor::from_vec(numbers, tensor.shape(), tensor.device())?;
    Ok(())
}

/// A closure wrapped as a candle operation, which gives safe access to a tensor's mutable storage. Because candle takes
/// operations by shared reference, the closure and its result are in cells.
struct InPlace<F, R> {
    change: Cell<Option<F>>,
    result: Cell<Option<R>>,
}

impl<R, F: FnOnce(&mut [f32]) -> R> InplaceOp1 for InPlace<F, R> {
    fn name(&self) -> &'static str {
        "with_slice_mut"
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

    #[test]
    fn a_tensor_changes_in_place() {
        let tensor = Tensor::new(&[1f32, 2.0], &candle_core::Device::Cpu).unwrap();
        let sum = with_slice_mut(&tensor, |x| {
            x[0] = 5.0;
            x[0] + x[1]
        });
        assert_eq!(sum.unwrap(), 7.0);
        assert_eq!(tensor.to_vec1::<f32>().unwrap(), [5.0, 2.0]);
    }
}
