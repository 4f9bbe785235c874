//! Simulations of the training loop against exact values: Wright–Fisher drift and related processes, for every mixture.
//!
//! A case is one simulation; a check is one of its statistics over all generations. The expectations are those of
//! [`crate::drift`]. They are compared with the production simulator or, if a [`Fault`] is injected, with the
//! [`ReferenceSimulator`] that has that fault (in the categorical cases).
//!
//! | checked | exact value |
//! |---|---|
//! | categorical: `gini_simpson`, `tail_mass`, every mixture | `H₀ (1 − c)`, a martingale |
//! | categorical: `types_alive`, `tail_types_alive`, where known | the coalescent |
//! | which type is the last one left | each type with its natural frequency |
//! | Gaussian: `variance`, `trace`, `mean_variance` | `σ² (1 − c)`, `σ² c` |
//! | Gaussian, deep collapse: `log_variance`, `log_det` | sums of ψ |
//! | least squares: `test_error` | `σ² d/(T − d − 1)` times g + 1, Σ 1/i or Σ 1/i² |
//! | decoding alone, 10¹⁴ samples | `p^(τ^−t)`; one cut by top-k; repeated cuts by top-p |
//! | a learner that memorises T samples | unseen mass `Σ p (1 − p)^T` |
//! | 15·10¹² samples | the exact sum of the counts |
//!
//! The command `genloss verify --only oracles` runs these checks; [`crate::verify`] has an example in code.

use super::injected::{Fault, ReferenceSimulator};
use super::{
    CheckGroup, Evidence, Finding, Thoroughness, VerifyError, VerifySettings, check_interrupt, format_number,
    worst,
};
use crate::config;
use crate::decoding::SamplingSettings;
use crate::drift::categorical::CategoricalSimulation;
use crate::drift::gaussian::GaussianSimulation;
use crate::drift::multinomial::multinomial;
use crate::drift::regression::RegressionSimulation;
use crate::drift::{DriftError, DriftRow, DriftSettings, Frequencies};
use crate::seed::{StreamKey, streams};
use crate::stage::Stage;
use rayon::prelude::*;

/// Samples, generations and types of the categorical cases. The tail has four samples on average, and half of the
/// lineages lose it.
const SAMPLES: u64 = 400;
const GENERATIONS: usize = 8;
const TYPES: usize = 60;

/// Mixtures of the categorical cases: the published ones by name, then others that the settings allow.
const MIXTURES: [&str; 14] = [
    "replace",
    "replace-multiple",
    "accumulate",
    "fresh-data-loop",
    "anchored",
    "accumulate-subsample",
    "append-human-data",
    "control",
    "repeat",
    "{ natural_fraction = [0.5, 0.2, 0.8, 0.0] }",
    "{ natural_fraction = 0.3, synthetic = 'all', budget = 'added' }",
    "{ natural_fraction = 'proportional', natural = 'fresh' }",
    "{ natural_fraction = [0.5, 0.2, 0.3], natural = 'fresh', synthetic = 'all' }",
    "{ natural_fraction = 'proportional', budget = 'growing' }",
];

/// Mixtures of the Gaussian cases.
const GAUSSIAN_MIXTURES: [&str; 7] = [
    "replace",
    "replace-multiple",
    "accumulate",
    "anchored",
    "fresh-data-loop",
    "accumulate-subsample",
    REPEATED,
];

/// Half of the natural samples alone, then three in ten.
const REPEATED: &str = "{ natural_fraction = [0.5, 0.3], budget = 'repeated' }";

