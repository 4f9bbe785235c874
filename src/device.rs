//! Devices for transformer models, by name: `cpu`, or `cuda:0` and so on.
//!
//! ```
//! assert!(genloss::device::parse("cpu")?.is_cpu());
//! # Ok::<(), genloss::model::ModelError>(())
//! ```

use crate::model::ModelError;
use candle_core::Device;

/// Opens a device by its name.
///
/// # Errors
/// If the name is unknown, the program was built without support for it, or the device is missing.
pub fn parse(name: &str) -> Result<Device, ModelError> {
    let error = |reason: String| ModelError::Device { name: name.to_owned(), reason };
    if name == "cpu" {
        return Ok(Device::Cpu);
    }
    let ordinal = match name.strip_prefix("cuda") {
        Some("") => Some(0),
        Some(rest) => rest.strip_prefix(':').and_then(|number| number.parse().ok()),
        None => None,
    };
    let Some(ordinal) = ordinal else {
        return Err(error("not a device; use cpu, or cuda:0 for the first NVIDIA GPU".to_owned()));
    };
    if !cfg!(feature = "cuda") {
        return Err(error(
            "this genloss was built without CUDA; build with --features cuda, or use cpu".to_owned(),
        ));
    }
    Device::new_cuda(ordinal)
        .map_err(|cause| error(format!("{}; check that nvidia-smi lists it, or use cpu", one_line(&cause))))
}

/// A candle error without its backtrace.
fn one_line(error: &candle_core::Error) -> String {
    error.to_string().lines().next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_that_cannot_be_used_says_what_to_try() {
        assert!(parse("cpu").unwrap().is_cpu());
        assert!(parse("tpu").unwrap_err().to_string().contains("use cpu, or cuda:0"));
        assert!(parse("cuda:x").is_err());
        if !cfg!(feature = "cuda") {
            assert!(parse("cuda:0").unwrap_err().to_string().contains("--features cuda"));
        }
    }
}
