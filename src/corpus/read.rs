//! Reading documents from files.
//!
//! The extension decides the format: `.txt`, `.jsonl` and `.json` (JSON lines, or a list of objects), each optionally
//! compressed with gzip (`.gz`) or Zstandard (`.zst`), and `.parquet`. Text is kept unchanged, with three exceptions:
//! blank documents are dropped, and plain text loses its byte order mark and has its line ends converted to `\n`.

use super::buckets::Buckets;
use super::error::Place;
use super::record::FileRecord;
use super::{CorpusError, TextFiles, plain_text};
use crate::units::counted;
use findings::Findings;
use json::{JsonError, TextField};
use rayon::prelude::*;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use unpack::Compression;

mod findings;
mod json;
mod parquet;
mod paths;
mod plain;
mod unpack;

/// What is known of a file after its documents were read.
pub(super) struct ReadFile {
    pub(super) record: FileRecord,
    /// Whether `corpus.split` splits the file into documents.
    pub(super) is_plain: bool,
}

/// A file, its index, and where its documents go.
#[derive(Clone, Copy)]
struct FileToRead<'a> {
    path: &'a Path,
    file: usize,
    documents: &'a Buckets,
}

/// Adds the documents of all files to `documents`. Returns what is known of the files, in the order of their paths.
pub(super) fn files(files: &TextFiles, documents: &Buckets) -> Result<Vec<ReadFile>, CorpusError> {
    let paths = paths::expand(&files.paths)?;
    let read = |(file, path): (usize, &PathBuf)| read_file(FileToRead { path, file, documents }, files);
    let read: Vec<Result<ReadFile, CorpusError>> = paths.par_iter().enumerate().map(read).collect();
    let read: Vec<ReadFile> = read.into_iter().collect::<Result<_, _>>()?;
    if read.iter().all(|file| file.record.documents == 0) {
        return Err(CorpusError::Empty { files: paths.len(), found: left_out(&read) });
    }
    let bad_lines: u64 = read.iter().map(|file| file.record.bad_lines).sum();
    if bad_lines > files.skip_bad {
        return Err(CorpusError::TooManyBadLines { count: bad_lines, allowed: files.skip_bad });
    }
    Ok(read)
}

/// Bytes of all files, as they are stored.
pub(crate) fn size_of_files(files: &TextFiles) -> Result<u64, CorpusError> {
    let size = |path: PathBuf| {
        let metadata = path.metadata().map_err(|source| CorpusError::Unreadable { path, source })?;
        Ok(metadata.len())
    };
    paths::expand(&files.paths)?.into_iter().map(size).sum()
}

/// Path and BLAKE3 of every file, in the order of their paths.
pub(crate) fn hashes_of_files(files: &TextFiles) -> Result<Vec<[String; 2]>, CorpusError> {
    let hashed = |path: &PathBuf| {
        let hash = hash_of_file(path);
        let hash = hash.map_err(|source| CorpusError::Unreadable { path: path.clone(), source })?;
        Ok([path.display().to_string(), hash])
    };
    paths::expand(&files.paths)?.par_iter().map(hashed).collect()
}

/// What files without a document have instead: "2 blank documents, 3 nulls".
fn left_out(read: &[ReadFile]) -> String {
    let sum = |count: fn(&FileRecord) -> u64| read.iter().map(|file| count(&file.record)).sum::<u64>();
    let counts = [
        (sum(|file| file.blanks), "blank document"),
        (sum(|file| file.nulls), "null"),
        (sum(|file| file.bad_lines), "bad line"),
    ];
    let found: Vec<String> = counts
        .into_iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, what)| counted(count, what))
        .collect();
    if found.is_empty() { "nothing but blank lines".to_owned() } else { found.join(", ") }
}

/// How documents are stored in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum FileFormat {
    Plain,
    Json,
    Parquet,
}

const KNOWN: &str = ".txt, .jsonl and .json (each may be followed by .gz or .zst), and .parquet";

fn read_file(file: FileToRead, files: &TextFiles) -> Result<ReadFile, CorpusError> {
    let path = file.path;
    let (format, compression) = format_of(path)?;
    let unreadable = |source| CorpusError::Unreadable { path: path.to_owned(), source };
    check_beginning(path, format, compression, &first_bytes(path).map_err(unreadable)?)?;
    let opened = File::open(path).map_err(unreadable)?;
    let packed = opened.metadata().map_err(unreadable)?.len();
    let blake3 = hash_of_file(path).map_err(unreadable)?;
    let is_packed = format == FileFormat::Parquet || compression != Compression::None;
    let limit = if is_packed { unpack::limit(packed, files.max_expansion) } else { u64::MAX };
    let mut found = Findings::new(file, limit, files.max_expansion, files.skip_bad);
    let read_error = |error| unpack::read_error(path, compression, files.max_expansion, error);
    let reader = |file| unpack::reader(file, compression, limit).map_err(read_error);
    match format {
        FileFormat::Parquet => parquet::documents(path, &files.text_field, limit, &mut found)?,
        FileFormat::Plain => {
            let mut bytes = Vec::new();
            reader(opened)?.read_to_end(&mut bytes).map_err(read_error)?;
            check_unpacked(path, compression, &bytes)?;
            let text = plain_text(path, &bytes)?;
            drop(bytes);
            plain::documents(text, &files.split, |text| found.add(text))?;
        }
        FileFormat::Json => {
            let field = TextField { path, name: &files.text_field };
            json::documents(reader(opened)?, field, &mut found).map_err(|error| match error {
                JsonError::Read(error) => read_error(error),
                JsonError::Content(error) => error,
            })?;
        }
    }
    let record = FileRecord { blake3, ..found.record };
    Ok(ReadFile { record, is_plain: format == FileFormat::Plain })
}

