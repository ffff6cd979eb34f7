//! Arrays of numpy and safetensors.

use std::io::{Cursor, Read};

use anyhow::{Context, Result, bail, ensure};
use half::{bf16, f16};
use safetensors::{Dtype, SafeTensors};
use zip::ZipArchive;

use super::collected::{Collected, choose};

/// What a file of numpy begins with.
const MAGIC: &[u8] = b"\x93NUMPY";
/// Longest header: one that names its fields would be longer, and is not read.
const HEADER: usize = 1 << 16;

/// One array.
struct Array<'a> {
    shape: Vec<u64>,
    number: Number,
    is_big_endian: bool,
    data: &'a [u8],
}

/// How a number is written.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Number {
    F16,
    Bf16,
    F32,
    F64,
    /// Of so many bytes.
    Signed(usize),
    Unsigned(usize),
}

impl Number {
    fn bytes(self) -> usize {
        match self {
            Number::F16 | Number::Bf16 => 2,
            Number::F32 => 4,
            Number::F64 => 8,
            Number::Signed(bytes) | Number::Unsigned(bytes) => bytes,
        }
    }

    /// The number whose bits these are.
    fn value(self, bits: u64) -> f64 {
        match self {
            Number::F16 => f16::from_bits(bits as u16).to_f64(),
            Number::Bf16 => bf16::from_bits(bits as u16).to_f64(),
            Number::F32 => f64::from(f32::from_bits(bits as u32)),
            Number::F64 => f64::from_bits(bits),
            Number::Signed(bytes) => {
                let above = 64 - 8 * bytes;
                ((bits << above).cast_signed() >> above) as f64
            }
            Number::Unsigned(_) => bits as f64,
        }
    }
}

impl<'a> Array<'a> {
    /// Its numbers, one for each training row.
    fn numbers(&self, collected: &Collected) -> Result<impl Iterator<Item = f64> + use<'a>> {
        let count = match self.shape[..] {
            [count] | [count, 1] => count,
            _ => bail!("its shape is {:?}; [rows] is expected", self.shape),
        };
        collected.check_count(count)?;
        let (found, size) = (self.data.len() as u64, self.number.bytes());
        let expected = count.saturating_mul(size as u64);
        ensure!(found == expected, "it has {found} bytes of numbers, {expected} are expected");
        let (number, is_big_endian) = (self.number, self.is_big_endian);
        Ok(self.data.chunks_exact(size).map(move |bytes| {
            let join = |bits: u64, &byte: &u8| bits << 8 | u64::from(byte);
            let bits = if is_big_endian { bytes.iter().fold(0, join) } else { bytes.iter().rev().fold(0, join) };
            number.value(bits)
        }))
    }
}

fn collect(rows: Option<&Array<'_>>, logits: &Array<'_>, collected: &mut Collected) -> Result<()> {
    let logits = logits.numbers(collected).context("the logits")?;
    let mut rows = rows.map(|rows| rows.numbers(collected).context("the numbers of the rows")).transpose()?;
    for (entry, logit) in logits.enumerate() {
        let row = rows.as_mut().and_then(Iterator::next);
        collected.add(format_args!("entry {entry}"), row, logit)?;
    }
    Ok(())
}

/// What follows `'key':` in a header, which is a Python dictionary.
fn value_of<'a>(header: &'a str, key: &str) -> Result<&'a str> {
    let found = ['\'', '"'].iter().find_map(|quote| header.split_once(&format!("{quote}{key}{quote}")));
    let value = found.and_then(|(_, rest)| rest.trim_start().strip_prefix(':'));
    value.map(str::trim_start).with_context(|| format!("its header has no `{key}`"))
}

