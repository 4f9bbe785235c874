//! What a method keeps of natural text, and that it keeps nothing else.

use super::*;
use candle_core::Device;
use genloss::model::{Precision, TransformerSettings};
use genloss::selection::SelectionRules;
use genloss::training::TrainingSettings;
use genloss::training::{Learner, NoCheckpoints, Start, TransformerLearner};
use std::collections::BTreeSet;

const END: TokenId = SPECIAL.end;

/// A tokenizer of 257 tokens and three sentinels.
fn with_sentinels() -> Tokenizer {
    tokenizer().with_sentinels().unwrap()
}

fn rephrase(tokens: u64, fidelity: f64) -> SynthesisSettings {
    let method = Rephrase { fidelity, span_tokens: 4, view_tokens: 6 }.into();
    SynthesisSettings { method, max_document_tokens: 500, ..textbook(tokens) }
}

fn write(
    model: &dyn LanguageModel,
    synthesis: &SynthesisSettings,
    natural: &Documents,
    tokenizer: &Tokenizer,
) -> (Documents, SynthesisRecord) {
    write_corpus(
        model,
        synthesis,
        Sources { natural, previous: None, tokenizer, world: None },
        model,
        &stage(),
    )
    .unwrap()
}

/// Twenty documents of 100 tokens, each token once in all of them, so that a token names its place.
fn distinct() -> Documents {
    let documents: Vec<Vec<TokenId>> =
        (0..20).map(|d| (0..100).map(|place| 1000 + 100 * d + place).chain([END]).collect()).collect();
    documents.iter().map(Vec::as_slice).collect()
}

/// Whether the natural tokens of `document` stand in it as in `source`, in the same order; how many there are.
fn survivors(document: &[TokenId], source: &[TokenId]) -> usize {
    let natural: Vec<TokenId> = document.iter().copied().filter(|&token| token >= 1000).collect();
    let mut rest = source.iter();
    assert!(natural.iter().all(|token| rest.any(|other| other == token)), "{document:?}");
    natural.len()
}

/// The source of a document, by the natural tokens in it.
fn source_of<'a>(document: &[TokenId], natural: &'a Documents) -> &'a [TokenId] {
    let first = document.iter().find(|&&token| token >= 1000).expect("something stays");
    natural.get((*first as usize - 1000) / 100)
}

#[test]
fn fidelity_is_the_share_of_a_document_that_rephrasing_keeps() {
    let (natural, tokenizer) = (distinct(), with_sentinels());
    // Fills every gap with three tokens that occur nowhere else.
    let model = Fake(|_, _: &[TokenId]| vec![300, 300, 300, END]);
    for fidelity in [0.1, 0.33, 0.5, 0.67, 0.9] {
        let (corpus, record) = write(&model, &rephrase(1200, fidelity), &natural, &tokenizer);
        let whole = corpus.iter().take(corpus.len() - 1);
        let mut kept = 0;
        for document in whole {
            let survive = survivors(document, source_of(document, &natural));
            assert_eq!(survive, (100.0 * fidelity).round() as usize, "fidelity {fidelity}");
            assert_eq!(document.last(), Some(&END));
            kept += survive;
        }
        assert!(kept > 0);
        assert!(record.kept_share.unwrap() > 0.5 * fidelity, "{record:?}");
    }
}

#[test]
fn nothing_of_a_gap_is_read_by_the_model_that_fills_it() {
    let (natural, tokenizer) = (distinct(), with_sentinels());
    let sentinels = tokenizer.sentinels().unwrap();
    // Shows what it read: natural tokens come out as others, so that they do not count as surviving.
    let read = std::sync::Mutex::new(Vec::new());
    let model = Fake(|item: u64, prompt: &[TokenId]| {
        read.lock().unwrap().push((item, prompt.to_vec()));
        vec![300, 300, END]
    });
    let (corpus, _) = write(&model, &rephrase(4000, 0.4), &natural, &tokenizer);
    let mut bridges = 0;
    for (item, prompt) in read.lock().unwrap().iter() {
        let place = |sentinel| prompt.iter().position(|&token| token == sentinel);
        if let (Some(0), Some(suffix), Some(middle)) =
            (place(sentinels.prefix), place(sentinels.suffix), place(sentinels.middle))
        {
            bridges += 1;
            assert!(suffix < middle && middle == prompt.len() - 1, "{prompt:?}");
            assert!((1..=6).contains(&(middle - suffix - 1)), "something that stays comes after: {prompt:?}");
            assert!(suffix <= 7, "at most 6 tokens before: {prompt:?}");
        }
        // Streams of later rounds lie 2^40 apart. Of documents that the corpus does not hold whole nothing is known.
        let document = (item % (1 << 40)) as usize;
        if document + 1 < corpus.len() {
            let stays = |token: &TokenId| *token < 1000 || corpus.get(document).contains(token);
            assert!(prompt.iter().all(stays), "document {document}: {prompt:?}");
        }
    }
    assert!(bridges > 100, "{bridges}");
}

