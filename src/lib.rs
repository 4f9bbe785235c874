//! genloss: a laboratory for model collapse.
//!
//! Train a model, sample a corpus from it, train the next generation on a mixture of natural and synthetic text,
//! and measure what is being lost. The modules in reading order; each may use those above it, never those below:

#![forbid(unsafe_code)]

// Basics.
pub mod documents;
pub mod progress;
pub mod rarity;
pub mod seed;
pub mod settings;
pub mod stage;
pub mod units;

// The loop's parts, in the order of the data's way.
pub mod corpus;
pub mod tokenizer;
pub mod mixture;
pub mod decoding;
pub mod model;
pub mod device;
pub mod training;
pub mod selection;
pub mod synthesis;
pub mod config;
pub mod measure;
pub mod drift;
pub mod baseline;
pub mod verdict;
pub mod attribution;
pub mod store;
pub mod fit;
pub mod lineage;
pub mod sweep;
pub mod calibration;
pub mod verify;
#[cfg(feature = "report")]
pub mod report;
pub mod speed;
#[cfg(feature = "cli")]
pub mod cli;
