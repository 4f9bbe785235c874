//! Statistics of a categorical model, all of which are functions of its counts.

use rayon::prelude::*;

/// Names of the statistics, in the order in which [`of_counts`] returns them.
pub(super) const NAMES: [&str; 7] =
    ["gini_simpson", "entropy", "types_alive", "tail_types_alive", "tail_mass", "hill_1", "hill_2"];

/// Number of types that are summed together. Fixed, so that rounding does not depend on the number of threads.
const BLOCK: usize = 8192;

/// Sums over a block of types with frequencies q.
#[derive(Clone, Copy, Debug, Default)]
struct BlockSums {
    /// Σ q².
    squares: f64,
    /// Σ q ln q.
    logs: f64,
    types: u64,
    tail_types: u64,
    tail_count: u64,
}

/// The statistics [`NAMES`], where q = counts/total: 1 − Σ q²; −Σ q ln q in nats; the number of types with q > 0; the
/// number of tail types with q > 0; the mass of the tail types; exp of the entropy; 1/Σ q². `counts` and `is_tail` have
/// one entry per type.
pub(super) fn of_counts(counts: &[u64], is_tail: &[bool]) -> [f64; 7] {
    let total = counts.iter().sum::<u64>() as f64;
    let blocks: Vec<BlockSums> = if counts.len() <= BLOCK {
        vec![of_block(counts, is_tail, total)]
    } else {
        let blocks = counts.par_chunks(BLOCK).zip(is_tail.par_chunks(BLOCK));
        blocks.map(|(counts, is_tail)| of_block(counts, is_tail, total)).collect()
    };
    let all = blocks.iter().fold(BlockSums::default(), |all, block| BlockSums {
        squares: all.squares + block.squares,
        logs: all.logs + block.logs,
        types: all.types + block.types,
        tail_types: all.tail_types + block.tail_types,
        tail_count: all.tail_count + block.tail_count,
    });
    // Turns −0 into 0 for display.
    let entropy = (-all.logs).max(0.0);
    [
        1.0 - all.squares,
        entropy,
        all.types as f64,
        all.tail_types as f64,
        all.tail_count as f64 / total,
        entropy.exp(),
        1.0 / all.squares,
    ]
}

fn of_block(counts: &[u64], is_tail: &[bool], total: f64) -> BlockSums {
    let mut sums = BlockSums::default();
    for (&count, &is_tail) in counts.iter().zip(is_tail).filter(|(count, _)| **count > 0) {
        let q = count as f64 / total;
        sums.squares += q * q;
        sums.logs += q * q.ln();
        sums.types += 1;
        sums.tail_types += u64::from(is_tail);
        sums.tail_count += if is_tail { count } else { 0 };
    }
    sums
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By hand for q = ½, ¼, ¼.
    #[test]
    fn statistics_of_three_types_match_a_calculation_by_hand() {
        let found = of_counts(&[4, 0, 2, 2], &[false, true, false, true]);
        let entropy = 1.5 * 2.0_f64.ln();
        let expected = [0.625, entropy, 3.0, 1.0, 0.25, entropy.exp(), 1.0 / 0.375];
        assert!(found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-12), "{found:?}");
    }
}
