//! Corpora written by an n-gram model, and by models made up to be difficult.

mod selection;

use genloss::decoding::{DecodingStrategy, SamplingSettings};
use genloss::documents::{Documents, TokenId};
use genloss::model::ngram::Ngram;
use genloss::model::{GenerateRequest, LanguageModel, ModelError, Redrawn, Scores, SpecialTokens};
use genloss::progress::{Event, Recorder, Silent};
use genloss::seed::StreamKey;
use genloss::stage::Stage;
use genloss::synthesis::{
    Continuation, External, PrefixSource, Rephrase, SynthesisSettings, Textbook, TokenEdit,
};
use genloss::synthesis::{Sources, SynthesisError, SynthesisRecord, cut_documents, write_corpus};
use genloss::tokenizer::Tokenizer;
use genloss::units::Tokens;
use rand::Rng;
use std::path::Path;
use std::sync::atomic::AtomicBool;

mod anchors;
mod external;
mod oracle;

static NEVER: AtomicBool = AtomicBool::new(false);
static ALWAYS: AtomicBool = AtomicBool::new(true);

const SPECIAL: SpecialTokens = SpecialTokens { start: 0, end: 0 };

fn place() -> StreamKey {
    StreamKey::new(1, "replace", 2, "synthesis")
}

fn stage() -> Stage<'static> {
    Stage::new(place(), &Silent, &NEVER)
}

/// The end-of-text token has id 0, the bytes follow.
fn tokenizer() -> Tokenizer {
    Tokenizer::learn(&[], 257).unwrap()
}

/// A corpus whose sources are natural only.
fn write_with(
    model: &dyn LanguageModel,
    synthesis: &SynthesisSettings,
    natural: &Documents,
    stage: &Stage,
) -> Result<(Documents, SynthesisRecord), SynthesisError> {
    write_corpus(model, synthesis, sources_of(natural, &tokenizer()), model, stage)
}

fn sources_of<'a>(natural: &'a Documents, tokenizer: &'a Tokenizer) -> Sources<'a> {
    Sources { natural, previous: None, tokenizer, world: None }
}

fn textbook(tokens: u64) -> SynthesisSettings {
    SynthesisSettings { max_document_tokens: 30, ..SynthesisSettings::textbook(Tokens(tokens)) }
}

fn continuation(tokens: u64, prefix_tokens: usize) -> SynthesisSettings {
    SynthesisSettings {
        method: Continuation { prefix_tokens, prefix: PrefixSource::Natural }.into(),
        ..textbook(tokens)
    }
}

/// Documents of 1 to 20 tokens out of 1..50, and the end token.
fn natural() -> Documents {
    let mut rng = StreamKey::new(1, "test", 0, "text").stream(0);
    let mut documents = Documents::new();
    for _ in 0..300 {
        let mut text: Vec<TokenId> = (0..rng.random_range(1..20)).map(|_| rng.random_range(1..50)).collect();
        text.push(SPECIAL.end);
        documents.push(&text);
    }
    documents
}

fn ngram() -> Ngram {
    Ngram::fit(&natural(), genloss::model::NgramSettings { order: 3 }, 50, SPECIAL, &stage())
        .expect("the text is sound")
}

/// A model that answers a prompt with what `answer` says for it, cut at the limit.
struct Fake<F>(F);

impl<F: Fn(u64, &[TokenId]) -> Vec<TokenId> + Send + Sync> LanguageModel for Fake<F> {
    fn score(&self, _: &Documents, _: &Stage) -> Result<Scores, ModelError> {
        Ok(Scores::default())
    }

    fn score_decoded(&self, _: &Documents, _: &SamplingSettings, _: &Stage) -> Result<Vec<f32>, ModelError> {
        Ok(Vec::new())
    }

    fn generate(&self, request: &GenerateRequest, _: &Stage) -> Result<Documents, ModelError> {
        let mut written = Documents::new();
        for (index, prompt) in request.prompts.iter().enumerate() {
            let mut document = (self.0)((request.item)(index), prompt);
            document.truncate(request.max_document_tokens);
            written.push(&document);
        }
        Ok(written)
    }

