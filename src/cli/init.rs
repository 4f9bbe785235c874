//! `genloss init`: an experiment file to start from.

use super::output::say;
use anyhow::{Context, Result, bail};
use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
use std::path::PathBuf;

const TEMPLATE: &str = include_str!("init/experiment.toml");

/// Options of `genloss init`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The file to write; an existing one is never overwritten.
    #[arg(value_name = "FILE", default_value = "experiment.toml")]
    file: PathBuf,
}

impl Args {
    /// Writes the file.
    pub fn exec(self) -> Result<()> {
        let name = self.file.display();
        let mut file = match OpenOptions::new().write(true).create_new(true).open(&self.file) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                bail!("{name}: already exists; give another name, or delete it first")
            }
            Err(error) => return Err(error).with_context(|| name.to_string()),
        };
        let text = template(&name.to_string());
        file.write_all(text.as_bytes()).with_context(|| name.to_string())?;
        say(&format!("{name} written; edit it, then: genloss check {name}"));
        Ok(())
    }
}

/// The template for a file of this name. Comments in the template mention the name.
fn template(name: &str) -> String {
    let is_plain = name.chars().all(|c| !c.is_control() && !c.is_whitespace());
    let name = if is_plain { name } else { "FILE" };
    TEMPLATE.replace("experiment.toml", name)
}

#[cfg(test)]
mod tests {
    use super::{TEMPLATE, template};
    use crate::config;

    #[test]
    fn the_comments_name_the_file_that_they_are_in() {
        let text = template("mine.toml");
        assert!(text.contains("genloss run mine.toml") && !text.contains("experiment.toml"));
        config::parse(&template("a\nb = 1"), "strange", &[]).unwrap();
    }

    #[test]
    fn the_file_to_start_from_is_valid() {
        let experiment = config::parse(TEMPLATE, "experiment.toml", &[]).unwrap();
        assert_eq!(experiment.arms.len(), 4);
    }
}
