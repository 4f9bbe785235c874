//! Model collapse from finite sampling alone, simulated at any scale.
//!
//! This module runs the training loop of the experiments with models whose behaviour is known exactly: a categorical
//! distribution fitted by counting, a Gaussian fitted by maximum likelihood, a linear regression. None of them loses
//! anything through optimisation, limited capacity or truncated documents: all loss is due to finite samples. A better
//! model cannot avoid that loss, so a correct simulator and a correct verdict must reproduce it.
//!
//! Mixtures are those of the experiment file ([`crate::mixture`]); one sample, drawn independently, takes the place of
//! one token. `samples` is both the training budget and the number of samples that each generation writes.
//! Generation 0 is fitted to natural samples.
//!
//! # What is known exactly
//!
//! - **Second moments, for every mixture** ([`coalescence`]): let c be the probability that two draws with
//!   replacement from a generation's training set descend from the same natural sample. Then `E H = H₀ (1 − c)` for
//!   the Gini–Simpson index `H = 1 − Σ q²`; and for a Gaussian fitted by maximum likelihood, `E s = σ² (1 − c)` for
//!   its variance and `Var(mean) = σ² c`.
//! - **Mass is a martingale**: for every mixture, the expected frequency of a type is its natural frequency.
//! - **The number of surviving types**, for mixtures in which the copies of one type form a Markov chain
//!   ([`survival`]).
//! - **Regression**, where each generation keeps either everything or nothing ([`regression`]).
//!
//! All of this holds for plain sampling from the model. A temperature or a truncation acts anew in every generation;
//! [`decode::decode_repeatedly`] gives its effect without sampling noise.
//!
//! # Reading the output
//!
//! A [`DriftRow`] holds the mean of one statistic over replicates, its standard error, the exact expectation where one
//! is known, and z, the difference between mean and expectation divided by the standard error. [`summary`] explains
//! when z is withheld.
//!
//! ```
//! use genloss::config;
//! use genloss::decoding::SamplingSettings;
//! use genloss::drift::{DriftSettings, Frequencies, categorical::CategoricalSimulation};
//!
//! let settings = DriftSettings {
//!     samples: 1000,
//!     generations: 5,
//!     mixture: config::parse_mixture("accumulate", "mixture")?,
//!     replicates: 100,
//!     seed: 1,
//! };
//! let natural = Frequencies::zipf(50, 1.0, 0.0)?;
//! let rows = CategoricalSimulation::new(natural, SamplingSettings::PLAIN, &settings)?.rows();
//! let last = rows.iter().find(|row| row.generation == 5 && row.statistic == "gini_simpson").unwrap();
//! assert!(last.z.unwrap().abs() < 4.0);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod blocks;
pub mod categorical;
pub mod cholesky;
pub mod coalescence;
mod cost;
pub mod decode;
mod frequencies;
pub mod gaussian;
pub mod hypergeometric;
pub mod multinomial;
pub mod pmf;
pub mod regression;
mod schedule;
mod statistics;
pub mod summary;
pub mod survival;
#[cfg(test)]
mod test_support;

pub use cost::SimulationCost;
pub use frequencies::Frequencies;
pub use schedule::{DriftSettings, SampleSchedule, TrainingCounts};
pub use summary::DriftRow;

use crate::settings::SettingError;
use crate::units::Tokens;

/// Why a simulation cannot be set up or continued.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum DriftError {
    /// A setting is out of range.
    #[error("{setting}: {message}")]
    Setting {
        /// Name of the setting on the command line, without the dashes.
        setting: &'static str,
        /// What is wrong, and what to try.
        message: String,
    },
    /// A mixture does not fit the number of generations.
    #[error("mixture")]
    Mixture(#[source] SettingError),
    /// A mixture takes more synthetic samples than earlier generations wrote.
    #[error(
        "mixture: generation {generation} takes {wanted} synthetic samples, but earlier generations wrote only {available}; raise the natural fraction, or draw on all generations with synthetic = \"all\""
    )]
    TooFewSynthetic {
        /// The generation that is to be trained.
        generation: usize,
        /// Synthetic samples that its mixture takes.
        wanted: Tokens,
        /// Synthetic samples that exist.
        available: Tokens,
    },
    /// A regression's training rows do not determine its coefficients.
    #[error(
        "replicate {replicate}, generation {generation}: the rows drawn do not determine all {columns} coefficients; use more rows, or fewer columns"
    )]
    Singular {
        /// Counted from 0.
        replicate: usize,
        /// Counted from 0.
        generation: usize,
        /// Number of coefficients.
        columns: usize,
    },
}

fn invalid(setting: &'static str, message: impl Into<String>) -> DriftError {
    DriftError::Setting { setting, message: message.into() }
}
