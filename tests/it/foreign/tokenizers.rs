//! Existing tokenizers: text that they lose, and files that are damaged on purpose.

use super::{json, path, refused, said, write_corpus};
use genloss::documents::mix;
use genloss::lineage;
use genloss::tokenizer::{Tokenizer, TokenizerError};
use serde_json::{Value, json};
use std::fs;
use std::path::Path;

const WORDS: [&str; 8] = ["the", "old", "dog", "sees", "a", "river", "and", "moon"];

/// Documents of six known words; every `nth` word (counted over all documents) is `unknown` instead.
fn documents(nth: usize, unknown: &str) -> impl Iterator<Item = String> {
    (0..600usize).map(move |document| {
        let word = |place: usize| match 6 * document + place {
            at if at % nth == nth - 1 => format!("{unknown}{document}"),
            at => WORDS[(mix(at as u64) % 8) as usize].to_owned(),
        };
        (0..6).map(word).collect::<Vec<_>>().join(" ")
    })
}

fn special(id: usize, name: &str) -> Value {
    json!({"id": id, "content": name, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false,
        "special": true})
}

fn tokenizer(model: &Value, pre_tokenizer: &Value) -> Value {
    json!({"version": "1.0", "truncation": null, "padding": null, "added_tokens": [special(0, "</s>")],
        "normalizer": null, "pre_tokenizer": pre_tokenizer, "post_processor": null, "decoder": null, "model": model})
}

fn white_space() -> Value {
    json!({"type": "WhitespaceSplit"})
}

/// The end token, the unknown token, and `pieces`.
fn vocabulary(pieces: &[&str]) -> Value {
    let all = ["</s>", "<unk>"].into_iter().chain(pieces.iter().copied());
    Value::Object(all.enumerate().map(|(id, piece)| (piece.to_owned(), json!(id))).collect())
}

fn word_level() -> Value {
    tokenizer(
        &json!({"type": "WordLevel", "vocab": vocabulary(&WORDS), "unk_token": "<unk>"}),
        &white_space(),
    )
}

/// A tokenizer of single letters, which drops what it does not know.
fn letters() -> Value {
    let letters: Vec<String> = ('a'..='z').map(String::from).collect();
    let letters: Vec<&str> = letters.iter().map(String::as_str).collect();
    tokenizer(&json!({"type": "BPE", "vocab": vocabulary(&letters), "merges": []}), &white_space())
}

/// A Unigram model, which makes one unknown token of any stretch of unknown letters.
fn unigram() -> Value {
    let pieces = [("</s>", 0.0), ("<unk>", 0.0), ("▁", -2.0)];
    let letters: Vec<Value> = ('a'..='z').map(|letter| json!([letter.to_string(), -3.0])).collect();
    let pieces = pieces.iter().map(|piece| json!(piece)).chain(letters).collect::<Vec<_>>();
    let model = json!({"type": "Unigram", "unk_id": 1, "vocab": pieces, "byte_fallback": false});
    tokenizer(&model, &json!({"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always"}))
}

/// Writes a corpus, a tokenizer and an experiment with both, and returns the experiment's file.
fn experiment(dir: &Path, tokenizer: &Value, corpus: impl Iterator<Item = String>) -> std::path::PathBuf {
    write_corpus(&dir.join("corpus.jsonl"), corpus);
    fs::write(dir.join("tokenizer.json"), tokenizer.to_string()).unwrap();
    let text = format!(
        r#"
        name = "lossy"
        seeds = [1]
        generations = 1
        corpus = {{ source = [{:?}], train_tokens = 400, heldout_tokens = 100, reference_tokens = 100 }}
        tokenizer = {{ path = {:?} }}
        model = {{ kind = "ngram", order = 2 }}
        [[arm]]
        name = "replace"
        mixture = "replace"
        "#,
        dir.join("corpus.jsonl"),
        dir.join("tokenizer.json"),
    );
    fs::write(dir.join("lossy.toml"), text).unwrap();
    dir.join("lossy.toml")
}

