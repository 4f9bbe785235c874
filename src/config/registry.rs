//! What an experiment file can choose by name.

use crate::selection::{SelectionRule, SelectionRules};
use crate::settings::{Kind, Kinds, Settings};
use crate::synthesis::{SynthesisKinds, SynthesisMethod, builtin_methods};
use crate::training::{ModelKind, builtin_kinds};

/// The kinds of model, the ways of writing and the selection rules that an experiment file can choose.
///
/// A program that uses the library adds its own, and reads experiment files with [`Registry::parse`].
#[derive(Clone)]
pub struct Registry {
    /// Kinds of model.
    pub models: Kinds<dyn ModelKind>,
    /// Ways of writing and selection rules.
    pub synthesis: SynthesisKinds,
}

impl Registry {
    /// What comes with the library.
    #[must_use]
    pub fn builtin() -> Self {
        Self {
            models: builtin_kinds(),
            synthesis: SynthesisKinds { methods: builtin_methods(), rules: SelectionRules::builtin() },
        }
    }

    /// This and one more kind of model.
    #[must_use]
    pub fn with_model<M: ModelKind + Settings + 'static>(mut self) -> Self {
        self.models = self.models.with(Kind::<dyn ModelKind>::of::<M>());
        self
    }

    /// This and one more way of writing.
    #[must_use]
    pub fn with_method<M: SynthesisMethod + Settings + 'static>(mut self) -> Self {
        self.synthesis.methods = self.synthesis.methods.with(Kind::<dyn SynthesisMethod>::of::<M>());
        self
    }

    /// This and one more selection rule.
    #[must_use]
    pub fn with_selection_rule<R: SelectionRule + Settings + 'static>(mut self) -> Self {
        self.synthesis.rules = self.synthesis.rules.with::<R>();
        self
    }
}
