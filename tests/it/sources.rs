//! Arms that learn from the text of other arms.

use crate::folder::contents;
use crate::resume::assert_killed_run_equals_uninterrupted_run;
use crate::writers::{record, run};
use genloss::config::{self, Experiment};
use genloss::documents::Documents;
use genloss::progress::{Event, Recorder, Silent};
use genloss::store::{self, Address, Unit};
use genloss::units::Tokens;
use std::path::Path;
use std::time::Duration;

/// `one` and `two` read each other's text, `reader` that of the control and of `two`.
const FILE: &str = r#"
name = "sources"
seeds = [1]
generations = 3
corpus = { source = "world", train_tokens = 5000, heldout_tokens = 1000, reference_tokens = 8000 }
tokenizer = { vocab_size = 400 }
model = { kind = "ngram", order = 2 }
synthesis = { max_document_tokens = 200 }
[[arm]]
name = "one"
mixture = { natural_fraction = 0.2, synthetic_from = ["one", "two"] }
[[arm]]
name = "apart"
mixture = "replace"
[[arm]]
name = "two"
mixture = { natural_fraction = 0.0, synthetic_from = ["two", "one"] }
model = { kind = "ngram", order = 3 }
[[arm]]
name = "reader"
mixture = { natural_fraction = 0.5, synthetic_from = ["control", "two"] }
"#;

fn experiment() -> Experiment {
    config::parse(FILE, "sources.toml", &[]).unwrap()
}

fn refusal(change: &str) -> String {
    config::parse(FILE, "sources.toml", &[change.to_owned()]).unwrap_err().to_string()
}

fn corpus(root: &Path, arm: Option<&str>, generation: usize) -> Documents {
    store::read_corpus(root, Address { seed: 1, arm, generation }).unwrap().unwrap()
}

fn hash(documents: impl IntoIterator<Item = Vec<u32>>) -> String {
    let mut hasher = blake3::Hasher::new();
    for document in documents {
        hasher.update(&(document.len() as u64).to_le_bytes());
        for id in document {
            hasher.update(&id.to_le_bytes());
        }
    }
    hasher.finalize().to_hex().to_string()
}

#[test]
fn arms_that_learn_from_each_other_are_one_unit() {
    let experiment = experiment();
    let units: Vec<String> = Unit::all(&experiment).iter().map(ToString::to_string).collect();
    assert_eq!(units, ["seed-1", "seed-1/control+one+two+reader", "seed-1/apart"]);
    let together: Unit = units[1].parse().unwrap();
    let addresses: Vec<_> =
        together.addresses(&experiment).iter().map(|one| (one.generation, one.arm.unwrap())).collect();
    assert_eq!(addresses[..4], [(1, "control"), (1, "one"), (1, "two"), (1, "reader")]);
    assert_eq!(addresses[4], (2, "control"));
}

#[test]
fn text_of_other_arms_is_taken_in_equal_parts_and_in_turn() {
    let (experiment, root) = (experiment(), tempfile::tempdir().unwrap());
    let recorder = Recorder::default();
    run(&experiment, root.path(), &recorder);

    // The text of `two` at generation 2: half of each corpus of generation 1, and no natural text.
    let halves = [Some("one"), Some("two")].map(|arm| corpus(root.path(), arm, 1).prefix(Tokens(2500)));
    // The next document is from the half of which fewer tokens are taken.
    let mut expected: Vec<Vec<u32>> = Vec::new();
    let (mut tokens, mut documents) = ([0, 0], [0, 0]);
    while documents[0] < halves[0].len() || documents[1] < halves[1].len() {
        let first =
            documents[1] == halves[1].len() || documents[0] < halves[0].len() && tokens[0] <= tokens[1];
        let next = usize::from(!first);
        expected.push(halves[next].get(documents[next]).to_vec());
        tokens[next] += expected.last().unwrap().len();
        documents[next] += 1;
    }
    let mixture = record(root.path(), "two", 2).mixture;
    assert_eq!(mixture.hash, hash(expected));
    assert_eq!((mixture.natural_tokens, mixture.synthetic_tokens[&1]), (Tokens(0), Tokens(5000)));
    assert_eq!(mixture.synthetic_from, ["two", "one"]);

    // Arm two has a generation 0 of its own, because its model is another; control and one share theirs.
    let mixture = record(root.path(), "reader", 1).mixture;
    assert_eq!((mixture.natural_tokens, mixture.synthetic_tokens[&0]), (Tokens(2500), Tokens(2500)));
    // Its own text is learnt from by nobody, and is measured all the same.
    assert!(record(root.path(), "reader", 3).value("unigram_entropy").is_some());
    assert!(record(root.path(), "apart", 1).mixture.synthetic_from.is_empty());

    let started: Vec<String> = recorder
        .events()
        .into_iter()
        .filter_map(|event| match event {
            Event::LineageStarted { arm, generations, done, .. } => {
                Some(format!("{arm} {done}/{generations}"))
            }
            _ => None,
        })
        .collect();
    assert_eq!(started[1..], ["control 0/3", "one 0/3", "two 0/3", "reader 0/3", "apart 0/3"]);
}

