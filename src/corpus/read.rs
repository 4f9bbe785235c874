//! Reading documents from files.
//!
//! The extension decides the format: `.txt`, `.jsonl` and `.json` (one object per line), each optionally compressed with
//! gzip (`.gz`) or Zstandard (`.zst`), and `.parquet`. Text is kept unchanged, with three exceptions: blank documents are
//! dropped, and plain text loses its byte order mark and has its line ends converted to `\n`.

use super::CorpusError;
use crate::corpus::TextFiles;
use rayon::prelude::*;
use std::io::Read;
use std::path::Path;

mod jsonl;
mod parquet;
mod paths;
mod plain;

/// The documents of all files, in the order of their paths.
pub(super) fn documents(files: &TextFiles) -> Result<Vec<String>, CorpusError> {
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

/// How documents are stored in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum FileFormat {
    Plain,
    JsonLines,
    Parquet,
}

/// How a file is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Compression {
    None,
    Gzip,
    Zstandard,
}

const KNOWN: &str = ".txt, .jsonl and .json (each may be followed by .gz or .zst), and .parquet";

fn documents_of(path: &Path, files: &TextFiles) -> Result<Vec<String>, CorpusError> {
    let (format, compression) = format_of(path)?;
    match format {
        FileFormat::Parquet => parquet::documents(path, &files.text_field),
        FileFormat::Plain => plain::documents(path, &decompressed(path, compression)?, files.split),
        FileFormat::JsonLines => jsonl::documents(path, &decompressed(path, compression)?, &files.text_field),
    }
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
        Some("jsonl" | "json") => Ok((FileFormat::JsonLines, compression)),
        Some("parquet") if compression == Compression::None => Ok((FileFormat::Parquet, compression)),
        _ => Err(CorpusError::Format { path: path.to_owned(), known: KNOWN }),
    }
}

/// The decompressed bytes of a file.
fn decompressed(path: &Path, compression: Compression) -> Result<Vec<u8>, CorpusError> {
    let bytes =
        std::fs::read(path).map_err(|source| CorpusError::Unreadable { path: path.to_owned(), source })?;
    let mut text = Vec::new();
    let (result, format) = match compression {
        Compression::None => return Ok(bytes),
        Compression::Gzip => (flate2::read::MultiGzDecoder::new(&bytes[..]).read_to_end(&mut text), "gzip"),
        Compression::Zstandard => {
            (zstd::stream::copy_decode(&bytes[..], &mut text).map(|()| text.len()), "Zstandard")
        }
    };
    result.map_err(|error| CorpusError::Damaged { path: path.to_owned(), format, source: error.into() })?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_extension_decides_format_and_compression() {
        let of = |name: &str| format_of(Path::new(name)).ok();
        assert_eq!(of("a.txt"), Some((FileFormat::Plain, Compression::None)));
        assert_eq!(of("dir.d/A.TXT.GZ"), Some((FileFormat::Plain, Compression::Gzip)));
        assert_eq!(of("a.b.jsonl.zst"), Some((FileFormat::JsonLines, Compression::Zstandard)));
        assert_eq!(of("a.json.gz"), Some((FileFormat::JsonLines, Compression::Gzip)));
        assert_eq!(of("a.parquet"), Some((FileFormat::Parquet, Compression::None)));
        for unknown in ["a", "a.csv", "a.parquet.gz", "a.gz", "txt", ""] {
            assert_eq!(of(unknown), None, "{unknown}");
        }
    }
}
