//! Learning byte-pair merges.
//!
//! Text is split into words (by the pattern of GPT-2) and words into bytes. Then the most frequent pair of adjacent
//! tokens is merged into a new token, repeatedly. Among equally frequent pairs the one with smaller ids is merged
//! first. Pair counts are updated after every merge, so the work of a merge is proportional to the text it changes.
//!
//! The trainer of the `tokenizers` crate is not used, because its result may depend on the iteration order of a
//! randomly seeded hash map if two merges are tied. On text without such ties both give the same merges; a test
//! compares them.

use super::words::WordPattern;
use super::{TokenizerError, panicked};
use crate::guard::guard;
use rayon::prelude::*;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use tokenizers::models::bpe::{BPE, Vocab};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::{AddedToken, Tokenizer};

/// Pairs that occur less often are not merged.
const MIN_FREQUENCY: i64 = 2;

type TokenPair = (u32, u32);

/// Learns a tokenizer of at most `vocab_size` tokens.
pub(super) fn byte_level_bpe(counts: WordCounts, vocab_size: usize) -> tokenizers::Result<Tokenizer> {
    let mut learner = BpeLearner::new(counts);
    learner.merge_until(vocab_size);
    let name = |&(a, b): &TokenPair| (learner.tokens[a as usize].clone(), learner.tokens[b as usize].clone());
    let merges = learner.merges.iter().map(name).collect();
    let vocabulary: Vocab = learner.ids.into_iter().collect();
    let model = BPE::builder().vocab_and_merges(vocabulary, merges).build()?;
    let mut tokenizer = Tokenizer::new(model);
    tokenizer.with_pre_tokenizer(Some(ByteLevel::default().add_prefix_space(false).trim_offsets(false)));
    tokenizer.with_decoder(Some(ByteLevel::default()));
    tokenizer.add_special_tokens([AddedToken::from(super::END_OF_TEXT, true)])?;
    Ok(tokenizer)
}

#[expect(clippy::disallowed_types, reason = "counts, which are sorted before they are used")]
type Counts<Word> = std::collections::HashMap<Word, u64>;

/// How often each word occurs.
#[derive(Default)]
pub(super) struct WordCounts(Counts<Box<str>>);

impl WordCounts {
    /// Adds the words of `texts`.
    pub(super) fn add<T: AsRef<str> + Sync>(&mut self, texts: &[T]) -> Result<(), TokenizerError> {
        let pattern = WordPattern::of_learnt().map_err(TokenizerError::Failed)?;
        let texts = texts.par_iter().map(AsRef::as_ref);
        let counted = texts.try_fold(Counts::new, |counts, text| with_words_of(text, counts, &pattern));
        for (word, count) in counted.try_reduce(Counts::new, |one, other| Ok(sum(one, other)))? {
            match self.0.get_mut(word) {
                Some(sum) => *sum += count,
                None => _ = self.0.insert(word.into(), count),
            }
        }
        Ok(())
    }

    /// The words, sorted, with their counts.
    fn sorted(self) -> Vec<(Box<str>, u64)> {
        let mut all: Vec<(Box<str>, u64)> = self.0.into_iter().collect();
        all.par_sort_unstable();
        all
    }
}

fn with_words_of<'t>(
    text: &'t str,
    mut counts: Counts<&'t str>,
    pattern: &WordPattern,
) -> Result<Counts<&'t str>, TokenizerError> {
    let split = guard(|| {
        pattern.split(text, |word| {
            *counts.entry(word).or_insert(0) += 1;
            Ok::<(), TokenizerError>(())
        })
    });
    split.map_err(|panic| panicked(panic.into(), text))??;
    Ok(counts)
}

fn sum<'t>(one: Counts<&'t str>, other: Counts<&'t str>) -> Counts<&'t str> {
    let (mut larger, smaller) = if one.len() < other.len() { (other, one) } else { (one, other) };
    for (word, count) in smaller {
        *larger.entry(word).or_insert(0) += count;
    }
    larger
}

/// For each byte, its id: the bytes follow the end-of-text token in the order of the characters that represent them. Those
/// of printable Latin-1 represent themselves, and the others the remaining bytes in order.
fn ids_of_bytes(alphabet: &BTreeSet<char>) -> [u32; 256] {
    let itself = |c: &char| u8::try_from(*c).ok();
    let mut remaining = (0..=u8::MAX).filter(|byte| !alphabet.contains(&char::from(*byte)));
    let mut ids = [0; 256];
    for (c, id) in alphabet.iter().zip(1..) {
        if let Some(byte) = itself(c).or_else(|| remaining.next()) {
            ids[usize::from(byte)] = id;
        }
    }
    ids
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
    fn new(counts: WordCounts) -> Self {
        let alphabet: BTreeSet<char> = ByteLevel::alphabet().into_iter().collect();
        let id_of = ids_of_bytes(&alphabet);
        let tokens: Vec<String> = std::iter::once(super::END_OF_TEXT.to_owned())
            .chain(alphabet.into_iter().map(String::from))
            .collect();
        let ids: BTreeMap<String, u32> = tokens.iter().cloned().zip(0..).collect();
        let word = |(word, count): (Box<str>, u64)| WordCount {
            tokens: word.bytes().map(|byte| id_of[usize::from(byte)]).collect(),
            count: count as i64,
        };
        let words: Vec<WordCount> = counts.sorted().into_iter().map(word).collect();
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
