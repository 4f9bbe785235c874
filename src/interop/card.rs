//! The pieces of a card: a `README.md` of the hub, Markdown below YAML front matter.
//!
//! Front matter is written as YAML whose texts are all in double quotes, and read by YAML 1.1 and 1.2 alike. Text that
//! comes from a run is escaped, so that it is neither YAML, Markdown nor HTML.

use std::fmt::Write;

/// A text as a double-quoted YAML scalar in ASCII.
pub fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        let written = match (c, u32::from(c)) {
            ('"' | '\\', _) => write!(quoted, "\\{c}"),
            (' '..='~', _) => write!(quoted, "{c}"),
            (_, code @ ..=0xffff) => write!(quoted, "\\u{code:04x}"),
            (_, code) => write!(quoted, "\\U{code:08x}"),
        };
        written.expect("a string takes any text");
    }
    quoted + "\""
}

/// A number as YAML reads it.
pub fn number(value: f64) -> String {
    if value.is_nan() {
        ".nan".to_owned()
    } else if value.is_infinite() {
        if value > 0.0 { ".inf" } else { "-.inf" }.to_owned()
    } else {
        // YAML 1.1 reads a number with an exponent only if it has a point and a sign.
        let text = format!("{value:?}");
        match text.split_once('e') {
            Some((digits, exponent)) => {
                let point = if digits.contains('.') { "" } else { ".0" };
                let sign = if exponent.starts_with('-') { "" } else { "+" };
                format!("{digits}{point}e{sign}{exponent}")
            }
            None => text,
        }
    }
}

/// A text within a line of Markdown, shown as it is.
pub fn plain(text: &str) -> String {
    let mut escaped = String::new();
    for c in text.chars() {
        if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}') {
            escaped.push(' ');
            continue;
        }
        if "\\`*_[]<>#+!|&~$".contains(c) {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    escaped
}

/// A text as a block of code, which ends only where the text does.
pub fn fenced(text: &str, language: &str) -> String {
    let longest = text.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(longest.max(2) + 1);
    format!("{fence}{language}\n{}\n{fence}\n", text.trim_end())
}

/// A Markdown table; the cells are shown as they are.
pub fn table(header: &[&str], rows: &[Vec<String>]) -> String {
    let line = |cells: Vec<String>| format!("| {} |\n", cells.join(" | "));
    let mut text = line(header.iter().map(|cell| plain(cell)).collect());
    text += &line(vec!["---".to_owned(); header.len()]);
    rows.iter().for_each(|row| text += &line(row.iter().map(|cell| plain(cell)).collect()));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_quoted_in_printable_ascii() {
        assert_eq!(quoted("a: \"b\"\\\n\u{85}ü\u{1f600}"), r#""a: \"b\"\\\u000a\u0085\u00fc\U0001f600""#);
    }

    #[test]
    fn a_number_has_the_form_that_every_yaml_reads_as_a_number() {
        let written = [1.0, 1e-300, 2.5e20, -0.0, f64::NAN, f64::NEG_INFINITY].map(number);
        assert_eq!(written, ["1.0", "1.0e-300", "2.5e+20", "-0.0", ".nan", "-.inf"]);
    }

    #[test]
    fn text_cannot_leave_its_place_in_markdown() {
        assert_eq!(plain("<b>|\n[x](y)"), "\\<b\\>\\| \\[x\\](y)");
        assert_eq!(fenced("a\n````\nb\n", "toml"), "`````toml\na\n````\nb\n`````\n");
    }
}
