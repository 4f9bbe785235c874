//! Texts with known counts, and model scores with known values.

use crate::documents::{Documents, TokenId};
use crate::model::Scores;
use crate::seed::Stream;
use rand::Rng;
use rand::seq::SliceRandom;
use std::f64::consts::LN_2;

/// Text of 1000 tokens: 9 head types with 100 tokens each, 9 torso types with 10, and 10 tail types with one.
pub(super) struct LayeredText;

impl LayeredText {
    const HEAD: std::ops::RangeInclusive<TokenId> = 1..=9;
    const TORSO: std::ops::RangeInclusive<TokenId> = 10..=18;
    const TAIL: std::ops::RangeInclusive<TokenId> = 19..=28;

    fn common() -> Vec<TokenId> {
        Self::HEAD.flat_map(|id| [id; 100]).chain(Self::TORSO.flat_map(|id| [id; 10])).collect()
    }

    /// The text with all tail types and with every document twice in a row. A reference assigns its documents alternately
    /// to two halves, which are then equal. No document has two tail types.
    pub(super) fn natural(random: &mut Stream) -> Documents {
        let once = Self::arranged(&Self::TAIL.collect::<Vec<_>>(), 1000, random);
        once.iter().flat_map(|document| [document; 2]).collect()
    }

    /// The text with only the first `types` tail types, in its first documents; additional head tokens replace the
    /// other tail types.
    pub(super) fn with_tail(types: usize, random: &mut Stream) -> Documents {
        Self::arranged(&Self::TAIL.take(types).collect::<Vec<_>>(), 1000, random)
    }

    /// Documents of ten tokens. Each of the first ones begins with one tail type.
    fn arranged(tail: &[TokenId], tokens: usize, random: &mut Stream) -> Documents {
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

    /// Scores of a model that gives head, torso and tail tokens the probabilities 1/2, 1/8 and 1/64. Two others give every other
    /// token 1/2 and 1/8, and otherwise agree.
    pub(super) fn scores(heldout: &Documents) -> Scores {
        let bits = |id: &TokenId| match id {
            id if Self::HEAD.contains(id) => 1.0,
            id if Self::TORSO.contains(id) => 3.0,
            _ => 6.0,
        };
        let log_probabilities = heldout.flat().iter().map(|id| (-bits(id) * LN_2) as f32).collect();
        let entropies = (0..heldout.flat().len()).map(|index| 1.0 + (index % 2) as f32).collect();
        // The mean of 1/2 and 1/8 is 5/4 of their geometric mean.
        let disagreements = (0..heldout.flat().len()).map(|index| [0.0, 1.25_f32.ln()][index % 2]).collect();
        Scores { log_probabilities, entropies, disagreements }
    }
}

/// The texts of documents in which every token is one word of five bytes: token 17 is "0017 ".
pub(super) fn texts_of(documents: &Documents) -> Vec<String> {
    let word = |id: &TokenId| format!("{id:04} ");
    documents.iter().map(|document| document.iter().map(word).collect()).collect()
}

/// Scores of a model whose predictions are uniform over `types` types.
pub(super) fn uniform_scores(text: &Documents, types: f64) -> Scores {
    let tokens = text.flat().len();
    let log_probabilities = vec![-types.ln() as f32; tokens];
    Scores { log_probabilities, entropies: vec![types.ln() as f32; tokens], ..Scores::default() }
}

/// `tokens` in random order, in documents of `length` tokens.
pub(super) fn shuffled(tokens: &[TokenId], length: usize, random: &mut Stream) -> Documents {
    let mut tokens = tokens.to_vec();
    tokens.shuffle(random);
    tokens.chunks(length).collect()
}

/// Uniform draws from 1..=`types`, in documents of `length` tokens.
pub(super) fn draws(tokens: usize, types: usize, length: usize, random: &mut Stream) -> Documents {
    let tokens: Vec<TokenId> = (0..tokens).map(|_| random.random_range(1..=types as TokenId)).collect();
    tokens.chunks(length).collect()
}

/// Draws from 1, 2, … with the cumulative weights `sums`, in documents of `length` tokens.
pub(super) fn weighted(tokens: usize, sums: &[f64], length: usize, random: &mut Stream) -> Documents {
    let total = sums.last().copied().unwrap_or(0.0);
    let mut draw = || {
        let draw = random.random::<f64>() * total;
        sums.partition_point(|&sum| sum <= draw).min(sums.len() - 1) as TokenId + 1
    };
    let tokens: Vec<TokenId> = (0..tokens).map(|_| draw()).collect();
    tokens.chunks(length).collect()
}
