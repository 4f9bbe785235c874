//! *Near duplicates*: drops documents that share most of their shingles with a document that was already kept.
//!
//! A document's shingles are its sequences of 5 consecutive tokens (Lee et al. 2022), or the whole document if it is
//! shorter. The similarity of two documents is the Jaccard similarity J of their sets of shingles, `|A ∩ B| / |A ∪ B|`.
//! MinHash (Broder 1997) estimates it: under a random order of all shingles, the first shingle of A equals the first of
//! B with probability J. The share of k = 128 orders in which they are equal is an unbiased estimate, with a standard
//! error of √(J(1 − J)/k), or 3.5 % at J = 0.8. A document's *signature* is the list of its first shingles under all k
//! orders.
//!
//! **Search.** If the estimate is at least t, two signatures differ in at most d = (1 − t)k entries. When signatures
//! are cut into d + 1 bands, at least one band must then agree completely (the pigeonhole argument of Manku et al.
//! 2007). An index of bands therefore misses no duplicate, and only documents that share a band are compared.

use super::{Candidate, Filter, Pilot, RuleNeeds, SelectionRule};
use crate::documents::{self, TokenId, mix};
use crate::seed::StreamKey;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Drop documents whose estimated Jaccard similarity to a document that was kept is at least this.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(extend("exclusiveMinimum" = 0.0, "maximum" = 1.0, "x-sensible" = {"minimum": 0.1, "why": "texts of one language are this similar by chance"}))]
pub struct NearDuplicateLimit(pub f64);

impl SelectionRule for NearDuplicateLimit {
    fn name() -> &'static str {
        "near_duplicates"
    }

    fn needs(&self) -> RuleNeeds {
        RuleNeeds::TOKENS
    }

    fn start(&self, _: Option<&mut Pilot>, _: &StreamKey) -> Box<dyn Filter> {
        Box::new(NearDuplicates::new(self.0))
    }
}

impl Filter for NearDuplicates {
    fn filter(&mut self, group: &[Candidate], passing: &mut Vec<usize>) {
        passing.retain(|&index| self.admit(group[index].document));
    }
}

/// Number k of random orders, which is the number of entries of a signature.
pub const ORDERS: usize = 128;
/// Tokens of a shingle. A document with fewer tokens is a single shingle.
pub const SHINGLE_TOKENS: usize = 5;

/// The hashes of a document's shingles.
pub fn shingles(document: &[TokenId]) -> impl Iterator<Item = u64> {
    document.windows(SHINGLE_TOKENS.min(document.len().max(1))).map(documents::hash)
}

/// MinHash signature: for each order, the smallest hash of a document's shingles.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature([u64; ORDERS]);

impl Signature {
    /// Computes the signature of a document. All empty documents have the same signature.
    #[must_use]
    pub fn new(document: &[TokenId]) -> Self {
        let mut firsts = [u64::MAX; ORDERS];
        for shingle in shingles(document) {
            for (order, first) in firsts.iter_mut().enumerate() {
                *first = (*first).min(mix(shingle ^ mix(order as u64 + 1)));
            }
        }
        Self(firsts)
    }

    /// The estimated Jaccard similarity of two documents, from 0 to 1.
    #[must_use]
    pub fn similarity(&self, other: &Self) -> f64 {
        let same = self.0.iter().zip(&other.0).filter(|(a, b)| a == b).count();
        same as f64 / ORDERS as f64
    }
}

/// The signatures of the kept documents, indexed by band.
pub struct NearDuplicates {
    /// Documents whose similarity is at least this count as duplicates.
    least: f64,
    kept: Vec<Signature>,
    /// For each band, a map from the hash of the band's entries to indices into `kept`.
    bands: Vec<BTreeMap<u64, Vec<usize>>>,
}

impl NearDuplicates {
    /// Creates an empty index. Documents whose similarity is at least `least`, in `(0, 1]`, count as duplicates.
    #[must_use]
    pub fn new(least: f64) -> Self {
        let most_differing = ((1.0 - least) * ORDERS as f64).floor() as usize;
        let bands = (most_differing + 1).clamp(1, ORDERS);
        Self { least, kept: Vec::new(), bands: vec![BTreeMap::new(); bands] }
    }

    /// Adds a document and returns true. If the document is a duplicate of one that was added before, returns false and
    /// does not add it.
    pub fn admit(&mut self, document: &[TokenId]) -> bool {
        let signature = Signature::new(document);
        if self.candidates(&signature).any(|other| self.is_similar(other, &signature)) {
            return false;
        }
        self.insert(signature);
        true
    }

    /// Adds the signature of a document, duplicate or not.
    pub fn insert(&mut self, signature: Signature) {
        let keys = keys(&signature, self.bands.len());
        for (band, key) in self.bands.iter_mut().zip(keys) {
            band.entry(key).or_default().push(self.kept.len());
        }
        self.kept.push(signature);
    }

    /// The indices of the documents that a document duplicates, in the order in which they were added.
    #[must_use]
    pub fn similar(&self, signature: &Signature) -> Vec<usize> {
        let mut candidates: Vec<usize> = self.candidates(signature).collect();
        candidates.sort_unstable();
        candidates.dedup();
        candidates.retain(|&other| self.is_similar(other, signature));
        candidates
    }

