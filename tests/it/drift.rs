//! Simulations of drift against exact expectations, for every mixture, and the command `genloss drift`.
//!
//! Seeds are fixed. Tests of random numbers require |z| < 4, which a correct simulator exceeds once in 16 000 times.

use assert_cmd::Command;
use genloss::config;
use genloss::decoding::SamplingSettings;
use genloss::drift::categorical::CategoricalSimulation;
use genloss::drift::gaussian::GaussianSimulation;
use genloss::drift::multinomial::multinomial;
use genloss::drift::regression::RegressionSimulation;
use genloss::drift::{DriftRow, DriftSettings, Frequencies, SampleSchedule};
use genloss::seed::StreamKey;
use serde_json::Value;
use std::fs;

fn settings(mixture: &str, samples: u64, generations: usize, replicates: usize) -> DriftSettings {
    let mixture = config::parse_mixture(mixture, "mixture").unwrap();
    DriftSettings { samples, generations, mixture, replicates, seed: 1 }
}

fn zipf(types: usize) -> Frequencies {
    Frequencies::zipf(types, 1.2, 0.0).unwrap()
}

fn categorical(mixture: &str, decoding: SamplingSettings) -> CategoricalSimulation {
    CategoricalSimulation::new(zipf(60), decoding, &settings(mixture, 100, 8, 1500)).unwrap()
}

/// Asserts that every row with a z-score agrees with its exact expectation, and returns how many there are.
fn assert_agreement(rows: &[DriftRow], name: &str) -> usize {
    let compared = rows.iter().filter_map(|row| row.z.map(|z| (row, z)));
    compared.map(|(row, z)| assert!(z.abs() < 4.0, "{name}: {row:?}")).count()
}

/// Every mixture, with the number of statistics whose expectation is known.
#[test]
fn categorical_models_drift_at_the_exact_rate_of_their_mixture() {
    let mixtures = [
        ("replace", 4),
        ("replace-multiple", 2),
        ("anchored", 4),
        ("fresh-data-loop", 2),
        ("append-human-data", 4),
        ("accumulate", 4),
        ("accumulate-subsample", 2),
        ("control", 4),
        ("repeat", 4),
        ("{ natural_fraction = [0.5, 0.2, 0.8], budget = 'repeated' }", 4),
        ("{ natural_fraction = [0.5, 0.2, 0.8, 0.0] }", 2),
        ("{ natural_fraction = [0.5, 0.2, 0.3], natural = 'fresh', synthetic = 'all' }", 2),
        ("{ natural_fraction = 0.3, synthetic = 'all' }", 2),
        ("{ natural_fraction = 0.3, synthetic = 'all', budget = 'added' }", 2),
        ("{ natural_fraction = 'proportional', budget = 'growing' }", 4),
        ("{ natural_fraction = 0.2, budget = 'growing' }", 2),
        ("{ natural_fraction = 'proportional', natural = 'fresh' }", 2),
        ("{ natural_fraction = 'proportional', natural = 'fresh', synthetic = 'all' }", 2),
        (
            "{ natural_fraction = 'proportional', natural = 'fresh', synthetic = 'all', budget = 'growing' }",
            2,
        ),
        ("{ natural_fraction = 0.7, synthetic = 'all', budget = 'growing' }", 2),
    ];
    for (mixture, statistics) in mixtures {
        let rows = categorical(mixture, SamplingSettings::PLAIN).rows();
        let exact = rows.iter().filter(|row| row.generation == 8 && row.exact.is_some()).count();
        assert_eq!(exact, statistics, "{mixture}");
        assert!(assert_agreement(&rows, mixture) >= 8 * statistics, "{mixture}");
    }
}

