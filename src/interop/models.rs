//! The models of a run as folders that can be shared, each with a model card.
//!
//! ```text
//! <models>/<arm>/seed-1/generation-002/    README.md, config.json, model.safetensors, tokenizer.json, …
//! ```
//!
//! The card is a `README.md` in the hub's form: what the model was trained on, how many generations it is away from natural
//! text, its measurements (in the front matter as a `model-index`), and the verdict on its arm.

use super::{InteropError, card};
use crate::config::{Arm, CONTROL, arms_in_words};
use crate::measure::Measurement;
use crate::model::group;
use crate::store::{self, Address, GenerationRecord, LineageRecord, RunRecord};
use crate::verdict::ArmComparison;
use std::collections::BTreeMap;
use std::path::Path;

/// The models that are wanted; `None` means all.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// Those of an arm.
    pub arm: Option<String>,
    /// Those of a seed.
    pub seed: Option<u64>,
    /// Those of a generation.
    pub generation: Option<usize>,
}

/// Copies the models of the run in `folder` that are wanted into `out`, a new folder, completely or not at all. A
/// generation 0 that arms share is copied for each of them.
///
/// # Errors
/// If no model is wanted, if one is damaged, or if the disk fails.
pub fn export(
    folder: &Path,
    recorded: &RunRecord,
    comparisons: &[ArmComparison],
    wanted: &Wanted,
    out: &Path,
) -> Result<(), InteropError> {
    let mut models = Vec::new();
    for lineage in &recorded.lineages {
        let Some(arm) = recorded.experiment.arms.iter().find(|arm| arm.name == lineage.arm) else { continue };
        let generations = (0..lineage.generations.len()).filter(|g| is_wanted(&wanted.generation, g));
        if is_wanted(&wanted.arm, &lineage.arm) && is_wanted(&wanted.seed, &lineage.seed) {
            models.extend(generations.map(|generation| Model {
                recorded,
                comparisons,
                lineage,
                arm,
                generation,
            }));
        }
    }
    if models.is_empty() {
        return Err(InteropError::NoModel { folder: folder.to_owned() });
    }
    store::write_folder(out, |aside| models.iter().try_for_each(|model| model.write(folder, aside)))
}

fn is_wanted<T: PartialEq>(wanted: &Option<T>, found: &T) -> bool {
    wanted.as_ref().is_none_or(|wanted| wanted == found)
}

/// One model and what is known about it.
struct Model<'a> {
    recorded: &'a RunRecord,
    comparisons: &'a [ArmComparison],
    lineage: &'a LineageRecord,
    arm: &'a Arm,
    generation: usize,
}

