//! Training of a group of models, one after the other, on the same text.
//!
//! Each member has random streams of its own for its initial weights and for the order of the text. A checkpoint has the
//! models of all members that are done and the state of the one in training:
//!
//! ```text
//! writer-1/         the model, and record.json
//! training-2/       the checkpoint of the second member
//! ```

use super::{Checkpoints, Learner, LossPoint, Trained, TrainingError, TrainingRecord};
use crate::documents::Documents;
use crate::files;
use crate::model::group::{self, Group};
use crate::model::{FolderProblem, LanguageModel, ModelError};
use crate::stage::Stage;
use crate::units::Tokens;
use std::path::{Path, PathBuf};

const RECORD: &str = "record.json";

/// Trains a group of models: one with each of the learners, of which there is at least one.
pub struct GroupLearner(pub Vec<Box<dyn Learner>>);

impl Learner for GroupLearner {
    fn fit(
        &self,
        documents: &Documents,
        checkpoints: &mut dyn Checkpoints,
        stage: &Stage,
    ) -> Result<Trained, TrainingError> {
        let mut finished = self.finished(checkpoints.latest().as_deref())?;
        for (writer, learner) in self.0.iter().enumerate().skip(finished.len()) {
            let mut own = OwnCheckpoints { all: checkpoints, finished: &finished };
            let key = stage.key().of_writer(writer);
            let trained = learner.fit(documents, &mut own, &stage.with_key(key))?;
            finished.push(trained);
        }
        let (models, records): (Vec<_>, Vec<_>) =
            finished.into_iter().map(|Trained { model, record }| (model, record)).unzip();
        Ok(Trained { model: Box::new(Group::new(models)), record: record_of(&records) })
    }

    fn load_trained(&self, dir: &Path) -> Result<Box<dyn LanguageModel>, ModelError> {
        let members = self.0.iter().enumerate();
        let members = members.map(|(writer, learner)| learner.load_trained(&group::folder(dir, writer)));
        Ok(Box::new(Group::new(members.collect::<Result<_, _>>()?)))
    }

    fn tokens_seen(&self, text: Tokens) -> Tokens {
        Tokens(self.0.iter().map(|learner| learner.tokens_seen(text).0).fold(0, u64::saturating_add))
    }

    /// Checks where the first member starts; the others start from the same folder.
    fn check_start(&self, stage: &Stage) -> Result<(), ModelError> {
        self.0.first().map_or(Ok(()), |learner| learner.check_start(stage))
    }
}

impl GroupLearner {
    /// The members that are done in a checkpoint.
    fn finished(&self, checkpoint: Option<&Path>) -> Result<Vec<Trained>, TrainingError> {
        let Some(checkpoint) = checkpoint else { return Ok(Vec::new()) };
        let members =
            self.0.iter().enumerate().map(|(writer, learner)| (learner, group::folder(checkpoint, writer)));
        let finished = members.take_while(|(_, folder)| folder.join(RECORD).exists());
        finished
            .map(|(learner, folder)| {
                Ok(Trained { record: read_record(&folder)?, model: learner.load_trained(&folder)? })
            })
            .collect()
    }
}

/// The checkpoints of the member that is in training.
struct OwnCheckpoints<'a> {
    all: &'a mut dyn Checkpoints,
    finished: &'a [Trained],
}

/// The folder in a checkpoint of the member that is in training after `finished` others.
fn folder_in_training(checkpoint: &Path, finished: usize) -> PathBuf {
    checkpoint.join(format!("training-{}", finished + 1))
}

impl Checkpoints for OwnCheckpoints<'_> {
    fn latest(&self) -> Option<PathBuf> {
        self.all.latest().map(|all| folder_in_training(&all, self.finished.len())).filter(|own| own.exists())
    }

    fn due(&self) -> bool {
        self.all.due()
    }

    fn save(
        &mut self,
        write: &mut dyn FnMut(&Path) -> Result<(), TrainingError>,
    ) -> Result<(), TrainingError> {
        let finished = self.finished;
        self.all.save(&mut |dir| {
            for (writer, Trained { model, record }) in finished.iter().enumerate() {
                let folder = group::folder(dir, writer);
                create(&folder)?;
                model.save(&folder)?;
                write_record(&folder, record)?;
            }
            let own = folder_in_training(dir, finished.len());
            create(&own)?;
            write(&own)
        })
    }
}

fn create(folder: &Path) -> Result<(), TrainingError> {
    let created = files::create_dirs(folder);
    created.map_err(|error| failed(folder, FolderProblem::caused_by("a folder", error)))
}

fn write_record(folder: &Path, record: &TrainingRecord) -> Result<(), TrainingError> {
    let written = serde_json::to_vec(record)
        .map_err(|error| FolderProblem::caused_by(RECORD, error))
        .and_then(|text| {
            files::write(&folder.join(RECORD), &text).map_err(|error| FolderProblem::caused_by(RECORD, error))
        });
    written.map_err(|problem| failed(folder, problem))
}

fn read_record(folder: &Path) -> Result<TrainingRecord, TrainingError> {
    let read =
        std::fs::read(folder.join(RECORD)).map_err(|error| FolderProblem::caused_by(RECORD, error)).and_then(
            |text| serde_json::from_slice(&text).map_err(|error| FolderProblem::caused_by(RECORD, error)),
        );
    read.map_err(|problem| failed(folder, problem))
}

fn failed(folder: &Path, problem: FolderProblem) -> TrainingError {
    let (reason, cause) = problem.into_parts();
    TrainingError::CheckpointFile { path: folder.to_owned(), reason, cause }
}

/// The record of a group whose members have these records.
fn record_of(records: &[TrainingRecord]) -> TrainingRecord {
    let mut group = records[0].clone();
    group.writers = Some(records.len() as u64);
    for (index, LossPoint { loss_nats, .. }) in group.curve.iter_mut().enumerate() {
        let of_members = records.iter().filter_map(|record| record.curve.get(index));
        *loss_nats = of_members.map(|point| point.loss_nats).sum::<f64>() / records.len() as f64;
    }
    group
}