/// Documents of up to 20 and of up to 200 tokens: half of natural text leaves each source a quarter.
#[test]
fn sources_with_documents_of_other_lengths_give_equal_parts() {
    let root = tempfile::tempdir().unwrap();
    let file = FILE.replace("name = \"two\"", "name = \"two\"\nsynthesis.max_document_tokens = 20");
    let file = file.replace("[\"control\", \"two\"]", "[\"apart\", \"two\"]");
    let experiment = config::parse(&file, "sources.toml", &[]).unwrap();
    run(&experiment, root.path(), &Silent);
    let sources = [Some("apart"), Some("two")].map(|arm| corpus(root.path(), arm, 1));
    let mixture = record(root.path(), "reader", 2).mixture;
    assert_eq!(mixture.synthetic_tokens[&1], Tokens(2500));
    let (mut tokens, mut documents) = ([0, 0], [0, 0]);
    while tokens[0] + tokens[1] < 2500 {
        let next = usize::from(tokens[1] < tokens[0]);
        let document = sources[next].get(documents[next]).len();
        tokens[next] += document.min(2500 - tokens[0] - tokens[1]);
        documents[next] += 1;
    }
    assert_eq!(mixture.synthetic_documents, documents[0] as u64 + documents[1] as u64);
    assert!(tokens[0].abs_diff(tokens[1]) <= 200, "{tokens:?}");
}

/// Whoever deletes damaged generations may delete several that one arm reads.
#[test]
fn several_missing_sources_are_made_again() {
    let root = tempfile::tempdir().unwrap();
    let experiment = experiment();
    run(&experiment, root.path(), &Silent);
    let before = contents(root.path());
    for missing in ["one/gen-001", "two/gen-001", "two/gen-000", "control/gen-002"] {
        std::fs::remove_dir_all(root.path().join("seed-1").join(missing)).unwrap();
    }
    run(&experiment, root.path(), &Silent);
    assert!(contents(root.path()) == before);
}

#[test]
fn a_killed_run_of_arms_that_learn_from_each_other_resumes_to_the_same_bits() {
    let file = FILE.replace("seeds = [1]", "seeds = [1, 2]");
    let kills = assert_killed_run_equals_uninterrupted_run("run", &file, Duration::from_millis(40), 1.25);
    assert!(kills >= 3, "only {kills} kills before the run finished");
}

#[test]
fn sources_that_cannot_be_read_are_refused() {
    let message = refusal("arm.one.mixture={natural_fraction=0, synthetic_from=[\"tow\"]}");
    assert!(message.contains("mixture.synthetic_from: \"tow\" is not an arm"), "{message}");
    let message = refusal("arm.one.mixture={natural_fraction=0, synthetic_from=[\"two\", \"two\"]}");
    assert!(message.contains("\"two\" is named twice"), "{message}");
    let repeated = "arm.one.mixture={natural_fraction=0.5, budget=\"repeated\", synthetic_from=[\"two\"]}";
    assert!(refusal(repeated).contains("has no effect with budget = \"repeated\""), "{}", refusal(repeated));
    let natural = "arm.one.mixture={natural_fraction=1, synthetic_from=[\"two\"]}";
    assert!(refusal(natural).contains("has no effect with natural_fraction = 1"), "{}", refusal(natural));
    let message = refusal("arm.control.mixture={natural_fraction=0.5, synthetic_from=[\"two\"]}");
    assert!(message.contains("control always trains on natural text only"), "{message}");
    let error = config::parse_mixture("{ natural_fraction = 0, synthetic_from = [\"a\"] }", "--mixture");
    assert!(error.unwrap_err().to_string().contains("no other arms here"));

    let many: String = (0..30)
        .map(|arm| {
            let (name, other) = (format!("arm-{arm}-{}", "x".repeat(20)), format!("arm-0-{}", "x".repeat(20)));
            format!("[[arm]]\nname = \"{name}\"\nmixture = {{ natural_fraction = 0, synthetic_from = [\"{other}\"] }}\n")
        })
        .collect();
    let message = config::parse(&(FILE.to_owned() + &many), "sources.toml", &[]).unwrap_err().to_string();
    assert!(message.contains("choose shorter names, or split the experiment"), "{message}");
}
