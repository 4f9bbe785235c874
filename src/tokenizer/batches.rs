//! Texts that may be larger than memory, a batch at a time.

use super::learn::WordCounts;
use super::round_trip::Sample;
use super::{Coverage, Tokenizer, TokenizerError};
use crate::corpus::Texts;
use crate::documents::{DocumentWriter, Documents, TokenId};
use rayon::prelude::*;

impl Tokenizer {
    /// As [`Tokenizer::learn`].
    ///
    /// # Errors
    /// If `vocab_size` is too small, or if a temporary file cannot be read.
    pub fn learn_from(texts: &Texts, vocab_size: usize) -> Result<Self, TokenizerError> {
        Self::check_vocab_size(vocab_size)?;
        let mut counts = WordCounts::default();
        for batch in texts.batches() {
            counts.add(&batch?.texts())?;
        }
        Self::from_counts(counts, vocab_size)
    }

    /// The tokens of each text, with the end token after them, and how much of the texts they represent. `see` is called
    /// with the texts, some at a time.
    ///
    /// # Errors
    /// As [`Tokenizer::encode`], or if a temporary file cannot be read or written.
    pub fn encode_texts(
        &self,
        texts: &Texts,
        mut see: impl FnMut(&[&str]),
    ) -> Result<(Documents, Coverage), TokenizerError> {
        let mut writer = DocumentWriter::default();
        let mut coverage = Coverage::default();
        let mut sample = Sample::of_bytes(texts.bytes());
        for batch in texts.batches() {
            let batch = batch?;
            let batch = batch.texts();
            see(&batch);
            let (documents, covered) = self.encode_and_cover(&batch)?;
            writer.extend(&documents)?;
            coverage = coverage.and(covered);
            self.add_to_sample(&mut sample, &batch);
        }
        let round_trip = self.round_trip_of_sample(&sample)?;
        Ok((writer.finish()?, Coverage { round_trip, ..coverage }))
    }

    /// The tokens of each text, with the end token after them.
    ///
    /// # Errors
    /// As [`Tokenizer::encode`].
    pub fn encode_documents<T: AsRef<str> + Sync>(&self, texts: &[T]) -> Result<Documents, TokenizerError> {
        self.encode_each(texts, |_, ids| Ok(ids)).map(|encoded| encoded.iter().collect())
    }

    /// As [`Self::encode_texts`], without what comes back otherwise.
    fn encode_and_cover(&self, texts: &[&str]) -> Result<(Documents, Coverage), TokenizerError> {
        let cover = |text: &str, ids: Vec<TokenId>| Ok((self.represented(text, &ids[..ids.len() - 1])?, ids));
        let encoded = self.encode_each(texts, cover)?;
        let documents = encoded.iter().map(|(_, ids)| ids).collect();
        Ok((
            documents,
            encoded.into_iter().map(|(covered, _)| covered).fold(Coverage::default(), Coverage::and),
        ))
    }

    /// What `of` makes of each text and its tokens, which end with the end token.
    fn encode_each<T: AsRef<str> + Sync, R: Send>(
        &self,
        texts: &[T],
        of: impl Fn(&str, Vec<TokenId>) -> Result<R, TokenizerError> + Sync,
    ) -> Result<Vec<R>, TokenizerError> {
        let encode = |text: &T| {
            let mut ids = self.encode(text.as_ref())?;
            ids.push(self.special().end);
            of(text.as_ref(), ids)
        };
        let encoded: Vec<Result<R, TokenizerError>> = texts.par_iter().map(encode).collect();
        encoded.into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tokenizer::SpecialTokens;
    use serde_json::json;

    /// Texts of very different lengths, some of them with letters that a tokenizer may lack.
    fn texts() -> Vec<String> {
        let sentence = |place: usize| format!("The OLD dog {} sees the naïve moon. ", place * place % 97);
        let text = |place: usize| (0..place % 17).map(|part| sentence(place + part)).collect::<String>();
        (0..300).map(|place| if place == 150 { text(16).repeat(40) } else { text(place) }).collect()
    }

    /// Splits text at white space, lower-cases it, and lacks some letters.
    fn word_piece() -> Tokenizer {
        let letters = ('a'..='y').chain('0'..='9').flat_map(|c| [c.to_string(), format!("##{c}")]);
        let names = ["[UNK]".to_owned(), "[SEP]".to_owned()].into_iter().chain(letters);
        let vocab: serde_json::Map<_, _> = names.zip(0..).map(|(name, id)| (name, id.into())).collect();
        let json = json!({
            "version": "1.0", "normalizer": {"type": "Lowercase"}, "pre_tokenizer": {"type": "WhitespaceSplit"},
            "model": {
                "type": "WordPiece", "vocab": vocab, "unk_token": "[UNK]", "continuing_subword_prefix": "##",
                "max_input_chars_per_word": 100
            },
        });
        let special = SpecialTokens { start: 1, end: 1 };
        Tokenizer::from_json(&json.to_string(), special, crate::tokenizer::LEARNT).expect("a tokenizer")
    }

    /// In batches of one text each, of some, and of all, in memory and in a file.
    #[test]
    fn many_batches_are_learnt_encoded_and_covered_as_one_slice() {
        let texts = texts();
        let learnt = Tokenizer::learn(&texts, 400).expect("learns");
        for tokenizer in [&learnt, &word_piece()] {
            let documents = tokenizer.encode_documents(&texts).expect("encodes");
            let coverage = tokenizer.coverage(&texts, &documents).expect("covers");
            for (in_memory, batch) in [(0, 1), (0, 3000), (usize::MAX, 3000), (usize::MAX, u64::MAX)] {
                let stored = Texts::stored(&texts, in_memory, batch);
                let mut seen = Vec::new();
                let see = |texts: &[&str]| seen.extend(texts.iter().map(|&text| text.to_owned()));
                let (encoded, covered) = tokenizer.encode_texts(&stored, see).expect("encodes");
                assert!(encoded == documents && covered == coverage && seen == texts, "{batch}");
                let again = Tokenizer::learn_from(&stored, 400).expect("learns");
                assert!(again.to_json().expect("JSON") == learnt.to_json().expect("JSON"));
            }
        }
        let coverage = |tokenizer: &Tokenizer| {
            tokenizer.encode_texts(&Texts::stored(&texts, 0, 3000), |_| ()).expect("encodes").1
        };
        assert_eq!(coverage(&learnt).lost_share(), 0.0);
        let lossy = coverage(&word_piece());
        assert!(lossy.unknown_tokens > 0 && lossy.round_trip.changed_chars > 0);
    }

    #[test]
    fn forgotten_words_are_encoded_as_before() {
        let texts = texts();
        let tokenizer = Tokenizer::learn(&texts, 400).expect("learns");
        let before = tokenizer.encode_documents(&texts).expect("encodes");
        tokenizer.forget_words();
        assert_eq!(tokenizer.encode_documents(&texts).expect("encodes"), before);
    }
}
