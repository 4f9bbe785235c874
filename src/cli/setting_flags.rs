//! Command-line flags for the fields of a settings struct: `--top-p 0.9` sets `top_p`.
//!
//! The flags are made from the struct's schema, so a new setting becomes a flag without another line of code.

use crate::settings::{Settings, properties, schema_of};
use clap::{Arg, ArgAction, ArgMatches, Command, FromArgMatches};
use serde_json::Value as Json;
use std::marker::PhantomData;
use toml::{Table, Value};

/// The fields of the settings `S` that were given on the command line.
#[derive(Clone, Debug)]
pub struct SettingFlags<S> {
    given: Table,
    settings: PhantomData<S>,
}

impl<S> SettingFlags<S> {
    /// The given fields as a table to read `S` from.
    pub fn table(&self) -> Table {
        self.given.clone()
    }
}

impl<S: Settings> clap::Args for SettingFlags<S> {
    fn augment_args(command: Command) -> Command {
        let schema = schema_of::<S>();
        properties(&schema)
            .into_iter()
            .fold(command, |command, (key, property)| command.arg(flag(key, property)))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl<S: Settings> FromArgMatches for SettingFlags<S> {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut flags = Self { given: Table::new(), settings: PhantomData };
        flags.update_from_arg_matches(matches)?;
        Ok(flags)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        let schema = schema_of::<S>();
        for (key, property) in properties(&schema) {
            let value = if is_switch(property) {
                matches.get_flag(key).then_some(Value::Boolean(true))
            } else {
                matches.get_one::<String>(key).map(|text| parse_value(text))
            };
            self.given.extend(value.map(|value| (key.clone(), value)));
        }
        Ok(())
    }
}

fn flag(key: &str, property: &Json) -> Arg {
    // clap needs names that live as long as the program. There are only a few per command, each leaked once.
    let id: &'static str = key.to_owned().leak();
    let long: &'static str = key.replace('_', "-").leak();
    let description = property.get("description").and_then(Json::as_str).unwrap_or_default();
    let help = description.trim_end_matches('.').replace('\n', " ");
    let arg = Arg::new(id).long(long).help(help);
    if is_switch(property) {
        arg.action(ArgAction::SetTrue)
    } else {
        arg.value_name(if has_type(property, "integer") { "N" } else { "X" }).allow_negative_numbers(true)
    }
}

/// Whether the setting is a flag without a value.
fn is_switch(property: &Json) -> bool {
    has_type(property, "boolean")
}

fn has_type(property: &Json, name: &str) -> bool {
    match property.get("type") {
        Some(Json::String(only)) => only == name,
        Some(Json::Array(several)) => several.iter().any(|one| one == name),
        Some(_) | None => false,
    }
}

/// Parses a number. Other text remains a string, which is reported as a value of the wrong type when the settings are
/// read.
fn parse_value(text: &str) -> Value {
    let integer = text.parse().map(Value::Integer);
    integer.or_else(|_| text.parse().map(Value::Float)).unwrap_or_else(|_| Value::String(text.to_owned()))
}
