//! What the cross-crate tests share: random models of any shape, rows for them, and their scores.

pub mod structured;
pub mod trainer;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use xsfm_convert::model::{
    FloatField, FloatLayer, FloatModel, LowRank, PairList, Pairs, QuantizedModel, Table, TableBits,
};
use xsfm_convert::quantize::{quantize_dynamic, quantize_model};
use xsfm_convert::reference::float_forward;
use xsfm_interchange::config::{EmbeddingConfig, FieldConfig, Interaction, MlpConfig, ModelConfig, Operation, Scales};
use xsfm_interchange::quantization::{
    ACTIVATION_MAX, WEIGHT_MAX, field_accumulator_scale, field_scale, symmetric_scale,
};
use xsfm_runtime::schema::Field;
use xsfm_runtime::{
    Backend, BatchError, Catalogue, CatalogueParts, CatalogueRanker, Model, Ranker, Row, Score, ScoreError, Scorer,
    ScratchBlock, Weight,
};
use zerocopy::IntoBytes;

/// What a random model looks like; every part may be absent.
#[derive(Clone, Debug)]
pub struct Shape {
    /// Fields, 1 to 128.
    pub num_fields: usize,
    /// Length of a field's vector.
    pub embed_dim: usize,
    /// First-order term with one scalar per feature.
    pub feature_weight: bool,
    /// First-order term with one vector per field.
    pub field_vector: bool,
    /// Second-order term.
    pub interaction: Interaction,
    /// Whether about half of the pairs are missing.
    pub pruned: bool,
    /// Widths of the hidden layers; `None` for no MLP, empty for an output layer alone.
    pub hidden: Option<Vec<usize>>,
    /// Everything else is drawn from it.
    pub seed: u64,
}

/// A random model of that shape: full tables, QR tables of all operations, bags.
pub fn float_model(shape: &Shape) -> FloatModel {
    let mut rng = StdRng::seed_from_u64(shape.seed);
    // Apart, so that a shape whose weights are taken away is the one that was measured without.
    let mut weights = StdRng::seed_from_u64(!shape.seed);
    let dim = shape.embed_dim;
    let fields: Vec<FieldConfig> = (0..shape.num_fields)
        .map(|f| {
            let collisions = rng.random_range(1..6);
            let operation = match rng.random_range(0..3) {
                0 if dim.is_multiple_of(2) => Operation::Concat,
                1 => Operation::Add,
                _ => Operation::Mult,
            };
            let quotient_remainder = EmbeddingConfig::QuotientRemainder { collisions, operation };
            let features = rng.random_range(1..40);
            let bag = rng.random_bool(0.25);
            FieldConfig {
                name: format!("field {f}"),
                features,
                bag,
                weighted: bag && weights.random_bool(0.5),
                embedding: if rng.random_bool(0.5) { EmbeddingConfig::Full } else { quotient_remainder },
            }
        })
        .collect();
    let mut numbers =
        |count: usize, size: f32| -> Vec<f32> { (0..count).map(|_| rng.random_range(-size..=size)).collect() };
    let tables = |field: &FieldConfig, numbers: &mut dyn FnMut(usize, f32) -> Vec<f32>| {
        let shapes = field.embedding.table_shapes(field.features, dim);
        shapes
            .into_iter()
            .map(|(rows, columns)| Table { rows, columns, values: numbers(rows * columns, 0.5) })
            .collect()
    };
    let float_fields = fields
        .iter()
        .map(|field| FloatField {
            tables: tables(field, &mut numbers),
            feature_weights: shape.feature_weight.then(|| numbers(field.features as usize, 0.3)),
        })
        .collect();
    let field_vectors = shape.field_vector.then(|| numbers(shape.num_fields * dim, 0.3));
    let mut layers = Vec::new();
    if let Some(hidden) = &shape.hidden {
        let mut inputs = shape.num_fields * dim;
        for &outputs in hidden.iter().chain(&[1]) {
            let size = (3.0 / inputs as f32).sqrt();
            let wide = |values: Vec<f32>| values.into_iter().map(f64::from).collect();
            let (weights, biases) = (wide(numbers(inputs * outputs, size)), wide(numbers(outputs, 0.1)));
            layers.push(FloatLayer { inputs, outputs, weights, biases });
            inputs = outputs;
        }
    }
    let mut list = PairList::Dense;
    if shape.pruned {
        let kept = PairList::Dense.pairs(shape.num_fields).into_iter().filter(|_| rng.random_bool(0.5));
        list = PairList::Pruned(kept.map(|(i, j)| (i as u8, j as u8)).collect());
    }
    let count = list.pairs(shape.num_fields).len();
    let weights = match shape.interaction {
        Interaction::None | Interaction::LowRank { .. } => Vec::new(),
        Interaction::Unit => vec![1.0; count],
        Interaction::FieldWeighted => (0..count).map(|_| rng.random_range(-0.5..=0.5)).collect(),
    };
    let pairs = (!weights.is_empty()).then_some(Pairs { list, weights });
    FloatModel {
        config: ModelConfig {
            version: ModelConfig::VERSION,
            vocabulary: None,
            fields,
            embed_dim: dim,
            feature_weight: shape.feature_weight,
            field_vector: shape.field_vector,
            interaction: shape.interaction,
            mlp: shape.hidden.clone().map(|hidden| MlpConfig { hidden, batch_norm: false }),
            compressed: Vec::new(),
            network: None,
            quantization: None,
        },
        label: "random".into(),
        bias: 0.1,
        fields: float_fields,
        field_vectors,
        pairs,
        low_rank: None,
        table_bits: TableBits::Eight,
        layers,
    }
}

