//! `inspect`, `analyze` and `bench`: the commands that tell what a packed model holds and what it costs.

use std::path::Path;
use std::time::Duration;

use anyhow::{anyhow, bail};
use xsfm_convert::analyze::{self, Question};
use xsfm_convert::catalogue::ItemCost;
use xsfm_convert::score::field_numbers;
use xsfm_convert::target::retarget;
use xsfm_convert::{bench, input, inspect};
use xsfm_interchange::output::stream;
use xsfm_runtime::{Backend, CatalogueParts, Encoder, LoadOptions};

use crate::cli::BenchArguments;
use crate::output::print;
use crate::score::Indices;

pub(crate) fn inspect(path: &Path, context: &[String], json: bool) -> anyhow::Result<()> {
    let packed = input::packed(path)?;
    let model = input::load(path, &packed)?;
    let mut report = inspect::inspect(&model)?;
    if !context.is_empty() {
        report.item = Some(ItemCost::of(&model, context, CatalogueParts::LayerSums)?);
    }
    print(&report, json)
}

/// The tokens of a field, one a line: control characters as Rust writes them, so that they stay on it.
pub(crate) fn tokens(path: &Path, field: String) -> anyhow::Result<()> {
    let packed = input::packed(path)?;
    let model = input::load(path, &packed)?;
    let number = field_numbers(&model, &[field])?[0];
    let encoder = model.encoder()?.filter(Encoder::has_tokens);
    let Some(encoder) = encoder else {
        bail!("{}: it has not the tokens' text: pack it with --keep-tokens", path.display());
    };
    let features = model.fields().nth(number).map_or(0, |field| field.features);
    stream(|output| {
        (1..features).filter_map(|index| Some((index, encoder.token(number, index)?))).try_for_each(
            |(index, token)| {
                let plain = |c: char| if c.is_control() { c.escape_default().to_string() } else { c.to_string() };
                writeln!(output, "{index}\t{}", token.chars().map(plain).collect::<String>())
            },
        )?;
        Ok(())
    })
}

pub(crate) fn analyze(path: &Path, question: &Question<'_>, json: bool) -> anyhow::Result<()> {
    let targets = analyze::target::all()?;
    let Some(target) = targets.get(question.target) else {
        let known = targets.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
        bail!("target {:?} is unknown; known are {known}", question.target);
    };
    // A file for another CPU, or for none, would take many times as long.
    let packed = retarget(&input::packed(path)?, analyze::target::layout(question.target))
        .map_err(|error| anyhow!("{}: {error}", path.display()))?;
    let report = analyze::analyze(&input::load(path, &packed)?, &packed, target, question)?;
    print(&report, json)?;
    if report.told.fits { Ok(()) } else { bail!("{} does not fit", path.display()) }
}

pub(crate) fn bench(arguments: &BenchArguments) -> anyhow::Result<()> {
    let rows = {
        // Closed before anything is measured: the memory is that of one model.
        let packed = input::packed(&arguments.model)?;
        // Nothing is scored with it: the back end that was chosen is the only one that is asked for.
        let model = input::load_with(&arguments.model, &packed, LoadOptions::on(Backend::Portable))?;
        if arguments.rows.is_none() && arguments.raw.is_none() {
            bench::random(&model, bench::MAX_ROWS, 1)
        } else {
            let given = (arguments.rows.as_deref(), arguments.raw.as_deref());
            let rows = Indices::of(&arguments.model, &model, given, false)?;
            input::first_rows(rows.path(), input::bounds(&model), bench::MAX_ROWS)?
        }
    };
    let options = bench::Options {
        batch: arguments.batch as usize,
        threads: arguments.threads as usize,
        backend: arguments.backend.as_deref().map(bench::backend).transpose()?,
        prepare: !arguments.as_packed,
        profile: true,
        cold: arguments.cold,
        soak: arguments.soak.map(|seconds| Duration::from_secs(seconds.into())),
    };
    print(&bench::bench(&arguments.model, &rows, &options)?, arguments.json)
}
