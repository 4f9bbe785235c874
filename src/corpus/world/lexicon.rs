//! The content words of the world: pronounceable, unique, each in one class.
//!
//! Because a word belongs to one class only, a sentence can be parsed in one way only. Common words are short and rare
//! ones long, as in real languages. All words begin with a consonant, so the article "a" is always correct.

use super::ranked::ZipfRanks;
use crate::seed::Stream;
use rand::Rng;
use rand::seq::IndexedRandom;
use std::collections::{BTreeMap, BTreeSet};

const ONSETS: [&str; 26] = [
    "b", "d", "f", "g", "h", "j", "k", "l", "m", "n", "p", "r", "s", "t", "v", "w", "z", "br", "dr", "gr",
    "kl", "pl", "sh", "st", "tr", "th",
];
/// Single vowels are listed twice to make them more likely.
const VOWELS: [&str; 12] = ["a", "e", "i", "o", "u", "a", "e", "i", "o", "u", "ai", "ou"];
const INNER_CODAS: [&str; 6] = ["", "", "", "", "l", "n"];
const LAST_CODAS: [&str; 6] = ["", "k", "l", "m", "n", "r"];

/// Number of attempts to find a new word before a syllable is added.
const ATTEMPTS: usize = 8;

/// A class of content words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum WordClass {
    Noun,
    Adjective,
    /// A verb with an object.
    Transitive,
    /// A verb without an object.
    Intransitive,
    Adverb,
}

impl WordClass {
    pub(super) const ALL: [Self; 5] =
        [Self::Noun, Self::Adjective, Self::Transitive, Self::Intransitive, Self::Adverb];

    /// The suffix of all words of the class.
    fn ending(self) -> &'static str {
        match self {
            Self::Noun => "",
            Self::Adjective => "ish",
            Self::Transitive => "es",
            Self::Intransitive => "s",
            Self::Adverb => "ly",
        }
    }

    /// Number of words of the class in a language with `nouns` nouns.
    fn size(self, nouns: usize) -> usize {
        let divisor = match self {
            Self::Noun => 1,
            Self::Adjective => 3,
            Self::Transitive => 4,
            Self::Intransitive => 8,
            Self::Adverb => 12,
        };
        (nouns / divisor).max(1)
    }
}

/// Generates words and never repeats one.
pub(super) struct WordGenerator {
    rng: Stream,
    taken: BTreeSet<String>,
}

impl WordGenerator {
    /// A generator that avoids the words in `reserved`.
    pub(super) fn new<'a>(rng: Stream, reserved: impl IntoIterator<Item = &'a str>) -> Self {
        Self { rng, taken: reserved.into_iter().map(str::to_owned).collect() }
    }

    /// A new word of `syllables` syllables, or more if the short ones are taken, followed by `ending`.
    pub(super) fn word(&mut self, syllables: usize, ending: &str) -> String {
        let mut attempts = 0;
        loop {
            let mut word = String::new();
            let last = syllables + attempts / ATTEMPTS;
            for syllable in 1..=last {
                let codas = if syllable < last { INNER_CODAS } else { LAST_CODAS };
                for sounds in [&ONSETS[..], &VOWELS, &codas] {
                    word.push_str(sounds.choose(&mut self.rng).copied().unwrap_or_default());
                }
            }
            word.push_str(ending);
            if self.taken.insert(word.clone()) {
                return word;
            }
            attempts += 1;
        }
    }

    /// A new capitalised name.
    pub(super) fn name(&mut self) -> String {
        let syllables = if self.rng.random::<f64>() < 0.7 { 2 } else { 3 };
        capitalised(&self.word(syllables, ""))
    }
}

/// The word with its first letter in upper case. Words of the world are ASCII.
pub(super) fn capitalised(word: &str) -> String {
    let mut letters = word.to_owned();
    if let Some(first) = letters.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    letters
}

/// The words of one class, the most frequent first.
#[derive(Clone, Debug)]
pub(super) struct Vocabulary {
    pub(super) words: Vec<String>,
    pub(super) frequencies: ZipfRanks,
}

/// All content words by class.
#[derive(Clone, Debug)]
pub(super) struct Lexicon {
    vocabularies: BTreeMap<WordClass, Vocabulary>,
    ranks: BTreeMap<String, (WordClass, usize)>,
}

impl Lexicon {
    pub(super) fn new(generator: &mut WordGenerator, nouns: usize, exponent: f64) -> Self {
        let mut vocabularies = BTreeMap::new();
        let mut ranks = BTreeMap::new();
        for class in WordClass::ALL {
            let size = class.size(nouns);
            let words: Vec<String> =
                (0..size).map(|rank| generator.word(syllables(rank, size), class.ending())).collect();
            ranks.extend(words.iter().enumerate().map(|(rank, word)| (word.clone(), (class, rank))));
            vocabularies.insert(class, Vocabulary { words, frequencies: ZipfRanks::new(size, exponent) });
        }
        Self { vocabularies, ranks }
    }

    pub(super) fn class(&self, class: WordClass) -> &Vocabulary {
        &self.vocabularies[&class]
    }

    /// The class of a word and its rank in the class, from 0.
    pub(super) fn find(&self, word: &str) -> Option<(WordClass, usize)> {
        self.ranks.get(word).copied()
    }
}

/// Number of syllables of a word: one for the most frequent 5 % of a class, three for the rarest 40 %, two for the
/// others.
fn syllables(rank: usize, size: usize) -> usize {
    match rank * 20 / size {
        0 => 1,
        1..12 => 2,
        _ => 3,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed::StreamKey;

    #[test]
    fn every_word_has_one_class_and_begins_with_a_consonant() {
        let mut generator = WordGenerator::new(StreamKey::new(1, "", 0, "test").stream(0), ["the"]);
        let lexicon = Lexicon::new(&mut generator, 3000, 1.0);
        let mut words = 0;
        for class in WordClass::ALL {
            for (rank, word) in lexicon.class(class).words.iter().enumerate() {
                assert_eq!(lexicon.find(word), Some((class, rank)), "{word}");
                assert!(!word.starts_with(['a', 'e', 'i', 'o', 'u']), "{word}");
                words += 1;
            }
        }
        // 3000 (1 + 1/3 + 1/4 + 1/8 + 1/12)
        assert_eq!(words, 5375);
    }
}
