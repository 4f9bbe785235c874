//! The metrics that verdicts are based on, and how large a difference must be to matter in practice.
//!
//! There are two or three headline metrics per family, so that no family depends on a single number. At equal sample
//! sizes, the bias of a metric is the same for arm and control. The practical sizes are conventions: how large a loss
//! must be to matter in use has not been measured. The reasons for them:
//!
//! * held-out loss: 0.1 nats per token is 10 % more perplexity, about the effect of a quarter of the parameters; for tail
//!   tokens, whose loss is about three times as high and as noisy, 0.25 nats;
//! * entropy: 0.1 nats is 10 % fewer effective types (`exp H`); a bigram has two tokens, hence 0.2 nats;
//! * tail: a tenth of the tail.

use crate::measure::Family;

/// A metric that verdicts are based on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct HeadlineMetric {
    /// Id of the metric.
    pub metric: &'static str,
    /// The family of the metric. Evidence is counted by family.
    pub family: Family,
    /// The change in the narrowing direction that matters in practice. Positive, in the metric's unit.
    pub practical: f64,
    /// +1 where narrowing raises the metric, −1 where it lowers it.
    pub sign: f64,
}

const HEADLINE_METRICS: [HeadlineMetric; 8] = [
    HeadlineMetric { metric: "tail_coverage", family: Family::Tail, practical: 0.10, sign: -1.0 },
    HeadlineMetric { metric: "tail_mass", family: Family::Tail, practical: 0.10, sign: -1.0 },
    HeadlineMetric { metric: "tail_coverage_words", family: Family::Tail, practical: 0.10, sign: -1.0 },
    HeadlineMetric { metric: "unigram_entropy", family: Family::Entropy, practical: 0.10, sign: -1.0 },
    HeadlineMetric { metric: "bigram_entropy", family: Family::Entropy, practical: 0.20, sign: -1.0 },
    HeadlineMetric { metric: "predictive_entropy", family: Family::Entropy, practical: 0.10, sign: -1.0 },
    HeadlineMetric { metric: "heldout_loss", family: Family::HeldOut, practical: 0.10, sign: 1.0 },
    HeadlineMetric { metric: "heldout_loss_tail", family: Family::HeldOut, practical: 0.25, sign: 1.0 },
];

/// The headline metrics, family by family.
#[must_use]
pub fn headline_metrics() -> &'static [HeadlineMetric] {
    &HEADLINE_METRICS
}

/// The headline metric called `id`, if there is one.
pub(super) fn headline_metric(id: &str) -> Option<&'static HeadlineMetric> {
    HEADLINE_METRICS.iter().find(|headline| headline.metric == id)
}

/// The difference in a headline metric that matters in practice, signed in the narrowing direction. None for other
/// metrics.
#[must_use]
pub fn practical_size(id: &str) -> Option<f64> {
    headline_metric(id).map(|headline| headline.sign * headline.practical)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::{Catalogue, Direction};

    #[test]
    fn headline_metrics_are_in_the_catalogue_with_the_same_family_and_direction() {
        let catalogue = Catalogue::builtin();
        for headline in headline_metrics() {
            let known = catalogue.get(headline.metric).expect(headline.metric);
            let direction = if headline.sign > 0.0 { Direction::Up } else { Direction::Down };
            assert_eq!((known.family, known.narrowing), (headline.family, direction), "{}", headline.metric);
        }
    }
}
