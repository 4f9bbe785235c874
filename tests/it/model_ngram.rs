//! The n-gram model against a slow reference, written straight from the formulas, and against values worked by hand.

use genloss::decoding::{DecodingStrategy, SamplingSettings};
use genloss::documents::{Documents, TokenId};
use genloss::model::ngram::Ngram;
use genloss::model::{GenerateRequest, LanguageModel, ModelError, SpecialTokens};
use genloss::progress::{Event, Recorder, Silent};
use genloss::seed::StreamKey;
use genloss::stage::Stage;
use genloss::training::{Learner, NgramLearner, NoCheckpoints, TrainingError};
use genloss::units::Tokens;
use rand::Rng;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::AtomicBool;

static NEVER: AtomicBool = AtomicBool::new(false);
static ALWAYS: AtomicBool = AtomicBool::new(true);

const SPECIAL: SpecialTokens = SpecialTokens { start: 0, end: 0 };

fn stage() -> Stage<'static> {
    Stage::new(StreamKey::new(1, "control", 0, "synthesis"), &Silent, &NEVER)
}

fn fit(documents: &Documents, order: usize, vocab_size: usize, special: SpecialTokens) -> Ngram {
    Ngram::fit(documents, genloss::model::NgramSettings { order }, vocab_size, special, &stage())
        .expect("the text is valid")
}

fn documents(texts: &[&[TokenId]]) -> Documents {
    texts.iter().copied().collect()
}

/// Documents of random tokens with a skewed distribution, most of which end with `end`; some are empty.
fn random_documents(count: usize, vocab_size: u32, end: TokenId, seed: u64) -> Documents {
    let mut rng = StreamKey::new(seed, "test", 0, "text").stream(0);
    let mut documents = Documents::new();
    for index in 0..count {
        let length = rng.random_range(0..12);
        let mut text: Vec<TokenId> = Vec::new();
        for _ in 0..length {
            // Products of uniform numbers are skewed, and repeating the token two before makes higher orders matter.
            let fresh = (rng.random::<f64>() * rng.random::<f64>() * f64::from(vocab_size - 1)) as u32 + 1;
            let again = text.len().checked_sub(2).map(|back| text[back]);
            text.push(again.filter(|_| rng.random_bool(0.4)).unwrap_or(fresh));
        }
        if index % 7 != 3 {
            text.push(end);
        }
        documents.push(&text);
    }
    documents
}

/// Interpolated modified Kneser–Ney from the formulas, with n-grams as keys: slow and readable.
struct Reference {
    order: usize,
    vocab_size: usize,
    start: TokenId,
    counts: Vec<BTreeMap<Vec<TokenId>, u64>>,
    discounts: Vec<[f64; 4]>,
}

impl Reference {
    fn fit(documents: &Documents, order: usize, vocab_size: usize, start: TokenId) -> Self {
        let mut occurrences = vec![BTreeMap::new(); order + 1];
        let mut before = vec![BTreeMap::<Vec<TokenId>, BTreeSet<TokenId>>::new(); order + 1];
        for document in documents.iter() {
            let text: Vec<TokenId> = [start].into_iter().chain(document.iter().copied()).collect();
            for last in 1..text.len() {
                for k in 1..=order.min(last + 1) {
                    let first = last + 1 - k;
                    let ngram = text[first..=last].to_vec();
                    *occurrences[k].entry(ngram.clone()).or_insert(0) += 1;
                    if first > 0 {
                        before[k].entry(ngram).or_default().insert(text[first - 1]);
                    }
                }
            }
        }
        let mut counts = occurrences.clone();
        for k in 1..order {
            for (ngram, count) in &mut counts[k] {
                if k == 1 || ngram[0] != start {
                    *count = before[k][ngram].len() as u64;
                }
            }
        }
        let discounts = counts.iter().map(Self::estimate).collect();
        Self { order, vocab_size, start, counts, discounts }
    }

