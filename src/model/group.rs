//! A group: several models that write one text in turn, as writers of a population do (Kovač et al. 2025).
//!
//! The folder of a group has one model folder for each member, and `writers.json` with their number:
//!
//! ```text
//! writers.json
//! writer-1/       config.json, model.safetensors, …
//! writer-2/
//! ```
//!
//! The loss of a group is the mean loss of its members, which is larger than the loss of their mixture wherever they
//! disagree ([`Scores::disagreements`]).

use super::{
    FolderFormat, FolderProblem, GenerateRequest, LanguageModel, Loaded, ModelError, Redrawn, Scores,
};
use crate::decoding::SamplingSettings;
use crate::documents::{Documents, TokenId};
use crate::files;
use crate::stage::Stage;
use candle_core::Device;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

const NUMBER: &str = "writers.json";

/// Several models with the same vocabulary.
pub struct Group(Vec<Box<dyn LanguageModel>>);

/// The content of `writers.json`.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Number {
    writers: usize,
}

/// The folder of one member, counted from 0, in the folder of its group.
#[must_use]
pub fn folder(group: &Path, writer: usize) -> PathBuf {
    group.join(format!("writer-{}", writer + 1))
}

/// The model folders in `dir`: those of the members if it is the folder of a group, else `dir` itself.
#[must_use]
pub fn model_folders(dir: &Path) -> Vec<PathBuf> {
    if !dir.join(NUMBER).exists() {
        return vec![dir.to_owned()];
    }
    (0..).map(|writer| folder(dir, writer)).take_while(|folder| folder.is_dir()).collect()
}

impl Group {
    /// The group of these models; at least one.
    #[must_use]
    pub fn new(members: Vec<Box<dyn LanguageModel>>) -> Self {
        Self(members)
    }

    /// Splits documents into those of each member: member m writes those whose `turn` is m modulo the number of members. `work` is called for each member with the indices of its documents and must return one result for each.
    fn in_turn<T>(
        &self,
        documents: usize,
        turn: impl Fn(usize) -> u64,
        mut work: impl FnMut(&dyn LanguageModel, &[usize]) -> Result<Vec<T>, ModelError>,
    ) -> Result<Vec<T>, ModelError> {
        let mut done: Vec<(usize, T)> = Vec::with_capacity(documents);
        for (writer, member) in self.0.iter().enumerate() {
            let is_own = |index: &usize| turn(*index) % self.0.len() as u64 == writer as u64;
            let own: Vec<usize> = (0..documents).filter(is_own).collect();
            if !own.is_empty() {
                let results = work(&**member, &own)?;
                done.extend(own.into_iter().zip(results));
            }
        }
        done.sort_by_key(|(index, _)| *index);
        Ok(done.into_iter().map(|(_, result)| result).collect())
    }
}

impl LanguageModel for Group {
    /// The means over members of log-probabilities and entropies.
    fn score(&self, documents: &Documents, stage: &Stage) -> Result<Scores, ModelError> {
        let all = self.0.iter().map(|member| member.score(documents, stage));
        Ok(pooled(&all.collect::<Result<Vec<_>, _>>()?))
    }

    /// The mean over members.
    fn score_decoded(
        &self,
        documents: &Documents,
        decoding: &SamplingSettings,
        stage: &Stage,
    ) -> Result<Vec<f32>, ModelError> {
        let all = self.0.iter().map(|member| member.score_decoded(documents, decoding, stage));
        let all = all.collect::<Result<Vec<_>, _>>()?;
        Ok((0..documents.flat().len()).map(|token| mean(all.iter().map(|one| one[token]))).collect())
    }

    /// Document i of the request is written by member `item(i)`, counted modulo the number of members.
    fn generate(&self, request: &GenerateRequest, stage: &Stage) -> Result<Documents, ModelError> {
        let documents = self.in_turn(request.prompts.len(), request.item, |member, own| {
            let prompts = own.iter().map(|&index| request.prompts.get(index)).collect();
            let item = |index: usize| (request.item)(own[index]);
            let written =
                member.generate(&GenerateRequest { prompts: &prompts, item: &item, ..*request }, stage)?;
            Ok(written.iter().map(<[TokenId]>::to_vec).collect())
        });
        Ok(documents?.iter().map(Vec::as_slice).collect())
    }

    fn in_full_precision(&self) -> Option<Box<dyn LanguageModel>> {
        let precise = self.0.iter().map(|member| member.in_full_precision());
        Some(Box::new(Self(precise.collect::<Option<_>>()?)))
    }

    /// Document i is redrawn by member i, counted modulo the number of members.
    fn redraw(
        &self,
        documents: &Documents,
        decoding: &SamplingSettings,
        uniforms: &[f64],
        stage: &Stage,
    ) -> Result<Vec<Redrawn>, ModelError> {
        let starts = documents.starts();
        let tokens = self.in_turn(
            documents.len(),
            |index| index as u64,
            |member, own| {
                let texts: Documents = own.iter().map(|&index| documents.get(index)).collect();
                let of_document = |&index: &usize| &uniforms[starts[index]..][..documents.get(index).len()];
                let uniforms: Vec<f64> = own.iter().flat_map(of_document).copied().collect();
                let redrawn = member.redraw(&texts, decoding, &uniforms, stage)?;
                let mut rest = redrawn.into_iter();
                Ok(texts.iter().map(|text| rest.by_ref().take(text.len()).collect::<Vec<_>>()).collect())
            },
        );
        Ok(tokens?.into_iter().flatten().collect())
    }

