//! Small Parquet tables with reproducible bytes, independent of what the `parquet` crate writes about its version. Knows nothing of
//! what the columns mean.
//!
//! Fixed properties: format version 1, plain encoding, no dictionary, no compression, no statistics, no page index, one row
//! group per 65,536 rows, `created_by` constant. Every column is optional (null if a value is absent) except lists, which
//! are required. pandas, `DuckDB` and polars read them as they are.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use parquet::basic::{Compression, ConvertedType, Encoding, LogicalType, Repetition, Type as Physical};
use parquet::column::reader::ColumnReaderImpl;
use parquet::data_type::{BoolType, ByteArray, ByteArrayType, DataType, DoubleType, FloatType, Int32Type, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterVersion};
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::file::writer::{SerializedColumnWriter, SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::types::{ColumnDescriptor, Type, TypePtr};

const ROWS_PER_GROUP: usize = 1 << 16;

/// Values of one column.
#[derive(Clone, Debug, PartialEq)]
pub enum Column {
    /// 64-bit whole numbers.
    Int(Vec<Option<i64>>),
    /// 32-bit counts and coordinates.
    Count(Vec<Option<u32>>),
    /// 64-bit reals; NaN is a value, not a null.
    Real(Vec<Option<f64>>),
    /// 32-bit reals.
    Single(Vec<Option<f32>>),
    /// Truth values.
    Bool(Vec<Option<bool>>),
    /// UTF-8 text.
    Text(Vec<Option<String>>),
    /// Lists of counts, never null.
    Counts(Vec<Vec<u32>>),
}

impl Column {
    /// Number of rows.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::Int(values) => values.len(),
            Self::Count(values) => values.len(),
            Self::Real(values) => values.len(),
            Self::Single(values) => values.len(),
            Self::Bool(values) => values.len(),
            Self::Text(values) => values.len(),
            Self::Counts(values) => values.len(),
        }
    }

    /// Whether it has no rows.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn schema(&self, name: &str) -> Result<Type, ParquetError> {
        let unsigned = Some(LogicalType::integer(32, false));
        let leaf = |physical, logical| {
            Type::primitive_type_builder(name, physical)
                .with_repetition(Repetition::OPTIONAL)
                .with_logical_type(logical)
                .build()
        };
        match self {
            Self::Int(_) => leaf(Physical::INT64, None),
            Self::Count(_) => leaf(Physical::INT32, unsigned),
            Self::Real(_) => leaf(Physical::DOUBLE, None),
            Self::Single(_) => leaf(Physical::FLOAT, None),
            Self::Bool(_) => leaf(Physical::BOOLEAN, None),
            Self::Text(_) => leaf(Physical::BYTE_ARRAY, Some(LogicalType::String)),
            Self::Counts(_) => {
                let element = Type::primitive_type_builder("element", Physical::INT32)
                    .with_repetition(Repetition::REQUIRED)
                    .with_logical_type(unsigned)
                    .build()?;
                let list = Type::group_type_builder("list")
                    .with_repetition(Repetition::REPEATED)
                    .with_fields(vec![Arc::new(element)])
                    .build()?;
                Type::group_type_builder(name)
                    .with_repetition(Repetition::REQUIRED)
                    .with_logical_type(Some(LogicalType::List))
                    .with_fields(vec![Arc::new(list)])
                    .build()
            }
        }
    }

    fn write(&self, rows: std::ops::Range<usize>, mut to: SerializedColumnWriter<'_>) -> Result<(), ParquetError> {
        match self {
            Self::Int(values) => optional::<Int64Type, _>(&mut to, &values[rows], |&v| v),
            Self::Count(values) => optional::<Int32Type, _>(&mut to, &values[rows], |v| v.cast_signed()),
            Self::Real(values) => optional::<DoubleType, _>(&mut to, &values[rows], |&v| v),
            Self::Single(values) => optional::<FloatType, _>(&mut to, &values[rows], |&v| v),
            Self::Bool(values) => optional::<BoolType, _>(&mut to, &values[rows], |&v| v),
            Self::Text(values) => optional::<ByteArrayType, _>(&mut to, &values[rows], |v| v.as_str().into()),
            Self::Counts(values) => {
                let (mut flat, mut present, mut repeats) = (Vec::new(), Vec::new(), Vec::new());
                for list in &values[rows] {
                    flat.extend(list.iter().map(|value| value.cast_signed()));
                    present.extend(std::iter::repeat_n(1, list.len()));
                    repeats.extend((0..list.len()).map(|i| i16::from(i > 0)));
                    if list.is_empty() {
                        present.push(0);
                        repeats.push(0);
                    }
                }
                to.typed::<Int32Type>().write_batch(&flat, Some(&present), Some(&repeats)).map(|_| ())
            }
        }?;
        to.close()
    }
}