    fn redraw(
        &self,
        _: &Documents,
        _: &SamplingSettings,
        _: &[f64],
        _: &Stage,
    ) -> Result<Vec<Redrawn>, ModelError> {
        Ok(Vec::new())
    }

    fn save(&self, _: &Path) -> Result<(), ModelError> {
        Ok(())
    }
}

#[test]
fn a_corpus_has_exactly_the_requested_number_of_tokens() {
    let model = ngram();
    for tokens in [0, 1, 7, 1000, 54_321] {
        for synthesis in [textbook(tokens), continuation(tokens, 4)] {
            let (corpus, record) = write_with(&model, &synthesis, &natural(), &stage()).unwrap();
            assert_eq!(corpus.tokens(), Tokens(tokens));
            assert_eq!(record.tokens, Tokens(tokens));
            assert_eq!(record.documents, corpus.len() as u64);
            let whole = record.ended + record.cut;
            assert!(whole == record.documents || whole + 1 == record.documents, "{record:?}");
        }
    }
}

#[test]
fn a_larger_budget_only_adds_documents() {
    let model = ngram();
    let write = |tokens| write_with(&model, &textbook(tokens), &natural(), &stage()).unwrap().0;
    assert_eq!(write(20_000).prefix(Tokens(3_000)), write(3_000));
}

#[test]
fn the_number_of_threads_changes_nothing() {
    let model = ngram();
    let write = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| write_with(&model, &continuation(20_000, 3), &natural(), &stage()).unwrap())
    };
    assert_eq!(write(1), write(3));
}

/// The model repeats its prompt, so that the corpus shows which prompts it was given.
#[test]
fn prefixes_are_openings_of_longer_natural_documents() {
    let echo = Fake(|_, prompt: &[TokenId]| [prompt, &[SPECIAL.end]].concat());
    let natural = natural();
    let (corpus, record) = write_with(&echo, &continuation(20_000, 6), &natural, &stage()).unwrap();
    let long: Vec<&[TokenId]> = natural.iter().filter(|document| document.len() > 6).collect();
    let mut used = vec![0; long.len()];
    for document in corpus.iter().filter(|document| document.len() == 7) {
        let source = long.iter().position(|natural| natural[..6] == document[..6]);
        used[source.expect("a prefix of a natural document")] += 1;
    }
    // About 2857 prefixes from about 220 documents: 13 each, so that none is left out (e^-13 · 220 < 1e-3).
    assert!(used.iter().all(|&times| times > 0 && times < 40), "{used:?}");
    assert_eq!((record.method.as_str(), record.prompts.as_str()), ("continuation", "train split, 6 tokens"));
}

/// Natural documents count upwards, so the model does, too; a document begins where its prefix ends.
#[test]
fn a_written_document_excludes_its_prefix() {
    let counting: Vec<TokenId> = (1..20).chain([SPECIAL.end]).collect();
    let natural: Documents = std::iter::repeat_n(&counting[..], 500).collect();
    let model =
        Ngram::fit(&natural, genloss::model::NgramSettings { order: 3 }, 50, SPECIAL, &stage()).unwrap();
    let greedy = SynthesisSettings { decoding: DecodingStrategy::GREEDY, ..continuation(160, 4) };
    let (corpus, record) = write_with(&model, &greedy, &natural, &stage()).unwrap();
    assert_eq!(corpus.len(), 10);
    assert!(corpus.iter().all(|document| *document == counting[4..]));
    assert_eq!((record.decoding.as_str(), record.ended, record.cut), ("greedy", 10, 0));
}

#[test]
fn the_error_about_short_documents_gives_their_number_and_the_longest() {
    let natural: Documents = [&[1, 2, 0][..], &[1, 0]].into_iter().collect();
    match write_with(&ngram(), &continuation(100, 3), &natural, &stage()) {
        Err(error @ SynthesisError::NoPrefix { documents: 2, prefix_tokens: 3, longest: 3 }) => {
            assert!(error.to_string().contains("synthesis.prefix_tokens"));
        }
        other => panic!("{other:?}"),
    }
    write_with(&ngram(), &continuation(100, 2), &natural, &stage()).unwrap();
}

