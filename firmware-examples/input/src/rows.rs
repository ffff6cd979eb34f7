use std::fmt;

use xsfm_runtime::Row;

/// Rows of indices in the two arrays that [`Row::with_bags`] borrows from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rows {
    /// The indices of all fields of all rows.
    pub indices: Vec<u32>,
    /// `[rows * num_fields + 1]`: where each field of each row starts in `indices`.
    pub offsets: Vec<u32>,
    /// Fields of a row.
    pub num_fields: usize,
}

/// A line that is not a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadLine {
    /// The line, counted from 1.
    pub line: usize,
    /// What is wrong with it.
    pub what: String,
}

impl fmt::Display for BadLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.what)
    }
}

impl std::error::Error for BadLine {}

impl Rows {
    /// Reads rows of `num_fields` fields: one row per line, a tab between fields, `|` inside a bag.
    ///
    /// Whether the indices fit the model is the scorer's to say.
    ///
    /// # Errors
    /// [`BadLine`] for the first line that is not a row.
    pub fn parse(text: &str, num_fields: usize) -> Result<Self, BadLine> {
        let mut rows = Rows { indices: Vec::new(), offsets: vec![0], num_fields };
        for (number, line) in text.lines().enumerate() {
            let bad = |what| BadLine { line: number + 1, what };
            let found = line.split('\t').count();
            if found != num_fields {
                return Err(bad(format!("{found} fields, but the model has {num_fields}")));
            }
            for cell in line.split('\t') {
                for index in cell.split('|') {
                    rows.indices.push(index.parse().map_err(|e| bad(format!("{index:?} is not an index: {e}")))?);
                }
                let end = rows.indices.len();
                rows.offsets.push(u32::try_from(end).map_err(|_| bad(format!("{end} indices are too many")))?);
            }
        }
        Ok(rows)
    }

    /// The rows, in order.
    pub fn iter(&self) -> impl Iterator<Item = Row<'_>> {
        // The offsets of a row end where those of the next start.
        let starts = (0..self.offsets.len() - 1).step_by(self.num_fields.max(1));
        starts.map(|start| Row::with_bags(&self.indices, &self.offsets[start..=start + self.num_fields]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bags_and_single_indices() {
        let rows = Rows::parse("7\t1|5\n0\t2\n", 2).expect("two rows");
        let fields: Vec<_> = rows.iter().map(|row| (row.field(0), row.field(1))).collect();
        assert_eq!(fields, [(Some(&[7][..]), Some(&[1, 5][..])), (Some(&[0][..]), Some(&[2][..]))]);
    }

    #[test]
    fn bad_lines_are_named() {
        let what = |text| Rows::parse(text, 2).expect_err("not rows").to_string();
        assert_eq!(what("1\t2\n3\n"), "line 2: 1 fields, but the model has 2");
        assert!(what("1\tx").starts_with("line 1: \"x\" is not an index"));
        assert!(what("1\t").starts_with("line 1: \"\" is not an index"));
        assert!(what("1\t4294967296").starts_with("line 1: \"4294967296\" is not an index"));
    }
}
