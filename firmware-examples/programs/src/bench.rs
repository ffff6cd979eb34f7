//! Counts the instructions of a score, of each model that the host names.
//!
//! The host strips a model of its parts, one by one: what a part takes is the difference. It gives candidates too,
//! which are scored as whole rows, alone and in batches, with their context computed once, and from a catalogue.

use core::hint::black_box;

use defmt::info;
use example_input::{Ranking, encode_line};
use xsfm_runtime::{
    Catalogue, CatalogueParts, CatalogueRanker, Encoder, Model, Ranked, Ranker, Row, Score, Scorer, ScratchBlock, Value,
};

use crate::host::{Room, Words};
use crate::machine::Counter;
use crate::rank::ContextFields;
use crate::{flash, raw, stop};

/// `bench RANKING MODEL…`; the first model is ranked too. `bench` alone counts what raw values take.
pub fn main() {
    let (mut room, words, mut counter) = (Room::take(), Words::get(), Counter::start());
    words.expect("the program's name");
    let Some(ranking) = words.next() else { return encode(&mut counter) };
    let mut is_first = true;
    while let Some(path) = words.next() {
        let (bytes, ranking, memory) = room.read(path, ranking);
        let ranking = Ranking::decode(ranking).unwrap_or_else(|| stop("candidates", "not a ranking"));
        let model = Model::from_bytes_skipping_checksum(bytes).unwrap_or_else(|why| stop(path, why));
        let (per_row, highest) = score(&model, &ranking, memory, &mut counter);
        info!("figure {} score {}", path, per_row);
        if is_first {
            info!("figure {} batch {}", path, batch(&model, &ranking, memory, &mut counter));
            let (context, per_candidate, best) = rank(&model, &ranking, memory, &mut counter);
            if best != highest {
                stop("ranking finds another best logit than scoring whole rows", (best, highest));
            }
            info!("figure {} context {}", path, context);
            info!("figure {} candidate {}", path, per_candidate);
            let (context, per_item, best) = catalogue(&model, &ranking, memory, &mut counter);
            if best != highest {
                stop("a catalogue has another best logit than whole rows", (best, highest));
            }
            info!("figure {} context of items {}", path, context);
            info!("figure {} item {}", path, per_item);
        }
        is_first = false;
    }
}

/// Instructions of raw values becoming indices: of a field, and of the rows in flash.
fn encode(counter: &mut Counter) {
    let model = Model::from_bytes(&flash::RAW_MODEL.0).unwrap_or_else(|why| stop("the model of raw values", why));
    let encoder = raw::encoder(&model);
    let field = |name| encoder.field(name).unwrap_or_else(|| stop("no field", name));
    let (user, price) = (field("user"), field("price"));
    for (what, field, value) in [
        ("token of 8 bytes", user, Value::Text("68fd1e64")),
        ("token of 64 bytes", user, Value::Text("68fd1e6468fd1e6468fd1e6468fd1e6468fd1e6468fd1e6468fd1e6468fd1e64")),
        ("integer", price, Value::Integer(12)),
        ("real", price, Value::Real(7.75)),
        ("text of a number", price, Value::Text("7.75")),
    ] {
        info!("figure raw {} {}", what, of_value(&encoder, field, value, counter));
    }
    let (mut indices, mut offsets) = ([0; flash::RAW_INDICES], [0; flash::RAW_FIELDS + 1]);
    let (mut total, mut rows) = (0, 0);
    for line in flash::RAW_ROWS.lines() {
        let (instructions, row) = counter.count(|| encode_line(&encoder, line, &mut indices, &mut offsets).is_ok());
        if !row {
            stop("a row", line);
        }
        (total, rows) = (total + instructions, rows + 1);
    }
    info!("figure raw row {}", per(total, rows));
}

/// Instructions of one value. A tick of the clock is many: it is encoded again and again.
fn of_value(encoder: &Encoder<'_>, field: usize, value: Value<'_>, counter: &mut Counter) -> u32 {
    const TIMES: u64 = 256;
    let mut indices = [0];
    let (instructions, all) = counter
        .count(|| (0..TIMES).all(|_| encoder.encode_field(black_box(field), &black_box(value), &mut indices).is_ok()));
    if !all {
        stop("a value", field);
    }
    per(instructions, TIMES as usize)
}