/// Makes every check of this group.
///
/// # Errors
/// If a simulation cannot be set up, or the user interrupts.
pub fn findings(settings: &VerifySettings, stage: &Stage) -> Result<Vec<Finding>, VerifyError> {
    let mut all = Vec::new();
    for mixture in MIXTURES {
        check_interrupt(stage)?;
        let case = categorical_case(settings, mixture, SAMPLES, settings.thoroughness.replicates())?;
        all.extend(checks_of(&format!("categorical, {mixture}"), &rows_of(&case, settings)));
    }
    for (mixture, dims) in GAUSSIAN_MIXTURES.into_iter().flat_map(|mixture| [(mixture, 1), (mixture, 3)]) {
        check_interrupt(stage)?;
        let settings = drift_settings(settings, mixture, 40, 6, settings.thoroughness.replicates())?;
        let rows = GaussianSimulation::new(dims, &settings)?.rows();
        all.extend(checks_of(&format!("Gaussian in {dims} dimensions, {mixture}"), &rows));
    }
    for (dims, statistic) in [(1, "log_variance"), (2, "log_det")] {
        let settings = drift_settings(settings, "replace", 10, 40, settings.thoroughness.replicates())?;
        let mut rows = GaussianSimulation::new(dims, &settings)?.rows();
        // On the raw scale the mean is determined by lineages too rare to be sampled.
        rows.retain(|row| row.statistic == statistic);
        all.extend(checks_of(&format!("Gaussian in {dims} dimensions, deep collapse"), &rows));
    }
    for mixture in ["replace", "replace-multiple", "accumulate", "control", REPEATED] {
        let settings = drift_settings(settings, mixture, 60, 6, settings.thoroughness.replicates())?;
        let rows = RegressionSimulation::new(5, 1.0, &settings)?.rows()?;
        all.extend(checks_of(&format!("least squares, {mixture}"), &rows));
    }
    all.push(fixation(settings)?);
    all.extend(decoding(settings)?);
    all.push(memorising(settings)?);
    all.extend(sums(settings)?);
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

fn drift_settings(
    settings: &VerifySettings,
    mixture: &str,
    samples: u64,
    generations: usize,
    replicates: usize,
) -> Result<DriftSettings, VerifyError> {
    let mixture = config::parse_mixture(mixture, "mixture")?;
    Ok(DriftSettings { samples, generations, mixture, replicates, seed: settings.seed })
}

/// Natural frequencies with a Zipf exponent of 1.2.
fn zipf(types: usize) -> Result<Frequencies, DriftError> {
    Frequencies::zipf(types, 1.2, 0.0)
}

/// A categorical simulation and its natural frequencies.
struct CategoricalCase {
    frequencies: Frequencies,
    simulation: CategoricalSimulation,
}

fn categorical_case(
    settings: &VerifySettings,
    mixture: &str,
    samples: u64,
    replicates: usize,
) -> Result<CategoricalCase, VerifyError> {
    let settings = drift_settings(settings, mixture, samples, GENERATIONS, replicates)?;
    let frequencies = zipf(TYPES)?;
    let simulation = CategoricalSimulation::new(frequencies.clone(), SamplingSettings::PLAIN, &settings)?;
    Ok(CategoricalCase { frequencies, simulation })
}

impl CategoricalCase {
    /// The simulator that replaces the production one if there is a fault.
    fn reference(&self, settings: &VerifySettings, fault: Option<Fault>) -> ReferenceSimulator<'_> {
        ReferenceSimulator {
            frequencies: &self.frequencies,
            schedule: self.simulation.schedule(),
            seed: settings.seed,
            fault,
        }
    }
}

/// The rows of the production simulator or, if there is a fault and it makes a difference under this schedule, of the
/// simulator with that fault.
fn rows_of(case: &CategoricalCase, settings: &VerifySettings) -> Vec<DriftRow> {
    match settings.fault.filter(|fault| fault.affects(case.simulation.schedule())) {
        None => case.simulation.rows(),
        fault => {
            let reference = case.reference(settings, fault);
            case.simulation.rows_of(|replicate, each| reference.lineage(replicate, each))
        }
    }
}

/// One check for every statistic that has an exact expectation.
fn checks_of(case: &str, rows: &[DriftRow]) -> Vec<Finding> {
    let mut statistics: Vec<&str> = Vec::new();
    for row in rows.iter().filter(|row| row.exact.is_some()) {
        if !statistics.contains(&row.statistic) {
            statistics.push(row.statistic);
        }
    }
    let check = |statistic: &str| {
        let rows: Vec<&DriftRow> = rows.iter().filter(|row| row.statistic == statistic).collect();
        check_statistic(case, statistic, &rows)
    };
    statistics.into_iter().map(check).collect()
}

