//! *Detector*: is a document natural, or did the model write it?
//!
//! Logistic regression on which n-grams of up to 3 tokens a document holds, hashed into 2¹⁸ places (Weinberger et al.
//! 2009) and scaled to Euclidean length 1. It learns from as many natural documents as synthetic ones, dealt into three
//! parts: three fifths train the weights, a fifth calibrates the odds (`calibration.rs`), a fifth tells the accuracy. So
//! no document is asked twice, and the documents that are judged later were in none of the parts.
//!
//! With as many of either kind, calibrated odds are the ratio of densities that importance resampling asks for. It is a
//! ratio in what the detector sees: n-grams of 3 tokens, and nothing of how they follow each other.
//!
//! **Pitfall.** Whatever tells the two apart counts, be it nothing to do with collapse. Natural documents must be cut
//! where the model's are.

mod calibration;
mod features;

use crate::documents::{Documents, TokenId};
use crate::seed::Stream;
use calibration::Calibration;
use features::{Features, PLACES};
use rand::seq::SliceRandom;
use serde::{Deserialize, Serialize};

/// The fewest documents of either kind.
pub const FEWEST: usize = 50;
/// The most documents of either kind that it learns from.
pub const MOST: usize = 4096;

/// Documents are dealt in turn to five hands: the first three train, the next calibrates, the last one assesses.
const HANDS: usize = 5;
const CALIBRATES: usize = 3;
const ASSESSES: usize = 4;

const EPOCHS: usize = 10;
const LEARNING_RATE: f64 = 0.1;

/// Tells natural documents from synthetic ones.
pub struct Detector {
    weights: Vec<f64>,
    calibration: Calibration,
}

/// How well a detector does.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct DetectorRecord {
    /// Documents of either kind that it learnt from, was calibrated on and assessed on.
    pub documents: u64,
    /// Share of the documents kept aside that it names rightly. One half is chance.
    pub accuracy: f64,
}

impl Detector {
    /// Learns from equally many documents of both kinds, at least [`FEWEST`]; what either has more is left aside. `rng`
    /// orders them.
    #[must_use]
    pub fn learn(natural: &Documents, synthetic: &Documents, rng: &mut Stream) -> (Self, DetectorRecord) {
        let documents = natural.len().min(synthetic.len());
        let mut hands = [const { Vec::new() }; HANDS];
        for (index, (natural, synthetic)) in natural.iter().zip(synthetic.iter()).enumerate() {
            hands[index % HANDS].push(Example { features: Features::of(natural), is_natural: true });
            hands[index % HANDS].push(Example { features: Features::of(synthetic), is_natural: false });
        }
        let mut training: Vec<&Example> = hands[..CALIBRATES].iter().flatten().collect();
        let weights = fit(&mut training, rng);
        let scored = |hand: &[Example]| -> Vec<(f64, bool)> {
            hand.iter().map(|example| (example.features.score(&weights), example.is_natural)).collect()
        };
        let calibration = Calibration::fit(&scored(&hands[CALIBRATES]));
        let assessed = scored(&hands[ASSESSES]);
        let right =
            assessed.iter().map(|&(score, is_natural)| credit(calibration.log_odds(score), is_natural));
        let accuracy = right.sum::<f64>() / assessed.len() as f64;
        (Self { weights, calibration }, DetectorRecord { documents: documents as u64, accuracy })
    }

    /// Those of `documents` that tell the accuracy, where the detector learns from `documents`.
    pub(super) fn assessing(documents: &Documents) -> impl Iterator<Item = &[TokenId]> {
        documents.iter().skip(ASSESSES).step_by(HANDS)
    }

    /// The natural logarithm of the odds that a document is natural, between as many of either kind.
    #[must_use]
    pub fn log_odds(&self, document: &[TokenId]) -> f64 {
        self.calibration.log_odds(Features::of(document).score(&self.weights))
    }
}

struct Example {
    features: Features,
    is_natural: bool,
}

/// 1 for a right answer, one half for none.
fn credit(log_odds: f64, is_natural: bool) -> f64 {
    if log_odds == 0.0 { 0.5 } else { f64::from(u8::from((log_odds > 0.0) == is_natural)) }
}

/// The weights that AdaGrad (Duchi et al. 2011) reaches on the log-loss, one example at a time, in an order drawn anew
/// for every pass. Nothing holds the weights back: the calibration takes the confidence out that they do not deserve.
fn fit(examples: &mut [&Example], rng: &mut Stream) -> Vec<f64> {
    let mut weights = vec![0.0_f64; PLACES];
    let mut squares = vec![0.0_f64; PLACES];
    for _ in 0..EPOCHS {
        examples.shuffle(rng);
        for example in examples.iter() {
            let label = if example.is_natural { 1.0 } else { 0.0 };
            let value = example.features.value();
            let gradient = (logistic(example.features.score(&weights)) - label) * value;
            for place in example.features.places() {
                squares[place] += gradient * gradient;
                if gradient != 0.0 {
                    weights[place] -= LEARNING_RATE * gradient / squares[place].sqrt();
                }
            }
        }
    }
    weights
}

/// The probability of these odds, given by their natural logarithm.
fn logistic(log_odds: f64) -> f64 {
    1.0 / (1.0 + (-log_odds).exp())
}

#[cfg(test)]
mod tests;
