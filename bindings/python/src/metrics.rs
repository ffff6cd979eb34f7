//! Predictions beside clicks, by the metrics that the programs print.

use numpy::PyReadonlyArray1;
use pyo3::prelude::*;
use xsfm_interchange::metrics::calibration::{Bin, Reliability};

use crate::error::XsfmError;

/// A bin's rows, mean prediction, and click rate.
type Row = (u64, f64, f64);

/// Rows in bins of equal mass by their prediction: of each bin its rows, its mean prediction and its click rate. Then
/// the expected calibration error, and the mean prediction over the click rate, None without clicks.
///
/// labels: 0 or 1, of shape (rows,). predictions: P(click), of shape (rows,).
#[pyfunction]
fn reliability(
    py: Python<'_>,
    labels: PyReadonlyArray1<'_, u8>,
    predictions: PyReadonlyArray1<'_, f64>,
) -> PyResult<(Vec<Row>, f64, Option<f64>)> {
    let (labels, predictions) = (labels.as_slice()?, predictions.as_slice()?);
    let found = py.detach(|| Reliability::from_probabilities(labels, predictions));
    let found = found.map_err(|error| XsfmError::new_err(error.to_string()))?;
    let row = |bin: &Bin| (bin.rows, bin.mean_prediction(), bin.click_rate());
    Ok((found.bins().iter().map(row).collect(), found.ece(), found.calibration()))
}

/// Puts the function in the module.
pub(crate) fn add(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(reliability, module)?)
}
