//! What the columns of a study's tables mean. The notes are stored in the files.

use crate::measure::{self, Catalogue};
use crate::store::RunRecord;
use crate::tables::{ColumnNote, TableNote};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// The name of a column, its meaning, and its unit.
type Column = (&'static str, &'static str, Option<&'static str>);

/// The generation that a row belongs to.
const GENERATION: [Column; 4] = [
    ("experiment", "name of the experiment", None),
    ("seed", "seed of the lineage: the unit of replication", None),
    ("arm", "condition; \"control\" never trains on synthetic text", None),
    ("generation", "0 trains on natural text only, each later one on the mixture of its arm", None),
];

const MEASUREMENT: [Column; 5] = [
    ("metric", "id of the metric; \"metrics\" beside this note defines it", None),
    ("unit", "unit of value and std_err; 1 for plain numbers", None),
    ("value", "measured value", Some("that of the column unit")),
    (
        "std_err",
        "standard error of value, from the finite text that was measured",
        Some("that of the column unit"),
    ),
    ("n", "size of what was measured", Some("tokens, words or questions")),
];

const DRIFT: [Column; 9] = [
    ("experiment", "name of the experiment", None),
    ("arm", "condition", None),
    ("metric", "id of the metric", None),
    ("generation", "generation", None),
    ("replicates", "simulated lineages", Some("lineages")),
    (
        "sampling",
        "mean of the metric if finite samples were all that changes a text",
        Some("that of the metric"),
    ),
    ("sampling_std_err", "standard error of sampling, over replicates", Some("that of the metric")),
    ("decoding", "the same, with the decoder of the arm", Some("that of the metric")),
    ("decoding_std_err", "standard error of decoding, over replicates", Some("that of the metric")),
];

fn note(description: &str, columns: &[Column]) -> TableNote {
    let column = |&(name, description, unit): &Column| {
        (name.to_owned(), ColumnNote { description: description.to_owned(), unit: unit.map(str::to_owned) })
    };
    let columns = columns.iter().map(column).collect();
    TableNote { description: description.to_owned(), columns, more: BTreeMap::new() }
}

/// The note of a table of measurements of these runs, with the definitions of their metrics.
#[must_use]
pub fn measurements_note(recorded: &[RunRecord]) -> TableNote {
    let mut catalogue = Catalogue::builtin();
    recorded.iter().for_each(|one| one.catalogue().iter().for_each(|metric| catalogue.add_if_new(metric)));
    let mut all =
        note("one row per measurement of one generation", &[&GENERATION[..], &MEASUREMENT].concat());
    let metrics: BTreeMap<&str, Value> = catalogue
        .iter()
        .map(|one| {
            let definition = json!({ "label": one.label, "unit": one.unit, "family": one.family, "narrowing": one.narrowing,
                "question": measure::explanation(&one.id).map(|explanation| explanation.question) });
            (&*one.id, definition)
        })
        .collect();
    all.more.insert("metrics".to_owned(), json!(metrics));
    all
}

pub(super) fn generations_note() -> TableNote {
    note("one row per generation: its mixture, training and synthesis; deeper fields are JSON", &GENERATION)
}

pub(super) fn drift_note() -> TableNote {
    note("one row per arm, metric and generation: what drift alone would have done", &DRIFT)
}
