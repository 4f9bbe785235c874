//! Checks of every metric, on texts for which its value is known in advance.
//!
//! Most values follow from counting: the texts are constructed so that every type occurs a known number of times, and the
//! seed only shuffles them. The tolerance is rounding: 10⁻⁹, or 10⁻⁶ where model scores are stored as f32. Where the
//! value remains random, the check is either the z-score of a mean over many texts, if the estimator is unbiased, or a
//! tolerance given with the check.
//!
//! | text | known metrics |
//! |---|---|
//! | `LayeredText`: head, torso and tail types in known numbers, part of the tail removed | tail, held-out loss by class, recall |
//! | a natural text compared with itself; with a text of other types; with equal parts of both | divergences: 0; JS ln 2, total variation 1, KL ln 100; values in between |
//! | copies of one document that repeats a cycle of tokens | distinct n-grams, repetition, novelty, type–token ratio |
//! | documents with the same beginning and words of their own after it | self-BLEU, type–token ratio |
//! | uniform draws of k types | entropy ln k, Hill numbers k |
//! | Zipf counts | the exponent |
//! | random letters, and a single letter | compression |
//!
//! A test checks that every metric of the catalogue is covered. [`crate::verify`] has an example.

mod texts;

use texts::{LayeredText, draws, shuffled, texts_of, uniform_scores, weighted};

use super::{CheckGroup, Evidence, Finding, Thoroughness, VerifyError, VerifySettings, format_number};
use crate::documents::{Documents, TokenId};
use crate::drift::DriftRow;
use crate::measure::{FactAnswer, FourGrams, Inputs, Measurement, Metrics, Reference, measure};
use crate::model::Scores;
use crate::rarity::Rarity;
use crate::seed::{Stream, StreamKey, streams};
use crate::stage::Stage;
use crate::units::NatsPerToken;
use rand::Rng;
use rand::seq::SliceRandom;
use std::f64::consts::LN_2;

/// Tolerance of values computed in f64.
const ROUNDING: f64 = 1e-9;

/// Tolerance of values computed from model scores, which are f32.
const SCORE_ROUNDING: f64 = 1e-6;

/// Makes every check of this group.
///
/// # Errors
/// If a text cannot be measured.
pub fn findings(settings: &VerifySettings, stage: &Stage) -> Result<Vec<Finding>, VerifyError> {
    let checks = MetricChecks { settings, stage };
    let mut all = checks.layers()?;
    all.extend(checks.divergences()?);
    all.extend(checks.cycles()?);
    all.extend(checks.openings()?);
    all.extend(checks.uniform()?);
    all.extend(checks.pairs()?);
    all.extend(checks.zipf()?);
    all.extend(checks.natural_tail()?);
    all.extend(checks.compression()?);
    Ok(all)
}

/// The checks of this group, for given settings.
struct MetricChecks<'a> {
    settings: &'a VerifySettings,
    stage: &'a Stage<'a>,
}

/// Inputs of a measurement that replace the defaults. The defaults are the natural text as held-out text, a uniform
/// model and no facts.
#[derive(Clone, Copy, Default)]
struct Extras<'a> {
    heldout: Option<&'a Documents>,
    scores: Option<&'a Scores>,
    scores_0: Option<&'a Scores>,
    own_text_scores: Option<&'a Scores>,
    training: Option<&'a FourGrams>,
    floor: Option<NatsPerToken>,
    facts: &'a [FactAnswer],
    texts: Option<&'a [String]>,
}

/// The measurements of one text.
struct Measured(Vec<Measurement>);

impl Measured {
    /// The value of metric `id`; NaN, which fails every check, if it was not measured.
    fn value(&self, id: &str) -> f64 {
        self.0.iter().find(|measurement| measurement.metric == id).map_or(f64::NAN, |found| found.value)
    }

    fn check(&self, id: &str, text: &str, expected: f64, tolerance: f64) -> Finding {
        Finding::number(CheckGroup::Metrics, format!("{id}: {text}"), self.value(id), expected, tolerance)
    }
}

