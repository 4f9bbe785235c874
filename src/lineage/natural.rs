//! The order in which a seed takes documents of the train split, and hashes of text.

use crate::config::Experiment;
use crate::documents::{Documents, TokenId};
use crate::mixture;
use crate::seed::{SHARED, streams};
use crate::units::Tokens;
use rand::seq::SliceRandom;

/// The train split in a seed's order, up to `corpus.natural_tokens`. Its documents are not copied.
pub(super) struct NaturalOrder<'a> {
    train: &'a Documents,
    documents: Vec<&'a [TokenId]>,
}

impl<'a> NaturalOrder<'a> {
    /// The document that crosses the limit is cut, and those behind it are left out.
    pub(super) fn new(train: &'a Documents, experiment: &Experiment, seed: u64) -> Self {
        let mut order: Vec<usize> = (0..train.len()).collect();
        order.shuffle(&mut experiment.stream_key(seed, SHARED, 0, streams::NATURAL_ORDER).stream(0));
        let limit = experiment.corpus.natural_tokens;
        let mut left = limit.map_or(usize::MAX, |limit| limit.0 as usize);
        let mut documents = Vec::with_capacity(order.len());
        for document in order.into_iter().map(|index| train.get(index)) {
            if left == 0 {
                break;
            }
            documents.push(&document[..document.len().min(left)]);
            left = left.saturating_sub(document.len());
        }
        Self { train, documents }
    }

    /// The number of tokens of each document.
    pub(super) fn lengths(&self) -> Vec<usize> {
        self.documents.iter().map(|document| document.len()).collect()
    }

    /// The first `budget` tokens, or all if there are fewer. The last document is cut if necessary.
    pub(super) fn prefix(&self, budget: Tokens) -> Documents {
        /// Each document of a mapped file takes up to 2 MiB around it into memory.
        const RELEASED_AFTER: usize = 32;
        let release = |(index, &document): (usize, &&'a [TokenId])| {
            if index % RELEASED_AFTER == 0 {
                self.train.release();
            }
            document
        };
        Documents::first_tokens(budget, self.documents.iter().enumerate().map(release))
    }

    /// The leading documents, as many as the lineages of an experiment can use.
    pub(super) fn used_by(&self, experiment: &Experiment) -> Documents {
        let (budget, lengths) = (experiment.corpus.train_tokens, self.lengths());
        let used = experiment.arms.iter().map(|arm| {
            let (mixture, written) = (&arm.mixture, arm.synthesis.tokens);
            mixture::natural_documents(mixture, experiment.generations, budget, written, &lengths)
        });
        self.documents[..used.max().unwrap_or(0)].iter().copied().collect()
    }
}

/// BLAKE3 of documents. Of each document, its length as u64 and its ids as u32 are hashed, little-endian.
pub(super) fn text_hash(text: &Documents) -> blake3::Hash {
    let mut hasher = blake3::Hasher::new();
    for document in text.iter() {
        hasher.update(&(document.len() as u64).to_le_bytes());
        let bytes: Vec<u8> = document.iter().flat_map(|id| id.to_le_bytes()).collect();
        hasher.update(&bytes);
    }
    hasher.finalize()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{self, Arm};
    use crate::mixture::{DocumentPool, plan};

    const FILE: &str = r#"
name = "natural"
seeds = [1]
generations = 4
corpus = { source = "world", train_tokens = 300, heldout_tokens = 200, reference_tokens = 300 }
model = { kind = "ngram", order = 2 }
synthesis = { tokens = 400 }
[[arm]]
name = "arm"
mixture = MIXTURE
"#;

    /// 500 documents of 1 to 23 tokens.
    fn train() -> Documents {
        (0..500_u32).map(|index| vec![index; 1 + (index * index % 23) as usize]).fold(
            Documents::new(),
            |mut all, document| {
                all.push(&document);
                all
            },
        )
    }

    fn natural_plans(arm: &Arm, natural: &Documents) -> Vec<String> {
        let lengths: Vec<usize> = natural.iter().map(<[TokenId]>::len).collect();
        let synthetic = vec![vec![10; 400]; 4];
        let plan_of = |generation| {
            let pool =
                DocumentPool { natural: &lengths, rereads: false, synthetic: &synthetic[..generation] };
            let mut stream = crate::seed::StreamKey::new(1, "arm", generation, streams::MIXTURE).stream(0);
            plan(&arm.mixture, generation, Tokens(300), Tokens(400), pool, &mut stream)
        };
        (0..=4).map(|generation| format!("{:?}", plan_of(generation))).collect()
    }

    #[test]
    fn every_mixture_is_the_same_from_the_documents_that_are_used_as_from_all() {
        let train = train();
        let mixtures = [
            "\"replace\"",
            "\"accumulate\"",
            "\"accumulate-subsample\"",
            "\"append-human-data\"",
            "{ natural_fraction = 0.5 }",
            "{ natural_fraction = 0.5, natural = \"fresh\" }",
            "{ natural_fraction = [1.0, 0.1, 0.7], natural = \"fresh\" }",
        ];
        for mixture in mixtures {
            let experiment = config::parse(&FILE.replace("MIXTURE", mixture), "x.toml", &[]).unwrap();
            let order = NaturalOrder::new(&train, &experiment, 1);
            let used = order.used_by(&experiment);
            let all: Documents = order.documents.iter().copied().collect();
            assert!(used.len() < all.len() / 2, "{mixture}: {} documents", used.len());
            assert_eq!(used.prefix(Tokens(300)), order.prefix(Tokens(300)));
            for arm in &experiment.arms {
                let plans = natural_plans(arm, &all);
                assert!(plans.iter().all(|plan| plan.starts_with("Ok")), "{mixture}: {plans:?}");
                assert_eq!(natural_plans(arm, &used), plans, "{mixture}");
            }
        }
    }
}
