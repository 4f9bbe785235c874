//! `genloss init`: an experiment file to start from.

use super::output::say;
use super::run::shell_quoted;
use anyhow::{Context, Result, bail, ensure};
use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
use std::path::PathBuf;

const TEMPLATE: &str = include_str!("init/experiment.toml");

/// Options of `genloss init`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The file to write; an existing one is never overwritten.
    #[arg(value_name = "FILE", default_value = "my-experiment.toml")]
    file: PathBuf,
}

impl Args {
    /// Writes the file.
    pub fn exec(self) -> Result<()> {
        let name = self.file.display();
        ensure!(
            self.file.as_os_str() != "-",
            "-: the file is not written to standard output; give the name of a file, such as my-experiment.toml"
        );
        let mut file = match OpenOptions::new().write(true).create_new(true).open(&self.file) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                bail!("{name}: already exists; give another name, or delete it first")
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let folder = self.file.parent().unwrap_or(&self.file).display();
                bail!("{name}: the folder {folder} does not exist; create it first, or give another name")
            }
            Err(error) => return Err(error).with_context(|| name.to_string()),
        };
        let text = template(&name.to_string());
        file.write_all(text.as_bytes()).with_context(|| name.to_string())?;
        let quoted = shell_quoted(&name.to_string());
        say(&format!("{name} written; edit it, then: genloss check {quoted}"));
        Ok(())
    }
}

/// The template for a file of this name. Comments in the template mention the name.
fn template(name: &str) -> String {
    let name = if name.contains(char::is_control) { "FILE".to_owned() } else { shell_quoted(name) };
    TEMPLATE.replace("my-experiment.toml", &name)
}

#[cfg(test)]
mod tests {
    use super::{TEMPLATE, template};
    use crate::config;

    #[test]
    fn the_comments_name_the_file_that_they_are_in() {
        let text = template("mine.toml");
        assert!(text.contains("genloss run mine.toml") && !text.contains("my-experiment.toml"));
        assert!(template("a b.toml").contains("genloss run 'a b.toml'"));
        config::parse(&template("a\nb = 1"), "strange", &[]).unwrap();
    }

    #[test]
    fn the_file_to_start_from_is_valid() {
        let experiment = config::parse(TEMPLATE, "experiment.toml", &[]).unwrap();
        assert_eq!(experiment.arms.len(), 4);
    }
}