/// Wright–Fisher drift: a type of frequency p is the last one left with probability p.
#[test]
fn each_type_fixes_with_a_probability_equal_to_its_frequency() {
    let frequencies = Frequencies::new(&[0.7, 0.295, 0.005]).unwrap();
    let simulation = CategoricalSimulation::new(
        frequencies,
        SamplingSettings::PLAIN,
        &settings("replace", 20, 200, 20_000),
    )
    .unwrap();
    let mut fixed = [0_u32; 3];
    for replicate in 0..20_000 {
        simulation.lineage(replicate, &mut |generation, counts| {
            if generation == 200 {
                let last = counts.iter().position(|&count| count == 20);
                fixed[last.expect("200 generations of 20 samples leave one type")] += 1;
            }
        });
    }
    for (count, p) in fixed.into_iter().zip([0.7, 0.295, 0.005]) {
        let z = (f64::from(count) - 20_000.0 * p) / (20_000.0 * p * (1.0 - p)).sqrt();
        assert!(z.abs() < 4.0, "{fixed:?}");
    }
}

/// With a decoder only generation 0 has exact expectations.
#[test]
fn a_low_temperature_narrows_faster_and_has_no_exact_expectations() {
    let rows =
        categorical("replace", SamplingSettings { temperature: 0.8, ..SamplingSettings::PLAIN }).rows();
    assert!(rows.iter().all(|row| row.generation == 0 || row.exact.is_none()));
    let plain = categorical("replace", SamplingSettings::PLAIN).rows();
    let last = |rows: &[DriftRow]| rows.iter().rfind(|row| row.statistic == "entropy").unwrap().mean;
    assert!(last(&rows) < 0.5 * last(&plain));
}

/// In one dimension and in three.
#[test]
fn gaussian_models_lose_variance_at_the_exact_rate_of_their_mixture() {
    let mixtures = [
        "replace",
        "anchored",
        "fresh-data-loop",
        "append-human-data",
        "accumulate",
        "accumulate-subsample",
        "control",
        "{ natural_fraction = [0.5, 0.3], budget = 'repeated' }",
        "{ natural_fraction = [0.5, 0.2, 0.8, 0.0] }",
        "{ natural_fraction = 0.3, synthetic = 'all' }",
        "{ natural_fraction = 'proportional', natural = 'fresh', synthetic = 'all' }",
    ];
    for (mixture, dims) in mixtures.into_iter().flat_map(|mixture| [(mixture, 1), (mixture, 3)]) {
        let rows = GaussianSimulation::new(dims, &settings(mixture, 40, 6, 2000)).unwrap().rows();
        assert_eq!(rows.iter().filter(|row| row.generation == 6 && row.mean.is_finite()).count(), 3);
        assert!(
            assert_agreement(&rows, mixture) >= 11,
            "{mixture}, {dims}: {}",
            assert_agreement(&rows, mixture)
        );
    }
}

/// On the raw scale z is withheld.
#[test]
fn deep_collapse_has_its_exact_rate_on_the_log_scale() {
    for (dims, statistic) in [(1, "log_variance"), (2, "log_det")] {
        let rows = GaussianSimulation::new(dims, &settings("replace", 10, 40, 1000)).unwrap().rows();
        let of = |name: &'static str| rows.iter().filter(move |row| row.statistic == name);
        assert_eq!(of(statistic).filter(|row| row.z.is_some()).count(), 41);
        assert!(assert_agreement(&rows, statistic) > 41);
        let raw = if dims == 1 { "variance" } else { "trace" };
        assert!(of(raw).all(|row| row.generation < 10 || (row.exact.is_some() && row.z.is_none())));
    }
    let last = |mixture, generations| {
        let rows = GaussianSimulation::new(1, &settings(mixture, 10, generations, 1)).unwrap().rows();
        rows.iter().rfind(|row| row.statistic == "log_variance").unwrap().exact.unwrap()
    };
    // t = 41 fits of n = 10: 41 [ψ(4.5) + ln 0.2], ψ(4.5) = 1.388 870 9 from tables.
    assert!((last("replace", 40) - 41.0 * (1.388_870_9 + 0.2_f64.ln())).abs() < 1e-4);
    // Fits of 10 and of 20: ψ(9.5) = ψ(4.5) + 1/4.5 + 1/5.5 + 1/6.5 + 1/7.5 + 1/8.5.
    let psi = 1.388_870_9 + [4.5, 5.5, 6.5, 7.5, 8.5].map(|x: f64| 1.0 / x).iter().sum::<f64>();
    let grown = 1.388_870_9 + 0.2_f64.ln() + psi + 0.1_f64.ln();
    assert!((last("replace-multiple", 1) - grown).abs() < 1e-6);
}