/// The context of the order-3 model is two tokens; only the limit ends its documents.
#[test]
fn documents_continue_beyond_the_context_up_to_the_limit() {
    let endless: Vec<TokenId> = (0..3000).map(|place| place % 49 + 1).collect();
    let natural: Documents = [&endless[..]].into_iter().collect();
    let model =
        Ngram::fit(&natural, genloss::model::NgramSettings { order: 3 }, 50, SPECIAL, &stage()).unwrap();
    let decoding = DecodingStrategy::GREEDY;
    let synthesis = SynthesisSettings { max_document_tokens: 700, decoding, ..textbook(2000) };
    let (corpus, record) = write_with(&model, &synthesis, &natural, &stage()).unwrap();
    assert_eq!(corpus.iter().map(<[TokenId]>::len).collect::<Vec<_>>(), [700, 700, 600]);
    assert!(corpus.iter().all(|document| *document == endless[..document.len()]));
    assert_eq!((record.ended, record.cut), (0, 2));
}

#[test]
fn documents_that_end_at_once_fill_a_corpus_too() {
    let brief = Fake(|_, _: &[TokenId]| vec![SPECIAL.end]);
    let (corpus, record) = write_with(&brief, &textbook(40_000), &natural(), &stage()).unwrap();
    assert_eq!((corpus.len(), record.ended), (40_000, 40_000));
}

#[test]
fn only_a_request_without_any_token_is_an_error() {
    let silent = Fake(|_, _: &[TokenId]| Vec::new());
    let refused = write_with(&silent, &textbook(100), &natural(), &stage());
    assert!(matches!(refused, Err(SynthesisError::NoTokens { .. })));
    let seldom = Fake(|item, _: &[TokenId]| if item % 10 == 3 { vec![5, SPECIAL.end] } else { Vec::new() });
    let (corpus, _) = write_with(&seldom, &textbook(101), &natural(), &stage()).unwrap();
    assert_eq!(corpus.tokens(), Tokens(101));
}

#[test]
fn the_record_describes_the_decoder() {
    let decoding = SamplingSettings { temperature: 0.8, top_k: Some(50), ..SamplingSettings::PLAIN };
    let synthesis = SynthesisSettings { decoding: decoding.into(), ..textbook(500) };
    let (_, record) = write_with(&ngram(), &synthesis, &natural(), &stage()).unwrap();
    assert_eq!(record.decoding, "sampling, temperature 0.8, top-k 50");
    assert_eq!((record.method.as_str(), record.prompts.as_str()), ("textbook", "start token"));
}

#[test]
fn token_edit_returns_an_error_with_a_search_decoder() {
    let decoding =
        DecodingStrategy::Beam(genloss::decoding::BeamSearchSettings { beams: 3, length_penalty: 1.0 });
    let synthesis =
        SynthesisSettings { method: TokenEdit { sharpness: 4.0 }.into(), decoding, ..textbook(100) };
    let refused = write_with(&ngram(), &synthesis, &natural(), &stage());
    assert!(matches!(refused, Err(SynthesisError::Search)));
}

#[test]
fn progress_counts_tokens_once_and_an_interrupt_stops() {
    let recorder = Recorder::default();
    let model = ngram();
    let (corpus, _) =
        write_with(&model, &textbook(5000), &natural(), &Stage::new(place(), &recorder, &NEVER)).unwrap();
    let events = recorder.events();
    let advanced: u64 =
        events.iter().map(|event| if let Event::Advanced { amount, .. } = event { *amount } else { 0 }).sum();
    // The surplus of the last request is written, too: at most that of 32 documents of 30 tokens.
    assert!(advanced >= corpus.tokens().0 && advanced < corpus.tokens().0 + 1500, "{advanced}");
    assert_eq!(events.first(), Some(&Event::StageStarted { key: place(), total: 5000, unit: "tokens" }));
    assert!(matches!(events.last(), Some(Event::StageFinished { .. })));
    assert_eq!(events.iter().filter(|event| matches!(event, Event::StageStarted { .. })).count(), 1);

    let stopped = Stage::new(place(), &Silent, &ALWAYS);
    let result = write_with(&model, &textbook(5000), &natural(), &stopped);
    assert!(matches!(result, Err(SynthesisError::Model(ModelError::Interrupted))));
}
