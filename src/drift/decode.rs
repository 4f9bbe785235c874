//! Decoder settings applied to the frequencies of a categorical model.
//!
//! The settings, their order and their tie-breaking are those of [`crate::decoding`], which works on rows of f32
//! logits. Here the numbers are frequencies in f64, because at 10¹³ samples the rounding of an f32 would be visible. A
//! repetition penalty has no meaning here: these samples do not belong to a document.
//!
//! Decoding narrows the distribution even with infinitely many samples ([`decode_repeatedly`]). After t generations at
//! temperature τ, `p_t ∝ p^(τ^−t)`. Top-k cuts once and then changes nothing more. Top-p and min-p can cut again in
//! every generation: what is left is renormalised (top-p) or sharpened (min-p with a temperature) before the next cut.
//! Greedy decoding collapses the distribution to its mode in one generation.
//!
//! ```
//! use genloss::decoding::SamplingSettings;
//! use genloss::drift::decode::decode_repeatedly;
//!
//! let min_p = SamplingSettings { min_p: Some(0.5), ..SamplingSettings::PLAIN };
//! // Half of the largest frequency is 0.25: the last type is dropped and the others are renormalised.
//! let after = &decode_repeatedly(&[0.5, 0.25, 0.25 - 1e-9, 1e-9], &min_p, 1)[1];
//! assert!((after[0] - 2.0 / 3.0).abs() < 1e-8 && after[2] == 0.0 && after[3] == 0.0);
//! ```

use crate::decoding::SamplingSettings;

/// The weight with which this decoder draws each type. `weights` are the model's frequencies of the types: not
/// negative, and in any unit. Types that the decoder drops get weight 0. If all weights are 0, they are returned
/// unchanged.
#[must_use]
pub fn decode(weights: &[f64], decoding: &SamplingSettings) -> Vec<f64> {
    // The repetition penalty needs a document, which a sample of this simulation does not belong to.
    let SamplingSettings { greedy, repetition_penalty: _, temperature, top_k, top_p, min_p, typical_p } =
        *decoding;
    let largest = weights.iter().copied().fold(0.0, f64::max);
    if largest <= 0.0 {
        return weights.to_vec();
    }
    if greedy {
        let mode = weights.iter().position(|&weight| weight == largest);
        return (0..weights.len()).map(|id| if Some(id) == mode { 1.0 } else { 0.0 }).collect();
    }
    let sharpen = |&weight: &f64| {
        let relative = weight / largest;
        if temperature == 1.0 { relative } else { relative.powf(1.0 / temperature) }
    };
    let mut decoded: Vec<f64> = weights.iter().map(sharpen).collect();
    if let Some(k) = top_k.filter(|&k| k < decoded.len()) {
        keep_first(&mut decoded, |weight| weight, |rank, _| rank < k);
    }
    if let Some(p) = top_p.filter(|&p| p < 1.0) {
        let target = p * decoded.iter().sum::<f64>();
        keep_first(&mut decoded, |weight| weight, |_, mass_before| mass_before < target);
    }
    if let Some(threshold) = min_p {
        // The largest weight is 1.
        for weight in decoded.iter_mut().filter(|weight| **weight < threshold) {
            *weight = 0.0;
        }
    }
    if let Some(p) = typical_p.filter(|&p| p < 1.0) {
        keep_typical(&mut decoded, p);
    }
    decoded
}

/// Frequencies of generations 0..=`generations` without sampling noise: every generation learns exactly the decoded
/// distribution of the previous one.
#[must_use]
pub fn decode_repeatedly(
    probabilities: &[f64],
    decoding: &SamplingSettings,
    generations: usize,
) -> Vec<Vec<f64>> {
    let mut all = vec![normalised(probabilities.to_vec())];
    for generation in 0..generations {
        all.push(normalised(decode(&all[generation], decoding)));
    }
    all
}

fn normalised(weights: Vec<f64>) -> Vec<f64> {
    let total: f64 = weights.iter().sum();
    weights.into_iter().map(|weight| weight / total).collect()
}

/// Locally typical sampling: keeps the types whose surprisal is nearest to the entropy, up to mass `p`.
fn keep_typical(weights: &mut [f64], p: f64) {
    let total: f64 = weights.iter().sum();
    let surprisal = |weight: f64| -(weight / total).ln();
    let possible = weights.iter().filter(|weight| **weight > 0.0);
    let entropy: f64 = possible.map(|&weight| weight / total * surprisal(weight)).sum();
    let typicality = |weight: f64| -(surprisal(weight) - entropy).abs();
    keep_first(weights, typicality, |_, mass_before| mass_before < p * total);
}

