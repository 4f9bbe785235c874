//! *Importance resampling*: keep documents in proportion to their odds of being natural, so that the kept documents are
//! distributed like natural text, as far as the odds are correct.
//!
//! If natural (p) and synthetic (q) documents are equally frequent, the odds that a document x is natural are the ratio
//! of densities `w(x) = p(x) / q(x)`, and a sample of q thinned in proportion to w is a sample of p. Drayson et al.
//! (2025) draw up to three copies of each document from a fixed pool, in proportion to a power of a detector's
//! confidence. Here the model can write more documents, so none needs to be copied: a document is kept with probability
//! `min(w, m) / m` (rejection sampling, von Neumann 1951), where odds above m count as m (truncated weights, Ionides
//! 2008).
//!
//! The setting is the cost: the number of documents written for each one kept. It determines m. As `E_q w = 1`, m
//! equals the cost as long as no odds exceed it. A detector that is nearly always right assigns small odds to nearly
//! all synthetic documents. Then m is small, too, and a document is kept in proportion to its odds relative to the
//! other documents.
//!
//! **Pitfall.** Resampling cannot bring back text that the model no longer writes.

use super::detector::{Detector, DetectorRecord};
use super::{Candidate, Filter, Pilot, RuleNeeds, SelectionRule};
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

    fn needs(&self) -> RuleNeeds {
        RuleNeeds { documents_per_kept: self.0, pilot: true, ..RuleNeeds::TOKENS }
    }

    fn start(&self, pilot: Option<&mut Pilot>, key: &StreamKey) -> Box<dyn Filter> {
        let fitted =
            pilot.map(|pilot| Importance::learn(pilot.natural, pilot.written, self.0, &mut pilot.stream));
        Box::new(ImportanceFilter { fitted, key: key.clone() })
    }
}

/// Importance resampling of one corpus. Keeps every document if there was no pilot sample to fit to.
struct ImportanceFilter {
    fitted: Option<(Importance, ImportanceRecord)>,
    key: StreamKey,
}

impl Filter for ImportanceFilter {
    fn filter(&mut self, group: &[Candidate], passing: &mut Vec<usize>) {
        if let Some((importance, _)) = &self.fitted {
            passing.retain(|&index| {
                let Candidate { item, document, .. } = group[index];
                importance.keeps(document, &mut self.key.stream(item))
            });
        }
    }

    fn record(&self) -> Option<serde_json::Value> {
        let (_, record) = self.fitted.as_ref()?;
        serde_json::to_value(record).ok()
    }
}

/// A detector of synthetic text, together with the odds from which on documents are always kept.
pub struct Importance {
    detector: Detector,
    /// Natural logarithm of the truncation point m.
    log_most: f64,
}

/// Fitted parameters of importance resampling.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ImportanceRecord {
    /// Sample size and accuracy of the detector.
    pub detector: DetectorRecord,
    /// The truncation point m: documents whose odds of being natural are at least m are always kept.
    pub most_odds: f64,
}

impl Importance {
    /// Trains a detector as [`Detector::learn`] does, and sets m so that about one in `cost` documents distributed like
    /// `synthetic` is kept. `cost` is at least 1.
    #[must_use]
    pub fn learn(
        natural: &Documents,
        synthetic: &Documents,
        cost: f64,
        rng: &mut Stream,
    ) -> (Self, ImportanceRecord) {
        let (detector, record) = Detector::learn(natural, synthetic, rng);
        let unseen: Vec<f64> =
            Detector::test_fold(synthetic).map(|document| detector.log_odds(document)).collect();
        let log_most = log_most(&unseen, cost);
        (Self { detector, log_most }, ImportanceRecord { detector: record, most_odds: log_most.exp() })
    }

    /// Draws whether to keep a document: true with probability `min(w, m) / m`.
    #[must_use]
    pub fn keeps(&self, document: &[TokenId], rng: &mut Stream) -> bool {
        keeps(self.detector.log_odds(document), self.log_most, rng)
    }
}

/// True with probability `min(w, m) / m`, given the natural logarithms of w and m.
fn keeps(log_odds: f64, log_most: f64, rng: &mut Stream) -> bool {
    rng.random::<f64>() < (log_odds - log_most).exp()
}

/// The natural logarithm of the m at which the mean of `min(w, m) / m` is `1 / cost`. It is found by bisection, because
/// the mean decreases as m grows.
fn log_most(log_odds: &[f64], cost: f64) -> f64 {
    let kept_share = |log_most: f64| {
        let sum: f64 = log_odds.iter().map(|odds| (odds - log_most).min(0.0).exp()).sum();
        sum / log_odds.len() as f64
    };
    let mut low = log_odds.iter().copied().fold(f64::INFINITY, f64::min);
    let mut high = log_odds.iter().copied().fold(f64::NEG_INFINITY, f64::max) + cost.ln();
    for _ in 0..100 {
        let middle = f64::midpoint(low, high);
        if kept_share(middle) * cost > 1.0 {
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

    /// Resamples `DRAWS` draws from `SYNTHETIC` with truncation at `most`. Returns the frequencies among the kept
    /// draws, and their number.
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

    /// The odds are 4/7, 3/2, 5/2 and 5. With m = 5 none is truncated: one in five documents is kept, and the kept ones
    /// follow the natural distribution. Tolerance: 5 standard errors of each frequency; fixed seed.
    #[test]
    fn known_odds_restore_the_natural_distribution() {
        let (frequencies, count) = kept(5.0);
        let share = count as f64 / DRAWS as f64;
        assert!((share - 0.2).abs() < 5.0 * (0.16 / DRAWS as f64).sqrt(), "{share}");
        for (found, p) in frequencies.iter().zip(NATURAL) {
            assert!((found - p).abs() < 5.0 * (p * (1.0 - p) / count as f64).sqrt(), "{frequencies:?}");
        }
    }

    /// With m = 1, `min(w, 1) q` is (0.4, 0.2, 0.08, 0.02). By the formula, 70 % are kept, and the divergence from
    /// natural text decreases from 0.242 to 0.109 nats.
    #[test]
    fn truncated_odds_restore_the_natural_distribution_in_part() {
        let (frequencies, count) = kept(1.0);
        let share = count as f64 / DRAWS as f64;
        assert!((share - 0.7).abs() < 5.0 * (0.21 / DRAWS as f64).sqrt(), "{share}");
        let expected = [0.4, 0.2, 0.08, 0.02].map(|mass| mass / 0.7);
        assert!((kl(NATURAL, frequencies) - kl(NATURAL, expected)).abs() < 0.01, "{frequencies:?}");
        assert!(kl(NATURAL, expected) < 0.5 * kl(NATURAL, SYNTHETIC));
    }

    /// If all odds are 1, m = 4 keeps one in 4. With odds of 8, 2, 1 and 1, m = 4 keeps two of the four on average:
    /// 1 + 1/2 + 1/4 + 1/4. If all odds are divided by a thousand, so is m.
    #[test]
    fn the_truncation_point_is_the_one_that_meets_the_cost() {
        assert!((log_most(&[0.0; 10], 4.0) - 4.0_f64.ln()).abs() < 1e-12);
        let odds = [8.0, 2.0, 1.0, 1.0];
        assert!((log_most(&odds.map(f64::ln), 2.0) - 4.0_f64.ln()).abs() < 1e-12);
        assert!((log_most(&odds.map(|w: f64| (w / 1000.0).ln()), 2.0) - 0.004_f64.ln()).abs() < 1e-12);
        assert!((log_most(&odds.map(f64::ln), 1.0)).abs() < 1e-12, "everything is kept");
    }
}