/// One word in five is unknown; a third of all letters are dropped; of each document, half is one unknown token out of 14.
#[test]
fn text_that_is_lost_in_unknown_or_missing_tokens_is_refused() {
    let half_in_hanzi =
        documents(usize::MAX, "").enumerate().map(|(i, text)| text + " " + &"老狗看见月亮".repeat(3 + i % 3));
    let cases: [(Value, Box<dyn Iterator<Item = String>>, &str); 3] = [
        (word_level(), Box::new(documents(5, "zebra")), " % of its tokens are the unknown token"),
        (letters(), Box::new(documents(4, "ЗЕБРА")), "of its bytes are in no known token"),
        (unigram(), Box::new(half_in_hanzi), "of its bytes are in no known token"),
    ];
    for (tokenizer, corpus, expected) in cases {
        let dir = tempfile::tempdir().unwrap();
        let file = experiment(dir.path(), &tokenizer, corpus);
        for command in ["check", "run"] {
            let error = refused(&[command, path(&file)]);
            assert!(error.contains("split: ") && error.contains(expected), "{error}");
            assert!(error.contains("byte-level"), "{error}");
        }
    }
}

/// One word in fifty: 2 %.
#[test]
fn a_little_lost_text_is_told_and_recorded() {
    let dir = tempfile::tempdir().unwrap();
    let file = experiment(dir.path(), &word_level(), documents(50, "zebra"));
    let (checked, _) = said(&["check", path(&file)]);
    let checked = checked.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(
        checked.contains("note: the tokenizer does not represent all of the text; the heldout split:"),
        "{checked}"
    );
    assert!(checked.contains("(first: \"zebra"), "{checked}");
    let out = dir.path().join("out");
    let (_, log) = said(&["run", path(&file), "--out", path(&out)]);
    assert!(log.contains("are the unknown token"), "{log}");
    let provenance: Value = serde_json::from_slice(&fs::read(out.join("provenance.json")).unwrap()).unwrap();
    let train = &provenance["coverage"]["train"];
    let share = train["unknown_tokens"].as_f64().unwrap() / train["tokens"].as_f64().unwrap();
    assert!((share - 0.02).abs() < 0.004, "{train}");
    let text = dir.path().join("text.txt");
    fs::write(&text, format!("the old dog sees the river {}", "and the moon ".repeat(20))).unwrap();
    let model = out.join("seed-1/gen-000/model");
    let scored = json(&["score", path(&model), path(&text), "--format", "json"]);
    assert_eq!(scored["unknown_share"], 0.0);
    fs::write(&text, "the zebra sees the lion").unwrap();
    assert!(refused(&["score", path(&model), path(&text)]).contains("40.00 % of its tokens are the unknown"));
}

/// Decoding gives "the old dog" for 17 bytes with two blanks and a full stop that is unknown.
#[test]
fn bits_per_byte_divide_by_the_bytes_of_the_source() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("tokenizer.json");
    fs::write(&file, word_level().to_string()).unwrap();
    let tokenizer = Tokenizer::from_file(&file).unwrap();
    let text = "the  old   dog  .".to_owned();
    let texts = [text.clone()];
    let documents = tokenizer.encode_documents(&texts).unwrap();
    let coverage = tokenizer.coverage(&texts, &documents).unwrap();
    assert_eq!((coverage.tokens, coverage.bytes, coverage.unknown_bytes), (4, 17, 1));
    assert_eq!((coverage.unknown_tokens, coverage.dropped_bytes, coverage.dropped_space_bytes), (1, 0, 7));
    assert_eq!(tokenizer.source_of_prefix(&text, 2).unwrap(), "the  old");
    let file = experiment(dir.path(), &word_level(), documents_with_blanks());
    let out = dir.path().join("out");
    said(&["run", path(&file), "--out", path(&out)]);
    let rows = json(&["inspect", path(&out), "--format", "json"]);
    let value = |metric: &str| {
        let is = |row: &&Value| row["metric"] == metric && row["generation"] == 0;
        rows.as_array().unwrap().iter().find(is).unwrap()["value"].as_f64().unwrap()
    };
    // Seven tokens, the end included, for 26 + 3 · 5 to 30 + 3 · 5 bytes: three blanks between words instead of one.
    let bytes_per_token = value("heldout_loss") / std::f64::consts::LN_2 / value("bits_per_byte");
    let experiment = genloss::config::parse(&fs::read_to_string(&file).unwrap(), "lossy.toml", &[]).unwrap();
    let decoded = lineage::prepare(&experiment).unwrap();
    let decoded = decoded.tokenizer.decode_documents(&decoded.heldout);
    let decoded: usize = decoded.iter().map(String::len).sum();
    assert!(bytes_per_token > 1.5 * decoded as f64 / 100.0, "{bytes_per_token} for {decoded} bytes");
}

