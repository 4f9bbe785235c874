//! Documents in JSON: objects with the text in one of their fields.
//!
//! The usual layout is JSON lines, one object per line. Three other layouts are read as well: objects that span lines,
//! a list of objects, and one object that holds exactly one list of objects.

mod object;

use super::findings::Findings;
use super::{CorpusError, Place};
use crate::corpus::error::in_shell;
use crate::corpus::text::utf8;
use object::{Object, TopLevel};
use serde::de::{Deserializer, Error as _, IgnoredAny, SeqAccess, Visitor};
use serde_json::Value;
use std::fmt;
use std::io::{self, BufRead, Cursor, Read};
use std::path::Path;

/// Maximum number of field names listed in an error.
const MAX_NAMES: usize = 8;

/// Why a JSON file could not be read.
pub(super) enum JsonError {
    /// The file could not be read or unpacked.
    Read(io::Error),
    /// The contents of the file are not valid.
    Content(CorpusError),
}

impl From<io::Error> for JsonError {
    fn from(error: io::Error) -> Self {
        Self::Read(error)
    }
}

impl From<CorpusError> for JsonError {
    fn from(error: CorpusError) -> Self {
        Self::Content(error)
    }
}

/// The field that holds the text.
#[derive(Clone, Copy)]
pub(super) struct TextField<'a> {
    pub(super) path: &'a Path,
    pub(super) name: &'a str,
}

/// Adds the strings in `field` of every object. A null is skipped, as in Parquet.
pub(super) fn documents(
    mut input: Box<dyn BufRead>,
    field: TextField,
    found: &mut Findings,
) -> Result<(), JsonError> {
    let mut start = Vec::new();
    while start.trim_ascii().is_empty() {
        if input.read_until(b'\n', &mut start)? == 0 {
            return Ok(());
        }
        if let Some(rest) = start.strip_prefix("\u{FEFF}".as_bytes()) {
            start = rest.to_vec();
        }
    }
    if !suggests_another_layout(start.trim_ascii(), field.name) {
        return lines(&mut Cursor::new(start).chain(input), field, found);
    }
    let mut bytes = start;
    input.read_to_end(&mut bytes)?;
    if bytes.trim_ascii_start().starts_with(b"[") {
        return Ok(list(&bytes, field, found)?);
    }
    match values(&bytes) {
        Some(objects) => Ok(spanning_lines(objects, field, found)?),
        None => lines(&mut Cursor::new(bytes), field, found),
    }
}

/// Whether the first line of a file suggests another layout than JSON lines: it begins a list, it ends in the middle of
/// a value, or it is an object that has a list of objects and lacks the field.
fn suggests_another_layout(first: &[u8], field: &str) -> bool {
    let Ok(value) = serde_json::from_slice::<Value>(first) else {
        let error = serde_json::from_slice::<IgnoredAny>(first).err();
        return first.starts_with(b"[") || error.is_some_and(|error| error.is_eof());
    };
    match value {
        Value::Array(_) => true,
        Value::Object(object) => !object.contains_key(field) && object.values().any(is_list_of_objects),
        _ => false,
    }
}

/// The objects of a file; `None` if it contains anything but objects.
fn values(bytes: &[u8]) -> Option<Vec<Object>> {
    let values = serde_json::Deserializer::from_slice(bytes).into_iter::<TopLevel>();
    let object = |value| match value {
        Ok(TopLevel::Object(object)) => Some(object),
        _ => None,
    };
    values.map(object).collect()
}

/// Adds the texts of objects that span lines. A single object without the field must hold exactly one list of objects,
/// whose texts are added instead.
fn spanning_lines(
    mut objects: Vec<Object>,
    field: TextField,
    found: &mut Findings,
) -> Result<(), CorpusError> {
    if let [object] = objects.as_mut_slice()
        && !object.fields.contains_key(field.name)
    {
        objects = items_of_only_list(object, field)?;
    }
    for (index, object) in objects.into_iter().enumerate() {
        add(object, Place::Item(index + 1), field, found)?;
    }
    Ok(())
}

fn items_of_only_list(object: &mut Object, field: TextField) -> Result<Vec<Object>, CorpusError> {
    let lists: Vec<&String> =
        object.fields.iter().filter(|(_, value)| is_list_of_objects(value)).map(|(name, _)| name).collect();
    let [list] = lists.as_slice() else {
        if lists.is_empty() {
            return Err(no_field(object, Place::Item(1), field));
        }
        let filter = format!(".[{}][]", Value::from(lists[0].as_str()));
        return Err(CorpusError::NotOneList {
            path: field.path.to_owned(),
            lists: lists.len(),
            command: jq(&filter, field.path),
        });
    };
    let list = (*list).clone();
    if object.repeated.contains(&list) {
        return Err(CorpusError::RepeatedField {
            path: field.path.to_owned(),
            place: Place::Item(1),
            field: list,
        });
    }
    let Some(Value::Array(items)) = object.fields.get_mut(&list).map(Value::take) else {
        return Ok(Vec::new());
    };
    Ok(items.into_iter().filter_map(object_of).collect())
}

fn object_of(value: Value) -> Option<Object> {
    match value {
        Value::Object(fields) => Some(Object { fields, repeated: Vec::new() }),
        _ => None,
    }
}

fn is_list_of_objects(value: &Value) -> bool {
    value.as_array().is_some_and(|items| !items.is_empty() && items.iter().all(Value::is_object))
}

