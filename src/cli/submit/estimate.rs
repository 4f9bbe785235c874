//! What an experiment costs on many machines, from short trials on this one.

use crate::cli::cost::{Cost, SpeedTrials, duration, mebibytes};
use crate::cli::plan::makespan;
use crate::cli::run::shell_quoted;
use crate::cli::{machine, output};
use crate::config::Experiment;
use crate::store::Address;
use crate::sweep::{PlannedGeneration, PreparedSweep, SweepPhase};
use crate::units::counted;
use anyhow::Result;
use candle_core::Device;
use std::collections::BTreeMap;
use std::path::Path;

/// The cost of an experiment or a sweep whose units are made by several workers.
pub struct Estimate {
    workers: usize,
    cost: Cost,
    /// Seconds until the last worker ends.
    seconds: f64,
    /// Memory of a worker in bytes.
    memory_bytes: u64,
}

impl Estimate {
    /// Times every model on this machine's processors. Generations for which `is_done` returns true cost nothing.
    pub fn new(
        prepared: &PreparedSweep,
        workers: usize,
        is_done: &dyn Fn(&Experiment, Address) -> bool,
    ) -> Result<Self> {
        let text_bytes = machine::used_memory_bytes().map_or(0, |used| used.now);
        let mut planned: Vec<(SweepPhase, Vec<PlannedGeneration>)> = Vec::new();
        for group in prepared.groups() {
            planned.extend(lineages(prepared.missing(&group, is_done)?).map(|one| (group.phase, one)));
        }
        output::say("measuring how fast this machine is");
        let all: Vec<PlannedGeneration> = planned.iter().flat_map(|(_, lineage)| lineage).cloned().collect();
        let trials = SpeedTrials::of(&all, prepared, &Device::Cpu, 1)?;
        let cost = Cost::of(&all, &trials, prepared);
        let phase_seconds = |wanted: SweepPhase| {
            let of_phase = planned.iter().filter(|(phase, _)| *phase == wanted);
            let mut seconds: Vec<f64> =
                of_phase.map(|(_, lineage)| Cost::of(lineage, &trials, prepared).seconds).collect();
            seconds.sort_by(|one, other| other.total_cmp(one));
            makespan(seconds.into_iter(), workers.max(1))
        };
        Ok(Self {
            workers,
            cost,
            seconds: phase_seconds(SweepPhase::First) + phase_seconds(SweepPhase::Later),
            memory_bytes: text_bytes + cost.memory_bytes,
        })
    }

    /// One line, and for a GPU a note.
    pub fn to_text(&self, root: &Path, cpus: usize, gpu: bool) -> String {
        let Self { workers, cost, seconds, memory_bytes } = self;
        let line = format!(
            "estimate from the speed of this machine with {}: {} in about {} with {} ({} with one); {} of memory for each; \
             {} on disk in {}\n",
            counted(cpus as u64, "thread"),
            counted(cost.generations, "generation"),
            duration(*seconds),
            counted(*workers as u64, "worker"),
            duration(cost.seconds),
            mebibytes(*memory_bytes),
            mebibytes(cost.disk_bytes),
            shell_quoted(&root.to_string_lossy()),
        );
        let note = format!(
            "note: a unit takes about {} of GPU memory; the time is that of this machine's processors: genloss bench --device \
             cuda:0 on a machine with the GPU shows how fast that is\n",
            mebibytes(cost.memory_bytes)
        );
        if gpu { line + &note } else { line }
    }
}

/// The generations of each experiment and arm.
fn lineages(planned: Vec<PlannedGeneration>) -> impl Iterator<Item = Vec<PlannedGeneration>> {
    let mut lineages: BTreeMap<(usize, String), Vec<PlannedGeneration>> = BTreeMap::new();
    for generation in planned {
        lineages.entry((generation.experiment, generation.arm.name.clone())).or_default().push(generation);
    }
    lineages.into_values()
}
