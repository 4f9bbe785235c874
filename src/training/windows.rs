//! Training text as one endless stream of tokens, cut into windows.
//!
//! Every pass over the documents shuffles them again. Each document is preceded by a start token. If one token marks
//! both the end and the start of documents, the end token of the previous document serves as the start token of the
//! next. A window consists of one context of inputs and, for each input, the token after it as the target; the next
//! window begins where these inputs end.
//!
//! If the model is to learn to fill gaps, some documents are rearranged so that their middle comes last (Bavarian et
//! al. 2022, prefix–suffix–middle). Which documents are rearranged is drawn again in every pass. Each of them is
//! cut into pieces that fit the context, and the middle of a piece is at most a quarter of the longest piece.
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

/// Settings for cutting gaps out of documents.
#[derive(Clone, Copy, Debug)]
pub struct Gaps {
    /// Share of documents whose middle is moved to the end.
    pub share: f64,
    /// Tokens that mark prefix, suffix and middle.
    pub sentinels: Sentinels,
    /// Largest number of tokens in a piece.
    pub piece_tokens: usize,
}

impl Gaps {
    /// Largest number of tokens in a middle: a quarter of the longest piece, about as much text as is visible on each
    /// side of a gap when documents are rephrased. With longer middles the model would learn to write more than the gap
    /// held.
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
    /// Starts at the beginning of the stream. `documents` must have at least one token.
    #[must_use]
    pub fn new(
        documents: &'a Documents,
        special: SpecialTokens,
        gaps: Option<Gaps>,
        stage: &'a Stage<'a>,
    ) -> Self {
        Self { documents, stage, special, gaps, epoch: 0, tokens: Vec::new(), next: 0 }
    }

    /// Returns the next window: `context` inputs, and for each input the token that follows it.
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
            // The last token read is kept, because whether the next document needs a start token depends on it.
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

    /// Appends a piece of a document with its middle moved to the end, and an end token. The length of the middle is
    /// drawn uniformly from 0 to the longest allowed, and its position uniformly from all possible ones.
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

    /// The pass has 14 tokens: the 12 tokens of the documents, a start token before the first document, and one after
    /// the document that has no end token.
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

    /// Prefix, middle and suffix of each piece, joined in this order, restore the piece. The documents have no end
    /// token, so token 0 occurs only as the start token before and the end token after a piece, and splits the stream
    /// into pieces.
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
        // 300 of 400 documents are expected in their original order; the tolerance is four standard deviations
        // √(400·¼·¾).
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
