//! A file of a run folder: the first byte chooses the file, the rest replaces it. Reading must find measurements that
//! differ from what was committed.
#![no_main]

use genloss::store::{self, RunRecord};
use genloss::{config, lineage, measure::Metrics, progress::Silent};
use libfuzzer_sys::fuzz_target;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::AtomicBool;

const EXPERIMENT: &str = r#"
    name = "fuzz"
    seeds = [1]
    generations = 1
    corpus = { source = "world", train_tokens = 1000, heldout_tokens = 400, reference_tokens = 800 }
    tokenizer = { vocab_size = 300 }
    model = { kind = "ngram", order = 2 }
    [[arm]]
    name = "unanchored"
    mixture = "replace"
"#;

/// A finished run: its folder, its files with what they hold, and what reading it gives.
struct Run {
    folder: PathBuf,
    files: Vec<(PathBuf, Vec<u8>)>,
    record: RunRecord,
}

fn run() -> &'static Run {
    static RUN: OnceLock<Run> = OnceLock::new();
    RUN.get_or_init(|| make().expect("the experiment runs"))
}

fn make() -> Result<Run, Box<dyn std::error::Error>> {
    let experiment = config::parse(EXPERIMENT, "fuzz.toml", &[])?;
    let context = lineage::RunContext {
        device: &candle_core::Device::Cpu,
        observer: &Silent,
        interrupt: &AtomicBool::new(false),
        metrics: &Metrics::builtin(),
        provenance: store::Provenance::default(),
    };
    let folder = genloss_fuzz::path("run");
    lineage::run(&experiment, &lineage::prepare(&experiment)?, &folder, &context)?;
    let mut files = Vec::new();
    collect(&folder, &mut files)?;
    files.sort();
    let record = store::read(&folder)?;
    Ok(Run { folder, files, record })
}

fn collect(folder: &Path, files: &mut Vec<(PathBuf, Vec<u8>)>) -> std::io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, files)?;
        } else {
            let bytes = fs::read(&path)?;
            files.push((path, bytes));
        }
    }
    Ok(())
}

fuzz_target!(|input: &[u8]| {
    let Some((&choice, bytes)) = input.split_first() else { return };
    let run = run();
    let (path, committed) = &run.files[usize::from(choice) % run.files.len()];
    fs::write(path, bytes).expect("the run can be written");
    if let Ok(read) = store::read(&run.folder) {
        let _ = store::samples(&run.folder, &read, 1);
        let is_of_a_generation = path.parent() != Some(run.folder.as_path());
        if is_of_a_generation && bytes != committed {
            let values = |record: &RunRecord| format!("{:?}", record.observations());
            assert_eq!(values(&read), values(&run.record), "{} changes what is read", path.display());
        }
    }
    fs::write(path, committed).expect("the run can be written");
});
