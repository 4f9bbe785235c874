//! Facts: each entity has a value in each relation, fixed when the world is made.
//!
//! Popularity is long-tailed: a few entities are spoken of all the time and most hardly ever. The head, torso and
//! tail are cut by mass, not by number: the tail is the least popular hundredth of what is *said*, which is many
//! facts. Collapse eats them first.

use super::lexicon::Coiner;
use super::ranked::{ZipfRanks, entropy};
use crate::config;
use crate::rarity::Rarity;
use crate::seed::Stream;
use rand::Rng;
use std::collections::BTreeMap;

/// Relations by name; a world with more of them makes up the rest.
pub(super) const RELATIONS: [&str; 8] =
    ["river", "king", "festival", "harvest", "mountain", "song", "market", "founder"];

/// How likely a fact sentence is to stay with the entity of the document's first fact.
const LOYALTY: f64 = 0.5;

/// Entities that share a value, on average: the chance level of a guess is this over the number of entities.
const ENTITIES_PER_VALUE: usize = 5;

/// Fewest values of a relation.
const FEWEST_VALUES: usize = 5;

/// A fact, ready to be asked.
#[derive(Clone, Debug, PartialEq)]
pub struct Fact {
    /// The beginning of the sentence that states it, without a space at its end: `"The river of Tamor is"`. It may
    /// begin a document or follow `" "` after a sentence.
    pub prompt: String,
    /// The only word that can follow, without the space before it: `"Belun"`.
    pub value: String,
    /// The probability that a sentence which states a fact states this one.
    pub popularity: f64,
    /// Where it stands among all facts.
    pub rarity: Rarity,
}

/// Everything there is to know about the world.
#[derive(Clone, Debug)]
pub(super) struct Facts {
    relations: Vec<String>,
    entities: Vec<String>,
    popularity: ZipfRanks,
    /// `values[relation][entity]`.
    values: Vec<Vec<String>>,
    relation_places: BTreeMap<String, usize>,
    entity_places: BTreeMap<String, usize>,
}

impl Facts {
    pub(super) fn new(config: &config::World, coiner: &mut Coiner, rng: &mut Stream) -> Self {
        let named = RELATIONS.iter().map(|&name| name.to_owned()).take(config.relations);
        let mut relations: Vec<String> = named.collect();
        while relations.len() < config.relations {
            relations.push(coiner.word(2, ""));
        }
        let entities: Vec<String> = (0..config.entities).map(|_| coiner.name()).collect();
        let choices = config.entities.div_ceil(ENTITIES_PER_VALUE).max(FEWEST_VALUES);
        let mut values_of_a_relation = |_: &String| -> Vec<String> {
            let known: Vec<String> = (0..choices).map(|_| coiner.name()).collect();
            (0..config.entities).map(|_| known[rng.random_range(0..choices)].clone()).collect()
        };
        let values = relations.iter().map(&mut values_of_a_relation).collect();
        Self {
            popularity: ZipfRanks::new(config.entities, config.zipf_exponent),
            relation_places: relations.iter().cloned().zip(0..).collect(),
            entity_places: entities.iter().cloned().zip(0..).collect(),
            relations,
            entities,
            values,
        }
    }

    /// The facts, most popular first.
    pub(super) fn list(&self) -> Vec<Fact> {
        let of_a_relation = self.popularity.probabilities().iter();
        let descending: Vec<f64> = of_a_relation
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

    /// States a fact. `topic` is the entity of the document's first fact. Returns the log-probability, in nats.
    pub(super) fn write<'a>(
        &'a self,
        topic: &mut Option<usize>,
        rng: &mut Stream,
        words: &mut Vec<&'a str>,
    ) -> f64 {
        let relation = rng.random_range(0..self.relations.len());
        let entity = match *topic {
            Some(entity) if rng.random::<f64>() < LOYALTY => entity,
            _ => self.popularity.draw(rng),
        };
        let log_probability = self.probability(entity, *topic).ln() - (self.relations.len() as f64).ln();
        topic.get_or_insert(entity);
        let value = &self.values[relation][entity];
        words.extend(["the", &self.relations[relation], "of", &self.entities[entity], "is", value]);
        log_probability
    }

    /// Whether a sentence of these words can only be a fact.
    pub(super) fn claims(&self, words: &[&str]) -> bool {
        words.get(1).is_some_and(|word| self.relation_places.contains_key(*word))
    }

    /// Reads a fact. Returns its log-probability in nats, or nothing if it is not true.
    pub(super) fn read(&self, words: &[&str], topic: &mut Option<usize>) -> Option<f64> {
        let &["the", relation, "of", entity, "is", value] = words else { return None };
        let relation = *self.relation_places.get(relation)?;
        let entity = *self.entity_places.get(entity)?;
        if self.values[relation][entity] != value {
            return None;
        }
        let probability = self.probability(entity, *topic) / self.relations.len() as f64;
        topic.get_or_insert(entity);
        Some(probability.ln())
    }

    /// Of speaking about `entity`: `π_e` for the first fact of a document, then `(1 − τ) π_e + τ [e is the topic]`.
    /// Topics are drawn from π themselves, so over all documents every fact sentence is about e with probability π_e.
    fn probability(&self, entity: usize, topic: Option<usize>) -> f64 {
        let popularity = self.popularity.probabilities()[entity];
        match topic {
            None => popularity,
            Some(topic) if topic == entity => LOYALTY + (1.0 - LOYALTY) * popularity,
            Some(_) => (1.0 - LOYALTY) * popularity,
        }
    }

    /// Entropy in nats of the first fact of a document.
    pub(super) fn first_entropy(&self) -> f64 {
        self.popularity.entropy() + (self.relations.len() as f64).ln()
    }

    /// Entropy in nats of a later fact, given the first.
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
