//! `xsfm.Catalogue`: candidates that are kept, and the best of them for a context.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use numpy::PyArray1;
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use xsfm_interchange::rows::RowBlock;
use xsfm_runtime::{BatchError, OwnedSplit, Ranked, Ranker, ScratchBlock};

use crate::columns::Reader;
use crate::error::Problem;
use crate::rows::{Raw, of_indices};
use crate::scoring::{Loaded, Output};
use crate::values;

/// The best candidates' numbers, and their scores: two arrays of shape (k,).
pub(crate) type Best<'py> = (Bound<'py, PyArray1<i64>>, Bound<'py, PyArray1<f32>>);

/// Candidates of a model, as indices, with the model split in what they have and what a context has: what
/// `Model.rank` takes in place of candidates, again and again. Immutable; threads may share it.
#[pyclass(frozen, module = "xsfm")]
pub(crate) struct Catalogue {
    loaded: Arc<Loaded>,
    split: OwnedSplit,
    candidates: RowBlock,
    context: Vec<usize>,
    /// Names of the context's fields, and of the candidates'.
    names: [Vec<String>; 2],
    /// Whether a context is indices, as the candidates were.
    is_indices: bool,
    /// Rankers' memory that calls have left for the next ones.
    memory: Mutex<Vec<Vec<ScratchBlock>>>,
}

impl Catalogue {
    /// Of an array of integers: the columns are the fields that are not in `context`, in the model's order.
    fn of_indices(
        loaded: &Arc<Loaded>,
        candidates: &Bound<'_, PyAny>,
        context: &HashSet<String>,
    ) -> PyResult<Option<Self>> {
        let is_of_context = |field: &usize| loaded.names.get(*field).is_some_and(|name| context.contains(name));
        let (of_context, own): (Vec<_>, Vec<_>) = (0..loaded.names.len()).partition(is_of_context);
        let Some(block) = of_indices(candidates, &names(loaded, &own)) else { return Ok(None) };
        if let Some(unknown) = context.iter().find(|name| !loaded.names.contains(*name)) {
            return Err(Problem::of_all(format!("the context has {unknown:?}, which is no field of the model")).into());
        }
        Self::new(loaded, block?, of_context, &own, true).map(Some)
    }

    /// Of raw values: the fields whose columns they have are theirs, the others the context's.
    fn of_raw<'py>(loaded: &Arc<Loaded>, candidates: &Bound<'py, PyAny>) -> PyResult<Self> {
        let (raw, reader) = (Raw::of(candidates)?, Reader::new(loaded)?);
        let (own, context) = reader.split(&raw.columns()?);
        if own.is_empty() {
            return Err(Problem::of_all("candidates without a column of the model's").into());
        }
        let block = raw.encode(candidates.py(), &reader.of(&own))?;
        Self::new(loaded, block, context, &own, false)
    }

    fn new(
        loaded: &Arc<Loaded>,
        candidates: RowBlock,
        context: Vec<usize>,
        own: &[usize],
        is_indices: bool,
    ) -> PyResult<Self> {
        let split = OwnedSplit::new(Arc::clone(&loaded.model), &context);
        let split = split.map_err(|error| Problem::of_all(error.to_string()))?;
        let names = [names(loaded, &context), names(loaded, own)];
        let loaded = Arc::clone(loaded);
        Ok(Catalogue { loaded, split, candidates, context, names, is_indices, memory: Mutex::default() })
    }

    /// One row of the context's fields.
    fn context(&self, context: &Bound<'_, PyDict>) -> PyResult<RowBlock> {
        let py = context.py();
        if self.is_indices {
            let mut block = RowBlock::new(self.context.len(), true);
            for name in &self.names[0] {
                let indices = context.get_item(name)?;
                let indices = indices.ok_or_else(|| Problem::of_all(format!("the context has no {name:?}")))?;
                let one = indices.extract::<u32>().map(|index| vec![index]);
                block.push_field(&one.or_else(|_| indices.extract::<Vec<u32>>())?);
            }
            return Ok(block);
        }
        let reader = Reader::new(&self.loaded)?.of(&self.context);
        values::encode(py, &reader, std::slice::from_ref(context))
    }

    /// The best `k` candidates for a context.
    fn best<'py>(&self, context: &Bound<'py, PyDict>, k: usize, output: Output) -> PyResult<Best<'py>> {
        let (py, context) = (context.py(), self.context(context)?);
        let mut best = vec![Ranked::default(); k.min(self.candidates.len())];
        py.detach(|| {
            let kept = self.memory.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let mut memory = kept.unwrap_or_else(|| vec![ScratchBlock::ZERO; self.split.get().ranker_blocks()]);
            let outcome = self.rank(&context, &mut memory, &mut best);
            self.memory.lock().unwrap_or_else(PoisonError::into_inner).push(memory);
            outcome
        })?;
        let numbers = best.iter().map(|ranked| i64::try_from(ranked.candidate).unwrap_or(i64::MAX));
        let scores = best.iter().map(|ranked| output.of(ranked.score));
        Ok((PyArray1::from_iter(py, numbers), PyArray1::from_iter(py, scores)))
    }

    fn rank(&self, context: &RowBlock, memory: &mut [ScratchBlock], best: &mut [Ranked]) -> Result<(), Problem> {
        let of_context = |error| Problem { row: None, ..Problem::scoring(0, error, &self.names[0]) };
        let mut ranker = Ranker::with_split(self.split.get(), memory).map_err(of_context)?;
        ranker.set_context(context.row(0)).map_err(of_context)?;
        let candidates = (0..self.candidates.len()).map(|row| self.candidates.row(row));
        let found = ranker.top_k(candidates, best);
        found.map(drop).map_err(|BatchError { row, error }| Problem::scoring(row, error, &self.names[1]))
    }
}

fn names(loaded: &Loaded, fields: &[usize]) -> Vec<String> {
    fields.iter().filter_map(|&field| loaded.names.get(field)).cloned().collect()
}

#[pymethods]
impl Catalogue {
    fn __len__(&self) -> usize {
        self.candidates.len()
    }

    /// Names of the fields that a context has.
    #[getter]
    fn context_fields(&self) -> Vec<String> {
        self.names[0].clone()
    }

    fn __repr__(&self) -> String {
        format!("<xsfm.Catalogue of {} candidates; a context has {}>", self.candidates.len(), self.names[0].join(", "))
    }
}

/// `Model.catalogue`.
pub(crate) fn catalogue(
    loaded: &Arc<Loaded>,
    candidates: &Bound<'_, PyAny>,
    context_fields: Option<HashSet<String>>,
) -> PyResult<Catalogue> {
    match Catalogue::of_indices(loaded, candidates, &context_fields.unwrap_or_default())? {
        Some(catalogue) => Ok(catalogue),
        None => Catalogue::of_raw(loaded, candidates),
    }
}

/// `Model.rank`.
pub(crate) fn rank<'py>(
    loaded: &Arc<Loaded>,
    context: &Bound<'py, PyDict>,
    candidates: &Bound<'py, PyAny>,
    k: usize,
    output: Output,
) -> PyResult<Best<'py>> {
    if let Ok(catalogue) = candidates.cast::<Catalogue>() {
        let catalogue = catalogue.get();
        if !Arc::ptr_eq(&catalogue.loaded, loaded) {
            return Err(PyTypeError::new_err("a catalogue of another model"));
        }
        return catalogue.best(context, k, output);
    }
    catalogue(loaded, candidates, Some(values::keys(context)?))?.best(context, k, output)
}