fn check_statistic(case: &str, statistic: &str, rows: &[&DriftRow]) -> Finding {
    let compared: Vec<(&DriftRow, f64, f64)> =
        rows.iter().filter_map(|row| row.exact.map(|exact| (*row, exact, score(row, exact)))).collect();
    let scores: Vec<f64> = compared.iter().map(|(_, _, z)| *z).collect();
    let (row, exact, _) = compared[worst(&scores).map_or(0, |(index, _)| index)];
    Finding {
        group: CheckGroup::Oracles,
        name: format!("{case}: {statistic}"),
        found: format!(
            "{} at generation {}, the farthest of {}",
            format_number(row.mean),
            row.generation,
            compared.len()
        ),
        expected: format_number(exact),
        evidence: Evidence::Scores(scores),
    }
}

/// The z-score of a row. If nothing varies, a row has no z; the score is then 0 if the mean is exact to within
/// rounding, otherwise infinite.
fn score(row: &DriftRow, exact: f64) -> f64 {
    let agrees = (row.mean - exact).abs() <= 1e-9 * exact.abs().max(1e-9);
    row.z.unwrap_or(if agrees { 0.0 } else { f64::INFINITY })
}

/// Wright–Fisher drift to its end: after 200 generations of 20 samples one type is left, each type with a probability
/// equal to its natural frequency.
fn fixation(settings: &VerifySettings) -> Result<Finding, VerifyError> {
    const P: [f64; 3] = [0.6, 0.3, 0.1];
    let replicates = settings.thoroughness.replicates() / 2;
    let frequencies = Frequencies::new(&P)?;
    let drift = drift_settings(settings, "replace", 20, 200, replicates)?;
    let simulation = CategoricalSimulation::new(frequencies.clone(), SamplingSettings::PLAIN, &drift)?;
    let case = CategoricalCase { frequencies, simulation };
    let reference = case.reference(settings, settings.fault);
    let last = |replicate: usize| {
        let mut left = Vec::new();
        let mut each = |_: usize, counts: &[u64]| left = counts.to_vec();
        match settings.fault.filter(|fault| fault.affects(reference.schedule)) {
            None => case.simulation.lineage(replicate, &mut each),
            Some(_) => reference.lineage(replicate, &mut each),
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
        found: shares.iter().map(|&share| format_number(share)).collect::<Vec<_>>().join(", "),
        expected: P.map(format_number).join(", "),
        evidence: Evidence::Scores(scores),
    })
}

/// The frequencies of all types in a generation, given the number of the generation.
type Limit<'a> = dyn Fn(usize) -> Vec<f64> + 'a;

