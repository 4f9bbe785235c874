//! The command `genloss verify`: a correct build passes, and every injected fault is detected.

use assert_cmd::Command;
use assert_cmd::assert::Assert;
use serde_json::Value;

fn verify(arguments: &str) -> Assert {
    let mut command = Command::new(env!("CARGO_BIN_EXE_genloss"));
    command.arg("verify").args(arguments.split_whitespace()).assert()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn checks(assert: &Assert) -> Vec<Value> {
    serde_json::from_slice(&assert.get_output().stdout).unwrap()
}

#[test]
fn the_simulator_passes_every_oracle() {
    let assert = verify("--quick --only oracles --seed 1 --format json").success();
    let checks = checks(&assert);
    assert!(checks.len() > 60, "{}", checks.len());
    for check in &checks {
        let keys: Vec<&String> = check.as_object().unwrap().keys().collect();
        assert_eq!(keys, ["group", "name", "found", "expected", "z", "passed"]);
        assert_eq!((&check["group"], &check["passed"]), (&"oracles".into(), &true.into()), "{check}");
    }
    let scored = checks.iter().filter(|check| check["z"].is_number()).count();
    assert!(scored > 50, "{scored}");
}

#[test]
fn every_injected_fault_fails_the_run_and_names_a_check() {
    let faults = [
        ("sampling-bias", "categorical, replace: gini_simpson"),
        ("stale-natural", "categorical, anchored: types_alive"),
        ("token-mismatch", "categorical, replace: types_alive"),
        ("off-by-one-generation", "categorical, replace: gini_simpson"),
        ("greedy-instead-of-sampling", "categorical, accumulate: gini_simpson"),
    ];
    for (fault, name) in faults {
        let assert = verify(&format!("--quick --only oracles --format json --inject {fault}")).failure();
        let failed: Vec<Value> =
            checks(&assert).into_iter().filter(|check| check["passed"] == false).collect();
        let is_named = |check: &Value| check["name"].as_str().is_some_and(|found| found.starts_with(name));
        assert!(failed.iter().any(is_named), "{fault}: {failed:?}");
        let stderr = text(&assert.get_output().stderr);
        let last = stderr.lines().last().unwrap();
        let summary = format!("genloss: {} of ", failed.len());
        assert!(last.starts_with(&summary) && last.ends_with("checks failed"), "{stderr}");
    }
}

#[test]
fn metrics_of_known_texts_pass_and_can_be_printed_as_a_table_or_csv() {
    let table = verify("--quick --only metrics --seed 2").success();
    let table = text(&table.get_output().stdout);
    assert!(
        table.contains("heldout_loss_tail") && table.contains("pass") && !table.contains("FAIL"),
        "{table}"
    );
    let csv = verify("--quick --only metrics --seed 2 --format csv").success();
    let csv = text(&csv.get_output().stdout);
    assert!(csv.starts_with("group,name,found,expected,z,passed\nmetrics,"), "{csv}");
}

#[test]
fn injecting_a_fault_without_the_oracles_is_an_error() {
    let assert = verify("--quick --only metrics --inject sampling-bias").failure();
    assert!(text(&assert.get_output().stderr).contains("use --only oracles"));
    assert!(assert.get_output().stdout.is_empty());
}

#[test]
fn the_verdict_keeps_its_error_rates_on_simulated_noise() {
    let assert = verify("--quick --only verdict --seed 3 --format json").success();
    let checks = checks(&assert);
    let about =
        |what: &str| checks.iter().filter(|check| check["name"].as_str().unwrap().contains(what)).count();
    assert_eq!((about("false calls"), about("intervals that contain"), about("collapse")), (22, 18, 3));
    assert_eq!(about("any claim about pairs"), 4);
    assert_eq!((about("loss of practical size is called degraded"), about("plain degradation")), (22, 2));
    assert!(checks.iter().all(|check| check["passed"] == true), "{checks:?}");
}
