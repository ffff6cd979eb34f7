//! Candidates of one context: as rows, and as items of a catalogue. `catalogue [ITEMS]` prints what each takes on this
//! CPU, in turns: 10,000 items where it is not said, of Criteo's fields, 20 of them the context's.

use std::error::Error;
use std::hint::black_box;
use std::process::ExitCode;
use std::time::Instant;

use xsfm_benches::{FEATURES, FULL, model, samples};
use xsfm_convert::calibrate::{Activations, calibrate};
use xsfm_convert::model::FloatModel;
use xsfm_convert::pack::{Packed, pack_f32, pack_int8};
use xsfm_interchange::rows::RowBlock;
use xsfm_runtime::{Catalogue, CatalogueParts, CatalogueRanker, Mode, Model, Ranked, Ranker, Row, ScratchBlock};
use zerocopy::IntoBytes;

type Outcome<T> = Result<T, Box<dyn Error>>;

const ITEMS: usize = 10_000;
/// An item's fields come after these.
const CONTEXT: usize = 20;
/// Of each way, one after another.
const TURNS: usize = 31;
/// f32 logits may be so far from each other.
const TOLERANCE: f32 = 1e-3;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let items = match &arguments[..] {
        [] => Ok(ITEMS),
        [items] => items.parse().map_err(|error| format!("{items}: {error}")),
        _ => Err("usage: catalogue [ITEMS]".into()),
    };
    match items.map_err(Into::into).and_then(table) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("catalogue: {error}");
            ExitCode::FAILURE
        }
    }
}

fn table(items: usize) -> Outcome<()> {
    println!("| model | bytes of an item | ns an item as a row | vectors | layer sums | times as fast |");
    println!("|---|---|---|---|---|---|");
    let samples = samples(items.max(1), 2);
    for (hidden, layers) in [("none", None), ("64-64-64", Some(&[64; 3][..])), ("400-400-400", Some(&[400; 3]))] {
        let float = model(layers, FULL, 1);
        for mode in ["int8", "dynamic", "f32"] {
            // Without layers dynamic mode is int8.
            if mode == "dynamic" && layers.is_none() {
                continue;
            }
            let packed = packed(&float, mode)?;
            println!("| {mode} {hidden} | {}", compare(&packed, &samples)?);
        }
    }
    Ok(())
}

fn packed(float: &FloatModel, mode: &str) -> Outcome<Packed> {
    let mut block = RowBlock::new(FEATURES.len(), false);
    samples(64, 3).iter().for_each(|&index| block.push_field(&[index]));
    let activations = if mode == "dynamic" { Activations::Dynamic } else { Activations::Static };
    if mode == "f32" {
        return Ok(pack_f32(float)?);
    }
    Ok(pack_int8(&calibrate(float, activations, &block, &mut |_, _| ())?.model)?)
}

/// The cells of a model.
fn compare(packed: &[u8], samples: &[u32]) -> Outcome<String> {
    let model = Model::from_bytes(packed)?;
    let mut tiles = vec![ScratchBlock::ZERO; model.prepared_blocks()];
    let model = model.prepare(&mut tiles)?;
    let context: Vec<usize> = (0..CONTEXT).collect();
    let rows: Vec<Row<'_>> = samples.chunks(FEATURES.len()).map(|row| Row::new(&row[CONTEXT..])).collect();
    let shared = |turn: usize| Row::new(&samples[turn % rows.len() * FEATURES.len()..][..CONTEXT]);

    let mut memory = vec![ScratchBlock::ZERO; Ranker::blocks(&model, &context)?];
    let mut ranker = Ranker::new(&model, &context, &mut memory)?;
    let mut scratch = vec![ScratchBlock::ZERO; Catalogue::scratch_blocks(&model)];
    let (mut files, mut bytes) = (Vec::new(), Vec::new());
    for parts in [CatalogueParts::Vectors, CatalogueParts::LayerSums] {
        let mut file = vec![ScratchBlock::ZERO; Catalogue::blocks(&model, &context, parts, rows.len() as u32)?];
        Catalogue::build(&model, &context, parts, rows.iter().copied(), &mut scratch, &mut file)?;
        let item = Catalogue::item_bytes(&model, &context, parts)?;
        bytes.push((item.sums + item.vectors + item.layer_sums).to_string());
        files.push(file);
    }
    let catalogues: Vec<Catalogue<'_>> =
        files.iter().map(|file| Catalogue::from_bytes(&model, file.as_bytes())).collect::<Result<_, _>>()?;
    let room = |catalogue| vec![ScratchBlock::ZERO; CatalogueRanker::blocks(&model, catalogue)];
    let mut rooms: Vec<Vec<ScratchBlock>> = catalogues.iter().map(room).collect();
    let of_items = catalogues.iter().zip(&mut rooms);
    let mut of_items: Vec<CatalogueRanker<'_>> =
        of_items.map(|(catalogue, room)| CatalogueRanker::new(&model, catalogue, room)).collect::<Result<_, _>>()?;
    let mut times = [const { Vec::new() }; 3];
    let mut best = [[Ranked::default(); 10]; 3];
    for turn in 0..TURNS {
        let row = shared(turn);
        times[0].push(timed(|| {
            ranker.set_context(row)?;
            Ok(ranker.top_k(black_box(&rows).iter().copied(), &mut best[0])?)
        })?);
        for (n, ranker) in of_items.iter_mut().enumerate() {
            times[n + 1].push(timed(|| {
                ranker.set_context(black_box(row))?;
                Ok(ranker.top_k(&mut best[n + 1])?)
            })?);
            let is_same = match model.mode() {
                Mode::F32 => (best[0][0].score.logit - best[n + 1][0].score.logit).abs() < TOLERANCE,
                _ => best[0] == best[n + 1],
            };
            assert!(is_same, "{:?} as rows, {:?} from a catalogue", best[0], best[n + 1]);
        }
    }
    let medians = times.map(|mut times| {
        times.sort_by(f64::total_cmp);
        times[TURNS / 2] / rows.len() as f64
    });
    let [as_rows, vectors, layer_sums] = medians;
    let bytes = bytes.join(" or ");
    Ok(format!("{bytes} | {as_rows:.1} | {vectors:.1} | {layer_sums:.1} | {:.2} |", as_rows / layer_sums))
}

/// Nanoseconds.
fn timed(work: impl FnOnce() -> Outcome<usize>) -> Outcome<f64> {
    let start = Instant::now();
    black_box(work()?);
    Ok(start.elapsed().as_secs_f64() * 1e9)
}
