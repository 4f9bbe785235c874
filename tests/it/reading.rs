//! Files as users have them: compressed, as JSON lists, with separators, with copies, and with unusual names.

use crate::text_folder::{Folder, Loaded};
use genloss::config;
use genloss::corpus::DocumentBoundary;
use genloss::lineage::{self, PreparedText};
use std::io::Write;
use std::path::Path;

/// All texts, sorted.
fn texts(text: &Loaded) -> Vec<&str> {
    let splits = [&text.train, &text.heldout, &text.reference];
    let mut texts: Vec<&str> = splits.into_iter().flatten().map(String::as_str).collect();
    texts.sort_unstable();
    texts
}

/// Sentences, no two of which are the same.
fn sentences(count: usize) -> Vec<String> {
    let nouns = ["fox", "moon", "baker", "sailor", "tailor", "lamp", "river"];
    let verbs = ["mended", "lost", "carried", "followed", "hid"];
    (0..count)
        .map(|i| format!("The {} {} coin {i} by the {}.", nouns[i % 7], verbs[i % 5], nouns[(i / 7) % 7]))
        .collect()
}

fn jsonl(texts: &[String]) -> String {
    texts.iter().map(|text| serde_json::json!({ "text": text }).to_string() + "\n").collect()
}

fn prepare(source: &Path, settings: &str) -> Result<PreparedText, lineage::RunError> {
    let file = format!(
        "name = \"a\"\nseeds = [1]\ngenerations = 1\n\
         corpus = {{ source = [{source:?}], train_tokens = 1000, heldout_tokens = 400, reference_tokens = 800{settings} }}\n\
         tokenizer = {{ vocab_size = 300 }}\nmodel = {{ kind = \"ngram\", order = 3 }}\n\
         [[arm]]\nname = \"replace\"\nmixture = \"replace\"\n"
    );
    let experiment = config::parse(&file, "a.toml", &[]).expect("an experiment");
    lineage::prepare(&experiment)
}

fn notes(text: &PreparedText) -> String {
    text.record.notes().join("\n")
}

// Copies.

/// One text 60, 200 and 3000 times among 500 others: whichever split its hash chooses, every split is the one of the
/// others with at most one document more.
#[test]
fn copies_of_a_text_change_the_splits_as_one_document_does() {
    let others = sentences(500);
    let folder = Folder::new().with("clean.jsonl", jsonl(&others));
    let clean = folder.load(&["clean.jsonl"]).expect("reads");
    for (notice, copies) in [("notice 10959", 60), ("notice 3", 200), ("notice 77", 3000)] {
        let mut repeated = others.clone();
        repeated.extend(std::iter::repeat_n(notice.to_owned(), copies));
        let folder = Folder::new().with("repeated.jsonl", jsonl(&repeated));
        let text = folder.load(&["repeated.jsonl"]).expect("reads");
        for (split, clean) in [
            (&text.train, &clean.train),
            (&text.heldout, &clean.heldout),
            (&text.reference, &clean.reference),
        ] {
            let without: Vec<&String> = split.iter().filter(|text| *text != notice).collect();
            assert_eq!(without, clean.iter().collect::<Vec<_>>());
            assert!(split.len() <= clean.len() + 1);
        }
        let record = &text.record;
        let of_all = (record.documents, record.distinct, record.most_copies);
        assert_eq!(of_all, (500 + copies as u64, 501, copies as u64));
        assert_eq!(record.files[0].copies, copies as u64 - 1);
        assert!(record.notes()[0].contains(&format!("({copies} of {})", 500 + copies)));
    }
    assert!(clean.record.notes().is_empty());
}

#[test]
fn rare_copies_are_counted_without_a_note_and_those_across_files_count_in_the_later_file() {
    let others = sentences(100);
    let folder = Folder::new()
        .with("a.jsonl", jsonl(&others))
        .with("b.jsonl", jsonl(&others[..7]))
        .with("c.jsonl", jsonl(&["new".to_owned(), "new".to_owned(), " new".to_owned()]));
    let record = folder.record(&["c.jsonl", "b.jsonl", "a.jsonl"]);
    let copies: Vec<u64> = record.files.iter().map(|file| file.copies).collect();
    assert_eq!(copies, [0, 7, 1]);
    assert_eq!((record.documents, record.distinct, record.most_copies), (110, 102, 2));
    assert_eq!(record.notes(), Vec::<String>::new());
}

