//! Decodes plain text files.

use super::CorpusError;
use std::path::Path;

/// The text of a plain text file, without its byte order mark and with every line end as `\n`: `\r\n`, `\r`, NEL (U+0085)
/// and LINE SEPARATOR (U+2028). PARAGRAPH SEPARATOR (U+2029) becomes a blank line (Unicode, section 5.8).
///
/// All plain text for models is decoded by this function, so that the same file always gives the same tokens.
///
/// # Errors
/// If the bytes are not UTF-8. `path` is for the message.
pub fn plain_text(path: &Path, bytes: &[u8]) -> Result<String, CorpusError> {
    let text = utf8(path, bytes)?;
    let text = text.strip_prefix('\u{FEFF}').unwrap_or(text);
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(index) = rest.find(['\r', '\u{85}', '\u{2028}', '\u{2029}']) {
        let (before, after) = rest.split_at(index);
        let end = after.chars().next().unwrap_or('\n');
        plain.push_str(before);
        plain.push_str(if end == '\u{2029}' { "\n\n" } else { "\n" });
        let after = &after[end.len_utf8()..];
        rest = if end == '\r' { after.strip_prefix('\n').unwrap_or(after) } else { after };
    }
    plain.push_str(rest);
    Ok(plain)
}

/// The bytes as UTF-8, or an error with the first line that is not valid UTF-8. Many NUL characters are an error too,
/// because UTF-16 without a byte order mark can be valid UTF-8 with many NUL characters.
pub(super) fn utf8<'a>(path: &Path, bytes: &'a [u8]) -> Result<&'a str, CorpusError> {
    let nuls = bytes.iter().filter(|&&byte| byte == 0).count();
    if nuls > bytes.len() / 4 {
        return Err(CorpusError::Nuls { path: path.to_owned() });
    }
    std::str::from_utf8(bytes).map_err(|error| {
        let newlines = bytes[..error.valid_up_to()].iter().filter(|&&byte| byte == b'\n').count();
        CorpusError::NotUtf8 { path: path.to_owned(), line: newlines + 1 }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(bytes: impl AsRef<[u8]>) -> String {
        plain_text(Path::new("a.txt"), bytes.as_ref()).expect("text")
    }

    #[test]
    fn every_line_end_becomes_a_newline_and_the_byte_order_mark_is_removed() {
        assert_eq!(
            plain("\u{FEFF}one\r\ntwo\rthree\u{2028}four\u{85}five\n"),
            "one\ntwo\nthree\nfour\nfive\n"
        );
        assert_eq!(plain("one\u{2029}two\r\r\nthree\r"), "one\n\ntwo\n\nthree\n");
        assert_eq!(plain("é 🐕 \u{B}\u{C} \u{FEFF}"), "é 🐕 \u{B}\u{C} \u{FEFF}");
    }

    #[test]
    fn text_in_utf_16_is_refused_with_or_without_a_byte_order_mark() {
        let utf16: Vec<u8> = "no marks here".encode_utf16().flat_map(u16::to_le_bytes).collect();
        for bytes in [utf16.clone(), [&[0xFF, 0xFE][..], &utf16].concat()] {
            assert!(plain_text(Path::new("a.txt"), &bytes).is_err());
        }
    }
}
