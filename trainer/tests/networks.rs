//! Teachers' networks equal their papers' equations in plain loops, every number of theirs learns, and a run that goes
//! on is that run.
#![cfg(feature = "torch")]
#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::collections::HashMap;

use common::plain::{Named, dot, layers, normed, vectors};
use common::{all_kinds, config, random_model, random_rows};
use tch::{Device, Kind, Tensor};
use xsfm_interchange::config::{Interaction, MlpConfig, ModelConfig};
use xsfm_interchange::network::{Gate, Network};
use xsfm_interchange::schema::{Field, FieldKind, Schema};
use xsfm_trainer::checkpoint;
use xsfm_trainer::distill::cross_entropy;
use xsfm_trainer::model::network::numbers_of_a_row;
use xsfm_trainer::model::parameters::check_config;
use xsfm_trainer::model::role::Role;
use xsfm_trainer::model::{Dropout, Model};

/// F = 10 fields of every kind, k = 18, beside all other parts.
fn with(network: Network) -> ModelConfig {
    ModelConfig { network: Some(network), ..config(all_kinds(), 18) }
}

fn mlp(hidden: &[usize], batch_norm: bool) -> MlpConfig {
    MlpConfig { hidden: hidden.to_vec(), batch_norm }
}

fn gate(fields: &[usize], hidden: &[usize]) -> Gate {
    Gate { fields: fields.to_vec(), hidden: hidden.to_vec() }
}

fn cross(cross_layers: usize, cross_rank: usize, cross_experts: usize, cross_stacked: bool) -> Network {
    Network::DcnV2 { cross_layers, cross_rank, cross_experts, cross_stacked }
}

/// Every network, in every shape that it has.
fn networks() -> Vec<Network> {
    let streams = [mlp(&[14, 12], true), mlp(&[8], false)];
    vec![
        cross(3, 0, 1, false),
        cross(2, 0, 1, true),
        cross(2, 5, 1, false),
        cross(2, 4, 3, true),
        Network::FinalMlp { streams: streams.clone(), gates: None, fusion_heads: 1 },
        Network::FinalMlp {
            streams: streams.clone(),
            gates: Some([gate(&[], &[7]), gate(&[4, 1], &[])]),
            fusion_heads: 4,
        },
        Network::FinalMlp { streams, gates: Some([gate(&[], &[7]), gate(&[2], &[6, 5])]), fusion_heads: 2 },
        Network::Ffm,
        Network::Pnn,
        Network::Nfm { batch_norm: true },
        Network::Nfm { batch_norm: false },
        Network::Afm { attention_width: 5 },
        Network::AutoInt { attention_layers: 2, attention_heads: 3, attention_width: 12 },
        Network::Ncf { gmf_width: 7, gmf_fields: [1, 4] },
        Network::Afn { log_neurons: 6 },
        Network::Dlrm { dense_fields: vec![], bottom_hidden: vec![], batch_norm: true },
        Network::Dlrm { dense_fields: vec![8, 0, 4], bottom_hidden: vec![9], batch_norm: true },
    ]
}

/// Row r of matrix m of a tensor `[matrices, rows, columns]`.
fn row_of<'a>(t: &'a Named, name: &str, [m, r]: [usize; 2], [rows, columns]: [usize; 2]) -> &'a [f64] {
    &t.get(name)[(m * rows + r) * columns..][..columns]
}

fn softmax(x: &[f64]) -> Vec<f64> {
    let sum: f64 = x.iter().map(|x| x.exp()).sum();
    x.iter().map(|x| x.exp() / sum).collect()
}

fn add(a: &[f64], b: &[f64]) -> Vec<f64> {
    a.iter().zip(b).map(|(a, b)| a + b).collect()
}

fn multiply(a: &[f64], b: &[f64]) -> Vec<f64> {
    a.iter().zip(b).map(|(a, b)| a * b).collect()
}

/// All pairs i < j.
fn pairs<T>(v: &[T]) -> Vec<(&T, &T)> {
    (0..v.len()).flat_map(|i| (i + 1..v.len()).map(move |j| (&v[i], &v[j]))).collect()
}

