//! A table in a Parquet file: named columns of text, JSON, integers or reals, in which any value may be missing.
//!
//! What the columns mean travels in the file: the JSON of [`TableNote`] stands under the key `genloss` of the file's
//! metadata, and again under `PANDAS_ATTRS`, from which pandas fills `DataFrame.attrs`. [`crate::store::export`] writes such
//! tables.

use crate::guard::guard;
use parquet::basic::{Compression, ConvertedType, LogicalType, Repetition, Type as PhysicalType, ZstdLevel};
use parquet::data_type::{ByteArray, ByteArrayType, DataType, DoubleType, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::record::Field;
use parquet::schema::types::Type;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fs::File;
use std::sync::Arc;

/// One value of a table.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// No value.
    Missing,
    /// Text.
    Text(String),
    /// JSON as text.
    Json(String),
    /// A whole number.
    Integer(i64),
    /// A real number.
    Real(f64),
}

/// Rows of equal length under named columns. All values of a column are of one kind, or missing.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Table {
    /// The names of the columns.
    pub columns: Vec<String>,
    /// The rows.
    pub rows: Vec<Vec<Value>>,
    /// What the table contains; not read back.
    pub note: Option<TableNote>,
}

/// What a table contains, for readers who have nothing but the file.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct TableNote {
    /// What one row is.
    pub description: String,
    /// The meaning of each column, by its name.
    pub columns: BTreeMap<String, ColumnNote>,
    /// More about values that occur in the table, as JSON.
    #[serde(flatten)]
    pub more: BTreeMap<String, serde_json::Value>,
}

/// The meaning of a column.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct ColumnNote {
    /// What its values are.
    pub description: String,
    /// The unit of its values; `None` for names and for what has no unit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
}

/// How hard a table is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effort {
    /// The smallest file with an acceptable speed, for tables that are written once and read often.
    Small,
    /// A quick compression for much text.
    Fast,
}

/// The kind of a column's values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Text,
    Json,
    Integer,
    Real,
}

impl Table {
    /// A table without rows.
    #[must_use]
    pub fn new(columns: &[&str]) -> Self {
        let columns = columns.iter().map(|&name| name.to_owned()).collect();
        Self { columns, ..Self::default() }
    }

    /// The table as the bytes of a Parquet file. The same table always gives the same bytes.
    ///
    /// # Errors
    /// If the values of a column are not of one kind.
    pub fn to_parquet(&self, effort: Effort) -> Result<Vec<u8>, ParquetError> {
        let kinds: Vec<Kind> = (0..self.columns.len()).map(|column| self.kind(column)).collect();
        let fields = self.columns.iter().zip(&kinds).map(|(name, kind)| kind.field(name).map(Arc::new));
        let fields = fields.collect::<Result<Vec<_>, _>>()?;
        let schema = Arc::new(Type::group_type_builder("row").with_fields(fields).build()?);
        let level = match effort {
            Effort::Small => 19,
            Effort::Fast => 3,
        };
        let compression = Compression::ZSTD(ZstdLevel::try_new(level)?);
        let properties = WriterProperties::builder().set_compression(compression);
        let properties =
            properties.set_key_value_metadata(self.note.as_ref().map(TableNote::metadata)).build();
        let mut file = Vec::new();
        let mut writer = SerializedFileWriter::new(&mut file, schema, Arc::new(properties))?;
        let mut group = writer.next_row_group()?;
        for (column, kind) in kinds.iter().enumerate() {
            let values = self.rows.iter().map(|row| &row[column]);
            match kind {
                Kind::Text | Kind::Json => write_column::<ByteArrayType, _>(&mut group, values, bytes)?,
                Kind::Integer => write_column::<Int64Type, _>(&mut group, values, integer)?,
                Kind::Real => write_column::<DoubleType, _>(&mut group, values, real)?,
            }
        }
        group.close()?;
        writer.close()?;
        Ok(file)
    }

    /// Reads a file that [`Self::to_parquet`] wrote.
    ///
    /// # Errors
    /// If the file is damaged, or has other kinds of columns.
    pub fn from_file(file: File) -> Result<Self, ParquetError> {
        guard(|| Self::read(file)).unwrap_or_else(|panic| Err(ParquetError::External(Box::new(panic))))
    }

    fn read(file: File) -> Result<Self, ParquetError> {
        let reader = SerializedFileReader::new(file)?;
        let schema = reader.metadata().file_metadata().schema_descr_ptr();
        let columns = schema.columns().iter().map(|column| column.name().to_owned()).collect();
        let json: Vec<bool> =
            schema.columns().iter().map(|column| column.converted_type() == ConvertedType::JSON).collect();
        let mut rows = Vec::new();
        for row in reader.get_row_iter(None)? {
            let row = row?;
            let fields = row.get_column_iter().zip(&json);
            rows.push(fields.map(|((_, field), json)| value(field, *json)).collect::<Result<_, _>>()?);
        }
        Ok(Self { columns, rows, note: None })
    }

    /// The kind of the first value that is not missing; text for a column without any.
    fn kind(&self, column: usize) -> Kind {
        let kinds = self.rows.iter().filter_map(|row| match row[column] {
            Value::Missing => None,
            Value::Text(_) => Some(Kind::Text),
            Value::Json(_) => Some(Kind::Json),
            Value::Integer(_) => Some(Kind::Integer),
            Value::Real(_) => Some(Kind::Real),
        });
        kinds.into_iter().next().unwrap_or(Kind::Text)
    }
}

