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
