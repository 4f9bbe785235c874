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

/// Studies of one experiment, with the verdict on each arm.
const VERDICTS: [(&str, &[(&str, &str)]); 9] = [
    (
        "accumulate-or-replace",
        &[
            ("accumulate", "inconclusive"),
            ("replace-multiple", "degraded, called at 2"),
            ("replace", "degraded, called at 1"),
        ],
    ),
    (
        "kang-generations",
        &[
            ("textbook", "collapsed, called at 3"),
            ("rephrase-25", "degraded, called at 1"),
            ("rephrase-50", "degraded, called at 1"),
            ("rephrase-75", "degraded, called at 2"),
            ("rephrase-90", "inconclusive"),
            ("textbook-67", "collapsed, called at 5"),
            ("textbook-33", "inconclusive"),
            ("rephrase-50-67", "degraded, called at 2"),
            ("rephrase-50-33", "inconclusive"),
        ],
    ),
    (
        "kang-generations-reviews",
        &[
            ("textbook", "collapsed, called at 2"),
            ("rephrase-25", "degraded, called at 2"),
            ("rephrase-50", "degraded, called at 5"),
            ("rephrase-75", "inconclusive"),
            ("rephrase-90", "inconclusive"),
            ("textbook-67", "narrowing, called at 2"),
            ("textbook-33", "inconclusive"),
            ("rephrase-50-67", "inconclusive"),
            ("rephrase-50-33", "inconclusive"),
        ],
    ),
    (
        "methods",
        &[
            ("textbook", "collapsed, called at 3"),
            ("keywords", "collapsed, called at 2"),
            ("continuation-previous", "collapsed, called at 2"),
            ("continuation-natural", "collapsed, called at 2"),
            ("rephrase-50", "degraded, called at 1"),
            ("rephrase-75", "degraded, called at 2"),
            ("token-edit", "inconclusive"),
        ],
    ),
    (
        "mitigations",
        &[
            ("replace", "collapsed, called at 2"),
            ("loss-band", "collapsed, called at 1"),
            ("no-repetition", "collapsed, called at 4"),
            ("no-near-duplicates", "collapsed, called at 2"),
            ("importance", "collapsed, called at 2"),
            ("best-of-4", "collapsed, called at 1"),
        ],
    ),
    (
        "movie-reviews",
        &[
            ("unanchored", "narrowing, called at 2"),
            ("anchored-10", "collapsed, called at 1"),
            ("anchored-30", "narrowing, called at 2"),
            ("accumulate", "degraded, called at 3"),
        ],
    ),
    ("quiet-collapse", &[("anchored", "narrowing, called at 1")]),
    (
        "wikitext-2",
        &[
            ("unanchored", "collapsed, called at 1"),
            ("anchored-10", "collapsed, called at 1"),
            ("anchored-30", "collapsed, called at 1"),
            ("accumulate", "narrowing, called at 1"),
        ],
    ),
    (
        "writer-quality",
        &[
            ("rephrase-all-0", "stable"),
            ("rephrase-all-5", "stable"),
            ("rephrase-all-10", "inconclusive"),
            ("rephrase-all-20", "inconclusive"),
            ("rephrase-all-40", "stable"),
            ("rephrase-popular-0", "inconclusive, 6 seeds"),
            ("textbook-all-0", "stable"),
            ("textbook-popular-0", "inconclusive"),
            ("textbook-popular-10", "inconclusive, 6 seeds"),
            ("textbook-popular-40", "inconclusive, 4 seeds"),
            ("textbook-half-0", "narrowing, called at 1"),
        ],
    ),
];

#[test]
fn the_committed_studies_have_the_published_verdicts() {
    for (name, expected) in VERDICTS {
        let [recorded] = &study(name)[..] else { panic!("{name} is of one experiment") };
        assert!(recorded.baseline.is_some(), "{name}");
        let (experiment, observations) = (&recorded.experiment.name, recorded.observations());
        let compared = verdict::compare(experiment, &observations, CONTROL, &recorded.catalogue());
        let found: Vec<(&str, String)> =
            compared.iter().map(|one| (one.arm.as_str(), in_words(one))).collect();
        let found: Vec<(&str, &str)> = found.iter().map(|(arm, verdict)| (*arm, verdict.as_str())).collect();
        assert_eq!(found, expected, "{name}");
    }
}

fn in_words(comparison: &ArmComparison) -> String {
    let word = comparison.verdict.word();
    match (comparison.called_at_generation, comparison.seeds_needed) {
        (Some(generation), _) => format!("{word}, called at {generation}"),
        (None, Some(seeds)) => format!("{word}, {seeds} seeds"),
        (None, None) => word.to_owned(),
    }
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
    let lines: Vec<&str> = include_str!("reference/published.csv").lines().skip(1).collect();
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
