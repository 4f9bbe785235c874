//! *Textbook*: the model writes from nothing but its start token, what it pleases.

use super::prompted::Prompts;
use crate::documents::TokenId;

/// Empty prompts.
pub(super) struct Textbook;

impl Prompts for Textbook {
    fn prompt(&self, _: u64) -> &[TokenId] {
        &[]
    }

    fn method(&self) -> &'static str {
        "textbook"
    }

    fn source(&self) -> String {
        "start token".into()
    }
}
