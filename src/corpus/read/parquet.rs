//! Documents in a column of a Parquet file, the format of Hugging Face data sets.

use super::CorpusError;
use crate::guard::guard;
use parquet::basic::{ConvertedType, LogicalType, Type};
use parquet::column::reader::ColumnReader;
use parquet::errors::ParquetError;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::schema::types::{ColumnDescriptor, SchemaDescriptor};
use std::error::Error;
use std::fs::File;
use std::path::Path;

/// Number of rows read at a time.
const ROWS: usize = 4096;

/// The texts in `column`. Nulls are skipped.
pub(super) fn documents(path: &Path, column: &str) -> Result<Vec<String>, CorpusError> {
    let file =
        File::open(path).map_err(|source| CorpusError::Unreadable { path: path.to_owned(), source })?;
    let damaged = |source: Box<dyn Error + Send + Sync>| CorpusError::Damaged {
        path: path.to_owned(),
        format: "Parquet",
        source,
    };
    let read = guard(|| -> Result<Vec<String>, CorpusError> {
        let reader = SerializedFileReader::new(file).map_err(|error| damaged(error.into()))?;
        let index = text_column(path, column, reader.metadata().file_metadata().schema_descr())?;
        texts(&reader, index).map_err(|error| damaged(error.into()))
    });
    read.unwrap_or_else(|panic| Err(damaged(panic.into())))
}

/// The index of `column`, or an error if it does not have one text per row.
fn text_column(path: &Path, column: &str, schema: &SchemaDescriptor) -> Result<usize, CorpusError> {
    let columns = schema.columns();
    let Some(index) = columns.iter().position(|found| found.path().string() == column) else {
        let names: Vec<String> = columns.iter().map(|found| found.path().string()).collect();
        let present = names.join(", ");
        return Err(CorpusError::NoColumn { path: path.to_owned(), column: column.to_owned(), present });
    };
    match not_text(&columns[index]) {
        Some(kind) => {
            Err(CorpusError::ColumnNotText { path: path.to_owned(), column: column.to_owned(), kind })
        }
        None => Ok(index),
    }
}

/// What a column has instead of one text per row; None if it is a text column.
fn not_text(column: &ColumnDescriptor) -> Option<String> {
    let is_text = matches!(column.logical_type_ref(), Some(LogicalType::String))
        || column.converted_type() == ConvertedType::UTF8;
    if column.max_rep_level() > 0 {
        Some("lists".to_owned())
    } else if column.physical_type() == Type::BYTE_ARRAY && !is_text {
        Some("bytes that are not marked as text".to_owned())
    } else if is_text {
        None
    } else {
        Some(format!("values of type {}", column.physical_type()))
    }
}

/// All texts of column `column`, without nulls.
fn texts(reader: &SerializedFileReader<File>, column: usize) -> Result<Vec<String>, ParquetError> {
    let mut texts = Vec::new();
    for group in 0..reader.num_row_groups() {
        let ColumnReader::ByteArrayColumnReader(mut rows) =
            reader.get_row_group(group)?.get_column_reader(column)?
        else {
            return Err(ParquetError::General("a text column that is not of bytes".to_owned()));
        };
        loop {
            let (mut levels, mut values) = (Vec::new(), Vec::new());
            let (read, _, _) = rows.read_records(ROWS, Some(&mut levels), None, &mut values)?;
            if read == 0 {
                break;
            }
            for value in values {
                texts.push(value.as_utf8()?.to_owned());
            }
        }
    }
    Ok(texts)
}
