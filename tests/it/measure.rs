//! Metrics: values known in closed form, the direction of every metric on narrowing and widening text, realistic standard
//! errors, and finite numbers for degenerate text.

mod custom;
mod narrowing;
mod robustness;

use genloss::decoding::{DecodingStrategy, SamplingSettings};
use genloss::documents::{Documents, TokenId};
use genloss::measure::{
    Catalogue, Curves, Direction, Fact, FactAnswer, Family, FourGrams, Inputs, MeasureError, Measurement,
    MetricDefinition, Metrics, Reference, measure, own_text_sample, recall,
};
use genloss::model::{GenerateRequest, LanguageModel, ModelError, Redrawn, Scores};
use genloss::progress::Silent;
use genloss::rarity::Rarity;
use genloss::seed::{Stream, StreamKey};
use genloss::stage::Stage;
use genloss::units::{NatsPerToken, Tokens};
use rand::Rng;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::AtomicBool;

/// Ends every document of these tests.
const END: TokenId = 0;

/// Runs `work` in a stage without an observer.
fn staged<T>(work: impl FnOnce(&Stage) -> T) -> T {
    let interrupt = AtomicBool::new(false);
    work(&Stage::new(StreamKey::new(1, "test", 0, "measure"), &Silent, &interrupt))
}

fn stream(item: u64) -> Stream {
    StreamKey::new(7, "test", 0, "measure test").stream(item)
}

/// Decoded documents: token 17 is "w17 ", the end token is empty.
fn texts_of(documents: &Documents) -> Vec<String> {
    let word = |&id: &TokenId| if id == END { String::new() } else { format!("w{id} ") };
    documents.iter().map(|document| document.iter().map(word).collect()).collect()
}

/// A source of documents: tokens 1..=K by a Zipf law, some of them copies of earlier ones in the same document.
struct Source {
    cumulative: Vec<f64>,
    copying: f64,
}

impl Source {
    /// `types` types with p(r) ∝ r^(−1/temperature).
    fn zipf(types: usize, temperature: f64) -> Self {
        Self::weighted(&(1..=types).map(|rank| (rank as f64).powf(-1.0 / temperature)).collect::<Vec<_>>())
    }

    fn weighted(weights: &[f64]) -> Self {
        let total: f64 = weights.iter().sum();
        let mut sum = 0.0;
        let cumulative = weights.iter().map(|weight| {
            sum += weight / total;
            sum
        });
        Self { cumulative: cumulative.collect(), copying: 0.0 }
    }

    fn copying(self, copying: f64) -> Self {
        Self { copying, ..self }
    }

    /// Documents of 5 to 60 tokens, `tokens` in all.
    fn write(&self, tokens: usize, random: &mut Stream) -> Documents {
        let mut documents = Documents::new();
        let mut left = tokens;
        while left > 0 {
            let length = random.random_range(5..60).min(left);
            let mut document: Vec<TokenId> = Vec::with_capacity(length);
            while document.len() + 1 < length {
                if !document.is_empty() && random.random_bool(self.copying) {
                    document.push(document[random.random_range(0..document.len())]);
                } else {
                    let draw: f64 = random.random();
                    let rank = self.cumulative.partition_point(|&mass| mass < draw);
                    document.push(rank.min(self.cumulative.len() - 1) as TokenId + 1);
                }
            }
            document.push(END);
            left -= document.len();
            documents.push(&document);
        }
        documents
    }
}

/// Measurements by id.
struct Measured {
    measurements: Vec<Measurement>,
    missing: BTreeMap<String, String>,
    curves: Curves,
}

impl Measured {
    fn get(&self, id: &str) -> Option<&Measurement> {
        self.measurements.iter().find(|measurement| measurement.metric == id)
    }

    #[track_caller]
    fn value(&self, id: &str) -> f64 {
        self.get(id).unwrap_or_else(|| panic!("{id} was not measured")).value
    }
}

/// Natural text, and a model that gives every held-out token the probability 1/4 and whose predictions have an entropy of
/// ln 2 nats.
struct World {
    reference: Reference,
    scores: Scores,
    training: FourGrams,
}

impl World {
    fn new(natural: &Documents, heldout: &Documents) -> Self {
        let reference =
            Reference::new(natural, &texts_of(natural), heldout, &texts_of(heldout)).expect("sizes agree");
        let tokens = heldout.flat().len();
        let scores = Scores {
            log_probabilities: vec![0.25_f32.ln(); tokens],
            entropies: vec![2.0_f32.ln(); tokens],
            disagreements: vec![0.1; tokens],
        };
        Self { reference, scores, training: FourGrams::new(natural) }
    }

