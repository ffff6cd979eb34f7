//! What the values of a column look like, and what they are probably.

use std::collections::{HashMap, HashSet};

use foldhash::fast::RandomState;
use xsfm_interchange::schema::FieldKind;
use xsfm_readers::time::Time;

use super::integers::names;

/// Different values that are counted; columns that have more have many.
const COUNTED: usize = 200_000;
/// Characters that may stand between the tokens of a bag.
const SEPARATORS: [&str; 5] = ["|", ";", ",", " ", "/"];
/// Numbers of fewer values are categories: ratings, hours, codes.
const CATEGORIES: usize = 40;
/// Buckets of real numbers.
const QUANTILES: u32 = 32;
/// A value of a column that tells rows apart is in no more than so many rows, on average.
const ROWS_OF_AN_IDENTIFIER: f64 = 1.05;

/// A column, value by value.
#[derive(Debug, Default)]
pub(super) struct Column {
    pub(super) name: String,
    rows: u64,
    empty: u64,
    /// Values with the labels that they are beside, as far as they are counted.
    values: HashMap<String, HashSet<String, RandomState>, RandomState>,
    numbers: u64,
    integers: u64,
    negative: u64,
    times: u64,
    smallest: f64,
    largest: f64,
    /// Lists of a Parquet file.
    lists: u64,
    /// For each separator: values that have it, and how many different tokens are in them.
    separated: [Separated; SEPARATORS.len()],
}

#[derive(Debug, Default)]
struct Separated {
    values: u64,
    different: HashSet<String, RandomState>,
}

/// What a column is probably.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Guess {
    Field {
        kind: FieldKind,
        separator: Option<&'static str>,
        /// Numbers: buckets by how many rows there are, and not by size.
        quantiles: Option<u32>,
        /// What is to be said of it.
        why: Option<&'static str>,
    },
    /// A time, which orders rows.
    Time,
    /// No field, and why.
    Suspicious(&'static str),
}

impl Column {
    pub(super) fn new(name: String) -> Self {
        Column { name, smallest: f64::INFINITY, largest: f64::NEG_INFINITY, ..Column::default() }
    }

    /// Takes a value, beside the text of its row's label.
    pub(super) fn add(&mut self, value: &str, label: &str) {
        self.rows += 1;
        self.remember(value, label);
        if value.is_empty() {
            self.empty += 1;
            return;
        }
        if let Some(number) = value.parse::<f64>().ok().filter(|number| number.is_finite()) {
            self.numbers += 1;
            self.integers += u64::from(number.fract() == 0.0);
            self.negative += u64::from(number < 0.0);
            self.smallest = self.smallest.min(number);
            self.largest = self.largest.max(number);
        } else if Time::parse(value).is_some() {
            self.times += 1;
        }
        for (separated, separator) in self.separated.iter_mut().zip(SEPARATORS) {
            separated.add(value, separator);
        }
    }

    /// Takes a list.
    pub(super) fn add_list(&mut self, tokens: &[impl AsRef<str>], label: &str) {
        self.rows += 1;
        self.lists += 1;
        tokens.iter().for_each(|token| self.remember(token.as_ref(), label));
    }

    fn remember(&mut self, value: &str, label: &str) {
        if let Some(labels) = self.values.get_mut(value) {
            // Two tell that it decides nothing.
            if labels.len() < 2 && !labels.contains(label) {
                labels.insert(label.to_owned());
            }
        } else if self.values.len() < COUNTED {
            self.values.insert(value.to_owned(), HashSet::from_iter([label.to_owned()]));
        }
    }

    /// How many different values, `200000+` where no more are counted.
    fn different(&self) -> String {
        let many = if self.values.len() == COUNTED { "+" } else { "" };
        format!("{}{many}", self.values.len())
    }

    /// What it is, where the label has `labels` different values.
    pub(super) fn guess(&self, labels: usize) -> Guess {
        let different = self.values.len();
        let full = self.rows - self.empty;
        let field = |kind, separator| Guess::Field { kind, separator, quantiles: None, why: None };
        if self.lists > 0 {
            return field(FieldKind::Bag, None);
        }
        if different <= 1 {
            return Guess::Suspicious("constant: every row has the same value");
        }
        let decides = labels > 1 && different <= labels && self.values.values().all(|labels| labels.len() == 1);
        if decides {
            return Guess::Suspicious("the label's twin: each of its values stands beside one label alone");
        }
        if self.times > 0 && self.times == full {
            return Guess::Time;
        }
        let is_fraction = self.integers < self.numbers;
        if full as f64 <= ROWS_OF_AN_IDENTIFIER * different as f64 && !is_fraction {
            return Guess::Suspicious(
                "nearly every row has a value of its own: it names rows, and tells nothing of others",
            );
        }
        if self.numbers == full && full > 0 {
            if different <= CATEGORIES {
                return field(FieldKind::Categorical, None);
            }
            let range = [self.smallest, self.largest];
            if is_fraction {
                let why = Some("Real numbers, not counts: buckets with equally many rows tell them apart at any size.");
                return Guess::Field { kind: FieldKind::Numeric, separator: None, quantiles: Some(QUANTILES), why };
            }
            let why = names(&self.name, different, range);
            let kind = if why.is_some() { FieldKind::Categorical } else { FieldKind::Numeric };
            return Guess::Field { kind, separator: None, quantiles: None, why };
        }
        let bag = self.separated.iter().zip(SEPARATORS).find(|(separated, _)| separated.is_bag(full, different));
        match bag {
            Some((_, separator)) => field(FieldKind::Bag, Some(separator)),
            None => field(FieldKind::Categorical, None),
        }
    }

    /// What speaks for it, in words.
    pub(super) fn reasons(&self) -> String {
        let share = |count: u64| format!("{:.1} %", 100.0 * count as f64 / self.rows.max(1) as f64);
        let mut words = vec![format!("{} different values in {} rows", self.different(), self.rows)];
        if self.empty > 0 {
            words.push(format!("{} empty", share(self.empty)));
        }
        if self.numbers > 0 {
            let what = if self.integers == self.numbers { "integers" } else { "numbers" };
            let below = if self.negative > 0 { format!(", {} negative", share(self.negative)) } else { String::new() };
            words.push(format!("{} {what} up to {}{below}", share(self.numbers), self.largest));
        }
        words.join("; ")
    }
}

impl Separated {
    fn add(&mut self, value: &str, separator: &str) {
        let tokens = value.split(separator).filter(|token| !token.is_empty());
        self.values += u64::from(value.contains(separator));
        for token in tokens {
            if self.different.len() < COUNTED && !self.different.contains(token) {
                self.different.insert(token.to_owned());
            }
        }
    }

    /// Values have several tokens, and share them: there are fewer tokens than values.
    fn is_bag(&self, values: u64, different_values: usize) -> bool {
        self.values * 5 > values && self.different.len() * 2 < different_values && self.different.len() > 1
    }
}
