//! The effect of drift inside an experiment, compared with exact theory and with the loop itself.

use genloss::baseline::{Baseline, ReplicateMean};
use genloss::config::{self, Arm, CONTROL, Experiment};
use genloss::documents::Documents;
use genloss::drift::{
    DriftRow, DriftSettings, Frequencies, SampleSchedule, multinomial::multinomial, survival,
};
use genloss::measure::{Heldout, Inputs, Measurement, Metrics, Reference, measure};
use genloss::mixture::{self, DocumentPool};
use genloss::model::Scores;
use genloss::progress::Silent;
use genloss::seed::StreamKey;
use genloss::stage::Stage;
use rand_distr::{Distribution, weighted::WeightedIndex};
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

/// Counts of 20 000 draws from a Zipf distribution over 500 types, and the same as documents of ten tokens.
fn zipf() -> (Vec<u64>, Documents) {
    let natural = Frequencies::zipf(500, 1.0, 0.0).unwrap();
    let counts = multinomial(20_000, natural.probabilities(), &StreamKey::new(1, "", 0, "baseline test"));
    let mut tokens: Vec<u32> = (0..).zip(&counts).flat_map(|(id, &count)| vec![id; count as usize]).collect();
    // 7 919 and 20 000 have no common factor: every token comes once, far from others of its type.
    tokens = (0..tokens.len()).map(|index| tokens[index * 7919 % tokens.len()]).collect();
    (counts, tokens.chunks(10).collect())
}

fn baseline(experiment: &Experiment, documents: &Documents) -> Baseline {
    let texts = vec![String::new(); documents.len()];
    let reference = Reference::new(documents, &texts, &Documents::new(), &[]).unwrap();
    let heldout = Heldout { documents: &Documents::new(), texts: &[], byte_length: &|_| 0 };
    let never = AtomicBool::new(false);
    let stage = Stage::new(StreamKey::new(1, "", 0, "drift"), &Silent, &never);
    Baseline::simulate(experiment, &reference, heldout, &BTreeMap::new(), &stage).unwrap()
}

/// The text of generation g is one more draw from its model: it contains as many types as the text that generation g + 1
/// of the replace regime trains on, for which the number is known exactly. |z| < 4, fixed seed.
#[test]
fn the_text_of_a_generation_contains_as_many_types_as_survive_one_more_draw() {
    let (counts, documents) = zipf();
    let baseline = baseline(&experiment(REPLACE), &documents);
    let mixture = config::parse_mixture("replace", "mixture").unwrap();
    let plan = DriftSettings { samples: 5000, generations: 5, mixture, replicates: 1, seed: 1 };
    let exact = survival::surviving_types(
        &SampleSchedule::new(&plan).unwrap(),
        &Frequencies::from_counts(&counts).unwrap(),
    );
    let curve = baseline.curve("replace", "hill_0").unwrap();
    assert_eq!(curve.sampling, curve.decoding);
    for (generation, ReplicateMean { mean, std_err }) in curve.sampling.iter().enumerate() {
        let z = (mean - exact[generation + 1].unwrap().types) / std_err;
        assert!(z.abs() < 4.0, "generation {generation}: {mean} ± {std_err}, z = {z}");
    }
}

#[test]
fn an_arm_that_writes_by_beam_search_has_no_curves() {
    let arms =
        format!("{REPLACE}[[arm]]\nname = \"beam\"\nmixture = \"replace\"\nsynthesis = {{ beams = 2 }}\n");
    let baseline = baseline(&experiment(&arms), &zipf().1);
    assert!(baseline.curve("replace", "hill_0").is_some());
    assert_eq!(baseline.curve("beam", "hill_0"), None);
}

/// An external command decodes in its own way, and an oracle not at all; in a document that is edited, only some tokens
/// are decoded.
#[test]
fn only_an_arm_whose_decoder_draws_every_token_has_a_decoding_curve() {
    let arm = |name: &str, synthesis: &str| {
        format!("[[arm]]\nname = \"{name}\"\nmixture = \"replace\"\nsynthesis = {{ {synthesis} }}\n")
    };
    let arms = [
        arm("command", "method = \"external\", command = [\"cat\"]"),
        arm("oracle", "method = \"oracle\", error = 0.1"),
        arm("edited", "method = \"token-edit\", temperature = 0.3"),
        arm("edited-plainly", "method = \"token-edit\""),
    ];
    let baseline = baseline(&experiment(&arms.concat()), &zipf().1);
    for arm in ["command", "oracle"] {
        let curve = baseline.curve(arm, "hill_0").unwrap();
        assert_eq!(curve.sampling, curve.decoding);
    }
    assert!(baseline.curve("edited", "hill_0").is_none());
    assert!(baseline.curve("edited-plainly", "hill_0").is_some());
}

