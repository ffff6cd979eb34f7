//! How strongly whole tables are penalised.

use std::str::FromStr;

use serde::{Serialize, Serializer};

/// `--table-l2`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum TableL2 {
    /// By the number of training rows.
    Auto,
    /// A number.
    Of(f64),
}

/// Rows for which [`TableL2::Auto`] is 1.
const ROWS: f64 = 45_000.0;
/// How it falls with them.
const POWER: f64 = 1.6;

impl TableL2 {
    /// lambda, in a training with so many rows.
    ///
    /// `(rows / 45,000)^-1.6` goes through what was best on MovieLens-100K (0.5, 80,000 rows) and on Frappe (0.1, 202,000), and what FuxiCTR's
    /// published settings have for Criteo (1e-5, 37 million): see `docs/training.md`.
    pub fn of(self, rows: u64) -> f64 {
        match self {
            TableL2::Of(lambda) => lambda,
            TableL2::Auto => (rows.max(1) as f64 / ROWS).powf(-POWER).min(1.0),
        }
    }

    /// Whether there is none, whatever the rows.
    pub fn is_none(&self) -> bool {
        *self == TableL2::Of(0.0)
    }
}

impl FromStr for TableL2 {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match (text, text.parse::<f64>()) {
            ("auto", _) => Ok(TableL2::Auto),
            (_, Ok(lambda)) if lambda.is_finite() && lambda >= 0.0 => Ok(TableL2::Of(lambda)),
            _ => Err("`auto`, or a number that is 0 or more".to_owned()),
        }
    }
}

impl Serialize for TableL2 {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            TableL2::Auto => serializer.serialize_str("auto"),
            TableL2::Of(lambda) => serializer.serialize_f64(*lambda),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn it_is_a_number_or_goes_by_the_rows() {
        let of = |text: &str, rows| text.parse::<TableL2>().unwrap().of(rows);
        assert_eq!((of("0.3", 5), of("0", 1 << 30)), (0.3, 0.0));
        for (rows, expected) in
            [(80_000, 0.40), (202_027, 0.090), (36_672_493, 2.2e-5), (39_000, 1.0), (10, 1.0), (0, 1.0)]
        {
            let found = of("auto", rows);
            assert!((found / expected - 1.0).abs() < 0.03, "{rows} rows: {found}");
        }
        for text in ["", "-1", "nan", "inf", "Auto"] {
            assert!(text.parse::<TableL2>().is_err(), "{text}");
        }
        let json = |text: &str| serde_json::to_string(&text.parse::<TableL2>().unwrap()).unwrap();
        assert_eq!((json("auto"), json("0.5")), ("\"auto\"".to_owned(), "0.5".to_owned()));
    }
}
