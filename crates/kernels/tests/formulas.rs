//! Compares every fused operation with a direct implementation of its formula in f64, and its gradient with central
//! differences of that implementation. Inputs are drawn with fixed seeds.

use genloss_kernels::attention::{
    self, AttentionScratch, CausalAttention, Heads, Rotary, Scoring, SoftmaxStats,
};
use genloss_kernels::instructions::Instructions;
use genloss_kernels::matmul::MatmulOptions;
use genloss_kernels::norm::rms;
use genloss_kernels::{Precision, softmax, swiglu};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Step of the central differences.
const H: f64 = 1e-5;

fn generator(seed: u64) -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(seed)
}

fn numbers(count: usize, rng: &mut ChaCha8Rng) -> Vec<f32> {
    (0..count).map(|_| rng.random_range(-2.0..2.0)).collect()
}

fn to_f64(x: &[f32]) -> Vec<f64> {
    x.iter().map(|&x| f64::from(x)).collect()
}

/// Asserts that errors are within `tolerance` times the largest element.
fn assert_close(fast: &[f32], slow: &[f64], tolerance: f64, what: &str) {
    assert_eq!(fast.len(), slow.len(), "{what}");
    let largest = slow.iter().fold(1e-3f64, |m, x| m.max(x.abs()));
    for (i, (fast, slow)) in fast.iter().zip(slow).enumerate() {
        let error = (f64::from(*fast) - slow).abs();
        assert!(error <= tolerance * largest, "{what}: number {i} is {fast}, not {slow}");
    }
}

/// `∂/∂x Σ g · f(x)` by central differences.
fn differences(x: &[f32], gradient: &[f32], f: impl Fn(&[f64]) -> Vec<f64>) -> Vec<f64> {
    let weighted = |x: &[f64]| f(x).iter().zip(gradient).map(|(y, &g)| y * f64::from(g)).sum::<f64>();
    let x = to_f64(x);
    let slope = |i: usize| {
        let moved = |by: f64| {
            let mut moved = x.clone();
            moved[i] += by;
            weighted(&moved)
        };
        (moved(H) - moved(-H)) / (2.0 * H)
    };
    (0..x.len()).map(slope).collect()
}

/// `w · x / √(mean x² + ε)`, row by row.
fn plain_norm(x: &[f64], weight: &[f64]) -> Vec<f64> {
    let row = |x: &[f64]| {
        let scale = (x.iter().map(|x| x * x).sum::<f64>() / x.len() as f64 + 1e-5).sqrt();
        x.iter().zip(weight).map(|(x, w)| w * x / scale).collect::<Vec<_>>()
    };
    x.chunks(weight.len()).flat_map(row).collect()
}

#[test]
fn the_norm_and_its_gradients_agree_with_the_formula() {
    for (rows, width) in [(1, 2), (3, 7), (2, 16), (4, 67)] {
        let mut rng = generator(width as u64);
        let (x, weight) = (numbers(rows * width, &mut rng), numbers(width, &mut rng));
        let gradient = numbers(rows * width, &mut rng);
        let (mut y, mut scales) = (vec![0.0; x.len()], vec![0.0; rows]);
        rms::forward(&x, &weight, 1e-5, &mut y, &mut scales);
        assert_close(&y, &plain_norm(&to_f64(&x), &to_f64(&weight)), 1e-6, "forward");
        let (mut dx, mut dw) = (vec![0.0; x.len()], vec![0.0; width]);
        rms::backward(&x, &weight, &scales, &gradient, &mut dx, &mut dw);
        let expected_dx = differences(&x, &gradient, |x| plain_norm(x, &to_f64(&weight)));
        assert_close(&dx, &expected_dx, 1e-5, "gradient with respect to x");
        let expected_dw = differences(&weight, &gradient, |weight| plain_norm(&to_f64(&x), weight));
        assert_close(&dw, &expected_dw, 1e-5, "gradient with respect to the weight");
    }
}

/// `silu(gate) · up`.
fn plain_swiglu(gate_up: &[f64], ffn: usize) -> Vec<f64> {
    let row = |row: &[f64]| {
        let (gate, up) = row.split_at(ffn);
        gate.iter().zip(up).map(|(g, u)| g / (1.0 + (-g).exp()) * u).collect::<Vec<_>>()
    };
    gate_up.chunks(2 * ffn).flat_map(row).collect()
}

#[test]
fn swiglu_and_its_gradient_agree_with_the_formula() {
    for (rows, ffn) in [(1, 1), (3, 5), (2, 16), (2, 45)] {
        let mut rng = generator(100 + ffn as u64);
        let mut gate_up = numbers(rows * 2 * ffn, &mut rng);
        let gradient = numbers(rows * ffn, &mut rng);
        let mut y = vec![0.0; rows * ffn];
        swiglu::forward(&gate_up, ffn, &mut y);
        assert_close(&y, &plain_swiglu(&to_f64(&gate_up), ffn), 1e-6, "forward");
        let slopes = differences(&gate_up, &gradient, |x| plain_swiglu(x, ffn));
        swiglu::backward(&mut gate_up, ffn, &gradient);
        assert_close(&gate_up, &slopes, 1e-5, "backward");
    }
}

/// `Σ_rows ln Σ e^z − z_target`.
fn plain_cross_entropy(logits: &[f64], targets: &[u32]) -> Vec<f64> {
    let vocabulary = logits.len() / targets.len();
    let row =
        |(row, &target): (&[f64], &u32)| row.iter().map(|z| z.exp()).sum::<f64>().ln() - row[target as usize];
    vec![logits.chunks(vocabulary).zip(targets).map(row).sum()]
}

