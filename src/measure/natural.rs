//! Natural frequencies: how rare is each type, and how many rare types does a natural text contain by chance?
//!
//! **Head, torso, tail.** Types are ordered by falling count, equal counts by rising id. The *head* is the fewest
//! leading types that together make up at least 90 % of the text, the *torso* the fewest that follow until 99 % are
//! reached, the *tail* all the rest.
//!
//! **Two halves.** The reference documents are assigned alternately to two halves. The first half defines which types
//! are rare; the second one estimates how much of natural text they make up and how many of them a natural text of a
//! given size contains. If one sample served both purposes, it would contain all of its tail types, while any other
//! natural text lacks some of them: even perfect text would seem to have lost types.
//!
//! **Rarefaction by documents.** A rare type that occurs once in a document is likely to occur there again, so text
//! that is drawn document by document contains fewer types than the same number of tokens drawn one by one. Expected
//! numbers of types in a smaller text therefore come from drawing whole documents (Gotelli and Colwell 2001).

use super::counts::{Incidence, TextSize, tally};
use crate::documents::Documents;
use crate::rarity::Rarity;

/// The class of each type by the rule above. None for types that do not occur.
fn rarities(counts: &[u32]) -> Vec<Option<Rarity>> {
    let mut order: Vec<usize> = (0..counts.len()).filter(|&id| counts[id] > 0).collect();
    order.sort_by_key(|&id| (std::cmp::Reverse(counts[id]), id));
    let masses: Vec<f64> = order.iter().map(|&id| f64::from(counts[id])).collect();
    let mut classes = vec![None; counts.len()];
    for (id, class) in order.into_iter().zip(Rarity::of_descending(&masses)) {
        classes[id] = Some(class);
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
    /// Counts in the second half, which estimates natural frequencies.
    pub(super) second: Vec<u32>,
    /// For each type, the number of documents of the second half that contain it.
    second_documents: Vec<u32>,
    pub(super) second_size: TextSize,
    /// Class by type.
    rarity: Vec<Option<Rarity>>,
}

impl Natural {
    /// Counts `documents`.
    pub(super) fn new(documents: &Documents) -> Self {
        let counts = tally(documents.flat(), 0);
        let half = |parity: usize| documents.iter().skip(parity).step_by(2).collect::<Documents>();
        let (first, second) = (half(0), half(1));
        let first = tally(first.flat(), counts.len());
        Self {
            rarity: rarities(&first),
            first,
            second: tally(second.flat(), counts.len()),
            second_documents: Incidence::new(&second, counts.len()).counts.by_type().to_vec(),
            second_size: TextSize::of(&second),
            counts,
        }
    }

    /// The class of a type; types that the first half lacks count as tail.
    pub(super) fn class(&self, id: u32) -> Rarity {
        self.rarity.get(id as usize).copied().flatten().unwrap_or(Rarity::Tail)
    }

    /// The ids of the tail types.
    pub(super) fn tail(&self) -> Vec<usize> {
        (0..self.rarity.len()).filter(|&id| self.rarity[id] == Some(Rarity::Tail)).collect()
    }

    /// Counts how many of the types `ids` occur in a text, and how many are expected in natural text of its size.
    /// `documents` has the number of documents of the text that contain each type, by type id. For a text longer than
    /// the second half, `found` is the number expected in a part of the text that is as long as that half.
    pub(super) fn surviving_types(&self, ids: &[usize], documents: &[u32], size: TextSize) -> SurvivingTypes {
        let compared = size.tokens.min(self.second_size.tokens);
        let rarefied = |documents: &[u32], size: TextSize| {
            let chance = |&id: &usize| {
                let containing = documents.get(id).copied().unwrap_or(0);
                chance_of_being_drawn(containing, size.documents, size.documents_of(compared))
            };
            ids.iter().map(chance).sum()
        };
        SurvivingTypes {
            found: rarefied(documents, size),
            expected: rarefied(&self.second_documents, self.second_size),
        }
    }
}

/// The number of types of a set that a text contains, and the number expected in natural text of its size.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct SurvivingTypes {
    pub(super) found: f64,
    pub(super) expected: f64,
}

/// The probability that a type that occurs in `containing` of `total` documents occurs in at least one of `drawn` of
/// them, drawn without replacement: `1 − C(total − containing, drawn) / C(total, drawn)` (Hurlbert 1971), computed as
/// `1 − Π_{j<containing} (total − drawn − j) / (total − j)`, which is also defined for numbers that are not integers.
pub(super) fn chance_of_being_drawn(containing: u32, total: f64, drawn: f64) -> f64 {
    /// Below this, the remaining factors cannot change the result.
    const NEGLIGIBLE: f64 = 1e-18;
    if containing == 0 {
        return 0.0;
    }
    let mut missed = 1.0;
    for earlier in 0..containing {
        let left_over = total - drawn - f64::from(earlier);
        if left_over <= 0.0 || missed < NEGLIGIBLE {
            return 1.0;
        }
        missed *= left_over / (total - f64::from(earlier));
    }
    1.0 - missed
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

    /// Counts every way of drawing 3 of 7 documents if 2 of the 7 contain the type: 1 − C(5,3)/C(7,3) = 1 − 10/35.
    #[test]
    fn rarefaction_agrees_with_counting_every_subset() {
        let brute = (0_u32..1 << 7).filter(|subset| subset.count_ones() == 3);
        let (hits, all) = brute.fold((0, 0), |(hits, all), s| (hits + u32::from(s & 0b11 != 0), all + 1));
        let exact = f64::from(hits) / f64::from(all);
        assert!((exact - 25.0 / 35.0).abs() < 1e-12);
        assert!((chance_of_being_drawn(2, 7.0, 3.0) - exact).abs() < 1e-12);
        assert_eq!(chance_of_being_drawn(5, 7.0, 3.0), 1.0);
        assert_eq!(chance_of_being_drawn(1, 7.0, 7.0), 1.0);
        assert_eq!(chance_of_being_drawn(0, 7.0, 7.0), 0.0);
    }

    /// The second half is the documents `1 2`, `1 3`, `1 4`. A text of 2 tokens is one of them, so types 2 and 3 are
    /// each expected with probability 1/3. A text of 12 tokens in six documents is rarefied to the 6 tokens of the
    /// second half, which are three documents. Two of the six contain type 2, so it is missing only if all three drawn
    /// are among the other four: it is found with probability 1 − C(4,3)/C(6,3) = 1 − 4/20.
    #[test]
    fn surviving_types_are_compared_at_the_smaller_of_both_sizes() {
        let natural: Documents = [&[9][..], &[1, 2], &[9], &[1, 3], &[9], &[1, 4]].into_iter().collect();
        let natural = Natural::new(&natural);
        let short = natural.surviving_types(&[2, 3], &[0, 1, 1], TextSize { tokens: 2.0, documents: 1.0 });
        assert!((short.expected - 2.0 / 3.0).abs() < 1e-12);
        assert_eq!(short.found, 1.0);
        let long = natural.surviving_types(&[2], &[0, 0, 2], TextSize { tokens: 12.0, documents: 6.0 });
        assert!((long.found - 0.8).abs() < 1e-12);
        assert_eq!(long.expected, 1.0);
    }
}
