//! The probability that two samples descend from the same natural one: exact second moments for every mixture.
//!
//! Trace a synthetic sample back: under a categorical model it is a copy of a uniformly chosen sample of the set its
//! model was trained on, which is a copy of an earlier one, and so on back to a natural sample. Write f(X, Y) for the
//! probability that a draw from set X and an independent draw from set Y, both with replacement, *coalesce*: descend
//! from the *same* natural sample. If they coalesce, they have the same type; if not, they descend from two independent
//! natural samples. So a training set X has `E Σ q² = c + (1 − c) Σ p²` with c = f(X, X), which is `E H = H₀ (1 − c)`.
//!
//! A sample of a Gaussian fitted by maximum likelihood (variance ÷ n) is not a copy, but its moments obey the same
//! recursion: every sample has second moment σ² about the natural mean, and the covariance of two samples of one model
//! is the variance of the model's mean, which is also the average covariance of two copies. So `E s = σ² (1 − c)`,
//! `Var(mean) = σ² c`, and in several dimensions `E trace S = trace Σ · (1 − c)`.
//!
//! The recursion has one rule for each kind of set:
//!
//! - natural prefixes of m ≤ m' samples: `f = 1/m'`, the probability that both draws take the same sample;
//! - a set of m fresh natural samples: `f = 1/m` with itself, `f = 0` with every other set;
//! - a corpus s of k samples of a model trained on q: `f(s, s) = 1/k + (1 − 1/k) f(q, q)`, and `f(s, Y) = f(q, Y)` for
//!   every set Y that existed before s;
//! - a uniform subset of k of the M items of u: two draws are the same item with probability 1/k; else they are two
//!   different items of u, which coalesce with probability `(M f(u, u) − 1)/(M − 1)`. `f(subset, Y) = f(u, Y)`;
//! - a union of sets: the average over its parts, weighted by their sizes, in each argument.
//!
//! After many generations c is so close to 1 that a difference `1 − c` would consist of rounding errors. The probability
//! `1 − f` that two draws do *not* coalesce is therefore computed beside f, by the same rules written for `1 − f`: products
//! and averages of positive numbers, whose relative error stays small.
//!
//! Only the sets that a later generation can draw on are tracked: the current training set, the natural prefixes, and
//! the pool of all corpora. One generation takes as many steps as there are different natural prefixes.

use super::schedule::{SampleSchedule, TrainingCounts};
use crate::mixture::{NaturalDocuments, SyntheticDocuments};

/// The probabilities that two draws with replacement descend from the same natural sample, and that they do not.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Coalescence {
    /// f.
    pub same: f64,
    /// 1 − f.
    pub different: f64,
}

/// c and 1 − c of generations 0, 1, …, for two draws from the generation's training set.
///
/// ```
/// use genloss::{config, drift::{DriftSettings, SampleSchedule, coalescence::coalescence}};
///
/// let mixture = config::parse_mixture("replace", "mixture")?;
/// let settings = DriftSettings { samples: 10, generations: 2, mixture, replicates: 1, seed: 1 };
/// let c = coalescence(&SampleSchedule::new(&settings)?);
/// // After three fits (generations 0, 1, 2) on n samples each, 1 − c = (1 − 1/n)³.
/// assert!((c[2].different - 0.9_f64.powi(3)).abs() < 1e-12);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use]
pub fn coalescence(schedule: &SampleSchedule) -> Vec<Coalescence> {
    let mut ancestry = Ancestry::of_generation_0(schedule);
    let mut chances = vec![ancestry.trained_on.itself];
    for &counts in &schedule.training {
        ancestry.step(schedule, counts);
        chances.push(ancestry.trained_on.itself);
    }
    chances
}

/// f(X, Y) of one set of samples X, for every set Y that a later generation can draw on.
#[derive(Clone, Debug)]
struct Overlap {
    /// f(X, X).
    itself: Coalescence,
    /// f with each natural prefix, in ascending order of their sizes.
    natural: Vec<Coalescence>,
    /// f with the pool of all corpora.
    pool: Coalescence,
}

