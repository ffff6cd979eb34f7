//! Bytes of packed models with Criteo's fields: exact, because weights do not change them. Prints a table in Markdown.

use std::error::Error;
use std::process::ExitCode;

use xsfm_benches::{FEATURES, FULL, model, samples};
use xsfm_convert::calibrate::{Activations, calibrate};
use xsfm_convert::model::TableBits;
use xsfm_convert::pack::{pack_f32, pack_int8};
use xsfm_interchange::config::{EmbeddingConfig, Operation};
use xsfm_interchange::rows::RowBlock;

/// `None` where a model is packed in real numbers.
type Bits = Option<TableBits>;

/// A model, and the most bytes that it may take where one was promised.
struct Size {
    name: &'static str,
    collisions: u32,
    hidden: Option<&'static [usize]>,
    bits: Bits,
    most: Option<usize>,
}

const INT8: Bits = Some(TableBits::Eight);
const INT4: Bits = Some(TableBits::Four);
const WIDE: Option<&[usize]> = Some(&[400; 3]);
const NARROW: Option<&[usize]> = Some(&[100; 3]);

#[rustfmt::skip]
const SIZES: [Size; 9] = [
    Size { name: "DeepFwFM 400-400-400, f32", collisions: 1, hidden: WIDE, bits: None, most: None },
    Size { name: "DeepFwFM 400-400-400, int8", collisions: 1, hidden: WIDE, bits: INT8, most: Some(11_600_000) },
    Size { name: "DeepFwFM 400-400-400, int8, int4 tables", collisions: 1, hidden: WIDE, bits: INT4, most: None },
    Size { name: "QR 4, DeepFwFM 100-100-100, f32", collisions: 4, hidden: NARROW, bits: None, most: None },
    Size { name: "QR 4, DeepFwFM 100-100-100, int8", collisions: 4, hidden: NARROW, bits: INT8, most: Some(3_400_000) },
    Size {
        name: "QR 4, DeepFwFM 100-100-100, int8, int4 tables",
        collisions: 4,
        hidden: NARROW,
        bits: INT4,
        most: Some(2_000_000),
    },
    Size { name: "QR 60, DeepFwFM 400-400-400, int8", collisions: 60, hidden: WIDE, bits: INT8, most: Some(800_000) },
    Size { name: "QR 60, DeepFwFM 100-100-100, int8", collisions: 60, hidden: NARROW, bits: INT8, most: None },
    Size { name: "QR 60, FwFM, int8, int4 tables", collisions: 60, hidden: None, bits: INT4, most: None },
];

fn bytes(size: &Size, calibration: &RowBlock) -> Result<usize, Box<dyn Error>> {
    let embedding = match size.collisions {
        1 => FULL,
        collisions => EmbeddingConfig::QuotientRemainder { collisions, operation: Operation::Mult },
    };
    let mut model = model(size.hidden, embedding, 1);
    let Some(bits) = size.bits else { return Ok(pack_f32(&model)?.len()) };
    model.table_bits = bits;
    Ok(pack_int8(&calibrate(&model, Activations::Static, calibration, &mut |_, _| ())?.model)?.len())
}

fn calibration() -> RowBlock {
    let mut block = RowBlock::new(FEATURES.len(), false);
    samples(64, 3).iter().for_each(|&index| block.push_field(&[index]));
    block
}

fn main() -> ExitCode {
    let table = || -> Result<(), Box<dyn Error>> {
        println!("| model of Criteo's fields, embed_dim 10 | packed bytes | at most |\n|---|---|---|");
        let calibration = calibration();
        for size in &SIZES {
            let most = size.most.map_or(String::new(), |most| most.to_string());
            println!("| {} | {} | {most} |", size.name, bytes(size, &calibration)?);
        }
        Ok(())
    };
    match table() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("sizes: {error}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packed_files_are_as_small_as_promised() {
        let calibration = calibration();
        for size in &SIZES {
            let Some(most) = size.most else { continue };
            let bytes = bytes(size, &calibration).expect("a model that can be packed");
            assert!(bytes <= most, "{}: {bytes} bytes, at most {most}", size.name);
            // A wrong model would be far smaller.
            assert!(bytes > most / 2, "{}: only {bytes} bytes", size.name);
        }
    }
}
