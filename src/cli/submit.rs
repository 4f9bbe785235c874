//! `genloss submit`: prepares an experiment and gives it to a program that runs jobs on many machines.

mod cluster;
mod estimate;
mod hyperqueue;
mod scripts;
mod time_limit;

use super::experiment::ExperimentArgs;
use super::memory::ForceArgs;
use super::output::{self, say};
use super::prepare::Target;
use super::{check, run};
use crate::config::Experiment;
use crate::files;
use crate::store::{self, Address, Unit, UnitState};
use crate::sweep::{self, PreparedSweep};
use crate::units::counted;
use anyhow::{Context, Result, bail, ensure};
use cluster::Limits;
use scripts::{Jobs, Resources, Script};
use std::path::{Path, PathBuf};
use time_limit::TimeLimit;

/// Options of `genloss submit`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    experiment: ExperimentArgs,
    /// Folder of the run or sweep; every machine must see it under the same path [default: generations/NAME].
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    #[command(flatten)]
    engine: Engine,
    /// Most workers at a time [default: one for each lineage].
    #[arg(long, value_name = "W", value_parser = clap::value_parser!(u32).range(1..))]
    workers: Option<u32>,
    /// Processors of each worker.
    #[arg(long, value_name = "C", default_value = "1", value_parser = clap::value_parser!(u16).range(1..=1024))]
    cpus: u16,
    /// GPUs of each worker: 0 or 1.
    #[arg(long, value_name = "G", default_value = "0", value_parser = clap::value_parser!(u8).range(0..=1))]
    gpus: u8,
    /// Partition of the cluster [default: that of the cluster].
    #[arg(long, value_name = "P", conflicts_with = "hyperqueue")]
    partition: Option<String>,
    /// Time limit of each job, such as 90 (minutes) or 1-12:00:00; a worker that reaches it saves its work and goes back
    /// into the queue [default: that of the partition].
    #[arg(long, value_name = "T", conflicts_with = "hyperqueue")]
    time: Option<TimeLimit>,
    /// Print the scripts and the estimated time, memory and disk; prepare and submit nothing.
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    force: ForceArgs,
    /// Options passed to sbatch as they are: -- --account=lab --mem=4G.
    #[arg(last = true, value_name = "SBATCH_OPTION", conflicts_with = "hyperqueue")]
    sbatch_options: Vec<String>,
}

#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct Engine {
    /// Submit an array of workers, and a job that collects after them, to Slurm.
    #[arg(long)]
    slurm: bool,
    /// Write a job file for HyperQueue, with a task for each unit.
    #[arg(long)]
    hyperqueue: bool,
}

impl Args {
    /// Prepares the experiment, submits the jobs and prints their ids.
    pub fn exec(self) -> Result<()> {
        let planned = self.planned()?;
        ensure!(
            self.gpus == 0 || cfg!(feature = "cuda"),
            "--gpus {}: this genloss was built without CUDA; build with --features cuda, or leave it out",
            self.gpus
        );
        if self.dry_run {
            // The estimate is for a worker with as many threads as it will have.
            super::machine::ThreadArgs::of(self.cpus.into()).start()?;
        }
        if self.engine.hyperqueue { self.hyperqueue(&planned) } else { self.slurm(&planned) }
    }

    fn planned(&self) -> Result<Target> {
        let target = Target::of(&self.experiment, self.out.as_deref())?;
        let root = std::path::absolute(&target.root).with_context(|| target.root.display().to_string())?;
        Ok(Target { root, ..target })
    }

    fn slurm(&self, planned: &Target) -> Result<()> {
        if let Some(reason) = scripts::unusable_folder(&planned.root) {
            bail!(
                "{}: {reason}, which Slurm cannot write output to; give another --out",
                planned.root.display()
            );
        }
        let limits = self.limits()?;
        let wanted =
            unfinished_lineages(planned)?.min(self.workers.map_or(usize::MAX, |workers| workers as usize));
        let workers = allowed_workers(wanted, limits)?;
        let jobs = self.jobs(planned)?;
        let worker_scripts = jobs.worker_scripts(workers, limits.tasks_per_array);
        if self.dry_run {
            let scripts: Vec<String> =
                worker_scripts.iter().chain([&jobs.collect_script()]).map(shown).collect();
            output::emit(&scripts.concat())?;
            return self.print_estimate(planned, workers);
        }
        self.prepare(planned)?;
        self.submit(&jobs, &worker_scripts)
    }

