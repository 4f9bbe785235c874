//! Training an n-gram model: one count over the text.

use super::{Checkpoints, Learner, LossPoint, Trained, TrainingError, TrainingRecord};
use crate::config;
use crate::documents::Documents;
use crate::model::ngram::Ngram;
use crate::model::{LanguageModel, ModelError, SpecialTokens};
use crate::stage::Stage;
use std::path::Path;

/// Learns an n-gram model. It is too fast for checkpoints, and always starts from nothing.
#[derive(Clone, Copy, Debug)]
pub struct NgramLearner {
    /// Shape of the model.
    pub ngram: config::Ngram,
    /// Tokens in the vocabulary.
    pub vocab_size: usize,
    /// The tokens that start and end a document.
    pub special: SpecialTokens,
}

impl Learner for NgramLearner {
    fn fit(
        &self,
        documents: &Documents,
        _: &mut dyn Checkpoints,
        stage: &Stage,
    ) -> Result<Trained, TrainingError> {
        let tokens = documents.tokens();
        stage.begin(tokens.0, "tokens");
        let fitted = self.fit_within(documents, stage);
        stage.end();
        let (model, loss_nats) = fitted?;
        let record = TrainingRecord {
            init: "counts".into(),
            parameters: model.distinct_ngrams(),
            steps: 0,
            tokens_seen: tokens,
            epochs: 1.0,
            curve: vec![LossPoint { tokens, loss_nats }],
        };
        Ok(Trained { model: Box::new(model), record })
    }

    fn recall(&self, dir: &Path) -> Result<Box<dyn LanguageModel>, ModelError> {
        Ok(Box::new(Ngram::load(dir)?))
    }
}

impl NgramLearner {
    /// The model and its loss on the text that it was trained on, in nats per token.
    fn fit_within(&self, documents: &Documents, stage: &Stage) -> Result<(Ngram, f64), TrainingError> {
        let model = match Ngram::fit(documents, self.ngram, self.vocab_size, self.special, stage) {
            Err(ModelError::Interrupted) => return Err(TrainingError::Interrupted),
            fitted => fitted?,
        };
        let loss_nats = model.loss_nats_per_token(documents)?;
        Ok((model, loss_nats))
    }
}