/// Natural text has a coverage of 1. The text of a model that counted a sample of it has less, because the sample lacks
/// some types; but in the control, no further generation adds to that.
#[test]
fn the_tail_coverage_of_the_control_does_not_change_from_generation_to_generation() {
    let (_, documents) = zipf();
    let baseline = baseline(&experiment(REPLACE), &documents);
    let curve = baseline.curve(CONTROL, "tail_coverage").unwrap();
    let first = curve.sampling[0];
    assert!(first.mean < 1.0);
    for later in &curve.sampling[1..] {
        assert!((later.mean - first.mean).abs() < 4.0 * later.std_err.hypot(first.std_err));
    }
}

/// The real loop of documents, mixtures and measurements, with models that know the token counts of their training text
/// without error. Means of 40 lineages agree with the baseline: |z| < 4, fixed seeds.
#[test]
fn lineages_of_models_without_errors_have_no_misfit() {
    let arms = "[[arm]]\nname = \"anchored\"\nmixture = { natural_fraction = 0.2, natural = \"fresh\" }\n\
                synthesis = { tokens = 6000 }\n\
                [[arm]]\nname = \"accumulate\"\nmixture = \"accumulate-subsample\"\n";
    let experiment = experiment(arms);
    let (counts, documents) = zipf();
    let natural = Frequencies::from_counts(&counts).unwrap();
    let baseline = baseline(&experiment, &documents);
    let texts = vec![String::new(); documents.len()];
    let reference = Reference::new(&documents, &texts, &Documents::new(), &[]).unwrap();
    for arm in &experiment.arms {
        let last: Vec<Vec<Measurement>> =
            (0..40).map(|seed| lineage(&experiment, arm, &natural, &reference, seed)).collect();
        for id in ["tail_mass", "hill_0", "hill_1", "hill_2"] {
            let of = |all: &Vec<Measurement>| all.iter().find(|one| one.metric == id).unwrap().value;
            let values: Vec<f64> = last.iter().map(of).collect();
            let observed = DriftRow::new(4, "observed", &values, None);
            let ReplicateMean { mean, std_err } = baseline.curve(&arm.name, id).unwrap().sampling[4];
            // The baseline knows the tail's mass exactly; a measurement estimates it from half of the reference.
            if id != "tail_mass" {
                let z = (observed.mean - mean) / observed.std_err.unwrap().hypot(std_err);
                assert!(z.abs() < 4.0, "{}, {id}: {} and {mean}, z = {z}", arm.name, observed.mean);
            } else {
                assert!((observed.mean - mean).abs() < 0.05, "{}: {} and {mean}", arm.name, observed.mean);
            }
        }
    }
}

/// The measurements of generation 4 if every model draws tokens at random from its training text.
fn lineage(
    experiment: &Experiment,
    arm: &Arm,
    natural: &Frequencies,
    reference: &Reference,
    seed: u64,
) -> Vec<Measurement> {
    let key = |generation, stage| StreamKey::new(seed, &arm.name, generation, stage);
    let pool = draws(40_000, natural.probabilities(), &key(0, "natural"));
    let budget = experiment.corpus.train_tokens;
    let mut corpora: Vec<Documents> = Vec::new();
    for generation in 0..=experiment.generations {
        let lengths = |documents: &Documents| documents.iter().map(<[u32]>::len).collect::<Vec<_>>();
        let synthetic: Vec<Vec<usize>> = corpora.iter().map(lengths).collect();
        let sources = DocumentPool { natural: &lengths(&pool), rereads: false, synthetic: &synthetic };
        let mut stream = key(generation, "mixture").stream(0);
        let written = arm.synthesis.tokens;
        let plan = mixture::plan(&arm.mixture, generation, budget, written, sources, &mut stream).unwrap();
        let mut counts = vec![0.0; natural.probabilities().len()];
        let natural_text = plan.natural.iter().map(|excerpt| &pool.get(excerpt.document)[..excerpt.tokens]);
        let written =
            plan.synthetic.iter().map(|(g, excerpt)| &corpora[*g].get(excerpt.document)[..excerpt.tokens]);
        for &id in natural_text.chain(written).flatten() {
            counts[id as usize] += 1.0;
        }
        corpora.push(draws(arm.synthesis.tokens.0, &counts, &key(generation, "synthesis")));
    }
    let synthetic = corpora[experiment.generations].prefix(experiment.measured_tokens);
    let inputs = Inputs {
        reference,
        synthetic: &synthetic,
        synthetic_texts: &vec![String::new(); synthetic.len()],
        heldout_scores: &Scores::default(),
        synthetic_scores_0: None,
        own_text_scores: None,
        natural_training: None,
        heldout_floor: None,
        facts: &[],
    };
    let never = AtomicBool::new(false);
    measure(&inputs, &Metrics::builtin(), &Stage::new(key(0, "measuring"), &Silent, &never))
        .unwrap()
        .measurements
}

/// Documents of ten tokens, drawn one by one in proportion to `weights`.
fn draws(tokens: u64, weights: &[f64], key: &StreamKey) -> Documents {
    let types = WeightedIndex::new(weights).unwrap();
    let drawn: Vec<u32> =
        types.sample_iter(key.stream(0)).take(tokens as usize).map(|id| id as u32).collect();
    drawn.chunks(10).collect()
}