/// Closed forms from Gerstgrasser et al. (2024).
#[test]
fn regression_has_the_test_error_of_the_closed_forms() {
    // Σ_{i ≤ 7} 1/i = 363/140, Σ_{i ≤ 7} 1/i² = 1.511 797 1.
    let cases = [
        ("replace", Some(0.1 * 7.0)),
        ("replace-multiple", Some(0.1 * 363.0 / 140.0)),
        ("accumulate", Some(0.1 * 1.511_797_1)),
        ("control", Some(0.1)),
        // 56 of the 111 rows: 10/(56 − 10 − 1).
        ("{ natural_fraction = 0.5, budget = 'repeated' }", Some(10.0 / 45.0)),
    ];
    for (mixture, last) in cases {
        let simulation = RegressionSimulation::new(10, 1.0, &settings(mixture, 111, 6, 800)).unwrap();
        let rows = simulation.rows().unwrap();
        assert_eq!(assert_agreement(&rows, mixture), 7);
        assert!((rows[6].exact.unwrap() - last.unwrap()).abs() < 1e-6, "{mixture}: {:?}", rows[6]);
    }
    // Means and standard errors of 250 lineages of an independent simulation, written in Python from the definition.
    for (mixture, mean, std_err) in [("anchored", 0.6368, 0.0197_f64), ("fresh-data-loop", 0.4660, 0.0153)] {
        let simulation = RegressionSimulation::new(10, 1.0, &settings(mixture, 111, 6, 400)).unwrap();
        let rows = simulation.rows().unwrap();
        let z = (rows[6].mean - mean) / std_err.hypot(rows[6].std_err.unwrap());
        assert!(rows[6].exact.is_none() && z.abs() < 4.0, "{mixture}: {:?}", rows[6]);
    }
    for mixture in ["append-human-data", "accumulate-subsample"] {
        let simulation = RegressionSimulation::new(10, 1.0, &settings(mixture, 111, 6, 200)).unwrap();
        let rows = simulation.rows().unwrap();
        assert!(
            rows[6].exact.is_none() && rows[6].mean > 0.1 && rows[6].mean < 0.7,
            "{mixture}: {:?}",
            rows[6]
        );
    }
}

/// With 10¹⁴ samples there is no visible sampling noise.
#[test]
fn many_samples_agree_with_repeated_decoding() {
    let decoding = SamplingSettings { temperature: 0.9, top_p: Some(0.9), ..SamplingSettings::PLAIN };
    let frequencies = zipf(40);
    let limit = genloss::drift::decode::decode_repeatedly(frequencies.probabilities(), &decoding, 5);
    let samples = 100_000_000_000_000;
    let simulation =
        CategoricalSimulation::new(frequencies, decoding, &settings("replace", samples, 5, 1)).unwrap();
    simulation.lineage(0, &mut |generation, counts| {
        for (&count, p) in counts.iter().zip(&limit[generation]) {
            assert!((count as f64 / samples as f64 - p).abs() < 1e-5, "{generation}: {count} {p}");
        }
    });
}

/// Counts (types) of the first two generations of `samples` samples each, from natural frequencies `p` (types).
fn two_generations(p: &[f64], samples: u64, decoding: SamplingSettings) -> [Vec<u64>; 2] {
    let frequencies = Frequencies::new(p).unwrap();
    let settings = settings("replace", samples, 1, 1);
    let simulation = CategoricalSimulation::new(frequencies, decoding, &settings).unwrap();
    let mut counts = Vec::new();
    simulation.lineage(0, &mut |_, of_generation| counts.push(of_generation.to_vec()));
    counts.try_into().unwrap()
}

#[test]
fn greedy_decoding_leaves_the_mode_after_one_generation() {
    let [_, last] = two_generations(&[0.2, 0.5, 0.3], 1000, SamplingSettings::GREEDY);
    assert_eq!(last, [0, 1000, 0]);
}

