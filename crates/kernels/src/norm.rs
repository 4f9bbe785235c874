//! Normalisation of rows: by the root mean square ([`rms`]), or to mean 0 and variance 1 ([`layer`]).

pub mod layer;
pub mod rms;
