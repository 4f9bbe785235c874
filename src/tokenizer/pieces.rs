//! Encoding long texts in pieces, with the same tokens as encoding them whole.
//!
//! Encoding a text as a whole takes one thread, and up to 140 times its size in memory, so long texts are cut into pieces
//! first. A cut changes no token if the pattern that splits text into words always ends a word there, whatever else the
//! text contains. The patterns in [`words::PATTERNS`] and splitting at white space always end a word at two kinds of
//! places: between a letter and a single space that another letter follows, and after a single line break between
//! characters that are not white space. Tokenizers that process text in other ways before splitting it, such as
//! SentencePiece, encode texts as a whole.

use super::words;
use serde_json::Value;
use tokenizers::Tokenizer;

/// Smallest size of a piece in bytes.
pub(super) const PIECE: usize = 1 << 16;

/// Whether encoding in pieces gives every text the same tokens as encoding it whole.
pub(super) fn are_exact(tokenizer: &Tokenizer) -> bool {
    let normalizer = tokenizer.get_normalizer().map_or(Ok(Value::Null), serde_json::to_value);
    let pre_tokenizer = tokenizer.get_pre_tokenizer().map_or(Ok(Value::Null), serde_json::to_value);
    let (Ok(normalizer), Ok(pre_tokenizer)) = (normalizer, pre_tokenizer) else { return false };
    let added = tokenizer.get_added_tokens_decoder();
    // The text of special added tokens is encoded as ordinary text. That of other added tokens is found before the text
    // is split into words, so it could span a cut.
    let reaches_over_a_cut = |token: &tokenizers::AddedToken| {
        !token.special && (token.lstrip || token.rstrip || token.content.contains([' ', '\n']))
    };
    is_local(&normalizer) && ends_words_at_cuts(&pre_tokenizer) && !added.values().any(reaches_over_a_cut)
}

/// Whether each character is normalised independently of the others.
fn is_local(normalizer: &Value) -> bool {
    normalizer.is_null() || matches!(normalizer["type"].as_str(), Some("BertNormalizer" | "Lowercase"))
}

fn ends_words_at_cuts(pre_tokenizer: &Value) -> bool {
    let splits_at_white_space =
        matches!(pre_tokenizer["type"].as_str(), Some("Whitespace" | "WhitespaceSplit" | "BertPreTokenizer"));
    splits_at_white_space || words::pattern_of(pre_tokenizer).is_some()
}

/// Cuts `text` into pieces. Every piece except the last ends at the first exact cut after at least `least` bytes.
pub(super) fn of(text: &str, least: usize) -> Vec<&str> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some(cut) = (least.max(2)..rest.len()).find(|&place| is_exact_cut(rest, place)) {
        let (piece, after) = rest.split_at(cut);
        pieces.push(piece);
        rest = after;
    }
    pieces.push(rest);
    pieces
}

