//! How many types survive? The exact expectation, for mixtures in which the copies of one type form a Markov chain.
//!
//! A type survives as long as a generation's model gives it any mass; once lost from all samples it never comes back.
//! If the number of copies of one type in a training set is a Markov chain, whatever the other types do, then the
//! expected number of surviving types is the sum over types of the probability that their chain is not at 0:
//!
//! - *Generation 0*, every mixture: n samples miss a type of frequency p with probability `(1 − p)^n`.
//! - *Every generation trains on all natural samples of generation 0 and on no other natural samples* (accumulate,
//!   control): the types that the first n samples contain survive forever.
//! - *Natural samples alone* (repeat): generation g has the types of its own m_g natural samples; each of them misses a
//!   type with probability `(1 − p)^m_g`, however often the samples are repeated.
//! - *The latest corpus, with m fixed natural samples* (m = 0 is replace) of n per generation and k = n − m synthetic
//!   ones: a type is lost if none of the m samples is of it, which has probability `(1 − p)^m`, and the chain
//!   `X₀ ~ Bin(N − m, p), X' ~ Bin(k, X/n)` has reached 0. With `L_t(j)` the probability that a chain at j is at 0 after
//!   t steps, `L₀ = [j = 0]` and `L_{t+1}(j) = Σ_i Bin(k, j/n)(i) L_t(i)`. (If the natural part is added on top of the
//!   budget, the first step divides by N, not by n.)
//!
//! # The number of states
//!
//! A chain above J copies counts as surviving, where J is chosen such that the error is below e⁻⁴⁰. There are two bounds.
//!
//! Since `(1 − (j/n)(1 − x))^k ≤ exp(−a j (1 − x))` with a = k/n, induction gives `L_t(j) ≤ (1 − y_t)^j ≤ exp(−j y_t)`
//! with `y₀ = 1, y_{t+1} = 1 − exp(−a y_t)`; y_t is about 2/t for a = 1. So a chain above `40/y_G` is lost within G
//! generations with probability below e⁻⁴⁰.
//!
//! With a natural part, a < 1 and this J grows exponentially with G, so another bound takes over. A type with m·p > 40
//! is missing from the natural part with probability below e⁻⁴⁰; the copies of the others have a mean of at most
//! μ = 40 (N − m)/m. For the θ > 0 with `a (e^θ − 1) = θ`, `exp(θ X)` is a supermartingale after the first step, so the
//! probability that a chain ever rises above J is at most `exp(μ (e^θ' − 1) − θ J)`, where θ' = θ/a times the k/N of
//! the first step. That is e⁻⁴⁰ at `J = (40 + μ (e^θ' − 1))/θ`.
//!
//! Generations for which J would exceed 4000, and problems with too many types for that many states, have no exact
//! value.
//!
//! ```
//! use genloss::config;
//! use genloss::drift::{DriftSettings, Frequencies, SampleSchedule, survival::surviving_types};
//!
//! let mixture = config::parse_mixture("replace", "mixture")?;
//! let settings = DriftSettings { samples: 10, generations: 3, mixture, replicates: 1, seed: 1 };
//! let natural = Frequencies::zipf(2, 0.0, 0.0)?;
//! let surviving = surviving_types(&SampleSchedule::new(&settings)?, &natural);
//! // Ten samples miss one of two equally frequent types with probability 2⁻⁹.
//! assert!((surviving[0].unwrap().types - (2.0 - 0.5_f64.powi(9))).abs() < 1e-12);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use super::frequencies::Frequencies;
use super::pmf::ln_binomial;
use super::schedule::{SampleSchedule, TrainingCounts};
use crate::mixture::{NaturalDocuments, SyntheticDocuments};
use rayon::prelude::*;

/// Expected numbers of types that survive up to a generation.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct SurvivingTypes {
    /// Among all types.
    pub types: f64,
    /// Among the tail types.
    pub tail_types: f64,
}

/// −ln of the probability that is neglected.
const NEGLECTED_EXPONENT: f64 = 40.0;

/// Maximum of J, the largest number of copies of a type that the chain distinguishes.
const MAX_STATES: f64 = 4000.0;

