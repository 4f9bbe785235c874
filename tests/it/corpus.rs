//! Reading and splitting natural text through the public interface.

use crate::text_folder::{Folder, Loaded};
use genloss::corpus::CorpusError;
use parquet::basic::{Encoding, LogicalType, Repetition, Type as Physical};
use parquet::data_type::{ByteArray, ByteArrayType, Int32Type, Int64Type};
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterVersion};
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::Type;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

fn all(text: &Loaded) -> BTreeSet<&str> {
    [&text.train, &text.heldout, &text.reference].into_iter().flatten().map(String::as_str).collect()
}

fn splits_by_text(text: &Loaded) -> BTreeMap<String, &'static str> {
    [("train", &text.train), ("heldout", &text.heldout), ("reference", &text.reference)]
        .into_iter()
        .flat_map(|(name, texts)| texts.iter().map(move |text| (text.clone(), name)))
        .collect()
}

fn lines(numbers: std::ops::Range<usize>) -> String {
    numbers.map(|i| format!("document {i}\n")).collect()
}

// The split.

#[test]
fn heldout_and_reference_text_never_trains_even_where_it_is_repeated() {
    let folder = Folder::new().with("a.txt", lines(0..500)).with("b.txt", lines(250..750).repeat(3));
    let text = folder.load(&["*.txt"]).expect("reads");
    let [train, heldout, reference] =
        [&text.train, &text.heldout, &text.reference].map(|texts| texts.iter().collect::<BTreeSet<_>>());
    assert!(train.is_disjoint(&heldout) && train.is_disjoint(&reference) && heldout.is_disjoint(&reference));
    assert_eq!(train.len() + heldout.len() + reference.len(), 750);
    assert_eq!(text.train.len() + text.heldout.len() + text.reference.len(), 750);
    assert_eq!((text.record.documents, text.record.most_copies), (2000, 4));
}

#[test]
fn adding_a_file_moves_no_document_and_keeps_the_order() {
    let folder = Folder::new().with("b.txt", lines(0..400));
    let before = folder.load(&["*.txt"]).expect("reads");
    let folder = folder.with("a.txt", lines(400..800));
    let after = folder.load(&["*.txt"]).expect("reads");
    let places = splits_by_text(&after);
    assert!(splits_by_text(&before).iter().all(|(text, place)| places[text] == *place));
    let old: BTreeSet<&String> = before.train.iter().collect();
    let kept: Vec<&String> = after.train.iter().filter(|text| old.contains(text)).collect();
    assert_eq!(kept, before.train.iter().collect::<Vec<_>>());
    assert_ne!(before.hashes["train"], after.hashes["train"]);
}

#[test]
fn the_order_of_files_and_of_documents_within_them_does_not_matter() {
    let folder = Folder::new().with("a.txt", lines(0..300)).with("z.txt", lines(300..600));
    let reference = folder.load(&["a.txt", "z.txt"]).expect("reads");
    let mut reversed: Vec<String> = lines(0..600).lines().map(str::to_owned).collect();
    reversed.reverse();
    let other = Folder::new().with("all.txt", reversed.join("\r\n"));
    for text in [
        folder.load(&["z.txt", "a.txt"]).expect("reads"),
        folder.load(&["*.txt", "a.txt", "?.txt"]).expect("reads"),
        other.load(&["all.txt"]).expect("reads"),
    ] {
        assert_eq!(text.hashes, reference.hashes);
        assert_eq!(text.train, reference.train);
        assert_eq!(text.heldout, reference.heldout);
        assert_eq!(text.reference, reference.reference);
    }
}

/// Binomial with n = 20 000: 4 standard deviations are 4 √(n p (1 − p)).
#[test]
fn splits_have_the_configured_shares() {
    let n = 20_000.0;
    let folder = Folder::new().with("a.txt", lines(0..20_000));
    let text = folder.load_with(&["a.txt"], "split = \"line\"\nreference_share = 0.2").expect("reads");
    for (texts, share) in [(&text.heldout, 0.1), (&text.reference, 0.2), (&text.train, 0.7)] {
        let deviation = texts.len() as f64 - n * share;
        assert!(deviation.abs() < 4.0 * (n * share * (1.0 - share)).sqrt(), "{deviation} from {share}");
    }
}

