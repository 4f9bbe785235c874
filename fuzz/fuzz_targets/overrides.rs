//! Settings given with `--set`, one a line, over an experiment file that has every table.
#![no_main]

use genloss::config;
use libfuzzer_sys::fuzz_target;

const FILE: &str = include_str!("../../configs/wikitext-2.toml");

fuzz_target!(|text: &str| {
    let settings: Vec<String> = text.lines().take(4).map(str::to_owned).collect();
    let _ = config::parse(FILE, "fuzz.toml", &settings);
});
