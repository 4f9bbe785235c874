//! The factor L of a symmetric positive definite matrix A = L Lᵀ, L lower triangular.
//!
//! The plain algorithm, column by column: `L_jj = √(A_jj − Σ_k L_jk²)`, `L_ij = (A_ij − Σ_k L_ik L_jk)/L_jj`. Matrices
//! here have a few dozen rows.

use ndarray::{Array1, Array2, s};

/// Below this share of its diagonal entry a pivot is rounding, not a number.
const LEAST_PIVOT: f64 = 1e-13;

/// L (n, n) of `matrix` (n, n), of which the lower triangle is read; None if it is not positive definite to within
/// rounding.
#[must_use]
pub fn factor(matrix: &Array2<f64>) -> Option<Array2<f64>> {
    let size = matrix.nrows();
    let mut lower = Array2::zeros((size, size));
    for column in 0..size {
        for row in column..size {
            let before = lower.slice(s![row, ..column]).dot(&lower.slice(s![column, ..column]));
            let left: f64 = matrix[[row, column]] - before;
            if row > column {
                lower[[row, column]] = left / lower[[column, column]];
            } else if left > LEAST_PIVOT * matrix[[column, column]] {
                lower[[column, column]] = left.sqrt();
            } else {
                return None;
            }
        }
    }
    Some(lower)
}

/// x (n) with L Lᵀ x = b, for `lower` (n, n) and `right` (n).
#[must_use]
pub fn solve(lower: &Array2<f64>, right: &Array1<f64>) -> Array1<f64> {
    let size = lower.nrows();
    let mut x = right.to_owned();
    for row in 0..size {
        let known = lower.slice(s![row, ..row]).dot(&x.slice(s![..row]));
        x[row] = (x[row] - known) / lower[[row, row]];
    }
    for row in (0..size).rev() {
        let known = lower.slice(s![row + 1.., row]).dot(&x.slice(s![row + 1..]));
        x[row] = (x[row] - known) / lower[[row, row]];
    }
    x
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    /// L worked out by hand: [[2, 0, 0], [1, 2, 0], [3, 1, 1]].
    #[test]
    fn a_factor_is_what_the_hand_computes() {
        let matrix = array![[4.0, 2.0, 6.0], [2.0, 5.0, 5.0], [6.0, 5.0, 11.0]];
        let lower = factor(&matrix).unwrap();
        assert_eq!(lower, array![[2.0, 0.0, 0.0], [1.0, 2.0, 0.0], [3.0, 1.0, 1.0]]);
        let x = array![1.0, -2.0, 0.5];
        let found = solve(&lower, &matrix.dot(&x));
        assert!((found - x).iter().all(|difference| difference.abs() < 1e-12));
    }

    #[test]
    fn a_singular_matrix_has_no_factor() {
        assert_eq!(factor(&array![[1.0, 2.0], [2.0, 4.0]]), None);
        assert_eq!(factor(&array![[0.0]]), None);
    }
}
