//! The sentences of the world that state no fact: a probabilistic grammar as a table.
//!
//! The table is LL(1): the next word alone says which rule was used. So a sentence has one derivation, and its
//! probability is the product of the probabilities of that derivation's rules and words. No rule leads back to
//! itself, so the entropy follows from the chain rule, part by part:
//! `H(part) = Σ p(rule) (−ln p(rule) + Σ H(symbols of the rule))`.

use super::lexicon::{Class, Lexicon};
use crate::seed::Stream;
use rand::Rng;
use std::collections::BTreeSet;

/// A part of a sentence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Part {
    Sentence,
    Opening,
    Subject,
    Relative,
    Predicate,
    Quality,
    Manner,
    Where,
    Place,
    Phrase,
    Determiner,
    Thing,
    Preposition,
}

impl Part {
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
        Self::Phrase,
        Self::Determiner,
        Self::Thing,
        Self::Preposition,
    ];
}

/// What a rule is made of.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Symbol {
    /// A function word.
    Word(&'static str),
    /// A content word, drawn by its frequency.
    Of(Class),
    /// A part, which has rules of its own.
    A(Part),
}

/// A rule: its probability among the rules of its part, and what it writes.
pub(super) type Rule = (f64, &'static [Symbol]);

use Symbol::{A, Of, Word};

/// The rules of a part; their probabilities sum to 1. No rule begins with a part that may be empty.
pub(super) const fn rules(part: Part) -> &'static [Rule] {
    match part {
        Part::Sentence => &[
            (0.76, &[A(Part::Subject), A(Part::Predicate)]),
            (0.16, &[A(Part::Opening), A(Part::Subject), A(Part::Predicate)]),
            (0.08, &[Word("there"), Word("is"), Word("a"), A(Part::Thing), A(Part::Place)]),
        ],
        Part::Opening => &[(0.6, &[Word("then")]), (0.25, &[Word("sometimes")]), (0.15, &[Word("today")])],
        Part::Subject => &[(1.0, &[A(Part::Phrase), A(Part::Relative)])],
        Part::Relative => &[(0.88, &[]), (0.12, &[Word("that"), Of(Class::Transitive), A(Part::Phrase)])],
        Part::Predicate => &[
            (0.5, &[Of(Class::Transitive), A(Part::Phrase), A(Part::Where)]),
            (0.3, &[Of(Class::Intransitive), A(Part::Manner), A(Part::Where)]),
            (0.2, &[Word("is"), A(Part::Quality)]),
        ],
        Part::Quality => &[
            (0.7, &[Of(Class::Adjective)]),
            (0.2, &[Word("very"), Of(Class::Adjective)]),
            (0.1, &[Word("not"), Of(Class::Adjective)]),
        ],
        Part::Manner => &[(0.6, &[]), (0.4, &[Of(Class::Adverb)])],
        Part::Where => &[(0.7, &[]), (0.3, &[A(Part::Place)])],
        Part::Place => &[(1.0, &[A(Part::Preposition), A(Part::Phrase)])],
        Part::Phrase => &[(1.0, &[A(Part::Determiner), A(Part::Thing)])],
        Part::Determiner => {
            &[(0.55, &[Word("the")]), (0.28, &[Word("a")]), (0.12, &[Word("this")]), (0.05, &[Word("every")])]
        }
        Part::Thing => &[(0.68, &[Of(Class::Noun)]), (0.32, &[Of(Class::Adjective), Of(Class::Noun)])],
        Part::Preposition => &[
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
    let symbols = Part::ALL.into_iter().flat_map(rules).flat_map(|(_, symbols)| *symbols);
    symbols.filter_map(|symbol| if let Word(word) = symbol { Some(*word) } else { None }).collect()
}

/// Writes one part at random. Returns its log-probability, in nats.
pub(super) fn write<'a>(part: Part, lexicon: &'a Lexicon, rng: &mut Stream, words: &mut Vec<&'a str>) -> f64 {
    let (probability, symbols) = draw_rule(rules(part), rng);
    let mut log_probability = probability.ln();
    for symbol in symbols {
        match *symbol {
            Word(word) => words.push(word),
            Of(class) => {
                let vocabulary = lexicon.class(class);
                let rank = vocabulary.frequencies.draw(rng);
                words.push(&vocabulary.words[rank]);
                log_probability += vocabulary.frequencies.probabilities()[rank].ln();
            }
            A(part) => log_probability += write(part, lexicon, rng, words),
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
pub(super) fn read(part: Part, lexicon: &Lexicon, words: &mut &[&str]) -> Option<f64> {
    let next = words.first().copied();
    let fits = |(_, symbols): &&Rule| symbols.first().is_some_and(|first| begins(*first, next, lexicon));
    let chosen = rules(part).iter().find(fits);
    let (probability, symbols) = chosen.or_else(|| rules(part).iter().find(|rule| rule.1.is_empty()))?;
    let mut log_probability = probability.ln();
    for symbol in *symbols {
        if let A(inner) = *symbol {
            log_probability += read(inner, lexicon, words)?;
            continue;
        }
        let (word, rest) = words.split_first()?;
        *words = rest;
        match *symbol {
            Of(class) => {
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
fn begins(symbol: Symbol, next: Option<&str>, lexicon: &Lexicon) -> bool {
    let Some(next) = next else { return false };
    match symbol {
        Word(word) => word == next,
        Of(class) => lexicon.place(next).is_some_and(|(found, _)| found == class),
        A(part) => {
            let firsts = rules(part).iter().filter_map(|(_, symbols)| symbols.first());
            firsts.into_iter().any(|first| begins(*first, Some(next), lexicon))
        }
    }
}

/// Entropy of a part, in nats.
pub(super) fn entropy(part: Part, lexicon: &Lexicon) -> f64 {
    let of_symbol = |symbol: &Symbol| match *symbol {
        Word(_) => 0.0,
        Of(class) => lexicon.class(class).frequencies.entropy(),
        A(part) => entropy(part, lexicon),
    };
    expectation(part, |p| -p.ln(), of_symbol)
}

/// Mean number of words in a part.
pub(super) fn mean_words(part: Part) -> f64 {
    let of_symbol = |symbol: &Symbol| match *symbol {
        Word(_) | Of(_) => 1.0,
        A(part) => mean_words(part),
    };
    expectation(part, |_| 0.0, of_symbol)
}

/// `Σ p(rule) (of_rule(p) + Σ of_symbol(symbol))`.
fn expectation(part: Part, of_rule: impl Fn(f64) -> f64, of_symbol: impl Fn(&Symbol) -> f64) -> f64 {
    let of = |(p, symbols): &Rule| p * (of_rule(*p) + symbols.iter().map(&of_symbol).sum::<f64>());
    rules(part).iter().map(of).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_probabilities_of_each_part_sum_to_1() {
        for part in Part::ALL {
            let sum: f64 = rules(part).iter().map(|(p, _)| p).sum();
            assert!((sum - 1.0).abs() < 1e-12, "{part:?}: {sum}");
        }
    }

    #[test]
    fn no_rule_begins_with_a_part_that_may_be_empty() {
        for (_, symbols) in Part::ALL.into_iter().flat_map(rules) {
            if let Some(A(first)) = symbols.first() {
                assert!(rules(*first).iter().all(|(_, symbols)| !symbols.is_empty()), "{first:?}");
            }
        }
    }
}
