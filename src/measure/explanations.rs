//! What each built-in metric asks, how it answers, and how it can mislead: one or two sentences each, for readers of a
//! report. The module of the metric says more, and [`MetricDefinition::narrowing`](super::MetricDefinition) has the
//! direction. `docs/METRICS.md` is made from these texts.
//!
//! In the formulas, p is a probability or relative frequency, n the size of the text, and c the count of a type.

use serde::Serialize;

/// What a metric measures and how to read it, in plain text with Unicode mathematics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Explanation {
    /// The question that the metric answers.
    pub question: &'static str,
    /// How it is computed, with its source if it has one.
    pub formula: &'static str,
    /// How it can mislead.
    pub pitfall: &'static str,
}

/// The explanation of the built-in metric called `id`; None for metrics that are not built in.
///
/// ```
/// let explanation = genloss::measure::explanation("hill_0").unwrap();
/// assert_eq!(explanation.question, "How many different token types does the text contain?");
/// assert_eq!(genloss::measure::explanation("reading_ease"), None);
/// ```
#[must_use]
pub fn explanation(id: &str) -> Option<Explanation> {
    let families = [HELD_OUT, TAIL, FACTS, ENTROPY, ENTROPY_OF_WORDS, DIVERGENCE, FORM];
    let mut all = families.into_iter().flatten();
    all.find(|(explained, _)| *explained == id).map(|&(_, explanation)| explanation)
}