    fn measure(&self, synthetic: &Documents) -> Measured {
        self.measure_texts(synthetic, &texts_of(synthetic))
    }

    fn measure_texts(&self, synthetic: &Documents, texts: &[String]) -> Measured {
        let under_0 = Scores {
            log_probabilities: vec![-1.5; synthetic.flat().len()],
            entropies: vec![1.0; synthetic.flat().len()],
            ..Scores::default()
        };
        let scored = own_text_sample(synthetic, Tokens(4_000)).flat().len();
        let own_text = Scores {
            log_probabilities: vec![-1.2; scored],
            entropies: vec![1.0; scored],
            ..Scores::default()
        };
        let facts: Vec<FactAnswer> =
            (0..40).map(|i| FactAnswer { popularity: Rarity::ALL[i % 3], recalled: i % 2 == 0 }).collect();
        let inputs = Inputs {
            reference: &self.reference,
            synthetic,
            synthetic_texts: texts,
            heldout_scores: &self.scores,
            synthetic_scores_0: Some(&under_0),
            own_text_scores: Some(&own_text),
            natural_training: Some(&self.training),
            heldout_floor: Some(NatsPerToken(1.0)),
            facts: &facts,
        };
        let genloss::measure::Measured { measurements, missing, curves } =
            staged(|stage| measure(&inputs, &Metrics::builtin(), stage)).expect("inputs fit together");
        Measured { measurements, missing, curves }
    }
}

/// A world whose natural text comes from `source`: 40 000 tokens of reference, 4 000 held out.
fn world_of(source: &Source, item: u64) -> World {
    let random = &mut stream(item);
    World::new(&source.write(40_000, random), &source.write(4_000, random))
}

#[test]
fn every_metric_of_the_catalogue_is_measured_in_its_order() {
    let source = Source::zipf(2000, 1.0);
    let measured = world_of(&source, 1).measure(&source.write(20_000, &mut stream(2)));
    let ids: Vec<&str> = measured.measurements.iter().map(|m| m.metric.as_str()).collect();
    let catalogue = Catalogue::builtin();
    let expected: Vec<&str> = catalogue.iter().map(|metric| &*metric.id).collect();
    assert_eq!(ids, expected);
    for measurement in &measured.measurements {
        assert_eq!(measurement.unit, definition(&measurement.metric).unit);
        assert!(measurement.n > 0, "{measurement:?}");
    }
    assert!(measured.curves.survival.len() >= 5);
    assert!(measured.curves.rank_frequency_words.len() > 30);
}

/// A uniform source over K = 500 words and an end token with probability e: H = (1−e) ln K − e ln e − (1−e) ln(1−e).
/// Words alone are uniform: H = ln 500, all Hill numbers 500, exponent 0. Tolerance: 4 standard errors plus the
/// stated bias (the exponent, whose ranks come from the same counts, is a little above 0).
#[test]
fn a_uniform_source_has_the_entropy_and_the_hill_numbers_of_a_uniform_distribution() {
    let source = Source::weighted(&[1.0; 500]);
    let random = &mut stream(3);
    // About 15 000 words are counted.
    let world = World::new(&source.write(30_000, random), &source.write(2_000, random));
    let measured = world.measure(&source.write(20_000, random));
    let entropy = measured.get("unigram_entropy_words").expect("measured");
    assert!((entropy.value - 500_f64.ln()).abs() < 4.0 * entropy.std_err + 1e-3, "{entropy:?}");
    let hill_2 = measured.get("hill_2_words").expect("measured");
    assert!((hill_2.value - 500.0).abs() < 4.0 * hill_2.std_err, "{hill_2:?}");
    assert!((measured.value("hill_0_words") - 500.0).abs() < 1e-9);
    assert!((measured.value("hill_1_words") - entropy.value.exp()).abs() < 1e-9);
    assert!(measured.value("zipf_exponent_words") < 0.2);
}

