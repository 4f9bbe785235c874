//! Every product against the plain triple sum in f64, on random shapes, with and without vector instructions.

use super::*;
use crate::seed::StreamKey;
use rand::Rng;
use rand::seq::IndexedRandom;

fn numbers(count: usize, stream: &mut crate::seed::Stream) -> Vec<f32> {
    (0..count).map(|_| stream.random_range(-1.0..1.0)).collect()
}

/// What a factor holds of a number.
fn kept(precision: Precision, x: f32) -> f64 {
    match precision {
        Precision::F32 => f64::from(x),
        Precision::Bf16 => f64::from(half::bf16::from_f32(x).to_f32()),
    }
}

/// `Σ_k a(m, k) b(k, n)`, and the sum of the products' sizes.
fn slow(
    precision: Precision,
    (m, n, k): (usize, usize, usize),
    a: impl Fn(usize, usize) -> f32,
    b: impl Fn(usize, usize) -> f32,
) -> Vec<(f64, f64)> {
    let sum = |m: usize, n: usize| {
        let products = (0..k).map(|k| kept(precision, a(m, k)) * kept(precision, b(k, n)));
        products.fold((0.0, 0.0), |(sum, size), x| (sum + x, size + x.abs()))
    };
    (0..m * n).map(|i| sum(i / n, i % n)).collect()
}

/// Within the rounding of an f32 sum of so many terms.
fn assert_close(fast: &[f32], slow: &[(f64, f64)], before: f64, what: &str) {
    assert_eq!(fast.len(), slow.len(), "{what}");
    for (i, (fast, (sum, size))) in fast.iter().zip(slow).enumerate() {
        let error = (f64::from(*fast) - before - sum).abs();
        assert!(error <= 1e-6 * (size + before.abs() + 0.1), "{what}: number {i} is {fast}, not {sum}");
    }
}

fn hows() -> Vec<How> {
    let both = [Instructions::detect(), Instructions::portable()];
    let all =
        |instructions| [Precision::F32, Precision::Bf16].map(|precision| How { precision, instructions });
    both.into_iter().flat_map(all).collect()
}

const SIDES: [usize; 16] = [1, 2, 3, 4, 5, 6, 7, 13, 16, 17, 31, 33, 63, 64, 65, 130];

#[test]
fn products_of_any_shape_agree_with_the_plain_sum() {
    let mut stream = StreamKey::new(1, "", 0, "matmul").stream(0);
    for how in hows() {
        for round in 0..60 {
            let mut side = || *SIDES.choose(&mut stream).unwrap();
            let (m, n, k) = (side(), side(), if round % 20 == 0 { 1100 } else { side() });
            let (a, b) = (numbers(m * k, &mut stream), numbers(k * n, &mut stream));
            let turned: Vec<f32> = (0..n * k).map(|i| b[i % k * n + i / k]).collect();
            let rows = Units::rows(how.precision, &a, k);
            let expected = slow(how.precision, (m, n, k), |m, i| a[m * k + i], |i, n_| b[i * n + n_]);
            let what = format!("{how:?}, {m} × {n} × {k}");
            for panels in
                [Panels::of_rows(how.precision, &b, n), Panels::of_columns(how.precision, &turned, k)]
            {
                let mut out = vec![0.5; m * n];
                multiply(how, &rows.units, rows.stride, panels.view(), &mut out, Into::Replace);
                assert_close(&out, &expected, 0.0, &what);
                out.fill(0.5);
                multiply(how, &rows.units, rows.stride, panels.view(), &mut out, Into::Add);
                assert_close(&out, &expected, 0.5, &what);
            }
        }
    }
}

#[test]
fn transposed_products_add_up_over_their_parts() {
    let mut stream = StreamKey::new(2, "", 0, "matmul").stream(0);
    for how in hows() {
        for _ in 0..40 {
            let mut side = || *SIDES.choose(&mut stream).unwrap();
            let (m, n, depths) = (side(), side(), [side(), side()]);
            let parts: Vec<(Vec<f32>, Vec<f32>)> =
                depths.iter().map(|k| (numbers(k * m, &mut stream), numbers(k * n, &mut stream))).collect();
            let packed: Vec<(Panels, Panels)> = parts
                .iter()
                .map(|(a, b)| (Panels::of_rows(how.precision, a, m), Panels::of_rows(how.precision, b, n)))
                .collect();
            let views: Vec<_> = packed.iter().map(|(a, b)| (a.view(), b.view())).collect();
            let mut expected = vec![(0.0, 0.0); m * n];
            for ((a, b), k) in parts.iter().zip(depths) {
                let part = slow(how.precision, (m, n, k), |i, k| a[k * m + i], |k, j| b[k * n + j]);
                for (sum, part) in expected.iter_mut().zip(part) {
                    *sum = (sum.0 + part.0, sum.1 + part.1);
                }
            }
            for panel in 0..packed[0].0.count() {
                let rows = panel * PANEL..m.min((panel + 1) * PANEL);
                let mut out = vec![0.0; rows.len() * n];
                multiply_transposed(how, &views, panel, &mut out, Into::Replace);
                let what = format!("{how:?}, {m} × {n} × {depths:?}");
                assert_close(&out, &expected[rows.start * n..rows.end * n], 0.0, &what);
            }
        }
    }
}

/// Ties go to the even neighbour: 1 + 2⁻⁸ lies between 1 and 1 + 2⁻⁷, 1 + 3·2⁻⁸ between 1 + 2⁻⁷ and 1 + 2⁻⁶.
#[test]
fn rounding_to_bf16_is_to_the_nearest_even() {
    let mut stream = StreamKey::new(3, "", 0, "matmul").stream(0);
    let mut values = numbers(1000, &mut stream);
    values.extend([
        0.0,
        -0.0,
        f32::INFINITY,
        f32::MIN_POSITIVE,
        1.0 + 2f32.powi(-8),
        1.0 + 3.0 * 2f32.powi(-8),
    ]);
    values.extend([f32::MAX, f32::from_bits(0x7fff_ffff), f32::NAN, 1e-40]);
    for columns in [values.len(), 7, 1] {
        let values = &values[..values.len() / columns * columns];
        let units = Units::rows(Precision::Bf16, values, columns);
        let mut back = vec![0.0; values.len()];
        units.read(Precision::Bf16, columns, 0, &mut back);
        for (value, back) in values.iter().zip(back) {
            let expected = half::bf16::from_f32(*value).to_f32();
            assert!(
                back == expected || back.is_nan() && expected.is_nan(),
                "{value}: {back}, not {expected}"
            );
        }
    }
}

#[test]
fn a_product_does_not_depend_on_the_rows_beside_it() {
    let mut stream = StreamKey::new(4, "", 0, "matmul").stream(0);
    for how in hows() {
        let (a, b) = (numbers(23 * 40, &mut stream), numbers(40 * 70, &mut stream));
        let panels = Panels::of_rows(how.precision, &b, 70);
        let product = |a: &[f32]| {
            let rows = Units::rows(how.precision, a, 40);
            let mut out = vec![0.0; a.len() / 40 * 70];
            multiply(how, &rows.units, rows.stride, panels.view(), &mut out, Into::Replace);
            out
        };
        let together = product(&a);
        for (row, together) in a.chunks(40).zip(together.chunks(70)) {
            assert_eq!(product(row), together);
        }
    }
}
