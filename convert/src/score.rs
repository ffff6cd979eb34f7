//! Rows through the runtime: scores, and the best of them.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::fmt;
use std::io::{self, Write};
use std::path::Path;

use serde::{Serialize, Serializer};
use xsfm_interchange::metrics::Observed;
use xsfm_interchange::rows::RowBlock;
use xsfm_runtime::{BatchError, Encoder, Model, Ranker, Row, Score, Scorer, ScratchBlock, weight};

use crate::error::Error;
use crate::input::{self, Blocks};

/// The scores of all rows of `path`, block by block, in their order; `-` is standard input.
///
/// # Errors
/// The rows cannot be read or do not fit the model, or `each` fails.
pub fn score_rows<E: From<Error>>(
    model: &Model<'_>,
    path: &Path,
    mut each: impl FnMut(&RowBlock, &[Score]) -> Result<(), E>,
) -> Result<(), E> {
    let (blocks, _) = input::rows(path, input::bounds(model))?;
    score_blocks(model, blocks, &mut each)
}

fn score_blocks<E: From<Error>>(
    model: &Model<'_>,
    blocks: Blocks,
    each: &mut impl FnMut(&RowBlock, &[Score]) -> Result<(), E>,
) -> Result<(), E> {
    let mut memory = vec![ScratchBlock::ZERO; model.prepared_blocks()];
    let model = model.prepare(&mut memory).map_err(Error::row(0))?;
    let mut scratch = vec![ScratchBlock::ZERO; model.batch_scratch_blocks()];
    let mut scorer = Scorer::new(&model, &mut scratch).map_err(Error::row(0))?;
    let (mut first, mut scores) = (0, Vec::new());
    for block in blocks {
        let block = block.map_err(Error::from)?;
        scores.clear();
        scores.resize(block.len(), Score::default());
        let rows: Vec<_> = (0..block.len()).map(|i| block.row(i)).collect();
        scorer.score_batch(&rows, &mut scores).map_err(|BatchError { row, error }| Error::row(first + row)(error))?;
        each(&block, &scores)?;
        first += block.len();
    }
    Ok(())
}

/// Rows with labels, perhaps with weights, and a model's logits.
#[derive(Clone, Debug, Default)]
pub struct Labelled {
    /// `[rows]`
    pub labels: Vec<u8>,
    /// `[rows]`; empty where rows have none.
    pub weights: Vec<f32>,
    /// `[rows]`
    pub logits: Vec<f64>,
    /// `[rows]`: indices in the field that was asked for; empty where none was.
    pub groups: Vec<u32>,
}

impl Labelled {
    /// What is known of the rows.
    pub fn observed(&self) -> Observed<'_> {
        Observed { labels: &self.labels, weights: &self.weights }
    }
}

/// Scores the labelled rows of `path`, at least one; `group_by` is the number of a field that is no bag.
///
/// # Errors
/// The rows cannot be read, do not fit the model, or have no labels.
pub fn score_labelled(model: &Model<'_>, path: &Path, group_by: Option<usize>) -> Result<Labelled, Error> {
    let mut all = Labelled::default();
    score_rows(model, path, |block, scores| {
        all.labels.extend_from_slice(&block.labels);
        all.weights.extend_from_slice(&block.weights);
        all.logits.extend(scores.iter().map(|score| f64::from(score.logit)));
        group_by.into_iter().for_each(|field| all.groups.extend(block.column(field)));
        Ok::<(), Error>(())
    })?;
    if all.labels.is_empty() {
        return Err(Error::Input(format!("{}: {} rows without labels", path.display(), all.logits.len())));
    }
    Ok(all)
}

/// `logit<TAB>probability`, with as many digits as restore the bits of both.
///
/// # Errors
/// The output's.
pub fn write_score(output: &mut (impl Write + ?Sized), score: Score) -> io::Result<()> {
    writeln!(output, "{:?}\t{:?}", score.logit, score.probability())
}