impl MetricChecks<'_> {
    fn stream(&self, item: u64) -> Stream {
        StreamKey::new(self.settings.seed, "", 0, streams::VERIFY_METRICS).stream(item)
    }

    /// Number of random texts that a mean is taken over.
    fn repeats(&self) -> u64 {
        match self.settings.thoroughness {
            Thoroughness::Quick => 200,
            Thoroughness::Full => 2_000,
        }
    }

    fn measure(
        &self,
        natural: &Documents,
        synthetic: &Documents,
        extras: Extras,
    ) -> Result<Measured, VerifyError> {
        let heldout = extras.heldout.unwrap_or(natural);
        let reference = Reference::new(natural, &texts_of(natural), heldout, &texts_of(heldout))?;
        self.measure_against(&reference, heldout, synthetic, extras)
    }

    fn measure_against(
        &self,
        reference: &Reference,
        heldout: &Documents,
        synthetic: &Documents,
        extras: Extras,
    ) -> Result<Measured, VerifyError> {
        let plain = uniform_scores(heldout, 4.0);
        let texts = texts_of(synthetic);
        let inputs = Inputs {
            reference,
            synthetic,
            synthetic_texts: extras.texts.unwrap_or(&texts),
            heldout_scores: extras.scores.unwrap_or(&plain),
            synthetic_scores_0: extras.scores_0,
            own_text_scores: extras.own_text_scores,
            natural_training: extras.training,
            heldout_floor: extras.floor,
            facts: extras.facts,
        };
        Ok(Measured(measure(&inputs, &Metrics::builtin(), self.stage)?.measurements))
    }

    /// Held-out loss, tail and recall, on [`LayeredText`].
    fn layers(&self) -> Result<Vec<Finding>, VerifyError> {
        let natural = LayeredText::natural(&mut self.stream(1));
        let cut = LayeredText::with_tail(4, &mut self.stream(2));
        let scores = LayeredText::scores(&natural);
        let eight_answers = |(class, right): (Rarity, usize)| {
            (0..8).map(move |fact| FactAnswer { popularity: class, recalled: fact < right })
        };
        let facts: Vec<FactAnswer> = Rarity::ALL.into_iter().zip([8, 6, 1]).flat_map(eight_answers).collect();
        let floor = Some(NatsPerToken(0.5));
        let extras = Extras { scores: Some(&scores), facts: &facts, floor, ..Extras::default() };
        let found = self.measure(&natural, &cut, extras)?;
        // Nine tenths of the tokens cost one bit, 9 % three, 1 % six; every token is five bytes of text.
        let bits = 0.9 + 0.09 * 3.0 + 0.01 * 6.0;
        let model = "a model that gives each head token 1/2, each torso token 1/8 and each tail token 1/64";
        let tail = "4 of 10 tail types written, once each";
        Ok(vec![
            found.check("heldout_loss", model, bits * LN_2, SCORE_ROUNDING),
            found.check("heldout_loss_head", model, LN_2, SCORE_ROUNDING),
            found.check("heldout_loss_torso", model, 3.0 * LN_2, SCORE_ROUNDING),
            found.check("heldout_loss_tail", model, 6.0 * LN_2, SCORE_ROUNDING),
            found.check("bits_per_byte", model, bits / 5.0, SCORE_ROUNDING),
            found.check(
                "excess_loss",
                "the same model, relative to a floor of 1/2 nat",
                bits * LN_2 - 0.5,
                SCORE_ROUNDING,
            ),
            found.check(
                "writer_disagreement",
                "two writers that give every other token 1/2 and 1/8, and agree on the rest",
                0.5 * 1.25_f64.ln(),
                SCORE_ROUNDING,
            ),
            found.check("predictive_entropy", "entropies of 1 and 2 nats in turn", 1.5, SCORE_ROUNDING),
            found.check("tail_mass", tail, 0.4, ROUNDING),
            found.check("tail_coverage", tail, 0.4, ROUNDING),
            found.check("tail_mass_words", tail, 0.4, ROUNDING),
            // The word metrics use only the first three quarters of the words (the word budget). These contain all four
            // tail types; in that many words, natural text would contain 7½ of the ten on average.
            found.check("tail_coverage_words", tail, 4.0 / 7.5, ROUNDING),
            found.check("fact_recall_head", "8 of 8 answers", 1.0, ROUNDING),
            found.check("fact_recall_torso", "6 of 8 answers", 0.75, ROUNDING),
            found.check("fact_recall_tail", "1 of 8 answers", 0.125, ROUNDING),
        ])
    }

    fn divergences(&self) -> Result<Vec<Finding>, VerifyError> {
        let natural =
            shuffled(&(1..=50).flat_map(|id| [id; 40]).collect::<Vec<_>>(), 10, &mut self.stream(3));
        let moved = |document: &[TokenId]| document.iter().map(|id| id + 50).collect::<Vec<_>>();
        let disjoint: Vec<Vec<TokenId>> = natural.iter().map(moved).collect();
        let own: Vec<Vec<TokenId>> = natural.iter().map(<[TokenId]>::to_vec).collect();
        let half: Documents = own.iter().chain(&disjoint).map(Vec::as_slice).collect();
        let disjoint: Documents = disjoint.iter().map(Vec::as_slice).collect();
        let js_of_half = 0.5 * ((4.0_f64 / 3.0).ln() + 0.5 * (2.0_f64 / 3.0).ln() + 0.5 * LN_2);
        // KL is the divergence of the natural text from a mixture of 99 % synthetic and 1 % natural text, so it is at
        // most ln 100.
        let cases = [
            ("the reference itself", &natural, [0.0, 0.0, 0.0]),
            ("unseen types only", &disjoint, [100.0_f64.ln(), LN_2, 1.0]),
            ("half of the types unseen", &half, [-(0.99_f64 * 0.5 + 0.01).ln(), js_of_half, 0.5]),
        ];
        let mut all = Vec::new();
        for (text, synthetic, values) in cases {
            let found = self.measure(&natural, synthetic, Extras::default())?;
            for of in ["unigram", "bigram"] {
                for (kind, value) in ["kl", "js", "tv"].into_iter().zip(values) {
                    all.push(found.check(&format!("{kind}_{of}"), text, value, ROUNDING));
                }
            }
        }
        Ok(all)
    }

    /// 100 documents, each of which repeats the same cycle of 8 tokens four times.
    fn cycles(&self) -> Result<Vec<Finding>, VerifyError> {
        const CYCLE: usize = 8;
        const LENGTH: usize = 32;
        const COPIES: usize = 100;
        let mut cycle: Vec<TokenId> = (1..=CYCLE as TokenId).collect();
        cycle.shuffle(&mut self.stream(4));
        let document: Vec<TokenId> = cycle.iter().copied().cycle().take(LENGTH).collect();
        let text: Documents = vec![document.as_slice(); COPIES].into_iter().collect();
        // A model of generation 0 that gives every token probability 1/8.
        let scores_0 = uniform_scores(&text, 8.0);
        let own = FourGrams::new(&text);
        // The generation's own model scores half of the text, and gives every token probability 1/16.
        let half: Documents = text.iter().take(COPIES / 2).collect();
        let own_text_scores = Some(&uniform_scores(&half, 16.0));
        let extras =
            Extras { training: Some(&own), scores_0: Some(&scores_0), own_text_scores, ..Extras::default() };
        let found = self.measure(&text, &text, extras)?;
        let mut all = Vec::new();
        for n in 1..=4 {
            let share = CYCLE as f64 / (COPIES * (LENGTH + 1 - n)) as f64;
            all.push(found.check(
                &format!("distinct_{n}"),
                "100 documents with the same cycle",
                share,
                ROUNDING,
            ));
        }
        let repeated = (LENGTH - 3 - CYCLE) as f64 / (LENGTH - 3) as f64;
        all.push(found.check(
            "repetition",
            "documents that repeat a cycle four times",
            repeated,
            SCORE_ROUNDING,
        ));
        all.push(found.check("novelty_4", "the training text itself", 0.0, ROUNDING));
        let id = "loss_under_generation_0";
        all.push(found.check(id, "a generation-0 model with p = 1/8", 8.0_f64.ln(), SCORE_ROUNDING));
        let own_loss = "a model of its own with p = 1/16, on half of the text";
        all.push(found.check("loss_on_own_text", own_loss, 16.0_f64.ln(), SCORE_ROUNDING));
        // Openings are the first 25 words.
        all.push(found.check("type_token_ratio", "a cycle of 8 words", 8.0 / 25.0, ROUNDING));
        all.push(found.check("self_bleu", "copies of a document", 1.0, ROUNDING));
        let other: Documents = [[900; LENGTH].as_slice()].into_iter().collect();
        let other = FourGrams::new(&other);
        let found = self.measure(&text, &text, Extras { training: Some(&other), ..Extras::default() })?;
        all.push(found.check("novelty_4", "a training text of other types", 1.0, ROUNDING));
        Ok(all)
    }

    /// 70 documents of 30 words. The first `SAME` words are the same in all of them, and no other word occurs twice. So of
    /// the 26 − n n-grams of an opening `SAME` + 1 − n occur in another document.
    fn openings(&self) -> Result<Vec<Finding>, VerifyError> {
        const SAME: usize = 13;
        let own = |document: u32| (0..30 - SAME as u32).map(move |index| 1_000 + 30 * document + index);
        let written: Vec<Vec<TokenId>> =
            (0..70).map(|document| (1..=SAME as TokenId).chain(own(document)).collect()).collect();
        let text: Documents = written.iter().map(Vec::as_slice).collect();
        let found = self.measure(&text, &text, Extras::default())?;
        let bleu: f64 = (1..=4).map(|n| (SAME + 1 - n) as f64 / (26 - n) as f64).product();
        let name = "documents that begin with the same 13 words";
        Ok(vec![
            found.check("self_bleu", name, bleu.powf(0.25), ROUNDING),
            found.check("type_token_ratio", name, 1.0, ROUNDING),
        ])
    }

    /// Lets `write` make one natural text and several others ([`repeats`](Self::repeats) of them), and measures each of
    /// the others against the natural one. `sizes` are the tokens of the natural text and of each other text.
    fn measure_repeatedly(
        &self,
        stream: u64,
        sizes: (usize, usize),
        write: impl Fn(usize, &mut Stream) -> Documents,
    ) -> Result<Vec<Measured>, VerifyError> {
        let random = &mut self.stream(stream);
        let natural = write(sizes.0, random);
        let reference = Reference::new(&natural, &texts_of(&natural), &natural, &texts_of(&natural))?;
        let mut texts = Vec::new();
        for _ in 0..self.repeats() {
            let text = write(sizes.1, random);
            texts.push(self.measure_against(&reference, &natural, &text, Extras::default())?);
        }
        Ok(texts)
    }

    /// k = 100 types, 4000 draws: no type is missed or occurs only once, so the entropy estimate is unbiased.
    fn uniform(&self) -> Result<Vec<Finding>, VerifyError> {
        const TYPES: usize = 100;
        let texts =
            self.measure_repeatedly(5, (4_000, 4_000), |tokens, random| draws(tokens, TYPES, 10, random))?;
        let k = TYPES as f64;
        let text = "100 types, uniform";
        let mut all = Vec::new();
        for suffix in ["", "_words"] {
            let entropy = format!("unigram_entropy{suffix}");
            all.push(mean(&entropy, text, &texts, k.ln(), |found| found));
            all.push(texts[0].check(&format!("hill_0{suffix}"), text, k, ROUNDING));
            // Hill numbers are convex functions of unbiased estimates; linearised here, they are unbiased too.
            all.push(mean(&format!("hill_1{suffix}"), text, &texts, k, |found| k * (1.0 + (found / k).ln())));
            all.push(mean(&format!("hill_2{suffix}"), text, &texts, k, |found| k * (2.0 - k / found)));
        }
        Ok(all)
    }

    /// Documents of two tokens, so that the 8000 pairs are independent draws of 400 different ones.
    fn pairs(&self) -> Result<Vec<Finding>, VerifyError> {
        const TYPES: usize = 20;
        let texts =
            self.measure_repeatedly(6, (2_000, 16_000), |tokens, random| draws(tokens, TYPES, 2, random))?;
        let truth = 2.0 * (TYPES as f64).ln();
        Ok(vec![mean("bigram_entropy", "20 types, pairs at random", &texts, truth, |found| found)])
    }

    /// Counts of r^−1.1, rounded. The word metrics use a random three quarters of the words (the word budget).
    fn zipf(&self) -> Result<Vec<Finding>, VerifyError> {
        let count = |rank: u32| (20_000.0 * f64::from(rank).powf(-1.1)).round() as usize;
        let tokens: Vec<TokenId> = (1..=300).flat_map(|rank| vec![rank; count(rank)]).collect();
        let text = shuffled(&tokens, 10, &mut self.stream(7));
        let found = self.measure(&text, &text, Extras::default())?;
        let name = "300 types with counts of r^−1.1";
        let flat = shuffled(&(1..=100).flat_map(|id| [id; 40]).collect::<Vec<_>>(), 10, &mut self.stream(8));
        let even = self.measure(&flat, &flat, Extras::default())?;
        Ok(vec![
            found.check("zipf_exponent", name, 1.1, 0.002),
            found.check("zipf_exponent_words", name, 1.1, 0.02),
            even.check("zipf_exponent", "100 types, 40 of each", 0.0, 1e-6),
        ])
    }

    /// New natural text covers the natural tail as expected, so its tail coverage is 1 on average. The mean over all
    /// texts has a standard error of about 0.01. It is biased upwards a little, because the denominator of the coverage
    /// is an estimate.
    fn natural_tail(&self) -> Result<Vec<Finding>, VerifyError> {
        let random = &mut self.stream(9);
        let weights = (1..=2000).map(|rank| 1.0 / f64::from(rank));
        let sums: Vec<f64> = weights
            .scan(0.0, |sum, weight| {
                *sum += weight;
                Some(*sum)
            })
            .collect();
        let mut texts = Vec::new();
        for _ in 0..self.repeats() / 2 {
            let (natural, text) = (weighted(40_000, &sums, 20, random), weighted(20_000, &sums, 20, random));
            texts.push(self.measure(&natural, &text, Extras::default())?);
        }
        let mut all = Vec::new();
        for id in ["tail_coverage", "tail_coverage_words"] {
            let mean = texts.iter().map(|text| text.value(id)).sum::<f64>() / texts.len() as f64;
            let name = format!("{id}: fresh natural text, mean of {}", texts.len());
            all.push(Finding::number(CheckGroup::Metrics, name, mean, 1.0, 0.04));
        }
        Ok(all)
    }

    /// Letters drawn at random from sixteen have four bits each: no compressor does better, and a good one comes close.
    fn compression(&self) -> Result<Vec<Finding>, VerifyError> {
        let random = &mut self.stream(10);
        let tokens = draws(64, 10, 2, random);
        let letter = |draw: u8| char::from(b'a' + draw % 16);
        let noise: Vec<String> =
            (0..32).map(|_| (0..4_000).map(|_| letter(random.random())).collect()).collect();
        let found = self.measure(&tokens, &tokens, Extras { texts: Some(&noise), ..Extras::default() })?;
        let single_letter = vec!["a".repeat(4_000); 32];
        let repetitive =
            self.measure(&tokens, &tokens, Extras { texts: Some(&single_letter), ..Extras::default() })?;
        let ratio = repetitive.value("compression_ratio");
        Ok(vec![
            found.check("compression_ratio", "sixteen letters at random", 2.0, 0.1),
            Finding {
                group: CheckGroup::Metrics,
                name: "compression_ratio: one letter only".to_owned(),
                found: format_number(ratio),
                expected: "above 1000".to_owned(),
                evidence: Evidence::Decided(ratio > 1000.0),
            },
        ])
    }
}

