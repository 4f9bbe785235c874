//! What genloss writes for other programs, read back by these programs themselves.
//!
//! Each test needs Python packages and says so when it skips. `GENLOSS_PYTHON` names a Python that has them; otherwise it
//! is the `python3` on the path.

mod python;

use crate::command::genloss;
use genloss::config::CONTROL;
use genloss::store::{self, Address, RunRecord};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// Trained so little that it writes random tokens, among them parts of characters and control characters.
const EXPERIMENT: &str = r#"
name = "small"
seeds = [1, 2]
generations = 2
corpus = { source = ["FILE"], train_tokens = 3000, heldout_tokens = 300, reference_tokens = 1000 }
tokenizer = { vocab_size = 300 }
model = { layers = 1, width = 8, heads = 2, context = 16 }
training = { tokens = 1024, batch = 8 }
synthesis = { max_document_tokens = 32 }
[[arm]]
name = "unanchored"
mixture = "replace"
[[arm]]
name = "a=0.5,b"
mixture = { natural_fraction = 0.5 }
synthesis = { temperature = 0.7 }
"#;

/// A file name and documents that mean something to YAML, Markdown, HTML, Parquet or a terminal.
const FILE: &str = "te'xt: [x](y) #1 `<b>`.jsonl";
const HOSTILE: [&str; 6] = [
    "<script>alert(1)</script> & <img src=x onerror=alert(2)>",
    "---\ntags: !!python/object:os.system\n---\n# a heading",
    "| a | b |\r```\n~~~ `code` ![i](http://example.org/i.png)",
    "\u{2028}\u{2029}\u{85}\u{feff}\u{202e}backwards\u{1b}[31mred",
    "nul \0 and \\ \"quotes\" {{ x }} {% y %}",
    "=cmd|' /C calc'!A0\t,;\n\n    indented",
];

/// A finished run on hostile text, made once: its folder, and the file of its experiment.
fn finished() -> &'static (tempfile::TempDir, PathBuf, PathBuf) {
    static RUN: OnceLock<(tempfile::TempDir, PathBuf, PathBuf)> = OnceLock::new();
    RUN.get_or_init(|| {
        let dir = tempfile::tempdir().unwrap();
        let corpus = dir.path().join(FILE);
        let line = |index: usize| json!({ "text": format!("{index} {}", HOSTILE[index % HOSTILE.len()]) });
        fs::write(&corpus, (0..900).map(|index| format!("{}\n", line(index))).collect::<String>()).unwrap();
        let file = dir.path().join("small.toml");
        let pattern = toml_text(corpus.to_str().unwrap());
        fs::write(&file, EXPERIMENT.replace("\"FILE\"", &pattern)).unwrap();
        let root = dir.path().join("run");
        genloss().arg("run").arg(&file).arg("--out").arg(&root).assert().success();
        (dir, root, file)
    })
}

fn toml_text(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

fn recorded() -> RunRecord {
    store::read(&finished().1).unwrap()
}

/// Exports the finished run in a form, into a new folder.
fn export(form: &str, options: &[&str]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let (_, root, _) = finished();
    let out = dir.path().join("out");
    genloss()
        .arg("export")
        .arg(root)
        .args(["--to", form, "--out"])
        .arg(&out)
        .args(options)
        .assert()
        .success();
    dir
}

/// The documents of a generation.
fn documents(record: &RunRecord, seed: u64, arm: &str, generation: usize) -> Vec<String> {
    let arm = record.experiment.arms.iter().find(|one| one.name == arm).unwrap();
    let address = Address::of(&record.experiment, seed, arm, generation);
    store::read_documents(&finished().1, address, usize::MAX).unwrap().unwrap()
}

fn files_below(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(files_below(&path));
        } else {
            files.insert(path.clone(), fs::read(&path).unwrap());
        }
    }
    files
}

/// The lines of a text, ended by any character that some reader takes for an end of line.
fn lines(text: &str) -> Vec<&str> {
    text.split(['\n', '\r', '\u{b}', '\u{c}', '\u{85}', '\u{2028}', '\u{2029}']).collect()
}

