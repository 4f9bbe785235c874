use super::*;
use crate::model::family::Family;
use crate::model::transformer::{Transformer, plain};
use crate::model::{SpecialTokens, TransformerSettings};
use crate::seed::StreamKey;
use crate::training::gradients::{Batch, Gradients};
use crate::training::trainer::Trainer;
use candle_core::{Device, Var};

fn network(family: Family) -> Network {
    let settings = TransformerSettings {
        family: Some(family),
        width: 16,
        heads: 2,
        ffn: 24,
        context: 8,
        ..TransformerSettings::default()
    };
    let special = SpecialTokens { start: 0, end: 0 };
    let mut network =
        Transformer::initialise(&settings, 40, special, &mut stream(), &Device::Cpu).unwrap().into_network();
    // Larger weights than those of a new model, so that no gradient is nearly zero.
    for parameter in network.parameters.iter_mut().filter(|parameter| parameter.rank() == 2) {
        *parameter = (&*parameter * 10.0).unwrap();
    }
    network
}

fn stream() -> Stream {
    StreamKey::new(1, "test", 0, "initialisation").stream(0)
}

fn lora(targets: &[&str]) -> LoraSettings {
    LoraSettings { rank: 3, alpha: 6.0, targets: targets.iter().map(|&name| name.to_owned()).collect() }
}

fn batch() -> Batch {
    Batch { tokens: vec![1, 5, 7, 9, 2, 30], targets: vec![5, 7, 9, 1, 30, 4], time: 3 }
}

fn draws(count: usize, stream: &mut Stream) -> Vec<f32> {
    (0..count).map(|_| stream.random::<f32>() - 0.5).collect()
}

/// Updates whose factors are both drawn, merged into the network.
fn drawn(network: &mut Network, targets: &[&str]) -> Adapters {
    let mut adapters = Adapters::new(network, &lora(targets), &mut stream()).unwrap();
    let mut stream = StreamKey::new(1, "test", 0, "factors").stream(0);
    let values = adapters.layout().into_iter().map(|layout| {
        let count = layout.dims.iter().product();
        (draws(count, &mut stream), Moments::zero(count))
    });
    let values = values.collect();
    adapters.restore(values);
    adapters.merge(&mut network.parameters).unwrap();
    adapters
}

