//! Rows as words: what a program without files and text borrows its rows from.
//!
//! | what | words |
//! |---|---|
//! | [`Table`] | fields, rows, indices; offsets `[rows * fields + 1]`; indices |
//! | [`Ranking`] | context fields; their numbers; three tables: the context's row, candidates' fields, whole rows |

use xsfm_runtime::Row;

/// Rows with the same number of fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Table<'a> {
    num_fields: usize,
    /// `[rows * num_fields + 1]`: where each field of each row starts in `indices`.
    offsets: &'a [u32],
    indices: &'a [u32],
}

/// Candidates of one context, each with its own fields alone and as the whole row that it stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ranking<'a> {
    /// Numbers of the fields that all candidates share.
    pub context_fields: &'a [u32],
    /// One row: those fields.
    pub context: Table<'a>,
    /// The other fields.
    pub candidates: Table<'a>,
    /// All fields.
    pub whole: Table<'a>,
}

impl<'a> Table<'a> {
    /// The table that `words` begin with, and the words after it; `None` where they are none.
    pub fn decode(words: &'a [u32]) -> Option<(Self, &'a [u32])> {
        let ([num_fields, rows, indices], rest) = words.split_first_chunk()?;
        let [num_fields, rows, indices] = [num_fields, rows, indices].map(|&word| word as usize);
        let (offsets, rest) = rest.split_at_checked(rows.checked_mul(num_fields)?.checked_add(1)?)?;
        let (indices, rest) = rest.split_at_checked(indices)?;
        (num_fields > 0).then_some((Table { num_fields, offsets, indices }, rest))
    }

    /// The rows, in order.
    pub fn rows(self) -> impl ExactSizeIterator<Item = Row<'a>> + Clone {
        // The offsets of a row end where those of the next start.
        let Table { num_fields, offsets, indices } = self;
        offsets.windows(num_fields + 1).step_by(num_fields).map(move |offsets| Row::with_bags(indices, offsets))
    }
}

impl<'a> Ranking<'a> {
    /// The ranking that `words` are; `None` where they are none.
    pub fn decode(words: &'a [u32]) -> Option<Self> {
        let (&count, rest) = words.split_first()?;
        let (context_fields, rest) = rest.split_at_checked(count as usize)?;
        let (context, rest) = Table::decode(rest)?;
        let (candidates, rest) = Table::decode(rest)?;
        let (whole, rest) = Table::decode(rest)?;
        rest.is_empty().then_some(Ranking { context_fields, context, candidates, whole })
    }
}
