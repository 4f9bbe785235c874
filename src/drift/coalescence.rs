//! The chance that two samples go back to the same natural one: second moments of every regime, exactly.
//!
//! Follow a synthetic sample back: it is a copy (of a categorical model) of a uniform sample of what its model was
//! trained on, and so on to a natural sample. Write f(X, Y) for the chance that a draw from set X and an independent
//! draw from set Y, both with replacement, go back to the *same* natural sample. If they do, they are of the same type;
//! if not, they are two independent natural samples. So a training set has `E Σ q² = c + (1 − c) Σ p²` with
//! c = f(X, X), which is `E H = H₀ (1 − c)`.
//!
//! For a Gaussian fitted by maximum likelihood (variance ÷ n) a sample is no copy, but the moments obey the same
//! recursion: every sample has the natural second moment σ² about the natural mean, and two samples of one model have
//! the covariance of the model's mean, as two copies would have on average. So `E s = σ² (1 − c)`, `Var(mean) = σ² c`,
//! and in several dimensions `E trace S = trace Σ · (1 − c)`.
//!
//! The rules, each a sentence about two draws:
//!
//! - natural prefixes of m ≤ m' samples: `f = 1/m'`, the chance that the second draw hits the first's sample;
//! - fresh natural samples, m of them: 1/m with themselves, 0 with all else;
//! - a corpus s of k samples of model q: `f(s, s) = 1/k + (1 − 1/k) f(q, q)`; `f(s, Y) = f(q, Y)` for every Y that
//!   was there before s;
//! - a uniform subset of k of the M items of u: two draws are the same item with 1/k, else two different items of u,
//!   which coalesce with `(M f(u, u) − 1)/(M − 1)`; `f(subset, Y) = f(u, Y)`;
//! - a mixture of sets is the weighted sum of its parts, so f is bilinear.
//!
//! Only the sets that a later generation can meet are kept: the model, the natural prefixes, and the pool of all
//! corpora. One generation costs as many steps as there are different natural prefixes.

use super::regime::{Recipe, Regime};
use crate::config::{NaturalDocuments, SyntheticDocuments};

/// c of generations 0, 1, …: the chance that two draws with replacement from what the generation trains on go back to
/// the same natural sample.
///
/// ```
/// use genloss::{config, drift::{Loop, Regime, coalescence::coalescence}};
/// let mixture = config::parse_mixture("replace", "mixture")?;
/// let regime = Regime::new(&Loop { samples: 10, generations: 2, mixture, replicates: 1, seed: 1 })?;
/// // 1 − c = (1 − 1/n)^t after t = 3 fits.
/// assert!((1.0 - coalescence(&regime)[2] - 0.9_f64.powi(3)).abs() < 1e-12);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use]
pub fn coalescence(regime: &Regime) -> Vec<f64> {
    let mut gram = Gram::of_generation_0(regime);
    let mut chances = vec![gram.model.itself];
    for &recipe in &regime.recipes {
        gram.step(regime, recipe);
        chances.push(gram.model.itself);
    }
    chances
}

/// A set of samples, by what it shares with those that a later generation can meet.
#[derive(Clone, Debug)]
struct Set {
    itself: f64,
    /// With the natural prefixes, in the order of their sizes.
    natural: Vec<f64>,
    /// With the pool of all corpora.
    pool: f64,
}

struct Gram {
    sizes: Vec<u64>,
    model: Set,
    pool: Set,
    pool_items: u64,
}

impl Gram {
    fn of_generation_0(regime: &Regime) -> Self {
        let sizes = regime.natural_sizes();
        let nothing = Set { itself: 0.0, natural: vec![0.0; sizes.len()], pool: 0.0 };
        let mut gram = Self { sizes, model: nothing.clone(), pool: nothing, pool_items: 0 };
        gram.model = gram.natural_prefix(regime.samples);
        gram
    }

