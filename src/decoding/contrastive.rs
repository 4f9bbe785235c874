//! Contrastive search: chooses tokens that are probable and yet unlike the preceding text.
//!
//! After a text x₁ … xₙ the next token is chosen among the k most probable tokens v (Su et al. 2022, equation 5):
//!
//! ```text
//! argmax_v  (1 − α) p(v) − α max_j cos(h_v, h_j)
//! ```
//!
//! Here h_j is the last hidden state of the model at token j, after the final normalisation, and h_v the state that
//! token v would have if it came next. A text that repeats itself has similar hidden states; α weighs this similarity
//! against probability. With α = 0 this is greedy decoding.
//!
//! The hidden state of a candidate requires a forward pass, so every token costs k forward passes instead of one.
//!
//! **Pitfall.** The penalty only helps if the hidden states of different tokens differ in direction (Su et al. 2022,
//! section 3). If they all point the same way, as in a model that has learnt little, every candidate has the same
//! penalty.

use super::best;
use crate::decoding::ContrastiveSearchSettings;
use crate::documents::TokenId;

/// A possible next token.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Candidate {
    /// Id of the token.
    pub token: TokenId,
    /// Probability among all tokens of the vocabulary.
    pub probability: f64,
}

/// The k most probable tokens, most probable first, ties broken by the lower id. Overwrites `logits` (V).
#[must_use]
pub fn candidates(settings: ContrastiveSearchSettings, logits: &mut [f32]) -> Vec<Candidate> {
    let candidate = |(token, log): (TokenId, f64)| Candidate { token, probability: log.exp() };
    best(logits, settings.k).into_iter().map(candidate).collect()
}

/// The direction of a hidden state: the vector of length 1 that points the same way, or zero if the state is zero.
#[derive(Clone, Debug, PartialEq)]
pub struct Direction(Vec<f32>);

impl Direction {
    /// The direction of a hidden state.
    #[must_use]
    pub fn of(state: &[f32]) -> Self {
        let norm = state.iter().map(|&x| f64::from(x) * f64::from(x)).sum::<f64>().sqrt();
        let scale = if norm > 0.0 { norm.recip() } else { 0.0 };
        Self(state.iter().map(|&x| (f64::from(x) * scale) as f32).collect())
    }

    /// The cosine of the angle between two directions; 0 if one of them is zero.
    fn cosine(&self, other: &Self) -> f32 {
        product(&self.0, &other.0)
    }
}

/// Index of the candidate with the best score, or of the first if several are equal. `states` are the hidden states of
/// the candidates, `before` those of the tokens of the preceding text.
#[must_use]
pub fn choose(
    settings: ContrastiveSearchSettings,
    candidates: &[Candidate],
    states: &[Direction],
    before: &[Direction],
) -> usize {
    let score = |(candidate, state): (&Candidate, &Direction)| {
        let nearest = before.iter().map(|other| state.cosine(other)).fold(-1.0, f32::max);
        (1.0 - settings.alpha) * candidate.probability - settings.alpha * f64::from(nearest)
    };
    let scores: Vec<f64> = candidates.iter().zip(states).map(score).collect();
    let better = |best: usize, next: usize| if scores[next] > scores[best] { next } else { best };
    (0..scores.len()).reduce(better).unwrap_or(0)
}

/// The scalar product of two vectors of the same length, in sums that the compiler can vectorise.
fn product(a: &[f32], b: &[f32]) -> f32 {
    const LANES: usize = 16;
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<LANES>(), b.as_chunks::<LANES>());
    let mut sums = [0.0_f32; LANES];
    for (a, b) in a.iter().zip(b) {
        for lane in 0..LANES {
            sums[lane] += a[lane] * b[lane];
        }
    }
    let rest = a_rest.iter().zip(b_rest).map(|(a, b)| a * b);
    sums.into_iter().chain(rest).sum()
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
        let directions = |all: &[[f32; 2]]| all.iter().map(|one| Direction::of(one)).collect::<Vec<_>>();
        choose(
            ContrastiveSearchSettings { k: 3, alpha },
            &CANDIDATES,
            &directions(&states),
            &directions(before),
        )
    }

    /// The largest cosines of the states (3, 0), (1, 1), (−1, 0) with (1, 0) and (0, 2) are 1, √½ and 0. At α = 3/13
    /// the first and the third have equal scores, 0.5 (1 − α) − α = 0.2 (1 − α) = 0.1538; the second scores 0.0676.
    #[test]
    fn a_candidate_is_penalised_for_its_most_similar_predecessor() {
        let of = |alpha| chosen(alpha, [[3.0, 0.0], [1.0, 1.0], [-1.0, 0.0]], &[[1.0, 0.0], [0.0, 2.0]]);
        assert_eq!([0.0, 3.0 / 13.0 - 1e-6, 3.0 / 13.0 + 1e-6, 1.0].map(of), [0, 0, 2, 2]);
    }

    #[test]
    fn the_first_of_equals_is_chosen() {
        assert_eq!(chosen(1.0, [[1.0, 0.0], [0.0, 1.0], [0.0, 1.0]], &[[1.0, 0.0]]), 1);
        assert_eq!(chosen(1.0, [[0.0; 2]; 3], &[[1.0, 0.0]]), 0);
    }

    /// Widths around the number of lanes: the product of (1, 2, … n) with itself is n (n + 1) (2n + 1) / 6.
    #[test]
    fn products_count_every_number_once() {
        for n in [0usize, 1, 15, 16, 17, 33] {
            let numbers: Vec<f32> = (1..=n).map(|x| x as f32).collect();
            assert_eq!(product(&numbers, &numbers), (n * (n + 1) * (2 * n + 1) / 6) as f32);
        }
    }

    /// The weights are 2, 4, 0 and 2, so token 1 has probability 4/8, and tokens 0 and 3 have 2/8 each.
    #[test]
    fn candidates_are_the_most_probable_tokens_with_their_probabilities_among_all() {
        let logits = [2f32.ln(), 4f32.ln(), f32::NEG_INFINITY, 2f32.ln()];
        let candidates = |k| candidates(ContrastiveSearchSettings { k, alpha: 0.5 }, &mut logits.clone());
        let found = candidates(2);
        assert_eq!(found.iter().map(|candidate| candidate.token).collect::<Vec<_>>(), [1, 0]);
        assert!((found[0].probability - 0.5).abs() < 1e-7 && (found[1].probability - 0.25).abs() < 1e-7);
        assert_eq!(candidates(9).len(), 3);
    }
}
