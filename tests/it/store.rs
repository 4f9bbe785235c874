//! The store: a generation exists or it does not, and nothing foreign or changed is written into.

use genloss::config::{self, Experiment};
use genloss::documents::Documents;
use genloss::measure::Curves;
use genloss::selection::detector::DetectorRecord;
use genloss::selection::importance::ImportanceRecord;
use genloss::selection::{Rule, SelectionRecord};
use genloss::store::{
    Address, GenerationOutput, GenerationRecord, MixtureRecord, Provenance, Store, StoreError,
};
use genloss::synthesis::SynthesisRecord;
use genloss::training::TrainingRecord;
use genloss::units::Tokens;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

const FILE: &str = r#"
name = "small"
seeds = [1]
generations = 2
corpus = { source = "world", train_tokens = 1000, heldout_tokens = 100, reference_tokens = 1000 }
model = { kind = "ngram", order = 2 }
[[arm]]
name = "unanchored"
mixture = "replace"
"#;

const FIRST: Address = Address { seed: 1, arm: None, generation: 0 };

fn experiment() -> Experiment {
    config::parse(FILE, "small.toml", &[]).unwrap()
}

fn open(root: &Path) -> Result<Store, StoreError> {
    Store::open(root, &experiment(), &Provenance::default(), "{}")
}

fn refusal(result: Result<Store, StoreError>) -> String {
    let message = result.expect_err("must be refused").to_string();
    assert_eq!(message.lines().count(), 1, "{message}");
    message
}

fn record() -> GenerationRecord {
    GenerationRecord {
        mixture: MixtureRecord {
            natural_tokens: Tokens(1000),
            natural_documents: 10,
            synthetic_tokens: [(0, Tokens(5))].into(),
            synthetic_documents: 1,
            natural: "fixed".to_owned(),
            hash: String::new(),
        },
        training: TrainingRecord {
            init: "counts".to_owned(),
            parameters: 1,
            steps: 0,
            tokens_seen: Tokens(1000),
            epochs: 1.0,
            curve: Vec::new(),
        },
        synthesis: SynthesisRecord {
            method: "textbook".to_owned(),
            prompts: "start token".to_owned(),
            decoding: "sampling, temperature 1".to_owned(),
            documents: 1,
            tokens: Tokens(3),
            ended: 1,
            cut: 0,
            kept_share: None,
            selection: Some(SelectionRecord {
                documents_written: 104,
                tokens_written: Tokens(312),
                dropped: BTreeMap::from([(Rule::Importance, 2), (Rule::NearDuplicates, 1)]),
                importance: Some(ImportanceRecord {
                    detector: DetectorRecord { documents: 100, accuracy: 0.75 },
                    most_odds: 2.5,
                }),
                tokens_per_token_kept: 104.0,
            }),
        },
        metrics: Vec::new(),
        measurements: Vec::new(),
        curves: Curves::default(),
    }
}

fn commit(store: &Store) {
    let documents: Documents = std::iter::once(&[1, 2, 0][..]).collect();
    let written = GenerationOutput { record: &record(), documents: &documents, texts: &["ab".to_owned()] };
    let save = |dir: &Path| {
        fs::write(dir.join("weights"), [7; 100]).unwrap();
        Ok::<(), StoreError>(())
    };
    store.commit(FIRST, written, save).unwrap();
}

#[test]
fn what_was_committed_is_read_back() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("run");
    let store = open(&root).unwrap();
    assert!(!store.is_committed(FIRST).unwrap());
    commit(&store);
    assert!(store.is_committed(FIRST).unwrap());
    assert_eq!(store.record(FIRST).unwrap(), record());
    assert_eq!(store.synthetic(FIRST).unwrap().flat(), [1, 2, 0]);
    let recorded = genloss::store::read(&root).unwrap();
    assert_eq!(recorded.experiment, experiment());
    // Generation 0 is shared, so both arms show it.
    assert!(recorded.lineages.iter().all(|lineage| lineage.generations == [record()]));
}

#[test]
fn a_commit_that_fails_leaves_no_generation_and_can_be_made_again() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir.path().join("run")).unwrap();
    let documents = Documents::new();
    let written = GenerationOutput { record: &record(), documents: &documents, texts: &[] };
    let fault = || StoreError::File { path: "x".into(), source: std::io::ErrorKind::StorageFull.into() };
    let failed: Result<(), StoreError> = store.commit(FIRST, written, |_| Err(fault()));
    assert!(failed.is_err());
    assert!(!store.is_committed(FIRST).unwrap());
    commit(&store);
    assert!(store.is_committed(FIRST).unwrap());
}

#[test]
fn a_damaged_generation_is_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("run");
    let store = open(&root).unwrap();
    commit(&store);
    let weights = root.join("seed-1/gen-000/model/weights");
    for (damage, expected) in
        [(vec![7; 99], "99 bytes instead of 100"), (vec![8; 100], "is not what was written")]
    {
        fs::write(&weights, damage).unwrap();
        let message = store.is_committed(FIRST).unwrap_err().to_string();
        assert!(
            message.contains("gen-000")
                && message.contains(expected)
                && message.contains("delete this folder"),
            "{message}"
        );
    }
    fs::remove_file(&weights).unwrap();
    assert!(store.is_committed(FIRST).is_err());
}

#[test]
fn a_second_writer_is_refused_and_the_lock_goes_with_the_first() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("run");
    let first = open(&root).unwrap();
    assert!(refusal(open(&root)).contains("another process is writing"));
    drop(first);
    open(&root).unwrap();
}

