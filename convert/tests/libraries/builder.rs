//! Arrays that do not fit together are named.

use xsfm_convert::import::builder::{BatchNorm, Builder, Embedding, Field, Layers, Linear, PairWeights};
use xsfm_convert::model::Table;
use xsfm_convert::reference::float_forward;
use xsfm_runtime::Row;

fn table(rows: usize, columns: usize) -> Table<f32> {
    Table { rows, columns, values: (0..rows * columns).map(|i| i as f32 / 8.0).collect() }
}

fn field(name: &str, features: u32) -> Field {
    Field {
        name: name.to_owned(),
        features,
        bag: false,
        embedding: Some(Embedding::Full(table(features as usize, 2))),
        weights: Some(vec![0.5; features as usize]),
    }
}

fn linear(inputs: usize, outputs: usize) -> Linear {
    Linear { inputs, outputs, weight: vec![0.25; inputs * outputs], bias: vec![0.0; outputs], norm: None }
}

fn norm(width: usize) -> BatchNorm {
    let ones = || vec![1.0; width];
    BatchNorm { gamma: ones(), beta: ones(), mean: ones(), var: ones(), epsilon: 1e-5 }
}

/// Two fields with everything.
fn right() -> Builder {
    Builder {
        fields: vec![field("user", 3), field("item", 2)],
        field_vectors: Some(vec![1.0; 4]),
        pairs: PairWeights::Upper(vec![2.0]),
        layers: Some(Layers { order: None, norm: Some(norm(4)), linears: vec![linear(4, 3), linear(3, 1)] }),
        bias: 0.5,
    }
}

#[test]
fn arrays_make_a_model() {
    let model = right().build().unwrap();
    // v = [0.5, 0.625], [0.25, 0.375]; the first layer's inputs are v - mean + beta = v but for epsilon.
    let found = float_forward(&model, Row::new(&[2, 1])).unwrap().logit;
    let expected = 0.5 + 1.0 + 1.75 + 2.0 * (0.5 * 0.25 + 0.625 * 0.375) + 3.0 * 0.25 * 0.25 * 1.75;
    assert!((found - expected).abs() < 1e-4, "{found} and {expected}");
}

fn layers(builder: &mut Builder) -> &mut Layers {
    builder.layers.as_mut().unwrap()
}

#[test]
fn arrays_that_do_not_fit_are_named() {
    type Change = fn(&mut Builder);
    let cases: Vec<(Change, &[&str])> = vec![
        (|b| b.fields.clear(), &["number of fields is 0"]),
        (|b| b.fields[1].name = "user".to_owned(), &["two fields", "`user`"]),
        (|b| b.fields[0].features = 0, &["`user`", "features is 0"]),
        (|b| b.fields[0].features = 4, &["`user`", "weights", "3 numbers, 4"]),
        (|b| b.fields[1].embedding = Some(Embedding::Full(table(5, 2))), &["`item`", "5 rows of 2", "2 of 2"]),
        (|b| b.fields[1].embedding = Some(Embedding::Full(table(2, 3))), &["one length", "`user`", "`item`", "3"]),
        (|b| b.fields[1].weights = Some(vec![f32::NAN; 2]), &["`item`", "weights", "NaN"]),
        (|b| b.field_vectors = Some(vec![1.0; 5]), &["vectors of fields", "5 numbers, 4"]),
        (|b| b.pairs = PairWeights::Upper(vec![1.0; 2]), &["weights of pairs", "2 numbers, 1"]),
        (|b| b.pairs = PairWeights::Matrix(vec![1.0; 3]), &["field matrix", "3 numbers, 4"]),
        (|b| b.bias = f64::NAN, &["bias", "NaN"]),
        (|b| layers(b).order = Some(vec![0, 0]), &["[0, 0]", "each of them once"]),
        (|b| layers(b).linears.clear(), &["output layer"]),
        (|b| layers(b).linears[0] = linear(5, 3), &["layer 0 reads 5", "4"]),
        (|b| layers(b).linears[1] = linear(2, 1), &["layer 1 reads 2", "3"]),
        (|b| layers(b).linears[1] = linear(3, 2), &["output layer", "2 numbers"]),
        (|b| layers(b).linears[0].weight.truncate(11), &["layer 0, weights", "11 numbers, 12"]),
        (|b| layers(b).linears[0].bias.truncate(2), &["layer 0, biases", "2 numbers, 3"]),
        (|b| layers(b).linears[0].norm = Some(norm(2)), &["layer 0, BatchNorm", "gamma", "2 numbers, 3"]),
        (|b| layers(b).norm = Some(norm(3)), &["first layer's inputs", "gamma", "3 numbers, 4"]),
        (|b| layers(b).norm.as_mut().unwrap().var[1] = -1.0, &["layer 0", "variance 1", "negative"]),
        (|b| layers(b).norm.as_mut().unwrap().epsilon = 0.0, &["first layer's inputs", "epsilon is 0"]),
        (|b| b.fields.iter_mut().for_each(|field| field.embedding = None), &["layers need vectors"]),
        (
            |b| {
                *b = Builder { fields: vec![field("user", 3)], ..Builder::default() };
                b.fields[0].weights = None;
            },
            &["no part"],
        ),
    ];
    for (n, (change, words)) in cases.into_iter().enumerate() {
        let mut wrong = right();
        change(&mut wrong);
        let message = wrong.build().unwrap_err().to_string();
        assert!(words.iter().all(|word| message.contains(word)), "case {n}: {words:?} expected in: {message}");
    }
}
