//! Words: the segments of a text that Unicode's rules (UAX #29) call words and that contain a letter or a digit, with
//! case preserved. Punctuation, spaces and the replacement character of invalid UTF-8 are not words.
//!
//! Chinese, Japanese, Thai, Lao, Khmer and Burmese are written without spaces between words. The rules alone would call
//! every character of these scripts a word, and advise the use of a dictionary instead. The dictionaries used here are
//! those of the ICU4X project, as compiled into the crate `icu_segmenter`. All other text is segmented by the crate `unicode-segmentation`. Word counts depend on
//! the versions of both crates, which are in `Cargo.lock`.
//!
//! ```
//! let words: Vec<&str> = genloss::words::of("It's 今天天气 today.").collect();
//! assert_eq!(words, ["It's", "今天", "天气", "today"]);
//! ```

use icu_segmenter::options::WordBreakInvariantOptions;
use icu_segmenter::{WordSegmenter, WordSegmenterBorrowed};
use unicode_script::{Script, UnicodeScript};
use unicode_segmentation::UnicodeSegmentation;

/// The words of `text`, in order.
pub fn of(text: &str) -> impl Iterator<Item = &str> {
    indices(text).map(|(_, word)| word)
}

/// The words of `text`, each with the index of its first byte, in order.
pub fn indices(text: &str) -> Box<dyn Iterator<Item = (usize, &str)> + '_> {
    match text.chars().any(is_unspaced) {
        true => Box::new(by_dictionary(text).into_iter()),
        false => Box::new(text.unicode_word_indices()),
    }
}

/// The dictionaries with their version, on which word counts depend.
const DICTIONARIES: &str = "icu_segmenter 2.4";

/// The dictionaries by which `texts` are segmented, with their version. None if no text needs any.
#[must_use]
pub fn dictionaries(texts: &[String]) -> Option<&'static str> {
    texts.iter().any(|text| text.chars().any(is_unspaced)).then_some(DICTIONARIES)
}

/// Scripts that are written without spaces between words and for which there is a dictionary.
const UNSPACED: [Script; 7] = [
    Script::Han,
    Script::Hiragana,
    Script::Katakana,
    Script::Thai,
    Script::Lao,
    Script::Khmer,
    Script::Myanmar,
];

/// Returns true for letters, marks and digits of the scripts in [`UNSPACED`], including letters that several of these
/// scripts share, such as `ー`.
fn is_unspaced(character: char) -> bool {
    // All letters of these scripts have larger code points than this one; most other text has only smaller ones.
    const FIRST: char = '\u{e00}';
    let has_script = || UNSPACED.iter().any(|&script| character.script_extension().contains_script(script));
    character >= FIRST && character.is_alphanumeric() && has_script()
}

/// The words of a text that has segments of unspaced scripts.
fn by_dictionary(text: &str) -> Vec<(usize, &str)> {
    let segmenter = WordSegmenter::new_dictionary(WordBreakInvariantOptions::default());
    let mut words = Vec::new();
    // Adjacent segments of unspaced scripts that are not in `words` yet.
    let mut run = 0..0;
    for (start, segment) in text.split_word_bound_indices() {
        let end = start + segment.len();
        if is_unspaced_segment(segment) {
            let first = if run.is_empty() { start } else { run.start };
            run = first..end;
            continue;
        }
        words.extend(words_of_run(segmenter, run.start, &text[run]));
        run = end..end;
        words.extend(segment.contains(char::is_alphanumeric).then_some((start, segment)));
    }
    words.extend(words_of_run(segmenter, run.start, &text[run]));
    words
}

/// Returns true if a segment has letters of unspaced scripts and no others.
fn is_unspaced_segment(segment: &str) -> bool {
    segment.chars().any(is_unspaced)
        && segment.chars().all(|character| is_unspaced(character) || !character.is_alphanumeric())
}