    /// The limits of the cluster, once everything that can be checked has been checked. A dry run also works without a
    /// cluster.
    fn limits(&self) -> Result<Limits> {
        if let Err(error) = cluster::check_installed() {
            ensure!(self.dry_run, error);
            say(&format!(
                "note: the scripts assume the default limits of Slurm, because it cannot be asked: {error}"
            ));
            return Ok(cluster::DEFAULT_LIMITS);
        }
        if let Some(partition) = &self.partition {
            let partitions = cluster::partitions()?;
            // Slurm takes several, separated by commas.
            let missing = partition.split(',').find(|name| !partitions.iter().any(|one| one == name));
            if let Some(missing) = missing {
                bail!(
                    "--partition {missing}: there is no such partition; choose from {}",
                    partitions.join(", ")
                );
            }
        }
        Ok(cluster::limits()?)
    }

    fn jobs(&self, planned: &Target) -> Result<Jobs> {
        Ok(Jobs {
            program: std::env::current_exe().context("the path of this program")?,
            folder: planned.root.clone(),
            name: planned.name.clone(),
            resources: Resources {
                cpus: self.cpus.into(),
                gpu: self.gpus > 0,
                partition: self.partition.clone(),
                time: self.time,
            },
        })
    }

    fn submit(&self, jobs: &Jobs, worker_scripts: &[Script]) -> Result<()> {
        let mut ids: Vec<String> = Vec::new();
        for script in worker_scripts {
            let path = write(&jobs.folder, scripts::FOLDER, &script.file_name, &script.text)?;
            let id = cluster::submit(&path, &self.sbatch_options);
            ids.push(id.with_context(|| refused(&ids))?);
        }
        let script = jobs.collect_script();
        let path = write(&jobs.folder, scripts::FOLDER, &script.file_name, &script.text)?;
        let mut options = self.sbatch_options.clone();
        if !ids.is_empty() {
            // Options that come later win. The job must start even if workers fail, and must not wait for workers that
            // never start.
            options.push(format!("--dependency=afterany:{}", ids.join(":")));
            options.push("--kill-on-invalid-dep=yes".to_owned());
        }
        let collect = cluster::submit(&path, &options).with_context(|| refused(&ids))?;
        output::emit(&submitted(&jobs.folder, &ids, &collect))
    }

    fn hyperqueue(&self, planned: &Target) -> Result<()> {
        let program = std::env::current_exe().context("the path of this program")?;
        let tasks = hyperqueue::Tasks {
            name: &planned.name,
            program: &program.to_string_lossy(),
            folder: &planned.root.to_string_lossy(),
            cpus: self.cpus.into(),
            gpu: self.gpus > 0,
        };
        let text = tasks.job_file(&units(planned));
        if self.dry_run {
            output::emit(&text)?;
            return self.print_estimate(planned, unfinished_lineages(planned)?);
        }
        self.prepare(planned)?;
        let path = write(&planned.root, hyperqueue::FOLDER, hyperqueue::FILE, &text)?;
        output::emit(&format!(
            "written: a job of {}; submit it with: hq job submit-file {}\n",
            counted(text.matches("[[task]]").count() as u64, "task"),
            run::shell_quoted(&path.to_string_lossy())
        ))
    }

    /// Records the experiments and their text in the folder.
    fn prepare(&self, planned: &Target) -> Result<()> {
        planned.prepare(self.force).map_err(|error| self.experiment.located(error))
    }

    fn read<'a>(&self, planned: &'a Target) -> Result<PreparedSweep<'a>> {
        check::prepare(&planned.name, &planned.experiments, &planned.root, self.force)
            .map_err(|error| self.experiment.located(error))
    }

    fn print_estimate(&self, planned: &Target, workers: usize) -> Result<()> {
        let prepared = self.read(planned)?;
        let workers = workers.min(self.workers.map_or(usize::MAX, |workers| workers as usize));
        let is_done = |experiment: &Experiment, at: Address| match planned.is_sweep {
            true => at.exists_in(&sweep::folder(&planned.root, experiment)),
            false => at.exists_in(&planned.root),
        };
        let estimate = estimate::Estimate::new(&prepared, workers, &is_done)?;
        output::emit(&estimate.to_text(&planned.root, self.cpus.into(), self.gpus > 0))
    }
}

