//! Times all measurements (`measure/all/1M_tokens`), and the parts of them that can be called separately.
//!
//! No model is used: its scores are invented. The text is random, too: documents of 20 to 400 tokens, with words drawn
//! from a Zipf distribution over 30 000 types.

use criterion::{Criterion, criterion_group, criterion_main};
use genloss::documents::{Documents, TokenId};
use genloss::measure::{FourGrams, Inputs, Metrics, Reference, measure, own_text_sample};
use genloss::model::Scores;
use genloss::progress::Silent;
use genloss::seed::StreamKey;
use genloss::stage::Stage;
use genloss::units::NatsPerToken;
use rand::Rng;
use rand_distr::{Distribution, Zipf};
use std::hint::black_box;
use std::sync::atomic::AtomicBool;

/// Documents of tokens 1..=2047 that end with token 0. Every token is a word, or half of a word.
fn text(tokens: usize, item: u64) -> (Documents, Vec<String>) {
    let mut random = StreamKey::new(1, "bench", 0, "measure bench").stream(item);
    let zipf = Zipf::new(30_000.0, 1.05).expect("valid parameters");
    let (mut documents, mut texts) = (Documents::new(), Vec::new());
    let mut left = tokens;
    while left > 0 {
        let length = random.random_range(20..400).min(left);
        let (mut document, mut text): (Vec<TokenId>, String) = (Vec::new(), String::new());
        while document.len() + 1 < length {
            let word = zipf.sample(&mut random) as u32;
            // A frequent word is one token, a rare one two.
            document.push(if word < 1024 { word } else { 1024 + word % 700 });
            if word >= 1024 && document.len() + 1 < length {
                document.push(1724 + word / 100);
            }
            text.push_str(&format!("{:x} ", word.wrapping_mul(0x9e37_79b9) >> 8));
        }
        document.push(0);
        left -= document.len();
        documents.push(&document);
        texts.push(text);
    }
    (documents, texts)
}

fn bench(criterion: &mut Criterion) {
    let (natural, natural_texts) = text(1_000_000, 1);
    let (heldout, heldout_texts) = text(100_000, 2);
    let (synthetic, synthetic_texts) = text(1_000_000, 3);
    let scores = |documents: &Documents| Scores {
        log_probabilities: vec![-4.0; documents.flat().len()],
        entropies: vec![4.0; documents.flat().len()],
        ..Scores::default()
    };
    let (heldout_scores, synthetic_scores) = (scores(&heldout), scores(&synthetic));
    let own_text_scores = scores(&own_text_sample(&synthetic, heldout.tokens()));
    let reference = Reference::new(&natural, &natural_texts, &heldout, &heldout_texts).expect("sizes agree");
    let training = FourGrams::new(&natural);
    let inputs = Inputs {
        reference: &reference,
        synthetic: &synthetic,
        synthetic_texts: &synthetic_texts,
        heldout_scores: &heldout_scores,
        synthetic_scores_0: Some(&synthetic_scores),
        own_text_scores: Some(&own_text_scores),
        natural_training: Some(&training),
        heldout_floor: Some(NatsPerToken(3.0)),
        facts: &[],
    };
    let interrupt = AtomicBool::new(false);
    let stage = Stage::new(StreamKey::new(1, "bench", 0, "measure"), &Silent, &interrupt);
    let metrics = Metrics::builtin();
    let measurements = measure(&inputs, &metrics, &stage).expect("inputs fit together").measurements;
    // All metrics except the three recalls, for which a model has to write.
    assert_eq!(measurements.len(), metrics.catalogue().len() - 3);

    let mut group = criterion.benchmark_group("measure");
    group.sample_size(10);
    group.bench_function("all/1M_tokens", |bencher| {
        bencher.iter(|| measure(black_box(&inputs), &metrics, &stage).expect("inputs fit together"));
    });
    group.bench_function("reference/1M_tokens", |bencher| {
        bencher.iter(|| {
            Reference::new(black_box(&natural), &natural_texts, &heldout, &heldout_texts)
                .expect("sizes agree")
        });
    });
    group.bench_function("four_grams/1M_tokens", |bencher| {
        bencher.iter(|| FourGrams::new(black_box(&natural)));
    });
    group.finish();
}

criterion_group!(benches, bench);
criterion_main!(benches);
