//! Checks the names of experiments and arms. They must be valid folder names on every system, and programs that read
//! tables of results must not mistake them for numbers, dates or missing values.

use crate::settings::SettingError;
use std::collections::BTreeMap;

/// Largest length of the name of an experiment or arm. File systems limit the length of file names, and these names get
/// suffixes.
pub(super) const MAX_NAME_BYTES: usize = 100;

/// The names that [`check_folder`] accepts, as a regular expression, but for their length.
pub(super) const FOLDER_PATTERN: &str = "^[A-Za-z0-9_=,-][A-Za-z0-9._=,-]*$";

/// Checks that a name is a valid folder name. Names in recorded runs need not meet any other condition.
pub(super) fn check_folder(key: &str, name: &str) -> Result<(), SettingError> {
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '=' | ',');
    if name.is_empty()
        || name.len() > MAX_NAME_BYTES
        || name.starts_with('.')
        || !name.chars().all(is_allowed)
    {
        let message = format!(
            "{name:?} is not a valid folder name; use up to 100 letters, digits, \"-\", \"_\", \".\", \"=\" and \",\", not beginning with \".\""
        );
        return Err(SettingError::new(key, message));
    }
    Ok(())
}

/// Arms in a sentence: `arm "a"`, or `arms "a", "b"`.
pub fn arms_in_words<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let quoted: Vec<String> = names.into_iter().map(|name| format!("\"{name}\"")).collect();
    format!("{} {}", if quoted.len() == 1 { "arm" } else { "arms" }, quoted.join(", "))
}

/// Checks that a new name is a valid folder name on every system, and is read as text by every program.
pub(super) fn check_new(key: &str, name: &str) -> Result<(), SettingError> {
    check_folder(key, name)?;
    match misreading(name) {
        Some(reason) => Err(SettingError::new(key, format!("\"{name}\" {reason}; choose another name"))),
        None => Ok(()),
    }
}

/// How another program would misread a name, as the rest of a sentence whose subject is the name.
fn misreading(name: &str) -> Option<&'static str> {
    let lower = name.to_ascii_lowercase();
    let word = lower.trim_matches(|c: char| !c.is_ascii_alphanumeric());
    if word.is_empty() {
        return Some("has no letter, and programs read it as a missing value");
    }
    if lower.ends_with('.') {
        return Some("ends with \".\", which Windows leaves off");
    }
    if is_device(lower.split('.').next().unwrap_or_default()) {
        return Some("is a device on Windows and cannot be a folder there");
    }
    if lower.starts_with(['-', '=']) {
        return Some("begins with \"-\" or \"=\", like an option of a command or a formula of a spreadsheet");
    }
    if MISSING.contains(&word) || MISSING.contains(&&*lower) {
        return Some("means a missing value to pandas, R and others");
    }
    if LOGICAL.contains(&word) {
        return Some("means true or false to R, YAML and others");
    }
    if is_number(&lower) {
        return Some("is a number to programs that read tables");
    }
    is_date(&lower).then_some("is a date to spreadsheets")
}

/// Words that pandas, R, SQL, Julia or Lua read as a missing value.
const MISSING: [&str; 11] =
    ["na", "nan", "null", "none", "nil", "n.a", "n.a.", "nat", "missing", "undefined", "1.#ind"];

const LOGICAL: [&str; 10] = ["true", "false", "t", "f", "yes", "no", "y", "n", "on", "off"];

fn is_device(stem: &str) -> bool {
    let numbered = |prefix: &str| {
        stem.strip_prefix(prefix).is_some_and(|rest| rest.len() == 1 && rest.as_bytes()[0].is_ascii_digit())
    };
    matches!(stem, "con" | "prn" | "aux" | "nul" | "clock") || numbered("com") || numbered("lpt")
}

