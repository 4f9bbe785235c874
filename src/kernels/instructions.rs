//! Which vector instructions the kernels use.
//!
//! They are looked up once, when the program runs: the fast path needs no build flag, and the same program runs on a
//! processor without them. Setting the environment variable `GENLOSS_PORTABLE` to anything switches all of them off.
//! Sums are made of other partial sums then, and a multiplication and its addition are rounded once or twice, so the
//! last bits of a result depend on the instructions; provenance names them.

use std::sync::OnceLock;

/// The environment variable that switches vector instructions off.
pub const PORTABLE: &str = "GENLOSS_PORTABLE";

/// Vector instructions that this processor has.
#[derive(Clone, Copy, Debug)]
pub struct Instructions {
    pub(crate) arch: pulp::Arch,
    /// Whether there are products of pairs of bf16.
    pub(super) bf16: bool,
}

impl Instructions {
    /// What the processor has, unless it was switched off.
    #[must_use]
    pub fn get() -> Self {
        static FOUND: OnceLock<Instructions> = OnceLock::new();
        *FOUND.get_or_init(|| {
            let off = std::env::var_os(PORTABLE).is_some_and(|value| !value.is_empty());
            if off { Self::portable() } else { Self::detect() }
        })
    }

    /// What the processor has.
    #[must_use]
    pub fn detect() -> Self {
        Self { arch: pulp::Arch::new(), bf16: has_bf16() }
    }

    /// None.
    #[must_use]
    pub fn portable() -> Self {
        Self { arch: pulp::Arch::Scalar, bf16: false }
    }

    /// What they are called.
    #[must_use]
    pub fn name(self) -> String {
        let debug = format!("{:?}", self.arch);
        let arch = match debug.split('(').next().unwrap_or_default() {
            "V4" => "avx512",
            "V3" => "avx2",
            "Neon" => "neon",
            _ => "portable",
        };
        if self.bf16 { format!("{arch}-bf16") } else { arch.to_owned() }
    }
}

#[cfg(target_arch = "x86_64")]
fn has_bf16() -> bool {
    matches!(pulp::Arch::new(), pulp::Arch::V4(_)) && std::arch::is_x86_feature_detected!("avx512bf16")
}

#[cfg(not(target_arch = "x86_64"))]
fn has_bf16() -> bool {
    false
}
