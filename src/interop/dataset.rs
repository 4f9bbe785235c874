//! The texts of a run as a folder that Hugging Face `datasets` loads, with a data card.
//!
//! ```text
//! <dataset>/
//!   README.md                              the card; its front matter names the splits
//!   natural/train.parquet                  natural documents that the lineages of a seed can train on
//!   natural/heldout.parquet  reference.parquet
//!   shared/generation_000.parquet          what the generation 0 that arms share wrote
//!   arms/<arm>/generation_001.parquet …
//! ```
//!
//! A configuration is an arm, and its splits are `natural`, `heldout`, `reference`, `generation_0`, `generation_1`, …:
//! `load_dataset(folder, "unanchored", split="generation_3")`. Every split has the columns of [`COLUMNS`], with the
//! documents of all seeds. Natural text is not kept in a run; it comes from the files that the run was made from.

use super::{InteropError, card};
use crate::config::{Arm, CONTROL, Experiment};
use crate::documents::Documents;
use crate::lineage::PreparedText;
use crate::store::{self, Address, GenerationRecord, Provenance, RunRecord, StoreError};
use crate::tables::{ColumnNote, Effort, Table, TableNote, Value};
use crate::units::Tokens;
use crate::verdict::ArmComparison;
use std::collections::BTreeMap;
use std::path::Path;

/// The columns of every split.
pub const COLUMNS: [&str; 3] = ["seed", "document", "text"];

/// A split of one configuration.
struct Split {
    name: String,
    /// Its file below the folder.
    file: String,
    documents: usize,
}

/// Writes the texts of the run in `folder` into `out`, a new folder, completely or not at all. Without `natural`, the
/// natural text is left out.
///
/// # Errors
/// If `natural` is not the text of the run, if a corpus is not on record or damaged, or if the disk fails.
pub fn export(
    folder: &Path,
    recorded: &RunRecord,
    comparisons: &[ArmComparison],
    natural: Option<&PreparedText>,
    out: &Path,
) -> Result<(), InteropError> {
    if let Some(natural) = natural {
        check_natural(folder, recorded, natural)?;
    }
    store::write_folder(out, |aside| {
        let writer = Writer { folder, recorded, aside };
        let natural = natural.map_or(Ok(Vec::new()), |natural| writer.natural(natural))?;
        let mut configurations = Vec::new();
        for arm in &recorded.experiment.arms {
            configurations.push((arm, writer.generations(arm)?));
        }
        let text = card(recorded, comparisons, &natural, &configurations);
        Ok(store::write_derived(&aside.join("README.md"), text.as_bytes())?)
    })
}

/// An error if the text was read from files that have changed, or was made for other experiments as well, as in a sweep.
fn check_natural(folder: &Path, recorded: &RunRecord, natural: &PreparedText) -> Result<(), InteropError> {
    let now = natural.provenance(&recorded.experiment, Provenance::default());
    let then = &recorded.provenance;
    if (&now.corpus, &now.tokenizer) == (&then.corpus, &then.tokenizer) {
        return Ok(());
    }
    Err(InteropError::OtherText { folder: folder.to_owned() })
}

struct Writer<'a> {
    folder: &'a Path,
    recorded: &'a RunRecord,
    aside: &'a Path,
}

impl Writer<'_> {
    fn natural(&self, natural: &PreparedText) -> Result<Vec<Split>, InteropError> {
        let Experiment { seeds, .. } = &self.recorded.experiment;
        let decode = |documents: &Documents| natural.tokenizer.decode_documents(documents);
        let train = seeds
            .iter()
            .map(|&seed| (Some(seed), decode(&natural.natural_documents(&self.recorded.experiment, seed))));
        Ok(vec![
            self.write("natural", "natural/train", train.collect())?,
            self.write("heldout", "natural/heldout", vec![(None, decode(&natural.heldout))])?,
            self.write(
                "reference",
                "natural/reference",
                vec![(None, decode(natural.reference_documents()))],
            )?,
        ])
    }

    /// The corpora of an arm, as many generations as any of its seeds has.
    fn generations(&self, arm: &Arm) -> Result<Vec<Split>, InteropError> {
        let experiment = &self.recorded.experiment;
        let lineages = || self.recorded.lineages.iter().filter(|lineage| lineage.arm == arm.name);
        let count = lineages().map(|lineage| lineage.generations.len()).max().unwrap_or(0);
        let mut splits = Vec::new();
        for generation in 0..count {
            let is_shared = generation == 0 && experiment.shares_generation_0(arm);
            let of_arm = if is_shared { "shared".to_owned() } else { format!("arms/{}", arm.name) };
            let mut texts = Vec::new();
            for lineage in lineages().filter(|lineage| generation < lineage.generations.len()) {
                let address = Address::of(experiment, lineage.seed, arm, generation);
                let documents = store::read_documents(self.folder, address, usize::MAX)?;
                let missing = || InteropError::NoText { folder: self.folder.to_owned() };
                texts.push((Some(lineage.seed), documents.ok_or_else(missing)?));
            }
            let file = format!("{of_arm}/generation_{generation:03}");
            splits.push(self.write(&format!("generation_{generation}"), &file, texts)?);
        }
        Ok(splits)
    }

    /// Writes a file, unless another arm has written it already.
    fn write(
        &self,
        name: &str,
        file: &str,
        texts: Vec<(Option<u64>, Vec<String>)>,
    ) -> Result<Split, InteropError> {
        let documents = texts.iter().map(|(_, texts)| texts.len()).sum();
        let split = Split { name: name.to_owned(), file: format!("{file}.parquet"), documents };
        let path = self.aside.join(&split.file);
        if !path.exists() {
            let parquet = |source| StoreError::Parquet { path: path.clone(), source };
            store::write_derived(&path, &table(texts).to_parquet(Effort::Fast).map_err(parquet)?)?;
        }
        Ok(split)
    }
}

