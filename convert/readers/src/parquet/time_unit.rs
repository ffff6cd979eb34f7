//! Times of a Parquet file as seconds since 1970, where the column's type says what they count.

use parquet::basic::{self, ConvertedType, LogicalType};
use parquet::record::Field;
use parquet::schema::types::Type;

/// What the times of a column count: so many seconds are so many units.
#[derive(Clone, Copy, Debug)]
pub(super) struct TimeUnit {
    seconds: i64,
    units: i64,
}

const DAYS: TimeUnit = TimeUnit { seconds: 86_400, units: 1 };
const MILLISECONDS: TimeUnit = TimeUnit { seconds: 1, units: 1_000 };
const MICROSECONDS: TimeUnit = TimeUnit { seconds: 1, units: 1_000_000 };
const NANOSECONDS: TimeUnit = TimeUnit { seconds: 1, units: 1_000_000_000 };

impl TimeUnit {
    /// That of a column; `None` where it has numbers or texts, which mean what they mean in a CSV.
    pub(super) fn of(column: &Type) -> Option<Self> {
        let info = column.get_basic_info();
        match (info.logical_type_ref(), info.converted_type()) {
            (Some(LogicalType::Timestamp(time)), _) => Some(match time.unit {
                basic::TimeUnit::MILLIS => MILLISECONDS,
                basic::TimeUnit::MICROS => MICROSECONDS,
                basic::TimeUnit::NANOS => NANOSECONDS,
            }),
            (Some(LogicalType::Date), _) | (_, ConvertedType::DATE) => Some(DAYS),
            (_, ConvertedType::TIMESTAMP_MILLIS) => Some(MILLISECONDS),
            (_, ConvertedType::TIMESTAMP_MICROS) => Some(MICROSECONDS),
            // The library gives milliseconds of these.
            _ if column.is_primitive() && column.get_physical_type() == basic::Type::INT96 => Some(MILLISECONDS),
            _ => None,
        }
    }

    /// The seconds of a value, rounded down; `None` where it is missing.
    pub(super) fn seconds(self, value: &Field) -> Option<i64> {
        let units = match value {
            Field::Date(days) => i64::from(*days),
            Field::TimestampMillis(units) | Field::TimestampMicros(units) | Field::Long(units) => *units,
            _ => return None,
        };
        Some(units.saturating_mul(self.seconds).div_euclid(self.units))
    }
}
