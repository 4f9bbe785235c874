//! Figures: `STUDY/NAME | alternative text`, where NAME is its file name in `genloss report` or `genloss fit`.

use super::studies::Studies;
use anyhow::{Context, Result};
use genloss::config::CONTROL;
use genloss::{report, verdict};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The SVG files that the documents show.
pub struct Figures {
    folder: PathBuf,
    files: BTreeMap<PathBuf, String>,
}

impl Figures {
    /// Figures that will be written into `folder`.
    pub fn new(folder: PathBuf) -> Self {
        Self { folder, files: BTreeMap::new() }
    }

    /// The image in Markdown, for `document`.
    pub fn image(&mut self, text: &str, document: &Path, studies: &Studies) -> Result<String> {
        let (source, alt) = text.split_once('|').context("no alternative text after |")?;
        let (study, name) = source.trim().split_once('/').context("not STUDY/NAME")?;
        let path = self.folder.join(study).join(format!("{name}.svg"));
        let link = relative(&path, document);
        let (svg, command) = draw(study, name, studies)?;
        self.files.insert(path, svg);
        Ok(format!("<!-- {command} -->\n![{}]({link})", alt.trim()))
    }

    /// Paths and contents.
    pub fn into_files(self) -> impl Iterator<Item = (PathBuf, String)> {
        self.files.into_iter()
    }
}

/// The SVG and the command that draws it: `genloss report` for a study of one experiment, `genloss fit` for several.
fn draw(study: &str, name: &str, studies: &Studies) -> Result<(String, String)> {
    let recorded = studies.all(study)?;
    let (svg, command) = match &recorded[..] {
        [single] => {
            let (name_of, observations) = (&single.experiment.name, single.observations());
            let comparisons = verdict::compare(name_of, &observations, CONTROL, &single.catalogue());
            (report::figure(single, &comparisons, name), "report")
        }
        _ => (report::fit_figure(&*studies.fit(study)?, name), "fit"),
    };
    let svg = svg.with_context(|| format!("genloss {command} draws no figure {name:?} for {study}"))?;
    Ok((svg, format!("genloss {command} generations/reference/{study} --out DIR")))
}

/// The path of `file` as a link in `document`; both are below the root of the repository.
fn relative(file: &Path, document: &Path) -> String {
    let from: Vec<_> = document.parent().into_iter().flat_map(Path::components).collect();
    let to: Vec<_> = file.components().collect();
    let common = from.iter().zip(&to).take_while(|(a, b)| a == b).count();
    let up = std::iter::repeat_n("..".to_owned(), from.len() - common);
    let down = to[common..].iter().map(|part| part.as_os_str().to_string_lossy().into_owned());
    up.chain(down).collect::<Vec<_>>().join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_leads_from_the_document_to_the_figure() {
        let figure = Path::new("/r/docs/src/figures/s/tail.svg");
        assert_eq!(relative(figure, Path::new("/r/README.md")), "docs/src/figures/s/tail.svg");
        assert_eq!(relative(figure, Path::new("/r/docs/src/results.md")), "figures/s/tail.svg");
        assert_eq!(relative(figure, Path::new("/r/docs/src/a/b.md")), "../figures/s/tail.svg");
    }
}