#[test]
fn cross_entropy_and_its_gradient_agree_with_the_formula() {
    for vocabulary in [1, 5, 16, 83] {
        let mut rng = generator(200 + vocabulary as u64);
        let targets: Vec<u32> = (0..3).map(|_| rng.random_range(0..vocabulary as u32)).collect();
        let mut logits = numbers(3 * vocabulary, &mut rng);
        let slopes = differences(&logits, &[0.25], |logits| plain_cross_entropy(logits, &targets));
        let expected = plain_cross_entropy(&to_f64(&logits), &targets)[0];
        let nats = softmax::cross_entropy(&mut logits, &targets, 0.25);
        assert!((nats - expected).abs() < 1e-5 * expected.abs().max(1.0), "{nats}, not {expected}");
        assert_close(&logits, &slopes, 1e-5, "backward");
    }
}

/// Causal attention with rotary positions over one sequence (T, (H + 2K) D), from its definition.
fn plain_attention(qkv: &[f64], heads: Heads) -> Vec<f64> {
    let Heads { queries, keys, width } = heads;
    let rotated = |position: usize, start: usize| -> Vec<f64> {
        let x = &qkv[position * heads.qkv_width() + start..][..width];
        let half = width / 2;
        let pair = |i: usize| {
            let angle = position as f64 * 10_000f64.powf(-2.0 * (i % half) as f64 / width as f64);
            let (first, second) = (x[i % half], x[i % half + half]);
            if i < half {
                first * angle.cos() - second * angle.sin()
            } else {
                second * angle.cos() + first * angle.sin()
            }
        };
        (0..width).map(pair).collect()
    };
    let time = qkv.len() / heads.qkv_width();
    let mut output = Vec::new();
    for t in 0..time {
        for head in 0..queries {
            let key_head = head / (queries / keys);
            let q = rotated(t, head * width);
            let weight = |s: usize| {
                let k = rotated(s, (queries + key_head) * width);
                let product: f64 = q.iter().zip(k).map(|(q, k)| q * k).sum();
                (product / (width as f64).sqrt()).exp()
            };
            let weights: Vec<f64> = (0..=t).map(weight).collect();
            let total: f64 = weights.iter().sum();
            let value =
                |s: usize, d: usize| qkv[s * heads.qkv_width() + (queries + keys + key_head) * width + d];
            output.extend(
                (0..width)
                    .map(|d| weights.iter().enumerate().map(|(s, w)| w / total * value(s, d)).sum::<f64>()),
            );
        }
    }
    output
}

/// In bf16 each factor has a relative error of up to 2⁻⁹, and a product of several factors has a few times that error.
#[test]
fn attention_and_its_gradient_agree_with_the_formula() {
    let shapes = [
        (1, Heads { queries: 1, keys: 1, width: 2 }),
        (5, Heads { queries: 2, keys: 1, width: 6 }),
        (9, Heads { queries: 4, keys: 2, width: 4 }),
    ];
    for (time, heads) in shapes {
        for instructions in Instructions::all() {
            for (precision, tolerance) in [(Precision::F32, 2e-5), (Precision::Bf16, 0.03)] {
                let options = MatmulOptions { precision, instructions };
                let mut rng = generator(300 + time as u64);
                let mut qkv = numbers(2 * time * heads.qkv_width(), &mut rng);
                let columns = heads.queries * heads.width;
                let gradient = numbers(2 * time * columns, &mut rng);
                let rotary = Rotary::new(heads.width, time, 10_000.0);
                let mut scratch = AttentionScratch::default();
                let mut output = vec![0.0; 2 * time * columns];
                let mut stats = vec![SoftmaxStats::default(); 2 * time * heads.queries];
                let causal = CausalAttention {
                    options,
                    sequence_len: time,
                    heads,
                    scoring: Scoring::of(heads),
                    rotary: &rotary,
                };
                attention::forward(causal, &qkv, &mut scratch, &mut output, &mut stats);
                let plain = |qkv: &[f64]| -> Vec<f64> {
                    qkv.chunks(time * heads.qkv_width()).flat_map(|qkv| plain_attention(qkv, heads)).collect()
                };
                assert_close(&output, &plain(&to_f64(&qkv)), tolerance, &format!("{options:?} forward"));
                let slopes = differences(&qkv, &gradient, plain);
                attention::backward(causal, &mut qkv, &mut scratch, &gradient, &stats);
                assert_close(&qkv, &slopes, tolerance, &format!("{options:?} backward"));
            }
        }
    }
}

/// Sequences of exactly one block of queries (64 positions), and longer sequences.
#[test]
fn long_attention_agrees_with_the_formula() {
    let heads = Heads { queries: 2, keys: 1, width: 18 };
    for time in [64, 65, 130] {
        for instructions in Instructions::all() {
            let options = MatmulOptions { precision: Precision::F32, instructions };
            let mut rng = generator(400 + time as u64);
            let qkv = numbers(time * heads.qkv_width(), &mut rng);
            let rotary = Rotary::new(heads.width, time, 10_000.0);
            let mut output = vec![0.0; time * heads.queries * heads.width];
            let mut stats = vec![SoftmaxStats::default(); time * heads.queries];
            let mut scratch = AttentionScratch::default();
            let causal = CausalAttention {
                options,
                sequence_len: time,
                heads,
                scoring: Scoring::of(heads),
                rotary: &rotary,
            };
            attention::forward(causal, &qkv, &mut scratch, &mut output, &mut stats);
            assert_close(
                &output,
                &plain_attention(&to_f64(&qkv), heads),
                2e-5,
                &format!("{options:?}, {time}"),
            );
        }
    }
}