    fn members(&self) -> &[Box<dyn LanguageModel>] {
        &self.0
    }

    fn save(&self, dir: &Path) -> Result<(), ModelError> {
        let at = |path: &Path, result: std::io::Result<()>| {
            result.map_err(|source| ModelError::File { path: path.to_owned(), source })
        };
        for (writer, member) in self.0.iter().enumerate() {
            let folder = folder(dir, writer);
            at(&folder, files::create_dirs(&folder))?;
            member.save(&folder)?;
        }
        let path = dir.join(NUMBER);
        let number = serde_json::to_vec(&Number { writers: self.0.len() }).unwrap_or_default();
        at(&path, files::write(&path, &number))
    }
}

/// The scores of a group whose members have these scores of one text.
fn pooled(all: &[Scores]) -> Scores {
    let tokens = all.first().map_or(0, |scores| scores.log_probabilities.len());
    let mut pooled = Scores::default();
    for token in 0..tokens {
        let log_probabilities = || all.iter().map(|scores| scores.log_probabilities[token]);
        pooled.log_probabilities.push(mean(log_probabilities()));
        pooled.entropies.push(mean(all.iter().map(|scores| scores.entropies[token])));
        pooled.disagreements.push(disagreement(log_probabilities()));
    }
    pooled
}

fn mean(values: impl ExactSizeIterator<Item = f32>) -> f32 {
    let count = values.len() as f64;
    (values.map(f64::from).sum::<f64>() / count) as f32
}

/// The log of the mean probability, minus the mean of the log-probabilities.
fn disagreement(log_probabilities: impl ExactSizeIterator<Item = f32> + Clone) -> f32 {
    let count = log_probabilities.len() as f64;
    let values = log_probabilities.map(f64::from);
    let largest = values.clone().fold(f64::NEG_INFINITY, f64::max);
    if largest == f64::NEG_INFINITY {
        return 0.0;
    }
    let mean_probability = values.clone().map(|value| (value - largest).exp()).sum::<f64>() / count;
    let mean_log = values.map(|value| value - largest).sum::<f64>() / count;
    (mean_probability.ln() - mean_log).max(0.0) as f32
}

/// The folders of groups.
pub struct GroupFolder;

impl FolderFormat for GroupFolder {
    fn recognises(&self, dir: &Path) -> bool {
        dir.join(NUMBER).exists()
    }

    fn load(&self, dir: &Path, device: &Device) -> Result<Loaded, ModelError> {
        let damaged = |problem: FolderProblem| problem.within(NUMBER).of_folder(dir);
        let text = std::fs::read(dir.join(NUMBER))
            .map_err(|error| FolderProblem::caused_by(NUMBER, error).of_folder(dir))?;
        let number: Number = serde_json::from_slice(&text).map_err(|error| {
            let reason = format!("{NUMBER} is not the number of writers; copy the folder again");
            FolderProblem::caused_by(reason, error).of_folder(dir)
        })?;
        let found = model_folders(dir).len();
        if number.writers != found || found == 0 {
            let counted = format!("counts {} writers, and there are {found}", number.writers);
            return Err(damaged(format!("{counted} from writer-1 on; copy the folder again").into()));
        }
        let first = super::load(&folder(dir, 0), device)?;
        let (vocab_size, special) = (first.vocab_size, first.special);
        let mut members = vec![first.model];
        for writer in 1..number.writers {
            let member = super::load(&folder(dir, writer), device)?;
            if (member.vocab_size, member.special) != (vocab_size, special) {
                let problem = format!(
                    "writer-{} has another vocabulary, or other start and end tokens, than writer-1: all writers of a group share \
                     them; copy the folder again",
                    writer + 1
                );
                return Err(FolderProblem::from(problem).of_folder(dir));
            }
            members.push(member.model);
        }
        let Loaded { sources, notes, .. } = first;
        Ok(Loaded { model: Box::new(Group(members)), vocab_size, special, sources, notes })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Probabilities 1/2 and 1/8: their mean is 5/16, their geometric mean 1/4.
    #[test]
    fn members_disagree_by_the_log_of_the_mean_over_the_geometric_mean() {
        let scores =
            |p: f32| Scores { log_probabilities: vec![p.ln()], entropies: vec![p], ..Scores::default() };
        let pooled = pooled(&[scores(0.5), scores(0.125)]);
        assert!((pooled.log_probabilities[0] - 0.25_f32.ln()).abs() < 1e-6);
        assert!((pooled.entropies[0] - 0.3125).abs() < 1e-6);
        assert!((pooled.disagreements[0] - 1.25_f32.ln()).abs() < 1e-6);
        assert_eq!(super::pooled(&[scores(0.5), scores(0.5)]).disagreements, [0.0]);
        assert_eq!(disagreement([f32::NEG_INFINITY; 2].into_iter()), 0.0);
    }
}
