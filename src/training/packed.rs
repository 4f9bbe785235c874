//! Training text as one endless stream of tokens, cut into windows.
//!
//! Every pass over the documents shuffles them anew. The start token is read before each, unless the token before
//! it is the start token already, as it is when one token both ends and starts documents. A window is a context of
//! inputs and the token after each; the next window begins where its inputs end.
//!
//! A model that learns to fill gaps reads some documents, chosen anew at every pass, with their middle last (Bavarian et
//! al. 2022, prefix–suffix–middle): cut into pieces that fit the context, a middle of up to a quarter taken out of each.

use crate::documents::{Documents, TokenId};
use crate::seed::{Stream, streams};
use crate::stage::Stage;
use crate::tokenizer::{Sentinels, SpecialTokens};
use rand::Rng;
use rand::seq::SliceRandom;

/// How documents are read with their middle last.
#[derive(Clone, Copy, Debug)]
pub struct Gaps {
    /// Share of documents.
    pub share: f64,
    /// What marks their parts.
    pub sentinels: Sentinels,
    /// Tokens of a document between two starts, at most.
    pub piece_tokens: usize,
}

impl Gaps {
    /// A quarter of a piece: about what is in view on each side of a gap when documents are rewritten. Of longer middles a
    /// model would learn to write more than it is to replace.
    fn longest_middle(&self) -> usize {
        (self.piece_tokens / 4).max(1)
    }
}

/// An endless stream of training text.
pub struct Packed<'a> {
    documents: &'a Documents,
    stage: &'a Stage<'a>,
    special: SpecialTokens,
    gaps: Option<Gaps>,
    epoch: u64,
    tokens: Vec<TokenId>,
    next: usize,
}

impl<'a> Packed<'a> {
    /// The stream from its beginning. `documents` must hold a token.
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
    pub fn window(&mut self, context: usize) -> (Vec<TokenId>, Vec<TokenId>) {
        self.fill(context + 1);
        let window = &self.tokens[self.next..=self.next + context];
        let pair = (window[..context].to_vec(), window[1..].to_vec());
        self.next += context;
        pair
    }

    /// Passes over so many tokens.
    pub fn skip(&mut self, mut tokens: u64) {
        while tokens > 0 {
            self.fill(1);
            let step = tokens.min((self.tokens.len() - self.next) as u64);
            self.next += step as usize;
            tokens -= step;
        }
    }

    /// Sees that `count` tokens lie ahead.
    fn fill(&mut self, count: usize) {
        while self.tokens.len() < self.next + count {
            let read = self.next.min(self.tokens.len());
            // The last token read stays: it says whether the next document still needs a start token.
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

    /// A piece of a document, its middle last and ended. The middle is anywhere, and as long as any other up to the
    /// longest.
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
        let mut packed = Packed::new(&documents, SpecialTokens { start: 0, end: 0 }, None, &stage);
        let mut before = packed.window(4);
        assert_eq!(before.0[0], 0);
        for _ in 0..20 {
            let window = packed.window(4);
            assert_eq!(before.0[1..], before.1[..3]);
            assert_eq!(window.0[0], before.1[3]);
            before = window;
        }
    }

    /// 12 tokens, a start token before the first document, and one behind the document that does not end.
    #[test]
    fn a_pass_holds_every_document_once_each_behind_a_start_token() {
        let (interrupt, documents) = (AtomicBool::new(false), documents());
        let stage = Stage::new(StreamKey::new(1, "a", 0, "training"), &Silent, &interrupt);
        let mut packed = Packed::new(&documents, SpecialTokens { start: 0, end: 0 }, None, &stage);
        let (mut pass, _) = packed.window(14);
        assert_eq!(pass[0], 0);
        assert!(
            documents.iter().all(|d| pass.windows(d.len() + 1).any(|w| w[0] == 0 && w[1..] == *d)),
            "{pass:?}"
        );
        pass.sort_unstable();
        assert_eq!(pass, [0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    }

    /// The parts of a piece, put together again, are the piece. (Documents that do not end: what splits them apart here is
    /// the start token before, and the end token behind, each middle.)
    #[test]
    fn documents_with_their_middle_last_hold_the_same_tokens() {
        let interrupt = AtomicBool::new(false);
        let text: Vec<Vec<TokenId>> = (0..400).map(|d| (100 * d + 50..100 * d + 75).collect()).collect();
        let documents: Documents = text.iter().map(Vec::as_slice).collect();
        let stage = Stage::new(StreamKey::new(1, "a", 0, "training"), &Silent, &interrupt);
        let sentinels = Sentinels { prefix: 1, suffix: 2, middle: 3 };
        let gaps = Gaps { share: 0.25, sentinels, piece_tokens: 10 };
        let mut packed = Packed::new(&documents, SpecialTokens { start: 0, end: 0 }, Some(gaps), &stage);
        packed.fill(1);
        let (mut whole, mut pieces) = (0, 0);
        for sequence in packed.tokens.split(|&token| token == 0).filter(|sequence| !sequence.is_empty()) {
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
        // 300 of 400 documents are read as they are, give or take four standard deviations of √(400 · ¼ · ¾).
        assert!((265..=335).contains(&whole), "{whole}");
        // 25 tokens are pieces of 10, 10 and 5.
        assert_eq!(pieces, 3 * (400 - whole));
    }

    #[test]
    fn skipping_leads_to_where_reading_does() {
        let (interrupt, documents) = (AtomicBool::new(false), documents());
        let stage = Stage::new(StreamKey::new(1, "a", 0, "training"), &Silent, &interrupt);
        let packed = || Packed::new(&documents, SpecialTokens { start: 10, end: 0 }, None, &stage);
        for windows in 0..20 {
            let (mut read, mut skipped) = (packed(), packed());
            for _ in 0..windows {
                read.window(5);
            }
            skipped.skip(5 * windows);
            assert_eq!(read.window(5), skipped.window(5));
        }
    }
}
