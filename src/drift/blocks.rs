//! Drawing counts in fixed blocks of types, so that several threads can share one draw.
//!
//! First the totals of all blocks are drawn. Then the counts within each block are drawn from a random stream of that
//! block. Neither the totals nor the counts depend on the number of threads.

use crate::seed::{Stream, StreamKey};
use rayon::prelude::*;
use std::iter::Sum;

/// Number of types that share a random stream.
const BLOCK: usize = 1024;

/// Draws `samples` samples in proportion to `weights`, one weight per type, and returns the count of each type. `fill`
/// draws the counts of one block: its arguments are zeros to overwrite, the number of samples, the weights of the
/// block, and a random stream.
pub(super) fn draw_in_blocks<W>(
    samples: u64,
    weights: &[W],
    key: &StreamKey,
    fill: impl Fn(&mut [u64], u64, &[W], &mut Stream) + Sync,
) -> Vec<u64>
where
    W: Copy + Send + Sync + Sum,
{
    let mut counts = vec![0; weights.len()];
    if weights.len() <= BLOCK {
        fill(&mut counts, samples, weights, &mut key.stream(1));
        return counts;
    }
    let block_weights: Vec<W> = weights.par_chunks(BLOCK).map(|block| block.iter().copied().sum()).collect();
    let mut block_samples = vec![0; block_weights.len()];
    fill(&mut block_samples, samples, &block_weights, &mut key.stream(0));
    let blocks = counts.par_chunks_mut(BLOCK).zip(weights.par_chunks(BLOCK)).zip(&block_samples);
    blocks.enumerate().for_each(|(block, ((counts, weights), &samples))| {
        if samples > 0 {
            fill(counts, samples, weights, &mut key.stream(block as u64 + 1));
        }
    });
    counts
}
