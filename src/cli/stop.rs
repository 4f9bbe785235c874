//! Ctrl-C and the signals by which other programs ask this one to stop.

use super::output::say;
use anyhow::Result;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

/// Time until a request to stop is answered on standard error.
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// A flag that any request to stop sets: Ctrl-C, SIGTERM, and SIGHUP unless it was ignored when the program began, as `nohup`
/// has it. Only a second Ctrl-C ends the process at once: job schedulers send SIGTERM several times in a row. Call it at
/// most once.
pub fn interrupt() -> Result<Arc<AtomicBool>> {
    let (asked, pressed) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    // In this order: the first Ctrl-C sets what the second one finds.
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

/// Returns true if SIGHUP is ignored, or if that cannot be told. Then its default stays: it ends the process, or is ignored.
#[cfg(unix)]
fn hangup_is_ignored() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = ignored.and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok());
    // Bit 0 is signal 1.
    mask.is_none_or(|mask| mask & 1 == 1)
}