/// A row among the best.
#[derive(Clone, Debug, Serialize)]
pub struct Ranked {
    /// 1 for the best.
    pub rank: usize,
    /// Number of the row in its file, from 1.
    pub row: usize,
    /// Its name, where names were given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Log-odds of a click.
    pub logit: f32,
    /// Probability of a click.
    pub probability: f32,
    /// The candidate's own fields in words, where they are known.
    #[serde(skip_serializing_if = "Candidate::is_empty")]
    pub candidate: Candidate,
}

/// A field's value in a row as it was read: cut, and of a bag the tokens that are kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Text {
    /// A token, or a number.
    One(String),
    /// The tokens of a bag.
    Bag(Vec<String>),
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Text::One(token) => f.write_str(token),
            Text::Bag(tokens) => f.write_str(&tokens.join("|")),
        }
    }
}

/// Values of fields in words, by the fields' names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Candidate(pub Vec<(String, Text)>);

impl Candidate {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Serialize for Candidate {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, text)| (name, text)))
    }
}

/// The `top` rows of `path` by logit; equal logits stay in the order of the file. `names`: one per row. Where the file
/// keeps tokens, the fields that are not in the context have those of their indices.
///
/// `context`: names of fields that are the same in all rows; what they add to the scores is then computed once, with
/// the same scores in int8 and dynamic mode.
///
/// # Errors
/// The rows cannot be read or do not fit the model, differ in a field of the context, or there is not one name per row.
pub fn rank(
    model: &Model<'_>,
    path: &Path,
    names: Option<&[String]>,
    context: &[String],
    top: usize,
) -> Result<Vec<Ranked>, Error> {
    let own = Own::of(model, context);
    // What raw values mean may be damaged where scores are not.
    let tokens = model.encoder().ok().flatten().filter(Encoder::has_tokens);
    // The least of the best is on top of the heap: memory grows with `top` alone.
    let mut best: BinaryHeap<Reverse<(LogitOrder, Reverse<usize>)>> = BinaryHeap::new();
    let mut candidates: HashMap<usize, Candidate> = HashMap::new();
    let mut rows = 0;
    let mut keep = |block: &RowBlock, scores: &[Score]| {
        for (i, score) in scores.iter().enumerate() {
            best.push(Reverse((LogitOrder(score.logit), Reverse(rows))));
            let worst = if best.len() > top { best.pop() } else { None };
            let dropped = worst.map(|Reverse((_, Reverse(row)))| row);
            if let Some(tokens) = tokens
                && dropped != Some(rows)
            {
                candidates.insert(rows, own.candidate(|f| text_of(&tokens, f, block.row(i))));
                dropped.iter().for_each(|row| drop(candidates.remove(row)));
            }
            rows += 1;
        }
        Ok::<(), Error>(())
    };
    if context.is_empty() {
        score_rows(model, path, keep)?;
    } else {
        score_candidates(model, path, context, &mut keep)?;
    }
    if let Some(names) = names.filter(|names| names.len() != rows) {
        return Err(Error::Input(format!("{} names, but {rows} rows in {}", names.len(), path.display())));
    }
    let ranked = best.into_sorted_vec().into_iter().enumerate();
    let ranked = ranked.map(|(i, Reverse((LogitOrder(logit), Reverse(row))))| Ranked {
        rank: i + 1,
        row: row + 1,
        name: names.map(|names| names[row].clone()),
        logit,
        probability: Score { logit }.probability(),
        candidate: candidates.remove(&row).unwrap_or_default(),
    });
    Ok(ranked.collect())
}

/// The fields that are not in a context.
pub(crate) struct Own<'m>(Vec<(usize, &'m str)>);

impl<'m> Own<'m> {
    pub(crate) fn of(model: &Model<'m>, context: &[String]) -> Self {
        let fields = model.fields().map(|field| field.name).enumerate();
        Own(fields.filter(|(_, name)| !context.iter().any(|other| other == name)).collect())
    }

