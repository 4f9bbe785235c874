//! Form: what does the text look like?
//!
//! - `distinct_1` … `distinct_4`: distinct n-grams over all n-grams (Li et al. 2016), n-grams taken within documents.
//!   A share; falls when a distribution narrows. It falls with n too: comparable at equal n only.
//! - `repetition`: *does the text go round in circles?* Share of 4-grams that already occurred in the same document:
//!   `Σ_d (4-grams − distinct 4-grams) / Σ_d 4-grams`, the seq-rep-4 of Welleck et al. (2020), summed over documents
//!   before dividing. Rises when a distribution narrows. Longer documents repeat more; n has no part in it.
//! - `compression_ratio`: bytes of the text over its bytes as compressed by zstd (level 3, with long-distance matching, all
//!   documents in one stream): finds repetition of any length, within documents and between them. Rises when a
//!   distribution narrows, and a little with the size of the text.
//! - `novelty_4`: *does the model quote its training text?* Share of 4-grams that the natural training text lacks.
//!   A narrowing model may quote more (novelty falls) or drift away (it rises): the direction is unclear. Depends on
//!   the size of the training text, not on n.
//! - `loss_under_generation_0`: mean loss of the text under the lineage's first model, nats per token. Falls when later
//!   models keep to what the first one finds probable. A mean, without bias from n.
//!
//! Standard errors: block jackknife for the distinct-n, ratio estimator over documents for the rest. That of compression
//! is the ratio estimator's over 32 blocks compressed each by itself, in proportion: leaving out block after block would
//! take longer than all other metrics together.

use super::counts::{Counts, types_seen};
use super::grams::{Grams, ends};
use super::heldout::mean_over;
use super::uncertainty::{Estimate, block_count, block_ranges, ratio};
use super::{Collected, Inputs, MeasureError, Texts};
use crate::documents::{Documents, hash};
use rayon::prelude::*;
use zstd::zstd_safe::{CCtx, CParameter};

/// Measures the form family.
pub(super) fn measure(inputs: &Inputs, texts: &Texts, collected: &mut Collected) -> Result<(), MeasureError> {
    let synthetic = inputs.synthetic;
    distinct("distinct_1", &texts.tokens, collected);
    distinct("distinct_2", &texts.bigram_counts, collected);
    let three_grams = texts.bigrams.longer(synthetic);
    distinct("distinct_3", &three_grams.counts(), collected);
    let grams = three_grams.longer(synthetic);
    distinct("distinct_4", &grams.counts(), collected);
    let four_grams = grams.ids.len() as u64;
    let repeated = mean_over(&repeated(&grams), &grams.ends, |_| true, 1.0);
    collected.add("repetition", repeated, four_grams);
    if let Some(training) = inputs.natural_training {
        let novel: Vec<f32> =
            hashes(synthetic).map(|hash| if training.contains(hash) { 0.0 } else { 1.0 }).collect();
        collected.add("novelty_4", mean_over(&novel, &grams.ends, |_| true, 1.0), four_grams);
    }
    if let Some(scores) = inputs.synthetic_scores_0 {
        let loss = mean_over(&scores.log_probabilities, &ends(synthetic), |_| true, -1.0);
        collected.add("loss_under_generation_0", loss, synthetic.tokens().0);
    }
    let compression = compression_ratio(inputs.synthetic_texts)?;
    collected.add("compression_ratio", compression, synthetic.tokens().0);
    Ok(())
}

fn distinct(id: &str, counts: &Counts, collected: &mut Collected) {
    let [share] = counts.estimate(|counts, n| [(n > 0).then(|| types_seen(counts) as f64 / n as f64)]);
    collected.add(id, share, counts.n());
}

/// For each n-gram 1 if it occurred in the same document before, else 0.
fn repeated(grams: &Grams) -> Vec<f32> {
    let mut last_document = vec![usize::MAX; grams.types];
    let mut flags = Vec::with_capacity(grams.ids.len());
    let mut start = 0;
    for (document, &end) in grams.ends.iter().enumerate() {
        for &id in &grams.ids[start..end] {
            let before = std::mem::replace(&mut last_document[id as usize], document);
            flags.push(if before == document { 1.0 } else { 0.0 });
        }
        start = end;
    }
    flags
}