/// From the first hexadecimal digits that `b3sum` prints. No version may move a document to another split.
#[test]
fn the_split_of_a_document_can_be_recomputed_with_b3sum() {
    let text = Folder::new().with("a.txt", lines(0..300)).load(&["a.txt"]).expect("reads");
    let u = |text: &str| {
        let hash = blake3::hash(text.as_bytes());
        let digits: String = hash.to_hex().chars().take(8).collect();
        u32::from_str_radix(&digits, 16).expect("hexadecimal") as f64 / 2f64.powi(32)
    };
    for (text, place) in splits_by_text(&text) {
        let expected = match u(&text) {
            u if u < 0.1 => "heldout",
            u if u < 0.4 => "reference",
            _ => "train",
        };
        assert_eq!(place, expected, "{text}");
    }
}

// Formats.

fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(text.as_bytes()).expect("in memory");
    encoder.finish().expect("in memory")
}

fn zstandard(text: &str) -> Vec<u8> {
    zstd::encode_all(text.as_bytes(), 3).expect("in memory")
}

/// Writes a file with a nullable text column, a required number column, and a column of unmarked bytes.
fn parquet(path: &Path, texts: &[Option<&str>]) {
    let text = Type::primitive_type_builder("text", Physical::BYTE_ARRAY)
        .with_logical_type(Some(LogicalType::String))
        .with_repetition(Repetition::OPTIONAL);
    let number = Type::primitive_type_builder("label", Physical::INT64).with_repetition(Repetition::REQUIRED);
    let bytes =
        Type::primitive_type_builder("raw", Physical::BYTE_ARRAY).with_repetition(Repetition::REQUIRED);
    let fields = [text, number, bytes].map(|field| Arc::new(field.build().expect("a field"))).to_vec();
    let schema = Arc::new(Type::group_type_builder("schema").with_fields(fields).build().expect("a schema"));
    let file = std::fs::File::create(path).expect("creates");
    let properties = Arc::new(WriterProperties::builder().build());
    let mut writer = SerializedFileWriter::new(file, schema, properties).expect("a writer");
    for rows in texts.chunks(2) {
        let values: Vec<ByteArray> = rows.iter().flatten().map(|text| ByteArray::from(*text)).collect();
        let levels: Vec<i16> = rows.iter().map(|text| i16::from(text.is_some())).collect();
        let mut group = writer.next_row_group().expect("a group");
        let mut column = group.next_column().expect("a column").expect("text");
        column.typed::<ByteArrayType>().write_batch(&values, Some(&levels), None).expect("writes");
        column.close().expect("closes");
        let mut column = group.next_column().expect("a column").expect("label");
        column.typed::<Int64Type>().write_batch(&vec![1; rows.len()], None, None).expect("writes");
        column.close().expect("closes");
        let mut column = group.next_column().expect("a column").expect("raw");
        let raw = vec![ByteArray::from(vec![255]); rows.len()];
        column.typed::<ByteArrayType>().write_batch(&raw, None, None).expect("writes");
        column.close().expect("closes");
        group.close().expect("closes");
    }
    writer.close().expect("closes");
}

