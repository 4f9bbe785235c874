//! Times what `genloss prepare` does with a file: `cargo bench --bench reading`.
//!
//! The file is JSONL, with documents of the built-in world: some 16 MB. A tokenizer is learnt on the train split, all of it
//! is tokenised, and near copies are looked for.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use genloss::config;
use genloss::corpus::world::{World, WorldSettings};
use genloss::lineage;
use std::fmt::Write;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const DOCUMENTS: u64 = 60_000;

fn reading(criterion: &mut Criterion) {
    let world = World::new(&WorldSettings::default());
    let mut lines = String::new();
    for index in 0..DOCUMENTS {
        let line = serde_json::json!({ "text": world.document(index) });
        writeln!(lines, "{line}").expect("a string takes any text");
    }
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("world.jsonl");
    std::fs::write(&path, &lines).expect("writes");
    let file = format!(
        "name = \"reading\"\nseeds = [1]\ngenerations = 1\n\
         corpus = {{ source = [{path:?}], train_tokens = 100_000, heldout_tokens = 20_000, reference_tokens = 80_000 }}\n\
         tokenizer = {{ vocab_size = 4096 }}\nmodel = {{ kind = \"ngram\", order = 3 }}\n\
         [[arm]]\nname = \"replace\"\nmixture = \"replace\"\n"
    );
    let experiment = config::parse(&file, "reading.toml", &[]).expect("an experiment");
    let mut group = criterion.benchmark_group("reading");
    group.throughput(Throughput::Bytes(lines.len() as u64)).sample_size(10);
    group.bench_function("jsonl", |bencher| {
        bencher.iter(|| lineage::prepare(&experiment).expect("prepares"));
    });
    group.finish();
}

criterion_group!(benches, reading);
criterion_main!(benches);