/// Checks the mean of a metric over many texts. Each value is first transformed by `unbiased`, so that its
/// expectation is `truth`.
fn mean(id: &str, text: &str, texts: &[Measured], truth: f64, unbiased: impl Fn(f64) -> f64) -> Finding {
    let values: Vec<f64> = texts.iter().map(|text| unbiased(text.value(id))).collect();
    let row = DriftRow::new(0, "mean", &values, Some(truth));
    Finding {
        group: CheckGroup::Metrics,
        name: format!("{id}: {text}, mean of {}", texts.len()),
        found: format_number(row.mean),
        expected: format_number(truth),
        evidence: Evidence::Scores(row.z.into_iter().collect()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::Catalogue;
    use crate::progress::Silent;
    use std::sync::atomic::AtomicBool;

    #[test]
    fn every_metric_of_the_catalogue_is_checked() {
        let interrupt = AtomicBool::new(false);
        let stage = Stage::new(StreamKey::new(1, "", 0, "verify"), &Silent, &interrupt);
        let settings = VerifySettings { seed: 1, thoroughness: Thoroughness::Quick, fault: None };
        let found = findings(&settings, &stage).unwrap();
        for metric in &Catalogue::builtin() {
            let start = format!("{}: ", metric.id);
            assert!(found.iter().any(|finding| finding.name.starts_with(&start)), "{}", metric.id);
        }
        let failed: Vec<_> = super::super::judge(found).into_iter().filter(|check| !check.passed).collect();
        assert!(failed.is_empty(), "{failed:#?}");
    }
}