/// Name of a compression that is not supported.
const fn unsupported(compression: Compression) -> Option<&'static str> {
    match compression {
        Compression::UNCOMPRESSED | Compression::SNAPPY | Compression::ZSTD(_) => None,
        Compression::GZIP(_) => Some("gzip"),
        Compression::BROTLI(_) => Some("brotli"),
        Compression::LZ4 | Compression::LZ4_RAW => Some("lz4"),
        Compression::LZO => Some("lzo"),
    }
}

fn optional<T: DataType, V>(
    to: &mut SerializedColumnWriter<'_>,
    values: &[Option<V>],
    physical: impl Fn(&V) -> T::T,
) -> Result<(), ParquetError> {
    let present: Vec<i16> = values.iter().map(|value| i16::from(value.is_some())).collect();
    let values: Vec<T::T> = values.iter().flatten().map(physical).collect();
    to.typed::<T>().write_batch(&values, Some(&present), None).map(|_| ())
}

/// Named columns of one length.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Columns(pub Vec<(String, Column)>);

/// Reason why a table cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub enum TableError {
    /// Not Parquet, or damaged.
    #[error("not a readable Parquet table: {0}")]
    Parquet(#[from] ParquetError),
    /// A required column is missing or has another type.
    #[error("no column `{name}` of {expected}")]
    Column {
        /// Its name.
        name: String,
        /// The expected type.
        expected: &'static str,
    },
    /// A column of an unsupported type.
    #[error("column `{0}` has an unsupported type")]
    Type(String),
    /// A column whose compression is not supported.
    #[error(
        "it is compressed with {0}, which macula does not read; write it with zstd or snappy, in pandas by \
         `to_parquet(path, compression=\"zstd\")`"
    )]
    Compression(&'static str),
    /// Two columns of the same name.
    #[error("two columns are named `{0}`")]
    Twice(String),
    /// Columns of different lengths.
    #[error("column `{0}` has a different number of rows than the first")]
    Length(String),
    /// A null in a column that must not have any.
    #[error("column `{0}` has a null")]
    Null(String),
}