/// Writes a file with the column `text`, which has the same text in each of `rows` rows, thousands of them.
fn parquet_of_bytes(path: &Path, text: &str, rows: usize) {
    let field = Type::primitive_type_builder("text", Physical::BYTE_ARRAY)
        .with_logical_type(Some(LogicalType::String))
        .with_repetition(Repetition::REQUIRED);
    let fields = vec![Arc::new(field.build().expect("a field"))];
    let schema = Arc::new(Type::group_type_builder("schema").with_fields(fields).build().expect("a schema"));
    let properties = WriterProperties::builder()
        .set_dictionary_page_size_limit(1 << 30)
        .set_statistics_enabled(EnabledStatistics::None);
    let file = std::fs::File::create(path).expect("creates");
    let mut writer = SerializedFileWriter::new(file, schema, Arc::new(properties.build())).expect("a writer");
    let mut group = writer.next_row_group().expect("a group");
    let mut column = group.next_column().expect("a column").expect("text");
    let value = ByteArray::from(text);
    for _ in 0..rows / 1000 {
        column.typed::<ByteArrayType>().write_batch(&vec![value.clone(); 1000], None, None).expect("writes");
    }
    column.close().expect("closes");
    group.close().expect("closes");
    writer.close().expect("closes");
}

/// Writes a file as pyarrow does for a column without any value: numbers of the logical type "unknown", all null.
fn parquet_of_nulls(path: &Path, rows: usize) {
    let field = Type::primitive_type_builder("text", Physical::INT32)
        .with_logical_type(Some(LogicalType::Unknown))
        .with_repetition(Repetition::OPTIONAL);
    let fields = vec![Arc::new(field.build().expect("a field"))];
    let schema = Arc::new(Type::group_type_builder("schema").with_fields(fields).build().expect("a schema"));
    let file = std::fs::File::create(path).expect("creates");
    let properties = Arc::new(WriterProperties::builder().build());
    let mut writer = SerializedFileWriter::new(file, schema, properties).expect("a writer");
    let mut group = writer.next_row_group().expect("a group");
    let mut column = group.next_column().expect("a column").expect("text");
    column.typed::<Int32Type>().write_batch(&[], Some(&vec![0; rows]), None).expect("writes");
    column.close().expect("closes");
    group.close().expect("closes");
    writer.close().expect("closes");
}

#[test]
fn a_parquet_shard_without_any_text_counts_as_nulls() {
    let folder = Folder::new();
    parquet(&folder.path("a.parquet"), &[Some("one"), None, Some("two")]);
    parquet(&folder.path("b.parquet"), &[None, None]);
    parquet_of_nulls(&folder.path("c.parquet"), 7);
    let record = folder.load(&["*.parquet"]).expect("reads").record;
    assert_eq!(record.files.iter().map(|file| file.nulls).collect::<Vec<_>>(), [1, 2, 7]);
    assert_eq!(record.documents, 2);
    assert_eq!(
        folder.error(&["b.parquet", "c.parquet"]),
        "corpus: no document in 2 files (9 nulls); check corpus.source"
    );
}

/// A dictionary of one text of 1 MB, which 1000 rows refer to: a file of 1 MB or less with 1 GB of text.
#[test]
fn a_parquet_file_that_unpacks_to_far_more_than_text_does_is_refused() {
    let folder = Folder::new();
    parquet_of_bytes(&folder.path("a.parquet"), &"ab".repeat(500_000), 1000);
    let error = folder.error(&["a.parquet"]);
    assert!(error.contains("unpacks to more than 50 times its size"), "{error}");
    parquet_of_bytes(&folder.path("b.parquet"), "a text", 2000);
    assert_eq!(folder.load(&["b.parquet"]).expect("reads").record.documents, 2000);
}

#[test]
fn every_file_format_gives_the_same_documents() {
    let plain = "one\ntwo é 🐕\n\nthree\n";
    let json = "{\"text\": \"one\", \"label\": 1}\r\n\n{\"label\": 2, \"text\": \"two é \\ud83d\\udc15\"}\n\
                {\"text\": \"three\"}\n{\"text\": null}\n{\"text\": \"  \\n\"}";
    let folder = Folder::new()
        .with("a.txt", plain)
        .with("a.txt.gz", gzip(plain))
        .with("a.txt.zst", zstandard(plain))
        .with("a.jsonl", json)
        .with("a.json", json)
        .with("a.jsonl.gz", gzip(json))
        .with("a.json.gz", [gzip(&json[..10]), gzip(&json[10..])].concat())
        .with("a.jsonl.zst", zstandard(json))
        .with("a.json.zst", zstandard(json));
    let texts = [Some("one"), None, Some("two é 🐕"), Some(""), Some("three")];
    parquet(&folder.path("a.parquet"), &texts);
    let names = [
        "a.txt",
        "a.txt.gz",
        "a.txt.zst",
        "a.jsonl",
        "a.json",
        "a.jsonl.gz",
        "a.json.gz",
        "a.jsonl.zst",
        "a.json.zst",
        "a.parquet",
    ];
    let expected = BTreeSet::from(["one", "two é 🐕", "three"]);
    for name in names {
        assert_eq!(all(&folder.load(&[name]).expect("reads")), expected, "{name}");
    }
    let together = folder.load(&names).expect("reads");
    assert_eq!(together.train.len() + together.heldout.len() + together.reference.len(), 3);
    assert_eq!(together.record.documents, 3 * names.len() as u64);
}