/// Each of 400 documents of 40 words is in the file again with its last word changed.
#[test]
fn near_copies_of_training_text_are_counted_in_the_other_splits_and_noted() {
    let texts: Vec<String> = sentences(2000).chunks(5).map(|part| part.join(" ")).collect();
    let changed: Vec<String> = texts.iter().map(|text| format!("{text} Indeed!")).collect();
    let folder =
        Folder::new().with("a.jsonl", jsonl(&texts)).with("b.jsonl", jsonl(&[texts, changed].concat()));
    let alone = prepare(&folder.path("a.jsonl"), "").expect("prepares");
    assert_eq!(alone.record.splits["heldout"].near_copies, Some(0));
    assert!(!notes(&alone).contains("nearly the same"));
    let both = prepare(&folder.path("b.jsonl"), "").expect("prepares");
    let split = &both.record.splits["reference"];
    // A document's near copy is in the train split with probability 0.6.
    assert!(split.near_copies.expect("from files") * 4 > split.documents, "{split:?}");
    assert!(notes(&both).contains("of the reference split are nearly the same as one of the train split"));
}

/// As above, but the copies differ from the texts in case and spacing only.
#[test]
fn near_copies_in_other_case_and_spacing_are_counted() {
    let texts: Vec<String> = sentences(2000).chunks(5).map(|part| part.join(" ")).collect();
    let changes: [fn(&String) -> String; 3] = [
        |text| text.to_uppercase(),
        |text| text.replace(' ', "  \n"),
        |text| text.replace('.', " .").to_lowercase(),
    ];
    let (mut near, mut documents) = (0, 0);
    for change in changes {
        let copies: Vec<String> = texts.iter().map(change).collect();
        let folder = Folder::new().with("a.jsonl", jsonl(&[texts.clone(), copies].concat()));
        let prepared = prepare(&folder.path("a.jsonl"), "").expect("prepares");
        for split in ["heldout", "reference"].map(|name| &prepared.record.splits[name]) {
            assert!(split.near_copies > Some(0), "{split:?}");
            near += split.near_copies.unwrap_or(0);
            documents += split.documents;
        }
    }
    // As above, but of few documents.
    assert!(near * 4 > documents, "{near} of {documents}");
}

#[test]
fn a_source_without_a_name_is_refused_in_those_words() {
    for source in ["''", "' '", "['a.txt', '']"] {
        let file = format!(
            "name = \"a\"\nseeds = [1]\ngenerations = 1\n\
             corpus = {{ source = {source}, train_tokens = 1000, heldout_tokens = 400, reference_tokens = 800 }}\n\
             tokenizer = {{ vocab_size = 300 }}\nmodel = {{ kind = \"ngram\", order = 3 }}\n\
             [[arm]]\nname = \"replace\"\nmixture = \"replace\"\n"
        );
        let error = config::parse(&file, "a.toml", &[]).expect_err("an error");
        let error = genloss::progress::error_chain(&error);
        assert!(error.contains("source") && error.contains("names a file by an empty text"), "{error}");
    }
}

#[test]
fn a_split_that_consists_mostly_of_one_document_is_noted() {
    let mut texts = sentences(400);
    // The hash of this text begins with a byte that puts it into the held-out split.
    let long = (0..).map(|i| format!("long {i} {}", "and so on ".repeat(20)));
    let heldout = |text: &String| blake3::hash(text.as_bytes()).as_bytes()[0] < 20;
    texts.push(long.into_iter().find(heldout).expect("there are many"));
    let folder = Folder::new().with("a.jsonl", jsonl(&texts));
    let text = prepare(&folder.path("a.jsonl"), "").expect("prepares");
    assert!(text.record.splits["train"].largest_share < 0.05);
    assert!(notes(&text).contains("one document makes up"), "{}", notes(&text));
}

// Names and patterns.

