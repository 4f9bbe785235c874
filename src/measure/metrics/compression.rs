//! Compression ratio: how redundant is the text?
//!
//! `compression_ratio`: the size of the text in bytes divided by its size as compressed by zstd (level 3, with
//! long-distance matching, all documents in one stream). It finds repetition of any length, within documents and
//! between them. Rises when a distribution narrows, and a little with the size of the text.
//!
//! The standard error is that of the ratio estimator over 32 blocks compressed separately, scaled to the ratio of the
//! whole. A jackknife, which compresses the text again without each block in turn, would take longer than all other
//! metrics together.

use crate::measure::uncertainty::{block_count, block_ranges};
use crate::measure::{
    CountedGeneration, Direction::Up, Estimate, Family::Form, MeasureError, Metric, MetricDefinition,
};
use rayon::prelude::*;
use zstd::zstd_safe::{CCtx, CParameter};

/// The compression ratio of the synthetic text.
pub(super) struct Compression;

impl Metric for Compression {
    fn definitions(&self) -> Vec<MetricDefinition> {
        vec![MetricDefinition::builtin("compression_ratio", "compression ratio", "bytes/byte", Form, Up)]
    }

    fn measure(&self, generation: &CountedGeneration) -> Result<Vec<Option<Estimate>>, MeasureError> {
        let inputs = generation.inputs();
        let ratio = compression_ratio(inputs.synthetic_texts)?;
        Ok(vec![ratio.map(|ratio| ratio.with_n(inputs.synthetic.tokens().0))])
    }

    fn why_missing(&self, _: &str, _: &CountedGeneration) -> Option<String> {
        Some("the text has fewer than two bytes".to_owned())
    }
}

/// Bytes divided by compressed bytes of all texts in one stream; `n` is in bytes. None if there are fewer than two
/// bytes, too few for two blocks.
fn compression_ratio(texts: &[String]) -> Result<Option<Estimate>, MeasureError> {
    let bytes: Vec<u8> = texts.iter().flat_map(|text| text.bytes()).collect();
    let blocks: Vec<_> = block_ranges(bytes.len(), block_count(texts.len(), bytes.len())).collect();
    let sizes = blocks
        .into_par_iter()
        .map(|block| Ok((block.len() as f64, compressed_bytes(&bytes[block])? as f64)))
        .collect::<Result<Vec<_>, MeasureError>>()?;
    let Some(block_estimate) = Estimate::ratio(&sizes) else { return Ok(None) };
    let value = bytes.len() as f64 / compressed_bytes(&bytes)? as f64;
    let std_err = block_estimate.std_err / block_estimate.value * value;
    Ok(Some(Estimate { value, std_err, n: bytes.len() as u64 }))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::documents::hash;

    #[test]
    fn repeated_text_compresses_better_than_varied_text() {
        let varied: Vec<String> = (0..200_u64).map(|i| format!("{:x} ", hash(&[i as u32]))).collect();
        let same: Vec<String> = vec![varied[0].clone(); 200];
        let ratio = |texts: &[String]| compression_ratio(texts).unwrap().unwrap().value;
        assert!(ratio(&same) > 20.0 * ratio(&varied));
        assert_eq!(compression_ratio(&[]).unwrap(), None);
    }
}
