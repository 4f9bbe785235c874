//! A base model whose tokenizer is not that of the experiment is refused, or noted if this cannot be determined.

use super::{path, refused, said};
use genloss::store::{Address, Provenance, Store};
use genloss::{config, lineage};
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

const EXPERIMENT: &str = r#"
name = "small"
seeds = [1]
generations = 1
corpus = { source = "world", train_tokens = 2000, heldout_tokens = 400, reference_tokens = 1000 }
model = { layers = 1, width = 16, heads = 2, context = 16 }
synthesis = { max_document_tokens = 32 }
[[arm]]
name = "replace"
mixture = "replace"
"#;

/// The model folder of a small run, made once.
pub fn trained() -> &'static Path {
    static FOLDER: OnceLock<(tempfile::TempDir, PathBuf)> = OnceLock::new();
    let (_, model) = FOLDER.get_or_init(|| {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("small.toml");
        let settings = "tokenizer = { vocab_size = 300 }\ntraining = { tokens = 8000, batch = 4 }\n";
        fs::write(&file, EXPERIMENT.replace("model =", &format!("{settings}model ="))).unwrap();
        let out = dir.path().join("out");
        said(&["run", path(&file), "--out", path(&out)]);
        (dir, out.join("seed-1/gen-000/model"))
    });
    model
}

/// A copy of the trained folder, and an experiment that starts from it with the tokenizer beside the experiment.
struct Pair {
    dir: tempfile::TempDir,
    base: PathBuf,
}

impl Pair {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let base = dir.path().join("base");
        fs::create_dir(&base).unwrap();
        for entry in fs::read_dir(trained()).unwrap() {
            let from = entry.unwrap().path();
            fs::copy(&from, base.join(from.file_name().unwrap())).unwrap();
        }
        fs::copy(base.join("tokenizer.json"), dir.path().join("own.json")).unwrap();
        Self { dir, base }
    }

    fn change(file: &Path, change: impl FnOnce(&mut Value)) {
        let mut json = serde_json::from_slice(&fs::read(file).unwrap()).unwrap();
        change(&mut json);
        fs::write(file, json.to_string()).unwrap();
    }

    /// Changes the experiment's tokenizer.
    fn with_tokenizer(self, change: impl FnOnce(&mut Value)) -> Self {
        Self::change(&self.dir.path().join("own.json"), change);
        self
    }

    /// Changes a file of the base model.
    fn with_base(self, file: &str, change: impl FnOnce(&mut Value)) -> Self {
        Self::change(&self.base.join(file), change);
        self
    }

    fn file(&self) -> PathBuf {
        let settings = format!(
            "tokenizer = {{ path = {:?} }}\ntraining = {{ tokens = 512, batch = 2, init = \"base\", base = {:?} }}\n",
            self.dir.path().join("own.json"),
            self.base
        );
        let file = self.dir.path().join("based.toml");
        fs::write(&file, EXPERIMENT.replace("model =", &format!("{settings}model ="))).unwrap();
        file
    }

    /// The output of `check` as one line.
    fn checked(&self) -> String {
        said(&["check", path(&self.file())]).0.split_whitespace().collect::<Vec<_>>().join(" ")
    }
}

fn swap(json: &mut Value, one: &str, other: &str) {
    let vocab = &mut json["model"]["vocab"];
    let (a, b) = (vocab[one].clone(), vocab[other].clone());
    (vocab[one], vocab[other]) = (b, a);
}

#[test]
fn the_base_with_its_own_tokenizer_is_accepted_without_a_note() {
    let checked = Pair::new().checked();
    assert!(!checked.contains("the model in") && !checked.contains("tokenizer.json"), "{checked}");
}

/// Ids 66 and 67 are "b" and "a" instead; the vocabulary has the same size.
#[test]
fn another_tokenizer_of_the_same_size_is_refused_by_the_first_id_that_differs() {
    let pair = Pair::new().with_tokenizer(|json| swap(json, "a", "b"));
    for command in ["check", "run"] {
        let error = refused(&[command, path(&pair.file())]);
        assert!(error.contains("the model's id 65 is \"a\", the experiment's is \"b\""), "{error}");
        assert!(error.contains("base/tokenizer.json"), "{error}");
    }
}

#[test]
fn a_tokenizer_with_one_token_more_or_less_is_refused() {
    let more = Pair::new().with_tokenizer(|json| json["model"]["vocab"]["zzz"] = json!(300));
    let error = refused(&["check", path(&more.file())]);
    assert!(error.contains("the model's id 300 is no token, the experiment's is \"zzz\""), "{error}");
    let less = Pair::new().with_base("tokenizer.json", |json| json["model"]["vocab"]["zzz"] = json!(300));
    let error = refused(&["check", path(&less.file())]);
    assert!(error.contains("id 300 is \"zzz\", the experiment's is no token"), "{error}");
}

#[test]
fn a_tokenizer_that_cuts_text_otherwise_is_refused() {
    let pair = Pair::new().with_tokenizer(|json| {
        json["model"]["merges"].as_array_mut().unwrap().drain(..20);
    });
    let error = refused(&["check", path(&pair.file())]);
    assert!(error.contains("tokens are the same, but"), "{error}");
}

#[test]
fn start_and_end_tokens_that_differ_and_a_missing_tokenizer_are_told() {
    let pair = Pair::new().with_base("config.json", |config| config["eos_token_id"] = json!(7));
    assert!(pair.checked().contains("starts documents with token 0 and ends them with 7"));
    let pair = Pair::new();
    fs::remove_file(pair.base.join("tokenizer.json")).unwrap();
    assert!(pair.checked().contains("has no tokenizer.json"));
}

/// A base with 320 embeddings for a tokenizer of 300 tokens; the surplus has the largest logits by far.
#[test]
fn surplus_embeddings_are_accepted_and_their_tokens_never_written() {
    let pair = Pair::new().with_base("config.json", |config| config["vocab_size"] = json!(320));
    let weights = pair.base.join("model.safetensors");
    let name = "model.embed_tokens.weight";
    let mut tensors = candle_core::safetensors::load(&weights, &candle_core::Device::Cpu).unwrap();
    let surplus = (candle_core::Tensor::ones((20, 16), candle_core::DType::F32, &candle_core::Device::Cpu)
        .unwrap()
        * 3.0)
        .unwrap();
    let padded = candle_core::Tensor::cat(&[&tensors[name], &surplus], 0).unwrap();
    tensors.insert(name.to_owned(), padded);
    candle_core::safetensors::save(&tensors, &weights).unwrap();
    let out = pair.dir.path().join("out");
    said(&["run", path(&pair.file()), "--out", path(&out)]);
    let experiment = config::parse(&fs::read_to_string(pair.file()).unwrap(), "based.toml", &[]).unwrap();
    let prepared = lineage::prepare(&experiment).unwrap();
    assert_eq!(prepared.vocab_size_of(&experiment.arms[0]), 320);
    let provenance = prepared.provenance(&experiment, Provenance::default());
    let store = Store::open(&out, &experiment, &provenance, &prepared.tokenizer_json).unwrap();
    let written = store.synthetic(Address::of(&experiment, 1, &experiment.arms[0], 0)).unwrap();
    assert!(written.flat().len() > 1000 && written.flat().iter().all(|&id| id < 300));
    // The folder keeps the shape of the base.
    let config = fs::read(out.join("seed-1/gen-000/model/config.json")).unwrap();
    assert_eq!(serde_json::from_slice::<Value>(&config).unwrap()["vocab_size"], 320);
}
