//! The precision of a model's matrix products, by what it computes for.
//!
//! The factors of products are rounded to the model's precision (`model.precision`) when it learns and when it writes.
//! Measurements are f32 for every model, so that an instrument does not change with what it measures.
//!
//! ```
//! use genloss::model::{Precision, Purpose};
//! assert_eq!(Purpose::Writing.precision(Precision::Bf16), Precision::Bf16);
//! assert_eq!(Purpose::Measuring.precision(Precision::Bf16), Precision::F32);
//! ```

use genloss_kernels::Precision;

/// What a model computes for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Losses and gradients of training.
    Training,
    /// Documents, and tokens drawn in the place of others.
    Writing,
    /// Scores, and answers to questions.
    Measuring,
}

impl Purpose {
    /// The precision that a model of precision `model` computes in for this purpose.
    #[must_use]
    pub const fn precision(self, model: Precision) -> Precision {
        match self {
            Self::Training | Self::Writing => model,
            Self::Measuring => Precision::F32,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_measurements_are_f32_whatever_the_model() {
        for model in Precision::ALL {
            assert_eq!(Purpose::Training.precision(model), model);
            assert_eq!(Purpose::Writing.precision(model), model);
            assert_eq!(Purpose::Measuring.precision(model), Precision::F32);
        }
    }
}