fn documents_with_blanks() -> impl Iterator<Item = String> {
    documents(usize::MAX, "").map(|text| text.replace(' ', "     "))
}

/// A learnt tokenizer loses nothing, whatever the text.
#[test]
fn a_byte_level_tokenizer_covers_every_text() {
    let texts = ["the old dog", "老狗\u{0}\u{FEFF} 🐕", ""].map(str::to_owned);
    let tokenizer = Tokenizer::learn(&texts, 300).unwrap();
    let coverage = tokenizer.coverage(&texts, &tokenizer.encode_documents(&texts).unwrap()).unwrap();
    assert_eq!(
        (coverage.lost_share(), coverage.unknown_share(), coverage.notes("it").count()),
        (0.0, 0.0, 0)
    );
}

/// A learnt tokenizer that changes a text before it splits it.
/// Its tokens are the bytes of the words, without the white space between them.
#[test]
fn white_space_that_a_byte_level_tokenizer_drops_is_counted() {
    let texts = ["the old dog sees  the moon", "the dog"].map(str::to_owned);
    let learned = Tokenizer::learn(&texts, 300).unwrap();
    let mut json: Value = serde_json::from_str(&learned.to_json().unwrap()).unwrap();
    let bytes = json["pre_tokenizer"].clone();
    let splits = json!({"type": "Split", "pattern": {"String": " "}, "behavior": "Removed", "invert": false});
    for dropping in [json!({"type": "WhitespaceSplit"}), splits] {
        json["pre_tokenizer"] = json!({"type": "Sequence", "pretokenizers": [dropping, bytes]});
        let tokenizer = read(&json).unwrap();
        let coverage = tokenizer.coverage(&texts, &tokenizer.encode_documents(&texts).unwrap()).unwrap();
        assert_eq!((coverage.dropped_space_bytes, coverage.lost_share()), (7, 0.0));
        let notes: Vec<String> = coverage.notes("it").collect();
        assert!(notes[0].contains("dropped white space, which is 21.21 % of its bytes"), "{notes:?}");
    }
}

fn normalizing(normalizer: &Value) -> Value {
    let texts = [SENTENCE.to_owned()];
    let learnt = Tokenizer::learn(&texts, 300).unwrap();
    let mut json: Value = serde_json::from_str(&learnt.to_json().unwrap()).unwrap();
    json["normalizer"] = normalizer.clone();
    json
}

/// 40 characters.
const SENTENCE: &str = "The Old dog’s café:  2½ ﬁsh\nand the moon";

/// The characters that change: `T` and `O`; `é`; `½` and `ﬁ`; the line break; `’`.
#[test]
fn text_that_a_normalizer_replaces_is_measured() {
    assert_eq!(SENTENCE.chars().count(), 40);
    let strip = json!({"type": "Sequence", "normalizers": [{"type": "NFD"}, {"type": "StripAccents"}]});
    let replace =
        |old: &str, new: &str| json!({"type": "Replace", "pattern": {"String": old}, "content": new});
    let cases = [
        (json!({"type": "Lowercase"}), 2, "The", "the"),
        (strip, 1, "café:", "cafe:"),
        (json!({"type": "NFKC"}), 2, "2½", "21⁄2"),
        (replace("\n", " "), 1, "ﬁsh\nand", "ﬁsh and"),
        (replace("’", "'"), 1, "dog’s", "dog's"),
        (replace("  ", " "), 1, "", ""),
    ];
    for (normalizer, changed, source, decoded) in cases {
        let found = read(&normalizing(&normalizer)).unwrap().round_trip(&[SENTENCE]).unwrap();
        assert_eq!((found.chars, found.changed_chars), (40, changed), "{normalizer}: {found:?}");
        let example = found.example.clone().unwrap();
        if !source.is_empty() {
            assert_eq!((example.0.as_str(), example.1.as_str()), (source, decoded));
        }
        assert!(found.note("the train split").unwrap().contains("of the train split come back otherwise"));
    }
}

