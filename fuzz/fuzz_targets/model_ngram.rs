//! The `ngram.safetensors` of an n-gram model whose config is sound.
#![no_main]

use candle_core::Device;
use genloss::model;
use libfuzzer_sys::fuzz_target;
use std::fs;

const CONFIG: &[u8] = include_bytes!("../seeds/ngram/config.json");

fuzz_target!(|bytes: &[u8]| {
    let folder = genloss_fuzz::path("ngram");
    if !folder.exists() {
        fs::create_dir(&folder).expect("the temporary folder can be written");
        fs::write(folder.join("config.json"), CONFIG).expect("the temporary folder can be written");
    }
    fs::write(folder.join("ngram.safetensors"), bytes).expect("the temporary folder can be written");
    let _ = model::load(&folder, &Device::Cpu);
});
