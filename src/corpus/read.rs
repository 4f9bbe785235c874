//! Documents out of files.
//!
//! What a file is, its name tells: `.txt`, `.jsonl` and `.json` (one object a line), each also compressed with gzip
//! (`.gz`) or Zstandard (`.zst`), and `.parquet`. Text is kept as it is, but for three things: blank documents are
//! dropped, and in plain text files a byte order mark is too, and line ends become `\n`.

use super::CorpusError;
use crate::config::Files;
use rayon::prelude::*;
use std::io::Read;
use std::path::{Path, PathBuf};

mod jsonl;
mod parquet;
mod paths;
mod plain;

/// The documents of all files.
pub(super) fn documents(files: &Files) -> Result<Vec<String>, CorpusError> {
    let paths = paths::expand(&files.paths)?;
    let read: Vec<Result<Vec<String>, CorpusError>> =
        paths.par_iter().map(|path| documents_of(path, files)).collect();
    let mut documents = Vec::new();
    for texts in read {
        documents.extend(texts?.into_iter().filter(|text| !text.trim().is_empty()));
    }
    if documents.is_empty() {
        return Err(CorpusError::Empty { files: paths.len() });
    }
    Ok(documents)
}

/// How a file's bytes become text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Plain,
    JsonLines,
    Parquet,
}

/// What a file's bytes are wrapped in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Packing {
    None,
    Gzip,
    Zstandard,
}

const KNOWN: &str = ".txt, .jsonl and .json (also with .gz or .zst after it), .parquet";

fn documents_of(path: &Path, files: &Files) -> Result<Vec<String>, CorpusError> {
    let (format, packing) = format_of(path)?;
    match format {
        Format::Parquet => parquet::documents(path, &files.text_field),
        Format::Plain => plain::documents(path, &unpacked(path, packing)?, files.split),
        Format::JsonLines => jsonl::documents(path, &unpacked(path, packing)?, &files.text_field),
    }
}

fn format_of(path: &Path) -> Result<(Format, Packing), CorpusError> {
    let name = path.file_name().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
    let (inner, packing) = if let Some(inner) = name.strip_suffix(".gz") {
        (inner, Packing::Gzip)
    } else if let Some(inner) = name.strip_suffix(".zst") {
        (inner, Packing::Zstandard)
    } else {
        (name.as_str(), Packing::None)
    };
    match inner.rsplit_once('.').map(|(_, extension)| extension) {
        Some("txt") => Ok((Format::Plain, packing)),
        Some("jsonl" | "json") => Ok((Format::JsonLines, packing)),
        Some("parquet") if packing == Packing::None => Ok((Format::Parquet, packing)),
        _ => Err(CorpusError::Format { path: path.to_owned(), known: KNOWN.to_owned() }),
    }
}

fn unpacked(path: &Path, packing: Packing) -> Result<Vec<u8>, CorpusError> {
    let bytes =
        std::fs::read(path).map_err(|source| CorpusError::Unreadable { path: path.to_owned(), source })?;
    let mut text = Vec::new();
    let (unpacked, format) = match packing {
        Packing::None => return Ok(bytes),
        Packing::Gzip => (flate2::read::MultiGzDecoder::new(&bytes[..]).read_to_end(&mut text), "gzip"),
        Packing::Zstandard => {
            (zstd::stream::copy_decode(&bytes[..], &mut text).map(|()| text.len()), "Zstandard")
        }
    };
    unpacked.map_err(|e| CorpusError::Damaged { path: path.to_owned(), format, reason: e.to_string() })?;
    Ok(text)
}

/// The text, or the line at which it stops being text.
fn utf8<'a>(path: &Path, bytes: &'a [u8]) -> Result<&'a str, CorpusError> {
    std::str::from_utf8(bytes).map_err(|error| {
        let newlines = bytes[..error.valid_up_to()].iter().filter(|&&byte| byte == b'\n').count();
        CorpusError::NotUtf8 { path: PathBuf::from(path), line: newlines + 1 }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_tells_the_format() {
        let of = |name: &str| format_of(Path::new(name)).ok();
        assert_eq!(of("a.txt"), Some((Format::Plain, Packing::None)));
        assert_eq!(of("dir.d/A.TXT.GZ"), Some((Format::Plain, Packing::Gzip)));
        assert_eq!(of("a.b.jsonl.zst"), Some((Format::JsonLines, Packing::Zstandard)));
        assert_eq!(of("a.json.gz"), Some((Format::JsonLines, Packing::Gzip)));
        assert_eq!(of("a.parquet"), Some((Format::Parquet, Packing::None)));
        for unknown in ["a", "a.csv", "a.parquet.gz", "a.gz", "txt", ""] {
            assert_eq!(of(unknown), None, "{unknown}");
        }
    }
}
