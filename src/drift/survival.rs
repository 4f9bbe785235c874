//! How many types are alive? The exact expectation, where the fate of a type is a chain of its own.
//!
//! A type lives while a generation's model gives it any mass; once lost from all samples it never comes back. The
//! number of samples of one type in what a generation trains on is a Markov chain, whatever the other types do, and the
//! expected number of living types is the sum over types of the chance that their chain is not at 0.
//!
//! - *Generation 0*, every regime: n samples miss a type of frequency p with `(1 − p)^n`.
//! - *All natural samples kept, and no others* (accumulate, control): what the first n samples found, for ever.
//! - *Latest samples, with a fixed natural part of m samples* (m = 0 is replace) of n per generation, k = n − m
//!   synthetic: a type is lost if none of the m samples is of it, which has the chance `(1 − p)^m`, and the chain
//!   `X₀ ~ Bin(N − m, p), X' ~ Bin(k, X/n)` has come to 0. With `L_t(j)` the chance that a chain at j is at 0 after t
//!   steps, `L₀ = [j = 0]` and `L_{t+1}(j) = Σ_i Bin(k, j/n)(i) L_t(i)`. (If the natural part comes on top, the first
//!   step divides by N, not by n.)
//!
//! # Where the states end
//!
//! Chains above J copies count as alive, for a J that errs by less than e⁻⁴⁰, from two bounds.
//!
//! Since `(1 − (j/n)(1 − x))^k ≤ exp(−a j (1 − x))` with a = k/n, induction gives `L_t(j) ≤ (1 − y_t)^j ≤ exp(−j y_t)`
//! with `y₀ = 1, y_{t+1} = 1 − exp(−a y_t)`; y_t is about 2/t for a = 1. So a chain above `40/y_G` is lost within G
//! generations with a chance below e⁻⁴⁰.
//!
//! With a natural part, a < 1, this J grows with G, and another bound takes over. A type with m·p > 40 is missing from
//! the natural part with a chance below e⁻⁴⁰; the others have a mean of at most μ = 40 (N − m)/m. For the θ > 0 with
//! `a (e^θ − 1) = θ`, `exp(θ X)` is a supermartingale after the first step, so that a chain ever rises above J with a
//! chance of at most `exp(μ (e^θ' − 1) − θ J)`, where θ' = θ/a times the k/N of the first step. That is e⁻⁴⁰ at
//! `J = (40 + μ (e^θ' − 1))/θ`.
//!
//! Generations for which J would exceed 4000, and problems of too many types for too many states, have no exact value.

use super::frequencies::Frequencies;
use super::pmf::ln_binomial;
use super::regime::{Recipe, Regime};
use crate::config::{NaturalDocuments, SyntheticDocuments};
use rayon::prelude::*;

/// Expected numbers of living types.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Alive {
    /// Of all types.
    pub types: f64,
    /// Of the tail types.
    pub tail_types: f64,
}

/// −ln of the error that is let pass.
const CERTAIN: f64 = 40.0;

/// The most copies of a type that are told apart.
const MOST_STATES: f64 = 4000.0;

/// The most products to sum over types, states and generations: some seconds.
const MOST_PRODUCTS: f64 = 3e9;

/// Probabilities below this are left out of a row.
const NEGLIGIBLE: f64 = 1e-25;

/// Types that one thread sums at a time.
const BLOCK: usize = 64;

/// The expected numbers of living types in generations 0, 1, …; None where they are not known.
#[must_use]
pub fn alive(regime: &Regime, frequencies: &Frequencies) -> Vec<Option<Alive>> {
    let generations = regime.recipes.len();
    let types = Group::of(frequencies);
    let found = types.iter().fold(Alive::default(), |sum, group| {
        sum.plus(group, -(regime.samples as f64 * (-group.p).ln_1p()).exp_m1())
    });
    if regime.keeps_natural_samples() {
        return vec![Some(found); generations + 1];
    }
    let mut all = vec![Some(found)];
    if let Some(chain) = Chain::of(regime) {
        all.extend(chain.alive(&types, generations).into_iter().skip(1).map(Some));
    }
    all.resize(generations + 1, None);
    all
}