/// The gradients of both factors are those of candle's automatic differentiation of the plain pass, in which the adapted
/// rows of each parameter are W₀ + 2 B A.
#[test]
fn gradients_are_those_of_automatic_differentiation() {
    let cases: [(Family, &[&str]); 4] = [
        (Family::Llama, &[]),
        (Family::Llama, &["k_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]),
        (Family::Gpt2, &["c_attn", "c_proj"]),
        (Family::GptNeoX, &[]),
    ];
    for (family, targets) in cases {
        let start = network(family);
        let mut merged = start.clone();
        let copied = merged.parameters.try_map(Tensor::copy).unwrap();
        merged.parameters = copied;
        let mut adapters = drawn(&mut merged, targets);
        let mut gradients = Gradients::new(&merged);
        let nats = gradients.compute(&merged, &batch()).unwrap();
        adapters.project(gradients.values());

        let factors: Vec<Var> = adapters
            .factors()
            .map(|(layout, factor)| Var::from_slice(&factor.weights, layout.dims, &Device::Cpu).unwrap())
            .collect();
        let mut parameters: Vec<Tensor> = start.parameters.iter().cloned().collect();
        for (Adapter { target, .. }, factors) in adapters.adapters.iter().zip(factors.chunks(2)) {
            let product = factors[1].matmul(&factors[0]).unwrap();
            let update = (product * 2.0).unwrap();
            let whole = &parameters[target.parameter];
            let after = target.first_row + target.rows;
            let rows = |from: usize, to: usize| whole.narrow(0, from, to - from).unwrap();
            let adapted = (rows(target.first_row, after) + update).unwrap();
            let parts = [rows(0, target.first_row), adapted, rows(after, whole.dim(0).unwrap())];
            parameters[target.parameter] = Tensor::cat(&parts, 0).unwrap();
        }
        let mut parameters = parameters.into_iter();
        let parameters = start.parameters.map(|_| parameters.next().unwrap());
        let expected_network = Network { parameters, ..start };
        let Batch { tokens, targets: expected, .. } = batch();
        let tensor = |ids: &[u32]| Tensor::from_slice(ids, (2, 3), &Device::Cpu).unwrap();
        let loss = plain::nll_sum(&expected_network, &tensor(&tokens), &tensor(&expected)).unwrap();
        assert!((f64::from(loss.to_scalar::<f32>().unwrap()) / nats - 1.0).abs() < 1e-5);
        let automatic = (loss / 6.0).unwrap().backward().unwrap();
        for (factor, ours) in factors.iter().zip(adapters.gradients()) {
            let expected = automatic.get(factor).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
            let largest = expected.iter().fold(0f32, |most, x| most.max(x.abs()));
            assert!(largest > 1e-4, "{family:?}");
            for (ours, expected) in ours.iter().zip(&expected) {
                assert!((ours - expected).abs() < 1e-4 * largest, "{family:?}: {ours} {expected}");
            }
        }
    }
}

/// Rank 1 and alpha 2: W₀ + 2 B A with B = (1, 2, …) and A = (1, 0, −1, 0, …), in the rows of the values alone.
#[test]
fn updates_are_merged_into_their_rows_and_nowhere_else() {
    let mut network = network(Family::Llama);
    let before: Vec<Vec<f32>> =
        network.parameters.iter().map(|x| x.flatten_all().unwrap().to_vec1().unwrap()).collect();
    let settings = LoraSettings { rank: 1, alpha: 2.0, targets: vec!["self_attn.v_proj".to_owned()] };
    let mut adapters = Adapters::new(&network, &settings, &mut stream()).unwrap();
    let a: Vec<f32> = (0..16).map(|i| [1.0, 0.0, -1.0, 0.0][i % 4]).collect();
    let b: Vec<f32> = (1u8..=16).map(f32::from).collect();
    let values = (0..2).flat_map(|_| [a.clone(), b.clone()]).map(|values| (values, Moments::zero(16)));
    adapters.restore(values.collect());
    adapters.merge(&mut network.parameters).unwrap();
    let names = network.shape.specifications();
    for ((parameter, before), specification) in network.parameters.iter().zip(&before).zip(names.iter()) {
        let after: Vec<f32> = parameter.flatten_all().unwrap().to_vec1().unwrap();
        let is_adapted = specification.name().ends_with("q_proj.weight");
        for (i, (after, before)) in after.iter().zip(before).enumerate() {
            // Queries, keys and values have 16 rows of 16 numbers each.
            let (row, column) = (i / 16, i % 16);
            let update = if is_adapted && row >= 32 { 2.0 * b[row - 32] * a[column] } else { 0.0 };
            assert!((after - before - update).abs() < 1e-5, "{} {i}", specification.name());
        }
    }
}

/// AdamW moves every factor by the learning rate in its first step, and shrinks it by the weight decay.
#[test]
fn the_first_step_moves_factors_by_the_learning_rate() {
    let network = network(Family::Llama);
    let adapters = Adapters::new(&network, &lora(&[]), &mut stream()).unwrap();
    let before: Vec<f32> = adapters.adapters[0].inner.weights.clone();
    let bound = 1.0 / 4.0;
    assert!(before.iter().all(|x| x.abs() <= bound) && before.iter().any(|x| x.abs() > 0.9 * bound));
    let mut trainer = Trainer::of_adapters(network, adapters);
    let settings = TrainingSettings { weight_decay: 0.5, ..TrainingSettings::default() };
    trainer.step(&batch(), &settings, 1, 0.01).unwrap();
    let Numbers::Slice(outer) = trainer.state().remove(1).weights else { unreachable!("factors are slices") };
    // B is zero at first, and its gradient is not.
    assert!(outer.iter().all(|x| (x.abs() - 0.01).abs() < 1e-4), "{outer:?}");
    // The gradient of A is zero as long as B is.
    let Numbers::Slice(inner) = trainer.state().remove(0).weights else { unreachable!("factors are slices") };
    assert!(inner.iter().zip(&before).all(|(now, before)| (now - before * (1.0 - 0.01 * 0.5)).abs() < 1e-6));
}

#[test]
fn what_cannot_be_adapted_is_named() {
    let network = network(Family::Llama);
    let refused = |lora: LoraSettings| Adapters::new(&network, &lora, &mut stream()).err().unwrap();
    let unknown = refused(lora(&["q_proj", "proj"]));
    assert!(
        unknown.contains("no matrix \"proj\"") && unknown.contains("down_proj, gate_proj, k_proj"),
        "{unknown}"
    );
    assert!(refused(lora(&["embed_tokens"])).contains("no matrix \"embed_tokens\""));
    let large = refused(LoraSettings { rank: 17, ..lora(&[]) });
    assert!(large.contains("q_proj is a matrix of 16 × 16: set training.lora.rank to 16 or less"), "{large}");
}
