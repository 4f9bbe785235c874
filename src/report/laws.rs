//! Fitted laws as tables, for the terminal and the page.

use crate::fit::{Fitted, LawConstant, LawFit, Optimum, ShareLoss, SpeedUp};
use crate::units::Tokens;

/// The subject of a table of fitted laws.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FitTopic {
    /// Constants of each law, with its held-out error.
    Laws,
    /// Predicted loss by share of one kind of synthetic text.
    Shares,
    /// Tokens that each blend needs to reach the loss of natural text.
    SpeedUps,
}

/// A table of fitted laws, with the text around it.
pub struct FitTable {
    /// Subject of the table.
    pub topic: FitTopic,
    /// None for the first table, which lists the laws.
    pub title: Option<String>,
    /// Column names.
    pub header: &'static [&'static str],
    /// Rows, each as long as the header.
    pub rows: Vec<Vec<String>>,
    /// A note on how to read the table.
    pub below: Option<String>,
}

/// Returns a table of the laws, a table of predicted losses by share for each kind of synthetic text, and a table of
/// the tokens that blends save.
#[must_use]
pub fn tables(fitted: &Fitted) -> Vec<FitTable> {
    let at = format!("{}, D = {}", fitted.at.size, fitted.at.tokens);
    let laws = FitTable {
        topic: FitTopic::Laws,
        title: None,
        header: &LAWS,
        rows: fitted.fits.iter().map(law).collect(),
        below: Some(MEANING.to_owned()),
    };
    let shares = fitted.optima.iter().map(|optimum| FitTable {
        topic: FitTopic::Shares,
        title: Some(format!("{}: predicted loss at {at}, by {}", optimum.source, optimum.form)),
        header: &SHARES,
        rows: optimum.losses.iter().map(share).collect(),
        below: Some(best(optimum)),
    });
    let speed_ups = (!fitted.speed_ups.is_empty()).then(|| FitTable {
        topic: FitTopic::SpeedUps,
        title: Some(format!("Tokens needed to reach the loss of natural text at {at}")),
        header: &SPEED_UPS,
        rows: fitted.speed_ups.iter().map(speed_up).collect(),
        below: None,
    });
    std::iter::once(laws).chain(shares).chain(speed_ups).collect()
}

const LAWS: [&str; 9] = ["trained on", "law", "of", "points", "E", "α", "β", "A, B", "held-out error"];

const MEANING: &str = "L = E + A·N^−α + B·D^−β: held-out loss in nats per token, N parameters, D tokens seen. In \
    brackets 95 % intervals. Held-out error: the relative error, in the largest runs, of a law that was fitted without them.";

fn law(fit: &LawFit) -> Vec<String> {
    let scales = fit.constants.iter().filter(|constant| ["A", "B"].contains(&constant.name));
    let scales: Vec<String> = scales.map(|constant| format!("{:.2e}", constant.value)).collect();
    let error = fit.heldout.map_or("–".to_owned(), |held| format!("{:.2} %", 100.0 * held.relative_error));
    vec![
        fit.blend.to_string(),
        fit.form.to_string(),
        fit.fixed().unwrap_or_else(|| "all".to_owned()),
        fit.points.to_string(),
        constant(fit, "E"),
        constant(fit, "alpha"),
        constant(fit, "beta"),
        scales.join(", "),
        error,
    ]
}

/// A constant of a law with its interval: "0.35 [0.31, 0.39]".
fn constant(fit: &LawFit, wanted: &str) -> String {
    let found = fit.constants.iter().find(|constant| constant.name == wanted);
    found.map_or("–".to_owned(), |LawConstant { value, interval: [low, high], .. }| {
        format!("{value:.3} [{low:.3}, {high:.3}]")
    })
}

const SHARES: [&str; 2] = ["synthetic", "loss, nats [95 %]"];

fn share(at: &ShareLoss) -> Vec<String> {
    let [low, high] = at.interval;
    vec![percent(at.share), format!("{:.3} [{low:.3}, {high:.3}]", at.loss_nats)]
}

/// "Best share of synthetic text: 31 % [24 %, 40 %], between shares that were run."
fn best(optimum: &Optimum) -> String {
    let [low, high] = optimum.interval.map(percent);
    let (share, words) = (percent(optimum.share), optimum.reading.words());
    format!("Best share of synthetic text: {share} [{low}, {high}], {words}.")
}

fn percent(share: f64) -> String {
    format!("{:.0} %", 100.0 * share)
}

const SPEED_UPS: [&str; 5] = ["trained on", "law", "loss, nats", "tokens", "speed-up [95 %]"];

fn speed_up(found: &SpeedUp) -> Vec<String> {
    let times = |factor: f64| match factor {
        1000.0.. => "over 1000×".to_owned(),
        factor if factor > 0.0 => format!("{factor:.2}×"),
        _ => "never".to_owned(),
    };
    let tokens = found.tokens.map_or("never".to_owned(), |tokens| Tokens(tokens.round() as u64).to_string());
    let [low, high] = found.interval.map(times);
    let factor = format!("{} [{low}, {high}]", times(found.speed_up));
    vec![found.blend.to_string(), found.form.to_string(), format!("{:.3}", found.loss_nats), tokens, factor]
}
