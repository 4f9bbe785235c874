//! Many experiments of one file: the experiments of a grid, what they share, and how the others continue if one fails.

use crate::folder::contents;
use candle_core::Device;
use genloss::config::{self, Experiment, Sweep};
use genloss::lineage::{self, RunContext, RunError};
use genloss::measure::Metrics;
use genloss::mixture::NaturalFraction;
use genloss::progress::{Event, Recorder, error_chain};
use genloss::store::{self, Provenance};
use genloss::sweep::{self, PreparedSweep, SweepPhase, UnitGroup};
use genloss::synthesis::{Continuation, Textbook};
use genloss::units::Tokens;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::atomic::AtomicBool;

const FILE: &str = r#"
name = "scaling"
seeds = [1]
generations = 2
corpus = { source = "world", train_tokens = 4000, heldout_tokens = 1000, reference_tokens = 6000 }
tokenizer = { vocab_size = 400 }
model = { kind = "ngram", order = 2 }
synthesis = { max_document_tokens = 200 }
"#;

const TRANSFORMER: &str = r#"
name = "small"
seeds = [1]
generations = 1
corpus = { source = "world", train_tokens = 3000, heldout_tokens = 500, reference_tokens = 3000 }
tokenizer = { vocab_size = 300 }
model = { layers = 1, width = 16, heads = 2, context = 16 }
training = { tokens = 8000, batch = 8 }
synthesis = { max_document_tokens = 64 }
[[arm]]
name = "unanchored"
mixture = "replace"
"#;

fn parse(grid: &str) -> Result<Sweep, String> {
    let sweep = config::parse_sweep(&format!("{FILE}[grid]\n{grid}\n"), "scaling.toml", &[]);
    sweep.map(|sweep| sweep.unwrap()).map_err(|error| error.to_string())
}

fn names(experiments: &[Experiment]) -> Vec<&str> {
    experiments.iter().map(|experiment| experiment.name.as_str()).collect()
}

fn arms(experiment: &Experiment) -> Vec<&str> {
    experiment.arms.iter().map(|arm| arm.name.as_str()).collect()
}

