//! Dealing samples out to types, in fixed blocks of types, so that several threads can work at one draw.
//!
//! The totals of blocks are drawn first, then every block from a random stream of its own. Neither depends on the
//! number of threads.

use crate::seed::{Stream, StreamKey};
use rayon::prelude::*;
use std::iter::Sum;

/// Types that share a random stream.
const BLOCK: usize = 1024;

/// What each of the `weights` (types) gets of `wanted` samples (types). `fill` deals to one run of types: it is given
/// zeros to fill, the samples to deal, the run's weights and a stream of `key`.
pub(super) fn deal<W>(
    wanted: u64,
    weights: &[W],
    key: &StreamKey,
    fill: impl Fn(&mut [u64], u64, &[W], &mut Stream) + Sync,
) -> Vec<u64>
where
    W: Copy + Send + Sync + Sum,
{
    let mut dealt = vec![0; weights.len()];
    if weights.len() <= BLOCK {
        fill(&mut dealt, wanted, weights, &mut key.stream(1));
        return dealt;
    }
    let of_blocks: Vec<W> = weights.par_chunks(BLOCK).map(|block| block.iter().copied().sum()).collect();
    let mut wanted_of = vec![0; of_blocks.len()];
    fill(&mut wanted_of, wanted, &of_blocks, &mut key.stream(0));
    let blocks = dealt.par_chunks_mut(BLOCK).zip(weights.par_chunks(BLOCK)).zip(&wanted_of);
    blocks.enumerate().for_each(|(block, ((dealt, weights), &wanted))| {
        if wanted > 0 {
            fill(dealt, wanted, weights, &mut key.stream(block as u64 + 1));
        }
    });
    dealt
}