/// Of twenty documents of 101 tokens, 20 · (101 − 96) of 2020 tokens lie beyond 96, which is just under 5 %.
#[test]
fn a_warning_says_how_much_natural_text_is_longer_than_a_document_may_become() {
    let natural = distinct();
    let within = |max_document_tokens| SynthesisSettings {
        max_document_tokens,
        ..SynthesisSettings::textbook(Tokens(9))
    };
    let told = cut_documents(&within(50), &natural).unwrap();
    assert!(
        told.starts_with("documents are written up to synthesis.max_document_tokens = 50, and 50 % of"),
        "{told}"
    );
    assert!(told.contains("(the longest has 101)"), "{told}");
    assert!(cut_documents(&within(95), &natural).is_some());
    assert_eq!(cut_documents(&within(96), &natural), None);
    let rewritten = SynthesisSettings { max_document_tokens: 5, ..rephrase(100, 0.5) };
    assert_eq!(cut_documents(&rewritten, &natural), None);
}

fn sorted<'a>(documents: impl IntoIterator<Item = &'a [TokenId]>) -> Vec<Vec<TokenId>> {
    let mut all: Vec<Vec<TokenId>> = documents.into_iter().map(<[TokenId]>::to_vec).collect();
    all.sort();
    all
}

/// Methods that change nothing: p^1e300 is 0 for every p below 1.
#[test]
fn documents_longer_than_the_limit_are_sources_as_a_whole_and_each_once_before_any_comes_again() {
    let (natural, tokenizer, model) = (natural(), with_sentinels(), ngram());
    let token_edit = SynthesisSettings {
        method: TokenEdit { sharpness: 1e300 }.into(),
        ..textbook(2 * natural.tokens().0)
    };
    for method in [&token_edit, &rephrase(2 * natural.tokens().0, 1.0)] {
        for max_document_tokens in [1, 3, 19] {
            let synthesis = SynthesisSettings { max_document_tokens, ..method.clone() };
            let (corpus, record) = write(&model, &synthesis, &natural, &tokenizer);
            assert_eq!(corpus.len(), 2 * natural.len());
            for epoch in corpus.iter().collect::<Vec<_>>().chunks(natural.len()) {
                assert_eq!(sorted(epoch.iter().copied()), sorted(natural.iter()));
            }
            assert_eq!(record.kept_share, Some(1.0));
            // A smaller corpus is the beginning of a larger one, although it is written in other requests.
            let less = SynthesisSettings { tokens: Tokens(500), ..synthesis };
            assert_eq!(write(&model, &less, &natural, &tokenizer).0, corpus.prefix(Tokens(500)));
        }
    }
}

/// The limit of 7 is shorter than every document, and only the text after the last kept span is cut there.
#[test]
fn all_that_rephrasing_keeps_of_a_long_document_is_in_the_result() {
    let (natural, tokenizer) = (distinct(), with_sentinels());
    let model = Fake(|_, _: &[TokenId]| vec![300; 50]);
    let synthesis = SynthesisSettings { max_document_tokens: 7, ..rephrase(1_000, 0.5) };
    let (corpus, _) = write(&model, &synthesis, &natural, &tokenizer);
    for document in corpus.iter().take(corpus.len() - 1) {
        assert_eq!(survivors(document, source_of(document, &natural)), 50);
        let written_at_end = document.iter().rev().take_while(|&&token| token == 300).count();
        assert!(written_at_end == 7 || document.last() == Some(&END), "{document:?}");
    }
}

/// Each group of candidates is written whole, although a request is cut where sources are long.
#[test]
fn the_best_of_several_rewritings_of_a_long_document_is_chosen() {
    let (natural, tokenizer, model) = (natural(), with_sentinels(), ngram());
    let selected = |candidates, max_document_tokens| {
        let rules = format!("best_of = {candidates}").parse().unwrap();
        let synthesis = SynthesisSettings {
            method: TokenEdit { sharpness: 1.0 }.into(),
            selection: SelectionRules::builtin().read(rules).unwrap(),
            max_document_tokens,
            ..textbook(3_000)
        };
        write(&model, &synthesis, &natural, &tokenizer).0
    };
    assert_eq!(selected(5, 1), selected(5, 30));
    assert_ne!(selected(5, 1), selected(2, 1));
}