/// Maximum number of products summed over types, states and generations. This number takes a few seconds.
const MAX_PRODUCTS: f64 = 3e9;

/// Probabilities below this are left out of a row of a transition matrix.
const NEGLIGIBLE: f64 = 1e-25;

/// Frequency classes that one thread sums at a time. Fixed, so that rounding does not depend on the number of threads.
const BLOCK: usize = 64;

/// The expected numbers of surviving types in generations 0, 1, …; None where they are not known.
#[must_use]
pub fn surviving_types(schedule: &SampleSchedule, frequencies: &Frequencies) -> Vec<Option<SurvivingTypes>> {
    let generations = schedule.training.len();
    let classes = FrequencyClass::of(frequencies);
    let among = |samples: u64| {
        classes.iter().fold(SurvivingTypes::default(), |sum, class| {
            sum.plus(class, -(samples as f64 * (-class.p).ln_1p()).exp_m1())
        })
    };
    let in_generation_0 = among(schedule.samples);
    if schedule.keeps_natural_samples() {
        return vec![Some(in_generation_0); generations + 1];
    }
    if let Some(sizes) = schedule.natural_alone() {
        let later = sizes.into_iter().map(|samples| Some(among(samples)));
        return std::iter::once(Some(in_generation_0)).chain(later).collect();
    }
    let mut all = vec![Some(in_generation_0)];
    if let Some(chain) = CopyChain::of(schedule) {
        all.extend(chain.surviving(&classes, generations).into_iter().skip(1).map(Some));
    }
    all.resize(generations + 1, None);
    all
}

/// An upper bound on the products that [`surviving_types`] sums for `types` types, and on the numbers that it holds.
pub(super) fn size(schedule: &SampleSchedule, types: f64) -> (f64, f64) {
    let chain = CopyChain::of(schedule).filter(|_| !schedule.keeps_natural_samples());
    let Some((last, states)) = chain.and_then(|chain| chain.states(schedule.training.len())) else {
        return (types, types);
    };
    let (last, states) = (last as f64 + 1.0, states as f64 + 1.0);
    let row = (20.0 * states.sqrt()).min(states);
    let of_classes = (types * row * last).min(MAX_PRODUCTS);
    (of_classes + 2.0 * states * row * last, states * (last + 2.0 * row))
}

/// Types that have the same frequency p.
#[derive(Clone, Copy, Debug)]
struct FrequencyClass {
    p: f64,
    types: f64,
    tail_types: f64,
}

impl FrequencyClass {
    /// The classes in ascending order of p, without types that never occur.
    fn of(frequencies: &Frequencies) -> Vec<Self> {
        let mut sorted: Vec<(f64, bool)> =
            frequencies.probabilities().iter().copied().zip(frequencies.is_tail().iter().copied()).collect();
        sorted.retain(|(p, _)| *p > 0.0);
        sorted.sort_by(|a, b| a.0.total_cmp(&b.0));
        let class = |run: &[(f64, bool)]| Self {
            p: run[0].0,
            types: run.len() as f64,
            tail_types: run.iter().filter(|(_, is_tail)| *is_tail).count() as f64,
        };
        sorted.chunk_by(|a, b| a.0 == b.0).map(class).collect()
    }
}

impl SurvivingTypes {
    /// Adds the types of a class, each of which survives with this probability.
    fn plus(self, class: &FrequencyClass, probability: f64) -> Self {
        Self {
            types: self.types + class.types * probability,
            tail_types: self.tail_types + class.tail_types * probability,
        }
    }
}

/// The Markov chain of the synthetic copies of one type, for a mixture that is the same in every generation.
#[derive(Clone, Copy, Debug)]
struct CopyChain {
    /// N: samples of generation 0.
    first: u64,
    /// m: fixed natural samples of later generations.
    natural: u64,
    /// k: synthetic samples of later generations.
    synthetic: u64,
}

