//! The grammar of sentences that state no fact: a table of rules with probabilities.
//!
//! The grammar is LL(1): the next word alone determines which rule was used. So a sentence has exactly one derivation, and
//! its probability is the product of the probabilities of that derivation's rules and words. No rule is recursive, so the
//! entropy follows from the chain rule: `H(phrase) = Σ p(rule) (−ln p(rule) + Σ H(symbols of the rule))`.

use super::lexicon::{Lexicon, WordClass};
use crate::seed::Stream;
use rand::Rng;
use std::collections::BTreeSet;

/// A nonterminal of the grammar: a kind of phrase.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Nonterminal {
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
    QualifiedNoun,
    Preposition,
}

impl Nonterminal {
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
        Self::QualifiedNoun,
        Self::Preposition,
    ];
}

/// An element of a rule.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum GrammarSymbol {
    /// A function word.
    Word(&'static str),
    /// A content word, drawn by its frequency.
    Content(WordClass),
    /// A phrase, expanded by one of its rules.
    Nested(Nonterminal),
}

/// A rule: its probability among the rules of its phrase, and its expansion.
pub(super) type Rule = (f64, &'static [GrammarSymbol]);

use GrammarSymbol::{Content, Nested, Word};

/// The rules of a phrase. Their probabilities sum to 1, and none begins with a phrase that may be empty.
pub(super) const fn rules(phrase: Nonterminal) -> &'static [Rule] {
    match phrase {
        Nonterminal::Sentence => &[
            (0.76, &[Nested(Nonterminal::Subject), Nested(Nonterminal::Predicate)]),
            (
                0.16,
                &[Nested(Nonterminal::Opening), Nested(Nonterminal::Subject), Nested(Nonterminal::Predicate)],
            ),
            (
                0.08,
                &[
                    Word("there"),
                    Word("is"),
                    Word("a"),
                    Nested(Nonterminal::QualifiedNoun),
                    Nested(Nonterminal::Place),
                ],
            ),
        ],
        Nonterminal::Opening => {
            &[(0.6, &[Word("then")]), (0.25, &[Word("sometimes")]), (0.15, &[Word("today")])]
        }
        Nonterminal::Subject => &[(1.0, &[Nested(Nonterminal::NounPhrase), Nested(Nonterminal::Relative)])],
        Nonterminal::Relative => &[
            (0.88, &[]),
            (0.12, &[Word("that"), Content(WordClass::Transitive), Nested(Nonterminal::NounPhrase)]),
        ],
        Nonterminal::Predicate => &[
            (
                0.5,
                &[
                    Content(WordClass::Transitive),
                    Nested(Nonterminal::NounPhrase),
                    Nested(Nonterminal::Where),
                ],
            ),
            (
                0.3,
                &[Content(WordClass::Intransitive), Nested(Nonterminal::Manner), Nested(Nonterminal::Where)],
            ),
            (0.2, &[Word("is"), Nested(Nonterminal::Quality)]),
        ],
        Nonterminal::Quality => &[
            (0.7, &[Content(WordClass::Adjective)]),
            (0.2, &[Word("very"), Content(WordClass::Adjective)]),
            (0.1, &[Word("not"), Content(WordClass::Adjective)]),
        ],
        Nonterminal::Manner => &[(0.6, &[]), (0.4, &[Content(WordClass::Adverb)])],
        Nonterminal::Where => &[(0.7, &[]), (0.3, &[Nested(Nonterminal::Place)])],
        Nonterminal::Place => &[(1.0, &[Nested(Nonterminal::Preposition), Nested(Nonterminal::NounPhrase)])],
        Nonterminal::NounPhrase => {
            &[(1.0, &[Nested(Nonterminal::Determiner), Nested(Nonterminal::QualifiedNoun)])]
        }
        Nonterminal::Determiner => {
            &[(0.55, &[Word("the")]), (0.28, &[Word("a")]), (0.12, &[Word("this")]), (0.05, &[Word("every")])]
        }
        Nonterminal::QualifiedNoun => &[
            (0.68, &[Content(WordClass::Noun)]),
            (0.32, &[Content(WordClass::Adjective), Content(WordClass::Noun)]),
        ],
        Nonterminal::Preposition => &[
            (0.4, &[Word("in")]),
            (0.25, &[Word("near")]),
            (0.2, &[Word("under")]),
            (0.1, &[Word("behind")]),
            (0.05, &[Word("beyond")]),
        ],
    }
}

