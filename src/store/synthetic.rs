//! `synthetic.parquet`: a corpus as text and as token ids, one row per document.
//!
//! The next generation trains on the ids, because tokenising the text again could give tokens other than the sampled
//! ones. The text is for reading; bytes that are not UTF-8 are shown as the replacement character.

use super::{StoreError, disk};
use crate::documents::{Documents, TokenId};
use crate::files;
use crate::guard::guard;
use parquet::basic::{Compression, ZstdLevel};
use parquet::data_type::{ByteArray, ByteArrayType, Int32Type};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::file::writer::SerializedFileWriter;
use parquet::record::{Row, RowAccessor};
use parquet::schema::parser::parse_message_type;
use parquet::schema::types::Type;
use std::path::Path;
use std::sync::Arc;

const SCHEMA: &str = "message document {
    required binary text (UTF8);
    required group ids (LIST) { repeated group list { required int32 element; } }
}";
const IDS_ONLY: &str = "message document {
    required group ids (LIST) { repeated group list { required int32 element; } }
}";
const TEXT_ONLY: &str = "message document { required binary text (UTF8); }";

pub(super) fn write(path: &Path, documents: &Documents, texts: &[String]) -> Result<(), StoreError> {
    let parquet = |source| StoreError::Parquet { path: path.to_owned(), source };
    let bytes = to_parquet(documents, texts).map_err(parquet)?;
    disk::at(path, files::write(path, &bytes))
}

/// The token ids of a corpus.
pub(super) fn read_ids(path: &Path) -> Result<Documents, StoreError> {
    let mut documents = Documents::new();
    for_each_row(path, IDS_ONLY, usize::MAX, |row| {
        let ids: Result<Vec<TokenId>, ParquetError> = row
            .get_list(0)?
            .elements()
            .iter()
            .map(|field| match field {
                parquet::record::Field::Int(id) => {
                    TokenId::try_from(*id).map_err(|error| ParquetError::External(Box::new(error)))
                }
                other => Err(ParquetError::General(format!("{other} is not a token id"))),
            })
            .collect();
        documents.push(&ids?);
        Ok(())
    })?;
    Ok(documents)
}

/// The first `most` documents as text.
pub(super) fn read_texts(path: &Path, most: usize) -> Result<Vec<String>, StoreError> {
    let mut texts = Vec::new();
    for_each_row(path, TEXT_ONLY, most, |row| {
        texts.push(row.get_string(0)?.clone());
        Ok(())
    })?;
    Ok(texts)
}

fn to_parquet(documents: &Documents, texts: &[String]) -> Result<Vec<u8>, ParquetError> {
    let compression = Compression::ZSTD(ZstdLevel::try_new(3)?);
    let properties = WriterProperties::builder().set_compression(compression).build();
    let mut file = Vec::new();
    let mut writer = SerializedFileWriter::new(&mut file, schema(SCHEMA)?, Arc::new(properties))?;
    let mut group = writer.next_row_group()?;
    if let Some(mut column) = group.next_column()? {
        let values: Vec<ByteArray> = texts.iter().map(|text| ByteArray::from(text.as_str())).collect();
        column.typed::<ByteArrayType>().write_batch(&values, None, None)?;
        column.close()?;
    }
    if let Some(mut column) = group.next_column()? {
        let values: Vec<i32> = documents.flat().iter().map(|&id| id.cast_signed()).collect();
        let (definition, repetition) = list_levels(documents);
        column.typed::<Int32Type>().write_batch(&values, Some(&definition), Some(&repetition))?;
        column.close()?;
    }
    group.close()?;
    writer.close()?;
    Ok(file)
}

/// Definition and repetition levels of the list column: an element has definition level 1, an empty list 0; repetition
/// level 0 starts a row, 1 continues it.
fn list_levels(documents: &Documents) -> (Vec<i16>, Vec<i16>) {
    let mut definition = Vec::with_capacity(documents.flat().len());
    let mut repetition = Vec::with_capacity(documents.flat().len());
    for document in documents.iter() {
        definition.push(i16::from(!document.is_empty()));
        repetition.push(0);
        for _ in document.iter().skip(1) {
            definition.push(1);
            repetition.push(1);
        }
    }
    (definition, repetition)
}

fn schema(text: &str) -> Result<Arc<Type>, ParquetError> {
    parse_message_type(text).map(Arc::new)
}

fn for_each_row(
    path: &Path,
    columns: &str,
    most: usize,
    mut visit: impl FnMut(&Row) -> Result<(), ParquetError>,
) -> Result<(), StoreError> {
    let file = disk::open(path)?;
    let visit_all = || -> Result<(), ParquetError> {
        let reader = SerializedFileReader::new(file)?;
        let projection = parse_message_type(columns)?;
        for row in reader.get_row_iter(Some(projection))?.take(most) {
            visit(&row?)?;
        }
        Ok(())
    };
    let visited = guard(visit_all).unwrap_or_else(|panic| Err(ParquetError::External(Box::new(panic))));
    visited.map_err(|source| StoreError::Parquet { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_corpus_is_read_back_as_written() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("synthetic.parquet");
        let documents: Documents = [&[5, 6, 0][..], &[], &[0], &[7]].into_iter().collect();
        let texts: Vec<String> = ["ab", "", "<script>", "ü\u{fffd}\0"].map(String::from).into();
        write(&path, &documents, &texts).unwrap();
        assert_eq!(read_ids(&path).unwrap(), documents);
        assert_eq!(read_texts(&path, 9).unwrap(), texts);
        assert_eq!(read_texts(&path, 2).unwrap(), texts[..2]);
    }

    /// The parquet crate panics on some damaged files.
    #[test]
    fn no_changed_byte_makes_reading_panic() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("synthetic.parquet");
        let documents: Documents = [&[5, 6, 0][..], &[0]].into_iter().collect();
        write(&path, &documents, &["ab".to_owned(), "c".to_owned()]).unwrap();
        let whole = std::fs::read(&path).unwrap();
        for place in 0..whole.len() {
            for change in [0x01, 0x80, 0xff] {
                let mut damaged = whole.clone();
                damaged[place] ^= change;
                std::fs::write(&path, &damaged).unwrap();
                let _ = (read_ids(&path), read_texts(&path, 2));
            }
        }
    }

    #[test]
    fn a_truncated_file_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("synthetic.parquet");
        std::fs::write(&path, b"PAR1 and no more").unwrap();
        assert!(read_ids(&path).is_err());
    }
}
