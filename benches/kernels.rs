//! Times every kernel and the same operation in candle, with the shapes of size `reference`, on one thread:
//! `cargo bench --bench kernels`.
//!
//! `fast` is the kernel with all vector instructions of this CPU, `portable` the kernel without them, and `candle` the
//! operation as a user of candle would write it. Throughput is in tokens.

use candle_core::{D, DType, Device, Tensor};
use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use genloss_kernels::attention::{
    self, AttentionScratch, CausalAttention, Heads, Rotary, Scoring, SoftmaxStats,
};
use genloss_kernels::instructions::Instructions;
use genloss_kernels::matmul::{MatmulOptions, OutputMode, PackedRows, Panels, multiply};
use genloss_kernels::norm::rms;
use genloss_kernels::{Precision, softmax, swiglu};
use std::hint::black_box;

const TOKENS: usize = 128;
const WIDTH: usize = 256;
const FFN: usize = 704;
const VOCABULARY: usize = 4096;
const HEADS: Heads = Heads { queries: 4, keys: 4, width: 64 };

/// Numbers between −1 and 1 that look random.
fn numbers(count: usize) -> Vec<f32> {
    (0..count).map(|i| ((i as f32 + 1.0) * 12.9898).sin()).collect()
}

fn tensor(rows: usize, columns: usize) -> Tensor {
    Tensor::from_vec(numbers(rows * columns), (rows, columns), &Device::Cpu).expect("a tensor")
}

fn group<'a>(criterion: &'a mut Criterion, name: &str) -> BenchmarkGroup<'a, WallTime> {
    let mut group = criterion.benchmark_group(format!("kernels/{name}"));
    group.throughput(Throughput::Elements(TOKENS as u64)).sample_size(20);
    group
}

/// Both precisions, with and without vector instructions.
fn variants() -> impl Iterator<Item = (String, MatmulOptions)> {
    let sets = [("fast", Instructions::detect()), ("portable", Instructions::portable())];
    sets.into_iter().flat_map(|(name, instructions)| {
        Precision::ALL
            .map(|precision| (format!("{name}/{precision}"), MatmulOptions { precision, instructions }))
    })
}

/// The product into SwiGLU, weights packed beforehand.
fn matmul(criterion: &mut Criterion) {
    let mut group = group(criterion, "matmul");
    let (x, weights) = (numbers(TOKENS * WIDTH), numbers(2 * FFN * WIDTH));
    for (name, options) in variants() {
        let rows = PackedRows::pack(options.precision, &x, WIDTH);
        let panels = Panels::from_transposed(options.precision, &weights, WIDTH);
        let mut out = vec![0.0; TOKENS * 2 * FFN];
        group.bench_function(BenchmarkId::from_parameter(name), |bencher| {
            bencher.iter(|| {
                multiply(options, &rows.words, rows.stride, panels.view(), &mut out, OutputMode::Overwrite);
                black_box(out[0])
            });
        });
    }
    let (x, weights) = (tensor(TOKENS, WIDTH), tensor(2 * FFN, WIDTH));
    group.bench_function("candle/f32", |bencher| {
        bencher.iter(|| x.matmul(&weights.t().expect("a transpose")).expect("a product"));
    });
    group.finish();
}

fn attention(criterion: &mut Criterion) {
    let mut group = group(criterion, "attention");
    let qkv = numbers(TOKENS * HEADS.qkv_width());
    let rotary = Rotary::new(HEADS.width, TOKENS, 10_000.0);
    for (name, options) in variants() {
        let mut scratch = AttentionScratch::default();
        let mut output = vec![0.0; TOKENS * WIDTH];
        let mut stats = vec![SoftmaxStats::default(); TOKENS * HEADS.queries];
        let causal = CausalAttention {
            options,
            sequence_len: TOKENS,
            heads: HEADS,
            scoring: Scoring::of(HEADS),
            rotary: &rotary,
        };
        group.bench_function(BenchmarkId::new("forward", &name), |bencher| {
            bencher.iter(|| attention::forward(causal, &qkv, &mut scratch, &mut output, &mut stats));
        });
        group.bench_function(BenchmarkId::new("backward", &name), |bencher| {
            let mut gradient = qkv.clone();
            bencher.iter(|| {
                gradient.copy_from_slice(&qkv);
                attention::backward(causal, &mut gradient, &mut scratch, &output, &stats);
            });
        });
    }
    let heads = || tensor(HEADS.queries * TOKENS, HEADS.width).reshape((HEADS.queries, TOKENS, HEADS.width));
    let (q, k, v) = (heads().expect("q"), heads().expect("k"), heads().expect("v"));
    let ahead = |i: usize| if i % TOKENS > i / TOKENS { f32::NEG_INFINITY } else { 0.0 };
    let mask: Vec<f32> = (0..TOKENS * TOKENS).map(ahead).collect();
    let mask = Tensor::from_vec(mask, (TOKENS, TOKENS), &Device::Cpu).expect("a mask");
    let plain = || -> candle_core::Result<Tensor> {
        let scores = (q.matmul(&k.t()?)? / 8.0)?.broadcast_add(&mask)?;
        let shifted = scores.broadcast_sub(&scores.max_keepdim(D::Minus1)?)?.exp()?;
        shifted.broadcast_div(&shifted.sum_keepdim(D::Minus1)?)?.matmul(&v)
    };
    group.bench_function("forward/candle/f32", |bencher| bencher.iter(|| plain().expect("attention")));
    group.finish();
}

