//! The speed of matrix products whose factors stay in the caches: an upper bound on the speed of a program.

use super::{MatmulOptions, OutputMode, PackedRows, Panels, multiply};
use std::time::Instant;

/// Rows, columns and depth of the timed product.
const SIDE: usize = 192;
const TRIES: usize = 8;
const SECONDS_PER_TRY: f64 = 0.1;

/// Multiplications and additions per second, in units of 10⁹, of all threads of the current pool together. This is the
/// best of eight trials of 0.1 s.
#[must_use]
pub fn peak_gflops(options: MatmulOptions) -> f64 {
    let all_threads = |_| rayon::broadcast(|_| one_try(options)).iter().sum();
    (0..TRIES).map(all_threads).fold(0.0, f64::max)
}

/// Multiplications and additions per second of the calling thread in one trial, in units of 10⁹.
fn one_try(options: MatmulOptions) -> f64 {
    let precision = options.precision;
    let ones = vec![1f32; SIDE * SIDE];
    let rows = PackedRows::pack(precision, &ones, SIDE);
    let panels = Panels::from_rows(precision, &ones, SIDE);
    let mut out = vec![0f32; SIDE * SIDE];
    let start = Instant::now();
    let mut products = 0;
    while start.elapsed().as_secs_f64() < SECONDS_PER_TRY {
        multiply(options, &rows.words, rows.stride, panels.view(), &mut out, OutputMode::Overwrite);
        products += 1;
    }
    f64::from(products) * 2.0 * (SIDE as f64).powi(3) / start.elapsed().as_secs_f64() / 1e9
}
