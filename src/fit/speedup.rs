//! How many tokens does a blend save, or cost, at equal loss?
//!
//! Let L* be the loss that the law of natural text predicts for the given size and tokens. The speed-up of a blend is
//! `D_natural(L*)/D_blend(L*)` (Kang et al. 2025): 2 means half the tokens, 0.5 twice as many. If the floor of the
//! blend's law is L* or higher, no number of tokens reaches L*, and the speed-up is 0. The interval of the speed-up
//! combines refit b of the blend's law with refit b of the law of natural text.

use super::bootstrap::{Interval, LawFit, interval};
use super::{Blend, Law, LawForm, PredictionPoint};
use serde::Serialize;

/// The speed-up of one blend over natural text.
#[derive(Clone, Debug, Serialize)]
pub struct SpeedUp {
    /// Training text of the models.
    pub blend: Blend,
    /// The common form of both laws.
    pub form: LawForm,
    /// L*, in nats per token.
    pub loss_nats: f64,
    /// D_blend(L*); None if the blend never reaches L*.
    pub tokens: Option<f64>,
    /// D_natural(L*)/D_blend(L*); 0 if the blend never reaches L*.
    pub speed_up: f64,
    /// 95 % interval; a lower end of 0 means that the blend may never reach L*.
    pub interval: Interval,
}

/// The speed-up of `fit` over `natural`. Both laws have the same form, with D as an input.
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
