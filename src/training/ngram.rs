//! Training of an n-gram model: its n-grams are counted in one pass over the text.

use super::{
    Checkpoints, Init, Learner, LearnerContext, LossPoint, ModelKind, Trained, TrainingError, TrainingRecord,
    TrainingSettings,
};
use crate::documents::Documents;
use crate::model::ngram::Ngram;
use crate::model::{LanguageModel, ModelError, NgramSettings, SpecialTokens};
use crate::settings::SettingError;
use crate::stage::Stage;
use crate::units::Tokens;
use std::path::Path;

/// Estimates an n-gram model by counting. This always starts from scratch, and is so fast that it needs no checkpoints.
#[derive(Clone, Copy, Debug)]
pub struct NgramLearner {
    /// Shape of the model.
    pub ngram: NgramSettings,
    /// Size of the vocabulary.
    pub vocab_size: usize,
    /// Tokens that mark the start and the end of a document.
    pub special: SpecialTokens,
}

impl ModelKind for NgramSettings {
    fn name() -> &'static str {
        "ngram"
    }

    fn draws_weights(&self) -> bool {
        false
    }

    fn check_training(&self, training: &TrainingSettings) -> Result<(), SettingError> {
        if training.lora.is_some() {
            let message = "an n-gram model has no weights to adapt; leave it out, or use a transformer";
            return Err(SettingError::new("lora", message));
        }
        if training.init != Init::Scratch {
            let message = "an n-gram model is counted from scratch in every generation; use \"scratch\"";
            return Err(SettingError::new("init", message));
        }
        if training.fim_share != 0.0 {
            let message =
                "an n-gram model sees only the left side of a gap and cannot learn to fill it; set it to 0";
            return Err(SettingError::new("fim_share", message));
        }
        if training.writers != 1 {
            let message =
                "n-gram models are counted, so that all that read the same text are the same; set it to 1";
            return Err(SettingError::new("writers", message));
        }
        Ok(())
    }

    fn order(&self) -> Option<usize> {
        Some(self.order)
    }

    fn learner(&self, context: LearnerContext) -> Box<dyn Learner> {
        let tokenizer = context.tokenizer;
        Box::new(NgramLearner {
            ngram: *self,
            vocab_size: tokenizer.vocab_size(),
            special: tokenizer.special(),
        })
    }
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
        let fitted = self.count(documents, stage);
        if let Ok((_, loss_nats)) = &fitted {
            stage.training_loss(tokens.0, *loss_nats);
        }
        stage.end();
        let (model, loss_nats) = fitted?;
        let record = TrainingRecord {
            init: "counts".into(),
            parameters: model.distinct_ngrams(),
            adapter_parameters: None,
            writers: None,
            steps: 0,
            tokens_seen: tokens,
            epochs: 1.0,
            curve: vec![LossPoint { tokens, loss_nats }],
        };
        Ok(Trained { model: Box::new(model), record })
    }

    fn load_trained(&self, dir: &Path) -> Result<Box<dyn LanguageModel>, ModelError> {
        Ok(Box::new(Ngram::load(dir)?))
    }

    fn tokens_seen(&self, text: Tokens) -> Tokens {
        text
    }
}

impl NgramLearner {
    /// Returns the model, and its loss on its own training text in nats per token.
    fn count(&self, documents: &Documents, stage: &Stage) -> Result<(Ngram, f64), TrainingError> {
        let model = match Ngram::fit(documents, self.ngram, self.vocab_size, self.special, stage) {
            Err(ModelError::Interrupted) => return Err(TrainingError::Interrupted),
            fitted => fitted?,
        };
        let loss_nats = model.loss_nats_per_token(documents)?;
        Ok((model, loss_nats))
    }
}
