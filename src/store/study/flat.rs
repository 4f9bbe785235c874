//! A generation's record as the columns of one row.

use crate::store::GenerationRecord;
use crate::tables::Value;
use serde_json::Map;

/// The field that has a table of its own.
const MEASUREMENTS: &str = "measurements";

/// The fields of a record except its measurements, one level deep: `("training.steps", 120)`.
pub(super) fn flatten(record: &GenerationRecord) -> Vec<(String, Value)> {
    let record = GenerationRecord { measurements: Vec::new(), ..record.clone() };
    let mut fields = match serde_json::to_value(record) {
        Ok(serde_json::Value::Object(fields)) => fields,
        other => unreachable!("a record is a JSON object, not {other:?}"),
    };
    fields.shift_remove(MEASUREMENTS);
    let mut flat = Vec::new();
    for (name, field) in fields {
        match field {
            serde_json::Value::Object(inner) => {
                flat.extend(
                    inner.into_iter().map(|(key, field)| (format!("{name}.{key}"), from_json(field))),
                );
            }
            field => flat.push((name, from_json(field))),
        }
    }
    flat
}

/// The inverse of [`flatten`]; the record has no measurements.
pub(super) fn unflatten(columns: &[String], row: &[Value]) -> Result<GenerationRecord, String> {
    let mut fields = Map::new();
    fields.insert(MEASUREMENTS.to_owned(), serde_json::Value::Array(Vec::new()));
    for (column, value) in columns.iter().zip(row) {
        let Some(value) = to_json(value).map_err(|error| format!("column {column}: {error}"))? else {
            continue;
        };
        match column.split_once('.') {
            None => {
                fields.insert(column.clone(), value);
            }
            Some((name, key)) => {
                let inner = fields.entry(name).or_insert_with(|| Map::new().into());
                inner
                    .as_object_mut()
                    .ok_or(format!("columns {name} and {column}"))?
                    .insert(key.to_owned(), value);
            }
        }
    }
    serde_json::from_value(fields.into()).map_err(|error| error.to_string())
}

fn from_json(field: serde_json::Value) -> Value {
    match field {
        serde_json::Value::Null => Value::Missing,
        serde_json::Value::String(text) => Value::Text(text),
        serde_json::Value::Number(number) => match (number.as_u64(), number.as_f64()) {
            (Some(integer), _) => Value::Integer(integer.cast_signed()),
            (None, Some(real)) => Value::Real(real),
            (None, None) => Value::Json(number.to_string()),
        },
        nested => Value::Json(nested.to_string()),
    }
}

/// The inverse of [`from_json`], which stores the bits of a u64 in an i64.
fn to_json(value: &Value) -> Result<Option<serde_json::Value>, serde_json::Error> {
    Ok(match value {
        Value::Missing => None,
        Value::Text(text) => Some(text.as_str().into()),
        Value::Json(text) => Some(serde_json::from_str(text)?),
        Value::Integer(integer) => Some(integer.cast_unsigned().into()),
        Value::Real(real) => Some((*real).into()),
    })
}
