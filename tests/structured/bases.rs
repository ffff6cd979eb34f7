//! The files that are changed: small models of many shapes, in every mode and layout, with rows for them.

use std::collections::HashMap;
use std::ops::Range;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use xsfm_convert::model::{FloatModel, TableBits};
use xsfm_convert::pack::{Packed, pack_f32, pack_int8};
use xsfm_convert::target::{Target, retarget};
use xsfm_interchange::config::{Interaction, ModelConfig};
use xsfm_runtime::format::{Arithmetic, Layout, Prefix, SectionKind};
use xsfm_runtime::{Mode, Model};

use crate::{Cell, Rows, Shape, dynamic, float_model, quantized, with_factors};

/// A packed file, and where its numbers are.
#[derive(Debug)]
pub(super) struct Base {
    pub(super) file: Packed,
    pub(super) mode: Mode,
    /// Of its hidden layers; rows where there are none.
    pub(super) layout: Layout,
    pub(super) config: ModelConfig,
    /// Rows for it: many, few, and bags as long as they may be.
    pub(super) rows: Vec<Rows>,
    /// By the kind's number.
    sections: HashMap<u8, Range<usize>>,
    /// int8 and dynamic mode: the model's bias, then the mantissa of each term with the byte of its shift behind it.
    pub(super) terms: Vec<Range<usize>>,
}

impl Base {
    fn new(file: Packed, config: &ModelConfig, rows: &[Rows]) -> Self {
        let model = Model::from_bytes(&file).expect("a packed file");
        let (layout, manifest) = (model.layout(), model.manifest().expect("a packed file"));
        // A file of dynamic mode without layers is one of int8 mode but in name.
        let mode = match manifest.arithmetic {
            Arithmetic::F32 { .. } => Mode::F32,
            Arithmetic::Int8 { .. } => Mode::Int8,
            Arithmetic::Dynamic { .. } => Mode::Dynamic,
        };
        let place = |start: usize, len: u32| start..start + len as usize;
        let sections = manifest.sections.iter().map(|s| (s.kind, place(s.offset as usize, s.len))).collect();
        let terms = if mode == Mode::F32 { Vec::new() } else { places_of_terms(&file) };
        Base { file, mode, layout, config: config.clone(), rows: rows.to_vec(), sections, terms }
    }

    pub(super) fn section(&self, kind: SectionKind) -> Range<usize> {
        self.sections.get(&(kind as u8)).cloned().unwrap_or_default()
    }

    pub(super) fn has(&self, kind: SectionKind) -> bool {
        !self.section(kind).is_empty()
    }
}

/// Where the varints of bias and mantissas lie (`docs/format.md`, "Manifest").
fn places_of_terms(file: &[u8]) -> Vec<Range<usize>> {
    let mut at = Prefix::LEN;
    let varint = |at: &mut usize| {
        let start = *at;
        while file[*at] >= 0x80 {
            *at += 1;
        }
        *at += 1;
        start..*at
    };
    for _ in ["producer", "label"] {
        let len = varint(&mut at);
        let shifted = file[len].iter().rev().fold(0, |len, &byte| len << 7 | usize::from(byte & 0x7F));
        at += shifted;
    }
    for _ in ["num_fields", "embed_dim", "arithmetic"] {
        varint(&mut at);
    }
    let mut places = vec![varint(&mut at)];
    for _ in ["feature weights", "field vectors", "interaction", "mlp"] {
        places.push(varint(&mut at));
        at += 1;
    }
    places
}

/// `count` shapes in all modes and layouts.
pub(super) fn bases(count: u64) -> Vec<Base> {
    (0..count).flat_map(of_shape).collect()
}

/// A random shape in every mode and layout.
fn of_shape(seed: u64) -> Vec<Base> {
    let mut rng = StdRng::seed_from_u64(seed);
    // Odd and even halves of halves, and around the width of a vector.
    let dims = [1, 2, 3, 4, 5, 6, 7, 8, 10, 14, 15, 16, 17, 18, 33];
    let widths = [1, 2, 3, 4, 5, 7, 8, 15, 16, 17, 18, 33];
    let num_fields = rng.random_range(1..=5);
    let layers = rng.random_range(0..=3);
    let shape = Shape {
        num_fields,
        embed_dim: dims[rng.random_range(0..dims.len())],
        feature_weight: rng.random_bool(0.5),
        field_vector: rng.random_bool(0.5),
        interaction: if rng.random_bool(0.75) { Interaction::FieldWeighted } else { Interaction::None },
        pruned: rng.random_bool(0.3),
        hidden: rng.random_bool(0.85).then(|| (0..layers).map(|_| widths[rng.random_range(0..widths.len())]).collect()),
        seed,
    };
    let float = float_model(&shape);
    let float = if rng.random_bool(0.3) { with_factors(float, rng.random_range(1..=3), seed) } else { float };
    let table_bits = if rng.random_bool(0.5) { TableBits::Four } else { TableBits::Eight };
    let float = FloatModel { table_bits, ..float };
    let fields = Cell::of_config(&float.config);
    let sizes = [(1, 8), (3, 8), (8, 3), (19, 3), (11, 8), (2, xsfm_runtime::format::limit::BAG)];
    let rows: Vec<Rows> = sizes.iter().map(|&(count, bag)| Rows::with_bags_up_to(&fields, count, bag, seed)).collect();
    let calibration = &rows[3];
    let int8 = pack_int8(&quantized(&float, calibration)).expect("a model for this mode");
    let of_rows = pack_int8(&dynamic(&float, calibration)).expect("a model for this mode");
    let float_rows = pack_f32(&float).expect("a model for this mode");
    let mut files = Vec::new();
    let every_layout = [Target::Neutral, Target::X86_64, Target::CortexMDsp, Target::CortexMMve];
    for (packed, targets) in
        [(&int8, &every_layout[..]), (&of_rows, &every_layout[..2]), (&float_rows, &every_layout[..2])]
    {
        files.extend(targets.iter().map(|&target| retarget(packed, target).expect("a packed file")));
    }
    files.into_iter().map(|file| Base::new(file, &float.config, &rows)).collect()
}
