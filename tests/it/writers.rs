//! Generations with several writers, each a model of its own.

use crate::command::{output, text as path};
use crate::folder::contents;
use crate::resume::assert_killed_run_equals_uninterrupted_run;
use candle_core::Device;
use genloss::config::{self, Experiment};
use genloss::documents::Documents;
use genloss::lineage::{self, PreparedText, RunContext};
use genloss::measure::Metrics;
use genloss::model::{self, LanguageModel, Scores};
use genloss::progress::{Observer, Silent};
use genloss::seed::{StreamKey, streams};
use genloss::stage::Stage;
use genloss::store::{self, GenerationRecord, Provenance};
use genloss::synthesis::{self, Sources, SynthesisSettings};
use genloss::units::Tokens;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::time::Duration;

const FILE: &str = r#"
name = "population"
seeds = [1]
generations = 2
corpus = { source = "world", train_tokens = 6000, heldout_tokens = 1000, reference_tokens = 3000 }
tokenizer = { vocab_size = 300 }
model = { layers = 1, width = 16, heads = 2, context = 16 }
training = { tokens = 8000, batch = 8 }
synthesis = { max_document_tokens = 64 }
[[arm]]
name = "alone"
mixture = "replace"
[[arm]]
name = "three"
mixture = "replace"
training.writers = 3
"#;

static NEVER: AtomicBool = AtomicBool::new(false);

fn experiment(changes: &[&str]) -> Experiment {
    let changes: Vec<String> = changes.iter().map(ToString::to_string).collect();
    config::parse(FILE, "population.toml", &changes).unwrap()
}

fn refusal(changes: &[&str]) -> String {
    let changes: Vec<String> = changes.iter().map(ToString::to_string).collect();
    config::parse(FILE, "population.toml", &changes).unwrap_err().to_string()
}

/// Runs an experiment, and returns its text.
pub fn run(experiment: &Experiment, root: &Path, observer: &dyn Observer) -> PreparedText {
    let prepared = lineage::prepare(experiment).unwrap();
    let context = RunContext {
        device: &Device::Cpu,
        observer,
        interrupt: &NEVER,
        metrics: &Metrics::builtin(),
        provenance: Provenance::default(),
    };
    lineage::run(experiment, &prepared, root, &context).unwrap();
    prepared
}

/// The record of a generation of an arm with its first seed.
pub fn record(root: &Path, arm: &str, generation: usize) -> GenerationRecord {
    let record = store::read(root).unwrap();
    record.lineages.iter().find(|lineage| lineage.arm == arm).unwrap().generations[generation].clone()
}

fn model_dir(root: &Path, arm: &str, generation: usize) -> PathBuf {
    root.join(format!("seed-1/{arm}/gen-{generation:03}/model"))
}

fn load(dir: &Path) -> Box<dyn LanguageModel> {
    model::load(dir, &Device::Cpu).unwrap().model
}

