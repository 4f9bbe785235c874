//! What drift alone does inside an experiment, against exact theory and against the loop itself.

use candle_core::Device;
use genloss::attribution::attribute;
use genloss::baseline::{Baseline, Mean};
use genloss::config::{self, CONTROL, Experiment};
use genloss::documents::Documents;
use genloss::drift::{Frequencies, Loop, Regime, multinomial::multinomial, survival};
use genloss::lineage::{self, Surroundings};
use genloss::measure::{Heldout, Reference};
use genloss::progress::Silent;
use genloss::seed::Place;
use genloss::stage::Stage;
use genloss::store::{self, Provenance};
use genloss::verdict;
use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;

fn experiment(arms: &str) -> Experiment {
    let file = format!(
        "name = \"drifting\"\nseeds = [1, 2, 3]\ngenerations = 4\n\
         corpus = {{ source = \"world\", train_tokens = 5000, heldout_tokens = 1000, reference_tokens = 20000 }}\n\
         tokenizer = {{ vocab_size = 400 }}\nmodel = {{ kind = \"ngram\", order = 1 }}\n{arms}"
    );
    config::parse(&file, "drifting.toml", &[]).unwrap()
}

const REPLACE: &str = "[[arm]]\nname = \"replace\"\nmixture = \"replace\"\n";

/// Counts of 20 000 draws by Zipf's law over 500 types, and the same as documents of ten tokens.
fn zipf() -> (Vec<u64>, Documents) {
    let natural = Frequencies::zipf(500, 1.0, 0.0).unwrap();
    let counts = multinomial(20_000, natural.probabilities(), &Place::new(1, "", 0, "baseline test"));
    let mut tokens: Vec<u32> = (0..).zip(&counts).flat_map(|(id, &count)| vec![id; count as usize]).collect();
    // 7 919 and 20 000 have no common factor: every token comes once, far from its like.
    tokens = (0..tokens.len()).map(|place| tokens[place * 7919 % tokens.len()]).collect();
    (counts, tokens.chunks(10).collect())
}

fn baseline(experiment: &Experiment, documents: &Documents) -> Baseline {
    let texts = vec![String::new(); documents.len()];
    let reference = Reference::new(documents, &texts, &Documents::new(), &[]).unwrap();
    let heldout = Heldout { documents: &Documents::new(), texts: &[], byte_length: &|_| 0 };
    let never = AtomicBool::new(false);
    let stage = Stage::new(Place::new(1, "", 0, "drift"), &Silent, &never);
    Baseline::simulate(experiment, &reference, heldout, &BTreeMap::new(), &stage).unwrap()
}

/// The text of generation g is one more draw from its model: as many types live in it as in what generation g + 1 of
/// the replace regime trains on, where their number is known exactly. |z| < 4, fixed seed.
#[test]
fn types_in_the_texts_of_replace_are_as_many_as_survive_one_more_draw() {
    let (counts, documents) = zipf();
    let baseline = baseline(&experiment(REPLACE), &documents);
    let mixture = config::parse_mixture("replace", "mixture").unwrap();
    let plan = Loop { samples: 5000, generations: 5, mixture, replicates: 1, seed: 1 };
    let exact = survival::alive(&Regime::new(&plan).unwrap(), &Frequencies::from_counts(&counts).unwrap());
    let curve = baseline.curve("replace", "hill_0").unwrap();
    assert_eq!(curve.sampling, curve.decoding);
    for (generation, Mean { mean, std_err }) in curve.sampling.iter().enumerate() {
        let z = (mean - exact[generation + 1].unwrap().types) / std_err;
        assert!(z.abs() < 4.0, "generation {generation}: {mean} ± {std_err}, z = {z}");
    }
}

/// Natural text has a coverage of 1; what a model wrote that has counted it once has less, for the model missed some.
#[test]
fn a_control_stays_where_it_is() {
    let (_, documents) = zipf();
    let baseline = baseline(&experiment(REPLACE), &documents);
    let curve = baseline.curve(CONTROL, "tail_coverage").unwrap();
    let first = curve.sampling[0];
    assert!(first.mean < 1.0);
    for later in &curve.sampling[1..] {
        assert!((later.mean - first.mean).abs() < 4.0 * later.std_err.hypot(first.std_err));
    }
}

/// Models of order 1 count tokens, as the baseline's do, but give every token of the vocabulary a little: so the misfit
/// of their token types is small beside what sampling does.
#[test]
fn a_model_that_counts_types_has_hardly_any_misfit() {
    let (experiment, dir) = (experiment(REPLACE), tempfile::tempdir().unwrap());
    let prepared = lineage::prepare(&experiment).unwrap();
    let surroundings = Surroundings {
        device: &Device::Cpu,
        observer: &Silent,
        interrupt: &AtomicBool::new(false),
        provenance: Provenance::default(),
    };
    let root = dir.path().join("run");
    lineage::run(&experiment, &prepared, &root, &surroundings).unwrap();
    let recorded = store::read(&root).unwrap();
    let compared = verdict::compare("drifting", &recorded.observations(), CONTROL);
    let parts = attribute(&compared[0], recorded.baseline.as_ref().unwrap());
    for part in parts.iter().filter(|part| part.generation == 4 && !part.metric.ends_with("_words")) {
        println!("{part:?}");
    }
}
