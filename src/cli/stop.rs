//! Ctrl-C and the signals by which other programs ask this one to stop.

use super::output::say;
use anyhow::Result;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

/// Longest time until a request to stop is acknowledged on standard error.
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// Returns a flag that is set by every request to stop: Ctrl-C, SIGTERM, and SIGHUP (unless SIGHUP was ignored when the
/// program started, as under `nohup`). A second Ctrl-C ends the process at once. A second SIGTERM does not, because job
/// schedulers send several in a row. Call this function at most once.
pub fn interrupt() -> Result<Arc<AtomicBool>> {
    let (asked, pressed) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    // Handlers run in the order of registration. The handler that ends the process comes first, so that the first
    // Ctrl-C does not yet find the flag `pressed`, which it sets for the second one.
    flag::register_conditional_shutdown(SIGINT, 130, Arc::clone(&pressed))?;
    flag::register(SIGINT, pressed)?;
    flag::register(SIGINT, Arc::clone(&asked))?;
    flag::register(SIGTERM, Arc::clone(&asked))?;
    #[cfg(unix)]
    if !hangup_is_ignored() {
        flag::register(signal_hook::consts::SIGHUP, Arc::clone(&asked))?;
    }
    let seen = Arc::clone(&asked);
    thread::spawn(move || {
        while !seen.load(Ordering::Relaxed) {
            thread::sleep(POLL_INTERVAL);
        }
        say("stopping after a checkpoint; press Ctrl-C again to stop at once");
    });
    Ok(asked)
}

/// Returns true if SIGHUP is ignored, or if this cannot be determined. In both cases no handler is installed, so SIGHUP
/// keeps its current effect.
#[cfg(unix)]
fn hangup_is_ignored() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = ignored.and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok());
    // Bit 0 is signal 1.
    mask.is_none_or(|mask| mask & 1 == 1)
}
