//! The work that a sweep has left, the order in which it is done, and its cost.

use super::cost::{Cost, SpeedTrials, duration, mebibytes};
use super::{machine, output};
use crate::config::Experiment;
use crate::store::Address;
use crate::sweep::{PlannedGeneration, PreparedSweep, SweepPhase, UnitGroup};
use crate::units::counted;
use anyhow::Result;
use candle_core::Device;

/// The unfinished work of a sweep, and how many units are worked on at a time.
pub struct SweepPlan {
    /// Unfinished units: generation 0 before later generations, and within each phase the longest first, so that no
    /// long unit starts last.
    pub units: Vec<UnitGroup>,
    /// Units that run at the same time.
    pub parallel_units: usize,
    /// Estimated seconds until all units are done.
    seconds: f64,
    cost: Cost,
    /// Memory that the process uses once the text of all experiments is read, in bytes.
    text_bytes: u64,
    /// A table row per experiment.
    rows: Vec<Vec<String>>,
}

/// A unit and its missing generations.
type Unfinished<'a> = (UnitGroup, Vec<PlannedGeneration<'a>>);

/// Units in the order in which they start, and how many of them are worked on at a time.
struct Schedule<'a> {
    units: Vec<&'a UnitGroup>,
    parallel_units: usize,
    seconds: f64,
}

impl SweepPlan {
    /// Times every model on this machine, with one unit at a time and with several, and plans the faster alternative.
    /// Generations for which `is_done` returns true are not planned.
    pub fn new(
        prepared: &PreparedSweep,
        device: &Device,
        is_done: &dyn Fn(&Experiment, Address) -> bool,
    ) -> Result<Self> {
        let text_bytes = machine::used_memory_bytes().map_or(0, |used| used.now);
        let mut unfinished: Vec<Unfinished> = Vec::new();
        for unit in prepared.groups() {
            let planned = prepared.missing(&unit, is_done)?;
            if !planned.is_empty() {
                unfinished.push((unit, planned));
            }
        }
        if !unfinished.is_empty() {
            output::say("measuring how fast this machine is");
        }
        let planned: Vec<PlannedGeneration> =
            unfinished.iter().flat_map(|(_, planned)| planned).cloned().collect();
        let alone = SpeedTrials::of(&planned, prepared, device, 1)?;
        let cost = Cost::of(&planned, &alone, prepared);
        let mut schedule = Schedule::new(&unfinished, 1, &alone, prepared);
        let most = most_parallel_units(unfinished.len(), &cost, device);
        if most > 1 {
            let trials = SpeedTrials::of(&planned, prepared, device, most)?;
            let side_by_side = Schedule::new(&unfinished, most, &trials, prepared);
            if side_by_side.seconds < schedule.seconds {
                schedule = side_by_side;
            }
        }
        let indices = 0..prepared.experiments().len();
        Ok(Self {
            units: schedule.units.into_iter().cloned().collect(),
            parallel_units: schedule.parallel_units,
            seconds: schedule.seconds,
            cost,
            text_bytes,
            rows: indices.map(|index| row(index, &planned, &alone, prepared)).collect(),
        })
    }

    /// The totals and the estimate, then a table with a row per experiment.
    pub fn to_text(&self) -> String {
        let header = [
            "experiment",
            "arms",
            "seeds",
            "generations to make",
            "models to train",
            "tokens seen",
            "tokens written",
        ];
        let Cost { generations, trained_models, seen, written, disk_bytes, memory_bytes, .. } = self.cost;
        let parallel_units = self.parallel_units;
        format!(
            "{}; left to do: {}, {trained_models} of which train a model; {} \
             to train on, {written} to write\nestimate for this machine: about {} with {parallel_units} units at a \
             time; {} of memory; {} on disk\n\n{}",
            counted(self.rows.len() as u64, "experiment"),
            counted(generations, "generation"),
            counted(seen.0, "token"),
            duration(self.seconds),
            mebibytes(self.text_bytes + memory_bytes * parallel_units as u64),
            mebibytes(disk_bytes),
            output::table(&header, &self.rows),
        )
    }
}

impl<'a> Schedule<'a> {
    /// Every generation 0 before later generations; within each phase the longest units first.
    fn new(
        unfinished: &'a [Unfinished<'a>],
        parallel_units: usize,
        trials: &SpeedTrials,
        prepared: &PreparedSweep,
    ) -> Self {
        let seconds = |planned: &[PlannedGeneration]| Cost::of(planned, trials, prepared).seconds;
        let mut timed: Vec<(&UnitGroup, f64)> =
            unfinished.iter().map(|(unit, planned)| (unit, seconds(planned))).collect();
        timed.sort_by(|(one, a), (other, b)| one.phase.cmp(&other.phase).then(b.total_cmp(a)));
        let phase_seconds = |phase: SweepPhase| {
            let of_phase = timed.iter().filter(|(unit, _)| unit.phase == phase);
            makespan(of_phase.map(|(_, seconds)| *seconds), parallel_units)
        };
        let seconds = phase_seconds(SweepPhase::First) + phase_seconds(SweepPhase::Later);
        Self { units: timed.into_iter().map(|(unit, _)| unit).collect(), parallel_units, seconds }
    }
}

/// Seconds until the last of several jobs ends, each started in the given order by the first free worker.
pub fn makespan(seconds: impl Iterator<Item = f64>, workers: usize) -> f64 {
    let mut busy_until = vec![0.0; workers];
    for job in seconds {
        busy_until.sort_by(f64::total_cmp);
        busy_until[0] += job;
    }
    busy_until.into_iter().fold(0.0, f64::max)
}

/// The most units to work on at a time: no more than there are threads, and no more than fit in memory together. A GPU
/// works on one unit at a time.
fn most_parallel_units(units: usize, cost: &Cost, device: &Device) -> usize {
    if !device.is_cpu() {
        return 1;
    }
    let in_memory = machine::available_memory_bytes() / cost.memory_bytes.max(1);
    units.min(rayon::current_num_threads()).min(usize::try_from(in_memory).unwrap_or(usize::MAX)).max(1)
}

fn row(
    index: usize,
    planned: &[PlannedGeneration],
    trials: &SpeedTrials,
    prepared: &PreparedSweep,
) -> Vec<String> {
    let experiment = &prepared.experiments()[index];
    let cost = Cost::of(planned.iter().filter(|step| step.experiment == index), trials, prepared);
    vec![
        experiment.name.clone(),
        experiment.arms.len().to_string(),
        experiment.seeds.len().to_string(),
        cost.generations.to_string(),
        cost.trained_models.to_string(),
        cost.seen.to_string(),
        cost.written.to_string(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two workers start with the jobs of 5 and 4 seconds. The jobs of 3 seconds then end at 4 + 3 = 7, 5 + 3 = 8 and
    /// 7 + 3 = 10. One worker needs the sum of all jobs.
    #[test]
    fn every_job_goes_to_the_first_free_worker() {
        assert_eq!(makespan([5.0, 4.0, 3.0, 3.0, 3.0].into_iter(), 2), 10.0);
        assert_eq!(makespan([5.0, 4.0, 3.0, 3.0, 3.0].into_iter(), 1), 18.0);
        assert_eq!(makespan([].into_iter(), 2), 0.0);
    }
}
