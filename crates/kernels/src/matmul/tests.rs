//! Compares every product with a plain triple loop in f64, on random matrices (seeds 1 to 4), with and without vector
//! instructions.

use super::*;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

fn numbers(count: usize, stream: &mut ChaCha8Rng) -> Vec<f32> {
    (0..count).map(|_| stream.random_range(-1.0..1.0)).collect()
}

/// A number rounded to the precision of a factor.
fn rounded(precision: Precision, x: f32) -> f64 {
    match precision {
        Precision::F32 => f64::from(x),
        Precision::Bf16 => f64::from(half::bf16::from_f32(x).to_f32()),
    }
}

/// `Σ_k a(m, k) b(k, n)` in f64, and `Σ_k |a(m, k) b(k, n)|`.
fn plain_product(
    precision: Precision,
    (m, n, k): (usize, usize, usize),
    a: impl Fn(usize, usize) -> f32,
    b: impl Fn(usize, usize) -> f32,
) -> Vec<(f64, f64)> {
    let sum = |m: usize, n: usize| {
        let products = (0..k).map(|k| rounded(precision, a(m, k)) * rounded(precision, b(k, n)));
        products.fold((0.0, 0.0), |(sum, size), x| (sum + x, size + x.abs()))
    };
    (0..m * n).map(|i| sum(i / n, i % n)).collect()
}

/// Asserts that errors are within 1e-6 times the sum of magnitudes, which allows for rounding in an f32 sum of up to
/// 1100 terms. `before` is what every number of the output was before a product was added.
fn assert_close(fast: &[f32], slow: &[(f64, f64)], before: f64, what: &str) {
    assert_eq!(fast.len(), slow.len(), "{what}");
    for (i, (fast, (sum, size))) in fast.iter().zip(slow).enumerate() {
        let error = (f64::from(*fast) - before - sum).abs();
        assert!(error <= 1e-6 * (size + before.abs() + 0.1), "{what}: number {i} is {fast}, not {sum}");
    }
}

fn all_options() -> Vec<MatmulOptions> {
    let with = |instructions| {
        [Precision::F32, Precision::Bf16].map(|precision| MatmulOptions { precision, instructions })
    };
    Instructions::all().into_iter().flat_map(with).collect()
}

const SIDES: [usize; 16] = [1, 2, 3, 4, 5, 6, 7, 13, 16, 17, 31, 33, 63, 64, 65, 130];

#[test]
fn products_of_any_shape_agree_with_the_plain_sum() {
    let mut stream = ChaCha8Rng::seed_from_u64(1);
    for options in all_options() {
        for round in 0..60 {
            let mut side = || *SIDES.choose(&mut stream).unwrap();
            let (m, n, k) = (side(), side(), if round % 20 == 0 { 1100 } else { side() });
            let (a, b) = (numbers(m * k, &mut stream), numbers(k * n, &mut stream));
            let transposed: Vec<f32> = (0..n * k).map(|i| b[i % k * n + i / k]).collect();
            let rows = PackedRows::pack(options.precision, &a, k);
            let expected =
                plain_product(options.precision, (m, n, k), |m, i| a[m * k + i], |i, n_| b[i * n + n_]);
            let what = format!("{options:?}, {m} × {n} × {k}");
            for panels in [
                Panels::from_rows(options.precision, &b, n),
                Panels::from_transposed(options.precision, &transposed, k),
            ] {
                let mut out = vec![0.5; m * n];
                multiply(options, &rows.words, rows.stride, panels.view(), &mut out, OutputMode::Overwrite);
                assert_close(&out, &expected, 0.0, &what);
                out.fill(0.5);
                multiply(options, &rows.words, rows.stride, panels.view(), &mut out, OutputMode::Accumulate);
                assert_close(&out, &expected, 0.5, &what);
            }
        }
    }
}