/// A long document and many short ones are sampled alike. One character in 40 is changed.
#[test]
fn a_sample_of_a_large_text_gives_its_share() {
    let tokenizer = read(&normalizing(&json!({"type": "NFKC"}))).unwrap();
    let line = "the old dog sees the other dog and ½ fish\n";
    let share = 1.0 / 42.0;
    for texts in [vec![line.repeat(20_000)], vec![line.to_owned(); 20_000]] {
        let found = tokenizer.round_trip(&texts).unwrap();
        assert!((100_000..400_000).contains(&found.chars), "{}", found.chars);
        assert!((found.changed_share() / share - 1.0).abs() < 0.05, "{found:?}");
    }
}

/// SentencePiece marks the beginning of each word; WordPiece loses the white space around punctuation. Neither replaces
/// any text.
#[test]
fn tokenizers_that_only_mark_words_change_no_text() {
    let texts: Vec<String> =
        documents(usize::MAX, "").map(|text| format!("{text} and  the river\nthe moon")).collect();
    let metaspace =
        json!({"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": true});
    let mut sentence_piece = unigram();
    sentence_piece["model"]["vocab"].as_array_mut().unwrap().push(json!(["\n", -3.0]));
    sentence_piece["pre_tokenizer"] = metaspace.clone();
    sentence_piece["decoder"] = metaspace;
    let mut word_piece = word_level();
    word_piece["decoder"] = json!({"type": "WordPiece", "prefix": "##", "cleanup": true});
    let cases = [sentence_piece, llama(), word_piece, normalizing(&Value::Null)];
    for tokenizer in &cases {
        let found = read(tokenizer).unwrap().round_trip(&texts).unwrap();
        assert_eq!((found.changed_chars, found.note("it")), (0, None), "{tokenizer}: {found:?}");
    }
    // The same marks without a decoder that removes them.
    let mut without_decoder = cases[0].clone();
    without_decoder["decoder"] = Value::Null;
    assert!(read(&without_decoder).unwrap().round_trip(&texts).unwrap().changed_share() > 0.1);
}

/// Byte-fallback BPE with the normalizer and decoder of Llama 2, and single letters as tokens.
fn llama() -> Value {
    let letters: Vec<String> = ('a'..='z').map(String::from).collect();
    let bytes: Vec<String> = (0..256).map(|byte| format!("<0x{byte:02X}>")).collect();
    let pieces: Vec<&str> = letters.iter().chain(&bytes).map(String::as_str).chain(["▁"]).collect();
    let model = json!({"type": "BPE", "vocab": vocabulary(&pieces), "merges": [], "byte_fallback": true,
        "unk_token": "<unk>", "fuse_unk": true});
    let mut llama = tokenizer(&model, &Value::Null);
    let replace =
        |old: &str, new: &str| json!({"type": "Replace", "pattern": {"String": old}, "content": new});
    llama["normalizer"] = json!({"type": "Sequence", "normalizers": [
        {"type": "Prepend", "prepend": "▁"}, replace(" ", "▁")]});
    llama["decoder"] = json!({"type": "Sequence", "decoders": [replace("▁", " "), {"type": "ByteFallback"},
        {"type": "Fuse"}, {"type": "Strip", "content": " ", "start": 1, "stop": 0}]});
    llama
}

#[test]
fn changed_text_is_told_and_recorded() {
    let dir = tempfile::tempdir().unwrap();
    let capitals = documents(usize::MAX, "").map(|text| text.replace("the", "The"));
    let file = experiment(dir.path(), &normalizing(&json!({"type": "Lowercase"})), capitals);
    let (checked, _) = said(&["check", path(&file)]);
    let checked = checked.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(checked.contains("of the heldout split come back otherwise"), "{checked}");
    assert!(checked.contains("(first: \"The\" as \"the\")"), "{checked}");
    let out = dir.path().join("out");
    let (_, log) = said(&["run", path(&file), "--out", path(&out)]);
    assert!(log.contains("come back otherwise"), "{log}");
    let provenance: Value = serde_json::from_slice(&fs::read(out.join("provenance.json")).unwrap()).unwrap();
    let train = &provenance["coverage"]["train"]["round_trip"];
    assert_eq!(train["example"], json!(["The", "the"]));
    assert!(train["changed_chars"].as_u64() > Some(100), "{train}");
    let text = dir.path().join("text.txt");
    fs::write(&text, "The old Dog").unwrap();
    let model = out.join("seed-1/gen-000/model");
    let (scored, log) = said(&["score", path(&model), path(&text), "--format", "json"]);
    assert!(
        log.contains("18.18 % of the characters") && scored.contains("\"changed_share\": 0.18"),
        "{scored}{log}"
    );
}

