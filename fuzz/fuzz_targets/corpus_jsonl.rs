//! A corpus file `*.jsonl`.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| genloss_fuzz::read_corpus("corpus.jsonl", bytes));
