//! Counting types: how often does each occur, in the whole text and in each block of it?

use super::natural::Size;
use super::uncertainty::{Estimate, block_count, block_ranges, jackknife};
use crate::documents::Documents;
use rayon::prelude::*;

/// How often each type occurs in a text.
pub(super) struct Counts {
    /// Count by type id.
    total: Vec<u32>,
    /// The sum of all counts.
    n: u64,
    /// Per block of the text, the types that occur in it and how often.
    blocks: Vec<Vec<(u32, u32)>>,
}

impl Counts {
    /// Counts `ids`, which come from `documents` documents, over at least `types` types.
    pub(super) fn new(ids: &[u32], types: usize, documents: usize) -> Self {
        let total = tally(ids, types);
        let blocks = block_count(documents, ids.len());
        let blocks = block_ranges(ids.len(), blocks).collect::<Vec<_>>();
        let blocks = blocks.into_par_iter().map(|range| runs(ids[range].to_vec())).collect();
        Self { total, n: ids.len() as u64, blocks }
    }

    /// The sum of all counts.
    pub(super) fn n(&self) -> u64 {
        self.n
    }

    /// Count by type id.
    pub(super) fn total(&self) -> &[u32] {
        &self.total
    }

    /// Values of `statistic`, a function of the counts by type and of their sum, with their jackknife standard
    /// errors. A value is None if the text is too short to be cut in two, or if `statistic` has no answer for it
    /// or for a part of it.
    pub(super) fn estimate<const M: usize>(
        &self,
        statistic: impl Fn(&[u32], u64) -> [Option<f64>; M] + Sync,
    ) -> [Option<Estimate>; M] {
        if self.blocks.len() < 2 {
            return [None; M];
        }
        let whole = statistic(&self.total, self.n);
        let without = |block: &Vec<(u32, u32)>| {
            let mut counts = self.total.clone();
            let mut n = self.n;
            for &(id, count) in block {
                counts[id as usize] -= count;
                n -= u64::from(count);
            }
            statistic(&counts, n)
        };
        let left_out: Vec<[Option<f64>; M]> = self.blocks.par_iter().map(without).collect();
        std::array::from_fn(|index| {
            let values: Option<Vec<f64>> = left_out.iter().map(|values| values[index]).collect();
            Some(Estimate { value: whole[index]?, std_err: jackknife(&values?) })
        })
    }
}

/// How many documents hold each type.
pub(super) struct Incidence {
    /// Documents by type.
    pub(super) counts: Counts,
    size: Size,
}

impl Incidence {
    /// Counts the documents that hold each type, over at least `types` types.
    pub(super) fn new(documents: &Documents, types: usize) -> Self {
        let largest = documents.flat().iter().max().map_or(0, |&id| id as usize + 1);
        let mut last_document = vec![usize::MAX; types.max(largest)];
        let mut firsts = Vec::new();
        for (place, document) in documents.iter().enumerate() {
            let is_first = |&&id: &&u32| std::mem::replace(&mut last_document[id as usize], place) != place;
            firsts.extend(document.iter().filter(is_first));
        }
        Self { counts: Counts::new(&firsts, types, documents.len()), size: Size::of(documents) }
    }

    /// The size of a part of the text in which `incidences` of its incidences are.
    pub(super) fn size_of(&self, incidences: u64) -> Size {
        self.size.part(incidences as f64 / self.counts.n().max(1) as f64)
    }
}

/// Count by id of `ids`, over at least `types` types.
pub(super) fn tally(ids: &[u32], types: usize) -> Vec<u32> {
    let largest = ids.iter().max().map_or(0, |&id| id as usize + 1);
    let mut counts = vec![0; types.max(largest)];
    for &id in ids {
        counts[id as usize] += 1;
    }
    counts
}

/// The distinct ids in ascending order, each with its count.
fn runs(mut ids: Vec<u32>) -> Vec<(u32, u32)> {
    ids.sort_unstable();
    ids.chunk_by(|a, b| a == b).map(|run| (run[0], run.len() as u32)).collect()
}

/// The number of types that occur.
pub(super) fn types_seen(counts: &[u32]) -> usize {
    counts.iter().filter(|&&count| count > 0).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_add_up_to_the_whole() {
        let ids: Vec<u32> = (0..1000).map(|i| i * i % 37).collect();
        let counts = Counts::new(&ids, 50, 100);
        assert_eq!(counts.total().len(), 50);
        let mut sum = vec![0; 50];
        for &(id, count) in counts.blocks.iter().flatten() {
            sum[id as usize] += count;
        }
        assert_eq!(sum, counts.total());
    }

    #[test]
    fn a_text_of_one_token_has_no_estimates() {
        assert_eq!(Counts::new(&[3], 4, 1).estimate(|_, n| [Some(n as f64)]), [None]);
        assert_eq!(Counts::new(&[], 4, 0).estimate(|_, n| [Some(n as f64)]), [None]);
    }
}
