//! Facts: each entity has one value for each relation, fixed when the world is created.
//!
//! Popularity is long-tailed: a few entities are mentioned all the time and most hardly ever. Head, torso and tail are
//! divided by mass, not by number: the tail facts together account for 1 % of the *statements* of facts, although there
//! are many tail facts. Model collapse loses them first.

use super::lexicon::WordGenerator;
use super::ranked::{ZipfRanks, entropy};
use crate::corpus::WorldSettings;
use crate::rarity::Rarity;
use crate::seed::Stream;
use rand::Rng;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

/// Names of the first relations; further relations are named by generated words.
pub(super) const RELATIONS: [&str; 8] =
    ["river", "king", "festival", "harvest", "mountain", "song", "market", "founder"];

/// τ: probability that a later fact of a document is about the entity of its first fact.
pub(super) const TOPICALITY: f64 = 0.5;

/// Mean number of entities with the same value of a relation. The probability that a guess is right is this
/// number divided by the number of entities.
const ENTITIES_PER_VALUE: usize = 5;

/// Minimum number of values of a relation.
const MIN_VALUES: usize = 5;

/// A fact as a question with its answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Fact {
    /// The beginning of the sentence that states it, without a trailing space: `"The river of Tamor is"`. It can begin a
    /// document, or follow a sentence and a space.
    pub prompt: String,
    /// The only word that can follow, without a leading space: `"Belun"`.
    pub value: String,
    /// Probability that a sentence that states a fact states this one.
    pub popularity: f64,
    /// Its class of popularity among all facts.
    pub rarity: Rarity,
}

/// All entities, relations and values of a world.
#[derive(Clone, Debug)]
pub(super) struct Facts {
    relations: Vec<String>,
    entities: Vec<String>,
    popularity: ZipfRanks,
    /// `values[relation][entity]`.
    values: Vec<Vec<String>>,
    /// The different values of each relation, in alphabetical order.
    choices: Vec<Vec<String>>,
    relation_index: BTreeMap<String, usize>,
    entity_index: BTreeMap<String, usize>,
}

impl Facts {
    pub(super) fn new(config: &WorldSettings, generator: &mut WordGenerator, rng: &mut Stream) -> Self {
        let named = RELATIONS.iter().map(|&name| name.to_owned()).take(config.relations);
        let mut relations: Vec<String> = named.collect();
        while relations.len() < config.relations {
            relations.push(generator.word(2, ""));
        }
        let entities: Vec<String> = (0..config.entities).map(|_| generator.name()).collect();
        let choices = config.entities.div_ceil(ENTITIES_PER_VALUE).max(MIN_VALUES);
        let mut values_of_a_relation = |_: &String| -> Vec<String> {
            let known: Vec<String> = (0..choices).map(|_| generator.name()).collect();
            (0..config.entities).map(|_| known[rng.random_range(0..choices)].clone()).collect()
        };
        let values: Vec<Vec<String>> = relations.iter().map(&mut values_of_a_relation).collect();
        Self {
            popularity: ZipfRanks::new(config.entities, config.zipf_exponent),
            relation_index: relations.iter().cloned().zip(0..).collect(),
            entity_index: entities.iter().cloned().zip(0..).collect(),
            relations,
            entities,
            choices: values.iter().map(|values| distinct(values)).collect(),
            values,
        }
    }

    /// All facts, the most popular first.
    pub(super) fn list(&self) -> Vec<Fact> {
        let entity_popularities = self.popularity.probabilities().iter();
        let descending: Vec<f64> = entity_popularities
            .flat_map(|p| std::iter::repeat_n(p / self.relations.len() as f64, self.relations.len()))
            .collect();
        let rarities = Rarity::of_descending(&descending);
        let fact = |(index, (popularity, rarity)): (usize, (f64, Rarity))| {
            let (entity, relation) = (index / self.relations.len(), index % self.relations.len());
            Fact {
                prompt: format!("The {} of {} is", self.relations[relation], self.entities[entity]),
                value: self.values[relation][entity].clone(),
                popularity,
                rarity,
            }
        };
        descending.into_iter().zip(rarities).enumerate().map(fact).collect()
    }

