//! `xsfm.Model`: a packed model, shared between threads.

use std::collections::{BTreeMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;

use numpy::{PyArray1, PyArrayMethods, PyReadonlyArrayDyn, PyReadwriteArray1};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyTuple};
use xsfm_convert::inspect;
use xsfm_convert::pack::Packed;
use xsfm_explain::pairs::pair_weights;
use xsfm_runtime::ScratchBlock;

use crate::columns::Reader;
use crate::error::{Problem, converted, not_loaded};
use crate::explain::Explanation;
use crate::fields::Field;
use crate::html;
use crate::indices::{self, Indices, Integer};
use crate::json;
use crate::rank::{self, Best, Catalogue};
use crate::rows::{Raw, of_indices};
use crate::scoring::{self, Bytes, Loaded, Output, Rows};

/// Rows for which other threads of Python are let run meanwhile: below, that would take longer than the scores.
const RELEASED: usize = 8;

/// A packed model. Immutable; threads may share it, and it pickles as the bytes of its file.
#[pyclass(frozen, module = "xsfm", name = "Model")]
#[derive(Debug)]
pub(crate) struct PyModel {
    pub(crate) loaded: Arc<Loaded>,
}

#[pymethods]
impl PyModel {
    /// Load a packed file, mapped into memory.
    ///
    /// Raises ModelError where it is none or damaged, and OSError where it cannot be read.
    #[staticmethod]
    pub(crate) fn load(py: Python<'_>, path: PathBuf) -> PyResult<Self> {
        let loaded = py.detach(|| scoring::open(&path)).map_err(converted)?;
        Ok(PyModel { loaded: Arc::new(loaded) })
    }

    /// Load a packed file's bytes, which are copied.
    ///
    /// Raises ModelError where they are none or damaged.
    #[staticmethod]
    fn from_bytes(data: &[u8]) -> PyResult<Self> {
        Self::of_packed(Packed::new(data))
    }

