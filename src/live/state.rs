//! The state of a process's work, from its events.

use super::record::{LineageNow, LiveRecord, LossNow, StageNow};
use crate::claims::Process;
use crate::progress::Event;
use crate::seed::{SHARED, StreamKey, streams};
use std::collections::{BTreeMap, VecDeque};
use std::time::Instant;

/// Points of a loss curve that are kept. A longer curve is thinned.
const CURVE_POINTS: usize = 200;

/// Messages that are kept.
const NOTES: usize = 5;

/// Writes over which the speed is measured.
const SPEED_WINDOW: usize = 10;

/// Seed and arm; `None` for a stage of no lineage.
type Place = Option<(u64, String)>;

#[derive(Default)]
pub(super) struct State {
    lineages: Vec<LineageNow>,
    other: Option<StageNow>,
    notes: VecDeque<String>,
    has_changed: bool,
    /// Whether a write has failed.
    pub(super) has_failed: bool,
    /// When how much of the stage was done.
    samples: BTreeMap<Place, VecDeque<(Instant, u64)>>,
}

impl State {
    pub(super) fn take_in(&mut self, event: &Event) {
        self.has_changed = true;
        match event {
            Event::LineageStarted { seed, arm, generations, done } => {
                self.lineages.retain(|one| (one.seed, &one.arm) != (*seed, arm));
                self.lineages.push(LineageNow {
                    seed: *seed,
                    arm: arm.clone(),
                    generations: *generations,
                    done: *done,
                    // Generation 0 of all arms is a unit of its own; later generations follow it.
                    generation: if arm == SHARED { 0 } else { *done as usize + 1 },
                    stage: None,
                    curve: Vec::new(),
                });
            }
            Event::LineageEnded { seed, arm } => {
                self.lineages.retain(|one| (one.seed, &one.arm) != (*seed, arm));
                self.samples.remove(&Some((*seed, arm.clone())));
            }
            Event::StageStarted { key, total, unit } => self.begin(key, *total, unit),
            Event::Advanced { key, amount } => {
                if let Some(stage) = self.stage_of(key) {
                    stage.done = stage.done.saturating_add(*amount);
                }
            }
            Event::TrainingLoss { key, tokens, nats_per_token } => {
                let point = LossNow { tokens: *tokens, nats_per_token: *nats_per_token };
                if let Some(lineage) = self.lineage_of(key) {
                    add_point(&mut lineage.curve, point);
                }
            }
            Event::StageFinished { key } => match self.lineage_of(key) {
                Some(lineage) => lineage.stage = None,
                None => self.other = None,
            },
            Event::GenerationCommitted { key, .. } => {
                if let Some(lineage) = self.lineage_of(key) {
                    lineage.done += 1;
                    lineage.stage = None;
                }
            }
            Event::Note(note) => {
                self.notes.push_back(note.clone());
                if self.notes.len() > NOTES {
                    self.notes.pop_front();
                }
            }
            Event::RunStarted { .. } | Event::RunFinished => {}
        }
    }

    /// Returns true if something has happened since the last [`Self::record`].
    pub(super) fn has_changed(&self) -> bool {
        self.has_changed
    }

    /// Returns true if no lineage is in work and no other stage either.
    pub(super) fn is_idle(&self) -> bool {
        self.lineages.is_empty() && self.other.is_none()
    }

    /// The present state, with the speed since earlier calls.
    pub(super) fn record(&mut self) -> LiveRecord {
        self.has_changed = false;
        let now = Instant::now();
        let lineages = self.lineages.iter_mut().filter_map(|one| {
            let key = Some((one.seed, one.arm.clone()));
            Some((key, one.stage.as_mut()?))
        });
        for (key, stage) in lineages.chain(self.other.as_mut().map(|stage| (None, stage))) {
            let samples = self.samples.entry(key).or_default();
            samples.push_back((now, stage.done));
            if samples.len() > SPEED_WINDOW {
                samples.pop_front();
            }
            stage.per_second = speed(samples);
        }
        LiveRecord {
            process: Process::this(),
            lineages: self.lineages.clone(),
            other: self.other.clone(),
            notes: self.notes.iter().cloned().collect(),
        }
    }

    fn begin(&mut self, key: &StreamKey, total: u64, unit: &str) {
        let stage =
            StageNow { name: key.stage.to_owned(), unit: unit.to_owned(), total, done: 0, per_second: None };
        let of = match self.lineage_of(key) {
            Some(lineage) => {
                lineage.generation = key.generation;
                lineage.stage = Some(stage);
                if key.stage == streams::TRAINING {
                    lineage.curve.clear();
                }
                Some((lineage.seed, lineage.arm.clone()))
            }
            None => {
                self.other = Some(stage);
                None
            }
        };
        self.samples.remove(&of);
    }

