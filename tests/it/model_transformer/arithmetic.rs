//! Forward and backward pass, against the reference pass and finite differences.

use super::*;
use genloss_kernels::softmax::IGNORED;

/// Random tokens; every seventh target is ignored.
fn batch(shape: &Shape) -> Batch {
    let count = 5 * shape.context;
    let mut targets = random_tokens(count, shape.vocab_size, 2);
    targets.iter_mut().step_by(7).for_each(|target| *target = IGNORED);
    Batch { tokens: random_tokens(count, shape.vocab_size, 1), targets, time: shape.context }
}

fn loss_and_gradients(network: &Network, batch: &Batch) -> (f64, Parameters<Vec<f32>>) {
    let mut gradients = Gradients::new(network);
    let nats = gradients.compute(network, batch).unwrap();
    (nats, gradients.values().clone())
}

/// Initial logits are near 0, so every token has nearly 1/V.
#[test]
fn an_untrained_model_has_a_loss_of_ln_v() {
    let scores = staged(|stage| tiny().score(&random_documents(40, 50), stage).unwrap());
    let nats: Vec<f64> = scores.log_probabilities.iter().map(|&x| -f64::from(x)).collect();
    let loss = nats.iter().sum::<f64>() / nats.len() as f64;
    assert!((loss - 50f64.ln()).abs() < 0.02, "{loss}");
    let entropy = f64::from(scores.entropies.iter().sum::<f32>()) / nats.len() as f64;
    assert!((entropy - 50f64.ln()).abs() < 0.02, "{entropy}");
}

/// bf16 has 8 significant bits: 1 + 2⁻⁸ lies halfway to the next number and goes to the even one, 1; 1 + 3·2⁻⁸
/// goes to 1 + 2⁻⁶, which are 4 of its 2⁻⁸.
#[test]
fn plain_products_round_both_factors_to_bf16_and_nothing_else() {
    let at = |steps: f32| 1.0 + steps / 256.0;
    let x = Var::new(&[[at(1.0), at(3.0)]], &Device::Cpu).unwrap();
    let w = Var::new(&[[3.0_f32, 1.0]], &Device::Cpu).unwrap();
    let product = |precision| plain::linear(x.as_tensor(), w.as_tensor(), precision).unwrap();
    assert_eq!(values(&product(Precision::F32)), [3.0 * at(1.0) + at(3.0)]);
    assert_eq!(values(&product(Precision::Bf16)), [3.0 + at(4.0)]);
    // A gradient that comes from above is not rounded: 1 + 2⁻⁸ times the other factor.
    let gradients = (product(Precision::Bf16) * f64::from(at(1.0))).unwrap().backward().unwrap();
    assert_eq!(values(gradients.get(&w).unwrap()), [at(1.0), at(1.0) * at(4.0)]);
    assert_eq!(values(gradients.get(&x).unwrap()), [3.0 * at(1.0), at(1.0)]);
}

#[test]
fn the_fused_forward_pass_agrees_with_the_plain_one() {
    for model in [lively(grouped_shape()), lively(Shape::new(&TINY, 50))] {
        let network = model.network();
        let batch = batch(&network.shape);
        let tokens = Tensor::from_slice(&batch.tokens, (5, batch.time), &Device::Cpu).unwrap();
        let plain = plain::logits(network, &plain::hidden(network, &tokens).unwrap()).unwrap();
        let sequences = fused::Sequences { tokens: &batch.tokens, time: batch.time };
        let packed = PackedNetwork::new(network).unwrap();
        let mut scratch = BlockScratch::default();
        let hidden = packed.hidden(sequences, &mut scratch).unwrap();
        let mut fused = Vec::new();
        packed.logits(&hidden, &mut scratch, |_, logits| fused.extend_from_slice(logits));
        for (a, b) in values(&plain).iter().zip(fused) {
            assert!((a - b).abs() < 1e-4, "{a} {b}");
        }
    }
}

/// The reference is candle's automatic gradient of the plain pass. Tolerance: 10⁻⁴ of the largest element.
#[test]
fn the_fused_gradients_agree_with_the_automatic_ones() {
    for model in [lively(grouped_shape()), lively(Shape::new(&TINY, 50))] {
        let network = model.network();
        let batch = batch(&network.shape);
        let (fused_nats, fused) = loss_and_gradients(network, &batch);
        let (plain_nats, plain) = gradients::differentiate(network, &batch).unwrap();
        assert!((fused_nats - plain_nats).abs() < 1e-5 * plain_nats);
        let names = network.shape.specifications();
        for ((a, b), specification) in fused.iter().zip(plain.iter()).zip(names.iter()) {
            let largest = b.iter().fold(0f32, |m, x| m.max(x.abs()));
            assert!(largest > 0.0, "{} has no gradient", specification.name());
            for (a, b) in a.iter().zip(b) {
                assert!((a - b).abs() < 1e-4 * largest, "{}: {a} {b}", specification.name());
            }
        }
    }
}

