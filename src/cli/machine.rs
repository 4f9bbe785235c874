//! Threads, device and progress display for commands that compute.

use super::output::say;
use crate::device;
use crate::progress::{Bars, Lines, Observer};
use crate::store::Provenance;
use anyhow::{Context, Result};
use candle_core::Device;
use genloss_kernels::instructions::Instructions;
use std::io::IsTerminal;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};
use sysinfo::{CpuRefreshKind, MemoryRefreshKind, RefreshKind, System};

/// `--threads`.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct ThreadArgs {
    /// Threads to compute with; results do not depend on their number [default: SLURM_CPUS_PER_TASK where it is set,
    /// else one per processor].
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
}

impl ThreadArgs {
    /// As with `--threads`.
    pub fn of(threads: usize) -> Self {
        Self { threads: Some(threads) }
    }

    /// Starts the threads that every computation of this process shares.
    pub fn start(self) -> Result<()> {
        let of_job = std::env::var_os(CPUS_OF_JOB).map(|value| value.to_string_lossy().into_owned());
        let (origin, count) = match (self.threads, of_job) {
            (Some(threads), _) => (format!("--threads {threads}"), Some(threads)),
            (None, Some(value)) => (format!("{CPUS_OF_JOB}={value}"), value.trim().parse().ok()),
            (None, None) => return Ok(()),
        };
        let threads = count.filter(|threads| (1..=1024).contains(threads));
        let threads = threads.with_context(|| format!("{origin}: give a number from 1 to 1024"))?;
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build_global();
        pool.context(origin)
    }
}

/// Processors of each task of a Slurm job. The number of processors in sight may be larger, because not every cluster
/// binds tasks to processors.
const CPUS_OF_JOB: &str = "SLURM_CPUS_PER_TASK";

/// Options of every command that computes with models.
#[derive(Clone, Debug, clap::Args)]
pub struct MachineArgs {
    #[command(flatten)]
    threads: ThreadArgs,
    /// Device for transformer models.
    #[arg(long, default_value = "cpu", value_name = "cpu|cuda:0")]
    device: String,
}

/// The program, processor and command line of this process, for the record of a run that it only prepares. It has no
/// vector instructions and no device, because this process makes no generation.
pub fn provenance_of_preparation() -> Provenance {
    Provenance {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        features: features(),
        cpu: cpu(),
        command_line: command_line(),
        ..Provenance::default()
    }
}

impl MachineArgs {
    /// Starts the threads and opens the device. Returns an error if the processor lacks the instructions that the
    /// environment names.
    pub fn open(&self) -> Result<Device> {
        Instructions::chosen()?;
        self.threads.start()?;
        Ok(device::parse(&self.device)?)
    }

    /// Version, processor, device and command line of this process, for the record.
    pub fn provenance(&self) -> Provenance {
        Provenance {
            instructions: Instructions::get().name(),
            device: self.device.clone(),
            ..provenance_of_preparation()
        }
    }
}

fn features() -> Vec<String> {
    if cfg!(feature = "cuda") { vec!["cuda".to_owned()] } else { Vec::new() }
}

fn cpu() -> String {
    let system = System::new_with_specifics(RefreshKind::nothing().with_cpu(CpuRefreshKind::nothing()));
    let brand = system.cpus().first().map_or("unknown", |cpu| cpu.brand().trim());
    format!("{brand}, {} threads", rayon::current_num_threads())
}

/// Memory that is available to this process without swapping; 0 if it is unknown.
pub fn available_memory_bytes() -> u64 {
    let memory = RefreshKind::nothing().with_memory(MemoryRefreshKind::nothing().with_ram());
    let system = System::new_with_specifics(memory);
    let free_in_cgroup = system.cgroup_limits().map(|limits| limits.free_memory).filter(|&free| free > 0);
    [free_in_cgroup, address_space_bytes()].into_iter().flatten().fold(system.available_memory(), u64::min)
}

/// The memory that this process uses now and the largest amount so far; `None` if the system does not report it.
pub fn used_memory_bytes() -> Option<UsedMemory> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let kibibytes = |name: &str| -> Option<u64> {
        status.lines().find_map(|line| line.strip_prefix(name))?.trim().strip_suffix(" kB")?.parse().ok()
    };
    Some(UsedMemory { now: kibibytes("VmRSS:")? << 10, most: kibibytes("VmHWM:")? << 10 })
}

/// Memory of this process in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UsedMemory {
    /// The current amount.
    pub now: u64,
    /// The largest amount so far.
    pub most: u64,
}

/// Memory that a limit on the address space of this process (`ulimit -v`) allows; `None` without a limit.
#[cfg(unix)]
fn address_space_bytes() -> Option<u64> {
    let limit = rustix::process::getrlimit(rustix::process::Resource::As).current?;
    // The limit also counts memory that is reserved but never used, so only half of it is taken as available.
    Some(limit / 2)
}

#[cfg(not(unix))]
fn address_space_bytes() -> Option<u64> {
    None
}

/// Does `work`, which may take long without reporting progress. Meanwhile prints a line from time to time to show that
/// `work` is still running.
pub fn with_status_lines<T>(what: &str, work: impl FnOnce() -> T) -> T {
    const FIRST: Duration = Duration::from_secs(2);
    const LATER: Duration = Duration::from_secs(10);
    let (done, is_done) = channel::<()>();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            let started = Instant::now();
            let mut wait = FIRST;
            while is_done.recv_timeout(wait) == Err(RecvTimeoutError::Timeout) {
                say(&format!("{what}: {} s so far; Ctrl-C stops", started.elapsed().as_secs()));
                wait = LATER;
            }
        });
        let result = work();
        drop(done);
        result
    })
}

/// Bars on a terminal, plain lines elsewhere.
pub fn observer() -> Box<dyn Observer> {
    if std::io::stderr().is_terminal() { Box::new(Bars::new()) } else { Box::new(Lines::default()) }
}

/// The command line of this process, with U+FFFD in place of bytes that are not Unicode.
pub fn command_line() -> Vec<String> {
    std::env::args_os().map(|word| word.to_string_lossy().into_owned()).collect()
}
