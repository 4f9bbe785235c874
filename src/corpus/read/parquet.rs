//! Documents in a column of a Parquet file, the format of Hugging Face data sets.

mod delta;

use super::findings::Findings;
use super::{CorpusError, Place};
use crate::guard::guard;
use parquet::basic::{ConvertedType, Encoding, LogicalType, Type};
use parquet::column::page::{Page, PageMetadata, PageReader};
use parquet::column::reader::{ColumnReader, get_column_reader};
use parquet::errors::ParquetError;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::schema::types::{ColumnDescPtr, ColumnDescriptor, SchemaDescriptor};
use std::error::Error;
use std::fs::File;
use std::path::Path;

/// Number of rows read at a time.
const ROWS: usize = 4096;

/// Adds the texts in `column`, which may unpack to at most `limit` bytes. Nulls are skipped.
pub(super) fn documents(
    path: &Path,
    column: &str,
    limit: u64,
    found: &mut Findings,
) -> Result<(), CorpusError> {
    let file =
        File::open(path).map_err(|source| CorpusError::Unreadable { path: path.to_owned(), source })?;
    let damaged = |source: Box<dyn Error + Send + Sync>| CorpusError::Damaged {
        path: path.to_owned(),
        format: "Parquet",
        source,
    };
    let read = guard(|| -> Result<(), CorpusError> {
        let reader = SerializedFileReader::new(file).map_err(|error| damaged(error.into()))?;
        let column = text_column(path, column, reader.metadata().file_metadata().schema_descr())?;
        let groups = reader.metadata().row_groups().iter();
        let unpacked: u64 = groups
            .map(|group| u64::try_from(group.column(column.index).uncompressed_size()).unwrap_or(0))
            .fold(0, u64::saturating_add);
        if unpacked > limit {
            return Err(found.too_large());
        }
        texts(&reader, column, limit, found).map_err(|error| match error {
            ReadError::Decoder(error) => damaged(error.into()),
            ReadError::Findings(error) => error,
        })
    });
    read.unwrap_or_else(|panic| Err(damaged(panic.into())))
}

/// A column of texts. A column with nothing but nulls is accepted too, because some programs give it another type.
#[derive(Clone, Copy)]
struct TextColumn {
    index: usize,
    is_all_null: bool,
}

/// The index of `column`, or an error if it does not have one text per row.
fn text_column(path: &Path, column: &str, schema: &SchemaDescriptor) -> Result<TextColumn, CorpusError> {
    let columns = schema.columns();
    if columns.iter().filter(|found| found.path().string() == column).count() > 1 {
        let (path, field) = (path.to_owned(), column.to_owned());
        return Err(CorpusError::RepeatedField { path, place: Place::Whole, field });
    }
    if let Some(kind) = nested(column, schema) {
        let (path, column) = (path.to_owned(), column.to_owned());
        return Err(CorpusError::ColumnNotText { path, column, kind, is_nested: true });
    }
    let Some(index) = columns.iter().position(|found| found.path().string() == column) else {
        let names: Vec<String> = columns.iter().map(|found| found.path().string()).collect();
        let present = names.join(", ");
        return Err(CorpusError::NoColumn { path: path.to_owned(), column: column.to_owned(), present });
    };
    let is_all_null = matches!(columns[index].logical_type_ref(), Some(LogicalType::Unknown));
    match not_text(&columns[index]).filter(|_| !is_all_null) {
        Some(kind) => {
            let (path, column) = (path.to_owned(), column.to_owned());
            Err(CorpusError::ColumnNotText { path, column, kind, is_nested: false })
        }
        None => Ok(TextColumn { index, is_all_null }),
    }
}

/// What a column of several values per row has: lists, or fields with names. None for any other column.
fn nested(column: &str, schema: &SchemaDescriptor) -> Option<String> {
    let of_column = |found: &&ColumnDescPtr| {
        let path = found.path();
        let is_within = path.parts().len() > 1 && path.parts()[0] == column;
        is_within || path.string() == column && found.max_rep_level() > 0
    };
    let inner: Vec<&ColumnDescPtr> = schema.columns().iter().filter(of_column).collect();
    let [first, ..] = inner[..] else { return None };
    let kind = match not_text(first) {
        None => "strings".to_owned(),
        Some(kind) => kind,
    };
    let names: Vec<String> = inner.iter().map(|found| found.path().parts()[1..].join(".")).collect();
    match inner.iter().all(|found| found.max_rep_level() > 0) {
        true if inner.len() == 1 => Some(format!("lists of {kind}")),
        true => Some("lists of several fields".to_owned()),
        false => Some(format!("several fields ({})", names.join(", "))),
    }
}