/// The command adds a word that the tokenizer does not know to each answer of six words or less.
#[test]
fn unknown_text_in_answers_of_a_command_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let file = experiment(dir.path(), &word_level(), documents(usize::MAX, ""));
    let command = r#"sed -u 's/"}$/ zebra"}/'"#;
    let external =
        format!("[synthesis]\nmethod = \"external\"\ncommand = [\"sh\", \"-c\", {command:?}]\n[[arm]]");
    let text = fs::read_to_string(&file).unwrap().replace("[[arm]]", &external);
    fs::write(&file, text).unwrap();
    let (_, log) = said(&["run", path(&file), "--out", path(&dir.path().join("out"))]);
    let log = log.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(log.contains("answers 0 to ") && log.contains("(first: \"zebra\")"), "{log}");
    assert!(log.contains("14.29 % of its tokens are the unknown token"), "{log}");
}

/// The patterns have exponentially many ways to match a long word, none of which ends at the end of a line.
#[test]
fn a_pattern_that_backtracks_without_end_is_an_error() {
    for (pattern, text) in [("(a|aa)+$", "a"), ("(x+x+)+$", "x"), ("([a-z]+ ?)+$", "word ")] {
        let mut slow = letters();
        slow["pre_tokenizer"] =
            json!({"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": false});
        let text = text.repeat(100_000 / text.len()) + "!";
        let error = read(&slow).unwrap().encode(&text).unwrap_err();
        assert!(matches!(error, TokenizerError::Backtracking { .. }), "{error:?}");
    }
}

fn read(json: &Value) -> Result<Tokenizer, TokenizerError> {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("tokenizer.json");
    fs::write(&file, json.to_string()).unwrap();
    Tokenizer::from_file(&file)
}

#[test]
fn an_id_far_from_the_number_of_tokens_is_refused() {
    for id in [3_000_000_000_u64, 4_294_967_295, 4_294_967_296, 90_000] {
        let mut huge = word_level();
        huge["model"]["vocab"]["dog"] = json!(id);
        let error = read(&huge).err().unwrap().to_string();
        assert!(error.contains(&format!("\"dog\" has the id {id}")), "{error}");
        let mut huge = word_level();
        huge["added_tokens"][0]["id"] = json!(id);
        assert!(read(&huge).err().unwrap().to_string().contains("\"</s>\" has the id"));
    }
}

#[test]
fn two_tokens_with_the_same_id_are_refused() {
    let mut shared = word_level();
    shared["model"]["vocab"]["dog"] = json!(3);
    let error = read(&shared).err().unwrap().to_string();
    assert!(error.contains("\"dog\" and \"old\" both have the id 3"), "{error}");
    // The crate gives an added token the size of the vocabulary as its id. If the ids have a gap, another token can
    // have this id.
    let mut shared = word_level();
    shared["model"]["vocab"].as_object_mut().unwrap().remove("old");
    shared["added_tokens"].as_array_mut().unwrap().push(special(20, "<s>"));
    let error = read(&shared).err().unwrap().to_string();
    assert!(error.contains("both have the id 9"), "{error}");
}