impl TableNote {
    fn metadata(&self) -> Vec<KeyValue> {
        let json = serde_json::to_string(self).expect("a note is plain data");
        ["genloss", "PANDAS_ATTRS"].map(|key| KeyValue::new(key.to_owned(), json.clone())).into()
    }
}

impl Kind {
    fn field(self, name: &str) -> Result<Type, ParquetError> {
        let (physical, logical) = match self {
            Self::Text => (PhysicalType::BYTE_ARRAY, Some(LogicalType::String)),
            Self::Json => (PhysicalType::BYTE_ARRAY, Some(LogicalType::Json)),
            Self::Integer => (PhysicalType::INT64, None),
            Self::Real => (PhysicalType::DOUBLE, None),
        };
        let field = Type::primitive_type_builder(name, physical).with_logical_type(logical);
        field.with_repetition(Repetition::OPTIONAL).build()
    }
}

/// Writes the next column of `group`: the results of `convert`, with None as a missing value.
fn write_column<'a, T: DataType, W: std::io::Write + Send>(
    group: &mut SerializedRowGroupWriter<W>,
    values: impl Iterator<Item = &'a Value>,
    convert: fn(&Value) -> Option<T::T>,
) -> Result<(), ParquetError> {
    let converted: Vec<Option<T::T>> = values.map(convert).collect();
    // Definition level 1 is a value, 0 a missing one.
    let levels: Vec<i16> = converted.iter().map(|value| i16::from(value.is_some())).collect();
    let present: Vec<T::T> = converted.into_iter().flatten().collect();
    let Some(mut column) = group.next_column()? else { return Ok(()) };
    column.typed::<T>().write_batch(&present, Some(&levels), None)?;
    column.close()
}

fn bytes(value: &Value) -> Option<ByteArray> {
    match value {
        Value::Text(text) | Value::Json(text) => Some(ByteArray::from(text.as_str())),
        Value::Missing | Value::Integer(_) | Value::Real(_) => None,
    }
}

fn integer(value: &Value) -> Option<i64> {
    match value {
        Value::Integer(integer) => Some(*integer),
        Value::Missing | Value::Text(_) | Value::Json(_) | Value::Real(_) => None,
    }
}

fn real(value: &Value) -> Option<f64> {
    match value {
        Value::Real(real) => Some(*real),
        Value::Missing | Value::Text(_) | Value::Json(_) | Value::Integer(_) => None,
    }
}

fn value(field: &Field, json: bool) -> Result<Value, ParquetError> {
    match field {
        Field::Null => Ok(Value::Missing),
        Field::Str(text) if json => Ok(Value::Json(text.clone())),
        Field::Str(text) => Ok(Value::Text(text.clone())),
        Field::Long(integer) => Ok(Value::Integer(*integer)),
        Field::Double(real) => Ok(Value::Real(*real)),
        other => {
            Err(ParquetError::General(format!("{other} is neither text, a 64-bit integer nor a double")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Seek, Write};

    fn file_of(bytes: &[u8]) -> File {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        file.rewind().unwrap();
        file
    }

    fn read_back(table: &Table) -> Table {
        Table::from_file(file_of(&table.to_parquet(Effort::Small).unwrap())).unwrap()
    }

    #[test]
    fn every_value_survives_bit_for_bit() {
        let reals =
            [0.1 + 0.2, -0.0, f64::MIN_POSITIVE / 2.0, f64::INFINITY, f64::from_bits(0x7ff8_0000_0000_0123)];
        let mut table = Table::new(&["text", "json.list", "integer", "real", "nothing"]);
        for real in reals {
            table.rows.push(vec![
                Value::Text("ü, \"quoted\"\n\0".to_owned()),
                Value::Json("[1.5]".to_owned()),
                Value::Integer(u64::MAX.cast_signed()),
                Value::Real(real),
                Value::Missing,
            ]);
        }
        table.rows.push(vec![Value::Missing; 5]);
        let read = read_back(&table);
        assert_eq!(read.columns, table.columns);
        for (row, real) in read.rows.iter().zip(reals) {
            assert!(matches!(row[3], Value::Real(found) if found.to_bits() == real.to_bits()), "{row:?}");
        }
        // NaN is not equal to itself; everything else compares.
        let without_reals = |table: &Table| -> Vec<Vec<Value>> {
            table.rows.iter().map(|row| [&row[..3], &row[4..]].concat()).collect()
        };
        assert_eq!(without_reals(&read), without_reals(&table));
    }

    #[test]
    fn a_table_without_rows_keeps_its_columns() {
        assert_eq!(read_back(&Table::new(&["a", "b"])), Table::new(&["a", "b"]));
    }

    #[test]
    fn a_cut_file_is_an_error() {
        let mut table = Table::new(&["a"]);
        table.rows.push(vec![Value::Integer(7)]);
        let bytes = table.to_parquet(Effort::Small).unwrap();
        assert!(Table::from_file(file_of(&bytes[..bytes.len() / 2])).is_err());
    }
}
