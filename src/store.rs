//! The run store: the only writer below `generations/`.

mod record;

pub use record::*;
