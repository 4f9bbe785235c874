//! Decoders on known distributions. Chi-square tests run 20,000 draws from fixed streams and reject beyond the
//! 0.9999 quantile, given per number of degrees of freedom.

use genloss::decoding::{BeamSearchSettings, ContrastiveSearchSettings, DecodingStrategy, SamplingSettings};
use genloss::decoding::{Sampler, describe};
use genloss::seed::{Stream, StreamKey};
use rand::Rng;

const DRAWS: usize = 20_000;

fn stream(item: u64) -> Stream {
    StreamKey::new(1, "control", 0, "synthesis").stream(item)
}

fn logits(probabilities: &[f64]) -> Vec<f32> {
    probabilities.iter().map(|p| p.ln() as f32).collect()
}

fn distribution(decoding: &SamplingSettings, logits: &[f32], document: &[u32]) -> Vec<f64> {
    Sampler::new(decoding).distribution(&mut logits.to_vec(), document)
}

fn support(distribution: &[f64]) -> Vec<usize> {
    (0..distribution.len()).filter(|&token| distribution[token] > 0.0).collect()
}

fn assert_close(actual: &[f64], expected: &[f64], tolerance: f64) {
    assert_eq!(actual.len(), expected.len());
    for (token, (a, e)) in actual.iter().zip(expected).enumerate() {
        assert!((a - e).abs() <= tolerance, "token {token}: {a} is not {e}");
    }
}

/// Pearson's statistic of draws against `expected`. A draw outside of the support fails at once.
fn chi_square(decoding: &SamplingSettings, row: &[f32], document: &[u32], expected: &[f64]) -> f64 {
    let mut sampler = Sampler::new(decoding);
    let mut rng = stream(0);
    let mut counts = vec![0.0; row.len()];
    for _ in 0..DRAWS {
        counts[sampler.draw(&mut row.to_vec(), document, &mut rng) as usize] += 1.0;
    }
    let mut statistic = 0.0;
    for (token, (&count, &p)) in counts.iter().zip(expected).enumerate() {
        if p == 0.0 {
            assert_eq!(count, 0.0, "token {token} cannot come");
        } else {
            let mean = p * DRAWS as f64;
            statistic += (count - mean) * (count - mean) / mean;
        }
    }
    statistic
}

/// 0.9999 quantile of chi-square with 2, 3, 4 and 99 degrees of freedom (Wilson–Hilferty for the last).
const QUANTILE_2: f64 = 18.42;
const QUANTILE_3: f64 = 21.11;
const QUANTILE_4: f64 = 23.51;
const QUANTILE_99: f64 = 160.1;

const FIVE: [f64; 5] = [0.1, 0.4, 0.05, 0.25, 0.2];

#[test]
fn plain_sampling_draws_from_the_distribution_itself() {
    assert_close(&distribution(&SamplingSettings::PLAIN, &logits(&FIVE), &[]), &FIVE, 1e-7);
    let statistic = chi_square(&SamplingSettings::PLAIN, &logits(&FIVE), &[], &FIVE);
    assert!(statistic < QUANTILE_4, "{statistic}");
}

#[test]
fn plain_sampling_draws_from_every_block_of_a_long_row() {
    // Weights 1..=100 over every seventh token of 700, nothing elsewhere.
    let mut row = vec![f32::NEG_INFINITY; 700];
    let mut expected = vec![0.0; 700];
    for weight in 1..=100 {
        row[weight * 7 - 1] = (weight as f32).ln();
        expected[weight * 7 - 1] = weight as f64 / 5050.0;
    }
    let statistic = chi_square(&SamplingSettings::PLAIN, &row, &[], &expected);
    assert!(statistic < QUANTILE_99, "{statistic}");
}

#[test]
fn a_temperature_raises_probabilities_to_its_inverse_power() {
    for temperature in [0.5, 0.7, 2.0] {
        let powers = FIVE.map(|p: f64| p.powf(1.0 / temperature));
        let expected = powers.map(|power| power / powers.iter().sum::<f64>());
        let decoding = SamplingSettings { temperature, ..SamplingSettings::PLAIN };
        assert_close(&distribution(&decoding, &logits(&FIVE), &[]), &expected, 2e-7);
        let statistic = chi_square(&decoding, &logits(&FIVE), &[], &expected);
        assert!(statistic < QUANTILE_4, "temperature {temperature}: {statistic}");
    }
}