/// DCN-V2, arXiv:2008.13535, sections 3.2 and 4.2: the last x.
fn cross_network(t: &Named, x0: &[f64], [layers, rank, experts]: [usize; 3]) -> Vec<f64> {
    let d = x0.len();
    let mut x = x0.to_vec();
    for l in 0..layers {
        let name = |part: &str| format!("network.cross.{l}.{part}");
        let bias = t.get(&name("bias"));
        let wx = |o: usize| -> f64 {
            match (rank, experts) {
                (0, _) => dot(t.row(&name("weight"), o as u32), &x),
                (_, 1) => {
                    (0..rank).map(|r| t.row(&name("up"), o as u32)[r] * dot(t.row(&name("down"), r as u32), &x)).sum()
                }
                _ => {
                    let scores: Vec<f64> = (0..experts).map(|i| dot(t.row(&name("gates"), i as u32), &x)).collect();
                    let of_expert = |i: usize| {
                        let down = |r| dot(row_of(t, &name("down"), [i, r], [rank, d]), &x).tanh();
                        let down: Vec<f64> = (0..rank).map(down).collect();
                        let core = |r| dot(row_of(t, &name("core"), [i, r], [rank, rank]), &down).tanh();
                        let core: Vec<f64> = (0..rank).map(core).collect();
                        dot(row_of(t, &name("up"), [i, o], [d, rank]), &core)
                    };
                    softmax(&scores).iter().enumerate().map(|(i, gate)| gate * of_expert(i)).sum()
                }
            }
        };
        x = (0..d).map(|o| x0[o] * (wx(o) + bias[o]) + x[o]).collect();
    }
    x
}

/// FinalMLP, arXiv:2304.00902: gates, streams, fusion.
fn final_mlp(t: &Named, v: &[Vec<f64>], streams: &[MlpConfig; 2], gates: Option<&[Gate; 2]>, heads: usize) -> f64 {
    let e = v.concat();
    let outputs = [0, 1].map(|s| {
        let selected = gates.map_or_else(
            || e.clone(),
            |gates| {
                let context: Vec<f64> = match &gates[s].fields[..] {
                    [] => t.get(&format!("network.gate.{s}.context")).to_vec(),
                    fields => fields.iter().flat_map(|&f| v[f].clone()).collect(),
                };
                let factors = layers(t, &format!("network.gate.{s}"), context, gates[s].hidden.len());
                e.iter().zip(factors).map(|(e, x)| e * 2.0 / (1.0 + (-x).exp())).collect()
            },
        );
        layers(t, &format!("network.stream.{s}"), selected, streams[s].hidden.len())
    });
    let mut logit: f64 = (0..2).map(|s| dot(&outputs[s], t.get(&format!("network.output.{s}")))).sum();
    let [a, b] = [0, 1].map(|s| outputs[s].len() / heads);
    for j in 0..heads {
        for m in 0..a {
            let row = row_of(t, "network.fusion", [j, m], [a, b]);
            logit += outputs[0][j * a + m] * dot(row, &outputs[1][j * b..][..b]);
        }
    }
    logit
}

/// FFM, eq. 4: field i has a vector for every field but itself.
fn ffm(v: &[Vec<f64>]) -> f64 {
    let size = v[0].len() / (v.len() - 1);
    let vector = |of: usize, toward: usize| {
        let others: Vec<usize> = (0..v.len()).filter(|&f| f != of).collect();
        let place = others.iter().position(|&f| f == toward).unwrap();
        &v[of][place * size..][..size]
    };
    let all: Vec<usize> = (0..v.len()).collect();
    pairs(&all).iter().map(|&(&i, &j)| dot(vector(i, j), vector(j, i))).sum()
}

/// AFM, arXiv:1708.04617, eq. 5 and 6.
fn afm(t: &Named, v: &[Vec<f64>]) -> f64 {
    let products: Vec<Vec<f64>> = pairs(v).iter().map(|(a, b)| multiply(a, b)).collect();
    let scores: Vec<f64> = products
        .iter()
        .map(|product| {
            let bias = t.get("network.attention.bias").iter().enumerate();
            let hidden = bias.map(|(o, b)| (b + dot(t.row("network.attention.weight", o as u32), product)).max(0.0));
            dot(&hidden.collect::<Vec<_>>(), t.get("network.score"))
        })
        .collect();
    let attention = softmax(&scores);
    products.iter().zip(attention).map(|(product, a)| a * dot(product, t.get("network.output"))).sum()
}