#[test]
fn a_grid_gives_an_experiment_for_each_combination_and_an_arm_for_each_mixture() {
    let sweep = parse(
        "\"model.order\" = [2, 3]
        synthesis = { method = [\"textbook\", \"continuation\"] }
        mixture.natural_fraction = [0.0, 0.25, 1.0]
        mixture.natural = [\"fixed\", \"fresh\"]",
    )
    .unwrap();
    assert_eq!(sweep.name, "scaling");
    let expected = [
        ("order=2,method=textbook", 2, Textbook::default().into()),
        ("order=2,method=continuation", 2, Continuation::default().into()),
        ("order=3,method=textbook", 3, Textbook::default().into()),
        ("order=3,method=continuation", 3, Continuation::default().into()),
    ];
    assert_eq!(names(&sweep.experiments), expected.each_ref().map(|(name, ..)| *name));
    for (experiment, (_, order, method)) in sweep.experiments.iter().zip(expected) {
        // All natural, and the same every time, is the control itself.
        let expected = [
            "control",
            "natural_fraction=0.0,natural=fixed",
            "natural_fraction=0.0,natural=fresh",
            "natural_fraction=0.25,natural=fixed",
            "natural_fraction=0.25,natural=fresh",
            "natural_fraction=1.0,natural=fresh",
        ];
        assert_eq!(arms(experiment), expected);
        for arm in &experiment.arms {
            assert_eq!(arm.model.order(), Some(order));
            assert_eq!(arm.synthesis.method, method);
        }
        let fraction = &experiment.arms[3].mixture.natural_fraction;
        assert_eq!(*fraction, NaturalFraction::Schedule(vec![0.25]));
        // An experiment is recorded as an ordinary file without a grid.
        assert_eq!(config::parse(&experiment.to_toml(), "resolved", &[]).unwrap(), *experiment);
    }
}

#[test]
fn arms_of_the_file_are_in_every_experiment_and_keys_of_one_name_are_told_apart() {
    let text = format!(
        "{FILE}[[arm]]\nname = \"grown\"\nmixture = \"accumulate\"\n[grid]\nmixture = [\"replace\"]\n\
         training.tokens = [5000, 6000]\nsynthesis.tokens = [4000]\n"
    );
    let sweep = config::parse_sweep(&text, "scaling.toml", &["grid.training.tokens=[7000]".to_owned()]);
    let experiments = sweep.unwrap().unwrap().experiments;
    assert_eq!(names(&experiments), ["training.tokens=7000,synthesis.tokens=4000"]);
    assert_eq!(arms(&experiments[0]), ["control", "grown", "mixture=replace"]);
    assert_eq!(experiments[0].training.tokens, Some(Tokens(7000)));
    // Mixtures alone are one experiment, by the name of the file.
    let alone = parse("mixture.natural_fraction = [0.5]").unwrap();
    assert_eq!(names(&alone.experiments), ["scaling"]);
    assert_eq!(config::parse_sweep(FILE, "scaling.toml", &[]).unwrap(), None);
}

/// The line of `[grid]` in the files that [`parse`] reads.
const GRID_LINE: usize = 9;

fn line_of(message: &str) -> usize {
    message.split(':').nth(1).unwrap().parse().unwrap_or_else(|_| panic!("{message} has no line"))
}

#[test]
fn an_error_in_what_a_grid_sets_is_at_the_line_of_its_key() {
    let first_and =
        |second: &str| parse(&format!("tokenizer.vocab_size = [400, 500]\n{second}")).unwrap_err();
    for second in ["model.ordre = [1]", "x = [1]", "\"model.order\" = [7]", "synthesis.top_p = [2.0]"] {
        assert_eq!(line_of(&first_and(second)), GRID_LINE + 2, "{}", first_and(second));
    }
    let mixture = parse("mixture.natural_fraction = [0.1, 1.5]").unwrap_err();
    assert_eq!(line_of(&mixture), GRID_LINE + 1, "{mixture}");
    let beams = FILE.replace("{ max_document_tokens", "{ beams = 4, max_document_tokens");
    let text = format!("{beams}[grid]\nmodel.order = [2]\nsynthesis.temperature = [0.5]\n");
    let refused = config::parse_sweep(&text, "scaling.toml", &[]).unwrap_err().to_string();
    assert_eq!(line_of(&refused), GRID_LINE + 2, "{refused}");
    // What is wrong in the file itself is at its own line.
    let text = format!("{}[grid]\nmodel.order = [2]\n", FILE.replace("vocab_size = 400", "vocab_size = 4"));
    let refused = config::parse_sweep(&text, "scaling.toml", &[]).unwrap_err().to_string();
    assert!(line_of(&refused) < GRID_LINE, "{refused}");
}

#[test]
fn a_grid_of_kinds_leaves_the_settings_of_the_kind_in_the_file_behind() {
    let sweep = parse("model.width = [16]\nmodel.kind = [\"transformer\"]\nmodel.context = [16]").unwrap();
    assert_eq!(sweep.experiments[0].model.name(), "transformer");
    assert_eq!(sweep.experiments[0].model.context_tokens(), Some(16));
}

#[test]
fn an_error_in_a_grid_names_the_key_or_the_cell() {
    let many: Vec<String> = (0..201).map(|seed| seed.to_string()).collect();
    let many = format!("corpus.world.seed = [{}]\nmodel.order = [1, 2, 3]", many.join(", "));
    let cases = [
        (
            "model.ordre = [2]",
            "grid, ordre=2: model.ordre: unknown key \"ordre\"; the nearest valid key is \"order\" (of kind, order)",
        ),
        ("modle.order = [2]", "the nearest valid key is \"model\""),
        (
            "mixture.naturel_fraction = [0.1]",
            "grid, naturel_fraction=0.1: mixture.naturel_fraction: unknown key \"naturel_fraction\"",
        ),
        (
            "mixture = [\"replaced\"]",
            "grid, mixture=replaced: mixture: \"replaced\" is not a published regime",
        ),
        (
            "mixture.natural_fraction = [1.5]",
            "grid, natural_fraction=1.5: mixture.natural_fraction: 1.5 is out of range",
        ),
        (
            "model.order = [2, 9]",
            "grid, order=9: model.order: 9 is out of range; give a whole number from 1 to 5",
        ),
        ("model.order = []", "grid.model.order: the list is empty"),
        ("model.order = 3", "grid.model.order: 3 is not a list; give a list of values, such as [3]"),
        ("model.order = [3, 3]", "grid.model.order: two of its values would have the same folder name 3"),
        ("model.order = [2]\n\"model.order\" = [3]", "grid.model.order: is given twice"),
        ("seeds = [1, 2]", "grid, seeds=1: seeds: expected a list"),
        ("name = [\"a\", \"b\"]", "grid.name: cannot vary"),
        (&many, "grid: 603 combinations are more than the 500 that a sweep can have"),
    ];
    for (grid, expected) in cases {
        let message = parse(grid).unwrap_err();
        assert!(message.contains(expected), "{grid} gave: {message}");
        assert!(line_of(&message) >= GRID_LINE, "not at a line of the grid: {message}");
    }
    let as_run = config::parse(&format!("{FILE}[grid]\nmodel.order = [2, 3]\n"), "scaling.toml", &[]);
    assert!(as_run.unwrap_err().to_string().contains("genloss sweep"));
}

fn run(
    prepared: &PreparedSweep,
    root: &Path,
    units: &[UnitGroup],
    at_a_time: usize,
) -> (Result<(), RunError>, Vec<Event>) {
    let (observer, interrupt) = (Recorder::default(), AtomicBool::new(false));
    let provenance = Provenance::default();
    let context = RunContext {
        device: &Device::Cpu,
        observer: &observer,
        interrupt: &interrupt,
        metrics: &Metrics::builtin(),
        provenance,
    };
    let result = prepared.run(root, units, at_a_time, &context);
    (result, observer.events())
}

fn trainings(events: &[Event]) -> usize {
    stages(events, "training")
}

fn stages(events: &[Event], name: &str) -> usize {
    let is_it = |event: &&Event| matches!(event, Event::StageStarted { key, .. } if key.stage == name);
    events.iter().filter(is_it).count()
}

/// The experiments differ in how they write. Their controls have the same models (generations 0, 1 and 2), and their arms
/// train generations 1 and 2 on different text: 3 + 2 · 2 trainings for 10 generations.
#[test]
fn generations_that_two_experiments_have_in_common_are_made_once() {
    let grid = "synthesis.method = [\"textbook\", \"continuation\"]\nmixture.natural_fraction = [0.5]";
    let sweep = parse(grid).unwrap();
    let prepared = sweep::prepare(&sweep.experiments).unwrap();
    let units = prepared.groups();
    let unit = |phase| UnitGroup { phase, seed: 1, experiments: vec![0, 1] };
    assert_eq!(units, [unit(SweepPhase::First), unit(SweepPhase::Later)]);
    let missing = |exists: &dyn Fn(&Experiment, store::Address) -> bool| {
        units.iter().flat_map(|unit| prepared.missing(unit, exists).unwrap()).collect::<Vec<_>>()
    };
    let planned = missing(&|_, _| false);
    assert_eq!((planned.len(), planned.iter().filter(|step| step.trains).count()), (10, 7));
    let dir = tempfile::tempdir().unwrap();
    let (done, events) = run(&prepared, dir.path(), &units, 1);
    done.unwrap();
    assert_eq!(trainings(&events), 7);
    let started = Event::RunStarted {
        experiment: dir.path().file_name().unwrap().to_string_lossy().into_owned(),
        generations: 10,
        done: 0,
    };
    assert!(events.contains(&started));
    let exists =
        |experiment: &Experiment, at: store::Address| at.exists_in(&dir.path().join(&experiment.name));
    assert!(missing(&exists).is_empty());
    // Generation 0 of the second experiment has the model of the first, and is not trained.
    let without_first = |experiment: &Experiment, at: store::Address| {
        experiment.name != "method=continuation" || at.generation > 0
    };
    let planned = missing(&without_first);
    let left: Vec<_> = planned.iter().map(|step| (step.experiment, step.generation, step.trains)).collect();
    assert_eq!(left, [(1, 0, false)]);
}

/// Also where models were trained for another experiment, in either precision.
#[test]
fn an_experiment_of_a_sweep_equals_the_same_experiment_alone_to_the_bit() {
    let grid = "[grid]\nmodel.precision = [\"f32\", \"bf16\"]\nsynthesis.temperature = [1.0, 0.8]\n";
    let text = format!("{TRANSFORMER}{grid}");
    // Trainings for each precision: generation 0, the control, and the arm at two temperatures. Every experiment writes
    // all of its 3 generations.
    assert_same_as_alone(&text, 2 * (1 + 1 + 2), 4 * 3);
}

/// Two sizes of model are trained on what one writer wrote, by either of two methods.
#[test]
fn models_of_every_size_share_one_writer() {
    let writer =
        "[writer]\nmodel = { width = 32, ffn = 48 }\ntraining = { tokens = 12_000, fim_share = 0.5 }\n";
    let grid = "[grid]\nmodel.width = [16, 24]\n\
                writer.synthesis = [{ method = \"textbook\" }, { method = \"rephrase\", fidelity = 0.5 }]\n";
    let text = format!("{TRANSFORMER}{writer}{grid}");
    // Trainings: one writer; for each size the control, and an arm for each method. Corpora: one by the writer for each
    // method; for each size that of the control, and of an arm for each method.
    let experiments = assert_same_as_alone(&text, 1 + 2 * (1 + 2), 2 + 2 * (1 + 2));
    let dir = tempfile::tempdir().unwrap();
    let prepared = sweep::prepare(&experiments).unwrap();
    run(&prepared, dir.path(), &prepared.groups(), 2).0.unwrap();
    for experiment in &experiments {
        let recorded = store::read(&dir.path().join(&experiment.name)).unwrap();
        let parameters = |generation: usize| -> Vec<u64> {
            let of = |lineage: &store::LineageRecord| lineage.generations[generation].training.parameters;
            recorded.lineages.iter().map(of).collect()
        };
        let [first, later] = [parameters(0), parameters(1)];
        assert!(first.iter().all(|one| *one == first[0]) && later.iter().all(|one| one < &first[0]));
        let wrote = &recorded.lineages[1].generations;
        assert_eq!(wrote[0].synthesis.method == "rephrase", experiment.name.contains("rephrase"));
        assert_eq!(wrote[1].synthesis.method, "textbook");
    }
}

/// Runs a sweep, which must train `trained` models and write `written` corpora, and each of its experiments alone.
fn assert_same_as_alone(text: &str, trained: usize, written: usize) -> Vec<Experiment> {
    let sweep = config::parse_sweep(text, "small.toml", &[]).unwrap().unwrap();
    let prepared = sweep::prepare(&sweep.experiments).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let units = prepared.groups();
    let planned: Vec<_> =
        units.iter().flat_map(|unit| prepared.missing(unit, &|_, _| false).unwrap()).collect();
    let foreseen =
        |wanted: fn(&sweep::PlannedGeneration) -> bool| planned.iter().filter(|step| wanted(step)).count();
    assert_eq!((foreseen(|step| step.trains), foreseen(|step| step.writes)), (trained, written));
    let (done, events) = run(&prepared, dir.path(), &units, 1);
    done.unwrap();
    assert_eq!((trainings(&events), stages(&events, "synthesis")), (trained, written));
    for experiment in &sweep.experiments {
        let alone = tempfile::tempdir().unwrap();
        let (observer, interrupt) = (Recorder::default(), AtomicBool::new(false));
        let provenance = Provenance::default();
        let context = RunContext {
            device: &Device::Cpu,
            observer: &observer,
            interrupt: &interrupt,
            metrics: &Metrics::builtin(),
            provenance,
        };
        let prepared = lineage::prepare(experiment).unwrap();
        lineage::run(experiment, &prepared, alone.path(), &context).unwrap();
        assert_eq!(trainings(&observer.events()), 3);
        let folder = dir.path().join(&experiment.name);
        assert!(contents(&folder) == contents(alone.path()), "{}", experiment.name);
    }
    sweep.experiments
}

/// The fingerprints of such generations are computed from `experiment.toml` and their records.
#[test]
fn generations_that_an_older_program_committed_are_reused() {
    let grid = "synthesis.method = [\"textbook\", \"continuation\"]\nmixture.natural_fraction = [0.5]";
    let sweep = parse(grid).unwrap();
    let prepared = sweep::prepare(&sweep.experiments).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let units = prepared.groups();
    run(&prepared, dir.path(), &units, 1).0.unwrap();
    let whole = contents(dir.path());
    for (name, bytes) in &whole {
        if name.ends_with("manifest.json") {
            let mut manifest: serde_json::Value = serde_json::from_slice(bytes).unwrap();
            for key in ["schema", "blake3", "fingerprints", "place"] {
                manifest.as_object_mut().unwrap().shift_remove(key).unwrap();
            }
            fs::write(dir.path().join(name), manifest.to_string()).unwrap();
        }
    }
    let second = dir.path().join("method=continuation");
    fs::remove_dir_all(second.join("seed-1")).unwrap();
    let (done, events) = run(&prepared, dir.path(), &units, 1);
    done.unwrap();
    // Of the second experiment, only generations 1 and 2 of the arm are trained; all five are written.
    assert_eq!((trainings(&events), stages(&events, "synthesis")), (2, 5));
    let again = contents(&second);
    assert!(again.iter().all(|(name, bytes)| whole[&format!("method=continuation/{name}")] == *bytes));
}

/// A single note tells of the failure.
#[test]
fn the_other_arms_run_if_one_fails_in_generation_0() {
    let arms = "[[arm]]\nname = \"wild\"\nmixture = \"replace\"\n\
                training = { learning_rate = 10, weight_decay = 10 }\n\
                [[arm]]\nname = \"later\"\nmixture = \"replace\"\ntraining = { batch = 4 }\n";
    let text = format!("{TRANSFORMER}{arms}[grid]\nmodel.layers = [1]\n");
    let sweep = config::parse_sweep(&text, "small.toml", &[]).unwrap().unwrap();
    let prepared = sweep::prepare(&sweep.experiments).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let (done, events) = run(&prepared, dir.path(), &prepared.groups(), 1);
    assert!(error_chain(&done.unwrap_err()).contains("training diverged"));
    let told =
        events.iter().filter(|event| matches!(event, Event::Note(note) if note.contains("failed"))).count();
    assert_eq!(told, 1);
    let recorded = store::read(&dir.path().join("layers=1")).unwrap();
    let made: Vec<usize> = recorded.lineages.iter().map(|lineage| lineage.generations.len()).collect();
    assert_eq!(made, [2, 2, 0, 2], "control, unanchored, wild, later");
}

/// Losses at different numbers of tokens can be compared only on the same held-out text in the same tokens.
#[test]
fn experiments_that_train_on_more_or_less_text_share_tokenizer_and_held_out_text() {
    let sweep = parse("corpus.train_tokens = [2000, 8000]").unwrap();
    let prepared = sweep::prepare(&sweep.experiments).unwrap();
    assert!(std::ptr::eq(prepared.text(0), prepared.text(1)));
    assert_eq!(prepared.groups().len(), 2 * 2);
    let dir = tempfile::tempdir().unwrap();
    run(&prepared, dir.path(), &prepared.groups(), 2).0.unwrap();
    let recorded = |name: &str| store::read(&dir.path().join(name)).unwrap();
    let (little, much) = (recorded("train_tokens=2000"), recorded("train_tokens=8000"));
    assert_eq!(little.provenance.tokenizer, much.provenance.tokenizer);
    assert_eq!(little.provenance.corpus, much.provenance.corpus);
    let seen = |one: &store::RunRecord| one.lineages[0].generations[0].training.tokens_seen;
    assert_eq!((seen(&little), seen(&much)), (Tokens(2000), Tokens(8000)));
    // Another tokenizer is another text.
    let apart = parse("tokenizer.vocab_size = [300, 400]").unwrap();
    let apart = sweep::prepare(&apart.experiments).unwrap();
    assert!(!std::ptr::eq(apart.text(0), apart.text(1)));
}

fn genloss(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_genloss")).args(arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn a_sweep_prints_its_plan_runs_and_has_nothing_to_do_the_second_time() {
    let dir = tempfile::tempdir().unwrap();
    let (file, out) = (dir.path().join("scaling.toml"), dir.path().join("out"));
    let grid = "[grid]\nmodel.order = [2, 3]\nmixture.natural_fraction = [0.0, 0.5]\n";
    fs::write(&file, format!("{FILE}{grid}")).unwrap();
    let (file, out_text) = (file.to_str().unwrap(), out.to_str().unwrap());
    let planned = genloss(&["sweep", file, "--out", out_text, "--plan"]);
    assert!(planned.status.success() && !out.exists());
    // Of each order: generation 0, and two more of the control and of two arms.
    let plan = text(&planned.stdout);
    assert!(plan.contains("2 experiments; left to do: 14 generations, 14 of which train a model"), "{plan}");
    let checked = text(&genloss(&["check", file]).stdout);
    assert!(
        checked.contains("2 experiments; left to do: 14 generations") && checked.contains("order=3"),
        "{checked}"
    );
    let ran = genloss(&["sweep", file, "--out", out_text]);
    assert!(ran.status.success(), "{}", text(&ran.stderr));
    let before = contents(&out);
    let again = genloss(&["sweep", file, "--out", out_text]);
    assert!(text(&again.stderr).contains("nothing is left to do"), "{}", text(&again.stderr));
    assert!(text(&ran.stdout).ends_with(&text(&again.stdout)));
    assert!(text(&again.stdout).contains("order=3") && before == contents(&out));
    // Each experiment is a run like any other.
    assert!(genloss(&["compare", &format!("{out_text}/order=2")]).status.success());
    // Another value adds an experiment to the finished ones.
    let more = ["--set", "grid.model.order=[2,3,4]"];
    let more = genloss(&[&["sweep", file, "--out", out_text, "--plan"], &more[..]].concat());
    assert!(
        text(&more.stdout).contains("3 experiments; left to do: 7 generations"),
        "{}",
        text(&more.stdout)
    );
    // A setting outside of the grid cannot change.
    let changed = genloss(&["sweep", file, "--out", out_text, "--set", "synthesis.temperature=0.5"]);
    assert!(text(&changed.stderr).contains("synthesis.temperature: 1.0 → 0.5"), "{}", text(&changed.stderr));
    assert!(changed.stdout.is_empty(), "no plan is printed for a sweep that cannot run");
    assert!(before == contents(&out));
}

#[test]
fn a_file_without_a_grid_and_the_folder_of_a_single_run_are_errors() {
    let dir = tempfile::tempdir().unwrap();
    let (file, out) = (dir.path().join("scaling.toml"), dir.path().join("out"));
    fs::write(&file, FILE).unwrap();
    let (file, out) = (file.to_str().unwrap(), out.to_str().unwrap());
    let failed = genloss(&["sweep", file, "--out", out]);
    assert!(text(&failed.stderr).contains("has no [grid]; run a single experiment with genloss run"));
    assert!(genloss(&["run", file, "--out", out]).status.success());
    let grid = ["--set", "grid.model.order=[2, 3]"];
    let failed = genloss(&[&["sweep", file, "--out", out], &grid[..]].concat());
    assert!(text(&failed.stderr).contains("contains a single run; give another --out"));
    let failed = genloss(&[&["run", file, "--out", out], &grid[..]].concat());
    assert!(text(&failed.stderr).contains("genloss sweep"));
}

#[test]
fn the_error_names_an_experiment_that_fails_and_the_others_are_finished() {
    let dir = tempfile::tempdir().unwrap();
    let (file, out) = (dir.path().join("small.toml"), dir.path().join("out"));
    let grid = "[grid]\ntraining.learning_rate = [10, 1e-3]\n";
    fs::write(&file, format!("{TRANSFORMER}{grid}").replace("batch = 8", "batch = 8, weight_decay = 10"))
        .unwrap();
    let failed = genloss(&["sweep", file.to_str().unwrap(), "--out", out.to_str().unwrap()]);
    assert!(!failed.status.success());
    let said = text(&failed.stderr);
    let last = said.lines().last().unwrap();
    assert!(
        last.starts_with("genloss: not every experiment is finished: learning_rate=1")
            && last.contains("training diverged at step"),
        "{said}"
    );
    // Finished experiments are shown.
    let shown = text(&failed.stdout);
    assert!(shown.contains("unanchored"), "{shown}");
    let finished = store::read(&out.join("learning_rate=0.001")).unwrap();
    assert!(finished.lineages.iter().all(|lineage| lineage.generations.len() == 2));
    assert!(finished.baseline.is_some());
}

#[test]
fn the_error_names_a_damaged_store_and_the_other_experiments_run() {
    let dir = tempfile::tempdir().unwrap();
    let (file, out) = (dir.path().join("scaling.toml"), dir.path().join("out"));
    fs::write(&file, format!("{FILE}[[arm]]\nname = \"unanchored\"\nmixture = \"replace\"\n")).unwrap();
    let sweep = |orders: &str| {
        let grid = format!("grid.model.order={orders}");
        genloss(&["sweep", file.to_str().unwrap(), "--out", out.to_str().unwrap(), "--set", &grid])
    };
    assert!(sweep("[2]").status.success());
    let damaged = out.join("order=2/seed-1/gen-000");
    fs::write(damaged.join("measurements.json"), "{").unwrap();
    let said = sweep("[2, 3]");
    let errors = text(&said.stderr);
    assert!(!said.status.success());
    assert!(errors.lines().last().unwrap().contains("damaged"), "{errors}");
    let shown = text(&said.stdout);
    let overview = &shown[shown.find("verdict").unwrap()..];
    assert!(overview.contains("order=3") && !overview.contains("order=2"), "{shown}");
    assert!(store::read(&out.join("order=3")).unwrap().baseline.is_some());
    // A finished sweep is verified as well.
    assert!(text(&sweep("[2]").stderr).lines().last().unwrap().contains("delete this folder and run again"));
    fs::remove_dir_all(damaged).unwrap();
    assert!(sweep("[2, 3]").status.success());
}

#[test]
fn a_name_that_is_too_long_for_a_folder_is_cut_and_ends_in_a_hash() {
    let long = |end: &str| format!("\"{}{end}\"", "rewrite-".repeat(20));
    let file = FILE.replace("tokenizer = { vocab_size = 400 }", "");
    let names = |values: &str| -> Vec<String> {
        let text = format!("{file}[grid]\nsynthesis.temperature = [0.8]\ntokenizer.path = [{values}]\n");
        let sweep = config::parse_sweep(&text, "scaling.toml", &[]).unwrap().unwrap();
        sweep.experiments.into_iter().map(|experiment| experiment.name).collect()
    };
    let cut = names(&format!("{}, {}", long("a"), long("b")));
    assert!(
        cut.iter().all(|name| name.len() == 100 && name.starts_with("temperature=0.8,path=rewrite-")),
        "{cut:?}"
    );
    assert_ne!(cut[0], cut[1]);
    assert_eq!(names("\"short\""), ["temperature=0.8,path=short"]);
}
