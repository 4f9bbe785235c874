//! Learning byte-pair merges.
//!
//! Text is split into words (by the pattern of GPT-2) and words into bytes. Then the most frequent pair of adjacent
//! tokens is merged into a new token, repeatedly. Among equally frequent pairs the one with smaller ids is merged
//! first. Pair counts are updated after every merge, so the work of a merge is proportional to the text it changes.
//!
//! The trainer of the `tokenizers` crate is not used, because its result may depend on the iteration order of a
//! randomly seeded hash map if two merges are tied. On text without such ties both give the same merges; a test
//! compares them.

use super::pieces;
use rayon::prelude::*;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use tokenizers::models::bpe::{BPE, Vocab};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::tokenizer::pre_tokenizer::{OffsetType, PreTokenizedString};
use tokenizers::{AddedToken, OffsetReferential, PreTokenizer, Result, Tokenizer};

/// Pairs that occur less often are not merged.
const MIN_FREQUENCY: i64 = 2;

/// Number of texts whose words one parallel task counts.
const SHARD: usize = 256;

type TokenPair = (u32, u32);

/// Learns a tokenizer of at most `vocab_size` tokens.
pub(super) fn byte_level_bpe(texts: &[String], vocab_size: usize) -> Result<Tokenizer> {
    let mut learner = BpeLearner::new(&count_words(texts)?);
    learner.merge_until(vocab_size);
    let name = |&(a, b): &TokenPair| (learner.tokens[a as usize].clone(), learner.tokens[b as usize].clone());
    let merges = learner.merges.iter().map(name).collect();
    let vocabulary: Vocab = learner.ids.into_iter().collect();
    let model = BPE::builder().vocab_and_merges(vocabulary, merges).build()?;
    let mut tokenizer = Tokenizer::new(model);
    tokenizer.with_pre_tokenizer(Some(pre_tokenizer()));
    tokenizer.with_decoder(Some(ByteLevel::default()));
    tokenizer.add_special_tokens([AddedToken::from(super::END_OF_TEXT, true)])?;
    Ok(tokenizer)
}

fn pre_tokenizer() -> ByteLevel {
    ByteLevel::default().add_prefix_space(false).trim_offsets(false)
}

/// The number of occurrences of each word. Words are spelt in the characters that represent bytes. Only a few shards are
/// in memory at a time.
fn count_words(texts: &[String]) -> Result<BTreeMap<String, u64>> {
    let shards = texts.par_chunks(SHARD).map(count_shard);
    shards.try_reduce(BTreeMap::new, |one, other| Ok(sum_of_counts(one, other)))
}

fn sum_of_counts(one: BTreeMap<String, u64>, other: BTreeMap<String, u64>) -> BTreeMap<String, u64> {
    let (mut larger, smaller) = if one.len() < other.len() { (other, one) } else { (one, other) };
    for (word, count) in smaller {
        *larger.entry(word).or_insert(0) += count;
    }
    larger
}

fn count_shard(texts: &[String]) -> Result<BTreeMap<String, u64>> {
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    for piece in texts.iter().flat_map(|text| pieces::of(text, pieces::PIECE)) {
        let mut split = PreTokenizedString::from(piece);
        pre_tokenizer().pre_tokenize(&mut split)?;
        for (word, _, _) in split.get_splits(OffsetReferential::Normalized, OffsetType::None) {
            match counts.get_mut(word) {
                Some(count) => *count += 1,
                None => _ = counts.insert(word.to_owned(), 1),
            }
        }
    }
    Ok(counts)
}

/// A distinct word of the text.
struct WordCount {
    /// The tokens that it currently consists of.
    tokens: Vec<u32>,
    /// Occurrences in the text.
    count: i64,
}

/// The occurrences of a pair of adjacent tokens.
#[derive(Default)]
struct Occurrences {
    /// Number of occurrences in the text.
    count: i64,
    /// Indices of the words that contain the pair, or contained it before a merge.
    words: Vec<u32>,
}

/// The state between two merges.
struct BpeLearner {
    words: Vec<WordCount>,
    tokens: Vec<String>,
    ids: BTreeMap<String, u32>,
    pairs: BTreeMap<TokenPair, Occurrences>,
    /// Pairs by count. An entry whose count differs from that in `pairs` is outdated.
    queue: BinaryHeap<(i64, Reverse<TokenPair>)>,
    merges: Vec<TokenPair>,
}