/// Frequencies relative to the largest are 1, 0.6, 0.2 and 0.04; with 10¹⁴ samples their noise is below 10⁻⁶.
#[test]
fn min_p_drops_exactly_the_types_below_its_threshold_and_renormalises_the_others() {
    let p = [0.5 / 0.92, 0.3 / 0.92, 0.1 / 0.92, 0.02 / 0.92];
    let decoding = SamplingSettings { min_p: Some(0.19), ..SamplingSettings::PLAIN };
    let [_, last] = two_generations(&p, 100_000_000_000_000, decoding);
    let shares: Vec<f64> = last.iter().map(|&count| count as f64 / 1e14).collect();
    for (share, expected) in shares.iter().zip([0.5 / 0.9, 0.3 / 0.9, 0.1 / 0.9, 0.0]) {
        assert!((share - expected).abs() < 1e-6, "{shares:?}");
    }
    assert_eq!(last[3], 0);
}

/// The entropy of (0.5, 0.3, 0.2) is 1.030 nats and the surprisals are 0.693, 1.204 and 1.609: the second type is the
/// most typical, then the first.
#[test]
fn typical_p_keeps_the_types_whose_surprisal_is_nearest_to_the_entropy() {
    let kept = |typical_p| {
        let decoding = SamplingSettings { typical_p: Some(typical_p), ..SamplingSettings::PLAIN };
        let [_, last] = two_generations(&[0.5, 0.3, 0.2], 100_000_000, decoding);
        (0..last.len()).filter(|&id| last[id] > 0).collect::<Vec<_>>()
    };
    assert_eq!(kept(0.25), [1]);
    assert_eq!(kept(0.75), [0, 1]);
    assert_eq!(kept(0.85), [0, 1, 2]);
}

/// Dohmatob et al. (2024): the expected total frequency of the types that T samples miss is Σ p (1 − p)^T.
#[test]
fn a_learner_that_memorises_misses_the_expected_mass() {
    let frequencies = Frequencies::zipf(5000, 1.5, 0.0).unwrap();
    let (p, samples, draws) = (frequencies.probabilities(), 1000_u64, 2000_u64);
    let expected: f64 = p.iter().map(|p| p * (1.0 - p).powi(samples as i32)).sum();
    let unseen = |draw: u64| -> f64 {
        let counts = multinomial(samples, p, &StreamKey::new(draw, "", 0, "memorising test"));
        counts.iter().zip(p).filter(|(count, _)| **count == 0).map(|(_, p)| p).sum()
    };
    let values: Vec<f64> = (0..draws).map(unseen).collect();
    let z = DriftRow::new(0, "unseen", &values, Some(expected)).z.unwrap();
    assert!(z.abs() < 4.0, "z = {z}");
}

#[test]
fn counts_sum_to_the_size_of_the_training_set_at_any_size() {
    for samples in [15_000_000_000_000, 1_000_000_000_000_000] {
        for mixture in ["replace", "anchored", "accumulate", "accumulate-subsample", "fresh-data-loop"] {
            let settings = settings(mixture, samples, 6, 1);
            let simulation =
                CategoricalSimulation::new(zipf(3000), SamplingSettings::PLAIN, &settings).unwrap();
            simulation.lineage(0, &mut |generation, counts| {
                let expected =
                    if mixture == "accumulate" { samples * (generation as u64 + 1) } else { samples };
                assert_eq!(counts.iter().sum::<u64>(), expected, "{mixture}, generation {generation}");
            });
        }
    }
}

#[test]
fn results_do_not_depend_on_the_number_of_threads() {
    let rows = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let settings = settings("accumulate-subsample", 50_000, 4, 6);
            CategoricalSimulation::new(zipf(20_000), SamplingSettings::PLAIN, &settings).unwrap().rows()
        })
    };
    assert_eq!(rows(1), rows(4));
}

