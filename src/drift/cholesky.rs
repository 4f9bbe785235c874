//! Cholesky factorisation of a symmetric positive definite matrix: A = L Lᵀ with L lower triangular.
//!
//! The textbook algorithm, column by column: `L_jj = √(A_jj − Σ_k L_jk²)`, `L_ij = (A_ij − Σ_k L_ik L_jk)/L_jj`.
//! Matrices here have a few dozen rows.
//!
//! `nalgebra::Cholesky` is not used, because it accepts every positive pivot, and a covariance that has collapsed in
//! one direction leaves a tiny positive pivot that is pure rounding error. It also sums in another order, which would
//! change the last bits of published results. A test compares the two.
//!
//! ```
//! use genloss::drift::cholesky::{factor, solve};
//! use ndarray::array;
//! let lower = factor(&array![[4.0, 2.0], [2.0, 5.0]]).expect("positive definite");
//! assert_eq!(lower, array![[2.0, 0.0], [1.0, 2.0]]);
//! // 4·1 + 2·2 = 8 and 2·1 + 5·2 = 12.
//! assert_eq!(solve(&lower, &array![8.0, 12.0]), array![1.0, 2.0]);
//! ```

use ndarray::{Array1, Array2, ArrayView1, Axis, Slice};

/// A pivot below this fraction of its diagonal entry is rounding error.
const MIN_PIVOT: f64 = 1e-13;

/// The factor L of a square `matrix`. Only the lower triangle of the matrix is read. None if the matrix is not positive
/// definite to within rounding.
#[must_use]
pub fn factor(matrix: &Array2<f64>) -> Option<Array2<f64>> {
    let size = matrix.nrows();
    let mut lower = Array2::zeros((size, size));
    for column in 0..size {
        for row in column..size {
            let explained = part(lower.row(row), ..column).dot(&part(lower.row(column), ..column));
            let left: f64 = matrix[[row, column]] - explained;
            if row > column {
                lower[[row, column]] = left / lower[[column, column]];
            } else if left > MIN_PIVOT * matrix[[column, column]] {
                lower[[column, column]] = left.sqrt();
            } else {
                return None;
            }
        }
    }
    Some(lower)
}

/// Solves L Lᵀ x = b for x, where `lower` is L and `right` is b.
#[must_use]
pub fn solve(lower: &Array2<f64>, right: &Array1<f64>) -> Array1<f64> {
    let size = lower.nrows();
    let mut x = right.to_owned();
    for row in 0..size {
        let known = part(lower.row(row), ..row).dot(&part(x.view(), ..row));
        x[row] = (x[row] - known) / lower[[row, row]];
    }
    for row in (0..size).rev() {
        let known = part(lower.column(row), row + 1..).dot(&part(x.view(), row + 1..));
        x[row] = (x[row] - known) / lower[[row, row]];
    }
    x
}

/// The elements of `vector` in `range`. (ndarray's `s!` contains unsafe code.)
fn part(mut vector: ArrayView1<f64>, range: impl Into<Slice>) -> ArrayView1<f64> {
    vector.slice_axis_inplace(Axis(0), range.into());
    vector
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed::StreamKey;
    use ndarray::array;
    use rand_distr::{Distribution, StandardNormal};

    /// By hand: L = [[2, 0, 0], [1, 2, 0], [3, 1, 1]].
    #[test]
    fn the_factor_of_a_small_matrix_matches_a_calculation_by_hand() {
        let matrix = array![[4.0, 2.0, 6.0], [2.0, 5.0, 5.0], [6.0, 5.0, 11.0]];
        let lower = factor(&matrix).unwrap();
        assert_eq!(lower, array![[2.0, 0.0, 0.0], [1.0, 2.0, 0.0], [3.0, 1.0, 1.0]]);
        let x = array![1.0, -2.0, 0.5];
        let found = solve(&lower, &matrix.dot(&x));
        assert!((found - x).iter().all(|difference| difference.abs() < 1e-12));
    }

    /// They are compared on a 12 × 12 Gram matrix of random rows.
    #[test]
    fn factors_and_solutions_agree_with_nalgebra() {
        let mut rng = StreamKey::new(1, "", 0, "cholesky test").stream(0);
        let rows: Array2<f64> = Array2::from_shape_simple_fn((40, 12), || StandardNormal.sample(&mut rng));
        let matrix = rows.t().dot(&rows);
        let right: Array1<f64> = rows.row(0).to_owned();
        let lower = factor(&matrix).unwrap();
        let reference =
            nalgebra::Cholesky::new(nalgebra::DMatrix::from_fn(12, 12, |i, j| matrix[[i, j]])).unwrap();
        for ((i, j), &found) in lower.indexed_iter().filter(|((i, j), _)| i >= j) {
            assert!((found - reference.l_dirty()[(i, j)]).abs() < 1e-12 * lower[[i, i]], "({i}, {j})");
        }
        let expected = reference.solve(&nalgebra::DVector::from_fn(12, |i, _| right[i]));
        for (found, expected) in solve(&lower, &right).iter().zip(&expected) {
            assert!((found - expected).abs() < 1e-12, "{found} {expected}");
        }
    }

    #[test]
    fn a_singular_matrix_has_no_factor() {
        assert_eq!(factor(&array![[1.0, 2.0], [2.0, 4.0]]), None);
        assert_eq!(factor(&array![[0.0]]), None);
    }
}
