//! Counts of types, in the whole text and in each jackknife block of it.

use super::uncertainty::{Estimate, block_count, block_ranges, jackknife};
use crate::documents::Documents;
use rayon::prelude::*;

/// The number of occurrences of each type in a text. The types are tokens, words or token pairs.
pub struct TypeCounts {
    by_type: Vec<u32>,
    n: u64,
    /// For each block of the text, the types that occur in it with their counts.
    blocks: Vec<Vec<(u32, u32)>>,
}

impl TypeCounts {
    /// Counts the occurrences of each id in `ids`, which come from `documents` documents. Ids below `types` have a
    /// count even if they do not occur.
    pub(super) fn new(ids: &[u32], types: usize, documents: usize) -> Self {
        let by_type = tally(ids, types);
        let blocks = block_count(documents, ids.len());
        let blocks = block_ranges(ids.len(), blocks).collect::<Vec<_>>();
        let blocks = blocks.into_par_iter().map(|range| runs(ids[range].to_vec())).collect();
        Self { by_type, n: ids.len() as u64, blocks }
    }

    /// The sum of all counts.
    #[must_use]
    pub fn n(&self) -> u64 {
        self.n
    }

    /// The count of each type, by type id; 0 for types that do not occur.
    #[must_use]
    pub fn by_type(&self) -> &[u32] {
        &self.by_type
    }

    /// Values of `statistic`, a function of the counts by type and of their sum, with jackknife standard errors. A
    /// value is None if the text is too short to be cut in two, or if `statistic` returns None for the text or for the
    /// text without one of its blocks.
    pub fn estimate<const M: usize>(
        &self,
        statistic: impl Fn(&[u32], u64) -> [Option<f64>; M] + Sync,
    ) -> [Option<Estimate>; M] {
        if self.blocks.len() < 2 {
            return [None; M];
        }
        let whole = statistic(&self.by_type, self.n);
        let without = |block: &Vec<(u32, u32)>| {
            let mut counts = self.by_type.clone();
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
            Some(Estimate { value: whole[index]?, std_err: jackknife(&values?), n: self.n })
        })
    }
}

/// The size of a text.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct TextSize {
    pub(super) tokens: f64,
    pub(super) documents: f64,
}

impl TextSize {
    pub(super) fn of(documents: &Documents) -> Self {
        Self { tokens: documents.flat().len() as f64, documents: documents.len() as f64 }
    }

    /// The size of a part that is `share` of the text.
    pub(super) fn part(self, share: f64) -> Self {
        Self { tokens: self.tokens * share, documents: self.documents * share }
    }

    /// The number of documents of average length that have `tokens` tokens in all.
    pub(super) fn documents_of(self, tokens: f64) -> f64 {
        if self.tokens > 0.0 { self.documents * tokens / self.tokens } else { 0.0 }
    }
}

/// The number of documents in which each type occurs.
pub(super) struct Incidence {
    /// By type id.
    pub(super) counts: TypeCounts,
    size: TextSize,
}

impl Incidence {
    /// Counts the documents in which each type occurs. Ids below `types` have a count even if they do not occur.
    pub(super) fn new(documents: &Documents, types: usize) -> Self {
        let largest = documents.flat().iter().max().map_or(0, |&id| id as usize + 1);
        let mut last_document = vec![usize::MAX; types.max(largest)];
        let mut firsts = Vec::new();
        for (index, document) in documents.iter().enumerate() {
            let is_first = |&&id: &&u32| std::mem::replace(&mut last_document[id as usize], index) != index;
            firsts.extend(document.iter().filter(is_first));
        }
        Self { counts: TypeCounts::new(&firsts, types, documents.len()), size: TextSize::of(documents) }
    }

    /// The size of a part of the text, in proportion to its share of the incidences. An incidence is a pair of a
    /// document and a type that occurs in it; the part has `incidences` of them.
    pub(super) fn size_of(&self, incidences: u64) -> TextSize {
        self.size.part(incidences as f64 / self.counts.n().max(1) as f64)
    }
}

/// The number of occurrences of each id in `ids`, by id. Ids below `types` have a count even if they do not occur.
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

/// The number of types with a count above 0.
pub(super) fn types_seen(counts: &[u32]) -> usize {
    counts.iter().filter(|&&count| count > 0).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_add_up_to_the_whole() {
        let ids: Vec<u32> = (0..1000).map(|i| i * i % 37).collect();
        let counts = TypeCounts::new(&ids, 50, 100);
        assert_eq!(counts.by_type().len(), 50);
        let mut sum = vec![0; 50];
        for &(id, count) in counts.blocks.iter().flatten() {
            sum[id as usize] += count;
        }
        assert_eq!(sum, counts.by_type());
    }

    #[test]
    fn a_text_of_one_token_has_no_estimates() {
        assert_eq!(TypeCounts::new(&[3], 4, 1).estimate(|_, n| [Some(n as f64)]), [None]);
        assert_eq!(TypeCounts::new(&[], 4, 0).estimate(|_, n| [Some(n as f64)]), [None]);
    }
}
