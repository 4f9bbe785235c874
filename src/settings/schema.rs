//! Generates JSON Schemas of settings structs, and reads properties, types and choices from them.

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::Value as Json;

/// The JSON Schema (draft 2020-12) of a settings type, without references (`$ref`) and without the type `null`.
#[must_use]
pub fn schema_of<T: JsonSchema>() -> Json {
    let mut settings = SchemaSettings::draft2020_12();
    settings.inline_subschemas = true;
    settings.meta_schema = None;
    let mut schema = settings.into_generator().into_root_schema_for::<T>().to_value();
    remove_null(&mut schema);
    schema
}

/// Removes the type `null`, which an optional field has as JSON: TOML has no such value.
fn remove_null(schema: &mut Json) {
    match schema {
        Json::Object(all) => {
            all.values_mut().for_each(remove_null);
            if let Some(Json::Array(types)) = all.get_mut("type") {
                types.retain(|name| name != "null");
                if let [only] = &mut types[..] {
                    let only = only.take();
                    all.insert("type".to_owned(), only);
                }
            }
            if let Some(Json::Array(alternatives)) = all.get_mut("anyOf") {
                alternatives.retain(|one| one["type"] != "null");
                if let [Json::Object(only)] = &mut alternatives[..] {
                    let only = std::mem::take(only);
                    all.shift_remove("anyOf");
                    for (key, value) in only {
                        all.entry(key).or_insert(value);
                    }
                }
            }
        }
        Json::Array(items) => items.iter_mut().for_each(remove_null),
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => {}
    }
}

/// The keys of a table with their schemas, in the order of the struct's fields.
#[must_use]
pub fn properties(schema: &Json) -> Vec<(&String, &Json)> {
    schema.get("properties").and_then(Json::as_object).into_iter().flatten().collect()
}

/// The JSON types that a value may have; `None` if the schema does not restrict them.
pub(super) fn type_names(schema: &Json) -> Option<Vec<String>> {
    if let Some(alternatives) = ["anyOf", "oneOf"].iter().find_map(|key| schema.get(key)?.as_array()) {
        let of_each: Option<Vec<Vec<String>>> = alternatives.iter().map(type_names).collect();
        return of_each.map(|types| types.concat());
    }
    match schema.get("type") {
        Some(Json::String(one)) => Some(vec![one.clone()]),
        Some(Json::Array(several)) => {
            Some(several.iter().filter_map(Json::as_str).map(str::to_owned).collect())
        }
        Some(_) => None,
        None => schema.get("const").filter(|value| value.is_string()).map(|_| vec!["string".to_owned()]),
    }
}

/// Whether a table may have keys that are not in the schema.
pub(super) fn additional(schema: &Json) -> bool {
    schema.get("additionalProperties") != Some(&Json::Bool(false))
}

/// The strings that a value may be; empty if any string is valid.
pub(super) fn choices(schema: &Json) -> Vec<String> {
    let listed = |key: &str| schema.get(key).and_then(Json::as_array).into_iter().flatten();
    let of_alternatives = listed("oneOf").chain(listed("anyOf")).flat_map(choices);
    let own =
        schema.get("const").into_iter().chain(listed("enum")).filter_map(Json::as_str).map(str::to_owned);
    own.chain(of_alternatives).collect()
}
