//! *Importance resampling*: documents are kept in proportion to their odds of being natural, so that what is left is
//! distributed like natural text as far as the odds are right.
//!
//! Between as many natural as synthetic documents, the odds of being natural are the ratio of densities,
//! `w(x) = p(x) / q(x)`, and a sample of q thinned by w is a sample of p. Drayson et al. (2025) draw documents of a given
//! pool, up to three copies of each, in proportion to a power of a detector's confidence that they are natural. Here more
//! can be written, so that no document has to stand twice: one is kept with the probability `min(w, m) / m` (rejection
//! sampling, von Neumann 1951), and odds above m count as m (truncated weights, Ionides 2008).
//!
//! The setting is the cost: m is such that one document in so many is kept. As `E_q w = 1`, m is the cost itself while no
//! odds exceed it. A detector that is nearly always right has found nearly all odds small, and m then is small, too:
//! documents compete with each other, as in a pool.
//!
//! **Pitfall.** No odds bring back what the model no longer writes.

use super::detector::{Detector, DetectorRecord};
use super::{Candidate, Filter, Pilot, SelectionRule};
use crate::documents::{Documents, TokenId};
use crate::seed::{Stream, StreamKey};
use rand::Rng;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Keep documents in proportion to their odds of being natural, about one of this many.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(extend("minimum" = 1.0, "maximum" = 64.0))]
pub struct ImportanceResampling(pub f64);

impl SelectionRule for ImportanceResampling {
    fn name() -> &'static str {
        "importance"
    }

    fn documents_per_kept(&self) -> f64 {
        self.0
    }

    fn needs_pilot(&self) -> bool {
        true
    }

    fn start(&self, pilot: Option<&mut Pilot>, key: &StreamKey) -> Box<dyn Filter> {
        let learned =
            pilot.map(|pilot| Importance::learn(pilot.natural, pilot.written, self.0, &mut pilot.stream));
        Box::new(ImportanceFilter { learned, key: key.clone() })
    }
}

/// Importance resampling of one corpus. Without a pilot to learn from, every document is kept.
struct ImportanceFilter {
    learned: Option<(Importance, ImportanceRecord)>,
    key: StreamKey,
}

impl Filter for ImportanceFilter {
    fn filter(&mut self, group: &[Candidate], passing: &mut Vec<usize>) {
        if let Some((importance, _)) = &self.learned {
            passing.retain(|&index| {
                let Candidate { item, document, .. } = group[index];
                importance.keeps(document, &mut self.key.stream(item))
            });
        }
    }

    fn record(&self) -> Option<serde_json::Value> {
        let (_, record) = self.learned.as_ref()?;
        serde_json::to_value(record).ok()
    }
}

/// Keeps documents in proportion to their odds.
pub struct Importance {
    detector: Detector,
    /// The natural logarithm of the largest odds that count.
    log_most: f64,
}

/// What importance resampling went by.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ImportanceRecord {
    /// The detector.
    pub detector: DetectorRecord,
    /// Odds of being natural that are kept for certain; larger ones count no more.
    pub most_odds: f64,
}

impl Importance {
    /// Learns the odds from documents of both kinds, as [`Detector::learn`], and keeps about one document of `cost` of
    /// those that are written like the `synthetic` ones.
    #[must_use]
    pub fn learn(
        natural: &Documents,
        synthetic: &Documents,
        cost: f64,
        rng: &mut Stream,
    ) -> (Self, ImportanceRecord) {
        let (detector, record) = Detector::learn(natural, synthetic, rng);
        let unseen: Vec<f64> =
            Detector::assessing(synthetic).map(|document| detector.log_odds(document)).collect();
        let log_most = log_most(&unseen, cost);
        (Self { detector, log_most }, ImportanceRecord { detector: record, most_odds: log_most.exp() })
    }

    /// Draws whether a document is kept.
    #[must_use]
    pub fn keeps(&self, document: &[TokenId], rng: &mut Stream) -> bool {
        keeps(self.detector.log_odds(document), self.log_most, rng)
    }
}

/// Draws whether a document with these odds is kept, where odds count up to a most; natural logarithms of both.
fn keeps(log_odds: f64, log_most: f64, rng: &mut Stream) -> bool {
    rng.random::<f64>() < (log_odds - log_most).exp()
}