fn norms(criterion: &mut Criterion) {
    let mut group = group(criterion, "norm");
    let (x, weight) = (numbers(TOKENS * WIDTH), numbers(WIDTH));
    let (mut y, mut scales) = (vec![0.0; x.len()], vec![0.0; TOKENS]);
    group.bench_function("forward/fast", |bencher| {
        bencher.iter(|| rms::forward(&x, &weight, 1e-5, &mut y, &mut scales));
    });
    let (mut dx, mut dw) = (vec![0.0; x.len()], vec![0.0; WIDTH]);
    group.bench_function("backward/fast", |bencher| {
        bencher.iter(|| rms::backward(&x, &weight, &scales, &x, &mut dx, &mut dw));
    });
    let (x, weight) = (tensor(TOKENS, WIDTH), tensor(1, WIDTH));
    let plain = || -> candle_core::Result<Tensor> {
        let scale = (x.sqr()?.mean_keepdim(D::Minus1)? + 1e-5)?.sqrt()?;
        x.broadcast_div(&scale)?.broadcast_mul(&weight)
    };
    group.bench_function("forward/candle", |bencher| bencher.iter(|| plain().expect("a norm")));
    group.finish();
}

fn swiglu(criterion: &mut Criterion) {
    let mut group = group(criterion, "swiglu");
    let gate_up = numbers(TOKENS * 2 * FFN);
    let mut y = vec![0.0; TOKENS * FFN];
    group.bench_function("forward/fast", |bencher| {
        bencher.iter(|| swiglu::forward(&gate_up, FFN, &mut y));
    });
    let mut gradient = gate_up.clone();
    group.bench_function("backward/fast", |bencher| {
        bencher.iter(|| {
            gradient.copy_from_slice(&gate_up);
            swiglu::backward(&mut gradient, FFN, &y);
        });
    });
    let (gate, up) = (tensor(TOKENS, FFN), tensor(TOKENS, FFN));
    let plain = || gate.silu()? * &up;
    group.bench_function("forward/candle", |bencher| bencher.iter(|| plain().expect("a product")));
    group.finish();
}

/// The loss and the gradient of the logits. For candle only the loss is timed; its gradient would double the time.
fn cross_entropy(criterion: &mut Criterion) {
    let mut group = group(criterion, "cross_entropy");
    let targets: Vec<u32> = (0..TOKENS as u32).map(|i| i * 31).collect();
    let logits = numbers(TOKENS * VOCABULARY);
    let mut gradient = logits.clone();
    group.bench_function("fast", |bencher| {
        bencher.iter(|| {
            gradient.copy_from_slice(&logits);
            softmax::cross_entropy(&mut gradient, &targets, 1.0)
        });
    });
    let logits = tensor(TOKENS, VOCABULARY);
    let targets =
        Tensor::new(targets.as_slice(), &Device::Cpu).and_then(|t| t.unsqueeze(1)).expect("targets");
    let plain = || -> candle_core::Result<f32> {
        let shifted = logits.broadcast_sub(&logits.max_keepdim(1)?)?;
        let log_sums = shifted.exp()?.sum_keepdim(1)?.log()?;
        (log_sums - shifted.gather(&targets, 1)?)?.sum_all()?.to_dtype(DType::F32)?.to_scalar()
    };
    group.bench_function("candle", |bencher| bencher.iter(|| plain().expect("a loss")));
    group.finish();
}

criterion_group!(benches, matmul, attention, norms, swiglu, cross_entropy);
criterion_main!(benches);
