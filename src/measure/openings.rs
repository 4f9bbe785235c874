//! The openings of documents: equally many words of each, so that the length of documents does not decide a metric.
//!
//! Longer texts repeat more of their words, and share more n-grams with others. Metrics of single documents therefore
//! look at the first [`OPENING_WORDS`] words of each, and leave out documents that have fewer. They compare words, not
//! tokens: what counts as a token depends on the tokenizer and on the text that it was learnt from.
//!
//! Why 25? Two or three sentences are long enough for words to recur, and so short that most paragraphs have them, and
//! about three quarters of the documents of the built-in world.

use crate::words;
use rayon::prelude::*;

/// The number of words in an opening.
pub(super) const OPENING_WORDS: usize = 25;

/// The first [`OPENING_WORDS`] words of each text that has as many, in the order of the texts.
pub(super) fn of(texts: &[String]) -> Vec<Vec<&str>> {
    texts.par_iter().map(|text| first_words(text)).filter(|words| words.len() == OPENING_WORDS).collect()
}

fn first_words(text: &str) -> Vec<&str> {
    words::of(text).take(OPENING_WORDS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_opening_has_25_words_and_shorter_texts_have_none() {
        let words = |count: usize| (0..count).map(|index| format!("w{index}, ")).collect::<String>();
        let texts = [words(24), words(26), String::new(), words(25)];
        let openings = of(&texts);
        assert_eq!(openings.len(), 2);
        assert_eq!((openings[0][0], openings[0][24]), ("w0", "w24"));
        assert_eq!(openings[0], openings[1]);
    }
}
