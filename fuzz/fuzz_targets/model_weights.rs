//! The `model.safetensors` of a model folder whose config is sound.
#![no_main]

use candle_core::Device;
use genloss::model;
use libfuzzer_sys::fuzz_target;
use std::fs;

const CONFIG: &[u8] = include_bytes!("../seeds/model/config.json");

fuzz_target!(|bytes: &[u8]| {
    let folder = genloss_fuzz::path("model");
    if !folder.exists() {
        fs::create_dir(&folder).expect("the temporary folder can be written");
        fs::write(folder.join("config.json"), CONFIG).expect("the temporary folder can be written");
    }
    fs::write(folder.join("model.safetensors"), bytes).expect("the temporary folder can be written");
    let _ = model::load(&folder, &Device::Cpu);
});