/// Whether `text` may be cut before the byte at index `place`, which must be at least 2.
fn is_exact_cut(text: &str, place: usize) -> bool {
    let bytes = text.as_bytes();
    let next = bytes.get(place + 1).is_some_and(u8::is_ascii_alphabetic);
    if bytes[place] == b' ' {
        return bytes[place - 1].is_ascii_alphabetic() && next;
    }
    bytes[place - 1] == b'\n'
        && !text[..place - 1].ends_with(char::is_whitespace)
        && !text[place..].starts_with(char::is_whitespace)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tokenizer::Tokenizer as OurTokenizer;
    use crate::tokenizer::words::WordEncoder;
    use proptest::prelude::*;
    use serde_json::json;
    use std::sync::LazyLock;

    /// A learnt tokenizer, and one for each pattern, which splits text by that pattern and has the same vocabulary.
    static TOKENIZERS: LazyLock<Vec<Tokenizer>> = LazyLock::new(|| {
        let text =
            "the dog's bone isn't 1234 there; we'll see!\n\nthe dog, they said,\n  ran. é你好 ".repeat(9);
        let learnt = OurTokenizer::learn(&[text], 320).expect("learns").inner;
        let json: Value = serde_json::from_str(&learnt.to_string(false).expect("JSON")).expect("JSON");
        let with = |pre_tokenizer: Value| {
            let mut json = json.clone();
            json["pre_tokenizer"] = pre_tokenizer;
            Tokenizer::from_bytes(json.to_string()).expect("a tokenizer")
        };
        let bytes = json!({
            "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false
        });
        let patterns = words::PATTERNS.map(|pattern| {
            let split = json!({
                "type": "Split", "pattern": { "Regex": pattern }, "behavior": "Isolated", "invert": false
            });
            with(json!({ "type": "Sequence", "pretokenizers": [split, bytes] }))
        });
        std::iter::once(learnt).chain(patterns).collect()
    });

    fn ids(tokenizer: &Tokenizer, text: &str) -> Vec<u32> {
        tokenizer.encode_fast(text, false).expect("encodes").get_ids().to_vec()
    }

    /// Encodes word by word as each of [`TOKENIZERS`].
    static ENCODERS: LazyLock<Vec<WordEncoder>> = LazyLock::new(|| {
        TOKENIZERS.iter().map(|tokenizer| WordEncoder::of(tokenizer).expect("known")).collect()
    });

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(400))]

        /// Texts of letters, digits, punctuation, contractions and every kind of white space, cut at every exact cut.
        #[test]
        fn pieces_and_words_have_the_tokens_of_the_whole_text(
            parts in prop::collection::vec(
                prop_oneof![
                    Just(" ".to_owned()), Just("\n".to_owned()), Just("\r".to_owned()), Just("\t".to_owned()),
                    Just("\u{A0}".to_owned()), Just("'s".to_owned()), Just("'".to_owned()), Just("\u{301}".to_owned()),
                    Just("\u{3000}".to_owned()), "[a-zA-Z]{1,3}", "[0-9]{1,4}", "[.,;!?<>|]{1,2}", "[é你好]{1,2}",
                ],
                1..60,
            ),
        ) {
            let text = parts.concat();
            for (tokenizer, encoder) in TOKENIZERS.iter().zip(ENCODERS.iter()) {
                let by_word = encoder.encode(&text, |word| Ok(ids(tokenizer, word))).expect("encodes");
                prop_assert_eq!(by_word, ids(tokenizer, &text));
                let pieces = of(&text, 1);
                prop_assert_eq!(pieces.concat(), text.clone());
                let of_pieces: Vec<u32> = pieces.iter().flat_map(|piece| ids(tokenizer, piece)).collect();
                prop_assert_eq!(of_pieces, ids(tokenizer, &text), "{:?}", pieces);
            }
        }
    }

    #[test]
    fn tokenizers_that_look_beyond_words_encode_whole() {
        for tokenizer in TOKENIZERS.iter() {
            assert!(are_exact(tokenizer));
        }
        let learnt = &TOKENIZERS[0];
        let json: Value = serde_json::from_str(&learnt.to_string(false).expect("JSON")).expect("JSON");
        for (key, value) in [
            ("pre_tokenizer", Value::Null),
            (
                "pre_tokenizer",
                json!({ "type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": true }),
            ),
            (
                "pre_tokenizer",
                json!({ "type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true }),
            ),
            ("normalizer", json!({ "type": "NFC" })),
            (
                "added_tokens",
                json!([{
                    "id": 400, "content": "a b", "single_word": false, "lstrip": false, "rstrip": false,
                    "normalized": false, "special": false
                }]),
            ),
        ] {
            let mut changed = json.clone();
            changed[key] = value;
            let tokenizer = Tokenizer::from_bytes(changed.to_string()).expect("a tokenizer");
            assert!(!are_exact(&tokenizer) && WordEncoder::of(&tokenizer).is_none(), "{key}");
        }
    }

    #[test]
    fn a_text_without_a_place_for_a_cut_is_one_piece() {
        assert_eq!(of("one two\nthree", 1), ["one", " two\n", "three"]);
        assert_eq!(of("one two three", 5), ["one two", " three"]);
        for text in ["", "a", "a ", "one  two", "1 2", "a\n\nb", "你好\u{3000}\n你好"] {
            assert_eq!(of(text, 1), [text]);
        }
    }
}
