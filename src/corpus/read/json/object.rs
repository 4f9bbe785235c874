//! A JSON value that remembers which fields of its outermost object are repeated. JSON itself says nothing about repeated
//! names, and `serde_json` keeps the last value without a word.

use serde::de::value::SeqAccessDeserializer;
use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};
use std::fmt;

/// An object.
pub(super) struct Object {
    pub(super) fields: Map<String, Value>,
    /// Names that occur more than once.
    pub(super) repeated: Vec<String>,
}

/// Any JSON value.
pub(super) enum TopLevel {
    Object(Object),
    Other(Value),
}

impl<'de> Deserialize<'de> for TopLevel {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TopLevelVisitor)
    }
}

struct TopLevelVisitor;

impl<'de> Visitor<'de> for TopLevelVisitor {
    type Value = TopLevel;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<TopLevel, A::Error> {
        let mut object = Object { fields: Map::new(), repeated: Vec::new() };
        while let Some((name, value)) = map.next_entry::<String, Value>()? {
            if object.fields.insert(name.clone(), value).is_some() {
                object.repeated.push(name);
            }
        }
        Ok(TopLevel::Object(object))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<TopLevel, A::Error> {
        Value::deserialize(SeqAccessDeserializer::new(seq)).map(TopLevel::Other)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<TopLevel, E> {
        Ok(TopLevel::Other(text.into()))
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<TopLevel, E> {
        Ok(TopLevel::Other(value.into()))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<TopLevel, E> {
        Ok(TopLevel::Other(value.into()))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<TopLevel, E> {
        Ok(TopLevel::Other(value.into()))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<TopLevel, E> {
        Ok(TopLevel::Other(value.into()))
    }

    fn visit_unit<E: Error>(self) -> Result<TopLevel, E> {
        Ok(TopLevel::Other(Value::Null))
    }
}
