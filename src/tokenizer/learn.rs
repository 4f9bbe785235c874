//! Learning byte-pair merges.
//!
//! Text is cut into words (the pattern of GPT-2), a word into bytes; then the most frequent pair of neighbouring
//! tokens becomes a token, again and again. Equally frequent pairs go by the smaller ids. Pair counts are kept up
//! to date merge by merge, so that the work is in proportion to the text that a merge touches.
//!
//! The trainer that comes with the `tokenizers` crate does the same, but its outcome may hang on the order of a
//! randomly seeded hash map when two equal merges meet; here there is no such order. On text without such ties the
//! two agree, and a test holds them together.

use rayon::prelude::*;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use tokenizers::models::bpe::{BPE, Vocab};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::tokenizer::pre_tokenizer::{OffsetType, PreTokenizedString};
use tokenizers::{AddedToken, OffsetReferential, PreTokenizer, Result, Tokenizer};

/// A pair seen less often is no pattern.
const MIN_FREQUENCY: i64 = 2;

/// Texts that one task counts.
const SHARD: usize = 256;

type TokenPair = (u32, u32);

/// Learns a tokenizer with at most `vocab_size` tokens.
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

/// How often each word occurs, spelt in characters that stand for bytes.
fn count_words(texts: &[String]) -> Result<BTreeMap<String, u64>> {
    let shards: Vec<Result<BTreeMap<String, u64>>> = texts.par_chunks(SHARD).map(count_shard).collect();
    let mut total = BTreeMap::new();
    for shard in shards {
        for (word, count) in shard? {
            *total.entry(word).or_insert(0) += count;
        }
    }
    Ok(total)
}

fn count_shard(texts: &[String]) -> Result<BTreeMap<String, u64>> {
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    for text in texts {
        let mut split = PreTokenizedString::from(text.as_str());
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

/// A distinct word of the text, as the tokens it now consists of.
struct WordCount {
    tokens: Vec<u32>,
    count: i64,
}

/// Where a pair of neighbouring tokens occurs.
#[derive(Default)]
struct Occurrences {
    /// In the text.
    count: i64,
    /// Words that hold it, or once did.
    words: Vec<u32>,
}

struct BpeLearner {
    words: Vec<WordCount>,
    tokens: Vec<String>,
    ids: BTreeMap<String, u32>,
    pairs: BTreeMap<TokenPair, Occurrences>,
    /// Pairs by count. An entry is outdated when its count is not that of `pairs`.
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
                note(&mut occurrences.words, index as u32);
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

    /// Makes `pair` a token, wherever it occurs.
    fn merge(&mut self, pair: TokenPair) {
        let name = format!("{}{}", self.tokens[pair.0 as usize], self.tokens[pair.1 as usize]);
        let next_id = self.tokens.len() as u32;
        let new = *self.ids.entry(name.clone()).or_insert(next_id);
        if new == next_id {
            self.tokens.push(name);
        }
        let occurrences = self.pairs.remove(&pair).unwrap_or_default();
        let mut risen = BTreeSet::new();
        for index in occurrences.words {
            self.merge_in_word(index, pair, new, &mut risen);
        }
        self.pairs.remove(&pair);
        for pair in risen {
            if let Some(found) = self.pairs.get(&pair) {
                self.queue.push((found.count, Reverse(pair)));
            }
        }
    }

    fn merge_in_word(&mut self, index: u32, pair: TokenPair, new: u32, risen: &mut BTreeSet<TokenPair>) {
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
            for (gone, come) in neighbours.into_iter().flatten() {
                if let Some(found) = self.pairs.get_mut(&gone) {
                    found.count -= word.count;
                }
                let found = self.pairs.entry(come).or_default();
                found.count += word.count;
                note(&mut found.words, index);
                risen.insert(come);
            }
            kept.push(new);
            at += 2;
        }
        word.tokens = kept;
    }
}

/// Adds a word to a list unless it is the one noted last.
fn note(words: &mut Vec<u32>, word: u32) {
    if words.last() != Some(&word) {
        words.push(word);
    }
}
