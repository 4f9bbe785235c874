//! The models, synthesis methods and selection rules that an experiment file can choose by name.

use crate::selection::{SelectionRule, SelectionRules};
use crate::settings::{Kind, Kinds, Settings};
use crate::synthesis::{SynthesisKinds, SynthesisMethod, builtin_methods};
use crate::training::{ModelKind, builtin_kinds};

/// The kinds of model, synthesis methods and selection rules that an experiment file can choose.
///
/// A program that uses the library can add others, and then reads experiment files with [`Registry::parse`].
#[derive(Clone)]
pub struct Registry {
    /// Values of `model.kind`.
    pub models: Kinds<dyn ModelKind>,
    /// Values of `synthesis.method`, and the keys of `synthesis.selection`.
    pub synthesis: SynthesisKinds,
}

impl Registry {
    /// The registry of the `genloss` program.
    #[must_use]
    pub fn builtin() -> Self {
        Self {
            models: builtin_kinds(),
            synthesis: SynthesisKinds { methods: builtin_methods(), rules: SelectionRules::builtin() },
        }
    }

    /// Adds a kind of model, or replaces the one of the same name.
    #[must_use]
    pub fn with_model<M: ModelKind + Settings + 'static>(mut self) -> Self {
        self.models = self.models.with(Kind::<dyn ModelKind>::of::<M>());
        self
    }

    /// Adds a synthesis method, or replaces the one of the same name.
    #[must_use]
    pub fn with_method<M: SynthesisMethod + Settings + 'static>(mut self) -> Self {
        self.synthesis.methods = self.synthesis.methods.with(Kind::<dyn SynthesisMethod>::of::<M>());
        self
    }

    /// Adds a selection rule.
    #[must_use]
    pub fn with_selection_rule<R: SelectionRule + Settings + 'static>(mut self) -> Self {
        self.synthesis.rules = self.synthesis.rules.with::<R>();
        self
    }
}
