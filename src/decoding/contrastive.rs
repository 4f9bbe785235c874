//! ContrastiveSearchSettings search: a token that is probable, and unlike what stands before it.
//!
//! Among the k most probable tokens v after a text x₁ … xₙ (Su et al. 2022, equation 5)
//!
//! ```text
//! argmax_v  (1 − α) p(v) − α max_j cos(h_v, h_j)
//! ```
//!
//! where h_j is the last hidden state of the model at token j, normalised as logits are made of it, and h_v the one that
//! token v would have if it came next. A model that repeats itself has states that repeat; α weighs that against
//! probability. With α = 0 it is greedy decoding.
//!
//! The state of a candidate is known once the model has read it, so every token costs k readings instead of one.
//!
//! **Pitfall.** It helps as far as the states of different tokens differ in direction (Su et al. 2022, section 3). Where
//! all point about the same way, as in a model that has learnt little, every candidate pays the same.

use super::best;
use crate::decoding::ContrastiveSearchSettings;
use crate::documents::TokenId;

/// A token that may come next, and its probability among all tokens.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Candidate {
    /// The token.
    pub token: TokenId,
    /// Its probability.
    pub probability: f64,
}

/// The k most probable tokens, most probable first; the lower id of equals. `logits` (V) are spent.
#[must_use]
pub fn candidates(settings: ContrastiveSearchSettings, logits: &mut [f32]) -> Vec<Candidate> {
    let candidate = |(token, log): (TokenId, f64)| Candidate { token, probability: log.exp() };
    best(logits, settings.k).into_iter().map(candidate).collect()
}

/// The number of the candidate that comes next, the first of equals. `states` (candidates, W) are those of the
/// candidates, `before` (n, W) those of the text.
#[must_use]
pub fn choose(
    settings: ContrastiveSearchSettings,
    candidates: &[Candidate],
    states: &[Vec<f32>],
    before: &[Vec<f32>],
) -> usize {
    let score = |(candidate, state): (&Candidate, &Vec<f32>)| {
        let nearest = before.iter().map(|other| cosine(state, other)).fold(-1.0, f64::max);
        (1.0 - settings.alpha) * candidate.probability - settings.alpha * nearest
    };
    let scores: Vec<f64> = candidates.iter().zip(states).map(score).collect();
    let better = |best: usize, next: usize| if scores[next] > scores[best] { next } else { best };
    (0..scores.len()).reduce(better).unwrap_or(0)
}

/// The cosine of the angle between two vectors; 0 if one of them is 0.
fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let product =
        |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum::<f64>();
    let lengths = (product(a, a) * product(b, b)).sqrt();
    if lengths > 0.0 { product(a, b) / lengths } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CANDIDATES: [Candidate; 3] = [
        Candidate { token: 7, probability: 0.5 },
        Candidate { token: 2, probability: 0.3 },
        Candidate { token: 9, probability: 0.2 },
    ];

    fn chosen(alpha: f64, states: [[f32; 2]; 3], before: &[[f32; 2]]) -> usize {
        let vectors = |all: &[[f32; 2]]| all.iter().map(|one| one.to_vec()).collect::<Vec<_>>();
        choose(ContrastiveSearchSettings { k: 3, alpha }, &CANDIDATES, &vectors(&states), &vectors(before))
    }

    /// Against (1, 0) and (0, 2) the states (3, 0), (1, 1), (−1, 0) have the largest cosines 1, √½, 0. At α = 3/13 the
    /// first and the third are equal, 0.5 (1 − α) − α = 0.2 (1 − α) = 0.1538; the second has 0.0676.
    #[test]
    fn a_candidate_pays_for_its_nearest_neighbour() {
        let of = |alpha| chosen(alpha, [[3.0, 0.0], [1.0, 1.0], [-1.0, 0.0]], &[[1.0, 0.0], [0.0, 2.0]]);
        assert_eq!([0.0, 3.0 / 13.0 - 1e-6, 3.0 / 13.0 + 1e-6, 1.0].map(of), [0, 0, 2, 2]);
    }

    #[test]
    fn the_first_of_equals_is_chosen() {
        assert_eq!(chosen(1.0, [[1.0, 0.0], [0.0, 1.0], [0.0, 1.0]], &[[1.0, 0.0]]), 1);
        assert_eq!(chosen(1.0, [[0.0; 2]; 3], &[[1.0, 0.0]]), 0);
    }

    /// Of 8 equally weighted parts token 1 has 4, tokens 0 and 3 have 2 each.
    #[test]
    fn candidates_are_the_most_probable_tokens_with_their_probabilities_among_all() {
        let mut logits = [2f32.ln(), 4f32.ln(), f32::NEG_INFINITY, 2f32.ln()];
        let found = candidates(ContrastiveSearchSettings { k: 2, alpha: 0.5 }, &mut logits);
        assert_eq!(found.iter().map(|candidate| candidate.token).collect::<Vec<_>>(), [1, 0]);
        assert!((found[0].probability - 0.5).abs() < 1e-7 && (found[1].probability - 0.25).abs() < 1e-7);
        assert_eq!(candidates(ContrastiveSearchSettings { k: 9, alpha: 0.5 }, &mut logits).len(), 3);
    }
}