#[test]
fn an_existing_path_with_a_bracket_is_no_pattern_and_patterns_skip_folders() {
    let folder = Folder::new().with("a[1].txt", "one").with("b.txt", "two");
    std::fs::create_dir(folder.path("c.txt")).expect("creates");
    assert_eq!(all(&folder.load(&["a[1].txt"]).expect("reads")), BTreeSet::from(["one"]));
    assert_eq!(all(&folder.load(&["*.txt"]).expect("reads")), BTreeSet::from(["one", "two"]));
}

// What goes wrong.

#[test]
fn missing_or_unknown_files_are_errors_that_say_what_to_try() {
    let folder = Folder::new().with("a.csv", "a,b");
    std::fs::create_dir(folder.path("sub")).expect("creates");
    assert!(folder.error(&["none.txt"]).starts_with("cannot read DIR/none.txt; check corpus.source"));
    assert!(folder.error(&["none.txt"]).contains("): No such file"));
    assert_eq!(
        folder.error(&["*.jsonl"]),
        "corpus.source: no file matches \"DIR/*.jsonl\"; check it against the working directory"
    );
    assert_eq!(folder.error(&["sub"]), "DIR/sub is a folder; name the files in it, such as DIR/sub/*.jsonl");
    assert!(folder.error(&["a.csv"]).contains(".txt, .jsonl and .json"));
    assert!(folder.error(&["a***.txt"]).contains("is not a valid pattern; try a plain path or one with *: "));
}

#[test]
fn invalid_utf8_is_an_error_with_its_line() {
    let folder = Folder::new()
        .with("a.txt", b"one\ntwo\nth\xffree")
        .with("b.jsonl", b"{\"text\": \"a\"}\n{\"text\": \"\xc3\"}");
    assert!(folder.error(&["a.txt"]).starts_with("DIR/a.txt, line 3: not valid UTF-8"));
    assert!(folder.error(&["b.jsonl"]).starts_with("DIR/b.jsonl, line 2: not valid UTF-8"));
}

#[test]
fn a_line_without_the_text_field_is_an_error_that_lists_the_fields() {
    let good = "{\"text\": \"fine\"}\n\n";
    for (line, expected) in [
        (
            "{\"text\": ",
            "DIR/a.jsonl, line 3: not valid JSON (EOF while parsing a value at column 9); each line must be one JSON object (corpus.skip_bad",
        ),
        ("[1]", "DIR/a.jsonl, line 3: an array instead of an object with the text in a field"),
        (
            "{\"body\": \"x\", \"id\": 1}",
            "DIR/a.jsonl, line 3: no field \"text\" (fields: body, id); set corpus.",
        ),
        ("{}", "DIR/a.jsonl, line 3: no field \"text\" (fields: none);"),
        ("{\"text\": 7}", "DIR/a.jsonl, line 3: field \"text\" is a number, not a string"),
        ("{\"text\": {\"a\": 1}}", "DIR/a.jsonl, line 3: field \"text\" is an object, not a string"),
    ] {
        let error = Folder::new().with("a.jsonl", format!("{good}{line}\n")).error(&["a.jsonl"]);
        assert!(error.starts_with(expected), "{error}");
    }
}

