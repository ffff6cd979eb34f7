//! `xsfm.Explanation`: what a row's score is the sum of.

use pyo3::prelude::*;
use pyo3::types::PyDict;
use xsfm_explain::{ExplainError, explain};
use xsfm_interchange::rows::RowBlock;
use xsfm_runtime::Score;

use crate::error::{Problem, not_loaded};
use crate::scoring::Loaded;

/// Shares of a repr, the largest.
const SHOWN: usize = 8;

/// A row's logit, and what it is the sum of: `bias + sum(fields) + sum(pairs) + layers`. The sum is exact in int8 and
/// dynamic mode, in any order; in f32 mode it is the logit once it is rounded to float32.
#[pyclass(frozen, get_all, module = "xsfm")]
pub(crate) struct Explanation {
    /// Log-odds of a click, as they are scored.
    logit: f64,
    /// P(click).
    probability: f32,
    /// The model's own.
    bias: f64,
    /// What each field's first-order terms add, by its name.
    fields: Py<PyDict>,
    /// What each pair of fields adds, by the two names.
    pairs: Py<PyDict>,
    /// What is left: the layers, and roundings in f32 mode.
    layers: f64,
}

impl Explanation {
    /// Of the one row of a block.
    pub(crate) fn new(py: Python<'_>, loaded: &Loaded, block: &RowBlock) -> PyResult<Self> {
        let count = block.len();
        if count != 1 {
            return Err(Problem::of_all(format!("{count} rows, one expected")).into());
        }
        let names = &loaded.names;
        let explained = explain(loaded.model(), block.row(0)).map_err(|error| match error {
            ExplainError::Score(error) => Problem::scoring(0, error, names).into(),
            ExplainError::Load(error) => not_loaded(&loaded.name, error),
        })?;
        let (fields, pairs) = (PyDict::new(py), PyDict::new(py));
        for (name, share) in names.iter().zip(&explained.fields) {
            fields.set_item(name, share)?;
        }
        for ((i, j), share) in &explained.pairs {
            pairs.set_item((names.get(*i), names.get(*j)), share)?;
        }
        Ok(Explanation {
            logit: explained.logit.into(),
            probability: Score { logit: explained.logit }.probability(),
            bias: explained.bias,
            fields: fields.unbind(),
            pairs: pairs.unbind(),
            layers: explained.layers,
        })
    }
}

#[pymethods]
impl Explanation {
    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        let mut shares: Vec<(String, f64)> = vec![("bias".to_owned(), self.bias), ("layers".to_owned(), self.layers)];
        for (name, share) in self.fields.bind(py) {
            shares.push((name.extract()?, share.extract()?));
        }
        for (names, share) in self.pairs.bind(py) {
            let (one, other): (String, String) = names.extract()?;
            shares.push((format!("{one} x {other}"), share.extract()?));
        }
        shares.sort_by(|(_, one), (_, other)| other.abs().total_cmp(&one.abs()));
        let shown = shares.iter().take(SHOWN).map(|(name, share)| format!("{share:+.4} {name}"));
        let shown = shown.collect::<Vec<_>>().join(", ");
        let more = if shares.len() > SHOWN { ", …" } else { "" };
        Ok(format!("<xsfm.Explanation: logit {:.4} = {shown}{more}>", self.logit))
    }
}
