//! The loop against what is exact: Wright–Fisher drift and its relatives, in every mixture.
//!
//! A case is a loop, a check one statistic of it over all generations. The expectations are those of [`crate::drift`];
//! the simulator that they are held against is the production one, or with a [`Fault`] its broken twin in the
//! categorical loops.
//!
//! | what | exact value |
//! |---|---|
//! | categorical: `gini_simpson`, `tail_mass`, every mixture | `H₀ (1 − c)`, a martingale |
//! | categorical: `types_alive`, `tail_types_alive`, where known | the coalescent |
//! | which type fixes | each with its natural frequency |
//! | Gaussian: `variance`, `trace`, `mean_variance` | `σ² (1 − c)`, `σ² c` |
//! | Gaussian, deep collapse: `log_variance`, `log_det` | sums of ψ |
//! | least squares: `test_error` | `σ² d/(T − d − 1)` times g + 1, Σ 1/i or Σ 1/i² |
//! | decoding alone, 10¹⁴ samples | `p^(τ^−t)`; a single cut of top-k; repeated cuts of top-p |
//! | a memorising learner | unseen mass `Σ p (1 − p)^T` |
//! | 15·10¹² samples | counts sum to the unit |

use super::injected::{Fault, ReferenceSimulator};
use super::{
    CheckGroup, Evidence, Finding, Thoroughness, VerifyError, VerifySettings, check_interrupt, shown, worst,
};
use crate::config::{self, Decoding};
use crate::drift::multinomial::multinomial;
use crate::drift::{DriftError, DriftRow, DriftSettings, Frequencies, categorical, gaussian, regression};
use crate::seed::{StreamKey, streams};
use crate::stage::Stage;
use rayon::prelude::*;

/// Samples, generations and types of the categorical loops: a tail of four samples, which half of the lineages lose.
const SAMPLES: u64 = 400;
const GENERATIONS: usize = 8;
const TYPES: usize = 60;

/// Mixtures of the categorical loop: the published ones by name, then what else the grammar can say.
const MIXTURES: [&str; 13] = [
    "replace",
    "replace-multiple",
    "accumulate",
    "fresh-data-loop",
    "anchored",
    "accumulate-subsample",
    "append-human-data",
    "control",
    "{ natural_fraction = [0.5, 0.2, 0.8, 0.0] }",
    "{ natural_fraction = 0.3, synthetic = 'all', budget = 'added' }",
    "{ natural_fraction = 'proportional', natural = 'fresh' }",
    "{ natural_fraction = [0.5, 0.2, 0.3], natural = 'fresh', synthetic = 'all' }",
    "{ natural_fraction = 'proportional', budget = 'growing' }",
];

/// Mixtures of the Gaussian loop.
const GAUSSIAN_MIXTURES: [&str; 6] =
    ["replace", "replace-multiple", "accumulate", "anchored", "fresh-data-loop", "accumulate-subsample"];

/// Makes every check of this group.
///
/// # Errors
/// When a loop cannot be simulated, or the user asks to stop.
pub fn findings(plan: &VerifySettings, stage: &Stage) -> Result<Vec<Finding>, VerifyError> {
    let mut all = Vec::new();
    for mixture in MIXTURES {
        check_interrupt(stage)?;
        let simulation = loop_of(plan, mixture, SAMPLES, plan.depth.replicates())?;
        all.extend(of_rows(&format!("categorical, {mixture}"), &rows(&simulation, plan)));
    }
    for (mixture, dims) in GAUSSIAN_MIXTURES.into_iter().flat_map(|mixture| [(mixture, 1), (mixture, 3)]) {
        check_interrupt(stage)?;
        let plan = drift_plan(plan, mixture, 40, 6, plan.depth.replicates())?;
        let rows = gaussian::GaussianSimulation::new(dims, &plan)?.rows();
        all.extend(of_rows(&format!("Gaussian in {dims} dimensions, {mixture}"), &rows));
    }
    for (dims, statistic) in [(1, "log_variance"), (2, "log_det")] {
        let plan = drift_plan(plan, "replace", 10, 40, plan.depth.replicates())?;
        let mut rows = gaussian::GaussianSimulation::new(dims, &plan)?.rows();
        // On the raw scale the mean belongs to lineages too rare to be sampled.
        rows.retain(|row| row.statistic == statistic);
        all.extend(of_rows(&format!("Gaussian in {dims} dimensions, deep collapse"), &rows));
    }
    for mixture in ["replace", "replace-multiple", "accumulate", "control"] {
        let plan = drift_plan(plan, mixture, 60, 6, plan.depth.replicates())?;
        let rows = regression::RegressionSimulation::new(5, 1.0, &plan)?.rows()?;
        all.extend(of_rows(&format!("least squares, {mixture}"), &rows));
    }
    all.push(fixation(plan)?);
    all.extend(decoding(plan)?);
    all.push(memorising(plan)?);
    all.extend(sums(plan)?);
    Ok(all)
}