#[test]
fn a_missing_text_column_is_an_error_that_lists_the_columns() {
    let folder = Folder::new();
    parquet(&folder.path("a.parquet"), &[Some("one")]);
    let error = |column: &str| {
        let loaded = folder.load_with(&["a.parquet"], &format!("text_field = {column:?}"));
        loaded.expect_err("an error").to_string()
    };
    assert!(error("body").contains("no column \"body\" (columns: text, label, raw)"));
    assert!(error("label").contains("column \"label\" holds values of type INT64, not text"));
    assert!(error("raw").contains("column \"raw\" holds bytes that are not marked as text"));
}

#[test]
fn blank_files_are_an_error() {
    let folder = Folder::new().with("a.txt", "\n \r\n\t\n").with("b.txt", "");
    assert!(folder.error(&["*.txt"]).starts_with("corpus: no document in 2 files (3 blank documents);"));
    assert!(folder.error(&["b.txt"]).starts_with("corpus: no document in 1 file (nothing but blank lines);"));
}

#[test]
fn damaged_files_are_errors_and_never_a_panic() {
    let json = "{\"text\": \"some text that is long enough to be packed, and packed again\"}\n".repeat(50);
    let folder = Folder::new();
    parquet(&folder.path("a.parquet"), &[Some("one"), Some("two"), None, Some("three")]);
    let whole = std::fs::read(folder.path("a.parquet")).expect("reads");
    for (name, whole) in
        [("a.jsonl.gz", gzip(&json)), ("a.jsonl.zst", zstandard(&json)), ("a.parquet", whole)]
    {
        for damaged in [&whole[..whole.len() / 2], &whole[..0], &whole[1..], b"\xFFnot packed at all"] {
            std::fs::write(folder.path(name), damaged).expect("writes");
            let loaded = folder.load(&[name]);
            assert!(matches!(loaded, Err(CorpusError::Damaged { .. })), "{name}, {} bytes", damaged.len());
        }
        // With any one byte changed, the result is an error or another text, but never a panic.
        for place in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[place] ^= 0x55;
            std::fs::write(folder.path(name), damaged).expect("writes");
            let _ = folder.load(&[name]);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_string_in_json_comes_back_unchanged(texts in prop::collection::btree_set("\\PC{0,20}[\\x00-\\x7f]{0,9}x", 1..8)) {
        let json: String = texts.iter().map(|text| serde_json::json!({ "text": text }).to_string() + "\n").collect();
        let text = Folder::new().with("a.jsonl", json).load(&["a.jsonl"]).expect("reads");
        prop_assert_eq!(all(&text), texts.iter().map(String::as_str).collect::<BTreeSet<_>>());
    }

    #[test]
    fn no_bytes_make_the_readers_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        for name in ["a.txt", "a.jsonl", "a.txt.gz", "a.json.zst", "a.parquet"] {
            let _ = Folder::new().with(name, &bytes).load_with(&[name], "");
        }
    }
}

// What would be read as another text.

#[test]
fn a_repeated_text_field_is_an_error_that_names_it() {
    let repeated = "{\"text\": \"one\", \"id\": 1, \"text\": \"two\"}";
    let escaped = "{\"text\": \"one\", \"te\\u0078t\": \"two\"}";
    let fine = "{\"text\": \"fine\", \"id\": 1, \"id\": 2, \"inner\": {\"text\": 1}}";
    let cases = [
        ("a.jsonl", format!("{fine}\n{repeated}\n"), "line 2"),
        ("a.jsonl", format!("{fine}\n{escaped}\n"), "line 2"),
        ("a.json", format!("[{fine}, {fine}, {repeated}]"), "item 3"),
        ("a.json", repeated.replace(',', ",\n"), "item 1"),
    ];
    for (name, text, place) in cases {
        let error = Folder::new().with(name, &text).error(&[name]);
        assert_eq!(
            error,
            format!("DIR/{name}, {place}: several fields \"text\"; rename all but the one with the text")
        );
    }
    let skipping = Folder::new().with("a.jsonl", format!("{fine}\n{repeated}\n{fine}2"));
    let text = skipping.load_with(&["a.jsonl"], "skip_bad = 2").expect("reads");
    assert_eq!((text.record.documents, text.record.files[0].bad_lines), (1, 2));
}

