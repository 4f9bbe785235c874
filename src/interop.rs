//! What other people's tools read: folders for TensorBoard, Hugging Face datasets, the model hub and MLflow.
//!
//! Every number is one that is on record; nothing is measured anew. The tables of a study are in [`crate::store`].
//! Each module here has an example.

mod card;
pub mod dataset;
mod error;
pub mod mlflow;
pub mod models;
mod series;
pub mod tensorboard;

pub use error::InteropError;

use crate::corpus::CorpusSource;
use crate::store::RunRecord;
use crate::verdict::ArmComparison;

/// The verdict on every arm, as Markdown.
fn verdicts(comparisons: &[ArmComparison]) -> String {
    if comparisons.is_empty() {
        return "There is no arm besides the control.\n".to_owned();
    }
    let line = |one: &ArmComparison| {
        let (arm, verdict) = (card::plain(&one.arm), one.verdict.word());
        format!("- **{arm}: {verdict}** ({}). {}\n", seeds(one.seeds), card::plain(&one.explanation))
    };
    comparisons.iter().map(line).collect()
}

fn seeds(number: usize) -> String {
    crate::units::counted(number as u64, "seed")
}

/// What the natural text is, as Markdown.
fn source(recorded: &RunRecord) -> String {
    let files = &recorded.provenance.text.files;
    if recorded.experiment.corpus.source == CorpusSource::World {
        return "The natural text is in a made-up language that the program generates; nobody has rights in it.".to_owned();
    }
    let names: Vec<String> = files
        .iter()
        .map(|file| format!("- {} (BLAKE3 `{}`)", card::plain(&file.path), file.blake3))
        .collect();
    format!(
        "The natural text was read from these files. Its licence is not known to the program, and holds for text that models \
         learnt from it as far as the law says so: add it before you publish this.\n\n{}",
        names.join("\n")
    )
}
