//! Whether two folders have the same training rows with other vocabularies: every label, and every token that both
//! know.

use std::path::Path;

use anyhow::{Result, bail, ensure};
use xsfm_interchange::dataset::{Dataset, Part};
use xsfm_interchange::encoding::Encoding;
use xsfm_interchange::rows::{RowBlock, RowsReader};
use xsfm_interchange::schema::{Field, FieldKind, Schema};
use xsfm_runtime::Weight;

/// Checks that row for row the training rows of a teacher's folder are those of a student's.
///
/// # Errors
/// Other fields, another number of rows, another label or token; the message names both folders, and the first row that
/// differs.
pub fn check_rows(teacher: &Dataset, student: &Dataset) -> Result<()> {
    check_part(teacher, student, Part::Train)
}

/// The same of any part, which may be absent from both.
///
/// # Errors
/// As above.
pub fn check_part(teacher: &Dataset, student: &Dataset, part: Part) -> Result<()> {
    if teacher.fingerprint() == student.fingerprint() && teacher.fingerprint().train.is_some() {
        return Ok(());
    }
    let files = || format!("{} and {}", teacher.folder().display(), student.folder().display());
    if let Some(problem) = problem(teacher.schema(), teacher.folder(), student, false) {
        bail!("{problem}");
    }
    let fields = teacher.schema().fields.iter().zip(&student.schema().fields);
    let known: Vec<Known<'_>> = fields.map(|(theirs, ours)| Known::of(theirs, ours)).collect();
    let there = (teacher.has(part), student.has(part));
    ensure!(there.0 == there.1, "{}: one of them alone has {}", files(), part.file());
    if !there.0 {
        return Ok(());
    }
    let (mut theirs, mut ours) = (teacher.rows(part)?, student.rows(part)?);
    let (their_rows, our_rows) = (theirs.num_rows(), ours.num_rows());
    ensure!(their_rows == our_rows, "{}: {their_rows} and {our_rows} {} rows", files(), part.name());
    let (mut theirs, mut ours) = (Cursor::new(&mut theirs), Cursor::new(&mut ours));
    for number in 0..our_rows {
        let ((their, t), (our, o)) = (theirs.next()?, ours.next()?);
        let (their_label, our_label) = (their.label(t).unwrap_or(0), our.label(o).unwrap_or(0));
        if their_label != our_label {
            bail!(
                "{}: {} row {number} has label {their_label} and {our_label}; rows are the same, in the same \
                 order",
                files(),
                part.name()
            );
        }
        for (f, known) in known.iter().enumerate() {
            let (their, our) = (their.row(t), our.row(o));
            let (their, our) = (their.field(f).unwrap_or_default(), our.field(f).unwrap_or_default());
            if !known.is_same(their, our) {
                bail!(
                    "{}: {} row {number}, field {:?} has {} and {}; rows are the same, in the same order",
                    files(),
                    part.name(),
                    known.theirs.name,
                    words(known.theirs, their),
                    words(known.ours, our)
                );
            }
        }
    }
    Ok(())
}

/// What the indices of a field of two vocabularies have to do with each other.
struct Known<'a> {
    theirs: &'a Field,
    ours: &'a Field,
    by: By,
}

/// What tells whether two indices are of one token.
enum By {
    Tokens {
        /// For each of their indices of a token ours of the same token; 0 where we do not know it. Behind them are
        /// buckets of a hash, of which nobody can tell.
        our_index: Vec<u32>,
        /// For each of our indices whether they know the token; nobody can tell where ours is a bucket of a hash.
        they_know: Option<Vec<bool>>,
    },
    /// Both have one hash, or weights of numbers by one rule.
    Index,
    /// Nothing: their numbers are in other buckets, or their tokens in those of a hash.
    Nothing,
}

