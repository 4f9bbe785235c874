//! Times training, sampling and searching with a transformer: `cargo bench --bench training`.
//!
//! Throughput is in trained or sampled tokens. `genloss bench` times the same and adds the share of the machine's peak.

use candle_core::Device;
use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use genloss::decoding::{BeamSearchSettings, ContrastiveSearchSettings, DecodingStrategy};
use genloss::model::Precision;
use genloss::speed::{BenchmarkSize, TrainingWorkload, WritingWorkload};
use std::hint::black_box;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const SIZES: [BenchmarkSize; 3] = [BenchmarkSize::REFERENCE, BenchmarkSize::MEDIUM, BenchmarkSize::GPT2];

/// Every size in every precision.
fn variants() -> impl Iterator<Item = (BenchmarkSize, Precision)> {
    SIZES.into_iter().flat_map(|size| Precision::ALL.map(|precision| (size, precision)))
}

fn training(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("training");
    group.sample_size(10);
    for (size, precision) in variants() {
        let mut workload = TrainingWorkload::new(&size, precision, &Device::Cpu).expect("a training");
        let loss = workload.step().expect("a step");
        // The loss of random weights is ln V.
        assert!((loss - (size.vocab_size as f64).ln()).abs() < 0.2, "{loss}");
        group.throughput(Throughput::Elements(workload.tokens().0));
        group.bench_function(BenchmarkId::new(format!("step/{}", size.name), precision), |bencher| {
            bencher.iter(|| black_box(workload.step().expect("a step")));
        });
    }
    group.finish();
}

fn sampling(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("sampling");
    group.sample_size(10);
    for (size, precision) in variants() {
        let workload = WritingWorkload::new(&size, precision, &Device::Cpu).expect("a model");
        time_rounds(&mut group, BenchmarkId::new(size.name, precision), &workload);
    }
    group.finish();
}

fn searching(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("search");
    group.sample_size(10);
    let beam = DecodingStrategy::Beam(BeamSearchSettings { beams: 4, length_penalty: 1.0 });
    let contrastive = DecodingStrategy::Contrastive(ContrastiveSearchSettings { k: 4, alpha: 0.6 });
    for (name, decoding) in [("beams-4", beam), ("contrastive-4", contrastive)] {
        let model = WritingWorkload::new(&BenchmarkSize::TINY, Precision::F32, &Device::Cpu);
        let workload = model.expect("a model").decoding_by(decoding);
        time_rounds(&mut group, BenchmarkId::new(name, BenchmarkSize::TINY.name), &workload);
    }
    group.finish();
}

fn time_rounds(group: &mut BenchmarkGroup<WallTime>, id: BenchmarkId, workload: &WritingWorkload) {
    let written = workload.round().expect("documents");
    assert_eq!(written.tokens(), workload.tokens());
    group.throughput(Throughput::Elements(workload.tokens().0));
    group.bench_function(id, |bencher| bencher.iter(|| black_box(workload.round().expect("documents"))));
}

criterion_group!(benches, training, sampling, searching);
criterion_main!(benches);
