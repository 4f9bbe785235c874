//! `genloss --help`: the commands in groups.

use clap::Command;

/// The title and the commands of each group. Commands in no group are listed under "Other".
const GROUPS: [(&str, &[&str]); 5] = [
    ("Run experiments", &["demo", "init", "schema", "check", "run", "sweep"]),
    ("Many processes or machines", &["submit", "prepare", "work", "units", "status", "collect"]),
    ("Read results", &["compare", "report", "watch", "inspect", "fit", "export", "score"]),
    ("Check the method", &["calibrate", "drift", "verify"]),
    ("Machine and shell", &["bench", "completions", "man"]),
];

const EXAMPLES: &str = "Start with:
  genloss demo                        a first result
  genloss init mine.toml              an experiment of your own
  genloss check mine.toml && genloss run mine.toml";

/// Makes `genloss --help` list the commands by purpose. The help of a single command does not change.
pub(super) fn grouped(command: Command) -> Command {
    let template = format!(
        "{{about-with-newline}}\n{{usage-heading}} {{usage}}\n\n{}{EXAMPLES}\n\nOptions:\n{{options}}\n",
        listing(&command)
    );
    command.help_template(template)
}

fn listing(command: &Command) -> String {
    let is_grouped = |name: &str| GROUPS.iter().any(|(_, names)| names.contains(&name));
    let others: Vec<&str> =
        command.get_subcommands().map(Command::get_name).filter(|name| !is_grouped(name)).collect();
    let other = (!others.is_empty()).then_some(("Other", &others[..]));
    let groups = GROUPS.into_iter().chain(other);
    groups.map(|(purpose, names)| format!("{purpose}:\n{}\n", lines(command, names))).collect()
}

fn lines(command: &Command, names: &[&str]) -> String {
    let line = |name: &&str| {
        let about = command.find_subcommand(name)?.get_about()?;
        Some(format!("  {name:<12} {about}\n"))
    };
    names.iter().filter_map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Cli;
    use clap::CommandFactory;

    #[test]
    fn every_command_is_in_one_group_and_its_line_fits_80_columns() {
        let command = Cli::command();
        let listed = listing(&command);
        for subcommand in command.get_subcommands() {
            let start = format!("  {:<12} ", subcommand.get_name());
            assert_eq!(listed.matches(&start).count(), 1, "{start}");
        }
        assert!(!listed.contains("Other:"), "{listed}");
        assert!(listed.lines().all(|line| line.chars().count() <= 80), "{listed}");
    }
}
