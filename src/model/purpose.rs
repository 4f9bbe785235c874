//! The precision of a model's matrix products depends on the purpose of the computation.
//!
//! When a model learns or writes, the factors of its matrix products are rounded to the model's precision
//! (`model.precision`). When it measures, they are f32 for every model, so that measurements of different models are
//! comparable.
//!
//! ```
//! use genloss::model::{Precision, Purpose};
//! assert_eq!(Purpose::Writing.precision(Precision::Bf16), Precision::Bf16);
//! assert_eq!(Purpose::Measuring.precision(Precision::Bf16), Precision::F32);
//! ```

use genloss_kernels::Precision;

/// The purpose of a model's computation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Losses and gradients of training.
    Training,
    /// Documents, and tokens drawn in place of others.
    Writing,
    /// Scores of text, and answers to questions about facts.
    Measuring,
}

impl Purpose {
    /// The precision in which a model whose setting is `model` computes for this purpose.
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
