//! The threads of this process, divided into pools of equal size that work at the same time.

use rayon::{ThreadPool, ThreadPoolBuildError, ThreadPoolBuilder};
use std::panic::resume_unwind;
use std::thread;

/// Thread pools of equal size, of at least one thread each.
pub struct ThreadPools(Vec<ThreadPool>);

impl ThreadPools {
    /// Divides the threads of this process between `pools` pools.
    ///
    /// # Errors
    /// If the operating system cannot start the threads.
    pub fn new(pools: usize) -> Result<Self, ThreadPoolBuildError> {
        let threads = (rayon::current_num_threads() / pools).max(1);
        let pool = |_| ThreadPoolBuilder::new().num_threads(threads).build();
        (0..pools).map(pool).collect::<Result<_, _>>().map(Self)
    }

    /// Runs `act` once on every pool, all at the same time, and returns their results.
    pub fn on_each<T: Send>(&self, act: impl Fn() -> T + Sync) -> Vec<T> {
        thread::scope(|scope| {
            let running: Vec<_> = self.0.iter().map(|pool| scope.spawn(|| pool.install(&act))).collect();
            let results = running.into_iter().map(|pool| pool.join());
            results.map(|result| result.unwrap_or_else(|panic| resume_unwind(panic))).collect()
        })
    }
}
