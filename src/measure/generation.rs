//! The generation that is measured, counted once for all metrics.

use super::counts::{Incidence, TypeCounts};
use super::grams::Grams;
use super::{FactAnswer, FourGrams, MeasureError, Reference, same_size, words};
use crate::documents::Documents;
use crate::model::Scores;
use crate::units::NatsPerToken;

/// Everything that is known about the generation to measure.
#[derive(Clone, Copy, Debug)]
pub struct Inputs<'a> {
    /// Natural text.
    pub reference: &'a Reference,
    /// The text that the generation wrote, cut to n tokens.
    pub synthetic: &'a Documents,
    /// The same text decoded, one string per document.
    pub synthetic_texts: &'a [String],
    /// Scores of the held-out text by the generation's model, for every token in the order of [`Documents::flat`].
    pub heldout_scores: &'a Scores,
    /// Scores of the synthetic text by the lineage's first model.
    pub synthetic_scores_0: Option<&'a Scores>,
    /// Scores of the first documents of the synthetic text ([`own_text_sample`](super::own_text_sample)) by the
    /// generation's model.
    pub own_text_scores: Option<&'a Scores>,
    /// The natural text that the lineage trains on.
    pub natural_training: Option<&'a FourGrams>,
    /// Loss on the held-out text of a model that knows the true distribution; None if the distribution is unknown.
    pub heldout_floor: Option<NatsPerToken>,
    /// The result of [`recall`](super::recall); empty where there are no facts.
    pub facts: &'a [FactAnswer],
}

impl Inputs<'_> {
    fn check(&self) -> Result<(), MeasureError> {
        let heldout_tokens = self.reference.heldout_rarity.len();
        let scores = self.heldout_scores;
        same_size("held-out scores", scores.log_probabilities.len(), "held-out tokens", heldout_tokens)?;
        same_size("held-out entropies", scores.entropies.len(), "held-out tokens", heldout_tokens)?;
        let disagreements = scores.disagreements.len();
        let expected = if disagreements == 0 { 0 } else { heldout_tokens };
        same_size("disagreements", disagreements, "held-out tokens", expected)?;
        let texts = self.synthetic_texts.len();
        same_size("synthetic texts", texts, "synthetic documents", self.synthetic.len())?;
        let tokens = self.synthetic.flat().len();
        let scored = self.synthetic_scores_0.map_or(tokens, |scores| scores.log_probabilities.len());
        same_size("synthetic scores", scored, "synthetic tokens", tokens)?;
        self.check_own_text()
    }

    /// Checks that whole documents were scored.
    fn check_own_text(&self) -> Result<(), MeasureError> {
        let Some(scores) = self.own_text_scores else { return Ok(()) };
        let scored = scores.log_probabilities.len();
        let ends = self.synthetic.ends();
        let end = ends.iter().map(|&end| end as usize).take_while(|&end| end <= scored).last().unwrap_or(0);
        same_size("scores of own text", scored, "tokens of its first documents", end)
    }
}

/// A generation, with the counts of its text that several metrics share.
pub struct CountedGeneration<'a> {
    inputs: Inputs<'a>,
    tokens: TypeCounts,
    words: TypeCounts,
    token_pairs: TypeCounts,
    /// The number of documents with each token type.
    pub(super) token_documents: Incidence,
    /// The number of documents with each word type.
    pub(super) word_documents: Incidence,
    /// The id of each word, up to the word budget, in the order of the text.
    pub(super) word_ids: Vec<u32>,
    pub(super) pairs: Grams,
    /// Why no words are counted; None if words are counted.
    why_no_words: Option<String>,
}

impl<'a> CountedGeneration<'a> {
    pub(super) fn new(inputs: Inputs<'a>) -> Result<Self, MeasureError> {
        inputs.check()?;
        let Inputs { reference, synthetic, synthetic_texts, .. } = inputs;
        let budget =
            words::budget(synthetic.tokens(), reference.reference_tokens, reference.word_documents.tokens());
        let mut words = reference.vocabulary.read(synthetic_texts).prefix(budget);
        let why_no_words = words::why_not_counted(words.tokens(), budget);
        if why_no_words.is_some() {
            words = Documents::new();
        }
        let pairs = Grams::unigrams(synthetic).longer(synthetic);
        let (token_types, word_types) = (reference.tokens.counts.len(), reference.words.counts.len());
        Ok(Self {
            inputs,
            tokens: TypeCounts::new(synthetic.flat(), token_types, synthetic.len()),
            words: TypeCounts::new(words.flat(), word_types, words.len()),
            token_pairs: pairs.counts(),
            token_documents: Incidence::new(synthetic, token_types),
            word_documents: Incidence::new(&words, word_types),
            word_ids: words.flat().to_vec(),
            pairs,
            why_no_words,
        })
    }

    /// Why the metric `id` is undefined. For a metric of words (`…_words`), the reason is that there are too few words,
    /// if that is so. In every other case, the reason is `otherwise`.
    pub(super) fn why_undefined(&self, id: &str, otherwise: &str) -> Option<String> {
        let of_words = self.why_no_words.clone().filter(|_| id.ends_with("_words"));
        Some(of_words.unwrap_or_else(|| otherwise.to_owned()))
    }

    /// The inputs that were passed to [`measure`](super::measure).
    #[must_use]
    pub fn inputs(&self) -> &Inputs<'a> {
        &self.inputs
    }

    /// Counts of the tokens of the synthetic text, by token id.
    #[must_use]
    pub fn tokens(&self) -> &TypeCounts {
        &self.tokens
    }

    /// Counts of the words of the synthetic text, up to the word budget: three quarters of the number of words that
    /// reference text with the same number of tokens contains. A word of the reference text has the same id in all
    /// generations; other words do not.
    #[must_use]
    pub fn words(&self) -> &TypeCounts {
        &self.words
    }

    /// Counts of the pairs of adjacent tokens within documents. Pairs are numbered separately for each generation.
    #[must_use]
    pub fn token_pairs(&self) -> &TypeCounts {
        &self.token_pairs
    }
}
