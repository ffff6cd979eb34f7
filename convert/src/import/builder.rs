//! A model as arrays, whoever trained it: what each library's file fills in, and what checks that it fits together.

use std::collections::BTreeSet;

use xsfm_interchange::config::{EmbeddingConfig, FieldConfig, Interaction, MlpConfig, ModelConfig, Operation};

use crate::checkpoint::check_sizes;
pub use crate::fold::{BatchNorm, Linear};
use crate::fold::{pairs_of_matrix, pairs_of_weights, unit_pairs};
use crate::model::{FloatField, FloatLayer, FloatModel, Pairs, Table, TableBits};

/// What does not fit together: it names the field, the layer or the part, and the numbers that disagree.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BuildError(String);

/// A model's parts. Each may be left out, but not all.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Builder {
    /// The fields, in the order of a row.
    pub fields: Vec<Field>,
    /// A vector for each field, one behind the other, each as long as the field's own vectors: the first-order term is
    /// the sum of their dot products.
    pub field_vectors: Option<Vec<f32>>,
    /// The second-order term.
    pub pairs: PairWeights,
    /// The layers.
    pub layers: Option<Layers>,
    /// What is added to every logit.
    pub bias: f64,
}

/// One field's numbers.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Field {
    /// Its name.
    pub name: String,
    /// Number of features; indices are `0..features`.
    pub features: u32,
    /// Whether a row has several indices of it, whose vectors and scalars are summed.
    pub bag: bool,
    /// Its vectors; a field without them has no part in pairs and layers.
    pub embedding: Option<Embedding>,
    /// A scalar for each feature, `[features]`, which is added to the logit.
    pub weights: Option<Vec<f32>>,
}

/// How features become vectors.
#[derive(Clone, Debug, PartialEq)]
pub enum Embedding {
    /// A row for each feature.
    Full(Table<f32>),
    /// Row `i / collisions` of one table with row `i % collisions` of another.
    QuotientRemainder {
        /// Features that share a row of the first table.
        collisions: u32,
        /// How two rows become a vector.
        operation: Operation,
        /// The first table.
        quotient: Table<f32>,
        /// The second table.
        remainder: Table<f32>,
    },
}

/// Weights of pairs of fields.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum PairWeights {
    /// No second-order term.
    #[default]
    None,
    /// FM: all are 1.
    Unit,
    /// `r_ij` of each `i < j`, the upper triangle row by row.
    Upper(Vec<f32>),
    /// `r_ij = (W_ij + W_ji) / 2`, W `[fields, fields]`.
    Matrix(Vec<f32>),
}

/// Hidden layers, each with a ReLU behind it, and the output layer.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Layers {
    /// The order in which the first layer reads the fields' vectors, where it is not that of the fields.
    pub order: Option<Vec<usize>>,
    /// A BatchNorm of what the first layer reads.
    pub norm: Option<BatchNorm>,
    /// The hidden layers, and the output layer, which gives one number.
    pub linears: Vec<Linear>,
}

impl Embedding {
    /// Numbers of a vector.
    fn width(&self) -> usize {
        match self {
            Embedding::Full(table) => table.columns,
            Embedding::QuotientRemainder { operation: Operation::Concat, quotient, .. } => quotient.columns * 2,
            Embedding::QuotientRemainder { quotient, .. } => quotient.columns,
        }
    }

    fn config(&self) -> EmbeddingConfig {
        match *self {
            Embedding::Full(_) => EmbeddingConfig::Full,
            Embedding::QuotientRemainder { collisions, operation, .. } => {
                EmbeddingConfig::QuotientRemainder { collisions, operation }
            }
        }
    }
}

impl Builder {
    /// The model, BatchNorm folded.
    ///
    /// Vectors of fields may differ in length where no pairs of them are summed: shorter ones are filled up with zeros,
    /// and so is what the first layer has for them.
    ///
    /// # Errors
    /// Arrays whose sizes contradict each other, numbers that are not finite, two fields of one name, a negative
    /// variance, or sizes beyond what a packed file holds.
    pub fn build(self) -> Result<FloatModel, BuildError> {
        let widths: Vec<usize> =
            self.fields.iter().map(|field| field.embedding.as_ref().map_or(0, Embedding::width)).collect();
        let embed_dim = widths.iter().copied().max().unwrap_or(0).max(1);
        let config = self.config(embed_dim);
        check_sizes(&config).map_err(BuildError)?;
        let mut seen = BTreeSet::new();
        if let Some(twice) = self.fields.iter().find(|field| !seen.insert(&field.name)) {
            return Err(BuildError(format!("two fields are named `{}`", twice.name)));
        }
        if !self.bias.is_finite() {
            return Err(BuildError(format!("the bias is {}", self.bias)));
        }
        let pairs = pairs(self.pairs, &config.fields, &widths)?;
        let layers = match self.layers {
            None => Vec::new(),
            Some(layers) => folded(layers, &widths, embed_dim)?,
        };
        let field_vectors = self.field_vectors.map(|all| spread_vectors(&all, &widths, embed_dim)).transpose()?;
        let fields = self.fields.into_iter().map(|field| float_field(field, &config)).collect::<Result<_, _>>()?;
        Ok(FloatModel {
            label: String::new(),
            bias: self.bias as f32,
            table_bits: TableBits::Eight,
            fields,
            field_vectors,
            pairs,
            low_rank: None,
            layers,
            config,
        })
    }

