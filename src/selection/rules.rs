//! The table `[synthesis.selection]`, which chooses among the registered rules.

use super::SelectionRule;
use crate::settings::{self, SettingError, Settings, schema_of, unknown_key};
use serde_json::{Value as Json, json};
use std::fmt;
use std::sync::Arc;
use toml::{Table, Value};

/// Reads the settings of a rule. Returns them with every default written out, and the rule.
type ReadRule = fn(Value) -> Result<(Value, Arc<dyn SelectionRule>), SettingError>;

#[derive(Clone)]
pub(super) struct RegisteredRule {
    name: &'static str,
    schema: Json,
    read: ReadRule,
}

impl RegisteredRule {
    pub(super) fn of<R: SelectionRule + Settings + 'static>() -> Self {
        Self { name: R::name(), schema: schema_of::<R>(), read: read::<R> }
    }
}

fn read<R: SelectionRule + Settings + 'static>(
    value: Value,
) -> Result<(Value, Arc<dyn SelectionRule>), SettingError> {
    let rule: R = settings::read_value(value)?;
    rule.check()?;
    let value = Value::try_from(&rule).map_err(|error| SettingError::new("", error.to_string()))?;
    Ok((value, Arc::new(rule)))
}

/// The rules that an experiment can choose, in the order in which they are applied.
#[derive(Clone)]
pub struct SelectionRules(pub(super) Vec<RegisteredRule>);

impl SelectionRules {
    /// Adds a rule, to be applied after the others.
    #[must_use]
    pub fn with<R: SelectionRule + Settings + 'static>(mut self) -> Self {
        self.0.push(RegisteredRule::of::<R>());
        self
    }

    /// Reads the table `[synthesis.selection]`.
    ///
    /// # Errors
    /// Returns an error if a key names no rule, or if a rule's value is invalid.
    pub fn read(&self, mut table: Table) -> Result<Selection, SettingError> {
        let mut rules = Vec::new();
        for RegisteredRule { name, read, .. } in &self.0 {
            if let Some(value) = table.remove(*name) {
                let (value, rule) = read(value).map_err(|error| error.below(name))?;
                rules.push(ChosenRule { name, value, rule });
            }
        }
        match table.keys().next() {
            Some(key) => Err(self.unknown(key)),
            None => Ok(Selection { rules }),
        }
    }

    fn unknown(&self, key: &str) -> SettingError {
        unknown_key(key, self.0.iter().map(|rule| rule.name))
    }

    /// The JSON Schema of the table `[synthesis.selection]`.
    #[must_use]
    pub fn schema(&self) -> Json {
        let properties: serde_json::Map<String, Json> =
            self.0.iter().map(|rule| (rule.name.to_owned(), rule.schema.clone())).collect();
        json!({
            "description": "Which of the documents that a model writes are kept. An arm's table replaces that of the experiment.",
            "type": "object",
            "properties": properties,
            "additionalProperties": false,
        })
    }
}

/// `[synthesis.selection]`: the rules that an experiment chose, in the order in which they are applied.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Selection {
    rules: Vec<ChosenRule>,
}

#[derive(Clone, Debug)]
struct ChosenRule {
    name: &'static str,
    /// The rule's settings, with every default written out.
    value: Value,
    rule: Arc<dyn SelectionRule>,
}

impl PartialEq for ChosenRule {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name && self.value == other.value
    }
}

impl Selection {
    /// True if no rule is chosen, so that every document is kept.
    #[must_use]
    pub fn keeps_all(&self) -> bool {
        self.rules.is_empty()
    }

    /// The chosen rules with their names, in the order in which they are applied.
    pub fn rules(&self) -> impl Iterator<Item = (&'static str, &dyn SelectionRule)> {
        self.rules.iter().map(|chosen| (chosen.name, &*chosen.rule))
    }

    /// Whether any chosen rule needs the losses of candidates under the reference model.
    #[must_use]
    pub fn needs_losses(&self) -> bool {
        self.rules().any(|(_, rule)| rule.needs().losses)
    }

    /// Whether any chosen rule must be fitted to a [`Pilot`](super::Pilot) sample first.
    #[must_use]
    pub fn needs_pilot(&self) -> bool {
        self.rules().any(|(_, rule)| rule.needs().pilot)
    }

    /// Number of candidates in the group of a slot; at least 1.
    #[must_use]
    pub fn candidates(&self) -> usize {
        self.rules().map(|(_, rule)| rule.needs().candidates).max().unwrap_or(1)
    }

    /// Expected number of documents written for each one kept, as set by the rules; at least 1.
    #[must_use]
    pub fn documents_per_kept(&self) -> f64 {
        self.rules().map(|(_, rule)| rule.needs().documents_per_kept).fold(1.0, f64::max)
    }

    /// The table `[synthesis.selection]`, with every default written out.
    #[must_use]
    pub fn table(&self) -> Table {
        self.rules.iter().map(|chosen| (chosen.name.to_owned(), chosen.value.clone())).collect()
    }
}

/// Formats the rules as in an experiment file: `loss_band = [1.0, 4.0], best_of = 4`. Empty if no rule is chosen.
impl fmt::Display for Selection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rules: Vec<String> =
            self.rules.iter().map(|chosen| format!("{} = {}", chosen.name, chosen.value)).collect();
        f.pad(&rules.join(", "))
    }
}
