//! Figures of the logits that the libraries wrote, all by one program; what validation rows choose; the table.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use fs_err as fs;
use serde::Serialize;
use xsfm_interchange::dataset::{Dataset, Part};
use xsfm_interchange::metrics::Metrics;

use super::cells::logits;
use super::contenders::{Contender, Variant};

/// Labels of the rows that are measured.
#[derive(Debug)]
pub(crate) struct Rows {
    valid: Vec<u8>,
    test: Vec<u8>,
}

/// Figures of one seed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Measured {
    pub(crate) valid: Metrics,
    pub(crate) test: Metrics,
}

/// A line of the table: means over the seeds.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Line {
    data: String,
    model: String,
    /// What the validation rows chose.
    settings: String,
    seeds: usize,
    valid_auc: Option<f64>,
    test_auc: Option<f64>,
    /// Deviation of the seeds' test AUC from their mean; absent for a single seed.
    auc_deviation: Option<f64>,
    /// How far the test rows, which are a sample, may be off.
    auc_standard_error: Option<f64>,
    test_log_loss: Option<f64>,
}

impl Rows {
    pub(crate) fn read(data: &Dataset) -> Result<Self> {
        let labels = |part: Part| -> Result<Vec<u8>> {
            let mut labels = Vec::new();
            for block in data.rows(part)?.blocks() {
                let block = block?;
                for i in 0..block.len() {
                    let path = || format!("{}: row {} has no label", data.path(part).display(), labels.len());
                    labels.push(block.label(i).with_context(path)?);
                }
            }
            Ok(labels)
        };
        Ok(Rows { valid: labels(Part::Valid)?, test: labels(Part::Test)? })
    }

    /// Figures of a cell's folder.
    pub(crate) fn measure(&self, folder: &Path) -> Result<Measured> {
        let metrics = |part, labels: &[u8]| -> Result<Metrics> {
            let path = logits(folder, part);
            let text = fs::read_to_string(&path)?;
            let logits = numbers(&text).with_context(|| path.display().to_string())?;
            ensure!(
                logits.len() == labels.len(),
                "{}: {} logits, but the data have {} {} rows",
                path.display(),
                logits.len(),
                labels.len(),
                part.name()
            );
            Metrics::from_logits(labels, &logits).with_context(|| path.display().to_string())
        };
        Ok(Measured { valid: metrics(Part::Valid, &self.valid)?, test: metrics(Part::Test, &self.test)? })
    }
}

/// A number a line.
fn numbers(text: &str) -> Result<Vec<f64>> {
    let number = |(i, line): (usize, &str)| {
        line.trim().parse().with_context(|| format!("line {}: {line:?} is no number", i + 1))
    };
    text.lines().enumerate().map(number).collect()
}

/// Which of them has the best AUC on the validation rows; `None` where none has one.
pub(super) fn best(measured: &[Measured]) -> Option<usize> {
    let aucs = measured.iter().enumerate().filter_map(|(i, measured)| Some((i, measured.valid.auc?)));
    aucs.max_by(|a, b| a.1.total_cmp(&b.1)).map(|(i, _)| i)
}

impl Line {
    pub(super) fn new(data: &str, contender: &Contender, variant: &Variant, seeds: &[Measured]) -> Self {
        let all = |of: fn(&Measured) -> Option<f64>| -> Option<Vec<f64>> { seeds.iter().map(of).collect() };
        let mean_of = |of| all(of).map(|values| mean(&values));
        let test_auc = |measured: &Measured| measured.test.auc;
        Line {
            data: data.to_owned(),
            model: contender.title.clone(),
            settings: variant.name(),
            seeds: seeds.len(),
            valid_auc: mean_of(|measured| measured.valid.auc),
            test_auc: mean_of(test_auc),
            auc_deviation: all(test_auc).and_then(|aucs| deviation(&aucs)),
            auc_standard_error: mean_of(|measured| measured.test.auc_standard_error),
            test_log_loss: mean_of(|measured| Some(measured.test.log_loss)),
        }
    }
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// `sqrt(sum (x - mean)^2 / (n - 1))`
fn deviation(values: &[f64]) -> Option<f64> {
    let mean = mean(values);
    let squares: f64 = values.iter().map(|v| (v - mean).powi(2)).sum();
    (values.len() > 1).then(|| (squares / (values.len() - 1) as f64).sqrt())
}

pub(super) fn table(lines: &[Line]) -> String {
    let mut text = "| data | model | chosen | seeds | valid AUC | test AUC | ± seeds | ± rows | test LogLoss |\n\
                    |---|---|---|---|---|---|---|---|---|\n"
        .to_owned();
    let shown = |figure: Option<f64>| figure.map_or_else(String::new, |figure| format!("{figure:.4}"));
    for line in lines {
        let figures =
            [line.valid_auc, line.test_auc, line.auc_deviation, line.auc_standard_error, line.test_log_loss].map(shown);
        let (data, model, settings, seeds) = (&line.data, &line.model, &line.settings, line.seeds);
        text += &format!("| {data} | {model} | {settings} | {seeds} | {} |\n", figures.join(" | "));
    }
    text
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::super::contenders::Library;
    use super::*;

    fn measured(valid: &[f64], test: &[f64]) -> Measured {
        let metrics = |logits| Metrics::from_logits(&[0, 1, 0, 1], logits).unwrap();
        Measured { valid: metrics(valid), test: metrics(test) }
    }

    const GOOD: [f64; 4] = [-1.0, 1.0, -1.0, 1.0];
    const HALF: [f64; 4] = [-1.0, 1.0, 0.5, 0.0];

    #[test]
    fn validation_rows_choose_and_test_rows_are_shown() {
        // The second is better on the validation rows, the first on the test rows.
        let both = [measured(&HALF, &GOOD), measured(&GOOD, &HALF)];
        assert_eq!(best(&both), Some(1));
        let variants = vec![Variant::Driver { model: "DeepFM".to_owned(), l2: 1e-5 }];
        let contender = Contender { library: Library::RecBole, title: "RecBole DeepFM".to_owned(), variants };
        let line = Line::new("adult", &contender, &contender.variants[0], &both);
        assert_eq!((line.test_auc, line.seeds), (Some(0.875), 2));
        assert!(line.auc_deviation.is_some_and(|deviation| (deviation - 0.25 / 2.0_f64.sqrt()).abs() < 1e-12));
        let text = table(&[line]);
        assert!(text.contains("| adult | RecBole DeepFM | DeepFM-l2-1e-5 | 2 | 0.8750 | 0.8750 | 0.1768 |"), "{text}");
    }

    #[test]
    fn logits_that_do_not_fit_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let rows = Rows { valid: vec![0, 1], test: vec![1, 0] };
        fs::write(logits(folder.path(), Part::Valid), "0.5\n1e-3\n").unwrap();
        fs::write(logits(folder.path(), Part::Test), "0.5\n").unwrap();
        let error = format!("{:#}", rows.measure(folder.path()).unwrap_err());
        assert!(error.contains("test.logits: 1 logits, but the data have 2 test rows"), "{error}");
        fs::write(logits(folder.path(), Part::Test), "0.5\nx\n").unwrap();
        let error = format!("{:#}", rows.measure(folder.path()).unwrap_err());
        assert!(error.contains("test.logits: line 2: \"x\" is no number"), "{error}");
    }
}
