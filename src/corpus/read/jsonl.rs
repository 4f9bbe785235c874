//! Documents in JSON lines: one object per line, the text in one of its fields.

use super::CorpusError;
use crate::corpus::text::utf8;
use serde_json::Value;
use std::path::Path;

/// Maximum number of field names listed in an error.
const MAX_NAMES: usize = 8;

/// The strings in `field` of each line. A null is skipped, as in Parquet.
pub(super) fn documents(path: &Path, bytes: &[u8], field: &str) -> Result<Vec<String>, CorpusError> {
    let text = utf8(path, bytes)?;
    let text = text.strip_prefix('\u{FEFF}').unwrap_or(text);
    let mut documents = Vec::new();
    for (index, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        documents.extend(document(path, index + 1, line, field)?);
    }
    Ok(documents)
}

fn document(path: &Path, line: usize, json: &str, field: &str) -> Result<Option<String>, CorpusError> {
    let path = path.to_owned();
    let value: Value = match serde_json::from_str(json) {
        Ok(value) => value,
        Err(source) => return Err(CorpusError::NotJson { path, line, source }),
    };
    let mut object = match value {
        Value::Object(object) => object,
        other => return Err(CorpusError::NotAnObject { path, line, kind: kind(&other) }),
    };
    match object.get_mut(field).map(Value::take) {
        Some(Value::String(text)) => Ok(Some(text)),
        Some(Value::Null) => Ok(None),
        Some(other) => {
            Err(CorpusError::FieldNotText { path, line, field: field.to_owned(), kind: kind(&other) })
        }
        None => {
            let mut names: Vec<&str> = object.keys().map(String::as_str).take(MAX_NAMES).collect();
            if object.len() > MAX_NAMES {
                names.push("…");
            }
            let present = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
            Err(CorpusError::NoField { path, line, field: field.to_owned(), present })
        }
    }
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
