//! `Model.rank`, and `xsfm.Catalogue`: candidates that are kept, and the best of them for a context.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use numpy::PyArray1;
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use xsfm_interchange::rows::RowBlock;
use xsfm_runtime::{BatchError, CatalogueParts, CatalogueRanker, Ranked, Ranker, ScoreError, ScratchBlock};
use zerocopy::IntoBytes;

use crate::columns::Reader;
use crate::error::Problem;
use crate::rows::{Raw, of_indices};
use crate::scoring::{Loaded, Output};

/// The best candidates' numbers, and their scores: two arrays of shape (k,).
pub(crate) type Best<'py> = (Bound<'py, PyArray1<i64>>, Bound<'py, PyArray1<f32>>);

/// Which fields a context has, and which candidates.
struct Split {
    context: Vec<usize>,
    /// Names of the context's fields, and of the candidates'.
    names: [Vec<String>; 2],
    /// Whether a context is indices, as the candidates were.
    is_indices: bool,
}

impl Split {
    fn new(loaded: &Loaded, context: Vec<usize>, own: &[usize], is_indices: bool) -> Self {
        let names = [names(loaded, &context), names(loaded, own)];
        Split { context, names, is_indices }
    }

    /// One row of the context's fields: a dict, or a frame of one row, whose values are those of frames.
    fn context(&self, loaded: &Loaded, context: &Bound<'_, PyAny>) -> PyResult<RowBlock> {
        if self.is_indices {
            let context = context.cast::<PyDict>().map_err(|_| {
                PyTypeError::new_err("the candidates are integers: a dict of indices expected as the context")
            })?;
            let mut block = RowBlock::new(self.context.len(), true);
            for name in &self.names[0] {
                let indices = context.get_item(name)?;
                let indices = indices.ok_or_else(|| Problem::of_all(format!("the context has no {name:?}")))?;
                let one = indices.extract::<u32>().map(|index| vec![index]);
                block.push_field(&one.or_else(|_| indices.extract::<Vec<u32>>())?);
            }
            return Ok(block);
        }
        let rows = Raw::of(context)?.encode(context.py(), &Reader::new(loaded)?.of(&self.context))?;
        match rows.len() {
            1 => Ok(rows),
            count => Err(Problem::of_all(format!("a context of {count} rows, one expected")).into()),
        }
    }

    /// What is wrong with the context.
    fn of_context(&self, error: ScoreError) -> Problem {
        Problem { row: None, ..Problem::scoring(0, error, &self.names[0]) }
    }

    /// What is wrong with a candidate.
    fn of_candidate(&self, BatchError { row, error }: BatchError) -> Problem {
        Problem::scoring(row, error, &self.names[1])
    }
}

/// Candidates as indices.
struct Candidates {
    rows: RowBlock,
    split: Split,
}

impl Candidates {
    fn new(loaded: &Loaded, candidates: &Bound<'_, PyAny>, context: &HashSet<String>) -> PyResult<Self> {
        match Self::of_indices(loaded, candidates, context)? {
            Some(candidates) => Ok(candidates),
            None => Self::of_raw(loaded, candidates),
        }
    }

    /// Of an array of integers: the columns are the fields that are not in `context`, in the model's order.
    fn of_indices(loaded: &Loaded, candidates: &Bound<'_, PyAny>, context: &HashSet<String>) -> PyResult<Option<Self>> {
        let is_of_context = |field: &usize| loaded.names.get(*field).is_some_and(|name| context.contains(name));
        let (of_context, own): (Vec<_>, Vec<_>) = (0..loaded.names.len()).partition(is_of_context);
        let Some(block) = of_indices(candidates, &names(loaded, &own)) else { return Ok(None) };
        if let Some(unknown) = context.iter().find(|name| !loaded.names.contains(*name)) {
            return Err(Problem::of_all(format!("the context has {unknown:?}, which is no field of the model")).into());
        }
        Ok(Some(Candidates { rows: block?, split: Split::new(loaded, of_context, &own, true) }))
    }

    /// Of raw values: the fields whose columns they have are theirs, the others the context's.
    fn of_raw(loaded: &Loaded, candidates: &Bound<'_, PyAny>) -> PyResult<Self> {
        let (raw, reader) = (Raw::of(candidates)?, Reader::new(loaded)?);
        let (own, context) = reader.split(&raw.columns()?);
        if own.is_empty() {
            return Err(Problem::of_all("candidates without a column of the model's").into());
        }
        let rows = raw.encode(candidates.py(), &reader.of(&own))?;
        Ok(Candidates { rows, split: Split::new(loaded, context, &own, false) })
    }

    /// The best of them for a context, each scored from its row.
    fn rank(&self, loaded: &Loaded, context: &RowBlock, best: &mut [Ranked]) -> Result<(), Problem> {
        let (model, split) = (loaded.model(), &self.split);
        let of_context = |error| split.of_context(error);
        let mut memory = vec![ScratchBlock::ZERO; Ranker::blocks(model, &split.context).map_err(refused)?];
        let mut ranker = Ranker::new(model, &split.context, &mut memory).map_err(refused)?;
        ranker.set_context(context.row(0)).map_err(of_context)?;
        let rows = (0..self.rows.len()).map(|row| self.rows.row(row));
        ranker.top_k(rows, best).map(drop).map_err(|error| split.of_candidate(error))
    }
}