impl Overlap {
    /// No shared ancestry with any set.
    fn none(prefixes: usize) -> Self {
        Self { itself: NEVER, natural: vec![NEVER; prefixes], pool: NEVER }
    }
}

/// The overlaps of everything that a lineage carries from one generation to the next.
struct Ancestry {
    /// Sizes of the natural prefixes, ascending.
    sizes: Vec<u64>,
    /// The training set of the latest generation.
    trained_on: Overlap,
    /// All corpora so far, if the mixture draws on all of them.
    pool: Overlap,
    pool_items: u64,
}

impl Ancestry {
    fn of_generation_0(schedule: &SampleSchedule) -> Self {
        let sizes = schedule.natural_sizes();
        let none = Overlap::none(sizes.len());
        let mut ancestry = Self { sizes, trained_on: none.clone(), pool: none, pool_items: 0 };
        ancestry.trained_on = ancestry.natural_prefix(schedule.samples);
        ancestry
    }

    /// One generation: the latest model writes a corpus, and the next training set is drawn.
    fn step(&mut self, schedule: &SampleSchedule, counts: TrainingCounts) {
        let written = schedule.written_for(counts);
        let corpus =
            Overlap { itself: of_corpus(written, self.trained_on.itself), ..self.trained_on.clone() };
        let (source, source_items) = match schedule.synthetic {
            SyntheticDocuments::Latest => (corpus, written),
            SyntheticDocuments::All => {
                self.add_to_pool(&corpus, written);
                (self.pool.clone(), self.pool_items)
            }
        };
        let natural = self.natural_part(schedule, counts);
        let between = self.between(schedule, counts, &natural, &source);
        self.trained_on = match counts {
            TrainingCounts::Separate { natural: natural_items, synthetic } => {
                let part = Overlap { itself: of_subset(synthetic, source_items, source.itself), ..source };
                union(&natural, natural_items, &part, synthetic, between)
            }
            TrainingCounts::Pooled { natural: natural_items, taken } => {
                let whole = union(&natural, natural_items, &source, source_items, between);
                Overlap { itself: of_subset(taken, natural_items + source_items, whole.itself), ..whole }
            }
        };
    }

    /// The natural samples that the next training set draws on.
    fn natural_part(&self, schedule: &SampleSchedule, counts: TrainingCounts) -> Overlap {
        match (schedule.natural, counts.natural()) {
            (_, 0) => Overlap::none(self.sizes.len()),
            (NaturalDocuments::Fixed, items) => self.natural_prefix(items),
            (NaturalDocuments::Fresh, items) => {
                Overlap { itself: reciprocal(items), ..Overlap::none(self.sizes.len()) }
            }
        }
    }

    /// f between the natural and the synthetic samples that the next training set draws on.
    fn between(
        &self,
        schedule: &SampleSchedule,
        counts: TrainingCounts,
        natural: &Overlap,
        source: &Overlap,
    ) -> Coalescence {
        match (schedule.synthetic, schedule.natural) {
            (SyntheticDocuments::All, _) => natural.pool,
            (SyntheticDocuments::Latest, NaturalDocuments::Fresh) => NEVER,
            // Overlaps with the latest corpus are not tracked, but they equal those with its model's training set.
            (SyntheticDocuments::Latest, NaturalDocuments::Fixed) => {
                self.index_of(counts.natural()).map_or(NEVER, |index| source.natural[index])
            }
        }
    }

    fn add_to_pool(&mut self, corpus: &Overlap, written: u64) {
        let grown = union(&self.pool, self.pool_items, corpus, written, corpus.pool);
        self.pool_items += written;
        self.pool = Overlap { pool: grown.itself, ..grown };
        // `trained_on.pool` is still the overlap with the smaller pool, but nothing reads it before it is recomputed.
    }

    fn natural_prefix(&self, items: u64) -> Overlap {
        let natural = self.sizes.iter().map(|&other| reciprocal(other.max(items))).collect();
        let pool = self.index_of(items).map_or(NEVER, |index| self.pool.natural[index]);
        Overlap { itself: reciprocal(items), natural, pool }
    }

    fn index_of(&self, size: u64) -> Option<usize> {
        self.sizes.iter().position(|&other| other == size)
    }
}