    fn stage_of(&mut self, key: &StreamKey) -> Option<&mut StageNow> {
        match self.lineages.iter().any(|one| is_of(one, key)) {
            true => self.lineage_of(key)?.stage.as_mut(),
            false => self.other.as_mut(),
        }
        .filter(|stage| stage.name == key.stage)
    }

    fn lineage_of(&mut self, key: &StreamKey) -> Option<&mut LineageNow> {
        self.lineages.iter_mut().find(|one| is_of(one, key))
    }
}

/// Arms that share no generation 0 have stages of their own in the unit that makes generation 0 of all arms.
fn is_of(lineage: &LineageNow, key: &StreamKey) -> bool {
    let is_first = lineage.arm == SHARED && key.generation == 0;
    lineage.seed == key.seed && (is_first || lineage.arm == key.arm) && key.stage != streams::DRIFT
}

/// Work per second between the first and the last sample.
fn speed(samples: &VecDeque<(Instant, u64)>) -> Option<f64> {
    let ((begun, before), (now, after)) = (samples.front()?, samples.back()?);
    let seconds = now.duration_since(*begun).as_secs_f64();
    (samples.len() > 1 && seconds > 0.0).then(|| after.saturating_sub(*before) as f64 / seconds)
}

/// Adds a point; when there are too many, each two become one, at the tokens of the later one.
fn add_point(curve: &mut Vec<LossNow>, point: LossNow) {
    curve.push(point);
    if curve.len() > CURVE_POINTS {
        let halves = curve.chunks(2).map(|pair| LossNow {
            tokens: pair[pair.len() - 1].tokens,
            nats_per_token: pair.iter().map(|one| one.nats_per_token).sum::<f64>() / pair.len() as f64,
        });
        *curve = halves.collect();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(arm: &str, generation: usize, stage: &'static str) -> StreamKey {
        StreamKey::new(1, arm, generation, stage)
    }

    fn state(events: &[Event]) -> State {
        let mut state = State::default();
        events.iter().for_each(|event| state.take_in(event));
        state
    }

    fn lineage(arm: &str) -> Event {
        Event::LineageStarted { seed: 1, arm: arm.to_owned(), generations: 3, done: 0 }
    }

    #[test]
    fn lineages_side_by_side_keep_their_own_stage_and_progress() {
        let (one, two) = (key("a", 1, streams::TRAINING), key("b", 2, streams::SYNTHESIS));
        let mut state = state(&[
            lineage("a"),
            lineage("b"),
            Event::StageStarted { key: one.clone(), total: 10, unit: "tokens" },
            Event::StageStarted { key: two.clone(), total: 20, unit: "tokens" },
            Event::Advanced { key: two.clone(), amount: 5 },
            Event::Advanced { key: one.clone(), amount: 3 },
            Event::StageFinished { key: two },
        ]);
        let record = state.record();
        let stage = record.lineages[0].stage.as_ref().unwrap();
        assert_eq!((stage.name.as_str(), stage.done, stage.total), ("training", 3, 10));
        assert_eq!((&record.lineages[1].stage, record.lineages[1].generation), (&None, 2));
        assert!(!state.has_changed());
        state.take_in(&Event::LineageEnded { seed: 1, arm: "a".to_owned() });
        assert_eq!(state.record().lineages.len(), 1);
    }

    #[test]
    fn generation_0_of_an_arm_belongs_to_the_unit_of_all_arms() {
        let key = key("writer", 0, streams::SYNTHESIS);
        let mut state = state(&[lineage(SHARED), Event::StageStarted { key, total: 10, unit: "tokens" }]);
        assert!(state.record().lineages[0].stage.is_some());
    }

    #[test]
    fn a_long_loss_curve_is_thinned_and_keeps_its_mean_and_its_end() {
        let mut curve = Vec::new();
        for tokens in 1..=1000 {
            add_point(&mut curve, LossNow { tokens, nats_per_token: tokens as f64 });
        }
        assert!(curve.len() <= CURVE_POINTS && curve.len() > CURVE_POINTS / 4, "{}", curve.len());
        assert_eq!(curve.last().unwrap().tokens, 1000);
        assert!(curve.windows(2).all(|pair| pair[0].tokens < pair[1].tokens));
    }

    #[test]
    fn a_new_training_begins_a_new_curve() {
        let start = |generation| Event::StageStarted {
            key: key("a", generation, streams::TRAINING),
            total: 10,
            unit: "tokens",
        };
        let loss =
            Event::TrainingLoss { key: key("a", 1, streams::TRAINING), tokens: 5, nats_per_token: 2.0 };
        let mut state = state(&[lineage("a"), start(1), loss]);
        assert_eq!(state.record().lineages[0].curve.len(), 1);
        state.take_in(&start(2));
        assert!(state.record().lineages[0].curve.is_empty());
    }
}
