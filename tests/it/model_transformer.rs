//! The transformer: its arithmetic against slow twins, its folders, its training.

use candle_core::{Device, Tensor, Var};
use genloss::config::{self, Decoding, Init, Precision, Training, TrainingLength};
use genloss::documents::{Documents, TokenId};
use genloss::kernels::attention::Heads;
use genloss::model::transformer::fused::{self, Packed, Scratch};
use genloss::model::transformer::parameters::Parameters;
use genloss::model::transformer::parameters::Shape;
use genloss::model::transformer::{Network, Transformer, plain};
use genloss::model::{Generate, LanguageModel, ModelError, Scores, SpecialTokens};
use genloss::progress::{Event, Observer, Silent};
use genloss::seed::Place;
use genloss::stage::Stage;
use genloss::training::gradients::{self, Batch, Gradients};
use genloss::training::{
    Checkpoints, Learner, NoCheckpoints, Start, Trained, TrainingError, TransformerLearner,
};
use genloss::units::Tokens;
use rand::Rng;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

const SPECIAL: SpecialTokens = SpecialTokens { start: 0, end: 0 };
const TINY: config::Transformer =
    config::Transformer { layers: 2, width: 16, heads: 2, ffn: 44, context: 8, precision: Precision::F32 };

fn place(stage: &'static str) -> Place {
    Place::new(1, "test", 0, stage)
}

/// Runs `act` as a stage that nobody watches or stops.
fn staged<R>(act: impl FnOnce(&Stage) -> R) -> R {
    let interrupt = AtomicBool::new(false);
    act(&Stage::new(place("test"), &Silent, &interrupt))
}

fn tiny() -> Transformer {
    Transformer::initialise(&TINY, 50, SPECIAL, &mut place("initialisation").stream(0), &Device::Cpu).unwrap()
}

/// A shape with everything that a folder may ask for and an experiment does not: shared key–value heads, heads of
/// another width, an output matrix of its own.
fn grouped_shape() -> Shape {
    Shape {
        vocab_size: 37,
        width: 24,
        layers: 2,
        heads: Heads { queries: 4, keys: 2, width: 10 },
        ffn: 20,
        context: 8,
        rope_theta: 500.0,
        norm_epsilon: 1e-6,
        tied: false,
    }
}

/// Weights far larger than initial ones, so that every part of the network matters.
fn lively(shape: Shape) -> Transformer {
    let mut stream = place("weights").stream(1);
    let parameters = shape
        .specifications()
        .try_map(|what| {
            let values = what.draw(&mut stream, &Device::Cpu)?;
            if what.columns.is_some() { values * 15.0 } else { Ok(values) }
        })
        .unwrap();
    Transformer::from_network(Network::new(shape, parameters, Precision::F32, Device::Cpu), SPECIAL)
}

fn random_tokens(count: usize, vocab_size: usize, item: u64) -> Vec<TokenId> {
    let mut stream = place("tokens").stream(item);
    (0..count).map(|_| stream.random_range(0..vocab_size as TokenId)).collect()
}

fn random_documents(count: usize, vocab_size: usize) -> Documents {
    let documents: Vec<_> =
        (0..count).map(|i| random_tokens(1 + (i * 7) % 30, vocab_size, i as u64)).collect();
    documents.iter().map(Vec::as_slice).collect()
}

fn greedy() -> Decoding {
    Decoding::GREEDY
}

fn sampled() -> Decoding {
    Decoding { greedy: false, ..greedy() }
}

fn values(tensor: &Tensor) -> Vec<f32> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

/// Every weight, to the bit.
fn bits(model: &Transformer) -> Vec<u32> {
    model.network().parameters.iter().flat_map(values).map(f32::to_bits).collect()
}

fn with_threads<R: Send>(threads: usize, act: impl FnOnce() -> R + Send) -> R {
    rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(act)
}

mod arithmetic {
    use super::*;

