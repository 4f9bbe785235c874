//! The loop as a whole, with n-grams: the record of a generation says to the token what it was trained on.

use candle_core::Device;
use genloss::config::{self, Experiment};
use genloss::documents::Documents;
use genloss::lineage::{self, LineageInputs, PreparedText, RunContext, RunError};
use genloss::measure::Metrics;
use genloss::mixture;
use genloss::model;
use genloss::progress::{Event, Observer, Recorder, Silent, error_chain};
use genloss::seed::{SHARED, StreamKey, streams};
use genloss::selection::mean_losses;
use genloss::stage::Stage;
use genloss::store::{self, Address, Fingerprints, Provenance, RunRecord, Store};
use genloss::units::Tokens;
use rand::seq::SliceRandom;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

const FILE: &str = r#"
name = "loop"
seeds = [1, 2]
generations = 3
corpus = { source = "world", train_tokens = 5000, heldout_tokens = 1000, reference_tokens = 8000 }
tokenizer = { vocab_size = 400 }
model = { kind = "ngram", order = 2 }
synthesis = { tokens = 6000, max_document_tokens = 200 }
[[arm]]
name = "replace"
mixture = "replace"
[[arm]]
name = "anchored"
mixture = { natural_fraction = 0.25 }
[[arm]]
name = "fresh"
mixture = { natural_fraction = 0.5, natural = "fresh" }
[[arm]]
name = "accumulate"
mixture = "accumulate"
[[arm]]
name = "grown"
mixture = "replace-multiple"
[[arm]]
name = "picked"
mixture = "replace"
synthesis = { selection = { loss_band = [2.0, 4.0], best_of = 2, near_duplicates = 0.8 } }
[[arm]]
name = "cool"
mixture = "append-human-data"
synthesis = { temperature = 0.8, top_k = 40, tokens = 5000 }
"#;

fn experiment() -> Experiment {
    config::parse(FILE, "loop.toml", &[]).unwrap()
}

fn run_into(
    root: &Path,
    prepared: &PreparedText,
    observer: &dyn Observer,
    interrupt: &AtomicBool,
) -> Result<(), RunError> {
    run(&experiment(), root, prepared, observer, interrupt)
}

fn run(
    experiment: &Experiment,
    root: &Path,
    prepared: &PreparedText,
    observer: &dyn Observer,
    interrupt: &AtomicBool,
) -> Result<(), RunError> {
    let context = RunContext {
        device: &Device::Cpu,
        observer,
        interrupt,
        metrics: &Metrics::builtin(),
        provenance: Provenance::default(),
    };
    lineage::run(experiment, prepared, root, &context)
}

/// A finished run: its folder, text, records and events.
fn finished() -> (tempfile::TempDir, PreparedText, RunRecord, Vec<Event>) {
    let dir = tempfile::tempdir().unwrap();
    let prepared = lineage::prepare(&experiment()).unwrap();
    let recorder = Recorder::default();
    run_into(&dir.path().join("run"), &prepared, &recorder, &AtomicBool::new(false)).unwrap();
    let recorded = store::read(&dir.path().join("run")).unwrap();
    (dir, prepared, recorded, recorder.events())
}

/// The hash of a training text as records have it.
fn hash(text: &Documents) -> String {
    let mut hasher = blake3::Hasher::new();
    for document in text.iter() {
        hasher.update(&(document.len() as u64).to_le_bytes());
        for id in document {
            hasher.update(&id.to_le_bytes());
        }
    }
    hasher.finalize().to_hex().to_string()
}

fn joined(parts: &[Documents]) -> Documents {
    parts.iter().flat_map(|part| part.iter()).collect()
}

/// Tokens of natural text, of synthetic text by generation, and the text itself.
type TrainingText = (u64, Vec<(usize, u64)>, Documents);