#[test]
fn tensorboard_reads_every_measurement_loss_rank_and_document() {
    if python::lacks(&["tensorboard"]) {
        return;
    }
    let dir = export("tensorboard", &[]);
    let read = python::read("read_tensorboard.py", &[dir.path().join("out").as_os_str()]);
    let record = recorded();
    assert_eq!(read.as_object().unwrap().len(), record.lineages.len());
    for lineage in &record.lineages {
        let run = &read[format!("small/{}/seed-{}", lineage.arm, lineage.seed)];
        let scalars = run["scalars"].as_object().unwrap();
        let of_metric = |id: &str| {
            let end = format!("/{id}");
            scalars.iter().find(|(tag, _)| tag.ends_with(&end)).map(|(_, values)| values).unwrap()
        };
        for (generation, one) in lineage.generations.iter().enumerate() {
            for measurement in &one.measurements {
                let expected = json!([generation, f64::from(measurement.value as f32)]);
                let values = of_metric(&measurement.metric).as_array().unwrap();
                assert!(values.contains(&expected), "{}: {values:?}", measurement.metric);
            }
            let curve = scalars[&format!("training_loss/generation_{generation:03}")].as_array().unwrap();
            let losses: Vec<f32> = curve.iter().map(|point| point[1].as_f64().unwrap() as f32).collect();
            let expected: Vec<f32> = one.training.curve.iter().map(|point| point.loss_nats as f32).collect();
            assert_eq!(losses, expected);
            assert_eq!(curve.last().unwrap()[0], one.training.steps);
            let ranks = &run["histograms"]["ranks/log10_rank"][generation];
            assert_eq!(ranks[0], generation);
            assert_eq!(ranks[1]["num"].as_f64(), Some(record.experiment.measured_tokens.0 as f64));
            let shown = &run["texts"]["documents"][generation];
            let written = documents(&record, lineage.seed, &lineage.arm, generation);
            for (shown, written) in shown[1].as_array().unwrap().iter().zip(&written) {
                // A Markdown code block.
                let unindented: Option<Vec<&str>> =
                    shown.as_str().unwrap().split('\n').map(|line| line.strip_prefix("    ")).collect();
                assert_eq!(unindented.unwrap(), lines(written));
            }
        }
    }
    let titles = &read["small/control/seed-1"]["titles"];
    assert_eq!(titles["held_out/heldout_loss"], "held-out loss");
}

/// The second seed is added by a second process, which finds the log of the first.
#[test]
fn a_run_that_was_followed_and_resumed_has_the_same_log_as_its_export() {
    let dir = tempfile::tempdir().unwrap();
    let (_, _, file) = finished();
    let (root, log, exported) = (dir.path().join("run"), dir.path().join("log"), dir.path().join("exported"));
    for seeds in ["seeds=[1]", "seeds=[1,2]"] {
        let mut run = genloss();
        run.arg("run").arg(file).args(["--set", seeds, "--set", "generations=1"]);
        run.arg("--out").arg(&root).arg("--tensorboard").arg(&log).assert().success();
    }
    genloss()
        .arg("export")
        .arg(&root)
        .args(["--to", "tensorboard", "--out"])
        .arg(&exported)
        .assert()
        .success();
    let below = |folder: &Path| -> BTreeMap<PathBuf, Vec<u8>> {
        let files = files_below(folder).into_iter();
        files.map(|(path, bytes)| (path.strip_prefix(folder).unwrap().to_owned(), bytes)).collect()
    };
    assert_eq!(below(&log).len(), 2 * 3 * 2);
    assert!(below(&log) == below(&exported), "{:?}", below(&log).keys());
}

#[test]
fn hugging_face_datasets_loads_natural_text_and_every_corpus() {
    if python::lacks(&["datasets"]) {
        return;
    }
    let dir = export("dataset", &[]);
    let read = python::read("read_dataset.py", &[dir.path().join("out").as_os_str()]);
    let record = recorded();
    let configurations = read["configurations"].as_object().unwrap();
    assert_eq!(configurations.keys().collect::<Vec<_>>(), [CONTROL, "unanchored", "a=0.5,b"]);
    for lineage in &record.lineages {
        for generation in 0..lineage.generations.len() {
            let rows = &configurations[&lineage.arm][format!("generation_{generation}")];
            let rows = rows.as_array().unwrap().iter().filter(|row| row["seed"] == lineage.seed);
            let loaded: Vec<&str> = rows.map(|row| row["text"].as_str().unwrap()).collect();
            assert_eq!(loaded, documents(&record, lineage.seed, &lineage.arm, generation));
        }
    }
    let natural = configurations[CONTROL]["natural"].as_array().unwrap();
    for hostile in HOSTILE {
        assert!(natural.iter().any(|row| row["text"].as_str().unwrap().ends_with(hostile)), "{hostile:?}");
    }
    assert!(configurations[CONTROL]["heldout"][0]["seed"].is_null());
    assert_eq!(
        read["default"],
        json!(["generation_0", "generation_1", "generation_2", "heldout", "natural", "reference"])
    );
}

