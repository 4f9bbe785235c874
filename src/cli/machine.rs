//! Threads, device, progress display and Ctrl-C handling for commands that compute.

use super::output::say;
use crate::device;
use crate::progress::{Bars, Lines, Observer};
use crate::store::Provenance;
use anyhow::{Context, Result, ensure};
use candle_core::Device;
use genloss_kernels::instructions::Instructions;
use std::io::IsTerminal;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use sysinfo::{CpuRefreshKind, MemoryRefreshKind, RefreshKind, System};

/// `--threads`.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct ThreadArgs {
    /// Threads to compute with; results do not depend on their number [default: one per processor].
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
}

impl ThreadArgs {
    /// Starts the threads that every computation of this process shares.
    pub fn start(self) -> Result<()> {
        if let Some(threads) = self.threads {
            ensure!((1..=1024).contains(&threads), "--threads {threads}: give a number from 1 to 1024");
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build_global();
            pool.with_context(|| format!("--threads {threads}"))?;
        }
        Ok(())
    }
}

/// Options of every command that computes with models.
#[derive(Clone, Debug, clap::Args)]
pub struct MachineArgs {
    #[command(flatten)]
    threads: ThreadArgs,
    /// Device for transformer models.
    #[arg(long, default_value = "cpu", value_name = "cpu|cuda:0")]
    device: String,
}

impl MachineArgs {
    /// Starts the threads and opens the device.
    pub fn open(&self) -> Result<Device> {
        self.threads.start()?;
        Ok(device::parse(&self.device)?)
    }

    /// Version, processor, device and command line of this process, for the record.
    pub fn provenance(&self) -> Provenance {
        Provenance {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            features: if cfg!(feature = "cuda") { vec!["cuda".to_owned()] } else { Vec::new() },
            cpu: cpu(),
            instructions: Instructions::get().name(),
            device: self.device.clone(),
            command_line: command_line(),
            ..Provenance::default()
        }
    }
}

fn cpu() -> String {
    let system = System::new_with_specifics(RefreshKind::nothing().with_cpu(CpuRefreshKind::nothing()));
    let brand = system.cpus().first().map_or("unknown", |cpu| cpu.brand().trim());
    format!("{brand}, {} threads", rayon::current_num_threads())
}

/// Memory that is available without swapping.
pub fn available_memory_bytes() -> u64 {
    let memory = RefreshKind::nothing().with_memory(MemoryRefreshKind::nothing().with_ram());
    System::new_with_specifics(memory).available_memory()
}

/// Bars on a terminal, plain lines elsewhere.
pub fn observer() -> Box<dyn Observer> {
    if std::io::stderr().is_terminal() { Box::new(Bars::new()) } else { Box::new(Lines::default()) }
}

/// A flag that the first Ctrl-C or SIGTERM sets; the second one ends the process at once. Call it at most once.
pub fn interrupt() -> Result<Arc<AtomicBool>> {
    let flag = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&flag);
    ctrlc::set_handler(move || {
        if seen.swap(true, Ordering::Relaxed) {
            std::process::exit(130);
        }
        say("stopping after a checkpoint; press Ctrl-C again to stop at once");
    })?;
    Ok(flag)
}

/// The command line of this process, with U+FFFD in place of bytes that are not Unicode.
pub fn command_line() -> Vec<String> {
    std::env::args_os().map(|word| word.to_string_lossy().into_owned()).collect()
}
