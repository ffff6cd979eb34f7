//! `xsfm.Field`: what a model says of a field.

use pyo3::prelude::*;
use xsfm_convert::inspect;

use crate::error::not_loaded;
use crate::scoring::Loaded;

/// A field of a model.
#[pyclass(frozen, get_all, eq, skip_from_py_object, module = "xsfm")]
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Field {
    /// Its name in the training data.
    name: String,
    /// The column of raw rows that has its values; None where the model takes indices alone.
    column: Option<String>,
    /// `token`, `number` or `bag`; None where the model takes indices alone.
    kind: Option<&'static str>,
    /// Indices are below this number.
    features: u32,
    /// Whether a row may have several values in it.
    bag: bool,
    /// Whether each index has a weight.
    weighted: bool,
    /// How its vectors are stored.
    embedding: String,
    /// Numbers in its tables.
    parameters: usize,
    /// Bytes by which the file makes indices of its values.
    vocabulary_bytes: u64,
}

impl Field {
    /// The fields of a model.
    pub(crate) fn of(loaded: &Loaded) -> PyResult<Vec<Self>> {
        let report = loaded.as_packed().and_then(|model| inspect::inspect(&model));
        let report = report.map_err(|error| not_loaded(&loaded.name, error))?;
        // A model without a vocabulary, or with a damaged one, has fields all the same.
        let encoder = loaded.encoder().ok();
        let columns = encoder.and_then(|encoder| loaded.columns(&encoder).ok());
        let fields = report.fields.into_iter().enumerate().map(|(f, field)| Field {
            column: columns.and_then(|columns| columns.fields.get(f)).map(|column| column.name.clone()),
            kind: encoder.map(|encoder| match (encoder.is_bag(f), encoder.is_number(f)) {
                (true, _) => "bag",
                (false, true) => "number",
                (false, false) => "token",
            }),
            name: field.name,
            features: field.features,
            bag: field.bag,
            weighted: field.weighted,
            embedding: field.embedding,
            parameters: field.parameters,
            vocabulary_bytes: field.vocabulary_bytes,
        });
        Ok(fields.collect())
    }
}

#[pymethods]
impl Field {
    fn __repr__(&self) -> String {
        let Field { name, column, kind, features, .. } = self;
        let shown = |text: Option<&str>| text.map_or("None".to_owned(), |text| format!("{text:?}"));
        let (column, kind) = (shown(column.as_deref()), shown(*kind));
        format!("Field(name={name:?}, column={column}, kind={kind}, features={features})")
    }
}
