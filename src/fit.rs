//! Fits scaling laws of the loss to the models of runs: how does the loss fall with tokens and parameters, for each
//! blend of natural and synthetic text?
//!
//! [`points()`] takes one point from each recorded model. [`fit()`] fits laws to the points of each [`Blend`], then
//! answers the questions of Kang et al. (2025): which share of synthetic text gives the lowest loss, and how many
//! tokens does a blend save at equal loss?
//!
//! **Pitfalls.**
//!
//! - D is the number of tokens *seen*, which exceeds the size of the text if it is read several times. Up to about four
//!   passes are worth nearly as much as fresh text; further passes are not (Muennighoff et al. 2023). So let the text
//!   grow with D.
//! - Synthetic text was written by the previous generation: a model of the same size that saw the same number of
//!   tokens. So a law describes models that learn from the text of models like themselves. Only at generation 1 can the
//!   author be the experiment's `[writer]` instead. Kang et al. used one large generator for models of all sizes.
//!
//! ```
//! use genloss::fit::{Blend, FitSettings, ModelSize, Point, fit};
//! use genloss::units::Tokens;
//! use std::collections::BTreeMap;
//!
//! // Losses of exactly 2 + 300/√D, of one model size.
//! let points = [100_000_u64, 300_000, 1_000_000, 3_000_000].map(|tokens| Point {
//!     blend: Blend::natural(),
//!     size: ModelSize::Parameters(1_000_000),
//!     tokens: Tokens(tokens),
//!     epochs: 1.0,
//!     seed: 1,
//!     loss_nats: 2.0 + 300.0 / (tokens as f64).sqrt(),
//!     tail: BTreeMap::new(),
//! });
//! let settings = FitSettings { parameters: None, tokens: None, resamples: 40, seed: 1 };
//! let fitted = fit(points.to_vec(), &settings)?;
//! assert!((fitted.fits[0].law.floor_nats - 2.0).abs() < 1e-3);
//! # Ok::<(), genloss::fit::FitError>(())
//! ```

mod bootstrap;
mod law;
mod optimum;
mod points;
mod robust;
mod speedup;

pub use bootstrap::{HeldOutError, Interval, LawConstant, LawFit};
pub use law::{Law, LawForm, PowerTerm};
pub use optimum::{Optimum, OptimumPosition, ShareLoss};
pub use points::{Blend, ModelSize, NATURAL, Point, TAIL, last_generation, points};
pub use speedup::SpeedUp;

use crate::seed::{StreamKey, streams};
use crate::units::Tokens;
use bootstrap::PointGroup;
use rayon::prelude::*;
use serde::Serialize;
use std::collections::BTreeSet;

/// Passes over a text beyond which repeated tokens are worth clearly less than fresh ones (Muennighoff et al. 2023).
const MAX_EPOCHS: f64 = 4.0;

/// Largest share of a loss by which a law may miss the runs at the point of predictions without a note.
const MAX_MISS: f64 = 0.05;

/// Why no law could be fitted.
#[derive(Debug, thiserror::Error)]
pub enum FitError {
    /// Two runs measured their losses on different text or in different tokens.
    #[error(
        "{} and {}: their {difference} differs, so their losses cannot be compared; run both on the same files, with the same held-out tokens and one tokenizer.path, or fit them separately",
        names[0],
        names[1]
    )]
    Incomparable {
        /// Names of the experiments.
        names: [String; 2],
        /// "held-out text" or "tokenizer".
        difference: &'static str,
    },
    /// Training continued from earlier weights, so the tokens that a model has seen in all are unknown.
    #[error(
        "{name}: its models continue from weights that were trained before (training.init), so the tokens they have seen are unknown; fit runs with init = \"scratch\""
    )]
    Continued {
        /// Name of the experiment.
        name: String,
    },
    /// No blend has enough points.
    #[error(
        "too few runs to fit a law: {found}. L(D) needs 4 different values of training.tokens at one size (n-grams: of corpus.train_tokens), L(N) needs 4 sizes of transformer at one number of tokens, L(N, D) needs 3 sizes × 4 numbers of tokens; run these, and pass all run folders"
    )]
    TooFew {
        /// The sizes and numbers of tokens that there are, by blend.
        found: String,
    },
}