    /// Indices of the documents that share a band with `signature`. An index is repeated for each shared band.
    fn candidates(&self, signature: &Signature) -> impl Iterator<Item = usize> {
        let keys = keys(signature, self.bands.len());
        self.bands.iter().zip(keys).filter_map(|(band, key)| band.get(&key)).flatten().copied()
    }

    fn is_similar(&self, kept: usize, signature: &Signature) -> bool {
        self.kept[kept].similarity(signature) >= self.least
    }
}

/// The hash of each of `bands` bands. A band is a range of consecutive entries of the signature. The lengths of bands
/// differ by at most one.
fn keys(signature: &Signature, bands: usize) -> Vec<u64> {
    let band = |index: usize| &signature.0[ORDERS * index / bands..ORDERS * (index + 1) / bands];
    let hash = |band: &[u64]| band.iter().fold(0, |hash: u64, &entry| mix(hash.wrapping_add(entry)));
    (0..bands).map(|index| hash(band(index))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed::StreamKey;
    use rand::Rng;
    use std::collections::BTreeSet;

    fn jaccard(a: &[TokenId], b: &[TokenId]) -> f64 {
        let shingles = |text: &[TokenId]| -> BTreeSet<Vec<TokenId>> {
            text.windows(SHINGLE_TOKENS).map(<[TokenId]>::to_vec).collect()
        };
        let (a, b) = (shingles(a), shingles(b));
        a.intersection(&b).count() as f64 / a.union(&b).count() as f64
    }

    /// A random document of `length` tokens, and a copy whose last `changed` tokens are replaced.
    fn pair(length: usize, changed: usize, item: u64) -> (Vec<TokenId>, Vec<TokenId>) {
        let mut rng = StreamKey::new(1, "test", 0, "near duplicates").stream(item);
        let one: Vec<TokenId> = (0..length).map(|_| rng.random_range(0..1000)).collect();
        let mut other = one.clone();
        other[length - changed..].fill_with(|| rng.random_range(1000..2000));
        (one, other)
    }

    /// 104 tokens have 100 shingles. Replacing the last n tokens changes the last n shingles, so
    /// J = (100 − n) / (100 + n). Seeds are fixed. Tolerances: 4 standard errors for the mean of 200 estimates, and a
    /// fifth of √(J(1 − J)/k) for their standard deviation.
    #[test]
    fn the_estimated_similarity_has_the_mean_and_standard_error_of_minhash() {
        for changed in [5, 11, 33, 60] {
            let (one, other) = pair(104, changed, 0);
            let exact = (100 - changed) as f64 / (100 + changed) as f64;
            assert!((jaccard(&one, &other) - exact).abs() < 1e-12);
            let estimates: Vec<f64> = (0..200)
                .map(|item| pair(104, changed, item))
                .map(|(one, other)| Signature::new(&one).similarity(&Signature::new(&other)))
                .collect();
            let std_err = (exact * (1.0 - exact) / ORDERS as f64).sqrt();
            let mean = estimates.iter().sum::<f64>() / 200.0;
            assert!((mean - exact).abs() < 4.0 * std_err / 200.0_f64.sqrt(), "{mean} for {exact}");
            let spread = (estimates.iter().map(|x| (x - exact).powi(2)).sum::<f64>() / 200.0).sqrt();
            assert!((spread / std_err - 1.0).abs() < 0.2, "{spread} for {std_err}");
        }
    }

    #[test]
    fn a_document_similar_to_a_kept_one_is_dropped() {
        let mut kept = NearDuplicates::new(0.8);
        // J = 98/102 and 50/150.
        let (text, nearly) = pair(104, 2, 0);
        let (_, other) = pair(104, 50, 0);
        assert!(kept.admit(&text));
        assert!(!kept.admit(&text));
        assert!(!kept.admit(&nearly));
        assert!(kept.admit(&other));
        assert!(kept.admit(&[1, 2]));
        assert!(!kept.admit(&[1, 2]));
        assert!(kept.admit(&[2, 1]));
        assert!(kept.admit(&[]));
        assert!(!kept.admit(&[]));
    }

    /// The index must drop exactly the documents that a comparison with every kept document drops.
    #[test]
    fn the_index_finds_every_duplicate() {
        for least in [0.05, 0.3, 0.5, 0.8, 0.9, 1.0] {
            let mut indexed = NearDuplicates::new(least);
            let mut kept: Vec<Signature> = Vec::new();
            let (mut dropped, mut admitted) = (0, 0);
            for item in 0..300 {
                // Thirty texts, each in ten versions.
                let (_, text) = pair(54, (item / 30) as usize * 4, item % 30);
                let signature = Signature::new(&text);
                let is_new = kept.iter().all(|other| other.similarity(&signature) < least);
                assert_eq!(indexed.admit(&text), is_new, "{least}");
                if is_new {
                    kept.push(signature);
                    admitted += 1;
                } else {
                    dropped += 1;
                }
            }
            assert!(admitted >= 30 && (dropped > 0 || least == 1.0), "{least}: {admitted} {dropped}");
        }
    }
}