#[test]
fn transposed_products_sum_over_all_pairs() {
    let mut stream = ChaCha8Rng::seed_from_u64(2);
    for options in all_options() {
        for _ in 0..40 {
            let mut side = || *SIDES.choose(&mut stream).unwrap();
            let (m, n, depths) = (side(), side(), [side(), side()]);
            let parts: Vec<(Vec<f32>, Vec<f32>)> =
                depths.iter().map(|k| (numbers(k * m, &mut stream), numbers(k * n, &mut stream))).collect();
            let packed: Vec<(Panels, Panels)> = parts
                .iter()
                .map(|(a, b)| {
                    (Panels::from_rows(options.precision, a, m), Panels::from_rows(options.precision, b, n))
                })
                .collect();
            let views: Vec<_> = packed.iter().map(|(a, b)| (a.view(), b.view())).collect();
            let mut expected = vec![(0.0, 0.0); m * n];
            for ((a, b), k) in parts.iter().zip(depths) {
                let part =
                    plain_product(options.precision, (m, n, k), |i, k| a[k * m + i], |k, j| b[k * n + j]);
                for (sum, part) in expected.iter_mut().zip(part) {
                    *sum = (sum.0 + part.0, sum.1 + part.1);
                }
            }
            for panel in 0..packed[0].0.panel_count() {
                let rows = panel * PANEL..m.min((panel + 1) * PANEL);
                let mut out = vec![0.0; rows.len() * n];
                multiply_transposed(options, &views, panel, &mut out, OutputMode::Overwrite);
                let what = format!("{options:?}, {m} × {n} × {depths:?}");
                assert_close(&out, &expected[rows.start * n..rows.end * n], 0.0, &what);
            }
        }
    }
}

/// Strips, which are used for many rows, give the bits of tiles, which a single row is computed in.
#[test]
fn strips_give_the_bits_of_tiles() {
    let mut stream = ChaCha8Rng::seed_from_u64(5);
    for options in all_options() {
        for (m, n, k) in [(64, 70, 40), (61, 130, 1100), (19, 16, 513)] {
            let (a, b) = (numbers(m * k, &mut stream), numbers(k * n, &mut stream));
            let (rows, panels) =
                (PackedRows::pack(options.precision, &a, k), Panels::from_rows(options.precision, &b, n));
            for mode in [OutputMode::Overwrite, OutputMode::Accumulate] {
                let mut together = vec![0.25; m * n];
                multiply(options, &rows.words, rows.stride, panels.view(), &mut together, mode);
                let mut one_by_one = vec![0.25; m * n];
                for (row, out) in one_by_one.chunks_mut(n).enumerate() {
                    let words = &rows.words[row * rows.stride..][..rows.stride];
                    multiply(options, words, rows.stride, panels.view(), out, mode);
                }
                assert!(together == one_by_one, "{options:?}, {m} × {n} × {k}, {mode:?}");
            }
            // Two pairs whose sums go on in the output, against the same product in tiles, which adding takes.
            let left: Vec<f32> = numbers(k * m, &mut stream);
            let cut = (k / 2).min(500) & !1;
            let part = |numbers: &[f32], columns: usize, from: usize, to: usize| {
                Panels::from_rows(options.precision, &numbers[from * columns..to * columns], columns)
            };
            let parts = [(0, cut), (cut, 2 * cut)];
            let packed = parts.map(|(from, to)| (part(&left, m, from, to), part(&b, n, from, to)));
            let views = packed.each_ref().map(|(left, right)| (left.view(), right.view()));
            let mut in_strips = vec![7.0; m * n];
            multiply_transposed(options, &views, 0, &mut in_strips, OutputMode::Overwrite);
            let mut in_tiles = vec![0.0; m * n];
            multiply_transposed(options, &views, 0, &mut in_tiles, OutputMode::Accumulate);
            assert!(in_strips == in_tiles, "{options:?}, {m} × {n} × {k}, transposed");
        }
    }
}

/// Ties are rounded to the even neighbour: 1 + 2⁻⁸ is halfway between 1 and 1 + 2⁻⁷, 1 + 3·2⁻⁸ between 1 + 2⁻⁷ and 1 +
/// 2⁻⁶.
#[test]
fn rounding_to_bf16_is_to_the_nearest_even() {
    let mut stream = ChaCha8Rng::seed_from_u64(3);
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
        let packed = PackedRows::pack(Precision::Bf16, values, columns);
        let mut back = vec![0.0; values.len()];
        packed.unpack(Precision::Bf16, columns, 0, &mut back);
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
fn a_row_of_a_product_does_not_depend_on_the_rows_beside_it() {
    let mut stream = ChaCha8Rng::seed_from_u64(4);
    for options in all_options() {
        let (a, b) = (numbers(23 * 40, &mut stream), numbers(40 * 70, &mut stream));
        let panels = Panels::from_rows(options.precision, &b, 70);
        let product = |a: &[f32]| {
            let rows = PackedRows::pack(options.precision, a, 40);
            let mut out = vec![0.0; a.len() / 40 * 70];
            multiply(options, &rows.words, rows.stride, panels.view(), &mut out, OutputMode::Overwrite);
            out
        };
        let together = product(&a);
        for (row, together) in a.chunks(40).zip(together.chunks(70)) {
            assert_eq!(product(row), together);
        }
    }
}
