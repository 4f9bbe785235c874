//! The numbers of a generation as every tool shows them: a tag, a step and a value.

use crate::measure::{Catalogue, Family, MetricDefinition};
use crate::store::GenerationRecord;
use crate::training::TrainingRecord;

/// A measured value and the metric that it belongs to.
pub struct TaggedValue {
    /// The family and the id, such as `tail/tail_coverage`. Tools group tags by what is before the slash.
    pub tag: String,
    /// The definition of the metric.
    pub metric: MetricDefinition,
    /// The value, in the unit of the metric.
    pub value: f64,
}

/// Every measurement of a generation.
pub fn measurements(record: &GenerationRecord) -> Vec<TaggedValue> {
    let mut catalogue = Catalogue::builtin();
    record.metrics.iter().for_each(|definition| catalogue.add_if_new(definition));
    record.measurements.iter().for_each(|one| catalogue.add_unknown(&one.metric, &one.unit));
    let tagged = |(id, value): (&str, f64)| {
        let metric = catalogue.get(id)?.clone();
        Some(TaggedValue { tag: format!("{}/{id}", group(metric.family)), metric, value })
    };
    record.measurements.iter().filter_map(|one| tagged((&one.metric, one.value))).collect()
}

const fn group(family: Family) -> &'static str {
    match family {
        Family::HeldOut => "held_out",
        Family::Tail => "tail",
        Family::Entropy => "entropy",
        Family::Divergence => "divergence",
        Family::Form => "form",
        Family::Other => "other",
    }
}

/// The tag of a generation's loss curve. Each generation has its own, because the steps of each begin again.
pub fn loss_tag(generation: usize) -> String {
    format!("training_loss/generation_{generation:03}")
}

/// The loss curve of a training: optimiser step and nats per token. Empty for an n-gram, whose training has no steps.
pub fn loss_curve(training: &TrainingRecord) -> Vec<(u64, f64)> {
    if training.steps == 0 {
        return Vec::new();
    }
    let steps_per_token = training.steps as f64 / training.tokens_seen.0.max(1) as f64;
    let step = |tokens: u64| (tokens as f64 * steps_per_token).round() as u64;
    training.curve.iter().map(|point| (step(point.tokens.0), point.loss_nats)).collect()
}
