//! `shapes FOLDER`: writes models of many shapes in each mode, on which `cargo xtask fit` measures.

use std::error::Error;
use std::path::Path;
use std::process::ExitCode;
use std::{env, fs};

use xsfm_convert::model::TableBits;
use xsfm_convert::pack::{pack_f32, pack_int8};
use xsfm_interchange::config::Interaction;
use xsfm_tests::{Rows, Shape, dynamic, float_model, quantized};

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let result = match &arguments[..] {
        [folder] => shapes().iter().enumerate().try_for_each(|(number, shape)| write(Path::new(folder), number, shape)),
        _ => Err("usage: shapes FOLDER".into()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("shapes: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Every part alone and with others, small and large: what a part takes must not be mistaken for another's.
fn shapes() -> Vec<Shape> {
    let shape = |num_fields, embed_dim, first: &str, interaction, hidden: Option<&[usize]>, seed| Shape {
        num_fields,
        embed_dim,
        feature_weight: first.contains('w'),
        field_vector: first.contains('v'),
        interaction,
        pruned: first.contains('p'),
        hidden: hidden.map(<[usize]>::to_vec),
        seed,
    };
    let (none, pairs) = (Interaction::None, Interaction::FieldWeighted);
    vec![
        shape(4, 8, "w", none, None, 1),
        shape(24, 8, "w", none, None, 2),
        shape(30, 16, "v", none, None, 3),
        shape(12, 32, "v", none, None, 4),
        shape(39, 10, "v", pairs, None, 5),
        shape(16, 16, "", pairs, None, 6),
        shape(24, 8, "p", pairs, None, 7),
        shape(8, 32, "wv", pairs, None, 8),
        shape(8, 16, "", none, Some(&[64]), 9),
        shape(16, 8, "", none, Some(&[32, 32, 32]), 10),
        shape(39, 10, "", none, Some(&[64, 64, 64]), 11),
        shape(20, 16, "v", none, Some(&[128, 64]), 12),
        shape(7, 32, "v", pairs, Some(&[64, 64]), 13),
        shape(39, 10, "v", pairs, Some(&[64, 64, 64]), 14),
        shape(39, 10, "v", pairs, Some(&[100, 100]), 15),
        shape(10, 24, "wvp", pairs, Some(&[48, 24]), 16),
        shape(30, 8, "w", none, Some(&[]), 17),
        shape(5, 64, "v", pairs, Some(&[96]), 18),
        shape(24, 12, "v", pairs, None, 22),
        shape(12, 20, "", pairs, None, 23),
        shape(24, 8, "w", none, None, 24),
        shape(10, 32, "v", none, None, 25),
        shape(7, 16, "v", pairs, None, 26),
        shape(16, 12, "", none, Some(&[32]), 27),
        // What the others are checked with.
        shape(39, 10, "v", pairs, Some(&[200, 80]), 19),
        shape(14, 16, "wv", pairs, Some(&[64, 32]), 20),
        shape(20, 12, "v", pairs, None, 21),
        shape(14, 16, "v", pairs, Some(&[48, 16]), 28),
    ]
}

/// Shapes whose tables have two numbers in a byte, except in f32 mode.
const FOUR_BITS: [usize; 5] = [20, 21, 22, 23, 27];

fn write(folder: &Path, number: usize, shape: &Shape) -> Result<(), Box<dyn Error>> {
    fs::create_dir_all(folder)?;
    let mut float = float_model(shape);
    // `Int8Model`, which is measured too, has no weights of indices.
    float.config.fields.iter_mut().for_each(|field| field.weighted = false);
    if FOUR_BITS.contains(&number) {
        float.table_bits = TableBits::Four;
    }
    let rows = Rows::for_config(&float.config, 32, shape.seed);
    for (mode, packed) in [
        ("int8", pack_int8(&quantized(&float, &rows))?),
        ("dynamic", pack_int8(&dynamic(&float, &rows))?),
        ("f32", pack_f32(&float)?),
    ] {
        packed.write(&folder.join(format!("{number:02}-{mode}.xsfm")))?;
    }
    Ok(())
}