#[test]
fn hidden_files_and_folders_are_matched_only_by_a_pattern_with_the_dot() {
    let folder = Folder::new()
        .with("data/a.txt", "a")
        .with("data/.b.txt", "b")
        .with("data/.ipynb_checkpoints/a-checkpoint.txt", "c")
        .with("data/deep/er/d.txt", "d")
        .with("data/deep/.git/e.txt", "e");
    for (pattern, expected) in [
        ("data/*.txt", vec!["data/a.txt"]),
        ("data/?b.txt", vec![]),
        ("data/.*.txt", vec!["data/.b.txt"]),
        ("data/*/*.txt", vec![]),
        ("data/.*/*.txt", vec!["data/.ipynb_checkpoints/a-checkpoint.txt"]),
        ("data/**/*.txt", vec!["data/a.txt", "data/deep/er/d.txt"]),
        ("data/**", vec!["data/a.txt", "data/deep/er/d.txt"]),
        ("*/deep/.git/*", vec!["data/deep/.git/e.txt"]),
        ("data/.b.txt", vec!["data/.b.txt"]),
    ] {
        if expected.is_empty() {
            assert!(folder.error(&[pattern]).contains("no file matches"), "{pattern}");
        } else {
            assert_eq!(folder.names(&[pattern]), expected, "{pattern}");
        }
    }
}

#[test]
fn patterns_below_a_folder_with_brackets_in_its_name_are_followed() {
    let folder = Folder::new()
        .with("run [2]/a.txt", "a")
        .with("run [2]/part[1]/b.txt", "b")
        .with("part1/c.txt", "c")
        .with("run [2]/what?/d.txt", "d");
    assert_eq!(folder.names(&["run [2]/*.txt"]), ["run [2]/a.txt"]);
    assert_eq!(folder.names(&["run [2]/part[1]/*.txt"]), ["run [2]/part[1]/b.txt"]);
    assert_eq!(folder.names(&["*/what?/*"]), ["run [2]/what?/d.txt"]);
    assert_eq!(folder.names(&["part[12]/*.txt"]), ["part1/c.txt"]);
}

#[cfg(unix)]
#[test]
fn a_file_with_two_names_counts_once_and_links_to_folders_lead_to_no_loop() {
    let folder = Folder::new().with("data/a.txt", "a").with("data/b.txt", "b");
    std::os::unix::fs::symlink(folder.path("data/a.txt"), folder.path("data/c.txt")).expect("links");
    std::os::unix::fs::symlink(folder.path("data"), folder.path("data/again")).expect("links");
    assert_eq!(folder.names(&["data/*.txt"]), ["data/a.txt", "data/b.txt"]);
    assert_eq!(folder.names(&["data/a.txt", "./data/a.txt", "data/../data/b.txt"]).len(), 2);
    assert_eq!(folder.names(&["data/**/*.txt", "data/again/*.txt"]), ["data/a.txt", "data/b.txt"]);
}

#[cfg(unix)]
#[test]
fn a_name_that_is_not_utf_8_and_a_pipe_are_errors() {
    use std::os::unix::ffi::OsStrExt;
    let folder = Folder::new().with("data/a.txt", "a");
    let name = std::ffi::OsStr::from_bytes(b"b\xff.txt");
    std::fs::write(folder.path("data").join(name), "b").expect("writes");
    assert!(folder.error(&["data/*.txt"]).contains("b\\xFF.txt\": the name is not valid UTF-8"));
    assert_eq!(folder.names(&["data/a*"]), ["data/a.txt"]);
    let made = std::process::Command::new("mkfifo").arg(folder.path("pipe.txt")).status();
    if made.is_ok_and(|status| status.success()) {
        assert_eq!(
            folder.error(&["pipe.txt"]),
            "DIR/pipe.txt is not a regular file; write the text to a file first"
        );
    }
}

#[test]
fn the_record_lists_every_file_with_its_hash_and_what_was_left_out() {
    let json = "{\"text\": \"one\"}\n{\"text\": null}\n{\"text\": \" \\n\"}\n\n{\"text\": \"one\"}\n{\"text\": \"two\"}\n";
    let folder = Folder::new().with("a.jsonl", json).with("b.txt", "three\n\nfour\n");
    let files = folder.record(&["*"]).files;
    let counts = |file: &genloss::corpus::FileRecord| [file.documents, file.copies, file.blanks, file.nulls];
    assert_eq!(counts(&files[0]), [3, 1, 1, 1]);
    assert_eq!(counts(&files[1]), [2, 0, 1, 0]);
    assert_eq!(files[0].blake3, blake3::hash(json.as_bytes()).to_hex().to_string());
}

// Boundaries of documents.