/// The model size and number of tokens for which losses are predicted.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct PredictionPoint {
    /// Size of the model.
    pub size: ModelSize,
    /// Tokens seen.
    pub tokens: Tokens,
}

impl PredictionPoint {
    /// N and D. The N of an n-gram is set to 1, because no law of n-grams uses it.
    fn coordinates(self) -> (f64, f64) {
        (self.size.parameters().unwrap_or(1) as f64, self.tokens.0 as f64)
    }
}

/// Settings of predictions and intervals.
#[derive(Clone, Copy, Debug)]
pub struct FitSettings {
    /// N to predict losses for; by default, the N of the largest model.
    pub parameters: Option<u64>,
    /// D to predict losses for; by default, the largest D that a model of that size has seen.
    pub tokens: Option<u64>,
    /// Number of refits from which intervals are estimated.
    pub resamples: usize,
    /// Seed of all random streams.
    pub seed: u64,
}

/// All fitted laws, and the predictions derived from them.
#[derive(Clone, Debug, Serialize)]
pub struct Fitted {
    /// Size and tokens of all predictions.
    pub at: PredictionPoint,
    /// The laws by blend, those of natural text first.
    pub fits: Vec<LawFit>,
    /// The share of lowest loss, for each kind of synthetic text.
    pub optima: Vec<Optimum>,
    /// Tokens that each blend saves at equal loss.
    pub speed_ups: Vec<SpeedUp>,
    /// Caveats, each a sentence without a full stop.
    pub notes: Vec<String>,
    /// The points that the laws were fitted to.
    pub points: Vec<Point>,
}

/// Fits every law that `points` allow.
///
/// # Errors
/// If the points allow no law. The message lists the runs of each blend and the runs that each law needs.
pub fn fit(points: Vec<Point>, settings: &FitSettings) -> Result<Fitted, FitError> {
    let blends: BTreeSet<&Blend> = points.iter().map(|point| &point.blend).collect();
    let groups: Vec<(&Blend, PointGroup)> = blends
        .iter()
        .flat_map(|&blend| groups(blend, &points).into_iter().map(move |g| (blend, g)))
        .collect();
    let mut fits: Vec<LawFit> = groups
        .par_iter()
        .filter_map(|(blend, group)| group.fit(blend, settings.resamples, &key(settings.seed, blend, group)))
        .collect();
    fits.sort_by_key(|fit| !fit.blend.is_natural());
    let Some(at) = at(&points, settings).filter(|_| !fits.is_empty()) else {
        return Err(FitError::TooFew { found: inventory(&blends, &points) });
    };
    let optima = optima(&fits, at);
    let speed_ups = speed_ups(&fits, at);
    let notes = notes(&blends, &points, &fits, at, &optima);
    Ok(Fitted { at, fits, optima, speed_ups, notes, points })
}

/// The groups of a blend's points that are large enough for a law.
fn groups<'a>(blend: &Blend, points: &'a [Point]) -> Vec<PointGroup<'a>> {
    let own: Vec<&Point> = points.iter().filter(|point| point.blend == *blend).collect();
    let sized: Vec<&Point> = own.iter().copied().filter(|point| point.size.parameters().is_some()).collect();
    let sizes: BTreeSet<ModelSize> = own.iter().map(|point| point.size).collect();
    let amounts: BTreeSet<Tokens> = sized.iter().map(|point| point.tokens).collect();
    let at_size = sizes.into_iter().map(|size| PointGroup {
        form: LawForm::Tokens,
        size: Some(size),
        tokens: None,
        points: own.iter().copied().filter(|point| point.size == size).collect(),
    });
    let at_tokens = amounts.into_iter().map(|tokens| PointGroup {
        form: LawForm::Parameters,
        size: None,
        tokens: Some(tokens),
        points: sized.iter().copied().filter(|point| point.tokens == tokens).collect(),
    });
    let joint = PointGroup { form: LawForm::Joint, size: None, tokens: None, points: sized.clone() };
    at_size.chain(at_tokens).chain([joint]).filter(PointGroup::suffices).collect()
}

