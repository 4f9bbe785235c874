//! A guard around third-party decoders, some of which panic on damaged input.
//!
//! ```
//! let decoded = genloss::guard::guard(|| -> u32 { panic!("index out of bounds") });
//! assert_eq!(decoded.unwrap_err().to_string(), "the library that reads this format gave up; its message: index out of bounds");
//! ```

use std::any::Any;
use std::cell::Cell;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Once;

/// Maximum number of characters of a panic's message that are kept.
const MAX_CHARS: usize = 200;

/// A decoder panicked, with its message as one line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the library that reads this format gave up; its message: {0}")]
pub struct DecoderPanic(String);

thread_local! {
    static IS_GUARDED: Cell<bool> = const { Cell::new(false) };
}

/// Runs a decoder on input that may be damaged. A panic in it becomes an error, and nothing is printed.
///
/// The decoder must stay on this thread. Running out of memory ends the program all the same, so sizes that the input
/// claims have to be checked before.
///
/// # Errors
/// If the decoder panics.
pub fn guard<T>(decode: impl FnOnce() -> T) -> Result<T, DecoderPanic> {
    silence_guarded_panics();
    let outer = IS_GUARDED.replace(true);
    let decoded = panic::catch_unwind(AssertUnwindSafe(decode));
    IS_GUARDED.set(outer);
    decoded.map_err(|payload| DecoderPanic(message(payload.as_ref())))
}

/// Panics print through a hook of the whole process. The hook that is installed here leaves out the panics of guarded
/// threads and passes on all others.
fn silence_guarded_panics() {
    static INSTALL: Once = Once::new();
    INSTALL.call_once(|| {
        let print = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            if !IS_GUARDED.try_with(Cell::get).unwrap_or(false) {
                print(panic);
            }
        }));
    });
}

fn message(payload: &dyn Any) -> String {
    let text = payload.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| payload.downcast_ref::<&str>().copied()).unwrap_or("without a message");
    text.lines().next().unwrap_or_default().chars().filter(|c| !c.is_control()).take(MAX_CHARS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_result_passes_through_and_a_panic_becomes_one_line() {
        assert_eq!(guard(|| 7), Ok(7));
        let error = guard(|| panic!("row {}\nand more", 3)).unwrap_err();
        assert_eq!(error.to_string(), "the library that reads this format gave up; its message: row 3");
        let long = guard(|| panic!("{}", "x".repeat(1000))).unwrap_err();
        assert_eq!(long.0.len(), MAX_CHARS);
    }

    #[test]
    fn an_inner_guard_leaves_the_outer_one_in_force() {
        let outer = guard(|| {
            assert!(guard(|| panic!("inner")).is_err());
            IS_GUARDED.get()
        });
        assert_eq!(outer, Ok(true));
        assert!(!IS_GUARDED.get());
    }
}