    /// Appends a random fact to `words` and returns its log-probability in nats. `topic` is the entity of the document's
    /// first fact, and is set by that fact.
    pub(super) fn write<'a>(
        &'a self,
        topic: &mut Option<usize>,
        rng: &mut Stream,
        words: &mut Vec<&'a str>,
    ) -> f64 {
        let relation = rng.random_range(0..self.relations.len());
        let entity = match *topic {
            Some(entity) if rng.random::<f64>() < TOPICALITY => entity,
            _ => self.popularity.draw(rng),
        };
        let log_probability = self.probability(entity, *topic).ln() - (self.relations.len() as f64).ln();
        topic.get_or_insert(entity);
        let value = &self.values[relation][entity];
        words.extend(["the", &self.relations[relation], "of", &self.entities[entity], "is", value]);
        log_probability
    }

    /// The index in [`list`](Self::list) of the fact about this relation of this entity.
    fn index(&self, relation: usize, entity: usize) -> usize {
        entity * self.relations.len() + relation
    }

    /// The entity that the fact with this index is about.
    pub(super) fn entity(&self, fact: usize) -> usize {
        fact / self.relations.len()
    }

    #[cfg(test)]
    pub(super) fn name(&self, entity: usize) -> &str {
        &self.entities[entity]
    }

    /// The indices of the facts about an entity.
    pub(super) fn about(&self, entity: usize) -> Range<usize> {
        self.index(0, entity)..self.index(0, entity + 1)
    }

    /// The different values of the relation that a fact is about, in alphabetical order.
    pub(super) fn choices(&self, fact: usize) -> &[String] {
        &self.choices[fact % self.relations.len()]
    }

    /// The relation of which all entities have the same value, if there is one.
    pub(super) fn relation_with_one_value(&self) -> Option<&str> {
        let index = self.choices.iter().position(|choices| choices.len() < 2)?;
        Some(&self.relations[index])
    }

    /// The fact that a sentence (without its full stop) is about, and the value that it states, which may be wrong. `None`
    /// if the sentence is anything else.
    pub(super) fn stated<'t>(&self, sentence: &'t str) -> Option<(usize, &'t str)> {
        let words: Vec<&str> = sentence.split(' ').collect();
        let &["The", relation, "of", entity, "is", value] = words.as_slice() else { return None };
        let fact = self.index(*self.relation_index.get(relation)?, *self.entity_index.get(entity)?);
        let is_choice = self.choices(fact).binary_search_by(|choice| choice.as_str().cmp(value)).is_ok();
        is_choice.then_some((fact, value))
    }

    /// Appends the statement that a fact has this value.
    pub(super) fn tell<'a>(&'a self, fact: usize, value: &'a str, words: &mut Vec<&'a str>) {
        let relation = &self.relations[fact % self.relations.len()];
        words.extend(["the", relation, "of", &self.entities[self.entity(fact)], "is", value]);
    }

    /// ln q(e|e)/q(e|t) for an entity e and any other topic t: by how much a fact about e is more probable where e is
    /// the topic. q is [`probability`](Self::probability).
    pub(super) fn log_pull(&self, entity: usize) -> f64 {
        let elsewhere = (1.0 - TOPICALITY) * self.probability(entity, None);
        (self.probability(entity, Some(entity)) / elsewhere).ln()
    }

    /// Whether a sentence with these words can only be the statement of a fact.
    pub(super) fn is_statement(&self, words: &[&str]) -> bool {
        words.get(1).is_some_and(|word| self.relation_index.contains_key(*word))
    }

    /// The log-probability in nats of the statement of a fact; None if it is false. `topic` as in [`write`](Self::write).
    pub(super) fn read(&self, words: &[&str], topic: &mut Option<usize>) -> Option<f64> {
        let &["the", relation, "of", entity, "is", value] = words else { return None };
        let relation = *self.relation_index.get(relation)?;
        let entity = *self.entity_index.get(entity)?;
        if self.values[relation][entity] != value {
            return None;
        }
        let probability = self.probability(entity, *topic) / self.relations.len() as f64;
        topic.get_or_insert(entity);
        Some(probability.ln())
    }

    /// Probability that a fact is about entity e: `π_e` for the first fact of a document, then
    /// `(1 − τ) π_e + τ [e is the topic]`. Topics are drawn from π too, so over all documents every fact is about e with
    /// probability π_e.
    pub(super) fn probability(&self, entity: usize, topic: Option<usize>) -> f64 {
        let popularity = self.popularity.probabilities()[entity];
        match topic {
            None => popularity,
            Some(topic) if topic == entity => TOPICALITY + (1.0 - TOPICALITY) * popularity,
            Some(_) => (1.0 - TOPICALITY) * popularity,
        }
    }

    /// Entropy in nats of the first fact of a document.
    pub(super) fn first_entropy(&self) -> f64 {
        self.popularity.entropy() + (self.relations.len() as f64).ln()
    }

    /// Entropy in nats of a later fact, given the first one.
    pub(super) fn later_entropy(&self) -> f64 {
        let popularity = self.popularity.probabilities();
        let given = |topic: usize| {
            let about: Vec<f64> = (0..popularity.len()).map(|e| self.probability(e, Some(topic))).collect();
            entropy(&about)
        };
        let entities: f64 = popularity.iter().enumerate().map(|(topic, p)| p * given(topic)).sum();
        entities + (self.relations.len() as f64).ln()
    }
}

/// Different values in alphabetical order.
fn distinct(values: &[String]) -> Vec<String> {
    values.iter().collect::<BTreeSet<_>>().into_iter().cloned().collect()
}