impl Thoroughness {
    fn replicates(self) -> usize {
        match self {
            Self::Quick => 3_000,
            Self::Full => 40_000,
        }
    }
}

fn drift_plan(
    plan: &VerifySettings,
    mixture: &str,
    samples: u64,
    generations: usize,
    replicates: usize,
) -> Result<DriftSettings, VerifyError> {
    let mixture = config::parse_mixture(mixture, "mixture")?;
    Ok(DriftSettings { samples, generations, mixture, replicates, seed: plan.seed })
}

fn zipf(types: usize) -> Result<Frequencies, DriftError> {
    Frequencies::zipf(types, 1.2, 0.0)
}

/// A categorical loop.
struct CategoricalCase {
    frequencies: Frequencies,
    simulation: categorical::CategoricalSimulation,
}

fn loop_of(
    plan: &VerifySettings,
    mixture: &str,
    samples: u64,
    replicates: usize,
) -> Result<CategoricalCase, VerifyError> {
    let plan = drift_plan(plan, mixture, samples, GENERATIONS, replicates)?;
    let frequencies = zipf(TYPES)?;
    let simulation = categorical::CategoricalSimulation::new(frequencies.clone(), Decoding::PLAIN, &plan)?;
    Ok(CategoricalCase { frequencies, simulation })
}

impl CategoricalCase {
    /// The simulator that takes the place of this one under a fault.
    fn twin(&self, plan: &VerifySettings, fault: Option<Fault>) -> ReferenceSimulator<'_> {
        ReferenceSimulator {
            frequencies: &self.frequencies,
            schedule: self.simulation.schedule(),
            seed: plan.seed,
            fault,
        }
    }
}

fn rows(case: &CategoricalCase, plan: &VerifySettings) -> Vec<DriftRow> {
    match plan.fault.filter(|fault| fault.concerns(case.simulation.schedule())) {
        None => case.simulation.rows(),
        fault => {
            let twin = case.twin(plan, fault);
            case.simulation.rows_of(|replicate, each| twin.lineage(replicate, each))
        }
    }
}

/// A check for every statistic that has an exact expectation.
fn of_rows(case: &str, rows: &[DriftRow]) -> Vec<Finding> {
    let mut statistics: Vec<&str> = Vec::new();
    for row in rows.iter().filter(|row| row.exact.is_some()) {
        if !statistics.contains(&row.statistic) {
            statistics.push(row.statistic);
        }
    }
    let of = |statistic: &str| {
        let rows: Vec<&DriftRow> = rows.iter().filter(|row| row.statistic == statistic).collect();
        of_statistic(case, statistic, &rows)
    };
    statistics.into_iter().map(of).collect()
}

fn of_statistic(case: &str, statistic: &str, rows: &[&DriftRow]) -> Finding {
    let held: Vec<(&DriftRow, f64, f64)> =
        rows.iter().filter_map(|row| row.exact.map(|exact| (*row, exact, score(row, exact)))).collect();
    let scores: Vec<f64> = held.iter().map(|(_, _, z)| *z).collect();
    let (row, exact, _) = held[worst(&scores).map_or(0, |place| place.0)];
    Finding {
        group: CheckGroup::Oracles,
        name: format!("{case}: {statistic}"),
        found: format!(
            "{} at generation {}, the farthest of {}",
            shown(row.mean),
            row.generation,
            held.len()
        ),
        expected: shown(exact),
        evidence: Evidence::Scores(scores),
    }
}

/// z; where none is given, nothing varies: then the value must be the exact one.
fn score(row: &DriftRow, exact: f64) -> f64 {
    let agrees = (row.mean - exact).abs() <= 1e-9 * exact.abs().max(1e-9);
    row.z.unwrap_or(if agrees { 0.0 } else { f64::INFINITY })
}