/// This simulator loses one sample in a hundred.
#[test]
fn a_broken_simulator_is_detected() {
    let simulation = categorical("replace", SamplingSettings::PLAIN);
    let rows = simulation.rows_of(|replicate, each| {
        simulation.lineage(replicate, &mut |generation, counts| {
            let mut counts = counts.to_vec();
            let rarest = counts.iter_mut().rfind(|count| **count > 0).unwrap();
            *rarest -= 1;
            each(generation, &counts);
        });
    });
    assert!(rows.iter().any(|row| row.z.is_some_and(|z| z.abs() > 8.0)));
}

fn drift(arguments: &str) -> assert_cmd::assert::Assert {
    let mut command = Command::new(env!("CARGO_BIN_EXE_genloss"));
    command.arg("drift").args(arguments.split_whitespace()).assert()
}

fn json(arguments: &str) -> Value {
    let assert = drift(&format!("{arguments} --format json")).success();
    serde_json::from_slice(&assert.get_output().stdout).unwrap()
}

#[test]
fn the_command_prints_settings_and_rows() {
    let found = json("categorical --types 50 --zipf 1.1 --samples 1e3 --generations 3 --replicates 40");
    let settings = &found["settings"];
    assert_eq!(settings["samples"], 1000);
    assert_eq!(settings["mixture"]["natural_fraction"], 0.0);
    let rows = found["rows"].as_array().unwrap();
    assert_eq!(rows.len(), 4 * 7);
    let keys: Vec<&String> = rows[0].as_object().unwrap().keys().collect();
    assert_eq!(keys, ["generation", "statistic", "mean", "std_err", "exact", "z", "reason"]);
    assert!(rows[0]["exact"].is_number() && rows[1]["exact"].is_null());
    let gaussian = json("gaussian --samples 10 --generations 2 --dims 2");
    assert_eq!(gaussian["rows"][1]["statistic"], "log_det");
    let regression = json("regression --rows 30 --columns 3 --noise 2 --generations 2");
    assert_eq!(regression["rows"].as_array().unwrap().len(), 3);
    assert_eq!(regression["settings"]["noise"], 2.0);
    let table = drift("categorical --types 5 --samples 10 --generations 2 --replicates 1").success();
    let table = String::from_utf8(table.get_output().stdout.clone()).unwrap();
    assert_eq!(table.lines().count(), 2 + 3 * 7, "a header, its rule, three generations: {table}");
    assert!(table.contains("gini_simpson") && table.contains("hill_2"));
}

/// Every decoder setting is an option with its name.
#[test]
fn the_command_takes_every_decoder_setting() {
    let alive = |options: &str| {
        let common = "categorical --types 20 --samples 1e12 --generations 1 --replicates 1";
        let found = json(&format!("{common} --zipf 1 {options}"));
        let rows = found["rows"].as_array().unwrap().clone();
        let is_last = |row: &&Value| row["generation"] == 1 && row["statistic"] == "types_alive";
        (rows.iter().find(is_last).unwrap()["mean"].as_f64().unwrap(), found["settings"].clone())
    };
    // Frequencies are proportional to 1/rank: the fifth is 0.2 of the first.
    for (options, key, value, types) in [
        ("--greedy", "greedy", Value::from(true), 1.0),
        ("--min-p 0.19", "min_p", Value::from(0.19), 5.0),
        ("--top-k 7", "top_k", Value::from(7), 7.0),
        ("--temperature 0.5", "temperature", Value::from(0.5), 20.0),
    ] {
        let (found, settings) = alive(options);
        assert_eq!((found, &settings[key]), (types, &value), "{options}");
    }
    let (found, settings) = alive("--typical-p 0.5");
    assert!((1.0..20.0).contains(&found) && settings["typical_p"] == 0.5 && settings["top_p"].is_null());
}

