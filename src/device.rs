//! Where a transformer runs: `cpu`, or `cuda:0` and so on.

use crate::model::ModelError;
use candle_core::Device;

/// The device of that name.
///
/// # Errors
/// When the name is not known, the program was built without support for it, or the device is not there.
pub fn parse(name: &str) -> Result<Device, ModelError> {
    let refuse = |reason: String| ModelError::Device { name: name.to_owned(), reason };
    if name == "cpu" {
        return Ok(Device::Cpu);
    }
    let ordinal = match name.strip_prefix("cuda") {
        Some("") => Some(0),
        Some(rest) => rest.strip_prefix(':').and_then(|number| number.parse().ok()),
        None => None,
    };
    let Some(ordinal) = ordinal else {
        return Err(refuse("not a device; use cpu, or cuda:0 for the first NVIDIA GPU".to_owned()));
    };
    if !cfg!(feature = "cuda") {
        return Err(refuse(
            "this genloss was built without it; build with --features cuda, or use cpu".to_owned(),
        ));
    }
    Device::new_cuda(ordinal)
        .map_err(|error| refuse(format!("{}; see that nvidia-smi lists it, or use cpu", one_line(&error))))
}

/// An error of candle without its backtrace.
fn one_line(error: &candle_core::Error) -> String {
    error.to_string().lines().next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_that_cannot_be_had_says_what_to_try() {
        assert!(parse("cpu").unwrap().is_cpu());
        assert!(parse("tpu").unwrap_err().to_string().contains("use cpu, or cuda:0"));
        assert!(parse("cuda:x").is_err());
        if !cfg!(feature = "cuda") {
            assert!(parse("cuda:0").unwrap_err().to_string().contains("--features cuda"));
        }
    }
}
