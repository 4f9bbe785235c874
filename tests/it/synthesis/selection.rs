//! Corpora of which only some documents are kept.

use super::{
    ALWAYS, Fake, NEVER, SPECIAL, continuation, natural, ngram, place, sources_of, stage, textbook, tokenizer,
};
use genloss::documents::{Documents, TokenId};
use genloss::model::{LanguageModel, ModelError};
use genloss::progress::{Event, Recorder, Silent};
use genloss::seed::StreamKey;
use genloss::selection::{NearDuplicates, Selection, SelectionRules, mean_losses, repeated_share};
use genloss::stage::Stage;
use genloss::synthesis::SynthesisSettings;
use genloss::synthesis::{Sources, SynthesisError, SynthesisRecord, check, write_corpus};
use genloss::units::Tokens;
use rand::Rng;
use std::collections::BTreeMap;

/// Documents of about ten tokens; their median loss lies near 4 nats.
const BAND: &str = "loss_band = [3.5, 4.0]";

const EVERY_RULE: &str = "loss_band = [0.0, 4.5]
max_repetition = 0.2
importance = 2.0
best_of = 2
near_duplicates = 0.9";

fn rules(toml: &str) -> Selection {
    SelectionRules::builtin().read(toml.parse().unwrap()).unwrap()
}

fn one_by_one() -> [Selection; 5] {
    [BAND, "max_repetition = 0.2", "importance = 2.0", "best_of = 2", "near_duplicates = 0.9"].map(rules)
}

fn selected(synthesis: SynthesisSettings, selection: Selection) -> SynthesisSettings {
    SynthesisSettings { selection, ..synthesis }
}

/// A corpus by one model, judged by another.
fn write_judged(
    model: &dyn LanguageModel,
    reference: &dyn LanguageModel,
    synthesis: &SynthesisSettings,
    stage: &Stage,
) -> Result<(Documents, SynthesisRecord), SynthesisError> {
    let sources = Sources { natural: &natural(), previous: None, tokenizer: &tokenizer(), world: None };
    write_corpus(model, synthesis, sources, reference, stage)
}

fn write(synthesis: &SynthesisSettings) -> (Documents, SynthesisRecord) {
    let model = ngram();
    write_judged(&model, &model, synthesis, &stage()).unwrap()
}

/// All documents but the last, which is cut where the budget ends.
fn whole(corpus: &Documents) -> Documents {
    corpus.iter().take(corpus.len() - 1).collect()
}

#[test]
fn dropped_documents_are_replaced_and_every_document_is_counted() {
    for selection in one_by_one().into_iter().chain([rules(EVERY_RULE)]) {
        for synthesis in [textbook(5003), continuation(5003, 4)] {
            let (corpus, record) = write(&selected(synthesis, selection.clone()));
            assert_eq!((corpus.tokens(), record.tokens), (Tokens(5003), Tokens(5003)));
            let selection_record = record.selection.unwrap();
            let dropped: u64 = selection_record.dropped.values().sum();
            let learnt_from = selection_record
                .of_rules
                .get("importance")
                .map_or(0, |record| record["detector"]["documents"].as_u64().unwrap());
            assert_eq!(selection_record.documents_written, record.documents + dropped + learnt_from);
            assert_eq!(learnt_from > 0, selection.needs_pilot());
            let cost = selection_record.tokens_written.0 as f64 / 5003.0;
            assert_eq!(selection_record.tokens_per_token_kept, cost);
            // Only repetition is too rare in this text to drop anything by itself.
            assert!(dropped > 0 || selection.table().contains_key("max_repetition"), "{selection:?}");
        }
    }
}

#[test]
fn documents_that_are_kept_pass_the_rules() {
    let (corpus, _) = write(&selected(textbook(5000), rules(BAND)));
    let scores = ngram().score(&whole(&corpus), &stage()).unwrap();
    assert!(mean_losses(&whole(&corpus), &scores).iter().flatten().all(|loss| (3.5..=4.0).contains(loss)));

    // Every third document goes round in circles.
    let circling = Fake(|item, _: &[TokenId]| {
        let step = if item % 3 == 0 { 0 } else { 1 };
        (0..8).map(|place| (item as TokenId + step * place) % 50).collect()
    });
    let repetition = selected(textbook(1000), rules("max_repetition = 0.5"));
    let (corpus, record) = write_judged(&circling, &circling, &repetition, &stage()).unwrap();
    assert!(corpus.iter().all(|document| repeated_share(document) == 0.0));
    // 125 documents of 8 tokens are kept, the last of them number 187; 0, 3, … 186 are dropped.
    assert_eq!(record.selection.unwrap().dropped, BTreeMap::from([("max_repetition".to_owned(), 63)]));

    let (corpus, record) = write(&selected(textbook(5000), rules("near_duplicates = 0.5")));
    let mut kept = NearDuplicates::new(0.5);
    assert!(whole(&corpus).iter().all(|document| kept.admit(document)));
    assert!(record.selection.unwrap().dropped["near_duplicates"] > 0);
}

