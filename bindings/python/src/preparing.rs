//! Preparation on Spark: the driver's part and the machines', of `xsfm_trainer::data::pieces`. `xsfm.spark` gives the
//! one's tasks to the others.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::PyBytes;
use xsfm_interchange::rows::RowsError;
use xsfm_readers::error::DataError;
use xsfm_trainer::data::pieces::{driver, worker};

use crate::error::{XsfmError, file_system};
use crate::json;

/// What Python is told: OSError of the file system, for which a task is tried again; XsfmError of the rest.
fn told(error: anyhow::Error) -> PyErr {
    match error.downcast() {
        Ok(DataError::Io { path, source } | DataError::Rows(RowsError::Io { path, source })) => {
            file_system(&path.display().to_string(), source)
        }
        Ok(error) => XsfmError::new_err(error.to_string()),
        Err(error) => XsfmError::new_err(format!("{error:#}")),
    }
}

/// A share's number, and bytes of it.
type Share<'py> = (u32, Bound<'py, PyBytes>);

/// A stage of a preparation: its name, its tasks, and whether there are counts beside their results.
type Stage<'py> = (&'static str, Vec<Bound<'py, PyBytes>>, bool);

/// A preparation by many machines, on the one that drives it.
#[pyclass(frozen, module = "xsfm._xsfm")]
struct Preparation(Mutex<Option<driver::Preparation>>);

impl Preparation {
    fn with<T>(
        &self,
        py: Python<'_>,
        work: impl FnOnce(&mut driver::Preparation) -> anyhow::Result<T> + Send,
    ) -> PyResult<T>
    where
        T: Send,
    {
        py.detach(|| match lock(&self.0).as_mut() {
            Some(preparation) => work(preparation),
            None => Err(anyhow::anyhow!("this preparation was given up")),
        })
        .map_err(told)
    }
}

#[pymethods]
impl Preparation {
    /// Begin to make folder number of those of a command line of `prepare`.
    #[new]
    fn new(py: Python<'_>, words: Vec<String>, number: usize) -> PyResult<Self> {
        let begun = py.detach(|| driver::Preparation::begin(&words, number)).map_err(told)?;
        Ok(Preparation(Mutex::new(Some(begun))))
    }

    /// The working folder, which all machines see.
    #[getter]
    fn folder(&self, py: Python<'_>) -> PyResult<PathBuf> {
        self.with(py, |preparation| Ok(preparation.folder().to_owned()))
    }

    /// What comes next; None at the end.
    fn stage<'py>(&self, py: Python<'py>) -> PyResult<Option<Stage<'py>>> {
        let stage = self.with(py, |preparation| preparation.stage())?;
        let tasks = |tasks: Vec<Vec<u8>>| tasks.iter().map(|task| PyBytes::new(py, task)).collect();
        Ok(stage.map(|stage| (stage.name, tasks(stage.tasks), stage.has_counts)))
    }

    /// Take counts that a `PrepareSums` gave.
    fn take_counts(&self, py: Python<'_>, counts: PyBackedBytes) -> PyResult<()> {
        self.with(py, |preparation| preparation.take_counts(&counts))
    }

    /// End the stage with the results of its tasks, in their order.
    fn take(&self, py: Python<'_>, results: Vec<PyBackedBytes>) -> PyResult<()> {
        self.with(py, |preparation| preparation.take(&results))
    }

    /// What was prepared, as `prepare.json` has it.
    fn report<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let report = self.with(py, |preparation| Ok(preparation.report()?.clone()))?;
        json::to_python(py, &report)
    }

    /// Show it as the program does.
    fn show(&self, py: Python<'_>) -> PyResult<()> {
        self.with(py, |preparation| preparation.show())
    }

    /// Give it up, unless it has ended: the folder stays as it was.
    fn close(&self, py: Python<'_>) {
        py.detach(|| drop(lock(&self.0).take()));
    }
}

