//! Which share of synthetic text gives the least loss?
//!
//! Every share that was run has a law of its own; together they foresee a loss for each share at the size and tokens
//! asked. The minimum is the vertex of the parabola through the least of these losses and its two neighbours, and at an
//! end of the shares where the least loss stands there. Refitted laws give it an interval: draw b of one share goes with
//! draw b of the others.

use super::bootstrap::{Interval, LawFit, interval};
use super::{LawForm, PredictionPoint};
use serde::Serialize;

/// The share that minimises the loss foreseen.
#[derive(Clone, Debug, Serialize)]
pub struct Optimum {
    /// How the synthetic text was written.
    pub source: String,
    /// The form of the laws that foresee.
    pub form: LawForm,
    /// What they foresee, by share.
    pub losses: Vec<ShareLoss>,
    /// The best share of synthetic text, 0 to 1.
    pub share: f64,
    /// Its interval.
    pub interval: Interval,
    /// How to read it.
    pub reading: OptimumPosition,
}

/// The loss foreseen for a share of synthetic text.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct ShareLoss {
    /// The share, 0 to 1.
    pub share: f64,
    /// The loss, nats per token.
    pub loss_nats: f64,
    /// Its interval.
    pub interval: Interval,
}

/// What a minimum means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum OptimumPosition {
    /// It lies between shares that were run.
    Inside,
    /// It lies at the least share that was run: natural text alone, if that was run.
    AtLeast,
    /// It lies at the greatest share that was run.
    AtGreatest,
    /// Its interval holds every share that was run.
    Undecided,
}

impl OptimumPosition {
    /// In words.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Inside => "between shares that were run",
            Self::AtLeast => "at the least share that was run",
            Self::AtGreatest => "at the greatest share that was run",
            Self::Undecided => "undecided: the interval holds every share that was run",
        }
    }
}

/// The best share among `fits`, laws of one form and source, natural text included: at least two shares.
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

/// Where (x, y), in ascending order of x, is lowest, by the parabola through the lowest point and its neighbours.
fn lowest(points: &[(f64, f64)]) -> f64 {
    let place = (0..points.len()).min_by(|&a, &b| points[a].1.total_cmp(&points[b].1)).unwrap_or(0);
    let inside = place.checked_sub(1).and_then(|before| points.get(before..place + 2));
    let Some([(x0, y0), (x1, y1), (x2, y2)]) = inside else { return points[place].0 };
    // Slopes of both sides; their difference is not negative, because the middle is lowest.
    let (left, right) = ((y1 - y0) / (x1 - x0), (y2 - y1) / (x2 - x1));
    if right - left > 0.0 { (x0 + x1) / 2.0 - left * (x2 - x0) / (2.0 * (right - left)) } else { *x1 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parabola_is_lowest_at_its_vertex() {
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