/// Writes a file without rows whose columns are `fields`.
fn parquet_of(path: &Path, fields: Vec<Type>) {
    let fields = fields.into_iter().map(Arc::new).collect();
    let schema = Arc::new(Type::group_type_builder("schema").with_fields(fields).build().expect("a schema"));
    let file = std::fs::File::create(path).expect("creates");
    let properties = Arc::new(WriterProperties::builder().build());
    SerializedFileWriter::new(file, schema, properties).expect("a writer").close().expect("closes");
}

fn text_column(name: &str, repetition: Repetition) -> Type {
    let builder = Type::primitive_type_builder(name, Physical::BYTE_ARRAY);
    builder.with_logical_type(Some(LogicalType::String)).with_repetition(repetition).build().expect("a field")
}

fn group(name: &str, repetition: Repetition, logical: Option<LogicalType>, fields: Vec<Type>) -> Type {
    let fields = fields.into_iter().map(Arc::new).collect();
    let builder = Type::group_type_builder(name).with_repetition(repetition).with_logical_type(logical);
    builder.with_fields(fields).build().expect("a field")
}

#[test]
fn columns_of_lists_and_of_several_fields_are_named_as_what_they_are() {
    let list = |element: Type| {
        let items = group("list", Repetition::REPEATED, None, vec![element]);
        group("text", Repetition::OPTIONAL, Some(LogicalType::List), vec![items])
    };
    let number = Type::primitive_type_builder("element", Physical::INT64).build().expect("a field");
    let both =
        || vec![text_column("user", Repetition::OPTIONAL), text_column("answer", Repetition::OPTIONAL)];
    let cases = [
        (vec![list(text_column("element", Repetition::OPTIONAL))], "lists of strings"),
        (vec![list(number)], "lists of values of type INT64"),
        (vec![text_column("text", Repetition::REPEATED)], "lists of strings"),
        (vec![list(group("element", Repetition::OPTIONAL, None, both()))], "lists of several fields"),
        (vec![group("text", Repetition::OPTIONAL, None, both())], "several fields (user, answer)"),
    ];
    for (fields, kind) in cases {
        let folder = Folder::new();
        parquet_of(&folder.path("a.parquet"), fields);
        let error = folder.error(&["a.parquet"]);
        let expected =
            format!("DIR/a.parquet: column \"text\" holds {kind}, not text; set corpus.text_field");
        assert!(error.starts_with(&expected) && error.ends_with("a text in each row first"), "{error}");
    }
    // A list by the name of its inner column.
    let folder = Folder::new();
    parquet_of(&folder.path("a.parquet"), vec![list(text_column("element", Repetition::OPTIONAL))]);
    let loaded = folder.load_with(&["a.parquet"], "text_field = \"text.list.element\"");
    assert!(loaded.expect_err("an error").to_string().contains("holds lists of strings"));
    let folder = Folder::new();
    let twice = vec![text_column("text", Repetition::REQUIRED), text_column("text", Repetition::REQUIRED)];
    parquet_of(&folder.path("a.parquet"), twice);
    assert!(folder.error(&["a.parquet"]).contains("several fields \"text\""));
}

