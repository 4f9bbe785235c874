//! Times generations of the demo with everything that belongs to one: training, writing, scoring, measuring and records:
//! `cargo bench --bench generation`.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use genloss::measure::Metrics;
use genloss::model::Precision;
use genloss::progress::Silent;
use genloss::{config, lineage, store};
use std::sync::atomic::AtomicBool;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Generation 0, and generation 1 of the control and of both arms.
const GENERATIONS: u64 = 4;

fn generations(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("generation");
    group.throughput(Throughput::Elements(GENERATIONS)).sample_size(10);
    for precision in Precision::ALL {
        let precision_setting = format!("model.precision=\"{precision}\"");
        let settings = ["seeds=[1]".to_owned(), "generations=1".to_owned(), precision_setting];
        let file = include_str!("../configs/demo.toml");
        let experiment = config::parse(file, "demo.toml", &settings).expect("an experiment");
        let prepared = lineage::prepare(&experiment).expect("text");
        group.bench_function(BenchmarkId::new("demo", precision), |bencher| {
            bencher.iter(|| {
                let folder = tempfile::tempdir().expect("a folder");
                let context = lineage::RunContext {
                    device: &candle_core::Device::Cpu,
                    observer: &Silent,
                    interrupt: &AtomicBool::new(false),
                    metrics: &Metrics::builtin(),
                    provenance: store::Provenance::default(),
                };
                lineage::run(&experiment, &prepared, folder.path(), &context).expect("runs");
                let record = store::read(folder.path()).expect("a record");
                let made: usize = record.lineages.iter().map(|lineage| lineage.generations.len()).sum();
                assert_eq!(made as u64, GENERATIONS + 2, "generation 0 belongs to all three arms");
            });
        });
    }
    group.finish();
}

criterion_group!(benches, generations);
criterion_main!(benches);
