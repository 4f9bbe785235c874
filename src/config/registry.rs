//! The models, synthesis methods and selection rules that an experiment file can choose by name.

use crate::selection::{SelectionRule, SelectionRules};
use crate::settings::{Kind, Kinds, Settings};
use crate::synthesis::{SynthesisKinds, SynthesisMethod, builtin_methods};
use crate::training::{ModelKind, builtin_kinds};
use toml::{Table, Value};

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

    /// The path of the table in which `keys` choose the kind of model or the method; None if they choose neither.
    pub(super) fn section_of_kind<'a>(&self, keys: &'a [String]) -> Option<&'a [String]> {
        let (key, section) = keys.split_last()?;
        let is_kind = match section.last()?.as_str() {
            "model" => key == self.models.key(),
            "synthesis" => key == self.synthesis.methods.key(),
            _ => false,
        };
        is_kind.then_some(section)
    }

    /// If `key` of the table `section` chooses the kind of model or the method, removes the settings that belong to
    /// another one, as they are not inherited by an arm that chooses another one.
    pub(super) fn choose_kind(&self, section: &str, key: &str, value: &Value, table: &mut Table) {
        if self.section_of_kind(&[section.to_owned(), key.to_owned()]).is_none() {
            return;
        }
        let own = Table::from_iter([(key.to_owned(), value.clone())]);
        *table = match section {
            "model" => self.models.inherit(own, table),
            _ => self.synthesis.inherit(own, table),
        };
    }

    /// Adds a selection rule.
    #[must_use]
    pub fn with_selection_rule<R: SelectionRule + Settings + 'static>(mut self) -> Self {
        self.synthesis.rules = self.synthesis.rules.with::<R>();
        self
    }
}
