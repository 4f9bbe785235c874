//! Integration tests: one binary, a module per subject.

#![allow(clippy::unwrap_used, reason = "a test helper that fails is a test that fails")]

mod baseline;
mod browser;
mod cli;
mod cluster;
mod command;
mod config;
mod corpus;
mod decoding;
mod directions;
mod documents;
mod drift;
mod families;
mod faults;
mod fit;
mod folder;
mod foreign;
mod growth;
mod layers;
mod lineage;
mod measure;
mod mixture;
mod model_ngram;
mod model_transformer;
mod other_tools;
mod prepared_text;
mod reading;
mod reference;
mod replications;
mod report;
mod resume;
mod search;
mod signals;
mod sources;
mod store;
mod submit;
mod sweep;
mod synthesis;
mod text_folder;
mod verdict;
mod verify;
mod wall;
mod watch;
mod writers;
