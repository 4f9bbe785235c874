//! The best rate among timed trials, for bounds that a busy machine reaches only at times.

use std::time::Instant;

const TRIES: usize = 8;
const SECONDS_PER_TRY: f64 = 0.1;

/// The amount of work per second, in units of 10⁹, of all threads of the current pool together: the best of
/// several trials. On each thread and in each trial, `prepare` returns the work to repeat, which returns the amount done.
pub(crate) fn best_rate<Work: FnMut() -> f64>(prepare: impl Fn() -> Work + Sync) -> f64 {
    let one_thread = || {
        let mut work = prepare();
        let start = Instant::now();
        let mut amount = 0.0;
        while start.elapsed().as_secs_f64() < SECONDS_PER_TRY {
            amount += work();
        }
        amount / start.elapsed().as_secs_f64() / 1e9
    };
    let all_threads = |_| rayon::broadcast(|_| one_thread()).iter().sum();
    (0..TRIES).map(all_threads).fold(0.0, f64::max)
}
