//! The figures of an experiment, each laid out once and drawn twice, as SVG and as PNG.

mod causes;
mod effects;
mod laws;
mod legend;
mod rows;
mod shares;
mod spectra;
mod survivors;
mod trajectories;

use super::scene::Scene;
use crate::fit::Fitted;
use crate::measure::Family;
use crate::store::RunRecord;
use crate::verdict::ArmComparison;

/// A figure and what is said about it.
#[derive(Clone, Debug)]
pub(super) struct Figure {
    /// Its file name, without ending.
    pub(super) name: &'static str,
    /// What it shows, for those who read its caption.
    pub(super) caption: String,
    /// What it shows, for those who cannot see it.
    pub(super) alt: String,
    /// The drawing.
    pub(super) scene: Scene,
}

/// The part of the page that a figure belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
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

/// Every figure that the record has something to show for, in the order of the page.
pub(super) fn all(recorded: &RunRecord, comparisons: &[&ArmComparison]) -> Vec<(Part, Figure)> {
    let mut figures: Vec<(Part, Option<Figure>)> =
        vec![(Part::Effects, effects::forest(recorded, comparisons))];
    figures.push((Part::Causes, causes::bars(recorded, comparisons)));
    figures.push((Part::TailLeft, survivors::of_run(recorded)));
    figures.extend(Family::ALL.map(|family| (Part::Trajectories, trajectories::family(recorded, family))));
    figures.push((Part::RankFrequency, spectra::rank_frequency(recorded)));
    figures.push((Part::Survival, spectra::survival(recorded)));
    figures.push((Part::Rarity, trajectories::rarity(recorded)));
    figures.push((Part::Facts, trajectories::facts(recorded)));
    figures.push((Part::Training, spectra::training(recorded)));
    figures.into_iter().filter_map(|(part, figure)| Some((part, figure?))).collect()
}

/// Every figure that fitted laws have something to show for.
pub(super) fn of_fit(fitted: &Fitted) -> Vec<Figure> {
    let figures = [
        laws::by_tokens(fitted),
        laws::by_parameters(fitted),
        shares::curves(fitted),
        survivors::of_blends(fitted),
    ];
    figures.into_iter().flatten().collect()
}