#[test]
fn the_hub_reads_the_card_of_a_dataset() {
    if python::lacks(&["huggingface_hub"]) {
        return;
    }
    let dir = export("dataset", &["--without-natural"]);
    let cards = python::read("read_cards.py", &["dataset".as_ref(), dir.path().join("out").as_os_str()]);
    let card = &cards["."];
    assert_eq!(card["data"]["pretty_name"], "small");
    assert_eq!(card["data"]["configs"][2]["config_name"], "a=0.5,b");
    let splits = card["data"]["configs"][1]["data_files"].as_array().unwrap();
    assert_eq!(
        splits.iter().map(|one| &one["split"]).collect::<Vec<_>>(),
        ["generation_0", "generation_1", "generation_2"]
    );
    // The name of the file of natural text is shown as it is.
    let text = card["text"].as_str().unwrap();
    assert!(text.contains(r"te'xt: \[x\](y) \#1 \`\<b\>\`.jsonl"), "{text}");
}

#[test]
fn the_hub_reads_a_card_in_every_exported_model() {
    if python::lacks(&["huggingface_hub"]) {
        return;
    }
    let dir = export("models", &["--seed", "2"]);
    let cards = python::read("read_cards.py", &["model".as_ref(), dir.path().join("out").as_os_str()]);
    let record = recorded();
    assert_eq!(cards.as_object().unwrap().len(), 3 * 3);
    for lineage in record.lineages.iter().filter(|lineage| lineage.seed == 2) {
        for (generation, one) in lineage.generations.iter().enumerate() {
            let folder = format!("{}/seed-2/generation-{generation:03}", lineage.arm);
            let card = &cards[&folder];
            assert_eq!(card["data"]["library_name"], "transformers");
            for measurement in &one.measurements {
                let found = card["evaluations"][&measurement.metric].as_f64();
                assert_eq!(found, Some(measurement.value), "{folder}: {}", measurement.metric);
            }
            // The control and generation 0 know natural text only.
            let distance = if lineage.arm == CONTROL { 0 } else { generation };
            let text = card["text"].as_str().unwrap();
            assert!(text.contains(&format!("Generations from natural text: **{distance}**")), "{text}");
            assert!(dir.path().join("out").join(&folder).join("model.safetensors").exists());
        }
    }
}

#[test]
fn mlflow_reads_settings_verdicts_and_every_measurement() {
    if python::lacks(&["mlflow", "sqlalchemy"]) {
        return;
    }
    let dir = export("mlflow", &[]);
    let (store, database) = (dir.path().join("out"), dir.path().join("mlflow.db"));
    let read = python::read("read_mlflow.py", &[store.as_os_str(), database.as_os_str()]);
    let record = recorded();
    let runs = read["small"].as_object().unwrap();
    assert_eq!(runs.len(), record.lineages.len());
    for lineage in &record.lineages {
        let run = &runs[&format!("{}, seed {}", lineage.arm, lineage.seed)];
        assert_eq!(run["status"], "FINISHED");
        assert_eq!(run["params"]["model.width"], "8");
        assert_eq!(run["tags"]["verdict"].is_string(), lineage.arm != CONTROL);
        assert_eq!(run["artifacts"], json!(["experiment.toml"]));
        for (generation, one) in lineage.generations.iter().enumerate() {
            for measurement in &one.measurements {
                let end = format!("/{}", measurement.metric);
                let (_, values) =
                    run["metrics"].as_object().unwrap().iter().find(|(key, _)| key.ends_with(&end)).unwrap();
                assert_eq!(values[generation], json!([generation, measurement.value]), "{end}");
            }
        }
        let curve = &run["metrics"]["training_loss/generation_001"];
        assert_eq!(curve.as_array().unwrap().len(), lineage.generations[1].training.curve.len());
    }
}

