//! `genloss bench`: how fast this machine trains and samples, in tokens and in operations.

use super::output::{self, say};
use super::surroundings::MachineArgs;
use crate::config::Precision;
use crate::model::ModelError;
use crate::speed::{Learning, Size, Writing};
use crate::units::Tokens;
use anyhow::Result;
use candle_core::Device;
use clap::ValueEnum;
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use genloss_kernels::matmul;
use serde::Serialize;
use std::time::{Duration, Instant};

/// Options of `genloss bench`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// How large a model.
    #[arg(long, value_enum, default_value = "reference")]
    size: Size,
    /// What its matrix products are computed in.
    #[arg(long, value_parser = precision_parser(), default_value = "f32")]
    precision: Precision,
    /// What it does.
    #[arg(long, value_enum, default_value = "train")]
    what: What,
    /// How to show it.
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
    #[command(flatten)]
    machine: MachineArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
enum What {
    /// Steps of the optimiser.
    Train,
    /// Rounds of 256 documents that fill the context.
    Sample,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// A line for people.
    Text,
    /// An object.
    Json,
}

impl ValueEnum for Size {
    fn value_variants<'a>() -> &'a [Self] {
        &Self::ALL
    }
    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(PossibleValue::new(self.name))
    }
}

/// Reads a precision, and lists the names there are in help and errors.
fn precision_parser() -> impl TypedValueParser<Value = Precision> {
    PossibleValuesParser::new(Precision::ALL.map(Precision::name)).try_map(|name| name.parse::<Precision>())
}

/// What was measured.
#[derive(Serialize)]
struct Speed {
    what: What,
    size: &'static str,
    precision: Precision,
    threads: usize,
    /// The median, then the extremes.
    tokens_per_s: f64,
    min: f64,
    max: f64,
    gflops: f64,
    /// The most that the process held in memory so far; none where the system does not say.
    peak_memory_bytes: Option<u64>,
    /// Of the matrix products that the same threads manage; none on a GPU.
    share_of_peak: Option<f64>,
}

impl Args {
    /// Measures, and prints what came of it.
    pub fn exec(self) -> Result<()> {
        let device = self.machine.open()?;
        let speed = self.measure(&device)?;
        match self.format {
            Format::Json => output::json(&speed),
            Format::Text => output::emit(&speed.to_line()),
        }
    }

    fn measure(&self, device: &Device) -> Result<Speed> {
        let Self { size, precision, what, .. } = *self;
        let threads = rayon::current_num_threads();
        say(&format!("measuring: {} of size {}", what.in_words(), size.name));
        let (rates, operations) = match what {
            What::Train => {
                let mut learning = Learning::new(&size, precision, device)?;
                let tokens = learning.tokens();
                let step = || learning.step().map(drop);
                (rates(tokens, Repeats::STEPS, step)?, size.operations_per_trained_token())
            }
            What::Sample => {
                let writing = Writing::new(&size, precision, device)?;
                let round = || writing.round().map(drop);
                (rates(writing.tokens(), Repeats::ROUNDS, round)?, size.operations_per_sampled_token())
            }
        };
        // Before the machine's peak is measured, which takes memory of its own.
        let peak_memory_bytes = peak_memory_bytes();
        let tokens_per_s = median(&rates);
        let gflops = tokens_per_s * operations / 1e9;
        let share_of_peak = device.is_cpu().then(|| gflops / matmul::peak_gflops(precision));
        Ok(Speed {
            what,
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

impl What {
    fn in_words(self) -> &'static str {
        match self {
            Self::Train => "steps of training",
            Self::Sample => "rounds of sampling",
        }
    }
}

impl Speed {
    fn to_line(&self) -> String {
        let whole = |rate: f64| Tokens(rate.round() as u64);
        let share = self.share_of_peak.map_or(String::new(), |share| {
            format!(", {:.0} % of this machine's matrix products", 100.0 * share)
        });
        let memory = self
            .peak_memory_bytes
            .map_or(String::new(), |bytes| format!("; {} MiB of memory at most", bytes.div_ceil(1 << 20)));
        format!(
            "{}, {}, {}, {} threads: {} tokens/s ({} to {}), {:.1} GFLOP/s{share}{memory}\n",
            match self.what {
                What::Train => "train",
                What::Sample => "sample",
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

/// How often something is done: without a clock at first, then so often at least, and until the time is over.
#[derive(Clone, Copy)]
struct Repeats {
    warm_up: usize,
    least: usize,
    least_time: Duration,
}

impl Repeats {
    const STEPS: Self = Self { warm_up: 3, least: 10, least_time: Duration::from_secs(3) };
    const ROUNDS: Self = Self { warm_up: 1, least: 3, least_time: Duration::from_secs(3) };
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
    while rates.len() < repeats.least || started.elapsed() < repeats.least_time {
        let before = Instant::now();
        act()?;
        rates.push(tokens.0 as f64 / before.elapsed().as_secs_f64());
    }
    rates.sort_by(f64::total_cmp);
    Ok(rates)
}

/// The middle of sorted numbers.
fn median(sorted: &[f64]) -> f64 {
    let (low, high) = (sorted[(sorted.len() - 1) / 2], sorted[sorted.len() / 2]);
    low + (high - low) / 2.0
}

/// The most memory that this process has held, as Linux tells it.
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
    fn the_median_of_an_even_number_lies_between_the_middle_two() {
        assert_eq!(median(&[1.0, 2.0, 10.0]), 2.0);
        assert_eq!(median(&[1.0, 2.0, 4.0, 10.0]), 3.0);
    }
}
