//! Differences between two resolved experiment files.

use super::registry::Registry;
use std::collections::BTreeSet;
use toml::{Table, Value};

/// The settings that differ between two experiment files, one line each, such as `training.tokens: 100000 → 200000`.
/// Settings that do not affect results are ignored. If either text is not TOML, the only line says so.
#[must_use]
pub fn difference(before: &str, after: &str) -> Vec<String> {
    let (Ok(before), Ok(after)) = (toml::from_str::<Table>(before), toml::from_str::<Table>(after)) else {
        return vec!["the recorded experiment file is not valid TOML".to_owned()];
    };
    let mut comparison = Comparison { ignored: Registry::builtin().run_time_only_keys(), lines: Vec::new() };
    comparison.compare("", Some(&Value::Table(before)), Some(&Value::Table(after)));
    comparison.lines
}

struct Comparison {
    /// Keys of run-time-only settings, which do not affect results.
    ignored: BTreeSet<String>,
    lines: Vec<String>,
}

impl Comparison {
    fn compare(&mut self, path: &str, before: Option<&Value>, after: Option<&Value>) {
        match (before, after) {
            (Some(Value::Table(a)), Some(Value::Table(b))) => {
                let new_keys = b.keys().filter(|key| !a.contains_key(*key));
                for key in a.keys().chain(new_keys) {
                    let inner = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                    if !self.ignored.contains(key) {
                        self.compare(&inner, a.get(key), b.get(key));
                    }
                }
            }
            (Some(Value::Array(a)), Some(Value::Array(b))) if is_named(a) && is_named(b) => {
                let names = a.iter().chain(b).filter_map(name_of);
                let mut seen = Vec::new();
                for name in names {
                    if !seen.contains(&name) {
                        seen.push(name);
                        let find =
                            |arms: &'_ [Value]| arms.iter().find(|arm| name_of(arm) == Some(name)).cloned();
                        self.compare(&format!("{path}.{name}"), find(a).as_ref(), find(b).as_ref());
                    }
                }
            }
            (a, b) if a == b => {}
            (a, b) => self.lines.push(format!("{path}: {} → {}", shown(a), shown(b))),
        }
    }
}

fn name_of(value: &Value) -> Option<&str> {
    value.get("name").and_then(Value::as_str)
}

fn is_named(values: &[Value]) -> bool {
    !values.is_empty() && values.iter().all(|value| name_of(value).is_some())
}

fn shown(value: Option<&Value>) -> String {
    match value {
        None => "(absent)".to_owned(),
        Some(Value::Table(_)) => "(present)".to_owned(),
        Some(value) => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_names_the_key_and_both_values() {
        let before = "a = 1\n[b]\nc = 2\n[[arm]]\nname = \"x\"\nd = 3\n";
        let after = "a = 1\n[b]\nc = 4\n[[arm]]\nname = \"x\"\nd = 5\n[[arm]]\nname = \"y\"\n";
        assert_eq!(
            difference(before, after),
            ["b.c: 2 → 4", "arm.x.d: 3 → 5", "arm.y: (absent) → (present)"]
        );
        assert!(difference(before, before).is_empty());
    }

    #[test]
    fn a_run_time_only_setting_is_no_difference() {
        let text = |minutes| {
            let arm = format!("[[arm]]\nname = \"x\"\nsynthesis = {{ timeout_seconds = {minutes} }}\n");
            format!("[training]\ncheckpoint_minutes = {minutes}\ntokens = 7\n{arm}")
        };
        assert!(difference(&text(5), &text(60)).is_empty());
    }
}