/// The folder of a model whose tokenizer names its end token as no other does.
#[test]
fn the_end_token_is_found_in_the_config_beside_the_tokenizer() {
    let dir = tempfile::tempdir().unwrap();
    let mut odd = word_level();
    odd["added_tokens"] = json!([special(4, "dog")]);
    odd["model"]["vocab"].as_object_mut().unwrap().remove("</s>");
    let file = dir.path().join("tokenizer.json");
    fs::write(&file, odd.to_string()).unwrap();
    assert!(matches!(Tokenizer::from_file(&file), Err(TokenizerError::NoEndToken { .. })));
    fs::write(dir.path().join("config.json"), r#"{"eos_token_id": [4, 5]}"#).unwrap();
    assert_eq!(Tokenizer::from_file(&file).unwrap().special().end, 4);
}

/// The map claims a trie of 4 GiB; the crate reserves twice that.
#[test]
fn start_and_end_are_those_of_the_settings_then_of_the_files_beside_then_the_usual_ones() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("tokenizer.json");
    fs::write(&file, word_level().to_string()).unwrap();
    let found = |start: Option<&str>, end: Option<&str>| {
        let records = Tokenizer::from_file_with(&file, start, end).unwrap().special_records();
        records.map(|record| (record.token, record.source))
    };
    let pair = |token: &str, source: &str| (token.to_owned(), source.to_owned());
    assert_eq!(found(None, None), [pair("</s>", "the end token"), pair("</s>", "its usual name")]);

    let id = |name: &str| Tokenizer::from_file(&file).unwrap().encode(name).unwrap()[0];
    let (old, dog, moon) = (id("old"), id("dog"), id("moon"));
    let write = |name: &str, content: Value| fs::write(dir.path().join(name), content.to_string()).unwrap();
    write("tokenizer_config.json", json!({ "bos_token": "old", "eos_token": { "content": "moon" } }));
    let of = |key: &str, file: &str| format!("{key} of {file}");
    let in_tokenizer = [of("bos_token", "tokenizer_config.json"), of("eos_token", "tokenizer_config.json")];
    assert_eq!(found(None, None), [pair("old", &in_tokenizer[0]), pair("moon", &in_tokenizer[1])]);
    write("generation_config.json", json!({ "eos_token_id": [dog, moon] }));
    let in_generation = of("eos_token_id", "generation_config.json");
    assert_eq!(found(None, None), [pair("old", &in_tokenizer[0]), pair("dog", &in_generation)]);
    // Ids that the tokenizer does not have are those of another model.
    write("config.json", json!({ "bos_token_id": dog, "eos_token_id": 5000 }));
    let in_config = of("bos_token_id", "config.json");
    assert_eq!(found(None, None), [pair("dog", &in_config), pair("dog", &in_generation)]);
    write("config.json", json!({ "bos_token_id": dog, "eos_token_id": old }));
    assert_eq!(found(None, Some("moon")), [pair("dog", &in_config), pair("moon", "tokenizer.end")]);
    assert_eq!(found(Some("a"), None)[0], pair("a", "tokenizer.start"));
    // A file that is damaged is an error where it is needed.
    let refused = || Tokenizer::from_file_with(&file, None, None).err().unwrap().to_string();
    write("config.json", json!({ "bos_token_id": dog, "eos_token_id": "old" }));
    assert!(
        refused().contains("eos_token_id of config.json is \"old\", which is no token id; correct it"),
        "{}",
        refused()
    );
    fs::write(dir.path().join("config.json"), "{").unwrap();
    assert!(
        refused().contains("config.json is no JSON") && refused().contains("tokenizer.end"),
        "{}",
        refused()
    );
    assert!(Tokenizer::from_file_with(&file, Some("a"), Some("moon")).is_ok());
    fs::remove_file(dir.path().join("config.json")).unwrap();
    let unknown = Tokenizer::from_file_with(&file, Some("<start>"), None).err().unwrap().to_string();
    assert!(
        unknown.starts_with("tokenizer.start: ") && unknown.ends_with("has no token \"<start>\""),
        "{unknown}"
    );
}