/// A gap longer than the view of 6 is extended up to its last 6 tokens, which are infilled, if the model does not end the
/// document before. No two requests draw from the same random stream.
#[test]
fn a_long_gap_is_extended_until_the_next_kept_span_is_in_view() {
    let (natural, tokenizer) = (distinct(), with_sentinels());
    let middle = tokenizer.sentinels().unwrap().middle;
    let (forward, bridged) = (300, 301);
    let items = std::sync::Mutex::new(Vec::new());
    let model = Fake(|item: u64, prompt: &[TokenId]| {
        items.lock().unwrap().push(item);
        vec![if prompt.contains(&middle) { bridged } else { forward }; 50]
    });
    let (corpus, _) = write(&model, &rephrase(4000, 0.3), &natural, &tokenizer);
    let mut long = 0;
    for document in corpus.iter().filter(|document| document.last() == Some(&END)) {
        assert_eq!(document.len(), 101);
        for gap in document.split(|token| *token >= 1000 || *token == END) {
            let (before, after) = gap.split_at(gap.len().saturating_sub(6));
            assert!(before.iter().all(|token| *token == forward), "{gap:?}");
            assert!(after.iter().all(|token| *token == bridged), "{gap:?}");
            long += usize::from(!before.is_empty());
        }
    }
    assert!(long > 20, "{long}");
    let mut items = items.into_inner().unwrap();
    let asked = items.len();
    items.sort_unstable();
    items.dedup();
    assert_eq!(items.len(), asked);
}

#[test]
fn a_fidelity_of_one_copies_and_one_of_zero_is_textbook_token_for_token() {
    let (natural, tokenizer, model) = (natural(), with_sentinels(), ngram());
    let (copied, record) = write(&model, &rephrase(natural.tokens().0, 1.0), &natural, &tokenizer);
    assert_eq!(record.kept_share, Some(1.0));
    assert_eq!(sorted(copied.iter()), sorted(natural.iter()));
    let (free, record) = write(&model, &rephrase(5000, 0.0), &natural, &tokenizer);
    assert_eq!(record.kept_share, Some(0.0));
    let from_nothing = SynthesisSettings { max_document_tokens: 500, ..textbook(5000) };
    assert_eq!(free, write(&model, &from_nothing, &natural, &tokenizer).0);
}

/// In a document a x y b the token x is determined by a and y by b, each out of four. A model that reads only the left
/// side fills one gap in four correctly.
#[test]
fn a_transformer_learns_to_fill_a_gap_from_both_sides() {
    let tokenizer = with_sentinels();
    let sentinels = tokenizer.sentinels().unwrap();
    let gap = |a: TokenId, b: TokenId| [40 + a % 4, 50 + b % 4, END];
    let pairs: Vec<(TokenId, TokenId)> = (10..18).flat_map(|a| (20..28).map(move |b| (a, b))).collect();
    let documents: Vec<[TokenId; 5]> =
        pairs.iter().map(|&(a, b)| [a, gap(a, b)[0], gap(a, b)[1], b, END]).collect();
    let documents: Documents = documents.iter().map(<[TokenId; 5]>::as_slice).collect();
    let learner = TransformerLearner {
        architecture: TransformerSettings {
            family: None,
            layers: 2,
            width: 32,
            heads: 2,
            ffn: 64,
            context: 16,
            precision: Precision::F32,
        },
        training: TrainingSettings {
            tokens: Some(Tokens(1_500 * 16 * 16)),
            batch: 16,
            learning_rate: 5e-3,
            warmup_fraction: 0.1,
            final_rate_fraction: 0.1,
            weight_decay: 0.01,
            beta1: 0.9,
            beta2: 0.99,
            fim_share: 0.7,
            ..TrainingSettings::default()
        },
        vocab_size: tokenizer.vocab_size(),
        special: SPECIAL,
        sentinels: Some(sentinels),
        start: Start::Scratch,
        device: Device::Cpu,
    };
    let model = learner.fit(&documents, &mut NoCheckpoints, &stage()).unwrap().model;
    let prompts: Vec<Vec<TokenId>> = pairs
        .iter()
        .map(|&(a, b)| vec![sentinels.prefix, a, sentinels.suffix, b, END, sentinels.middle])
        .collect();
    let request = GenerateRequest {
        prompts: &prompts.iter().map(Vec::as_slice).collect(),
        max_document_tokens: 3,
        decoding: &DecodingStrategy::GREEDY,
        item: &|index| index as u64,
    };
    let filled = model.generate(&request, &stage()).unwrap();
    let right = pairs.iter().zip(filled.iter()).filter(|((a, b), text)| **text == gap(*a, *b));
    let right = right.count();
    assert!(right >= 58, "{right} of 64");
    // And what it writes from nothing has no sentinel in it.
    let (corpus, _) = write(model.as_ref(), &textbook(20_000), &documents, &tokenizer);
    assert!(!corpus.flat().iter().any(|&token| sentinels.contain(token)));
}

