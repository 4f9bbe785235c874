//! How a model's predictions become a document.

/// How a document comes out of predictions.
#[derive(Clone, Debug, PartialEq)]
pub enum Strategy {
    /// One token after the other, each chosen from the prediction that follows the document so far.
    TokenByToken(Decoding),
    /// The best of several documents that grow side by side.
    Beam(Beam),
    /// One token after the other, each probable and unlike what stands before it.
    Contrastive(Contrastive),
}

/// How the next token is chosen from a model's prediction. Applied in the order of the fields.
#[derive(Clone, Debug, PartialEq)]
pub struct Decoding {
    /// The most probable token, always (after the repetition penalty). Excludes every setting but the penalty.
    pub greedy: bool,
    /// Divides the positive logits of tokens already in the document, multiplies the negative ones
    /// (Keskar et al. 2019). 1 changes nothing.
    pub repetition_penalty: f64,
    /// Divides the logits. Positive; 1 changes nothing.
    pub temperature: f64,
    /// Keeps the k most probable tokens.
    pub top_k: Option<usize>,
    /// Keeps the fewest tokens, most probable first, that hold at least this mass (Holtzman et al. 2020). In (0, 1].
    pub top_p: Option<f64>,
    /// Keeps tokens at least this share as probable as the most probable one. In [0, 1].
    pub min_p: Option<f64>,
    /// Keeps the fewest tokens, those whose surprisal is nearest to the entropy first, that hold at least this mass
    /// (Meister et al. 2023). In (0, 1].
    pub typical_p: Option<f64>,
}

/// Beam search.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Beam {
    /// Documents that grow side by side. At least 2.
    pub beams: usize,
    /// α of the score `log p / length^α`: 0 compares whole documents, 1 their mean over tokens. Not negative.
    pub length_penalty: f64,
}

/// Contrastive search (Su et al. 2022).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Contrastive {
    /// The most probable tokens, among which one is chosen. At least 2.
    pub k: usize,
    /// The weight α of being unlike what stands before, against 1 − α of being probable. In [0, 1].
    pub alpha: f64,
}

impl Strategy {
    /// Samples from the prediction as it is.
    pub const PLAIN: Self = Self::TokenByToken(Decoding::PLAIN);

    /// Takes the most probable token, always.
    pub const GREEDY: Self = Self::TokenByToken(Decoding::GREEDY);

    /// How each token is chosen, where that follows from one prediction alone.
    #[must_use]
    pub const fn token_by_token(&self) -> Option<&Decoding> {
        match self {
            Self::TokenByToken(decoding) => Some(decoding),
            Self::Beam(_) | Self::Contrastive(_) => None,
        }
    }
}

impl From<Decoding> for Strategy {
    fn from(decoding: Decoding) -> Self {
        Self::TokenByToken(decoding)
    }
}

impl Decoding {
    /// Samples from the prediction as it is.
    pub const PLAIN: Self = Self {
        greedy: false,
        repetition_penalty: 1.0,
        temperature: 1.0,
        top_k: None,
        top_p: None,
        min_p: None,
        typical_p: None,
    };

    /// Takes the most probable token, always.
    pub const GREEDY: Self = Self { greedy: true, ..Self::PLAIN };
}