/// The text that generation `g` of an arm must train on, where it does not depend on a draw. `natural` is the train
/// split in the seed's order.
fn expected_text(
    arm: &str,
    g: usize,
    natural: &Documents,
    corpus: &dyn Fn(usize) -> Documents,
) -> Option<TrainingText> {
    let first = |tokens: u64| natural.prefix(Tokens(tokens));
    let latest = |tokens: u64| corpus(g - 1).prefix(Tokens(tokens));
    match (arm, g) {
        (_, 0) | ("control", _) => Some((5000, vec![], first(5000))),
        ("replace", _) => Some((0, vec![(g - 1, 5000)], latest(5000))),
        ("anchored", _) => Some((1250, vec![(g - 1, 3750)], joined(&[first(1250), latest(3750)]))),
        ("accumulate", _) => {
            let corpora = (0..g).map(|g| corpus(g).prefix(Tokens(6000)));
            let parts: Vec<Documents> = std::iter::once(first(5000)).chain(corpora).collect();
            Some((5000, (0..g).map(|g| (g, 6000)).collect(), joined(&parts)))
        }
        // As many tokens as accumulate: 5000, and 6000 for each generation before.
        ("grown", _) => {
            let tokens = 5000 + 6000 * g as u64;
            Some((0, vec![(g - 1, tokens)], latest(tokens)))
        }
        ("cool", _) => Some((500, vec![(g - 1, 5000)], joined(&[first(500), corpus(g - 1)]))),
        _ => None,
    }
}

#[test]
fn every_generation_trains_on_exactly_what_its_record_says() {
    let (dir, prepared, recorded, _) = finished();
    let experiment = experiment();
    let provenance = prepared.provenance(&experiment, Provenance::default());
    let store = Store::open(&dir.path().join("run"), &experiment, &provenance, "").unwrap();
    for lineage in &recorded.lineages {
        let arm = experiment.arms.iter().find(|arm| arm.name == lineage.arm).unwrap();
        let mut order: Vec<usize> = (0..prepared.train.len()).collect();
        order.shuffle(&mut StreamKey::new(lineage.seed, SHARED, 0, streams::NATURAL_ORDER).stream(0));
        let natural: Documents = order.iter().map(|&index| prepared.train.get(index)).collect();
        let corpus = |g| store.synthetic(Address::of(&experiment, lineage.seed, arm, g)).unwrap();
        assert_eq!(lineage.generations.len(), 4);
        for (g, record) in lineage.generations.iter().enumerate() {
            let mixture = &record.mixture;
            let synthetic: Vec<(usize, u64)> =
                mixture.synthetic_tokens.iter().map(|(&g, n)| (g, n.0)).collect();
            if let Some((natural_tokens, parts, text)) = expected_text(&arm.name, g, &natural, &corpus) {
                let found = (mixture.natural_tokens.0, &synthetic);
                assert_eq!(found, (natural_tokens, &parts), "{} {g}", arm.name);
                assert_eq!(mixture.hash, hash(&text), "{} {g}", arm.name);
            }
            let total = mixture.natural_tokens.0 + synthetic.iter().map(|(_, n)| n).sum::<u64>();
            assert_eq!(record.training.tokens_seen.0, total);
        }
    }
}

#[test]
fn arms_differ_in_their_settings_only() {
    let (dir, _, recorded, _) = finished();
    for lineage in &recorded.lineages {
        let shares = !["cool", "picked"].contains(&lineage.arm.as_str());
        let first = dir.path().join(format!("run/seed-{}/gen-000", lineage.seed));
        let own = dir.path().join(format!("run/seed-{}/{}/gen-000", lineage.seed, lineage.arm));
        assert!(first.exists() && own.exists() != shares);
        let decoding = match lineage.arm.as_str() {
            "cool" => "sampling, temperature 0.8, top-k 40",
            _ => "sampling, temperature 1",
        };
        // The shared generation 0 writes for "grown", which trains on 11 000, 17 000 and 23 000 tokens; no generation
        // trains on what the last one writes.
        let written = match lineage.arm.as_str() {
            "cool" => [5000; 4],
            "picked" => [6000, 6000, 6000, 5000],
            "grown" => [11_000, 17_000, 23_000, 5000],
            _ => [11_000, 6000, 6000, 5000],
        };
        for (record, tokens) in lineage.generations.iter().zip(written) {
            assert_eq!(record.synthesis.decoding, decoding);
            assert_eq!(record.synthesis.prompts, "start token");
            assert_eq!(record.synthesis.tokens.0, tokens, "{}", lineage.arm);
            let n: Vec<u64> = record
                .measurements
                .iter()
                .filter(|one| one.metric == "unigram_entropy")
                .map(|one| one.n)
                .collect();
            assert_eq!(n, [5000], "the least that any arm writes");
        }
    }
    let first_of = |seed: u64, arm: &str| {
        let lineage = recorded.lineages.iter().find(|lineage| lineage.seed == seed && lineage.arm == arm);
        lineage.unwrap().generations[0].clone()
    };
    // An arm that has its own generation 0 trained it on the same text from the same streams.
    assert_eq!(first_of(1, "cool").mixture.hash, first_of(1, "control").mixture.hash);
    assert_eq!(first_of(1, "cool").training, first_of(1, "control").training);
    assert_ne!(first_of(1, "control").mixture.hash, first_of(2, "control").mixture.hash);
}

