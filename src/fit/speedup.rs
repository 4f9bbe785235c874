//! How many tokens does a blend save, or cost, at equal loss?
//!
//! Natural text reaches the loss L* with the tokens asked, by its law. The speed-up of a blend is `D_natural(L*)/D_blend(L*)`
//! (Kang et al. 2025): 2 is half the tokens, 0.5 twice as many. Where the law of the blend has its floor at L* or above,
//! no number of tokens gets there, and the speed-up is 0. Draw b of the blend's law goes with draw b of natural text's.

use super::bootstrap::{Interval, LawFit, interval};
use super::{Blend, Law, LawForm, PredictionPoint};
use serde::Serialize;

/// Tokens saved at equal loss.
#[derive(Clone, Debug, Serialize)]
pub struct SpeedUp {
    /// What the models were trained on.
    pub blend: Blend,
    /// The form of both laws.
    pub form: LawForm,
    /// What natural text reaches with the tokens asked, nats per token.
    pub loss_nats: f64,
    /// The tokens that the blend takes to get there; None where it never does.
    pub tokens: Option<f64>,
    /// D_natural/D_blend; 0 for never.
    pub speed_up: f64,
    /// Its interval; a lower end of 0 is never.
    pub interval: Interval,
}

/// The speed-up of `fit` over `natural`, laws of one form that has D.
pub(super) fn speed_up(natural: &LawFit, fit: &LawFit, at: PredictionPoint) -> SpeedUp {
    let (n, d) = at.coordinates();
    let tokens = |natural: &Law, blend: &Law| blend.tokens_for(n, natural.loss(n, d));
    let ratio = |tokens: Option<f64>| tokens.map_or(0.0, |tokens| d / tokens);
    let reached = tokens(&natural.law, &fit.law);
    let drawn = natural.draws.iter().zip(&fit.draws).map(|(natural, blend)| ratio(tokens(natural, blend)));
    SpeedUp {
        blend: fit.blend.clone(),
        form: fit.form,
        loss_nats: natural.loss(n, d),
        tokens: reached,
        speed_up: ratio(reached),
        interval: interval(drawn),
    }
}