#[test]
fn text_between_separators_is_one_document() {
    let marker = "<|endoftext|>";
    let stories = ["First story.\n\nIts second part.", "Second story.", "Third.\n\n\nEnd."];
    for text in [
        stories.join(&format!("\n{marker}\n")),
        stories.join(marker) + marker + "\n",
        stories.join(&format!("\r\n\r\n{marker}\r\n\r\n")).replace("\n\n", "\r\n\r\n").replace("\r\r", "\r"),
    ] {
        let folder = Folder::new().with("a.txt", text);
        let text =
            folder.load_with(&["a.txt"], &format!("split = {{ separator = \"{marker}\" }}")).expect("reads");
        assert_eq!(texts(&text), stories);
        assert_eq!(text.record.marker, None);
    }
}

#[test]
fn a_separator_that_separates_nothing_is_noted() {
    let notes = |folder: &Folder, separator: &str| {
        let split = format!("split = {{ separator = \"{separator}\" }}");
        folder.load_with(&["*.txt"], &split).expect("reads").record.notes().join("\n")
    };
    let folder = Folder::new();
    for (index, pair) in sentences(60).chunks(2).enumerate() {
        std::fs::write(folder.path(&format!("{index}.txt")), pair.join("\r\n---\r\n")).unwrap();
    }
    assert_eq!(notes(&folder, "\\n---\\n"), "");
    assert!(
        notes(&folder, "<|end|>").contains("no .txt file has several documents with \"<|end|>\" between")
    );
}

#[test]
fn an_empty_separator_and_other_tables_are_refused() {
    let refused = |split: &str| {
        let file = format!(
            "name = \"a\"\nseeds = [1]\ngenerations = 1\ncorpus = {{ source = [\"a.txt\"], train_tokens = 10, \
             heldout_tokens = 10, reference_tokens = 10, split = {split} }}\ntokenizer = {{ vocab_size = 300 }}\n\
             model = {{ kind = \"ngram\", order = 3 }}\n[[arm]]\nname = \"b\"\nmixture = \"replace\"\n"
        );
        config::parse(&file, "a.toml", &[]).expect_err("refused").to_string()
    };
    assert!(refused("{ separator = \"\" }").contains("corpus.split.separator: is empty"));
    for line_end in ["\\r\\n---\\r\\n", "\\u0085", "\\u2028"] {
        let error = refused(&format!("{{ separator = \"{line_end}\" }}"));
        assert!(error.contains("so write \\n"), "{error}");
    }
    let error = refused("{ seperator = \"x\" }");
    assert!(error.contains("\"separator\""), "{error}");
    let error = refused("\"lines\"");
    assert!(error.contains("\"line\""), "{error}");
}

#[test]
fn end_of_text_markers_inside_documents_are_counted_and_noted() {
    for marker in ["<|endoftext|>", "</s>", "<|eot_id|>"] {
        let mut texts = sentences(200);
        texts.iter_mut().step_by(2).for_each(|text| *text = format!("{text}\n{marker}\nThe next."));
        let text = Folder::new().with("a.jsonl", jsonl(&texts)).load(&["a.jsonl"]).expect("reads");
        let found = text.record.marker.as_ref().expect("a marker");
        assert_eq!((found.marker.as_str(), found.documents), (marker, 100));
        assert!(
            text.record.notes()[0]
                .contains(&format!("100 of 200 documents contain the end-of-text marker {marker}"))
        );
    }
    let mut texts = sentences(200);
    texts.push("How does <|endoftext|> work?".to_owned());
    let record = Folder::new().with("a.jsonl", jsonl(&texts)).record(&["a.jsonl"]);
    assert_eq!(record.marker.as_ref().map(|marker| marker.documents), Some(1));
    assert!(record.notes().is_empty());
}

#[test]
fn every_kind_of_line_end_gives_the_same_documents() {
    let paragraphs: Vec<String> = sentences(300).chunks(3).map(|part| part.join("\n")).collect();
    let plain = paragraphs.join("\n\n") + "\n";
    let folder = Folder::new().with("lf.txt", &plain);
    let expected = folder.load_with(&["lf.txt"], "split = \"paragraph\"").expect("reads");
    assert_eq!(expected.record.documents, 100);
    for (name, end) in [("cr", "\r"), ("crlf", "\r\n"), ("ls", "\u{2028}"), ("nel", "\u{85}")] {
        let folder =
            Folder::new().with("a.txt", plain.replace('\n', end)).with("b.txt", format!("\u{FEFF}{plain}"));
        for file in ["a.txt", "b.txt"] {
            let text = folder.load_with(&[file], "split = \"paragraph\"").expect("reads");
            assert_eq!(text.hashes, expected.hashes, "{name} {file}");
        }
    }
    let folder = Folder::new().with("ps.txt", paragraphs.join("\u{2029}"));
    let text = folder.load_with(&["ps.txt"], "split = \"paragraph\"").expect("reads");
    assert_eq!(text.hashes, expected.hashes);
}