/// The key of a law's random streams. It does not depend on the other laws.
fn key(seed: u64, blend: &Blend, group: &PointGroup) -> StreamKey {
    let size = group.size.map_or(String::new(), |size| size.to_string());
    let tokens = group.tokens.map_or(String::new(), |tokens| tokens.to_string());
    StreamKey::new(seed, &format!("{blend}; {}; {size}; {tokens}", group.form), 0, streams::FIT)
}

/// The requested size and tokens, or those of the largest run.
fn at(points: &[Point], settings: &FitSettings) -> Option<PredictionPoint> {
    let largest = points.iter().map(|point| point.size).max()?;
    let size = settings.parameters.map_or(largest, ModelSize::Parameters);
    let of_size = points.iter().filter(|point| point.size == size).map(|point| point.tokens);
    let most = of_size.max().or_else(|| points.iter().map(|point| point.tokens).max())?;
    Some(PredictionPoint { size, tokens: settings.tokens.map_or(most, Tokens) })
}

/// Whether a law has the given form and applies at `at`.
fn applies_at(fit: &LawFit, form: LawForm, at: PredictionPoint) -> bool {
    let at_size = fit.size.is_none_or(|size| size == at.size);
    let at_tokens = fit.tokens.is_none_or(|tokens| tokens == at.tokens);
    // A law in N does not apply to an n-gram.
    let has_size = !form.has_parameters() || at.size.parameters().is_some();
    fit.form == form && at_size && at_tokens && has_size
}

/// Laws of one form that apply at `at`, for the blends for which `belongs` is true. The form is the one of `forms` that
/// covers the most blends; in a tie, the first one.
fn comparable<'a>(
    fits: &'a [LawFit],
    at: PredictionPoint,
    forms: &[LawForm],
    belongs: impl Fn(&Blend) -> bool,
) -> Vec<&'a LawFit> {
    let laws_of_form = |&form: &LawForm| -> Vec<&LawFit> {
        fits.iter().filter(|fit| applies_at(fit, form, at) && belongs(&fit.blend)).collect()
    };
    forms.iter().map(laws_of_form).reduce(|a, b| if b.len() > a.len() { b } else { a }).unwrap_or_default()
}

fn optima(fits: &[LawFit], at: PredictionPoint) -> Vec<Optimum> {
    let best = |source: &&str| {
        let belongs = |blend: &Blend| blend.is_natural() || blend.source == **source;
        let forms = [LawForm::Tokens, LawForm::Joint, LawForm::Parameters];
        optimum::optimum(source, &comparable(fits, at, &forms, belongs), at)
    };
    sources(fits).iter().filter_map(best).collect()
}

/// The kinds of synthetic text that have a law.
fn sources(fits: &[LawFit]) -> BTreeSet<&str> {
    fits.iter().filter(|fit| !fit.blend.is_natural()).map(|fit| fit.blend.source.as_str()).collect()
}

fn speed_ups(fits: &[LawFit], at: PredictionPoint) -> Vec<SpeedUp> {
    let blends: BTreeSet<&Blend> = fits.iter().map(|fit| &fit.blend).collect();
    let speed_up = |blend: &Blend| {
        let pair = |other: &Blend| other.is_natural() || other == blend;
        let [one, other] = comparable(fits, at, &[LawForm::Tokens, LawForm::Joint], pair)[..] else {
            return None;
        };
        let (natural, fit) = if one.blend.is_natural() { (one, other) } else { (other, one) };
        Some(speedup::speed_up(natural, fit, at))
    };
    blends.into_iter().filter(|blend| !blend.is_natural()).filter_map(speed_up).collect()
}