/// What a column has instead of texts; None if it is a text column.
fn not_text(column: &ColumnDescriptor) -> Option<String> {
    let is_text = matches!(column.logical_type_ref(), Some(LogicalType::String))
        || column.converted_type() == ConvertedType::UTF8;
    if column.physical_type() == Type::BYTE_ARRAY && !is_text {
        Some("bytes that are not marked as text".to_owned())
    } else if is_text {
        None
    } else {
        Some(format!("values of type {}", column.physical_type()))
    }
}

enum ReadError {
    Decoder(ParquetError),
    Findings(CorpusError),
}

impl From<ParquetError> for ReadError {
    fn from(error: ParquetError) -> Self {
        Self::Decoder(error)
    }
}

/// Adds all texts of a column, without nulls.
fn texts(
    reader: &SerializedFileReader<File>,
    column: TextColumn,
    limit: u64,
    found: &mut Findings,
) -> Result<(), ReadError> {
    for group in 0..reader.num_row_groups() {
        let rows = reader.get_row_group(group)?;
        if column.is_all_null {
            found.add_nulls(usize::try_from(rows.metadata().num_rows()).unwrap_or(0));
            continue;
        }
        let descriptor = reader.metadata().file_metadata().schema_descr().column(column.index);
        let pages = CheckedPages {
            pages: rows.get_column_page_reader(column.index)?,
            has_nulls: descriptor.max_def_level() > 0,
            limit,
        };
        let ColumnReader::ByteArrayColumnReader(mut rows) = get_column_reader(descriptor, Box::new(pages))
        else {
            return Err(ParquetError::General("a text column that is not of bytes".to_owned()).into());
        };
        loop {
            let (mut levels, mut values) = (Vec::new(), Vec::new());
            let (read, _, _) = rows.read_records(ROWS, Some(&mut levels), None, &mut values)?;
            if read == 0 {
                break;
            }
            found.add_nulls(read.saturating_sub(values.len()));
            for value in values {
                found.add(value.as_utf8()?.to_owned()).map_err(ReadError::Findings)?;
            }
        }
    }
    Ok(())
}

/// The pages of a column of byte arrays. None may claim more values than it can have, because the decoder reserves memory
/// for the lengths of as many.
struct CheckedPages {
    pages: Box<dyn PageReader>,
    /// Whether rows can be null, so that the values of a page come after the definition levels.
    has_nulls: bool,
    /// Bytes that the file may unpack to.
    limit: u64,
}

/// Bytes that hold the length of a value.
const LENGTH_BYTES: u64 = 4;

impl CheckedPages {
    /// The number of values for which the decoder of a page reserves memory, and the number that the page may have.
    fn claim(&self, page: &Page) -> (u64, u64) {
        let delta = |buf: &[u8], levels: usize, rows: u32| {
            let values = buf.get(levels..).unwrap_or_default();
            let claimed = delta::claimed_values(page.encoding(), values);
            (claimed, u64::from(rows).min(self.limit / LENGTH_BYTES))
        };
        match page {
            Page::DictionaryPage { buf, num_values, .. } => {
                (u64::from(*num_values), buf.len() as u64 / LENGTH_BYTES)
            }
            Page::DataPage { buf, num_values, def_level_encoding, .. } => {
                let levels =
                    if self.has_nulls { level_bytes(buf, *num_values, *def_level_encoding) } else { 0 };
                delta(buf, levels, *num_values)
            }
            Page::DataPageV2 { buf, num_values, def_levels_byte_len, rep_levels_byte_len, .. } => {
                let levels = (*def_levels_byte_len as usize).saturating_add(*rep_levels_byte_len as usize);
                delta(buf, levels, *num_values)
            }
        }
    }
}

/// The number of bytes that the definition levels at the beginning of a page take: packed bits, or runs behind the number of
/// their bytes.
fn level_bytes(page: &[u8], values: u32, encoding: Encoding) -> usize {
    match (encoding, page.first_chunk()) {
        (Encoding::RLE, Some(length)) => (u32::from_le_bytes(*length) as usize).saturating_add(4),
        _ => (values as usize).div_ceil(8),
    }
}

impl PageReader for CheckedPages {
    fn get_next_page(&mut self) -> Result<Option<Page>, ParquetError> {
        let Some(page) = self.pages.get_next_page()? else { return Ok(None) };
        let (claimed, possible) = self.claim(&page);
        if claimed > possible {
            let bytes = page.buffer().len();
            let text = format!("a page of {bytes} bytes claims {claimed} values and can have {possible}");
            return Err(ParquetError::General(text));
        }
        Ok(Some(page))
    }

    fn peek_next_page(&mut self) -> Result<Option<PageMetadata>, ParquetError> {
        self.pages.peek_next_page()
    }

    fn skip_next_page(&mut self) -> Result<(), ParquetError> {
        self.pages.skip_next_page()
    }
}

impl Iterator for CheckedPages {
    type Item = Result<Page, ParquetError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.get_next_page().transpose()
    }
}