#[test]
fn the_start_and_the_end_token_are_told_and_recorded() {
    let dir = tempfile::tempdir().unwrap();
    let file = experiment(dir.path(), &word_level(), documents(usize::MAX, ""));
    let with_end = ["--set", "tokenizer.end=moon"];
    let (checked, _) = said(&[&["check", path(&file)], &with_end[..]].concat());
    assert!(checked.contains("documents start with token 9 \"moon\" (the end token)"), "{checked}");
    assert!(checked.contains("end with 9 \"moon\" (tokenizer.end)"), "{checked}");
    let out = dir.path().join("out");
    said(&[&["run", path(&file), "--out", path(&out)], &with_end[..]].concat());
    let provenance: Value = serde_json::from_slice(&fs::read(out.join("provenance.json")).unwrap()).unwrap();
    assert_eq!(provenance["special_tokens"][1], json!({"id": 9, "token": "moon", "source": "tokenizer.end"}));
    let text = dir.path().join("text.txt");
    fs::write(&text, "the old dog").unwrap();
    let scored = json(&["score", path(&out.join("seed-1/gen-000/model")), path(&text), "--format", "json"]);
    assert_eq!((&scored["start_token"], &scored["end_token"]), (&json!(9), &json!(9)));
    assert!(refused(&["check", path(&file), "--set", "tokenizer.end=mon"]).contains("has no token \"mon\""));
    fs::write(&file, fs::read_to_string(&file).unwrap().replace("tokenizer = ", "# tokenizer = ")).unwrap();
    assert!(refused(&["check", path(&file), "--set", "tokenizer.end=moon"]).contains("give its path too"));
}

#[test]
fn a_map_of_characters_that_claims_more_than_it_has_is_refused() {
    let claim = json!({"type": "Precompiled", "precompiled_charsmap": "/////wAAAAA="});
    for normalizer in [claim.clone(), json!({"type": "Sequence", "normalizers": [{"type": "NFC"}, claim]})] {
        let mut damaged = letters();
        damaged["normalizer"] = normalizer;
        let error = read(&damaged).err().unwrap();
        assert!(genloss::progress::error_chain(&error).contains("map of characters is cut off"), "{error}");
    }
    // The size of an empty trie, and nothing else.
    let mut sound = letters();
    sound["normalizer"] = json!({"type": "Precompiled", "precompiled_charsmap": "AAAAAAA="});
    assert!(
        !matches!(read(&sound), Err(error) if genloss::progress::error_chain(&error).contains("cut off"))
    );
}

/// Files on which the tokenizers crate panics or uses all memory.
#[test]
fn a_tokenizer_that_makes_texts_much_longer_is_refused() {
    let replace =
        |pattern: Value, content: &str| json!({"type": "Replace", "pattern": pattern, "content": content});
    let letters_by = |content: &str| replace(json!({"Regex": "[a-z]"}), content);
    let sequence = |steps: &[Value]| json!({"type": "Sequence", "normalizers": steps});
    let long = "a".repeat(1000);
    let mut tokenizer = letters();
    for normalizer in [letters_by(&long), sequence(&[letters_by("aaaaaaaaa"), letters_by("bbbbbbbbb")])] {
        tokenizer["normalizer"] = normalizer;
        let error = read(&tokenizer).err().unwrap().to_string();
        assert!(error.contains("its normalizer can make a text more than 64 times"), "{error}");
    }
    tokenizer["normalizer"] =
        sequence(&[replace(json!({"String": " "}), "▁"), replace(json!({"String": &long}), "a")]);
    assert!(read(&tokenizer).is_ok());
    tokenizer["decoder"] = replace(json!({"String": "a"}), &long);
    assert!(read(&tokenizer).err().unwrap().to_string().contains("its decoder can make"));
}

#[test]
fn damage_inside_a_tokenizer_is_an_error_and_no_panic() {
    let damages: [(&str, Value); 5] = [
        ("/model/vocab", json!({})),
        ("/model/merges", json!([["a"], ["b", "c"]])),
        (
            "/pre_tokenizer",
            json!({"type": "Split", "pattern": {"Regex": "(?<"}, "behavior": "Removed", "invert": false}),
        ),
        ("/normalizer", json!({"type": "Precompiled", "precompiled_charsmap": "AAAA"})),
        ("/model/continuing_subword_prefix", json!("##########")),
    ];
    for (pointer, value) in damages {
        let mut damaged = letters();
        damaged["model"]["merges"] = json!([["a", "b"]]);
        damaged["model"]["vocab"]["ab"] = json!(28);
        let (parent, key) = pointer.rsplit_once('/').unwrap();
        damaged.pointer_mut(parent).unwrap()[key] = value;
        // Either the file is refused, or it is sound and encodes.
        if let Ok(tokenizer) = read(&damaged) {
            let _ = tokenizer.encode("ab and more");
        }
    }
}