/// `model` with `rank` random factors in place of its pairs, where it has any.
pub fn with_factors(mut model: FloatModel, rank: usize, seed: u64) -> FloatModel {
    if model.pairs.take().is_some() {
        let mut rng = StdRng::seed_from_u64(seed);
        let num_fields = model.fields.len();
        let signs: Vec<i8> = (0..rank).map(|_| if rng.random_bool(0.5) { 1 } else { -1 }).collect();
        let factors: Vec<f32> = (0..rank * num_fields).map(|_| rng.random_range(-0.5..=0.5)).collect();
        let diagonal = (0..num_fields).map(|i| {
            let of_field = factors.iter().skip(i).step_by(num_fields).zip(&signs);
            of_field.map(|(&u, &sign)| f32::from(sign) * u * u).sum()
        });
        model.low_rank = Some(LowRank { diagonal: diagonal.collect(), signs, factors });
    }
    model
}

/// What rows have in a field.
#[derive(Clone, Copy, Debug)]
pub struct Cell {
    /// Indices are below.
    pub features: u32,
    /// Whether there are several.
    pub bag: bool,
    /// Whether they have weights.
    pub weighted: bool,
}

impl Cell {
    /// Those of a model that is not packed yet.
    pub fn of_config(config: &ModelConfig) -> Vec<Cell> {
        let cell = |f: &FieldConfig| Cell { features: f.features, bag: f.bag, weighted: f.weighted };
        config.fields.iter().map(cell).collect()
    }
}

/// Mostly between -2 and 2, and the largest.
fn weight(rng: &mut StdRng) -> Weight {
    let steps = if rng.random_bool(0.1) { i16::MAX } else { 8192 };
    Weight::of_steps(rng.random_range(-steps..=steps)).unwrap_or(Weight::ONE)
}

/// Rows in CSR form: indices, and `num_fields + 1` offsets per row, the last of one being the first of the next.
#[derive(Clone, Debug)]
pub struct Rows {
    indices: Vec<u32>,
    offsets: Vec<u32>,
    num_fields: usize,
    /// Fields, the last first, that [`CONTEXT_RUN`] rows after one another have alike.
    context_fields: Vec<usize>,
}

/// Rows in turn with the same context: a group and a few more.
const CONTEXT_RUN: usize = 11;

impl Rows {
    /// `count` random rows for a model with these fields, bags of 1 to 8 indices. Some fields are the context's, which
    /// change with every eleventh row only.
    pub fn random(fields: &[Cell], count: usize, seed: u64) -> Self {
        Self::with_bags_up_to(fields, count, 8, seed)
    }

    /// The same with bags of 1 to `most` indices; of `most` in the first row.
    pub fn with_bags_up_to(fields: &[Cell], count: usize, most: usize, seed: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut context_fields: Vec<usize> = (0..fields.len()).rev().filter(|_| rng.random_bool(0.5)).collect();
        // One field at least is the candidates'.
        context_fields.truncate(fields.len() - 1);
        let mut rows = Rows { indices: Vec::new(), offsets: vec![0], num_fields: fields.len(), context_fields };
        for row in 0..count {
            for (f, &Cell { features, bag, weighted }) in fields.iter().enumerate() {
                if row % CONTEXT_RUN != 0 && rows.context_fields.contains(&f) {
                    let first = rows.offsets.len() - 1 - rows.num_fields;
                    let before = rows.offsets[first] as usize..rows.offsets[first + 1] as usize;
                    rows.indices.extend_from_within(before);
                } else {
                    let several = if bag { rng.random_range(1..=most) } else { 1 };
                    for _ in 0..several {
                        rows.indices.push(rng.random_range(0..features));
                        rows.indices.extend(weighted.then(|| weight(&mut rng).word()));
                    }
                }
                rows.offsets.push(rows.indices.len() as u32);
            }
        }
        rows
    }