    fn step(&mut self, regime: &Regime, recipe: Recipe) {
        let written = regime.written_for(recipe);
        let corpus = Set { itself: of_corpus(written, self.model.itself), ..self.model.clone() };
        let (source, held) = match regime.synthetic {
            SyntheticDocuments::Latest => (corpus, written),
            SyntheticDocuments::All => {
                self.add_to_pool(&corpus, written);
                (self.pool.clone(), self.pool_items)
            }
        };
        let natural = match (regime.natural, recipe.natural()) {
            (_, 0) => Set { itself: 0.0, natural: vec![0.0; self.sizes.len()], pool: 0.0 },
            (NaturalDocuments::Fixed, size) => self.natural_prefix(size),
            (NaturalDocuments::Fresh, size) => {
                Set { itself: reciprocal(size), natural: vec![0.0; self.sizes.len()], pool: 0.0 }
            }
        };
        // The latest corpus is not among the sets that others are compared with, but as old as its model.
        let between = match (regime.synthetic, regime.natural) {
            (SyntheticDocuments::All, _) => natural.pool,
            (SyntheticDocuments::Latest, NaturalDocuments::Fresh) => 0.0,
            (SyntheticDocuments::Latest, NaturalDocuments::Fixed) => {
                self.place_of(recipe.natural()).map_or(0.0, |place| source.natural[place])
            }
        };
        self.model = match recipe {
            Recipe::Parts { natural: size, synthetic } => {
                let part = Set { itself: of_subset(synthetic, held, source.itself), ..source };
                joined(&natural, size, &part, synthetic, between)
            }
            Recipe::Drawn { natural: size, taken } => {
                let whole = joined(&natural, size, &source, held, between);
                Set { itself: of_subset(taken, size + held, whole.itself), ..whole }
            }
        };
    }

    /// The pool with one more corpus.
    fn add_to_pool(&mut self, corpus: &Set, written: u64) {
        let grown = joined(&self.pool, self.pool_items, corpus, written, corpus.pool);
        self.pool_items += written;
        self.pool = Set { pool: grown.itself, ..grown };
        // What a model shares with the pool is from before its corpus joined; nothing asks for it again.
    }

    fn natural_prefix(&self, size: u64) -> Set {
        let natural = self.sizes.iter().map(|&other| reciprocal(other.max(size))).collect();
        let pool = self.place_of(size).map_or(0.0, |place| self.pool.natural[place]);
        Set { itself: reciprocal(size), natural, pool }
    }

    fn place_of(&self, size: u64) -> Option<usize> {
        self.sizes.iter().position(|&other| other == size)
    }
}

/// Two sets together, of so many items each, that share `between` with each other.
fn joined(first: &Set, first_items: u64, second: &Set, second_items: u64, between: f64) -> Set {
    let all = (first_items + second_items) as f64;
    let (a, b) = (first_items as f64 / all, second_items as f64 / all);
    let natural = first.natural.iter().zip(&second.natural).map(|(x, y)| a * x + b * y).collect();
    Set {
        itself: a * a * first.itself + 2.0 * a * b * between + b * b * second.itself,
        natural,
        pool: a * first.pool + b * second.pool,
    }
}

fn reciprocal(items: u64) -> f64 {
    if items == 0 { 0.0 } else { 1.0 / items as f64 }
}

/// A corpus of so many samples of a model.
fn of_corpus(samples: u64, model: f64) -> f64 {
    let same = reciprocal(samples);
    same + (1.0 - same) * model
}

/// A uniform subset of `taken` of the `held` items of a set.
fn of_subset(taken: u64, held: u64, set: f64) -> f64 {
    if taken >= held || held < 2 {
        return set;
    }
    let same = reciprocal(taken);
    let different_items = (held as f64 * set - 1.0) / (held as f64 - 1.0);
    same + (1.0 - same) * different_items
}

#[cfg(test)]
mod tests {
    use super::super::Loop;
    use super::*;
    use crate::config;
    use std::f64::consts::PI;

    fn chances(mixture: &str, samples: u64, generations: usize) -> Vec<f64> {
        let mixture = config::parse_mixture(mixture, "mixture").unwrap();
        coalescence(&Regime::new(&Loop { samples, generations, mixture, replicates: 1, seed: 1 }).unwrap())
    }

