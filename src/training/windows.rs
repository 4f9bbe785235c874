//! Training text as one endless stream of tokens, cut into windows.
//!
//! Every pass over the documents shuffles them again. A start token comes before each document, unless the token before
//! is the start token already, as it is if one token both ends and starts documents. A window is a context of inputs
//! and the token after each; the next window begins where these inputs end.
//!
//! A model that learns to fill gaps reads some documents with their middle last (Bavarian et al. 2022,
//! prefix–suffix–middle); which ones is drawn again in every pass. Such a document is cut into pieces that fit the
//! context, and a middle of up to a quarter is taken out of each.
//!
//! ```
//! use genloss::{documents::Documents, model::SpecialTokens, progress::Silent, seed::StreamKey, stage::Stage};
//! use genloss::training::windows::TrainingWindows;
//! let text: Documents = [&[5, 6, 7, 0][..]].into_iter().collect();
//! let never = std::sync::atomic::AtomicBool::new(false);
//! let stage = Stage::new(StreamKey::new(1, "control", 0, "training"), &Silent, &never);
//! let mut windows = TrainingWindows::new(&text, SpecialTokens { start: 0, end: 0 }, None, &stage);
//! assert_eq!(windows.next_window(3), (vec![0, 5, 6], vec![5, 6, 7]));
//! assert_eq!(windows.next_window(3), (vec![7, 0, 5], vec![0, 5, 6]));
//! ```

use crate::documents::{Documents, TokenId};
use crate::seed::{Stream, streams};
use crate::stage::Stage;
use crate::tokenizer::{Sentinels, SpecialTokens};
use rand::Rng;
use rand::seq::SliceRandom;

/// How gaps are cut out of documents.
#[derive(Clone, Copy, Debug)]
pub struct Gaps {
    /// Share of documents that are read with their middle last.
    pub share: f64,
    /// The tokens that mark the parts of a piece.
    pub sentinels: Sentinels,
    /// Largest number of tokens in a piece.
    pub piece_tokens: usize,
}

impl Gaps {
    /// Largest number of tokens in a middle, a quarter of a piece: about what is in view on each side of a gap when
    /// documents are rephrased. From longer middles a model would learn to write more than it should replace.
    fn longest_middle(&self) -> usize {
        (self.piece_tokens / 4).max(1)
    }
}

/// An endless stream of training text.
pub struct TrainingWindows<'a> {
    documents: &'a Documents,
    stage: &'a Stage<'a>,
    special: SpecialTokens,
    gaps: Option<Gaps>,
    epoch: u64,
    tokens: Vec<TokenId>,
    next: usize,
}

impl<'a> TrainingWindows<'a> {
    /// The stream from its beginning. `documents` must have at least one token.
    #[must_use]
    pub fn new(
        documents: &'a Documents,
        special: SpecialTokens,
        gaps: Option<Gaps>,
        stage: &'a Stage<'a>,
    ) -> Self {
        Self { documents, stage, special, gaps, epoch: 0, tokens: Vec::new(), next: 0 }
    }

    /// The next window: `context` inputs, and the token that follows each.
    pub fn next_window(&mut self, context: usize) -> (Vec<TokenId>, Vec<TokenId>) {
        self.fill(context + 1);
        let window = &self.tokens[self.next..=self.next + context];
        let pair = (window[..context].to_vec(), window[1..].to_vec());
        self.next += context;
        pair
    }

    /// Skips `tokens` tokens.
    pub fn skip(&mut self, mut tokens: u64) {
        while tokens > 0 {
            self.fill(1);
            let step = tokens.min((self.tokens.len() - self.next) as u64);
            self.next += step as usize;
            tokens -= step;
        }
    }

    /// Makes sure that at least `count` unread tokens are in memory.
    fn fill(&mut self, count: usize) {
        while self.tokens.len() < self.next + count {
            let read = self.next.min(self.tokens.len());
            // The last token read is kept: it decides whether the next document still needs a start token.
            let kept = read.saturating_sub(1);
            self.tokens.drain(..kept);
            self.next -= kept;
            let mut order: Vec<usize> = (0..self.documents.len()).collect();
            order.shuffle(&mut self.stage.stream(self.epoch));
            let mut stream = self.stage.at(streams::GAPS).stream(self.epoch);
            self.epoch += 1;
            for index in order {
                let document = self.documents.get(index);
                match self.gaps {
                    Some(gaps) if stream.random::<f64>() < gaps.share => {
                        for piece in document.chunks(gaps.piece_tokens) {
                            self.push_with_gap(piece, gaps, &mut stream);
                        }
                    }
                    _ => {
                        self.push_start();
                        self.tokens.extend_from_slice(document);
                    }
                }
            }
        }
    }

    fn push_start(&mut self) {
        if self.tokens.last() != Some(&self.special.start) {
            self.tokens.push(self.special.start);
        }
    }

