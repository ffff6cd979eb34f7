use std::fmt;
use std::format;
use std::string::{String, ToString};
use std::vec;
use std::vec::Vec;

use xsfm_runtime::{Encoder, Row, Weight};

use crate::encode_line;

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
    fn empty(num_fields: usize) -> Self {
        Rows { indices: Vec::new(), offsets: vec![0], num_fields }
    }

    /// Reads rows of `num_fields` fields: one row per line, a tab between fields, `|` inside a bag;
    /// `index:weight` where indices have weights.
    ///
    /// Whether the indices fit the model is the scorer's to say.
    ///
    /// # Errors
    /// [`BadLine`] for the first line that is not a row.
    pub fn parse(text: &str, num_fields: usize) -> Result<Self, BadLine> {
        let mut rows = Rows::empty(num_fields);
        for (number, line) in text.lines().enumerate() {
            let bad = |what| BadLine { line: number + 1, what };
            let found = line.split('\t').count();
            if found != num_fields {
                return Err(bad(format!("{found} fields, but the model has {num_fields}")));
            }
            for cell in line.split('\t') {
                for part in cell.split('|') {
                    let (index, weight) = part.split_once(':').map_or((part, None), |(index, w)| (index, Some(w)));
                    rows.indices.push(index.parse().map_err(|e| bad(format!("{index:?} is not an index: {e}")))?);
                    if let Some(text) = weight {
                        let weight = text.parse().ok().and_then(Weight::nearest);
                        rows.indices.push(weight.ok_or_else(|| bad(format!("{text:?} is not a weight")))?.word());
                    }
                }
                let end = rows.indices.len();
                rows.offsets.push(u32::try_from(end).map_err(|_| bad(format!("{end} indices are too many")))?);
            }
        }
        Ok(rows)
    }

    /// Reads rows of raw values: one row per line, a tab between fields.
    ///
    /// # Errors
    /// [`BadLine`] for the first line that is not a row; it names the field.
    pub fn encode(text: &str, encoder: &Encoder<'_>) -> Result<Self, BadLine> {
        let num_fields = encoder.num_fields();
        let mut rows = Rows::empty(num_fields);
        let (mut indices, mut offsets) = (vec![0; encoder.max_indices()], vec![0; num_fields + 1]);
        for (number, line) in text.lines().enumerate() {
            let bad = |what| BadLine { line: number + 1, what };
            let found = line.split('\t').count();
            if found != num_fields {
                return Err(bad(format!("{found} fields, but the model has {num_fields}")));
            }
            let row = encode_line(encoder, line, &mut indices, &mut offsets).map_err(|why| {
                let name = why.field().and_then(|field| encoder.name(field));
                bad(name.map_or_else(|| why.to_string(), |name| format!("{name:?}: {why}")))
            })?;
            (0..num_fields).for_each(|field| rows.push(row.field(field).unwrap_or_default()));
        }
        Ok(rows)
    }

    /// The rows, in order.
    pub fn iter(&self) -> impl Iterator<Item = Row<'_>> {
        // The offsets of a row end where those of the next start.
        let starts = (0..self.offsets.len() - 1).step_by(self.num_fields.max(1));
        starts.map(|start| Row::with_bags(&self.indices, &self.offsets[start..=start + self.num_fields]))
    }

    /// As [`Table::decode`](crate::Table::decode) reads them.
    pub fn words(&self) -> Vec<u32> {
        let rows = (self.offsets.len() - 1) / self.num_fields.max(1);
        // Offsets, which are 32 bits, have counted them all.
        let mut words: Vec<u32> = [self.num_fields, rows, self.indices.len()].map(|count| count as u32).into();
        words.extend(&self.offsets);
        words.extend(&self.indices);
        words
    }

    /// Adds a field to the row that is being made.
    fn push(&mut self, indices: &[u32]) {
        self.indices.extend(indices);
        self.offsets.push(self.indices.len() as u32);
    }
}

