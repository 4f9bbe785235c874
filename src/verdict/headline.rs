//! The metrics that a verdict rests on, and how large a difference has to be to matter.
//!
//! Two or three per family, chosen because their bias at equal sample size is the same for arm and control and
//! because each family then speaks through more than one number. The sizes are conventions with reasons; what loss
//! matters in use has not been measured:
//!
//! * held-out loss: 0.1 nats per token is 10 % more perplexity, about what a quarter of the parameters buys; on tail
//!   tokens, whose loss is some three times as high and as noisy, 0.25 nats;
//! * entropy: 0.1 nats is 10 % fewer effective types (`exp H`); bigrams are two tokens, hence 0.2 nats;
//! * tail: a tenth of the tail.

use crate::measure::Family;

/// A metric that a verdict rests on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Headline {
    /// Id of the metric.
    pub metric: &'static str,
    /// The family it speaks for.
    pub family: Family,
    /// How large a narrowing matters in practice. Positive, in the metric's unit.
    pub practical: f64,
    /// +1 where narrowing raises the metric, −1 where it lowers it.
    pub sign: f64,
}

const HEADLINES: [Headline; 8] = [
    Headline { metric: "tail_coverage", family: Family::Tail, practical: 0.10, sign: -1.0 },
    Headline { metric: "tail_mass", family: Family::Tail, practical: 0.10, sign: -1.0 },
    Headline { metric: "tail_coverage_words", family: Family::Tail, practical: 0.10, sign: -1.0 },
    Headline { metric: "unigram_entropy", family: Family::Entropy, practical: 0.10, sign: -1.0 },
    Headline { metric: "bigram_entropy", family: Family::Entropy, practical: 0.20, sign: -1.0 },
    Headline { metric: "predictive_entropy", family: Family::Entropy, practical: 0.10, sign: -1.0 },
    Headline { metric: "heldout_loss", family: Family::HeldOut, practical: 0.10, sign: 1.0 },
    Headline { metric: "heldout_loss_tail", family: Family::HeldOut, practical: 0.25, sign: 1.0 },
];

/// The headline metrics, family by family.
#[must_use]
pub fn headline() -> &'static [Headline] {
    &HEADLINES
}

/// The entry of the metric called `id`, if a verdict rests on it.
pub(super) fn of(id: &str) -> Option<&'static Headline> {
    HEADLINES.iter().find(|headline| headline.metric == id)
}

/// How large a difference in the metric called `id` matters in practice, signed in the narrowing direction.
#[must_use]
pub fn practical_size(id: &str) -> Option<f64> {
    of(id).map(|headline| headline.sign * headline.practical)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::{Catalogue, Direction};

    #[test]
    fn headline_metrics_are_in_the_catalogue_with_the_same_family_and_direction() {
        let catalogue = Catalogue::builtin();
        for headline in headline() {
            let known = catalogue.get(headline.metric).expect(headline.metric);
            let direction = if headline.sign > 0.0 { Direction::Up } else { Direction::Down };
            assert_eq!((known.family, known.narrowing), (headline.family, direction), "{}", headline.metric);
        }
    }
}