/// The union of two sets of the given numbers of items, where `between` is f of one with the other.
fn union(
    first: &Overlap,
    first_items: u64,
    second: &Overlap,
    second_items: u64,
    between: Coalescence,
) -> Overlap {
    let all = (first_items + second_items) as f64;
    let (a, b) = (first_items as f64 / all, second_items as f64 / all);
    let average = |x: &Coalescence, y: &Coalescence| x.zip(*y, |x, y| a * x + b * y);
    let of_union = |x: f64, between: f64, y: f64| a * a * x + 2.0 * a * b * between + b * b * y;
    Overlap {
        itself: Coalescence {
            same: of_union(first.itself.same, between.same, second.itself.same),
            different: of_union(first.itself.different, between.different, second.itself.different),
        },
        natural: first.natural.iter().zip(&second.natural).map(|(x, y)| average(x, y)).collect(),
        pool: average(&first.pool, &second.pool),
    }
}

/// Two draws that share no ancestor.
const NEVER: Coalescence = Coalescence { same: 0.0, different: 1.0 };

impl Coalescence {
    /// Applies a weighted average to both probabilities.
    fn zip(self, other: Self, average: impl Fn(f64, f64) -> f64) -> Self {
        Self { same: average(self.same, other.same), different: average(self.different, other.different) }
    }
}

/// Two draws that are the same one of `items` items with probability 1/`items`, and share no ancestor otherwise.
fn reciprocal(items: u64) -> Coalescence {
    if items == 0 {
        return NEVER;
    }
    Coalescence { same: 1.0 / items as f64, different: (items - 1) as f64 / items as f64 }
}

/// f(s, s) of a corpus s of `samples` samples, where `trained_on` is f of its model's training set with itself.
fn of_corpus(samples: u64, trained_on: Coalescence) -> Coalescence {
    let item = reciprocal(samples);
    Coalescence {
        same: item.same + (1.0 - item.same) * trained_on.same,
        different: item.different * trained_on.different,
    }
}

/// f with itself of a uniform subset, which has `taken` of the `items` items of a set. `set` is f of that set with
/// itself.
fn of_subset(taken: u64, items: u64, set: Coalescence) -> Coalescence {
    if taken >= items || items < 2 {
        return set;
    }
    let item = reciprocal(taken);
    let different_items = (items as f64 * set.same - 1.0) / (items as f64 - 1.0);
    Coalescence {
        same: item.same + (1.0 - item.same) * different_items,
        different: item.different * set.different / reciprocal(items).different,
    }
}

#[cfg(test)]
mod tests {
    use super::super::DriftSettings;
    use super::*;
    use crate::config;
    use std::f64::consts::PI;

    fn chances(mixture: &str, samples: u64, generations: usize) -> Vec<Coalescence> {
        let mixture = config::parse_mixture(mixture, "mixture").unwrap();
        let settings = DriftSettings { samples, generations, mixture, replicates: 1, seed: 1 };
        coalescence(&SampleSchedule::new(&settings).unwrap())
    }

    /// Compares 1 − c with `expected`, relative to it, and with c.
    fn assert_close(found: &[Coalescence], expected: impl Fn(usize) -> f64) {
        for (generation, c) in found.iter().enumerate() {
            let expected = expected(generation + 1);
            assert!((c.different / expected - 1.0).abs() < 1e-11, "fit {}: {c:?} {expected}", generation + 1);
            assert!((c.same + c.different - 1.0).abs() < 1e-12, "fit {}: {c:?}", generation + 1);
        }
    }

    /// (1/2)^1000 is about 1e-301; `1 − c` would be 0 from generation 53 on.
    #[test]
    fn the_probability_not_to_coalesce_is_accurate_when_it_is_tiny() {
        assert_close(&chances("replace", 2, 999), |t| 0.5_f64.powi(t as i32));
        assert_close(&chances("replace-multiple", 2, 300), |t| {
            (1..=t).map(|i| 1.0 - 1.0 / (2.0 * i as f64)).product()
        });
    }