/// Types of the same frequency.
#[derive(Clone, Copy, Debug)]
struct Group {
    p: f64,
    types: f64,
    tail_types: f64,
}

impl Group {
    /// Types that never occur are left out.
    fn of(frequencies: &Frequencies) -> Vec<Self> {
        let mut sorted: Vec<(f64, bool)> =
            frequencies.probabilities().iter().copied().zip(frequencies.is_tail().iter().copied()).collect();
        sorted.retain(|(p, _)| *p > 0.0);
        sorted.sort_by(|a, b| a.0.total_cmp(&b.0));
        let group = |run: &[(f64, bool)]| Self {
            p: run[0].0,
            types: run.len() as f64,
            tail_types: run.iter().filter(|(_, is_tail)| *is_tail).count() as f64,
        };
        sorted.chunk_by(|a, b| a.0 == b.0).map(group).collect()
    }
}

impl Alive {
    fn plus(self, group: &Group, chance: f64) -> Self {
        Self {
            types: self.types + group.types * chance,
            tail_types: self.tail_types + group.tail_types * chance,
        }
    }
}

/// The chain of one type's copies, the same in every generation.
#[derive(Clone, Copy, Debug)]
struct Chain {
    /// N: samples of generation 0.
    first: u64,
    /// m: fixed natural samples.
    natural: u64,
    /// k: synthetic samples.
    synthetic: u64,
}

impl Chain {
    fn of(regime: &Regime) -> Option<Self> {
        let &first_recipe = regime.recipes.first()?;
        let Recipe::Parts { natural, synthetic } = first_recipe else { return None };
        let is_chain = regime.recipes.iter().all(|&recipe| recipe == first_recipe)
            && regime.synthetic == SyntheticDocuments::Latest
            && (regime.natural == NaturalDocuments::Fixed || natural == 0)
            && natural < regime.samples
            && synthetic > 0;
        is_chain.then_some(Self { first: regime.samples, natural, synthetic })
    }

    fn total(self) -> u64 {
        self.natural + self.synthetic
    }

    /// The expectations of generations 0..=last, as far as there are states enough.
    fn alive(self, types: &[Group], generations: usize) -> Vec<Alive> {
        let Some((last, states)) = self.states(generations) else { return Vec::new() };
        let products: f64 = types.iter().map(|group| self.window(group.p, states)).sum::<f64>() * last as f64;
        if products > MOST_PRODUCTS {
            return Vec::new();
        }
        let losses = self.losses(last, states);
        let of_block = |block: &[Group]| {
            let mut sums = vec![Alive::default(); last + 1];
            for group in block {
                let missing = (self.natural as f64 * (-group.p).ln_1p()).exp();
                let start = Row::new(self.first - self.natural, group.p, 1.0 - group.p, states);
                for (sum, lost) in sums.iter_mut().zip(&losses) {
                    *sum = sum.plus(group, 1.0 - missing * start.dot(lost));
                }
            }
            sums
        };
        let blocks: Vec<Vec<Alive>> = types.par_chunks(BLOCK).map(of_block).collect();
        let mut all = vec![Alive::default(); last + 1];
        for block in &blocks {
            for (sum, part) in all.iter_mut().zip(block) {
                sum.types += part.types;
                sum.tail_types += part.tail_types;
            }
        }
        all
    }

    /// The last generation for which the states suffice, and J.
    fn states(self, generations: usize) -> Option<(usize, usize)> {
        let share = self.synthetic as f64 / self.total() as f64;
        let most = self.first.max(self.total()) as f64;
        let ever = self.highest(share).min(most);
        let (mut alive, mut best) = (1.0_f64, None);
        for generation in 1..=generations {
            alive = -(-share * alive).exp_m1();
            let needed = (CERTAIN / alive).min(ever).ceil();
            if needed > MOST_STATES {
                break;
            }
            best = Some((generation, needed as usize));
        }
        best
    }