/// The id of a metric, and its explanation.
type Entry = (&'static str, Explanation);

const fn entry(
    id: &'static str,
    question: &'static str,
    formula: &'static str,
    pitfall: &'static str,
) -> Entry {
    (id, Explanation { question, formula, pitfall })
}

const HELD_OUT: &[Entry] = &[
    entry(
        "heldout_loss",
        "How surprised is the model by natural text that it was not trained on?",
        "−Σ ln p / number of tokens, over all tokens of the held-out text, the ends of documents included.",
        "It rises for any misfit, also for a model that writes more varied text than is natural. It depends on the \
         tokenizer: compare it only between models that share one.",
    ),
    entry(
        "heldout_loss_head",
        "How surprised is the model by the frequent tokens of natural text?",
        "−Σ ln p / number of tokens, over the held-out tokens of the head: the most frequent types, which together make \
         up 90 % of natural text.",
        "It falls when a model forgets only the tail, because the head gains the probability that the tail loses. It \
         rises when a model widens.",
    ),
    entry(
        "heldout_loss_torso",
        "How surprised is the model by tokens of medium frequency?",
        "−Σ ln p / number of tokens, over the held-out tokens of the torso: the types that make up the next 9 % of \
         natural text after the most frequent 90 %.",
        "A model that spreads its probability more evenly than natural text has a lower one, so a fall need not be an \
         improvement.",
    ),
    entry(
        "heldout_loss_tail",
        "How surprised is the model by the rare tokens of natural text?",
        "−Σ ln p / number of tokens, over the held-out tokens of the tail: the rarest types, which make up the last 1 % \
         of natural text, and types that the reference text lacks.",
        "Rare tokens are few, so it has a larger error than the loss of other tokens. A model that spreads its \
         probability more evenly than natural text has a lower one, so a fall need not be an improvement.",
    ),
    entry(
        "bits_per_byte",
        "How many bits does the model need for each byte of natural text?",
        "−Σ ln p / (ln 2 · number of bytes), over all tokens and bytes of the held-out text.",
        "It rises for any misfit, as held-out loss does. Bytes that a tokenizer loses cost nothing: compare tokenizers \
         only where both lose none.",
    ),
    entry(
        "excess_loss",
        "How much worse is the model than a reader who knows the true distribution?",
        "Held-out loss minus the loss of a reader who knows the exact distribution of the built-in world; 0 is perfect.",
        "It exists for the built-in world only. It rises for any misfit, also for a model that writes more varied text \
         than is natural.",
    ),
    entry(
        "writer_disagreement",
        "How differently do the writers of a generation predict natural text?",
        "Mean over held-out tokens of ln(mean of p) − mean of ln p, both over the writers: their mean loss minus the loss of their \
         mixture in equal parts (Heskes 1998).",
        "It falls as writers become alike, which does not say that what they write narrows. They also agree more the longer they are \
         trained. Only generations with several writers have it.",
    ),
];

const TAIL: &[Entry] = &[
    entry(
        "tail_mass",
        "What share of the natural use of rare tokens could this text still teach?",
        "Σ p over the rare token types that occur in the text / Σ p over all rare types, with p their natural frequency. \
         Rare types are those of the tail, the last 1 % of natural text.",
        "It rises with the size of the text and is usually below 1 even for natural text: compare at equal n. A type \
         counts as present if it occurs once.",
    ),
    entry(
        "tail_coverage",
        "How many rare token types are left, compared with natural text of the same size?",
        "Rare types in the text / Σ [1 − C(D − d, k)/C(D, k)], the number expected by chance; D: documents of half the \
         reference text, d: those with the type, k: as many as have n tokens (rarefaction, Gotelli and Colwell 2001). A \
         text longer than that half is rarefied to its size.",
        "A small vocabulary of tokens has a short tail, which may survive while rare words are lost: read the coverage of \
         words too. Chance can lift it above 1.",
    ),
    entry(
        "tail_mass_words",
        "What share of the natural use of rare words could this text still teach?",
        "Σ p over the rare words that occur in the text / Σ p over all rare words, with p their natural frequency. Rare \
         words are those of the tail, the last 1 % of natural text.",
        "It rises with the size of the text and is usually below 1 even for natural text: compare at equal n. A word \
         counts as present if it occurs once.",
    ),
    entry(
        "tail_coverage_words",
        "How many rare words are left, compared with natural text of the same size?",
        "Rare words in the text / Σ [1 − C(D − d, k)/C(D, k)], the number expected by chance; D: documents of half the \
         reference text, d: those with the word, k: as many as have n words (rarefaction, Gotelli and Colwell 2001). A \
         text longer than that half is rarefied to its size.",
        "Only words of natural text count, so invented words change nothing. Chance can lift it above 1.",
    ),
];

const FACTS: &[Entry] = &[
    entry(
        "fact_recall_head",
        "Does the model still know the most popular facts?",
        "Facts completed correctly / facts asked, of the most popular facts, which make up 90 % of what natural text \
         states. The model is given the sentence up to the value and decodes greedily.",
        "It exists for the built-in world only. Popular facts are lost last, so it can stay high while rare ones vanish.",
    ),
    entry(
        "fact_recall_torso",
        "Does the model still know facts of medium popularity?",
        "Facts completed correctly / facts asked, of those that make up the next 9 % of what natural text states after \
         the most popular 90 %. The model is given the sentence up to the value and decodes greedily.",
        "It exists for the built-in world only. Only the most probable answer counts: a fact that the model ranks second \
         is as lost as one that it never read.",
    ),
    entry(
        "fact_recall_tail",
        "Does the model still know the rarest facts?",
        "Facts completed correctly / facts asked, of the rarest facts, which make up the last 1 % of what natural text \
         states. The model is given the sentence up to the value and decodes greedily.",
        "It exists for the built-in world only. A model may know few rare facts from the start: compare with the control.",
    ),
];

const ENTROPY: &[Entry] = &[
    entry(
        "unigram_entropy",
        "Over how many token types is the text spread?",
        "H = −Σ p ln p over token types, corrected for types that the text does not show, whose share is inferred from \
         those seen once and twice (Chao, Wang and Jost 2013).",
        "Garbled text raises it, while rare natural types disappear. Where many types are still unseen, it is a little \
         too small.",
    ),
    entry(
        "bigram_entropy",
        "Over how many pairs of adjacent tokens is the text spread?",
        "H = −Σ p ln p over pairs of adjacent tokens within documents, corrected for pairs that the text does not show \
         (Chao, Wang and Jost 2013).",
        "Most pairs usually occur once, so a bias of a few percent remains: compare at equal n. Garbled text raises it.",
    ),
    entry(
        "predictive_entropy",
        "How uncertain is the model about the next token?",
        "The mean of −Σ p ln p over the model's predictions of all tokens of the held-out text; the decoder plays no \
         part.",
        "A certain model need not be right: it can fall while held-out loss hardly moves, or rises.",
    ),
    entry(
        "hill_0",
        "How many different token types does the text contain?",
        "The number of types seen in n tokens (Hill 1973, order 0).",
        "It grows with n and is not corrected for types that the text does not show: compare only at equal n. Garbled \
         text raises it.",
    ),
    entry(
        "hill_1",
        "How many equally frequent token types would have the same entropy?",
        "exp H, with H the token entropy corrected for unseen types (Hill 1973, order 1).",
        "It includes types that are inferred and not seen. Where most types occur once it can exceed the number of \
         types seen, and even n.",
    ),
    entry(
        "hill_2",
        "With how many equally frequent token types would two random tokens be the same as often?",
        "n(n − 1) / Σ c(c − 1), with c the count of a type (Hill 1973, order 2; Simpson 1949).",
        "Frequent types decide it, so it hardly shows that rare ones are lost.",
    ),
    entry(
        "zipf_exponent",
        "How steeply does frequency fall from common to rarer token types?",
        "The exponent a of p(r) ∝ r^(−a) over the ranks r of the 1000 most frequent types (of all, if there are fewer), \
         by maximum likelihood.",
        "It does not move while frequent types keep their proportions, so it can miss a tail that is cut. Where counts \
         are small it is a little too steep.",
    ),
];

const ENTROPY_OF_WORDS: &[Entry] = &[
    entry(
        "unigram_entropy_words",
        "Over how many words is the text spread?",
        "H = −Σ p ln p over words, corrected for words that the text does not show, whose share is inferred from those \
         seen once and twice (Chao, Wang and Jost 2013).",
        "Invented and garbled words raise it, while rare natural words disappear. Where many words are still unseen, it \
         is a little too small.",
    ),
    entry(
        "hill_0_words",
        "How many different words does the text contain?",
        "The number of different words among the first n words (Hill 1973, order 0). n is three quarters of \
         the words that natural text with as many tokens has.",
        "It grows with n and is not corrected for words that the text does not show: compare only at equal n. Invented \
         and garbled words raise it.",
    ),
    entry(
        "hill_1_words",
        "How many equally frequent words would have the same entropy?",
        "exp H, with H the word entropy corrected for unseen words (Hill 1973, order 1).",
        "It includes words that are inferred and not seen. Where most words occur once it can exceed the number of \
         words seen, and even n.",
    ),
    entry(
        "hill_2_words",
        "With how many equally frequent words would two random words be the same as often?",
        "n(n − 1) / Σ c(c − 1), with c the count of a word (Hill 1973, order 2; Simpson 1949).",
        "Frequent words decide it, so it hardly shows that rare ones are lost.",
    ),
    entry(
        "zipf_exponent_words",
        "How steeply does frequency fall from common to rarer words?",
        "The exponent a of p(r) ∝ r^(−a) over the ranks r of the 1000 most frequent words (of all, if there are fewer), \
         by maximum likelihood.",
        "It does not move while frequent words keep their proportions, so it can miss a tail that is cut. Where counts \
         are small it is a little too steep.",
    ),
];

const DIVERGENCE: &[Entry] = &[
    entry(
        "kl_unigram",
        "What does it cost to read natural text with the token frequencies of the synthetic text?",
        "Σ p ln(p/q′), with p natural, q synthetic and q′ = 0.99 q + 0.01 p (skew divergence, Lee 1999). It is at most \
         ln 100 = 4.61, which is what types that died out cost.",
        "Sampling alone makes it positive: compare with the control at equal n, not with 0. It also rises when text \
         shifts or widens.",
    ),
    entry(
        "js_unigram",
        "How far apart are natural and synthetic token frequencies?",
        "½ Σ p ln(p/m) + ½ Σ q ln(q/m), with p natural, q synthetic and m = (p + q)/2 (Jensen–Shannon, Lin 1991). It \
         lies between 0 and ln 2 = 0.69.",
        "Sampling alone makes it positive: compare with the control at equal n, not with 0. It also rises when text \
         shifts or widens.",
    ),
    entry(
        "tv_unigram",
        "What share of the text would have to change to have natural token frequencies?",
        "½ Σ |p − q|, with p natural and q synthetic. It lies between 0 and 1.",
        "Sampling alone makes it positive: compare with the control at equal n, not with 0. It also rises when text \
         shifts or widens.",
    ),
    entry(
        "kl_bigram",
        "What does it cost to read natural text with the synthetic frequencies of token pairs?",
        "Σ p ln(p/q′), with p natural, q synthetic and q′ = 0.99 q + 0.01 p (skew divergence, Lee 1999). Pairs that the \
         reference has at least 10 times count alone, others together with those of the same first token.",
        "Rare pairs are merged, so it is a lower bound and misses changes among them. Sampling alone makes it positive: \
         compare with the control at equal n, not with 0.",
    ),
    entry(
        "js_bigram",
        "How far apart are natural and synthetic frequencies of token pairs?",
        "½ Σ p ln(p/m) + ½ Σ q ln(q/m), with p natural, q synthetic and m = (p + q)/2 (Jensen–Shannon, Lin 1991). Pairs \
         that the reference has at least 10 times count alone, others together with those of the same first token.",
        "Rare pairs are merged, so it is a lower bound and misses changes among them. Sampling alone makes it positive: \
         compare with the control at equal n, not with 0.",
    ),
    entry(
        "tv_bigram",
        "What share of the token pairs would have to change to have natural frequencies?",
        "½ Σ |p − q|, with p natural and q synthetic. Pairs that the reference has at least 10 times count alone, others \
         together with those of the same first token.",
        "Rare pairs are merged, so it is a lower bound and misses changes among them. Sampling alone makes it positive: \
         compare with the control at equal n, not with 0.",
    ),
];

const FORM: &[Entry] = &[
    entry(
        "distinct_1",
        "What share of the tokens occurs for the first time?",
        "Distinct tokens / all tokens of the text (distinct-1, Li et al. 2016).",
        "It falls with the size of the text: compare only at equal n. Garbled text raises it.",
    ),
    entry(
        "distinct_2",
        "What share of the pairs of adjacent tokens occurs for the first time?",
        "Distinct 2-grams / all 2-grams of the text, within documents (distinct-2, Li et al. 2016).",
        "It falls with the size of the text: compare only at equal n. Garbled text raises it.",
    ),
    entry(
        "distinct_3",
        "What share of the sequences of 3 tokens occurs for the first time?",
        "Distinct 3-grams / all 3-grams of the text, within documents (distinct-3, Li et al. 2016).",
        "It falls with the size of the text: compare only at equal n. Garbled text raises it.",
    ),
    entry(
        "distinct_4",
        "What share of the sequences of 4 tokens occurs for the first time?",
        "Distinct 4-grams / all 4-grams of the text, within documents (distinct-4, Li et al. 2016).",
        "It falls with the size of the text: compare only at equal n. Most sequences of varied text occur once anyway, so \
         it may not show that rare tokens are lost.",
    ),
    entry(
        "repetition",
        "Does a document go round in circles?",
        "4-grams that occurred earlier in the same document / all 4-grams, over all documents together (seq-rep-4, \
         Welleck et al. 2020).",
        "Longer documents repeat more: compare texts whose documents are about as long. It does not see that documents \
         repeat each other.",
    ),
    entry(
        "compression_ratio",
        "How redundant is the text?",
        "Bytes of the text / bytes after compression by zstd (level 3, with long-distance matching), all documents in \
         one stream.",
        "It rises a little with the size of the text: compare at equal n. Garbled text lowers it.",
    ),
    entry(
        "novelty_4",
        "Does the model quote its natural training text?",
        "4-grams of the text that the natural training text of generation 0 lacks / all its 4-grams.",
        "A model that narrows may quote more or drift away, so neither direction is better. It depends on the size of the \
         training text.",
    ),
    entry(
        "loss_under_generation_0",
        "How probable is the text to the lineage's first model?",
        "−Σ ln p / number of tokens, with p the probability of a token of the text under the model of generation 0.",
        "A decoder that prefers probable tokens lowers it at once. Arms with another generation 0 have another yardstick.",
    ),
    entry(
        "loss_on_own_text",
        "How surprised is the model by what it has just written?",
        "−Σ ln p / number of tokens, over the first documents of the model's text, until they have as many tokens as the \
         held-out text.",
        "Alone it is neither good nor bad: a model can predict its own text better while it forgets natural text. A \
         decoder that prefers probable tokens lowers it at once.",
    ),
    entry(
        "type_token_ratio",
        "How many different words does a document use?",
        "Distinct words / 25 among the first 25 words of a document, averaged over all documents that are as long (after \
         Johnson 1944).",
        "It does not see that documents resemble each other; self-BLEU does. Shorter documents are left out.",
    ),
    entry(
        "self_bleu",
        "How much do documents resemble each other?",
        "Mean BLEU-4 of the first 25 words of documents, in at most 16 groups of 32, against the others of the group \
         (Zhu et al. 2018). BLEU-4 is exp(¼ Σ ln pₙ), where pₙ is the share of n-grams, n from 1 to 4, that another \
         document has, counted at most as often as there; 0.1 n-grams if none. Without a common word it is 0.",
        "It depends on the number of references, so it cannot be compared with published values. It sees only the \
         openings of documents.",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::Catalogue;
    use crate::measure::metrics::divergence::SKEW;
    use crate::measure::metrics::entropy::ZIPF_RANKS;
    use crate::measure::metrics::self_bleu::{GROUP, MOST_GROUPS};
    use crate::measure::openings::OPENING_WORDS;
    use crate::measure::pair_bins::OWN_BIN;
    use std::collections::BTreeSet;

    #[test]
    fn exactly_the_built_in_metrics_are_explained_and_no_two_questions_are_the_same() {
        let families = [HELD_OUT, TAIL, FACTS, ENTROPY, ENTROPY_OF_WORDS, DIVERGENCE, FORM];
        let explained: BTreeSet<&str> = families.into_iter().flatten().map(|(id, _)| *id).collect();
        let catalogue = Catalogue::builtin();
        let built_in: BTreeSet<&str> = catalogue.iter().map(|metric| &*metric.id).collect();
        assert_eq!(explained, built_in);
        let questions: BTreeSet<&str> =
            built_in.iter().filter_map(|id| explanation(id)).map(|one| one.question).collect();
        assert_eq!(questions.len(), built_in.len());
    }

    #[test]
    fn an_explanation_is_one_question_and_two_short_texts() {
        for metric in &Catalogue::builtin() {
            let Explanation { question, formula, pitfall } = explanation(&metric.id).unwrap();
            assert!(question.ends_with('?') && question.matches('?').count() == 1, "{question}");
            for text in [formula, pitfall] {
                assert!(text.ends_with('.') && text.chars().count() < 320, "{text}");
                assert!(!text.contains('\n') && !text.contains("  "), "{text}");
            }
        }
    }

    #[test]
    fn metrics_of_words_ask_about_words_and_their_counterparts_about_tokens() {
        let asks_about = |id: &str| {
            let question = explanation(id).unwrap().question;
            ["token", "word"].map(|unit| question.contains(unit))
        };
        for metric in Catalogue::builtin().iter().filter(|metric| metric.id.ends_with("_words")) {
            assert_eq!(asks_about(&metric.id), [false, true], "{}", metric.id);
            let of_tokens = metric.id.trim_end_matches("_words");
            assert_eq!(asks_about(of_tokens), [true, false], "{of_tokens}");
        }
    }

    #[test]
    fn numbers_in_formulas_are_those_of_the_code() {
        for (id, number) in [
            ("kl_unigram", format!("q′ = {} q + {SKEW} p", 1.0 - SKEW)),
            ("kl_unigram", format!("ln {} = {:.2}", 1.0 / SKEW, -SKEW.ln())),
            ("kl_bigram", format!("at least {OWN_BIN} times")),
            ("zipf_exponent", format!("the {ZIPF_RANKS} most frequent")),
            ("type_token_ratio", format!("/ {OPENING_WORDS} among the first {OPENING_WORDS} words")),
            ("self_bleu", format!("of the first {OPENING_WORDS} words")),
            ("self_bleu", format!("at most {MOST_GROUPS} groups of {GROUP}")),
        ] {
            let formula = explanation(id).unwrap().formula;
            assert!(formula.contains(&number), "{formula} lacks {number}");
        }
    }
}
