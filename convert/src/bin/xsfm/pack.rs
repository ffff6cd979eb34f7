//! `pack`, `import`, `vocabulary` and `retarget`: the commands that write packed files.

use std::path::Path;

use xsfm_convert::model::FloatModel;
use xsfm_convert::packing::{Names, Request, Rows, with_vocabulary, write};
use xsfm_convert::target::{self, Target};
use xsfm_convert::{Error, input, vocabulary};
use xsfm_interchange::output;
use xsfm_interchange::output::line;

use crate::cli::{Kept, Output};
use crate::output::{print, progress_bar};

/// Packs for the mode, the tables and the CPU that `asked` has; `rows_option` names the option that gives `rows`, and
/// `own_schema` is the one beside the model.
pub(crate) fn pack(
    model: FloatModel,
    rows: Option<&Path>,
    rows_option: &str,
    own_schema: Option<&Path>,
    asked: &Output,
) -> anyhow::Result<()> {
    let request = Request {
        mode: asked.mode.into(),
        table_bits: asked.table_bits.map(Into::into),
        rank: asked.rank,
        target: asked.target.into(),
        rows: rows.map(Rows::File),
        names: Names { rows: rows_option, mode: "--mode ", table_bits: "--table-bits " },
        schema: asked.vocabulary.as_deref().or(own_schema).filter(|_| !asked.without_vocabulary),
        kept: asked.kept.into(),
    };
    let bar = progress_bar("calibrating", Some(1));
    let report = write(model, &request, &asked.output, &mut |done, total| {
        bar.set_length(total as u64);
        bar.set_position(done as u64);
    });
    bar.finish_and_clear();
    let report = report?;
    if let (Some(calibration), Some(rows)) = (&report.calibration, rows)
        && calibration.logit_deviation == 0.0
    {
        let from = if rows == Path::new("-") { "standard input".into() } else { rows.display().to_string() };
        let distinct = calibration.distinct_rows;
        output::say(format_args!(
            "NOTE: the model says the same of all {distinct} distinct rows of {from}: was it trained?"
        ));
    }
    print(&report, asked.json)
}

pub(crate) fn retarget(model: &Path, target: Target, output: &Path) -> anyhow::Result<()> {
    let packed = target::retarget(&input::packed(model)?, target)?;
    Ok(packed.write(output).map_err(Error::io(output))?)
}

pub(crate) fn vocabulary(model: &Path, schema: &Path, kept: Kept, output: &Path) -> anyhow::Result<()> {
    let packed = with_vocabulary(&input::packed(model)?, schema, kept.into())?;
    packed.write(output).map_err(Error::io(output))?;
    let bytes: u64 = vocabulary::bytes(&input::load(output, &packed)?).into_iter().sum();
    Ok(line(format_args!("{}: {} bytes, {bytes} of them the vocabulary", output.display(), packed.len()))?)
}