/// AutoInt, arXiv:1810.11921, eq. 5 to 9.
fn autoint(t: &Named, v: &[Vec<f64>], [count, heads, width]: [usize; 3]) -> f64 {
    let mut e = v.to_vec();
    let size = width / heads;
    for l in 0..count {
        let by = |part: &str, x: &[f64]| -> Vec<f64> {
            (0..width).map(|o| dot(t.row(&format!("network.attention.{l}.{part}"), o as u32), x)).collect()
        };
        let of_field = |m: &Vec<f64>| -> Vec<f64> {
            let mut sum = by("residual", m);
            for h in 0..heads {
                let part = |x: Vec<f64>| x[h * size..][..size].to_vec();
                let query = part(by("query", m));
                let scores: Vec<f64> = e.iter().map(|k| dot(&query, &part(by("key", k)))).collect();
                for (k, a) in e.iter().zip(softmax(&scores)) {
                    let value = part(by("value", k));
                    sum[h * size..][..size].iter_mut().zip(value).for_each(|(sum, value)| *sum += a * value);
                }
            }
            sum.iter().map(|x| x.max(0.0)).collect()
        };
        e = e.iter().map(of_field).collect();
    }
    dot(&e.concat(), t.get("network.output"))
}

/// A network's own logit, and what the MLP reads.
fn naive(config: &ModelConfig, t: &Named, v: &[Vec<f64>]) -> (f64, Vec<f64>) {
    let (e, dim) = (v.concat(), config.embed_dim);
    let dots = |v: &[Vec<f64>]| -> Vec<f64> { pairs(v).iter().map(|(a, b)| dot(a, b)).collect() };
    match config.network.as_ref().unwrap() {
        &Network::DcnV2 { cross_layers, cross_rank, cross_experts, cross_stacked } => {
            let x = cross_network(t, &e, [cross_layers, cross_rank, cross_experts]);
            if cross_stacked { (0.0, x) } else { (dot(&x, t.get("network.output")), e) }
        }
        Network::FinalMlp { streams, gates, fusion_heads } => {
            (final_mlp(t, v, streams, gates.as_ref(), *fusion_heads), e)
        }
        Network::Ffm => (ffm(v), e),
        Network::Pnn => (0.0, [e, dots(v)].concat()),
        Network::Nfm { batch_norm } => {
            let mut pooled = vec![0.0; dim];
            pairs(v).iter().for_each(|(a, b)| pooled = add(&pooled, &multiply(a, b)));
            let norm = |(c, x): (usize, &f64)| if *batch_norm { normed(t, "network.norm", c, *x) } else { *x };
            (0.0, pooled.iter().enumerate().map(norm).collect())
        }
        Network::Afm { .. } => (afm(t, v), e),
        &Network::AutoInt { attention_layers, attention_heads, attention_width } => {
            (autoint(t, v, [attention_layers, attention_heads, attention_width]), e)
        }
        &Network::Ncf { gmf_width, gmf_fields: [user, item] } => {
            let product = multiply(&v[user][..gmf_width], &v[item][..gmf_width]);
            let rest = |(f, v): (usize, &Vec<f64>)| v[if f == user || f == item { gmf_width } else { 0 }..].to_vec();
            (dot(&product, t.get("network.output")), v.iter().enumerate().flat_map(rest).collect())
        }
        Network::Afn { log_neurons } => {
            let neuron = |j: usize, d: usize| {
                let w = t.row("network.exponents", j as u32);
                let log = |i: usize| normed(t, "network.log_norm", i, v[i][d].abs().max(1e-5).ln());
                let sum: f64 = (0..v.len()).map(|i| w[i] * log(i)).sum();
                normed(t, "network.exp_norm", j, sum.exp())
            };
            (0.0, (0..*log_neurons).flat_map(|j| (0..dim).map(move |d| neuron(j, d))).collect())
        }
        Network::Dlrm { dense_fields, .. } if dense_fields.is_empty() => (0.0, dots(v)),
        Network::Dlrm { dense_fields, bottom_hidden, .. } => {
            let dense = dense_fields.iter().flat_map(|&f| v[f].clone()).collect();
            let z = layers(t, "network.bottom", dense, bottom_hidden.len() + 1);
            let others = (0..v.len()).filter(|f| !dense_fields.contains(f)).map(|f| v[f].clone());
            let all: Vec<Vec<f64>> = [z.clone()].into_iter().chain(others).collect();
            (0.0, [z, dots(&all)].concat())
        }
    }
}

