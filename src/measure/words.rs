//! Words as numbers, and how many words of a text are counted.
//!
//! A small vocabulary of model tokens has a short tail; words have a long one, so types of both are counted. Equal
//! numbers of tokens contain different numbers of words, and type counts grow with the size of the text, so words are
//! cut to a *budget* that depends on the reference text and n alone: three quarters of the words that n tokens of
//! reference text contain. The budget is lower than the full number because synthetic text may need more tokens per
//! word and must still reach it. If a text does not reach it, the `n` of the measurement shows how many words were
//! counted. A text with less than half of the budget is too short to be compared, and has no word metrics.

use super::uncertainty::BLOCKS;
use crate::documents::Documents;
use crate::units::Tokens;
use crate::words;
use rayon::prelude::*;

#[expect(clippy::disallowed_types, reason = "a pure lookup table, never iterated")]
type WordNumbers<'a> = std::collections::HashMap<std::borrow::Cow<'a, str>, u32>;

/// A number for each word of the reference text, in the order of spelling.
///
/// (Not in the order of first occurrence: equal counts are ranked by number, and a rank that depends on the position of
/// a word in the sample would make the rarest words of one half too rare in the other.)
#[derive(Clone, Debug, Default)]
pub(super) struct Vocabulary(WordNumbers<'static>);

impl Vocabulary {
    /// The vocabulary of `texts`, and the texts as numbered words.
    pub(super) fn learn(texts: &[String]) -> (Self, Documents) {
        let mut spellings: Vec<&str> = split(texts).into_iter().flatten().collect();
        spellings.par_sort_unstable();
        spellings.dedup();
        let vocabulary = Self(spellings.into_iter().map(|word| word.to_owned().into()).zip(0..).collect());
        let documents = vocabulary.read(texts);
        (vocabulary, documents)
    }

    /// The number of a word; None if the vocabulary lacks it.
    pub(super) fn number(&self, word: &str) -> Option<u32> {
        self.0.get(word).copied()
    }

    /// `texts` as numbered words. Words that the vocabulary lacks get the numbers after its last one, in the order of
    /// their first occurrence.
    pub(super) fn read(&self, texts: &[String]) -> Documents {
        let mut unknown = WordNumbers::new();
        let mut documents = Documents::new();
        for words in split(texts) {
            let mut ids = Vec::with_capacity(words.len());
            for word in words {
                let next = (self.0.len() + unknown.len()) as u32;
                let known = self.number(word);
                ids.push(known.unwrap_or_else(|| *unknown.entry(word.into()).or_insert(next)));
            }
            documents.push(&ids);
        }
        documents
    }
}

/// The smallest word budget with which words are counted: one word for each block of the jackknife.
const SMALLEST_BUDGET: Tokens = Tokens(BLOCKS as u64);

/// Why `counted` words are too few if `budget` are compared; None if they are enough. Type counts depend on the size of
/// a text: a few percent less hardly matter, but half does.
pub(super) fn why_not_counted(counted: Tokens, budget: Tokens) -> Option<String> {
    if budget < SMALLEST_BUDGET {
        return Some(format!("{} words would be compared, as natural text has hardly any", budget.0));
    }
    let is_short = counted.0 < budget.0.div_ceil(2);
    is_short.then(|| format!("the text has only {} of the {} words that are compared", counted.0, budget.0))
}

/// The words of each text.
fn split(texts: &[String]) -> Vec<Vec<&str>> {
    texts.par_iter().map(|text| words::of(text).collect()).collect()
}

/// The word budget of a text of `n` tokens, given the size of the reference text.
pub(super) fn budget(n: Tokens, reference_tokens: Tokens, reference_words: Tokens) -> Tokens {
    let scaled_words = u128::from(n.0) * u128::from(reference_words.0);
    let counted = (scaled_words * 3).checked_div(u128::from(reference_tokens.0) * 4).unwrap_or(0);
    Tokens(u64::try_from(counted).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_words_get_numbers_after_the_known_ones() {
        let (vocabulary, documents) = Vocabulary::learn(&["The cat, the cat.".to_owned()]);
        // In the order of spelling: The, cat, the.
        assert_eq!(documents.flat(), [0, 1, 2, 1]);
        let read = vocabulary.read(&["the dog".to_owned(), "dog eats the cat".to_owned()]);
        assert_eq!(read.iter().collect::<Vec<_>>(), [&[2, 3][..], &[3, 4, 2, 1]]);
    }

    #[test]
    fn punctuation_and_replacement_characters_are_not_words() {
        let (_, documents) = Vocabulary::learn(&["\u{fffd}\u{fffd} … — !".to_owned(), String::new()]);
        assert_eq!(documents.len(), 2);
        assert_eq!(documents.tokens(), Tokens(0));
    }

    /// 1000 reference tokens contain 600 words, so 500 tokens contain 300, of which three quarters are 225.
    #[test]
    fn the_budget_depends_on_the_reference_and_n_alone() {
        assert_eq!(budget(Tokens(500), Tokens(1000), Tokens(600)), Tokens(225));
        assert_eq!(budget(Tokens(500), Tokens(0), Tokens(0)), Tokens(0));
    }
}
