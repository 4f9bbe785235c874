//! Corpora by a writer who masters the built-in language. What it draws is tested in `src/corpus/world/telling/tests.rs`.

use super::{Fake, NEVER, stage};
use crate::folder;
use candle_core::Device;
use genloss::config::{self, Experiment};
use genloss::corpus::{WorldSettings, world::World};
use genloss::documents::{Documents, TokenId};
use genloss::lineage::{self, RunContext};
use genloss::measure::Metrics;
use genloss::model::LanguageModel;
use genloss::progress::{Event, Observer, Silent};
use genloss::store::{self, Provenance};
use genloss::synthesis::{Knowledge, Oracle, OracleKind, Reading, Sources, SynthesisSettings};
use genloss::synthesis::{check, write_corpus};
use genloss::tokenizer::Tokenizer;
use genloss::units::Tokens;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

const PERFECT: Oracle =
    Oracle { oracle: OracleKind::Rephrase, knowledge: Knowledge::All, error: 0.0, reads: None };

fn textbook(knowledge: Knowledge) -> Oracle {
    Oracle { oracle: OracleKind::Textbook, knowledge, ..PERFECT }
}

/// A world, a tokenizer of its text, and 30 of its documents.
fn natural() -> (World, Tokenizer, Documents) {
    let world = World::new(&WorldSettings { nouns: 50, entities: 40, ..WorldSettings::default() });
    let texts: Vec<String> = (0..30).map(|index| world.document(index)).collect();
    let tokenizer = Tokenizer::learn(&texts, 400).unwrap();
    let documents = tokenizer.encode_documents(&texts).unwrap();
    (world, tokenizer, documents)
}

/// Settings that cut documents at 64 tokens.
fn settings(tokens: u64, oracle: Oracle) -> SynthesisSettings {
    SynthesisSettings {
        method: oracle.into(),
        max_document_tokens: 64,
        ..SynthesisSettings::textbook(Tokens(tokens))
    }
}

/// A model that must not be asked.
fn idle() -> impl LanguageModel {
    Fake(|_, _: &[TokenId]| -> Vec<TokenId> { panic!("the model draws no token") })
}

/// The facts that a document states, sorted.
fn facts(world: &World, tokenizer: &Tokenizer, document: &[TokenId]) -> Vec<usize> {
    let text = tokenizer.decode(document);
    let mut facts: Vec<usize> = world.statements(&text).iter().flatten().map(|one| one.fact).collect();
    facts.sort_unstable();
    facts
}

#[test]
fn each_natural_document_is_rephrased_once_before_any_is_again_and_whole() {
    let (world, tokenizer, natural) = natural();
    let sources = Sources { natural: &natural, previous: None, tokenizer: &tokenizer, world: Some(&world) };
    let tokens = 3 * natural.tokens().0;
    let (written, record) =
        write_corpus(&idle(), &settings(tokens, PERFECT), sources, &idle(), &stage()).unwrap();
    assert_eq!((written.tokens(), record.method.as_str()), (Tokens(tokens), "oracle"));
    assert_eq!(record.prompts, "oracle, rephrase, train split, knowledge all, error 0");
    assert_eq!(record.decoding, "none: the model draws no token");
    assert_eq!((record.kept_share, record.cut), (None, 0));
    let of = |document: &[TokenId]| facts(&world, &tokenizer, document);
    let mut expected: Vec<Vec<usize>> = natural.iter().map(of).collect();
    expected.sort_unstable();
    let documents: Vec<&[TokenId]> = written.iter().collect();
    for epoch in documents.chunks_exact(natural.len()).take(2) {
        let mut found: Vec<Vec<usize>> = epoch.iter().map(|document| of(document)).collect();
        found.sort_unstable();
        assert_eq!(found, expected);
    }
    assert!(documents.iter().any(|document| document.len() > 64), "long ones are not cut");
    let texts: BTreeSet<&&[TokenId]> = documents.iter().collect();
    assert!(texts.len() > documents.len() * 9 / 10, "each rephrasing is another one");
    let (shorter, _) = write_corpus(&idle(), &settings(500, PERFECT), sources, &idle(), &stage()).unwrap();
    assert_eq!(shorter, written.prefix(Tokens(500)));
}