/// What a network adds to a model, and what the MLP makes of its inputs: the logit of a model that has nothing else.
fn alone(network: Network) -> ModelConfig {
    ModelConfig { feature_weight: false, field_vector: false, interaction: Interaction::None, ..with(network) }
}

fn logits(model: &Model, block: &xsfm_interchange::rows::RowBlock) -> Vec<f64> {
    Vec::try_from(model.logits(&model.entries(block).unwrap()).to_kind(Kind::Double)).unwrap()
}

#[test]
fn networks_equal_their_papers_equations() {
    for (seed, network) in (1..).zip(networks()) {
        let config = alone(network.clone());
        let model = random_model(config.clone(), seed);
        let block = random_rows(&config, 40, seed.cast_unsigned());
        let tensors = Named::of(&model);
        let expected: Vec<(f64, f64)> = (0..block.len())
            .map(|i| {
                let (own, inputs) = naive(&config, &tensors, &vectors(&config, &tensors, &block, i));
                (own, layers(&tensors, "mlp", inputs, config.mlp.as_ref().unwrap().hidden.len())[0])
            })
            .collect();
        let spread = |of: &dyn Fn(&(f64, f64)) -> f64| {
            let values = || expected.iter().map(of);
            values().fold(f64::MIN, f64::max) - values().fold(f64::MAX, f64::min)
        };
        // What hardly differs from row to row tests nothing.
        let own = spread(&|e| e.0);
        let has_own = tensors.has("network.output") || tensors.has("network.fusion") || network == Network::Ffm;
        assert_eq!(own > 1e-3, has_own, "{network:?}: its own logits spread by {own}");
        assert!(spread(&|e| e.1) > 1e-3, "{network:?}: the MLP's logits are alike");
        for (i, (found, (own, mlp))) in logits(&model, &block).into_iter().zip(expected).enumerate() {
            let expected = tensors.get("bias")[0] + own + mlp;
            let error = (found - expected).abs();
            assert!(error < 1e-5 * expected.abs().max(1.0), "{network:?}, row {i}: {found} and {expected}");
        }
    }
}

/// With all other parts the network's share is added to theirs: without it, the logits are those of the rest.
#[test]
fn a_network_adds_to_the_other_parts() {
    let config = ModelConfig { mlp: None, ..with(Network::Afm { attention_width: 5 }) };
    let model = random_model(config.clone(), 3);
    let rest = random_model(ModelConfig { network: None, ..config.clone() }, 4);
    let block = random_rows(&config, 20, 3);
    let tensors = Named::of(&model);
    let of_rest = model.parameters.to_checkpoint(&model.layout).into_iter();
    let of_rest = of_rest.filter(|(name, _)| !name.starts_with("network.")).collect();
    rest.parameters.load_checkpoint(&rest.layout, of_rest).unwrap();
    for (i, (with, without)) in logits(&model, &block).into_iter().zip(logits(&rest, &block)).enumerate() {
        let own = naive(&config, &tensors, &vectors(&config, &tensors, &block, i)).0;
        assert!((with - without - own).abs() < 1e-5 * with.abs().max(1.0), "row {i}: {with}, {without}, {own}");
    }
}