    fn estimate(counts: &BTreeMap<Vec<TokenId>, u64>) -> [f64; 4] {
        let number = |r| counts.values().filter(|&&count| count == r).count() as f64;
        let [n1, n2, n3, n4] = [1, 2, 3, 4].map(number);
        let y = n1 / (n1 + 2.0 * n2);
        let d = [0.0, 1.0 - 2.0 * y * n2 / n1, 2.0 - 3.0 * y * n3 / n2, 3.0 - 4.0 * y * n4 / n3];
        if (1..=3).all(|r| d[r] > 0.0 && d[r] < r as f64) {
            d
        } else if y > 0.0 && y < 1.0 {
            [0.0, y, y, y]
        } else {
            [0.0, 0.5, 0.5, 0.5]
        }
    }

    fn probability(&self, context: &[TokenId], token: TokenId) -> f64 {
        let k = context.len() + 1;
        let lower = if context.is_empty() {
            1.0 / self.vocab_size as f64
        } else {
            self.probability(&context[1..], token)
        };
        let discount = |count: u64| self.discounts[k][count.min(3) as usize];
        let followers =
            self.counts[k].iter().filter(|(ngram, _)| ngram[..k - 1] == *context).map(|(_, &count)| count);
        let total: u64 = followers.clone().sum();
        if total == 0 {
            return lower;
        }
        let taken: f64 = followers.map(discount).sum();
        let ngram: Vec<TokenId> = context.iter().copied().chain([token]).collect();
        let count = self.counts[k].get(&ngram).copied().unwrap_or(0);
        ((count as f64 - discount(count)).max(0.0) + taken * lower) / total as f64
    }

    fn distribution(&self, document_so_far: &[TokenId]) -> Vec<f64> {
        let text: Vec<TokenId> = [self.start].into_iter().chain(document_so_far.iter().copied()).collect();
        let context = &text[text.len().saturating_sub(self.order - 1)..];
        (0..self.vocab_size as u32).map(|token| self.probability(context, token)).collect()
    }
}

fn entropy(distribution: &[f64]) -> f64 {
    distribution.iter().filter(|&&p| p > 0.0).map(|p| -p * p.ln()).sum()
}

fn assert_close(actual: &[f64], expected: &[f64], tolerance: f64) {
    assert_eq!(actual.len(), expected.len());
    for (token, (a, e)) in actual.iter().zip(expected).enumerate() {
        assert!((a - e).abs() <= tolerance, "token {token}: {a} is not {e}");
    }
}

/// Every prefix of every document, and random contexts.
fn contexts(documents: &Documents, vocab_size: u32) -> Vec<Vec<TokenId>> {
    let mut contexts: Vec<Vec<TokenId>> = documents
        .iter()
        .flat_map(|document| (0..=document.len()).map(|length| document[..length].to_vec()))
        .collect();
    let mut rng = StreamKey::new(9, "test", 0, "contexts").stream(0);
    for length in 0..60 {
        contexts.push((0..length % 6).map(|_| rng.random_range(0..vocab_size)).collect());
    }
    contexts
}

#[test]
fn predictions_agree_with_the_reference_for_every_order() {
    for order in 1..=5 {
        for (seed, special) in [(1, SPECIAL), (2, SpecialTokens { start: 0, end: 1 })] {
            let text = random_documents(40, 9, special.end, seed);
            let model = fit(&text, order, 9, special);
            let reference = Reference::fit(&text, order, 9, special.start);
            for k in 1..=order {
                assert_close(&model.discounts(k), &reference.discounts[k][1..], 1e-12);
            }
            for context in contexts(&text, 9) {
                let actual = model.distribution(&context).unwrap();
                assert_close(&actual, &reference.distribution(&context), 1e-12);
            }
        }
    }
}

#[test]
fn scores_agree_with_the_reference_and_entropies_with_brute_force() {
    for order in 1..=5 {
        let text = random_documents(60, 12, 0, 3);
        let other = random_documents(20, 12, 0, 4);
        let model = fit(&text, order, 12, SPECIAL);
        let reference = Reference::fit(&text, order, 12, 0);
        let scores = model.score(&other, &stage()).unwrap();
        let mut position = 0;
        for document in other.iter() {
            for (index, &token) in document.iter().enumerate() {
                let expected = reference.distribution(&document[..index]);
                let log_probability = f64::from(scores.log_probabilities[position]);
                assert!((log_probability - expected[token as usize].ln()).abs() < 1e-6);
                assert!((f64::from(scores.entropies[position]) - entropy(&expected)).abs() < 1e-6);
                position += 1;
            }
        }
        assert_eq!(position, scores.entropies.len());
        let mean = -scores.log_probabilities.iter().map(|&log| f64::from(log)).sum::<f64>() / position as f64;
        assert!((model.loss_nats_per_token(&other).unwrap() - mean).abs() < 1e-6);
    }
}

