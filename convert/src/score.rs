//! Rows through the runtime: scores, and the best of them.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io::{self, Write};
use std::path::Path;

use serde::Serialize;
use xsfm_interchange::metrics::Metrics;
use xsfm_interchange::rows::RowBlock;
use xsfm_runtime::{Model, Score, Scorer, ScratchBlock};

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
    let mut scratch = vec![ScratchBlock::ZERO; model.scratch_blocks()];
    let mut scorer = Scorer::new(model, &mut scratch).map_err(Error::row(0))?;
    let (mut first, mut scores) = (0, Vec::new());
    for block in blocks {
        let block = block.map_err(Error::from)?;
        scores.clear();
        for i in 0..block.len() {
            scores.push(scorer.score(block.row(i)).map_err(Error::row(first + i))?);
        }
        each(&block, &scores)?;
        first += block.len();
    }
    Ok(())
}

/// Figures of `model` on the labelled rows of `path`.
///
/// # Errors
/// The rows cannot be read, do not fit the model, or have no labels.
pub fn evaluate(model: &Model<'_>, path: &Path) -> Result<Metrics, Error> {
    let (mut labels, mut logits) = (Vec::new(), Vec::new());
    score_rows(model, path, |block, scores| {
        labels.extend_from_slice(&block.labels);
        logits.extend(scores.iter().map(|score| f64::from(score.logit)));
        Ok::<(), Error>(())
    })?;
    let problem = |what: String| Error::Input(format!("{}: {what}", path.display()));
    if labels.is_empty() {
        return Err(problem(format!("{} rows without labels", logits.len())));
    }
    Metrics::from_logits(&labels, &logits).map_err(|error| problem(error.to_string()))
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
}

/// The `top` rows of `path` by logit; equal logits stay in the order of the file. `names`: one per row.
///
/// # Errors
/// The rows cannot be read or do not fit the model, or there is not one name per row.
pub fn rank(model: &Model<'_>, path: &Path, names: Option<&[String]>, top: usize) -> Result<Vec<Ranked>, Error> {
    // The least of the best is on top of the heap: memory grows with `top` alone.
    let mut best: BinaryHeap<Reverse<(LogitOrder, Reverse<usize>)>> = BinaryHeap::new();
    let mut rows = 0;
    score_rows(model, path, |_, scores| {
        for score in scores {
            best.push(Reverse((LogitOrder(score.logit), Reverse(rows))));
            rows += 1;
            if best.len() > top {
                best.pop();
            }
        }
        Ok::<(), Error>(())
    })?;
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
    });
    Ok(ranked.collect())
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
