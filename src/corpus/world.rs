//! The built-in world: an artificial language whose distribution is known exactly.
//!
//! A document is a sequence of sentences. A sentence states a fact ("The river of Tamor is Belun.") with probability
//! `fact_share`; otherwise it comes from a small probabilistic grammar. The frequencies of words and the popularity of
//! entities follow Zipf–Mandelbrot laws, so that there is a tail to lose. The first fact of a document sets its topic,
//! and about half of the later facts are about the same entity, so that there is something to learn beyond the
//! sentence.
//!
//! A text can be parsed in one way only, so [`World::log_probability`] is exact. Its negative mean over held-out
//! documents is the loss of an ideal model. No other model is expected to have a lower loss, so this is the floor. With
//! more and more documents it tends to [`World::entropy_nats_per_document`].
//!
//! **Pitfall.** The floor is only valid if no text occurs in both train and held-out. A single sentence about a popular
//! fact would recur often, and all its copies would be in one split. Documents therefore have at least two sentences.
//!
//! ```
//! use genloss::corpus::world::World;
//! let world = World::new(&genloss::corpus::WorldSettings {
//!     seed: 1, nouns: 100, entities: 20, relations: 2, zipf_exponent: 1.0, fact_share: 0.4,
//! });
//! let document = world.document(0);
//! let nats = -world.log_probability(&document).expect("a document of the world");
//! assert!(nats > 0.0);
//! assert_eq!(world.log_probability("The dog barks."), None);
//! let fact = &world.facts()[0];
//! assert!(fact.popularity > world.facts()[39].popularity);
//! ```

use crate::seed::{SHARED, Stream, StreamKey, streams};
use facts::Facts;
use grammar::Nonterminal;
use lexicon::{Lexicon, WordGenerator, capitalised};
use rand::Rng;

mod facts;
mod grammar;
mod lexicon;
mod ranked;
mod settings;
mod telling;

pub use facts::Fact;
pub use settings::WorldSettings;
pub use telling::{Statement, Teller};

/// The distribution of the number of sentences in a document. There are at least `min` sentences; then each further one
/// follows with probability `go_on`, up to `max` sentences.
#[derive(Clone, Copy, Debug, PartialEq)]
struct DocumentLengths {
    min: usize,
    max: usize,
    go_on: f64,
}

/// About nine sentences on average.
const LENGTHS: DocumentLengths = DocumentLengths { min: 2, max: 40, go_on: 0.875 };

/// An artificial language and its facts.
#[derive(Clone, Debug)]
pub struct World {
    lexicon: Lexicon,
    known: Facts,
    facts: Vec<Fact>,
    fact_share: f64,
    lengths: DocumentLengths,
    documents: StreamKey,
}

impl World {
    /// Creates the language of a seed.
    #[must_use]
    pub fn new(config: &WorldSettings) -> Self {
        let key = StreamKey::new(config.seed, SHARED, 0, streams::WORLD_LEXICON);
        let reserved = grammar::function_words().into_iter().chain(facts::RELATIONS).chain(["of"]);
        let mut generator = WordGenerator::new(key.stream(0), reserved);
        let lexicon = Lexicon::new(&mut generator, config.nouns, config.zipf_exponent);
        let known = Facts::new(config, &mut generator, &mut key.at(streams::WORLD_FACTS).stream(0));
        Self {
            lexicon,
            facts: known.list(),
            known,
            fact_share: config.fact_share,
            lengths: LENGTHS,
            documents: key.at(streams::WORLD_DOCUMENT),
        }
    }

    /// Document `index` of an unlimited number of independent documents.
    #[must_use]
    pub fn document(&self, index: u64) -> String {
        self.write(index).0
    }

    /// A document and its log-probability in nats, added up while writing.
    fn write(&self, index: u64) -> (String, f64) {
        let rng = &mut self.documents.stream(index);
        let sentences = self.lengths.draw(rng);
        let mut log_probability = self.lengths.log_probability(sentences);
        let mut topic = None;
        let mut text = String::new();
        let mut words = Vec::new();
        for _ in 0..sentences {
            words.clear();
            log_probability += if rng.random::<f64>() < self.fact_share {
                self.fact_share.ln() + self.known.write(&mut topic, rng, &mut words)
            } else {
                (-self.fact_share).ln_1p()
                    + grammar::write(Nonterminal::Sentence, &self.lexicon, rng, &mut words)
            };
            append_sentence(&mut text, &words);
        }
        (text, log_probability)
    }