/// Few tokens of many types: the plug-in entropy of 3000 tokens from a uniform source over 2000 types is too small by
/// (K − 1)/2n = 0.33 nats to first order; the error of the corrected one is at most a tenth of that, on average.
#[test]
fn the_corrected_entropy_is_nearly_unbiased_where_the_plug_in_is_not() {
    let source = Source::weighted(&[1.0; 2000]);
    let random = &mut stream(4);
    let world = World::new(&source.write(3_000, random), &source.write(200, random));
    let (mut corrected, mut plug_in) = (0.0, 0.0);
    let repeats = 20;
    for _ in 0..repeats {
        // Three quarters of the words of 4200 tokens are about 3000.
        let text = source.write(4_200, random);
        corrected += world.measure(&text).value("unigram_entropy_words") / f64::from(repeats);
        let words: Vec<TokenId> = text.flat().iter().copied().filter(|&id| id != END).take(3000).collect();
        let mut counts = vec![0.0_f64; 2001];
        words.iter().for_each(|&id| counts[id as usize] += 1.0);
        let p = counts.iter().map(|count| count / 3000.0).filter(|&p| p > 0.0);
        plug_in -= p.map(|p| p * p.ln()).sum::<f64>() / f64::from(repeats);
    }
    let truth = 2000_f64.ln();
    assert!(truth - plug_in > 0.25, "plug-in {plug_in}, truth {truth}");
    assert!((corrected - truth).abs() < 0.03, "corrected {corrected}, truth {truth}");
}

/// p(r) ∝ r^(−1.1) over 300 types, nearly all of which occur.
#[test]
fn the_zipf_exponent_of_zipfian_text_is_recovered() {
    let source = Source::zipf(300, 1.0 / 1.1);
    let random = &mut stream(5);
    let world = World::new(&source.write(60_000, random), &source.write(2_000, random));
    let exponent = world.measure(&source.write(60_000, random));
    let exponent = exponent.value("zipf_exponent_words");
    assert!((exponent - 1.1).abs() < 0.03, "{exponent}");
}

/// The expected coverage of natural text is 1, over fresh references and texts, at sizes below, at and above that of the
/// half of the reference (20 000) that expectations come from; so is the ratio of the types found in the survival bins to
/// those expected. 24 repeats; tolerance 4 standard errors of their mean.
#[test]
fn natural_text_of_any_size_covers_the_tail_as_expected() {
    let source = Source::zipf(3000, 1.0).copying(0.2);
    for tokens in [5_000, 20_000, 40_000] {
        let (mut coverage, mut survival, mut words) = (Vec::new(), Vec::new(), Vec::new());
        for repeat in 0..24 {
            let world = world_of(&source, 100 + repeat);
            let measured = world.measure(&source.write(tokens, &mut stream(200 + repeat)));
            coverage.push(measured.value("tail_coverage"));
            words.push(measured.value("tail_coverage_words"));
            let bins = &measured.curves.survival;
            let found: u64 = bins.iter().map(|bin| bin.found).sum();
            survival.push(found as f64 / bins.iter().map(|bin| bin.expected).sum::<f64>());
        }
        for (name, values) in [("coverage", coverage), ("survival", survival), ("words", words)] {
            let (mean, sd) = mean_and_spread(&values);
            assert!((mean - 1.0).abs() < 4.0 * sd / 24_f64.sqrt(), "{name}, {tokens}: {mean} (sd {sd})");
        }
    }
}

/// Mean and standard deviation.
fn mean_and_spread(values: &[f64]) -> (f64, f64) {
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    (mean, (squares / (count - 1.0)).sqrt())
}

/// By hand: documents `1 2 3 4 1 2 3 4` and `1 1 1 1`. 12 tokens of 4 types; 10 bigrams of 5 types (12 23 34 41 11);
/// 8 trigrams of 5 (123 234 341 412 111); 6 four-grams of 5 (1234 2341 3412 4123 1111), one of them repeated.
#[test]
fn shares_of_distinct_and_repeated_n_grams_equal_those_counted_by_hand() {
    let natural: Documents = [&[1, 2, 3, 4, 5][..], &[3, 4, 1, 2, 9]].into_iter().collect();
    let synthetic: Documents = [&[1, 2, 3, 4, 1, 2, 3, 4][..], &[1, 1, 1, 1]].into_iter().collect();
    let measured = World::new(&natural, &natural).measure(&synthetic);
    for (id, by_hand) in [
        ("distinct_1", 4.0 / 12.0),
        ("distinct_2", 5.0 / 10.0),
        ("distinct_3", 5.0 / 8.0),
        ("distinct_4", 5.0 / 6.0),
        ("repetition", 1.0 / 6.0),
        // The training text has 1234, 2345, 3412, 4129: 2341, 4123 and 1111 are new, three of six.
        ("novelty_4", 3.0 / 6.0),
        ("loss_under_generation_0", 1.5),
        ("hill_0", 4.0),
        // Counts 6, 2, 2, 2: 12·11 / (30 + 2 + 2 + 2).
        ("hill_2", 132.0 / 36.0),
        // Natural 1: 2, 2: 2, 3: 2, 4: 2, 5: 1, 9: 1 of 10; synthetic 6, 2, 2, 2, 0, 0 of 12:
        // ½(.3 + 3/30 + .1 + .1).
        ("tv_unigram", 0.3),
    ] {
        assert!((measured.value(id) - by_hand).abs() < 1e-12, "{id}: {} ≠ {by_hand}", measured.value(id));
    }
}

