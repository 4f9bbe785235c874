//! Which share of synthetic text gives the lowest loss?
//!
//! Every share that was run has its own law, and together the laws predict a loss for each share at the same size and
//! number of tokens. The optimum is the vertex of the parabola through the lowest of these losses and its two
//! neighbours, or an end of the range of shares if the lowest loss is there. The interval of the optimum comes from the
//! refitted laws: refit b of the law of one share is combined with refit b of the laws of the others.

use super::bootstrap::{Interval, LawFit, interval};
use super::{LawForm, PredictionPoint};
use serde::Serialize;

/// The share of synthetic text with the lowest predicted loss.
#[derive(Clone, Debug, Serialize)]
pub struct Optimum {
    /// The kind of synthetic text, as in [`Blend::source`](super::Blend::source).
    pub source: String,
    /// The common form of all laws.
    pub form: LawForm,
    /// Predicted losses in ascending order of the share.
    pub losses: Vec<ShareLoss>,
    /// The optimal share of synthetic text, 0 to 1.
    pub share: f64,
    /// 95 % interval of the optimal share.
    pub interval: Interval,
    /// Where the optimum is among the shares that were run.
    pub reading: OptimumPosition,
}

/// The predicted loss of one share of synthetic text.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct ShareLoss {
    /// Share of synthetic text, 0 to 1.
    pub share: f64,
    /// Predicted loss in nats per token.
    pub loss_nats: f64,
    /// 95 % interval of the loss.
    pub interval: Interval,
}

/// Where an optimal share is among the shares that were run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum OptimumPosition {
    /// Between the smallest and the largest.
    Inside,
    /// At the smallest, which is natural text alone if that was run.
    AtLeast,
    /// At the largest.
    AtGreatest,
    /// Unknown: the interval spans every share that was run.
    Undecided,
}

impl OptimumPosition {
    /// Phrase for tables.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Inside => "between shares that were run",
            Self::AtLeast => "at the smallest share that was run",
            Self::AtGreatest => "at the largest share that was run",
            Self::Undecided => "undecided: the interval holds every share that was run",
        }
    }
}

/// The optimal share among `fits`, which are laws of one form and source, including the law of natural text. None for
/// fewer than two shares.
pub(super) fn optimum(source: &str, fits: &[&LawFit], at: PredictionPoint) -> Option<Optimum> {
    let mut fits = fits.to_vec();
    fits.sort_by_key(|fit| fit.blend.synthetic_percent);
    let (first, last) = (fits.first()?, fits.last()?);
    let (least, greatest) = (first.blend.share(), last.blend.share());
    if fits.len() < 2 {
        return None;
    }
    let (n, d) = at.coordinates();
    let share_of = |losses: Vec<f64>| {
        let points: Vec<(f64, f64)> = fits.iter().map(|fit| fit.blend.share()).zip(losses).collect();
        lowest(&points)
    };
    let share = share_of(fits.iter().map(|fit| fit.loss(n, d)).collect());
    let draws = fits.iter().map(|fit| fit.draws.len()).min().unwrap_or(0);
    let drawn = (0..draws).map(|b| share_of(fits.iter().map(|fit| fit.draws[b].loss(n, d)).collect()));
    let interval = interval(drawn);
    let reading = match share {
        _ if interval[0] <= least && interval[1] >= greatest => OptimumPosition::Undecided,
        _ if share <= least => OptimumPosition::AtLeast,
        _ if share >= greatest => OptimumPosition::AtGreatest,
        _ => OptimumPosition::Inside,
    };
    let loss = |fit: &&LawFit| ShareLoss {
        share: fit.blend.share(),
        loss_nats: fit.loss(n, d),
        interval: fit.band(n, d),
    };
    let losses = fits.iter().map(loss).collect();
    Some(Optimum { source: source.to_owned(), form: first.form, losses, share, interval, reading })
}

/// The x of the minimum of points (x, y) in ascending order of x: the vertex of the parabola through the lowest point and
/// its neighbours.
fn lowest(points: &[(f64, f64)]) -> f64 {
    let index = (0..points.len()).min_by(|&a, &b| points[a].1.total_cmp(&points[b].1)).unwrap_or(0);
    let neighbours = index.checked_sub(1).and_then(|before| points.get(before..index + 2));
    let Some([(x0, y0), (x1, y1), (x2, y2)]) = neighbours else { return points[index].0 };
    // The right slope minus the left slope is not negative, because the middle point is the lowest.
    let (left, right) = ((y1 - y0) / (x1 - x0), (y2 - y1) / (x2 - x1));
    if right - left > 0.0 { (x0 + x1) / 2.0 - left * (x2 - x0) / (2.0 * (right - left)) } else { *x1 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_minimum_of_a_parabola_is_its_vertex() {
        let parabola = |x: f64| (x, 3.0 + 0.7 * (x - 0.41).powi(2));
        assert!((lowest(&[0.0, 0.33, 0.67, 1.0].map(parabola)) - 0.41).abs() < 1e-12);
        assert!((lowest(&[0.0, 0.2, 0.9].map(parabola)) - 0.41).abs() < 1e-12);
    }

    #[test]
    fn a_minimum_at_an_end_stays_there() {
        assert_eq!(lowest(&[(0.0, 1.0), (0.5, 2.0), (1.0, 3.0)]), 0.0);
        assert_eq!(lowest(&[(0.0, 3.0), (1.0, 2.0)]), 1.0);
        assert_eq!(lowest(&[(0.0, 1.0), (0.5, 1.0), (1.0, 1.0)]), 0.0);
    }
}