#[test]
fn pandas_finds_units_and_descriptions_in_a_table_of_measurements() {
    if python::lacks(&["pandas", "pyarrow"]) {
        return;
    }
    let dir = export("study", &[]);
    let inspected = dir.path().join("inspected.parquet");
    let printed =
        genloss().arg("inspect").arg(&finished().1).args(["--format", "parquet"]).assert().success();
    fs::write(&inspected, &printed.get_output().stdout).unwrap();
    let rows: usize =
        recorded().lineages.iter().flat_map(|one| &one.generations).map(|one| one.measurements.len()).sum();
    for path in [inspected, dir.path().join("out/measurements.parquet")] {
        let read = python::read("read_parquet.py", &[path.as_os_str()]);
        assert_eq!(read["rows"], rows);
        let columns: Vec<&str> =
            read["columns"].as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect();
        assert!(
            columns.iter().all(|name| read["note"]["columns"][name]["description"].is_string()),
            "{read}"
        );
        assert_eq!(read["note"]["metrics"]["heldout_loss"]["unit"], "nats/token");
    }
}

fn error_of(arguments: &[&str], out: &Path) -> String {
    let failed = genloss().args(arguments).arg("--out").arg(out).assert().failure();
    String::from_utf8(failed.get_output().stderr.clone()).unwrap()
}

#[test]
fn an_export_that_cannot_be_says_why_and_leaves_nothing() {
    let dir = export("study", &[]);
    let (study, out) = (dir.path().join("out"), dir.path().join("new"));
    let (study, run) = (study.to_str().unwrap(), finished().1.to_str().unwrap());
    for (arguments, reason) in [
        (&["export", study, "--to", "dataset"][..], "neither text nor models"),
        (&["export", run, study, "--to", "models"], "one DIR at a time"),
        (&["export", run, "--to", "models", "--arm", "no-such"], "no generation on record matches"),
        (&["export", run, "--to", "mlflow", "--arm", "control"], "add --to models"),
        (&["export", run, "--without-natural"], "add --to dataset"),
    ] {
        let message = error_of(arguments, &out);
        assert!(message.contains(reason), "{message}");
        assert!(!out.exists());
    }
    let message = error_of(&["export", run, "--to", "mlflow"], Path::new(study));
    assert!(message.contains("not empty"), "{message}");
}

#[test]
fn a_study_has_scalars_for_tensorboard_and_a_changed_text_is_not_exported() {
    let dir = export("study", &[]);
    let (study, log) = (dir.path().join("out"), dir.path().join("log"));
    genloss().arg("export").arg(&study).args(["--to", "tensorboard", "--out"]).arg(&log).assert().success();
    assert_eq!(files_below(&log).len(), 2 * 3 * 3);
    // A run of its own, because its text changes.
    let (own, _, file) = finished();
    let corpus = dir.path().join("text.jsonl");
    fs::copy(own.path().join(FILE), &corpus).unwrap();
    let run = dir.path().join("run");
    let source = format!("corpus.source=[{}]", toml_text(corpus.to_str().unwrap()));
    genloss()
        .arg("run")
        .arg(file)
        .args(["--set", &source, "--set", "seeds=[1]", "--set", "generations=1", "--out"])
        .arg(&run)
        .assert()
        .success();
    let text = fs::read_to_string(&corpus).unwrap().replace("backwards", "forwards");
    fs::write(&corpus, text).unwrap();
    let message = error_of(&["export", run.to_str().unwrap(), "--to", "dataset"], &dir.path().join("data"));
    assert!(message.contains("--without-natural"), "{message}");
}

/// The three pictures of an executed notebook, whose cells have no errors.
fn pictures(notebook: &Value) -> usize {
    let cells = notebook["cells"].as_array().unwrap().iter();
    let outputs: Vec<&Value> = cells.filter_map(|cell| cell["outputs"].as_array()).flatten().collect();
    assert!(outputs.iter().all(|output| output["output_type"] != "error"), "{outputs:?}");
    outputs.iter().filter(|output| output["data"]["image/png"].is_string()).count()
}

const NOTEBOOK: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/results.ipynb");

#[test]
fn the_notebook_comes_with_its_three_figures_and_is_small() {
    let text = fs::read_to_string(NOTEBOOK).unwrap();
    assert!(text.len() < 300_000, "{} bytes", text.len());
    assert_eq!(pictures(&serde_json::from_str(&text).unwrap()), 3);
}

#[test]
fn the_notebook_draws_three_figures_of_any_run() {
    if python::lacks(&["nbconvert", "ipykernel", "pandas", "pyarrow", "matplotlib"]) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let executed = python::execute(NOTEBOOK.as_ref(), &finished().1, dir.path());
    assert_eq!(pictures(&executed), 3);
}
