//! `genloss drift`: simulates collapse by finite sampling alone.

use super::cost::{duration, mebibytes};
use super::counts::count;
use super::machine::{self, ThreadArgs};
use super::output;
use super::setting_flags::SettingFlags;
use crate::config;
use crate::corpus::{self, CorpusSettings, RequiredTokens};
use crate::decoding::SamplingSettings;
use crate::drift::categorical::CategoricalSimulation;
use crate::drift::gaussian::GaussianSimulation;
use crate::drift::regression::RegressionSimulation;
use crate::drift::{DriftRow, DriftSettings, Frequencies, SimulationCost};
use crate::settings::{self, properties, schema_of};
use crate::tokenizer::Tokenizer;
use crate::units::Tokens;
use anyhow::{Context, Result, anyhow, bail, ensure};
use clap::{Subcommand, ValueEnum};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// Options of `genloss drift`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    model: DriftModel,
}

#[derive(Debug, Subcommand)]
enum DriftModel {
    /// A categorical distribution over types, such as words, estimated by counting: diversity, and how many types
    /// survive.
    Categorical(CategoricalArgs),
    /// A Gaussian fitted by maximum likelihood: variance, and distance of the mean.
    Gaussian(GaussianArgs),
    /// Least squares on labels predicted by the previous model: the error on new rows.
    Regression(RegressionArgs),
}

/// Options of every model.
#[derive(Debug, clap::Args)]
struct CommonArgs {
    /// Generations after generation 0.
    #[arg(long, default_value = "10", value_parser = count, value_name = "G")]
    generations: u64,
    /// Mixture of natural and synthetic data: a published name, or settings such as '{ natural_fraction = 0.1 }'.
    #[arg(long, default_value = "replace")]
    mixture: String,
    /// Lineages to average over.
    #[arg(long, default_value = "100", value_parser = count, value_name = "R")]
    replicates: u64,
    /// Seed of the random draws.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Output format.
    #[arg(long, value_enum, default_value = "table")]
    format: DriftFormat,
    /// Run even if the simulation takes very long or needs more memory than is available.
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    threads: ThreadArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum DriftFormat {
    /// Aligned columns, a line for every statistic of every generation.
    Table,
    /// An object with the settings and the rows.
    Json,
    /// The rows, comma-separated.
    Csv,
}

#[derive(Debug, clap::Args)]
// Samples are drawn independently and form no documents, so a repetition penalty would have no effect.
#[command(mut_arg("repetition_penalty", |flag| flag.hide(true)))]
struct CategoricalArgs {
    /// Number of types in natural data [default: 1000].
    #[arg(long, value_parser = count, value_name = "N", conflicts_with_all = ["frequencies", "corpus"])]
    types: Option<u64>,
    /// Zipf exponent of the natural frequencies; 0 is uniform [default: 0].
    #[arg(long, allow_negative_numbers = true, value_name = "EXPONENT", conflicts_with_all = ["frequencies", "corpus"])]
    zipf: Option<f64>,
    /// Shift of every rank (Zipf–Mandelbrot) [default: 0].
    #[arg(long, allow_negative_numbers = true, value_name = "Q", conflicts_with_all = ["frequencies", "corpus"])]
    shift: Option<f64>,
    /// File of natural frequencies, one number per line.
    #[arg(long, value_name = "FILE", conflicts_with = "corpus")]
    frequencies: Option<PathBuf>,
    /// Natural text; its tokens are the types.
    #[arg(long, value_name = "FILE")]
    corpus: Option<PathBuf>,
    /// Vocabulary size of the tokenizer learnt on the corpus [default: 2048].
    #[arg(long, value_parser = count, value_name = "N", requires = "corpus")]
    vocab: Option<u64>,
    /// Samples per generation: 100_000, 1e6, 15e12.
    #[arg(long, value_parser = count, value_name = "N")]
    samples: u64,
    #[command(flatten)]
    common: CommonArgs,
    #[command(flatten, next_help_heading = "Decoder")]
    decoder: SettingFlags<SamplingSettings>,
}

#[derive(Debug, clap::Args)]
struct GaussianArgs {
    /// Number of dimensions.
    #[arg(long, default_value = "1", value_parser = count, value_name = "D")]
    dims: u64,
    /// Samples per generation.
    #[arg(long, value_parser = count, value_name = "N")]
    samples: u64,
    #[command(flatten)]
    common: CommonArgs,
}

#[derive(Debug, clap::Args)]
struct RegressionArgs {
    /// Rows of the design matrix; a sample is a row with its label.
    #[arg(long, value_parser = count, value_name = "T")]
    rows: u64,
    /// Number of coefficients.
    #[arg(long, value_parser = count, value_name = "D")]
    columns: u64,
    /// Standard deviation of the label noise.
    #[arg(long, default_value_t = 1.0, allow_negative_numbers = true, value_name = "SIGMA")]
    noise: f64,
    #[command(flatten)]
    common: CommonArgs,
}

impl Args {
    /// Runs the simulation and prints its statistics.
    pub fn exec(self) -> Result<()> {
        match self.model {
            DriftModel::Categorical(args) => args.exec(),
            DriftModel::Gaussian(args) => args.exec(),
            DriftModel::Regression(args) => args.exec(),
        }
    }
}

impl CommonArgs {
    /// Starts the threads and returns the settings that all models have in common.
    fn settings(&self, samples: u64) -> Result<DriftSettings> {
        self.threads.start()?;
        Ok(DriftSettings {
            samples,
            generations: usize::try_from(self.generations)?,
            mixture: config::parse_mixture(&self.mixture, "--mixture")?,
            replicates: usize::try_from(self.replicates)?,
            seed: self.seed,
        })
    }

