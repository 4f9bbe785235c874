//! Decoding of a categorical model: temperature, top-k, top-p, min-p and typical-p of frequencies.
//!
//! The rules, their order and their ties are those of [`crate::decoding`], which works on rows of f32 logits; here the
//! numbers are frequencies in f64, because at 10¹³ samples the rounding of an f32 would be seen. A repetition penalty
//! has no meaning for samples without a document.
//!
//! **Decoding alone**, with infinitely many samples, narrows by itself ([`limit`]): after t turns of a temperature τ
//! `p_t ∝ p^(τ^−t)`; top-k cuts once and then changes nothing; top-p cuts again every generation, because what is left
//! is renormalised before the next cut.

use crate::config::Decoding;

/// What is drawn from: `weights` (types), not negative, as `decoding` changes them. Types that are cut weigh 0; the
/// weights of the others are relative.
#[must_use]
pub fn decode(weights: &[f64], decoding: &Decoding) -> Vec<f64> {
    let largest = weights.iter().copied().fold(0.0, f64::max);
    if largest <= 0.0 {
        return weights.to_vec();
    }
    if decoding.greedy {
        let best = weights.iter().position(|&weight| weight == largest);
        return (0..weights.len()).map(|id| if Some(id) == best { 1.0 } else { 0.0 }).collect();
    }
    let sharpened = |&weight: &f64| {
        let relative = weight / largest;
        if decoding.temperature == 1.0 { relative } else { relative.powf(1.0 / decoding.temperature) }
    };
    let mut decoded: Vec<f64> = weights.iter().map(sharpened).collect();
    if let Some(k) = decoding.top_k.filter(|&k| k < decoded.len()) {
        keep_first(&mut decoded, |weight| weight, |place, _| place < k);
    }
    if let Some(p) = decoding.top_p.filter(|&p| p < 1.0) {
        let target = p * decoded.iter().sum::<f64>();
        keep_first(&mut decoded, |weight| weight, |_, mass_before| mass_before < target);
    }
    if let Some(share) = decoding.min_p {
        // The largest weight is 1.
        for weight in decoded.iter_mut().filter(|weight| **weight < share) {
            *weight = 0.0;
        }
    }
    if let Some(p) = decoding.typical_p.filter(|&p| p < 1.0) {
        let total: f64 = decoded.iter().sum();
        let surprisal = |weight: f64| -(weight / total).ln();
        let possible = decoded.iter().filter(|weight| **weight > 0.0);
        let entropy: f64 = possible.map(|&weight| weight / total * surprisal(weight)).sum();
        let typicality = |weight: f64| -(surprisal(weight) - entropy).abs();
        keep_first(&mut decoded, typicality, |_, mass_before| mass_before < p * total);
    }
    decoded
}

/// Frequencies of generations 0..=`generations` when decoding is all that acts: every generation fits the decoded
/// distribution of the one before without error.
#[must_use]
pub fn limit(probabilities: &[f64], decoding: &Decoding, generations: usize) -> Vec<Vec<f64>> {
    let normal = |weights: Vec<f64>| {
        let total: f64 = weights.iter().sum();
        weights.into_iter().map(|weight| weight / total).collect::<Vec<f64>>()
    };
    let mut all = vec![normal(probabilities.to_vec())];
    for generation in 0..generations {
        all.push(normal(decode(&all[generation], decoding)));
    }
    all
}

/// Sets to 0 all weights but those for which `stays` holds, given a type's place and the mass before it in the order of
/// falling `rank` of its weight, then of rising id. The first type stays.
fn keep_first(weights: &mut [f64], rank: impl Fn(f64) -> f64, stays: impl Fn(usize, f64) -> bool) {
    let mut order: Vec<(usize, f64)> = weights.iter().map(|&weight| rank(weight)).enumerate().collect();
    order.retain(|&(id, _)| weights[id] > 0.0);
    order.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    let mut mass = 0.0;
    for (place, (id, _)) in order.into_iter().enumerate() {
        let before = mass;
        mass += weights[id];
        if place > 0 && !stays(place, before) {
            weights[id] = 0.0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decoding::Sampler;

    const P: [f64; 6] = [0.05, 0.3, 0.1, 0.3, 0.05, 0.2];

    /// The three closed forms of the module's doc.
    #[test]
    fn decoding_alone_narrows_as_the_formulas_say() {
        let hot = Decoding { temperature: 0.8, ..Decoding::PLAIN };
        let found = limit(&P, &hot, 4);
        for (t, found) in found.iter().enumerate() {
            let powers: Vec<f64> = P.iter().map(|p| p.powf(0.8_f64.powi(-(t as i32)))).collect();
            let total: f64 = powers.iter().sum();
            assert!(found.iter().zip(&powers).all(|(q, power)| (q - power / total).abs() < 1e-12));
        }
        let top_k = limit(&P, &Decoding { top_k: Some(3), ..Decoding::PLAIN }, 3);
        assert!((top_k[1][1] - 0.375).abs() < 1e-12 && top_k[1][2] == 0.0);
        assert!(top_k[2].iter().zip(&top_k[1]).all(|(a, b)| (a - b).abs() < 1e-12));
        // .9 of the whole is .3 + .3 + .2 + .1; of what is left, again all but the last.
        let alive = |q: &Vec<f64>| q.iter().filter(|q| **q > 0.0).count();
        let top_p = limit(&P, &Decoding { top_p: Some(0.88), ..Decoding::PLAIN }, 3);
        assert_eq!(top_p.iter().map(alive).collect::<Vec<_>>(), [6, 4, 3, 3]);
    }

    /// The decoder of language models gives the same, up to the rounding of f32.
    #[test]
    fn frequencies_are_decoded_as_logits_are() {
        let plain = Decoding::PLAIN;
        let decoders = [
            Decoding { temperature: 0.7, ..plain.clone() },
            Decoding { temperature: 1.3, top_k: Some(3), ..plain.clone() },
            Decoding { top_p: Some(0.75), ..plain.clone() },
            Decoding { top_k: Some(4), top_p: Some(0.8), min_p: Some(0.5), ..plain.clone() },
            Decoding { min_p: Some(0.4), ..plain.clone() },
            Decoding { typical_p: Some(0.6), ..plain.clone() },
            Decoding { temperature: 0.7, min_p: Some(0.1), typical_p: Some(0.3), ..plain.clone() },
            Decoding::GREEDY,
        ];
        for decoding in decoders {
            let mut logits: Vec<f32> = P.iter().map(|p| p.ln() as f32).collect();
            let expected = Sampler::new(&decoding).distribution(&mut logits, &[]);
            let found = &limit(&P, &decoding, 1)[1];
            assert!(
                found.iter().zip(&expected).all(|(a, b)| (a - b).abs() < 1e-6),
                "{decoding:?}: {found:?}"
            );
        }
    }
}
