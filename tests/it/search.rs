//! Beam search and contrastive search: by hand, against slow references, and on both models.

use crate::model_transformer::{
    SPECIAL, TINY, grouped_shape, lively, random_tokens, staged, values, with_threads,
};
use candle_core::{Device, Tensor};
use genloss::decoding::beam::{Growth, Search};
use genloss::decoding::contrastive::{self, Direction};
use genloss::decoding::{BeamSearchSettings, ContrastiveSearchSettings, DecodingStrategy};
use genloss::documents::{Documents, TokenId};
use genloss::model::Precision;
use genloss::model::ngram::Ngram;
use genloss::model::transformer::parameters::{Shape, Specification};
use genloss::model::transformer::{Network, Transformer, plain};
use genloss::model::{GenerateRequest, LanguageModel, ModelError};
use genloss::seed::StreamKey;
use genloss::synthesis::SynthesisSettings;
use genloss::synthesis::{Sources, write_corpus};
use genloss::tokenizer::Tokenizer;
use genloss::units::Tokens;
use genloss_kernels::attention::Heads;
use rand::Rng;

const END: TokenId = SPECIAL.end;

fn beam(beams: usize, length_penalty: f64) -> BeamSearchSettings {
    BeamSearchSettings { beams, length_penalty }
}

fn row<const V: usize>(probabilities: [f64; V]) -> [f32; V] {
    probabilities.map(|p| p.ln() as f32)
}

/// A model of documents of 1 to 8 tokens with a vocabulary of 5, in which token 0 is the end.
fn ngram() -> Ngram {
    let mut rng = StreamKey::new(1, "test", 0, "text").stream(0);
    let mut text = Documents::new();
    for _ in 0..60 {
        let mut document: Vec<TokenId> =
            (0..rng.random_range(0..8)).map(|_| rng.random_range(1..5)).collect();
        document.push(END);
        text.push(&document);
    }
    staged(|stage| Ngram::fit(&text, genloss::model::NgramSettings { order: 3 }, 5, SPECIAL, stage)).unwrap()
}

fn write(
    model: &dyn LanguageModel,
    strategy: &DecodingStrategy,
    prompts: &Documents,
    max_tokens: usize,
) -> Documents {
    let request = GenerateRequest {
        prompts,
        max_document_tokens: max_tokens,
        decoding: strategy,
        item: &|index| index as u64,
    };
    staged(|stage| model.generate(&request, stage)).unwrap()
}

fn prompts(vocab_size: usize) -> Documents {
    let prompts: Vec<_> = (0..9).map(|i| random_tokens(i * 2, vocab_size, i as u64)).collect();
    prompts.iter().map(Vec::as_slice).collect()
}

/// ln p of a document that continues `prompt`.
fn log_probability(model: &Ngram, prompt: &[TokenId], document: &[TokenId]) -> f64 {
    let mut text = prompt.to_vec();
    let mut sum = 0.0;
    for &token in document {
        sum += model.distribution(&text).unwrap()[token as usize].ln();
        text.push(token);
    }
    sum
}

/// Every document of at most `max_tokens` tokens, ended or cut.
fn all_documents(max_tokens: usize) -> Vec<Vec<TokenId>> {
    let mut done = Vec::new();
    let mut open: Vec<Vec<TokenId>> = vec![Vec::new()];
    for length in 1..=max_tokens {
        let grown = open.iter().flat_map(|text| (0..5).map(move |token| [text, &[token][..]].concat()));
        let (finished, rest) = grown.partition(|text| text.last() == Some(&END) || length == max_tokens);
        let _: &Vec<Vec<TokenId>> = &finished;
        done.extend(finished);
        open = rest;
    }
    done
}

