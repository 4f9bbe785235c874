//! The form of a scaling law: a floor plus a power of the model's size N, of the training tokens D, or of each.
//!
//! `L(D) = E + B·D^−β` at one size, `L(N) = E + A·N^−α` at one number of tokens (Kang et al. 2025), and `L(N, D) = E +
//! A·N^−α + B·D^−β` (Hoffmann et al. 2022). All constants are positive. E is the loss that remains for infinite inputs;
//! in L(D), E includes the loss due to the fixed size.

use serde::Serialize;
use std::fmt;

/// The inputs of a law.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum LawForm {
    /// Tokens D, at one size.
    #[serde(rename = "L(D)")]
    Tokens,
    /// Parameters N, at one number of tokens.
    #[serde(rename = "L(N)")]
    Parameters,
    /// Parameters N and tokens D.
    #[serde(rename = "L(N, D)")]
    Joint,
}

impl LawForm {
    /// Number of constants.
    #[must_use]
    pub fn constants(self) -> usize {
        match self {
            Self::Tokens | Self::Parameters => 3,
            Self::Joint => 5,
        }
    }

    /// Whether N is an input.
    #[must_use]
    pub fn has_parameters(self) -> bool {
        self != Self::Tokens
    }

    /// Whether D is an input.
    #[must_use]
    pub fn has_tokens(self) -> bool {
        self != Self::Parameters
    }
}

impl fmt::Display for LawForm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Tokens => "L(D)",
            Self::Parameters => "L(N)",
            Self::Joint => "L(N, D)",
        })
    }
}

/// The term `scale·x^−exponent` of a law.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PowerTerm {
    /// Natural logarithm of the scale, because a steep power has a scale beyond the range of f64.
    pub ln_scale: f64,
    /// Positive.
    pub exponent: f64,
}

impl PowerTerm {
    /// The value at `x` > 0, in nats per token.
    #[must_use]
    pub fn at(self, x: f64) -> f64 {
        (self.ln_scale - self.exponent * x.ln()).exp()
    }

    /// The x at which the value is `nats` > 0.
    #[must_use]
    pub fn inverse(self, nats: f64) -> f64 {
        ((self.ln_scale - nats.ln()) / self.exponent).exp()
    }
}

/// A loss as a function of size, tokens, or both.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Law {
    /// E, nats per token.
    pub floor_nats: f64,
    /// The term in N, with A and α.
    pub parameters: Option<PowerTerm>,
    /// The term in D, with B and β.
    pub tokens: Option<PowerTerm>,
}

impl Law {
    /// The loss in nats per token of a model of `parameters` parameters that has seen `tokens` tokens. An argument that
    /// is not an input of the law is ignored.
    #[must_use]
    pub fn loss(&self, parameters: f64, tokens: f64) -> f64 {
        self.floor_at(parameters) + self.tokens.map_or(0.0, |power| power.at(tokens))
    }

    /// The limit of the loss for infinitely many tokens, at `parameters` parameters.
    #[must_use]
    pub fn floor_at(&self, parameters: f64) -> f64 {
        self.floor_nats + self.parameters.map_or(0.0, |power| power.at(parameters))
    }

    /// The number of tokens at which the loss is `loss_nats`, at `parameters` parameters; None if it is never reached.
    #[must_use]
    pub fn tokens_for(&self, parameters: f64, loss_nats: f64) -> Option<f64> {
        let left = loss_nats - self.floor_at(parameters);
        self.tokens
            .filter(|_| left > 0.0)
            .map(|power| power.inverse(left))
            .filter(|tokens| tokens.is_finite())
    }

    /// Names and values of the constants: E, A, alpha, B, beta, without those of absent terms.
    #[must_use]
    pub fn constants(&self) -> Vec<(&'static str, f64)> {
        let named = |power: Option<PowerTerm>, [scale, exponent]: [&'static str; 2]| {
            let constants = power.map(|power| [(scale, power.ln_scale.exp()), (exponent, power.exponent)]);
            constants.into_iter().flatten()
        };
        std::iter::once(("E", self.floor_nats))
            .chain(named(self.parameters, ["A", "alpha"]))
            .chain(named(self.tokens, ["B", "beta"]))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2 + 100·10 000^−0.5 + 400·10⁶^−0.5 = 2 + 1 + 0.4.
    const LAW: Law = Law {
        floor_nats: 2.0,
        parameters: Some(PowerTerm { ln_scale: 4.605_170_185_988_092, exponent: 0.5 }),
        tokens: Some(PowerTerm { ln_scale: 5.991_464_547_107_982, exponent: 0.5 }),
    };

    #[test]
    fn a_loss_is_the_sum_of_the_floor_and_both_terms() {
        assert!((LAW.loss(1e4, 1e6) - 3.4).abs() < 1e-12);
        let constants: Vec<&str> = LAW.constants().into_iter().map(|(name, _)| name).collect();
        assert_eq!(constants, ["E", "A", "alpha", "B", "beta"]);
    }

    #[test]
    fn tokens_for_inverts_the_law_and_is_none_below_the_floor() {
        let tokens = LAW.tokens_for(1e4, 3.1).unwrap();
        assert!((tokens / 1.6e7 - 1.0).abs() < 1e-9, "(400/0.1)² tokens, not {tokens}");
        assert_eq!(LAW.tokens_for(1e4, 3.0), None);
        assert_eq!(Law { tokens: None, ..LAW }.tokens_for(1e4, 3.1), None);
    }
}