/// The dictionary claims two billion values, which would take 64 GB. In the header of its page, the number of values is the
/// field after the sizes and the checksum; its value is 1, which is 2 in zigzag encoding.
#[test]
fn a_dictionary_that_claims_more_values_than_it_has_is_an_error() {
    let folder = Folder::new();
    parquet_of_bytes(&folder.path("a.parquet"), "the only text", 2000);
    let whole = std::fs::read(folder.path("a.parquet")).expect("reads");
    // A field of type struct with the id 7, and in it a field of type i32 with the value 1.
    let place = whole.windows(3).position(|bytes| bytes == [0x4C, 0x15, 0x02]).expect("a header");
    let claim = [0x4C, 0x15, 0xFE, 0xFF, 0xFF, 0xFF, 0x0F];
    // Later bytes move, but offsets in the footer are those of the unchanged file.
    let lying = [&whole[..place], &claim[..], &whole[place + 3..]].concat();
    let error = folder.with("b.parquet", lying).error(&["b.parquet"]);
    assert!(error.contains("damaged, or not a Parquet file"), "{error}");
    assert!(error.contains("claims 2147483647 values"), "{error}");
}

/// Writes a file with the column `text` in an encoding by differences: "text 0", "text 1" …, every seventh row null.
fn parquet_by_differences(path: &Path, encoding: Encoding, version: WriterVersion) -> Vec<String> {
    const ROWS: i16 = 2000;
    let field = Type::primitive_type_builder("text", Physical::BYTE_ARRAY)
        .with_logical_type(Some(LogicalType::String))
        .with_repetition(Repetition::OPTIONAL);
    let fields = vec![Arc::new(field.build().expect("a field"))];
    let schema = Arc::new(Type::group_type_builder("schema").with_fields(fields).build().expect("a schema"));
    let properties = WriterProperties::builder()
        .set_dictionary_enabled(false)
        .set_encoding(encoding)
        .set_writer_version(version);
    let file = std::fs::File::create(path).expect("creates");
    let mut writer = SerializedFileWriter::new(file, schema, Arc::new(properties.build())).expect("a writer");
    let levels: Vec<i16> = (0..ROWS).map(|row| i16::from(row % 7 != 0)).collect();
    let texts: Vec<String> = (0..ROWS).filter(|row| row % 7 != 0).map(|row| format!("text {row}")).collect();
    let values: Vec<ByteArray> = texts.iter().map(|text| ByteArray::from(text.as_str())).collect();
    let mut group = writer.next_row_group().expect("a group");
    let mut column = group.next_column().expect("a column").expect("text");
    column.typed::<ByteArrayType>().write_batch(&values, Some(&levels), None).expect("writes");
    column.close().expect("closes");
    group.close().expect("closes");
    writer.close().expect("closes");
    texts
}

/// The number of values is in the header of the lengths, and in the headers of prefixes and suffixes where a text is
/// the difference from the one before.
#[test]
fn texts_encoded_by_differences_are_read_but_not_if_they_claim_more_values_than_rows() {
    for (encoding, headers) in [(Encoding::DELTA_LENGTH_BYTE_ARRAY, 1), (Encoding::DELTA_BYTE_ARRAY, 2)] {
        for version in [WriterVersion::PARQUET_1_0, WriterVersion::PARQUET_2_0] {
            let mut folder = Folder::new();
            let texts = parquet_by_differences(&folder.path("a.parquet"), encoding, version);
            let loaded = folder.load(&["a.parquet"]).expect("reads");
            let all: BTreeSet<&String> =
                loaded.train.iter().chain(&loaded.heldout).chain(&loaded.reference).collect();
            assert_eq!(all, texts.iter().collect());
            assert_eq!(loaded.record.files[0].nulls, 2000 - 1714);
            let whole = std::fs::read(folder.path("a.parquet")).expect("reads");
            // 128 values in a block of 4 miniblocks, 1714 values.
            let header = [0x80, 0x01, 0x04, 0xB2, 0x0D];
            let places: Vec<usize> =
                (0..whole.len()).filter(|&place| whole[place..].starts_with(&header)).collect();
            assert_eq!((texts.len(), places.len()), (1714, headers));
            for place in places {
                let mut lying = whole.clone();
                lying[place + 3..place + 5].copy_from_slice(&[0xFF, 0x7F]);
                folder = folder.with("b.parquet", lying);
                let error = folder.error(&["b.parquet"]);
                assert!(error.contains("claims 16383 values and can have 2000"), "{error}");
            }
        }
    }
}
