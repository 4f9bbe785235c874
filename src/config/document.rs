//! A parsed experiment file that knows the position of each key, for errors.

use super::error::ConfigError;
use crate::settings::one_line;
use std::collections::BTreeMap;
use toml::Table;
use toml::de::{DeTable, DeValue};

pub(super) struct Document {
    pub(super) table: Table,
    /// The file's name in errors.
    source_name: String,
    /// `line:column` of each key, by its path. The path of an arm is `arm` and its name.
    positions: BTreeMap<Vec<String>, String>,
}

impl Document {
    pub(super) fn parse(text: &str, source_name: &str) -> Result<Self, ConfigError> {
        let lines = Lines::of(text);
        let at = |offset: usize| lines.position(offset);
        let syntax = |error: toml::de::Error| ConfigError::Syntax {
            position: format!("{source_name}:{}", at(error.span().map_or(0, |span| span.start))),
            message: match (error.message(), error.span().and_then(|span| text.get(span))) {
                ("duplicate key", Some(key)) => {
                    format!("duplicate key \"{}\"; keep one of the two", key.trim())
                }
                _ => syntax_message(&error),
            },
        };
        let spanned = DeTable::parse(text).map_err(syntax)?;
        let mut positions = BTreeMap::new();
        collect(spanned.get_ref(), &[], &at, &mut positions);
        let table = toml::from_str(text).map_err(syntax)?;
        Ok(Self { table, source_name: source_name.to_owned(), positions })
    }

    /// `file:line:column` of the key at `path`, or of the nearest enclosing table if the key is not in the file. Only
    /// the file if it has no such table either.
    pub(super) fn position(&self, path: &[String]) -> String {
        let found = (1..=path.len()).rev().find_map(|length| self.positions.get(&path[..length]));
        found.map_or(self.source_name.clone(), |position| format!("{}:{position}", self.source_name))
    }

    /// The position of a dotted key, which may begin with the name of an arm: `arm "x": training.tokens`.
    pub(super) fn position_of_key(&self, key: &str) -> String {
        let (arm, keys) = split_key(key);
        let own = [arm.map_or(Vec::new(), arm_path), keys.clone()].concat();
        // A setting that an arm inherits is in the table of the experiment.
        self.position(if !self.has(&own) && self.has(&keys) { &keys } else { &own })
    }

    /// The error with the position of its key in the file, if it has none.
    pub(super) fn locate(&self, error: ConfigError) -> ConfigError {
        match error {
            ConfigError::Setting { position: None, key, message } => {
                ConfigError::Setting { position: Some(self.position_of_key(&key)), key, message }
            }
            ConfigError::Setting { .. }
            | ConfigError::Unreadable { .. }
            | ConfigError::Syntax { .. }
            | ConfigError::Override { .. } => error,
        }
    }

    pub(super) fn has(&self, path: &[String]) -> bool {
        self.positions.contains_key(path)
    }
}

/// The name of the arm that a dotted key belongs to, and the path of the key in the arm's table.
pub(super) fn split_key(key: &str) -> (Option<&str>, Vec<String>) {
    let (arm, key) = match key.strip_prefix("arm \"").and_then(|rest| rest.split_once("\": ")) {
        Some((arm, key)) => (Some(arm), key),
        None => (None, key),
    };
    (arm, key.split('.').map(str::to_owned).collect())
}

/// The path of an arm in [`Document::position`].
pub(super) fn arm_path(name: &str) -> Vec<String> {
    vec!["arm".to_owned(), name.to_owned()]
}

/// The message of the TOML parser on one line. It is replaced if a number is too large for TOML, because the parser
/// then names types of Rust.
pub(super) fn syntax_message(error: &toml::de::Error) -> String {
    let message = error.message();
    if message.contains("as i128") || message.contains("value was too large") {
        return format!("the number is too large; whole numbers go up to {}", i64::MAX);
    }
    one_line(message)
}

/// A text with the offsets of its lines, so that positions in a long file are found quickly.
struct Lines<'a> {
    text: &'a str,
    /// Byte offsets, ascending.
    starts: Vec<usize>,
}

impl<'a> Lines<'a> {
    fn of(text: &'a str) -> Self {
        let after_breaks = text.match_indices('\n').map(|(offset, _)| offset + 1);
        Self { text, starts: std::iter::once(0).chain(after_breaks).collect() }
    }

    /// `line:column` of a byte offset, both counted from 1; columns count characters.
    fn position(&self, offset: usize) -> String {
        let line = self.starts.partition_point(|&start| start <= offset);
        let before = self.text.get(self.starts[line - 1]..offset).unwrap_or_default();
        format!("{line}:{}", before.chars().count() + 1)
    }
}

/// Adds the positions of all keys of a table and of the tables inside it.
fn collect(
    table: &DeTable,
    above: &[String],
    at: &dyn Fn(usize) -> String,
    positions: &mut BTreeMap<Vec<String>, String>,
) {
    for (key, value) in table.iter() {
        let path = [above, &[key.get_ref().to_string()]].concat();
        positions.insert(path.clone(), at(key.span().start));
        match value.get_ref() {
            DeValue::Table(inner) => collect(inner, &path, at, positions),
            DeValue::Array(items) if path == ["arm"] => {
                for item in items.iter() {
                    let DeValue::Table(arm) = item.get_ref() else { continue };
                    let name = arm.get("name").and_then(|name| name.get_ref().as_str()).unwrap_or_default();
                    let path = [&path[..], &[name.to_owned()]].concat();
                    positions.insert(path.clone(), at(item.span().start));
                    collect(arm, &path, at, positions);
                }
            }
            DeValue::String(_)
            | DeValue::Integer(_)
            | DeValue::Float(_)
            | DeValue::Boolean(_)
            | DeValue::Datetime(_)
            | DeValue::Array(_) => {}
        }
    }
}