    /// J of the second bound; infinite without a natural part.
    fn highest(self, share: f64) -> f64 {
        if self.natural == 0 {
            return f64::INFINITY;
        }
        let slope = |theta: f64| share * theta.exp_m1() - theta;
        let mut high = 1.0;
        while slope(high) < 0.0 {
            high *= 2.0;
        }
        let mut low = 0.0;
        for _ in 0..100 {
            let middle = 0.5 * (low + high);
            if slope(middle) < 0.0 {
                low = middle;
            } else {
                high = middle;
            }
        }
        let theta = high;
        let at_first = theta * (self.synthetic as f64 / self.first as f64) / share;
        let mean = CERTAIN * (self.first - self.natural) as f64 / self.natural as f64;
        (CERTAIN + mean * at_first.exp_m1()) / theta
    }

    /// States that the first sample of a type of frequency p is spread over, about.
    fn window(self, p: f64, states: usize) -> f64 {
        let mean = (self.first - self.natural) as f64 * p;
        // Chernoff: so far above the last state, a type has a chance below e⁻⁶⁰ to begin there.
        if mean > states as f64 && (mean - states as f64).powi(2) > 120.0 * mean {
            return 1.0;
        }
        (20.0 * (mean + 1.0).sqrt()).min(states as f64)
    }

    /// For generations 0..=`last`, the chance of each state 0..=`states` of generation 0 to have come to 0 by then.
    fn losses(self, last: usize, states: usize) -> Vec<Vec<f64>> {
        let table = |total: u64| -> Vec<Row> {
            let row = |copies: usize| {
                let copies = (copies as u64).min(total);
                let (p, q) = (copies as f64 / total as f64, (total - copies) as f64 / total as f64);
                Row::new(self.synthetic, p, q, states)
            };
            (0..=states).into_par_iter().map(row).collect()
        };
        let apply = |table: &[Row], lost: &[f64]| table.iter().map(|row| row.dot(lost)).collect::<Vec<f64>>();
        let mut lost = vec![0.0; states + 1];
        lost[0] = 1.0;
        let mut all = vec![lost.clone()];
        let later = table(self.total());
        let first = (self.first != self.total()).then(|| table(self.first));
        for _ in 0..last {
            all.push(apply(first.as_ref().unwrap_or(&later), &lost));
            lost = apply(&later, &lost);
        }
        all
    }
}

/// The probabilities of a binomial that are not negligible, from state `start` on, none above the last state.
struct Row {
    start: usize,
    probabilities: Vec<f64>,
}