/// Every held-out token has probability 1/4: ln 4 nats, or 2 bits, each; bytes are those of the held-out texts.
#[test]
fn held_out_losses_are_means_over_tokens_and_bytes() {
    let source = Source::zipf(300, 1.0);
    let random = &mut stream(6);
    let (natural, heldout) = (source.write(9_000, random), source.write(3_000, random));
    let measured = World::new(&natural, &heldout).measure(&natural);
    let loss = 4_f64.ln();
    for id in ["heldout_loss", "heldout_loss_head", "heldout_loss_torso", "heldout_loss_tail"] {
        assert!((measured.value(id) - loss).abs() < 1e-6, "{id}");
    }
    assert!((measured.value("excess_loss") - (loss - 1.0)).abs() < 1e-6);
    assert!((measured.value("predictive_entropy") - 2_f64.ln()).abs() < 1e-6);
    let bytes: usize = texts_of(&heldout).iter().map(String::len).sum();
    let bits = 2.0 * 3_000.0 / bytes as f64;
    assert!((measured.value("bits_per_byte") - bits).abs() < 1e-6);
    let classes = ["heldout_loss_head", "heldout_loss_torso", "heldout_loss_tail"];
    let tokens: u64 = classes.iter().filter_map(|id| measured.get(id)).map(|m| m.n).sum();
    assert_eq!(tokens, 3_000);
}

/// A sharper model (temperature ½) predicts natural text worse, tail first, and is more confident.
#[test]
fn a_sharpened_model_has_a_higher_held_out_loss_above_all_in_the_tail() {
    let types = 300;
    let source = Source::zipf(types, 1.0);
    let random = &mut stream(8);
    let (natural, heldout) = (source.write(20_000, random), source.write(5_000, random));
    let of_model = |temperature: f64| {
        let weights: Vec<f64> = (1..=types).map(|rank| (rank as f64).powf(-1.0 / temperature)).collect();
        let total: f64 = weights.iter().sum();
        let entropy: f64 = weights.iter().map(|w| -w / total * (w / total).ln()).sum();
        let log_p = |&id: &TokenId| if id == END { -3.0 } else { (weights[id as usize - 1] / total).ln() };
        let mut world = World::new(&natural, &heldout);
        world.scores.log_probabilities = heldout.flat().iter().map(|id| log_p(id) as f32).collect();
        world.scores.entropies = vec![entropy as f32; heldout.flat().len()];
        world.measure(&natural)
    };
    let (exact, sharp) = (of_model(1.0), of_model(0.5));
    for id in ["heldout_loss", "heldout_loss_tail", "bits_per_byte", "excess_loss"] {
        assert!(sharp.value(id) > exact.value(id) + 0.1, "{id}");
    }
    let tail = sharp.value("heldout_loss_tail") - exact.value("heldout_loss_tail");
    assert!(tail > sharp.value("heldout_loss") - exact.value("heldout_loss"));
    assert!(sharp.value("predictive_entropy") < exact.value("predictive_entropy") - 0.1);
}

/// The definition of a built-in metric.
fn definition(id: &str) -> MetricDefinition {
    Catalogue::builtin().get(id).unwrap_or_else(|| panic!("{id} is not in the catalogue")).clone()
}

/// The metrics that depend on the synthetic text alone.
fn text_metrics() -> impl Iterator<Item = String> {
    let of_text =
        |family| matches!(family, Family::Tail | Family::Entropy | Family::Divergence | Family::Form);
    let elsewhere = ["predictive_entropy", "loss_under_generation_0", "loss_on_own_text", "novelty_4"];
    let ids: Vec<String> = Catalogue::builtin()
        .iter()
        .filter(|metric| of_text(metric.family))
        .map(|metric| metric.id.to_string())
        .filter(|id| !elsewhere.contains(&id.as_str()) && !id.starts_with("fact_recall"))
        .collect();
    ids.into_iter()
}

