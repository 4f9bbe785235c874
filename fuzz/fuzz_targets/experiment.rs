//! An experiment file. Whatever is accepted must be read back from what a run records, and be equal.
#![no_main]

use genloss::config;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Ok(experiment) = config::parse(text, "fuzz.toml", &[]) {
        let recorded = experiment.to_toml();
        let again =
            config::parse(&recorded, "recorded.toml", &[]).expect("a recorded experiment can be read");
        assert_eq!(again.to_toml(), recorded);
    }
    let _ = config::parse_sweep(text, "fuzz.toml", &[]);
});