#[test]
fn every_distribution_sums_to_one_and_gives_every_token_some_probability() {
    let text = random_documents(3000, 300, 0, 5);
    for order in 1..=5 {
        let model = fit(&text, order, 300, SPECIAL);
        for context in contexts(&text.prefix(Tokens(400)), 300) {
            let distribution = model.distribution(&context).unwrap();
            assert!((distribution.iter().sum::<f64>() - 1.0).abs() < 1e-9, "{context:?}");
            assert!(distribution.iter().all(|&p| p > 0.0));
        }
    }
}

/// One document "1 1 2", start 0, vocabulary of 4, order 2.
///
/// Bigrams (0 1), (1 1), (1 2), once each: all n are n1, so D = ½. Continuation counts: 1 follows 0 and 1, so 2; 2
/// follows 1, so 1. n1 = 1, n2 = 1: D = Y = 1/3 at order 1. There γ = (⅓ + ⅓)/3 = 2/9, and of it a token gets 1/18:
/// p(1) = (2 − ⅓)/3 + 1/18 = 11/18, p(2) = (1 − ⅓)/3 + 1/18 = 5/18, p(0) = p(3) = 1/18.
/// After 1: γ = (½ + ½)/2 = ½. p(1|1) = ¼ + 11/36 = 20/36, p(2|1) = ¼ + 5/36 = 14/36, others 1/36.
/// After the start token: γ = ½. p(1|0) = ½ + 11/36 = 29/36, p(2|0) = 5/36.
/// After 2 nothing was seen: the distribution of order 1.
#[test]
fn predictions_match_values_worked_by_hand() {
    let model = fit(&documents(&[&[1, 1, 2]]), 2, 4, SPECIAL);
    let part = |numbers: [f64; 4], of: f64| numbers.map(|number| number / of);
    assert_close(&model.distribution(&[]).unwrap(), &part([1.0, 29.0, 5.0, 1.0], 36.0), 1e-12);
    assert_close(&model.distribution(&[1]).unwrap(), &part([1.0, 20.0, 14.0, 1.0], 36.0), 1e-12);
    assert_close(&model.distribution(&[1, 2]).unwrap(), &part([1.0, 11.0, 5.0, 1.0], 18.0), 1e-12);
    assert_eq!(model.distinct_ngrams(), 5);
}

/// Kneser & Ney's point: 2 is more frequent than 3, but follows 1 only. In a new context, 3 is more probable.
#[test]
fn a_frequent_token_that_follows_one_token_only_is_improbable_elsewhere() {
    let text = documents(&[&[1, 2, 0], &[1, 2, 0], &[1, 2, 0], &[1, 2, 0], &[4, 3, 0], &[5, 3, 0]]);
    let after_unseen = fit(&text, 2, 8, SPECIAL).distribution(&[7]).unwrap();
    assert!(after_unseen[3] > after_unseen[2]);
}

#[test]
fn a_model_of_no_text_gives_all_tokens_the_same_probability() {
    for order in 1..=5 {
        let model = fit(&Documents::new(), order, 8, SPECIAL);
        assert_close(&model.distribution(&[3, 4]).unwrap(), &[0.125; 8], 1e-15);
        let scores = model.score(&documents(&[&[1, 2]]), &stage()).unwrap();
        assert!(scores.entropies.iter().all(|entropy| (entropy - 8.0_f32.ln()).abs() < 1e-6));
        assert!(!generate(&model, 5, &DecodingStrategy::PLAIN, 4).is_empty());
    }
}

