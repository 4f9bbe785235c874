//! Tables that come in several kinds: one key names the kind, and the kind determines which other keys are valid.
//!
//! For example, `kind` in `[model]` chooses between a transformer and an n-gram model. Each kind is a settings struct
//! that implements a common trait, and has an entry in a list of [`Kinds`]. A program that uses the library can add
//! kinds with [`Kinds::with`].

use super::check::{described, unknown_key, unknown_value};
use super::{SettingError, properties, without_run_time_only};
use serde_json::{Value as Json, json};
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;
use toml::{Table, Value};

/// Implemented by trait objects (`dyn Trait`). An experiment file chooses implementations of the trait by name.
pub trait Registered {
    /// Other settings that are needed to fill in defaults and to check the chosen kind.
    type Context<'a>;

    /// What is known of a kind before its settings are read.
    type Facts: Clone;
}

/// The kind that a table chose, with its settings.
pub struct Chosen<T: ?Sized + Registered> {
    name: Arc<str>,
    facts: T::Facts,
    table: Table,
    /// `table` without run-time-only settings.
    result_table: Table,
    settings: Arc<T>,
}

impl<T: ?Sized + Registered> Chosen<T> {
    /// `own` is `settings` as a table with every default written out; `key` is the key that names the kind.
    fn new(key: &str, kind: &Kind<T>, own: Table, settings: Arc<T>) -> Self {
        let kind_only = || Table::from_iter([(key.to_owned(), Value::String(kind.name.to_owned()))]);
        let (mut table, mut result_table) = (kind_only(), kind_only());
        table.extend(own.clone());
        result_table.extend(without_run_time_only(own, &kind.schema));
        Self { name: kind.name.into(), facts: kind.facts.clone(), table, result_table, settings }
    }
}

impl<T: ?Sized + Registered> Chosen<T> {
    /// The name of the kind.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What is known of the kind without its settings.
    #[must_use]
    pub fn facts(&self) -> &T::Facts {
        &self.facts
    }

    /// The settings as a table with every default written out, the key that names the kind first.
    #[must_use]
    pub fn table(&self) -> &Table {
        &self.table
    }

    /// The same table without run-time-only settings, which do not affect results.
    #[must_use]
    pub fn result_table(&self) -> &Table {
        &self.result_table
    }
}

impl<T: ?Sized + Registered> Deref for Chosen<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.settings
    }
}

impl<T: ?Sized + Registered> Clone for Chosen<T> {
    fn clone(&self) -> Self {
        Self {
            name: self.name.clone(),
            facts: self.facts.clone(),
            table: self.table.clone(),
            result_table: self.result_table.clone(),
            settings: self.settings.clone(),
        }
    }
}

/// Compares kinds and settings.
impl<T: ?Sized + Registered> PartialEq for Chosen<T> {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name && self.table == other.table
    }
}

impl<T: ?Sized + Registered> fmt::Debug for Chosen<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.name, self.table)
    }
}