/// 1 + 4 + 16 + 4³ · 5 = 341 documents: with as many beams, no document is dropped.
#[test]
fn with_beams_for_every_document_the_best_of_all_is_found() {
    let model = ngram();
    let all = all_documents(4);
    assert_eq!(all.len(), 341);
    let prompts: Documents = [&[][..], &[1], &[2, 3]].into_iter().collect();
    for alpha in [0.0, 0.5, 1.0, 2.0] {
        let written = write(&model, &DecodingStrategy::Beam(beam(341, alpha)), &prompts, 4);
        for (prompt, document) in prompts.iter().zip(written.iter()) {
            let score =
                |text: &[TokenId]| log_probability(&model, prompt, text) / (text.len() as f64).powf(alpha);
            let best = all.iter().max_by(|a, b| score(a).total_cmp(&score(b))).unwrap();
            assert_eq!(document, best, "alpha {alpha}");
        }
    }
}

/// Token 0 has ½ and ends: ln ½ = −0.693. Token 1 has 0.4 and then 0 has 0.8: ln 0.32 = −1.139, which over 2^α is more
/// from 2^α = 1.644 on, α = 0.717.
#[test]
fn a_length_penalty_favours_the_longer_document() {
    let written = |alpha| {
        let mut search = Search::new(beam(2, alpha), 0, 9);
        assert_eq!(search.grow(&mut row([0.5, 0.4, 0.1])), [Growth { parent: 0, token: 1 }]);
        assert!(search.grow(&mut row([0.8, 0.1, 0.1])).is_empty());
        search.into_best()
    };
    assert_eq!(written(0.0), [0]);
    assert_eq!(written(0.71), [0]);
    assert_eq!(written(0.72), [1, 0]);
    assert_eq!(written(1.0), [1, 0]);
}

#[test]
fn ties_are_broken_by_parent_and_then_by_token() {
    let mut search = Search::new(beam(3, 1.0), 0, 9);
    let growth = |parent, token| Growth { parent, token };
    assert_eq!(search.grow(&mut [0.0, 1.0, 1.0, 1.0, 1.0]), [growth(0, 1), growth(0, 2), growth(0, 3)]);
    let grown = search.grow(&mut [[0.0, 0.0, 1.0, 1.0, 0.0]; 3].concat());
    assert_eq!(grown, [growth(0, 2), growth(0, 3), growth(1, 2)]);
}

/// Whatever the length penalty: with one token there is nothing to look ahead to, and with one beam nothing to compare.
#[test]
fn beam_search_of_one_token_or_one_beam_is_greedy() {
    let transformer = lively(grouped_shape());
    let models: [(&dyn LanguageModel, usize); 2] = [(&ngram(), 5), (&transformer, 37)];
    for (model, vocab_size) in models {
        let prompts = prompts(vocab_size);
        for alpha in [0.0, 1.0] {
            let one_token = write(model, &DecodingStrategy::Beam(beam(4, alpha)), &prompts, 1);
            assert_eq!(one_token, write(model, &DecodingStrategy::GREEDY, &prompts, 1));
            let one_beam = write(model, &DecodingStrategy::Beam(beam(1, alpha)), &prompts, 30);
            assert_eq!(one_beam, write(model, &DecodingStrategy::GREEDY, &prompts, 30));
        }
    }
}

/// Beam search need not find better documents than greedy decoding; here it does.
#[test]
fn documents_by_beam_search_score_at_least_as_high_as_greedy_ones() {
    let model = ngram();
    let prompts = prompts(5);
    let scores = |strategy: &DecodingStrategy| -> Vec<f64> {
        let written = write(&model, strategy, &prompts, 12);
        let score = |(prompt, text): (&[TokenId], &[TokenId])| {
            log_probability(&model, prompt, text) / text.len() as f64
        };
        prompts.iter().zip(written.iter()).map(score).collect()
    };
    let (found, greedy) = (scores(&DecodingStrategy::Beam(beam(8, 1.0))), scores(&DecodingStrategy::GREEDY));
    assert!(found.iter().zip(&greedy).all(|(a, b)| a >= b), "{found:?} {greedy:?}");
    assert!(found.iter().zip(&greedy).any(|(a, b)| *a > b + 0.01), "{found:?} {greedy:?}");
}

