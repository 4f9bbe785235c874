//! Mixes the text that a generation trains on, and checks later generations when an earlier one is made again.

use super::RunError;
use super::generation::GenerationRunner;
use super::natural::text_hash;
use crate::config::Arm;
use crate::documents::{Documents, TokenId};
use crate::mixture::{self, DocumentPool, MixturePlan};
use crate::mixture::{Budget, Mixture, NaturalDocuments};
use crate::stage::Stage;
use crate::store::{Address, MixtureRecord, StoreError};
use crate::units::Tokens;
use std::collections::BTreeMap;

impl GenerationRunner<'_> {
    /// The text that a generation trains on, natural documents first.
    pub(super) fn mix(
        &self,
        arm: &Arm,
        generation: usize,
        stage: &Stage,
    ) -> Result<(Documents, MixtureRecord), RunError> {
        self.mix_of(arm, generation, stage, &|address| self.corpus(address))
    }

    /// As [`Self::mix`], with synthetic corpora from `corpus`, which is called for each committed generation that the
    /// mixture draws on.
    fn mix_of(
        &self,
        arm: &Arm,
        generation: usize,
        stage: &Stage,
        corpus: &dyn Fn(Address) -> Result<Documents, RunError>,
    ) -> Result<(Documents, MixtureRecord), RunError> {
        let (budget, written) = (self.experiment.corpus.train_tokens, arm.synthesis.tokens);
        let sources = mixture::source_generations(&arm.mixture, generation, budget, written);
        let each = mixture::corpus_tokens(&arm.mixture, generation, budget, written);
        let corpora = (0..generation)
            .map(|earlier| match sources.contains(&earlier) {
                true => self.source_text(arm, earlier, each, corpus),
                false => Ok(Documents::new()),
            })
            .collect::<Result<Vec<_>, _>>()?;
        let synthetic: Vec<Vec<usize>> = corpora.iter().map(lengths).collect();
        let rereads = self.experiment.corpus.natural_tokens.is_some();
        let pool = DocumentPool { natural: &lengths(&self.natural), rereads, synthetic: &synthetic };
        let plan = mixture::plan(&arm.mixture, generation, budget, written, pool, &mut stage.stream(0))
            .map_err(|source| RunError::Mixture { arm: arm.name.clone(), source })?;
        let natural =
            plan.natural.iter().map(|excerpt| &self.natural.get(excerpt.document)[..excerpt.tokens]);
        let written =
            plan.synthetic.iter().map(|(g, excerpt)| &corpora[*g].get(excerpt.document)[..excerpt.tokens]);
        let text: Documents = natural.chain(written).collect();
        let record = record_of(&arm.mixture, &plan, &text);
        Ok((text, record))
    }

    /// The synthetic text of `generation` that an arm learns from: its own corpus, or `tokens` tokens from the beginnings of those
    /// of its source arms, equal parts of each. Every document is from the source that has given the fewest tokens so far, so
    /// that the beginning of the text has equal parts, too. Arms that share the generation are one source.
    fn source_text(
        &self,
        arm: &Arm,
        generation: usize,
        tokens: Tokens,
        corpus: &dyn Fn(Address) -> Result<Documents, RunError>,
    ) -> Result<Documents, RunError> {
        let mut addresses = Vec::new();
        for source in self.experiment.sources(arm) {
            let address = self.address(source, generation);
            if !addresses.contains(&address) {
                addresses.push(address);
            }
        }
        if let [own] = addresses[..] {
            return corpus(own);
        }
        let end = |part: usize| tokens.0 * part as u64 / addresses.len() as u64;
        let parts = addresses
            .iter()
            .enumerate()
            .map(|(part, &address)| Ok(corpus(address)?.prefix(Tokens(end(part + 1) - end(part)))));
        Ok(Documents::merged_evenly(&parts.collect::<Result<Vec<_>, RunError>>()?))
    }

    /// The corpus of a committed generation, verified.
    pub(super) fn corpus(&self, address: Address) -> Result<Documents, RunError> {
        self.store.verify(address)?;
        Ok(self.store.synthetic(address)?)
    }

    /// Returns true if a generation that follows `address` directly is committed, in any arm that passes through it or learns
    /// from its text.
    pub(super) fn has_followers(&self, address: Address) -> bool {
        let next = address.generation + 1;
        let has_follower = |arm: &Arm| self.store.exists(self.address(arm, next));
        next <= self.experiment.generations && self.arms_after(address).any(has_follower)
    }

    /// Returns an error if the corpus of a generation that was made again differs from the one that later generations
    /// were trained on. (An external command may write different text each time.)
    pub(super) fn check_followers(&self, address: Address, documents: &Documents) -> Result<(), RunError> {
        for arm in self.arms_after(address) {
            for later in address.generation + 1..=self.experiment.generations {
                let follower = self.address(arm, later);
                // With another source missing, too, the last one that is made again is compared.
                if !self.store.exists(follower) || self.lacks_another_source(arm, later, address) {
                    break;
                }
                let corpus = |earlier: Address| match earlier == address {
                    true => Ok(documents.clone()),
                    false => self.corpus(earlier),
                };
                let (_, now) = self.mix_of(arm, later, &self.stage(follower), &corpus)?;
                if now.hash != self.store.record(follower)?.mixture.hash {
                    return Err(StoreError::Orphaned { folder: self.store.generation_dir(follower) }.into());
                }
            }
        }
        Ok(())
    }

    /// Whether a generation before `generation`, other than `address`, is not committed in an arm that `arm` learns from.
    fn lacks_another_source(&self, arm: &Arm, generation: usize, address: Address) -> bool {
        let of_source = |source| (0..generation).map(move |earlier| self.address(source, earlier));
        let mut earlier = self.experiment.sources(arm).flat_map(of_source);
        earlier.any(|earlier| earlier != address && !self.store.exists(earlier))
    }

    /// The arms whose lineage passes through this generation (all that share it, or the one that it belongs to), and those
    /// that learn from its text.
    fn arms_after(&self, address: Address) -> impl Iterator<Item = &Arm> {
        let is_at = move |arm: &Arm| self.address(arm, address.generation) == address;
        self.experiment.arms.iter().filter(move |arm| is_at(arm) || self.experiment.sources(arm).any(is_at))
    }
}