/// Whether some program reads a name in small letters as a number: decimal, with an exponent of C or Fortran, with
/// separators, hexadecimal, octal, binary, imaginary or infinite.
fn is_number(lower: &str) -> bool {
    let is_digits = |text: &str| text.chars().all(|c| c.is_ascii_digit() || "-_.,=".contains(c));
    let is_decimal = |text: &str| {
        let (mantissa, exponent) = text.split_once(['e', 'd']).unwrap_or((text, "0"));
        mantissa.starts_with(|c: char| c.is_ascii_digit() || "._,".contains(c))
            && mantissa.contains(|c: char| c.is_ascii_digit())
            && !exponent.is_empty()
            && is_digits(mantissa)
            && is_digits(exponent)
    };
    let radix = |prefix: &str, digits: &str| {
        lower.strip_prefix(prefix).is_some_and(|rest| {
            !rest.is_empty() && rest.chars().all(|c| digits.contains(c) || "._p-".contains(c))
        })
    };
    let unsuffixed = lower.strip_suffix(['i', 'j']).unwrap_or(lower);
    matches!(lower, "inf" | "infinity" | "infnan")
        || is_decimal(unsuffixed)
        || radix("0x", "0123456789abcdef")
        || radix("0o", "01234567")
        || radix("0b", "01")
}

/// Whether a spreadsheet reads a name in small letters as a day or month: `mar1`, `2-sep`, `oct-2024`.
fn is_date(lower: &str) -> bool {
    const MONTHS: [&str; 12] = [
        "january",
        "february",
        "march",
        "april",
        "may",
        "june",
        "july",
        "august",
        "september",
        "october",
        "november",
        "december",
    ];
    let letters: String = lower.chars().filter(char::is_ascii_alphabetic).collect();
    let digits = lower.chars().filter(char::is_ascii_digit).count();
    let is_month = letters == "sept"
        || MONTHS.iter().any(|month| letters == *month || letters.len() == 3 && month.starts_with(&letters));
    // The letters stand together: a month and its number, in either order.
    let is_two_parts = lower.contains(&letters);
    let has_separators_only = lower.chars().all(|c| c.is_ascii_alphanumeric() || "-.,_".contains(c));
    is_month && is_two_parts && has_separators_only && (1..=4).contains(&digits)
}

/// Checks that no two arms have the same name. If the experiment is new, names must also differ where file names ignore
/// case.
pub(super) fn check_distinct<'a>(
    names: impl Iterator<Item = &'a str>,
    are_new: bool,
) -> Result<(), SettingError> {
    let key = "arm";
    let mut seen = BTreeMap::new();
    for name in names {
        let folder = if are_new { name.to_ascii_lowercase() } else { name.to_owned() };
        match seen.insert(folder, name) {
            Some(same) if same == name => {
                let message = format!("two arms are named \"{name}\"; give each a different name");
                return Err(SettingError::new(key, message));
            }
            Some(other) => {
                let message = format!(
                    "\"{other}\" and \"{name}\" differ only in case, and are one folder where file names ignore case; rename one"
                );
                return Err(SettingError::new(key, message));
            }
            None => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_programs_read_as_missing_logical_numbers_or_dates_are_refused_with_the_reason() {
        let cases = [
            ("missing", &["NA", "None", "null", "nan", "NaN", "nil", "NULL", "-", "_", ",,"][..]),
            ("true or false", &["TRUE", "False", "T", "f", "yes", "No", "ON"]),
            (
                "number",
                &[
                    "1e5",
                    "1E-3",
                    "42",
                    "1.5",
                    "1,5",
                    "1_000",
                    "inf",
                    "Infinity",
                    "0x1F",
                    "1d5",
                    "5i",
                    "2024-01-01",
                ],
            ),
            ("date", &["MAR1", "Sept-2", "1-dec", "oct-2024"]),
            ("device", &["CON", "nul", "com1", "LPT9", "aux.v2"]),
            ("ends with", &["arm.", "a.."]),
            ("begins with", &["-x", "=1", "-nan", "-1"]),
        ];
        for (reason, names) in cases {
            for name in names {
                let error = check_new("name", name).expect_err(name);
                assert!(error.message.contains(reason), "{name}: {error}");
            }
        }
    }

    #[test]
    fn names_that_only_resemble_refused_names_are_valid() {
        for name in [
            "control",
            "nab",
            "nan-free",
            "none-kept",
            "truth",
            "1st",
            "10-percent",
            "e5",
            "inf-band",
            "x1e5",
            "console",
            "com10",
            "nul1",
            "march",
            "may",
            "mar",
            "natural_fraction=0.0",
            "2x",
            "a",
            "anchored-10",
            "0.5-natural",
            "v1.0",
            "decoder1",
            "again-1",
            "oct",
            "B",
            "d5",
            "0xylene",
        ] {
            assert_eq!(check_new("name", name), Ok(()), "{name}");
        }
    }
}