    /// The context's fields of all rows, or the others.
    fn side(&self, context: bool) -> Self {
        let fields: Vec<usize> = (0..self.num_fields).filter(|f| self.context_fields.contains(f) == context).collect();
        let (num_fields, context_fields) = (fields.len(), Vec::new());
        let mut side = Rows { indices: Vec::new(), offsets: vec![0], num_fields, context_fields };
        for row in self.iter() {
            for &f in &fields {
                side.indices.extend_from_slice(row.field(f).unwrap_or_default());
                side.offsets.push(side.indices.len() as u32);
            }
        }
        side
    }

    /// Random rows for a model that is not packed yet.
    pub fn for_config(config: &ModelConfig, count: usize, seed: u64) -> Self {
        Self::random(&Cell::of_config(config), count, seed)
    }

    /// Random rows for a packed model.
    pub fn for_model(model: &Model<'_>, count: usize, seed: u64) -> Self {
        let cell = |f: Field<'_>| Cell { features: f.features, bag: f.bag, weighted: f.weighted };
        Self::random(&model.fields().map(cell).collect::<Vec<_>>(), count, seed)
    }

    /// The same rows with weights that are not negative.
    pub fn with_magnitudes(&self) -> Self {
        let magnitude = |&word: &u32| match Weight::of_word(word) {
            Some(weight) => Weight::of_steps(weight.steps().abs()).unwrap_or(weight).word(),
            None => word,
        };
        Rows { indices: self.indices.iter().map(magnitude).collect(), ..self.clone() }
    }

    /// The rows.
    pub fn iter(&self) -> impl Iterator<Item = Row<'_>> {
        (0..(self.offsets.len() - 1).checked_div(self.num_fields).unwrap_or(0)).map(|row| {
            let first = row * self.num_fields;
            Row::with_bags(&self.indices, &self.offsets[first..=first + self.num_fields])
        })
    }
}

/// `model` for int8 mode, with scales that cover what `rows` do.
///
/// # Panics
/// Where the model cannot be quantised: a test's models can.
pub fn quantized(model: &FloatModel, rows: &Rows) -> QuantizedModel {
    quantize_model(model, &scales(model, rows)).expect("scales were made for this model")
}

/// `model` for dynamic mode, with scales that cover what `rows` do.
///
/// # Panics
/// Where the model cannot be quantised: a test's models can.
pub fn dynamic(model: &FloatModel, rows: &Rows) -> QuantizedModel {
    quantize_dynamic(model, &scales(model, rows)).expect("scales were made for this model")
}

fn scales(model: &FloatModel, rows: &Rows) -> Scales {
    let magnitude = |values: &[f32]| values.iter().fold(0.0_f64, |most, &v| most.max(f64::from(v).abs()));
    let dim = model.config.embed_dim;
    let mut vectors = vec![0.0_f64; model.fields.len()];
    let mut activations = vec![0.0_f64; model.layers.len().saturating_sub(1)];
    for row in rows.iter() {
        let trace = float_forward(model, row).expect("the rows were made for this model");
        for (most, vector) in vectors.iter_mut().zip(trace.vectors.chunks(dim)) {
            *most = vector.iter().fold(*most, |most, v| most.max(v.abs()));
        }
        for (most, layer) in activations.iter_mut().zip(&trace.activations) {
            *most = layer.iter().fold(*most, |most, &v| most.max(v));
        }
    }
    let mut scales = Scales { table_bits: model.table_bits, ..Scales::default() };
    for ((field, config), vector) in model.fields.iter().zip(&model.config.fields).zip(vectors) {
        let shared = field.tables.iter().map(|t| magnitude(&t.values)).fold(0.0, f64::max);
        let is_product = config.is_product();
        let own = |t: &Table<f32>| symmetric_scale(if is_product { magnitude(&t.values) } else { shared }, WEIGHT_MAX);
        let tables: Vec<f64> = field.tables.iter().map(own).collect();
        let wanted = symmetric_scale(vector, WEIGHT_MAX);
        let accumulator = field_accumulator_scale(is_product, &tables);
        scales.fields.push(if config.is_requantized() { field_scale(wanted, accumulator) } else { tables[0] });
        scales.tables.push(tables);
    }
    scales.activations = activations.into_iter().map(|most| symmetric_scale(most, ACTIVATION_MAX)).collect();
    scales
}

/// Memory in which an earlier user has left something that must not matter.
fn memory(blocks: usize) -> Vec<ScratchBlock> {
    let mut memory = vec![ScratchBlock::ZERO; blocks];
    memory.as_mut_bytes().fill(0xA5);
    memory
}

