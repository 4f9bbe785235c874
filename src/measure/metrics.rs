//! The registry of metrics. Each file of this folder is one metric, or a few that are computed together.
//!
//! To add one, write its file, add it to `mod` and to [`Metrics::builtin`] below, and explain it in `explanations`.

mod compression;
mod distinct;
pub(super) mod divergence;
pub(super) mod entropy;
mod facts;
mod first_model_loss;
mod heldout;
mod novelty;
pub(super) mod own_text_loss;
pub(super) mod self_bleu;
mod tail;
mod type_token_ratio;
mod writer_disagreement;

use super::{Catalogue, MeasureError, Metric, MetricDefinition};

/// The metrics that [`measure`](super::measure) computes, in the order of output. No two have the same id.
pub struct Metrics(Vec<Box<dyn Metric>>);

impl Metrics {
    /// The metrics of this crate.
    #[must_use]
    pub fn builtin() -> Self {
        Self(vec![
            Box::new(heldout::HeldOutLoss),
            Box::new(writer_disagreement::WriterDisagreement),
            Box::new(tail::Tail),
            Box::new(facts::FactRecall),
            Box::new(entropy::Entropy),
            Box::new(divergence::Divergence),
            Box::new(distinct::DistinctNgrams),
            Box::new(compression::Compression),
            Box::new(novelty::Novelty),
            Box::new(first_model_loss::FirstModelLoss),
            Box::new(own_text_loss::OwnTextLoss),
            Box::new(type_token_ratio::TypeTokenRatio),
            Box::new(self_bleu::SelfBleu),
        ])
    }

    /// These metrics followed by `metric`.
    ///
    /// # Errors
    /// If an id is in use already, or is not in `snake_case` (lower-case ASCII letters, digits and underscores).
    pub fn with(mut self, metric: Box<dyn Metric>) -> Result<Self, MeasureError> {
        let mut catalogue = self.catalogue();
        for definition in metric.definitions() {
            catalogue.add(definition)?;
        }
        self.0.push(metric);
        Ok(self)
    }

    /// The definitions of all metrics, in the order of output.
    #[must_use]
    pub fn catalogue(&self) -> Catalogue {
        Catalogue::of(self.iter().flat_map(Metric::definitions).collect())
    }

    /// The definitions of the metrics that are not built in. Records contain them, so that any program can read them.
    #[must_use]
    pub fn custom_definitions(&self) -> Vec<MetricDefinition> {
        let builtin = Catalogue::builtin();
        let all = self.iter().flat_map(Metric::definitions);
        all.filter(|definition| builtin.get(&definition.id).is_none()).collect()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &dyn Metric> {
        self.0.iter().map(Box::as_ref)
    }
}

impl Catalogue {
    /// The definitions of the built-in metrics.
    #[must_use]
    pub fn builtin() -> Self {
        Metrics::builtin().catalogue()
    }
}

impl Default for Metrics {
    /// The built-in metrics.
    fn default() -> Self {
        Self::builtin()
    }
}