#[test]
fn carriage_returns_also_separate_json_lines() {
    let texts = sentences(20);
    let unix = Folder::new().with("a.jsonl", jsonl(&texts)).load(&["a.jsonl"]).expect("reads");
    for end in ["\r", "\r\n", "\r\r\n"] {
        let text = Folder::new()
            .with("a.jsonl", jsonl(&texts).replace('\n', end))
            .load(&["a.jsonl"])
            .expect("reads");
        assert_eq!(text.hashes, unix.hashes, "{end:?}");
    }
}

#[test]
fn too_few_documents_are_said_in_those_words_with_the_setting_that_makes_more() {
    let one_line = sentences(300).join(" ");
    for (name, text) in
        [("a.txt", one_line.clone()), ("b.txt", format!("{one_line}\n{one_line} And so on.\n"))]
    {
        let folder = Folder::new().with(name, text);
        let error = prepare(&folder.path(name), "").err().expect("too few").to_string();
        assert!(
            error.starts_with("corpus: too few documents to be split by hash (1 distinct text):"),
            "{error}"
        );
        assert!(error.contains("corpus.split (now \"paragraph\"; try \"line\" or { separator"), "{error}");
    }
    let folder = Folder::new().with("a.jsonl", jsonl(&sentences(3)));
    let error = prepare(&folder.path("a.jsonl"), "").err().expect("too few").to_string();
    assert!(error.contains("(3 distinct texts)"), "{error}");
}

// JSON.

#[test]
fn lists_of_objects_are_read_however_they_are_written() {
    let texts_in = sentences(40);
    let objects: Vec<serde_json::Value> =
        texts_in.iter().map(|text| serde_json::json!({ "id": 7, "text": text })).collect();
    let expected = Folder::new().with("a.jsonl", jsonl(&texts_in)).load(&["a.jsonl"]).expect("reads");
    let pretty = |value: &serde_json::Value| serde_json::to_string_pretty(value).expect("JSON");
    let list = serde_json::json!(objects);
    let data = serde_json::json!({ "version": "1.1", "tags": ["a", "b"], "data": objects });
    let spread: String = objects.iter().map(|object| pretty(object) + "\n").collect();
    for (name, json) in [
        ("pretty list", pretty(&list)),
        ("list on one line", list.to_string()),
        ("list after a byte order mark and blank lines", format!("\u{FEFF}\n\n  {list}\n\n")),
        ("pretty object with a list", pretty(&data)),
        ("object with a list on one line", data.to_string() + "\n"),
        ("objects that span lines", spread),
    ] {
        for file in ["a.json", "a.jsonl"] {
            let text = Folder::new().with(file, &json).load(&[file]).expect(name);
            assert_eq!(text.hashes, expected.hashes, "{name}");
        }
    }
}