fn generate(
    model: &Ngram,
    count: usize,
    decoding: &DecodingStrategy,
    max_document_tokens: usize,
) -> Documents {
    let prompts: Documents = std::iter::repeat_n(&[][..], count).collect();
    let request =
        GenerateRequest { prompts: &prompts, max_document_tokens, decoding, item: &|index| index as u64 };
    model.generate(&request, &stage()).expect("nothing interrupts it")
}

/// Pearson's statistic of the tokens drawn after each short context, against the model's own distribution: 20,000
/// documents of at most three tokens. The 0.9999 quantile of chi-square is below df + 4 √(2 df) + 10.
fn check_draws(order: usize, decoding: &SamplingSettings) {
    let cells = check_draws_of(&fit(&random_documents(200, 9, 0, 6), order, 9, SPECIAL), decoding);
    assert!(cells > 20.0, "order {order}: {cells} cells");
}

/// Returns the number of cells of the statistic.
fn check_draws_of(model: &Ngram, decoding: &SamplingSettings) -> f64 {
    let (order, vocab_size) = (model.order(), model.vocab_size());
    let mut sampler = genloss::decoding::Sampler::new(decoding);
    let mut counts: BTreeMap<Vec<TokenId>, Vec<f64>> = BTreeMap::new();
    for document in generate(model, 20_000, &decoding.clone().into(), 3).iter() {
        for (index, &token) in document.iter().enumerate() {
            counts.entry(document[..index].to_vec()).or_insert(vec![0.0; vocab_size])[token as usize] += 1.0;
        }
    }
    let (mut statistic, mut freedom) = (0.0, 0.0);
    for (context, counts) in counts {
        let distribution = model.distribution(&context).expect("tokens of the vocabulary");
        let mut logits: Vec<f32> = distribution.iter().map(|p| p.ln() as f32).collect();
        let expected = sampler.distribution(&mut logits, &context);
        let n: f64 = counts.iter().sum();
        for (count, p) in counts.iter().zip(&expected) {
            assert!(*p > 0.0 || *count == 0.0);
            if p * n >= 5.0 {
                statistic += (count - p * n) * (count - p * n) / (p * n);
                freedom += 1.0;
            }
        }
    }
    let bound = freedom + 4.0 * (2.0_f64 * freedom).sqrt() + 10.0;
    assert!(statistic < bound, "{decoding:?}, order {order}: {statistic} with {freedom} cells");
    freedom
}

#[test]
fn plain_sampling_draws_from_the_predictions() {
    for order in 1..=5 {
        check_draws(order, &SamplingSettings::PLAIN);
    }
}

/// Contexts of the smaller vocabulary have few followers; of the larger one, many have more than sixteen. Both have many
/// tokens of equal probability, of which only the first by id may be kept.
#[test]
fn truncated_sampling_draws_what_is_kept_and_nothing_else() {
    let top_k = [1, 3, 40].map(|k| SamplingSettings { top_k: Some(k), ..SamplingSettings::PLAIN });
    let top_p = [0.0, 0.3, 0.9].map(|p| SamplingSettings { top_p: Some(p), ..SamplingSettings::PLAIN });
    for (documents, vocab_size) in [(200, 9), (1000, 60)] {
        for order in [1, 2, 3, 5] {
            let model =
                fit(&random_documents(documents, vocab_size, 0, 6), order, vocab_size as usize, SPECIAL);
            for decoding in top_k.iter().chain(&top_p) {
                assert!(check_draws_of(&model, decoding) > 0.0);
            }
        }
    }
}

#[test]
fn the_configured_decoder_is_the_one_that_runs() {
    check_draws(3, &SamplingSettings { temperature: 1.7, ..SamplingSettings::PLAIN });
    check_draws(3, &SamplingSettings { top_k: Some(6), min_p: Some(0.01), ..SamplingSettings::PLAIN });
    check_draws(
        3,
        &SamplingSettings { repetition_penalty: 1.4, top_p: Some(0.95), ..SamplingSettings::PLAIN },
    );
    check_draws(3, &SamplingSettings { typical_p: Some(0.8), ..SamplingSettings::PLAIN });
    let model = fit(&random_documents(200, 9, 0, 6), 3, 9, SPECIAL);
    let greedy = generate(&model, 1, &DecodingStrategy::GREEDY, 20);
    let mut text = Vec::new();
    for &token in greedy.flat() {
        let distribution = model.distribution(&text).unwrap();
        assert!(distribution.iter().all(|&p| p <= distribution[token as usize] + 1e-6));
        text.push(token);
    }
}