#[test]
fn every_generation_is_selected_by_the_model_of_generation_0() {
    let (dir, _, recorded, _) = finished();
    let experiment = experiment();
    let store = Store::open(&dir.path().join("run"), &experiment, &recorded.provenance, "").unwrap();
    let lineage = recorded.lineages.iter().find(|lineage| lineage.arm == "picked").unwrap();
    let arm = experiment.arms.iter().find(|arm| arm.name == "picked").unwrap();
    let at = |generation| Address::of(&experiment, lineage.seed, arm, generation);
    let reference = model::load(&store.model_dir(at(0)), &Device::Cpu).unwrap().model;
    let never = AtomicBool::new(false);
    let stage = Stage::new(StreamKey::new(1, SHARED, 0, "test"), &Silent, &never);
    for (generation, record) in lineage.generations.iter().enumerate() {
        let corpus = store.synthetic(at(generation)).unwrap();
        let scores = reference.score(&corpus, &stage).unwrap();
        let losses = mean_losses(&corpus, &scores);
        // The last document is cut where the budget ends.
        let whole = losses[..losses.len() - 1].iter().flatten();
        assert!(whole.clone().all(|loss| (2.0..=4.0).contains(loss)), "{generation}: {losses:?}");
        assert!(record.synthesis.selection.as_ref().unwrap().dropped["best_of"] > 0);
    }
}

#[test]
fn heldout_and_reference_text_are_in_no_training_text() {
    let prepared = lineage::prepare(&experiment()).unwrap();
    let train: std::collections::BTreeSet<&[u32]> = prepared.train.iter().collect();
    // The last document is cut and could be the start of another one.
    let whole = prepared.heldout.len() - 1;
    assert!(whole > 5);
    assert!((0..whole).all(|index| !train.contains(prepared.heldout.get(index))));
}

#[test]
fn a_run_reports_every_generation_and_a_second_run_has_nothing_to_do() {
    let (dir, prepared, _, events) = finished();
    // Per seed: a shared generation 0, those of "cool" and "picked", and 3 more of 8 arms.
    let all = 2 * (1 + 2 + 3 * 8);
    assert_eq!(events[0], Event::RunStarted { experiment: "loop".to_owned(), generations: all, done: 0 });
    let committed = events.iter().filter(|event| matches!(event, Event::GenerationCommitted { .. })).count();
    assert_eq!(committed as u64, all);
    let again = Recorder::default();
    run_into(&dir.path().join("run"), &prepared, &again, &AtomicBool::new(false)).unwrap();
    assert_eq!(
        again.events()[0],
        Event::RunStarted { experiment: "loop".to_owned(), generations: all, done: all }
    );
    assert!(!again.events().iter().any(|event| matches!(event, Event::GenerationCommitted { .. })));
}

/// Asks to stop when the second generation is committed.
struct StopAtSecond<'a> {
    has_committed: AtomicBool,
    interrupt: &'a AtomicBool,
}

impl Observer for StopAtSecond<'_> {
    fn observe(&self, event: &Event) {
        if matches!(event, Event::GenerationCommitted { .. })
            && self.has_committed.swap(true, Ordering::Relaxed)
        {
            self.interrupt.store(true, Ordering::Relaxed);
        }
    }
}

#[test]
fn an_interrupted_run_keeps_committed_generations() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("run");
    let prepared = lineage::prepare(&experiment()).unwrap();
    let interrupt = AtomicBool::new(false);
    let observer = StopAtSecond { has_committed: AtomicBool::new(false), interrupt: &interrupt };
    let stopped = run_into(&root, &prepared, &observer, &interrupt);
    assert!(matches!(stopped, Err(RunError::Interrupted)), "{stopped:?}");
    let recorded = store::read(&root).unwrap();
    let mut committed: Vec<_> = recorded.lineages.iter().flat_map(|lineage| &lineage.generations).collect();
    committed.dedup();
    // The generation 0 that arms share, and that of the first arm that writes otherwise.
    assert_eq!(committed.len(), 2);
}