impl CopyChain {
    /// None if the copies of a type do not form such a chain.
    fn of(schedule: &SampleSchedule) -> Option<Self> {
        let &first_counts = schedule.training.first()?;
        let TrainingCounts::Separate { natural, synthetic } = first_counts else { return None };
        let is_chain = schedule.training.iter().all(|&counts| counts == first_counts)
            && schedule.synthetic == SyntheticDocuments::Latest
            && (schedule.natural == NaturalDocuments::Fixed || natural == 0)
            && natural < schedule.samples
            && synthetic > 0;
        is_chain.then_some(Self { first: schedule.samples, natural, synthetic })
    }

    /// n: samples that a generation ≥ 1 trains on.
    fn total(self) -> u64 {
        self.natural + self.synthetic
    }

    /// The expectations of generations 0, 1, …, up to the last of `generations` that [`MAX_STATES`] and
    /// [`MAX_PRODUCTS`] allow.
    fn surviving(self, classes: &[FrequencyClass], generations: usize) -> Vec<SurvivingTypes> {
        let Some((last, states)) = self.states(generations) else { return Vec::new() };
        let products = classes.iter().map(|class| self.window(class.p, states)).sum::<f64>() * last as f64;
        if products > MAX_PRODUCTS {
            return Vec::new();
        }
        let losses = self.losses(last, states);
        let blocks: Vec<Vec<SurvivingTypes>> =
            classes.par_chunks(BLOCK).map(|block| self.surviving_of(block, &losses, states)).collect();
        let mut all = vec![SurvivingTypes::default(); last + 1];
        for block in &blocks {
            for (sum, part) in all.iter_mut().zip(block) {
                sum.types += part.types;
                sum.tail_types += part.tail_types;
            }
        }
        all
    }

    /// The expectations of each generation for the types of `classes`. `losses` is the result of
    /// [`losses`](Self::losses).
    fn surviving_of(
        self,
        classes: &[FrequencyClass],
        losses: &[Vec<f64>],
        states: usize,
    ) -> Vec<SurvivingTypes> {
        let mut sums = vec![SurvivingTypes::default(); losses.len()];
        for class in classes {
            let missing = (self.natural as f64 * (-class.p).ln_1p()).exp();
            let start = BinomialRow::new(self.first - self.natural, class.p, 1.0 - class.p, states);
            for (sum, lost) in sums.iter_mut().zip(losses) {
                *sum = sum.plus(class, 1.0 - missing * start.dot(lost));
            }
        }
        sums
    }

    /// The last generation up to `generations` for which J is at most [`MAX_STATES`], and the J of that generation.
    fn states(self, generations: usize) -> Option<(usize, usize)> {
        let a = self.synthetic as f64 / self.total() as f64;
        let most = self.first.max(self.total()) as f64;
        let for_any_generation = self.supermartingale_bound(a).min(most);
        let (mut y, mut best) = (1.0_f64, None);
        for generation in 1..=generations {
            y = -(-a * y).exp_m1();
            let needed = (NEGLECTED_EXPONENT / y).min(for_any_generation).ceil();
            if needed > MAX_STATES {
                break;
            }
            best = Some((generation, needed as usize));
        }
        best
    }

    /// J of the second bound, for a = k/n; infinite without a natural part.
    fn supermartingale_bound(self, a: f64) -> f64 {
        if self.natural == 0 {
            return f64::INFINITY;
        }
        let theta = positive_root(|theta| a * theta.exp_m1() - theta);
        let theta_of_first_step = theta * (self.synthetic as f64 / self.first as f64) / a;
        let mean = NEGLECTED_EXPONENT * (self.first - self.natural) as f64 / self.natural as f64;
        (NEGLECTED_EXPONENT + mean * theta_of_first_step.exp_m1()) / theta
    }

    /// Approximate number of states over which the copies of a type of frequency p in generation 0 are spread.
    fn window(self, p: f64, states: usize) -> f64 {
        let mean = (self.first - self.natural) as f64 * p;
        // Chernoff: with the mean this far above the last state, starting there has probability below e⁻⁶⁰.
        if mean > states as f64 && (mean - states as f64).powi(2) > 120.0 * mean {
            return 1.0;
        }
        (20.0 * (mean + 1.0).sqrt()).min(states as f64)
    }

