//! The figures of an experiment and of fitted laws: each is laid out once, as a [`Scene`].

mod causes;
mod curves;
mod effects;
mod laws;
mod legend;
mod loss_by_share;
mod observed_loss;
mod rows;
mod tail_left;
mod trajectories;

pub(super) use curves::{natural_ranks, natural_survival, ranks, survival, training_loss};
pub(super) use trajectories::{FACTS, RARITY, floor, under_drift};

use super::scene::Scene;
use crate::fit::Fitted;
use crate::measure::Family;
use crate::store::RunRecord;
use crate::verdict::ArmComparison;

/// A figure with its texts.
#[derive(Clone, Debug)]
pub(super) struct Figure {
    /// File name without extension.
    pub(super) name: &'static str,
    /// Printed below the figure.
    pub(super) caption: String,
    /// Describes the figure to readers who cannot see it.
    pub(super) alt: String,
    pub(super) scene: Scene,
}

/// The chapter of the page that a figure belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Topic {
    Effects,
    Causes,
    TailLeft,
    Trajectories,
    RankFrequency,
    Survival,
    Rarity,
    Facts,
    Training,
    Laws,
}

/// Every figure for which the record has data, in the order of the page.
pub(super) fn of_experiment(recorded: &RunRecord, comparisons: &[&ArmComparison]) -> Vec<(Topic, Figure)> {
    let mut figures = vec![
        (Topic::Effects, effects::forest(recorded, comparisons)),
        (Topic::Causes, causes::bars(recorded, comparisons)),
        (Topic::TailLeft, tail_left::of_run(recorded)),
    ];
    figures.extend(Family::ALL.map(|family| (Topic::Trajectories, trajectories::family(recorded, family))));
    figures.extend([
        (Topic::RankFrequency, curves::rank_frequency_figure(recorded)),
        (Topic::Survival, curves::survival_figure(recorded)),
        (Topic::Rarity, trajectories::rarity(recorded)),
        (Topic::Facts, trajectories::facts(recorded)),
        (Topic::Training, curves::training_figure(recorded)),
    ]);
    figures.into_iter().filter_map(|(topic, figure)| Some((topic, figure?))).collect()
}

/// Every figure for which the fitted laws have data.
pub(super) fn of_fit(fitted: &Fitted) -> Vec<Figure> {
    let figures = [
        observed_loss::panels(fitted),
        laws::by_tokens(fitted),
        laws::by_parameters(fitted),
        loss_by_share::curves(fitted),
        tail_left::of_blends(fitted),
    ];
    figures.into_iter().flatten().collect()
}
