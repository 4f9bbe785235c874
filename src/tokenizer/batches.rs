//! Encoding many texts, a batch at a time, so that a large corpus takes little more memory than its tokens.

use super::{Coverage, Tokenizer, TokenizerError};
use crate::documents::{Documents, TokenId};
use rayon::prelude::*;

/// Bytes of text in a batch, without its last text.
const BATCH: usize = 1 << 20;

impl Tokenizer {
    /// The tokens of each text, with the end token after them.
    ///
    /// # Errors
    /// As [`Tokenizer::encode`].
    pub fn encode_documents(&self, texts: &[String]) -> Result<Documents, TokenizerError> {
        self.encode_batches(texts.iter().collect(), |_, _| Ok(()), |()| {})
    }

    /// The tokens of each text, with the end token after them, and how much of the texts they represent. Texts are
    /// dropped as soon as they are encoded.
    ///
    /// # Errors
    /// As [`Tokenizer::encode`].
    pub fn encode_and_cover<T: AsRef<str> + Send>(
        &self,
        texts: Vec<T>,
    ) -> Result<(Documents, Coverage), TokenizerError> {
        let round_trip = self.round_trip(&texts)?;
        let mut coverage = Coverage::default();
        let add = |next| coverage = std::mem::take(&mut coverage).and(next);
        let documents = self.encode_batches(texts, |text, ids| self.represented(text, ids), add)?;
        Ok((documents, Coverage { round_trip, ..coverage }))
    }

    /// As [`Self::encode_documents`]. `examine` is called with each text and its tokens, and `add` with the results in
    /// the order of the texts.
    fn encode_batches<T: AsRef<str> + Send, R: Send>(
        &self,
        texts: Vec<T>,
        examine: impl Fn(&str, &[TokenId]) -> Result<R, TokenizerError> + Sync,
        mut add: impl FnMut(R),
    ) -> Result<Documents, TokenizerError> {
        let mut room = Room::for_texts(&texts);
        let mut texts = texts.into_iter();
        let mut documents = Documents::new();
        loop {
            let batch = next_batch(&mut texts);
            if batch.is_empty() {
                return Ok(documents);
            }
            let bytes = bytes_of(&batch);
            let encode = |text: T| {
                let mut ids = self.encode(text.as_ref())?;
                let examined = examine(text.as_ref(), &ids)?;
                ids.push(self.special().end);
                Ok((ids, examined))
            };
            let encoded: Vec<Result<_, TokenizerError>> = batch.into_par_iter().map(encode).collect();
            for text in encoded {
                let (ids, examined) = text?;
                documents.push(&ids);
                add(examined);
            }
            room.reserve(&mut documents, bytes);
        }
    }
}

/// The next texts, with [`BATCH`] bytes or a little more.
fn next_batch<T: AsRef<str>>(texts: &mut impl Iterator<Item = T>) -> Vec<T> {
    let (mut bytes, mut batch) = (0, Vec::new());
    while bytes < BATCH
        && let Some(text) = texts.next()
    {
        bytes += text.as_ref().len();
        batch.push(text);
    }
    batch
}

fn bytes_of<T: AsRef<str>>(texts: &[T]) -> usize {
    texts.iter().map(|text| text.as_ref().len()).sum()
}

/// Makes room for the tokens of all texts once the first batch has shown how many tokens a byte has.
struct Room {
    bytes_left: usize,
    is_made: bool,
}

impl Room {
    fn for_texts<T: AsRef<str>>(texts: &[T]) -> Self {
        Self { bytes_left: bytes_of(texts), is_made: false }
    }

    fn reserve(&mut self, documents: &mut Documents, encoded_bytes: usize) {
        /// Batches differ a little.
        const MARGIN: f64 = 1.05;
        self.bytes_left = self.bytes_left.saturating_sub(encoded_bytes);
        if !self.is_made {
            let tokens_per_byte = documents.tokens().0 as f64 / encoded_bytes.max(1) as f64;
            documents.reserve((MARGIN * tokens_per_byte * self.bytes_left as f64) as usize);
            self.is_made = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Three batches, the second of which is one text that is larger than a batch.
    #[test]
    fn texts_in_several_batches_are_encoded_and_covered_as_one_by_one() {
        let sentence = "the old dog sees the other dog. ";
        let text = |repeats: usize, place: usize| format!("{place} {}", sentence.repeat(repeats));
        let mut texts: Vec<String> =
            (0..9).map(|place| text(BATCH / sentence.len() / 9 + 20, place)).collect();
        texts.push(text(BATCH / sentence.len() + 20, 9));
        texts.extend([String::new(), "last".to_owned()]);
        let tokenizer =
            Tokenizer::learn(&["the old dog sees the other dog".to_owned()], 270).expect("learns");
        let expected: Vec<Vec<TokenId>> = texts
            .iter()
            .map(|text| [tokenizer.encode(text).expect("encodes"), vec![tokenizer.special().end]].concat())
            .collect();
        let expected: Documents = expected.iter().map(Vec::as_slice).collect();
        let coverage = tokenizer.coverage(&texts, &expected).expect("covers");
        assert_eq!(tokenizer.encode_documents(&texts).expect("encodes"), expected);
        assert_eq!(tokenizer.encode_and_cover(texts).expect("encodes"), (expected, coverage));
    }
}