macro_rules! getter {
    ($(#[$doc:meta])* $name:ident, $variant:ident, $ty:ty, $words:literal) => {
        $(#[$doc])*
        ///
        /// # Errors
        /// [`TableError::Column`] if there is none with that name and type.
        pub fn $name(&self, name: &str) -> Result<&[$ty], TableError> {
            match self.get(name) {
                Some(Column::$variant(values)) => Ok(values),
                _ => Err(TableError::Column { name: name.to_owned(), expected: $words }),
            }
        }
    };
}

impl Columns {
    /// Adds a column.
    pub fn push(&mut self, name: impl Into<String>, column: Column) {
        self.0.push((name.into(), column));
    }

    /// The column called `name`.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Column> {
        self.0.iter().find(|(own, _)| own == name).map(|(_, column)| column)
    }

    getter!(
        /// A column of 64-bit whole numbers.
        ints, Int, Option<i64>, "whole numbers"
    );
    getter!(
        /// A column of 32-bit counts.
        counts, Count, Option<u32>, "counts"
    );
    getter!(
        /// A column of 64-bit reals.
        reals, Real, Option<f64>, "64-bit reals"
    );
    getter!(
        /// A column of 32-bit reals.
        singles, Single, Option<f32>, "32-bit reals"
    );
    getter!(
        /// A column of truth values.
        bools, Bool, Option<bool>, "truth values"
    );
    getter!(
        /// A column of text.
        texts, Text, Option<String>, "text"
    );
    getter!(
        /// A column of lists of counts.
        count_lists, Counts, Vec<u32>, "lists of counts"
    );

    /// Number of rows.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.0.first().map_or(0, |(_, column)| column.len())
    }

    /// The table as the bytes of a Parquet file.
    ///
    /// # Errors
    /// [`TableError::Length`], or an error of the `parquet` crate.
    pub fn to_parquet(&self) -> Result<Vec<u8>, TableError> {
        self.to_parquet_with(&[])
    }

    /// As [`Columns::to_parquet`], with facts about the table as key-value metadata in the footer, in order.
    ///
    /// # Errors
    /// As [`Columns::to_parquet`].
    pub fn to_parquet_with(&self, facts: &[(&str, &str)]) -> Result<Vec<u8>, TableError> {
        let rows = self.rows();
        if let Some((name, _)) = self.0.iter().find(|(_, column)| column.len() != rows) {
            return Err(TableError::Length(name.clone()));
        }
        let fields = self.0.iter().map(|(name, column)| column.schema(name).map(Arc::new));
        let fields: Vec<TypePtr> = fields.collect::<Result<_, _>>()?;
        let schema = Arc::new(Type::group_type_builder("schema").with_fields(fields).build()?);
        let mut writer = SerializedFileWriter::new(Vec::new(), schema, Arc::new(properties(facts)))?;
        for start in (0..rows).step_by(ROWS_PER_GROUP) {
            let group = writer.next_row_group()?;
            self.write_group(start..rows.min(start + ROWS_PER_GROUP), group)?;
        }
        Ok(writer.into_inner()?)
    }

    /// Checks that the bytes are a Parquet file, of any types, with a readable footer.
    ///
    /// # Errors
    /// [`TableError::Parquet`].
    pub fn readable(bytes: &[u8]) -> Result<(), TableError> {
        unpanicked(|| Ok(SerializedFileReader::new(Bytes::copy_from_slice(bytes)).map(|_| ())?))
    }

    fn write_group(
        &self,
        rows: std::ops::Range<usize>,
        mut group: SerializedRowGroupWriter<'_, Vec<u8>>,
    ) -> Result<(), ParquetError> {
        for (_, column) in &self.0 {
            let Some(writer) = group.next_column()? else { break };
            column.write(rows.clone(), writer)?;
        }
        group.close().map(|_| ())
    }

    /// Reads a table written by [`Columns::to_parquet`].
    ///
    /// # Errors
    /// [`TableError::Parquet`] or [`TableError::Type`].
    pub fn from_parquet(bytes: &[u8]) -> Result<Self, TableError> {
        Ok(Self::from_parquet_with(bytes)?.0)
    }

    /// As [`Columns::from_parquet`], with the facts in the footer.
    ///
    /// # Errors
    /// As [`Columns::from_parquet`].
    pub fn from_parquet_with(bytes: &[u8]) -> Result<(Self, BTreeMap<String, String>), TableError> {
        unpanicked(|| Self::parse(bytes, &|_| true))
    }

    /// Reads the wanted columns, by name, of a table written by any program; the others may be of any type.
    ///
    /// # Errors
    /// As [`Columns::from_parquet`], for the wanted columns.
    pub fn from_parquet_only(bytes: &[u8], wanted: &dyn Fn(&str) -> bool) -> Result<Self, TableError> {
        Ok(unpanicked(|| Self::parse(bytes, wanted))?.0)
    }

    fn parse(bytes: &[u8], wanted: &dyn Fn(&str) -> bool) -> Result<(Self, BTreeMap<String, String>), TableError> {
        let reader = SerializedFileReader::new(Bytes::copy_from_slice(bytes))?;
        let facts = reader.metadata().file_metadata().key_value_metadata().into_iter().flatten();
        let facts = facts.map(|fact| (fact.key.clone(), fact.value.clone().unwrap_or_default())).collect();
        let schema = reader.metadata().file_metadata().schema_descr_ptr();
        let fields = schema.root_schema().get_fields();
        // A nested column has several leaves, so column and leaf indices differ.
        let mut leaves = vec![Vec::new(); fields.len()];
        for leaf in 0..schema.num_columns() {
            leaves[schema.get_column_root_idx(leaf)].push(leaf);
        }
        let mut table = Self::default();
        let (mut names, mut read) = (BTreeSet::new(), Vec::new());
        for (field, leaves) in fields.iter().zip(&leaves).filter(|(field, _)| wanted(field.name())) {
            let name = field.name();
            if !names.insert(name) {
                return Err(TableError::Twice(name.to_owned()));
            }
            let other = || TableError::Type(name.to_owned());
            let &[leaf] = leaves.as_slice() else { return Err(other()) };
            let described = schema.column(leaf);
            table.push(name, empty(field, &described).ok_or_else(other)?);
            read.push((leaf, described.max_def_level() > 0));
        }
        for at in 0..reader.num_row_groups() {
            let group = reader.get_row_group(at)?;
            // Taken from the file; memory grows only with what is actually read.
            let rows = usize::try_from(group.metadata().num_rows())
                .map_err(|_| ParquetError::General("a row group with a negative number of rows".to_owned()))?;
            for (&(leaf, optional), (_, column)) in read.iter().zip(&mut table.0) {
                use parquet::column::reader::get_typed_column_reader as typed;
                if let Some(name) = unsupported(group.metadata().column(leaf).compression()) {
                    return Err(TableError::Compression(name));
                }
                let from = group.get_column_reader(leaf)?;
                let of = (rows, optional);
                match column {
                    Column::Int(to) => append::<Int64Type, _>(to, typed(from), of, Ok)?,
                    Column::Count(to) => append::<Int32Type, _>(to, typed(from), of, |v| Ok(v.cast_unsigned()))?,
                    Column::Real(to) => append::<DoubleType, _>(to, typed(from), of, Ok)?,
                    Column::Single(to) => append::<FloatType, _>(to, typed(from), of, Ok)?,
                    Column::Bool(to) => append::<BoolType, _>(to, typed(from), of, Ok)?,
                    Column::Text(to) => append::<ByteArrayType, _>(to, typed(from), of, |bytes| text(&bytes))?,
                    Column::Counts(to) => append_lists(to, typed(from), rows)?,
                }
            }
        }
        Ok((table, facts))
    }
}

