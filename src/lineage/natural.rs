//! The order in which a seed takes documents of the train split.

use crate::config::Experiment;
use crate::documents::Documents;
use crate::mixture;
use crate::seed::{SHARED, StreamKey, streams};
use crate::units::Tokens;
use rand::seq::SliceRandom;

/// The train split in a seed's order. Its documents are not copied.
pub(super) struct NaturalOrder<'a> {
    train: &'a Documents,
    /// Indices of documents.
    order: Vec<usize>,
}

impl<'a> NaturalOrder<'a> {
    pub(super) fn new(train: &'a Documents, seed: u64) -> Self {
        let mut order: Vec<usize> = (0..train.len()).collect();
        order.shuffle(&mut StreamKey::new(seed, SHARED, 0, streams::NATURAL_ORDER).stream(0));
        Self { train, order }
    }

    /// The number of tokens of each document.
    pub(super) fn lengths(&self) -> Vec<usize> {
        self.order.iter().map(|&index| self.train.get(index).len()).collect()
    }

    /// The first `budget` tokens, or all if there are fewer. The last document is cut if necessary.
    pub(super) fn prefix(&self, budget: Tokens) -> Documents {
        Documents::first_tokens(budget, self.order.iter().map(|&index| self.train.get(index)))
    }

    /// The leading documents, as many as the lineages of an experiment can use.
    pub(super) fn used_by(&self, experiment: &Experiment) -> Documents {
        let (budget, lengths) = (experiment.corpus.train_tokens, self.lengths());
        let used = experiment.arms.iter().map(|arm| {
            let (mixture, written) = (&arm.mixture, arm.synthesis.tokens);
            mixture::natural_documents(mixture, experiment.generations, budget, written, &lengths)
        });
        self.order[..used.max().unwrap_or(0)].iter().map(|&index| self.train.get(index)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{self, Arm};
    use crate::documents::TokenId;
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
            let pool = DocumentPool { natural: &lengths, synthetic: &synthetic[..generation] };
            let mut stream = StreamKey::new(1, "arm", generation, streams::MIXTURE).stream(0);
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
            let order = NaturalOrder::new(&train, 1);
            let used = order.used_by(&experiment);
            let all: Documents = order.order.iter().map(|&index| train.get(index)).collect();
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