/// Wright–Fisher drift to its end: 20 samples, 200 generations, and one type is left: each with its natural frequency.
fn fixation(plan: &VerifySettings) -> Result<Finding, VerifyError> {
    const P: [f64; 3] = [0.6, 0.3, 0.1];
    let replicates = plan.depth.replicates() / 2;
    let frequencies = Frequencies::new(&P)?;
    let drift = drift_plan(plan, "replace", 20, 200, replicates)?;
    let simulation = categorical::CategoricalSimulation::new(frequencies.clone(), Decoding::PLAIN, &drift)?;
    let case = CategoricalCase { frequencies, simulation };
    let twin = case.twin(plan, plan.fault);
    let last = |replicate: usize| {
        let mut left = Vec::new();
        let mut each = |_: usize, counts: &[u64]| left = counts.to_vec();
        match plan.fault.filter(|fault| fault.concerns(twin.schedule)) {
            None => case.simulation.lineage(replicate, &mut each),
            Some(_) => twin.lineage(replicate, &mut each),
        }
        left
    };
    let left: Vec<Vec<u64>> = (0..replicates).into_par_iter().map(last).collect();
    let fixed =
        |id: usize| left.iter().filter(|counts| counts.iter().sum::<u64>() == counts[id]).count() as f64;
    let size = replicates as f64;
    let shares: Vec<f64> = (0..P.len()).map(|id| fixed(id) / size).collect();
    let scores = shares.iter().zip(P).map(|(share, p)| (share - p) / (p * (1.0 - p) / size).sqrt()).collect();
    Ok(Finding {
        group: CheckGroup::Oracles,
        name: "categorical, replace: share of lineages in which each type fixes".to_owned(),
        found: shares.iter().map(|&share| shown(share)).collect::<Vec<_>>().join(", "),
        expected: P.map(shown).join(", "),
        evidence: Evidence::Scores(scores),
    })
}

/// The frequencies of a generation (types), by its number.
type Limit<'a> = dyn Fn(usize) -> Vec<f64> + 'a;

/// With 10¹⁴ samples, whose noise is some 10⁻⁷, only the decoder acts.
fn decoding(plan: &VerifySettings) -> Result<Vec<Finding>, VerifyError> {
    const TEMPERATURE: f64 = 0.9;
    const KEPT: usize = 10;
    let p = zipf(40)?;
    let p = p.probabilities();
    let power = |t: usize| normal(p.iter().map(|p| p.powf(TEMPERATURE.powi(-(t as i32)))).collect());
    let cut = |t: usize| normal(p.iter().take(if t == 0 { p.len() } else { KEPT }).copied().collect());
    let kinds: [(&str, Decoding, &Limit); 3] = [
        ("temperature 0.9", Decoding { temperature: TEMPERATURE, ..Decoding::PLAIN }, &power),
        ("top-k 10", Decoding { top_k: Some(KEPT), ..Decoding::PLAIN }, &cut),
        ("top-p 0.9", Decoding { top_p: Some(0.9), ..Decoding::PLAIN }, &|t| nucleus(p, 0.9, t)),
    ];
    let of = |(name, decoding, limit): (&str, Decoding, &Limit)| {
        let drift = drift_plan(plan, "replace", 100_000_000_000_000, 5, 1)?;
        let simulation = categorical::CategoricalSimulation::new(zipf(40)?, decoding, &drift)?;
        let mut farthest = 0.0_f64;
        simulation.lineage(0, &mut |generation, counts| {
            let expected = limit(generation);
            for (id, &count) in counts.iter().enumerate() {
                let share = count as f64 / drift.samples as f64;
                farthest = farthest.max((share - expected.get(id).copied().unwrap_or(0.0)).abs());
            }
        });
        let name = format!("decoding alone, {name}: largest difference from the limit, 5 generations");
        Ok(Finding::number(CheckGroup::Oracles, name, farthest, 0.0, 1e-5))
    };
    kinds.into_iter().map(of).collect()
}

fn normal(weights: Vec<f64>) -> Vec<f64> {
    let total: f64 = weights.iter().sum();
    weights.into_iter().map(|weight| weight / total).collect()
}

/// The fewest leading types that hold `mass`, renormalised, `times` times over. `p` falls.
fn nucleus(p: &[f64], mass: f64, times: usize) -> Vec<f64> {
    let mut left = normal(p.to_vec());
    for _ in 0..times {
        let mut before = 0.0;
        let inside = |p: &&f64| {
            let stays = before < mass;
            before += **p;
            stays
        };
        left = normal(left.iter().take_while(inside).copied().collect());
    }
    left
}