#[test]
fn a_changed_experiment_is_refused_with_the_difference() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("run");
    commit(&open(&root).unwrap());
    let changed = config::parse(FILE, "small.toml", &["generations=3".to_owned()]).unwrap();
    let message = refusal(Store::open(&root, &changed, &Provenance::default(), "{}"));
    assert!(message.contains("generations: 2 → 3"), "{message}");
    let corpus = [("train".to_owned(), "other".to_owned())].into();
    let other_text = Provenance { corpus, ..Provenance::default() };
    let message = refusal(Store::open(&root, &experiment(), &other_text, "{}"));
    assert!(message.contains("the text of the train split is not what it was"), "{message}");
    assert!(fs::read_to_string(root.join("experiment.toml")).unwrap().contains("generations = 2"));
}

#[test]
fn seeds_may_be_added_to_what_stands() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("run");
    commit(&open(&root).unwrap());
    fs::write(root.join("drift.json"), r#"{"replicates":64,"curves":[]}"#).unwrap();
    let more = config::parse(FILE, "small.toml", &["seeds=[1,2]".to_owned()]).unwrap();
    let store = Store::open(&root, &more, &Provenance::default(), "{}").unwrap();
    assert!(store.is_committed(FIRST).unwrap() && !store.has_baseline(&more));
    assert!(fs::read_to_string(root.join("experiment.toml")).unwrap().contains("seeds = [1, 2]"));
    drop(store);
    let message = refusal(open(&root));
    assert!(message.contains("seeds: [1, 2] → [1]"), "{message}");
}

#[test]
fn a_run_may_go_on_with_another_patience() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("run");
    commit(&open(&root).unwrap());
    let settings = ["training.checkpoint_minutes=60.0".to_owned()];
    let patient = config::parse(FILE, "small.toml", &settings).unwrap();
    let store = Store::open(&root, &patient, &Provenance::default(), "{}").unwrap();
    assert!(store.is_committed(FIRST).unwrap());
    assert!(fs::read_to_string(root.join("experiment.toml")).unwrap().contains("checkpoint_minutes = 60.0"));
}

/// What a user keeps beside the seeds is not the store's to remove.
#[test]
fn only_folders_of_seeds_give_way() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("run");
    drop(open(&root).unwrap());
    let notes = root.join("seed-notes");
    fs::create_dir_all(&notes).unwrap();
    fs::write(root.join("seed-7"), "a file").unwrap();
    fs::create_dir_all(root.join("seed-1")).unwrap();
    let other = config::parse(FILE, "small.toml", &["generations=7".to_owned()]).unwrap();
    drop(Store::open(&root, &other, &Provenance::default(), "{}").unwrap());
    assert!(notes.exists() && root.join("seed-7").exists() && !root.join("seed-1").exists());
}

#[test]
fn a_record_from_before_there_was_a_setting_means_its_default() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("run");
    let transformer = |settings: &[&str]| {
        let text = FILE.replace("kind = \"ngram\", order = 2", "context = 16");
        let settings: Vec<String> = settings.iter().map(|&setting| setting.to_owned()).collect();
        config::parse(&text, "small.toml", &settings).unwrap()
    };
    let open = |settings: &[&str]| Store::open(&root, &transformer(settings), &Provenance::default(), "{}");
    commit(&open(&[]).unwrap());
    let file = root.join("experiment.toml");
    let recorded = fs::read_to_string(&file).unwrap();
    let older: String = recorded
        .lines()
        .filter(|line| !line.starts_with("precision"))
        .map(|line| format!("{line}\n"))
        .collect();
    assert!(older.len() < recorded.len());
    fs::write(&file, older).unwrap();
    drop(open(&[]).unwrap());
    let message = refusal(open(&["model.precision=bf16"]));
    assert!(message.contains("model.precision: \"f32\" → \"bf16\""), "{message}");
}

#[test]
fn an_experiment_that_failed_before_its_first_generation_may_be_changed() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("run");
    drop(open(&root).unwrap());
    let checkpoint = root.join("seed-1/.work-gen-000/checkpoint-0");
    fs::create_dir_all(&checkpoint).unwrap();
    drop(open(&root).unwrap());
    assert!(checkpoint.exists(), "an unchanged experiment keeps its checkpoints");
    let changed = config::parse(FILE, "small.toml", &["generations=3".to_owned()]).unwrap();
    drop(Store::open(&root, &changed, &Provenance::default(), "{}").unwrap());
    assert!(!checkpoint.exists());
    assert!(fs::read_to_string(root.join("experiment.toml")).unwrap().contains("generations = 3"));
}

#[test]
fn what_a_kill_left_beside_a_generation_is_removed() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("run");
    commit(&open(&root).unwrap());
    let left =
        [root.join(".tmp-abc"), root.join("seed-1/.work-gen-000"), root.join("seed-1/.partial-gen-000")];
    fs::write(&left[0], "half").unwrap();
    fs::create_dir(&left[1]).unwrap();
    fs::create_dir(&left[2]).unwrap();
    let store = open(&root).unwrap();
    assert!(store.is_committed(FIRST).unwrap());
    assert!(left.iter().all(|path| !path.exists()));
}

#[test]
fn a_folder_that_holds_something_else_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("thesis.tex"), "do not touch").unwrap();
    assert!(refusal(open(dir.path())).contains("\"thesis.tex\""));
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
}

#[test]
fn reading_a_folder_without_an_experiment_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let message = genloss::store::read(dir.path()).unwrap_err().to_string();
    assert!(message.contains("no experiment here"), "{message}");
}
