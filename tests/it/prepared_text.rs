//! Prepared text in a folder, from which other processes take it.

use crate::folder;
use candle_core::Device;
use genloss::config::{self, Experiment};
use genloss::lineage::{self, KeptTexts, PreparedText, RunContext};
use genloss::measure::Metrics;
use genloss::progress::{Silent, error_chain};
use genloss::store::Provenance;
use std::fs;
use std::path::Path;
use std::sync::atomic::AtomicBool;

/// The world has facts and a floor, and the tokens that mark gaps are added to the tokenizer.
const WORLD: &str = r#"
name = "prepared"
seeds = [1, 2]
generations = 2
corpus = { source = "world", train_tokens = 3000, heldout_tokens = 700, reference_tokens = 2000 }
tokenizer = { vocab_size = 400 }
model = { kind = "ngram", order = 2 }
synthesis = { tokens = 3000, max_document_tokens = 200 }
[[arm]]
name = "replace"
mixture = "replace"
[[arm]]
name = "fresh"
mixture = { natural_fraction = 0.5, natural = "fresh" }
[[arm]]
name = "gaps"
mixture = "accumulate"
synthesis = { method = "token-edit" }
"#;

fn run_into(root: &Path, experiment: &Experiment, prepared: &PreparedText) {
    let context = RunContext {
        device: &Device::Cpu,
        observer: &Silent,
        interrupt: &AtomicBool::new(false),
        metrics: &Metrics::builtin(),
        provenance: Provenance::default(),
    };
    lineage::run(experiment, prepared, root, &context).unwrap();
}

/// Runs the experiment with its text as it was read, and with that text saved and loaded. Compares all that is written
/// and said.
fn loaded_is_as_read(text: &str) {
    let dir = tempfile::tempdir().unwrap();
    let experiment = config::parse(text, "prepared.toml", &[]).unwrap();
    let read = lineage::prepare(&experiment).unwrap();
    read.save(&dir.path().join("text")).unwrap();
    let loaded = PreparedText::load(&dir.path().join("text"), read.tokenizer_json.clone()).unwrap();
    assert_eq!(loaded.notes(&experiment), read.notes(&experiment));
    assert_eq!(loaded.coverage(), read.coverage());
    let provenance = |text: &PreparedText| {
        serde_json::to_string(&text.provenance(&experiment, Provenance::default())).unwrap()
    };
    assert_eq!(provenance(&loaded), provenance(&read));
    let [from_loaded, from_read] = ["loaded", "read"].map(|name| dir.path().join(name));
    run_into(&from_loaded, &experiment, &loaded);
    run_into(&from_read, &experiment, &read);
    let (found, expected) = (folder::contents(&from_loaded), folder::contents(&from_read));
    assert!(expected.len() > 10 && found.keys().eq(expected.keys()));
    for (name, bytes) in expected {
        assert!(found[&name] == bytes, "{name} differs");
    }
    let provenance =
        ["loaded", "read"].map(|run| fs::read(dir.path().join(run).join("provenance.json")).unwrap());
    assert!(provenance[0] == provenance[1]);
}

#[test]
fn a_run_from_loaded_text_writes_the_same_files_as_one_from_text_that_was_read() {
    loaded_is_as_read(WORLD);
}

/// Thai is written without spaces, so that words come from dictionaries. One long document makes notes.
#[test]
fn text_from_files_without_spaces_is_the_same_after_loading() {
    let dir = tempfile::tempdir().unwrap();
    let words = ["แมว", "หมา", "เห็น", "พระจันทร์", "กิน", "ปลา", "บ้าน"];
    let sentence =
        |index: usize| (0..9).map(|place| words[(index * 7 + place * place) % 7]).collect::<String>();
    let mut lines: Vec<String> = (0..2000).map(|index| format!("{} {index}", sentence(index))).collect();
    lines.push((0..90).map(sentence).collect());
    fs::write(dir.path().join("thai.txt"), lines.join("\n\n")).unwrap();
    let source = dir.path().join("thai.txt");
    let corpus = format!("source = [{source:?}], train_tokens = 3000");
    loaded_is_as_read(&WORLD.replace("source = \"world\", train_tokens = 3000", &corpus));
}

