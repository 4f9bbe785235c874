//! Times the n-gram model, and the sampler that all models use: `cargo bench --bench ngram`.
//!
//! The text consists of random documents of about a hundred Zipf-distributed tokens, each of which depends on the token
//! before it. It has about as many different n-grams as natural text of that size.

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use genloss::decoding::{DecodingStrategy, Sampler, SamplingSettings};
use genloss::documents::Documents;
use genloss::model::NgramSettings;
use genloss::model::ngram::Ngram;
use genloss::model::{GenerateRequest, LanguageModel, SpecialTokens};
use genloss::progress::Silent;
use genloss::seed::StreamKey;
use genloss::stage::Stage;
use rand::Rng;
use std::sync::atomic::AtomicBool;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

static NEVER: AtomicBool = AtomicBool::new(false);

const VOCAB_SIZE: usize = 4096;
const SPECIAL: SpecialTokens = SpecialTokens { start: 0, end: 0 };

fn stage() -> Stage<'static> {
    Stage::new(StreamKey::new(1, "control", 0, "bench"), &Silent, &NEVER)
}

fn text(tokens: usize) -> Documents {
    let mut rng = StreamKey::new(1, "control", 0, "text").stream(0);
    let mut documents = Documents::new();
    let mut document = Vec::new();
    let mut previous = 0;
    for _ in 0..tokens {
        if rng.random_bool(0.01) {
            document.push(SPECIAL.end);
            documents.push(&document);
            document.clear();
            continue;
        }
        // Log-uniform ranks are Zipf-distributed; half of the ranks also depend on the token before.
        let rank = ((VOCAB_SIZE as f64).powf(rng.random::<f64>()) as u32).min(VOCAB_SIZE as u32 - 1);
        previous = if rng.random_bool(0.5) { (rank * 7 + previous) % 64 + 1 } else { rank };
        document.push(previous);
    }
    documents.push(&document);
    documents
}

/// Orders of the timed models.
const ORDERS: [usize; 2] = [3, 5];

fn model(text: &Documents, order: usize) -> Ngram {
    Ngram::fit(text, NgramSettings { order }, VOCAB_SIZE, SPECIAL, &stage()).expect("the text is valid")
}

fn fitting(criterion: &mut Criterion) {
    let text = text(1_000_000);
    let mut group = criterion.benchmark_group("ngram/fit");
    group.sample_size(10).throughput(Throughput::Elements(text.tokens().0));
    for order in ORDERS {
        group.bench_function(format!("order-{order}/1M"), |bencher| bencher.iter(|| model(&text, order)));
    }
    group.finish();
}

fn scoring(criterion: &mut Criterion) {
    let text = text(1_000_000);
    let mut group = criterion.benchmark_group("ngram/score");
    group.sample_size(10).throughput(Throughput::Elements(text.tokens().0));
    for order in ORDERS {
        group.bench_function(format!("order-{order}/first/1M"), |bencher| {
            bencher.iter_batched(
                || model(&text, order),
                |model| model.score(&text, &stage()),
                BatchSize::PerIteration,
            );
        });
        let model = model(&text, order);
        let scores = model.score(&text, &stage()).expect("nothing interrupts it");
        assert_eq!(scores.entropies.len() as u64, text.tokens().0);
        group.bench_function(format!("order-{order}/again/1M"), |bencher| {
            bencher.iter(|| model.score(&text, &stage()));
        });
    }
    group.finish();
}

fn sampling(criterion: &mut Criterion) {
    let text = text(1_000_000);
    let top_p = SamplingSettings { top_p: Some(0.95), ..SamplingSettings::PLAIN };
    let variants = [("plain", DecodingStrategy::PLAIN, 2000), ("top-p", top_p.into(), 100)];
    let mut group = criterion.benchmark_group("ngram/sample");
    group.sample_size(10);
    for order in ORDERS {
        let model = model(&text, order);
        for (name, decoding, documents) in &variants {
            let prompts: Documents = std::iter::repeat_n(&[][..], *documents).collect();
            let request = GenerateRequest {
                prompts: &prompts,
                max_document_tokens: 500,
                decoding,
                item: &|index| index as u64,
            };
            let written = model.generate(&request, &stage()).expect("nothing interrupts it");
            assert_eq!(written.len(), *documents);
            group.throughput(Throughput::Elements(written.tokens().0));
            group.bench_function(format!("order-{order}/{name}"), |bencher| {
                bencher.iter(|| model.generate(&request, &stage()));
            });
        }
    }
    group.finish();
}

fn decoding(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("ngram/decoding");
    let mut rng = StreamKey::new(1, "control", 0, "logits").stream(0);
    for vocab_size in [4096, 32_768] {
        // Sums of uniform numbers: bell-shaped, as logits are.
        let logits: Vec<f32> =
            (0..vocab_size).map(|_| (0..4).map(|_| rng.random_range(-3.0..3.0_f32)).sum()).collect();
        let variants = [
            ("plain", SamplingSettings::PLAIN),
            ("greedy", SamplingSettings { greedy: true, ..SamplingSettings::PLAIN }),
            ("top-k-50", SamplingSettings { top_k: Some(50), ..SamplingSettings::PLAIN }),
            ("top-p-0.95", SamplingSettings { top_p: Some(0.95), ..SamplingSettings::PLAIN }),
            ("min-p-0.05", SamplingSettings { min_p: Some(0.05), ..SamplingSettings::PLAIN }),
        ];
        for (name, decoding) in variants {
            let mut sampler = Sampler::new(&decoding);
            let mut row = logits.clone();
            group.throughput(Throughput::Elements(1));
            group.bench_function(format!("{name}/{vocab_size}"), |bencher| {
                bencher.iter(|| {
                    row.copy_from_slice(&logits);
                    sampler.draw(&mut row, &[], &mut rng)
                });
            });
        }
    }
    group.finish();
}

criterion_group!(benches, fitting, scoring, sampling, decoding);
criterion_main!(benches);
