//! `inspect`, `analyze` and `bench`: the commands that tell what a packed model holds and what it costs.

use std::path::Path;
use std::time::Duration;

use anyhow::{anyhow, bail};
use xsfm_convert::analyze::{self, Question};
use xsfm_convert::target::retarget;
use xsfm_convert::{bench, input, inspect};
use xsfm_runtime::{Backend, LoadOptions};

use crate::cli::BenchArguments;
use crate::output::print;

pub(crate) fn inspect(path: &Path, json: bool) -> anyhow::Result<()> {
    let packed = input::packed(path)?;
    print(&inspect::inspect(&input::load(path, &packed)?)?, json)
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
        match &arguments.rows {
            Some(rows) => input::first_rows(rows, input::bounds(&model), bench::MAX_ROWS)?,
            None => bench::random(&model, bench::MAX_ROWS, 1),
        }
    };
    let options = bench::Options {
        batch: arguments.batch as usize,
        threads: arguments.threads as usize,
        backend: arguments.backend.as_deref().map(bench::backend).transpose()?,
        prepare: !arguments.as_packed,
        profile: true,
        soak: arguments.soak.map(|seconds| Duration::from_secs(seconds.into())),
    };
    print(&bench::bench(&arguments.model, &rows, &options)?, arguments.json)
}