/// Each number that is trained moves: gradients reach all of the network, and the tables through it.
#[test]
fn every_parameter_learns() {
    for network in networks() {
        // BatchNorm in the first hidden layer would take away what a network adds to all rows alike.
        let config = ModelConfig { mlp: Some(mlp(&[12, 5], false)), ..alone(network.clone()) };
        let model = random_model(config, 5);
        let block = random_rows(&model.config, 300, 5);
        let entries = model.entries(&block).unwrap();
        let labels = Tensor::from_slice(&block.labels.iter().map(|&y| f32::from(y)).collect::<Vec<_>>());
        let before: HashMap<String, Tensor> = model.parameters.snapshot().into_iter().collect();
        for _ in 0..3 {
            let loss = cross_entropy(&model.train_pass(&entries, Dropout::default()).logits, &labels, None);
            let named = model.parameters.named();
            let trained: Vec<&Tensor> = named.iter().filter(|n| n.2 != Role::Statistic).map(|n| &n.1).collect();
            let gradients = Tensor::run_backward(&[&loss], &trained, false, false);
            tch::no_grad(|| {
                for (tensor, gradient) in trained.into_iter().zip(gradients).filter(|(_, g)| g.defined()) {
                    let _ = tensor.shallow_clone().g_sub_(&(gradient * 0.1));
                }
            });
        }
        for (name, now, role) in model.parameters.named() {
            // What it multiplies a neuron by, the BatchNorm behind divides by: its gradient is what rounding leaves.
            if name == "network.log_norm.bias" {
                continue;
            }
            let is_folded_bias = role == Role::Statistic && name.ends_with(".bias");
            let moved = (now.detach() - &before[&name]).abs().max().double_value(&[]) > 0.0;
            assert_eq!(moved, !is_folded_bias, "{network:?}: `{name}`");
        }
    }
}

/// Dropout inside the network is its own: it makes two passes of training differ where the network drops something.
#[test]
fn networks_drop_what_their_papers_drop() {
    let drops = |network: &Network| {
        matches!(
            network,
            Network::FinalMlp { .. } | Network::Nfm { .. } | Network::Afm { .. } | Network::AutoInt { .. }
        ) || matches!(network, Network::Dlrm { dense_fields, .. } if !dense_fields.is_empty())
    };
    for network in networks() {
        let model = random_model(alone(network.clone()), 6);
        let entries = model.entries(&random_rows(&model.config, 30, 6)).unwrap();
        let pass = |share: f64| {
            let dropout = Dropout { network: share, ..Dropout::default() };
            tch::no_grad(|| model.train_pass(&entries, dropout).logits)
        };
        let differs = |share: f64| (pass(share) - pass(share)).abs().max().double_value(&[]) > 1e-4;
        assert_eq!((differs(0.0), differs(0.5)), (false, drops(&network)), "{network:?}");
    }
}

#[test]
fn a_checkpoint_keeps_every_number_and_the_configuration() {
    for network in networks() {
        let config = with(network.clone());
        let model = random_model(config.clone(), 7);
        let folder = tempfile::tempdir().unwrap();
        let fields = config.fields.iter().map(|field| {
            let kind = if field.bag { FieldKind::Bag } else { FieldKind::Categorical };
            Field::new(&field.name, kind, (1..field.features).map(|i| i.to_string()).collect())
        });
        let schema = Schema { version: Schema::VERSION, input: None, label: "y".to_owned(), fields: fields.collect() };
        checkpoint::save(folder.path(), &model, None, &schema, &serde_json::json!({})).unwrap();
        let loaded = checkpoint::load(folder.path(), Device::Cpu).unwrap();
        assert_eq!(loaded.config.network, Some(network.clone()));
        let block = random_rows(&config, 20, 7);
        assert_eq!(logits(&loaded, &block), logits(&model, &block), "{network:?}");
        // Fresh numbers would give others.
        let fresh = random_model(config, 8);
        assert_ne!(logits(&fresh, &block), logits(&model, &block), "{network:?}");
    }
}

/// A model without a network has the file that it always had.
#[test]
fn configurations_without_a_network_are_what_they_were() {
    let text = serde_json::to_string(&config(all_kinds(), 6)).unwrap();
    assert!(!text.contains("network"), "{text}");
    let read: ModelConfig = serde_json::from_str(&text).unwrap();
    assert_eq!(read, config(all_kinds(), 6));
}

/// Evaluation takes as many rows as fit: a network's largest tensor counts.
#[test]
fn a_network_says_how_large_a_row_is() {
    let found = |network: Option<Network>| numbers_of_a_row(&ModelConfig { network, ..config(all_kinds(), 18) });
    let attention = Network::AutoInt { attention_layers: 1, attention_heads: 16, attention_width: 32 };
    assert_eq!(found(None), 0);
    assert_eq!(found(Some(Network::Afm { attention_width: 5 })), 45 * 18);
    assert_eq!(found(Some(attention)), 16 * 10 * 10);
    assert_eq!(found(Some(cross(1, 2, 5, true))), 5 * 180);
    assert_eq!(found(Some(Network::Afn { log_neurons: 50 })), 50 * 18);
}

