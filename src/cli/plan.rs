//! What a sweep has left to do, how it goes side by side, and what it will cost.

use super::cost::{Cost, Trials, duration, mebibytes};
use super::{output, surroundings};
use crate::config::Experiment;
use crate::store::Address;
use crate::sweep::{PlannedGeneration, PreparedSweep, SweepPhase, WorkUnit};
use anyhow::Result;
use candle_core::Device;

/// What is left to do, and how.
pub struct Plan {
    /// What is not finished, the longest first, so that no long one is left over at the end.
    pub units: Vec<WorkUnit>,
    /// How many of them go side by side.
    pub at_a_time: usize,
    /// Until all is done.
    seconds: f64,
    cost: Cost,
    rows: Vec<Vec<String>>,
}

/// Strands in an order, so many at a time.
struct Schedule<'a> {
    units: Vec<&'a (WorkUnit, Vec<PlannedGeneration<'a>>)>,
    at_a_time: usize,
    seconds: f64,
}

impl Plan {
    /// Tries every model on this machine, one at a time and side by side, and takes the faster way. What `stands` need
    /// not be made.
    pub fn of(
        prepared: &PreparedSweep,
        device: &Device,
        stands: &dyn Fn(&Experiment, Address) -> bool,
    ) -> Result<Self> {
        let mut unfinished: Vec<(WorkUnit, Vec<PlannedGeneration>)> = Vec::new();
        for unit in prepared.units() {
            let planned = prepared.missing(&unit, stands)?;
            if !planned.is_empty() {
                unfinished.push((unit, planned));
            }
        }
        if !unfinished.is_empty() {
            output::say("measuring how fast this machine is");
        }
        let planned: Vec<PlannedGeneration> =
            unfinished.iter().flat_map(|(_, planned)| planned).cloned().collect();
        let alone = Trials::of(&planned, prepared, device, 1)?;
        let cost = Cost::of(&planned, &alone, prepared);
        let mut schedule = Schedule::of(&unfinished, 1, &alone, prepared);
        let most = most_at_a_time(unfinished.len(), &cost, device);
        if most > 1 {
            let trials = Trials::of(&planned, prepared, device, most)?;
            let side_by_side = Schedule::of(&unfinished, most, &trials, prepared);
            if side_by_side.seconds < schedule.seconds {
                schedule = side_by_side;
            }
        }
        Ok(Self {
            units: schedule.units.iter().map(|(unit, _)| unit.clone()).collect(),
            at_a_time: schedule.at_a_time,
            seconds: schedule.seconds,
            cost,
            rows: (0..prepared.experiments().len())
                .map(|place| row(place, &planned, &alone, prepared))
                .collect(),
        })
    }

    /// A table of the experiments, and what they come to.
    pub fn shown(&self) -> String {
        let header = [
            "experiment",
            "arms",
            "seeds",
            "generations to make",
            "models to train",
            "tokens seen",
            "tokens written",
        ];
        let Cost { generations, trainings, seen, written, disk_bytes, memory_bytes, .. } = self.cost;
        let at_a_time = self.at_a_time;
        format!(
            "{}{} experiments; to be made: {generations} generations, {trainings} of which train a model; {seen} \
             tokens to see, {written} to write\nestimate for this machine: about {}, {at_a_time} at a time; {} on \
             disk; {} of memory\n",
            output::table(&header, &self.rows),
            self.rows.len(),
            duration(self.seconds),
            mebibytes(disk_bytes),
            mebibytes(memory_bytes * at_a_time as u64),
        )
    }
}

impl<'a> Schedule<'a> {
    /// First generations first; of either phase the longest units first, each to whoever is free.
    fn of(
        unfinished: &'a [(WorkUnit, Vec<PlannedGeneration<'a>>)],
        at_a_time: usize,
        trials: &Trials,
        prepared: &PreparedSweep,
    ) -> Self {
        let seconds = |planned: &[PlannedGeneration]| Cost::of(planned, trials, prepared).seconds;
        let mut timed: Vec<_> = unfinished.iter().map(|unit| (unit, seconds(&unit.1))).collect();
        timed.sort_by(|((one, _), a), ((other, _), b)| one.phase.cmp(&other.phase).then(b.total_cmp(a)));
        let of_phase = |phase: SweepPhase| -> Vec<f64> {
            timed.iter().filter(|((unit, _), _)| unit.phase == phase).map(|(_, seconds)| *seconds).collect()
        };
        let seconds = [SweepPhase::First, SweepPhase::Later]
            .map(|phase| until_done(&of_phase(phase), at_a_time))
            .iter()
            .sum();
        let units = timed.into_iter().map(|(unit, _)| unit).collect();
        Self { units, at_a_time, seconds }
    }
}

/// How long it takes to do what takes so long each, in that order, each as soon as one of so many workers is free.
fn until_done(seconds: &[f64], workers: usize) -> f64 {
    let mut busy_until = vec![0.0; workers];
    for one in seconds {
        busy_until.sort_by(f64::total_cmp);
        busy_until[0] += one;
    }
    busy_until.into_iter().fold(0.0, f64::max)
}

/// As many units as there are threads, and memory for the largest of them. A GPU is for one alone.
fn most_at_a_time(units: usize, cost: &Cost, device: &Device) -> usize {
    if !device.is_cpu() {
        return 1;
    }
    let in_memory = surroundings::available_memory_bytes() / cost.memory_bytes.max(1);
    units.min(rayon::current_num_threads()).min(usize::try_from(in_memory).unwrap_or(usize::MAX)).max(1)
}

fn row(
    place: usize,
    planned: &[PlannedGeneration],
    trials: &Trials,
    prepared: &PreparedSweep,
) -> Vec<String> {
    let experiment = &prepared.experiments()[place];
    let cost = Cost::of(planned.iter().filter(|step| step.experiment == place), trials, prepared);
    vec![
        experiment.name.clone(),
        experiment.arms.len().to_string(),
        experiment.seeds.len().to_string(),
        cost.generations.to_string(),
        cost.trainings.to_string(),
        cost.seen.to_string(),
        cost.written.to_string(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two workers: 5 and 4; then 4 + 3, 5 + 3, and 7 + 3.
    #[test]
    fn work_goes_to_whoever_is_free() {
        assert_eq!(until_done(&[5.0, 4.0, 3.0, 3.0, 3.0], 2), 10.0);
        assert_eq!(until_done(&[5.0, 4.0, 3.0, 3.0, 3.0], 1), 18.0);
        assert_eq!(until_done(&[], 2), 0.0);
    }
}