    fn batch(shape: &Shape) -> Batch {
        let count = 5 * shape.context;
        Batch {
            tokens: random_tokens(count, shape.vocab_size, 1),
            targets: random_tokens(count, shape.vocab_size, 2),
            time: shape.context,
        }
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
            let packed = Packed::new(network, Precision::F32).unwrap();
            let mut scratch = Scratch::default();
            let hidden = packed.hidden(sequences, &mut scratch).unwrap();
            let mut fused = Vec::new();
            packed.logits(&hidden, &mut scratch, |_, logits| fused.extend_from_slice(logits));
            for (a, b) in values(&plain).iter().zip(fused) {
                assert!((a - b).abs() < 1e-4, "{a} {b}");
            }
        }
    }

    /// The twin is candle's automatic gradient of the plain forward pass. Tolerance: 10⁻⁴ of the largest element.
    #[test]
    fn the_fused_gradients_agree_with_the_automatic_ones() {
        for model in [lively(grouped_shape()), lively(Shape::new(&TINY, 50))] {
            let network = model.network();
            let batch = batch(&network.shape);
            let (fused_nats, fused) = loss_and_gradients(network, &batch);
            let (plain_nats, plain) = gradients::differentiate(network, &batch).unwrap();
            assert!((fused_nats - plain_nats).abs() < 1e-5 * plain_nats);
            let names = network.shape.specifications();
            for ((a, b), what) in fused.iter().zip(plain.iter()).zip(names.iter()) {
                let largest = b.iter().fold(0f32, |m, x| m.max(x.abs()));
                assert!(largest > 0.0, "{} has no gradient", what.name());
                for (a, b) in a.iter().zip(b) {
                    assert!((a - b).abs() < 1e-4 * largest, "{}: {a} {b}", what.name());
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
        for (index, (g, what)) in gradient.iter().zip(names.iter()).enumerate() {
            let square: f64 = g.iter().map(|&x| f64::from(x).powi(2)).sum();
            let h = 0.01 / square.sqrt();
            let loss = |sign: f64| {
                let mut moved = network.clone();
                let parameter = moved.parameters.iter_mut().nth(index).unwrap();
                let step = Tensor::from_slice(g, parameter.shape(), &Device::Cpu).unwrap();
                *parameter = (&*parameter + (step * (sign * h)).unwrap()).unwrap();
                let nats = loss_and_gradients(&moved, &batch).0;
                nats / batch.targets.len() as f64
            };
            let slope = (loss(1.0) - loss(-1.0)) / (2.0 * h);
            assert!((slope / square - 1.0).abs() < 0.01, "{}: {slope} {square}", what.name());
        }
    }

    /// Factors in bf16 have errors of up to 2⁻⁹, and the fused way back rounds those of gradients too, which the twin
    /// does not. Through some twenty products in a row, of weights ten times as large as usual, that may grow to five in
    /// a hundred of a gradient as a whole; a wrong term would make it wrong by its own size.
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
            for ((a, b), what) in fused.iter().zip(plain.iter()).zip(names.iter()) {
                let size = |values: &mut dyn Iterator<Item = f64>| values.map(|x| x * x).sum::<f64>().sqrt();
                let error = size(&mut a.iter().zip(b).map(|(a, b)| f64::from(a - b)));
                let whole = size(&mut b.iter().map(|&b| f64::from(b)));
                assert!(error < 0.05 * whole, "{}: {error} of {whole}", what.name());
            }
        }
    }

    #[test]
    fn a_batch_has_the_same_gradient_to_the_bit_on_any_number_of_threads() {
        let model = lively(Shape::new(&TINY, 50));
        let count = 600 * 8;
        let batch =
            Batch { tokens: random_tokens(count, 50, 1), targets: random_tokens(count, 50, 2), time: 8 };
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

    /// Memory that a larger batch has left behind changes nothing.
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
}

mod scoring {
    use super::*;

    /// The log-probability and entropy of each token by the plain forward pass, a window at a time.
    fn slowly(model: &Transformer, document: &[TokenId]) -> Vec<(f32, f32)> {
        let context = model.context();
        let mut inputs = vec![SPECIAL.start];
        inputs.extend_from_slice(document);
        (0..document.len())
            .map(|t| {
                // The first window reaches to the context; each later one begins half a context later.
                let first = if t < context { 0 } else { (t - context / 2) / (context / 2) * (context / 2) };
                let tokens = Tensor::new(&inputs[first..=t], &Device::Cpu).unwrap().unsqueeze(0).unwrap();
                let hidden = plain::hidden(model.network(), &tokens).unwrap();
                let logits = values(&plain::logits(model.network(), &hidden).unwrap());
                let row = &logits[logits.len() - model.vocab_size()..];
                let total: f64 = row.iter().map(|&z| f64::from(z).exp()).sum();
                let log_p = |z: f32| f64::from(z) - total.ln();
                let entropy: f64 = row.iter().map(|&z| -log_p(z).exp() * log_p(z)).sum();
                (log_p(row[document[t] as usize]) as f32, entropy as f32)
            })
            .collect()
    }

    #[test]
    fn scores_agree_with_a_slow_twin_also_beyond_the_context() {
        let model = lively(Shape::new(&TINY, 50));
        let documents = random_documents(12, 50);
        let scores = staged(|stage| model.score(&documents, stage).unwrap());
        let slow: Vec<_> = documents.iter().flat_map(|document| slowly(&model, document)).collect();
        assert_eq!(scores.log_probabilities.len(), slow.len());
        for (i, (log_probability, entropy)) in slow.into_iter().enumerate() {
            assert!((scores.log_probabilities[i] - log_probability).abs() < 1e-4);
            assert!((scores.entropies[i] - entropy).abs() < 1e-4);
        }
    }

    #[test]
    fn a_document_has_the_same_score_beside_others() {
        let model = lively(Shape::new(&TINY, 50));
        let documents = random_documents(30, 50);
        let together = staged(|stage| model.score(&documents, stage).unwrap());
        let alone: Vec<Scores> = documents
            .iter()
            .map(|document| staged(|stage| model.score(&[document].into_iter().collect(), stage).unwrap()))
            .collect();
        let alone = alone.iter().flat_map(|scores| &scores.log_probabilities);
        assert!(together.log_probabilities.iter().zip(alone).all(|(a, b)| (a - b).abs() < 1e-4));
    }

    #[test]
    fn scores_are_the_same_to_the_bit_on_any_number_of_threads() {
        let model = lively(Shape::new(&TINY, 50));
        let documents = random_documents(300, 50);
        let on = |threads| with_threads(threads, || staged(|stage| model.score(&documents, stage).unwrap()));
        let one = on(1);
        assert!([2, 3, 8].into_iter().all(|threads| on(threads) == one));
    }

    #[test]
    fn no_documents_and_empty_documents_have_no_scores() {
        let documents: Documents = [&[][..], &[]].into_iter().collect();
        staged(|stage| {
            assert_eq!(tiny().score(&documents, stage).unwrap(), Scores::default());
            assert_eq!(tiny().score(&Documents::new(), stage).unwrap(), Scores::default());
        });
    }

    #[test]
    fn a_token_that_the_model_does_not_have_is_refused() {
        let documents: Documents = [&[50][..]].into_iter().collect();
        let error = staged(|stage| tiny().score(&documents, stage).unwrap_err());
        assert!(error.to_string().contains("token 50 is not among the 50"), "{error}");
    }

    #[test]
    fn scoring_and_writing_stop_when_asked_to() {
        let interrupt = AtomicBool::new(true);
        let stage = Stage::new(place("test"), &Silent, &interrupt);
        let documents = random_documents(3, 50);
        assert!(matches!(tiny().score(&documents, &stage), Err(ModelError::Interrupted)));
        let request =
            Generate { prompts: &documents, max_document_tokens: 4, decoding: &greedy(), first_item: 0 };
        assert!(matches!(tiny().generate(&request, &stage), Err(ModelError::Interrupted)));
    }
}

mod writing {
    use super::*;

    /// The most probable next token by the plain forward pass, over what of `inputs` the context holds after rolls.
    fn next_slowly(model: &Transformer, inputs: &[TokenId]) -> TokenId {
        let half = model.context() / 2;
        let mut first = 0;
        while inputs.len() - first > model.context() {
            first += half;
        }
        let tokens = Tensor::new(&inputs[first..], &Device::Cpu).unwrap().unsqueeze(0).unwrap();
        let hidden = plain::hidden(model.network(), &tokens).unwrap();
        let logits = values(&plain::logits(model.network(), &hidden).unwrap());
        let row = &logits[logits.len() - model.vocab_size()..];
        (0..row.len()).max_by(|&a, &b| row[a].total_cmp(&row[b])).unwrap() as TokenId
    }

    #[test]
    fn greedy_writing_takes_the_most_probable_token_also_across_rolls() {
        for model in [lively(grouped_shape()), lively(Shape::new(&TINY, 37))] {
            let prompts: Vec<_> = (0..9).map(|i| random_tokens(i * 2, 37, i as u64)).collect();
            let prompts: Documents = prompts.iter().map(Vec::as_slice).collect();
            let request =
                Generate { prompts: &prompts, max_document_tokens: 30, decoding: &greedy(), first_item: 0 };
            let written = staged(|stage| model.generate(&request, stage).unwrap());
            assert_eq!(written.len(), 9);
            for (prompt, document) in prompts.iter().zip(written.iter()) {
                let mut inputs = [&[SPECIAL.start][..], prompt].concat();
                for &token in document {
                    assert_eq!(token, next_slowly(&model, &inputs), "after {inputs:?}");
                    inputs.push(token);
                }
                assert!(document.len() == 30 || document.last() == Some(&SPECIAL.end));
                assert!(document[..document.len() - 1].iter().all(|&token| token != SPECIAL.end));
            }
        }
    }

    #[test]
    fn a_document_depends_on_its_own_stream_only() {
        let model = lively(Shape::new(&TINY, 50));
        let prompts = random_documents(200, 50);
        let write = |prompts: &Documents, first_item| {
            let request = Generate { prompts, max_document_tokens: 20, decoding: &sampled(), first_item };
            staged(|stage| model.generate(&request, stage).unwrap())
        };
        let all = write(&prompts, 5);
        for threads in [1, 2, 3, 8] {
            assert_eq!(with_threads(threads, || write(&prompts, 5)), all);
        }
        for index in [0, 1, 63, 64, 120, 199] {
            let alone = write(&[prompts.get(index)].into_iter().collect(), 5 + index as u64);
            assert_eq!(alone.get(0), all.get(index), "document {index}");
        }
    }

    /// 4000 first tokens against the probabilities that the model gives them: χ² with 49 degrees of freedom has mean
    /// 49 and standard deviation √98 ≈ 10; 100 is five of those above.
    #[test]
    fn tokens_are_drawn_as_often_as_they_are_probable() {
        let model = lively(Shape::new(&TINY, 50));
        let prompts: Documents = (0..4000).map(|_| &[][..]).collect();
        let request =
            Generate { prompts: &prompts, max_document_tokens: 1, decoding: &sampled(), first_item: 0 };
        let written = staged(|stage| model.generate(&request, stage).unwrap());
        let all: Vec<[TokenId; 1]> = (0..50).map(|token| [token]).collect();
        let all: Documents = all.iter().map(|document| &document[..]).collect();
        let scores = staged(|stage| model.score(&all, stage).unwrap());
        let chi_squared: f64 = (0..50)
            .map(|token| {
                let expected = 4000.0 * f64::from(scores.log_probabilities[token]).exp();
                let seen = written.flat().iter().filter(|&&t| t as usize == token).count() as f64;
                (seen - expected).powi(2) / expected
            })
            .sum();
        assert!(chi_squared < 100.0, "{chi_squared}");
    }

    #[test]
    fn progress_counts_every_token_written() {
        struct Count(AtomicU64);
        impl Observer for Count {
            fn observe(&self, event: &Event) {
                if let Event::Advanced { amount } = event {
                    self.0.fetch_add(*amount, Ordering::Relaxed);
                }
            }
        }
        let (count, interrupt) = (Count(AtomicU64::new(0)), AtomicBool::new(false));
        let stage = Stage::new(place("test"), &count, &interrupt);
        let prompts = random_documents(70, 50);
        let request =
            Generate { prompts: &prompts, max_document_tokens: 9, decoding: &sampled(), first_item: 0 };
        let written = tiny().generate(&request, &stage).unwrap();
        assert_eq!(count.0.load(Ordering::Relaxed), written.tokens().0);
    }
}

mod folders {
    use super::*;
    use serde_json::{Value, json};

    fn saved(model: &Transformer) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        model.save(dir.path()).unwrap();
        dir
    }

    fn reason(dir: &Path) -> String {
        match Transformer::load(dir, &Device::Cpu) {
            Err(ModelError::Folder { reason, .. }) => reason,
            Err(other) => panic!("another error: {other}"),
            Ok(_) => panic!("it was read"),
        }
    }

    /// Saves a model with `change` made to its configuration, and says why it is refused.
    fn refused(change: impl FnOnce(&mut Value)) -> String {
        let dir = saved(&tiny());
        let path = dir.path().join("config.json");
        let mut config: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        change(&mut config);
        std::fs::write(&path, config.to_string()).unwrap();
        reason(dir.path())
    }

    #[test]
    fn a_saved_model_is_read_back_to_the_bit() {
        for model in [tiny(), lively(grouped_shape())] {
            let dir = saved(&model);
            let read = Transformer::load(dir.path(), &Device::Cpu).unwrap();
            assert_eq!(read.network().shape, model.network().shape);
            assert_eq!(bits(&read), bits(&model));
            assert_eq!(read.special(), model.special());
            let again = saved(&read);
            for name in ["config.json", "generation_config.json", "model.safetensors"] {
                let file = |dir: &Path| std::fs::read(dir.join(name)).unwrap();
                assert_eq!(file(dir.path()), file(again.path()));
            }
        }
    }

    /// Halves and bf16 values are exact in f32.
    #[test]
    fn half_precision_and_parts_are_read() {
        let model = lively(grouped_shape());
        let dir = saved(&model);
        let bytes = std::fs::read(dir.path().join("model.safetensors")).unwrap();
        let tensors = candle_core::safetensors::load_buffer(&bytes, &Device::Cpu).unwrap();
        std::fs::remove_file(dir.path().join("model.safetensors")).unwrap();
        let mut weight_map = serde_json::Map::new();
        let mut names: Vec<_> = tensors.keys().collect();
        names.sort();
        for (index, name) in names.into_iter().enumerate() {
            let file = format!("model-{index}.safetensors");
            let dtype = if index % 2 == 0 { candle_core::DType::BF16 } else { candle_core::DType::F16 };
            let tensor = tensors[name].to_dtype(dtype).unwrap();
            tensor.save_safetensors(name, dir.path().join(&file)).unwrap();
            weight_map.insert(name.clone(), json!(file));
        }
        let index = json!({ "weight_map": weight_map }).to_string();
        std::fs::write(dir.path().join("model.safetensors.index.json"), index).unwrap();
        let read = Transformer::load(dir.path(), &Device::Cpu).unwrap();
        for (a, b) in read.network().parameters.iter().zip(model.network().parameters.iter()) {
            assert!(values(a).iter().zip(values(b)).all(|(a, b)| (a - b).abs() <= b.abs() / 200.0));
        }
        let outside = json!({ "weight_map": { "a": "../model.safetensors" } }).to_string();
        std::fs::write(dir.path().join("model.safetensors.index.json"), outside).unwrap();
        assert!(reason(dir.path()).contains("no file of this folder"));
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        let cases: [(&str, Value, &str); 14] = [
            ("model_type", json!("gpt2"), "only \"llama\" is known"),
            ("hidden_act", json!("gelu"), "not silu"),
            ("attention_bias", json!(true), "biases"),
            ("mlp_bias", json!(true), "biases"),
            ("quantization_config", json!({ "bits": 4 }), "quantised"),
            ("rope_scaling", json!({ "type": "linear", "factor": 2.0 }), "scaled rotary"),
            ("rope_parameters", json!({ "rope_type": "llama3", "rope_theta": 1e4 }), "scaled rotary"),
            ("num_key_value_heads", json!(3), "cannot share"),
            ("num_hidden_layers", json!(9_000_000), "9000000 layers"),
            ("hidden_size", json!(1u64 << 40), "beyond belief"),
            ("vocab_size", json!(51), "is [50, 16], but config.json makes it [51, 16]"),
            ("eos_token_id", Value::Null, "nothing would end a document"),
            ("eos_token_id", json!([50, 1]), "not below vocab_size"),
            ("tie_word_embeddings", json!(false), "weight lm_head.weight is missing"),
        ];
        for (key, value, expected) in cases {
            let reason = refused(|config| config[key] = value);
            assert!(reason.contains(expected), "{key}: {reason}");
            assert!(!reason.contains('\n'), "{reason}");
        }
    }

    #[test]
    fn a_weight_that_is_no_number_is_refused() {
        let model = tiny();
        genloss::kernels::change(&model.network().parameters.norm, |norm| norm[3] = f32::NAN).unwrap();
        assert_eq!(
            reason(saved(&model).path()),
            "weight model.norm.weight: holds a value that is not a finite number"
        );
    }

    #[test]
    fn an_empty_folder_says_what_is_missing() {
        let dir = tempfile::tempdir().unwrap();
        assert!(reason(dir.path()).starts_with("config.json is missing"));
        std::fs::copy(saved(&tiny()).path().join("config.json"), dir.path().join("config.json")).unwrap();
        assert!(reason(dir.path()).starts_with("model.safetensors is missing"));
    }

    #[test]
    fn no_damage_to_a_file_makes_reading_panic() {
        let dir = saved(&tiny());
        let mut stream = place("damage").stream(0);
        for name in ["model.safetensors", "config.json"] {
            let path = dir.path().join(name);
            let whole = std::fs::read(&path).unwrap();
            for cut in (0..40).map(|i| whole.len() * i / 40) {
                std::fs::write(&path, &whole[..cut]).unwrap();
                assert!(!reason(dir.path()).is_empty());
            }
            for _ in 0..200 {
                let mut damaged = whole.clone();
                for _ in 0..3 {
                    // The header of the weights is where damage can do something.
                    let at = stream.random_range(0..whole.len().min(2000));
                    damaged[at] = stream.random();
                }
                std::fs::write(&path, &damaged).unwrap();
                // A changed digit may still be a model; a panic is what must not be.
                let _ = Transformer::load(dir.path(), &Device::Cpu);
            }
            std::fs::write(&path, &whole).unwrap();
        }
    }
}