#[test]
fn types_can_be_the_tokens_of_a_text_or_frequencies_in_a_file() {
    let dir = tempfile::tempdir().unwrap();
    let text = dir.path().join("text.txt");
    fs::write(&text, "the old dog sees the other dog\n\nthe other dog sees the old dog\n".repeat(20))
        .unwrap();
    let found = json(&format!("categorical --corpus {} --vocab 270 --samples 100", text.display()));
    assert_eq!(found["settings"]["types"], 270);
    let numbers = dir.path().join("numbers.txt");
    fs::write(&numbers, "# three types\n5\n2.5\n0\n").unwrap();
    let found = json(&format!("categorical --frequencies {} --samples 100", numbers.display()));
    assert_eq!(found["settings"]["types"], 3);
    let vocab = format!("categorical --corpus {} --vocab 5000 --samples 100", text.display());
    let numbers_bad = dir.path().join("bad.txt");
    fs::write(&numbers_bad, "1\n-1\n").unwrap();
    let bad = format!("categorical --frequencies {} --samples 9", numbers_bad.display());
    fs::write(dir.path().join("word.txt"), "1\nmany\n").unwrap();
    let word = format!("categorical --frequencies {} --samples 9", dir.path().join("word.txt").display());
    assert!(error_of(&vocab).contains("--vocab 5000"));
    assert!(error_of(&bad).contains("number 2 is -1"));
    assert!(error_of(&word).contains("line 2: \"many\""));
}

/// The single line of stderr of a command that fails.
fn error_of(arguments: &str) -> String {
    let assert = drift(arguments).failure();
    let output = assert.get_output();
    assert!(output.stdout.is_empty());
    let stderr = String::from_utf8(output.stderr.clone()).unwrap();
    assert!(stderr.starts_with("genloss: ") && stderr.lines().count() == 1, "{stderr}");
    stderr
}

#[test]
fn invalid_arguments_are_errors_in_one_line() {
    let cases = [
        ("categorical --samples 0", "samples: 0 samples"),
        ("categorical --samples 1.5", "not a whole number"),
        ("categorical --samples 1e16", "sums are exact up to"),
        ("categorical --samples 9 --types 0", "types: there are none"),
        ("categorical --samples 9 --replicates 0", "replicates"),
        ("categorical --samples 9 --zipf -1", "zipf"),
        ("categorical --samples 9 --top-p 2", "--top-p"),
        ("categorical --samples 9 --temperature 0", "--temperature"),
        ("categorical --samples 9 --min-p much", "--min-p"),
        ("categorical --samples 9 --greedy --top-k 2", "--top-k"),
        ("categorical --samples 9 --repetition-penalty 1.2", "repetition-penalty"),
        ("categorical --samples 9 --mixture replac", "nearest is \"replace\""),
        ("categorical --samples 9 --mixture {natural_fraction=1.5}", "give a number from 0 to 1"),
        ("categorical --samples 9 --mixture {natural_fraction=0.5,wrong=1}", "unknown key"),
        (
            "categorical --samples 9 --mixture {natural_fraction=0.1,synthetic=\"all\",budget=\"growing\"}",
            "takes 16 synthetic",
        ),
        ("gaussian --samples 9 --temperature 0.5", "--temperature"),
        ("gaussian --samples 1", "no covariance"),
        ("gaussian --samples 1e9", "drift categorical"),
        ("regression --rows 11 --columns 10", "give at least 12"),
        ("regression --rows 20 --columns 10 --noise -1", "noise"),
        (
            "regression --rows 20 --columns 2 --mixture {natural_fraction=0.9,budget=\"growing\"}",
            "the design has 20",
        ),
        ("categorical --samples 9 --corpus /nowhere.txt", "/nowhere.txt"),
        ("categorical --samples 9 --frequencies /nowhere.txt", "/nowhere.txt"),
    ];
    for (arguments, expected) in cases {
        let error = error_of(arguments);
        assert!(error.contains(expected), "{arguments}: {error}");
    }
}

