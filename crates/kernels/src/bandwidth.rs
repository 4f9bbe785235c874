//! How fast this machine moves numbers between processor and memory: an upper bound on the speed of whatever computes
//! little with each number.

use crate::add_assign;
use crate::best_rate::best_rate;

/// Numbers in each of the two arrays of all threads together: 512 MiB, more than the caches of most processors.
const NUMBERS: usize = 1 << 27;
/// Bytes read and written for each number: both numbers of the sum, and the sum.
const BYTES: usize = 3 * size_of::<f32>();

/// Bytes per second, in units of 10⁹, that all threads of the current pool together read and write while each adds one
/// large array to another. This is the best of several trials. It takes 1 GiB of memory.
#[must_use]
pub fn memory_gbytes() -> f64 {
    let numbers = NUMBERS / rayon::current_num_threads();
    best_rate(|| {
        let mut target = vec![0f32; numbers];
        let other = vec![1f32; numbers];
        // The first addition makes the pages.
        add_assign(&mut target, &other);
        move || {
            add_assign(&mut target, &other);
            (BYTES * numbers) as f64
        }
    })
}
