//! How fast a transformer learns and writes: `cargo bench --bench training`.
//!
//! Throughput is in tokens: trained on, or written.

use candle_core::Device;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use genloss::config::{self, Decoding, Init, Training, TrainingLength};
use genloss::documents::{Documents, TokenId};
use genloss::model::transformer::Transformer;
use genloss::model::{Generate, LanguageModel, SpecialTokens};
use genloss::progress::Silent;
use genloss::seed::Place;
use genloss::stage::Stage;
use genloss::training::adamw::{self, Moments, Step};
use genloss::training::gradients::{Batch, Gradients};
use genloss::units::Tokens;
use rand::Rng;
use std::hint::black_box;
use std::sync::atomic::AtomicBool;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const SIZES: [(&str, usize, config::Transformer); 2] = [
    ("tiny", 1024, config::Transformer { layers: 2, width: 128, heads: 4, ffn: 352, context: 128 }),
    ("reference", 4096, config::Transformer { layers: 4, width: 256, heads: 4, ffn: 704, context: 128 }),
];
const BATCH: usize = 16;
/// Ends no document early, so that the number of tokens written is known: no token has this id.
const NO_END: TokenId = TokenId::MAX;
const DOCUMENTS: usize = 512;
const DOCUMENT_TOKENS: usize = 64;

fn model(architecture: &config::Transformer, vocab_size: usize) -> Transformer {
    let special = SpecialTokens { start: 0, end: NO_END };
    let mut stream = Place::new(1, "control", 0, "initialisation").stream(0);
    Transformer::initialise(architecture, vocab_size, special, &mut stream, &Device::Cpu).expect("a model")
}

fn settings() -> Training {
    Training {
        length: TrainingLength::Tokens(Tokens(1)),
        init: Init::Scratch,
        batch: BATCH,
        learning_rate: 1e-3,
        warmup_fraction: 0.05,
        final_rate_fraction: 0.1,
        weight_decay: 0.1,
        beta1: 0.9,
        beta2: 0.95,
        gradient_clip: 1.0,
        checkpoint_minutes: 10.0,
    }
}

fn training_step(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("training");
    group.sample_size(10);
    for (size, vocab_size, architecture) in SIZES {
        let mut network = model(&architecture, vocab_size).into_network();
        network.precision = if std::env::var_os("BF16").is_some() { config::Precision::Bf16 } else { config::Precision::F32 };
        let mut gradients = Gradients::new(&network);
        let mut stream = Place::new(1, "control", 0, "training").stream(0);
        let mut ids =
            || (0..BATCH * architecture.context).map(|_| stream.random_range(0..vocab_size as u32)).collect();
        let batch = Batch { tokens: ids(), targets: ids(), time: architecture.context };
        let mut moments = network.parameters
            .try_map(|p| {
                let zeros = vec![0.0; p.elem_count()];
                Ok::<_, candle_core::Error>(Moments { first: zeros.clone(), second: zeros })
            })
            .expect("moments");
        let settings = settings();
        group.throughput(Throughput::Elements(batch.tokens.len() as u64));
        group.bench_function(BenchmarkId::new("step", size), |bencher| {
            bencher.iter(|| {
                let nats = gradients.compute(&network, &batch).expect("a gradient");
                let gradient = gradients.values();
                let scale = adamw::clip(adamw::norm(gradient), settings.gradient_clip);
                let step = Step { count: 1, rate: 1e-5, gradient_scale: scale };
                adamw::step(&mut network.parameters, &mut moments, gradient, &settings, step).expect("a step");
                black_box(nats)
            });
        });
    }
    group.finish();
}

fn sampling(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("sampling");
    group.sample_size(10);
    let decoding = Decoding::PLAIN;
    let prompts: Documents = (0..DOCUMENTS).map(|_| &[][..]).collect();
    let interrupt = AtomicBool::new(false);
    let stage = Stage::new(Place::new(1, "control", 0, "synthesis"), &Silent, &interrupt);
    for (size, vocab_size, architecture) in SIZES {
        let model = Transformer::from_network(model(&architecture, vocab_size).network().in_precision(if std::env::var_os("BF16").is_some() { config::Precision::Bf16 } else { config::Precision::F32 }), SpecialTokens { start: 0, end: NO_END });
        let request = Generate {
            prompts: &prompts,
            max_document_tokens: DOCUMENT_TOKENS,
            decoding: &decoding,
            first_item: 0,
        };
        let written = model.generate(&request, &stage).expect("documents");
        assert_eq!(written.tokens().0, (DOCUMENTS * DOCUMENT_TOKENS) as u64);
        group.throughput(Throughput::Elements(written.tokens().0));
        group.bench_function(BenchmarkId::from_parameter(size), |bencher| {
            bencher.iter(|| black_box(model.generate(&request, &stage).expect("documents")));
        });
    }
    group.finish();
}

criterion_group!(benches, training_step, sampling);
criterion_main!(benches);
