//! A packed model as source code: the bytes at an aligned address, and what a program must know when it is compiled.

use std::collections::BTreeSet;
use std::fmt::Write;

use xsfm_runtime::{Backend, Model, ScratchBlock};

use crate::error::Error;

/// The language of the code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    /// A module for `xsfm-runtime`.
    Rust,
    /// A header and a source file of C99, for `xsfm.h`; C++ can include the header.
    C,
}

/// A file to write.
#[derive(Clone, Debug)]
pub struct Source {
    /// Its name without a folder.
    pub name: String,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// The code for `packed`, whose names start with `name`.
///
/// # Errors
/// Not a model, or a name that no language could have.
pub fn generate(packed: &[u8], model: &Model<'_>, name: &str, language: Language) -> Result<Vec<Source>, Error> {
    if name != identifier(name) || name.starts_with('_') {
        return Err(Error::Input(format!("{name:?} is not a name: lowercase letters, digits and _, a letter first")));
    }
    let facts = Facts::new(packed, model);
    let source = |ending, text: String| Source { name: format!("{name}{ending}"), bytes: text.into_bytes() };
    Ok(match language {
        Language::Rust => {
            vec![source(".rs", facts.rust(name)), Source { name: format!("{name}.xsfm"), bytes: packed.to_vec() }]
        }
        Language::C => vec![source(".h", facts.header(name)), source(".c", facts.c(packed, name))],
    })
}

/// The lowercase identifier nearest to a file's or a field's name.
pub fn identifier(text: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' };
    let plain: String = text.chars().map(plain).collect();
    if plain.is_empty() || plain.starts_with(|c: char| c.is_ascii_digit()) { format!("_{plain}") } else { plain }
}

/// What the code states.
struct Facts {
    bytes: usize,
    scratch_blocks: usize,
    embed_dim: usize,
    fields: Vec<Field>,
}

struct Field {
    name: String,
    /// Unlike those of other fields.
    identifier: String,
    features: u32,
    bag: bool,
}

impl Facts {
    fn new(packed: &[u8], model: &Model<'_>) -> Self {
        // What a microcontroller needs, not this machine.
        let scratch_blocks = model.with_backend(Backend::Portable).unwrap_or(*model).scratch_blocks();
        let mut taken = BTreeSet::new();
        let fields = model.fields().enumerate().map(|(number, field)| {
            let mut identifier = identifier(field.name);
            while !taken.insert(identifier.clone()) {
                let _ = write!(identifier, "_{number}");
            }
            Field { name: field.name.to_owned(), identifier, features: field.features, bag: field.bag }
        });
        let (bytes, embed_dim) = (packed.len(), model.embed_dim());
        Facts { bytes, scratch_blocks, embed_dim, fields: fields.collect() }
    }

