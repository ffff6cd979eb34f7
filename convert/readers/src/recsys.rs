//! Tweets of the RecSys Challenge 2020 (Twitter): no header, 24 columns separated by the byte 1, lists by tabs.
//!
//! Left out are the words of the tweet (`text_tokens`) and its id.

use indicatif::ProgressBar;
use xsfm_interchange::bucket::bucket;
use xsfm_interchange::encoding;
use xsfm_interchange::input::{Clock, Input, Keep, RECSYS_MAX_BAG};
use xsfm_interchange::schema::FieldKind;

use crate::error::DataError;
use crate::files::Files;
use crate::lines::{self, LineParser, check_bytes};
use crate::raw::{Blocks, Place, RawField, RawRow};
use crate::source::Source;
use crate::time::Time;

/// Separates columns.
const SEPARATOR: char = '\u{1}';
/// Separates the tokens of a list.
pub(crate) const LIST_SEPARATOR: &str = "\t";
const COLUMNS: usize = 24;
/// Columns of files without engagements, which are there to be scored.
const UNLABELLED_COLUMNS: usize = 20;
const TIMESTAMP: usize = 8;
/// First column of the tweet's author, then of its reader: id, followers, following, verified, created.
const PEOPLE: [(&str, usize); 2] = [("author", 9), ("reader", 14)];
const SECONDS_OF_DAY: i64 = 86_400;

/// What a reader may do with a tweet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Engagement {
    /// Answer it
    Reply,
    /// Pass it on
    Retweet,
    /// Pass it on with words of one's own
    RetweetWithComment,
    /// Like it
    Like,
}

impl Engagement {
    /// All four, in the order of their columns.
    pub const ALL: [Engagement; 4] =
        [Engagement::Reply, Engagement::Retweet, Engagement::RetweetWithComment, Engagement::Like];

    /// Its name in flags and folders.
    pub fn name(self) -> &'static str {
        match self {
            Engagement::Reply => "reply",
            Engagement::Retweet => "retweet",
            Engagement::RetweetWithComment => "retweet-with-comment",
            Engagement::Like => "like",
        }
    }
}

/// How a field comes from its column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rule {
    Text,
    Bag,
    Count,
    /// `true` or `false`.
    Flag,
    /// Hour or weekday of the tweet.
    Clock(Clock),
    /// Days from this time to the tweet.
    Age,
}

/// The data set, with one of the engagements as its label.
#[derive(Debug)]
pub struct RecSys {
    files: Files,
    engagement: Engagement,
    fields: Vec<RawField>,
    /// Column and rule of each field.
    rules: Vec<(usize, Rule)>,
    labels: bool,
}

impl RecSys {
    /// Files whose tokens are kept from `min_count` training rows on.
    pub fn new(files: impl Into<Files>, engagement: Engagement, min_count: u64) -> Self {
        let mut source =
            RecSys { files: files.into(), engagement, fields: Vec::new(), rules: Vec::new(), labels: true };
        let mut add = |name: &str, column, rule| {
            let kind = match rule {
                Rule::Bag => FieldKind::Bag,
                Rule::Count | Rule::Age => FieldKind::Numeric,
                Rule::Text | Rule::Flag | Rule::Clock(_) => FieldKind::Categorical,
            };
            source.fields.push(RawField {
                name: name.to_owned(),
                kind,
                rule: encoding::Rule::Tokens,
                min_count,
                weights: None,
                max_bag: RECSYS_MAX_BAG,
                keep: Keep::First,
            });
            source.rules.push((column, rule));
        };
        add("hashtags", 1, Rule::Bag);
        add("media", 3, Rule::Bag);
        add("links", 4, Rule::Bag);
        add("domains", 5, Rule::Bag);
        add("tweet_type", 6, Rule::Text);
        add("language", 7, Rule::Text);
        add("hour", TIMESTAMP, Rule::Clock(Clock::Hour));
        add("weekday", TIMESTAMP, Rule::Clock(Clock::Weekday));
        for (person, column) in PEOPLE {
            add(person, column, Rule::Text);
            add(&format!("{person}_followers"), column + 1, Rule::Count);
            add(&format!("{person}_following"), column + 2, Rule::Count);
            add(&format!("{person}_verified"), column + 3, Rule::Flag);
            add(&format!("{person}_age"), column + 4, Rule::Age);
        }
        // `engagee_follows_engager`: "Does the account of the engaged Tweet author follow the account that has made the
        // engagement?" (Belli et al. 2020, arXiv:2004.13715)
        add("author_follows_reader", 19, Rule::Flag);
        source
    }