    /// For each generation 0..=`last` and each number 0..=`states` of copies in generation 0, the probability that all
    /// copies are lost by that generation.
    fn losses(self, last: usize, states: usize) -> Vec<Vec<f64>> {
        let apply =
            |steps: &[BinomialRow], lost: &[f64]| steps.iter().map(|row| row.dot(lost)).collect::<Vec<f64>>();
        let mut lost = vec![0.0; states + 1];
        lost[0] = 1.0;
        let mut all = vec![lost.clone()];
        let later = self.transitions(self.total(), states);
        let first = (self.first != self.total()).then(|| self.transitions(self.first, states));
        for _ in 0..last {
            all.push(apply(first.as_ref().unwrap_or(&later), &lost));
            lost = apply(&later, &lost);
        }
        all
    }

    /// The rows 0..=`states` of the transition matrix from a training set of `total` samples.
    fn transitions(self, total: u64, states: usize) -> Vec<BinomialRow> {
        let row = |copies: usize| {
            let copies = (copies as u64).min(total);
            let (p, q) = (copies as f64 / total as f64, (total - copies) as f64 / total as f64);
            BinomialRow::new(self.synthetic, p, q, states)
        };
        (0..=states).into_par_iter().map(row).collect()
    }
}

/// The positive root of a convex function that is 0 at 0 and falls there, by bisection from above.
fn positive_root(f: impl Fn(f64) -> f64) -> f64 {
    let mut high = 1.0;
    while f(high) < 0.0 {
        high *= 2.0;
    }
    let mut low = 0.0;
    for _ in 0..100 {
        let middle = 0.5 * (low + high);
        if f(middle) < 0.0 {
            low = middle;
        } else {
            high = middle;
        }
    }
    high
}

/// The probabilities of a binomial from state `start` on, without negligible ones and those above the last state.
struct BinomialRow {
    start: usize,
    probabilities: Vec<f64>,
}

impl BinomialRow {
    fn new(trials: u64, p: f64, q: f64, states: usize) -> Self {
        let last = trials.min(states as u64);
        // Computed from the mode (or the last state, if that is lower) outwards in both directions.
        let mode = (((trials as f64 + 1.0) * p) as u64).min(last);
        let at_mode = ln_binomial(mode, trials, p, q).exp();
        let n = trials as f64;
        let mut below = Vec::new();
        let (mut x, mut probability) = (mode, at_mode);
        while x > 0 && probability > NEGLIGIBLE {
            probability *= x as f64 * q / ((n - x as f64 + 1.0) * p);
            x -= 1;
            below.push(probability);
        }
        let start = x as usize;
        below.reverse();
        let mut probabilities = below;
        probabilities.push(at_mode);
        let (mut x, mut probability) = (mode, at_mode);
        while x < last && probability > NEGLIGIBLE {
            probability *= (n - x as f64) * p / ((x as f64 + 1.0) * q);
            x += 1;
            probabilities.push(probability);
        }
        Self { start, probabilities }
    }