    /// The natural logarithm of a document's probability. None if the world cannot generate it: an unknown word or
    /// sentence, a false fact, a misplaced space.
    #[must_use]
    pub fn log_probability(&self, text: &str) -> Option<f64> {
        let mut log_probability = 0.0;
        let mut topic = None;
        let mut sentences = 0;
        for sentence in text.strip_suffix('.')?.split(". ") {
            log_probability += self.read_sentence(sentence, &mut topic)?;
            sentences += 1;
        }
        let in_range = (self.lengths.min..=self.lengths.max).contains(&sentences);
        in_range.then(|| log_probability + self.lengths.log_probability(sentences))
    }

    fn read_sentence(&self, sentence: &str, topic: &mut Option<usize>) -> Option<f64> {
        let uncapitalised = uncapitalised(sentence)?;
        let words: Vec<&str> = uncapitalised.split(' ').collect();
        if self.known.is_statement(&words) {
            return Some(self.fact_share.ln() + self.known.read(&words, topic)?);
        }
        let mut rest = words.as_slice();
        let of_the_words = grammar::read(Nonterminal::Sentence, &self.lexicon, &mut rest)?;
        rest.is_empty().then(|| (-self.fact_share).ln_1p() + of_the_words)
    }

    /// All facts, the most popular first.
    #[must_use]
    pub fn facts(&self) -> &[Fact] {
        &self.facts
    }

    /// Entropy of a document in nats, by the chain rule over its length, the kinds of its sentences, and each sentence
    /// given the previous ones.
    #[must_use]
    pub fn entropy_nats_per_document(&self) -> f64 {
        let lengths = self.lengths.probabilities();
        let mean: f64 = lengths.iter().map(|&(n, p)| n as f64 * p).sum();
        let length = -lengths.iter().map(|&(_, p)| p * p.ln()).sum::<f64>();
        let share = self.fact_share;
        let kind = ranked::entropy(&[share, 1.0 - share]);
        // A document has a first fact unless none of its n sentences states one.
        let first_facts = 1.0 - lengths.iter().map(|&(n, p)| p * (1.0 - share).powi(n as i32)).sum::<f64>();
        let later_facts = mean * share - first_facts;
        length
            + mean * (kind + (1.0 - share) * grammar::entropy(Nonterminal::Sentence, &self.lexicon))
            + first_facts * self.known.first_entropy()
            + later_facts * self.known.later_entropy()
    }

    /// Mean number of words in a document.
    #[must_use]
    pub fn mean_words_per_document(&self) -> f64 {
        let sentences: f64 = self.lengths.probabilities().iter().map(|&(n, p)| n as f64 * p).sum();
        let words_of_a_fact = 6.0;
        sentences
            * (self.fact_share * words_of_a_fact
                + (1.0 - self.fact_share) * grammar::mean_words(Nonterminal::Sentence))
    }
}

impl DocumentLengths {
    fn draw(self, rng: &mut Stream) -> usize {
        let mut sentences = self.min;
        while sentences < self.max && rng.random::<f64>() < self.go_on {
            sentences += 1;
        }
        sentences
    }

    fn log_probability(self, sentences: usize) -> f64 {
        let gone_on = (sentences - self.min) as f64 * self.go_on.ln();
        if sentences < self.max { gone_on + (-self.go_on).ln_1p() } else { gone_on }
    }

    /// Every number of sentences, with its probability.
    fn probabilities(self) -> Vec<(usize, f64)> {
        (self.min..=self.max).map(|n| (n, self.log_probability(n).exp())).collect()
    }
}

fn append_sentence(text: &mut String, words: &[&str]) {
    if !text.is_empty() {
        text.push(' ');
    }
    text.push_str(&capitalised(&words.join(" ")));
    text.push('.');
}

/// The sentence with its first letter in lower case; None if that letter is not in upper case.
fn uncapitalised(sentence: &str) -> Option<String> {
    let mut letters = sentence.to_owned();
    let first = letters.get_mut(..1).filter(|first| first.bytes().all(|b| b.is_ascii_uppercase()))?;
    first.make_ascii_lowercase();
    Some(letters)
}

#[cfg(test)]
mod tests;