    /// Returns an error if a simulation would take longer than [`LONGEST_SECONDS`], or more memory than is available.
    fn check(&self, cost: SimulationCost, size: &str) -> Result<()> {
        let threads = rayon::current_num_threads() as f64;
        let seconds = cost.nanoseconds / 1e9 / threads;
        let lineages = threads.min(self.replicates as f64);
        let bytes = cost.bytes + lineages * cost.bytes_per_lineage;
        let available = machine::available_memory_bytes();
        let fits = available == 0 || bytes <= available as f64;
        if self.force || seconds <= LONGEST_SECONDS && fits {
            return Ok(());
        }
        let need = if fits {
            format!("about {}", duration(seconds))
        } else {
            format!("about {} of memory, and {} are available", mebibytes(bytes as u64), mebibytes(available))
        };
        bail!(
            "this simulation takes {need}; lower --replicates, --generations or {size}, or go on with --force"
        )
    }

    fn show(
        &self,
        model: &str,
        loop_settings: &DriftSettings,
        model_settings: Value,
        rows: &[DriftRow],
    ) -> Result<()> {
        match self.format {
            DriftFormat::Csv => output::csv(rows),
            DriftFormat::Table => output::emit(&table(rows)),
            DriftFormat::Json => {
                let mut settings = json!({
                    "model": model,
                    "samples": loop_settings.samples,
                    "generations": loop_settings.generations,
                    "mixture": loop_settings.mixture,
                    "replicates": loop_settings.replicates,
                    "seed": loop_settings.seed,
                });
                if let (Value::Object(all), Value::Object(more)) = (&mut settings, model_settings) {
                    all.extend(more);
                }
                output::json(&json!({ "settings": settings, "rows": rows }))
            }
        }
    }
}

impl CategoricalArgs {
    fn exec(self) -> Result<()> {
        let loop_settings = self.common.settings(self.samples)?;
        let decoding = self.decoding()?;
        let (frequencies, mut settings) = self.natural(&loop_settings)?;
        settings["types"] = json!(frequencies.probabilities().len());
        settings["tail_types"] = json!(frequencies.is_tail().iter().filter(|is_tail| **is_tail).count());
        let decoder = settings::table_of(&decoding);
        for (key, _) in properties(&schema_of::<SamplingSettings>()) {
            settings[key] = json!(decoder.get(key));
        }
        let simulation = CategoricalSimulation::new(frequencies, decoding, &loop_settings)?;
        let rows = machine::with_status_lines("simulating", || simulation.rows());
        self.common.show("categorical", &loop_settings, settings, &rows)
    }

    fn decoding(&self) -> Result<SamplingSettings> {
        let table = self.decoder.table();
        settings::check_sensible(&table, &schema_of::<SamplingSettings>())
            .and_then(|()| SamplingSettings::read(table))
            .map_err(|error| anyhow!("--{}: {}", error.key.replace('_', "-"), error.message))
    }

    fn check(&self, types: u64, loop_settings: &DriftSettings) -> Result<()> {
        self.common.check(SimulationCost::categorical(types, loop_settings)?, "the number of types")
    }