#[test]
fn a_temperature_near_zero_is_greedy() {
    let decoding = SamplingSettings { temperature: 1e-300, ..SamplingSettings::PLAIN };
    assert_close(&distribution(&decoding, &logits(&FIVE), &[]), &[0.0, 1.0, 0.0, 0.0, 0.0], 0.0);
}

#[test]
fn greedy_takes_the_most_probable_token_and_the_first_of_equals() {
    let decoding = SamplingSettings { greedy: true, ..SamplingSettings::PLAIN };
    let mut sampler = Sampler::new(&decoding);
    assert_eq!(sampler.draw(&mut logits(&FIVE), &[], &mut stream(0)), 1);
    assert_eq!(sampler.draw(&mut [0.0, 7.0, 7.0, f32::NAN], &[], &mut stream(0)), 1);
    assert_close(&distribution(&decoding, &logits(&FIVE), &[]), &[0.0, 1.0, 0.0, 0.0, 0.0], 0.0);
}

#[test]
fn top_k_keeps_exactly_k_tokens_and_the_lower_ids_of_equals() {
    let decoding = SamplingSettings { top_k: Some(3), ..SamplingSettings::PLAIN };
    let expected = [0.0, 0.4 / 0.85, 0.0, 0.25 / 0.85, 0.2 / 0.85];
    assert_close(&distribution(&decoding, &logits(&FIVE), &[]), &expected, 1e-7);
    let statistic = chi_square(&decoding, &logits(&FIVE), &[], &expected);
    assert!(statistic < QUANTILE_2, "{statistic}");

    assert_eq!(support(&distribution(&decoding, &[1.0; 200], &[])), [0, 1, 2]);
    let rising: Vec<f32> = (0..5000).map(|token| (token / 2) as f32 * 1e-3).collect();
    assert_eq!(support(&distribution(&decoding, &rising, &[])), [4996, 4998, 4999]);
    let all = SamplingSettings { top_k: Some(9), ..SamplingSettings::PLAIN };
    assert_close(&distribution(&all, &logits(&FIVE), &[]), &FIVE, 1e-7);
}

#[test]
fn top_p_keeps_the_fewest_tokens_that_hold_the_mass() {
    // In descending order: 0.4, 0.65, 0.85, 0.95, 1.
    for (p, kept) in [(0.3, 1), (0.39, 1), (0.41, 2), (0.64, 2), (0.66, 3), (0.9, 4), (0.96, 5), (1.0, 5)] {
        let decoding = SamplingSettings { top_p: Some(p), ..SamplingSettings::PLAIN };
        assert_eq!(support(&distribution(&decoding, &logits(&FIVE), &[])).len(), kept, "top-p {p}");
    }
    let decoding = SamplingSettings { top_p: Some(0.9), ..SamplingSettings::PLAIN };
    let expected = [0.1 / 0.95, 0.4 / 0.95, 0.0, 0.25 / 0.95, 0.2 / 0.95];
    assert_close(&distribution(&decoding, &logits(&FIVE), &[]), &expected, 1e-7);
    let statistic = chi_square(&decoding, &logits(&FIVE), &[], &expected);
    assert!(statistic < QUANTILE_3, "{statistic}");
}

/// Exactly half the mass suffices for p = 0.5: "at least". Equal logits give equal weights, without rounding.
#[test]
fn top_p_stops_at_equality_and_takes_the_lower_ids_of_equals() {
    let decoding = SamplingSettings { top_p: Some(0.5), ..SamplingSettings::PLAIN };
    assert_eq!(support(&distribution(&decoding, &[2.0; 8], &[])), [0, 1, 2, 3]);
}