/// The documents of each seed, in the order in which they were written.
fn table(texts: Vec<(Option<u64>, Vec<String>)>) -> Table {
    let descriptions = [
        "seed of the lineage; empty where all lineages share the text",
        "number of the document within its seed, from 0",
        "the document; bytes that are not UTF-8 are shown as U+FFFD",
    ];
    let note = |description: &str| ColumnNote { description: description.to_owned(), unit: None };
    let columns =
        COLUMNS.iter().zip(descriptions).map(|(name, text)| ((*name).to_owned(), note(text))).collect();
    let description = "one row per document".to_owned();
    let mut table = Table::new(&COLUMNS);
    table.note = Some(TableNote { description, columns, more: BTreeMap::new() });
    for (seed, texts) in texts {
        let seed = seed.map_or(Value::Missing, |seed| Value::Integer(seed.cast_signed()));
        let row = |(index, text)| vec![seed.clone(), Value::Integer(index as i64), Value::Text(text)];
        table.rows.extend(texts.into_iter().enumerate().map(row));
    }
    table
}

/// The data card.
fn card(
    recorded: &RunRecord,
    comparisons: &[ArmComparison],
    natural: &[Split],
    configurations: &[(&Arm, Vec<Split>)],
) -> String {
    let name = &recorded.experiment.name;
    let version = card::plain(&recorded.provenance.version);
    let no_natural = match natural {
        [] => "The natural text itself is not included.\n",
        _ => {
            "`natural` has the documents that the lineages of each seed can train on, `heldout` the text that models are \
             scored on, `reference` the text that corpora are compared with.\n"
        }
    };
    format!(
        "{}\n# {}: text by generations of language models\n\n\
         Made by genloss {version}. Generation 0 was trained on natural text; each later generation was trained on the \
         mixture of its arm, in which text by earlier generations replaces or joins natural text. The arm `{CONTROL}` never \
         trains on synthetic text. Each configuration is an arm, and the split `generation_N` is the corpus that its \
         generation N wrote, with the documents of all seeds. {no_natural}\n\
         ```python\nfrom datasets import load_dataset\n\nload_dataset(\"FOLDER\", \"{CONTROL}\", split=\"generation_0\")\n```\n\n\
         ## Columns\n\n{}\n## Corpora\n\n{}\n## Verdicts\n\n{}\n## Source and licence\n\n{}\n\n## Settings\n\n{}",
        front_matter(name, natural, configurations),
        card::plain(name),
        columns(),
        corpora(recorded, configurations),
        super::verdicts(comparisons),
        super::source(recorded),
        card::fenced(&recorded.experiment_toml, "toml"),
    )
}

fn front_matter(name: &str, natural: &[Split], configurations: &[(&Arm, Vec<Split>)]) -> String {
    let mut text = format!(
        "---\npretty_name: {}\ntask_categories:\n- text-generation\ntags:\n- genloss\n- model-collapse\n- synthetic\n\
         size_categories:\n- {}\nconfigs:\n",
        card::quoted(name),
        size_category(natural.iter().chain(configurations.iter().flat_map(|(_, splits)| splits)))
    );
    // The arm that a reader gets without naming one: the first that trains on synthetic text.
    let default = configurations.iter().position(|(arm, _)| arm.name != CONTROL).unwrap_or(0);
    for (index, (arm, splits)) in configurations.iter().enumerate() {
        text += &format!("- config_name: {}\n", card::quoted(&arm.name));
        if index == default {
            text += "  default: true\n";
        }
        text += "  data_files:\n";
        for Split { name, file, .. } in natural.iter().chain(splits) {
            text += &format!("  - split: {name}\n    path: {}\n", card::quoted(file));
        }
    }
    text + "---\n"
}

/// The hub's name for a number of documents.
fn size_category<'a>(splits: impl Iterator<Item = &'a Split>) -> &'static str {
    match splits.map(|split| split.documents).sum::<usize>() {
        ..1_000 => "n<1K",
        1_000..10_000 => "1K<n<10K",
        10_000..100_000 => "10K<n<100K",
        100_000..1_000_000 => "100K<n<1M",
        1_000_000..10_000_000 => "1M<n<10M",
        _ => "10M<n<100M",
    }
}

fn columns() -> String {
    let note = table(Vec::new()).note.unwrap_or_default();
    let row = |name: &str| vec![name.to_owned(), note.columns[name].description.clone()];
    card::table(&["column", "content"], &COLUMNS.map(row))
}

/// How each corpus was written, and how large it is.
fn corpora(recorded: &RunRecord, configurations: &[(&Arm, Vec<Split>)]) -> String {
    let mut rows = Vec::new();
    for (arm, splits) in configurations {
        let lineages: Vec<_> = recorded.lineages.iter().filter(|lineage| lineage.arm == arm.name).collect();
        for (generation, split) in splits.iter().enumerate() {
            let records: Vec<&GenerationRecord> =
                lineages.iter().filter_map(|lineage| lineage.generations.get(generation)).collect();
            let Some(first) = records.first() else { continue };
            let tokens = records.iter().map(|record| record.synthesis.tokens.0).sum();
            rows.push(vec![
                arm.name.clone(),
                split.name.clone(),
                split.documents.to_string(),
                Tokens(tokens).to_string(),
                format!(
                    "{}, from {}; {}",
                    first.synthesis.method, first.synthesis.prompts, first.synthesis.decoding
                ),
            ]);
        }
    }
    card::table(&["configuration", "split", "documents", "tokens", "written by"], &rows)
}
