//! One sample, 39 fields of embed_dim 10, int8 and f32, over the widths of the MLP.
//!
//! `taskset -c 1 cargo bench -p xsfm-benches`. Every bench first compares the scores with the oracle's.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use xsfm_convert::pack::{Packed, pack_f32, pack_int8};
use xsfm_convert::reference::{float_forward, integer_forward};
use xsfm_interchange::config::Interaction;
use xsfm_runtime::{Model, Scorer, ScratchBlock};
use xsfm_tests::{Rows, Shape, float_model, quantized, scores};

/// Rows that a bench goes through, so that it does not learn one.
const ROWS: usize = 1024;

fn bench_model(criterion: &mut Criterion, name: &str, packed: &Packed, rows: &Rows, expected: &[f64], tolerance: f64) {
    let model = Model::from_bytes(packed).expect("packing has loaded it");
    for (score, expected) in scores(&model, rows).expect("rows were made for the model").iter().zip(expected) {
        let error = (f64::from(score.logit) - expected).abs();
        assert!(error <= tolerance * expected.abs().max(1.0), "{name}: {} instead of {expected}", score.logit);
    }
    let mut scratch = vec![ScratchBlock::ZERO; model.scratch_blocks()];
    let mut scorer = Scorer::new(&model, &mut scratch).expect("the scratch has the size that the model asked for");
    let rows: Vec<_> = rows.iter().collect();
    let mut next = rows.iter().cycle();
    criterion.bench_function(name, |bencher| {
        bencher.iter(|| next.next().map(|row| scorer.score(black_box(*row))));
    });
}

fn one_sample(criterion: &mut Criterion) {
    for (name, hidden) in [
        ("400-400-400", Some(vec![400; 3])),
        ("64-64-64", Some(vec![64; 3])),
        ("16-16", Some(vec![16; 2])),
        ("FwFM", None),
    ] {
        let shape = Shape {
            num_fields: 39,
            embed_dim: 10,
            feature_weight: false,
            field_vector: true,
            interaction: Interaction::FieldWeighted,
            pruned: false,
            hidden,
            seed: 1,
        };
        let float = float_model(&shape);
        let rows = Rows::for_config(&float.config, ROWS, 2);
        let exact = |row| float_forward(&float, row).map_or(f64::NAN, |trace| trace.logit);
        let exact: Vec<f64> = rows.iter().map(exact).collect();
        let packed = pack_f32(&float).expect("a small model packs");
        bench_model(criterion, &format!("f32/{name}"), &packed, &rows, &exact, 1e-4);

        let integers = quantized(&float, &rows);
        let exact = |row| integer_forward(&integers, row).map_or(f64::NAN, |trace| trace.logit as f64 / 65_536.0);
        let exact: Vec<f64> = rows.iter().map(exact).collect();
        let packed = pack_int8(&integers).expect("a small model packs");
        bench_model(criterion, &format!("int8/{name}"), &packed, &rows, &exact, 0.0);
    }
}

criterion_group!(benches, one_sample);
criterion_main!(benches);
