//! A synthesis method and a metric that are defined outside the crate: `cargo run --example extend`.
use genloss::config::Registry;
use genloss::documents::Documents;
use genloss::measure::{
    CountedGeneration, Direction, Estimate, Family, MeasureError, Metric, MetricDefinition, Metrics,
};
use genloss::synthesis::{Draft, Generator, GeneratorContext, GeneratorResult, MethodProperties};
use genloss::synthesis::{SynthesisError, SynthesisMethod, TokenChoice};
use genloss::{lineage, progress::Silent, stage::Stage, store};
use std::sync::atomic::AtomicBool;

/// Writes natural documents with their tokens reordered: `method = "shuffle"`.
#[derive(Debug, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
struct Shuffle {
    /// Largest distance that a token moves, in tokens.
    #[schemars(range(min = 1, max = 1000))]
    distance: usize,
}

impl SynthesisMethod for Shuffle {
    fn name() -> &'static str {
        "shuffle"
    }
    fn generator<'a>(&'a self, context: GeneratorContext<'a>) -> GeneratorResult<'a> {
        Ok(Box::new(Shuffler(self.distance, context.sources.natural)))
    }
    fn token_choice() -> TokenChoice {
        TokenChoice::Other("none: tokens are moved")
    }
    fn properties(&self) -> MethodProperties {
        MethodProperties::REWRITING
    }
}

struct Shuffler<'a>(usize, &'a Documents);

impl Generator for Shuffler<'_> {
    fn generate(&self, items: &[u64], _: &Stage) -> Result<Draft, SynthesisError> {
        let shuffled = items.iter().map(|&item| {
            let mut document = self.1.get(item as usize % self.1.len()).to_vec();
            document.chunks_mut(self.0 + 1).for_each(<[_]>::reverse);
            document
        });
        Ok(Draft { documents: shuffled.collect(), kept: None })
    }
    fn source(&self) -> String {
        format!("train split, tokens moved by at most {}", self.0)
    }
}

/// Mean length of the synthetic documents.
struct DocumentLength;

impl Metric for DocumentLength {
    fn definitions(&self) -> Vec<MetricDefinition> {
        let [id, label, unit] = ["document_length", "mean document length", "tokens"].map(Into::into);
        let (family, narrowing) = (Family::Form, Direction::Unclear);
        vec![MetricDefinition { id, label, unit, family, narrowing, on_fixed_text: false }]
    }
    fn measure(&self, generation: &CountedGeneration) -> Result<Vec<Option<Estimate>>, MeasureError> {
        let lengths = generation.inputs().synthetic.iter().map(|document| (document.len() as f64, 1.0));
        Ok(vec![Estimate::ratio(&lengths.collect::<Vec<_>>())])
    }
}

#[allow(clippy::print_stdout)]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let registry = Registry::builtin().with_method::<Shuffle>();
    let experiment = registry.parse(include_str!("extend.toml"), "extend.toml", &[])?;
    let metrics = &Metrics::builtin().with(Box::new(DocumentLength))?;
    let (device, observer, interrupt) = (&candle_core::Device::Cpu, &Silent, &AtomicBool::new(false));
    let (root, provenance) = (tempfile::tempdir()?, store::Provenance::default());
    let context = lineage::RunContext { device, observer, interrupt, metrics, provenance };
    lineage::run(&experiment, &lineage::prepare(&experiment)?, root.path(), &context)?;
    let record = store::read_with(root.path(), &registry)?;
    for lineage in &record.lineages {
        println!("{}: {:?} tokens", lineage.arm, lineage.generations[1].value("document_length"));
    }
    Ok(())
}
