//! Texts that branch out of one another, for the decoders that look at several at once.
//!
//! All of them have the same length, and are read in step, each in a slot of its own. A text that goes on in several ways
//! has its slot copied. A full context rolls as everywhere: its later half is read again, from position 0.

use super::decoders::Decoder;
use crate::decoding::beam::Growth;
use crate::documents::TokenId;
use crate::model::ModelError;
use crate::stage::Stage;
use genloss_kernels::attention::CachePosition;
use std::ops::Range;

/// Some texts, and how far they are read.
pub struct Branches<'a> {
    decoder: &'a mut dyn Decoder,
    context: usize,
    stage: &'a Stage<'a>,
    texts: Vec<Text>,
    /// The next token of each to read.
    next: usize,
    /// Where in the context it will stand.
    position: usize,
}

struct Text {
    slot: usize,
    tokens: Vec<TokenId>,
}

impl<'a> Branches<'a> {
    /// One text, of which nothing is read.
    pub fn new(
        decoder: &'a mut dyn Decoder,
        context: usize,
        tokens: Vec<TokenId>,
        stage: &'a Stage<'a>,
    ) -> Self {
        Self { decoder, context, stage, texts: vec![Text { slot: 0, tokens }], next: 0, position: 0 }
    }

    /// Puts in the place of the texts those that grow out of them, at most as many as the decoder has slots.
    pub fn branch(&mut self, grown: impl IntoIterator<Item = Growth>) -> Result<(), ModelError> {
        let grown: Vec<Growth> = grown.into_iter().collect();
        let goes_on = |slot| grown.iter().any(|growth| self.texts[growth.parent].slot == slot);
        let mut free: Vec<usize> = (0..self.decoder.slots()).filter(|&slot| !goes_on(slot)).collect();
        let mut texts: Vec<Text> = Vec::with_capacity(grown.len());
        for Growth { parent, token } in grown {
            let Text { slot, tokens } = &self.texts[parent];
            let is_taken = texts.iter().any(|text| text.slot == *slot);
            let own = if is_taken { free.pop().expect("a slot for each text") } else { *slot };
            if own != *slot {
                self.decoder.copy(*slot, own)?;
            }
            texts.push(Text { slot: own, tokens: [tokens, &[token][..]].concat() });
        }
        self.texts = texts;
        Ok(())
    }

    /// Reads every token that is not read yet.
    pub fn read(&mut self) -> Result<(), ModelError> {
        while self.read_one()? {}
        Ok(())
    }

    /// Reads one more token of each text; whether there are more.
    pub fn read_one(&mut self) -> Result<bool, ModelError> {
        if self.stage.interrupted() {
            return Err(ModelError::Interrupted);
        }
        if self.position == self.context {
            self.next -= self.context / 2;
            self.position = 0;
        }
        let tokens: Vec<TokenId> = self.texts.iter().map(|text| text.tokens[self.next]).collect();
        let position = self.position;
        let places: Vec<CachePosition> =
            self.texts.iter().map(|text| CachePosition { slot: text.slot, position }).collect();
        self.decoder.read(&tokens, &places)?;
        self.next += 1;
        self.position += 1;
        Ok(self.texts.iter().any(|text| text.tokens.len() > self.next))
    }

    /// Whether what was read last stands at the beginning of the context: what was before is out of it.
    pub fn has_started(&self) -> bool {
        self.position == 1
    }

    /// The logits (rows, V) of what comes next after each of the texts `rows`.
    pub fn logits(&mut self, rows: Range<usize>) -> Result<Vec<f32>, ModelError> {
        let mut logits = Vec::new();
        let rows: Vec<u32> = rows.map(|row| row as u32).collect();
        self.decoder.logits(&rows, &mut |_, some| logits.extend_from_slice(some))?;
        Ok(logits)
    }

    /// The hidden state (W) of each text at what was read last.
    pub fn states(&self) -> Result<Vec<Vec<f32>>, ModelError> {
        let states = self.decoder.states()?;
        let width = states.len() / self.texts.len();
        Ok(states.chunks_exact(width).map(<[f32]>::to_vec).collect())
    }
}