/// A machine's part of a preparation; its threads may share it.
#[pyclass(frozen, module = "xsfm._xsfm")]
struct PrepareWorker(Arc<worker::Worker>);

#[pymethods]
impl PrepareWorker {
    /// Of a working folder.
    #[new]
    fn new(py: Python<'_>, folder: PathBuf) -> PyResult<Self> {
        let opened = py.detach(|| worker::Worker::open(&folder)).map_err(told)?;
        Ok(PrepareWorker(Arc::new(opened)))
    }

    /// Do a task that has no counts; its result.
    fn run<'py>(&self, py: Python<'py>, task: PyBackedBytes) -> PyResult<Bound<'py, PyBytes>> {
        let result = py.detach(|| self.0.run(&task)).map_err(told)?;
        Ok(PyBytes::new(py, &result))
    }

    /// Begin to count.
    fn counting(&self) -> PrepareCounting {
        PrepareCounting { worker: Arc::clone(&self.0), counting: Mutex::new(self.0.counting()) }
    }

    /// Begin to add up the counts of tasks of which `task` is one.
    fn sums(&self, task: PyBackedBytes) -> PyResult<PrepareSums> {
        Ok(PrepareSums(Mutex::new(self.0.sums(&task).map_err(told)?)))
    }
}

/// Counts of some tasks.
#[pyclass(frozen, module = "xsfm._xsfm")]
struct PrepareCounting {
    worker: Arc<worker::Worker>,
    counting: Mutex<worker::Counting>,
}

#[pymethods]
impl PrepareCounting {
    /// Do a task that has counts; its result, which these are beside.
    fn run<'py>(&self, py: Python<'py>, task: PyBackedBytes) -> PyResult<Bound<'py, PyBytes>> {
        let result = py.detach(|| lock(&self.counting).run(&self.worker, &task)).map_err(told)?;
        Ok(PyBytes::new(py, &result))
    }

    /// Whether it is time to send on what was counted.
    #[getter]
    fn is_full(&self) -> bool {
        lock(&self.counting).is_full()
    }

    /// What was counted, by numbers of shares.
    fn drain<'py>(&self, py: Python<'py>) -> Vec<Share<'py>> {
        let shares = py.detach(|| lock(&self.counting).drain(&self.worker));
        shares.iter().map(|(share, bytes)| (*share, PyBytes::new(py, bytes))).collect()
    }
}

/// Counts of some shares, added up.
#[pyclass(frozen, module = "xsfm._xsfm")]
struct PrepareSums(Mutex<worker::Sums>);

#[pymethods]
impl PrepareSums {
    /// Add counts.
    fn add(&self, py: Python<'_>, counts: PyBackedBytes) -> PyResult<()> {
        py.detach(|| lock(&self.0).add(&counts)).map_err(told)
    }

    /// What the driver takes.
    fn drain<'py>(&self, py: Python<'py>) -> Vec<Bound<'py, PyBytes>> {
        let pieces = py.detach(|| lock(&self.0).drain());
        pieces.iter().map(|bytes| PyBytes::new(py, bytes)).collect()
    }
}

/// How many folders a command line of `prepare` makes, given without this word.
#[pyfunction]
fn prepare_folders(words: Vec<String>) -> PyResult<usize> {
    driver::folders(&words).map_err(told)
}

/// What the command line itself has to say, and its exit status: where it is none, or asks for help.
#[pyfunction]
fn prepare_answer(words: Vec<String>) -> Option<(String, i32)> {
    driver::answer(&words)
}

/// A panic in another thread that held it has left nothing half done that is used again.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Puts all of it in the module.
pub(crate) fn add(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<Preparation>()?;
    module.add_class::<PrepareWorker>()?;
    module.add_class::<PrepareCounting>()?;
    module.add_class::<PrepareSums>()?;
    module.add_function(wrap_pyfunction!(prepare_folders, module)?)?;
    module.add_function(wrap_pyfunction!(prepare_answer, module)?)
}
