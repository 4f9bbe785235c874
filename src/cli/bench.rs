//! `genloss bench`: how fast this machine trains and samples, in tokens and in operations.

use super::machine::MachineArgs;
use super::output::{self, say};
use crate::model::ModelError;
use crate::model::Precision;
use crate::speed::{BenchmarkSize, TrainingWorkload, WritingWorkload};
use crate::units::Tokens;
use anyhow::Result;
use candle_core::Device;
use clap::ValueEnum;
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use explain::Explanation;
use genloss_kernels::matmul::{self, MatmulOptions};
use serde::Serialize;
use std::time::{Duration, Instant};

mod explain;

/// Options of `genloss bench`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Size of the model.
    #[arg(long, value_enum, default_value = "reference")]
    size: BenchmarkSize,
    /// Number format of the matrix products of the model.
    #[arg(long, value_parser = precision_parser(), default_value = "f32")]
    precision: Precision,
    /// What to time.
    #[arg(long = "what", value_enum, default_value = "train")]
    activity: Activity,
    /// Output format.
    #[arg(long, value_enum, default_value = "text")]
    format: BenchFormat,
    /// Say which instructions multiply matrices here, how, and how fast, instead of timing a model.
    #[arg(long, conflicts_with_all = ["size", "precision", "activity", "device"])]
    explain: bool,
    #[command(flatten)]
    machine: MachineArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
enum Activity {
    /// Optimiser steps.
    Train,
    /// Writing 256 documents (64 with gpt2), each as long as the context of the model.
    Sample,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum BenchFormat {
    /// One line of text.
    Text,
    /// A JSON object.
    Json,
}

impl ValueEnum for BenchmarkSize {
    fn value_variants<'a>() -> &'a [Self] {
        &Self::ALL
    }
    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(PossibleValue::new(self.name))
    }
}

/// Parses a precision; help and errors list the valid names.
fn precision_parser() -> impl TypedValueParser<Value = Precision> {
    PossibleValuesParser::new(Precision::ALL.map(Precision::name)).try_map(|name| name.parse::<Precision>())
}

#[derive(Serialize)]
struct Speed {
    #[serde(rename = "what")]
    activity: Activity,
    size: &'static str,
    precision: Precision,
    threads: usize,
    /// The median over repetitions.
    tokens_per_s: f64,
    /// The slowest repetition, in tokens per second.
    min: f64,
    /// The fastest repetition, in tokens per second.
    max: f64,
    /// 10⁹ floating-point operations per second at the median.
    gflops: f64,
    /// Peak memory of the process up to the end of the measurement; None if the system does not report it.
    peak_memory_bytes: Option<u64>,
    /// `gflops` divided by the rate that matrix products alone reach with the same threads; None on a GPU.
    share_of_peak: Option<f64>,
}

impl Args {
    /// Measures and prints the speed.
    pub fn exec(self) -> Result<()> {
        let device = self.machine.open()?;
        if self.explain {
            let explanation = Explanation::measure();
            return match self.format {
                BenchFormat::Json => output::json(&explanation),
                BenchFormat::Text => output::emit(&explanation.to_text()),
            };
        }
        let speed = self.measure(&device)?;
        match self.format {
            BenchFormat::Json => output::json(&speed),
            BenchFormat::Text => output::emit(&speed.to_line()),
        }
    }

    fn measure(&self, device: &Device) -> Result<Speed> {
        let Self { size, precision, activity, .. } = *self;
        let threads = rayon::current_num_threads();
        say(&format!("measuring {} with the model of size {}", activity.description(), size.name));
        let (rates, operations) = match activity {
            Activity::Train => {
                let mut training = TrainingWorkload::new(&size, precision, device)?;
                let tokens = training.tokens();
                let step = || training.step().map(drop);
                (rates(tokens, Repeats::STEPS, step)?, size.operations_per_trained_token())
            }
            Activity::Sample => {
                let writing = WritingWorkload::new(&size, precision, device)?;
                let round = || writing.round().map(drop);
                (rates(writing.tokens(), Repeats::ROUNDS, round)?, size.operations_per_sampled_token())
            }
        };
        // Read before `peak_gflops`, which allocates memory too.
        let peak_memory_bytes = peak_memory_bytes();
        let tokens_per_s = median(&rates);
        let gflops = tokens_per_s * operations / 1e9;
        let share_of_peak =
            device.is_cpu().then(|| gflops / matmul::peak_gflops(MatmulOptions::new(precision)));
        Ok(Speed {
            activity,
            size: size.name,
            precision,
            threads,
            tokens_per_s,
            min: rates[0],
            max: rates[rates.len() - 1],
            gflops,
            peak_memory_bytes,
            share_of_peak,
        })
    }
}

impl Activity {
    fn description(self) -> &'static str {
        match self {
            Self::Train => "training steps",
            Self::Sample => "the writing of documents",
        }
    }
}

impl Speed {
    fn to_line(&self) -> String {
        let whole = |rate: f64| Tokens(rate.round() as u64);
        let share = self.share_of_peak.map_or(String::new(), |share| {
            format!(", {:.0} % of this machine's peak in matrix products", 100.0 * share)
        });
        let memory = self
            .peak_memory_bytes
            .map_or(String::new(), |bytes| format!("; peak memory {} MiB", bytes.div_ceil(1 << 20)));
        format!(
            "{}, {}, {}, {} threads: {} tokens/s ({} to {}), {:.1} GFLOP/s{share}{memory}\n",
            match self.activity {
                Activity::Train => "train",
                Activity::Sample => "sample",
            },
            self.size,
            self.precision,
            self.threads,
            whole(self.tokens_per_s),
            whole(self.min),
            whole(self.max),
            self.gflops,
        )
    }
}

/// Numbers of repetitions: `warm_up` untimed ones, then timed ones until both minima are reached.
#[derive(Clone, Copy)]
struct Repeats {
    warm_up: usize,
    min_count: usize,
    min_time: Duration,
}

impl Repeats {
    const STEPS: Self = Self { warm_up: 3, min_count: 10, min_time: Duration::from_secs(3) };
    const ROUNDS: Self = Self { warm_up: 1, min_count: 3, min_time: Duration::from_secs(3) };
}

/// Tokens per second of every repetition, the slowest first.
fn rates(
    tokens: Tokens,
    repeats: Repeats,
    mut act: impl FnMut() -> Result<(), ModelError>,
) -> Result<Vec<f64>> {
    (0..repeats.warm_up).try_for_each(|_| act())?;
    let mut rates = Vec::new();
    let started = Instant::now();
    while rates.len() < repeats.min_count || started.elapsed() < repeats.min_time {
        let before = Instant::now();
        act()?;
        rates.push(tokens.0 as f64 / before.elapsed().as_secs_f64());
    }
    rates.sort_by(f64::total_cmp);
    Ok(rates)
}

/// The median of sorted numbers.
fn median(sorted: &[f64]) -> f64 {
    let (low, high) = (sorted[(sorted.len() - 1) / 2], sorted[sorted.len() / 2]);
    low + (high - low) / 2.0
}

/// Peak resident memory of this process; None on systems without the `/proc` of Linux.
fn peak_memory_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_of_an_even_number_of_numbers_lies_between_the_middle_two() {
        assert_eq!(median(&[1.0, 2.0, 10.0]), 2.0);
        assert_eq!(median(&[1.0, 2.0, 4.0, 10.0]), 3.0);
    }
}