    pub(crate) fn candidate(&self, text: impl Fn(usize) -> Text) -> Candidate {
        Candidate(self.0.iter().map(|&(f, name)| (name.to_owned(), text(f))).collect())
    }
}

/// The tokens of a row's indices in a field; of an index without one its number.
fn text_of(tokens: &Encoder<'_>, field: usize, row: Row<'_>) -> Text {
    let token = |index: u32| tokens.token(field, index).map_or_else(|| format!("#{index}"), str::to_owned);
    match row.field(field).unwrap_or_default() {
        &[one] if !tokens.is_bag(field) => Text::One(token(one)),
        words => Text::Bag(weight::entries(words, tokens.is_weighted(field)).map(|(index, _)| token(index)).collect()),
    }
}

/// The numbers of fields by their names.
///
/// # Errors
/// The first that the model does not have.
pub fn field_numbers(model: &Model<'_>, names: &[String]) -> Result<Vec<usize>, Error> {
    let number = |name: &String| {
        let found = model.fields().position(|field| field.name == name);
        found.ok_or_else(|| Error::Input(format!("the model has no field `{name}`")))
    };
    names.iter().map(number).collect()
}

/// As [`score_rows`], with the fields named `context` taken from the first row.
fn score_candidates(
    model: &Model<'_>,
    path: &Path,
    context: &[String],
    each: &mut impl FnMut(&RowBlock, &[Score]) -> Result<(), Error>,
) -> Result<(), Error> {
    let fields: Vec<_> = model.fields().collect();
    let context = field_numbers(model, context)?;
    let (own, others): (Vec<_>, Vec<_>) = (0..fields.len()).partition(|field| context.contains(field));
    let has_bag = |side: &[usize]| side.iter().any(|&field| fields[field].bag);

    let mut memory = vec![ScratchBlock::ZERO; model.prepared_blocks()];
    let model = model.prepare(&mut memory).map_err(Error::row(0))?;
    let mut memory = vec![ScratchBlock::ZERO; Ranker::blocks(&model, &context).map_err(Error::row(0))?];
    let mut ranker = Ranker::new(&model, &context, &mut memory).map_err(Error::row(0))?;
    let mut shared: Option<RowBlock> = None;
    let (mut first, mut scores) = (0, Vec::new());
    let (blocks, _) = input::rows(path, input::bounds(&model))?;
    for block in blocks {
        let block = block.map_err(Error::from)?;
        let mut candidates = RowBlock::new(others.len(), has_bag(&others));
        for i in 0..block.len() {
            let row = block.row(i);
            let indices = |field: usize| row.field(field).unwrap_or_default();
            if let Some(shared) = &shared {
                let differs = |(at, field): &(usize, &usize)| shared.row(0).field(*at) != row.field(**field);
                if let Some((_, &field)) = own.iter().enumerate().find(differs) {
                    let (name, row) = (fields[field].name, first + i + 1);
                    return Err(Error::Input(format!(
                        "{}: row {row} has another `{name}` than row 1, but it is in the context",
                        path.display()
                    )));
                }
            } else {
                let mut one = RowBlock::new(own.len(), has_bag(&own));
                own.iter().for_each(|&field| one.push_field(indices(field)));
                ranker.set_context(one.row(0)).map_err(Error::row(0))?;
                shared = Some(one);
            }
            others.iter().for_each(|&field| candidates.push_field(indices(field)));
        }
        scores.clear();
        scores.resize(block.len(), Score::default());
        let rows: Vec<_> = (0..block.len()).map(|i| candidates.row(i)).collect();
        ranker.score_batch(&rows, &mut scores).map_err(|BatchError { row, error }| Error::row(first + row)(error))?;
        each(&block, &scores)?;
        first += block.len();
    }
    Ok(())
}

/// Finite logits in ascending order.
struct LogitOrder(f32);

impl Ord for LogitOrder {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.total_cmp(&other.0)
    }
}

impl PartialOrd for LogitOrder {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for LogitOrder {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for LogitOrder {}
