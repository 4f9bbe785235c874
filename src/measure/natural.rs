//! What is known of natural text: how rare is each type, and what would be left of the rare ones by chance?
//!
//! **Head, torso, tail.** Types are ordered by falling count, equal counts by rising id. The *head* is the fewest
//! leading types that together hold at least 90 % of the text, the *torso* the fewest that follow until 99 % are
//! reached, the *tail* all the rest.
//!
//! **Two halves.** The reference documents are dealt alternately into two halves. The first one says which types
//! are rare, the second one how much of natural text they hold and how many of them a natural text of some size
//! would hold. Were one sample asked both questions, its own tail would be found in it without fail, while any other
//! natural text lacks part of it: even perfect text would seem to have lost types.

use super::counts::tally;
use crate::documents::Documents;

/// How frequent a type is in natural text (or how popular a fact is).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rarity {
    /// The most frequent types, which hold 90 % of the text.
    Head,
    /// Those that hold the next 9 %.
    Torso,
    /// Those that hold the last 1 %.
    Tail,
}

impl Rarity {
    /// All three, the most frequent first.
    pub const ALL: [Self; 3] = [Self::Head, Self::Torso, Self::Tail];

    /// The name that stands in the ids of metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Head => "head",
            Self::Torso => "torso",
            Self::Tail => "tail",
        }
    }
}

/// Classes of things by how often each occurs: see the rule above. None for what does not occur.
#[must_use]
pub fn rarities(counts: &[u32]) -> Vec<Option<Rarity>> {
    let mut order: Vec<usize> = (0..counts.len()).filter(|&id| counts[id] > 0).collect();
    order.sort_by_key(|&id| (std::cmp::Reverse(counts[id]), id));
    let all: u64 = counts.iter().map(|&count| u64::from(count)).sum();
    let mut classes = vec![None; counts.len()];
    let mut before: u64 = 0;
    for id in order {
        classes[id] = Some(match before * 100 {
            percent if percent < all * 90 => Rarity::Head,
            percent if percent < all * 99 => Rarity::Torso,
            _ => Rarity::Tail,
        });
        before += u64::from(counts[id]);
    }
    classes
}

/// Counts of a natural text by type.
#[derive(Clone, Debug)]
pub(super) struct Natural {
    /// Counts in the whole text.
    pub(super) counts: Vec<u32>,
    /// Counts in the first half, which defines the classes.
    pub(super) first: Vec<u32>,
    /// Counts in the second half, which holds them against natural text.
    pub(super) second: Vec<u32>,
    /// Class by type.
    pub(super) rarity: Vec<Option<Rarity>>,
}

impl Natural {
    /// Counts `documents`.
    pub(super) fn new(documents: &Documents) -> Self {
        let counts = tally(documents.flat(), 0);
        let half = |parity: usize| {
            let ids: Vec<u32> = documents.iter().skip(parity).step_by(2).flatten().copied().collect();
            tally(&ids, counts.len())
        };
        let (first, second) = (half(0), half(1));
        let rarity = rarities(&first);
        Self { counts, first, second, rarity }
    }

    /// The class of a type; what the first half lacks is as rare as the tail.
    pub(super) fn class(&self, id: u32) -> Rarity {
        self.rarity.get(id as usize).copied().flatten().unwrap_or(Rarity::Tail)
    }

    /// The ids of the tail types.
    pub(super) fn tail(&self) -> Vec<usize> {
        (0..self.rarity.len()).filter(|&id| self.rarity[id] == Some(Rarity::Tail)).collect()
    }

    /// Tokens in the second half.
    pub(super) fn second_half(&self) -> u64 {
        self.second.iter().map(|&count| u64::from(count)).sum()
    }
}

/// The probability that a type that occurs `count` times among `total` tokens is among `drawn` of them, drawn
/// without replacement: `1 − C(total − count, drawn) / C(total, drawn)` (Hurlbert 1971). `drawn` ≤ `total`.
pub(super) fn chance_of_being_drawn(count: u32, total: u64, drawn: u64) -> f64 {
    /// Below this the rest of the product cannot change the result.
    const NEGLIGIBLE: f64 = 1e-18;
    let mut missed = 1.0;
    for earlier in 0..u64::from(count) {
        let left_over = (total - drawn).saturating_sub(earlier);
        missed *= left_over as f64 / (total - earlier) as f64;
        if missed < NEGLIGIBLE {
            return 1.0;
        }
    }
    1.0 - missed
}

/// How many of the types `ids` are expected among `drawn` of the `total` tokens that `counts` counts.
pub(super) fn rarefied(counts: &[u32], ids: &[usize], total: u64, drawn: u64) -> f64 {
    let count = |id: usize| counts.get(id).copied().unwrap_or(0);
    if drawn >= total {
        return ids.iter().filter(|&&id| count(id) > 0).count() as f64;
    }
    ids.iter().map(|&id| chance_of_being_drawn(count(id), total, drawn)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 1000 tokens. By count: 890 (id 1), 80 (id 4, begins at 89 %), 15 (id 3, at 97 %), then three times 5: id 0
    /// begins at 98.5 %, still torso; ids 5 and 6 begin at 99 % and 99.5 %.
    #[test]
    fn classes_follow_the_cumulative_mass_and_ties_follow_the_id() {
        use Rarity::{Head, Tail, Torso};
        let counts = [5, 890, 0, 15, 80, 5, 5];
        let expected = [Some(Torso), Some(Head), None, Some(Torso), Some(Head), Some(Tail), Some(Tail)];
        assert_eq!(rarities(&counts), expected);
    }

    #[test]
    fn a_few_equal_types_are_all_head() {
        assert_eq!(rarities(&[1, 1, 1]), [Some(Rarity::Head); 3]);
        assert_eq!(rarities(&[]), []);
    }

    /// Against every way of drawing 3 of 7 tokens, of which 2 are of the type: 1 − C(5,3)/C(7,3) = 1 − 10/35.
    #[test]
    fn rarefaction_agrees_with_counting_every_subset() {
        let brute = (0_u32..1 << 7).filter(|subset| subset.count_ones() == 3);
        let (hits, all) = brute.fold((0, 0), |(hits, all), s| (hits + u32::from(s & 0b11 != 0), all + 1));
        let exact = f64::from(hits) / f64::from(all);
        assert!((exact - 25.0 / 35.0).abs() < 1e-12);
        assert!((chance_of_being_drawn(2, 7, 3) - exact).abs() < 1e-12);
        assert!((rarefied(&[5, 2], &[1], 7, 3) - exact).abs() < 1e-12);
        assert!((rarefied(&[5, 2, 0], &[0, 1, 2, 9], 7, 7) - 2.0).abs() < 1e-12);
    }
}