/// Along the gradient g of one parameter, (L(w + hg) − L(w − hg)) / 2h = |g|² + O(h²).
#[test]
fn the_gradient_of_every_parameter_agrees_with_finite_differences() {
    let model = lively(grouped_shape());
    let network = model.network();
    let batch = batch(&network.shape);
    let (_, gradient) = loss_and_gradients(network, &batch);
    let names = network.shape.specifications();
    for (index, (g, specification)) in gradient.iter().zip(names.iter()).enumerate() {
        let square: f64 = g.iter().map(|&x| f64::from(x).powi(2)).sum();
        let h = 0.01 / square.sqrt();
        let loss = |sign: f64| {
            let mut moved = network.clone();
            let parameter = moved.parameters.iter_mut().nth(index).unwrap();
            let step = Tensor::from_slice(g, parameter.shape(), &Device::Cpu).unwrap();
            *parameter = (&*parameter + (step * (sign * h)).unwrap()).unwrap();
            let nats = loss_and_gradients(&moved, &batch).0;
            nats / batch.predictions() as f64
        };
        let slope = (loss(1.0) - loss(-1.0)) / (2.0 * h);
        assert!((slope / square - 1.0).abs() < 0.01, "{}: {slope} {square}", specification.name());
    }
}

/// Factors in bf16 have errors of up to 2⁻⁹, and the fused backward pass also rounds the factors of gradients, which the
/// reference does not. Through some twenty products in a row, of weights ten times as large as usual, that may grow to 5 %
/// of a gradient as a whole; a wrong term would be an error of its own size.
#[test]
fn the_fused_pass_in_bf16_agrees_with_the_plain_one() {
    for model in [lively(grouped_shape()), lively(Shape::new(&TINY, 50))] {
        let network = &model.network().in_precision(Precision::Bf16);
        let batch = batch(&network.shape);
        let (fused_nats, fused) = loss_and_gradients(network, &batch);
        let (plain_nats, plain) = gradients::differentiate(network, &batch).unwrap();
        let (exact_nats, _) = loss_and_gradients(model.network(), &batch);
        assert!((fused_nats - plain_nats).abs() < 2e-3 * plain_nats, "{fused_nats}, not {plain_nats}");
        assert_ne!(fused_nats, exact_nats, "nothing was rounded");
        let names = network.shape.specifications();
        for ((a, b), specification) in fused.iter().zip(plain.iter()).zip(names.iter()) {
            let size = |values: &mut dyn Iterator<Item = f64>| values.map(|x| x * x).sum::<f64>().sqrt();
            let error = size(&mut a.iter().zip(b).map(|(a, b)| f64::from(a - b)));
            let whole = size(&mut b.iter().map(|&b| f64::from(b)));
            assert!(error < 0.05 * whole, "{}: {error} of {whole}", specification.name());
        }
    }
}

/// Scores are f32 whatever the model's precision; tokens are drawn again in the model's own.
#[test]
fn a_model_in_bf16_redraws_tokens_in_bf16_and_scores_them_in_f32() {
    let exact = lively(Shape::new(&TINY, 50));
    let rounded = exact.clone().with_precision(Precision::Bf16);
    let documents = random_documents(10, 50);
    let score = |model: &Transformer| staged(|stage| model.score(&documents, stage)).unwrap();
    assert_eq!(score(&rounded), score(&exact));
    let uniforms = vec![0.5; documents.flat().len()];
    let redraw = |model: &Transformer| {
        let plain = SamplingSettings::PLAIN;
        let redrawn = staged(|stage| model.redraw(&documents, &plain, &uniforms, stage)).unwrap();
        redrawn.into_iter().map(|token| token.log_probability).collect::<Vec<_>>()
    };
    assert_eq!(redraw(&exact), score(&exact).log_probabilities);
    assert_ne!(redraw(&rounded), redraw(&exact), "nothing was rounded");
    let in_f32 = rounded.in_full_precision().expect("the model rounds");
    let again =
        staged(|stage| in_f32.redraw(&documents, &SamplingSettings::PLAIN, &uniforms, stage)).unwrap();
    assert!(again.iter().map(|token| token.log_probability).eq(redraw(&exact)));
}

#[test]
fn a_batch_has_the_same_gradient_to_the_bit_on_any_number_of_threads() {
    let model = lively(Shape::new(&TINY, 50));
    let count = 600 * 8;
    let batch = Batch { tokens: random_tokens(count, 50, 1), targets: random_tokens(count, 50, 2), time: 8 };
    for precision in Precision::ALL {
        let network = model.network().in_precision(precision);
        let on = |threads| {
            let (nats, gradient) = with_threads(threads, || loss_and_gradients(&network, &batch));
            (nats.to_bits(), gradient.iter().flatten().map(|x| x.to_bits()).collect::<Vec<_>>())
        };
        let one = on(1);
        assert!([2, 3, 8].into_iter().all(|threads| on(threads) == one), "{precision}");
    }
}

/// The memory of a larger batch before does not change the result.
#[test]
fn gradients_do_not_depend_on_the_batch_before() {
    let model = lively(Shape::new(&TINY, 50));
    let batch = |count, stream| Batch {
        tokens: random_tokens(count, 50, stream),
        targets: random_tokens(count, 50, stream + 1),
        time: 8,
    };
    let mut gradients = Gradients::new(model.network());
    gradients.compute(model.network(), &batch(400, 1)).unwrap();
    gradients.compute(model.network(), &batch(40, 3)).unwrap();
    let (_, alone) = loss_and_gradients(model.network(), &batch(40, 3));
    assert!(gradients.values().iter().eq(alone.iter()));
}
