//! A packed model beside the model that it was made from, on the same rows.

use std::fmt;
use std::path::Path;

use serde::Serialize;
use xsfm_interchange::metrics::auc::AucDifference;
use xsfm_interchange::metrics::{Metrics, Observed};
use xsfm_interchange::rows::Bounds;
use xsfm_interchange::schema::Schema;
use xsfm_runtime::Model;

use crate::error::Error;
use crate::input;
use crate::model::FloatModel;
use crate::reference::float_forward;
use crate::score::score_rows;
use crate::vocabulary::Original;

/// What packing cost.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Number of rows.
    pub rows: usize,
    /// Largest |logit error|.
    pub logit_error_max: f64,
    /// Mean |logit error|.
    pub logit_error_mean: f64,
    /// Standard deviation of the original's logits: what errors are to be compared with.
    pub logit_deviation: f64,
    /// `logit_error_mean / logit_deviation`.
    pub logit_error_relative: f64,
    /// Largest |logit error| over max(1, |logit|).
    pub logit_error_max_relative: f64,
    /// Figures of the original on the labels; absent where the rows have none.
    pub before: Option<Metrics>,
    /// Figures of the packed model.
    pub after: Option<Metrics>,
    /// AUC of the packed model less the original's, with its standard error on these rows.
    pub auc_difference: Option<AucDifference>,
}

/// Compares `packed` with `original`, computed in f64, on the rows of a file, whose indices are those of `packed`; the
/// original's are those of `schema`, where it is known. `progress` hears the number of rows done.
///
/// # Errors
/// The two models have other fields, or the rows cannot be read or do not fit them.
pub fn validate(
    packed: &Model<'_>,
    original: &FloatModel,
    schema: Option<&Schema>,
    rows: &Path,
    progress: &mut dyn FnMut(u64),
) -> Result<Report, Error> {
    let anew = schema.map(|schema| Original::of(packed, schema)).transpose()?.flatten();
    check_fields(packed, original, anew.is_some())?;
    let (mut labels, mut weights, mut before, mut after) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    score_rows(packed, rows, |block, scores| {
        let original_rows = anew.as_ref().map(|anew| anew.rows(block));
        let original_rows = original_rows.as_ref().unwrap_or(block);
        for (i, score) in scores.iter().enumerate() {
            before.push(float_forward(original, original_rows.row(i)).map_err(Error::row(before.len()))?.logit);
            after.push(f64::from(score.logit));
            if i % 256 == 0 {
                progress(before.len() as u64);
            }
        }
        labels.extend_from_slice(&block.labels);
        weights.extend_from_slice(&block.weights);
        Ok::<(), Error>(())
    })?;
    if before.is_empty() {
        return Err(Error::Input(format!("{}: no rows", rows.display())));
    }
    let n = before.len() as f64;
    let errors = || before.iter().zip(&after).map(|(b, a)| (a - b).abs());
    let mean = before.iter().sum::<f64>() / n;
    let logit_deviation = (before.iter().map(|b| (b - mean).powi(2)).sum::<f64>() / n).sqrt();
    let logit_error_mean = errors().sum::<f64>() / n;
    let observed = Observed { labels: &labels, weights: &weights };
    let metrics = |logits: &[f64]| {
        let measured = (!labels.is_empty()).then(|| Metrics::from_logits(observed, logits)).transpose();
        measured.map_err(|error| Error::Input(format!("{}: {error}", rows.display())))
    };
    let auc_difference = match labels.is_empty() {
        true => None,
        false => AucDifference::new(observed, &after, &before)
            .map_err(|error| Error::Input(format!("{}: {error}", rows.display())))?,
    };
    Ok(Report {
        auc_difference,
        rows: before.len(),
        logit_error_max: errors().fold(0.0, f64::max),
        logit_error_mean,
        logit_deviation,
        logit_error_relative: if logit_error_mean == 0.0 { 0.0 } else { logit_error_mean / logit_deviation },
        logit_error_max_relative: errors().zip(&before).map(|(e, b)| e / b.abs().max(1.0)).fold(0.0, f64::max),
        before: metrics(&before)?,
        after: metrics(&after)?,
    })
}

/// `is_anew`: whether indices are known to be others.
fn check_fields(packed: &Model<'_>, original: &FloatModel, is_anew: bool) -> Result<(), Error> {
    let (found, expected) = (input::bounds(packed), Bounds::from(&original.config));
    if found.columns.len() != expected.columns.len() {
        let (found, expected) = (found.columns.len(), expected.columns.len());
        return Err(Error::Input(format!("the packed model has {found} fields, the original {expected}")));
    }
    let fields = |b: &Bounds| b.columns.iter().cloned().zip(b.features.clone()).collect::<Vec<_>>();
    for (f, (found, expected)) in fields(&found).into_iter().zip(fields(&expected)).enumerate() {
        if found != expected {
            let describe = |(column, features): (xsfm_interchange::rows::Column, u32)| {
                format!("{:?} with {features} features{}", column.name, if column.bag { ", a bag" } else { "" })
            };
            let (found, expected) = (describe(found), describe(expected));
            return Err(Error::Input(format!("field {f} of the packed model is {found}, of the original {expected}")));
        }
    }
    if let (Some(found), Some(wanted)) = (&found.vocabulary, &expected.vocabulary)
        && found != wanted
        && !is_anew
    {
        let column = found.first_difference(wanted).and_then(|f| expected.columns.get(f));
        let field = column.map_or("the vocabulary".to_owned(), |column| format!("field {:?}", column.name));
        return Err(Error::Input(format!(
            "{field} of the packed model has other tokens than the original ({found}, {wanted}): it was not packed \
             from it"
        )));
    }
    Ok(())
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "rows                   {}", self.rows)?;
        writeln!(f, "|logit error| mean     {:.3e}", self.logit_error_mean)?;
        writeln!(f, "|logit error| max      {:.3e}", self.logit_error_max)?;
        writeln!(f, "logits' deviation      {:.4}", self.logit_deviation)?;
        writeln!(f, "mean error / deviation {:.3e}", self.logit_error_relative)?;
        let (Some(before), Some(after)) = (&self.before, &self.after) else {
            return writeln!(f, "The rows have no labels: no AUC, LogLoss, PRAUC, RCE, calibration.");
        };
        writeln!(f, "\n{:<11}  {:>10}  {:>10}  {:>11}", "", "before", "after", "change")?;
        let figures = [
            ("AUC", before.auc, after.auc),
            ("LogLoss", Some(before.log_loss), Some(after.log_loss)),
            ("PRAUC", before.prauc, after.prauc),
            ("RCE %", before.rce, after.rce),
            ("ECE", before.ece, after.ece),
            ("calibration", before.calibration, after.calibration),
        ];
        for (name, before, after) in figures {
            match (before, after) {
                (Some(b), Some(a)) => writeln!(f, "{name:<11}  {b:>10.6}  {a:>10.6}  {:>+11.6}", a - b)?,
                _ => writeln!(f, "{name:<11}  not defined: the labels are all the same")?,
            }
        }
        if let (Some(error), Some(difference)) = (before.auc_standard_error, &self.auc_difference) {
            writeln!(f, "\nAUC's change {difference}; an AUC alone is ± {error:.5} on these rows")?;
        }
        Ok(())
    }
}