impl BpeLearner {
    fn new(counts: &BTreeMap<String, u64>) -> Self {
        let alphabet: BTreeSet<char> = ByteLevel::alphabet().into_iter().collect();
        let tokens: Vec<String> = std::iter::once(super::END_OF_TEXT.to_owned())
            .chain(alphabet.into_iter().map(String::from))
            .collect();
        let ids: BTreeMap<String, u32> = tokens.iter().cloned().zip(0..).collect();
        let id_of = |c: char| ids.get(c.encode_utf8(&mut [0; 4]) as &str).copied();
        let words: Vec<WordCount> = counts
            .iter()
            .map(|(word, &count)| WordCount {
                tokens: word.chars().filter_map(id_of).collect(),
                count: count as i64,
            })
            .collect();
        let mut learner =
            Self { words, tokens, ids, pairs: BTreeMap::new(), queue: BinaryHeap::new(), merges: Vec::new() };
        learner.count_pairs();
        learner
    }

    fn count_pairs(&mut self) {
        for (index, word) in self.words.iter().enumerate() {
            for pair in word.tokens.windows(2) {
                let occurrences = self.pairs.entry((pair[0], pair[1])).or_default();
                occurrences.count += word.count;
                push_distinct(&mut occurrences.words, index as u32);
            }
        }
        self.queue = self.pairs.iter().map(|(&pair, found)| (found.count, Reverse(pair))).collect();
    }

    fn merge_until(&mut self, vocab_size: usize) {
        let mut merged = BTreeSet::new();
        while self.tokens.len() < vocab_size {
            let Some((count, Reverse(pair))) = self.queue.pop() else { break };
            let current = self.pairs.get(&pair).map_or(0, |found| found.count);
            if current < MIN_FREQUENCY {
                continue;
            }
            if current != count {
                self.queue.push((current, Reverse(pair)));
                continue;
            }
            if merged.insert(pair) {
                self.merges.push(pair);
            }
            self.merge(pair);
        }
    }

    /// Merges all occurrences of `pair` into one token.
    fn merge(&mut self, pair: TokenPair) {
        let name = format!("{}{}", self.tokens[pair.0 as usize], self.tokens[pair.1 as usize]);
        let next_id = self.tokens.len() as u32;
        let new = *self.ids.entry(name.clone()).or_insert(next_id);
        if new == next_id {
            self.tokens.push(name);
        }
        let occurrences = self.pairs.remove(&pair).unwrap_or_default();
        let mut increased = BTreeSet::new();
        for index in occurrences.words {
            self.merge_in_word(index, pair, new, &mut increased);
        }
        self.pairs.remove(&pair);
        for pair in increased {
            if let Some(found) = self.pairs.get(&pair) {
                self.queue.push((found.count, Reverse(pair)));
            }
        }
    }

    fn merge_in_word(&mut self, index: u32, pair: TokenPair, new: u32, increased: &mut BTreeSet<TokenPair>) {
        let word = &mut self.words[index as usize];
        let old = std::mem::take(&mut word.tokens);
        let mut kept: Vec<u32> = Vec::with_capacity(old.len());
        let mut at = 0;
        while at < old.len() {
            if (old[at], old.get(at + 1).copied()) != (pair.0, Some(pair.1)) {
                kept.push(old[at]);
                at += 1;
                continue;
            }
            let neighbours = [
                kept.last().map(|&before| ((before, pair.0), (before, new))),
                old.get(at + 2).map(|&after| ((pair.1, after), (new, after))),
            ];
            for (removed, added) in neighbours.into_iter().flatten() {
                if let Some(found) = self.pairs.get_mut(&removed) {
                    found.count -= word.count;
                }
                let found = self.pairs.entry(added).or_default();
                found.count += word.count;
                push_distinct(&mut found.words, index);
                increased.insert(added);
            }
            kept.push(new);
            at += 2;
        }
        word.tokens = kept;
    }
}

/// Appends a word unless it is the last element.
fn push_distinct(words: &mut Vec<u32>, word: u32) {
    if words.last() != Some(&word) {
        words.push(word);
    }
}