#[test]
fn what_cannot_be_built_is_named_with_its_values() {
    let streams = [mlp(&[12], true), mlp(&[8], true)];
    let fused = |fusion_heads, gates| Network::FinalMlp { streams: streams.clone(), gates, fusion_heads };
    let attention = |attention_layers, attention_heads, attention_width| Network::AutoInt {
        attention_layers,
        attention_heads,
        attention_width,
    };
    let dlrm = |dense_fields: &[usize], bottom_hidden: &[usize]| Network::Dlrm {
        dense_fields: dense_fields.to_vec(),
        bottom_hidden: bottom_hidden.to_vec(),
        batch_norm: true,
    };
    let cases: Vec<(Network, &[&str])> = vec![
        (cross(0, 0, 1, false), &["--cross-layers", "is 0", "1 to 64"]),
        (cross(usize::MAX, 0, 1, false), &["--cross-layers", "1 to 64"]),
        (cross(2, 181, 1, false), &["--cross-rank", "is 181", "180"]),
        (cross(2, 0, 2, false), &["--cross-experts", "is 2", "1 to 1"]),
        (cross(2, 4, 65, false), &["--cross-experts", "is 65", "64"]),
        (fused(3, None), &["--fusion-heads", "3", "8", "second"]),
        (fused(0, None), &["--fusion-heads", "is 0"]),
        (fused(2, Some([gate(&[10], &[]), gate(&[], &[])])), &["field 10", "10 fields"]),
        (fused(2, Some([gate(&[], &[0]), gate(&[], &[])])), &["--gate-hidden", "width of 0"]),
        (
            Network::FinalMlp { streams: [mlp(&[4], true), mlp(&[], true)], gates: None, fusion_heads: 1 },
            &["--second-hidden", "no layer"],
        ),
        (Network::Afm { attention_width: 0 }, &["--attention-width", "is 0"]),
        (attention(0, 1, 4), &["--attention-layers", "is 0"]),
        (attention(1, 3, 4), &["--attention-heads", "3", "4"]),
        (Network::Ncf { gmf_width: 18, gmf_fields: [0, 1] }, &["--gmf-width", "is 18", "1 to 17"]),
        (Network::Ncf { gmf_width: 4, gmf_fields: [2, 2] }, &["--gmf-fields", "field 2 twice"]),
        (Network::Ncf { gmf_width: 4, gmf_fields: [0, 11] }, &["--gmf-fields", "field 11"]),
        (Network::Afn { log_neurons: 0 }, &["--log-neurons", "is 0"]),
        (Network::Afn { log_neurons: 2000 }, &["AFN", "36000", "32768"]),
        (dlrm(&[], &[8]), &["--bottom-hidden", "[8]", "dense_fields"]),
        (dlrm(&[1, 1], &[]), &["--dense-fields", "field 1 twice"]),
        (dlrm(&[0, 1, 2, 3, 4, 5, 6, 7, 8, 9], &[]), &["no pair", "10 of 10"]),
    ];
    for (network, words) in cases {
        let message = check_config(&with(network.clone())).unwrap_err().to_string();
        assert!(words.iter().all(|word| message.contains(word)), "{network:?}: {words:?} expected in {message}");
    }
    let message = check_config(&ModelConfig { embed_dim: 20, ..with(Network::Ffm) }).unwrap_err().to_string();
    assert!(message.contains("--embed-dim") && message.contains("20") && message.contains("9 other"), "{message}");
    for network in [Network::Pnn, Network::Afn { log_neurons: 3 }, cross(1, 0, 1, true)] {
        let message = check_config(&ModelConfig { mlp: None, ..with(network) }).unwrap_err().to_string();
        assert!(message.contains("--hidden is none"), "{message}");
    }
    let one_field = ModelConfig { fields: all_kinds()[..1].to_vec(), ..with(Network::Ffm) };
    assert!(check_config(&one_field).unwrap_err().to_string().contains("1 field"));
}
