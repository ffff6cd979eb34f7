//! When a row happened: a number, or a time of ISO 8601.

use std::ops::RangeInclusive;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use xsfm_interchange::input::Clock;

/// A point in time that is compared with others: a number of any unit, or seconds since 1970-01-01 UTC where it was
/// written as ISO 8601.
///
/// 64 bits before the binary point and 64 behind: nanoseconds keep their order beside seconds since 1970, which f64
/// would lose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(i128);

/// 1, as a [`Time`].
const ONE: i128 = 1 << 64;
const NANOSECONDS: i128 = 1_000_000_000;
const SECONDS_OF_DAY: i64 = 86_400;
/// The first and the last second of the years 1 to 9999, since 1970.
const CALENDAR: RangeInclusive<i64> = -62_135_596_800..=253_402_300_799;

impl Time {
    /// A whole number.
    pub fn whole(value: i64) -> Self {
        Time(i128::from(value) * ONE)
    }

    /// Reads a number (`1700000000.25`, `1e9`) or a time of ISO 8601: a date alone, or with a time of day behind a `T`
    /// or a space, with a fraction of a second or without, with a zone (`Z`, `+01:00`, `+0100`, `UTC`) or without,
    /// which is UTC. `None` for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        Self::plain_number(text).or_else(|| Self::number(text)).or_else(|| Self::iso(text))
    }

    /// Digits with at most one point, exactly: as f64 the nanoseconds since 1970 would be rounded.
    fn plain_number(text: &str) -> Option<Self> {
        let (negative, digits) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let are_digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
        if whole.is_empty() || !are_digits(whole) || !are_digits(fraction) {
            return None;
        }
        let whole: i64 = whole.parse().ok()?;
        // More digits than 64 bits tell apart.
        let fraction = &fraction[..fraction.len().min(18)];
        let behind = match fraction.len() {
            0 => 0,
            n => fraction.parse::<i128>().ok()? * ONE / 10_i128.pow(n as u32),
        };
        let value = i128::from(whole) * ONE + behind;
        Some(Time(if negative { -value } else { value }))
    }

    /// Any other number, as f64; those that are too large are all the largest.
    fn number(text: &str) -> Option<Self> {
        let value = text.parse().ok().filter(|v: &f64| v.is_finite())?;
        // The cast saturates. A factor of 2^64 changes no digit.
        Some(Time((value * ONE as f64) as i128))
    }

    fn iso(text: &str) -> Option<Self> {
        // Not of ISO 8601, but what databases write: a space before the zone, and its name where it is UTC.
        let mut text = text.trim_end().to_owned();
        for utc in ["UTC", "GMT"] {
            if let Some(before) = text.strip_suffix(utc) {
                text = format!("{}Z", before.trim_end());
            }
        }
        if let Some((before, zone)) = text.rsplit_once(' ')
            && zone.starts_with(['+', '-', 'Z'])
        {
            text = format!("{before}{zone}");
        }
        let timestamp = match text.parse::<Timestamp>() {
            Ok(timestamp) => timestamp,
            // Of a zone that is none a civil time would be silent.
            Err(_) if text.get(10..).is_some_and(|time| time.contains(['+', '-', 'Z', 'z', '['])) => return None,
            Err(_) => text.parse::<DateTime>().ok()?.to_zoned(TimeZone::UTC).ok()?.timestamp(),
        };
        let nanoseconds = timestamp.as_nanosecond();
        let (seconds, behind) = (nanoseconds.div_euclid(NANOSECONDS), nanoseconds.rem_euclid(NANOSECONDS));
        Some(Time(seconds * ONE + behind * ONE / NANOSECONDS))
    }

    /// The hour of the day or the day of the week in UTC, of a time in seconds since 1970. `None` before the year 1 and
    /// behind 9999: such numbers are in another unit.
    pub fn clock(self, clock: Clock) -> Option<i64> {
        let seconds = i64::try_from(self.0 >> 64).ok().filter(|seconds| CALENDAR.contains(seconds))?;
        Some(match clock {
            Clock::Hour => seconds.rem_euclid(SECONDS_OF_DAY) / 3600,
            // The first of January 1970 was a Thursday.
            Clock::Weekday => (seconds.div_euclid(SECONDS_OF_DAY) + 3).rem_euclid(7),
        })
    }

    /// An integer in the same order.
    pub fn key(self) -> u128 {
        self.0.cast_unsigned() ^ 1 << 127
    }

    /// The time of a [`key`](Self::key).
    pub fn of_key(key: u128) -> Self {
        Time((key ^ 1 << 127).cast_signed())
    }
}