/// With 10¹⁴ samples the sampling noise is about 10⁻⁷, so only the decoder has a visible effect.
fn decoding(settings: &VerifySettings) -> Result<Vec<Finding>, VerifyError> {
    const TEMPERATURE: f64 = 0.9;
    const KEPT: usize = 10;
    let p = zipf(40)?;
    let p = p.probabilities();
    let power = |t: usize| normalised(p.iter().map(|p| p.powf(TEMPERATURE.powi(-(t as i32)))).collect());
    let cut = |t: usize| normalised(p.iter().take(if t == 0 { p.len() } else { KEPT }).copied().collect());
    let decoders: [(&str, SamplingSettings, &Limit); 3] = [
        ("temperature 0.9", SamplingSettings { temperature: TEMPERATURE, ..SamplingSettings::PLAIN }, &power),
        ("top-k 10", SamplingSettings { top_k: Some(KEPT), ..SamplingSettings::PLAIN }, &cut),
        ("top-p 0.9", SamplingSettings { top_p: Some(0.9), ..SamplingSettings::PLAIN }, &|t| {
            nucleus(p, 0.9, t)
        }),
    ];
    let check = |(name, decoding, limit): (&str, SamplingSettings, &Limit)| {
        let drift = drift_settings(settings, "replace", 100_000_000_000_000, 5, 1)?;
        let simulation = CategoricalSimulation::new(zipf(40)?, decoding, &drift)?;
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
    decoders.into_iter().map(check).collect()
}

fn normalised(weights: Vec<f64>) -> Vec<f64> {
    let total: f64 = weights.iter().sum();
    weights.into_iter().map(|weight| weight / total).collect()
}

/// Applies top-p `times` times to the descending frequencies `p`: keeps the fewest leading types with a total of at least
/// `mass` and renormalises.
fn nucleus(p: &[f64], mass: f64, times: usize) -> Vec<f64> {
    let mut left = normalised(p.to_vec());
    for _ in 0..times {
        let mut before = 0.0;
        let inside = |p: &&f64| {
            let stays = before < mass;
            before += **p;
            stays
        };
        left = normalised(left.iter().take_while(inside).copied().collect());
    }
    left
}

/// Dohmatob et al. (2024): the types that T samples miss have an expected total frequency of `Σ p (1 − p)^T`.
fn memorising(settings: &VerifySettings) -> Result<Finding, VerifyError> {
    const SEEN: u64 = 1000;
    let frequencies = Frequencies::zipf(2000, 1.5, 0.0)?;
    let p = frequencies.probabilities();
    let expected: f64 = p.iter().map(|p| p * (1.0 - p).powi(SEEN as i32)).sum();
    let unseen = |draw: usize| -> f64 {
        let counts =
            multinomial(SEEN, p, &StreamKey::new(settings.seed, "", draw, streams::VERIFY_MEMORISING));
        counts.iter().zip(p).filter(|(count, _)| **count == 0).map(|(_, p)| p).sum()
    };
    let values: Vec<f64> = (0..settings.thoroughness.replicates()).into_par_iter().map(unseen).collect();
    let row = DriftRow::new(0, "unseen mass", &values, Some(expected));
    Ok(check_statistic("a memorising learner", "unseen mass", &[&row]))
}

/// At 15·10¹² samples per generation, counts still sum to exactly the size of the training set.
fn sums(settings: &VerifySettings) -> Result<Vec<Finding>, VerifyError> {
    const MANY: u64 = 15_000_000_000_000;
    let check = |mixture: &str| {
        let drift = drift_settings(settings, mixture, MANY, 6, 1)?;
        let simulation = CategoricalSimulation::new(zipf(3000)?, SamplingSettings::PLAIN, &drift)?;
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
            evidence: Evidence::Decided(found == expected && found.len() == 7),
        })
    };
    ["replace", "anchored", "accumulate", "accumulate-subsample", "fresh-data-loop"]
        .into_iter()
        .map(check)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::{Check, judge};
    use super::*;

    fn settings(fault: Option<Fault>) -> VerifySettings {
        VerifySettings { seed: 1, thoroughness: Thoroughness::Quick, fault }
    }

    /// Checks of a few mixtures with the reference simulator, 1500 lineages each.
    fn checks_of_reference(fault: Option<Fault>) -> Vec<Check> {
        let settings = settings(fault);
        let mut all = Vec::new();
        for mixture in ["replace", "anchored", "fresh-data-loop", "accumulate", "accumulate-subsample"] {
            let case = categorical_case(&settings, mixture, SAMPLES, 1500).unwrap();
            let reference = case.reference(&settings, fault);
            let rows = case.simulation.rows_of(|replicate, each| reference.lineage(replicate, each));
            all.extend(checks_of(mixture, &rows));
        }
        judge(all)
    }

    #[test]
    fn the_reference_simulator_without_a_fault_passes_the_same_checks() {
        let checks = checks_of_reference(None);
        assert_eq!(checks.len(), 5 * 4);
        let failed: Vec<&Check> = checks.iter().filter(|check| !check.passed).collect();
        assert!(failed.is_empty(), "{failed:?}");
    }

    #[test]
    fn every_fault_is_detected() {
        for fault in Fault::ALL {
            let failed = checks_of_reference(Some(fault)).iter().filter(|check| !check.passed).count();
            assert!(failed >= 2, "{}: {failed}", fault.name());
        }
    }

    #[test]
    fn top_p_can_cut_again_after_renormalisation() {
        // One cut at 0.79 or 0.74 keeps 0.3 + 0.3 + 0.2; a second one at 0.74 keeps 3/8 + 3/8, and a third drops nothing.
        let p = [0.3, 0.3, 0.2, 0.1, 0.1];
        assert_eq!(nucleus(&p, 0.79, 1).len(), 3);
        assert_eq!(nucleus(&p, 0.74, 3).len(), 2);
    }
}