fn hash_of_file(path: &Path) -> std::io::Result<String> {
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(File::open(path)?)?;
    Ok(hasher.finalize().to_hex().to_string())
}

fn format_of(path: &Path) -> Result<(FileFormat, Compression), CorpusError> {
    let name = path.file_name().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
    let (inner, compression) = if let Some(inner) = name.strip_suffix(".gz") {
        (inner, Compression::Gzip)
    } else if let Some(inner) = name.strip_suffix(".zst") {
        (inner, Compression::Zstandard)
    } else {
        (name.as_str(), Compression::None)
    };
    match inner.rsplit_once('.').map(|(_, extension)| extension) {
        Some("txt") => Ok((FileFormat::Plain, compression)),
        Some("jsonl" | "json") => Ok((FileFormat::Json, compression)),
        Some("parquet") if compression == Compression::None => Ok((FileFormat::Parquet, compression)),
        _ => Err(CorpusError::Format { path: path.to_owned(), known: KNOWN }),
    }
}

/// First bytes of pointer files, with the program that wrote them and the command that downloads the file itself.
const POINTERS: [(&str, &str, &str); 3] = [
    ("version https://git-lfs.github.com/spec/", "Git LFS", "git lfs pull"),
    ("version https://hawser.github.com/spec/", "Git LFS", "git lfs pull"),
    ("/annex/objects/", "git-annex", "git annex get"),
];
/// First bytes of compressed files and Parquet files, with the format and its extension.
const PACKED: [(&[u8], &str, &str); 3] = [
    (&[0x1F, 0x8B], "gzip", ".gz"),
    (&[0x28, 0xB5, 0x2F, 0xFD], "Zstandard", ".zst"),
    (b"PAR1", "Parquet", ".parquet"),
];

/// Returns an error if the first bytes of a file are those of a pointer to another file, or those of a format that its
/// name does not announce.
fn check_beginning(
    path: &Path,
    format: FileFormat,
    compression: Compression,
    first: &[u8],
) -> Result<(), CorpusError> {
    let path = path.to_owned();
    if let Some((_, program, command)) = POINTERS.iter().find(|(text, ..)| first.starts_with(text.as_bytes()))
    {
        return Err(CorpusError::Pointer { path, program, command });
    }
    if compression != Compression::None && is_plain_text(first) {
        return Err(CorpusError::NotPacked { path, format: compression.name() });
    }
    let is_text = format != FileFormat::Parquet && compression == Compression::None;
    if let Some((_, format, extension)) =
        PACKED.iter().find(|(magic, ..)| is_text && first.starts_with(magic))
    {
        return Err(CorpusError::Misnamed { path, format, extension });
    }
    Ok(())
}

/// Returns an error if a compressed file unpacks to a compressed file.
fn check_unpacked(path: &Path, compression: Compression, bytes: &[u8]) -> Result<(), CorpusError> {
    match PACKED.iter().find(|(magic, ..)| compression != Compression::None && bytes.starts_with(magic)) {
        Some((_, format, _)) => Err(CorpusError::PackedTwice { path: path.to_owned(), format }),
        None => Ok(()),
    }
}

/// Whether the first bytes of a file are printable ASCII, as those of no compressed file are.
fn is_plain_text(first: &[u8]) -> bool {
    let is_printable = |byte: &u8| matches!(byte, b'\t' | b'\n' | b'\r' | b' '..=b'~');
    first.len() >= 4 && first.iter().all(is_printable)
}

fn first_bytes(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut first = Vec::new();
    File::open(path)?.take(64).read_to_end(&mut first)?;
    Ok(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_extension_decides_format_and_compression() {
        let of = |name: &str| format_of(Path::new(name)).ok();
        assert_eq!(of("a.txt"), Some((FileFormat::Plain, Compression::None)));
        assert_eq!(of("dir.d/A.TXT.GZ"), Some((FileFormat::Plain, Compression::Gzip)));
        assert_eq!(of("a.b.jsonl.zst"), Some((FileFormat::Json, Compression::Zstandard)));
        assert_eq!(of("a.json.gz"), Some((FileFormat::Json, Compression::Gzip)));
        assert_eq!(of("a.parquet"), Some((FileFormat::Parquet, Compression::None)));
        for unknown in ["a", "a.csv", "a.parquet.gz", "a.gz", "txt", ""] {
            assert_eq!(of(unknown), None, "{unknown}");
        }
    }
}
