//! The speed of matrix products whose factors stay in the caches: an upper bound on the speed of a program.

use super::{MatmulOptions, OutputMode, PackedRows, Panels, multiply};
use crate::best_rate::best_rate;

/// Rows, columns and depth of the timed product.
const SIDE: usize = 192;

/// Multiplications and additions per second, in units of 10⁹, of all threads of the current pool together. This is the
/// best of several trials.
#[must_use]
pub fn peak_gflops(options: MatmulOptions) -> f64 {
    best_rate(|| {
        let ones = vec![1f32; SIDE * SIDE];
        let rows = PackedRows::pack(options.precision, &ones, SIDE);
        let panels = Panels::from_rows(options.precision, &ones, SIDE);
        let mut out = vec![0f32; SIDE * SIDE];
        move || {
            multiply(options, &rows.words, rows.stride, panels.view(), &mut out, OutputMode::Overwrite);
            2.0 * (SIDE as f64).powi(3)
        }
    })
}