/// In two dimensions with three samples, doubles cannot represent the covariance after some twenty generations.
#[test]
fn a_mean_that_is_no_number_is_missing_in_every_format_with_its_reason() {
    let said = |format: &str| {
        let arguments = "drift gaussian --dims 2 --samples 3 --generations 60 --replicates 5 --format";
        let mut command = Command::new(env!("CARGO_BIN_EXE_genloss"));
        let output = command.args(arguments.split(' ')).arg(format).assert().success().get_output().clone();
        String::from_utf8(output.stdout).unwrap()
    };
    let reason = "in some lineages the covariance is too narrow for doubles";
    let csv = said("csv");
    assert!(csv.starts_with("generation,statistic,mean,std_err,exact,z,reason\n"), "{csv}");
    assert!(csv.contains("60,trace,,,") && csv.trim_end().ends_with(reason), "{csv}");
    assert!(!csv.contains("NaN"), "{csv}");
    let json: Value = serde_json::from_str(&said("json")).unwrap();
    let last = json["rows"].as_array().unwrap().last().unwrap();
    assert_eq!((&last["mean"], &last["reason"]), (&Value::Null, &reason.into()));
    let table = said("table").split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(table.contains("no mean of trace from generation") && table.contains(reason), "{table}");
}

/// (1/2)^200 of the variance, and of the diversity 1 − Σ p² = 2 · 0.1 · 0.9, are left.
#[test]
fn exact_values_are_accurate_far_below_the_precision_of_1() {
    let left = 0.5_f64.powi(200);
    let gaussian = GaussianSimulation::new(1, &settings("replace", 2, 199, 1)).unwrap().rows();
    let pair = Frequencies::new(&[0.9, 0.1]).unwrap();
    let categorical =
        CategoricalSimulation::new(pair, SamplingSettings::PLAIN, &settings("replace", 2, 199, 1))
            .unwrap()
            .rows();
    for (rows, statistic, natural) in [(gaussian, "variance", 1.0), (categorical, "gini_simpson", 0.18)] {
        let last = rows.iter().rfind(|row| row.statistic == statistic).unwrap();
        assert!((last.exact.unwrap() / (natural * left) - 1.0).abs() < 1e-12, "{last:?}");
    }
}

/// Of 100 samples that are 30 read again, 10 occur four times and 20 three times, so that two draws are the same sample with
/// probability (10·16 + 20·9)/100² = 0.034. A type is missing if it is not among the 30. The same in every generation of the
/// control, and with a part of 50: 20·4 + 10·1 over 50² is 0.036.
#[test]
fn samples_that_are_read_again_are_as_diverse_as_those_that_there_are() {
    let frequencies = zipf(60);
    let exists: f64 = frequencies.probabilities().iter().map(|p| 1.0 - (1.0 - p).powi(30)).sum();
    for (mixture, same) in [
        ("control", 0.034),
        ("{ natural_fraction = 0.5, budget = 'repeated' }", (20.0 * 4.0 + 10.0) / 2500.0),
    ] {
        let mixture = config::parse_mixture(mixture, "mixture").unwrap();
        let schedule = SampleSchedule::of(&mixture, 2, 100, 100).unwrap().within(Some(30));
        let simulation =
            CategoricalSimulation::weighted(frequencies.clone(), vec![1.0; 60], schedule, 3000, 1).unwrap();
        for row in simulation.rows().iter().filter(|row| row.generation == 2) {
            let expected = match row.statistic {
                "gini_simpson" => frequencies.gini_simpson() * (1.0 - same),
                "types_alive" => exists,
                _ => continue,
            };
            let z = (row.mean - expected) / row.std_err.unwrap();
            assert!(z.abs() < 4.0 && row.exact.is_none(), "{row:?} {expected}");
        }
    }
}

#[test]
fn a_repeated_part_that_determines_no_model_is_an_error() {
    let settings = settings("repeat", 40, 2, 1);
    let gaussian = GaussianSimulation::new(5, &settings).unwrap_err().to_string();
    assert!(gaussian.contains("4 samples give no covariance in 5 dimensions"), "{gaussian}");
    let regression = RegressionSimulation::new(5, 1.0, &settings).unwrap_err().to_string();
    assert!(regression.contains("4 rows do not determine 5 coefficients"), "{regression}");
    let settings = DriftSettings { samples: 4, ..settings };
    let error = SampleSchedule::new(&settings).unwrap_err().to_string();
    assert!(error.contains("would repeat a text of 0 tokens"), "{error}");
}