#[test]
fn the_last_corpus_is_rephrased_where_it_is_read() {
    let (world, tokenizer, natural) = natural();
    let previous = tokenizer.encode_documents(&[world.document(1000), world.document(1001)]).unwrap();
    let sources =
        Sources { natural: &natural, previous: Some(&previous), tokenizer: &tokenizer, world: Some(&world) };
    let reading = Oracle { reads: Some(Reading::Previous), ..PERFECT };
    let of = |document: &[TokenId]| facts(&world, &tokenizer, document);
    let write = |oracle: &Oracle, sources| {
        let settings = settings(previous.tokens().0 / 2, oracle.clone());
        let (documents, record) = write_corpus(&idle(), &settings, sources, &idle(), &stage()).unwrap();
        (of(documents.get(0)), record.prompts)
    };
    let is_of = |documents: &Documents, facts: &Vec<usize>| documents.iter().any(|one| of(one) == *facts);
    let (facts, prompts) = write(&reading, sources);
    assert!(is_of(&previous, &facts));
    assert_eq!(prompts, "oracle, rephrase, last synthetic corpus, knowledge all, error 0");
    for (oracle, sources) in [(&PERFECT, sources), (&reading, Sources { previous: None, ..sources })] {
        let (facts, prompts) = write(oracle, sources);
        assert!(is_of(&natural, &facts));
        assert_eq!(prompts, "oracle, rephrase, train split, knowledge all, error 0");
    }
}

#[test]
fn textbook_states_known_facts_only_and_is_cut() {
    let (world, tokenizer, natural) = natural();
    let few: Documents = natural.iter().take(5).collect();
    let sources = Sources { natural: &few, previous: None, tokenizer: &tokenizer, world: Some(&world) };
    let in_few: BTreeSet<usize> =
        few.iter().flat_map(|document| facts(&world, &tokenizer, document)).collect();
    let of_popular = |share| {
        let known = world.most_popular(share).into_iter().enumerate();
        known.filter(|(_, is_known)| *is_known).map(|(fact, _)| fact).collect::<BTreeSet<_>>()
    };
    for (knowledge, name, known) in [
        (Knowledge::Train, "train", in_few),
        (Knowledge::Popular, "popular", of_popular(0.9)),
        (Knowledge::Share(0.3), "0.3", of_popular(0.3)),
    ] {
        let settings = settings(20_000, textbook(knowledge));
        let (written, record) = write_corpus(&idle(), &settings, sources, &idle(), &stage()).unwrap();
        let stated: BTreeSet<usize> =
            written.iter().flat_map(|document| facts(&world, &tokenizer, document)).collect();
        assert!(stated.is_subset(&known), "{name}");
        assert!(stated.len() > known.len() / 2, "{name}: {} of {}", stated.len(), known.len());
        assert_eq!(written.iter().map(<[TokenId]>::len).max(), Some(64));
        assert!(record.cut > 0);
        assert_eq!(record.prompts, format!("oracle, textbook, knowledge {name}, error 0"));
    }
}

#[test]
fn an_oracle_without_anything_to_write_about_is_refused_before_the_run() {
    let (world, tokenizer, _) = natural();
    let factless = tokenizer.encode_documents(&["This goes. It rains.".to_owned()]).unwrap();
    let sources = Sources { natural: &factless, previous: None, tokenizer: &tokenizer, world: Some(&world) };
    let refused = |oracle: Oracle, sources| {
        let settings = settings(100, oracle);
        let message = check(&settings, sources).unwrap_err().to_string();
        let later = write_corpus(&idle(), &settings, sources, &idle(), &stage()).unwrap_err().to_string();
        assert_eq!(message, later);
        message
    };
    let message = refused(Oracle { knowledge: Knowledge::Train, ..PERFECT }, sources);
    assert!(message.starts_with("none of 1 natural documents states a fact"), "{message}");
    let message = refused(PERFECT, Sources { world: None, ..sources });
    assert!(message.ends_with("set corpus.source = \"world\""), "{message}");
    // Of one entity, every relation has one value.
    let lonely = World::new(&WorldSettings { entities: 1, ..WorldSettings::default() });
    let message = refused(Oracle { error: 0.1, ..PERFECT }, Sources { world: Some(&lonely), ..sources });
    assert!(message.starts_with("all entities of the built-in world have the same river"), "{message}");
    check(&settings(100, PERFECT), Sources { world: Some(&lonely), ..sources }).unwrap();
}