/// The last hidden states (T, W) and the last logits (V) by the reference pass, over the part of `text` that is in the
/// context.
fn reference_pass(model: &Transformer, text: &[TokenId]) -> (Vec<Vec<f32>>, Vec<f32>) {
    let mut first = 0;
    while text.len() - first > model.context() {
        first += model.context() / 2;
    }
    let tokens = Tensor::new(&text[first..], &Device::Cpu).unwrap().unsqueeze(0).unwrap();
    let hidden = plain::hidden(model.network(), &tokens).unwrap();
    let logits = values(&plain::logits(model.network(), &hidden).unwrap());
    let states = values(&hidden).chunks(hidden.dims()[2]).map(<[f32]>::to_vec).collect();
    (states, logits[logits.len() - model.vocab_size()..].to_vec())
}

/// The context is 8, so 30 tokens go beyond it many times.
#[test]
fn beam_search_writes_the_same_as_without_slots_and_caches() {
    let model = lively(grouped_shape());
    let prompts = prompts(37);
    let settings = beam(3, 0.8);
    let written = write(&model, &DecodingStrategy::Beam(settings), &prompts, 30);
    for (prompt, document) in prompts.iter().zip(written.iter()) {
        let mut search = Search::new(settings, END, 30);
        let mut texts = vec![[&[SPECIAL.start], prompt].concat()];
        while !texts.is_empty() {
            let mut logits: Vec<f32> = texts.iter().flat_map(|text| reference_pass(&model, text).1).collect();
            let after = |growth: Growth| [&texts[growth.parent][..], &[growth.token]].concat();
            texts = search.grow(&mut logits).into_iter().map(after).collect();
        }
        assert_eq!(document, search.into_best());
    }
}

#[test]
fn contrastive_search_writes_the_same_as_without_slots_and_caches() {
    let model = lively(grouped_shape());
    let prompts = prompts(37);
    for settings in
        [ContrastiveSearchSettings { k: 4, alpha: 0.6 }, ContrastiveSearchSettings { k: 50, alpha: 0.2 }]
    {
        let written = write(&model, &DecodingStrategy::Contrastive(settings), &prompts, 20);
        for (prompt, document) in prompts.iter().zip(written.iter()) {
            let mut text = [&[SPECIAL.start], prompt].concat();
            for &token in document {
                let candidates = contrastive::candidates(settings, &mut reference_pass(&model, &text).1);
                let mut before = Vec::new();
                let mut states = Vec::new();
                for candidate in &candidates {
                    before = reference_pass(&model, &[&text[..], &[candidate.token]].concat()).0;
                    states.extend(before.pop());
                }
                let [states, before] = [states, before]
                    .map(|states| states.iter().map(|state| Direction::of(state)).collect::<Vec<_>>());
                let chosen = contrastive::choose(settings, &candidates, &states, &before);
                assert_eq!(token, candidates[chosen].token, "after {text:?}");
                text.push(token);
            }
            assert!(document.len() == 20 || document.last() == Some(&END));
        }
    }
}

#[test]
fn without_a_penalty_contrastive_search_is_greedy() {
    let model = lively(Shape::new(&TINY, 37));
    let strategy = DecodingStrategy::Contrastive(ContrastiveSearchSettings { k: 4, alpha: 0.0 });
    assert_eq!(
        write(&model, &strategy, &prompts(37), 30),
        write(&model, &DecodingStrategy::GREEDY, &prompts(37), 30)
    );
}

/// A model of 8 tokens whose hidden state depends only on the token, all of them orthogonal: no block adds anything. After
/// the start token 1 is the most probable, then 2 and 1 alternate; the other tokens are less probable, in order of id.
fn looping() -> Transformer {
    let architecture = genloss::model::TransformerSettings { width: 8, heads: 2, context: 32, ..TINY };
    let heads = Heads { queries: 2, keys: 2, width: 4 };
    let shape = Shape { tied: false, heads, ..Shape::new(&architecture, 8) };
    let logit = |next: u32, last: u32| match (last, next) {
        (0 | 2, 1) | (1, 2) => 2.0,
        (_, 0) => -9.0,
        _ => -0.1 * next as f32,
    };
    let values = |specification: &Specification| {
        let (rows, columns) = (specification.dims()[0] as u32, specification.columns.unwrap_or(1) as u32);
        let places = (0..rows).flat_map(|row| (0..columns).map(move |column| (row, column)));
        let value = |(row, column)| match specification.name() {
            "model.embed_tokens.weight" => f32::from(u8::from(row == column)),
            "lm_head.weight" => logit(row, column),
            _ if specification.columns.is_none() => 1.0,
            _ => 0.0,
        };
        Tensor::from_vec(places.map(value).collect::<Vec<f32>>(), specification.dims(), &Device::Cpu)
    };
    let parameters = shape.specifications().try_map(|specification| values(specification)).unwrap();
    Transformer::from_network(Network::new(shape, parameters, Precision::F32, Device::Cpu), SPECIAL)
}

