//! Writes one document by beam search or by contrastive search.

use super::branches::Branches;
use crate::decoding::beam::{Growth, Search};
use crate::decoding::contrastive::{self, Candidate};
use crate::decoding::{BeamSearchSettings, ContrastiveSearchSettings};
use crate::documents::TokenId;
use crate::model::ModelError;

/// Continues the text in `branches` by beam search. Returns only the continuation.
pub fn beam(
    branches: &mut Branches,
    settings: BeamSearchSettings,
    end: TokenId,
    max_tokens: usize,
) -> Result<Vec<TokenId>, ModelError> {
    let mut search = Search::new(settings, end, max_tokens);
    let mut open = 1;
    while open > 0 {
        branches.read()?;
        let grown = search.grow(&mut branches.logits(0..open)?);
        open = grown.len();
        branches.branch(grown)?;
    }
    Ok(search.into_best())
}

/// Continues the text in `branches` by contrastive search. Returns only the continuation. A candidate is compared with
/// the tokens in the context. When the context is full, these are the tokens that are read again.
pub fn contrastive(
    branches: &mut Branches,
    settings: ContrastiveSearchSettings,
    end: TokenId,
    max_tokens: usize,
) -> Result<Vec<TokenId>, ModelError> {
    let mut document = Vec::new();
    let mut before = Vec::new();
    let mut chosen = 0;
    let mut states = read_states(branches, &mut before)?;
    while document.len() < max_tokens && document.last() != Some(&end) {
        before.push(states.swap_remove(chosen));
        let candidates = contrastive::candidates(settings, &mut branches.logits(chosen..chosen + 1)?);
        branches
            .branch(candidates.iter().map(|&Candidate { token, .. }| Growth { parent: chosen, token }))?;
        states = read_states(branches, &mut before)?;
        chosen = contrastive::choose(settings, &candidates, &states, &before);
        document.push(candidates[chosen].token);
    }
    Ok(document)
}

/// Reads all tokens that have not been read. Returns the state of each branch's last token, the only token in which the
/// branches differ. The states of the other tokens are appended to `before`, which has one state for each token in the
/// context.
fn read_states(branches: &mut Branches, before: &mut Vec<Vec<f32>>) -> Result<Vec<Vec<f32>>, ModelError> {
    while branches.read_one()? {
        if branches.is_at_context_start() {
            before.clear();
        }
        before.push(branches.states()?.swap_remove(0));
    }
    branches.states()
}
