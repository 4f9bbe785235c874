//! One document by beam search or by contrastive search.

use super::branches::Branches;
use crate::config::{Beam, Contrastive};
use crate::decoding::beam::{Growth, Search};
use crate::decoding::contrastive::{self, Candidate};
use crate::documents::TokenId;
use crate::model::ModelError;

/// The document that a beam search writes after the text of `branches`.
pub fn beam(
    branches: &mut Branches,
    settings: Beam,
    end: TokenId,
    most_tokens: usize,
) -> Result<Vec<TokenId>, ModelError> {
    let mut search = Search::new(settings, end, most_tokens);
    let mut open = 1;
    while open > 0 {
        branches.read()?;
        let grown = search.grow(&mut branches.logits(0..open)?);
        open = grown.len();
        branches.branch(grown)?;
    }
    Ok(search.into_best())
}

/// The document that contrastive search writes after the text of `branches`. What stands before a candidate is what the
/// context holds: when it rolls, the states of what is read again take the place of all others.
pub fn contrastive(
    branches: &mut Branches,
    settings: Contrastive,
    end: TokenId,
    most_tokens: usize,
) -> Result<Vec<TokenId>, ModelError> {
    let mut document = Vec::new();
    let mut before = Vec::new();
    let mut chosen = 0;
    let mut states = read(branches, &mut before)?;
    while document.len() < most_tokens && document.last() != Some(&end) {
        before.push(states.swap_remove(chosen));
        let candidates = contrastive::candidates(settings, &mut branches.logits(chosen..chosen + 1)?);
        branches
            .branch(candidates.iter().map(|&Candidate { token, .. }| Growth { parent: chosen, token }))?;
        states = read(branches, &mut before)?;
        chosen = contrastive::choose(settings, &candidates, &states, &before);
        document.push(candidates[chosen].token);
    }
    Ok(document)
}

/// Reads on. Gives the states of the last tokens, in which alone the texts differ; those of other tokens go to `before`,
/// which has a state for each token that the context holds.
fn read(branches: &mut Branches, before: &mut Vec<Vec<f32>>) -> Result<Vec<Vec<f32>>, ModelError> {
    while branches.read_one()? {
        if branches.has_started() {
            before.clear();
        }
        before.push(branches.states()?.swap_remove(0));
    }
    branches.states()
}