#[test]
fn the_prompt_conditions_the_document_and_is_not_part_of_it() {
    // After 1 2 always comes 3, after 4 2 always 5.
    let text: Vec<&[TokenId]> = [[&[1, 2, 3, 0][..], &[4, 2, 5, 0]]; 200].concat();
    let model = fit(&documents(&text), 3, 6, SPECIAL);
    let prompts = documents(&[&[1, 2][..], &[4, 2]].repeat(500));
    let decoding = DecodingStrategy::PLAIN;
    let request = GenerateRequest {
        prompts: &prompts,
        max_document_tokens: 4,
        decoding: &decoding,
        item: &|index| index as u64,
    };
    let written = model.generate(&request, &stage()).unwrap();
    let share = |from: usize, token| {
        written.iter().skip(from).step_by(2).filter(|document| document[0] == token).count() as f64 / 500.0
    };
    assert!(share(0, 3) > 0.95 && share(1, 5) > 0.95, "{} {}", share(0, 3), share(1, 5));
}

#[test]
fn documents_end_with_the_end_token_or_at_the_limit() {
    let model = fit(&random_documents(200, 9, 0, 6), 3, 9, SPECIAL);
    let written = generate(&model, 500, &DecodingStrategy::PLAIN, 6);
    assert_eq!(written.len(), 500);
    for document in written.iter() {
        let ended = document.last() == Some(&0);
        assert!(ended || document.len() == 6);
        assert!(!document[..document.len() - 1].contains(&0));
    }
}

#[test]
fn a_document_does_not_depend_on_its_neighbours_or_threads() {
    let model = fit(&random_documents(200, 9, 0, 6), 4, 9, SPECIAL);
    let all = generate(&model, 300, &DecodingStrategy::PLAIN, 50);
    let prompts = documents(&[&[][..]; 10]);
    let decoding = DecodingStrategy::PLAIN;
    let request = GenerateRequest {
        prompts: &prompts,
        max_document_tokens: 50,
        decoding: &decoding,
        item: &|index| 37 + index as u64,
    };
    let some = model.generate(&request, &stage()).unwrap();
    assert!(some.iter().eq(all.iter().skip(37).take(10)));
    for threads in [1, 3] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let again = fit(&random_documents(200, 9, 0, 6), 4, 9, SPECIAL);
            assert_eq!(generate(&again, 300, &DecodingStrategy::PLAIN, 50), all);
            assert_eq!(again.score(&all, &stage()).unwrap(), model.score(&all, &stage()).unwrap());
        });
    }
}

#[test]
fn a_saved_model_is_the_same_when_loaded() {
    let text = random_documents(100, 9, 1, 7);
    for order in 1..=5 {
        let special = SpecialTokens { start: 0, end: 1 };
        let model = fit(&text, order, 9, special);
        let dir = tempfile::tempdir().unwrap();
        model.save(dir.path()).unwrap();
        let loaded = Ngram::load(dir.path()).unwrap();
        assert_eq!((loaded.order(), loaded.vocab_size(), loaded.special()), (order, 9, special));
        assert_eq!(loaded.distinct_ngrams(), model.distinct_ngrams());
        assert_eq!(loaded.score(&text, &stage()).unwrap(), model.score(&text, &stage()).unwrap());
        assert_eq!(
            generate(&loaded, 50, &DecodingStrategy::PLAIN, 20),
            generate(&model, 50, &DecodingStrategy::PLAIN, 20)
        );
    }
}