/// Scores rows with a packed model, each with the same scratch.
///
/// # Errors
/// The first row's that has no score.
pub fn scores(model: &Model<'_>, rows: &Rows) -> Result<Vec<Score>, ScoreError> {
    let mut scratch = memory(model.scratch_blocks());
    let mut scorer = Scorer::new(model, &mut scratch)?;
    rows.iter().map(|row| scorer.score(row)).collect()
}

/// Scores rows all at once.
fn batch_scores(model: &Model<'_>, rows: &Rows) -> Result<Vec<Score>, ScoreError> {
    let rows: Vec<Row<'_>> = rows.iter().collect();
    let mut scores = vec![Score::default(); rows.len()];
    let mut scratch = memory(model.batch_scratch_blocks());
    Scorer::new(model, &mut scratch)?.score_batch(&rows, &mut scores).map_err(|error: BatchError| error.error)?;
    Ok(scores)
}

/// Scores rows as candidates for the contexts that they share.
fn ranked_scores(model: &Model<'_>, rows: &Rows) -> Result<Vec<Score>, ScoreError> {
    let mut memory = memory(Ranker::blocks(model, &rows.context_fields)?);
    let mut ranker = Ranker::new(model, &rows.context_fields, &mut memory)?;
    let (contexts, candidates) = (rows.side(true), rows.side(false));
    let (mut contexts, candidates): (_, Vec<Row<'_>>) = (contexts.iter(), candidates.iter().collect());
    let mut scores = vec![Score::default(); candidates.len()];
    for (candidates, scores) in candidates.chunks(CONTEXT_RUN).zip(scores.chunks_mut(CONTEXT_RUN)) {
        ranker.set_context(contexts.next().unwrap_or(Row::new(&[])))?;
        contexts.by_ref().take(CONTEXT_RUN - 1).for_each(drop);
        ranker.score_batch(candidates, scores).map_err(|error: BatchError| error.error)?;
    }
    Ok(scores)
}

/// Scores rows as items of a catalogue for the contexts that they share.
fn catalogue_scores(model: &Model<'_>, rows: &Rows, parts: CatalogueParts) -> Result<Vec<Score>, ScoreError> {
    let (contexts, items) = (rows.side(true), rows.side(false));
    let (mut contexts, items): (_, Vec<Row<'_>>) = (contexts.iter(), items.iter().collect());
    let blocks = Catalogue::blocks(model, &rows.context_fields, parts, items.len() as u32)?;
    let (mut file, mut scratch) = (memory(blocks), memory(Catalogue::scratch_blocks(model)));
    let catalogue =
        Catalogue::build(model, &rows.context_fields, parts, items.iter().copied(), &mut scratch, &mut file);
    let catalogue = catalogue.map_err(|error: BatchError| error.error)?;
    let mut room = memory(CatalogueRanker::blocks(model, &catalogue));
    let mut ranker = CatalogueRanker::new(model, &catalogue, &mut room)?;
    let numbers: Vec<u32> = (0..items.len() as u32).collect();
    let mut scores = vec![Score::default(); items.len()];
    for (items, scores) in numbers.chunks(CONTEXT_RUN).zip(scores.chunks_mut(CONTEXT_RUN)) {
        ranker.set_context(contexts.next().unwrap_or(Row::new(&[])))?;
        contexts.by_ref().take(CONTEXT_RUN - 1).for_each(drop);
        ranker.score_items(items, scores).map_err(|error: BatchError| error.error)?;
    }
    Ok(scores)
}

/// The scores of `rows` in every way that there is, each with its name: on every back end of this CPU, with layers as
/// they were packed and prepared, one by one, in a batch, as candidates, and as items of catalogues.
///
/// # Errors
/// The first row's that has no score.
pub fn every_way(model: &Model<'_>, rows: &Rows) -> Result<Vec<(String, Vec<Score>)>, ScoreError> {
    let mut ways = Vec::new();
    for packed in Backend::ALL.into_iter().filter_map(|backend| model.with_backend(backend)) {
        let mut tiles = memory(packed.prepared_blocks());
        let prepared = packed.prepare(&mut tiles)?;
        for (layout, model) in [("as packed", &packed), ("prepared", &prepared)] {
            let name = |way: &str| format!("{}, {layout}, {way}", model.backend().name());
            ways.push((name("one by one"), scores(model, rows)?));
            ways.push((name("in a batch"), batch_scores(model, rows)?));
            ways.push((name("as candidates"), ranked_scores(model, rows)?));
            ways.push((name("as items"), catalogue_scores(model, rows, CatalogueParts::LayerSums)?));
            ways.push((name("as vectors"), catalogue_scores(model, rows, CatalogueParts::Vectors)?));
        }
    }
    Ok(ways)
}
