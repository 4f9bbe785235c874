//! *Textbook from keywords*: a natural document provides the topic, and the model writes the text.
//!
//! A prompt consists of the few words that characterize a natural document, in the order in which they occur. These are
//! the words with the largest tf-idf weight tf · ln(N / df) (Spärck Jones 1972), where tf is the number of times that
//! the word occurs in the document and df the number of documents, of N in all, that contain it. The prompt is not part
//! of the written document.

use super::SynthesisError;
use super::method::GeneratorContext;
use super::prompted::Prompts;
use crate::documents::TokenId;
use crate::seed::StreamKey;
use crate::words;
use rand::Rng;
use rayon::prelude::*;
use std::collections::BTreeMap;

/// Prompts made of the keywords of natural documents.
pub(super) struct Keywords {
    count: usize,
    /// For each document that has keywords, the tokens of its keywords with a space before each. Not empty.
    prompts: Vec<Vec<TokenId>>,
    key: StreamKey,
}

impl Keywords {
    pub(super) fn new(context: &GeneratorContext, count: usize) -> Result<Self, SynthesisError> {
        let (natural, tokenizer) = (context.sources.natural, context.sources.tokenizer);
        let texts = tokenizer.decode_documents(natural);
        let frequencies = document_frequencies(&texts);
        let prompts: Result<Vec<Vec<TokenId>>, _> = texts
            .par_iter()
            .map(|text| keywords(text, &frequencies, texts.len(), count))
            .filter(|words| !words.is_empty())
            .map(|words| tokenizer.encode(&words.iter().map(|word| format!(" {word}")).collect::<String>()))
            .collect();
        let prompts = prompts?;
        if prompts.is_empty() {
            return Err(SynthesisError::NoKeyword { documents: natural.len() });
        }
        Ok(Self { count, prompts, key: context.key.clone() })
    }
}

/// The number of texts in which each word occurs.
fn document_frequencies(texts: &[String]) -> BTreeMap<&str, usize> {
    let mut frequencies = BTreeMap::new();
    for text in texts {
        let mut words: Vec<&str> = words::of(text).collect();
        words.sort_unstable();
        words.dedup();
        for word in words {
            *frequencies.entry(word).or_default() += 1;
        }
    }
    frequencies
}

/// The `count` words of `text` with the largest tf · ln(N / df), in the order in which they first occur. Words that
/// occur in every text have weight 0 and are never keywords.
fn keywords<'a>(
    text: &'a str,
    frequencies: &BTreeMap<&str, usize>,
    texts: usize,
    count: usize,
) -> Vec<&'a str> {
    let mut words: BTreeMap<&str, (usize, f64)> = BTreeMap::new();
    for (position, word) in words::of(text).enumerate() {
        let rarity = (texts as f64 / frequencies.get(word).copied().unwrap_or(texts) as f64).ln();
        words.entry(word).or_insert((position, 0.0)).1 += rarity;
    }
    let mut words: Vec<(&str, (usize, f64))> =
        words.into_iter().filter(|(_, (_, weight))| *weight > 0.0).collect();
    words.sort_by(|(_, (position, weight)), (_, (other_position, other_weight))| {
        other_weight.total_cmp(weight).then(position.cmp(other_position))
    });
    words.truncate(count);
    words.sort_by_key(|(_, (position, _))| *position);
    words.into_iter().map(|(word, _)| word).collect()
}

impl Prompts for Keywords {
    fn prompt(&self, slot: u64) -> &[TokenId] {
        let chosen = self.key.stream(slot).random_range(0..self.prompts.len() as u64);
        &self.prompts[chosen as usize]
    }

    fn source(&self) -> String {
        format!("train split, {} keywords by tf-idf", self.count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Weights: "the" occurs in every text, so ln(3/3) = 0; "cat" twice in one of three texts, so 2 ln 3; "sat" once in
    /// one, so ln 3; "old" once, but in two of the texts, so ln 1.5.
    #[test]
    fn keywords_are_those_worked_out_by_hand() {
        let texts = ["the cat sat, the old cat", "the old dog", "the end"].map(str::to_owned);
        let frequencies = document_frequencies(&texts);
        let words = |text: &'static str, count| keywords(text, &frequencies, 3, count);
        assert_eq!(words("the cat sat, the old cat", 1), ["cat"]);
        assert_eq!(words("the old sat cat, the cat", 2), ["sat", "cat"]);
        assert_eq!(words("the old sat cat, the cat", 9), ["old", "sat", "cat"]);
        assert!(words("the the", 2).is_empty());
    }
}
