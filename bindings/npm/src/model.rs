//! The model: loads, scores, ranks, explains.

use std::fmt::Display;

use xsfm_explain::{ExplainError, explain};
use xsfm_runtime::{
    EncodeError, Encoder, LoadError, Model, Ranked, Ranker, Row, Score, ScoreError, Scorer, ScratchBlock, SplitModel,
};
use zerocopy::IntoBytes;

use crate::info::Info;
use crate::rows::{self, Rows};

/// Rows that are scored together: a few groups.
const CHUNK: usize = 64;

/// Why a call failed.
pub(crate) enum Failure {
    /// The bytes are no model: they were damaged, or are of something else.
    Load(String),
    /// A row, by its number, or the context; and a field of it.
    Row { row: Option<usize>, field: Option<usize>, text: String },
    /// The call itself.
    Call(String),
}

impl Failure {
    pub(crate) fn code(&self) -> i32 {
        match self {
            Failure::Load(_) => -1,
            Failure::Row { .. } => -2,
            Failure::Call(_) => -3,
        }
    }

    /// Row and field, -1 where there is none.
    pub(crate) fn place(&self) -> [f64; 2] {
        match self {
            Failure::Row { row, field, .. } => [row, field].map(|number| number.map_or(-1.0, |number| number as f64)),
            Failure::Load(_) | Failure::Call(_) => [-1.0; 2],
        }
    }

    pub(crate) fn into_text(self) -> String {
        match self {
            Failure::Load(text) | Failure::Row { text, .. } | Failure::Call(text) => text,
        }
    }
}

impl From<LoadError> for Failure {
    fn from(error: LoadError) -> Self {
        Failure::Load(error.to_string())
    }
}

/// A model in the instance's memory, which both stay in until JavaScript drops it.
pub(crate) struct Loaded {
    as_packed: Model<'static>,
    model: Model<'static>,
    encoder: Option<Encoder<'static>>,
    /// By what was kept: `None` where it was forgotten.
    rows: Vec<Option<Rows>>,
    /// Of each set of fields that a context has had.
    splits: Vec<Split>,
    scratch: Vec<ScratchBlock>,
}

struct Split {
    context: Vec<usize>,
    split: SplitModel<'static>,
    memory: Vec<ScratchBlock>,
}

impl Loaded {
    /// Of the first `len` bytes of `file`.
    pub(crate) fn new(file: Vec<ScratchBlock>, len: usize) -> Result<Self, Failure> {
        let file = file.leak().as_bytes();
        let as_packed = Model::from_bytes(file.get(..len).unwrap_or_default())?;
        let memory = blocks(as_packed.prepared_blocks()).leak();
        let model = as_packed.prepare(memory).map_err(|error| Failure::Call(error.to_string()))?;
        let scratch = blocks(model.batch_scratch_blocks());
        let encoder = as_packed.encoder()?;
        Ok(Loaded { as_packed, model, encoder, rows: Vec::new(), splits: Vec::new(), scratch })
    }

    pub(crate) fn info(&self) -> Result<String, Failure> {
        let info = Info::new(&self.as_packed, self.encoder.as_ref())?;
        serde_json::to_string(&info).map_err(|error| Failure::Call(error.to_string()))
    }

    pub(crate) fn keep(&mut self, input: &[u8]) -> Result<usize, Failure> {
        let rows = Rows::read(input, self.encoder.as_ref()).map_err(|error| match error {
            rows::Error::Encode { row, error } => self.refused_value(row, error),
            rows::Error::NoVocabulary { row, field } => Failure::Row {
                row: Some(row),
                field: Some(field),
                text: "a raw value, but the model was packed without a vocabulary: it takes indices alone".to_owned(),
            },
            rows::Error::Malformed => Failure::Call("rows end before they should".to_owned()),
        })?;
        let free = self.rows.iter().position(Option::is_none);
        let place = free.unwrap_or_else(|| {
            self.rows.push(None);
            self.rows.len() - 1
        });
        self.rows[place] = Some(rows);
        Ok(place)
    }

    pub(crate) fn forget(&mut self, rows: usize) {
        if let Some(rows) = self.rows.get_mut(rows) {
            *rows = None;
        }
    }