/// A number, to the nanosecond.
impl std::fmt::Display for Time {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let magnitude = self.0.unsigned_abs();
        let (whole, behind) = (magnitude >> 64, magnitude & u128::from(u64::MAX));
        let nanoseconds = ((behind * NANOSECONDS.unsigned_abs()) + (1 << 63)) >> 64;
        let (whole, nanoseconds) =
            if nanoseconds == NANOSECONDS.unsigned_abs() { (whole + 1, 0) } else { (whole, nanoseconds) };
        write!(f, "{}{whole}", if self.0 < 0 { "-" } else { "" })?;
        match nanoseconds {
            0 => Ok(()),
            some => write!(f, ".{}", format!("{some:09}").trim_end_matches('0')),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Clock, Time};

    fn time(text: &str) -> Time {
        Time::parse(text).unwrap_or_else(|| panic!("{text}"))
    }

    #[test]
    fn iso_and_seconds_are_one_scale() {
        for (iso, seconds) in [
            ("1970-01-01", "0"),
            ("1969-12-31T23:59:59.5Z", "-0.5"),
            ("2024-03-05T10:00:00.25+01:00", "1709629200.25"),
            ("2024-03-05T10:00:00.25+0100", "1709629200.25"),
            ("2024-03-05 10:00:00.25+01", "1709629200.25"),
            ("2024-03-05 10:00:00.25 +01:00", "1709629200.25"),
            ("2024-03-05 09:00:00.250", "1709629200.25"),
            ("2024-03-05 09:00:00.25 UTC", "1709629200.25"),
            ("2024-03-05t09:00:00.25z", "1709629200.25"),
            ("2024-03-05T09:00", "1709629200"),
            ("20240305T090000Z", "1709629200"),
            ("2024-03-04T23:30:00-09:30", "1709629200"),
            ("2024-02-29", "1709164800"),
            ("1900-01-01 00:00:00", "-2208988800"),
            ("9999-01-01", "253370764800"),
        ] {
            assert_eq!(time(iso), time(seconds), "{iso}");
        }
        for (number, same) in
            [("1e9", "1000000000"), ("+7", "7"), ("-0", "0"), (".5", "0.5"), ("5.", "5"), ("1E-1", ".1")]
        {
            assert_eq!(time(number).to_string(), time(same).to_string(), "{number}");
        }
    }

    #[test]
    fn hours_and_weekdays_are_those_of_the_calendar() {
        for (text, hour, weekday) in [
            ("1970-01-01", 0, 3),
            ("0", 0, 3),
            ("-1", 23, 2),
            ("-0.001", 23, 2),
            ("3599.999", 0, 3),
            ("2026-03-05T21:59:59.999", 21, 3),
            ("2026-03-08T23:30:00-01:00", 0, 0),
            ("2026-03-09T00:30:00+01:00", 23, 6),
            ("1900-01-01", 0, 0),
            ("0001-01-01T01:00:00Z", 1, 0),
            ("253402300799", 23, 4),
        ] {
            let found = [Clock::Hour, Clock::Weekday].map(|clock| time(text).clock(clock));
            assert_eq!(found, [Some(hour), Some(weekday)], "{text}");
        }
        // Milliseconds, and more.
        for text in ["253402300800", "1700000000000", "1700000000000000000", "-62135596801", "1e300", "-1e300"] {
            assert_eq!(time(text).clock(Clock::Hour), None, "{text}");
        }
    }

    #[test]
    fn nothing_that_is_no_time_is_one() {
        for text in [
            "",
            "late",
            "NaN",
            "inf",
            "-",
            ".",
            "1.2.3",
            "0x10",
            "2024-13-01",
            "2023-02-29",
            "2024-03-05T25:00:00",
            "2024-03-05T10:00:00+99:00",
            "2024-03-05T10:00:00+",
            "2024-03-05T10:00:00 Mars/Base",
            "10:00:00",
            "05/03/2024",
            "2024-03-05T10:00:00[Europe/Berlin]",
            "2024-03-05Z",
        ] {
            assert_eq!(Time::parse(text), None, "{text}");
        }
    }

    #[test]
    fn close_times_keep_their_order() {
        let ordered = [
            "-1e300",
            "-1e17",
            "-3",
            "-0.5",
            "0",
            "1e-9",
            "1700000000",
            "2023-11-14T22:13:20.000000001Z",
            "1700000000.000000002",
            "2023-11-14T23:13:20.000000003+01:00",
            "1700000000.1",
            "1700000000123456788",
            "1700000000123456789",
            "1e300",
        ];
        for pair in ordered.windows(2) {
            assert!(time(pair[0]) < time(pair[1]), "{pair:?}");
            assert!(time(pair[0]).key() < time(pair[1]).key(), "{pair:?}");
            assert_eq!(Time::of_key(time(pair[0]).key()), time(pair[0]));
        }
        assert_eq!(time("1700000000.000000001").to_string(), "1700000000.000000001");
        assert_eq!(time("-0.25").to_string(), "-0.25");
        assert_eq!(Time::whole(-7).to_string(), "-7");
    }
}