mod learning {
    use super::*;

    fn learner(start: Start, steps: u64) -> TransformerLearner {
        TransformerLearner {
            architecture: TINY,
            training: Training {
                length: TrainingLength::Tokens(Tokens(steps * 4 * 8)),
                init: Init::Scratch,
                batch: 4,
                learning_rate: 0.01,
                warmup_fraction: 0.1,
                final_rate_fraction: 0.1,
                weight_decay: 0.1,
                beta1: 0.9,
                beta2: 0.99,
                gradient_clip: 1.0,
                checkpoint_minutes: 1.0,
            },
            vocab_size: 50,
            special: SPECIAL,
            start,
            device: Device::Cpu,
        }
    }

    fn fit(learner: &TransformerLearner, documents: &Documents) -> Trained {
        staged(|stage| learner.fit(documents, &mut NoCheckpoints, stage).unwrap())
    }

    /// The weights that a model saves.
    fn weights(trained: &Trained) -> Vec<u8> {
        let dir = tempfile::tempdir().unwrap();
        trained.model.save(dir.path()).unwrap();
        std::fs::read(dir.path().join("model.safetensors")).unwrap()
    }

    /// Keeps checkpoints in a folder, and thinks that one is due after every `every` steps.
    struct Kept {
        dir: tempfile::TempDir,
        standing: Option<PathBuf>,
        saves: usize,
        due: bool,
    }