/// The slow twin: sort everything, add up.
#[test]
fn top_p_agrees_with_sorting_the_whole_vocabulary() {
    let mut rng = stream(5);
    for p in [0.05, 0.5, 0.9, 0.99, 0.999_999] {
        let row: Vec<f32> = (0..3000).map(|_| rng.random_range(-6.0..6.0)).collect();
        let full = distribution(&SamplingSettings::PLAIN, &row, &[]);
        let mut order: Vec<usize> = (0..row.len()).collect();
        order.sort_by(|&a, &b| full[b].total_cmp(&full[a]).then(a.cmp(&b)));
        let mut mass = 0.0;
        let mut expected: Vec<usize> = Vec::new();
        for token in order {
            if mass < p {
                expected.push(token);
                mass += full[token];
            }
        }
        expected.sort_unstable();
        let decoding = SamplingSettings { top_p: Some(p), ..SamplingSettings::PLAIN };
        assert_eq!(support(&distribution(&decoding, &row, &[])), expected, "top-p {p}");
    }
}

#[test]
fn min_p_keeps_tokens_by_their_share_of_the_most_probable() {
    let decoding = SamplingSettings { min_p: Some(0.45), ..SamplingSettings::PLAIN };
    let expected = [0.0, 0.4 / 0.85, 0.0, 0.25 / 0.85, 0.2 / 0.85];
    assert_close(&distribution(&decoding, &logits(&FIVE), &[]), &expected, 1e-7);
    let statistic = chi_square(&decoding, &logits(&FIVE), &[], &expected);
    assert!(statistic < QUANTILE_2, "{statistic}");
    let most = SamplingSettings { min_p: Some(1.0), ..SamplingSettings::PLAIN };
    assert_eq!(support(&distribution(&most, &[3.0, 5.0, 5.0, 1.0], &[])), [1, 2]);
}

/// The entropy is 1.4150 nats, and surprisals are 2.303, 0.916, 2.996, 1.386, 1.609: nearest to it is token 3, then 4,
/// 1, 0, 2. In this order they hold 0.25, 0.45, 0.85, 0.95, 1.
#[test]
fn typical_p_keeps_the_fewest_tokens_of_about_the_expected_surprisal() {
    let kept: [(f64, &[usize]); 9] = [
        (0.01, &[3]),
        (0.24, &[3]),
        (0.26, &[3, 4]),
        (0.44, &[3, 4]),
        (0.46, &[1, 3, 4]),
        (0.84, &[1, 3, 4]),
        (0.86, &[0, 1, 3, 4]),
        (0.96, &[0, 1, 2, 3, 4]),
        (1.0, &[0, 1, 2, 3, 4]),
    ];
    for (p, kept) in kept {
        let decoding = SamplingSettings { typical_p: Some(p), ..SamplingSettings::PLAIN };
        assert_eq!(support(&distribution(&decoding, &logits(&FIVE), &[])), kept, "typical-p {p}");
    }
    let decoding = SamplingSettings { typical_p: Some(0.4), ..SamplingSettings::PLAIN };
    let expected = [0.0, 0.0, 0.0, 0.25 / 0.45, 0.2 / 0.45];
    assert_close(&distribution(&decoding, &logits(&FIVE), &[]), &expected, 1e-7);
    let statistic = chi_square(&decoding, &logits(&FIVE), &[], &expected);
    assert!(statistic < QUANTILE_2, "{statistic}");
    let log = |token| Sampler::new(&decoding).log_probability(&mut logits(&FIVE), &[], token);
    assert!((f64::from(log(4)) - (0.2_f64 / 0.45).ln()).abs() < 1e-6);
    assert_eq!(log(1), f32::NEG_INFINITY);
    assert_eq!(
        support(&distribution(&SamplingSettings { typical_p: Some(0.5), ..decoding }, &[2.0; 8], &[])),
        [0, 1, 2, 3]
    );
}

/// Of 0.4, 0.25, 0.2 the entropy is 1.055 and surprisals are 0.754, 1.224, 1.447: token 3, then 1, then 4. Of all five
/// token 4 goes before token 1.
#[test]
fn typical_p_looks_at_the_entropy_of_what_other_truncations_left() {
    let both = SamplingSettings { top_k: Some(3), typical_p: Some(0.4), ..SamplingSettings::PLAIN };
    assert_eq!(support(&distribution(&both, &logits(&FIVE), &[])), [1, 3]);
}

