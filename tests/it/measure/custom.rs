//! A metric that a program adds from outside the crate, from the run to the report.

use genloss::config;
use genloss::lineage::{self, RunContext};
use genloss::measure::{
    CountedGeneration, Direction, Estimate, Family, MeasureError, Metric, MetricDefinition, Metrics,
};
use genloss::progress::Silent;
use genloss::store::{self, Provenance, RunRecord};
use genloss::{report, verdict};
use std::sync::atomic::AtomicBool;

/// Mean length of the synthetic documents.
struct DocumentLength {
    id: &'static str,
}

impl Metric for DocumentLength {
    fn definitions(&self) -> Vec<MetricDefinition> {
        vec![MetricDefinition {
            id: self.id.into(),
            label: "mean document length".into(),
            unit: "tokens".into(),
            family: Family::Form,
            narrowing: Direction::Down,
            on_fixed_text: false,
        }]
    }

    fn measure(&self, generation: &CountedGeneration) -> Result<Vec<Option<Estimate>>, MeasureError> {
        let documents = generation.inputs().synthetic.iter();
        let lengths: Vec<(f64, f64)> = documents.map(|document| (document.len() as f64, 1.0)).collect();
        Ok(vec![Estimate::ratio(&lengths)])
    }
}

const FILE: &str = r#"
name = "custom"
seeds = [1, 2]
generations = 1
corpus = { source = "world", train_tokens = 3000, heldout_tokens = 500, reference_tokens = 3000 }
tokenizer = { vocab_size = 300 }
model = { kind = "ngram", order = 2 }
synthesis = { max_document_tokens = 100 }
[[arm]]
name = "replace"
mixture = "replace"
"#;

/// The record of a run that is measured by the built-in metrics and by `document_length`.
fn recorded() -> RunRecord {
    let experiment = config::parse(FILE, "custom.toml", &[]).unwrap();
    let prepared = lineage::prepare(&experiment).unwrap();
    let metrics = Metrics::builtin().with(Box::new(DocumentLength { id: "document_length" })).unwrap();
    let context = RunContext {
        device: &candle_core::Device::Cpu,
        observer: &Silent,
        interrupt: &AtomicBool::new(false),
        metrics: &metrics,
        provenance: Provenance::default(),
    };
    let folder = tempfile::tempdir().unwrap();
    lineage::run(&experiment, &prepared, folder.path(), &context).unwrap();
    store::read(folder.path()).unwrap()
}

fn compared(recorded: &RunRecord) -> verdict::ArmComparison {
    verdict::compare("custom", &recorded.observations(), "control", &recorded.catalogue()).remove(0)
}

/// The files of a report whose names begin with `trajectories`.
fn trajectories(recorded: RunRecord) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    report::write(&[recorded], &[], &[], folder.path()).unwrap();
    let files = std::fs::read_dir(folder.path().join("figures")).unwrap();
    let names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.starts_with("trajectories") && name.ends_with(".svg")).collect()
}

#[test]
fn a_metric_added_by_a_program_is_recorded_with_its_definition_and_compared() {
    let recorded = recorded();
    let definition = recorded.catalogue().get("document_length").unwrap().clone();
    assert_eq!((&*definition.label, definition.narrowing), ("mean document length", Direction::Down));
    let compared = compared(&recorded);
    let effect = compared.effects.last().unwrap();
    assert_eq!((&*effect.metric, &*effect.label), ("document_length", "mean document length"));
    assert_eq!((&*effect.unit, effect.family, effect.practical_size), ("tokens", Family::Form, None));
    assert!(effect.ci_low < effect.difference && effect.difference < effect.ci_high);
    assert!(!trajectories(recorded).contains(&"trajectories_other.svg".to_owned()));
}

/// As another version of genloss would record it: with an id and a unit, but no definition.
#[test]
fn a_metric_without_a_definition_is_shown_by_its_id() {
    let mut recorded = recorded();
    for lineage in &mut recorded.lineages {
        lineage.generations.iter_mut().for_each(|record| record.metrics.clear());
    }
    let compared = compared(&recorded);
    let effect = compared.effects.last().unwrap();
    assert_eq!((&*effect.label, &*effect.unit, effect.family), ("document_length", "tokens", Family::Other));
    assert!(trajectories(recorded).contains(&"trajectories_other.svg".to_owned()));
}

#[test]
fn an_id_that_is_in_use_or_not_in_snake_case_is_an_error() {
    let with = |id| Metrics::builtin().with(Box::new(DocumentLength { id })).err();
    assert!(matches!(with("heldout_loss"), Some(MeasureError::DuplicateId { id }) if id == "heldout_loss"));
    assert!(
        matches!(with("Document length"), Some(MeasureError::InvalidId { id }) if id == "Document length")
    );
    assert!(with("document_length").is_none());
}
