//! *Importance resampling*: documents are kept in proportion to their odds of being natural, so that what is left is
//! distributed like natural text as far as the odds are right.
//!
//! Between as many natural as synthetic documents, the odds of being natural are the ratio of densities,
//! `w(x) = p(x) / q(x)`, and a sample of q thinned by w is a sample of p. Drayson et al. (2025) draw documents of a given
//! pool, up to three copies of each, in proportion to a power of a detector's confidence that they are natural. Here more
//! can be written, so that no document has to stand twice: one is kept with the probability `min(w, m) / m` (rejection
//! sampling, von Neumann 1951). Odds above m count as m. As `E_q w = 1`, about m documents are written for one that is
//! kept, more where odds are cut off.
//!
//! **Pitfall.** No odds bring back what the model no longer writes.

use crate::seed::Stream;
use rand::Rng;

/// Draws whether a document with these odds of being natural (their natural logarithm) is kept; odds count up to `most`.
#[must_use]
pub fn keeps(log_odds: f64, most: f64, rng: &mut Stream) -> bool {
    rng.random::<f64>() * most < log_odds.exp().min(most)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed::Place;

    const NATURAL: [f64; 4] = [0.4, 0.3, 0.2, 0.1];
    const SYNTHETIC: [f64; 4] = [0.7, 0.2, 0.08, 0.02];
    const DRAWS: usize = 200_000;

    /// Frequencies of what is left of `DRAWS` samples of `SYNTHETIC`, and how many those are.
    fn kept(most: f64) -> ([f64; 4], usize) {
        let mut rng = Place::new(1, "test", 0, "importance").stream(0);
        let mut counts = [0_usize; 4];
        for _ in 0..DRAWS {
            let at: f64 = rng.random();
            let mut below = 0.0;
            let drawn = SYNTHETIC.iter().position(|q| {
                below += q;
                at < below
            });
            let x = drawn.unwrap_or(3);
            counts[x] += usize::from(keeps((NATURAL[x] / SYNTHETIC[x]).ln(), most, &mut rng));
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
}