    /// The same of lines without engagements, as those of the challenge's test sets; engagements are not looked at.
    pub fn unlabelled(self) -> Self {
        RecSys { labels: false, ..self }
    }
}

impl LineParser for RecSys {
    fn parse(&self, line: &[u8], row: &mut RawRow) -> Result<(), String> {
        check_bytes(line)?;
        let text = str::from_utf8(line).map_err(|e| format!("not UTF-8: {e}"))?;
        let mut cells = [""; COLUMNS];
        let mut columns = 0;
        for cell in text.split(SEPARATOR) {
            if let Some(place) = cells.get_mut(columns) {
                *place = cell;
            }
            columns += 1;
        }
        match columns {
            COLUMNS => {}
            UNLABELLED_COLUMNS if !self.labels => {}
            UNLABELLED_COLUMNS => {
                return Err(format!("{columns} columns, {COLUMNS} expected: a file without engagements has no labels"));
            }
            _ if self.labels => return Err(format!("{columns} columns, {COLUMNS} expected")),
            _ => return Err(format!("{columns} columns, {UNLABELLED_COLUMNS} or {COLUMNS} expected")),
        }
        let time = |name: &str, column: usize| {
            let value = cells[column].parse::<u32>();
            value.map(i64::from).map_err(|_| format!("field {name:?}: {:?} is not a time in seconds", cells[column]))
        };
        let now = time("timestamp", TIMESTAMP)?;
        let engaged = UNLABELLED_COLUMNS + self.engagement as usize;
        row.label = match cells[engaged] {
            _ if !self.labels => 0,
            "" => 0,
            _ => time(self.engagement.name(), engaged).map(|_| 1)?,
        };
        row.time = Some(Time::whole(now));
        for (field, &(column, rule)) in self.fields.iter().zip(&self.rules) {
            let (name, value) = (&field.name, cells[column]);
            let expected = |what: &str| format!("field {name:?}: {value:?}, {what} expected");
            match rule {
                Rule::Text => row.push_field(value),
                Rule::Bag => {
                    value
                        .split(LIST_SEPARATOR)
                        .filter(|token| !token.is_empty())
                        .for_each(|token| row.push_token(token));
                    row.end_bag(field);
                }
                Rule::Count => {
                    let token = bucket(value).filter(|_| value.bytes().all(|b| b.is_ascii_digit()));
                    row.push_number(value, &token.ok_or_else(|| expected("a count"))?);
                }
                Rule::Flag if matches!(value, "true" | "false") => row.push_field(value),
                Rule::Flag => return Err(expected("true or false")),
                // Seconds of 32 bits are in the calendar.
                Rule::Clock(clock) => row.push_field(&Time::whole(now).clock(clock).unwrap_or(0).to_string()),
                Rule::Age => {
                    let days = (now - time(name, column)?).div_euclid(SECONDS_OF_DAY);
                    let days = days.to_string();
                    row.push_number(&days, &bucket(&days).unwrap_or_default());
                }
            }
        }
        Ok(())
    }
}

impl Source for RecSys {
    fn fields(&self) -> &[RawField] {
        &self.fields
    }

    fn input(&self) -> Input {
        Input::Recsys2020 { label: self.engagement.name().to_owned() }
    }

    fn label(&self) -> &str {
        self.engagement.name()
    }

    fn files(&self) -> &Files {
        &self.files
    }

    fn has_time(&self) -> bool {
        true
    }

    fn has_labels(&self) -> bool {
        self.labels
    }

    fn open(&self, file: usize, from: Option<Place>, progress: &ProgressBar) -> Result<Blocks<'_>, DataError> {
        lines::blocks(&self.files, (file, from), 0, self, progress)
    }
}
