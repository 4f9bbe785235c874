//! Telling facts: what a writer does who masters the language, and knows some or all of its facts.
//!
//! *Rephrasing* a document keeps its facts and the number of its sentences. Everything else is drawn anew: which sentences
//! state the facts (uniformly), the sentences between them (from the grammar), and the order of the facts. The world writes
//! facts about the entities e₁, …, e_k in this order with probability proportional to
//!
//! ```text
//! π(e₁) ∏_{j>1} q(e_j | e₁)
//! ```
//!
//! where π and q are the probabilities of a first and of a later fact. It depends only on which fact is the first one. With
//! q(e | t) = (1 − τ) π(e) for every other topic t, division by ∏_j (1 − τ) π(e_j) leaves r(e₁)^(c − 1) up to a constant,
//! where c is the number of facts about e₁ and r(e) = q(e | e) / ((1 − τ) π(e)). The first fact is drawn with these weights,
//! and the others follow in uniformly random order.
//!
//! **Rephrasing by a perfect writer does not change the world's distribution.** A document of the world consists of its
//! length, the facts that it states, their order, the sentences that state them, and the other sentences; a writer who
//! knows every fact and errs in none keeps the first two and draws the rest from the world's own distribution given these.
//! If the document is distributed as the world writes it, so is its rephrasing (a step of Gibbs sampling).
//!
//! *A fact that the writer does not know* is left out, and another sentence takes its place. *A fact told wrong* has,
//! uniformly at random, one of the values of its relation that are wrong for its entity. Who rephrases a wrong statement
//! keeps it. With error rate ε, the share of true statements after g rephrasings in a row is therefore (1 − ε)^g.
//!
//! ```
//! use genloss::corpus::{WorldSettings, world::{Teller, World}};
//! use genloss::seed::StreamKey;
//! let world = World::new(&WorldSettings::default());
//! let teller = Teller::new(&world, &vec![true; world.facts().len()], 0.0);
//! let natural = world.document(0);
//! let rephrased = teller.rephrase(&natural, &mut StreamKey::new(1, "", 0, "example").stream(0));
//! assert_ne!(natural, rephrased);
//! assert!(world.log_probability(&rephrased).is_some());
//! let facts = |text: &str| {
//!     let mut facts: Vec<usize> = world.statements(text).into_iter().flatten().map(|one| one.fact).collect();
//!     facts.sort_unstable();
//!     facts
//! };
//! assert_eq!(facts(&natural), facts(&rephrased));
//! ```

use super::facts::TOPICALITY;
use super::grammar::{self, Nonterminal};
use super::{World, append_sentence};
use crate::seed::Stream;
use rand::Rng;
use rand::seq::SliceRandom;
use std::collections::BTreeMap;

/// A sentence that states a fact, rightly or wrongly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Statement<'t> {
    /// Index into [`World::facts`].
    pub fact: usize,
    /// The value that the sentence states: one of the values of the relation.
    pub value: &'t str,
}

impl World {
    /// What each sentence of a text states; `None` for a sentence that states no fact. A sentence without a full stop, at
    /// the end of a text that was cut, states none either. There is at least one sentence.
    #[must_use]
    pub fn statements<'t>(&self, text: &'t str) -> Vec<Option<Statement<'t>>> {
        let whole = text.strip_suffix('.');
        let sentences = whole.unwrap_or(text).split(". ");
        let stated = |sentence| self.known.stated(sentence).map(|(fact, value)| Statement { fact, value });
        let mut statements: Vec<Option<Statement>> = sentences.map(stated).collect();
        if let (None, Some(cut)) = (whole, statements.last_mut()) {
            *cut = None;
        }
        statements
    }

    /// For each of [`facts`](Self::facts), whether it is one of the most popular: the fewest that together make up at least
    /// `share` of all statements. With 0.9, these are the facts of the head ([`Rarity::Head`](crate::rarity::Rarity)).
    #[must_use]
    pub fn most_popular(&self, share: f64) -> Vec<bool> {
        let rounding = (share / 2.0).min(1e-12);
        let mut before = 0.0;
        let is_among = |fact: &super::Fact| {
            let is_needed = before < share - rounding || share >= 1.0;
            before += fact.popularity;
            is_needed
        };
        self.facts.iter().map(is_among).collect()
    }

    /// A relation of which all entities have the same value, so that it cannot be told wrong. `None` in nearly all worlds.
    #[must_use]
    pub fn relation_with_one_value(&self) -> Option<&str> {
        self.known.relation_with_one_value()
    }
}

/// A writer who masters the language of a world, and knows some or all of its facts.
#[derive(Clone, Debug)]
pub struct Teller<'w> {
    world: &'w World,
    /// Whether the writer knows each of [`World::facts`].
    is_known: Vec<bool>,
    /// The indices of the facts that the writer knows.
    known: Vec<usize>,
    /// Sums of the popularities of `known` up to and including each.
    cumulative: Vec<f64>,
    error: f64,
}

impl<'w> Teller<'w> {
    /// `is_known` is for each of [`World::facts`] whether the writer knows it, and `error` the probability that a fact is
    /// told wrong. A fact of [`World::relation_with_one_value`] is never told wrong.
    ///
    /// # Panics
    /// If `is_known` has not as many entries as the world has facts.
    #[must_use]
    pub fn new(world: &'w World, is_known: &[bool], error: f64) -> Self {
        assert_eq!(is_known.len(), world.facts.len(), "each fact is known or not");
        let known: Vec<usize> = (0..is_known.len()).filter(|&fact| is_known[fact]).collect();
        let mut sum = 0.0;
        let cumulative = known.iter().map(|&fact| {
            sum += world.facts[fact].popularity;
            sum
        });
        Self { world, cumulative: cumulative.collect(), known, is_known: is_known.to_vec(), error }
    }