    fn config(&self, embed_dim: usize) -> ModelConfig {
        let field = |field: &Field| FieldConfig {
            name: field.name.clone(),
            features: field.features,
            bag: field.bag,
            weighted: false,
            embedding: field.embedding.as_ref().map_or(EmbeddingConfig::Full, Embedding::config),
        };
        let hidden = |linears: &[Linear]| linears.iter().rev().skip(1).rev().map(|linear| linear.outputs).collect();
        ModelConfig {
            version: ModelConfig::VERSION,
            vocabulary: None,
            fields: self.fields.iter().map(field).collect(),
            embed_dim,
            feature_weight: self.fields.iter().any(|field| field.weights.is_some()),
            field_vector: self.field_vectors.is_some(),
            interaction: match self.pairs {
                PairWeights::None => Interaction::None,
                PairWeights::Unit => Interaction::Unit,
                PairWeights::Upper(_) | PairWeights::Matrix(_) => Interaction::FieldWeighted,
            },
            mlp: self.layers.as_ref().map(|layers| MlpConfig {
                hidden: hidden(&layers.linears),
                batch_norm: layers.linears.iter().any(|linear| linear.norm.is_some()),
            }),
            compressed: Vec::new(),
            network: None,
            quantization: None,
        }
    }
}

/// Whether there are as many numbers as there should be, all of them finite.
fn check(what: &str, numbers: &[f32], expected: usize) -> Result<(), BuildError> {
    if numbers.len() != expected {
        return Err(BuildError(format!("{what}: {} numbers, {expected} expected", numbers.len())));
    }
    match numbers.iter().position(|number| !number.is_finite()) {
        None => Ok(()),
        Some(at) => Err(BuildError(format!("{what}: number {at} is {}", numbers[at]))),
    }
}

/// The field's tables, each of the shape that the configuration asks for.
fn float_field(field: Field, config: &ModelConfig) -> Result<FloatField, BuildError> {
    let Field { name, features, embedding, weights, .. } = field;
    let what = |part: &str| format!("field `{name}`, {part}");
    let rows = features as usize;
    if let Some(weights) = &weights {
        check(&what("weights"), weights, rows)?;
    }
    let dim = config.embed_dim;
    let kind = embedding.as_ref().map_or(EmbeddingConfig::Full, Embedding::config);
    let tables = match embedding {
        None => vec![Table { rows, columns: dim, values: vec![0.0; rows * dim] }],
        Some(Embedding::Full(table)) => {
            check_table(&what("table"), &table, (rows, table.columns))?;
            vec![widened(table, dim)]
        }
        Some(Embedding::QuotientRemainder { quotient, remainder, .. }) => {
            let shapes = kind.table_shapes(features, dim);
            let tables = [(quotient, "quotients"), (remainder, "remainders")];
            tables
                .into_iter()
                .zip(shapes)
                .map(|((table, part), shape)| check_table(&what(part), &table, shape).map(|()| table))
                .collect::<Result<_, _>>()?
        }
    };
    let feature_weights = config.feature_weight.then(|| weights.unwrap_or_else(|| vec![0.0; rows]));
    Ok(FloatField { tables, feature_weights })
}

fn check_table(what: &str, table: &Table<f32>, expected: (usize, usize)) -> Result<(), BuildError> {
    let ((rows, columns), found) = (expected, (table.rows, table.columns));
    if found != expected {
        let (found_rows, found_columns) = found;
        let message = format!("{what}: {found_rows} rows of {found_columns} numbers, {rows} of {columns} expected");
        return Err(BuildError(message));
    }
    check(what, &table.values, rows * columns)
}

/// Rows filled up with zeros.
fn widened(table: Table<f32>, dim: usize) -> Table<f32> {
    if table.columns == dim {
        return table;
    }
    let mut values = vec![0.0; table.rows * dim];
    for (wide, row) in values.chunks_exact_mut(dim).zip(table.values.chunks_exact(table.columns)) {
        wide[..row.len()].copy_from_slice(row);
    }
    Table { rows: table.rows, columns: dim, values }
}

/// `[fields, embed_dim]` of vectors that lie one behind the other.
fn spread_vectors(all: &[f32], widths: &[usize], dim: usize) -> Result<Vec<f32>, BuildError> {
    check("vectors of fields", all, widths.iter().sum())?;
    let (mut rest, mut spread) = (all, vec![0.0; widths.len() * dim]);
    for (place, &width) in spread.chunks_exact_mut(dim).zip(widths) {
        let (vector, after) = rest.split_at(width);
        place[..width].copy_from_slice(vector);
        rest = after;
    }
    Ok(spread)
}