    pub(crate) fn score(&mut self, rows: usize, answer: &mut Vec<f64>) -> Result<usize, Failure> {
        let Loaded { model, rows: kept, scratch, .. } = self;
        let rows = of(kept, rows)?;
        let mut scorer = Scorer::new(model, scratch).map_err(|error| Failure::Call(error.to_string()))?;
        let mut scores = [Score::default(); CHUNK];
        answer.clear();
        for first in (0..rows.len()).step_by(CHUNK) {
            let chunk = rows.chunk(first, CHUNK);
            let scores = &mut scores[..chunk.len()];
            scorer
                .score_batch(&chunk, scores)
                .map_err(|failed| refused(Some(first + failed.row), None, failed.error))?;
            answer.extend(scores.iter().flat_map(|score| numbers(*score)));
        }
        Ok(rows.len())
    }

    pub(crate) fn rank(
        &mut self,
        context: usize,
        candidates: usize,
        count: usize,
        answer: &mut Vec<f64>,
    ) -> Result<usize, Failure> {
        let Loaded { model, rows: kept, splits, .. } = self;
        let (context, candidates) = (of(kept, context)?, of(kept, candidates)?);
        let place = match splits.iter().position(|split| split.context == context.fields) {
            Some(place) => place,
            None => {
                splits.push(Split::new(model, &context.fields)?);
                splits.len() - 1
            }
        };
        let Split { split, memory, .. } = &mut splits[place];
        let mut ranker = Ranker::with_split(split, memory).map_err(|error| Failure::Call(error.to_string()))?;
        let row = one(context)?;
        ranker.set_context(row).map_err(|error| refused(None, Some(&context.fields), error))?;
        let mut best = vec![Ranked::default(); count.min(candidates.len())];
        let found = ranker
            .top_k(candidates.iter(), &mut best)
            .map_err(|failed| refused(Some(failed.row), Some(&candidates.fields), failed.error))?;
        answer.clear();
        for ranked in &best[..found] {
            answer.push(ranked.candidate as f64);
            answer.extend(numbers(ranked.score));
        }
        Ok(found)
    }

    pub(crate) fn explain(&mut self, row: usize, answer: &mut Vec<f64>) -> Result<usize, Failure> {
        let row = one(of(&self.rows, row)?)?;
        let explained = explain(&self.model, row).map_err(|error| match error {
            ExplainError::Score(error) => refused(Some(0), None, error),
            ExplainError::Load(error) => error.into(),
        })?;
        answer.clear();
        answer.extend(numbers(Score { logit: explained.logit }));
        answer.extend([explained.bias, explained.layers]);
        answer.extend(&explained.fields);
        answer.extend(explained.pairs.iter().flat_map(|&((i, j), share)| [i as f64, j as f64, share]));
        Ok(explained.pairs.len())
    }

    /// What is wrong with a value.
    fn refused_value(&self, row: usize, error: EncodeError) -> Failure {
        let field = error.field();
        Failure::Row { row: Some(row), field, text: without_place(error, field) }
    }
}

impl Split {
    fn new(model: &Model<'static>, context: &[usize]) -> Result<Self, Failure> {
        let refused = |error: ScoreError| Failure::Call(error.to_string());
        let memory = blocks(SplitModel::blocks(model, context).map_err(refused)?).leak();
        let split = SplitModel::new(model, context, memory).map_err(refused)?;
        let memory = blocks(split.ranker_blocks());
        Ok(Split { context: context.to_vec(), split, memory })
    }
}

fn blocks(count: usize) -> Vec<ScratchBlock> {
    vec![ScratchBlock::ZERO; count]
}

/// Kept rows.
fn of(kept: &[Option<Rows>], rows: usize) -> Result<&Rows, Failure> {
    kept.get(rows).and_then(Option::as_ref).ok_or_else(|| Failure::Call("rows that are not kept".to_owned()))
}

fn one(rows: &Rows) -> Result<Row<'_>, Failure> {
    match rows.len() {
        1 => Ok(rows.row(0)),
        count => Err(Failure::Call(format!("{count} rows, one expected"))),
    }
}

/// Logit and probability.
fn numbers(score: Score) -> [f64; 2] {
    [score.logit.into(), score.probability().into()]
}

/// What is wrong with a row, whose fields are all, or some of the model's.
fn refused(row: Option<usize>, fields: Option<&[usize]>, error: ScoreError) -> Failure {
    let place = error.field();
    let field = place.and_then(|place| fields.map_or(Some(place), |fields| fields.get(place).copied()));
    Failure::Row { row, field, text: without_place(error, place) }
}

/// The message without its field, which JavaScript has a name for.
fn without_place(error: impl Display, field: Option<usize>) -> String {
    let text = error.to_string();
    let prefix = field.map(|field| format!("field {field}: "));
    prefix.and_then(|prefix| text.strip_prefix(&prefix).map(str::to_owned)).unwrap_or(text)
}