#[test]
fn a_damaged_folder_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    assert!(matches!(Ngram::load(dir.path()), Err(ModelError::File { .. })));
    fit(&random_documents(100, 9, 0, 7), 3, 9, SPECIAL).save(dir.path()).unwrap();
    let tensors = dir.path().join("ngram.safetensors");
    let config = dir.path().join("config.json");
    let (good_tensors, good_config) =
        (std::fs::read(&tensors).unwrap(), std::fs::read_to_string(&config).unwrap());

    let reason_after = |damage: &str| match Ngram::load(dir.path()) {
        Err(ModelError::Folder { reason, .. }) => reason,
        other => panic!("{damage}: {other:?}"),
    };
    std::fs::write(&tensors, &good_tensors[..good_tensors.len() / 2]).unwrap();
    assert!(reason_after("a file cut in half").contains("copy or train the model again"));
    let mut flipped = good_tensors.clone();
    *flipped.last_mut().unwrap() ^= 1;
    std::fs::write(&tensors, flipped).unwrap();
    reason_after("a flipped bit");
    std::fs::write(&tensors, &good_tensors).unwrap();
    for (from, to) in [
        ("GenlossNgram", "LlamaForCausalLM"),
        ("\"order\": 3", "\"order\": 2"),
        ("\"order\": 3", "\"order\": 4"),
        ("\"order\": 3", "\"order\": 77"),
        ("\"vocab_size\": 9", "\"vocab_size\": 8"),
        ("\"vocab_size\": 9", "\"vocab_size\": 0"),
        ("\"bos_token_id\": 0", "\"bos_token_id\": 9"),
        ("{", "["),
    ] {
        let changed = good_config.replacen(from, to, 1);
        assert_ne!(changed, good_config);
        std::fs::write(&config, changed).unwrap();
        reason_after(to);
    }
}

/// Numbers changed and the hash corrected: every model that still loads must predict without a panic.
#[test]
fn inconsistent_numbers_do_not_pass_the_checks() {
    let dir = tempfile::tempdir().unwrap();
    let text = random_documents(30, 9, 0, 7);
    fit(&text, 3, 9, SPECIAL).save(dir.path()).unwrap();
    let tensors = dir.path().join("ngram.safetensors");
    let config = dir.path().join("config.json");
    let good = std::fs::read(&tensors).unwrap();
    let good_config = std::fs::read_to_string(&config).unwrap();
    let good_hash = blake3::hash(&good).to_hex().to_string();
    let header = 8 + u64::from_le_bytes(good[..8].try_into().unwrap()) as usize;
    let mut errors = 0;
    let numbers = (good.len() - header) / 4;
    for number in 0..numbers {
        for change in [1, u32::MAX, 1 << 20] {
            let mut bad = good.clone();
            let place = header + 4 * number;
            let value = u32::from_le_bytes(bad[place..place + 4].try_into().unwrap()).wrapping_add(change);
            bad[place..place + 4].copy_from_slice(&value.to_le_bytes());
            let hash = blake3::hash(&bad).to_hex().to_string();
            std::fs::write(&tensors, &bad).unwrap();
            std::fs::write(&config, good_config.replace(&good_hash, &hash)).unwrap();
            match Ngram::load(dir.path()) {
                Err(ModelError::Folder { .. }) => errors += 1,
                Err(other) => panic!("{other:?}"),
                Ok(model) => {
                    let sum: f64 = model.distribution(&[1, 2]).unwrap().iter().sum();
                    assert!((sum - 1.0).abs() < 1e-9);
                    model.score(&text, &stage()).unwrap();
                    generate(&model, 5, &DecodingStrategy::PLAIN, 10);
                }
            }
        }
    }
    assert!(errors > numbers, "{errors} of {}", 3 * numbers);
}

#[test]
fn tokens_outside_the_vocabulary_are_an_error() {
    let bad = documents(&[&[1, 9]]);
    let fitted = Ngram::fit(&bad, genloss::model::NgramSettings { order: 2 }, 9, SPECIAL, &stage());
    assert!(matches!(fitted, Err(ModelError::UnknownToken { .. })));
    let model = fit(&documents(&[&[1, 2]]), 2, 9, SPECIAL);
    assert!(matches!(model.score(&bad, &stage()), Err(ModelError::UnknownToken { .. })));
    assert!(matches!(model.distribution(&[9]), Err(ModelError::UnknownToken { .. })));
    let decoding = DecodingStrategy::PLAIN;
    let request = GenerateRequest {
        prompts: &bad,
        max_document_tokens: 2,
        decoding: &decoding,
        item: &|index| index as u64,
    };
    assert!(matches!(model.generate(&request, &stage()), Err(ModelError::UnknownToken { .. })));
}