impl Model<'_> {
    fn write(&self, folder: &Path, aside: &Path) -> Result<(), InteropError> {
        let experiment = &self.recorded.experiment;
        let address = Address::of(experiment, self.lineage.seed, self.arm, self.generation);
        let to = aside.join(self.place());
        store::copy_model(folder, address, &to)?;
        let is_hugging_face =
            group::model_folders(&to).iter().all(|one| one.join("model.safetensors").exists());
        Ok(store::write_derived(&to.join("README.md"), self.card(is_hugging_face).as_bytes())?)
    }

    fn record(&self) -> &GenerationRecord {
        &self.lineage.generations[self.generation]
    }

    /// The folder of the model.
    fn place(&self) -> String {
        format!("{}/seed-{}/generation-{:03}", self.arm.name, self.lineage.seed, self.generation)
    }

    fn card(&self, is_hugging_face: bool) -> String {
        let (seed, generation) = (self.lineage.seed, self.generation);
        let name = card::plain(&self.recorded.experiment.name);
        let arm = card::plain(&self.arm.name);
        format!(
            "{}\n# {name}: generation {generation} of {arm}, seed {seed}\n\n\
             A language model from an experiment on model collapse, made by genloss {}: small, and trained to be measured, not \
             to be used. {}\n\n## Trained on\n\n{}\n## Measurements\n\n{}\n## Verdict\n\n{}\n## Source and licence\n\n{}\n\n\
             ## Settings\n\n{}",
            self.front_matter(is_hugging_face),
            card::plain(&self.recorded.provenance.version),
            loaded_by(is_hugging_face, self.record().training.writers),
            self.training(),
            self.measurements(),
            self.verdict(),
            super::source(self.recorded),
            card::fenced(&self.recorded.experiment_toml, "toml"),
        )
    }

    fn front_matter(&self, is_hugging_face: bool) -> String {
        let library = if is_hugging_face { "transformers" } else { "genloss" };
        let (experiment, place) = (&self.recorded.experiment.name, self.place());
        let mut text = format!(
            "---\nlibrary_name: {library}\npipeline_tag: text-generation\ntags:\n- genloss\n- model-collapse\nmodel-index:\n\
             - name: {}\n  results:\n  - task:\n      type: text-generation\n    dataset:\n      type: genloss\n      \
             name: {}\n    metrics:\n",
            card::quoted(&format!("{experiment}/{place}")),
            card::quoted(&format!("{experiment}: natural text, and text by this model")),
        );
        let catalogue = self.recorded.catalogue();
        for Measurement { metric, value, .. } in &self.record().measurements {
            let (id, label) = (card::quoted(metric), card::quoted(catalogue.label(metric)));
            text +=
                &format!("    - type: {id}\n      name: {label}\n      value: {}\n", card::number(*value));
        }
        text + "---\n"
    }

    /// What the model was trained on.
    fn training(&self) -> String {
        let GenerationRecord { mixture, training, .. } = self.record();
        let mut lines = vec![
            format!("Generations from natural text: **{}**", self.distance()),
            format!("Natural text: {} tokens", mixture.natural_tokens),
        ];
        let writers = match mixture.synthetic_from.is_empty() {
            true => String::new(),
            false => format!(" of {}", arms_in_words(mixture.synthetic_from.iter().map(String::as_str))),
        };
        let synthetic = &mixture.synthetic_tokens;
        lines.extend(
            synthetic.iter().map(|(by, tokens)| format!("Text by generation {by}{writers}: {tokens} tokens")),
        );
        lines.push(format!("Weights began from: {}", card::plain(&training.init)));
        lines.push(format!(
            "Parameters{}: {}; training tokens: {} in {} steps ({:.2} passes over the text)",
            if training.writers.is_some() { " of each writer" } else { "" },
            training.parameters,
            training.tokens_seen,
            training.steps,
            training.epochs
        ));
        lines.iter().map(|line| format!("- {line}\n")).collect()
    }

    /// How many models stand between this one and natural text: 0 if it was trained on natural text only, otherwise one
    /// more than the largest number of those whose text it was trained on.
    fn distance(&self) -> usize {
        let of_seed = || self.recorded.lineages.iter().filter(|one| one.seed == self.lineage.seed);
        let mut distances: BTreeMap<(&str, usize), usize> = BTreeMap::new();
        for generation in 0..=self.generation {
            for lineage in of_seed() {
                let Some(GenerationRecord { mixture, .. }) = lineage.generations.get(generation) else {
                    continue;
                };
                let own = [lineage.arm.clone()];
                let writers =
                    if mixture.synthetic_from.is_empty() { &own[..] } else { &mixture.synthetic_from };
                let read = mixture.synthetic_tokens.iter().filter(|(_, tokens)| tokens.0 > 0);
                let texts = read.flat_map(|(&by, _)| writers.iter().map(move |arm| (arm.as_str(), by)));
                let farthest = texts.filter_map(|text| distances.get(&text)).max();
                let distance = farthest.map_or(0, |farthest| farthest + 1);
                distances.insert((&lineage.arm, generation), distance);
            }
        }
        distances[&(self.lineage.arm.as_str(), self.generation)]
    }

    /// Every measurement beside that of the control with the same seed.
    fn measurements(&self) -> String {
        let mut lineages = self.recorded.lineages.iter();
        let control = lineages.find(|one| (one.seed, one.arm.as_str()) == (self.lineage.seed, CONTROL));
        let control = control.and_then(|control| control.generations.get(self.generation));
        let catalogue = self.recorded.catalogue();
        let row = |one: &Measurement| {
            let of_control = control.and_then(|control| control.value(&one.metric));
            vec![
                catalogue.label(&one.metric).to_owned(),
                four_decimals(one.value),
                four_decimals(one.std_err),
                of_control.map_or("–".to_owned(), four_decimals),
                one.unit.clone(),
            ]
        };
        let rows: Vec<_> = self.record().measurements.iter().map(row).collect();
        card::table(&["metric", "value", "standard error", "control", "unit"], &rows)
    }

    fn verdict(&self) -> String {
        if self.arm.name == CONTROL {
            return "This is the control: it never trains on synthetic text, and the other arms are compared with it.\n".to_owned();
        }
        let of_arm: Vec<_> =
            self.comparisons.iter().filter(|one| one.arm == self.arm.name).cloned().collect();
        if of_arm.is_empty() {
            return "Not yet judged: the arm has no generation after generation 0.\n".to_owned();
        }
        format!("On the arm, from all its seeds and generations:\n\n{}", super::verdicts(&of_arm))
    }
}

/// A number for people; what rounds to zero has no sign.
fn four_decimals(value: f64) -> String {
    let text = format!("{value:.4}");
    if text == "-0.0000" { "0.0000".to_owned() } else { text }
}

/// What reads the model, or the models of several writers.
fn loaded_by(is_hugging_face: bool, writers: Option<u64>) -> String {
    match (is_hugging_face, writers) {
        (false, _) => "It is an n-gram model, which `genloss score` reads.".to_owned(),
        (true, None) => {
            "`AutoModelForCausalLM.from_pretrained` of Hugging Face transformers loads it.".to_owned()
        }
        (true, Some(writers)) => format!(
            "The generation has {writers} models, which wrote its text in turn: `AutoModelForCausalLM.from_pretrained` of \
             Hugging Face transformers loads each of the folders writer-1 to writer-{writers}."
        ),
    }
}
