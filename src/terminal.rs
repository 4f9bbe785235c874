//! Text that is safe to print: control and direction characters are escaped.
//!
//! A corpus, a model, a command or a folder from somebody else may contain characters that a terminal acts on (ESC),
//! that reverse the order of the text around them (U+202E), or that are invisible. All output for people passes through
//! [`printable`] at the point where it is printed, not where it is created.
//!
//! ```
//! use genloss::terminal::printable;
//! assert_eq!(printable("\u{1b}[2Jcleared\n"), "\\u{1b}[2Jcleared\n");
//! assert_eq!(printable("cafe\u{301} \u{627}"), "cafe\u{301} \u{627}");
//! ```

use std::borrow::Cow;
use std::fmt::Write;

/// Whether a terminal may act on a character, or the character may be invisible. False for line breaks and tabs.
#[must_use]
pub fn is_unsafe(c: char) -> bool {
    let is_layout = c == '\n' || c == '\t';
    let is_direction =
        matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let is_break = matches!(c, '\u{2028}' | '\u{2029}');
    let is_invisible = matches!(c, '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}');
    c.is_control() && !is_layout || is_direction || is_break || is_invisible
}

/// The text with unsafe characters escaped as in Rust: `\r`, `\u{1b}`. Line breaks and tabs are kept.
#[must_use]
pub fn printable(text: &str) -> Cow<'_, str> {
    escaped(text, |c, out| out.extend(c.escape_default()))
}

/// The text on one line: as [`printable`], and with line breaks and tabs escaped too.
#[must_use]
pub fn on_one_line(text: &str) -> String {
    printable(text).replace('\n', "\\n").replace('\t', "\\t")
}

/// Text in JSON or TOML, with unsafe characters escaped as both allow in strings: `\u001b`.
#[must_use]
pub fn printable_source(text: &str) -> Cow<'_, str> {
    escaped(text, |c, out| {
        for unit in c.encode_utf16(&mut [0; 2]) {
            // Writing to a string does not fail.
            let _ = write!(out, "\\u{unit:04x}");
        }
    })
}

fn escaped(text: &str, escape: impl Fn(char, &mut String)) -> Cow<'_, str> {
    if !text.contains(is_unsafe) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if is_unsafe(c) { escape(c, &mut shown) } else { shown.push(c) }
    }
    Cow::Owned(shown)
}

/// Largest number of characters of a word or quotation that an error line shows whole.
const LONGEST: usize = 75;
/// Largest number of characters of an error line.
const LONGEST_LINE: usize = 390;
/// As [`LONGEST`], but for paths. It is larger, because the beginning and the end of a path are needed more often.
const LONGEST_PATH: usize = 150;

/// A line with the middle of every overlong word and quotation left out, so that a name from the input cannot hide what
/// an error says about it.
///
/// ```
/// use genloss::terminal::shortened;
/// let line = shortened(&format!("arm \"{}\": has no mixture", "x".repeat(5000)));
/// assert!(line.len() < 200 && line.ends_with("xxx\": has no mixture"));
/// ```
#[must_use]
pub fn shortened(line: &str) -> String {
    let words: Vec<String> = line.split(' ').map(abridged).collect();
    let quotations: Vec<String> = words.join(" ").split('"').map(str::to_owned).collect();
    let is_closed = quotations.len() % 2 == 1;
    let shown = quotations.iter().enumerate().map(|(place, part)| {
        let is_inside = place % 2 == 1 && (is_closed || place + 1 < quotations.len());
        if is_inside { abridged(part) } else { part.clone() }
    });
    within_limit(&shown.collect::<Vec<_>>().join("\""))
}

/// A line with its middle left out, between words, if it has more than [`LONGEST_LINE`] characters.
fn within_limit(line: &str) -> String {
    let length = line.chars().count();
    if length <= LONGEST_LINE {
        return line.to_owned();
    }
    let last = LONGEST_LINE / 3;
    let beginning: String = line.chars().take(LONGEST_LINE - last - 1).collect();
    let end: String = line.chars().skip(length - last).collect();
    let beginning = beginning.rfind(' ').map_or(&*beginning, |space| &beginning[..=space]);
    let end = end.find(' ').map_or(&*end, |space| &end[space..]);
    format!("{beginning}…{end}")
}

/// A text with its middle left out if it is too long.
fn abridged(text: &str) -> String {
    let length = text.chars().count();
    let longest = if text.contains('/') { LONGEST_PATH } else { LONGEST };
    if length <= longest {
        return text.to_owned();
    }
    let (first, last) = (longest * 2 / 3, longest / 3);
    let beginning: String = text.chars().take(first).collect();
    let end: String = text.chars().skip(length - last).collect();
    format!("{beginning}…{end}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_acts_on_is_escaped_and_writing_of_any_language_is_not() {
        for c in
            ['\u{1b}', '\r', '\u{7}', '\u{7f}', '\u{9b}', '\u{202e}', '\u{2066}', '\u{2028}', '\u{e0041}']
        {
            let shown = printable(&format!("a{c}b")).into_owned();
            assert!(!shown.contains(c) && shown.starts_with("a\\"), "{shown}");
        }
        let good = "Ünïcödé 中文 עברית العربية का 👩\u{200d}🔬 می\u{200c}خواهم\n\t";
        assert_eq!(printable(good), good);
    }

    #[test]
    fn json_stays_json() {
        let text = format!("{{\"a\": \"{}\"}}", "\u{202e}\u{e0041}");
        let shown = printable_source(&text);
        assert!(shown.is_ascii());
        let [before, after] =
            [text.as_str(), &shown].map(|text| serde_json::from_str::<serde_json::Value>(text).unwrap());
        assert_eq!(before, after);
    }

    #[test]
    fn a_long_name_is_shortened_wherever_it_is_and_whatever_it_holds() {
        let [word, words] = ["x".repeat(3000), "a b ".repeat(1000)];
        for line in [
            format!("{word}: is missing"),
            format!("\"{words}\" is missing"),
            format!("a \"{word}\" b \"{words}\""),
        ] {
            assert!(shortened(&line).chars().count() <= 400, "{line}");
        }
        assert_eq!(shortened("a plain \"error\" line"), "a plain \"error\" line");
    }

    #[test]
    fn a_long_list_is_cut_between_words() {
        let list = "temperature, ".repeat(60);
        let shown = shortened(&list);
        assert!(shown.chars().count() <= LONGEST_LINE && shown.contains(", … temperature, "), "{shown}");
        assert!(
            shown.split(", ").all(|word| ["temperature", "… temperature", ""].contains(&word)),
            "{shown}"
        );
    }
}
