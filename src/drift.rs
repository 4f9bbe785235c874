//! Drift: what would finite sampling alone do, at any scale?
//!
//! The loop of the experiments, with models whose behaviour is known: a categorical distribution that is fitted by
//! counting, a Gaussian, a linear regression. Nothing is lost here to training, to the shape of a model, or to text
//! that is cut: what falls, falls because a sample is finite. So it is the part of collapse that no better model takes
//! away, and the ruler for the rest: a simulator or a verdict that is right must reproduce it.
//!
//! Mixtures are those of the experiment file ([`crate::mixture`]), a sample standing for a token and drawn by itself.
//! `samples` is the budget, and what every generation writes. Generation 0 is the fit to natural samples.
//!
//! # What is known exactly
//!
//! - **Second moments, in every regime**, from [`coalescence`]: with c the chance that two draws with replacement from
//!   what a generation trains on go back to the same natural sample, `E H = H₀ (1 − c)` for the Gini–Simpson index
//!   `H = 1 − Σ q²`, `E s = σ² (1 − c)` for the variance of a Gaussian fitted by maximum likelihood, and
//!   `Var(mean) = σ² c`.
//! - **Mass is a martingale**: a type's frequency has its natural frequency as its mean, in every regime.
//! - **How many types live**, in the regimes where the fate of a type is a chain of its own: [`survival`].
//! - **Regression**, where everything or nothing is kept: [`regression`].
//!
//! All of this is for decoding as the model has it. A temperature or a truncation changes the loop at every turn; its
//! own effect, without any sampling, is [`decode::limit`].
//!
//! # How a row reads
//!
//! A [`Row`] is the mean of a statistic over replicates, its standard error, the exact expectation where one is known,
//! and z, the difference over the standard error. See [`summary`] for when z is withheld.
//!
//! ```
//! use genloss::config;
//! use genloss::drift::{Frequencies, Loop, categorical};
//! let plan = Loop {
//!     samples: 1000,
//!     generations: 5,
//!     mixture: config::parse_mixture("accumulate", "mixture")?,
//!     replicates: 100,
//!     seed: 1,
//! };
//! let rows = categorical::Simulation::new(Frequencies::zipf(50, 1.0, 0.0)?, config::Decoding::PLAIN, &plan)?.rows();
//! let last = rows.iter().find(|row| row.generation == 5 && row.statistic == "gini_simpson").unwrap();
//! assert!(last.z.unwrap().abs() < 4.0);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod blocks;
pub mod categorical;
pub mod cholesky;
pub mod coalescence;
pub mod decode;
mod frequencies;
pub mod gaussian;
pub mod hypergeometric;
pub mod multinomial;
pub mod pmf;
mod regime;
pub mod regression;
mod statistics;
pub mod summary;
pub mod survival;
#[cfg(test)]
mod test_support;

pub use frequencies::Frequencies;
pub use regime::{Loop, Recipe, Regime};
pub use summary::Row;

use crate::units::Tokens;

/// What cannot be simulated.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum DriftError {
    /// A setting that makes no sense.
    #[error("{setting}: {message}")]
    Setting {
        /// Its name on the command line, without the dashes.
        setting: &'static str,
        /// What is wrong, and what to try.
        message: String,
    },
    /// A mixture that takes more than there is.
    #[error(
        "mixture: generation {generation} takes {wanted} synthetic samples, but only {available} have been written by then; raise the natural fraction, or draw on all generations with synthetic = \"all\""
    )]
    Synthetic {
        /// The generation.
        generation: usize,
        /// Samples wanted.
        wanted: Tokens,
        /// Samples there are.
        available: Tokens,
    },
    /// A design that does not determine the coefficients.
    #[error(
        "replicate {replicate}, generation {generation}: the rows drawn do not determine all {columns} coefficients; use more rows, or fewer columns"
    )]
    Singular {
        /// Counted from 0.
        replicate: usize,
        /// The generation.
        generation: usize,
        /// Coefficients.
        columns: usize,
    },
}

/// A fault in `setting`.
fn fault(setting: &'static str, message: impl Into<String>) -> DriftError {
    DriftError::Setting { setting, message: message.into() }
}
