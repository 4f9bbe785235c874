//! The registry of synthesis methods. Each file of this folder is one method.
//!
//! To add one, write its file, and add it to `mod` and to `register!` below.

mod continuation;
mod external;
mod oracle;
mod rephrase;
mod textbook;
mod token_edit;

use super::method::{KEY, SynthesisMethod};
use crate::settings::{Kind, Kinds};

pub use continuation::PrefixSource;
pub use external::ExternalError;
pub use oracle::{Knowledge, OracleError, OracleKind, Reading};
pub use textbook::TextbookSeed;

/// Registers the methods and makes their types public. A type that is not in the list is never used, and therefore does
/// not compile.
macro_rules! register {
    ($($module:ident::$method:ident),+ $(,)?) => {
        $(pub use $module::$method;)+

        /// The methods of the library; the first one is the default.
        #[must_use]
        pub fn builtin_methods() -> Kinds<dyn SynthesisMethod> {
            let kinds = vec![$(Kind::<dyn SynthesisMethod>::of::<$method>()),+];
            Kinds::new(KEY, "What documents are written from.", kinds)
        }
    };
}

register! {
    textbook::Textbook,
    continuation::Continuation,
    rephrase::Rephrase,
    token_edit::TokenEdit,
    external::External,
    oracle::Oracle,
}