/// Counts the sizes and numbers of tokens of each blend, as in "natural: 1 size, 2 numbers of tokens".
fn inventory(blends: &BTreeSet<&Blend>, points: &[Point]) -> String {
    if blends.is_empty() {
        return "there is no model of that generation".to_owned();
    }
    let counted = |blend: &&Blend| {
        let own = || points.iter().filter(|point| point.blend == **blend);
        let sizes = own().map(|point| point.size).collect::<BTreeSet<_>>().len();
        let amounts = own().map(|point| point.tokens).collect::<BTreeSet<_>>().len();
        let plural = |count: usize| if count == 1 { "" } else { "s" };
        format!("{blend}: {sizes} size{}, {amounts} number{} of tokens", plural(sizes), plural(amounts))
    };
    blends.iter().map(counted).collect::<Vec<_>>().join("; ")
}

/// Caveats about the points, the laws and the predictions.
fn notes(
    blends: &BTreeSet<&Blend>,
    points: &[Point],
    fits: &[LawFit],
    at: PredictionPoint,
    optima: &[Optimum],
) -> Vec<String> {
    let mut notes = Vec::new();
    let without: BTreeSet<&Blend> =
        blends.iter().copied().filter(|blend| fits.iter().all(|fit| fit.blend != **blend)).collect();
    if !without.is_empty() {
        notes.push(format!("no law for {}", inventory(&without, points)));
    }
    if points.iter().any(|point| point.size.parameters().is_none()) {
        notes.push(
            "n-grams have no N: how many n-grams they store depends on the text, so only L(D) is fitted to them"
                .to_owned(),
        );
    }
    for source in sources(fits) {
        if optima.iter().all(|optimum| optimum.source != source) {
            notes.push(format!(
                "{source}: no two shares have a law that applies at {}, D = {}",
                at.size, at.tokens
            ));
        }
    }
    notes.extend(extrapolation_note(points, at));
    notes.extend(misses_note(points, fits, at, optima));
    let most = points.iter().map(|point| point.epochs).fold(0.0, f64::max);
    if most > MAX_EPOCHS {
        notes.push(format!(
            "a text was read up to {most:.1} times; D counts every pass in full, although passes beyond the fourth are worth less than fresh text"
        ));
    }
    notes
}

/// A note on the laws behind the predictions that miss the runs where they are made.
fn misses_note(points: &[Point], fits: &[LawFit], at: PredictionPoint, optima: &[Optimum]) -> Option<String> {
    let (parameters, tokens) = at.coordinates();
    let is_behind = |fit: &&LawFit| {
        optima.iter().any(|optimum| optimum.form == fit.form) && applies_at(fit, fit.form, at)
    };
    let miss = |fit: &LawFit| {
        let is_there =
            |point: &&Point| point.blend == fit.blend && point.size == at.size && point.tokens == at.tokens;
        let losses: Vec<f64> = points.iter().filter(is_there).map(|point| point.loss_nats).collect();
        let mean = losses.iter().sum::<f64>() / losses.len() as f64;
        let predicted = fit.loss(parameters, tokens);
        // False where there is no such run.
        ((predicted / mean - 1.0).abs() > MAX_MISS)
            .then(|| format!("{} ({predicted:.3} nats, the runs have {mean:.3})", fit.blend))
    };
    let missed: Vec<String> = fits.iter().filter(is_behind).filter_map(miss).collect();
    (!missed.is_empty()).then(|| {
        format!(
            "laws that do not describe the runs at {}, D = {}: {}; best shares and speed-ups that rest on them are those \
             of the laws, not of the runs",
            at.size,
            at.tokens,
            missed.join(", ")
        )
    })
}

/// A note if predictions are for a larger model, or more tokens, than any run had.
fn extrapolation_note(points: &[Point], at: PredictionPoint) -> Option<String> {
    let max_tokens = points.iter().map(|point| point.tokens.0).max().unwrap_or(0);
    let max_parameters = points.iter().filter_map(|point| point.size.parameters()).max().unwrap_or(0);
    if at.tokens.0 <= max_tokens && at.size.parameters().unwrap_or(0) <= max_parameters {
        return None;
    }
    let largest_size = match max_parameters {
        0 => String::new(),
        largest => format!("N = {}, ", Tokens(largest)),
    };
    Some(format!(
        "{}, D = {} is beyond the largest runs ({largest_size}D = {}): predictions there assume that the laws continue to hold",
        at.size,
        at.tokens,
        Tokens(max_tokens)
    ))
}
