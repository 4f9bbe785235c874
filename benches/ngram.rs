//! The n-gram model, and the decoder that draws from its rows as from those of any model: `cargo bench --bench ngram`.
//!
//! The text is made up: Zipf-distributed tokens of which each depends on the one before, in documents of about a
//! hundred tokens. Its n-grams are about as many as in natural text of that size.

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use genloss::decoding::Sampler;
use genloss::decoding::{DecodingStrategy, SamplingSettings};
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
        // Log-uniform ranks are Zipf-distributed; half of the time the rank is turned by the token before.
        let rank = ((VOCAB_SIZE as f64).powf(rng.random::<f64>()) as u32).min(VOCAB_SIZE as u32 - 1);
        previous = if rng.random_bool(0.5) { (rank * 7 + previous) % 64 + 1 } else { rank };
        document.push(previous);
    }
    documents.push(&document);
    documents
}

fn ngram(criterion: &mut Criterion) {
    let text = text(1_000_000);
    let fit = |order| {
        Ngram::fit(&text, NgramSettings { order }, VOCAB_SIZE, SPECIAL, &stage()).expect("the text is sound")
    };
    let tokens = text.tokens().0;

    let mut group = criterion.benchmark_group("ngram/fit");
    group.sample_size(10).throughput(Throughput::Elements(tokens));
    for order in [3, 5] {
        group.bench_function(format!("order-{order}/1M"), |bencher| bencher.iter(|| fit(order)));
    }
    group.finish();

    let mut group = criterion.benchmark_group("ngram/score");
    group.sample_size(10).throughput(Throughput::Elements(tokens));
    for order in [3, 5] {
        group.bench_function(format!("order-{order}/first/1M"), |bencher| {
            bencher.iter_batched(
                || fit(order),
                |model| model.score(&text, &stage()),
                BatchSize::PerIteration,
            );
        });
        let model = fit(order);
        let scores = model.score(&text, &stage()).expect("nothing interrupts it");
        assert_eq!(scores.entropies.len() as u64, tokens);
        group.bench_function(format!("order-{order}/again/1M"), |bencher| {
            bencher.iter(|| model.score(&text, &stage()));
        });
    }
    group.finish();

    let mut group = criterion.benchmark_group("ngram/sample");
    group.sample_size(10);
    let prompts: Documents = std::iter::repeat_n(&[][..], 2000).collect();
    for order in [3, 5] {
        let model = fit(order);
        let top_p = SamplingSettings { top_p: Some(0.95), ..SamplingSettings::PLAIN };
        for (name, decoding, documents) in
            [("plain", DecodingStrategy::PLAIN, 2000), ("top-p", top_p.into(), 100)]
        {
            let prompts: Documents = prompts.iter().take(documents).collect();
            let request = GenerateRequest {
                prompts: &prompts,
                max_document_tokens: 500,
                decoding: &decoding,
                item: &|index| index as u64,
            };
            let written = model.generate(&request, &stage()).expect("nothing interrupts it");
            assert_eq!(written.len(), documents);
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

criterion_group!(benches, ngram, decoding);
criterion_main!(benches);
