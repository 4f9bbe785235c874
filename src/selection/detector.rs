//! *Detector*: is a document natural, or did the model write it?
//!
//! The detector is a logistic regression. Its features are the set of n-grams of up to 3 tokens in a document, hashed
//! into 2¹⁸ buckets (Weinberger et al. 2009) and scaled to Euclidean length 1. The sample has equally many natural and
//! synthetic documents and is partitioned into five folds: three train the weights, one calibrates the odds
//! (`calibration.rs`), and one measures the accuracy. None of the documents that are judged later is in the sample.
//!
//! Because both kinds are equally frequent, calibrated odds are the ratio of densities that importance resampling
//! needs, as far as the features can represent it. The features tell which n-grams of up to 3 tokens occur, but neither
//! where nor how often.
//!
//! **Pitfall.** The detector uses every difference between the two kinds, including those that have nothing to do with
//! collapse, such as length. Natural documents must therefore be cut in the same way as those of the model.

mod calibration;
mod features;

use crate::documents::{Documents, TokenId};
use crate::seed::Stream;
use calibration::Calibration;
use features::{BUCKETS, Features};
use rand::seq::SliceRandom;
use serde::{Deserialize, Serialize};

/// Number of documents of each kind in the smallest sample that a detector is trained on.
pub const FEWEST_DOCUMENTS: usize = 50;
/// Number of documents of each kind in the largest sample that a detector is trained on.
pub const MOST_DOCUMENTS: usize = 4096;

/// Documents are assigned to the folds in turn. The folds before `CALIBRATION_FOLD` train the weights.
const FOLDS: usize = 5;
const CALIBRATION_FOLD: usize = 3;
const TEST_FOLD: usize = 4;

const EPOCHS: usize = 10;
const LEARNING_RATE: f64 = 0.1;

/// Distinguishes natural documents from synthetic ones.
pub struct Detector {
    weights: Vec<f64>,
    calibration: Calibration,
}

/// Sample size and accuracy of a detector.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct DetectorRecord {
    /// Number of documents of each kind, in all folds together.
    pub documents: u64,
    /// Share of the documents of the test fold that are classified correctly; 0.5 by chance.
    pub accuracy: f64,
}

impl Detector {
    /// Trains, calibrates and tests a detector on equally many documents of both kinds, at least [`FEWEST_DOCUMENTS`] of each. If
    /// there are more of one kind, the rest are ignored. `rng` shuffles the training examples.
    #[must_use]
    pub fn learn(natural: &Documents, synthetic: &Documents, rng: &mut Stream) -> (Self, DetectorRecord) {
        let documents = natural.len().min(synthetic.len());
        let mut folds = [const { Vec::new() }; FOLDS];
        for (index, (natural, synthetic)) in natural.iter().zip(synthetic.iter()).enumerate() {
            folds[index % FOLDS].push(Example { features: Features::of(natural), is_natural: true });
            folds[index % FOLDS].push(Example { features: Features::of(synthetic), is_natural: false });
        }
        let mut training: Vec<&Example> = folds[..CALIBRATION_FOLD].iter().flatten().collect();
        let weights = fit(&mut training, rng);
        let scored = |fold: &[Example]| -> Vec<(f64, bool)> {
            fold.iter().map(|example| (example.features.score(&weights), example.is_natural)).collect()
        };
        let calibration = Calibration::fit(&scored(&folds[CALIBRATION_FOLD]));
        let tested = scored(&folds[TEST_FOLD]);
        let correct =
            tested.iter().map(|&(score, is_natural)| credit(calibration.log_odds(score), is_natural));
        let accuracy = correct.sum::<f64>() / tested.len() as f64;
        (Self { weights, calibration }, DetectorRecord { documents: documents as u64, accuracy })
    }

    /// The test fold of `documents`, which are all of one kind.
    pub(super) fn test_fold(documents: &Documents) -> impl Iterator<Item = &[TokenId]> {
        documents.iter().skip(TEST_FOLD).step_by(FOLDS)
    }

    /// The natural logarithm of the odds that a document is natural, if both kinds are equally frequent.
    #[must_use]
    pub fn log_odds(&self, document: &[TokenId]) -> f64 {
        self.calibration.log_odds(Features::of(document).score(&self.weights))
    }
}

struct Example {
    features: Features,
    is_natural: bool,
}

/// 1 for a correct classification, 0 for a wrong one, one half at even odds.
fn credit(log_odds: f64, is_natural: bool) -> f64 {
    if log_odds == 0.0 { 0.5 } else { f64::from(u8::from((log_odds > 0.0) == is_natural)) }
}

/// Minimizes the log-loss by AdaGrad (Duchi et al. 2011), one example at a time, in an order shuffled in every epoch.
/// The weights are not regularized, because the calibration corrects overconfidence.
fn fit(examples: &mut [&Example], rng: &mut Stream) -> Vec<f64> {
    let mut weights = vec![0.0_f64; BUCKETS];
    let mut squares = vec![0.0_f64; BUCKETS];
    for _ in 0..EPOCHS {
        examples.shuffle(rng);
        for example in examples.iter() {
            let label = if example.is_natural { 1.0 } else { 0.0 };
            let value = example.features.value();
            let gradient = (logistic(example.features.score(&weights)) - label) * value;
            for bucket in example.features.buckets() {
                squares[bucket] += gradient * gradient;
                if gradient != 0.0 {
                    weights[bucket] -= LEARNING_RATE * gradient / squares[bucket].sqrt();
                }
            }
        }
    }
    weights
}

/// The probability with these natural log-odds.
fn logistic(log_odds: f64) -> f64 {
    1.0 / (1.0 + (-log_odds).exp())
}

#[cfg(test)]
mod tests;
