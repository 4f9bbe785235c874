//! What a command that computes needs of the machine: threads, device, an observer, and a way to be stopped.

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

/// Options of every command that computes.
#[derive(Clone, Debug, clap::Args)]
pub struct MachineArgs {
    /// Threads to compute with; the results do not depend on it [default: one per processor].
    #[arg(long, value_name = "N")]
    pub threads: Option<usize>,
    /// Where transformers live.
    #[arg(long, default_value = "cpu", value_name = "cpu|cuda:0")]
    pub device: String,
}

impl MachineArgs {
    /// Sets the threads, and opens the device.
    pub fn open(&self) -> Result<Device> {
        if let Some(threads) = self.threads {
            ensure!((1..=1024).contains(&threads), "--threads {threads}: give a number from 1 to 1024");
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build_global();
            pool.with_context(|| format!("--threads {threads}"))?;
        }
        Ok(device::parse(&self.device)?)
    }

    /// What the store records of this process.
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

/// Memory that can be had without swapping.
pub fn available_memory_bytes() -> u64 {
    let memory = RefreshKind::nothing().with_memory(MemoryRefreshKind::nothing().with_ram());
    System::new_with_specifics(memory).available_memory()
}

/// Bars on a terminal, plain lines elsewhere.
pub fn observer() -> Box<dyn Observer> {
    if std::io::stderr().is_terminal() { Box::new(Bars::new()) } else { Box::new(Lines::default()) }
}

/// A flag that the first Ctrl-C (or SIGTERM) sets; the second one ends the process at once.
pub fn interrupt() -> Result<Arc<AtomicBool>> {
    let flag = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&flag);
    ctrlc::set_handler(move || {
        if seen.swap(true, Ordering::Relaxed) {
            std::process::exit(130);
        }
        super::output::say("stopping after a checkpoint; once more to stop at once");
    })?;
    Ok(flag)
}

/// The words of this process's command line. What is no Unicode is shown by the replacement character.
pub fn command_line() -> Vec<String> {
    std::env::args_os().map(|word| word.to_string_lossy().into_owned()).collect()
}