/// Bytes over compressed bytes of all texts in one stream. None if there are not two bytes.
fn compression_ratio(texts: &[String]) -> Result<Option<Estimate>, MeasureError> {
    let bytes: Vec<u8> = texts.iter().flat_map(|text| text.bytes()).collect();
    let blocks: Vec<_> = block_ranges(bytes.len(), block_count(texts.len(), bytes.len())).collect();
    let sizes = blocks
        .into_par_iter()
        .map(|block| Ok((block.len() as f64, compressed_bytes(&bytes[block])? as f64)))
        .collect::<Result<Vec<_>, MeasureError>>()?;
    let Some(of_blocks) = ratio(&sizes) else { return Ok(None) };
    let value = bytes.len() as f64 / compressed_bytes(&bytes)? as f64;
    Ok(Some(Estimate { value, std_err: of_blocks.std_err / of_blocks.value * value }))
}

fn compressed_bytes(bytes: &[u8]) -> Result<usize, MeasureError> {
    let compress = || {
        let mut context = CCtx::create();
        context.set_parameter(CParameter::CompressionLevel(3))?;
        context.set_parameter(CParameter::EnableLongDistanceMatching(true))?;
        let mut compressed = vec![0; zstd::zstd_safe::compress_bound(bytes.len())];
        context.compress2(&mut compressed, bytes)
    };
    compress().map_err(|code| MeasureError::Compression { reason: zstd::zstd_safe::get_error_name(code) })
}

/// Which 4-grams occur in a text, by 64-bit hash. (With a million 4-grams on either side, the chance that any one of
/// them is mistaken for another is 1 in 10⁷.)
#[derive(Clone, Debug)]
pub struct FourGrams {
    /// Distinct hashes, sorted.
    hashes: Vec<u64>,
    /// `starts[b]` is where the hashes begin whose leading bits are b.
    starts: Vec<usize>,
    /// How many bits a hash is shifted right to leave its leading ones.
    shift: u32,
}

impl FourGrams {
    /// The 4-grams within `documents`.
    #[must_use]
    pub fn new(documents: &Documents) -> Self {
        let mut hashes: Vec<u64> = hashes(documents).collect();
        hashes.par_sort_unstable();
        hashes.dedup();
        // One bucket per hash or two: finding one takes a glance, not a search.
        let bits = hashes.len().max(2).ilog2();
        let shift = u64::BITS - bits;
        let mut starts = vec![0; (1 << bits) + 1];
        for hash in &hashes {
            starts[(hash >> shift) as usize + 1] += 1;
        }
        for bucket in 1..starts.len() {
            starts[bucket] += starts[bucket - 1];
        }
        Self { hashes, starts, shift }
    }

    fn contains(&self, hash: u64) -> bool {
        let bucket = (hash >> self.shift) as usize;
        self.hashes[self.starts[bucket]..self.starts[bucket + 1]].contains(&hash)
    }
}

/// Hashes of the 4-grams within documents, in order.
fn hashes(documents: &Documents) -> impl Iterator<Item = u64> {
    documents.iter().flat_map(|document| document.windows(4).map(hash))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::selection::repetition;

    #[test]
    fn an_index_holds_the_four_grams_of_its_text_and_no_others() {
        let text: Vec<u32> = (0..5000).map(|i| i * 7 % 1000).collect();
        let documents: Documents = text.chunks(50).collect();
        let index = FourGrams::new(&documents);
        assert!(hashes(&documents).all(|hash| index.contains(hash)));
        let other: Documents = [&[7, 14, 21, 29][..], &[0, 1, 2, 3], &[14, 7, 0, 7]].into_iter().collect();
        assert!(hashes(&other).all(|hash| !index.contains(hash)));
        let empty = FourGrams::new(&Documents::new());
        assert!(hashes(&documents).all(|hash| !empty.contains(hash)));
    }

    /// `a b c d a b c d e`: 4-grams abcd bcda cdab dabc abcd bcde; one of six came before. The second document
    /// holds abcd too, but for the first time.
    #[test]
    fn repetition_is_counted_within_a_document() {
        let documents: Documents = [&[1, 2, 3, 4, 1, 2, 3, 4, 5][..], &[1, 2, 3, 4]].into_iter().collect();
        let four = Grams::unigrams(&documents).longer(&documents).longer(&documents).longer(&documents);
        assert_eq!(repeated(&four), [0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0]);
        let selected: Vec<f64> = documents.iter().map(repetition::share).collect();
        assert_eq!(selected, [1.0 / 6.0, 0.0], "selection goes by the same share");
    }

    #[test]
    fn repeated_text_compresses_better_than_varied_text() {
        let varied: Vec<String> = (0..200_u64).map(|i| format!("{:x} ", hash(&[i as u32]))).collect();
        let same: Vec<String> = vec![varied[0].clone(); 200];
        let ratio = |texts: &[String]| compression_ratio(texts).unwrap().unwrap().value;
        assert!(ratio(&same) > 20.0 * ratio(&varied));
        assert_eq!(compression_ratio(&[]).unwrap(), None);
    }
}
