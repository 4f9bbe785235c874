//! Records arranged for drawing: arms with their styles, means and ranges over seeds.

use super::palette::SeriesStyle;
use crate::config::CONTROL;
use crate::store::{LineageRecord, RunRecord};
use statrs::distribution::{ContinuousCDF, StudentsT};

/// Mean and spread over seeds, at one generation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Spread {
    pub(super) generation: usize,
    pub(super) mean: f64,
    /// The lowest value.
    pub(super) low: f64,
    /// The highest value.
    pub(super) high: f64,
    /// The 95 % interval of the mean by Student's t; None with one seed.
    pub(super) interval: Option<(f64, f64)>,
    pub(super) seeds: usize,
}

impl Spread {
    /// None if there are no values.
    pub(super) fn of(generation: usize, values: &[f64]) -> Option<Self> {
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        let low = values.iter().copied().fold(f64::INFINITY, f64::min);
        let high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let interval = interval(mean, values);
        (!values.is_empty()).then_some(Self { generation, mean, low, high, interval, seeds: values.len() })
    }
}

/// The 95 % interval of the mean of `values`: mean ± t · s / √n.
fn interval(mean: f64, values: &[f64]) -> Option<(f64, f64)> {
    let n = values.len() as f64;
    let student = StudentsT::new(0.0, 1.0, n - 1.0).ok()?;
    let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (n - 1.0);
    let half = student.inverse_cdf(0.975) * (variance / n).sqrt();
    Some((mean - half, mean + half))
}

/// An arm or a blend, with its style.
#[derive(Clone, Copy, Debug)]
pub(super) struct Series<'a> {
    pub(super) name: &'a str,
    pub(super) style: SeriesStyle,
}

/// The arms of a run in the order of the experiment, the control first.
pub(super) fn arms(recorded: &RunRecord) -> Vec<Series<'_>> {
    styled(recorded, &names(std::slice::from_ref(recorded)))
}

/// The arms of every run, as [`arms`]; arms of one name look the same in all runs, and others differ.
pub(super) fn arms_of_all(all: &[RunRecord]) -> Vec<Vec<Series<'_>>> {
    let names = names(all);
    all.iter().map(|recorded| styled(recorded, &names)).collect()
}

/// The arms of a run, the control first, each in the style of its place in `names`.
fn styled<'a>(recorded: &'a RunRecord, names: &[&str]) -> Vec<Series<'a>> {
    let place = |name: &str| names.iter().position(|other| *other == name).unwrap_or(0);
    let others = self::names(std::slice::from_ref(recorded));
    let control = lineages(recorded, CONTROL).next().map(|lineage| &*lineage.arm);
    let all = control.into_iter().chain(others);
    all.map(|name| Series { name, style: SeriesStyle::of(name, place(name)) }).collect()
}

/// The names of the arms of some runs, without the control, whose style depends on no number.
fn names(all: &[RunRecord]) -> Vec<&str> {
    let mut names: Vec<&str> = Vec::new();
    for lineage in all.iter().flat_map(|recorded| &recorded.lineages) {
        if lineage.arm != CONTROL && !names.contains(&lineage.arm.as_str()) {
            names.push(&lineage.arm);
        }
    }
    names
}

/// The lineages of an arm.
pub(super) fn lineages<'a>(recorded: &'a RunRecord, arm: &str) -> impl Iterator<Item = &'a LineageRecord> {
    let arm = arm.to_owned();
    recorded.lineages.iter().filter(move |lineage| lineage.arm == arm)
}

/// The lineage of an arm with the most generations; in a tie, that of the first seed.
pub(super) fn longest_lineage<'a>(recorded: &'a RunRecord, arm: &str) -> Option<&'a LineageRecord> {
    lineages(recorded, arm).reduce(|a, b| if b.generations.len() > a.generations.len() { b } else { a })
}

/// The last generation on record in any lineage.
pub(super) fn last_generation(recorded: &RunRecord) -> usize {
    recorded.lineages.iter().map(|lineage| lineage.generations.len().saturating_sub(1)).max().unwrap_or(0)
}

/// Mean and range of a metric of an arm in each generation, over the seeds for which the metric was measured.
pub(super) fn spreads(recorded: &RunRecord, arm: &str, metric: &str) -> Vec<Spread> {
    (0..=last_generation(recorded))
        .filter_map(|generation| {
            let records = lineages(recorded, arm).filter_map(|lineage| lineage.generations.get(generation));
            let values: Vec<f64> = records.filter_map(|record| record.value(metric)).collect();
            Spread::of(generation, &values)
        })
        .collect()
}

/// Returns true if a metric was measured in any lineage.
pub(super) fn has(recorded: &RunRecord, metric: &str) -> bool {
    let records = recorded.lineages.iter().flat_map(|lineage| &lineage.generations);
    records.into_iter().any(|record| record.value(metric).is_some())
}

/// At most `most` of the generations 0..=`last`, evenly spaced, with both ends.
pub(super) fn evenly_spaced(last: usize, most: usize) -> Vec<usize> {
    if last < most {
        return (0..=last).collect();
    }
    let steps = most.max(2) - 1;
    (0..=steps).map(|step| (step * last + steps / 2) / steps).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// t with 2 degrees of freedom is 4.302653 at 97.5 %; the standard deviation of 1, 2, 3 is 1.
    #[test]
    fn the_interval_of_a_mean_is_that_of_students_t() {
        let spread = Spread::of(0, &[1.0, 2.0, 3.0]).unwrap();
        let (low, high) = spread.interval.unwrap();
        assert!((2.0 - low - 4.302_653 / 3.0_f64.sqrt()).abs() < 1e-5);
        assert!((high - 2.0 - 4.302_653 / 3.0_f64.sqrt()).abs() < 1e-5);
        assert_eq!(Spread::of(0, &[1.0]).unwrap().interval, None);
    }

    #[test]
    fn a_choice_of_generations_keeps_both_ends() {
        assert_eq!(evenly_spaced(3, 8), [0, 1, 2, 3]);
        assert_eq!(evenly_spaced(30, 4), [0, 10, 20, 30]);
        assert_eq!(evenly_spaced(0, 4), [0]);
    }
}