/// Reads the settings of one kind. Returns them also as a table with every default written out.
pub type ReadKind<T> = fn(Table, &<T as Registered>::Context<'_>) -> Result<(Table, Arc<T>), SettingError>;

/// A kind that can be chosen by name.
pub struct Kind<T: ?Sized + Registered> {
    name: &'static str,
    facts: T::Facts,
    schema: Json,
    read: ReadKind<T>,
}

impl<T: ?Sized + Registered> Clone for Kind<T> {
    fn clone(&self) -> Self {
        Self { name: self.name, facts: self.facts.clone(), schema: self.schema.clone(), read: self.read }
    }
}

impl<T: ?Sized + Registered> Kind<T> {
    /// `schema` is the JSON Schema of the kind's settings.
    #[must_use]
    pub fn new(name: &'static str, facts: T::Facts, schema: Json, read: ReadKind<T>) -> Self {
        Self { name, facts, schema, read }
    }

    /// The value that chooses this kind in an experiment file.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The JSON Schema of the kind's settings.
    #[must_use]
    pub fn schema(&self) -> &Json {
        &self.schema
    }

    /// Chooses this kind without reading a table. `own` is `settings` as a table with every default written out; `key`
    /// is the key that names the kind.
    #[must_use]
    pub fn choose(&self, key: &str, own: Table, settings: Arc<T>) -> Chosen<T> {
        Chosen::new(key, self, own, settings)
    }

    fn has(&self, key: &str) -> bool {
        properties(&self.schema).iter().any(|(name, _)| *name == key)
    }
}

/// All kinds of a table, and the key that chooses between them.
pub struct Kinds<T: ?Sized + Registered> {
    key: &'static str,
    description: &'static str,
    /// Never empty; the first one is the default.
    kinds: Vec<Kind<T>>,
}

impl<T: ?Sized + Registered> Clone for Kinds<T> {
    fn clone(&self) -> Self {
        Self { kinds: self.kinds.clone(), ..*self }
    }
}

impl<T: ?Sized + Registered> Kinds<T> {
    /// The first of `kinds` is the default if a table does not contain `key`.
    ///
    /// # Panics
    /// If `kinds` is empty.
    #[must_use]
    pub fn new(key: &'static str, description: &'static str, kinds: Vec<Kind<T>>) -> Self {
        assert!(!kinds.is_empty(), "there is at least one kind, which is the default");
        Self { key, description, kinds }
    }

    /// Adds a kind, or replaces the one of the same name.
    #[must_use]
    pub fn with(mut self, kind: Kind<T>) -> Self {
        self.kinds.retain(|other| other.name != kind.name);
        self.kinds.push(kind);
        self
    }

    /// The key that names the kind in a table.
    #[must_use]
    pub fn key(&self) -> &'static str {
        self.key
    }

    /// All kinds, the default first.
    pub fn iter(&self) -> impl Iterator<Item = &Kind<T>> {
        self.kinds.iter()
    }

    /// The name of the kind that a table chooses; the default if the key is missing.
    #[must_use]
    pub fn name_in<'a>(&'a self, table: &'a Table) -> &'a str {
        table.get(self.key).and_then(Value::as_str).unwrap_or(self.kinds[0].name)
    }

    /// What is known of the kind that a table chooses; `None` if there is no such kind.
    #[must_use]
    pub fn facts_in(&self, table: &Table) -> Option<&T::Facts> {
        let name = self.name_in(table);
        self.kinds.iter().find(|kind| kind.name == name).map(|kind| &kind.facts)
    }

    /// The key that names the kind, and the keys of all kinds.
    #[must_use]
    pub fn keys(&self) -> Vec<&str> {
        let of_kinds = self.kinds.iter().flat_map(|kind| properties(&kind.schema));
        std::iter::once(self.key).chain(of_kinds.map(|(name, _)| name.as_str())).collect()
    }

    /// Reads the kind that a table chooses, with its settings.
    ///
    /// # Errors
    /// If there is no such kind, a key is unknown or belongs to another kind, or a value is invalid.
    pub fn read(&self, mut table: Table, context: &T::Context<'_>) -> Result<Chosen<T>, SettingError> {
        let name = match table.remove(self.key) {
            None => self.kinds[0].name.to_owned(),
            Some(Value::String(name)) => name,
            Some(other) => {
                let message = format!("expected a string, found {}", described(&other));
                return Err(SettingError::new(self.key, message));
            }
        };
        let kind = self.kinds.iter().find(|kind| kind.name == name).ok_or_else(|| self.unknown(&name))?;
        if let Some(key) = table.keys().find(|key| !kind.has(key)) {
            return Err(self.foreign(key, kind));
        }
        let (own, settings) = (kind.read)(table, context)?;
        Ok(Chosen::new(self.key, kind, own, settings))
    }

    fn unknown(&self, name: &str) -> SettingError {
        let known: Vec<&str> = self.kinds.iter().map(|kind| kind.name).collect();
        SettingError::new(self.key, unknown_value(name, &known))
    }

    fn foreign(&self, key: &str, chosen: &Kind<T>) -> SettingError {
        if self.kinds.iter().any(|kind| kind.has(key)) {
            let message = format!("has no effect with {} = \"{}\"; leave it out", self.key, chosen.name);
            return SettingError::new(key, message);
        }
        let known = properties(&chosen.schema);
        unknown_key(key, std::iter::once(self.key).chain(known.iter().map(|(name, _)| name.as_str())))
    }

    /// The JSON Schema properties of the key that names the kind, and of the keys of all kinds. The
    /// description of a kind's key says which kind the key belongs to.
    #[must_use]
    pub fn properties(&self) -> Vec<(String, Json)> {
        let choices: Vec<Json> = self.kinds.iter().map(Self::choice).collect();
        let kind_key = json!({
            "description": self.description,
            "type": "string",
            "default": self.kinds[0].name,
            "oneOf": choices,
        });
        let mut all = vec![(self.key.to_owned(), kind_key)];
        for kind in &self.kinds {
            for (name, property) in properties(&kind.schema) {
                let mut property = property.clone();
                let description = property.get("description").and_then(Json::as_str).unwrap_or_default();
                property["description"] =
                    Json::String(format!("{description} (Only with `{} = \"{}\"`.)", self.key, kind.name));
                all.push((name.clone(), property));
            }
        }
        all
    }

    fn choice(kind: &Kind<T>) -> Json {
        json!({ "const": kind.name, "description": kind.schema.get("description") })
    }
}