/// Decoding tokens does not give this text back: the tokenizer drops white space, and does not know one letter.
#[test]
fn held_out_text_that_tokens_do_not_tell_is_the_same_after_loading() {
    let dir = tempfile::tempdir().unwrap();
    let line = |index: usize| {
        format!("the old dog {} sees the moon {}", index % 83, if index.is_multiple_of(9) { "Ω" } else { "" })
    };
    let text: Vec<String> =
        (0..900).map(|index| format!("{} {}", line(index), line(index * index))).collect();
    fs::write(dir.path().join("text.txt"), text.join("\n\n")).unwrap();
    let letters = ('a'..='z').chain('0'..='9').map(String::from);
    let names = ["</s>".to_owned(), "<unk>".to_owned()].into_iter().chain(letters);
    let vocabulary: serde_json::Map<_, _> = names.zip(0..).map(|(name, id)| (name, id.into())).collect();
    let tokenizer = serde_json::json!({
        "version": "1.0", "normalizer": null, "pre_tokenizer": {"type": "WhitespaceSplit"}, "decoder": null,
        "model": {"type": "BPE", "vocab": vocabulary, "merges": [], "unk_token": "<unk>"},
    });
    fs::write(dir.path().join("tokenizer.json"), tokenizer.to_string()).unwrap();
    let [source, path] = ["text.txt", "tokenizer.json"].map(|name| dir.path().join(name));
    let file = WORLD
        .replace("source = \"world\"", &format!("source = [{source:?}]"))
        .replace("vocab_size = 400", &format!("path = {path:?}"));
    loaded_is_as_read(&file);
}

/// The sources of a text and its settings name the folder in which it is kept, so that another text is not found there.
#[test]
fn a_text_is_kept_for_later_commands_and_read_again_if_anything_it_depends_on_changes() {
    let dir = tempfile::tempdir().unwrap();
    let (source, kept) = (dir.path().join("text.txt"), dir.path().join(".text"));
    let lines = |end: &str| {
        (0..3000).map(|i| format!("the old dog {i} sees the moon{end}")).collect::<Vec<_>>().join("\n\n")
    };
    fs::write(&source, lines(".")).unwrap();
    let file = WORLD.replace("source = \"world\"", &format!("source = [{source:?}]"));
    let experiment = |file: &str| config::parse(file, "prepared.toml", &[]).unwrap();
    let texts = || fs::read_dir(&kept).map_or(0, |entries| entries.count());
    let prepare =
        |experiment: &Experiment| KeptTexts::new(kept.clone(), 1).prepare_together(&[experiment]).unwrap();
    let provenance = |text: &PreparedText, experiment: &Experiment| {
        serde_json::to_string(&text.provenance(experiment, Provenance::default())).unwrap()
    };
    let plain = experiment(&file);
    KeptTexts::new(kept.clone(), 1 << 30).prepare_together(&[&plain]).unwrap();
    assert_eq!(texts(), 0, "small texts are not kept");
    let [first, again] = [prepare(&plain), prepare(&plain)];
    let read = lineage::prepare(&plain).unwrap();
    assert_eq!(texts(), 1);
    for text in [&first, &again] {
        assert_eq!(
            (provenance(text, &plain), text.notes(&plain)),
            (provenance(&read, &plain), read.notes(&plain))
        );
        assert_eq!((&text.train, &text.heldout), (&read.train, &read.heldout));
    }
    // Tokens to train on are taken from the text, and change nothing of it.
    let more = experiment(&file.replace("train_tokens = 3000", "train_tokens = 2500"));
    assert_eq!(prepare(&more).train, read.train);
    assert_eq!(texts(), 1);
    // Damage is found, and mended by reading again.
    let folder = fs::read_dir(&kept).unwrap().next().unwrap().unwrap().path();
    fs::write(folder.join("train.ids"), "not ids").unwrap();
    assert_eq!(prepare(&plain).train, read.train);
    assert_ne!(fs::read(folder.join("train.ids")).unwrap(), b"not ids");
    let other_vocabulary = experiment(&file.replace("vocab_size = 400", "vocab_size = 300"));
    assert_ne!(prepare(&other_vocabulary).train, read.train);
    fs::write(&source, lines("!")).unwrap();
    assert_ne!(prepare(&plain).train, read.train);
    assert_eq!(texts(), 3);
    // Errors are those of reading.
    let too_much = file
        .replace("train_tokens = 3000", "train_tokens = 4_000_000")
        .replace("synthesis = { tokens = 3000", "synthesis = { tokens = 4_000_000");
    let too_much = experiment(&too_much);
    let error = KeptTexts::new(kept.clone(), 1).prepare_together(&[&too_much]).err().unwrap();
    assert_eq!(error_chain(&error), error_chain(&lineage::prepare(&too_much).err().unwrap()));
    assert!(error.to_string().contains("train"), "{error}");
}