fn stage(arm: &str, generation: usize, stage: &'static str) -> Stage<'static> {
    Stage::new(StreamKey::new(1, arm, generation, stage), &Silent, &NEVER)
}

#[test]
fn writers_are_models_of_their_own_and_losses_are_means_over_them() {
    let root = tempfile::tempdir().unwrap();
    let prepared = run(&experiment(&[]), root.path(), &Silent);
    let group = model_dir(root.path(), "three", 1);
    let scores: Vec<Scores> = (1..=3)
        .map(|writer| {
            let folder = group.join(format!("writer-{writer}"));
            assert!(folder.join("tokenizer.json").exists());
            load(&folder).score(&prepared.heldout, &stage("three", 1, streams::SCORING)).unwrap()
        })
        .collect();
    let tokens = prepared.heldout.tokens().0 as f64;
    let losses: Vec<f64> = scores
        .iter()
        .map(|one| -one.log_probabilities.iter().map(|&p| f64::from(p)).sum::<f64>() / tokens)
        .collect();
    assert!(losses[0] != losses[1] && losses[1] != losses[2], "{losses:?}");
    let mixture_loss: f64 = (0..tokens as usize)
        .map(|token| {
            let p = scores.iter().map(|one| f64::from(one.log_probabilities[token]).exp()).sum::<f64>() / 3.0;
            -p.ln() / tokens
        })
        .sum();
    let record = record(root.path(), "three", 1);
    let mean = losses.iter().sum::<f64>() / 3.0;
    assert!((record.value("heldout_loss").unwrap() - mean).abs() < 1e-6);
    assert!((record.value("writer_disagreement").unwrap() - (mean - mixture_loss)).abs() < 1e-6);
    assert!(mean - mixture_loss > 1e-3, "writers differ");
    let of_group = load(&group).score(&prepared.heldout, &stage("three", 1, streams::SCORING)).unwrap();
    assert_eq!(of_group.disagreements.len(), tokens as usize);

    let text = root.path().join("text.txt");
    fs::write(&text, "the old dog").unwrap();
    let scored = output(&["score", path(&group), path(&text)]);
    assert!(scored.contains("start token"), "{scored}");
    assert_eq!(record.training.writers, Some(3));
    let alone = self::record(root.path(), "alone", 1);
    assert_eq!((alone.training.writers, alone.value("writer_disagreement")), (None, None));
    assert_eq!(record.training.tokens_seen, alone.training.tokens_seen, "of each writer");
    // The first writer of generation 0 is the model that a single one would be.
    let single = fs::read(root.path().join("seed-1/gen-000/model/model.safetensors")).unwrap();
    let of_three = |writer: usize| {
        let folder = model_dir(root.path(), "three", 0).join(format!("writer-{writer}"));
        fs::read(folder.join("model.safetensors")).unwrap()
    };
    assert!(single == of_three(1) && single != of_three(2) && of_three(2) != of_three(3));
}

/// Every method: which document a writer writes depends on its number alone.
#[test]
fn writers_take_turns() {
    let root = tempfile::tempdir().unwrap();
    let prepared = run(&experiment(&["generations=1", "training.fim_share=0.5"]), root.path(), &Silent);
    let group = load(&model_dir(root.path(), "three", 1));
    let sources =
        Sources { natural: &prepared.train, previous: None, tokenizer: &prepared.tokenizer, world: None };
    for synthesis in [
        "{ method = \"textbook\", max_document_tokens = 40 }",
        "{ method = \"continuation\", prefix_tokens = 4, max_document_tokens = 40 }",
        "{ method = \"rephrase\", fidelity = 0.5, max_document_tokens = 40 }",
        "{ method = \"token-edit\", sharpness = 1.0 }",
        "{ max_document_tokens = 40, selection = { best_of = 2 } }",
    ] {
        let change = format!("synthesis={synthesis}");
        let settings = experiment(&["training.fim_share=0.5", &change]).synthesis;
        let written_by = |model: &dyn LanguageModel, tokens: u64| -> Documents {
            let settings = SynthesisSettings { tokens: Tokens(tokens), ..settings.clone() };
            let stage = stage("three", 1, streams::SYNTHESIS);
            synthesis::write_corpus(model, &settings, sources, &*group, &stage).unwrap().0
        };
        let of_each: Vec<Documents> =
            group.members().iter().map(|member| written_by(&**member, 3000)).collect();
        let together = written_by(&*group, 1500);
        let whole = together.len() - 1;
        assert!(whole >= 6, "{synthesis}: {whole} documents");
        for document in 0..whole {
            let expected = of_each[document % 3].get(document);
            assert!(together.get(document) == expected, "{synthesis}, document {document}");
        }
        let longer = written_by(&*group, 2500);
        assert!((0..whole).all(|document| longer.get(document) == together.get(document)), "{synthesis}");
    }
}

#[test]
fn a_chained_writer_goes_on_from_its_own_weights() {
    let root = tempfile::tempdir().unwrap();
    // Steps so small that no weight moves.
    run(&experiment(&["training.init=\"chained\"", "training.learning_rate=1e-30"]), root.path(), &Silent);
    let weights = |generation: usize, writer: usize| {
        let folder = model_dir(root.path(), "three", generation).join(format!("writer-{writer}"));
        fs::read(folder.join("model.safetensors")).unwrap()
    };
    for writer in 1..=3 {
        assert!(weights(0, writer) == weights(2, writer), "writer {writer}");
    }
    assert!(weights(2, 1) != weights(2, 2));
    assert_eq!(record(root.path(), "three", 2).training.init, "generation 1");
}

#[test]
fn a_killed_run_with_writers_resumes_to_the_same_bits() {
    let file = FILE.replace("batch = 8 }", "batch = 8, init = \"chained\", checkpoint_minutes = 0.0005 }");
    let kills = assert_killed_run_equals_uninterrupted_run("run", &file, Duration::from_millis(150), 1.15);
    assert!(kills >= 3, "only {kills} kills before the run finished");
}

#[test]
fn writers_that_would_be_the_same_are_refused() {
    let message = refusal(&["model={kind=\"ngram\", order=2}", "training.writers=3"]);
    assert!(message.contains("n-gram models are counted"), "{message}");
    assert!(refusal(&["training.writers=0"]).contains("training.writers: 0 is out of range"));
    let message = refusal(&["training.writers=2", "training.init=\"chained\"", "writer.training.writers=3"]);
    assert!(message.contains("another number of training.writers"), "{message}");
}

#[test]
fn a_group_that_lacks_a_writer_is_not_read() {
    let root = tempfile::tempdir().unwrap();
    run(&experiment(&["generations=1"]), root.path(), &Silent);
    let group = model_dir(root.path(), "three", 1);
    fs::remove_dir_all(group.join("writer-2")).unwrap();
    let error = model::load(&group, &Device::Cpu).err().unwrap().to_string();
    assert!(error.contains("writers.json: counts 3 writers, and there are 1 from writer-1 on"), "{error}");
    assert!(contents(&group).contains_key("writers.json"));
    let error = model::transformer::Transformer::load(&group, &Device::Cpu).err().unwrap().to_string();
    assert!(
        error.contains("give the folder of one of them, such as") && error.contains("writer-1"),
        "{error}"
    );
}
