//! The store: a generation exists or it does not, and a folder of something else is left as it is.

use genloss::claims::Taken;
use genloss::config::{self, Experiment};
use genloss::documents::Documents;
use genloss::measure::Curves;
use genloss::progress::error_chain;
use genloss::selection::{DetectorRecord, ImportanceRecord, SelectionRecord};
use genloss::store::{
    Address, Fingerprint, Fingerprints, GenerationOutput, GenerationRecord, MixtureRecord, Origin,
    Provenance, Store, StoreError, Unit,
};
use genloss::synthesis::SynthesisRecord;
use genloss::training::TrainingRecord;
use genloss::units::Tokens;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

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
    let store = Store::open(root, &experiment(), &Provenance::default(), "{}")?;
    store.claim(&Unit::first(FIRST.seed))?.expect("nobody else works here");
    Ok(store)
}

fn error_of(result: Result<Store, StoreError>) -> String {
    let message = error_chain(&result.expect_err("an error"));
    assert_eq!(message.lines().count(), 1, "{message}");
    message
}

fn record() -> GenerationRecord {
    GenerationRecord {
        machine: None,
        mixture: MixtureRecord {
            natural_tokens: Tokens(1000),
            distinct_natural_tokens: None,
            natural_documents: 10,
            synthetic_tokens: [(0, Tokens(5))].into(),
            synthetic_documents: 1,
            synthetic_from: Vec::new(),
            natural: "fixed".to_owned(),
            hash: String::new(),
        },
        training: TrainingRecord {
            init: "counts".to_owned(),
            parameters: 1,
            adapter_parameters: None,
            writers: None,
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
                dropped: BTreeMap::from([("importance".to_owned(), 2), ("near_duplicates".to_owned(), 1)]),
                of_rules: BTreeMap::from([("importance".to_owned(), importance())]),
                tokens_per_token_kept: 104.0,
            }),
        },
        metrics: Vec::new(),
        measurements: Vec::new(),
        missing: BTreeMap::new(),
        curves: Curves::default(),
    }
}

fn importance() -> serde_json::Value {
    let detector = DetectorRecord { documents: 100, accuracy: 0.75 };
    serde_json::to_value(ImportanceRecord { detector, most_odds: 2.5 }).unwrap()
}

fn fingerprints() -> Fingerprints {
    let [model, generation] =
        ["model", "generation"].map(|text| Fingerprint::from(blake3::hash(text.as_bytes())));
    Fingerprints { model, generation }
}

fn commit(store: &Store) {
    let documents: Documents = std::iter::once(&[1, 2, 0][..]).collect();
    let output = GenerationOutput {
        record: &record(),
        documents: &documents,
        texts: &["ab".to_owned()],
        fingerprints: &fingerprints(),
        origin: &Origin::default(),
        tokenizer_config: "{}",
    };
    let save = |dir: &Path| {
        fs::write(dir.join("weights"), [7; 100]).unwrap();
        Ok::<(), StoreError>(())
    };
    store.commit(FIRST, output, save).unwrap();
}

#[test]
fn a_committed_generation_is_read_back() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("run");
    let store = open(&root).unwrap();
    assert!(!store.exists(FIRST));
    commit(&store);
    assert!(store.exists(FIRST));
    assert_eq!(store.record(FIRST).unwrap(), record());
    assert_eq!(store.synthetic(FIRST).unwrap().flat(), [1, 2, 0]);
    assert_eq!(store.fingerprints(FIRST).unwrap(), Some(fingerprints()));
    let recorded = genloss::store::read(&root).unwrap();
    assert_eq!(recorded.experiment, experiment());
    // Generation 0 is shared, so both arms show it.
    assert!(recorded.lineages.iter().all(|lineage| lineage.generations == [record()]));
}

#[test]
fn a_commit_that_fails_leaves_no_generation_and_can_be_repeated() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir.path().join("run")).unwrap();
    let documents = Documents::new();
    let output = GenerationOutput {
        record: &record(),
        documents: &documents,
        texts: &[],
        fingerprints: &fingerprints(),
        origin: &Origin::default(),
        tokenizer_config: "{}",
    };
    let fault = || StoreError::File { path: "x".into(), source: std::io::ErrorKind::StorageFull.into() };
    let failed: Result<(), StoreError> = store.commit(FIRST, output, |_| Err(fault()));
    assert!(failed.is_err());
    assert!(!store.exists(FIRST));
    commit(&store);
    assert!(store.exists(FIRST));
}

#[test]
fn verifying_a_damaged_generation_names_its_folder_and_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("run");
    let store = open(&root).unwrap();
    commit(&store);
    let weights = root.join("seed-1/gen-000/model/weights");
    for (damage, expected) in
        [(vec![7; 99], "99 bytes instead of 100"), (vec![8; 100], "is not what was written")]
    {
        fs::write(&weights, damage).unwrap();
        let message = error_chain(&store.verify(FIRST).unwrap_err());
        assert!(
            message.contains("gen-000")
                && message.contains(expected)
                && message.contains("delete this folder"),
            "{message}"
        );
    }
    fs::remove_file(&weights).unwrap();
    assert!(error_chain(&store.verify(FIRST).unwrap_err()).contains("damaged"));
}

