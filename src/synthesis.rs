//! A model in, a synthetic corpus out.

use crate::units::Tokens;
use serde::{Deserialize, Serialize};

/// What was really done to write a corpus.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SynthesisRecord {
    /// `"textbook"` or `"continuation"`.
    pub method: String,
    /// Where prompts came from: `"start token"` or `"train split, 16 tokens"`.
    pub prompts: String,
    /// The decoder that ran, in words: `"sampling, temperature 1, top-k 50"` or `"greedy"`.
    pub decoding: String,
    /// Documents written.
    pub documents: u64,
    /// Tokens written: exactly what was asked.
    pub tokens: Tokens,
    /// Documents that the model ended by itself.
    pub ended: u64,
    /// Documents cut at `max_document_tokens`.
    pub cut: u64,
}