#[test]
fn a_shared_generation_that_was_removed_counts_once_and_is_repeated() {
    let (dir, prepared, ..) = finished();
    let root = dir.path().join("run");
    let whole = crate::folder::contents(&root);
    std::fs::remove_dir_all(root.join("seed-1/gen-000")).unwrap();
    let recorder = Recorder::default();
    run_into(&root, &prepared, &recorder, &AtomicBool::new(false)).unwrap();
    let Some(Event::RunStarted { generations, done, .. }) = recorder.events().into_iter().next() else {
        panic!("a run starts with how far it is")
    };
    assert_eq!(done + 1, generations);
    assert!(crate::folder::contents(&root) == whole);
}

/// The command writes something else each time, so that later generations were not trained on what a repeated one writes.
#[cfg(unix)]
#[test]
fn a_repeated_generation_that_writes_another_text_is_an_error_if_later_ones_were_trained_on_it() {
    let dir = tempfile::tempdir().unwrap();
    let (root, count) = (dir.path().join("run"), dir.path().join("count"));
    let script = format!(
        "echo . >> {0}; n=$(wc -l < {0}); while read line; do echo \"{{\\\"text\\\": \\\"fish $n\\\"}}\"; done",
        count.display()
    );
    let text = format!(
        "name = \"unsteady\"\nseeds = [1]\ngenerations = 2\n\
         corpus = {{ source = \"world\", train_tokens = 500, heldout_tokens = 200, reference_tokens = 500 }}\n\
         tokenizer = {{ vocab_size = 300 }}\nmodel = {{ kind = \"ngram\", order = 2 }}\n\
         [[arm]]\nname = \"replace\"\nmixture = \"replace\"\n\
         synthesis = {{ method = \"external\", command = [\"sh\", \"-c\", '''{script}'''] }}\n"
    );
    let experiment = config::parse(&text, "unsteady.toml", &[]).unwrap();
    let prepared = lineage::prepare(&experiment).unwrap();
    let run = || {
        let (interrupt, provenance) = (AtomicBool::new(false), Provenance::default());
        let context = RunContext {
            device: &Device::Cpu,
            observer: &Silent,
            interrupt: &interrupt,
            metrics: &Metrics::builtin(),
            provenance,
        };
        lineage::run(&experiment, &prepared, &root, &context)
    };
    run().unwrap();
    let generation = |number: usize| root.join(format!("seed-1/replace/gen-00{number}"));
    std::fs::remove_dir_all(generation(0)).unwrap();
    for _ in 0..2 {
        let message = error_chain(&run().unwrap_err());
        assert!(message.contains("gen-001: was trained on a corpus that no longer exists"), "{message}");
        assert!(!generation(0).exists());
    }
    std::fs::remove_dir_all(generation(1)).unwrap();
    std::fs::remove_dir_all(generation(2)).unwrap();
    run().unwrap();
}

/// Generation 3 of "anchored" draws on generation 2 alone, so that generation 1 may lack its corpus.
#[test]
fn only_the_corpora_that_a_mixture_draws_on_are_read() {
    let (dir, prepared, ..) = finished();
    let root = dir.path().join("run");
    let lineage = root.join("seed-1/anchored");
    let whole = crate::folder::contents(&lineage.join("gen-003"));
    std::fs::remove_dir_all(lineage.join("gen-003")).unwrap();
    let experiment = experiment();
    let anchored = experiment.arms.iter().find(|arm| arm.name == "anchored").unwrap();
    let sources =
        |generation| mixture::source_generations(&anchored.mixture, generation, Tokens(5000), Tokens(6000));
    assert_eq!((sources(0), sources(1), sources(3)), (0..0, 0..1, 2..3));
    let unread = ["synthetic.parquet", "manifest.json"].map(|name| lineage.join("gen-001").join(name));
    let mut manifest: serde_json::Value =
        serde_json::from_slice(&std::fs::read(&unread[1]).unwrap()).unwrap();
    manifest["files"].as_object_mut().unwrap().shift_remove("synthetic.parquet").unwrap();
    // As published by a program that recorded none of these.
    for key in ["schema", "blake3", "place"] {
        manifest.as_object_mut().unwrap().shift_remove(key).unwrap();
    }
    std::fs::write(&unread[1], manifest.to_string()).unwrap();
    std::fs::remove_file(&unread[0]).unwrap();
    run_into(&root, &prepared, &Silent, &AtomicBool::new(false)).unwrap();
    assert!(crate::folder::contents(&lineage.join("gen-003")) == whole);
}