/// Catches panics of the `parquet` crate on pages that contradict the file's metadata.
fn unpanicked<T>(read: impl FnOnce() -> Result<T, TableError>) -> Result<T, TableError> {
    let lies = || ParquetError::General("its pages contradict its metadata".to_owned()).into();
    crate::base::unpanicked(read).unwrap_or_else(|| Err(lies()))
}

/// Values of a column that must not contain nulls.
///
/// # Errors
/// [`TableError::Null`].
pub fn all<T: Clone>(name: &str, values: &[Option<T>]) -> Result<Vec<T>, TableError> {
    let values: Option<Vec<T>> = values.iter().cloned().collect();
    values.ok_or_else(|| TableError::Null(name.to_owned()))
}

fn properties(facts: &[(&str, &str)]) -> WriterProperties {
    let facts: Vec<_> = facts.iter().map(|&(name, text)| KeyValue::new(name.to_owned(), text.to_owned())).collect();
    WriterProperties::builder()
        .set_key_value_metadata(if facts.is_empty() { None } else { Some(facts) })
        .set_writer_version(WriterVersion::PARQUET_1_0)
        .set_created_by("macula".to_owned())
        .set_compression(Compression::UNCOMPRESSED)
        .set_encoding(Encoding::PLAIN)
        .set_dictionary_enabled(false)
        .set_statistics_enabled(EnabledStatistics::None)
        .set_offset_index_disabled(true)
        .set_data_page_size_limit(1 << 20)
        .set_data_page_row_count_limit(1 << 20)
        .set_write_batch_size(1024)
        .set_max_row_group_row_count(Some(ROWS_PER_GROUP))
        .build()
}