#[test]
fn a_generation_is_verified_once_while_the_store_is_open() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("run");
    let store = open(&root).unwrap();
    commit(&store);
    store.verify(FIRST).unwrap();
    fs::write(root.join("seed-1/gen-000/model/weights"), "damage").unwrap();
    store.verify(FIRST).unwrap();
    drop(store);
    assert!(open(&root).unwrap().verify(FIRST).is_err());
}

#[test]
fn an_adopted_generation_equals_the_original_and_is_verified() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir.path().join("run")).unwrap();
    commit(&store);
    let other = open(&dir.path().join("other")).unwrap();
    other.adopt(FIRST, &store.generation_dir(FIRST), &fingerprints()).unwrap();
    assert_eq!(other.record(FIRST).unwrap(), record());
    other.verify(FIRST).unwrap();
    fs::write(store.model_dir(FIRST).join("weights"), "damage").unwrap();
    fs::remove_dir_all(other.generation_dir(FIRST)).unwrap();
    assert!(other.adopt(FIRST, &store.generation_dir(FIRST), &fingerprints()).is_err());
    assert!(!other.exists(FIRST));
}

/// Programs before fingerprints and schema numbers wrote neither.
#[test]
fn a_generation_of_an_older_program_is_read_and_verified() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("run");
    let store = open(&root).unwrap();
    commit(&store);
    let folder = store.generation_dir(FIRST);
    let without = |name: &str, key: &str| {
        let text = fs::read(folder.join(name)).unwrap();
        let mut json: serde_json::Value = serde_json::from_slice(&text).unwrap();
        json.as_object_mut().unwrap().shift_remove(key).unwrap();
        fs::write(folder.join(name), serde_json::to_vec_pretty(&json).unwrap()).unwrap();
    };
    for key in ["schema", "blake3", "fingerprints", "place"] {
        without("manifest.json", key);
    }
    store.verify(FIRST).unwrap();
    assert_eq!(store.fingerprints(FIRST).unwrap(), None);
    without("measurements.json", "schema");
    without("measurements.json", "blake3");
    assert_eq!(store.record(FIRST).unwrap(), record());
}

#[test]
fn a_record_of_a_newer_program_is_an_error_that_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("run");
    commit(&open(&root).unwrap());
    for name in ["seed-1/gen-000/manifest.json", "provenance.json", "drift.json"] {
        let path = root.join(name);
        let before = fs::read(&path).ok();
        fs::write(&path, r#"{"schema": 1000}"#).unwrap();
        let message = error_chain(&genloss::store::read(&root).unwrap_err());
        assert!(message.contains(name) && message.contains("written by a newer genloss"), "{message}");
        assert!(message.contains("update genloss"), "{message}");
        if let Some(before) = before {
            fs::write(&path, before).unwrap();
        }
    }
}

/// The unit that makes [`FIRST`].
fn first_unit() -> Unit {
    Unit::first(FIRST.seed)
}

#[test]
fn a_unit_belongs_to_one_process_until_it_gives_it_back() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("run");
    let first = open(&root).unwrap();
    let second = Store::open(&root, &experiment(), &Provenance::default(), "{}").unwrap();
    assert!(matches!(second.claim(&first_unit()).unwrap(), Err(Taken::By(_))));
    drop(first);
    second.claim(&first_unit()).unwrap().unwrap();
    commit(&second);
    second.finish(&first_unit(), Duration::ZERO).unwrap();
    let third = Store::open(&root, &experiment(), &Provenance::default(), "{}").unwrap();
    assert_eq!(third.claim(&first_unit()).unwrap(), Err(Taken::Done));
}

#[test]
fn an_experiment_cannot_be_changed_while_a_process_works_on_it() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("run");
    let first = open(&root).unwrap();
    let more = config::parse(FILE, "small.toml", &["seeds=[1,2]".to_owned()]).unwrap();
    let open_changed = || Store::open(&root, &more, &Provenance::default(), "{}");
    let message = error_of(open_changed());
    assert!(message.contains("works on this run") && message.contains("wait for it"), "{message}");
    assert!(!fs::read_to_string(root.join("experiment.toml")).unwrap().contains("[1, 2]"));
    drop(first);
    open_changed().unwrap();
}

#[test]
fn a_generation_cannot_be_written_without_a_claim() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("run");
    let store = open(&root).unwrap();
    store.release(&first_unit(), None).unwrap();
    let documents = Documents::new();
    let output = GenerationOutput {
        record: &record(),
        documents: &documents,
        texts: &[],
        fingerprints: &fingerprints(),
        origin: &Origin::default(),
        tokenizer_config: "{}",
    };
    let written: Result<(), StoreError> = store.commit(FIRST, output, |_| Ok(()));
    assert!(matches!(written, Err(StoreError::NotClaimed { .. })));
}