    fn dot(&self, values: &[f64]) -> f64 {
        self.probabilities.iter().zip(&values[self.start..]).map(|(p, value)| p * value).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::super::DriftSettings;
    use super::*;
    use crate::config;

    fn schedule_of(mixture: &str, samples: u64, generations: usize) -> SampleSchedule {
        let mixture = config::parse_mixture(mixture, "mixture").unwrap();
        SampleSchedule::new(&DriftSettings { samples, generations, mixture, replicates: 1, seed: 1 }).unwrap()
    }

    /// An independent calculation from the coalescent of Wright–Fisher drift: A₁ = n, and A_{t+1} is the number of
    /// occupied boxes when A_t balls fall into n boxes. After t fits Σ_a P(A_t = a) Σ_i [1 − (1 − p_i)^a] types survive.
    fn by_the_coalescent(samples: usize, fits: usize, frequencies: &Frequencies) -> SurvivingTypes {
        let n = samples as f64;
        // Ball by ball: it falls into an occupied box with probability occupied/n.
        let occupied = |balls: usize| {
            let mut chances = vec![0.0; samples + 1];
            chances[0] = 1.0;
            for _ in 0..balls {
                let mut next = vec![0.0; samples + 1];
                for (boxes, chance) in chances.iter().enumerate() {
                    next[boxes] += chance * boxes as f64 / n;
                    if boxes < samples {
                        next[boxes + 1] += chance * (n - boxes as f64) / n;
                    }
                }
                chances = next;
            }
            chances
        };
        let table: Vec<Vec<f64>> = (0..=samples).map(occupied).collect();
        let mut ancestors = vec![0.0; samples + 1];
        ancestors[samples] = 1.0;
        for _ in 1..fits {
            let mut next = vec![0.0; samples + 1];
            for (chance, row) in ancestors.iter().zip(&table) {
                next.iter_mut().zip(row).for_each(|(next, p)| *next += chance * p);
            }
            ancestors = next;
        }
        let mut surviving = SurvivingTypes::default();
        for (&p, &is_tail) in frequencies.probabilities().iter().zip(frequencies.is_tail()) {
            let found = |(a, chance): (usize, &f64)| chance * (1.0 - (1.0 - p).powi(a as i32));
            let chance: f64 = ancestors.iter().enumerate().map(found).sum();
            surviving.types += chance;
            surviving.tail_types += if is_tail { chance } else { 0.0 };
        }
        surviving
    }

    #[test]
    fn survival_under_replace_agrees_with_the_coalescent() {
        let frequencies = Frequencies::zipf(40, 1.6, 0.0).unwrap();
        assert!(frequencies.tail_mass() > 0.0);
        let found = surviving_types(&schedule_of("replace", 60, 25), &frequencies);
        for (generation, found) in found.into_iter().enumerate() {
            let (found, expected) = (found.unwrap(), by_the_coalescent(60, generation + 1, &frequencies));
            assert!((found.types - expected.types).abs() < 1e-9, "{generation}: {found:?} {expected:?}");
            assert!((found.tail_types - expected.tail_types).abs() < 1e-9);
        }
    }

    /// 3000 samples need a few dozen to a few hundred states; the same sums over all 3000 states agree.
    #[test]
    fn states_above_the_bound_do_not_matter() {
        let frequencies = Frequencies::zipf(500, 1.0, 2.0).unwrap();
        for mixture in ["replace", "anchored", "append-human-data", "{ natural_fraction = 0.5 }"] {
            let chain = CopyChain::of(&schedule_of(mixture, 3000, 12)).unwrap();
            let classes = FrequencyClass::of(&frequencies);
            let cut = chain.surviving(&classes, 12);
            let whole = chain.losses(12, chain.total() as usize);
            assert!(chain.states(12).unwrap().1 < 3000, "{mixture}");
            for (generation, (cut, lost)) in cut.iter().zip(&whole).enumerate() {
                let sum: f64 = classes
                    .iter()
                    .map(|class| {
                        let start =
                            BinomialRow::new(3000 - chain.natural, class.p, 1.0 - class.p, lost.len() - 1);
                        1.0 - (1.0 - class.p).powi(chain.natural as i32) * start.dot(lost)
                    })
                    .sum();
                assert!((cut.types - sum).abs() < 1e-8, "{mixture}, {generation}: {} {sum}", cut.types);
            }
        }
    }

    #[test]
    fn accumulate_keeps_the_types_of_the_first_sample_forever() {
        let frequencies = Frequencies::zipf(40, 0.0, 0.0).unwrap();
        let found = 40.0 * (1.0 - (39.0_f64 / 40.0).powi(60));
        for generation in surviving_types(&schedule_of("accumulate", 60, 3), &frequencies) {
            assert!((generation.unwrap().types - found).abs() < 1e-10);
        }
    }

    /// At 15 trillion samples no type is near extinction, and this is found without a table of states.
    #[test]
    fn common_types_survive_almost_surely() {
        let frequencies = Frequencies::zipf(1000, 1.1, 0.0).unwrap();
        let found = surviving_types(&schedule_of("replace", 15_000_000_000_000, 100), &frequencies);
        assert!((found[100].unwrap().types - 1000.0).abs() < 1e-9);
    }
}