const FILE: &str = r#"
name = "oracle"
seeds = [1]
generations = 2
corpus = { source = "world", train_tokens = 3000, heldout_tokens = 500, reference_tokens = 2000 }
tokenizer = { vocab_size = 400 }
model = { kind = "ngram", order = 2 }
synthesis = { method = "oracle", max_document_tokens = 200 }
[writer]
synthesis = { knowledge = "popular" }
[[arm]]
name = "rephrase"
mixture = "replace"
[[arm]]
name = "again"
mixture = "replace"
synthesis = { reads = "previous", error = 0.25 }
[[arm]]
name = "textbook"
mixture = "accumulate"
synthesis = { oracle = "textbook", knowledge = 0.5, error = 0.1 }
[[arm]]
name = "selected"
mixture = "replace"
synthesis = { selection = { best_of = 2, near_duplicates = 0.8 } }
"#;

fn run_into(root: &Path, experiment: &Experiment, observer: &dyn Observer, interrupt: &AtomicBool) -> bool {
    let context = RunContext {
        device: &Device::Cpu,
        observer,
        interrupt,
        metrics: &Metrics::builtin(),
        provenance: Provenance::default(),
    };
    lineage::run(experiment, &lineage::prepare(experiment).unwrap(), root, &context).is_ok()
}

/// Interrupts the run whenever a generation is committed.
struct StopAtEach<'a>(&'a AtomicBool, AtomicUsize);

impl Observer for StopAtEach<'_> {
    fn observe(&self, event: &Event) {
        if matches!(event, Event::GenerationCommitted { .. }) {
            self.1.fetch_add(1, Ordering::Relaxed);
            self.0.store(true, Ordering::Relaxed);
        }
    }
}

#[test]
fn a_run_with_each_kind_of_oracle_resumes_to_the_same_bits_and_records_who_wrote() {
    let dir = tempfile::tempdir().unwrap();
    let (whole, broken) = (dir.path().join("whole"), dir.path().join("broken"));
    let experiment = config::parse(FILE, "oracle.toml", &[]).unwrap();
    assert!(run_into(&whole, &experiment, &Silent, &NEVER));
    let interrupt = AtomicBool::new(false);
    let observer = StopAtEach(&interrupt, AtomicUsize::new(0));
    let mut attempts = 1;
    while !run_into(&broken, &experiment, &observer, &interrupt) {
        interrupt.store(false, Ordering::Relaxed);
        attempts += 1;
        assert!(attempts < 50);
    }
    assert!(attempts > 5, "{attempts}");
    assert!(folder::contents(&whole) == folder::contents(&broken));

    let record = store::read(&whole).unwrap();
    let prompts: BTreeMap<(&str, usize), &str> = record
        .lineages
        .iter()
        .flat_map(|lineage| {
            let of = |generation: usize| lineage.generations[generation].synthesis.prompts.as_str();
            (0..3).map(move |generation| ((lineage.arm.as_str(), generation), of(generation)))
        })
        .collect();
    for arm in ["rephrase", "again", "textbook"] {
        assert_eq!(prompts[&(arm, 0)], "oracle, rephrase, train split, knowledge popular, error 0", "{arm}");
    }
    assert_eq!(prompts[&("rephrase", 2)], "oracle, rephrase, train split, knowledge all, error 0");
    assert_eq!(prompts[&("again", 2)], "oracle, rephrase, last synthetic corpus, knowledge all, error 0.25");
    assert_eq!(prompts[&("textbook", 1)], "oracle, textbook, knowledge 0.5, error 0.1");
    let selected = record.lineages.iter().find(|lineage| lineage.arm == "selected").unwrap();
    assert!(selected.generations[1].synthesis.selection.is_some());
    // A run whose resolved file is read again is the same experiment.
    let resolved = config::parse(&experiment.to_toml(), "resolved.toml", &[]).unwrap();
    assert_eq!(resolved, experiment);
}

#[test]
fn check_shows_the_settings_of_an_oracle() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("oracle.toml");
    fs::write(&file, FILE).unwrap();
    let check = assert_cmd::Command::new(env!("CARGO_BIN_EXE_genloss"))
        .args(["check", file.to_str().unwrap(), "--resolved"])
        .assert()
        .success();
    let shown = String::from_utf8(check.get_output().stdout.clone()).unwrap();
    for setting in [
        "method = \"oracle\"",
        "oracle = \"textbook\"",
        "knowledge = \"popular\"",
        "error = 0.25",
        "reads = \"previous\"",
    ] {
        assert!(shown.contains(setting), "{setting}: {shown}");
    }
}