/// Brute force: 80 texts of 8000 tokens from one source whose tokens depend on each other within documents. The mean
/// standard error lies within 0.7 … 1.5 of the spread of the values (the spread itself is known to 8 %); for metrics that
/// count types or strings, where the jackknife is rather too large, within 0.7 … 2.
#[test]
fn standard_errors_agree_with_the_spread_over_many_texts() {
    let source = Source::zipf(3000, 1.0).copying(0.3);
    let world = world_of(&source, 30);
    let measured: Vec<Measured> =
        (0..80).map(|repeat| world.measure(&source.write(8_000, &mut stream(1000 + repeat)))).collect();
    let counts_types =
        |id: &str| ["tail", "hill_0", "distinct", "compression"].iter().any(|start| id.starts_with(start));
    let mut wrong = Vec::new();
    for id in text_metrics().chain(["novelty_4".to_owned()]) {
        let values: Vec<f64> = measured.iter().map(|m| m.value(&id)).collect();
        let std_err = measured.iter().filter_map(|m| m.get(&id)).map(|m| m.std_err).sum::<f64>() / 80.0;
        let (mean, spread) = mean_and_spread(&values);
        let ratio = std_err / spread;
        println!("{id:24} {mean:10.5} spread {spread:.6} std_err/spread {ratio:.2}");
        if !(0.7..if counts_types(&id) { 2.0 } else { 1.5 }).contains(&ratio) {
            wrong.push(format!("{id}: {ratio:.2}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:?}");
}

/// A model whose tokens are letters, and that knows the facts whose prompt ends in a letter with an even code.
struct HalfKnowing;

impl LanguageModel for HalfKnowing {
    fn score(&self, _: &Documents, _: &Stage) -> Result<Scores, ModelError> {
        Ok(Scores::default())
    }
    fn score_decoded(&self, _: &Documents, _: &SamplingSettings, _: &Stage) -> Result<Vec<f32>, ModelError> {
        Ok(Vec::new())
    }
    fn generate(&self, request: &GenerateRequest, _: &Stage) -> Result<Documents, ModelError> {
        assert_eq!(request.decoding, &DecodingStrategy::GREEDY);
        let answer =
            |prompt: &[TokenId]| if prompt.last().is_some_and(|t| t % 2 == 0) { " Velu. " } else { " Moro" };
        let answers: Vec<Vec<TokenId>> = request
            .prompts
            .iter()
            .map(|prompt| answer(prompt).chars().map(u32::from).take(request.max_document_tokens).collect())
            .collect();
        Ok(answers.iter().map(Vec::as_slice).collect())
    }
    fn redraw(
        &self,
        _: &Documents,
        _: &SamplingSettings,
        _: &[f64],
        _: &Stage,
    ) -> Result<Vec<Redrawn>, ModelError> {
        unreachable!("recall only generates text")
    }

    fn save(&self, _: &Path) -> Result<(), ModelError> {
        Ok(())
    }
}

#[test]
fn a_fact_is_recalled_if_the_model_completes_its_prompt() {
    let encode = |text: &str| text.chars().map(u32::from).collect::<Vec<_>>();
    let decode = |ids: &[TokenId]| ids.iter().filter_map(|&id| char::from_u32(id)).collect::<String>();
    let fact = |prompt, popularity| {
        let value = "Velu".to_owned();
        Fact { prompt: encode(prompt), value_tokens: encode(&value).len(), value, popularity }
    };
    // The codes of 'b' and 'd' are even (98, 100), those of 'a' and 'c' odd.
    let facts = [
        fact("the river of b", Rarity::Head),
        fact("the river of d", Rarity::Tail),
        fact("the river of a", Rarity::Tail),
    ];
    let answers = staged(|stage| recall(&HalfKnowing, &facts, &decode, stage)).expect("recalled");
    let recalled: Vec<bool> = answers.iter().map(|answer| answer.recalled).collect();
    assert_eq!(recalled, [true, true, false]);
    assert_eq!(answers[2].popularity, Rarity::Tail);
    assert_eq!(staged(|stage| recall(&HalfKnowing, &[], &decode, stage)).expect("recalled"), []);
}