/// The three candidates of each slot continue the same prompt with different tokens; the one that the reference model finds
/// most probable is kept.
#[test]
fn the_best_of_the_candidates_for_a_prompt_is_kept() {
    let writes = Fake(|item, prompt: &[TokenId]| [prompt, &[1 + item as TokenId % 3, SPECIAL.end]].concat());
    let reference = ngram();
    let best_of = rules("best_of = 3");
    let (corpus, record) =
        write_judged(&writes, &reference, &selected(continuation(3000, 4), best_of), &stage()).unwrap();
    assert_eq!(record.selection.unwrap().dropped["best_of"], 2 * record.documents);
    for kept in whole(&corpus).iter() {
        let candidates: Documents = [1, 2, 3]
            .iter()
            .map(|&own| [&kept[..4], &[own, SPECIAL.end]].concat())
            .collect::<Vec<_>>()
            .iter()
            .map(Vec::as_slice)
            .collect();
        let losses = mean_losses(&candidates, &reference.score(&candidates, &stage()).unwrap());
        let least = losses.iter().flatten().copied().fold(f64::INFINITY, f64::min);
        assert_eq!(losses[kept[4] as usize - 1], Some(least));
    }
}

#[test]
fn a_larger_budget_only_adds_documents_to_what_was_kept() {
    let of = |tokens| write(&selected(continuation(tokens, 3), rules(EVERY_RULE))).0;
    assert_eq!(of(6000).prefix(Tokens(1500)), of(1500));
}

#[test]
fn selection_does_not_depend_on_threads() {
    let of = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| write(&selected(continuation(3000, 3), rules(EVERY_RULE))))
    };
    assert_eq!(of(1), of(3));
}

/// Half of the natural documents are about one topic, half about another; the model writes one document in five about the
/// first. The odds are then 5/2 and 5/8. With correct odds, half of the kept documents are about the first topic, and 2.5
/// documents are written for each one kept. The detector is calibrated on 200 documents of each kind, of which about 40 of
/// the model's are about the first topic. The log-odds have a standard error of 0.2, which a slope of 1/4 turns into 0.05 of
/// the share; the tolerance is 0.12. Fixed seed.
#[test]
fn importance_resampling_restores_a_topic_that_the_model_writes_too_rarely() {
    let mut draws = StreamKey::new(1, "test", 0, "kinds").stream(0);
    let mut natural = Documents::new();
    for index in 0..1000 {
        let kind = if index % 2 == 0 { 1 } else { 30 };
        natural.push(&std::array::from_fn::<TokenId, 10, _>(|_| kind + draws.random_range(0..20)));
    }
    let model = Fake(|item, _: &[TokenId]| {
        let mut draws = StreamKey::new(2, "test", 0, "kinds").stream(item);
        let kind = if draws.random_range(0..5) == 0 { 1 } else { 30 };
        (0..10).map(|_| kind + draws.random_range(0..20)).collect()
    });
    let synthesis = selected(textbook(20_000), rules("importance = 2.5"));
    let sources = Sources { natural: &natural, previous: None, tokenizer: &tokenizer(), world: None };
    let (corpus, record) = write_corpus(&model, &synthesis, sources, &model, &stage()).unwrap();
    let of_the_first = corpus.iter().filter(|document| document[0] < 30).count() as f64;
    let share = of_the_first / corpus.len() as f64;
    assert!((share - 0.5).abs() < 0.12, "{share}");
    let selection = record.selection.unwrap();
    // A detector that sees the kinds only is right in half of the first and 80 % of the second.
    let accuracy = selection.of_rules["importance"]["detector"]["accuracy"].as_f64().unwrap();
    assert!((accuracy - 0.65).abs() < 0.1, "{accuracy}");
    let learnt_from = 1000.0 * 10.0 / 20_000.0;
    let cost = selection.tokens_per_token_kept - learnt_from;
    assert!((cost - 2.5).abs() < 0.5, "{cost}");
}

#[test]
fn rules_that_drop_everything_are_an_error_that_names_them() {
    let impossible = rules(&EVERY_RULE.replace("[0.0, 4.5]", "[90.0, 91.0]"));
    let model = ngram();
    let synthesis = selected(textbook(1000), impossible);
    let message = write_judged(&model, &model, &synthesis, &stage()).unwrap_err().to_string();
    // Eight blocks of 128 slots with two candidates each.
    assert_eq!(
        message,
        "selection keeps fewer than one in 200 tokens: of 2048 documents, 0 were kept; dropped by rule: loss_band 2048; \
         loosen the rule under synthesis.selection that drops the most"
    );
}

#[test]
fn a_detector_needs_natural_text() {
    let synthesis = selected(textbook(1000), rules(EVERY_RULE));
    let few: Documents = natural().iter().take(49).collect();
    let message = check(&synthesis, sources_of(&few, &tokenizer())).unwrap_err().to_string();
    assert!(
        message.contains("at least 50 natural documents to train its detector and found 49"),
        "{message}"
    );
    check(&synthesis, sources_of(&natural(), &tokenizer())).unwrap();
}

#[test]
fn progress_counts_the_tokens_that_are_kept_and_an_interrupt_stops() {
    let recorder = Recorder::default();
    let model = ngram();
    let synthesis = selected(textbook(5000), rules(EVERY_RULE));
    write_judged(&model, &model, &synthesis, &Stage::new(place(), &recorder, &NEVER)).unwrap();
    let amounts = recorder
        .events()
        .into_iter()
        .map(|event| if let Event::Advanced { amount, .. } = event { amount } else { 0 });
    assert_eq!(amounts.sum::<u64>(), 5000);
    let stopped = write_judged(&model, &model, &synthesis, &Stage::new(place(), &Silent, &ALWAYS));
    assert!(matches!(stopped, Err(SynthesisError::Model(ModelError::Interrupted))));
}
