//! Branches: alternative texts of one document, for decoders that compare several texts.
//!
//! All branches of a document have the same length and are read in parallel, each in its own slot. When a branch is
//! continued in several ways, its slot is copied. When the context is full, its second half is read again from position
//! 0.

use super::steppers::TokenStepper;
use crate::decoding::beam::Growth;
use crate::documents::TokenId;
use crate::model::ModelError;
use genloss_kernels::attention::CachePosition;
use std::ops::Range;

/// The current branches of one document, and the position up to which they have been read.
pub struct Branches {
    /// The slots that belong to the document.
    slots: Range<usize>,
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

impl Branches {
    /// Starts with one branch that has the text `tokens` and has not been read.
    pub fn new(slots: Range<usize>, tokens: Vec<TokenId>) -> Self {
        let branches = vec![Branch { slot: slots.start, tokens }];
        Self { slots, branches, next: 0, position: 0 }
    }

    /// The slots that belong to the document.
    pub fn slots(&self) -> Range<usize> {
        self.slots.clone()
    }

    /// The number of branches.
    pub fn count(&self) -> usize {
        self.branches.len()
    }

    /// Replaces the branches by the given continuations. There may be at most one continuation per slot.
    pub fn branch(&mut self, grown: Vec<Growth>, stepper: &mut dyn TokenStepper) -> Result<(), ModelError> {
        let is_continued = |slot| grown.iter().any(|growth| self.branches[growth.parent].slot == slot);
        let mut free: Vec<usize> = self.slots().filter(|&slot| !is_continued(slot)).collect();
        let mut branches: Vec<Branch> = Vec::with_capacity(grown.len());
        for Growth { parent, token } in grown {
            let Branch { slot, tokens } = &self.branches[parent];
            let is_taken = branches.iter().any(|branch| branch.slot == *slot);
            let own = if is_taken { free.pop().expect("a slot for each branch") } else { *slot };
            if own != *slot {
                stepper.copy_slot(*slot, own)?;
            }
            branches.push(Branch { slot: own, tokens: [tokens, &[token][..]].concat() });
        }
        self.branches = branches;
        Ok(())
    }

    /// Returns the next token of each branch and its place. If the context is full, goes back by half of it first.
    pub fn advance(&mut self, context: usize) -> impl Iterator<Item = (TokenId, CachePosition)> {
        if self.position == context {
            self.next -= context / 2;
            self.position = 0;
        }
        let (next, position) = (self.next, self.position);
        self.next += 1;
        self.position += 1;
        self.branches
            .iter()
            .map(move |branch| (branch.tokens[next], CachePosition { slot: branch.slot, position }))
    }

    /// Returns true if there are tokens that have not been read.
    pub fn has_unread(&self) -> bool {
        self.branches.iter().any(|branch| branch.tokens.len() > self.next)
    }

    /// Returns true if the last token was read at position 0, so that it is the only one in the context.
    pub fn is_at_context_start(&self) -> bool {
        self.position == 1
    }
}
