//! Branches: alternative texts of one document, for decoders that compare several texts.
//!
//! All branches have the same length and are read in parallel, each in its own slot. When a branch is continued in
//! several ways, its slot is copied. When the context is full, its second half is read again from position 0.

use super::steppers::TokenStepper;
use super::{Transformer, all_finite};
use crate::decoding::beam::Growth;
use crate::documents::TokenId;
use crate::model::ModelError;
use crate::stage::Stage;
use genloss_kernels::attention::CachePosition;
use std::ops::Range;

/// The current branches of one document, and the position up to which they have been read.
pub struct Branches<'a> {
    stepper: &'a mut dyn TokenStepper,
    model: &'a Transformer,
    stage: &'a Stage<'a>,
    branches: Vec<Branch>,
    /// Index of the next token to read, in every branch.
    next: usize,
    /// Position of the next token in the context.
    position: usize,
}

struct Branch {
    slot: usize,
    tokens: Vec<TokenId>,
}

impl<'a> Branches<'a> {
    /// Starts with one branch that has the text `tokens` and has not been read.
    pub fn new(
        stepper: &'a mut dyn TokenStepper,
        model: &'a Transformer,
        tokens: Vec<TokenId>,
        stage: &'a Stage<'a>,
    ) -> Self {
        let branches = vec![Branch { slot: 0, tokens }];
        Self { stepper, model, stage, branches, next: 0, position: 0 }
    }

    /// Replaces the branches by the given continuations. There may be at most one continuation per slot.
    pub fn branch(&mut self, grown: impl IntoIterator<Item = Growth>) -> Result<(), ModelError> {
        let grown: Vec<Growth> = grown.into_iter().collect();
        let is_continued = |slot| grown.iter().any(|growth| self.branches[growth.parent].slot == slot);
        let mut free: Vec<usize> = (0..self.stepper.slots()).filter(|&slot| !is_continued(slot)).collect();
        let mut branches: Vec<Branch> = Vec::with_capacity(grown.len());
        for Growth { parent, token } in grown {
            let Branch { slot, tokens } = &self.branches[parent];
            let is_taken = branches.iter().any(|branch| branch.slot == *slot);
            let own = if is_taken { free.pop().expect("a slot for each branch") } else { *slot };
            if own != *slot {
                self.stepper.copy_slot(*slot, own)?;
            }
            branches.push(Branch { slot: own, tokens: [tokens, &[token][..]].concat() });
        }
        self.branches = branches;
        Ok(())
    }

    /// Reads all tokens that have not been read.
    pub fn read(&mut self) -> Result<(), ModelError> {
        while self.read_one()? {}
        Ok(())
    }

    /// Reads the next token of each branch. Returns true if there are more tokens to read.
    pub fn read_one(&mut self) -> Result<bool, ModelError> {
        if self.stage.interrupted() {
            return Err(ModelError::Interrupted);
        }
        if self.position == self.model.context() {
            self.next -= self.model.context() / 2;
            self.position = 0;
        }
        let tokens: Vec<TokenId> = self.branches.iter().map(|branch| branch.tokens[self.next]).collect();
        let position = self.position;
        let places: Vec<CachePosition> =
            self.branches.iter().map(|branch| CachePosition { slot: branch.slot, position }).collect();
        self.stepper.read(&tokens, &places)?;
        self.next += 1;
        self.position += 1;
        Ok(self.branches.iter().any(|branch| branch.tokens.len() > self.next))
    }

    /// Returns true if the last token was read at position 0, so that it is the only one in the context.
    pub fn is_at_context_start(&self) -> bool {
        self.position == 1
    }

    /// The logits (rows, tokens that may be written) of the next token, for the branches with indices `rows`.
    pub fn logits(&mut self, rows: Range<usize>) -> Result<Vec<f32>, ModelError> {
        let mut logits = Vec::new();
        let rows: Vec<u32> = rows.map(|row| row as u32).collect();
        let Transformer { writable, .. } = *self.model;
        let vocab_size = self.model.vocab_size();
        let mut is_finite = true;
        self.stepper.logits(&rows, &mut |_, some| {
            is_finite &= all_finite(some);
            logits.extend(some.chunks_exact(vocab_size).flat_map(|row| &row[..writable]));
        })?;
        if is_finite { Ok(logits) } else { Err(self.model.not_finite("writing".to_owned())) }
    }

    /// The hidden state (W) of each branch at its last read token.
    pub fn states(&self) -> Result<Vec<Vec<f32>>, ModelError> {
        let states = self.stepper.states()?;
        let width = states.len() / self.branches.len();
        Ok(states.chunks_exact(width).map(<[f32]>::to_vec).collect())
    }
}