    /// Appends a piece of a document with its middle last, and an end token. The middle's length is uniform up to the
    /// longest, and so is its position.
    fn push_with_gap(&mut self, piece: &[TokenId], gaps: Gaps, stream: &mut Stream) {
        let mut up_to = |most: usize| stream.random_range(0..=most as u64) as usize;
        let length = up_to(piece.len().min(gaps.longest_middle()));
        let (before, rest) = piece.split_at(up_to(piece.len() - length));
        let (middle, after) = rest.split_at(length);
        let sentinels = gaps.sentinels;
        self.push_start();
        for (sentinel, part) in
            [(sentinels.prefix, before), (sentinels.suffix, after), (sentinels.middle, middle)]
        {
            self.tokens.push(sentinel);
            self.tokens.extend_from_slice(part);
        }
        if middle.last() != Some(&self.special.end) {
            self.tokens.push(self.special.end);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::progress::Silent;
    use crate::seed::StreamKey;
    use std::sync::atomic::AtomicBool;

    fn documents() -> Documents {
        [&[1, 2, 0][..], &[3, 0], &[4, 5, 6, 7, 0], &[8, 9]].into_iter().collect()
    }

    #[test]
    fn windows_overlap_by_the_token_that_is_target_and_then_input() {
        let (interrupt, documents) = (AtomicBool::new(false), documents());
        let stage = Stage::new(StreamKey::new(1, "a", 0, "training"), &Silent, &interrupt);
        let mut windows = TrainingWindows::new(&documents, SpecialTokens { start: 0, end: 0 }, None, &stage);
        let mut before = windows.next_window(4);
        assert_eq!(before.0[0], 0);
        for _ in 0..20 {
            let window = windows.next_window(4);
            assert_eq!(before.0[1..], before.1[..3]);
            assert_eq!(window.0[0], before.1[3]);
            before = window;
        }
    }

    /// 12 tokens, a start token before the first document, and one after the document that does not end.
    #[test]
    fn a_pass_has_every_document_once_each_after_a_start_token() {
        let (interrupt, documents) = (AtomicBool::new(false), documents());
        let stage = Stage::new(StreamKey::new(1, "a", 0, "training"), &Silent, &interrupt);
        let mut windows = TrainingWindows::new(&documents, SpecialTokens { start: 0, end: 0 }, None, &stage);
        let (mut pass, _) = windows.next_window(14);
        assert_eq!(pass[0], 0);
        assert!(
            documents.iter().all(|d| pass.windows(d.len() + 1).any(|w| w[0] == 0 && w[1..] == *d)),
            "{pass:?}"
        );
        pass.sort_unstable();
        assert_eq!(pass, [0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    }

    /// The parts of a piece, put together again, are the piece. (Documents that do not end, so that 0 splits the stream: it
    /// is the start token before and the end token after each piece.)
    #[test]
    fn documents_with_their_middle_last_have_the_same_tokens() {
        let interrupt = AtomicBool::new(false);
        let text: Vec<Vec<TokenId>> = (0..400).map(|d| (100 * d + 50..100 * d + 75).collect()).collect();
        let documents: Documents = text.iter().map(Vec::as_slice).collect();
        let stage = Stage::new(StreamKey::new(1, "a", 0, "training"), &Silent, &interrupt);
        let sentinels = Sentinels { prefix: 1, suffix: 2, middle: 3 };
        let gaps = Gaps { share: 0.25, sentinels, piece_tokens: 10 };
        let mut windows =
            TrainingWindows::new(&documents, SpecialTokens { start: 0, end: 0 }, Some(gaps), &stage);
        windows.fill(1);
        let (mut whole, mut pieces) = (0, 0);
        for sequence in windows.tokens.split(|&token| token == 0).filter(|sequence| !sequence.is_empty()) {
            let restored: Vec<TokenId> = match sequence[0] {
                1 => {
                    pieces += 1;
                    let parts: Vec<&[TokenId]> = sequence.split(|token| [1, 2, 3].contains(token)).collect();
                    let [[], before, after, middle] = parts[..] else { panic!("{sequence:?}") };
                    [before, middle, after].concat()
                }
                _ => {
                    whole += 1;
                    assert_eq!(sequence.len(), 25);
                    sequence.to_vec()
                }
            };
            assert!(restored.windows(2).all(|pair| pair[1] == pair[0] + 1), "{sequence:?}");
        }
        // 300 of 400 documents are read in their order, give or take four standard deviations of √(400 · ¼ · ¾).
        assert!((265..=335).contains(&whole), "{whole}");
        // 25 tokens are pieces of 10, 10 and 5.
        assert_eq!(pieces, 3 * (400 - whole));
    }

    #[test]
    fn skipping_ends_where_reading_does() {
        let (interrupt, documents) = (AtomicBool::new(false), documents());
        let stage = Stage::new(StreamKey::new(1, "a", 0, "training"), &Silent, &interrupt);
        let windows_from_start =
            || TrainingWindows::new(&documents, SpecialTokens { start: 10, end: 0 }, None, &stage);
        for windows in 0..20 {
            let (mut read, mut skipped) = (windows_from_start(), windows_from_start());
            for _ in 0..windows {
                read.next_window(5);
            }
            skipped.skip(5 * windows);
            assert_eq!(read.next_window(5), skipped.next_window(5));
        }
    }
}
