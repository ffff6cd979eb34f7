//! `calibrate`: a packed model whose probabilities are click rates.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::Serialize;
use xsfm_convert::score::score_labelled;
use xsfm_convert::{Error, input, platt};
use xsfm_interchange::metrics::platt::Platt;
use xsfm_interchange::metrics::{Metrics, MetricsError};

use crate::cli::CalibrateArguments;
use crate::output::print;

/// What `calibrate` reports.
#[derive(Debug, Serialize)]
struct Report {
    output: PathBuf,
    /// Logits became `scale z + bias`.
    #[serde(flatten)]
    platt: Platt,
    /// Absent without rows.
    #[serde(flatten)]
    figures: Option<Figures>,
}

/// Figures on the rows, which chose scale and bias: others tell how good they are. Where the rows' negatives were
/// thinned out, `after` is without the correction for it.
#[derive(Debug, Serialize)]
struct Figures {
    before: Metrics,
    after: Metrics,
}

pub(crate) fn calibrate(arguments: &CalibrateArguments) -> anyhow::Result<()> {
    let CalibrateArguments { model: path, rows, negative_rate, output, json } = arguments;
    let packed = input::packed(path)?;
    let fitted = rows.as_ref().map(|rows| fit(path, &packed, rows)).transpose()?;
    let (of_rows, figures) = fitted.map_or((Platt::IDENTITY, None), |(platt, figures)| (platt, Some(figures)));
    let platt = of_rows.then(negative_rate.unwrap_or(Platt::IDENTITY));
    platt::apply(&packed, platt)?.write(output).map_err(Error::io(output))?;
    print(&Report { output: output.clone(), platt, figures }, *json)
}

/// Platt scaling of a model's logits on rows, and what it does to the figures there.
fn fit(path: &Path, packed: &[u8], rows: &Path) -> anyhow::Result<(Platt, Figures)> {
    let labelled = score_labelled(&input::load(path, packed)?, rows, None)?;
    let (observed, logits) = (labelled.observed(), &labelled.logits);
    let problem = |error: MetricsError| Error::Input(format!("{}: {error}", rows.display()));
    let refused = |what: &str| Error::Input(format!("{}: no scale and bias can be found: {what}", rows.display()));
    let platt = Platt::fit(observed, logits).map_err(problem)?;
    let platt = platt.ok_or_else(|| refused("the labels, or the logits, are all the same"))?;
    if platt.scale <= 0.0 {
        let scale = platt.scale;
        return Err(refused(&format!("higher scores are clicked no more often there (a scale of {scale:.3})")).into());
    }
    let metrics = |logits: &[f64]| Metrics::from_logits(observed, logits).map_err(problem);
    let figures = Figures { before: metrics(logits)?, after: metrics(&platt.applied(logits))? };
    Ok((platt, figures))
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Platt { scale, bias } = self.platt;
        if let Some(Figures { before, after }) = &self.figures {
            writeln!(f, "{:<12}  {:>10}  {:>10}", "", "before", "after")?;
            let figures = [
                ("LogLoss", Some(before.log_loss), Some(after.log_loss)),
                ("ECE", before.ece, after.ece),
                ("calibration", before.calibration, after.calibration),
            ];
            for (name, before, after) in figures {
                let shown = |figure: Option<f64>| figure.map_or(String::new(), |figure| format!("{figure:.6}"));
                writeln!(f, "{name:<12}  {:>10}  {:>10}", shown(before), shown(after))?;
            }
        }
        writeln!(f, "{}: logits times {scale:.6}, plus {bias:.6}", self.output.display())
    }
}
