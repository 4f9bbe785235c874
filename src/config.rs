//! An experiment: the TOML file, typed, then checked.
//!
//! [`file`] mirrors the file word for word; [`check`] turns it into the types of [`settings`]. Holding an
//! [`Experiment`] means that it is valid. Going back, [`file::ExperimentFile::from`] spells out every default, and
//! that resolved file is what a run records.

pub mod settings;

pub use settings::*;
