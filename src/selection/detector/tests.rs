//! The detector on texts drawn from known distributions.

use super::*;
use crate::seed::StreamKey;
use rand::Rng;

const TYPES: usize = 200;

fn stream(item: u64) -> Stream {
    StreamKey::new(1, "test", 0, "detector").stream(item)
}

/// Documents of 50 independently drawn tokens. The type of rank r has a probability in proportion to `r^−exponent`.
fn zipf(exponent: f64, documents: usize, item: u64) -> Documents {
    let weights: Vec<f64> = (1..=TYPES).map(|rank| (rank as f64).powf(-exponent)).collect();
    let mut cumulative = weights.clone();
    (1..TYPES).for_each(|rank| cumulative[rank] += cumulative[rank - 1]);
    let mut rng = stream(item);
    let mut token = || {
        let at = rng.random::<f64>() * cumulative[TYPES - 1];
        cumulative.partition_point(|&below| below <= at) as TokenId
    };
    let mut all = Documents::new();
    for _ in 0..documents {
        all.push(&(0..50).map(|_| token()).collect::<Vec<_>>());
    }
    all
}

fn detector_of_zipf(natural: f64, synthetic: f64) -> (Detector, DetectorRecord) {
    Detector::learn(&zipf(natural, 500, 1), &zipf(synthetic, 500, 2), &mut stream(3))
}

#[test]
fn a_zipf_text_is_distinguished_from_a_flatter_one() {
    let (detector, record) = detector_of_zipf(1.0, 0.5);
    assert_eq!(record.documents, 500);
    assert!(record.accuracy > 0.95, "{record:?}");
    let share = |text: Documents| {
        text.iter().filter(|document| detector.log_odds(document) > 0.0).count() as f64 / text.len() as f64
    };
    assert!(share(zipf(1.0, 300, 4)) > 0.9);
    assert!(share(zipf(0.5, 300, 5)) < 0.1);
}

/// The test fold has 100 documents of each kind: the accuracy is one half within 4 standard errors of 0.035, and
/// calibrated odds are near 1.
#[test]
fn texts_of_the_same_distribution_have_even_odds() {
    let (detector, record) = detector_of_zipf(1.0, 1.0);
    assert!((record.accuracy - 0.5).abs() < 4.0 * 0.035, "{record:?}");
    let fresh = zipf(1.0, 300, 6);
    let mean = fresh.iter().map(|document| detector.log_odds(document).abs()).sum::<f64>() / 300.0;
    assert!(mean < 0.4, "{mean}");
}

/// The mean of the true odds over synthetic text is 1, so the mean of calibrated odds must be near 1.
#[test]
fn odds_are_calibrated() {
    let (detector, _) = detector_of_zipf(1.0, 0.9);
    let fresh = zipf(0.9, 1000, 7);
    let mean = fresh.iter().map(|document| detector.log_odds(document).exp()).sum::<f64>() / 1000.0;
    assert!((mean - 1.0).abs() < 0.35, "{mean}");
}

#[test]
fn training_twice_gives_the_same_odds() {
    let document: Vec<TokenId> = (0..50).collect();
    let again = || detector_of_zipf(1.0, 0.5).0.log_odds(&document).to_bits();
    assert_eq!(again(), again());
}
