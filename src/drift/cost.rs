//! The work and memory of a simulation, estimated before anything is allocated or drawn.
//!
//! The constants are nanoseconds and bytes on a machine of 2024, rounded up. They cannot predict a time; they only
//! distinguish simulations that take seconds from those that would practically never end.
//!
//! ```
//! use genloss::config;
//! use genloss::drift::{DriftSettings, SimulationCost};
//! let mixture = config::parse_mixture("replace", "mixture")?;
//! let settings = |replicates| DriftSettings { samples: 100, generations: 5, mixture: mixture.clone(), replicates, seed: 1 };
//! let small = SimulationCost::categorical(1000, &settings(100))?;
//! let large = SimulationCost::categorical(1000, &settings(100_000_000))?;
//! assert!(small.nanoseconds < 1e9 && large.nanoseconds > 1e12);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use super::DriftError;
use super::schedule::{DriftSettings, SampleSchedule, TrainingCounts, largest_set};
use super::survival;
use crate::mixture::{NaturalDocuments, SyntheticDocuments};

/// Work and memory of a simulation with one thread.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SimulationCost {
    /// Work in nanoseconds of one thread. Several threads share it.
    pub nanoseconds: f64,
    /// Memory in bytes that does not depend on the number of threads.
    pub bytes: f64,
    /// Memory of one lineage in bytes. Each thread simulates one lineage at a time.
    pub bytes_per_lineage: f64,
}

/// Streams, allocations and bookkeeping of one generation of a lineage.
const GENERATION_NS: f64 = 6000.0;
/// Drawing one type of a subset without replacement.
const SUBSET_NS: f64 = 600.0;
/// A normally distributed number.
const NORMAL_NS: f64 = 15.0;
/// A summary row, from its replicates' values to the printed line.
const ROW_NS: f64 = 30_000.0;
const ROW_BYTES: f64 = 3000.0;

impl SimulationCost {
    /// The cost of a simulation with `types` types.
    ///
    /// # Errors
    /// If a setting is out of range.
    pub fn categorical(types: u64, settings: &DriftSettings) -> Result<Self, DriftError> {
        let schedule = SampleSchedule::new(settings)?;
        let (types, replicates) = (types as f64, settings.replicates as f64);
        let generations = schedule.training.len() as f64 + 1.0;
        let prefixes = schedule.natural_sizes().len() as f64;
        let drawn = |samples: u64| 20.0 * types + 80.0 * types.min(samples as f64);
        let subset = if schedule.has_subsets() { SUBSET_NS * types } else { 0.0 };
        let of_generation = |counts: &TrainingCounts| {
            let draws = if schedule.natural == NaturalDocuments::Fresh { 3.0 } else { 2.0 };
            GENERATION_NS + draws * drawn(counts.total().max(schedule.written_for(*counts))) + subset
        };
        let lineage = (prefixes + 1.0) * drawn(schedule.samples)
            + (prefixes - 1.0) * SUBSET_NS * types
            + schedule.training.iter().map(of_generation).sum::<f64>();
        let (products, numbers) = survival::size(&schedule, types);
        let set_up = 400.0 * types + products + generations * prefixes * 5.0;
        let one = Self {
            nanoseconds: replicates * lineage + set_up,
            bytes: 60.0 * types + 8.0 * numbers,
            bytes_per_lineage: 8.0 * types * (prefixes + 6.0),
        };
        Ok(one.with_rows(generations, 7.0, replicates))
    }

    /// The cost of a Gaussian simulation in `dims` dimensions.
    ///
    /// # Errors
    /// If a setting is out of range.
    pub fn gaussian(dims: u64, settings: &DriftSettings) -> Result<Self, DriftError> {
        let schedule = SampleSchedule::new(settings)?;
        let (dims, replicates) = (dims as f64, settings.replicates as f64);
        let generations = schedule.training.len() as f64 + 1.0;
        let per_sample = dims * (2.0 * NORMAL_NS + 2.0 * dims);
        let samples: f64 = samples_of_generations(&schedule).sum();
        let fits = generations * (GENERATION_NS + dims.powi(3));
        let exact = generations * generations * dims * if schedule.replaced().is_some() { 20.0 } else { 0.0 };
        let held = schedule.samples as f64
            * (largest_set(&settings.mixture, settings.generations) as f64 + 1.0)
            * dims;
        let one = Self {
            nanoseconds: replicates * (samples * per_sample + fits) + exact,
            bytes: 0.0,
            bytes_per_lineage: 8.0 * (3.0 * held + 4.0 * dims * dims),
        };
        Ok(one.with_rows(generations, 3.0, replicates))
    }

    /// The cost of a regression with `columns` coefficients.
    ///
    /// # Errors
    /// If a setting is out of range.
    pub fn regression(columns: u64, settings: &DriftSettings) -> Result<Self, DriftError> {
        let schedule = SampleSchedule::new(settings)?;
        let (columns, replicates) = (columns as f64, settings.replicates as f64);
        let rows = settings.samples as f64;
        let generations = schedule.training.len() as f64 + 1.0;
        let labels: f64 = samples_of_generations(&schedule).sum::<f64>() * 2.0 * NORMAL_NS;
        let fit = GENERATION_NS + rows * columns * (10.0 + columns) + columns.powi(3);
        let held = rows * (largest_set(&settings.mixture, settings.generations) as f64 + 1.0);
        let one = Self {
            nanoseconds: replicates * (labels + generations * fit + rows * columns * NORMAL_NS)
                + 3.0 * generations * generations,
            bytes: 0.0,
            bytes_per_lineage: 8.0 * (3.0 * rows * columns + 3.0 * columns * columns + 6.0 * held),
        };
        Ok(one.with_rows(generations, 1.0, replicates))
    }

    /// Adds the cost of the statistics of all replicates, and of the rows that summarise them.
    fn with_rows(self, generations: f64, statistics: f64, replicates: f64) -> Self {
        let rows = generations * statistics;
        Self {
            nanoseconds: self.nanoseconds + rows * (ROW_NS + 5.0 * replicates),
            bytes: self.bytes + replicates * (8.0 * rows + 48.0) + rows * ROW_BYTES,
            ..self
        }
    }
}

/// Samples that each generation writes, draws on and trains on.
fn samples_of_generations(schedule: &SampleSchedule) -> impl Iterator<Item = f64> {
    let mut pool = 0.0;
    let later = schedule.training.iter().map(move |counts| {
        let written = schedule.written_for(*counts) as f64;
        pool = match schedule.synthetic {
            SyntheticDocuments::Latest => written,
            SyntheticDocuments::All => pool + written,
        };
        pool + counts.total() as f64
    });
    std::iter::once(schedule.samples as f64).chain(later)
}