/// The slow twin: sort everything by its distance from the entropy, add up.
#[test]
fn typical_p_agrees_with_sorting_the_whole_vocabulary() {
    let mut rng = stream(6);
    for p in [0.05, 0.5, 0.9, 0.999] {
        let row: Vec<f32> = (0..3000).map(|_| rng.random_range(-6.0..6.0)).collect();
        let full = distribution(&SamplingSettings::PLAIN, &row, &[]);
        let entropy: f64 = full.iter().map(|p| -p * p.ln()).sum();
        let mut order: Vec<usize> = (0..row.len()).collect();
        let distance = |token: usize| (-full[token].ln() - entropy).abs();
        order.sort_by(|&a, &b| distance(a).total_cmp(&distance(b)).then(a.cmp(&b)));
        let mut mass = 0.0;
        let mut expected: Vec<usize> = Vec::new();
        for token in order {
            if mass < p {
                expected.push(token);
                mass += full[token];
            }
        }
        expected.sort_unstable();
        let decoding = SamplingSettings { typical_p: Some(p), ..SamplingSettings::PLAIN };
        assert_eq!(support(&distribution(&decoding, &row, &[])), expected, "typical-p {p}");
    }
}

/// Top-k leaves 0.4, 0.25, 0.2: of their sum 0.85 the first two hold 0.76. Without top-k they would hold 0.65 only.
#[test]
fn top_p_acts_on_what_top_k_left() {
    let both = SamplingSettings { top_k: Some(3), top_p: Some(0.7), ..SamplingSettings::PLAIN };
    assert_eq!(support(&distribution(&both, &logits(&FIVE), &[])), [1, 3]);
    let alone = SamplingSettings { top_p: Some(0.7), ..SamplingSettings::PLAIN };
    assert_eq!(support(&distribution(&alone, &logits(&FIVE), &[])), [1, 3, 4]);
}

/// Keskar et al. 2019: a positive logit is divided, a negative one multiplied, once per token.
#[test]
fn the_repetition_penalty_makes_tokens_of_the_document_less_probable() {
    let decoding = SamplingSettings { repetition_penalty: 1.5, ..SamplingSettings::PLAIN };
    let weights = [(3.0_f64 / 1.5).exp(), 1.0_f64.exp(), (-2.0_f64 * 1.5).exp(), (-2.0_f64).exp(), 1.0];
    let total: f64 = weights.iter().sum();
    let row = [3.0, 1.0, -2.0, -2.0, 0.0];
    let document = [0, 2, 0, 2, 2, 4, 99];
    let expected = weights.map(|weight| weight / total);
    assert_close(&distribution(&decoding, &row, &document), &expected, 1e-7);
    let statistic = chi_square(&decoding, &row, &document, &expected);
    assert!(statistic < QUANTILE_4, "{statistic}");
}

#[test]
fn the_repetition_penalty_comes_before_the_greedy_choice() {
    let decoding = SamplingSettings { greedy: true, repetition_penalty: 2.0, ..SamplingSettings::PLAIN };
    let mut sampler = Sampler::new(&decoding);
    assert_eq!(sampler.draw(&mut [3.0, 2.0], &[], &mut stream(0)), 0);
    assert_eq!(sampler.draw(&mut [3.0, 2.0], &[0], &mut stream(0)), 1);
    assert_eq!(sampler.draw(&mut [3.0, 2.0], &[], &mut stream(0)), 0);
}

#[test]
fn every_decoder_takes_one_uniform_number_per_token() {
    let mut expected = stream(3);
    let _: f64 = expected.random();
    for decoding in [
        SamplingSettings::PLAIN,
        SamplingSettings { greedy: true, ..SamplingSettings::PLAIN },
        SamplingSettings {
            temperature: 0.5,
            top_k: Some(2),
            top_p: Some(0.5),
            min_p: Some(0.1),
            ..SamplingSettings::PLAIN
        },
        SamplingSettings { typical_p: Some(0.5), ..SamplingSettings::PLAIN },
    ] {
        let mut rng = stream(3);
        Sampler::new(&decoding).draw(&mut logits(&FIVE), &[], &mut rng);
        assert_eq!(rng.get_word_pos(), expected.get_word_pos());
    }
}

