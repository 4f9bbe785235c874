use super::*;
use proptest::prelude::*;
use tokenizers::models::bpe::BpeTrainer;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;

fn some_text() -> Vec<String> {
    let line = "The old dog sees the other dog near the river, and the other river sees the old dog.";
    (0..40).map(|i| format!("{line} {} it's {i} café — naïve 🐕", "na".repeat(i % 7))).collect()
}

fn learnt() -> Tokenizer {
    Tokenizer::learn(&some_text(), 400).expect("a large enough vocabulary")
}

/// "aaab bab": ByteLevel words `aaab`, `Ġbab`; each occurs 3 times in three copies of the text. Pairs: aa 6, ab 6,
/// ba 3, Ġb 3. Among tied pairs the one with smaller ids is merged first: `aa`.
#[test]
fn the_first_merges_match_a_count_by_hand() {
    let texts = vec!["aaab bab".to_owned(); 3];
    let tokenizer = Tokenizer::learn(&texts, 259).expect("a large enough vocabulary");
    assert_eq!(tokenizer.inner.id_to_token(257).as_deref(), Some("aa"));
    // The words are now `aa a b` and `Ġ b a b`, three times each, so (a, b) with a count of 6 is the most frequent
    // pair.
    assert_eq!(tokenizer.inner.id_to_token(258).as_deref(), Some("ab"));
    assert_eq!(tokenizer.vocab_size(), 259);
}

#[test]
fn id_0_is_the_end_token_and_the_bytes_follow() {
    let tokenizer = learnt();
    assert_eq!(tokenizer.special(), SpecialTokens { start: 0, end: 0 });
    assert_eq!(tokenizer.inner.id_to_token(0).as_deref(), Some(END_OF_TEXT));
    assert_eq!(tokenizer.encode("!").expect("encodes"), [1]);
}

/// Reference: the trainer of the `tokenizers` crate on the same text.
#[test]
fn merges_agree_with_the_trainer_of_the_tokenizers_crate() {
    let trainer = BpeTrainer::builder()
        .vocab_size(400)
        .min_frequency(2)
        .show_progress(false)
        .special_tokens(vec![AddedToken::from(END_OF_TEXT, true)])
        .initial_alphabet(ByteLevel::alphabet().into_iter().collect())
        .build();
    let texts = some_text();
    let mut reference_tokenizer: tokenizers::Tokenizer =
        tokenizers::Tokenizer::new(tokenizers::models::bpe::BPE::default());
    reference_tokenizer.with_pre_tokenizer(Some(ByteLevel::default().add_prefix_space(false)));
    let mut wrapped = tokenizers::models::TrainerWrapper::from(trainer);
    reference_tokenizer.train(&mut wrapped, texts.iter().map(String::as_str)).expect("trains");
    let ours = learnt();
    for id in 0..ours.vocab_size() as u32 {
        assert_eq!(ours.inner.id_to_token(id), reference_tokenizer.id_to_token(id), "token {id}");
    }
    assert_eq!(ours.vocab_size(), reference_tokenizer.get_vocab_size(true));
}

#[test]
fn the_number_of_threads_and_the_order_of_texts_do_not_change_the_tokenizer() {
    let reference = learnt().to_json().expect("writes");
    let mut reversed: Vec<String> = some_text();
    reversed.reverse();
    for threads in [1, 3] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool");
        let again = pool.install(|| Tokenizer::learn(&reversed, 400)).expect("a large enough vocabulary");
        assert_eq!(again.to_json().expect("writes"), reference);
    }
}

#[test]
fn a_small_text_gives_fewer_tokens_than_requested() {
    let tokenizer = Tokenizer::learn(&["abc".to_owned()], 1000).expect("a large enough vocabulary");
    assert_eq!(tokenizer.vocab_size(), MIN_VOCAB_SIZE);
    assert_eq!(tokenizer.decode(&tokenizer.encode("xyz").expect("encodes")), "xyz");
}

#[test]
fn a_vocabulary_too_small_for_all_bytes_is_an_error() {
    let error = Tokenizer::learn(&some_text(), 256).err().expect("too small").to_string();
    assert!(error.contains("257"), "{error}");
}

#[test]
fn hostile_text_comes_back_unchanged() {
    let tokenizer = learnt();
    let long_line = "no end in sight ".repeat(20_000);
    let unbroken = "x".repeat(50_000);
    for text in [
        "",
        " ",
        "\r\n\r\n\ttabs and lines\r\n",
        "nul \0 inside \u{1}\u{7f}\u{85}",
        "e\u{301} combining, zalgo z\u{333}\u{334}\u{335}",
        "👩‍👩‍👧‍👦 🏴‍☠️ \u{1F468}\u{200D}",
        "עברית العربية \u{202E}reversed\u{202C}",
        "\u{FEFF}byte order mark and \u{FFFD} replacement",
        "<|endoftext|> is text here, and so is <|endoftext|><|endoftext|>",
        "日本語のテキスト",
        &long_line,
        &unbroken,
    ] {
        let ids = tokenizer.encode(text).expect("encodes");
        assert!(!ids.contains(&tokenizer.special().end), "{text:.40}");
        assert_eq!(tokenizer.decode(&ids), text);
        assert_eq!(tokenizer.byte_length(&ids), text.len() as u64);
    }
}

