//! The committed studies: the present code computes from them the numbers that were published.

use genloss::config::CONTROL;
use genloss::fit::{self, FitSettings, Fitted};
use genloss::store::{self, RunRecord};
use genloss::verdict::{self, ArmComparison};
use std::path::Path;

/// The experiments of a study.
fn study(name: &str) -> Vec<RunRecord> {
    store::read_study(&Path::new(env!("CARGO_MANIFEST_DIR")).join("generations/reference").join(name))
        .unwrap()
}

/// A table that was published, without its header.
fn table(name: &str) -> Vec<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/reference").join(name);
    std::fs::read_to_string(path).unwrap().lines().skip(1).map(str::to_owned).collect()
}

/// The verdicts in `reference/verdicts.csv` are those of the studies of one experiment.
#[test]
fn the_committed_studies_have_the_published_verdicts() {
    let published = table("verdicts.csv");
    let name_of = |line: &str| line.split(',').next().unwrap().to_owned();
    for of_study in published.chunk_by(|one, next| name_of(one) == name_of(next)) {
        let name = name_of(&of_study[0]);
        let [recorded] = &study(&name)[..] else { panic!("{name} is of one experiment") };
        assert!(recorded.baseline.is_some(), "{name}");
        let (experiment, observations) = (&recorded.experiment.name, recorded.observations());
        let compared = verdict::compare(experiment, &observations, CONTROL, &recorded.catalogue());
        let found: Vec<String> = compared.iter().map(|one| format!("{name},{}", line(one))).collect();
        assert_eq!(found, of_study);
    }
}

/// A comparison as in the table: arm, verdict, generation of its call, and seeds that it needs.
fn line(comparison: &ArmComparison) -> String {
    let ArmComparison { arm, verdict, called_at_generation, seeds_needed, .. } = comparison;
    let number = |number: Option<usize>| number.map_or(String::new(), |number| number.to_string());
    format!("{arm},{},{},{}", verdict.word(), number(*called_at_generation), number(*seeds_needed))
}

/// A published contrast: an arm against another at a generation, or what it grew by since another generation.
struct Contrast<'a> {
    study: &'a str,
    arm: &'a str,
    other: &'a str,
    metric: &'a str,
    since: Option<usize>,
    generation: usize,
    /// Mean and 95 % interval, to three decimals.
    published: [f64; 3],
}

impl<'a> Contrast<'a> {
    fn parse(line: &'a str) -> Self {
        let [study, arm, other, metric, since, generation, numbers @ ..] =
            &line.split(',').collect::<Vec<_>>()[..]
        else {
            panic!("{line}")
        };
        let numbers: Vec<f64> = numbers.iter().map(|number| number.parse().unwrap()).collect();
        Self {
            study,
            arm,
            other,
            metric,
            since: since.parse().ok(),
            generation: generation.parse().unwrap(),
            published: numbers.try_into().unwrap(),
        }
    }

    /// The difference in one seed.
    fn difference(&self, recorded: &RunRecord, seed: u64) -> f64 {
        let value = |arm: &str, generation: usize| {
            let lineage = recorded.lineages.iter().find(|lineage| lineage.seed == seed && lineage.arm == arm);
            lineage.unwrap().generations[generation].value(self.metric).unwrap()
        };
        let at = |generation| value(self.arm, generation) - value(self.other, generation);
        at(self.generation) - self.since.map_or(0.0, at)
    }
}

/// Mean and 95 % interval; t = 4.303 at the two degrees of freedom of three seeds, 2.447 at the six of seven, 2.201 at the
/// eleven of twelve.
fn mean_with_interval(values: &[f64]) -> [f64; 3] {
    let n = values.len() as f64;
    let t = match values.len() {
        3 => 4.302_653,
        7 => 2.446_912,
        12 => 2.200_985,
        other => panic!("{other} seeds"),
    };
    let mean = values.iter().sum::<f64>() / n;
    let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (n - 1.0);
    let half = t * (variance / n).sqrt();
    [mean, mean - half, mean + half]
}

/// The differences in `reference/published.csv` were computed from the measurements of each run, independently of this code.
#[test]
fn the_committed_studies_have_the_published_differences() {
    let lines = table("published.csv");
    let contrasts: Vec<Contrast> = lines.iter().map(|line| Contrast::parse(line)).collect();
    assert_eq!(contrasts.len(), 198);
    for of_study in contrasts.chunk_by(|one, next| one.study == next.study) {
        let [recorded] = &study(of_study[0].study)[..] else { panic!("{}", of_study[0].study) };
        for contrast in of_study {
            let seeds = recorded.experiment.seeds.iter();
            let values: Vec<f64> = seeds.map(|&seed| contrast.difference(recorded, seed)).collect();
            let found = mean_with_interval(&values);
            let is_equal = |(found, published): (&f64, &f64)| (found - published).abs() <= 0.000_501;
            assert!(
                found.iter().zip(&contrast.published).all(is_equal),
                "{}, {} against {}, {} at {}: {found:?} instead of {:?}",
                contrast.study,
                contrast.arm,
                contrast.other,
                contrast.metric,
                contrast.generation,
                contrast.published
            );
        }
    }
}

/// Tokens of natural text per token of rephrased or textbook text, for the same loss.
#[test]
fn the_committed_sweeps_have_the_published_speed_ups() {
    let by_oracle = [("oracle, rephrase", 0.86), ("oracle, textbook", 0.96)];
    let world = [[("rephrase", 0.71), ("textbook", 1.01)], by_oracle].concat();
    let reviews = vec![("rephrase", 0.79), ("textbook", 0.89)];
    for (name, published) in [("kang-world", world), ("kang-reviews", reviews)] {
        let points = fit::points(&study(name), 1).unwrap();
        // Natural text and three shares of each kind, 4 sizes, 5 numbers of tokens, 3 seeds.
        assert_eq!(points.len(), (1 + 3 * published.len()) * 4 * 5 * 3);
        // Refits make intervals, which are not looked at here.
        let settings = FitSettings { parameters: None, tokens: None, resamples: 40, seed: 1 };
        let fitted = fit::fit(points, &settings).unwrap();
        for (source, published) in published {
            let found = speed_up(&fitted, source);
            assert!((found - published).abs() <= 0.005, "{name}, {source}: {found}");
        }
    }
}

/// The speed-up of text that is all of one source.
fn speed_up(fitted: &Fitted, source: &str) -> f64 {
    let is_it = |blend: &fit::Blend| blend.source == source && blend.synthetic_percent == 100;
    fitted.speed_ups.iter().find(|found| is_it(&found.blend)).unwrap().speed_up
}
