//! The values of Arrow's arrays, as the readers of Parquet have them: integers of any width, texts of any kind, lists
//! as bags.

use std::fmt::Write;
use std::ops::Range;

use arrow_array::cast::AsArray;
use arrow_array::types::{
    ArrowPrimitiveType, Date32Type, Date64Type, Decimal128Type, Decimal256Type, Float16Type, Float32Type, Float64Type,
    Int8Type, Int16Type, Int32Type, Int64Type, Time32MillisecondType, Time32SecondType, Time64MicrosecondType,
    Time64NanosecondType, TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType,
    TimestampSecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow_array::{AnyDictionaryArray, Array, GenericListArray, OffsetSizeTrait};
use arrow_schema::{DataType, TimeUnit};
use xsfm_runtime::Value;

use crate::error::Problem;

const SECONDS_OF_DAY: i64 = 86_400;

/// What is called with rows and their values.
type Visit<'v> = &'v mut dyn FnMut(usize, Value<'_>) -> Result<(), Problem>;

/// Calls `visit` with each row of `range`, and its value. `is_clock`: whether times are wanted in seconds since 1970;
/// else they are the numbers that stand there.
pub(super) fn each(
    array: &dyn Array,
    range: Range<usize>,
    is_clock: bool,
    visit: &mut impl FnMut(usize, Value<'_>) -> Result<(), Problem>,
) -> Result<(), Problem> {
    macro_rules! values {
        ($typed:expr, $value:ident => $of:expr) => {{
            let typed = $typed;
            present(array, range, visit, |row, visit| {
                let $value = typed.value(row);
                visit(row, $of)
            })
        }};
    }
    macro_rules! integers {
        ($kind:ty) => { values!(array.as_primitive::<$kind>(), value => Value::Integer(value.into())) };
    }
    macro_rules! times {
        ($kind:ty, $seconds:expr, $units:expr) => {
            values!(array.as_primitive::<$kind>(), value => {
                let value = i64::from(value);
                let seconds = value.saturating_mul($seconds).div_euclid($units);
                Value::Integer(if is_clock { seconds } else { value })
            })
        };
    }
    match array.data_type() {
        DataType::Null => range.into_iter().try_for_each(|row| visit(row, Value::Missing)),
        DataType::Utf8 => values!(array.as_string::<i32>(), value => Value::Text(value)),
        DataType::LargeUtf8 => values!(array.as_string::<i64>(), value => Value::Text(value)),
        DataType::Utf8View => values!(array.as_string_view(), value => Value::Text(value)),
        DataType::Binary => values!(array.as_binary::<i32>(), value => utf8(value)?),
        DataType::LargeBinary => values!(array.as_binary::<i64>(), value => utf8(value)?),
        DataType::BinaryView => values!(array.as_binary_view(), value => utf8(value)?),
        DataType::Boolean => values!(array.as_boolean(), value => Value::Integer(value.into())),
        DataType::Int8 => integers!(Int8Type),
        DataType::Int16 => integers!(Int16Type),
        DataType::Int32 => integers!(Int32Type),
        DataType::Int64 => integers!(Int64Type),
        DataType::UInt8 => integers!(UInt8Type),
        DataType::UInt16 => integers!(UInt16Type),
        DataType::UInt32 => integers!(UInt32Type),
        DataType::UInt64 => written::<UInt64Type>(array, range, visit),
        // The digits that tell an f32 from its neighbours, not those of the f64 that it is.
        DataType::Float16 => written::<Float16Type>(array, range, visit),
        DataType::Float32 => written::<Float32Type>(array, range, visit),
        DataType::Float64 => values!(array.as_primitive::<Float64Type>(), value => Value::Real(value)),
        DataType::Date32 => times!(Date32Type, SECONDS_OF_DAY, 1),
        DataType::Date64 => times!(Date64Type, 1, 1_000),
        DataType::Timestamp(TimeUnit::Second, _) => times!(TimestampSecondType, 1, 1),
        DataType::Timestamp(TimeUnit::Millisecond, _) => times!(TimestampMillisecondType, 1, 1_000),
        DataType::Timestamp(TimeUnit::Microsecond, _) => times!(TimestampMicrosecondType, 1, 1_000_000),
        DataType::Timestamp(TimeUnit::Nanosecond, _) => times!(TimestampNanosecondType, 1, 1_000_000_000),
        DataType::Time32(TimeUnit::Second) => integers!(Time32SecondType),
        DataType::Time32(TimeUnit::Millisecond) => integers!(Time32MillisecondType),
        DataType::Time64(TimeUnit::Microsecond) => integers!(Time64MicrosecondType),
        DataType::Time64(TimeUnit::Nanosecond) => integers!(Time64NanosecondType),
        DataType::Decimal128(..) => {
            let typed = array.as_primitive::<Decimal128Type>();
            present(array, range, visit, |row, visit| visit(row, Value::Text(&typed.value_as_string(row))))
        }
        DataType::Decimal256(..) => {
            let typed = array.as_primitive::<Decimal256Type>();
            present(array, range, visit, |row, visit| visit(row, Value::Text(&typed.value_as_string(row))))
        }
        DataType::List(_) => lists(array.as_list::<i32>(), range, visit),
        DataType::LargeList(_) => lists(array.as_list::<i64>(), range, visit),
        DataType::FixedSizeList(..) => {
            let typed = array.as_fixed_size_list();
            present(array, range, visit, |row, visit| {
                let values = typed.value(row);
                tokens(&values, 0..values.len(), row, visit)
            })
        }
        DataType::Dictionary(..) => {
            let dictionary = array.as_any_dictionary();
            range.into_iter().try_for_each(|row| of_key(dictionary, row, is_clock, visit))
        }
        other => Err(Problem::of_all(format!("values of type {other}: text, numbers, or lists of these expected"))),
    }
}

/// The place of a row's value in a dictionary; `None` where it is missing.
pub(super) fn key(keys: &dyn Array, row: usize) -> Option<usize> {
    macro_rules! of {
        ($($data:ident => $kind:ty),*) => {
            match keys.data_type() {
                $(DataType::$data => usize::try_from(keys.as_primitive::<$kind>().value(row)).ok(),)*
                _ => None,
            }
        };
    }
    if keys.is_null(row) {
        return None;
    }
    of!(Int8 => Int8Type, Int16 => Int16Type, Int32 => Int32Type, Int64 => Int64Type, UInt8 => UInt8Type,
        UInt16 => UInt16Type, UInt32 => UInt32Type, UInt64 => UInt64Type)
}

fn of_key(dictionary: &dyn AnyDictionaryArray, row: usize, is_clock: bool, visit: Visit<'_>) -> Result<(), Problem> {
    match key(dictionary.keys(), row).filter(|&key| key < dictionary.values().len()) {
        None => visit(row, Value::Missing),
        Some(key) => each(dictionary.values(), key..key + 1, is_clock, &mut |_, value| visit(row, value))
            .map_err(|problem| Problem { row: Some(row), ..problem }),
    }
}

/// Calls `of_row` with the rows that have a value, and tells of the others.
fn present<V: FnMut(usize, Value<'_>) -> Result<(), Problem>>(
    array: &dyn Array,
    mut range: Range<usize>,
    visit: &mut V,
    mut of_row: impl FnMut(usize, &mut V) -> Result<(), Problem>,
) -> Result<(), Problem> {
    let nulls = array.nulls();
    range.try_for_each(|row| match nulls.is_some_and(|nulls| nulls.is_null(row)) {
        true => visit(row, Value::Missing),
        false => of_row(row, visit).map_err(|problem| problem.in_row(row)),
    })
}

/// Numbers by the text that they have.
fn written<T: ArrowPrimitiveType<Native: std::fmt::Display>>(
    array: &dyn Array,
    range: Range<usize>,
    visit: &mut impl FnMut(usize, Value<'_>) -> Result<(), Problem>,
) -> Result<(), Problem> {
    let (typed, mut text) = (array.as_primitive::<T>(), String::new());
    present(array, range, visit, |row, visit| {
        text.clear();
        // Writing to a string does not fail.
        let _ = write!(text, "{}", typed.value(row));
        visit(row, Value::Text(&text))
    })
}

fn utf8(bytes: &[u8]) -> Result<Value<'_>, Problem> {
    str::from_utf8(bytes).map(Value::Text).map_err(|error| Problem::of_all(format!("not UTF-8: {error}")))
}

fn lists<O: OffsetSizeTrait>(
    lists: &GenericListArray<O>,
    range: Range<usize>,
    visit: &mut impl FnMut(usize, Value<'_>) -> Result<(), Problem>,
) -> Result<(), Problem> {
    let offsets = lists.value_offsets();
    let offset = |place: usize| offsets.get(place).map_or(0, |offset| offset.as_usize());
    present(lists, range, visit, |row, visit| tokens(lists.values(), offset(row)..offset(row + 1), row, visit))
}

/// The values of a list as the tokens of a row's bag.
fn tokens(values: &dyn Array, range: Range<usize>, row: usize, visit: Visit<'_>) -> Result<(), Problem> {
    let (mut text, mut ends) = (String::new(), Vec::with_capacity(range.len()));
    let mut push = |_: usize, value: Value<'_>| -> Result<(), Problem> {
        // Writing to a string does not fail.
        let _ = match value {
            Value::Text(token) => text.write_str(token),
            Value::Integer(number) => write!(text, "{number}"),
            Value::Real(number) => write!(text, "{number}"),
            Value::Missing | Value::Bytes(_) => Ok(()),
            Value::Tokens(_) | Value::Weighted(_) => return Err(Problem::of_all("a list of lists")),
        };
        ends.push(text.len());
        Ok(())
    };
    let mut push: Visit<'_> = &mut push;
    each(values, range, false, &mut push).map_err(|problem| Problem { row: Some(row), ..problem })?;
    let starts = [0].into_iter().chain(ends.iter().copied());
    let tokens: Vec<&str> = starts.zip(&ends).filter_map(|(from, &to)| text.get(from..to)).collect();
    visit(row, Value::Tokens(&tokens))
}
