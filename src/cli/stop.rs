//! Ctrl-C and the signals by which other programs ask this one to stop.

use super::output::say;
use anyhow::Result;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock};
use std::thread;
use std::time::Duration;

/// Longest time until a request to stop is acknowledged on standard error.
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// Exit code of an interrupted command, as is usual in shells.
const ENDED: u8 = 130;

/// Exit code of a command that was interrupted by SIGUSR1 alone (EX_TEMPFAIL of sysexits.h): it is to be continued. A
/// batch script puts its job back into the queue on this code and on no other.
const TO_BE_CONTINUED: u8 = 75;

/// Set by every request to stop but SIGUSR1.
static ASKED_TO_END: LazyLock<Arc<AtomicBool>> = LazyLock::new(Arc::default);

/// What a command does at a request to stop, told on standard error.
#[derive(Clone, Copy, Debug)]
pub enum WhenAsked {
    /// Writes a checkpoint and stops.
    WriteCheckpoint,
    /// Stops; what was done is lost, because the command writes its results at its end.
    KeepNothing,
    /// Stops; what was done is in the folder.
    Stop,
}

/// Until it is dropped, a request to stop ends the process at once, with the exit code that [`exit_code`] would give:
/// nothing is made yet that could be lost.
pub struct Early(Arc<AtomicBool>);

/// See [`Early`]. Call [`interrupt`] before it is dropped, so that no request is missed.
pub fn early() -> Result<Early> {
    let is_early = Arc::new(AtomicBool::new(true));
    for signal in [SIGINT, SIGTERM] {
        flag::register_conditional_shutdown(signal, i32::from(ENDED), Arc::clone(&is_early))?;
    }
    #[cfg(unix)]
    {
        use signal_hook::consts::{SIGHUP, SIGUSR1};
        flag::register_conditional_shutdown(SIGUSR1, i32::from(TO_BE_CONTINUED), Arc::clone(&is_early))?;
        if !hangup_is_ignored() {
            flag::register_conditional_shutdown(SIGHUP, i32::from(ENDED), Arc::clone(&is_early))?;
        }
    }
    Ok(Early(is_early))
}

impl Drop for Early {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Relaxed);
    }
}

/// Returns a flag that is set by every request to stop: Ctrl-C, SIGTERM, SIGUSR1, and SIGHUP (unless SIGHUP was ignored
/// when the program started, as under `nohup`). A second Ctrl-C ends the process at once. A second SIGTERM does not,
/// because job schedulers send several in a row. Call this function at most once.
pub fn interrupt(when_asked: WhenAsked) -> Result<Arc<AtomicBool>> {
    let (asked, pressed) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    // Handlers run in the order of registration. The handler that ends the process comes first, so that the first
    // Ctrl-C does not yet find the flag `pressed`, which it sets for the second one.
    flag::register_conditional_shutdown(SIGINT, i32::from(ENDED), Arc::clone(&pressed))?;
    flag::register(SIGINT, pressed)?;
    ask_to_end(SIGINT, &asked)?;
    ask_to_end(SIGTERM, &asked)?;
    #[cfg(unix)]
    {
        flag::register(signal_hook::consts::SIGUSR1, Arc::clone(&asked))?;
        if !hangup_is_ignored() {
            ask_to_end(signal_hook::consts::SIGHUP, &asked)?;
        }
    }
    let seen = Arc::clone(&asked);
    thread::spawn(move || {
        while !seen.load(Ordering::Relaxed) {
            thread::sleep(POLL_INTERVAL);
        }
        let what = match when_asked {
            WhenAsked::WriteCheckpoint => "stopping after a checkpoint",
            WhenAsked::KeepNothing => "stopping; nothing of this command is kept",
            WhenAsked::Stop => "stopping",
        };
        say(&format!("{what}; press Ctrl-C again to stop at once"));
    });
    Ok(asked)
}

/// Makes a write beyond the shell's limit on file sizes (`ulimit -f`) an error, as it is on a full disk. Without this, a
/// signal ends the process without a word.
pub fn survive_file_size_limit() {
    // Where the handler cannot be installed, the signal keeps its effect.
    #[cfg(unix)]
    let _ = flag::register(signal_hook::consts::SIGXFSZ, Arc::default());
}

/// Makes a signal a request to stop that does not ask for the command to be continued.
fn ask_to_end(signal: i32, asked: &Arc<AtomicBool>) -> Result<()> {
    flag::register(signal, Arc::clone(&ASKED_TO_END))?;
    flag::register(signal, Arc::clone(asked))?;
    Ok(())
}

/// The exit code of a command that was interrupted. A job that was also asked to end must not be continued.
pub fn exit_code() -> u8 {
    if ASKED_TO_END.load(Ordering::Relaxed) { ENDED } else { TO_BE_CONTINUED }
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