/// Repeating a token has a cosine of 1 and costs α, more than any probability earns: (1 − α) p < α.
#[test]
fn a_large_penalty_keeps_a_model_from_repeating_itself() {
    let empty_prompt: Documents = [&[][..]].into_iter().collect();
    let greedy = write(&looping(), &DecodingStrategy::GREEDY, &empty_prompt, 7);
    assert_eq!(greedy.get(0), [1, 2, 1, 2, 1, 2, 1]);
    let strategy = DecodingStrategy::Contrastive(ContrastiveSearchSettings { k: 8, alpha: 0.6 });
    assert_eq!(write(&looping(), &strategy, &empty_prompt, 7).get(0), [1, 2, 3, 4, 5, 6, 7]);
}

#[test]
fn contrastive_search_with_an_ngram_is_an_error() {
    let (strategy, prompts) =
        (DecodingStrategy::Contrastive(ContrastiveSearchSettings { k: 4, alpha: 0.6 }), prompts(5));
    let request = GenerateRequest {
        prompts: &prompts,
        max_document_tokens: 4,
        decoding: &strategy,
        item: &|index| index as u64,
    };
    let result = staged(|stage| ngram().generate(&request, stage));
    assert!(matches!(result, Err(ModelError::NoHiddenStates)));
}

#[test]
fn a_document_depends_neither_on_those_beside_it_nor_on_the_number_of_threads() {
    let transformer = lively(grouped_shape());
    let of_transformer = [
        DecodingStrategy::Beam(beam(3, 1.0)),
        DecodingStrategy::Contrastive(ContrastiveSearchSettings { k: 3, alpha: 0.5 }),
    ];
    let cases: [(&dyn LanguageModel, usize, &[DecodingStrategy]); 2] =
        [(&transformer, 37, &of_transformer), (&ngram(), 5, &of_transformer[..1])];
    for (model, vocab_size, strategies) in cases {
        let prompts = prompts(vocab_size);
        for strategy in strategies {
            let all = with_threads(1, || write(model, strategy, &prompts, 12));
            assert_eq!(with_threads(3, || write(model, strategy, &prompts, 12)), all);
            for (prompt, document) in prompts.iter().zip(all.iter()) {
                let alone = write(model, strategy, &[prompt].into_iter().collect(), 12);
                assert_eq!(alone.get(0), document);
            }
        }
    }
}

/// With an empty prompt, a search always writes the same document.
#[test]
fn the_configured_search_writes_the_corpus() {
    let model = ngram();
    let strategy = DecodingStrategy::Beam(beam(3, 1.0));
    let document = write(&model, &strategy, &[&[][..]].into_iter().collect(), 12);
    let copies = 5;
    let synthesis = SynthesisSettings {
        max_document_tokens: 12,
        decoding: strategy,
        ..SynthesisSettings::textbook(Tokens(document.tokens().0 * copies))
    };
    let tokenizer = Tokenizer::learn(&[], 257).unwrap();
    let sources = Sources { natural: &Documents::new(), previous: None, tokenizer: &tokenizer, world: None };
    let written = staged(|stage| write_corpus(&model, &synthesis, sources, &model, stage));
    let (corpus, record) = written.unwrap();
    assert_eq!(record.decoding, "beam search, 3 beams, length penalty 1");
    assert_eq!(corpus.len() as u64, copies);
    assert!(corpus.iter().all(|text| *text == *document.get(0)));
}