#[test]
fn other_json_is_refused_with_a_command_that_makes_json_lines() {
    for (json, expected) in [
        ("[\"one\", \"two\"]", "jq -c '.[] | {\"text\": .}' DIR/a.json > DIR/a.new.jsonl"),
        ("[[{\"text\": \"one\"}]]", "jq -c '.[][]' DIR/a.json > DIR/a.new.jsonl"),
        (
            "{\"train\": [{\"text\": \"one\"}], \"test\": [{\"text\": \"two\"}]}",
            "one object with 2 lists of objects; turn one into JSON lines with `jq -c '.[\"train\"][]' DIR/a.json",
        ),
        ("{\"a\": [{\"text\": \"one\"}], \"a\": [{\"text\": \"two\"}]}", "item 1: several fields \"a\""),
        ("[{\"text\": \"one\"}, {\"body\": \"two\"}]", "item 2: no field \"text\" (fields: body);"),
        ("[{\"text\": \"one\"}, {\"text\": \"two\"}", "a.json: not valid JSON; it may have been cut off"),
        ("{\n\"title\": \"one\"\n}", "item 1: no field \"text\" (fields: title);"),
    ] {
        let error = Folder::new().with("a.json", json).error(&["a.json"]);
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn bad_lines_are_left_out_and_counted_up_to_the_number_that_is_allowed() {
    let mut lines: Vec<String> = jsonl(&sentences(1000)).lines().map(str::to_owned).collect();
    lines[499] = "{\"text\": \"cut o".to_owned();
    lines[700] = "[1, 2]".to_owned();
    lines[800] = "{\"body\": \"no text\"}".to_owned();
    let folder = Folder::new()
        .with("a.jsonl", lines.join("\n"))
        .with("b.jsonl", b"{\"text\": \"good\"}\n{\"text\": \"\xff\"}\n");
    assert!(folder.error(&["a.jsonl"]).contains("a.jsonl, line 500: not valid JSON"));
    assert!(folder.error(&["a.jsonl"]).contains("corpus.skip_bad = N"));
    assert!(folder.error_with(&["a.jsonl"], "skip_bad = 2").contains("line 801: no field \"text\""));
    assert_eq!(
        folder.error_with(&["*.jsonl"], "skip_bad = 3"),
        "corpus: 4 bad lines in all files, but corpus.skip_bad allows 3; raise it, or mend the files"
    );
    let record = folder.load_with(&["*.jsonl"], "skip_bad = 4").expect("reads").record;
    assert_eq!(record.files.iter().map(|file| file.bad_lines).collect::<Vec<_>>(), [3, 1]);
    assert_eq!(record.documents, 998);
    assert!(record.notes()[0].starts_with("4 bad lines left out"));
}

// Packed files.

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).expect("in memory");
    encoder.finish().expect("in memory")
}

/// Zstandard with a window of 2^`window_log` bytes in the header.
fn zstandard(bytes: &[u8], window_log: u32) -> Vec<u8> {
    let mut encoder = zstd::Encoder::new(Vec::new(), 1).expect("an encoder");
    encoder.window_log(window_log).expect("a window");
    encoder.include_contentsize(false).expect("a header without the size");
    encoder.write_all(bytes).expect("in memory");
    encoder.finish().expect("in memory")
}

#[test]
fn zero_bytes_after_gzip_and_large_windows_are_read() {
    let json = jsonl(&sentences(50));
    let whole = gzip(json.as_bytes());
    let (first, second) = json.split_at(json.len() / 2);
    for packed in [
        whole.clone(),
        [&whole[..], &[0; 50]].concat(),
        [&whole[..], &[0; 200_000]].concat(),
        [gzip(first.as_bytes()), vec![0; 512], gzip(second.as_bytes()), vec![0; 512]].concat(),
    ] {
        let record = Folder::new().with("a.jsonl.gz", packed).record(&["a.jsonl.gz"]);
        assert_eq!(record.distinct, 50);
    }
    for window_log in [20, 27, 30] {
        let folder = Folder::new().with("a.jsonl.zst", zstandard(json.as_bytes(), window_log));
        assert_eq!(folder.record(&["a.jsonl.zst"]).distinct, 50, "{window_log}");
    }
}

#[test]
fn bytes_after_packed_data_are_refused_with_a_way_to_the_text() {
    let json = jsonl(&sentences(50));
    for tail in [&b"junk"[..], b"\0\0signature", b"\n"] {
        let packed = [&gzip(json.as_bytes())[..], tail].concat();
        assert_eq!(
            Folder::new().with("a.jsonl.gz", packed).error(&["a.jsonl.gz"]),
            "DIR/a.jsonl.gz: bytes that are not gzip data follow the gzip data; if the text before them is whole, unpack \
             it with `gzip -dc DIR/a.jsonl.gz > NAME` and read NAME"
        );
    }
    let packed = [&zstandard(json.as_bytes(), 20)[..], b"junk"].concat();
    let error = Folder::new().with("a.jsonl.zst", packed).error(&["a.jsonl.zst"]);
    assert!(error.contains("not Zstandard data follow the Zstandard data"), "{error}");
}