#[test]
fn documents_end_with_the_end_token_and_decode_without_it() {
    let tokenizer = learnt();
    let texts = vec!["the dog".to_owned(), String::new(), "a <|endoftext|> b".to_owned()];
    let documents = tokenizer.encode_documents(&texts).expect("encodes");
    assert_eq!(documents.len(), 3);
    for document in documents.iter() {
        assert_eq!(document.iter().filter(|&&id| id == 0).count(), 1);
        assert_eq!(document.last(), Some(&0));
    }
    assert_eq!(tokenizer.decode_documents(&documents), texts);
}

#[test]
fn half_a_character_decodes_to_a_replacement_and_an_unknown_id_to_nothing() {
    let tokenizer = Tokenizer::learn(&["abc".to_owned()], 257).expect("a large enough vocabulary");
    let ids = tokenizer.encode("é").expect("encodes");
    assert_eq!(ids.len(), 2);
    assert_eq!(tokenizer.decode(&ids[..1]), "\u{FFFD}");
    assert_eq!(tokenizer.byte_length(&ids[..1]), 1);
    assert_eq!(tokenizer.decode(&[99_999]), "");
}

#[test]
fn a_saved_tokenizer_reads_back_the_same() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("tokenizer.json");
    let tokenizer = learnt();
    tokenizer.save(&path).expect("saves");
    let again = Tokenizer::from_file(&path).expect("reads");
    assert_eq!(again.to_json().expect("writes"), tokenizer.to_json().expect("writes"));
    assert_eq!(again.special(), tokenizer.special());
    assert_eq!(again.vocab_size(), tokenizer.vocab_size());
    let text = "the <|endoftext|> dog";
    assert_eq!(again.encode(text).expect("encodes"), tokenizer.encode(text).expect("encodes"));
}

/// A word-level tokenizer.json with the given added tokens and extra top-level settings.
fn word_level(added: &[&str], settings: &str) -> String {
    let added: Vec<String> = added
        .iter()
        .enumerate()
        .map(|(i, name)| {
            format!(
                r#"{{"id":{},"content":"{name}","single_word":false,"lstrip":false,"rstrip":false,"normalized":false,"special":true}}"#,
                10 + i
            )
        })
        .collect();
    format!(
        r#"{{"version":"1.0",{settings}"added_tokens":[{}],"normalizer":null,"pre_tokenizer":{{"type":"Whitespace"}},"post_processor":null,"decoder":null,"model":{{"type":"WordLevel","vocab":{{"a":0,"b":1,"[UNK]":2}},"unk_token":"[UNK]"}}}}"#,
        added.join(",")
    )
}

fn read(json: &str) -> Result<Tokenizer, TokenizerError> {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("tokenizer.json");
    std::fs::write(&path, json).expect("writes");
    Tokenizer::from_file(&path)
}

#[test]
fn the_special_tokens_of_an_existing_tokenizer_are_found_by_name() {
    let settings = r#""truncation":{"direction":"Right","max_length":1,"strategy":"LongestFirst","stride":0},"padding":null,"#;
    let tokenizer = read(&word_level(&["</s>", "<s>"], settings)).expect("reads");
    let [end, start] = ["</s>", "<s>"].map(|name| tokenizer.inner.token_to_id(name).expect("there"));
    assert_eq!(tokenizer.special(), SpecialTokens { start, end });
    assert_eq!(tokenizer.vocab_size(), start.max(end) as usize + 1);
    // The tokenizer's truncation to one token is turned off.
    assert_eq!(tokenizer.encode("a b a").expect("encodes"), [0, 1, 0]);
}

#[test]
fn an_end_token_that_is_a_plain_word_of_the_vocabulary_becomes_special() {
    let json = word_level(&[], "").replace(r#""a":0"#, r#""</s>":0"#);
    let tokenizer = read(&json).expect("reads");
    assert_eq!(tokenizer.special(), SpecialTokens { start: 0, end: 0 });
    assert_eq!(tokenizer.decode(&[1, 0]), "b");
}

#[test]
fn a_tokenizer_without_an_end_token_is_an_error() {
    let error = read(&word_level(&["<pad>"], "")).err().expect("no end token").to_string();
    assert!(error.contains("<|endoftext|>, </s>"), "{error}");
}

#[test]
fn a_damaged_or_missing_tokenizer_is_an_error() {
    for damaged in ["", "{", "[]", "{\"version\":\"1.0\"}", &learnt().to_json().expect("writes")[..5000]] {
        assert!(matches!(read(damaged), Err(TokenizerError::Damaged { .. })), "{damaged:.20}");
    }
    assert!(matches!(Tokenizer::from_file(Path::new("nowhere.json")), Err(TokenizerError::File { .. })));
}

proptest! {
    #[test]
    fn any_text_comes_back_unchanged(text in "\\PC{0,60}|[\\x00-\\x7f]{0,60}|(<\\|endoftext\\|>| |\\r\\n|é|🐕|the){0,12}") {
        let tokenizer = Tokenizer::learn(&["the dog 🐕 the dog é é".to_owned()], 270).expect("learns");
        let ids = tokenizer.encode(&text).expect("encodes");
        prop_assert!(!ids.contains(&0));
        prop_assert_eq!(tokenizer.decode(&ids), text);
    }
}