/// A shell command that converts a file to JSON lines.
fn jq(filter: &str, path: &Path) -> String {
    let target = path.with_extension("new.jsonl");
    let target = in_shell(&target);
    let path_in_shell = in_shell(path);
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("gz") => format!("gzip -dc {path_in_shell} | jq -c '{filter}' > {target}"),
        Some("zst") => format!("zstd -dc {path_in_shell} | jq -c '{filter}' > {target}"),
        _ => format!("jq -c '{filter}' {path_in_shell} > {target}"),
    }
}

/// Adds the texts of a list of objects, each as soon as its object is read.
fn list(bytes: &[u8], field: TextField, found: &mut Findings) -> Result<(), CorpusError> {
    utf8(field.path, bytes)?;
    let mut failed = None;
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let read = reader.deserialize_seq(ListReader { field, found, failed: &mut failed });
    match (failed, read.and_then(|()| reader.end())) {
        (Some(error), _) => Err(error),
        (None, Err(source)) => Err(CorpusError::NotOneJson { path: field.path.to_owned(), source }),
        (None, Ok(())) => Ok(()),
    }
}

struct ListReader<'a, 'f> {
    field: TextField<'a>,
    found: &'a mut Findings<'f>,
    failed: &'a mut Option<CorpusError>,
}

impl<'de> Visitor<'de> for ListReader<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of objects")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let mut place = 1;
        while let Some(value) = items.next_element::<TopLevel>()? {
            let added = match value {
                TopLevel::Object(object) => add(object, Place::Item(place), self.field, self.found),
                TopLevel::Other(other) => Err(not_an_object(&other, Place::Item(place), self.field)),
            };
            if let Err(error) = added {
                *self.failed = Some(error);
                return Err(A::Error::custom("an item cannot be used"));
            }
            place += 1;
        }
        Ok(())
    }
}

/// Adds the texts of JSON lines. A carriage return ends a line too, because it cannot be part of a JSON string.
fn lines(input: &mut dyn BufRead, field: TextField, found: &mut Findings) -> Result<(), JsonError> {
    let mut number = 0;
    let mut buffer = Vec::new();
    while input.read_until(b'\n', &mut buffer)? > 0 {
        let line = buffer.strip_suffix(b"\n").unwrap_or(&buffer);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        for line in line.split(|&byte| byte == b'\r') {
            number += 1;
            if !line.trim_ascii().is_empty() {
                add_line(line, Place::Line(number), field, found)?;
            }
        }
        buffer.clear();
    }
    Ok(())
}

/// The parser's reason with the column, but without its own line number, which is always 1: it reads one line at a time.
fn reason(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let reason = text.rsplit_once(" at line ").map_or(&*text, |(reason, _)| reason);
    format!("{reason} at column {}", error.column())
}

fn add_line(line: &[u8], place: Place, field: TextField, found: &mut Findings) -> Result<(), CorpusError> {
    let path = || field.path.to_owned();
    let value = match (utf8(field.path, line), place) {
        (Ok(text), _) => serde_json::from_str::<TopLevel>(text).map_err(|error| CorpusError::NotJson {
            path: path(),
            place,
            reason: reason(&error),
        }),
        (Err(CorpusError::NotUtf8 { path, .. }), Place::Line(line)) => {
            Err(CorpusError::NotUtf8 { path, line })
        }
        (Err(error), _) => Err(error),
    };
    match value {
        Ok(TopLevel::Object(object)) => match text_of(object, place, field) {
            Ok(Some(text)) => found.add(text),
            Ok(None) => {
                found.add_nulls(1);
                Ok(())
            }
            Err(error) => found.add_bad_line(error),
        },
        Ok(TopLevel::Other(other)) => found.add_bad_line(not_an_object(&other, place, field)),
        Err(error) => found.add_bad_line(error),
    }
}

fn add(object: Object, place: Place, field: TextField, found: &mut Findings) -> Result<(), CorpusError> {
    match text_of(object, place, field)? {
        Some(text) => found.add(text),
        None => {
            found.add_nulls(1);
            Ok(())
        }
    }
}

/// The text in the field of an object; None if it is null.
fn text_of(mut object: Object, place: Place, field: TextField) -> Result<Option<String>, CorpusError> {
    if object.repeated.iter().any(|name| name == field.name) {
        let (path, field) = (field.path.to_owned(), field.name.to_owned());
        return Err(CorpusError::RepeatedField { path, place, field });
    }
    match object.fields.get_mut(field.name).map(Value::take) {
        Some(Value::String(text)) => Ok(Some(text)),
        Some(Value::Null) => Ok(None),
        Some(other) => {
            let (path, name) = (field.path.to_owned(), field.name.to_owned());
            Err(CorpusError::FieldNotText { path, place, field: name, kind: kind(&other) })
        }
        None => Err(no_field(&object, place, field)),
    }
}

fn no_field(object: &Object, place: Place, field: TextField) -> CorpusError {
    let mut names: Vec<&str> = object.fields.keys().map(String::as_str).take(MAX_NAMES).collect();
    if object.fields.len() > MAX_NAMES {
        names.push("…");
    }
    let present = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
    CorpusError::NoField { path: field.path.to_owned(), place, field: field.name.to_owned(), present }
}

fn not_an_object(value: &Value, place: Place, field: TextField) -> CorpusError {
    let command = match (value, place) {
        (Value::String(_), Place::Item(_)) => {
            Some(jq(&format!(".[] | {{{}: .}}", Value::from(field.name)), field.path))
        }
        (Value::Array(_), Place::Item(_)) => Some(jq(".[][]", field.path)),
        _ => None,
    };
    CorpusError::NotAnObject { path: field.path.to_owned(), place, kind: kind(value), command }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}
