//! The command line: one file per subcommand, each with `Args` and `exec`. Results go to standard output, everything
//! else to standard error.

mod bench;
mod calibrate;
mod check;
mod collect;
mod compare;
mod completions;
mod cost;
mod counts;
mod demo;
mod drift;
mod experiment;
mod export;
mod fit;
mod help;
mod init;
mod inspect;
mod machine;
mod man;
mod memory;
mod natural;
mod output;
mod plan;
mod prepare;
mod report;
mod run;
mod runs;
mod schema;
mod score;
mod setting_flags;
mod status;
mod stop;
mod submit;
mod sweep;
mod units;
mod verify;
mod watch;
mod work;

use crate::terminal::{on_one_line, shortened};
use anyhow::Result;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

/// A laboratory for model collapse: train, sample, mix, train again, measure.
#[derive(Debug, Parser)]
#[command(version, about, max_term_width = 100)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a small experiment on built-in text; takes a few minutes.
    Demo(demo::Args),
    /// Write a commented experiment file to start from.
    Init(init::Args),
    /// Check an experiment file; show token counts, time and memory.
    Check(check::Args),
    /// Run an experiment, or resume it.
    Run(run::Args),
    /// Run every experiment of a file with a [grid], or resume them.
    Sweep(sweep::Args),
    /// Run an experiment or a sweep on a cluster.
    Submit(submit::Args),
    /// Prepare an experiment or sweep for many processes.
    Prepare(prepare::Args),
    /// Make units of a prepared run, beside other processes.
    Work(work::Args),
    /// List the units of a prepared run and their states.
    Units(units::Args),
    /// Show what is done, who works on it, what failed, time left.
    Status(status::Args),
    /// Finish a prepared run when its units are done; report.
    Collect(collect::Args),
    /// Compare every arm with the control: verdict, effects, intervals.
    Compare(compare::Args),
    /// Draw figures and write an HTML page.
    Report(report::Args),
    /// Show runs in a browser as they happen.
    Watch(watch::Args),
    /// List every measurement, or show synthetic documents.
    Inspect(inspect::Args),
    /// Fit scaling laws to runs; find the best share of synthetic text.
    Fit(fit::Args),
    /// Export runs as Parquet tables, small enough to publish.
    Export(export::Args),
    /// Score a text under a model: nats per token, bits per byte.
    Score(score::Args),
    /// Measure how often the verdict is wrong in experiments like yours.
    Calibrate(calibrate::Args),
    /// Simulate collapse by finite sampling alone, at any scale.
    Drift(drift::Args),
    /// Check this build against theory, known metrics and error rates.
    Verify(verify::Args),
    /// Measure how fast this machine trains and samples.
    Bench(bench::Args),
    /// Print a completion script for a shell.
    Completions(completions::Args),
    /// Print the JSON Schema of experiment files.
    Schema(schema::Args),
    /// Write manual pages.
    Man(man::Args),
}

/// The reason why the command line did not give a command to execute.
pub enum NoCommand {
    /// The command line asks for help or the version.
    HelpRequested(clap::Error),
    /// The command line is wrong; the message is one line.
    UsageError(String),
}

impl Cli {
    /// Parses the command line of this process.
    ///
    /// # Errors
    /// If the command line is wrong, or asks for help or the version.
    pub fn from_command_line() -> Result<Self, NoCommand> {
        let parsed = Self::described().try_get_matches().and_then(|matches| Self::from_arg_matches(&matches));
        parsed.map_err(|error| {
            let is_bare = error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand;
            if error.use_stderr() && !is_bare {
                NoCommand::UsageError(usage_line(&error))
            } else {
                NoCommand::HelpRequested(error)
            }
        })
    }

    /// The command line with its help grouped by purpose.
    fn described() -> clap::Command {
        help::grouped(Self::command())
    }

    /// Executes the command.
    ///
    /// # Errors
    /// The error of the command. [`one_line`] formats it as a line that says where the error is, what is wrong, and
    /// what to try.
    pub fn exec(self) -> Result<()> {
        stop::survive_file_size_limit();
        match self.command {
            Command::Demo(args) => args.exec(),
            Command::Init(args) => args.exec(),
            Command::Check(args) => args.exec(),
            Command::Run(args) => args.exec(),
            Command::Sweep(args) => args.exec(),
            Command::Submit(args) => args.exec(),
            Command::Prepare(args) => args.exec(),
            Command::Work(args) => args.exec(),
            Command::Units(args) => args.exec(),
            Command::Status(args) => args.exec(),
            Command::Collect(args) => args.exec(),
            Command::Compare(args) => args.exec(),
            Command::Report(args) => args.exec(),
            Command::Watch(args) => args.exec(),
            Command::Inspect(args) => args.exec(),
            Command::Fit(args) => args.exec(),
            Command::Export(args) => args.exec(),
            Command::Score(args) => args.exec(),
            Command::Calibrate(args) => args.exec(),
            Command::Drift(args) => args.exec(),
            Command::Verify(args) => args.exec(),
            Command::Bench(args) => args.exec(),
            Command::Completions(args) => args.exec(),
            Command::Schema(args) => args.exec(),
            Command::Man(args) => args.exec(),
        }
    }
}

/// The exit code for an error: 130 if the command was interrupted, 75 if by SIGUSR1 alone; otherwise 1.
#[must_use]
pub fn exit_code(error: &anyhow::Error) -> u8 {
    if error.is::<run::Interrupted>() { stop::exit_code() } else { 1 }
}

/// An error and its causes on one line, joined by `": "`, safe for a terminal. Overlong names are shortened, but not
/// the command that resumes an interrupted run.
#[must_use]
pub fn one_line(error: &anyhow::Error) -> String {
    let causes: Vec<String> = error.chain().map(ToString::to_string).collect();
    let line = on_one_line(&causes.join(": "));
    if error.is::<run::Interrupted>() { line } else { shortened(&line) }
}

/// The first paragraph of clap's message on one line, with the command whose help says more.
fn usage_line(error: &clap::Error) -> String {
    let text = error.to_string();
    let first = text.split("\n\n").next().unwrap_or_default();
    let words: Vec<&str> = first.trim_start_matches("error:").split_whitespace().collect();
    let nearest = match error.get(ContextKind::SuggestedSubcommand) {
        // The most similar one comes last.
        Some(ContextValue::Strings(names)) => names.last(),
        Some(ContextValue::String(name)) => Some(name),
        Some(_) | None => None,
    };
    let nearest = nearest.map_or(String::new(), |name| format!("; the nearest is '{name}'"));
    shortened(&on_one_line(&format!("{}{nearest}; see {} --help", words.join(" "), command_given())))
}

/// The command that the arguments of this process begin with: `genloss run`, or `genloss` if they begin with none.
fn command_given() -> String {
    let described = Cli::command();
    let (mut command, mut words) = (&described, vec!["genloss"]);
    for argument in std::env::args_os().skip(1) {
        let Some(found) = command.find_subcommand(&argument) else { break };
        words.push(found.get_name());
        command = found;
    }
    words.join(" ")
}
