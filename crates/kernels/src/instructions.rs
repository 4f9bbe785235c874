//! The vector instructions that the kernels use.
//!
//! They are detected once, at run time. The fast path therefore needs no build flag, and the same binary also runs on
//! CPUs without these instructions. The environment variable `GENLOSS_INSTRUCTIONS` chooses a smaller set by its name:
//! `avx512-amx`, `avx512-bf16`, `avx512`, `avx2`, `neon` or `portable`. `GENLOSS_PORTABLE`, if it is set and not empty,
//! means `portable`.
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

/// The environment variable that names the vector instructions to use.
pub const INSTRUCTIONS: &str = "GENLOSS_INSTRUCTIONS";

/// The environment variable that switches vector instructions off.
pub const PORTABLE: &str = "GENLOSS_PORTABLE";

/// A set of vector instructions that this processor has.
#[derive(Clone, Copy, Debug)]
pub struct Instructions {
    pub(crate) arch: pulp::Arch,
    /// `Some` if instructions for products of bf16 pairs are to be used.
    pub(crate) bf16: Option<Avx512Bf16>,
    /// `Some` if tiles of bf16 are to be multiplied.
    pub(crate) amx: Option<Amx>,
}

impl Instructions {
    /// The instructions that kernels use in this process: those that the environment [chose](Self::chosen), or all that
    /// were detected if this processor does not have them.
    #[must_use]
    pub fn get() -> Self {
        static SELECTED: OnceLock<Instructions> = OnceLock::new();
        *SELECTED.get_or_init(|| Self::chosen().unwrap_or_else(|_| Self::detect()))
    }

    /// The instructions that `GENLOSS_INSTRUCTIONS` names, or else all that this processor has.
    ///
    /// # Errors
    /// If this processor has none of that name.
    pub fn chosen() -> Result<Self, UnknownInstructions> {
        let is_set = |variable| std::env::var_os(variable).filter(|value| !value.is_empty());
        match is_set(INSTRUCTIONS).map(|name| name.to_string_lossy().into_owned()) {
            Some(name) => Self::named(&name).ok_or(UnknownInstructions { name }),
            None if is_set(PORTABLE).is_some() => Ok(Self::portable()),
            None => Ok(Self::detect()),
        }
    }

    /// The set of this [name](Self::name) in upper or lower case, if this processor has it.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::all().into_iter().find(|one| one.name().eq_ignore_ascii_case(name))
    }

    /// Every set that this processor has, the largest first.
    #[must_use]
    pub fn all() -> Vec<Self> {
        let detected = Self::detect();
        let mut all = vec![detected];
        if detected.amx.is_some() {
            all.push(Self { amx: None, ..detected });
        }
        if detected.bf16.is_some() {
            all.push(Self { amx: None, bf16: None, ..detected });
        }
        all.extend(Self::avx2().filter(|avx2| avx2.name() != detected.name()));
        if detected.name() != "portable" {
            all.push(Self::portable());
        }
        all
    }

    /// All instructions that the processor has, whatever the environment says.
    #[must_use]
    pub fn detect() -> Self {
        let bf16 = Avx512Bf16::detect();
        Self { arch: pulp::Arch::new(), bf16, amx: bf16.and_then(|_| Amx::detect()) }
    }

    #[cfg(target_arch = "x86_64")]
    fn avx2() -> Option<Self> {
        pulp::x86::V3::try_new().map(|v3| Self { arch: pulp::Arch::V3(v3), bf16: None, amx: None })
    }

    #[cfg(not(target_arch = "x86_64"))]
    fn avx2() -> Option<Self> {
        None
    }

    /// Only the instructions of the compilation target, without any that need run-time detection.
    #[must_use]
    pub fn portable() -> Self {
        Self { arch: pulp::Arch::Scalar, bf16: None, amx: None }
    }

    /// Numbers of 32 bits in a vector.
    pub(crate) fn lanes(self) -> usize {
        self.arch.dispatch(Lanes)
    }

    /// `avx512`, `avx2`, `neon` or `portable`, with the suffix `-amx` if tiles of bf16 are multiplied in hardware, or `-bf16`
    /// if only pairs are.
    #[must_use]
    pub fn name(self) -> String {
        let debug = format!("{:?}", self.arch);
        let arch = match debug.split('(').next().unwrap_or_default() {
            "V4" => "avx512",
            "V3" => "avx2",
            "Neon" => "neon",
            _ => "portable",
        };
        match (self.amx, self.bf16) {
            (Some(_), _) => format!("{arch}-amx"),
            (None, Some(_)) => format!("{arch}-bf16"),
            (None, None) => arch.to_owned(),
        }
    }
}

struct Lanes;

impl pulp::WithSimd for Lanes {
    type Output = usize;

    #[inline(always)]
    fn with_simd<S: pulp::Simd>(self, _: S) -> usize {
        S::F32_LANES
    }
}

/// The processor does not have the instructions that the environment names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownInstructions {
    name: String,
}

impl std::fmt::Display for UnknownInstructions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let known: Vec<String> = Instructions::all().into_iter().map(Instructions::name).collect();
        write!(f, "{INSTRUCTIONS}: this processor has no {:?}; choose one of {}", self.name, known.join(", "))
    }
}

impl std::error::Error for UnknownInstructions {}

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

/// Proof that the CPU has AMX with products of bf16, and that this process may use it. Only detection creates a value of
/// this type, so a function with such an argument may use these instructions.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Amx(());

impl Amx {
    #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
    fn detect() -> Option<Self> {
        crate::matmul::amx::is_available().then_some(Self(()))
    }

    #[cfg(not(all(target_arch = "x86_64", target_os = "linux")))]
    fn detect() -> Option<Self> {
        None
    }
}
