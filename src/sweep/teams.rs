//! The threads of this process, in teams of equal size that work at the same time.

use rayon::{ThreadPool, ThreadPoolBuildError, ThreadPoolBuilder};
use std::panic::resume_unwind;
use std::thread;

/// So many teams, of at least one thread each.
pub struct ThreadTeams(Vec<ThreadPool>);

impl ThreadTeams {
    /// Deals the threads out.
    ///
    /// # Errors
    /// When they cannot be started.
    pub fn new(teams: usize) -> Result<Self, ThreadPoolBuildError> {
        let threads = (rayon::current_num_threads() / teams).max(1);
        let team = |_| ThreadPoolBuilder::new().num_threads(threads).build();
        (0..teams).map(team).collect::<Result<_, _>>().map(Self)
    }

    /// Has every team act at once, and gives what each came to.
    pub fn each<T: Send>(&self, act: impl Fn() -> T + Sync) -> Vec<T> {
        thread::scope(|scope| {
            let acting: Vec<_> = self.0.iter().map(|team| scope.spawn(|| team.install(&act))).collect();
            let ended = acting.into_iter().map(|team| team.join());
            ended.map(|ended| ended.unwrap_or_else(|panic| resume_unwind(panic))).collect()
        })
    }
}
