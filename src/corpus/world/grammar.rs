//! The sentences of the world that state no fact: a probabilistic grammar as a table.
//!
//! The table is LL(1): the next word alone says which rule was used. So a sentence has one derivation, and its
//! probability is the product of the probabilities of that derivation's rules and words. No rule leads back to
//! itself, so the entropy follows from the chain rule, part by part:
//! `H(part) = Σ p(rule) (−ln p(rule) + Σ H(symbols of the rule))`.

use super::lexicon::{Lexicon, WordClass};
use crate::seed::Stream;
use rand::Rng;
use std::collections::BTreeSet;

/// A part of a sentence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Phrase {
    Sentence,
    Opening,
    Subject,
    Relative,
    Predicate,
    Quality,
    Manner,
    Where,
    Place,
    NounPhrase,
    Determiner,
    Thing,
    Preposition,
}

impl Phrase {
    pub(super) const ALL: [Self; 13] = [
        Self::Sentence,
        Self::Opening,
        Self::Subject,
        Self::Relative,
        Self::Predicate,
        Self::Quality,
        Self::Manner,
        Self::Where,
        Self::Place,
        Self::NounPhrase,
        Self::Determiner,
        Self::Thing,
        Self::Preposition,
    ];
}

/// What a rule is made of.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum GrammarSymbol {
    /// A function word.
    Word(&'static str),
    /// A content word, drawn by its frequency.
    Content(WordClass),
    /// A part, which has rules of its own.
    Nested(Phrase),
}

/// A rule: its probability among the rules of its part, and what it writes.
pub(super) type Rule = (f64, &'static [GrammarSymbol]);

use GrammarSymbol::{Content, Nested, Word};

/// The rules of a part; their probabilities sum to 1. No rule begins with a part that may be empty.
pub(super) const fn rules(part: Phrase) -> &'static [Rule] {
    match part {
        Phrase::Sentence => &[
            (0.76, &[Nested(Phrase::Subject), Nested(Phrase::Predicate)]),
            (0.16, &[Nested(Phrase::Opening), Nested(Phrase::Subject), Nested(Phrase::Predicate)]),
            (0.08, &[Word("there"), Word("is"), Word("a"), Nested(Phrase::Thing), Nested(Phrase::Place)]),
        ],
        Phrase::Opening => &[(0.6, &[Word("then")]), (0.25, &[Word("sometimes")]), (0.15, &[Word("today")])],
        Phrase::Subject => &[(1.0, &[Nested(Phrase::NounPhrase), Nested(Phrase::Relative)])],
        Phrase::Relative => &[
            (0.88, &[]),
            (0.12, &[Word("that"), Content(WordClass::Transitive), Nested(Phrase::NounPhrase)]),
        ],
        Phrase::Predicate => &[
            (0.5, &[Content(WordClass::Transitive), Nested(Phrase::NounPhrase), Nested(Phrase::Where)]),
            (0.3, &[Content(WordClass::Intransitive), Nested(Phrase::Manner), Nested(Phrase::Where)]),
            (0.2, &[Word("is"), Nested(Phrase::Quality)]),
        ],
        Phrase::Quality => &[
            (0.7, &[Content(WordClass::Adjective)]),
            (0.2, &[Word("very"), Content(WordClass::Adjective)]),
            (0.1, &[Word("not"), Content(WordClass::Adjective)]),
        ],
        Phrase::Manner => &[(0.6, &[]), (0.4, &[Content(WordClass::Adverb)])],
        Phrase::Where => &[(0.7, &[]), (0.3, &[Nested(Phrase::Place)])],
        Phrase::Place => &[(1.0, &[Nested(Phrase::Preposition), Nested(Phrase::NounPhrase)])],
        Phrase::NounPhrase => &[(1.0, &[Nested(Phrase::Determiner), Nested(Phrase::Thing)])],
        Phrase::Determiner => {
            &[(0.55, &[Word("the")]), (0.28, &[Word("a")]), (0.12, &[Word("this")]), (0.05, &[Word("every")])]
        }
        Phrase::Thing => &[
            (0.68, &[Content(WordClass::Noun)]),
            (0.32, &[Content(WordClass::Adjective), Content(WordClass::Noun)]),
        ],
        Phrase::Preposition => &[
            (0.4, &[Word("in")]),
            (0.25, &[Word("near")]),
            (0.2, &[Word("under")]),
            (0.1, &[Word("behind")]),
            (0.05, &[Word("beyond")]),
        ],
    }
}

/// The words that the rules write, which the lexicon must leave free.
pub(super) fn function_words() -> BTreeSet<&'static str> {
    let symbols = Phrase::ALL.into_iter().flat_map(rules).flat_map(|(_, symbols)| *symbols);
    symbols.filter_map(|symbol| if let Word(word) = symbol { Some(*word) } else { None }).collect()
}