fn lengths(documents: &Documents) -> Vec<usize> {
    documents.iter().map(<[TokenId]>::len).collect()
}

fn record_of(mixture: &Mixture, plan: &MixturePlan, text: &Documents) -> MixtureRecord {
    let mut synthetic_tokens = BTreeMap::new();
    for (generation, excerpt) in &plan.synthetic {
        synthetic_tokens.entry(*generation).or_insert(Tokens(0)).0 += excerpt.tokens as u64;
    }
    let documents = match mixture.natural {
        NaturalDocuments::Fixed => "fixed",
        NaturalDocuments::Fresh => "fresh",
    };
    let role = match mixture.budget {
        Budget::Constant => "displaces synthetic text",
        Budget::Added => "added to synthetic text",
        Budget::Growing => "part of a growing pool",
        Budget::Repeated => "repeated without synthetic text",
    };
    let natural_tokens = plan.natural_tokens();
    MixtureRecord {
        natural_tokens,
        distinct_natural_tokens: Some(plan.distinct_natural_tokens()).filter(|&some| some < natural_tokens),
        natural_documents: plan.natural.len() as u64,
        synthetic_tokens,
        synthetic_documents: plan.synthetic.len() as u64,
        synthetic_from: if plan.synthetic.is_empty() { Vec::new() } else { mixture.synthetic_from.clone() },
        natural: format!("{documents}, {role}"),
        hash: text_hash(text).to_hex().to_string(),
    }
}