/// Dohmatob et al. 2024: what T samples have not shown weighs `Σ p (1 − p)^T`.
fn memorising(plan: &VerifySettings) -> Result<Finding, VerifyError> {
    const SEEN: u64 = 1000;
    let frequencies = Frequencies::zipf(2000, 1.5, 0.0)?;
    let p = frequencies.probabilities();
    let expected: f64 = p.iter().map(|p| p * (1.0 - p).powi(SEEN as i32)).sum();
    let unseen = |draw: usize| -> f64 {
        let counts = multinomial(SEEN, p, &StreamKey::new(plan.seed, "", draw, streams::VERIFY_MEMORISING));
        counts.iter().zip(p).filter(|(count, _)| **count == 0).map(|(_, p)| p).sum()
    };
    let values: Vec<f64> = (0..plan.depth.replicates()).into_par_iter().map(unseen).collect();
    let row = DriftRow::new(0, "unseen mass", &values, Some(expected));
    Ok(of_statistic("a memorising learner", "unseen mass", &[&row]))
}

/// Not a sample is lost or made up, of 15·10¹² per generation.
fn sums(plan: &VerifySettings) -> Result<Vec<Finding>, VerifyError> {
    const MANY: u64 = 15_000_000_000_000;
    let of = |mixture: &str| {
        let drift = drift_plan(plan, mixture, MANY, 6, 1)?;
        let simulation = categorical::CategoricalSimulation::new(zipf(3000)?, Decoding::PLAIN, &drift)?;
        let (mut found, mut expected) = (Vec::new(), Vec::new());
        simulation.lineage(0, &mut |generation, counts| {
            let corpora = if mixture == "accumulate" { generation as u64 + 1 } else { 1 };
            found.push(counts.iter().sum::<u64>());
            expected.push(MANY * corpora);
        });
        let last = |sums: &[u64]| sums.last().map_or(String::new(), ToString::to_string);
        Ok(Finding {
            group: CheckGroup::Oracles,
            name: format!("15e12 samples, {mixture}: sum of the counts, last of 7 generations"),
            found: last(&found),
            expected: format!("{}, exactly", last(&expected)),
            evidence: Evidence::Settled(found == expected && found.len() == 7),
        })
    };
    ["replace", "anchored", "accumulate", "accumulate-subsample", "fresh-data-loop"]
        .into_iter()
        .map(of)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::{Check, judge};
    use super::*;

    fn plan(fault: Option<Fault>) -> VerifySettings {
        VerifySettings { seed: 1, depth: Thoroughness::Quick, fault }
    }

    /// Checks of a few mixtures with the twin in the simulator's place: 1500 lineages.
    fn of_twin(fault: Option<Fault>) -> Vec<Check> {
        let plan = plan(fault);
        let mut all = Vec::new();
        for mixture in ["replace", "anchored", "fresh-data-loop", "accumulate", "accumulate-subsample"] {
            let case = loop_of(&plan, mixture, SAMPLES, 1500).unwrap();
            let twin = case.twin(&plan, fault);
            let rows = case.simulation.rows_of(|replicate, each| twin.lineage(replicate, each));
            all.extend(of_rows(mixture, &rows));
        }
        judge(all)
    }

    #[test]
    fn the_twin_without_a_fault_passes_the_same_checks() {
        let checks = of_twin(None);
        assert_eq!(checks.len(), 5 * 4);
        let failed: Vec<&Check> = checks.iter().filter(|check| !check.passed).collect();
        assert!(failed.is_empty(), "{failed:?}");
    }

    #[test]
    fn every_fault_is_found_out() {
        for fault in Fault::ALL {
            let failed = of_twin(Some(fault)).iter().filter(|check| !check.passed).count();
            assert!(failed >= 2, "{}: {failed}", fault.name());
        }
    }

    #[test]
    fn a_nucleus_is_cut_again_and_again() {
        // .3 + .3 + .2 reach .8; of what is left, 3/8 + 3/8 do not reach .8, so nothing more goes.
        let p = [0.3, 0.3, 0.2, 0.1, 0.1];
        assert_eq!(nucleus(&p, 0.79, 1).len(), 3);
        assert_eq!(nucleus(&p, 0.74, 3).len(), 2);
    }
}