impl Row {
    fn new(trials: u64, p: f64, q: f64, states: usize) -> Self {
        let last = trials.min(states as u64);
        // From the mode, or from the last state if that is below, in either direction.
        let mode = (((trials as f64 + 1.0) * p) as u64).min(last);
        let at_mode = ln_binomial(mode, trials, p, q).exp();
        let chance = |x: u64| x as f64;
        let n = trials as f64;
        let mut below = Vec::new();
        let (mut x, mut probability) = (mode, at_mode);
        while x > 0 && probability > NEGLIGIBLE {
            probability *= chance(x) * q / ((n - chance(x) + 1.0) * p);
            x -= 1;
            below.push(probability);
        }
        let start = x as usize;
        below.reverse();
        let mut probabilities = below;
        probabilities.push(at_mode);
        let (mut x, mut probability) = (mode, at_mode);
        while x < last && probability > NEGLIGIBLE {
            probability *= (n - chance(x)) * p / ((chance(x) + 1.0) * q);
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
    use super::super::Loop;
    use super::*;
    use crate::config;

    fn regime(mixture: &str, samples: u64, generations: usize) -> Regime {
        let mixture = config::parse_mixture(mixture, "mixture").unwrap();
        Regime::new(&Loop { samples, generations, mixture, replicates: 1, seed: 1 }).unwrap()
    }

    /// The coalescent of Wright–Fisher drift, the slow way: A₁ = n, A_{t+1} = the number of occupied boxes when A_t balls fall into n boxes.
    /// Types alive after t fits: Σ_a P(A_t = a) Σ_i [1 − (1 − p_i)^a].
    fn by_the_coalescent(samples: usize, fits: usize, frequencies: &Frequencies) -> Alive {
        let n = samples as f64;
        // One ball after the other: a ball meets an occupied box with occupied/n.
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
        let mut alive = Alive::default();
        for (&p, &is_tail) in frequencies.probabilities().iter().zip(frequencies.is_tail()) {
            let found = |(a, chance): (usize, &f64)| chance * (1.0 - (1.0 - p).powi(a as i32));
            let chance: f64 = ancestors.iter().enumerate().map(found).sum();
            alive.types += chance;
            alive.tail_types += if is_tail { chance } else { 0.0 };
        }
        alive
    }

    #[test]
    fn replace_agrees_with_the_coalescent() {
        let frequencies = Frequencies::zipf(40, 1.6, 0.0).unwrap();
        assert!(frequencies.tail_mass() > 0.0);
        let found = alive(&regime("replace", 60, 25), &frequencies);
        for (generation, found) in found.into_iter().enumerate() {
            let (found, expected) = (found.unwrap(), by_the_coalescent(60, generation + 1, &frequencies));
            assert!((found.types - expected.types).abs() < 1e-9, "{generation}: {found:?} {expected:?}");
            assert!((found.tail_types - expected.tail_types).abs() < 1e-9);
        }
    }

    /// States that are cut off change nothing: 3000 samples need 50 and some hundred states, or all of them.
    #[test]
    fn states_that_are_left_out_do_not_matter() {
        let frequencies = Frequencies::zipf(500, 1.0, 2.0).unwrap();
        for mixture in ["replace", "anchored", "append-human-data", "{ natural_fraction = 0.5 }"] {
            let chain = Chain::of(&regime(mixture, 3000, 12)).unwrap();
            let types = Group::of(&frequencies);
            let cut = chain.alive(&types, 12);
            let whole = chain.losses(12, chain.total() as usize);
            assert!(chain.states(12).unwrap().1 < 3000, "{mixture}");
            for (generation, (cut, lost)) in cut.iter().zip(&whole).enumerate() {
                let sum: f64 = types
                    .iter()
                    .map(|group| {
                        let start = Row::new(3000 - chain.natural, group.p, 1.0 - group.p, lost.len() - 1);
                        1.0 - (1.0 - group.p).powi(chain.natural as i32) * start.dot(lost)
                    })
                    .sum();
                assert!((cut.types - sum).abs() < 1e-8, "{mixture}, {generation}: {} {sum}", cut.types);
            }
        }
    }

    #[test]
    fn what_is_kept_for_ever_is_what_the_first_sample_found() {
        let frequencies = Frequencies::zipf(40, 0.0, 0.0).unwrap();
        let found = 40.0 * (1.0 - (39.0_f64 / 40.0).powi(60));
        for generation in alive(&regime("accumulate", 60, 3), &frequencies) {
            assert!((generation.unwrap().types - found).abs() < 1e-10);
        }
    }

    /// At 15 trillion samples nothing is near its end, and no table is needed to know it.
    #[test]
    fn common_types_are_surely_alive() {
        let frequencies = Frequencies::zipf(1000, 1.1, 0.0).unwrap();
        let found = alive(&regime("replace", 15_000_000_000_000, 100), &frequencies);
        assert!((found[100].unwrap().types - 1000.0).abs() < 1e-9);
    }
}
