//! From a model's prediction to the next token.
