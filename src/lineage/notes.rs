//! Remarks that the user of an experiment should read before a run.

use super::PreparedText;
use super::bases;
use super::natural::NaturalOrder;
use crate::config::{self, Arm, Experiment};
use crate::mixture;
use crate::settings;
use crate::synthesis;
use crate::training::TrainingSettings;
use crate::units::Tokens;
use std::collections::BTreeSet;
use toml::{Table, Value};

impl PreparedText {
    /// Remarks on the text that the user of `experiment` should read before a run.
    #[must_use]
    pub fn notes(&self, experiment: &Experiment) -> Vec<String> {
        let seed = experiment.seeds[0];
        let natural = NaturalOrder::new(&self.train, experiment, seed).prefix(experiment.corpus.train_tokens);
        let cut = |arm: &Arm| {
            let cut =
                |generation| synthesis::cut_documents(&experiment.at(arm, generation).synthesis, &natural);
            cut(0).or_else(|| cut(1))
        };
        let mut cut_arms: Vec<(String, Vec<&str>)> = Vec::new();
        for arm in &experiment.arms {
            let Some(remark) = cut(arm) else { continue };
            match cut_arms.iter_mut().find(|(other, _)| *other == remark) {
                Some((_, arms)) => arms.push(&arm.name),
                None => cut_arms.push((remark, vec![&arm.name])),
            }
        }
        let cut_arms = cut_arms
            .into_iter()
            .map(|(remark, arms)| format!("{}, seed {seed}: {remark}", config::arms_in_words(arms)));
        let vocabulary = experiment.tokenizer.vocab_size.and_then(|asked| self.vocabulary_note(asked));
        let text = self.record.notes().into_iter().chain(self.encoding_note.clone()).chain(vocabulary);
        let splits = self.coverage.iter();
        let lossy = splits.flat_map(|(split, coverage)| coverage.notes(&format!("the {split} split")));
        let bases: BTreeSet<String> =
            bases::bases(experiment).map(|(_, base)| base.display().to_string()).collect();
        let of_bases =
            bases.iter().filter_map(|base| self.bases.get(base)).flat_map(|base| base.notes.clone());
        let settings =
            [copies_note(experiment), unused_training_note(experiment), vanishing_share_note(experiment)];
        text.chain(lossy).chain(of_bases).chain(cut_arms).chain(settings.into_iter().flatten()).collect()
    }

    /// A remark if the tokenizer has fewer tokens than were asked for.
    fn vocabulary_note(&self, asked: usize) -> Option<String> {
        let learnt = self.tokenizer.vocab_size();
        (learnt < asked).then(|| {
            format!(
                "the vocabulary has {} tokens, not the {} of tokenizer.vocab_size: the training text repeats no more \
                 pieces; lower it, or raise corpus.train_tokens",
                Tokens(learnt as u64),
                Tokens(asked as u64)
            )
        })
    }
}

/// A remark if arms write the same document again and again.
fn copies_note(experiment: &Experiment) -> Option<String> {
    let writes_copies = |arm: &&Arm| {
        let from_nothing =
            arm.synthesis.method.table().get("seed").and_then(Value::as_str) == Some("nothing");
        from_nothing && arm.synthesis.decoding.is_deterministic()
    };
    let arms: Vec<&str> = experiment.arms.iter().filter(writes_copies).map(|arm| arm.name.as_str()).collect();
    (!arms.is_empty()).then(|| {
        format!(
            "{}: all documents are copies of one, because this decoder always writes the same from nothing; use sampling, \
             or a method that has a prompt",
            config::arms_in_words(arms)
        )
    })
}

/// A remark if the natural or the synthetic share of an arm is so small that it rounds to no token.
fn vanishing_share_note(experiment: &Experiment) -> Option<String> {
    let budget = experiment.corpus.train_tokens;
    let vanishes = |arm: &&Arm| {
        (1..=experiment.generations).any(|generation| {
            mixture::a_share_vanishes(&arm.mixture, generation, budget, arm.synthesis.tokens)
        })
    };
    let arms: Vec<&str> = experiment.arms.iter().filter(vanishes).map(|arm| arm.name.as_str()).collect();
    (!arms.is_empty()).then(|| {
        format!(
            "{}: the smaller share of mixture.natural_fraction rounds to no token, so that there is none of it; \
             move natural_fraction away from 0 or 1, or raise corpus.train_tokens",
            config::arms_in_words(arms)
        )
    })
}

/// A remark if settings of training were changed although no model uses them.
fn unused_training_note(experiment: &Experiment) -> Option<String> {
    let writer = experiment.writer.iter().map(|writer| (&writer.model, &writer.training));
    let arms = experiment.arms.iter().map(|arm| (&arm.model, &arm.training));
    let all: Vec<_> = writer.chain(arms).collect();
    let mut table = Table::new();
    TrainingSettings::complete(&mut table, experiment.corpus.train_tokens);
    let default = settings::read::<TrainingSettings>(table).ok()?;
    let is_unused = all.iter().all(|(model, _)| model.name() == "ngram")
        && all.iter().any(|(_, training)| **training != default);
    is_unused.then(|| "[training] has no effect: an n-gram model counts its text once".to_owned())
}