impl<'a> Known<'a> {
    fn of(theirs: &'a Field, ours: &'a Field) -> Self {
        let index_of = |field: &Field, others: &Field| -> Vec<u32> {
            let encoder = field.encoder();
            std::iter::once(0).chain(others.vocabulary.iter().map(|token| encoder.index_of(token))).collect()
        };
        let by = match (&theirs.encoding, &ours.encoding) {
            (Encoding::Tokens, Encoding::Hash(_) | Encoding::OovBuckets(_)) => {
                By::Tokens { our_index: index_of(ours, theirs), they_know: None }
            }
            (Encoding::OovBuckets(here), Encoding::OovBuckets(there)) if here == there => {
                By::Tokens { our_index: index_of(ours, theirs), they_know: None }
            }
            (here, there) if here == there && !here.has_unseen() => By::Index,
            (here, there) if here == there => {
                let they_know = index_of(theirs, ours).into_iter().map(|index| index > 0).collect();
                By::Tokens { our_index: index_of(ours, theirs), they_know: Some(they_know) }
            }
            _ => By::Nothing,
        };
        Known { theirs, ours, by }
    }

    /// Whether the indices may be of the same tokens: only one that neither knows is not compared.
    fn is_same(&self, theirs: &[u32], ours: &[u32]) -> bool {
        // Numbers between other bounds are other indices, with weights, and more or fewer of them.
        if self.ours.kind == FieldKind::Numeric && matches!(self.by, By::Nothing) {
            return true;
        }
        let is_same = |(&their, &our): (&u32, &u32)| match &self.by {
            _ if Weight::of_word(their).or(Weight::of_word(our)).is_some() => their == our,
            By::Tokens { they_know, .. } if their == 0 => {
                they_know.as_ref().is_none_or(|they_know| !they_know[our as usize])
            }
            By::Tokens { our_index, .. } => our_index.get(their as usize).is_none_or(|&index| index == our),
            By::Index => their == our,
            By::Nothing => true,
        };
        theirs.len() == ours.len() && theirs.iter().zip(ours).all(is_same)
    }
}

fn words(field: &Field, indices: &[u32]) -> String {
    let word = |&index: &u32| match (index as usize).checked_sub(1).and_then(|t| field.vocabulary.get(t)) {
        Some(token) => format!("{token:?}"),
        None if !field.encoding.has_unseen() => format!("index {index}"),
        None => "an unknown token".to_owned(),
    };
    indices.iter().map(word).collect::<Vec<_>>().join(", ")
}

/// The first thing but tokens in which a schema differs from the data's: number, order, names, kinds, bounds and hashes
/// of the fields.
pub fn fields_problem(schema: &Schema, owner: &Path, data: &Dataset) -> Option<String> {
    problem(schema, owner, data, true)
}

/// `encodings`: whether bounds and hashes are compared.
fn problem(schema: &Schema, owner: &Path, data: &Dataset, encodings: bool) -> Option<String> {
    let without_tokens = |schema: &Schema| {
        let field = |field: &Field| Field {
            vocabulary: Vec::new(),
            encoding: if encodings { field.encoding.clone() } else { Encoding::Tokens },
            ..field.clone()
        };
        Schema { fields: schema.fields.iter().map(field).collect(), ..schema.clone() }
    };
    let (ours, theirs) = (data.folder().display().to_string(), owner.display().to_string());
    without_tokens(data.schema()).difference(&without_tokens(schema), &ours, &theirs)
}

/// One row after another, whatever the blocks.
struct Cursor<'a> {
    reader: &'a mut RowsReader,
    block: RowBlock,
    next_block: usize,
    next_row: usize,
}

impl<'a> Cursor<'a> {
    fn new(reader: &'a mut RowsReader) -> Self {
        Cursor { reader, block: RowBlock::default(), next_block: 0, next_row: 0 }
    }

    /// The next row: its block, and its number there.
    fn next(&mut self) -> Result<(&RowBlock, usize)> {
        while self.next_row == self.block.len() {
            self.block = self.reader.read_block(self.next_block)?;
            self.next_block += 1;
            self.next_row = 0;
        }
        self.next_row += 1;
        Ok((&self.block, self.next_row - 1))
    }
}