fn pairs(weights: PairWeights, fields: &[FieldConfig], widths: &[usize]) -> Result<Option<Pairs<f32>>, BuildError> {
    if weights == PairWeights::None {
        return Ok(None);
    }
    let mut with_vectors = fields.iter().zip(widths).filter(|&(_, &width)| width > 0);
    if let Some((first, width)) = with_vectors.next()
        && let Some((other, other_width)) = with_vectors.find(|&(_, other)| other != width)
    {
        return Err(BuildError(format!(
            "pairs need vectors of one length, but field `{}` has {width} numbers and field `{}` has {other_width}",
            first.name, other.name
        )));
    }
    let num_fields = fields.len();
    Ok(match weights {
        PairWeights::None => None,
        PairWeights::Unit => unit_pairs(num_fields),
        PairWeights::Upper(weights) => {
            check("weights of pairs", &weights, num_fields * (num_fields - 1) / 2)?;
            pairs_of_weights(num_fields, weights)
        }
        PairWeights::Matrix(matrix) => {
            check("field matrix", &matrix, num_fields * num_fields)?;
            pairs_of_matrix(num_fields, &matrix)
        }
    })
}

/// The layers folded; the first one reads vectors of `dim` numbers in the order of the fields.
fn folded(layers: Layers, widths: &[usize], dim: usize) -> Result<Vec<FloatLayer>, BuildError> {
    let order = layers.order.unwrap_or_else(|| (0..widths.len()).collect());
    let mut sorted = order.clone();
    sorted.sort_unstable();
    if !sorted.iter().copied().eq(0..widths.len()) {
        return Err(BuildError(format!("the first layer reads fields {order:?}, but has to read each of them once")));
    }
    let mut given: usize = widths.iter().sum();
    if given == 0 || layers.linears.is_empty() {
        return Err(BuildError("layers need vectors to read, and an output layer".to_owned()));
    }
    let mut found = Vec::with_capacity(layers.linears.len());
    for (n, linear) in layers.linears.iter().enumerate() {
        check_linear(n, linear, given)?;
        let mut layer = linear.fold().map_err(|channel| negative(n, channel))?;
        if let Some(norm) = layers.norm.as_ref().filter(|_| n == 0) {
            check_norm("BatchNorm of the first layer's inputs", norm, given)?;
            norm.fold_into(&mut layer).map_err(|input| negative(n, input))?;
        }
        found.push(layer);
        given = linear.outputs;
    }
    if given != 1 {
        return Err(BuildError(format!("the output layer gives {given} numbers, 1 expected")));
    }
    let first = found[0].clone();
    found[0] = spread_layer(&first, &order, widths, dim);
    Ok(found)
}

fn negative(layer: usize, at: usize) -> BuildError {
    BuildError(format!("layer {layer}: variance {at} of its BatchNorm is negative"))
}

fn check_linear(n: usize, linear: &Linear, given: usize) -> Result<(), BuildError> {
    if linear.inputs != given {
        return Err(BuildError(format!("layer {n} reads {} numbers, but {given} are there", linear.inputs)));
    }
    if linear.outputs == 0 {
        return Err(BuildError(format!("layer {n} gives no number")));
    }
    check(&format!("layer {n}, weights"), &linear.weight, linear.inputs.saturating_mul(linear.outputs))?;
    check(&format!("layer {n}, biases"), &linear.bias, linear.outputs)?;
    linear.norm.as_ref().map_or(Ok(()), |norm| check_norm(&format!("layer {n}, BatchNorm"), norm, linear.outputs))
}

fn check_norm(what: &str, norm: &BatchNorm, width: usize) -> Result<(), BuildError> {
    if !(norm.epsilon.is_finite() && norm.epsilon > 0.0) {
        return Err(BuildError(format!("{what}: epsilon is {}", norm.epsilon)));
    }
    let parts = [("gamma", &norm.gamma), ("beta", &norm.beta), ("mean", &norm.mean), ("variance", &norm.var)];
    parts.into_iter().try_for_each(|(part, numbers)| check(&format!("{what}, {part}"), numbers, width))
}

/// Each field's block of inputs in its place, filled up with zeros.
fn spread_layer(layer: &FloatLayer, order: &[usize], widths: &[usize], dim: usize) -> FloatLayer {
    let inputs = widths.len() * dim;
    let mut weights = vec![0.0; layer.outputs * inputs];
    for (wide, channel) in weights.chunks_exact_mut(inputs).zip(layer.weights.chunks_exact(layer.inputs)) {
        let mut rest = channel;
        for &f in order {
            let (block, after) = rest.split_at(widths[f]);
            wide[f * dim..][..block.len()].copy_from_slice(block);
            rest = after;
        }
    }
    FloatLayer { inputs, outputs: layer.outputs, weights, biases: layer.biases.clone() }
}