    impl Kept {
        fn new(due: bool) -> Self {
            Self { dir: tempfile::tempdir().unwrap(), standing: None, saves: 0, due }
        }
    }

    impl Checkpoints for Kept {
        fn latest(&self) -> Option<PathBuf> {
            self.standing.clone()
        }
        fn due(&self) -> bool {
            self.due
        }
        fn save(
            &mut self,
            write: &mut dyn FnMut(&Path) -> Result<(), TrainingError>,
        ) -> Result<(), TrainingError> {
            self.saves += 1;
            let dir = self.dir.path().join(self.saves.to_string());
            std::fs::create_dir(&dir).unwrap();
            write(&dir)?;
            self.standing = Some(dir);
            Ok(())
        }
    }

    /// Sets a flag when so many steps have been seen.
    struct StopAfter<'a> {
        steps: AtomicU64,
        interrupt: &'a AtomicBool,
    }

    impl Observer for StopAfter<'_> {
        fn observe(&self, event: &Event) {
            if matches!(event, Event::Advanced { amount } if *amount > 0)
                && self.steps.fetch_sub(1, Ordering::Relaxed) == 1
            {
                self.interrupt.store(true, Ordering::Relaxed);
            }
        }
    }

    fn fit_for(
        learner: &TransformerLearner,
        documents: &Documents,
        steps: u64,
        kept: &mut Kept,
    ) -> Result<Trained, TrainingError> {
        let interrupt = AtomicBool::new(false);
        let observer = StopAfter { steps: AtomicU64::new(steps), interrupt: &interrupt };
        learner.fit(documents, kept, &Stage::new(place("test"), &observer, &interrupt))
    }

    #[test]
    fn a_tiny_model_learns_a_sequence_by_heart() {
        let documents: Documents = (0..20).map(|_| &[7, 3, 9, 3, 5, 0][..]).collect();
        let trained = fit(&learner(Start::Scratch, 200), &documents);
        let scores = staged(|stage| trained.model.score(&documents, stage).unwrap());
        let loss = -scores.log_probabilities.iter().sum::<f32>() / scores.log_probabilities.len() as f32;
        assert!(loss < 0.05, "{loss}");
        let prompts: Documents = [&[][..], &[7, 3]].into_iter().collect();
        let request =
            Generate { prompts: &prompts, max_document_tokens: 10, decoding: &greedy(), first_item: 0 };
        let written = staged(|stage| trained.model.generate(&request, stage).unwrap());
        assert_eq!(written.get(0), [7, 3, 9, 3, 5, 0]);
        assert_eq!(written.get(1), [9, 3, 5, 0]);
    }

    #[test]
    fn the_record_says_what_was_done() {
        let documents = random_documents(30, 50);
        let record = fit(&learner(Start::Scratch, 250), &documents).record;
        assert_eq!((record.init.as_str(), record.steps), ("scratch", 250));
        assert_eq!(record.tokens_seen, Tokens(250 * 32));
        assert_eq!(record.parameters, Shape::new(&TINY, 50).parameters());
        assert!((record.epochs - 8000.0 / documents.tokens().0 as f64).abs() < 1e-9);
        // Every third step, and the last.
        assert_eq!(record.curve.len(), 84);
        assert_eq!(record.curve[83].tokens, record.tokens_seen);
        assert!((record.curve[0].loss_nats - 50f64.ln()).abs() < 0.1);
        assert!(record.curve[83].loss_nats < record.curve[0].loss_nats);
    }

    /// 465 tokens, 1.5 times, 32 a step: 21.8.
    #[test]
    fn epochs_count_passes_over_the_text() {
        let documents = random_documents(30, 50);
        let tokens = documents.tokens().0;
        let mut learner = learner(Start::Scratch, 1);
        learner.training.length = TrainingLength::Epochs(1.5);
        let record = fit(&learner, &documents).record;
        assert_eq!(record.steps, (tokens * 3).div_ceil(64));
    }

    #[test]
    fn training_gives_the_same_bits_on_any_number_of_threads() {
        let documents = random_documents(300, 50);
        let mut learner = learner(Start::Scratch, 1);
        // Several shards a step.
        learner.training.batch = 200;
        learner.training.length = TrainingLength::Tokens(Tokens(200 * 8 * 5));
        for precision in Precision::ALL {
            learner.architecture.precision = precision;
            let on = |threads| with_threads(threads, || weights(&fit(&learner, &documents)));
            let one = on(1);
            assert!([2, 3, 8].into_iter().all(|threads| on(threads) == one), "{precision}");
        }
    }

    /// Documents in which the next token is one of three that depend on the two before it.
    fn patterned_documents(count: usize, index: u64) -> Documents {
        let mut stream = place("patterns").stream(index);
        let document = |_| {
            let mut tokens: Vec<TokenId> = vec![1, 2];
            while tokens.len() < 40 {
                let (a, b) = (tokens[tokens.len() - 2], tokens[tokens.len() - 1]);
                let choice = [0, 0, 0, 1, 1, 2][stream.random_range(0..6)];
                tokens.push(1 + (a * 7 + b * 3 + choice * 11) % 49);
            }
            tokens
        };
        (0..count).map(document).collect::<Vec<_>>().iter().map(Vec::as_slice).collect()
    }

    /// 500 steps; 0.5 % of the held-out loss.
    #[test]
    fn training_in_bf16_ends_at_the_held_out_loss_of_f32() {
        let heldout = patterned_documents(100, 1);
        let loss = |precision| {
            let mut learner = learner(Start::Scratch, 500);
            learner.architecture =
                config::Transformer { layers: 2, width: 32, heads: 2, ffn: 88, context: 32, precision };
            learner.training.batch = 16;
            learner.training.length = TrainingLength::Tokens(Tokens(500 * 16 * 32));
            let trained = fit(&learner, &patterned_documents(500, 0));
            let scores = staged(|stage| trained.model.score(&heldout, stage).unwrap()).log_probabilities;
            -scores.iter().map(|&x| f64::from(x)).sum::<f64>() / scores.len() as f64
        };
        let (exact, rounded) = (loss(Precision::F32), loss(Precision::Bf16));
        assert!(exact < 0.6 * 49f64.ln(), "it learnt nothing: {exact}");
        assert!((rounded / exact - 1.0).abs() < 0.005, "{rounded}, not {exact}");
    }

    #[test]
    fn an_interrupted_training_goes_on_to_the_same_bits() {
        for precision in Precision::ALL {
            let mut learner = learner(Start::Scratch, 60);
            learner.architecture.precision = precision;
            goes_on_to_the_same_bits(&learner);
        }
    }

    fn goes_on_to_the_same_bits(learner: &TransformerLearner) {
        let documents = random_documents(30, 50);
        let undisturbed = fit(learner, &documents);
        for (first, second, due) in [(1, 1, false), (23, 17, true), (59, 100, false)] {
            let mut kept = Kept::new(due);
            assert!(matches!(
                fit_for(learner, &documents, first, &mut kept),
                Err(TrainingError::Interrupted)
            ));
            // The first event of a run that goes on is what was done before.
            match fit_for(learner, &documents, second + 1, &mut kept) {
                Err(error) => assert!(matches!(error, TrainingError::Interrupted)),
                Ok(trained) => assert_eq!(trained.record, undisturbed.record),
            }
            let trained = fit_for(learner, &documents, 1000, &mut kept).unwrap();
            assert_eq!(weights(&trained), weights(&undisturbed));
            assert_eq!(trained.record, undisturbed.record);
        }
    }

    #[test]
    fn a_finished_training_is_not_done_again() {
        let documents = random_documents(30, 50);
        let learner = learner(Start::Scratch, 5);
        let mut kept = Kept::new(false);
        let trained = fit_for(&learner, &documents, 1000, &mut kept).unwrap();
        assert_eq!(kept.saves, 1);
        let again = fit_for(&learner, &documents, 1000, &mut kept).unwrap();
        assert_eq!((kept.saves, weights(&again)), (1, weights(&trained)));
    }

    #[test]
    fn a_damaged_checkpoint_says_to_delete_it() {
        let documents = random_documents(30, 50);
        let learner = learner(Start::Scratch, 60);
        let mut kept = Kept::new(false);
        fit_for(&learner, &documents, 5, &mut kept).err().unwrap();
        let state = kept.standing.clone().unwrap().join("state.safetensors");
        let whole = std::fs::read(&state).unwrap();
        std::fs::write(&state, &whole[..whole.len() / 2]).unwrap();
        let error = fit_for(&learner, &documents, 5, &mut kept).err().unwrap();
        assert!(matches!(error, TrainingError::Checkpoint { .. }));
        assert!(error.to_string().contains("delete this folder"), "{error}");
        std::fs::write(&state, &whole).unwrap();
        let longer = TransformerLearner {
            training: Training { length: TrainingLength::Epochs(50.0), ..learner.training.clone() },
            ..learner
        };
        let error = fit_for(&longer, &documents, 5, &mut kept).err().unwrap();
        assert!(error.to_string().contains("step 5 of 60"), "{error}");
    }

    #[test]
    fn a_loss_that_is_no_number_stops_the_training() {
        let mut learner = learner(Start::Scratch, 60);
        learner.training.learning_rate = 1e30;
        let error =
            staged(|stage| learner.fit(&random_documents(30, 50), &mut NoCheckpoints, stage)).err().unwrap();
        assert!(
            error.to_string().contains("seed 1, test, generation 0: training diverged at step"),
            "{error}"
        );
    }

    #[test]
    fn too_little_text_is_refused() {
        let documents: Documents = [&[1, 2, 3][..]].into_iter().collect();
        let learner = learner(Start::Scratch, 1);
        let error = staged(|stage| learner.fit(&documents, &mut NoCheckpoints, stage)).err().unwrap();
        assert!(matches!(error, TrainingError::TooShort { tokens: Tokens(3), context: 8 }));
    }

    #[test]
    fn a_model_goes_on_from_the_one_before() {
        let documents: Documents = (0..20).map(|_| &[7, 3, 9, 3, 5, 0][..]).collect();
        let dir = tempfile::tempdir().unwrap();
        fit(&learner(Start::Scratch, 100), &documents).model.save(dir.path()).unwrap();
        let on = fit(&learner(Start::Previous(dir.path().to_owned()), 20), &documents);
        let anew = fit(&learner(Start::Scratch, 20), &documents);
        assert!(on.record.curve[0].loss_nats < anew.record.curve[0].loss_nats - 0.5);
        let mut other = learner(Start::Base(dir.path().to_owned()), 20);
        other.architecture.layers = 3;
        let error = staged(|stage| other.fit(&documents, &mut NoCheckpoints, stage)).err().unwrap();
        assert!(error.to_string().contains("it has layers = 2, width = 16"), "{error}");
    }

    #[test]
    fn a_model_computes_as_the_experiment_says_whatever_it_starts_from() {
        let documents: Documents = (0..20).map(|_| &[7, 3, 9, 3, 5, 0][..]).collect();
        let dir = tempfile::tempdir().unwrap();
        let before = fit(&learner(Start::Scratch, 2), &documents);
        assert!(before.model.in_full_precision().is_none());
        before.model.save(dir.path()).unwrap();
        for start in [Start::Scratch, Start::Previous(dir.path().into()), Start::Base(dir.path().into())] {
            let mut learner = learner(start, 2);
            learner.architecture.precision = Precision::Bf16;
            let model = fit(&learner, &documents).model;
            assert!(model.in_full_precision().is_some());
            // The instrument stays the same: as read from a folder, which says nothing of precision.
            model.save(dir.path()).unwrap();
            let read = Transformer::load(dir.path(), &Device::Cpu).unwrap();
            assert!(read.in_full_precision().is_none());
            let of = |model: &dyn LanguageModel| staged(|stage| model.score(&documents, stage).unwrap());
            assert_eq!(of(model.as_ref()), of(&read));
        }
    }
}

/// Documents of several windows. Greedy writing goes on with its own choice for certain, and with nothing else.
#[test]
fn scores_through_a_decoder_are_those_of_what_it_would_write() {
    let model = lively(grouped_shape());
    let documents = random_documents(5, model.vocab_size());
    let scores = staged(|stage| model.score(&documents, stage)).unwrap();
    let plain = staged(|stage| model.score_decoded(&documents, &Decoding::PLAIN, stage)).unwrap();
    assert!(scores.log_probabilities.iter().zip(&plain).all(|(a, b)| (a - b).abs() < 1e-4));
    let likely = Decoding { min_p: Some(1.0), ..Decoding::PLAIN };
    let best = staged(|stage| model.score_decoded(&documents, &likely, stage)).unwrap();
    let greedy = staged(|stage| model.score_decoded(&documents, &greedy(), stage)).unwrap();
    assert_eq!(best, greedy);
    assert!(greedy.iter().all(|&log| log == 0.0 || log == f32::NEG_INFINITY));
}
