//! `catalogue`, and `rank` with one.

use xsfm_convert::catalogue::{self, item_fields};
use xsfm_convert::score::field_numbers;
use xsfm_convert::{Error, input};
use xsfm_interchange::atomic;
use xsfm_runtime::Model;

use crate::cli::{CatalogueArguments, RankArguments};
use crate::output::{print, print_json};
use crate::score::{Indices, print_ranking, read_lines};

pub(crate) fn catalogue(arguments: &CatalogueArguments) -> anyhow::Result<()> {
    let CatalogueArguments { model: path, items, indices, context, parts, output, json } = arguments;
    let packed = input::packed(path)?;
    let model = input::load(path, &packed)?;
    let context = field_numbers(&model, context)?;
    let fields = item_fields(&model, &context);
    let rows = Indices::of_fields(path, &model, (indices.as_deref(), items.as_deref()), false, &fields)?;
    let built = catalogue::build(&model, &context, (*parts).into(), rows.path())?;
    atomic::write(output, |out| out.write_all(built.bytes())).map_err(Error::io(output))?;
    print(&built.report, *json)
}

/// The best items of a catalogue for one context.
pub(crate) fn rank(model: &Model<'_>, arguments: &RankArguments, of: &std::path::Path) -> anyhow::Result<()> {
    let RankArguments { model: path, rows, names, top, json, .. } = arguments;
    let bytes = input::packed(of)?;
    let catalogue = catalogue::load(of, model, &bytes)?;
    let names = names.as_deref().map(read_lines).transpose()?;
    let fields: Vec<usize> = catalogue.context_fields().collect();
    let given = (rows.indices.as_deref(), rows.raw.as_deref());
    let context = Indices::of_fields(path, model, given, false, &fields)?;
    let ranked = catalogue::rank(model, &catalogue, context.path(), names.as_deref(), *top)?;
    if *json { print_json(&ranked) } else { print_ranking(&ranked) }
}
