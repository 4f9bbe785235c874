//! Natural text: read from files or made by the built-in world, split once by hash, in an order that no file order
//! can change.
//!
//! Where a document goes is decided by the BLAKE3 hash of its text alone: copies of a text fall into the same split,
//! adding a file moves no other document, and held-out text can never train anything.
//!
//! ```
//! use genloss::config::{Corpus, Files, Source, Split};
//! use genloss::corpus::{RequiredTokens, load};
//! use genloss::units::Tokens;
//! let dir = tempfile::tempdir()?;
//! let path = dir.path().join("poems.txt");
//! std::fs::write(&path, (0..100).map(|i| format!("poem {i}\n\n")).collect::<String>())?;
//! let text = load(
//!     &Corpus {
//!         source: Source::Files(Files {
//!             paths: vec![path.display().to_string()],
//!             split: Split::Paragraph,
//!             text_field: "text".to_owned(),
//!         }),
//!         train_tokens: Tokens(100),
//!         heldout_tokens: Tokens(10),
//!         reference_tokens: Tokens(10),
//!         heldout_share: 0.1,
//!         reference_share: 0.1,
//!     },
//!     RequiredTokens { train: Tokens(100), heldout: Tokens(10), reference: Tokens(10) },
//! )?;
//! assert_eq!(text.train.len() + text.heldout.len() + text.reference.len(), 100);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use crate::config;
use crate::units::Tokens;
use rayon::prelude::*;
use std::collections::BTreeMap;
use world::World;

mod error;
mod read;
mod split;
pub mod world;

pub use error::{CorpusError, too_small};
pub use split::CorpusSplit;
use split::HashedDocument;

/// The natural text of an experiment, split.
#[derive(Clone, Debug)]
pub struct NaturalText {
    /// What models train on.
    pub train: Vec<String>,
    /// What losses are measured on.
    pub heldout: Vec<String>,
    /// What synthetic text is compared with.
    pub reference: Vec<String>,
    /// BLAKE3 of the text of each split, by [`CorpusSplit::name`].
    pub hashes: BTreeMap<String, String>,
    /// The built-in world, if it is the source.
    pub world: Option<World>,
}

/// Tokens that each split must hold. Files hold what they hold; the world makes as much as is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequiredTokens {
    /// Natural tokens that training takes, over all generations of a seed.
    pub train: Tokens,
    /// Tokens of held-out text.
    pub heldout: Tokens,
    /// Tokens of reference text.
    pub reference: Tokens,
}

/// Reads or makes natural text, and splits it.
///
/// # Errors
/// When a file cannot be read for what it is said to be, or there is no text at all. A corpus with too little text
/// is no error here, because only a tokenizer can tell: see [`too_small`].
pub fn load(corpus: &config::Corpus, wanted: RequiredTokens) -> Result<NaturalText, CorpusError> {
    let (documents, world) = match &corpus.source {
        config::Source::Files(files) => {
            let texts = read::documents(files)?;
            (texts.into_par_iter().map(HashedDocument::new).collect(), None)
        }
        config::Source::World(settings) => {
            let world = World::new(settings);
            (enough_of(&world, corpus, wanted), Some(world))
        }
    };
    let [train, heldout, reference] = split::split(documents, corpus.heldout_share, corpus.reference_share);
    let hashes = [
        (CorpusSplit::Train, &train),
        (CorpusSplit::Heldout, &heldout),
        (CorpusSplit::Reference, &reference),
    ]
    .map(|(portion, texts)| (portion.name().to_owned(), split::hash_of(texts)));
    Ok(NaturalText { train, heldout, reference, hashes: BTreeMap::from(hashes), world })
}

/// More than enough: what is made over what is wanted.
const MARGIN: f64 = 1.3;

/// Documents of the world that are made at a time.
const SHARD: u64 = 1024;

/// The first documents of the world, of each split as many as surely hold the tokens wanted of it.
fn enough_of(world: &World, corpus: &config::Corpus, wanted: RequiredTokens) -> Vec<HashedDocument> {
    let mut missing = [wanted.train, wanted.heldout, wanted.reference].map(|tokens| tokens.0 as f64 * MARGIN);
    let mut documents = Vec::new();
    let mut first = 0;
    while missing.iter().any(|&tokens| tokens > 0.0) {
        let indices = first..first + SHARD;
        let shard: Vec<HashedDocument> =
            indices.into_par_iter().map(|index| HashedDocument::new(world.document(index))).collect();
        for document in shard {
            let portion = document.portion(corpus.heldout_share, corpus.reference_share);
            let missing = &mut missing[portion as usize];
            if *missing > 0.0 {
                *missing -= fewest_tokens(document.text()) as f64;
                documents.push(document);
            }
        }
        first += SHARD;
    }
    documents
}

/// No tokenizer that cuts words apart makes fewer: a token per word, per full stop, and for the end.
fn fewest_tokens(text: &str) -> usize {
    let full_stops = text.bytes().filter(|&byte| byte == b'.').count();
    text.split(' ').count() + full_stops + 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tokenizer::Tokenizer;

    #[test]
    fn the_world_makes_enough_of_each_split_and_not_much_more() {
        let settings = config::World {
            seed: 1,
            nouns: 100,
            entities: 20,
            relations: 2,
            zipf_exponent: 1.0,
            fact_share: 0.4,
        };
        let corpus = config::Corpus {
            source: config::Source::World(settings),
            train_tokens: Tokens(30_000),
            heldout_tokens: Tokens(5_000),
            reference_tokens: Tokens(10_000),
            heldout_share: 0.1,
            reference_share: 0.1,
        };
        let wanted =
            RequiredTokens { train: Tokens(30_000), heldout: Tokens(5_000), reference: Tokens(10_000) };
        let text = load(&corpus, wanted).expect("the world needs no files");
        // With a vocabulary that holds every word, tokens are fewest.
        let tokenizer = Tokenizer::learn(&text.train, 4000).expect("a large enough vocabulary");
        for (texts, wanted) in [
            (&text.train, wanted.train),
            (&text.heldout, wanted.heldout),
            (&text.reference, wanted.reference),
        ] {
            let tokens = tokenizer.encode_documents(texts).expect("encodes").tokens();
            assert!(tokens >= wanted && tokens.0 < 2 * wanted.0, "{tokens} for {wanted}");
        }
        let world = text.world.expect("the world");
        assert!(text.heldout.iter().all(|document| world.log_probability(document).is_some()));
    }
}