    fn assert_close(found: &[f64], expected: impl Fn(usize) -> f64) {
        for (generation, c) in found.iter().enumerate() {
            let expected = expected(generation + 1);
            assert!((1.0 - c - expected).abs() < 1e-12, "fit {}: {} {expected}", generation + 1, 1.0 - c);
        }
    }

    /// Wright–Fisher drift: (1 − 1/n)^t.
    #[test]
    fn replace_is_neutral_drift() {
        assert_close(&chances("replace", 17, 40), |t| (1.0 - 1.0 / 17.0_f64).powi(t as i32));
    }

    /// Every fit is a fresh sample of the last model, i·n of them in the i-th: Π (1 − 1/(n i)).
    #[test]
    fn replace_grown_to_the_size_of_accumulate_drifts_ever_more_slowly() {
        let product = |t: usize| (1..=t).map(|i| 1.0 - 1.0 / (17.0 * i as f64)).product();
        assert_close(&chances("replace-multiple", 17, 40), product);
    }

    /// Everything kept, each generation one corpus more: Π (1 − 1/(n i²)), which tends to sin(π/√n)/(π/√n).
    #[test]
    fn accumulate_is_the_product_of_euler() {
        let n = 9.0_f64;
        let product = |t: usize| (1..=t).map(|i| 1.0 - 1.0 / (n * (i * i) as f64)).product::<f64>();
        let found = chances("accumulate", 9, 2000);
        for (generation, c) in found.iter().enumerate() {
            assert!((1.0 - c - product(generation + 1)).abs() < 1e-11);
        }
        let limit = (PI / n.sqrt()).sin() / (PI / n.sqrt());
        assert!((1.0 - found[2000] - limit).abs() < 1e-4);
    }

    /// A fresh anchor, with F₀ = 0: F_t = 1/n + k(k − 1)F_{t−1}/n².
    #[test]
    fn a_fresh_anchor_forgets() {
        let (n, k) = (20.0_f64, 18.0_f64);
        let mut f = 1.0 / n;
        for c in chances("fresh-data-loop", 20, 60) {
            assert!((c - f).abs() < 1e-12, "{c} {f}");
            f = 1.0 / n + k * (k - 1.0) * f / (n * n);
        }
    }

    /// Worked out by hand for m fixed items of n, k = n − m: with g the share with the anchor, g₀ = 1/n and
    /// g' = 1/n + (k/n) g, so that c' = m/n² + 2(k/n)(m/n) g + (k/n)²(1/k + (1 − 1/k)c).
    #[test]
    fn a_fixed_anchor_has_its_own_recursion() {
        let (n, m, k) = (20.0_f64, 2.0_f64, 18.0_f64);
        let (mut c, mut g) = (1.0 / n, 1.0 / n);
        for found in chances("anchored", 20, 60) {
            assert!((found - c).abs() < 1e-12, "{found} {c}");
            c = m / (n * n) + 2.0 * (k / n) * (m / n) * g + (k / n).powi(2) * (1.0 / k + (1.0 - 1.0 / k) * c);
            g = 1.0 / n + k / n * g;
        }
    }

    /// Natural samples alone: 1/n for ever.
    #[test]
    fn the_control_does_not_drift() {
        assert_close(&chances("control", 20, 5), |_| 0.95);
    }

    /// One step by hand: of the 2n items of A and s a subset of n.
    #[test]
    fn a_subset_of_the_pool_is_drawn_without_replacement() {
        let n = 10.0_f64;
        let corpus = 1.0 / n + (1.0 - 1.0 / n) / n;
        let pool = 0.25 / n + 0.5 / n + 0.25 * corpus;
        let different = (2.0 * n * pool - 1.0) / (2.0 * n - 1.0);
        let expected = 1.0 / n + (1.0 - 1.0 / n) * different;
        assert!((chances("accumulate-subsample", 10, 1)[1] - expected).abs() < 1e-12);
    }
}