#[test]
fn a_changed_experiment_is_an_error_that_names_the_difference() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("run");
    commit(&open(&root).unwrap());
    let changed = config::parse(FILE, "small.toml", &["generations=1".to_owned()]).unwrap();
    let message = error_of(Store::open(&root, &changed, &Provenance::default(), "{}"));
    assert!(message.contains("generations: 2 → 1"), "{message}");
    let corpus = [("train".to_owned(), "other".to_owned())].into();
    let other_text = Provenance { corpus, ..Provenance::default() };
    let message = error_of(Store::open(&root, &experiment(), &other_text, "{}"));
    assert!(message.contains("the text of the train split has changed"), "{message}");
    assert!(fs::read_to_string(root.join("experiment.toml")).unwrap().contains("generations = 2"));
}

#[test]
fn seeds_may_be_added_to_a_store() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("run");
    commit(&open(&root).unwrap());
    fs::write(root.join("drift.json"), r#"{"replicates":64,"curves":[]}"#).unwrap();
    let more = config::parse(FILE, "small.toml", &["seeds=[1,2]".to_owned()]).unwrap();
    let store = Store::open(&root, &more, &Provenance::default(), "{}").unwrap();
    assert!(store.exists(FIRST) && !store.has_baseline(&more).unwrap());
    assert!(fs::read_to_string(root.join("experiment.toml")).unwrap().contains("seeds = [1, 2]"));
    drop(store);
    let message = error_of(open(&root));
    assert!(message.contains("seeds: [1, 2] → [1]"), "{message}");
}

#[test]
fn a_run_may_continue_with_other_settings_that_only_affect_run_time() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("run");
    commit(&open(&root).unwrap());
    let settings = ["training.checkpoint_minutes=60.0".to_owned()];
    let slower = config::parse(FILE, "small.toml", &settings).unwrap();
    let store = Store::open(&root, &slower, &Provenance::default(), "{}").unwrap();
    assert!(store.exists(FIRST));
    assert!(fs::read_to_string(root.join("experiment.toml")).unwrap().contains("checkpoint_minutes = 60.0"));
}

/// A changed experiment replaces one without generations; other files of the user stay.
#[test]
fn only_folders_of_seeds_are_removed_when_an_experiment_is_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("run");
    drop(open(&root).unwrap());
    let notes = root.join("seed-notes");
    fs::create_dir_all(&notes).unwrap();
    fs::write(root.join("seed-7"), "a file").unwrap();
    fs::create_dir_all(root.join("seed-1")).unwrap();
    let other = config::parse(FILE, "small.toml", &["model.order=3".to_owned()]).unwrap();
    drop(Store::open(&root, &other, &Provenance::default(), "{}").unwrap());
    assert!(notes.exists() && root.join("seed-7").exists() && !root.join("seed-1").exists());
}

#[test]
fn a_setting_that_a_recorded_experiment_lacks_has_its_default() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("run");
    let transformer = |settings: &[&str]| {
        let text = FILE.replace("kind = \"ngram\", order = 2", "context = 16");
        let settings: Vec<String> = settings.iter().map(|&setting| setting.to_owned()).collect();
        config::parse(&text, "small.toml", &settings).unwrap()
    };
    let open = |settings: &[&str]| Store::open(&root, &transformer(settings), &Provenance::default(), "{}");
    let store = open(&[]).unwrap();
    store.claim(&first_unit()).unwrap().unwrap();
    commit(&store);
    drop(store);
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
    let message = error_of(open(&["model.precision=bf16"]));
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
    let changed = config::parse(FILE, "small.toml", &["model.order=3".to_owned()]).unwrap();
    drop(Store::open(&root, &changed, &Provenance::default(), "{}").unwrap());
    assert!(!checkpoint.exists());
    assert!(fs::read_to_string(root.join("experiment.toml")).unwrap().contains("order = 3"));
}

#[test]
fn cleaning_up_removes_what_a_kill_left_beside_a_committed_generation() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("run");
    commit(&open(&root).unwrap());
    let left =
        [root.join(".tmp-abc"), root.join("seed-1/.work-gen-000"), root.join("seed-1/.partial-gen-000")];
    fs::write(&left[0], "half").unwrap();
    fs::create_dir(&left[1]).unwrap();
    fs::create_dir(&left[2]).unwrap();
    let unfinished = root.join("seed-1/unanchored/.work-gen-001/checkpoint-0");
    fs::create_dir_all(&unfinished).unwrap();
    let store = open(&root).unwrap();
    store.clean_up().unwrap();
    assert!(store.exists(FIRST) && unfinished.exists());
    assert!(left.iter().all(|path| !path.exists()));
}

#[test]
fn a_folder_with_other_contents_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("thesis.tex"), "do not touch").unwrap();
    assert!(error_of(open(dir.path())).contains("\"thesis.tex\""));
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
}

#[test]
fn reading_a_folder_without_an_experiment_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let message = genloss::store::read(dir.path()).unwrap_err().to_string();
    assert!(message.contains("no experiment here"), "{message}");
}