/// Every row of `rows` as a candidate in the context of the first one, as [`Ranking::decode`](crate::Ranking::decode)
/// reads it.
///
/// `context_fields` are numbers of fields, ascending.
pub fn ranking(rows: &Rows, context_fields: &[usize]) -> Vec<u32> {
    let in_context = |field: &usize| context_fields.contains(field);
    let [mut context, mut candidates, mut whole] =
        [context_fields.len(), rows.num_fields - context_fields.len(), rows.num_fields].map(Rows::empty);
    let field = |row: Row<'_>, field| row.field(field).unwrap_or_default().to_vec();
    let mut first = None;
    for row in rows.iter() {
        let first = *first.get_or_insert(row);
        for number in 0..rows.num_fields {
            if in_context(&number) {
                whole.push(&field(first, number));
            } else {
                whole.push(&field(row, number));
                candidates.push(&field(row, number));
            }
        }
    }
    if let Some(first) = first {
        context_fields.iter().for_each(|&number| context.push(&field(first, number)));
    }
    let mut words = vec![context_fields.len() as u32];
    words.extend(context_fields.iter().map(|&field| field as u32));
    [context, candidates, whole].iter().for_each(|rows| words.extend(rows.words()));
    words
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Ranking, Table};

    #[test]
    fn bags_and_single_indices() {
        let rows = Rows::parse("7\t1|5\n0\t2\n", 2).expect("two rows");
        let fields: Vec<_> = rows.iter().map(|row| (row.field(0), row.field(1))).collect();
        assert_eq!(fields, [(Some(&[7][..]), Some(&[1, 5][..])), (Some(&[0][..]), Some(&[2][..]))]);
    }

    #[test]
    fn bad_lines_are_named() {
        let what = |text| format!("{}", Rows::parse(text, 2).expect_err("not rows"));
        assert_eq!(what("1\t2\n3\n"), "line 2: 1 fields, but the model has 2");
        assert!(what("1\tx").starts_with("line 1: \"x\" is not an index"));
        assert!(what("1\t").starts_with("line 1: \"\" is not an index"));
        assert!(what("1\t4294967296").starts_with("line 1: \"4294967296\" is not an index"));
    }

    #[test]
    fn raw_rows_have_their_indices_and_bad_ones_their_field() {
        let packed = xsfm_runtime::Aligned(*include_bytes!("../../../tests/fixtures/raw-values/model.xsfm"));
        let model = xsfm_runtime::Model::from_bytes(&packed.0).expect("a model");
        let encoder = model.encoder().expect("no damage").expect("with a vocabulary");
        let good = "ada\tcomedy|drama\t4\t2026-03-05T21:00:00";
        let rows = Rows::encode(&format!("{good}\nnobody\t\t\t2026-03-05T21:00:00\n"), &encoder).expect("two rows");
        assert_eq!((rows.iter().count(), rows.offsets.len()), (2, 9));
        assert_eq!(
            rows.indices[..3],
            [("ada", 0), ("comedy", 1), ("drama", 1)].map(|(token, field)| {
                let index = encoder.index_of(field, token).expect("a token");
                assert!(index > 0, "{token}");
                index
            })
        );
        let what = |text: &str| format!("{}", Rows::encode(text, &encoder).expect_err("not rows"));
        assert_eq!(what(&format!("{good}\nada\n")), "line 2: 1 fields, but the model has 4");
        assert_eq!(what(&good.replace('4', "four")), "line 1: \"price\": field 2: not a number that it can have");
        assert!(what("ada\t\t4\t2026").starts_with("line 1: \"hour\": field 3: "));
    }

    fn fields(table: Table<'_>, num_fields: usize) -> Vec<Vec<&[u32]>> {
        table.rows().map(|row| (0..num_fields).filter_map(|field| row.field(field)).collect()).collect()
    }

    #[test]
    fn words_give_the_rows_back() {
        let words = Rows::parse("7\t1|5\n0\t2\n", 2).expect("two rows").words();
        let (table, rest) = Table::decode(&words).expect("a table");
        assert_eq!((fields(table, 2), rest), (vec![vec![&[7][..], &[1, 5]], vec![&[0], &[2]]], &[][..]));
        (0..words.len()).for_each(|len| assert_eq!(Table::decode(&words[..len]), None));
    }

    #[test]
    fn candidates_share_the_context_of_the_first_row() {
        let rows = Rows::parse("1\t2|3\t4\n5\t6\t7|8\n", 3).expect("two rows");
        let words = ranking(&rows, &[1]);
        let ranking = Ranking::decode(&words).expect("a ranking");
        assert_eq!((ranking.context_fields, fields(ranking.context, 1)), (&[1][..], vec![vec![&[2, 3][..]]]));
        assert_eq!(fields(ranking.candidates, 2), [[&[1][..], &[4]], [&[5], &[7, 8]]]);
        assert_eq!(fields(ranking.whole, 3), [[&[1][..], &[2, 3], &[4]], [&[5], &[2, 3], &[7, 8]]]);
        (0..words.len()).for_each(|len| assert_eq!(Ranking::decode(&words[..len]), None));
    }
}