/// The words in the rules themselves, which the lexicon must not contain.
pub(super) fn function_words() -> BTreeSet<&'static str> {
    let symbols = Nonterminal::ALL.into_iter().flat_map(rules).flat_map(|(_, symbols)| *symbols);
    symbols.filter_map(|symbol| if let Word(word) = symbol { Some(*word) } else { None }).collect()
}

/// Appends a random phrase to `words` and returns its log-probability in nats.
pub(super) fn write<'a>(
    phrase: Nonterminal,
    lexicon: &'a Lexicon,
    rng: &mut Stream,
    words: &mut Vec<&'a str>,
) -> f64 {
    let (probability, symbols) = draw_rule(rules(phrase), rng);
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
            Nested(phrase) => log_probability += write(phrase, lexicon, rng, words),
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

/// Removes one phrase from the front of `words` and returns its log-probability in nats; None if `words` does not begin
/// with such a phrase.
pub(super) fn read(phrase: Nonterminal, lexicon: &Lexicon, words: &mut &[&str]) -> Option<f64> {
    let next = words.first().copied();
    let fits = |(_, symbols): &&Rule| symbols.first().is_some_and(|first| begins(*first, next, lexicon));
    let chosen = rules(phrase).iter().find(fits);
    let (probability, symbols) = chosen.or_else(|| rules(phrase).iter().find(|rule| rule.1.is_empty()))?;
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
                let (found, rank) = lexicon.find(word)?;
                if found != class {
                    return None;
                }
                log_probability += lexicon.class(class).frequencies.probabilities()[rank].ln();
            }
            Word(expected) if expected == *word => {}
            Word(_) | Nested(_) => return None,
        }
    }
    Some(log_probability)
}

/// Whether `symbol` can begin with the word `next`.
fn begins(symbol: GrammarSymbol, next: Option<&str>, lexicon: &Lexicon) -> bool {
    let Some(next) = next else { return false };
    match symbol {
        Word(word) => word == next,
        Content(class) => lexicon.find(next).is_some_and(|(found, _)| found == class),
        Nested(phrase) => {
            let firsts = rules(phrase).iter().filter_map(|(_, symbols)| symbols.first());
            firsts.into_iter().any(|first| begins(*first, Some(next), lexicon))
        }
    }
}

/// Entropy of a phrase, in nats.
pub(super) fn entropy(phrase: Nonterminal, lexicon: &Lexicon) -> f64 {
    let of_symbol = |symbol: &GrammarSymbol| match *symbol {
        Word(_) => 0.0,
        Content(class) => lexicon.class(class).frequencies.entropy(),
        Nested(phrase) => entropy(phrase, lexicon),
    };
    expectation(phrase, |p| -p.ln(), of_symbol)
}

/// Mean number of words in a phrase.
pub(super) fn mean_words(phrase: Nonterminal) -> f64 {
    let of_symbol = |symbol: &GrammarSymbol| match *symbol {
        Word(_) | Content(_) => 1.0,
        Nested(phrase) => mean_words(phrase),
    };
    expectation(phrase, |_| 0.0, of_symbol)
}

/// `Σ p(rule) (of_rule(p) + Σ of_symbol(symbol))`.
fn expectation(
    phrase: Nonterminal,
    of_rule: impl Fn(f64) -> f64,
    of_symbol: impl Fn(&GrammarSymbol) -> f64,
) -> f64 {
    let weighted = |(p, symbols): &Rule| p * (of_rule(*p) + symbols.iter().map(&of_symbol).sum::<f64>());
    rules(phrase).iter().map(weighted).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rule_probabilities_of_each_phrase_sum_to_1() {
        for phrase in Nonterminal::ALL {
            let sum: f64 = rules(phrase).iter().map(|(p, _)| p).sum();
            assert!((sum - 1.0).abs() < 1e-12, "{phrase:?}: {sum}");
        }
    }

    #[test]
    fn no_rule_begins_with_a_phrase_that_may_be_empty() {
        for (_, symbols) in Nonterminal::ALL.into_iter().flat_map(rules) {
            if let Some(Nested(first)) = symbols.first() {
                assert!(rules(*first).iter().all(|(_, symbols)| !symbols.is_empty()), "{first:?}");
            }
        }
    }
}