#[test]
fn pointers_and_misnamed_files_are_called_what_they_are() {
    let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a2146\nsize 12345\n";
    for name in ["a.jsonl", "a.txt", "a.jsonl.gz", "a.txt.zst", "a.parquet"] {
        let error = Folder::new().with(name, pointer).error(&[name]);
        assert!(
            error.contains("a pointer of Git LFS instead of the file itself; fetch it with `git lfs pull`"),
            "{error}"
        );
    }
    let error = Folder::new().with("a.txt", "/annex/objects/SHA256E-s1--a.txt\n").error(&["a.txt"]);
    assert!(error.contains("`git annex get`"), "{error}");
    for (bytes, expected) in [
        (gzip(b"text"), "it is a gzip file; rename it to end in .gz"),
        (zstandard(b"text", 20), "it is a Zstandard file; rename it to end in .zst"),
        (b"PAR1 and more".to_vec(), "it is a Parquet file; rename it to end in .parquet"),
    ] {
        let error = Folder::new().with("a.jsonl", bytes).error(&["a.jsonl"]);
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn files_that_are_not_compressed_or_compressed_twice_are_called_so() {
    let text = "one document\n\nanother one\n";
    for (name, format, renamed) in [
        ("a.txt.gz", "gzip", "a.txt"),
        ("a.jsonl.gz", "gzip", "a.jsonl"),
        ("a.txt.zst", "Zstandard", "a.txt"),
    ] {
        assert_eq!(
            Folder::new().with(name, text).error(&[name]),
            format!(
                "DIR/{name}: the name promises {format} data, but it is not compressed; rename it to {renamed}"
            )
        );
    }
    assert_eq!(
        Folder::new().with("a.txt.gz", gzip(&gzip(text.as_bytes()))).error(&["a.txt.gz"]),
        "DIR/a.txt.gz: unpacks to another gzip file; unpack it once, and name the result DIR/a.txt.gz"
    );
}

#[test]
fn where_bad_lines_leave_no_document_the_error_counts_them() {
    let folder = Folder::new().with("a.jsonl", "x\n".repeat(500));
    assert_eq!(
        folder.error_with(&["a.jsonl"], "skip_bad = 1000"),
        "corpus: no document in 1 file (500 bad lines); check corpus.source"
    );
}

/// The file is by pyarrow 26.0, with `write_page_checksum=True`: 60 documents, uncompressed.
#[test]
fn a_changed_byte_is_found_by_the_checksum_of_a_parquet_page() {
    let mut bytes = include_bytes!("../../fuzz/seeds/corpus_parquet/checksums.parquet").to_vec();
    let text = Folder::new().with("a.parquet", &bytes).load(&["a.parquet"]).unwrap();
    assert_eq!(texts(&text).len(), 60);
    let word = b"document 7.";
    let position = bytes.windows(word.len()).position(|found| found == word).unwrap();
    bytes[position] = b'D';
    let error = Folder::new().with("a.parquet", &bytes).error(&["a.parquet"]);
    assert!(error.contains("a.parquet: damaged"), "{error}");
}

/// 64 MiB are always allowed; files of 100 kB and less that unpack to 80 MB are not, unless the setting says so.
#[test]
fn files_that_unpack_to_far_more_than_text_does_are_refused() {
    let line = jsonl(&["ab".repeat(2_000_000)]);
    let many = "a\n".repeat(40_000_000);
    let folder = Folder::new()
        .with("one.jsonl.gz", gzip(line.repeat(20).as_bytes()))
        .with("one.jsonl.zst", zstandard(line.repeat(20).as_bytes(), 20))
        .with("lines.txt.zst", zstandard(many.as_bytes(), 20));
    for name in ["one.jsonl.gz", "one.jsonl.zst", "lines.txt.zst"] {
        let error = folder.error(&[name]);
        assert!(error.contains("unpacks to more than 50 times its size, which is rare for text"), "{error}");
        assert!(error.contains("raise corpus.max_expansion"), "{error}");
    }
    let record = folder.load_with(&["one.jsonl.gz"], "max_expansion = 100000").expect("reads").record;
    assert_eq!((record.documents, record.distinct), (20, 1));
}

#[test]
fn document_boundaries_are_shown_as_they_are_written() {
    let separator = DocumentBoundary::Separator("\n---\n".to_owned());
    assert_eq!(separator.to_string(), "{ separator = \"\\n---\\n\" }");
}

/// A file of JSON lines under the name of a text.
#[test]
fn lines_of_json_that_are_read_as_text_are_told() {
    let lines = jsonl(&sentences(300));
    let folder = Folder::new().with("a.txt", &lines).with("a.jsonl", &lines);
    let note = "300 of 300 documents are JSON objects";
    assert!(
        folder
            .load_with(&["a.txt"], "split = \"line\"")
            .expect("reads")
            .record
            .notes()
            .join("\n")
            .contains(note)
    );
    assert!(!folder.load(&["a.jsonl"]).expect("reads").record.notes().join("\n").contains("JSON"));
}