/// An empty column for a field; [`None`] for unsupported types (decimals, dates, nested lists).
fn empty(field: &Type, leaf: &ColumnDescriptor) -> Option<Column> {
    let levels = (leaf.max_def_level(), leaf.max_rep_level());
    if field.is_group() {
        return (levels == (1, 1) && leaf.physical_type() == Physical::INT32).then(|| Column::Counts(Vec::new()));
    }
    let plain = match leaf.logical_type_ref() {
        None => !matches!(
            leaf.converted_type(),
            ConvertedType::DECIMAL
                | ConvertedType::DATE
                | ConvertedType::TIME_MILLIS
                | ConvertedType::TIME_MICROS
                | ConvertedType::TIMESTAMP_MILLIS
                | ConvertedType::TIMESTAMP_MICROS
        ),
        Some(LogicalType::Integer { .. } | LogicalType::String | LogicalType::Enum) => true,
        Some(_) => false,
    };
    if levels.1 > 0 || !plain {
        return None;
    }
    Some(match leaf.physical_type() {
        Physical::INT64 => Column::Int(Vec::new()),
        Physical::INT32 => Column::Count(Vec::new()),
        Physical::DOUBLE => Column::Real(Vec::new()),
        Physical::FLOAT => Column::Single(Vec::new()),
        Physical::BOOLEAN => Column::Bool(Vec::new()),
        Physical::BYTE_ARRAY => Column::Text(Vec::new()),
        Physical::INT96 | Physical::FIXED_LEN_BYTE_ARRAY => return None,
    })
}

fn text(bytes: &ByteArray) -> Result<String, ParquetError> {
    let not = |_| ParquetError::General("a text column is not UTF-8".to_owned());
    String::from_utf8(Vec::from(bytes.data())).map_err(not)
}

fn append<T: DataType, V>(
    to: &mut Vec<Option<V>>,
    mut from: ColumnReaderImpl<T>,
    (rows, optional): (usize, bool),
    value: impl Fn(T::T) -> Result<V, ParquetError>,
) -> Result<(), ParquetError> {
    let (mut levels, mut values, mut done) = (Vec::new(), Vec::new(), 0);
    while done < rows {
        let (read, ..) = from.read_records(rows - done, optional.then_some(&mut levels), None, &mut values)?;
        if read == 0 {
            return Err(ParquetError::EOF("a column ends too early".to_owned()));
        }
        done += read;
    }
    let mut values = values.into_iter().map(value);
    if !optional {
        levels.resize(done, 1);
    }
    for level in levels {
        to.push(if level > 0 { values.next().transpose()? } else { None });
    }
    Ok(())
}

fn append_lists(
    to: &mut Vec<Vec<u32>>,
    mut from: ColumnReaderImpl<Int32Type>,
    rows: usize,
) -> Result<(), ParquetError> {
    let (mut present, mut repeats, mut values) = (Vec::new(), Vec::new(), Vec::new());
    let mut done = 0;
    while done < rows {
        let (read, ..) = from.read_records(rows - done, Some(&mut present), Some(&mut repeats), &mut values)?;
        if read == 0 {
            return Err(ParquetError::EOF("a column ends too early".to_owned()));
        }
        done += read;
    }
    let mut values = values.into_iter();
    let first = to.len();
    for (&present, &repeat) in present.iter().zip(&repeats) {
        if repeat == 0 || to.len() == first {
            to.push(Vec::new());
        }
        if present > 0
            && let (Some(list), Some(value)) = (to.last_mut(), values.next())
        {
            list.push(value.cast_unsigned());
        }
    }
    Ok(())
}
