//! *Textbook*: the model writes whole documents from its start token alone, or from keywords of a natural document.

use crate::documents::TokenId;
use crate::settings::SettingError;
use crate::synthesis::keywords::Keywords;
use crate::synthesis::method::{
    GeneratorContext, GeneratorResult, MethodContext, MethodProperties, SynthesisMethod, TokenChoice,
};
use crate::synthesis::prompted::{Prompted, Prompts};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use toml::{Table, Value};

/// The model writes whole documents from its start token or from keywords.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Textbook {
    /// What a document starts from.
    pub seed: TextbookSeed,
    /// Number of keywords that a document starts from. 3 if left out, with `seed = "keywords"`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100))]
    pub keywords: Option<usize>,
}

/// What a textbook document starts from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TextbookSeed {
    /// The start token.
    #[default]
    Nothing,
    /// Rare words of a natural document.
    Keywords,
}

impl Textbook {
    /// Settings for documents that start from this many keywords.
    #[must_use]
    pub fn from_keywords(keywords: usize) -> Self {
        Self { seed: TextbookSeed::Keywords, keywords: Some(keywords) }
    }
}

impl SynthesisMethod for Textbook {
    fn name() -> &'static str {
        "textbook"
    }

    fn token_choice() -> TokenChoice {
        TokenChoice::Decoder
    }

    fn inherit(own: &Table, inherited: &mut Table) {
        if own.contains_key("seed") {
            // It belongs to the experiment's `seed`.
            inherited.remove("keywords");
        }
    }

    fn complete(table: &mut Table, _: &MethodContext) {
        if table.get("seed").and_then(Value::as_str) == Some("keywords") {
            table.entry("keywords").or_insert(Value::Integer(3));
        }
    }

    fn check(&self, context: &MethodContext) -> Result<(), SettingError> {
        match (self.seed, self.keywords) {
            (TextbookSeed::Nothing, Some(_)) => Err(SettingError::new(
                "keywords",
                "has no meaning without seed = \"keywords\"; leave it out, or set the seed",
            )),
            // A word is at least one token.
            (TextbookSeed::Keywords, Some(keywords)) => context.check_prompt("keywords", keywords),
            (TextbookSeed::Nothing | TextbookSeed::Keywords, None) => Ok(()),
        }
    }

    fn generator<'a>(&'a self, context: GeneratorContext<'a>) -> GeneratorResult<'a> {
        match (self.seed, self.keywords) {
            (TextbookSeed::Keywords, Some(keywords)) => {
                let prompts = Keywords::new(&context, keywords)?;
                Ok(Box::new(Prompted::new(&context, prompts)))
            }
            (TextbookSeed::Nothing | TextbookSeed::Keywords, _) => {
                Ok(Box::new(Prompted::new(&context, NoPrompts)))
            }
        }
    }

    fn properties(&self) -> MethodProperties {
        MethodProperties::FROM_NOTHING
    }
}

struct NoPrompts;

impl Prompts for NoPrompts {
    fn prompt(&self, _: u64) -> &[TokenId] {
        &[]
    }

    fn source(&self) -> String {
        "start token".into()
    }
}