/// Writes one part at random. Returns its log-probability, in nats.
pub(super) fn write<'a>(
    part: Phrase,
    lexicon: &'a Lexicon,
    rng: &mut Stream,
    words: &mut Vec<&'a str>,
) -> f64 {
    let (probability, symbols) = draw_rule(rules(part), rng);
    let mut log_probability = probability.ln();
    for symbol in symbols {
        match *symbol {
            Word(word) => words.push(word),
            Content(class) => {
                let vocabulary = lexicon.class(class);
                let rank = vocabulary.frequencies.draw(rng);
                words.push(&vocabulary.words[rank]);
                log_probability += vocabulary.frequencies.probabilities()[rank].ln();
            }
            Nested(part) => log_probability += write(part, lexicon, rng, words),
        }
    }
    log_probability
}

fn draw_rule(rules: &'static [Rule], rng: &mut Stream) -> Rule {
    let mut left: f64 = rng.random();
    for &rule in &rules[..rules.len() - 1] {
        left -= rule.0;
        if left < 0.0 {
            return rule;
        }
    }
    rules[rules.len() - 1]
}

/// Reads one part off the front of `words`. Returns its log-probability in nats, or nothing if it is not there.
pub(super) fn read(part: Phrase, lexicon: &Lexicon, words: &mut &[&str]) -> Option<f64> {
    let next = words.first().copied();
    let fits = |(_, symbols): &&Rule| symbols.first().is_some_and(|first| begins(*first, next, lexicon));
    let chosen = rules(part).iter().find(fits);
    let (probability, symbols) = chosen.or_else(|| rules(part).iter().find(|rule| rule.1.is_empty()))?;
    let mut log_probability = probability.ln();
    for symbol in *symbols {
        if let Nested(inner) = *symbol {
            log_probability += read(inner, lexicon, words)?;
            continue;
        }
        let (word, rest) = words.split_first()?;
        *words = rest;
        match *symbol {
            Content(class) => {
                let (found, rank) = lexicon.place(word)?;
                if found != class {
                    return None;
                }
                log_probability += lexicon.class(class).frequencies.probabilities()[rank].ln();
            }
            Word(expected) if expected == *word => {}
            _ => return None,
        }
    }
    Some(log_probability)
}

/// Whether `symbol` can begin with the word `next`.
fn begins(symbol: GrammarSymbol, next: Option<&str>, lexicon: &Lexicon) -> bool {
    let Some(next) = next else { return false };
    match symbol {
        Word(word) => word == next,
        Content(class) => lexicon.place(next).is_some_and(|(found, _)| found == class),
        Nested(part) => {
            let firsts = rules(part).iter().filter_map(|(_, symbols)| symbols.first());
            firsts.into_iter().any(|first| begins(*first, Some(next), lexicon))
        }
    }
}

/// Entropy of a part, in nats.
pub(super) fn entropy(part: Phrase, lexicon: &Lexicon) -> f64 {
    let of_symbol = |symbol: &GrammarSymbol| match *symbol {
        Word(_) => 0.0,
        Content(class) => lexicon.class(class).frequencies.entropy(),
        Nested(part) => entropy(part, lexicon),
    };
    expectation(part, |p| -p.ln(), of_symbol)
}

/// Mean number of words in a part.
pub(super) fn mean_words(part: Phrase) -> f64 {
    let of_symbol = |symbol: &GrammarSymbol| match *symbol {
        Word(_) | Content(_) => 1.0,
        Nested(part) => mean_words(part),
    };
    expectation(part, |_| 0.0, of_symbol)
}

/// `Σ p(rule) (of_rule(p) + Σ of_symbol(symbol))`.
fn expectation(part: Phrase, of_rule: impl Fn(f64) -> f64, of_symbol: impl Fn(&GrammarSymbol) -> f64) -> f64 {
    let of = |(p, symbols): &Rule| p * (of_rule(*p) + symbols.iter().map(&of_symbol).sum::<f64>());
    rules(part).iter().map(of).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_probabilities_of_each_part_sum_to_1() {
        for part in Phrase::ALL {
            let sum: f64 = rules(part).iter().map(|(p, _)| p).sum();
            assert!((sum - 1.0).abs() < 1e-12, "{part:?}: {sum}");
        }
    }

    #[test]
    fn no_rule_begins_with_a_part_that_may_be_empty() {
        for (_, symbols) in Phrase::ALL.into_iter().flat_map(rules) {
            if let Some(Nested(first)) = symbols.first() {
                assert!(rules(*first).iter().all(|(_, symbols)| !symbols.is_empty()), "{first:?}");
            }
        }
    }
}