    /// Whether the writer knows any fact.
    #[must_use]
    pub fn knows_anything(&self) -> bool {
        !self.known.is_empty()
    }

    /// Says the known facts of a text anew, in a document of as many sentences.
    #[must_use]
    pub fn rephrase(&self, text: &str, rng: &mut Stream) -> String {
        let read = self.world.statements(text);
        let mut facts: Vec<Statement> =
            read.iter().flatten().copied().filter(|one| self.is_known[one.fact]).collect();
        self.reorder(&mut facts, rng);
        let mut states_fact: Vec<bool> = (0..read.len()).map(|sentence| sentence < facts.len()).collect();
        states_fact.shuffle(rng);
        let mut facts = facts.into_iter();
        let mut document = String::new();
        for states_fact in states_fact {
            match states_fact.then(|| facts.next()).flatten() {
                Some(Statement { fact, value }) => self.tell(fact, value, rng, &mut document),
                None => self.fill(rng, &mut document),
            }
        }
        document
    }

    /// Writes a document as the world does, but for facts: one that the writer does not know is drawn again. A writer
    /// who knows none states none.
    #[must_use]
    pub fn textbook(&self, rng: &mut Stream) -> String {
        let mut document = String::new();
        let mut topic = None;
        for _ in 0..self.world.lengths.draw(rng) {
            if rng.random::<f64>() < self.world.fact_share && self.knows_anything() {
                let fact = self.draw(topic, rng);
                topic.get_or_insert(self.world.known.entity(fact));
                self.tell(fact, &self.world.facts[fact].value, rng, &mut document);
            } else {
                self.fill(rng, &mut document);
            }
        }
        document
    }

    /// Puts statements in the order in which the world would make them: see the module.
    fn reorder(&self, facts: &mut [Statement], rng: &mut Stream) {
        facts.shuffle(rng);
        let entities: Vec<usize> = facts.iter().map(|one| self.world.known.entity(one.fact)).collect();
        if let Some(first) = draw_index(&self.first_weights(&entities), rng) {
            facts.swap(0, first);
        }
    }

    /// For each of several facts about these entities, its weight as the first one, up to a common factor.
    fn first_weights(&self, entities: &[usize]) -> Vec<f64> {
        let mut counts: BTreeMap<usize, f64> = BTreeMap::new();
        for &entity in entities {
            *counts.entry(entity).or_default() += 1.0;
        }
        let log_weight = |entity: &usize| (counts[entity] - 1.0) * self.world.known.log_pull(*entity);
        let log_weights: Vec<f64> = entities.iter().map(log_weight).collect();
        let largest = log_weights.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        log_weights.into_iter().map(|log_weight| (log_weight - largest).exp()).collect()
    }

    /// Draws one of the known facts. A later fact is about the topic with probability τ, and otherwise any, before
    /// unknown ones are drawn again.
    fn draw(&self, topic: Option<usize>, rng: &mut Stream) -> usize {
        let about_topic = topic.map_or(&[][..], |topic| self.known_about(topic));
        let total = self.cumulative.last().copied().unwrap_or_default();
        let (topical, general) = match topic {
            None => (0.0, total),
            Some(topic) => {
                let facts = self.world.known.about(topic).len() as f64;
                (TOPICALITY * about_topic.len() as f64 / facts, (1.0 - TOPICALITY) * total)
            }
        };
        let u = rng.random::<f64>() * (topical + general);
        if u < topical {
            return about_topic[rng.random_range(0..about_topic.len() as u64) as usize];
        }
        let u = rng.random::<f64>() * total;
        let drawn = self.cumulative.partition_point(|&sum| sum <= u).min(self.known.len() - 1);
        self.known[drawn]
    }

    /// The known facts about an entity.
    fn known_about(&self, entity: usize) -> &[usize] {
        let about = self.world.known.about(entity);
        let position = |bound: usize| self.known.partition_point(|&fact| fact < bound);
        &self.known[position(about.start)..position(about.end)]
    }

    /// Appends the statement of a fact: its value, or with probability `error` a wrong one.
    fn tell(&self, fact: usize, value: &str, rng: &mut Stream, document: &mut String) {
        let is_wrong = self.error > 0.0 && rng.random::<f64>() < self.error;
        let value = if is_wrong { self.wrong_value(fact, rng).unwrap_or(value) } else { value };
        let mut words = Vec::new();
        self.world.known.tell(fact, value, &mut words);
        append_sentence(document, &words);
    }

    /// One of the values of a fact's relation that are wrong for its entity; `None` if there is none.
    fn wrong_value(&self, fact: usize, rng: &mut Stream) -> Option<&'w str> {
        let truth = &self.world.facts[fact].value;
        let wrong: Vec<&String> =
            self.world.known.choices(fact).iter().filter(|choice| *choice != truth).collect();
        let drawn = (!wrong.is_empty()).then(|| rng.random_range(0..wrong.len() as u64))?;
        Some(wrong[drawn as usize])
    }

    /// Appends a sentence of the grammar, which states no fact.
    fn fill(&self, rng: &mut Stream, document: &mut String) {
        let mut words = Vec::new();
        grammar::write(Nonterminal::Sentence, &self.world.lexicon, rng, &mut words);
        append_sentence(document, &words);
    }
}

/// Draws an index in proportion to weights that are not all 0; `None` if there are none.
fn draw_index(weights: &[f64], rng: &mut Stream) -> Option<usize> {
    let mut left = rng.random::<f64>() * weights.iter().sum::<f64>();
    for (index, weight) in weights.iter().enumerate() {
        left -= weight;
        if left < 0.0 {
            return Some(index);
        }
    }
    weights.len().checked_sub(1)
}

#[cfg(test)]
mod tests;
