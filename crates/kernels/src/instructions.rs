//! The vector instructions that the kernels use.
//!
//! They are detected once, at run time. The fast path therefore needs no build flag, and the same binary also runs on
//! CPUs without these instructions. If the environment variable `GENLOSS_PORTABLE` is set and not empty, none of them
//! is used.
//!
//! **Pitfall.** The last bits of a result depend on the instructions. They determine how many partial sums there are
//! for an element of a matrix product, and whether a multiplication and the following addition are rounded once (fused)
//! or twice. Record [`Instructions::name`] with results.
//!
//! ```
//! use genloss_kernels::instructions::Instructions;
//! assert_eq!(Instructions::portable().name(), "portable");
//! assert!(!Instructions::detect().name().is_empty());
//! ```

use std::sync::OnceLock;

/// The environment variable that switches vector instructions off.
pub const PORTABLE: &str = "GENLOSS_PORTABLE";

/// A set of vector instructions that this processor has.
#[derive(Clone, Copy, Debug)]
pub struct Instructions {
    pub(crate) arch: pulp::Arch,
    /// `Some` if instructions for products of bf16 pairs are to be used.
    pub(crate) bf16: Option<Avx512Bf16>,
}

impl Instructions {
    /// The instructions that kernels use in this process: all that were detected, or none if `GENLOSS_PORTABLE` is set.
    #[must_use]
    pub fn get() -> Self {
        static SELECTED: OnceLock<Instructions> = OnceLock::new();
        *SELECTED.get_or_init(|| {
            let off = std::env::var_os(PORTABLE).is_some_and(|value| !value.is_empty());
            if off { Self::portable() } else { Self::detect() }
        })
    }

    /// All instructions that the CPU has, regardless of `GENLOSS_PORTABLE`.
    #[must_use]
    pub fn detect() -> Self {
        Self { arch: pulp::Arch::new(), bf16: Avx512Bf16::detect() }
    }

    /// Only the instructions of the compilation target, without any that need run-time detection.
    #[must_use]
    pub fn portable() -> Self {
        Self { arch: pulp::Arch::Scalar, bf16: None }
    }

    /// `avx512`, `avx2`, `neon` or `portable`, with the suffix `-bf16` if bf16 pairs are multiplied in hardware.
    #[must_use]
    pub fn name(self) -> String {
        let debug = format!("{:?}", self.arch);
        let arch = match debug.split('(').next().unwrap_or_default() {
            "V4" => "avx512",
            "V3" => "avx2",
            "Neon" => "neon",
            _ => "portable",
        };
        if self.bf16.is_some() { format!("{arch}-bf16") } else { arch.to_owned() }
    }
}

/// Proof that the CPU has AVX-512 F, BW, CD, DQ, VL and BF16. Only detection creates a value of this type, so a
/// function with such an argument may use these instructions.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Avx512Bf16(());

impl Avx512Bf16 {
    #[cfg(target_arch = "x86_64")]
    fn detect() -> Option<Self> {
        // pulp's V4 is AVX-512 F, BW, CD, DQ and VL.
        let has_avx512 = matches!(pulp::Arch::new(), pulp::Arch::V4(_));
        (has_avx512 && std::arch::is_x86_feature_detected!("avx512bf16")).then_some(Self(()))
    }

    #[cfg(not(target_arch = "x86_64"))]
    fn detect() -> Option<Self> {
        None
    }
}
