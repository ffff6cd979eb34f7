//! What a packed model costs on this CPU: getting ready, each call, each part, threads, memory.
//!
//! | module | measures |
//! |---|---|
//! | `rows` | nothing: it draws the rows that are scored |
//! | `options` | nothing: it says how |
//! | `time` | calls, rounds, threads |
//! | `cold` | nothing: it empties the caches |
//! | `profile` | parts, by leaving them out |
//! | `machine` | what the CPU has, and the memory that was used |
//! | `report` | nothing: it is what is told |

mod cold;
mod machine;
mod options;
mod profile;
mod report;
mod rows;
mod time;

use std::path::Path;
use std::time::{Duration, Instant};

use xsfm_interchange::rows::RowBlock;
use xsfm_runtime::{Backend, LoadOptions, Model, Row, Scorer, ScratchBlock};

pub use self::cold::Flood;
pub use self::options::Options;
pub use self::profile::parts;
pub use self::report::{Memory, Part, Report, Soak, Start};
pub use self::rows::random;
pub use self::time::{Cold, Quantiles, Together};

use self::options::{no_room, scratch};
use self::time::{Calls, median_ns};
use crate::error::Error;
use crate::input;
use crate::inspect::mode_name;

/// Rows that are scored in turn.
pub const MAX_ROWS: usize = 1024;
/// Tries of what happens once in a program's life.
const TRIES: usize = 9;
/// How long each thing is measured.
const BUDGET: Duration = Duration::from_millis(300);

/// The back end of that name.
///
/// # Errors
/// There is none, or this CPU lacks it; names those that it has.
pub fn backend(name: &str) -> Result<Backend, Error> {
    let found = Backend::ALL.into_iter().find(|backend| backend.name() == name);
    found.filter(|backend| backend.is_available()).ok_or_else(|| lacks(name))
}

fn lacks(name: &str) -> Error {
    let here: Vec<_> = Backend::ALL.into_iter().filter(|backend| backend.is_available()).map(Backend::name).collect();
    Error::Input(format!("this CPU lacks back end {name:?}; it has {}", here.join(", ")))
}

/// Measures the packed file at `path`, which is opened several times, with `rows`.
///
/// # Errors
/// The file cannot be opened, or is not a model; rows that do not fit it, or a back end that this CPU lacks.
pub fn bench(path: &Path, rows: &RowBlock, options: &Options) -> Result<Report, Error> {
    let start = start(path, rows, options)?;
    let file = input::packed(path)?;
    let model = input::load_with(path, &file, LoadOptions { backend: options.backend, ..LoadOptions::default() })?;
    let mut prepared = vec![ScratchBlock::ZERO; if options.prepare { model.prepared_blocks() } else { 0 }];
    let model = if options.prepare { model.prepare(&mut prepared).map_err(no_room)? } else { model };

    let rows = Rows::new(rows, options.batch);
    let mut scratch = scratch(&model, options.batch);
    let mut calls = Calls::new(&model, &rows.0, options.batch, &mut scratch)?;
    let rounds = calls.rounds(BUDGET)?;
    let call = calls.quantiles(BUDGET)?;
    let soak = match options.soak {
        None => None,
        Some(time) => Some(Soak::new(calls.quantiles(time)?, time)),
    };
    let throughput = time::throughput(&model, &rows.0, options, BUDGET)?;
    // The profile has models of its own, and the flood is no model's memory.
    let peak_bytes = machine::peak_bytes();
    let cold = if options.cold { Some(calls.cold()?) } else { None };
    let profile = if options.profile { profile::profile(&file, &model, &rows.0, options)? } else { Vec::new() };
    let statistics = model.statistics();
    let scratch_bytes = scratch.len() * ScratchBlock::LEN;
    Ok(Report {
        mode: mode_name(statistics.mode),
        backend: model.backend().name(),
        cpu: machine::features(),
        prepared: options.prepare,
        batch: options.batch,
        threads: options.threads,
        rows: rows.0.len(),
        rounds: rounds.count,
        ns_median: rounds.median,
        ns_min: rounds.least,
        row: call.per_row(options.batch),
        call,
        timer_ns: time::timer_ns(),
        rows_per_second: throughput.last().map_or(0.0, |together| together.rows_per_second),
        throughput,
        start,
        memory: Memory {
            file_bytes: statistics.file_bytes,
            prepared_bytes: prepared.len() * ScratchBlock::LEN,
            scratch_bytes,
            announced_bytes: statistics.file_bytes
                + prepared.len() * ScratchBlock::LEN
                + options.threads * scratch_bytes,
            peak_bytes,
        },
        profile,
        soak,
        cold,
        checksum: format!("{:#010x}", rounds.checksum),
    })
}

/// What happens once in a program's life, each the median of several tries.
///
/// Each opens the file anew: the first look at a page of a mapped file takes time, which belongs to whatever looks.
fn start(path: &Path, rows: &RowBlock, options: &Options) -> Result<Start, Error> {
    let refused = |source| Error::Load { path: path.to_owned(), source };
    let timed = |times: &mut Vec<f64>, start: Instant| times.push(start.elapsed().as_nanos() as f64);
    let (mut open, mut load, mut verify, mut prepare, mut first) = (vec![], vec![], vec![], vec![], vec![]);
    for _ in 0..TRIES {
        let start = Instant::now();
        let file = input::packed(path)?;
        timed(&mut open, start);
        let start = Instant::now();
        let chosen = LoadOptions { skip_checksum: true, backend: options.backend };
        let model = Model::from_bytes_with(&file, chosen).map_err(refused)?;
        timed(&mut load, start);
        let start = Instant::now();
        model.verify_checksum().map_err(refused)?;
        timed(&mut verify, start);
        let mut memory = vec![ScratchBlock::ZERO; model.prepared_blocks()];
        let start = Instant::now();
        let model = if options.prepare { model.prepare(&mut memory).map_err(no_room)? } else { model };
        timed(&mut prepare, start);
        let mut scratch = vec![ScratchBlock::ZERO; model.scratch_blocks()];
        let start = Instant::now();
        let mut scorer = Scorer::new(&model, &mut scratch).map_err(no_room)?;
        scorer.score(rows.row(0)).map_err(Error::row(0))?;
        timed(&mut first, start);
    }
    Ok(Start {
        open_ns: median_ns(&mut open),
        load_ns: median_ns(&mut load),
        checksum_ns: median_ns(&mut verify),
        prepare_ns: median_ns(&mut prepare),
        first_score_ns: median_ns(&mut first),
    })
}

/// As many rows as full calls need: those of a block, again and again.
struct Rows<'r>(Vec<Row<'r>>);

impl<'r> Rows<'r> {
    fn new(block: &'r RowBlock, batch: usize) -> Self {
        let count = block.len().next_multiple_of(batch);
        Rows((0..count).map(|i| block.row(i % block.len())).collect())
    }
}