/// Sorts types by falling `score` of their weight, then by rising id, and sets to 0 the weights of all types for which
/// `stays` is false. `stays` gets the type's rank and the mass of the types before it. The first type always stays.
fn keep_first(weights: &mut [f64], score: impl Fn(f64) -> f64, stays: impl Fn(usize, f64) -> bool) {
    let mut order: Vec<(usize, f64)> = weights.iter().map(|&weight| score(weight)).enumerate().collect();
    order.retain(|&(id, _)| weights[id] > 0.0);
    order.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    let mut mass = 0.0;
    for (rank, (id, _)) in order.into_iter().enumerate() {
        let mass_before = mass;
        mass += weights[id];
        if rank > 0 && !stays(rank, mass_before) {
            weights[id] = 0.0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decoding::Sampler;

    const P: [f64; 6] = [0.05, 0.3, 0.1, 0.3, 0.05, 0.2];

    /// The closed forms for temperature and top-k in the module documentation.
    #[test]
    fn repeated_decoding_narrows_as_the_closed_forms_say() {
        let hot = SamplingSettings { temperature: 0.8, ..SamplingSettings::PLAIN };
        let found = decode_repeatedly(&P, &hot, 4);
        for (t, found) in found.iter().enumerate() {
            let powers: Vec<f64> = P.iter().map(|p| p.powf(0.8_f64.powi(-(t as i32)))).collect();
            let total: f64 = powers.iter().sum();
            assert!(found.iter().zip(&powers).all(|(q, power)| (q - power / total).abs() < 1e-12));
        }
        let top_k = decode_repeatedly(&P, &SamplingSettings { top_k: Some(3), ..SamplingSettings::PLAIN }, 3);
        assert!((top_k[1][1] - 0.375).abs() < 1e-12 && top_k[1][2] == 0.0);
        assert!(top_k[2].iter().zip(&top_k[1]).all(|(a, b)| (a - b).abs() < 1e-12));
        // A mass of 0.88 takes 0.3 + 0.3 + 0.2 + 0.1 = 0.9; 0.88 of that 0.9 takes all but the 0.1.
        let alive = |q: &Vec<f64>| q.iter().filter(|q| **q > 0.0).count();
        let top_p =
            decode_repeatedly(&P, &SamplingSettings { top_p: Some(0.88), ..SamplingSettings::PLAIN }, 3);
        assert_eq!(top_p.iter().map(alive).collect::<Vec<_>>(), [6, 4, 3, 3]);
    }

    #[test]
    fn greedy_decoding_leaves_the_mode_with_the_lower_id() {
        assert_eq!(decode(&P, &SamplingSettings::GREEDY), [0.0, 1.0, 0.0, 0.0, 0.0, 0.0]);
    }

    /// Thresholds relative to the largest frequency 0.3: 0.1/0.3 = 1/3 and 0.2/0.3 = 2/3.
    #[test]
    fn min_p_drops_exactly_the_types_below_its_threshold() {
        let kept = |threshold| {
            let decoded = decode(&P, &SamplingSettings { min_p: Some(threshold), ..SamplingSettings::PLAIN });
            (0..P.len()).filter(|&id| decoded[id] > 0.0).collect::<Vec<_>>()
        };
        assert_eq!(kept(0.1), [0, 1, 2, 3, 4, 5]);
        assert_eq!(kept(0.3), [1, 2, 3, 5]);
        assert_eq!(kept(0.34), [1, 3, 5]);
        assert_eq!(kept(0.7), [1, 3]);
    }

    /// The entropy of P is 1.57 nats, and surprisals are 3.00, 1.20, 2.30 and 1.61 nats for 0.05, 0.3, 0.1 and 0.2:
    /// the type of frequency 0.2 is the most typical, then those of 0.3 in the order of their ids.
    #[test]
    fn typical_p_begins_with_the_types_nearest_to_the_entropy() {
        let kept = |p| {
            let decoded = decode(&P, &SamplingSettings { typical_p: Some(p), ..SamplingSettings::PLAIN });
            (0..P.len()).filter(|&id| decoded[id] > 0.0).collect::<Vec<_>>()
        };
        assert_eq!(kept(0.15), [5]);
        assert_eq!(kept(0.45), [1, 5]);
        assert_eq!(kept(0.75), [1, 3, 5]);
        assert_eq!(kept(0.85), [1, 2, 3, 5]);
    }

    /// The decoder of language models, on the same distribution, agrees up to the rounding of f32.
    #[test]
    fn frequencies_are_decoded_like_logits() {
        let plain = SamplingSettings::PLAIN;
        let decoders = [
            SamplingSettings { temperature: 0.7, ..plain.clone() },
            SamplingSettings { temperature: 1.3, top_k: Some(3), ..plain.clone() },
            SamplingSettings { top_p: Some(0.75), ..plain.clone() },
            SamplingSettings { top_k: Some(4), top_p: Some(0.8), min_p: Some(0.5), ..plain.clone() },
            SamplingSettings { min_p: Some(0.4), ..plain.clone() },
            SamplingSettings { typical_p: Some(0.6), ..plain.clone() },
            SamplingSettings { temperature: 0.7, min_p: Some(0.1), typical_p: Some(0.3), ..plain.clone() },
            SamplingSettings::GREEDY,
        ];
        for decoding in decoders {
            let mut logits: Vec<f32> = P.iter().map(|p| p.ln() as f32).collect();
            let expected = Sampler::new(&decoding).distribution(&mut logits, &[]);
            let found = &decode_repeatedly(&P, &decoding, 1)[1];
            assert!(
                found.iter().zip(&expected).all(|(a, b)| (a - b).abs() < 1e-6),
                "{decoding:?}: {found:?}"
            );
        }
    }
}
