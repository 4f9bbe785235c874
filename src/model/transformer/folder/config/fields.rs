//! Fields of `config.json` as values of one kind, with messages that name the field.

use super::ModelConfig;
use serde_json::Value;

/// Largest valid value of a size: larger than in any existing model, and small enough that products of two do not
/// overflow.
const LARGEST: usize = 1 << 24;

/// A message about what no model of this program computes.
pub(super) fn unsupported(what: &str) -> String {
    format!("{what} not supported; such a model can write through synthesis.method = \"external\"")
}

impl ModelConfig {
    /// The value of a field; None if it is missing or null.
    pub(super) fn value(&self, name: &str) -> Option<&Value> {
        self.fields.get(name).filter(|value| !value.is_null())
    }

    /// A size that a model may leave out.
    pub(super) fn optional_size(&self, name: &str) -> Result<Option<usize>, String> {
        let Some(value) = self.value(name) else { return Ok(None) };
        match value.as_u64().and_then(|size| usize::try_from(size).ok()) {
            Some(0) => Err(format!("{name} is 0; copy the file again from where the model was published")),
            Some(size) if size <= LARGEST => Ok(Some(size)),
            Some(size) => Err(format!(
                "{name} {size} is larger than in any known model; copy the file again from where the model was published"
            )),
            None => Err(format!("{name} {value} is not a whole number")),
        }
    }

    pub(super) fn size(&self, name: &str) -> Result<usize, String> {
        let missing = || format!("{name} is missing; copy the file again from where the model was published");
        self.optional_size(name)?.ok_or_else(missing)
    }

    pub(super) fn number(&self, name: &str, default: f64) -> Result<f64, String> {
        match self.value(name) {
            None => Ok(default),
            Some(value) => value.as_f64().ok_or_else(|| format!("{name} {value} is not a number")),
        }
    }

    /// A number above 0.
    pub(super) fn positive(&self, name: &str, default: f64) -> Result<f64, String> {
        let number = self.number(name, default)?;
        if number > 0.0 { Ok(number) } else { Err(format!("{name} {number} is not above 0")) }
    }

    /// A number of things, which may be 0.
    pub(super) fn count(&self, name: &str, default: usize) -> Result<usize, String> {
        match self.value(name) {
            Some(value) if value.as_u64() == Some(0) => Ok(0),
            _ => Ok(self.optional_size(name)?.unwrap_or(default)),
        }
    }

    /// A number for which null means none, unlike a missing one, which is the default.
    pub(super) fn number_or_null(&self, name: &str, default: Option<f64>) -> Result<Option<f64>, String> {
        match self.fields.get(name) {
            None => Ok(default),
            Some(Value::Null) => Ok(None),
            Some(_) => self.number(name, 0.0).map(Some),
        }
    }

    pub(super) fn flag(&self, name: &str, default: bool) -> Result<bool, String> {
        match self.value(name) {
            None => Ok(default),
            Some(value) => value.as_bool().ok_or_else(|| format!("{name} {value} is neither true nor false")),
        }
    }

    pub(super) fn text(&self, name: &str, default: &'static str) -> Result<&str, String> {
        match self.value(name) {
            None => Ok(default),
            Some(value) => value.as_str().ok_or_else(|| format!("{name} {value} is not a text")),
        }
    }

    /// Refuses a flag that is set to what no model of this program computes.
    pub(super) fn only(&self, name: &str, supported: bool, default: bool) -> Result<(), String> {
        match self.flag(name, default)? == supported {
            true => Ok(()),
            false => Err(unsupported(&format!("{name} = {} is", !supported))),
        }
    }
}
