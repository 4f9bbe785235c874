//! Branches: alternative texts of one document, for decoders that compare several texts.
//!
//! All branches of a document have the same length and are read in parallel, each in its own slot. When a branch is
//! continued in several ways, its slot is copied, from the first position on at which the two slots have read different
//! tokens. When the context is full, its second half is read again from position 0.

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
    /// For each of them, the tokens that it has read, by position.
    held: Vec<Vec<TokenId>>,
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
        let held = vec![Vec::new(); slots.len()];
        Self { slots, held, branches, next: 0, position: 0 }
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
            let Branch { slot, ref tokens } = self.branches[parent];
            let tokens = [tokens, &[token][..]].concat();
            let is_taken = branches.iter().any(|branch| branch.slot == slot);
            let own = if is_taken { free.pop().expect("a slot for each branch") } else { slot };
            if own != slot {
                self.copy(slot, own, stepper)?;
            }
            branches.push(Branch { slot: own, tokens });
        }
        self.branches = branches;
        Ok(())
    }

    /// Makes slot `to` hold what slot `from` holds.
    fn copy(&mut self, from: usize, to: usize, stepper: &mut dyn TokenStepper) -> Result<(), ModelError> {
        let [source, target] = [from, to].map(|slot| slot - self.slots.start);
        let (read, held) = (&self.held[source], &self.held[target]);
        let same = read.iter().zip(held).take_while(|(a, b)| a == b).count();
        // Texts that differ only before the context have read the same.
        if same < read.len() {
            stepper.copy_positions(from, to, same..read.len())?;
        }
        self.held[target] = read.clone();
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
        let (first, held) = (self.slots.start, &mut self.held);
        self.branches.iter().map(move |&Branch { slot, ref tokens }| {
            let held = &mut held[slot - first];
            held.truncate(position);
            held.push(tokens[next]);
            (tokens[next], CachePosition { slot, position })
        })
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