/// The words of a run of unspaced segments that begins at byte `start` of its text.
fn words_of_run<'a>(
    segmenter: WordSegmenterBorrowed<'static>,
    start: usize,
    run: &'a str,
) -> impl Iterator<Item = (usize, &'a str)> {
    let ends = segmenter.segment_str(run).skip(1);
    let pieces = ends.scan(0, move |before, end| {
        let from = std::mem::replace(before, end);
        Some((start + from, &run[from..end]))
    });
    pieces.filter(|(_, piece)| piece.contains(char::is_alphanumeric))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<&str> {
        for (start, word) in indices(text) {
            assert_eq!(text.get(start..start + word.len()), Some(word));
        }
        of(text).collect()
    }

    /// Thai, Burmese and the greeting: `tests/testdata/WordBreakDictionary.txt` of ICU4X, whose Thai lines match ICU4C.
    /// The Chinese sentence: the example in the README of jieba. The airport: the example of Lucene's Kuromoji for its
    /// search mode.
    #[test]
    fn words_of_scripts_without_spaces_are_those_of_other_segmenters() {
        assert_eq!(words("我爱北京天安门"), ["我", "爱", "北京", "天安门"]);
        assert_eq!(words("関西国際空港"), ["関西", "国際", "空港"]);
        assert_eq!(words("こんにちは世界"), ["こんにちは", "世界"]);
        let bangkok = ["กรุงเทพฯ", "เป็น", "เมือง", "หลวง", "ของ", "ประเทศไทย"];
        assert_eq!(words("กรุงเทพฯ เป็นเมืองหลวงของประเทศไทย"), bangkok);
        assert_eq!(words("๑๐๐ บาท"), ["๑๐๐", "บาท"]);
        assert_eq!(words("မြန်မာစာမြန်မာစာ"), ["မြန်မာ", "စာ", "မြန်မာ", "စာ"]);
    }

    #[test]
    fn mixed_text_is_segmented_by_script_and_punctuation_is_no_word() {
        assert_eq!(
            words("Welcome龟山岛，2024年に東京。It's 1,250円"),
            ["Welcome", "龟山岛", "2024", "年", "に", "東京", "It's", "1,250", "円"]
        );
        assert_eq!(words("。、「」々ー・"), ["々", "ー"]);
    }

    /// Text without these scripts, with letters of many others: Latin, Greek, Cyrillic, Hebrew, Arabic, Devanagari,
    /// Hangul.
    #[test]
    fn other_text_is_segmented_by_the_rules_of_unicode_alone() {
        let text = "Can't stop at 3.14 — «naïve» Ελλάδα, Привет_мир! שלום \"א\"ב العربية हिन्दी 한국어 문장 🦀 e\u{301}a";
        assert_eq!(words(text), text.unicode_words().collect::<Vec<_>>());
        assert_eq!(dictionaries(&[text.to_owned()]), None);
        assert_eq!(dictionaries(&[text.to_owned(), "カ".to_owned()]), Some(DICTIONARIES));
    }

    #[test]
    fn every_mixture_of_scripts_has_words_in_order_that_lie_in_the_text() {
        let pieces = [
            "日",
            "本語",
            "ก",
            "\u{e31}",
            "ไทย",
            "カ",
            "ー",
            "\u{3099}",
            "_",
            "a",
            "1",
            " ",
            "။",
            "မ",
            "\u{103a}",
            "ຂ",
            "ខ",
            "\u{17d2}",
            "𠀀",
            "\u{200d}",
        ];
        for seed in 0..2000_u64 {
            let piece = |place: u64| {
                pieces[(crate::documents::mix(seed * 31 + place) % pieces.len() as u64) as usize]
            };
            let text: String = (0..1 + seed % 12).map(piece).collect();
            let mut end = 0;
            for (start, word) in indices(&text) {
                assert!(start >= end && text[start..].starts_with(word), "{text:?}");
                assert!(word.contains(char::is_alphanumeric), "{text:?}");
                end = start + word.len();
            }
            let letters = |text: &str| text.chars().filter(|c| c.is_alphanumeric()).collect::<String>();
            assert_eq!(letters(&words(&text).concat()), letters(&text));
        }
    }
}
