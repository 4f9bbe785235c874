//! Times the simulation of drift: `cargo bench --bench drift`. The time of a lineage grows with the number of types,
//! not with the number of samples.
//!
//! In ids such as `15e12x100000x100`, the numbers are samples × types × generations of one lineage, simulated with all
//! its statistics. Throughput is in types.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use genloss::config;
use genloss::decoding::SamplingSettings;
use genloss::drift::categorical::CategoricalSimulation;
use genloss::drift::hypergeometric::subset;
use genloss::drift::multinomial::multinomial;
use genloss::drift::{DriftSettings, Frequencies};
use genloss::seed::StreamKey;
use std::hint::black_box;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn simulation(mixture: &str, samples: u64, types: usize, generations: usize) -> CategoricalSimulation {
    let mixture = config::parse_mixture(mixture, "mixture").expect("a published name");
    let plan = DriftSettings { samples, generations, mixture, replicates: 1, seed: 1 };
    let frequencies = Frequencies::zipf(types, 1.1, 0.0).expect("valid parameters");
    CategoricalSimulation::new(frequencies, SamplingSettings::PLAIN, &plan).expect("a valid loop")
}

fn loops(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("drift/categorical");
    group.sample_size(10);
    let cases = [
        ("15e12x100000x100", "replace", 15_000_000_000_000, 100_000, 100),
        ("1e6x1000x50", "replace", 1_000_000, 1000, 50),
        ("1e6x1000x50/accumulate-subsample", "accumulate-subsample", 1_000_000, 1000, 50),
    ];
    for (name, mixture, samples, types, generations) in cases {
        let simulation = simulation(mixture, samples, types, generations);
        assert_eq!(simulation.rows().len(), 7 * (generations + 1));
        group.throughput(Throughput::Elements((types * (generations + 1)) as u64));
        group.bench_function(name, |bencher| bencher.iter(|| black_box(simulation.rows())));
    }
    group.finish();
}

fn draws(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("drift/draw");
    let frequencies = Frequencies::zipf(1000, 1.1, 0.0).expect("valid parameters");
    let place = StreamKey::new(1, "bench", 0, "drift bench");
    for samples in [1_000_u64, 15_000_000_000_000] {
        let counts = multinomial(samples, frequencies.probabilities(), &place);
        assert_eq!(counts.iter().sum::<u64>(), samples);
        group.throughput(Throughput::Elements(1000));
        group.bench_function(BenchmarkId::new("multinomial", samples), |bencher| {
            bencher.iter(|| black_box(multinomial(samples, frequencies.probabilities(), &place)));
        });
        group.bench_function(BenchmarkId::new("subset", samples), |bencher| {
            bencher.iter(|| black_box(subset(samples / 3, &counts, &place)));
        });
    }
    group.finish();
}

criterion_group!(benches, loops, draws);
criterion_main!(benches);
