//! A `tokenizer.json`. Whatever is accepted must encode text with ids of its own vocabulary.
#![no_main]

use genloss::tokenizer::Tokenizer;
use libfuzzer_sys::fuzz_target;

const TEXT: &str = "The river of Tamor is wide.\nΟ ποταμός · 河は広い 🌊 <|endoftext|>";

fuzz_target!(|bytes: &[u8]| {
    let Ok(tokenizer) = Tokenizer::from_file(&genloss_fuzz::file("tokenizer.json", bytes)) else { return };
    let Ok(ids) = tokenizer.encode(TEXT) else { return };
    assert!(ids.iter().all(|&id| (id as usize) < tokenizer.vocab_size()), "an id beyond the vocabulary");
    let _ = tokenizer.decode(&ids);
});