#[test]
fn logits_that_are_not_finite_give_a_token_all_the_same() {
    let rows: [(&[f32], &[usize]); 6] = [
        (&[f32::NAN, 1.0, f32::NAN], &[1]),
        (&[f32::NEG_INFINITY, 1.0], &[1]),
        (&[0.0, f32::INFINITY, 1.0, f32::INFINITY], &[1, 3]),
        (&[f32::NEG_INFINITY, f32::NEG_INFINITY], &[0, 1]),
        (&[f32::NAN, f32::NAN], &[0, 1]),
        (&[f32::MAX, f32::MIN], &[0]),
    ];
    for (row, expected) in rows {
        for decoding in [
            SamplingSettings::PLAIN,
            SamplingSettings { min_p: Some(1e-9), top_p: Some(0.999), ..SamplingSettings::PLAIN },
            SamplingSettings { typical_p: Some(0.999), ..SamplingSettings::PLAIN },
        ] {
            assert_eq!(support(&distribution(&decoding, row, &[])), expected, "{row:?}");
            let token = Sampler::new(&decoding).draw(&mut row.to_vec(), &[], &mut stream(0));
            assert!(expected.contains(&(token as usize)));
        }
    }
    assert_eq!(Sampler::new(&SamplingSettings::PLAIN).draw(&mut [], &[], &mut stream(0)), 0);
}

#[test]
fn a_sampler_carries_nothing_from_one_token_to_the_next() {
    let decoding = SamplingSettings {
        repetition_penalty: 1.3,
        top_k: Some(40),
        top_p: Some(0.9),
        ..SamplingSettings::PLAIN
    };
    let mut one = Sampler::new(&decoding);
    for item in 0..50 {
        let mut rng = stream(item);
        let row: Vec<f32> = (0..100 + item).map(|_| rng.random_range(-4.0..4.0)).collect();
        let document = [3, item as u32];
        let again = one.draw(&mut row.clone(), &document, &mut rng.clone());
        assert_eq!(again, Sampler::new(&decoding).draw(&mut row.clone(), &document, &mut rng));
    }
}

#[test]
fn a_decoder_is_described_by_what_it_does() {
    assert_eq!(describe(&DecodingStrategy::PLAIN), "sampling, temperature 1");
    assert_eq!(describe(&DecodingStrategy::GREEDY), "greedy");
    let greedy = SamplingSettings { greedy: true, repetition_penalty: 1.2, ..SamplingSettings::PLAIN };
    assert_eq!(describe(&greedy.clone().into()), "greedy, repetition penalty 1.2");
    let full = SamplingSettings {
        temperature: 0.8,
        top_k: Some(50),
        top_p: Some(0.95),
        min_p: Some(0.05),
        typical_p: Some(0.9),
        ..SamplingSettings::PLAIN
    };
    let words = "sampling, temperature 0.8, top-k 50, top-p 0.95, min-p 0.05, typical-p 0.9";
    assert_eq!(describe(&full.clone().into()), words);
    let beam = DecodingStrategy::Beam(BeamSearchSettings { beams: 4, length_penalty: 0.5 });
    assert_eq!(describe(&beam), "beam search, 4 beams, length penalty 0.5");
    let contrastive = DecodingStrategy::Contrastive(ContrastiveSearchSettings { k: 5, alpha: 0.6 });
    assert_eq!(describe(&contrastive), "contrastive search, k 5, alpha 0.6");
    assert!(SamplingSettings::PLAIN.is_plain());
    assert!(!full.is_plain() && !greedy.is_plain());
    assert!(!SamplingSettings { typical_p: Some(0.9), ..SamplingSettings::PLAIN }.is_plain());
}
