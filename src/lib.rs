//! genloss: a laboratory for model collapse.
//!
//! What happens when language models train on text that earlier models wrote? This crate runs the loop: train a model,
//! have it write a corpus, train the next generation on a mixture of natural and synthetic text, and measure what is lost
//! against a control that never trains on synthetic text.
//!
//! An example of the whole loop:
//!
//! ```
//! use genloss::{config, lineage, measure::Metrics, progress::Silent, store, verdict};
//! use std::sync::atomic::AtomicBool;
//!
//! // An experiment: every arm is run with every seed, beside the control.
//! let file = r#"
//!     name = "smallest"
//!     seeds = [1, 2]
//!     generations = 2
//!     corpus = { source = "world", train_tokens = 4000, heldout_tokens = 1000, reference_tokens = 8000 }
//!     tokenizer = { vocab_size = 400 }
//!     model = { kind = "ngram", order = 3 }
//!     [[arm]]
//!     name = "unanchored"
//!     mixture = "replace"
//! "#;
//! let experiment = config::parse(file, "smallest.toml", &[])?;
//!
//! // Natural text is read, split and tokenized. Bad input is found here, before anything is written.
//! let prepared = lineage::prepare(&experiment)?;
//!
//! // Train, write, mix, train again. Every generation is committed to the folder when it is complete, and an interrupted
//! // run resumes after the last committed generation.
//! let context = lineage::RunContext {
//!     device: &candle_core::Device::Cpu,
//!     observer: &Silent,
//!     interrupt: &AtomicBool::new(false),
//!     metrics: &Metrics::builtin(),
//!     provenance: store::Provenance::default(),
//! };
//! let folder = tempfile::tempdir()?;
//! lineage::run(&experiment, &prepared, folder.path(), &context)?;
//!
//! // Read the measurements, and compute a verdict on every arm.
//! let record = store::read(folder.path())?;
//! let last = &record.lineages.last().expect("there are lineages").generations[2];
//! assert!(last.value("heldout_loss").is_some_and(|nats_per_token| nats_per_token > 0.0));
//! let comparisons =
//!     verdict::compare("smallest", &record.observations(), config::CONTROL, &record.catalogue());
//! assert_eq!(comparisons[0].arm, "unanchored");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Programs that use the crate can add kinds of model ([`training::ModelKind`]), synthesis methods
//! ([`synthesis::SynthesisMethod`]), selection rules ([`selection::SelectionRule`]) and metrics ([`measure::Metric`]);
//! `examples/extend.rs` adds a synthesis method and a metric. The module [`config`] describes the experiment file, and
//! `docs/METHODOLOGY.md` how each number is computed.
//!
//! The modules are listed in reading order. A module may use those above it, but not those below it.

#![forbid(unsafe_code)]

// Basics.
pub mod spool;
pub mod documents;
pub mod files;
pub mod claims;
pub mod input_files;
pub mod guard;
pub mod live;
pub mod progress;
pub mod rarity;
pub mod seed;
pub mod settings;
pub mod stage;
pub mod tables;
pub mod terminal;
pub mod units;
pub mod words;

// The parts of the loop, in the order in which data passes through them.
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
#[cfg(feature = "interop")]
pub mod interop;
#[cfg(feature = "report")]
pub mod report;
#[cfg(feature = "cli")]
pub mod watch;
pub mod speed;
#[cfg(feature = "cli")]
pub mod cli;