#[test]
fn an_interrupt_stops_every_stage() {
    let text = random_documents(20, 9, 0, 7);
    let stopped = Stage::new(StreamKey::new(1, "control", 0, "training"), &Silent, &ALWAYS);
    let learner =
        NgramLearner { ngram: genloss::model::NgramSettings { order: 2 }, vocab_size: 9, special: SPECIAL };
    assert!(matches!(learner.fit(&text, &mut NoCheckpoints, &stopped), Err(TrainingError::Interrupted)));
    let model = fit(&text, 2, 9, SPECIAL);
    assert!(matches!(model.score(&text, &stopped), Err(ModelError::Interrupted)));
    let decoding = DecodingStrategy::PLAIN;
    let request = GenerateRequest {
        prompts: &text,
        max_document_tokens: 2,
        decoding: &decoding,
        item: &|index| index as u64,
    };
    assert!(matches!(model.generate(&request, &stopped), Err(ModelError::Interrupted)));
}

#[test]
fn the_learner_records_its_training_and_reports_progress() {
    let text = random_documents(50, 9, 0, 7);
    let recorder = Recorder::default();
    let stage = Stage::new(StreamKey::new(1, "control", 0, "training"), &recorder, &NEVER);
    let learner =
        NgramLearner { ngram: genloss::model::NgramSettings { order: 4 }, vocab_size: 9, special: SPECIAL };
    let trained = learner.fit(&text, &mut NoCheckpoints, &stage).unwrap();
    let model = fit(&text, 4, 9, SPECIAL);
    assert_eq!(trained.record.init, "counts");
    assert_eq!(trained.record.parameters, model.distinct_ngrams());
    assert_eq!((trained.record.steps, trained.record.tokens_seen), (0, text.tokens()));
    assert_eq!(trained.record.curve[0].loss_nats, model.loss_nats_per_token(&text).unwrap());
    let events = recorder.events();
    let advanced: u64 =
        events.iter().map(|event| if let Event::Advanced { amount, .. } = event { *amount } else { 0 }).sum();
    assert_eq!(advanced, text.tokens().0);
    assert!(matches!(events.first(), Some(Event::StageStarted { .. })));
    assert!(matches!(events.last(), Some(Event::StageFinished { .. })));
}

/// Top-2 keeps the two likeliest of four tokens and renormalises them: ln p/(p₁ + p₂) for these, never for the others.
#[test]
fn scores_under_a_decoder_are_computed_in_context() {
    let text = documents(&[&[1, 1, 1, 2, 1, 2, 3, 0], &[1, 2, 1, 1, 0]]);
    let model = fit(&text, 1, 4, SPECIAL);
    let p = model.distribution(&[]).unwrap();
    let top_2 = SamplingSettings { top_k: Some(2), ..SamplingSettings::PLAIN };
    let scores = model.score_decoded(&documents(&[&[1, 2, 3], &[0]]), &top_2, &stage()).unwrap();
    let kept = p[1] + p[2];
    assert!((f64::from(scores[0]) - (p[1] / kept).ln()).abs() < 1e-5);
    assert!((f64::from(scores[1]) - (p[2] / kept).ln()).abs() < 1e-5);
    assert_eq!(scores[2..], [f32::NEG_INFINITY; 2]);
    // A penalty looks at the document so far: the first token costs nothing, its repetition does.
    let penalised = SamplingSettings { repetition_penalty: 1.5, ..SamplingSettings::PLAIN };
    let scores = model.score_decoded(&documents(&[&[1, 1]]), &penalised, &stage()).unwrap();
    let again = p[1].powf(1.5);
    assert!((f64::from(scores[0]) - p[1].ln()).abs() < 1e-5);
    assert!((f64::from(scores[1]) - (again / (1.0 - p[1] + again)).ln()).abs() < 1e-5);
}
