//! How fast this machine moves numbers between processor and memory: an upper bound on the speed of whatever computes
//! little with each number.

use crate::add_assign;
use std::time::Instant;

/// Numbers in each of the two arrays of all threads together: 512 MiB, more than the caches of most processors.
const NUMBERS: usize = 1 << 27;
/// Bytes read and written for each number: both numbers of the sum, and the sum.
const BYTES: usize = 3 * size_of::<f32>();
const TRIES: usize = 5;
const SECONDS_PER_TRY: f64 = 0.1;

/// Bytes per second, in units of 10⁹, that all threads of the current pool together read and write while each adds one
/// large array to another. This is the best of five trials of 0.1 s. It takes 1 GiB of memory.
#[must_use]
pub fn memory_gbytes() -> f64 {
    let all_threads = |_| rayon::broadcast(|_| one_try()).iter().sum();
    (0..TRIES).map(all_threads).fold(0.0, f64::max)
}

/// Bytes per second of the calling thread in one trial, in units of 10⁹.
fn one_try() -> f64 {
    let numbers = NUMBERS / rayon::current_num_threads();
    let mut target = vec![0f32; numbers];
    let other = vec![1f32; numbers];
    // The first addition makes the pages.
    add_assign(&mut target, &other);
    let start = Instant::now();
    let mut bytes = 0;
    while start.elapsed().as_secs_f64() < SECONDS_PER_TRY {
        add_assign(&mut target, &other);
        bytes += BYTES * numbers;
    }
    bytes as f64 / start.elapsed().as_secs_f64() / 1e9
}