    /// The file's bytes, as they were packed.
    fn to_bytes<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, self.loaded.file())
    }

    fn __reduce__<'py>(&self, py: Python<'py>) -> PyResult<(Bound<'py, PyAny>, (Bound<'py, PyBytes>,))> {
        Ok((py.get_type::<PyModel>().getattr("from_bytes")?, (self.to_bytes(py),)))
    }

    /// P(click) of rows, float32 of shape (rows,).
    ///
    /// data: an array of integers of shape (rows, fields), or (fields,) for one row: indices. Or raw values by the
    /// names of their columns: a dict (one row), a list of dicts, or any frame that has `__arrow_c_stream__` (pandas,
    /// polars, pyarrow, a stream of batches). The label's column, the time's and the weight's are passed over.
    /// raw_score: log-odds in place of probabilities.
    /// n_jobs: threads; -1 for all cores.
    /// out: a float32 array of shape (rows,) to write to, which is returned.
    ///
    /// Raises RowError, whose row and field say where; columns that are missing, or that the model does not have, are
    /// named.
    #[pyo3(signature = (data, *, raw_score=false, n_jobs=1, out=None))]
    fn predict<'py>(
        &self,
        py: Python<'py>,
        data: &Bound<'py, PyAny>,
        raw_score: bool,
        n_jobs: isize,
        out: Option<Bound<'py, PyArray1<f32>>>,
    ) -> PyResult<Bound<'py, PyArray1<f32>>> {
        let call = Call { py, loaded: &self.loaded, output: Output::asked(raw_score), jobs: jobs(n_jobs)?, out };
        match indices::with(data, call) {
            Ok(scores) => scores,
            Err(call) => call.raw(data),
        }
    }

    /// The best k of many candidates for one context: their numbers, int64, and P(click), float32, both of shape (k,)
    /// or fewer, best first; equal ones stay in their order.
    ///
    /// What the context adds to the scores is computed once. candidates: raw values as predict takes them, without the
    /// context's columns; or an array of integers, whose columns are the fields that are not in the context; or a
    /// Catalogue. context: a dict of the other columns' raw values or a frame of one row, or where candidates are
    /// integers a dict of indices by the names of fields. raw_score: log-odds in place of probabilities.
    ///
    /// Raises RowError, whose row is a candidate's.
    #[pyo3(signature = (context, candidates, k=10, *, raw_score=false))]
    fn rank<'py>(
        &self,
        context: &Bound<'py, PyAny>,
        candidates: &Bound<'py, PyAny>,
        k: usize,
        raw_score: bool,
    ) -> PyResult<Best<'py>> {
        rank::rank(&self.loaded, context, candidates, k, Output::asked(raw_score))
    }

    /// Candidates that are kept between calls of rank: what each adds to a score whatever the context is computed once.
    ///
    /// candidates: as rank takes them. context_fields: where they are integers, the names of the fields that a context
    /// will have.
    #[pyo3(signature = (candidates, *, context_fields=None))]
    fn catalogue(&self, candidates: &Bound<'_, PyAny>, context_fields: Option<HashSet<String>>) -> PyResult<Catalogue> {
        rank::catalogue(&self.loaded, candidates, context_fields)
    }

    /// What each field and each pair of fields adds to a row's logit.
    ///
    /// row: one row, as predict takes it. Raises RowError where it does not fit the model.
    fn explain(&self, py: Python<'_>, row: &Bound<'_, PyAny>) -> PyResult<Explanation> {
        let block = match of_indices(row, &self.loaded.names) {
            Some(block) => block?,
            None => Raw::of(row)?.encode(py, &Reader::new(&self.loaded)?)?,
        };
        Explanation::new(py, &self.loaded, &block)
    }

    /// The fields, in the order of a row of indices.
    #[getter]
    fn fields<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        PyTuple::new(py, Field::of(&self.loaded)?)
    }

    /// What `xsfm inspect --json` tells of it.
    #[getter]
    fn info<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let report = self.loaded.as_packed().and_then(|model| inspect::inspect(&model));
        json::to_python(py, &report.map_err(|error| not_loaded(&self.loaded.name, error))?)
    }

    /// What the dot product of two fields' vectors is multiplied by, by the two names. Pairs that were pruned are
    /// absent. In int8 and dynamic mode: the real numbers that the file's integers stand for.
    #[getter]
    fn pair_weights<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let Loaded { name, names, .. } = &*self.loaded;
        let weights = pair_weights(self.loaded.model()).map_err(|error| not_loaded(name, error))?;
        let found = PyDict::new(py);
        for ((i, j), weight) in weights {
            found.set_item((names.get(i), names.get(j)), weight)?;
        }
        Ok(found)
    }

    /// Bytes that it takes, by what they are for: `file` (mapped where it was loaded from a path), `prepared` (layers
    /// as this CPU wants them), `scratch` (of each thread that scores).
    #[getter]
    fn memory(&self) -> PyResult<BTreeMap<&'static str, usize>> {
        let as_packed = self.loaded.as_packed().map_err(|error| not_loaded(&self.loaded.name, error))?;
        Ok(BTreeMap::from([
            ("file", as_packed.statistics().file_bytes),
            ("prepared", as_packed.prepared_blocks() * ScratchBlock::LEN),
            ("scratch", self.loaded.model().batch_scratch_blocks() * ScratchBlock::LEN),
        ]))
    }

    fn __repr__(&self) -> String {
        let Loaded { name, .. } = &*self.loaded;
        let statistics = self.loaded.model().statistics();
        let (mode, fields) = (inspect::mode_name(statistics.mode), statistics.num_fields);
        format!("<xsfm.Model {name:?}: {mode}, {fields} fields, {} bytes>", statistics.file_bytes)
    }

    fn _repr_html_(&self) -> PyResult<String> {
        html::model(&self.loaded).map_err(|error| not_loaded(&self.loaded.name, error))
    }
}