/// Candidates of a model, with what each adds to a score whatever the context: what `Model.rank` takes in place of
/// candidates, again and again. Immutable; threads may share it.
#[pyclass(frozen, module = "xsfm")]
pub(crate) struct Catalogue {
    loaded: Arc<Loaded>,
    /// The bytes of an .xsfc file.
    file: Vec<ScratchBlock>,
    len: usize,
    split: Split,
    /// Rankers' memory that calls have left for the next ones.
    memory: Mutex<Vec<Vec<ScratchBlock>>>,
}

impl Catalogue {
    fn new(py: Python<'_>, loaded: &Arc<Loaded>, candidates: Candidates) -> PyResult<Self> {
        let Candidates { rows, split } = candidates;
        let file = py.detach(|| {
            let (model, parts) = (loaded.model(), CatalogueParts::LayerSums);
            let len = u32::try_from(rows.len()).map_err(|_| Problem::of_all("more than 2^32 candidates"))?;
            let blocks = xsfm_runtime::Catalogue::blocks(model, &split.context, parts, len);
            let mut file = vec![ScratchBlock::ZERO; blocks.map_err(refused)?];
            let mut scratch = vec![ScratchBlock::ZERO; xsfm_runtime::Catalogue::scratch_blocks(model)];
            let items = (0..rows.len()).map(|row| rows.row(row));
            xsfm_runtime::Catalogue::build(model, &split.context, parts, items, &mut scratch, &mut file)
                .map_err(|error| split.of_candidate(error))?;
            Ok::<_, Problem>(file)
        })?;
        Ok(Catalogue { loaded: Arc::clone(loaded), file, len: rows.len(), split, memory: Mutex::default() })
    }

    /// The best of them for a context.
    fn rank(&self, context: &RowBlock, best: &mut [Ranked]) -> Result<(), Problem> {
        let (model, split) = (self.loaded.model(), &self.split);
        let items = xsfm_runtime::Catalogue::from_bytes_skipping_checksum(model, self.file.as_bytes());
        let items = items.map_err(|error| Problem::of_all(error.to_string()))?;
        let kept = self.memory.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut memory = kept.unwrap_or_else(|| vec![ScratchBlock::ZERO; CatalogueRanker::blocks(model, &items)]);
        let mut rank = || {
            let mut ranker = CatalogueRanker::new(model, &items, &mut memory).map_err(refused)?;
            ranker.set_context(context.row(0)).map_err(|error| split.of_context(error))?;
            ranker.top_k(best).map(drop).map_err(|error| split.of_candidate(error))
        };
        let outcome = rank();
        self.memory.lock().unwrap_or_else(PoisonError::into_inner).push(memory);
        outcome
    }
}

/// Fields that a context cannot have.
fn refused(error: ScoreError) -> Problem {
    Problem::of_all(error.to_string())
}

fn names(loaded: &Loaded, fields: &[usize]) -> Vec<String> {
    fields.iter().filter_map(|&field| loaded.names.get(field)).cloned().collect()
}

#[pymethods]
impl Catalogue {
    fn __len__(&self) -> usize {
        self.len
    }

    /// Names of the fields that a context has.
    #[getter]
    fn context_fields(&self) -> Vec<String> {
        self.split.names[0].clone()
    }

    fn __repr__(&self) -> String {
        format!("<xsfm.Catalogue of {} candidates; a context has {}>", self.len, self.split.names[0].join(", "))
    }
}

/// `Model.catalogue`.
pub(crate) fn catalogue(
    loaded: &Arc<Loaded>,
    candidates: &Bound<'_, PyAny>,
    context_fields: Option<HashSet<String>>,
) -> PyResult<Catalogue> {
    let found = Candidates::new(loaded, candidates, &context_fields.unwrap_or_default())?;
    Catalogue::new(candidates.py(), loaded, found)
}

/// `Model.rank`.
pub(crate) fn rank<'py>(
    loaded: &Arc<Loaded>,
    context: &Bound<'py, PyAny>,
    candidates: &Bound<'py, PyAny>,
    k: usize,
    output: Output,
) -> PyResult<Best<'py>> {
    let py = context.py();
    let mut best = Vec::new();
    if let Ok(catalogue) = candidates.cast::<Catalogue>() {
        let catalogue = catalogue.get();
        if !Arc::ptr_eq(&catalogue.loaded, loaded) {
            return Err(PyTypeError::new_err("a catalogue of another model"));
        }
        let context = catalogue.split.context(loaded, context)?;
        best.resize(k.min(catalogue.len), Ranked::default());
        py.detach(|| catalogue.rank(&context, &mut best))?;
    } else {
        let candidates = Candidates::new(loaded, candidates, &Raw::of(context)?.columns()?)?;
        let context = candidates.split.context(loaded, context)?;
        best.resize(k.min(candidates.rows.len()), Ranked::default());
        py.detach(|| candidates.rank(loaded, &context, &mut best))?;
    }
    let numbers = best.iter().map(|ranked| i64::try_from(ranked.candidate).unwrap_or(i64::MAX));
    let scores = best.iter().map(|ranked| output.of(ranked.score));
    Ok((PyArray1::from_iter(py, numbers), PyArray1::from_iter(py, scores)))
}