/// An array in the format of numpy (numpy.lib.format, versions 1 to 3).
fn array_of_npy(bytes: &[u8]) -> Result<Array<'_>> {
    let rest = bytes.strip_prefix(MAGIC).context("not a file of numpy: it does not begin with \\x93NUMPY")?;
    let cut = "its header is cut off";
    let (length, rest) = match rest {
        [1, _, a, b, rest @ ..] => (usize::from(u16::from_le_bytes([*a, *b])), rest),
        [2 | 3, _, a, b, c, d, rest @ ..] => (u32::from_le_bytes([*a, *b, *c, *d]) as usize, rest),
        [version @ (0 | 4..), ..] => bail!("version {version} of numpy's format; 1 to 3 are read"),
        _ => bail!("{cut}"),
    };
    let (header, data) = rest.split_at_checked(length).context(cut)?;
    let header = std::str::from_utf8(header).context("its header is not UTF-8")?;
    let kind = value_of(header, "descr")?;
    let quoted = kind.strip_prefix(['\'', '"']).and_then(|kind| kind.split(['\'', '"']).next());
    let kind = quoted.context("its numbers have several parts (a structured array)")?;
    let number = match kind.trim_start_matches(['<', '>', '|', '=']) {
        "f2" => Number::F16,
        "f4" => Number::F32,
        "f8" => Number::F64,
        "i1" => Number::Signed(1),
        "i2" => Number::Signed(2),
        "i4" => Number::Signed(4),
        "i8" => Number::Signed(8),
        "u1" => Number::Unsigned(1),
        "u2" => Number::Unsigned(2),
        "u4" => Number::Unsigned(4),
        "u8" => Number::Unsigned(8),
        _ => bail!("its type is `{kind}`; integers and floating point numbers are read"),
    };
    let shape = value_of(header, "shape")?.strip_prefix('(').and_then(|shape| shape.split(')').next());
    let sizes = shape.context("its shape is no tuple")?.split(',').map(str::trim).filter(|size| !size.is_empty());
    let shape = sizes.map(|size| size.parse().with_context(|| format!("its shape has `{size}`")));
    Ok(Array { shape: shape.collect::<Result<_>>()?, number, is_big_endian: kind.starts_with('>'), data })
}

/// A file of one array.
pub(super) fn npy(bytes: &[u8], collected: &mut Collected) -> Result<()> {
    collect(None, &array_of_npy(bytes)?, collected)
}

/// A zip of arrays.
pub(super) fn npz(bytes: &[u8], collected: &mut Collected) -> Result<()> {
    let mut zip = ZipArchive::new(Cursor::new(bytes)).context("not a zip, which .npz is")?;
    let names: Vec<String> = zip.file_names().map(str::to_owned).collect();
    let names: Vec<&str> = names.iter().filter_map(|name| name.strip_suffix(".npy")).collect();
    let (rows, logits) = choose(names.iter().copied())?;
    // As much as an array of the right size has: what is longer is not unpacked.
    let most = collected.expected.saturating_add(1).saturating_mul(8).saturating_add(HEADER as u64);
    let mut unpack = |place: usize| -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let file = zip.by_name(&format!("{}.npy", names[place])).context(names[place].to_owned())?;
        file.take(most).read_to_end(&mut bytes).with_context(|| format!("`{}` is damaged", names[place]))?;
        Ok(bytes)
    };
    let (row_bytes, logit_bytes) = (rows.map(&mut unpack).transpose()?, unpack(logits)?);
    let array = |bytes, place: usize| array_of_npy(bytes).with_context(|| format!("`{}`", names[place]));
    let rows = row_bytes.as_ref().zip(rows).map(|(bytes, place)| array(bytes, place)).transpose()?;
    collect(rows.as_ref(), &array(&logit_bytes, logits)?, collected)
}

/// A file of tensors.
pub(super) fn safetensors(bytes: &[u8], collected: &mut Collected) -> Result<()> {
    let file = SafeTensors::deserialize(bytes).context("not a safetensors file")?;
    let names = file.names();
    let (rows, logits) = choose(names.iter().copied())?;
    let array = |place: usize| -> Result<Array<'_>> {
        let name = names[place];
        let view = file.tensor(name).with_context(|| format!("`{name}`"))?;
        let number = match view.dtype() {
            Dtype::F16 => Number::F16,
            Dtype::BF16 => Number::Bf16,
            Dtype::F32 => Number::F32,
            Dtype::F64 => Number::F64,
            Dtype::I8 => Number::Signed(1),
            Dtype::I16 => Number::Signed(2),
            Dtype::I32 => Number::Signed(4),
            Dtype::I64 => Number::Signed(8),
            Dtype::U8 => Number::Unsigned(1),
            Dtype::U16 => Number::Unsigned(2),
            Dtype::U32 => Number::Unsigned(4),
            Dtype::U64 => Number::Unsigned(8),
            other => bail!("`{name}` is {other:?}; integers and floating point numbers are read"),
        };
        let shape = view.shape().iter().map(|&size| size as u64).collect();
        Ok(Array { shape, number, is_big_endian: false, data: view.data() })
    };
    let rows = rows.map(array).transpose()?;
    collect(rows.as_ref(), &array(logits)?, collected)
}