#[test]
fn a_run_does_not_start_on_a_damaged_generation() {
    let (dir, prepared, ..) = finished();
    let root = dir.path().join("run");
    let model = root.join("seed-2/replace/gen-002/model");
    let file = std::fs::read_dir(&model).unwrap().next().unwrap().unwrap().path();
    std::fs::write(&file, "damage").unwrap();
    std::fs::remove_dir_all(root.join("seed-2/replace/gen-003")).unwrap();
    let error = run_into(&root, &prepared, &Silent, &AtomicBool::new(false)).unwrap_err();
    let message = error_chain(&error);
    assert!(message.contains("gen-002: damaged") && message.contains("delete this folder"), "{message}");
    assert!(!root.join("seed-2/replace/gen-003").exists());
}

#[test]
fn a_fingerprint_changes_with_what_results_depend_on_and_with_nothing_else() {
    let base = experiment();
    let prepared = lineage::prepare(&base).unwrap();
    let of = |experiment: &Experiment, arm: usize, seed: u64, text: &str| {
        let inputs = LineageInputs { experiment, prepared: &prepared, seed, arm: &experiment.arms[arm] };
        inputs.fingerprints(0, text, &[], None)
    };
    let before = of(&base, 0, 1, "text");
    let differs = |after: &Fingerprints| (after.model != before.model, after.generation != before.generation);
    let (neither, writing, both) = ((false, false), (false, true), (true, true));
    let settings = [
        ("training.checkpoint_minutes=60.0", neither),
        ("generations=4", neither),
        ("synthesis.temperature=0.9", writing),
        ("measured_tokens=4000", writing),
        ("training.batch=7", both),
        ("model.order=3", both),
    ];
    for (setting, expected) in settings {
        let changed = config::parse(FILE, "loop.toml", &[setting.to_owned()]).unwrap();
        assert_eq!(differs(&of(&changed, 0, 1, "text")), expected, "{setting}");
    }
    // "replace" shares generation 0 with the control; "picked" has the same model, and writes its own corpus.
    assert_eq!(differs(&of(&base, 1, 1, "text")), neither);
    let picked = base.arms.iter().position(|arm| arm.name == "picked").unwrap();
    assert_eq!(differs(&of(&base, picked, 1, "text")), writing);
    assert_eq!(differs(&of(&base, 0, 2, "text")), both);
    assert_eq!(differs(&of(&base, 0, 1, "another text")), both);
}

/// Text, model and written text of generation 0, of which each is compared between two seeds. Where sampling alone varies,
/// the models are equal. Where it is fixed, texts differ because the models that write them do.
#[test]
fn seeds_differ_in_what_varies_alone() {
    let transformer = FILE
        .replace("kind = \"ngram\", order = 2", "layers = 1, width = 16, heads = 1, context = 16")
        .replace("generations = 3", "generations = 1")
        .replace("synthesis = {", "training = { tokens = 2000, batch = 4 }\nsynthesis = {");
    let transformer = transformer.split("[[arm]]\nname = \"anchored\"").next().unwrap();
    let of = |vary: &str| {
        let file = transformer.replace("generations", &format!("{vary}\ngenerations"));
        let experiment = config::parse(&file, "vary.toml", &[]).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let prepared = lineage::prepare(&experiment).unwrap();
        run(&experiment, dir.path(), &prepared, &Silent, &AtomicBool::new(false)).unwrap();
        let recorded = store::read(dir.path()).unwrap();
        let seeds = [1, 2].map(|seed| {
            let lineage = recorded.lineages.iter().find(|lineage| lineage.seed == seed).unwrap();
            let folder = dir.path().join(format!("seed-{seed}/gen-000"));
            let file = |name: &str| std::fs::read(folder.join(name)).unwrap();
            (
                lineage.generations[0].mixture.hash.clone(),
                file("model/model.safetensors"),
                file("synthetic.parquet"),
            )
        });
        let notes = store::notes(dir.path(), &recorded).unwrap().join("\n");
        (seeds, notes)
    };
    let expected = [
        ("initialisation", [true, false, false], "the same data and sampling (vary)"),
        ("data", [false, false, false], "the same initialisation and sampling (vary)"),
        ("sampling", [true, true, false], "the same initialisation and data (vary)"),
    ];
    for (source, equal, note) in expected {
        let ([one, two], notes) = of(&format!("vary = [\"{source}\"]"));
        assert_eq!([one.0 == two.0, one.1 == two.1, one.2 == two.2], equal, "{source}");
        assert!(notes.contains(note), "{notes}");
    }
    let (unsaid, notes) = of("");
    assert!(unsaid == of("vary = [\"sampling\", \"data\", \"initialisation\"]").0);
    assert_eq!(notes, "");
}