impl PyModel {
    /// A model that is in no file.
    pub(crate) fn of_packed(packed: Packed) -> PyResult<Self> {
        let loaded = Loaded::new("bytes".to_owned(), Bytes::Copied(packed));
        Ok(PyModel { loaded: Arc::new(loaded.map_err(|error| not_loaded("bytes", error))?) })
    }
}

/// How many threads `n_jobs` asks for.
pub(crate) fn jobs(asked: isize) -> PyResult<usize> {
    match usize::try_from(asked) {
        Ok(0) => Err(PyValueError::new_err("n_jobs 0: threads, or -1 for all cores, expected")),
        Ok(jobs) => Ok(jobs),
        Err(_) if asked == -1 => Ok(std::thread::available_parallelism().map_or(1, usize::from)),
        Err(_) => Err(PyValueError::new_err(format!("n_jobs {asked}: threads, or -1 for all cores, expected"))),
    }
}

/// What was asked of `predict`.
struct Call<'a, 'py> {
    py: Python<'py>,
    loaded: &'a Loaded,
    output: Output,
    jobs: usize,
    out: Option<Bound<'py, PyArray1<f32>>>,
}

impl<'py> indices::Use for Call<'_, 'py> {
    type Output = Bound<'py, PyArray1<f32>>;

    fn run<T: Integer>(self, array: &PyReadonlyArrayDyn<'_, T>) -> PyResult<Self::Output> {
        let rows = Indices::new(array, &self.loaded.names)?;
        self.score(&rows)
    }
}

impl<'py> Call<'_, 'py> {
    /// Rows of raw values.
    fn raw(self, data: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyArray1<f32>>> {
        let raw = Raw::of(data)?;
        let reader = Reader::new(self.loaded)?;
        if let Raw::Frame(frame) = raw {
            let Call { loaded, output, jobs, .. } = self;
            let scores = self.py.detach(|| {
                let mut scores = Vec::new();
                frame.each(&reader, |rows| {
                    let done = scores.len();
                    scores.resize(done + rows.len(), 0.0);
                    let of_batch = scores.get_mut(done..).unwrap_or_default();
                    loaded.score(rows, output, jobs, of_batch).map_err(|problem| problem.behind(done))
                })?;
                Ok::<_, Problem>(scores)
            })?;
            return match self.out {
                None => Ok(PyArray1::from_vec(self.py, scores)),
                Some(out) => {
                    let mut places = places(&out, scores.len())?;
                    places.as_slice_mut()?.copy_from_slice(&scores);
                    Ok(out)
                }
            };
        }
        let rows = raw.encode(self.py, &reader)?;
        self.score(&rows)
    }

    fn score(self, rows: &dyn Rows) -> PyResult<Bound<'py, PyArray1<f32>>> {
        let Call { py, loaded, output, jobs, out } = self;
        let score = |places: &mut [f32]| match rows.len() < RELEASED {
            true => loaded.score(rows, output, 1, places),
            false => py.detach(|| loaded.score(rows, output, jobs, places)),
        };
        match out {
            None => {
                let mut scores = vec![0.0; rows.len()];
                score(&mut scores)?;
                // A copy of a few numbers takes less time than numpy's keeping of memory that is not its own.
                Ok(if rows.len() < RELEASED {
                    PyArray1::from_slice(py, &scores)
                } else {
                    PyArray1::from_vec(py, scores)
                })
            }
            Some(out) => {
                score(places(&out, rows.len())?.as_slice_mut()?)?;
                Ok(out)
            }
        }
    }
}

/// Where scores are written.
fn places<'py>(out: &Bound<'py, PyArray1<f32>>, rows: usize) -> PyResult<PyReadwriteArray1<'py, f32>> {
    let places = out.try_readwrite()?;
    let found = places.as_array().len();
    if found == rows { Ok(places) } else { Err(PyValueError::new_err(format!("out has {found} places, {rows} rows"))) }
}