    fn rust(&self, name: &str) -> String {
        let Facts { bytes, scratch_blocks, embed_dim, fields } = self;
        let num_fields = fields.len();
        let names: Vec<&str> = fields.iter().map(|field| field.name.as_str()).collect();
        let mut text = format!(
            "//! The model {name}; written by `xsfm generate`.
#![allow(dead_code, reason = \"a program uses some of it\")]

/// Bytes of the packed model.
pub const BYTES: usize = {bytes};
/// Fields of a row.
pub const NUM_FIELDS: usize = {num_fields};
/// Length of a field's vector.
pub const EMBED_DIM: usize = {embed_dim};
/// Blocks of scratch that a scorer needs without vector instructions, as on a microcontroller; elsewhere ask the model.
pub const SCRATCH_BLOCKS: usize = {scratch_blocks};
/// The packed model, for `Model::from_bytes`.
pub static MODEL: xsfm_runtime::Aligned<[u8; BYTES]> = xsfm_runtime::Aligned(*include_bytes!(\"{name}.xsfm\"));
/// The names of the fields in the order of a row.
pub const FIELD_NAMES: [&str; NUM_FIELDS] = {names:?};
/// How many features each field has: indices are below.
pub const FEATURES: [u32; NUM_FIELDS] = {features:?};
/// Where each field is in a row.
pub mod field {{
",
            features = fields.iter().map(|field| field.features).collect::<Vec<_>>(),
        );
        for (number, Field { name, identifier, features, bag }) in fields.iter().enumerate() {
            let bag = if *bag { ", a bag" } else { "" };
            let constant = identifier.to_uppercase();
            let _ = writeln!(
                text,
                "    /// {name:?}: {features} features{bag}.\n    pub const {constant}: usize = {number};"
            );
        }
        text.push_str("}\n");
        text
    }

    fn header(&self, name: &str) -> String {
        let Facts { bytes, scratch_blocks, embed_dim, fields } = self;
        let (upper, num_fields) = (name.to_uppercase(), fields.len());
        let mut text = format!(
            "/* The model {name}; written by `xsfm generate`. */
#ifndef {upper}_H
#define {upper}_H

#include \"xsfm.h\"

/* Bytes of the packed model. */
#define {upper}_BYTES {bytes}u
/* Fields of a row. */
#define {upper}_NUM_FIELDS {num_fields}u
/* Length of a field's vector. */
#define {upper}_EMBED_DIM {embed_dim}u
/* Blocks of scratch that a scorer needs without vector instructions, as on a microcontroller; elsewhere ask xsfm_get_info. */
#define {upper}_SCRATCH_BLOCKS {scratch_blocks}u

/* Where each field is in a row. */
"
        );
        for (number, Field { identifier, features, bag, .. }) in fields.iter().enumerate() {
            let (constant, bag) = (identifier.to_uppercase(), if *bag { ", a bag" } else { "" });
            let _ = writeln!(text, "#define {upper}_FIELD_{constant} {number}u /* {features} features{bag} */");
        }
        let _ = write!(
            text,
            "
#ifdef __cplusplus
extern \"C\" {{
#endif

/* The packed model, for xsfm_load. */
extern const uint8_t {name}_bytes[{upper}_BYTES];
/* The names of the fields in the order of a row. */
extern const char *const {name}_field_names[{upper}_NUM_FIELDS];
/* How many features each field has: indices are below. */
extern const uint32_t {name}_features[{upper}_NUM_FIELDS];

#ifdef __cplusplus
}}
#endif

#endif
"
        );
        text
    }

    fn c(&self, packed: &[u8], name: &str) -> String {
        let (upper, alignment) = (name.to_uppercase(), ScratchBlock::LEN);
        let mut text = format!("/* The model {name}; written by `xsfm generate`. */\n#include \"{name}.h\"\n\n");
        let _ = write!(text, "const char *const {name}_field_names[{upper}_NUM_FIELDS] = {{");
        for (i, field) in self.fields.iter().enumerate() {
            let _ = write!(text, "{}{}", if i > 0 { ", " } else { "" }, string(&field.name));
        }
        let features: Vec<String> = self.fields.iter().map(|field| format!("{}u", field.features)).collect();
        let features = features.join(", ");
        let _ = write!(
            text,
            "}};\nconst uint32_t {name}_features[{upper}_NUM_FIELDS] = {{{features}}};\n\n\
             const XSFM_ALIGNED({alignment}) uint8_t {name}_bytes[{upper}_BYTES] = {{"
        );
        for (i, byte) in packed.iter().enumerate() {
            let separator = if i == 0 {
                "\n    "
            } else if i % 24 == 0 {
                ",\n    "
            } else {
                ","
            };
            let _ = write!(text, "{separator}{byte}");
        }
        text.push_str("};\n");
        text
    }
}

/// A string of C: bytes that are not plain in octal, which ends after three digits whatever follows.
fn string(text: &str) -> String {
    let mut quoted = String::from("\"");
    for byte in text.bytes() {
        match byte {
            b'"' | b'\\' | b'?' => quoted.extend(['\\', char::from(byte)]),
            b' '..=b'~' => quoted.push(char::from(byte)),
            _ => {
                let _ = write!(quoted, "\\{byte:03o}");
            }
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_identifiers() {
        assert_eq!(identifier("Release year"), "release_year");
        assert_eq!(identifier("1st"), "_1st");
        assert_eq!(identifier("größe"), "gr__e");
    }

    #[test]
    fn strings_of_c_are_escaped() {
        assert_eq!(string("a\"b\\c"), r#""a\"b\\c""#);
        assert_eq!(string("é1??="), r#""\303\2511\?\?=""#);
        assert_eq!(string("\n"), r#""\012""#);
    }
}