    /// Both forms of every rule agree.
    #[test]
    fn the_two_probabilities_sum_to_1_for_every_mixture() {
        for mixture in [
            "anchored",
            "fresh-data-loop",
            "append-human-data",
            "accumulate-subsample",
            "{ natural_fraction = [0.5, 0.2, 0.8, 0.0] }",
            "{ natural_fraction = 0.3, synthetic = 'all' }",
            "{ natural_fraction = 'proportional', natural = 'fresh', synthetic = 'all' }",
        ] {
            for c in chances(mixture, 20, 60) {
                assert!((c.same + c.different - 1.0).abs() < 1e-12, "{mixture}: {c:?}");
            }
        }
    }

    /// Wright–Fisher drift: (1 − 1/n)^t.
    #[test]
    fn replace_is_neutral_drift() {
        assert_close(&chances("replace", 17, 40), |t| (1.0 - 1.0 / 17.0_f64).powi(t as i32));
    }

    /// The i-th fit is on i·n new samples of the previous model: Π (1 − 1/(n i)).
    #[test]
    fn replace_multiple_drifts_more_slowly_in_every_generation() {
        let product = |t: usize| (1..=t).map(|i| 1.0 - 1.0 / (17.0 * i as f64)).product();
        assert_close(&chances("replace-multiple", 17, 40), product);
    }

    /// All corpora are kept and each generation adds one: Π (1 − 1/(n i²)), which tends to sin(π/√n)/(π/√n).
    #[test]
    fn accumulate_converges_to_eulers_product_for_the_sine() {
        let n = 9.0_f64;
        let product = |t: usize| (1..=t).map(|i| 1.0 - 1.0 / (n * (i * i) as f64)).product::<f64>();
        let found = chances("accumulate", 9, 2000);
        for (generation, c) in found.iter().enumerate() {
            assert!((c.different - product(generation + 1)).abs() < 1e-11);
        }
        let limit = (PI / n.sqrt()).sin() / (PI / n.sqrt());
        assert!((found[2000].different - limit).abs() < 1e-4);
    }

    /// A fresh anchor, with F₀ = 0: F_t = 1/n + k(k − 1)F_{t−1}/n².
    #[test]
    fn a_fresh_anchor_follows_its_recursion() {
        let (n, k) = (20.0_f64, 18.0_f64);
        let mut f = 1.0 / n;
        for c in chances("fresh-data-loop", 20, 60) {
            assert!((c.same - f).abs() < 1e-12, "{c:?} {f}");
            f = 1.0 / n + k * (k - 1.0) * f / (n * n);
        }
    }

    /// Derived by hand for m fixed items of n, k = n − m. Let g be f of the training set with the anchor; then g₀ = 1/n
    /// and g' = 1/n + (k/n) g, so that c' = m/n² + 2(k/n)(m/n) g + (k/n)²(1/k + (1 − 1/k)c).
    #[test]
    fn a_fixed_anchor_follows_its_recursion() {
        let (n, m, k) = (20.0_f64, 2.0_f64, 18.0_f64);
        let (mut c, mut g) = (1.0 / n, 1.0 / n);
        for found in chances("anchored", 20, 60) {
            assert!((found.same - c).abs() < 1e-12, "{found:?} {c}");
            c = m / (n * n) + 2.0 * (k / n) * (m / n) * g + (k / n).powi(2) * (1.0 / k + (1.0 - 1.0 / k) * c);
            g = 1.0 / n + k / n * g;
        }
    }

    /// Natural samples alone: c = 1/n in every generation.
    #[test]
    fn the_control_does_not_drift() {
        assert_close(&chances("control", 20, 5), |_| 0.95);
    }

    /// One step by hand: a subset of n of 2n items, which are n natural samples and a corpus of n samples.
    #[test]
    fn a_subset_of_the_pool_is_drawn_without_replacement() {
        let n = 10.0_f64;
        let corpus = 1.0 / n + (1.0 - 1.0 / n) / n;
        let pool = 0.25 / n + 0.5 / n + 0.25 * corpus;
        let different = (2.0 * n * pool - 1.0) / (2.0 * n - 1.0);
        let expected = 1.0 / n + (1.0 - 1.0 / n) * different;
        assert!((chances("accumulate-subsample", 10, 1)[1].same - expected).abs() < 1e-12);
    }
}