    /// The natural frequencies, and the settings that determine them. Returns an error, before anything is allocated,
    /// if the simulation is too large.
    fn natural(&self, loop_settings: &DriftSettings) -> Result<(Frequencies, Value)> {
        if let Some(path) = &self.frequencies {
            let weights = numbers(path)?;
            self.check(weights.len() as u64, loop_settings)?;
            let frequencies = Frequencies::new(&weights).with_context(|| path.display().to_string())?;
            return Ok((frequencies, json!({ "frequencies": path })));
        }
        if let Some(path) = &self.corpus {
            let vocab = self.vocab.unwrap_or(2048);
            ensure!(VOCABULARIES.contains(&vocab), "--vocab {vocab}: give a number from 257 to 1048576");
            self.check(vocab, loop_settings)?;
            let vocab = usize::try_from(vocab)?;
            return Ok((token_frequencies(path, vocab)?, json!({ "corpus": path, "vocab": vocab })));
        }
        let (exponent, shift) = (self.zipf.unwrap_or(0.0), self.shift.unwrap_or(0.0));
        let types = self.types.unwrap_or(1000);
        ensure!(types <= MOST_TYPES, "--types {types}: give at most {MOST_TYPES}");
        self.check(types, loop_settings)?;
        let frequencies = Frequencies::zipf(usize::try_from(types)?, exponent, shift)?;
        Ok((frequencies, json!({ "zipf": exponent, "shift": shift })))
    }
}

impl GaussianArgs {
    fn exec(self) -> Result<()> {
        let loop_settings = self.common.settings(self.samples)?;
        let simulation = GaussianSimulation::new(usize::try_from(self.dims)?, &loop_settings)?;
        let cost = SimulationCost::gaussian(self.dims, &loop_settings)?;
        self.common.check(cost, "--samples")?;
        let rows = machine::with_status_lines("simulating", || simulation.rows());
        self.common.show("gaussian", &loop_settings, json!({ "dims": self.dims }), &rows)
    }
}

impl RegressionArgs {
    fn exec(self) -> Result<()> {
        let loop_settings = self.common.settings(self.rows)?;
        let simulation =
            RegressionSimulation::new(usize::try_from(self.columns)?, self.noise, &loop_settings)?;
        let cost = SimulationCost::regression(self.columns, &loop_settings)?;
        self.common.check(cost, "--rows or --columns")?;
        let rows = machine::with_status_lines("simulating", || simulation.rows())?;
        let settings = json!({ "rows": self.rows, "columns": self.columns, "noise": self.noise });
        self.common.show("regression", &loop_settings, settings, &rows)
    }
}

/// Largest number of types. It limits memory: a lineage takes a few times 8 bytes per type.
const MOST_TYPES: u64 = 1_000_000_000;

/// Possible vocabulary sizes of a tokenizer, the same as in an experiment file.
const VOCABULARIES: std::ops::RangeInclusive<u64> = 257..=1_048_576;

/// Longest estimated time of a simulation without `--force`.
const LONGEST_SECONDS: f64 = 6.0;

/// Reads one number per line; blank lines and text after a `#` are skipped.
fn numbers(path: &Path) -> Result<Vec<f64>> {
    let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
    let mut found = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.split('#').next().unwrap_or_default().trim();
        if !line.is_empty() {
            let number = line.parse::<f64>();
            found.push(number.with_context(|| format!("{}, line {}: {line:?}", path.display(), index + 1))?);
        }
    }
    Ok(found)
}

/// The frequencies of the tokens in a whole text, with a tokenizer learnt on that text.
fn token_frequencies(path: &Path, vocab: usize) -> Result<Frequencies> {
    let corpus = CorpusSettings::training_text(path);
    let nothing = RequiredTokens { train: Tokens(0), heldout: Tokens(0), reference: Tokens(0) };
    let text = corpus::load(&corpus, nothing)?;
    let tokenizer = Tokenizer::learn_from(&text.train, vocab)?;
    ensure!(
        tokenizer.vocab_size() == vocab,
        "--vocab {vocab}: the text of {} yields only {} tokens; lower --vocab, or give more text",
        path.display(),
        tokenizer.vocab_size()
    );
    let mut counts = vec![0_u64; vocab];
    for &id in tokenizer.encode_texts(&text.train, |_| ())?.0.flat() {
        counts[id as usize] += 1;
    }
    Frequencies::from_counts(&counts).with_context(|| path.display().to_string())
}

fn table(rows: &[DriftRow]) -> String {
    let shown = |value: Option<f64>| value.filter(|value| value.is_finite()).map_or("–".to_owned(), short);
    let line = |row: &DriftRow| {
        vec![
            row.generation.to_string(),
            row.statistic.to_owned(),
            shown(Some(row.mean)),
            shown(row.std_err),
            shown(row.exact),
            row.z.map_or("–".to_owned(), |z| format!("{z:+.2}")),
        ]
    };
    let header = ["generation", "statistic", "mean", "std err", "exact", "z"];
    let mut text = output::table(&header, &rows.iter().map(line).collect::<Vec<_>>());
    let mut missing: Vec<(&str, &str)> = Vec::new();
    for (row, reason) in rows.iter().filter_map(|row| Some((row, row.reason?))) {
        if !missing.contains(&(row.statistic, reason)) {
            missing.push((row.statistic, reason));
            let (statistic, generation) = (row.statistic, row.generation);
            text += &output::paragraph(&format!(
                "no mean of {statistic} from generation {generation} on: {reason}"
            ));
        }
    }
    text
}

/// Six decimals; very small and large numbers with an exponent.
fn short(value: f64) -> String {
    if value != 0.0 && !(1e-2..1e7).contains(&value.abs()) {
        format!("{value:.4e}")
    } else {
        format!("{value:.6}")
    }
}