#[test]
fn continuation_of_the_previous_corpus_never_reads_natural_text() {
    let echo = Fake(|_, prompt: &[TokenId]| [prompt, &[END]].concat());
    let (natural, tokenizer) = (natural(), tokenizer());
    let written: Vec<TokenId> = (100..130).chain([END]).collect();
    let previous: Documents = std::iter::repeat_n(&written[..], 10).collect();
    let method = Continuation { prefix_tokens: 5, prefix: PrefixSource::Previous }.into();
    let synthesis = SynthesisSettings { method, ..textbook(600) };
    let sources =
        Sources { natural: &natural, previous: Some(&previous), tokenizer: &tokenizer, world: None };
    let (corpus, record) = write_corpus(&echo, &synthesis, sources, &echo, &stage()).unwrap();
    assert!(corpus.flat().iter().all(|&token| token >= 100 || token == END));
    assert_eq!(record.prompts, "last synthetic corpus, 5 tokens");
    // Generation 0 has no generation before it.
    let (corpus, record) =
        write_corpus(&echo, &synthesis, Sources { previous: None, ..sources }, &echo, &stage()).unwrap();
    assert!(corpus.flat().iter().all(|&token| token < 50));
    assert_eq!(record.prompts, "train split, 5 tokens");
}

/// A token with probability p is unchanged with probability 1 − p^s (1 − p − e), where e is the probability of the end
/// token, which never replaces another; the end token itself is never replaced.
#[test]
fn tokens_are_redrawn_with_a_power_of_their_probability() {
    let (natural, tokenizer, model) = (natural(), tokenizer(), ngram());
    for sharpness in [0.0, 0.5, 4.0] {
        let synthesis =
            SynthesisSettings { method: TokenEdit { sharpness }.into(), ..textbook(natural.tokens().0) };
        let (corpus, record) = write(&model, &synthesis, &natural, &tokenizer);
        let (mut expected, mut variance) = (0.0, 0.0);
        for document in natural.iter() {
            for (place, &token) in document.iter().enumerate() {
                let predicted = model.distribution(&document[..place]).unwrap();
                let (p, ends) = (predicted[token as usize], predicted[END as usize]);
                let stays = if token == END { 1.0 } else { 1.0 - p.powf(sharpness) * (1.0 - p - ends) };
                expected += stays;
                variance += stays * (1.0 - stays);
            }
        }
        let kept = record.kept_share.unwrap() * natural.tokens().0 as f64;
        let z = (kept - expected) / f64::sqrt(variance);
        assert!(z.abs() < 4.0, "sharpness {sharpness}: {kept} of {expected}, z {z}");
        let lengths = |documents: &Documents| {
            let mut lengths: Vec<usize> = documents.iter().map(<[TokenId]>::len).collect();
            lengths.sort_unstable();
            lengths
        };
        assert_eq!(lengths(&corpus), lengths(&natural), "documents stay as long as they were");
    }
}

#[test]
fn keywords_come_from_one_natural_document_and_are_not_part_of_the_result() {
    let texts = ["alpha beta gamma", "delta epsilon zeta", "eta theta iota"].map(str::to_owned);
    let tokenizer = tokenizer();
    let natural = tokenizer.encode_documents(&texts).unwrap();
    let echo = Fake(|_, prompt: &[TokenId]| [prompt, &[END]].concat());
    let synthesis = SynthesisSettings { method: Textbook::from_keywords(2).into(), ..textbook(3000) };
    let (corpus, record) = write(&echo, &synthesis, &natural, &tokenizer);
    let said: BTreeSet<String> =
        corpus.iter().take(corpus.len() - 1).map(|document| tokenizer.decode(document)).collect();
    let expected = [" alpha beta", " delta epsilon", " eta theta"].map(str::to_owned);
    assert_eq!(said, expected.into_iter().collect());
    assert_eq!(record.prompts, "train split, 2 keywords by tf-idf");
}

/// `cat` answers with the document itself.
#[test]
fn an_external_command_sees_whole_documents_and_its_answers_to_long_ones_are_not_cut() {
    let texts = ["a short one", "one that is longer than the limit of twenty tokens"].map(str::to_owned);
    let tokenizer = tokenizer();
    let natural = tokenizer.encode_documents(&texts).unwrap();
    let method = External { command: vec!["cat".to_owned()], timeout_seconds: 60.0 }.into();
    let synthesis = SynthesisSettings { method, max_document_tokens: 20, ..textbook(natural.tokens().0) };
    let (corpus, _) = write(&ngram(), &synthesis, &natural, &tokenizer);
    assert_eq!(sorted(corpus.iter()), sorted(natural.iter()));
}
