//! A fit in tables for people.

use crate::fit::{Fitted, Form, LawFit, Optimum, SpeedUp};
use crate::units::Tokens;

/// The tables, each drawn by `draw` out of a header and rows, and what to know besides.
pub(super) fn text(fitted: &Fitted, draw: impl Fn(&[&str], &[Vec<String>]) -> String) -> String {
    let at = format!("{}, D = {}", fitted.at.size, fitted.at.tokens);
    let mut text = draw(&LAWS, &fitted.fits.iter().map(law).collect::<Vec<_>>());
    text.push_str(MEANING);
    for optimum in &fitted.optima {
        text.push_str(&format!("\n{}: loss foreseen at {at}, by {}\n\n", optimum.source, optimum.form));
        text.push_str(&draw(&SHARES, &optimum.losses.iter().map(share).collect::<Vec<_>>()));
        text.push_str(&format!("\n{}\n", best(optimum)));
    }
    if let Some(first) = fitted.speed_ups.first() {
        text.push_str(&format!(
            "\nTokens to the loss that natural text reaches at {at}: {:.3} nats\n\n",
            first.loss_nats
        ));
        text.push_str(&draw(&SPEED_UPS, &fitted.speed_ups.iter().map(speed_up).collect::<Vec<_>>()));
    }
    text.extend(fitted.notes.iter().map(|note| format!("\nNote: {note}.\n")));
    text
}

const LAWS: [&str; 9] = ["trained on", "law", "of", "points", "E", "α", "β", "A, B", "held-out error"];

const MEANING: &str = "\nL = E + A·N^−α + B·D^−β: held-out loss in nats per token, N parameters, D tokens seen. In brackets 95 %\n\
    intervals. Held-out error: how far a law fitted without the largest runs is off in them.\n";

fn law(fit: &LawFit) -> Vec<String> {
    let constants: Vec<_> = fit.law.constants().into_iter().zip(&fit.intervals).collect();
    let found = |wanted: &str| {
        let shown =
            |(_, value): (&str, f64), [low, high]: &[f64; 2]| format!("{value:.3} [{low:.3}, {high:.3}]");
        constants
            .iter()
            .find(|((name, _), _)| *name == wanted)
            .map_or("–".to_owned(), |(c, i)| shown(*c, i))
    };
    let scales = constants.iter().filter(|((name, _), _)| ["A", "B"].contains(name));
    let scales: Vec<String> = scales.map(|((_, value), _)| format!("{value:.2e}")).collect();
    let fixed = match (fit.size, fit.tokens) {
        (Some(size), _) => size.to_string(),
        (_, Some(tokens)) => format!("D = {tokens}"),
        (None, None) => "all".to_owned(),
    };
    let error = fit.heldout.map_or("–".to_owned(), |held| format!("{:.2} %", 100.0 * held.relative_error));
    let first = [fit.blend.to_string(), fit.form.to_string(), fixed, fit.points.to_string()];
    first.into_iter().chain([found("E"), found("alpha"), found("beta"), scales.join(", "), error]).collect()
}

const SHARES: [&str; 2] = ["synthetic", "loss, nats [95 %]"];

fn share(at: &crate::fit::ShareLoss) -> Vec<String> {
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

const SPEED_UPS: [&str; 4] = ["trained on", "law", "tokens", "speed-up [95 %]"];

fn speed_up(found: &SpeedUp) -> Vec<String> {
    let times = |factor: f64| if factor > 0.0 { format!("{factor:.2}×") } else { "never".to_owned() };
    let tokens = found.tokens.map_or("never".to_owned(), |tokens| Tokens(tokens.round() as u64).to_string());
    let [low, high] = found.interval.map(times);
    let form: Form = found.form;
    let factor = format!("{} [{low}, {high}]", times(found.speed_up));
    vec![found.blend.to_string(), form.to_string(), tokens, factor]
}