/// Instructions per whole row, and the highest logit.
fn score(model: &Model<'_>, ranking: &Ranking<'_>, memory: &mut [ScratchBlock], counter: &mut Counter) -> (u32, f32) {
    let mut scorer = Scorer::new(model, memory).unwrap_or_else(|why| stop("a scorer", why));
    let (mut total, mut highest) = (0, f32::NEG_INFINITY);
    for row in ranking.whole.rows() {
        let (instructions, score) = counter.count(|| scorer.score(row));
        highest = highest.max(score.unwrap_or_else(|why| stop("a row", why)).logit);
        total += instructions;
    }
    (per(total, ranking.whole.rows().len()), highest)
}

/// Instructions per whole row of a batch.
fn batch(model: &Model<'_>, ranking: &Ranking<'_>, memory: &mut [ScratchBlock], counter: &mut Counter) -> u32 {
    const BATCH: usize = 8;
    let mut scorer = Scorer::new(model, memory).unwrap_or_else(|why| stop("a scorer", why));
    let (mut total, mut left) = (0, ranking.whole.rows());
    loop {
        let (mut rows, mut scores, mut count) = ([Row::new(&[]); BATCH], [Score::default(); BATCH], 0);
        for (slot, row) in rows.iter_mut().zip(&mut left) {
            *slot = row;
            count += 1;
        }
        if count == 0 {
            return per(total, ranking.whole.rows().len());
        }
        let (instructions, scored) = counter.count(|| scorer.score_batch(&rows[..count], &mut scores[..count]));
        if let Err(why) = scored {
            stop("a batch", why.error);
        }
        total += instructions;
    }
}

/// Instructions of setting a context, and per candidate in it: of the best ten, found in all. And the best one's logit.
fn rank(
    model: &Model<'_>,
    ranking: &Ranking<'_>,
    memory: &mut [ScratchBlock],
    counter: &mut Counter,
) -> (u32, u32, f32) {
    let fields = ContextFields::new(ranking.context_fields);
    let mut ranker = Ranker::new(model, fields.as_slice(), memory).unwrap_or_else(|why| stop("a ranker", why));
    let Some(context) = ranking.context.rows().next() else { stop("candidates", "no context") };
    let (of_context, set) = counter.count(|| ranker.set_context(context));
    let mut best = [Ranked::default(); 10];
    let (of_all, ranked) = counter.count(|| ranker.top_k(ranking.candidates.rows(), &mut best));
    if let (Err(why), _) | (_, Err(why)) = (set, ranked.map_err(|batch| batch.error)) {
        stop("ranking", why);
    }
    (per(of_context, 1), per(of_all, ranking.candidates.rows().len()), best[0].score.logit)
}

/// The same of the candidates as items of a catalogue, which is made here.
fn catalogue(
    model: &Model<'_>,
    ranking: &Ranking<'_>,
    memory: &mut [ScratchBlock],
    counter: &mut Counter,
) -> (u32, u32, f32) {
    let fields = ContextFields::new(ranking.context_fields);
    let (fields, parts, rows) = (fields.as_slice(), CatalogueParts::LayerSums, ranking.candidates.rows());
    let blocks = Catalogue::blocks(model, fields, parts, rows.len() as u32);
    let blocks = blocks.unwrap_or_else(|why| stop("the context's fields", why));
    let Some((file, memory)) = memory.split_at_mut_checked(blocks) else { stop("memory for a catalogue", blocks) };
    let catalogue = Catalogue::build(model, fields, parts, rows, memory, file);
    let catalogue = catalogue.unwrap_or_else(|why| stop("an item", why.error));
    let ranker = CatalogueRanker::new(model, &catalogue, memory);
    let mut ranker = ranker.unwrap_or_else(|why| stop("a ranker of a catalogue", why));
    let Some(context) = ranking.context.rows().next() else { stop("candidates", "no context") };
    let (of_context, set) = counter.count(|| ranker.set_context(context));
    let mut best = [Ranked::default(); 10];
    let (of_all, ranked) = counter.count(|| ranker.top_k(&mut best));
    if let (Err(why), _) | (_, Err(why)) = (set, ranked.map_err(|batch| batch.error)) {
        stop("ranking a catalogue", why);
    }
    (per(of_context, 1), per(of_all, catalogue.len()), best[0].score.logit)
}

fn per(total: u64, count: usize) -> u32 {
    u32::try_from(total / count.max(1) as u64).unwrap_or(u32::MAX)
}