/// A simulation of the baseline takes its random numbers from the smallest seed.
#[test]
fn the_order_in_which_a_file_lists_the_seeds_changes_no_result() {
    let dir = tempfile::tempdir().unwrap();
    let drift = |seeds: &str| {
        let file = WORLD.replace("seeds = [1, 2]", &format!("seeds = {seeds}"));
        let experiment = config::parse(&file, "prepared.toml", &[]).unwrap();
        let root = dir.path().join(seeds);
        run_into(&root, &experiment, &lineage::prepare(&experiment).unwrap());
        fs::read(root.join("drift.json")).unwrap()
    };
    assert!(drift("[1, 2]") == drift("[2, 1]"));
}

/// With the same tokenizer, a folder could hold text that was prepared before settings or files changed.
#[test]
fn only_the_text_itself_counts_as_saved() {
    let dir = tempfile::tempdir().unwrap();
    let prepared = |setting: &str| {
        let experiment = config::parse(WORLD, "prepared.toml", &[setting.to_owned()]).unwrap();
        lineage::prepare(&experiment).unwrap()
    };
    let first = prepared("generations=2");
    assert!(!first.is_saved_in(dir.path()));
    first.save(dir.path()).unwrap();
    assert!(first.is_saved_in(dir.path()) && prepared("name=\"other\"").is_saved_in(dir.path()));
    for setting in ["corpus.heldout_tokens=600", "corpus.reference_tokens=1900", "corpus.world.seed=2"] {
        assert!(!prepared(setting).is_saved_in(dir.path()), "{setting}");
    }
    fs::write(dir.path().join("train.ids"), "damage").unwrap();
    assert!(!first.is_saved_in(dir.path()));
}

#[test]
fn text_of_another_tokenizer_is_refused_with_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let experiment = config::parse(WORLD, "prepared.toml", &[]).unwrap();
    let read = lineage::prepare(&experiment).unwrap();
    read.save(dir.path()).unwrap();
    let other = config::parse(WORLD, "prepared.toml", &["tokenizer.vocab_size=300".to_owned()]).unwrap();
    let other = lineage::prepare(&other).unwrap().tokenizer_json;
    let message = error_chain(&PreparedText::load(dir.path(), other).err().unwrap());
    assert!(
        message.contains("belongs to another tokenizer") && message.contains("genloss prepare"),
        "{message}"
    );
}

#[test]
fn a_base_model_that_differs_on_this_machine_or_is_missing_is_refused_before_training() {
    let dir = tempfile::tempdir().unwrap();
    let small =
        WORLD.replace("kind = \"ngram\", order = 2", "layers = 1, width = 16, heads = 2, context = 16");
    let first = config::parse(&small, "first.toml", &["generations=1".into(), "seeds=[1]".into()]).unwrap();
    let root = dir.path().join("first");
    run_into(&root, &first, &lineage::prepare(&first).unwrap());
    let base = dir.path().join("base");
    fs::rename(root.join("seed-1/gen-000/model"), &base).unwrap();
    let based =
        small.replace("vocab_size = 400", &format!("path = {:?}", base.join("tokenizer.json"))).replace(
            "model =",
            &format!("training = {{ tokens = 512, init = \"base\", base = {base:?} }}\nmodel ="),
        );
    let experiment = config::parse(&based, "based.toml", &[]).unwrap();
    let read = lineage::prepare(&experiment).unwrap();
    read.save(&dir.path().join("text")).unwrap();
    let loaded = PreparedText::load(&dir.path().join("text"), read.tokenizer_json).unwrap();
    let check = || experiment.arms.iter().try_for_each(|arm| loaded.check_base(arm));
    check().unwrap();
    let refused = |expected: &str| {
        let message = error_chain(&check().unwrap_err());
        let parts = [base.to_str().unwrap(), expected, "genloss prepare"];
        assert!(parts.iter().all(|part| message.contains(part)), "{message}");
    };
    let weights = base.join("model.safetensors");
    let mut bytes = fs::read(&weights).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&weights, &bytes).unwrap();
    refused("holds another model on this machine");
    fs::rename(&base, dir.path().join("elsewhere")).unwrap();
    refused("cannot be read on this machine");
}
