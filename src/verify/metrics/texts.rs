//! Texts whose counts are known, and scores of a model made by hand.

use crate::documents::{Documents, TokenId};
use crate::model::Scores;
use crate::seed::Stream;
use rand::Rng;
use rand::seq::SliceRandom;
use std::f64::consts::LN_2;

/// Text of 1000 tokens, or twice the same: 9 head types of 100 tokens, 9 torso types of 10, 10 tail types of one.
pub(super) struct LayeredText;

impl LayeredText {
    const HEAD: std::ops::RangeInclusive<TokenId> = 1..=9;
    const TORSO: std::ops::RangeInclusive<TokenId> = 10..=18;
    const TAIL: std::ops::RangeInclusive<TokenId> = 19..=28;

    fn common() -> Vec<TokenId> {
        Self::HEAD.flat_map(|id| [id; 100]).chain(Self::TORSO.flat_map(|id| [id; 10])).collect()
    }

    /// Every document twice in a row, so that the two halves of the reference are the same. No document holds two
    /// tail types.
    pub(super) fn natural(random: &mut Stream) -> Documents {
        let once = Self::laid_out(&Self::TAIL.collect::<Vec<_>>(), 1000, random);
        once.iter().flat_map(|document| [document; 2]).collect()
    }

    /// With the first `types` of the tail only, and more of the head for the others; they stand at the beginning.
    pub(super) fn with_tail(types: usize, random: &mut Stream) -> Documents {
        Self::laid_out(&Self::TAIL.take(types).collect::<Vec<_>>(), 1000, random)
    }

    /// Documents of ten tokens, the first ones led by one tail type each.
    fn laid_out(tail: &[TokenId], tokens: usize, random: &mut Stream) -> Documents {
        let mut common = Self::common();
        common.extend(std::iter::repeat_n(1, tokens - common.len() - tail.len()));
        common.shuffle(random);
        let mut documents = Documents::new();
        let mut rest = common.as_slice();
        let mut tail = tail.iter();
        while !rest.is_empty() {
            let mut document: Vec<TokenId> = tail.next().copied().into_iter().collect();
            let (taken, left) = rest.split_at((10 - document.len()).min(rest.len()));
            document.extend(taken);
            rest = left;
            documents.push(&document);
        }
        documents
    }

    pub(super) fn scores(heldout: &Documents) -> Scores {
        let bits = |id: &TokenId| match id {
            id if Self::HEAD.contains(id) => 1.0,
            id if Self::TORSO.contains(id) => 3.0,
            _ => 6.0,
        };
        let log_probabilities = heldout.flat().iter().map(|id| (-bits(id) * LN_2) as f32).collect();
        let entropies = (0..heldout.flat().len()).map(|place| 1.0 + (place % 2) as f32).collect();
        Scores { log_probabilities, entropies }
    }
}

/// Token 17 reads "0017 ": a word of its own, and five bytes as every other.
pub(super) fn texts_of(documents: &Documents) -> Vec<String> {
    let word = |id: &TokenId| format!("{id:04} ");
    documents.iter().map(|document| document.iter().map(word).collect()).collect()
}

/// A model that gives every token one of `types` equal chances, and knows it.
pub(super) fn uniform_scores(text: &Documents, types: f64) -> Scores {
    let tokens = text.flat().len();
    Scores { log_probabilities: vec![-types.ln() as f32; tokens], entropies: vec![types.ln() as f32; tokens] }
}

/// `tokens` in an order of chance, in documents of `length`.
pub(super) fn shuffled(tokens: &[TokenId], length: usize, random: &mut Stream) -> Documents {
    let mut tokens = tokens.to_vec();
    tokens.shuffle(random);
    tokens.chunks(length).collect()
}

/// Draws of 1..=types, each as likely as the other, in documents of `length`.
pub(super) fn draws(tokens: usize, types: usize, length: usize, random: &mut Stream) -> Documents {
    let tokens: Vec<TokenId> = (0..tokens).map(|_| random.random_range(1..=types as TokenId)).collect();
    tokens.chunks(length).collect()
}

/// Draws of 1, 2, … whose chances add up to `sums`, in documents of `length`.
pub(super) fn weighted(tokens: usize, sums: &[f64], length: usize, random: &mut Stream) -> Documents {
    let total = sums.last().copied().unwrap_or(0.0);
    let mut draw = || {
        let draw = random.random::<f64>() * total;
        sums.partition_point(|&sum| sum <= draw).min(sums.len() - 1) as TokenId + 1
    };
    let tokens: Vec<TokenId> = (0..tokens).map(|_| draw()).collect();
    tokens.chunks(length).collect()
}