/// The number of units that can be made at once: lineages that are not done.
fn unfinished_lineages(planned: &Target) -> Result<usize> {
    let mut count = 0;
    for (folder, experiment) in planned.folders().iter().zip(&planned.experiments) {
        let is_last = |unit: &Unit| !unit.is_first() || experiment.generations == 0;
        let states = store::unit_states(folder, experiment)?;
        count += states.iter().filter(|(unit, state)| is_last(unit) && *state != UnitState::Done).count();
    }
    Ok(count)
}

/// The units of the experiments, by seed.
fn units(planned: &Target) -> Vec<hyperqueue::SeedUnits> {
    planned.experiments.iter().flat_map(|experiment| units_of(experiment, planned.is_sweep)).collect()
}

fn units_of(experiment: &Experiment, is_in_sweep: bool) -> Vec<hyperqueue::SeedUnits> {
    let folder = if is_in_sweep { format!("{}/", experiment.name) } else { String::new() };
    let of_seed = |&seed: &u64| {
        let units = Unit::all(experiment).into_iter().filter(|unit| unit.seed == seed);
        let (first, later): (Vec<Unit>, Vec<Unit>) = units.partition(Unit::is_first);
        let names =
            |units: Vec<Unit>| units.into_iter().map(|unit| format!("{folder}{unit}")).collect::<Vec<_>>();
        hyperqueue::SeedUnits { first: names(first).concat(), later: names(later) }
    };
    experiment.seeds.iter().map(of_seed).collect()
}

/// As many of the wanted workers as the cluster has room for, beside the job that collects.
fn allowed_workers(wanted: usize, limits: Limits) -> Result<usize> {
    let room = limits.jobs.saturating_sub(1);
    ensure!(
        room > 0,
        "the cluster takes {} (MaxJobCount): too few for a worker and a job that collects",
        counted(limits.jobs as u64, "job")
    );
    if wanted > room {
        say(&format!(
            "note: {room} workers instead of {wanted}: the cluster takes {} jobs at a time (MaxJobCount); each worker makes \
             one unit after the other, so that nothing is left out",
            limits.jobs
        ));
    }
    Ok(wanted.min(room))
}

/// The message after a submission: the job ids, and the commands that show the jobs, the work and the output.
fn submitted(folder: &Path, workers: &[String], collect: &str) -> String {
    let word = run::shell_quoted(&folder.to_string_lossy());
    let jobs: Vec<&str> = workers.iter().map(String::as_str).chain([collect]).collect();
    let what = match workers {
        [] => format!("all units are done; submitted: job {collect}, which collects"),
        _ => format!(
            "submitted: workers as job {}, and job {collect}, which collects after them",
            workers.join(", ")
        ),
    };
    format!(
        "{what}\nlook at the work: genloss status {word}\nlook at the jobs: squeue -j {}\ntheir output:     {}\n",
        jobs.join(","),
        run::shell_quoted(&folder.join(scripts::FOLDER).to_string_lossy()),
    )
}

/// Context of an error of `sbatch`: what was submitted before.
fn refused(submitted: &[String]) -> String {
    if submitted.is_empty() {
        return "nothing was submitted; what was prepared is kept".to_owned();
    }
    let ids = submitted.join(" ");
    format!(
        "not everything was submitted; cancel what was with scancel {ids}, or let it work and collect afterwards"
    )
}

fn shown(script: &Script) -> String {
    format!("==> {}\n{}\n", script.file_name, script.text)
}

/// Writes a file into a folder below the root, and returns its path.
fn write(root: &Path, folder: &str, name: &str, text: &str) -> Result<PathBuf> {
    let folder = root.join(folder);
    let path = folder.join(name);
    let written = files::create_dirs(&folder).and_then(|()| files::write_whole(&path, text.as_bytes()));
    written.map_err(|error| anyhow::anyhow!("{}: {error}{}", path.display(), files::remedy(&error)))?;
    Ok(path)
}
