//! The experiments in configs/replications/: they are valid, and each runs to its end, as it is but for its size, with a random
//! model in place of the published one.

use crate::command::genloss;
use candle_core::Device;
use genloss::config;
use genloss::measure::Catalogue;
use genloss::model::TransformerSettings;
use genloss::model::family::Family;
use genloss::model::transformer::Transformer;
use genloss::seed::StreamKey;
use genloss::tokenizer::Tokenizer;
use rand::Rng;
use std::fs;
use std::path::{Path, PathBuf};

fn packs() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("configs/replications");
    fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect()
}

#[test]
fn packs_are_valid_and_say_what_is_expected_and_where_it_is_published() {
    let validator = jsonschema::validator_for(&config::Registry::builtin().schema()).unwrap();
    let metrics = Catalogue::builtin();
    assert_eq!(packs().len(), 4);
    for path in packs() {
        let experiment = config::load(&path, &[]).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(path.file_stem().unwrap().to_string_lossy(), experiment.name);
        // What Kovač et al. publish are measures that are not here.
        let fewest = if experiment.name == "kovac" { 0 } else { 2 };
        assert!(experiment.expectations.len() >= fewest, "{}", path.display());
        for expected in &experiment.expectations {
            assert!(metrics.iter().any(|metric| metric.id == expected.metric), "{}", expected.metric);
            assert!(expected.source.contains("et al. 20"), "{}", expected.source);
        }
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.starts_with("#:schema ../schema.json\n") && text.contains("\n# Cost: "));
        let file: toml::Table = text.parse().unwrap();
        assert!(validator.is_valid(&serde_json::to_value(file).unwrap()), "{}", path.display());
    }
}

/// Sections of random words, with headings as in WikiText.
fn sections() -> Vec<String> {
    let mut stream = StreamKey::new(1, "test", 0, "text").stream(0);
    let mut word = || format!("{:x}", stream.random_range(0..400u32) * 7919 % 4093);
    (0..90)
        .map(|_| format!("{} = \n\n{}", word(), (0..420).map(|_| word() + " ").collect::<String>()))
        .collect()
}

/// The files that the experiment `name` needs, small.
fn provide(dir: &Path, name: &str) {
    let sections = sections();
    let tokenizer = Tokenizer::learn(&sections, 400).unwrap();
    let (family, folder) = match name {
        "shumailov" => (Family::Opt, "opt-125m"),
        "kovac" => (Family::Llama, "smollm-360m"),
        _ => (Family::Gpt2, "gpt2"),
    };
    let base = dir.join("models").join(folder);
    let settings = TransformerSettings {
        family: Some(family),
        layers: 2,
        width: 16,
        heads: 2,
        ffn: 32,
        context: 512,
        ..TransformerSettings::default()
    };
    let mut stream = StreamKey::new(1, "test", 0, "weights").stream(0);
    let model = Transformer::initialise(
        &settings,
        tokenizer.vocab_size(),
        tokenizer.special(),
        &mut stream,
        &Device::Cpu,
    );
    fs::create_dir_all(&base).unwrap();
    genloss::model::LanguageModel::save(&model.unwrap(), &base).unwrap();
    tokenizer.save(&base.join("tokenizer.json")).unwrap();
    fs::create_dir_all(dir.join("data/wikitext-2-raw")).unwrap();
    let text: String = sections.iter().map(|section| format!("\n = {section}\n")).collect();
    fs::write(dir.join("data/wikitext-2-raw/train.txt"), text).unwrap();
    fs::create_dir_all(dir.join("data/posts")).unwrap();
    let words: Vec<&str> = sections.iter().flat_map(|section| section.split_whitespace()).collect();
    let posts = words.chunks(40).map(|post| serde_json::json!({ "text": post.join(" ") }).to_string() + "\n");
    fs::write(dir.join("data/posts/all.jsonl"), posts.collect::<String>()).unwrap();
}

#[test]
fn packs_run_to_their_end_when_they_are_small() {
    for path in packs() {
        let dir = tempfile::tempdir().unwrap();
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        provide(dir.path(), &name);
        let mut arguments = vec!["run".to_owned(), path.display().to_string(), "--out".into(), "out".into()];
        let from_scratch = ["corpus.source=['data/wikitext-2-raw/train.txt']", "corpus.reference_share=0.1"];
        let smaller = [
            "seeds=[1]",
            "generations=2",
            "expect=[]",
            "corpus.train_tokens=12_000",
            "corpus.heldout_tokens=1_000",
            "corpus.heldout_share=0.1",
            "corpus.reference_tokens=2_000",
            "model.layers=2",
            "model.width=16",
            "model.heads=2",
            "model.ffn=32",
            "training.batch=2",
            "synthesis.tokens=12_000",
        ];
        let own = if name == "gerstgrasser" { &from_scratch[..] } else { &[] };
        for setting in smaller.iter().chain(own) {
            arguments.extend(["--set".to_owned(), (*setting).to_owned()]);
        }
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let output = genloss().args(&arguments).current_dir(dir.path()).output().unwrap();
        assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
        let experiment = config::load(&path, &[]).unwrap();
        for arm in &experiment.arms {
            let last = dir.path().join("out/seed-1").join(&arm.name).join("gen-002/measurements.json");
            assert!(last.exists(), "{name}: {}", arm.name);
        }
    }
}