/// The logarithm of the m at which the mean of `min(w, m) / m` is one in `cost`, by bisection: it falls in m.
fn log_most(log_odds: &[f64], cost: f64) -> f64 {
    let kept = |log_most: f64| {
        let sum: f64 = log_odds.iter().map(|odds| (odds - log_most).min(0.0).exp()).sum();
        sum / log_odds.len() as f64
    };
    let mut low = log_odds.iter().copied().fold(f64::INFINITY, f64::min);
    let mut high = log_odds.iter().copied().fold(f64::NEG_INFINITY, f64::max) + cost.ln();
    for _ in 0..100 {
        let middle = f64::midpoint(low, high);
        if kept(middle) * cost > 1.0 {
            low = middle;
        } else {
            high = middle;
        }
    }
    high
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed::StreamKey;

    const NATURAL: [f64; 4] = [0.4, 0.3, 0.2, 0.1];
    const SYNTHETIC: [f64; 4] = [0.7, 0.2, 0.08, 0.02];
    const DRAWS: usize = 200_000;

    /// Frequencies of what is left of `DRAWS` samples of `SYNTHETIC`, and how many those are.
    fn kept(most: f64) -> ([f64; 4], usize) {
        let mut rng = StreamKey::new(1, "test", 0, "importance").stream(0);
        let mut counts = [0_usize; 4];
        for _ in 0..DRAWS {
            let at: f64 = rng.random();
            let mut below = 0.0;
            let drawn = SYNTHETIC.iter().position(|q| {
                below += q;
                at < below
            });
            let x = drawn.unwrap_or(3);
            counts[x] += usize::from(keeps((NATURAL[x] / SYNTHETIC[x]).ln(), most.ln(), &mut rng));
        }
        let all: usize = counts.iter().sum();
        (counts.map(|count| count as f64 / all as f64), all)
    }

    fn kl(p: [f64; 4], q: [f64; 4]) -> f64 {
        p.iter().zip(q).map(|(p, q)| p * (p / q).ln()).sum()
    }

    /// The odds are 4/7, 3/2, 5/2 and 5. With m = 5 none is cut off: one in five is kept, and what is kept is natural; each
    /// frequency within 5 standard errors.
    #[test]
    fn known_odds_bring_the_natural_distribution_back() {
        let (frequencies, count) = kept(5.0);
        let share = count as f64 / DRAWS as f64;
        assert!((share - 0.2).abs() < 5.0 * (0.16 / DRAWS as f64).sqrt(), "{share}");
        for (found, p) in frequencies.iter().zip(NATURAL) {
            assert!((found - p).abs() < 5.0 * (p * (1.0 - p) / count as f64).sqrt(), "{frequencies:?}");
        }
    }

    /// With m = 1, `min(w, 1) q` is (0.4, 0.2, 0.08, 0.02): 70 % are kept, and the divergence from natural text falls from
    /// 0.242 to 0.109 nats, by the formula.
    #[test]
    fn odds_that_are_cut_off_bring_it_part_of_the_way() {
        let (frequencies, count) = kept(1.0);
        let share = count as f64 / DRAWS as f64;
        assert!((share - 0.7).abs() < 5.0 * (0.21 / DRAWS as f64).sqrt(), "{share}");
        let expected = [0.4, 0.2, 0.08, 0.02].map(|mass| mass / 0.7);
        assert!((kl(NATURAL, frequencies) - kl(NATURAL, expected)).abs() < 0.01, "{frequencies:?}");
        assert!(kl(NATURAL, expected) < 0.5 * kl(NATURAL, SYNTHETIC));
    }

    /// Of even odds one in 4 is kept with m = 4. Of the odds 8, 2, 1 and 1, two in 4 with m = 4: 1 + 1/2 + 1/4 + 1/4. The
    /// same odds a thousandth as large compete in the same way.
    #[test]
    fn the_largest_odds_that_count_are_those_that_meet_the_cost() {
        assert!((log_most(&[0.0; 10], 4.0) - 4.0_f64.ln()).abs() < 1e-12);
        let odds = [8.0, 2.0, 1.0, 1.0];
        assert!((log_most(&odds.map(f64::ln), 2.0) - 4.0_f64.ln()).abs() < 1e-12);
        assert!((log_most(&odds.map(|w: f64| (w / 1000.0).ln()), 2.0) - 0.004_f64.ln()).abs() < 1e-12);
        assert!((log_most(&odds.map(f64::ln), 1.0)).abs() < 1e-12, "everything is kept");
    }
}
