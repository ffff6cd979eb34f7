//! A packed model as source code: the bytes at an aligned address, and what a program must know when it is compiled.

mod files;

use std::collections::BTreeSet;
use std::fmt::Write;

use xsfm_runtime::{Backend, Catalogue, CatalogueRanker, Model, Ranker, ScoreError, ScratchBlock};

use crate::error::Error;

pub use self::files::write_files;

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

/// The code for `packed`, whose names start with `name`. `context_fields`: those of a ranker's context, by number,
/// where candidates are ranked; `catalogue`: items of the model that are ranked.
///
/// # Errors
/// A name that code in this language cannot have: see [`check_name`]; fields that a context cannot have.
pub fn generate(
    packed: &[u8],
    model: &Model<'_>,
    name: &str,
    language: Language,
    context_fields: &[usize],
    catalogue: Option<&Catalogue<'_>>,
) -> Result<Vec<Source>, Error> {
    check_name(name, language).map_err(Error::Input)?;
    let facts = Facts::new(packed, model, context_fields, catalogue)?;
    let items = catalogue.map(Catalogue::as_bytes);
    let source = |ending, bytes| Source { name: format!("{name}{ending}"), bytes };
    Ok(match language {
        Language::Rust => {
            let files = [(".xsfm", Some(packed)), (".xsfc", items)];
            let files = files.into_iter().filter_map(|(ending, bytes)| Some(source(ending, bytes?.to_vec())));
            [source(".rs", facts.rust(name).into_bytes())].into_iter().chain(files).collect()
        }
        Language::C => {
            vec![source(".h", facts.header(name).into_bytes()), source(".c", facts.c(packed, items, name).into_bytes())]
        }
    })
}

/// Whether code in this language, and its files, can have a name; the message says why not.
///
/// # Errors
/// Other characters than lowercase letters, digits and `_`, another first one than a letter, or a name that means
/// something else.
pub fn check_name(name: &str, language: Language) -> Result<(), String> {
    if name != identifier(name) || name.starts_with('_') {
        return Err(format!("{name:?} is not a name: lowercase letters, digits and _, a letter first"));
    }
    match language {
        Language::Rust if RUST_WORDS.contains(&name) => {
            Err(format!("{name:?} is no name for a module of Rust: it is a keyword or a library"))
        }
        // `-I` comes before the system's own headers, which would find this one in their place.
        Language::C if C_HEADERS.contains(&name) => {
            Err(format!("{name:?} is no name for code in C: there is a header {name}.h already"))
        }
        Language::Rust | Language::C => Ok(()),
    }
}

/// The name nearest to a file's that code in this language can have.
pub fn usable_name(text: &str, language: Language) -> String {
    let plain = identifier(text);
    let plain = plain.trim_matches('_');
    let with_letter = match plain.chars().next() {
        None => "model".to_owned(),
        Some(first) if first.is_ascii_digit() => format!("model_{plain}"),
        Some(_) => plain.to_owned(),
    };
    if check_name(&with_letter, language).is_ok() { with_letter } else { format!("{with_letter}_model") }
}

/// Keywords of Rust 2024, also those that are kept for later, and the crates that generated code, or any other, names
/// by a path.
const RUST_WORDS: [&str; 55] = [
    "abstract",
    "alloc",
    "as",
    "async",
    "await",
    "become",
    "box",
    "break",
    "const",
    "continue",
    "core",
    "crate",
    "do",
    "dyn",
    "else",
    "enum",
    "extern",
    "false",
    "final",
    "fn",
    "for",
    "gen",
    "if",
    "impl",
    "in",
    "let",
    "loop",
    "macro",
    "match",
    "mod",
    "move",
    "mut",
    "override",
    "priv",
    "pub",
    "ref",
    "return",
    "self",
    "static",
    "std",
    "struct",
    "super",
    "trait",
    "true",
    "try",
    "type",
    "typeof",
    "unsafe",
    "unsized",
    "use",
    "virtual",
    "where",
    "while",
    "xsfm_runtime",
    "yield",
];
/// Headers of the C library, and ours.
const C_HEADERS: [&str; 31] = [
    "assert",
    "complex",
    "ctype",
    "errno",
    "fenv",
    "float",
    "inttypes",
    "iso646",
    "limits",
    "locale",
    "math",
    "setjmp",
    "signal",
    "stdalign",
    "stdarg",
    "stdatomic",
    "stdbit",
    "stdbool",
    "stdckdint",
    "stddef",
    "stdint",
    "stdio",
    "stdlib",
    "stdnoreturn",
    "string",
    "tgmath",
    "threads",
    "time",
    "uchar",
    "wchar",
    "xsfm",
];

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
    batch_scratch_blocks: usize,
    embed_dim: usize,
    fields: Vec<Field>,
    /// Where the file has what raw values mean: room for the indices of any row, and for its offsets.
    encoder: Option<[usize; 2]>,
    /// Fields of a context, and blocks of a ranker's memory.
    ranker: Option<(Vec<usize>, usize)>,
    catalogue: Option<Items>,
}

/// What the code states of a catalogue.
struct Items {
    bytes: usize,
    count: usize,
    ranker_blocks: usize,
}

struct Field {
    name: String,
    /// Unlike those of other fields.
    identifier: String,
    features: u32,
    bag: bool,
    weighted: bool,
}

impl Field {
    /// What a row has of it, where that is not one index.
    fn remark(&self) -> &'static str {
        match (self.weighted, self.bag) {
            (true, _) => ", a bag with weights",
            (false, true) => ", a bag",
            (false, false) => "",
        }
    }
}

impl Facts {
    fn new(
        packed: &[u8],
        model: &Model<'_>,
        context_fields: &[usize],
        catalogue: Option<&Catalogue<'_>>,
    ) -> Result<Self, Error> {
        // What a microcontroller needs, not this machine.
        let model = &model.with_backend(Backend::Portable).unwrap_or(*model);
        if catalogue.is_some_and(|items| !items.is_of(model)) {
            return Err(Error::Input(ScoreError::CatalogueModel.to_string()));
        }
        let catalogue = catalogue.map(|items| Items {
            bytes: items.as_bytes().len(),
            count: items.len(),
            ranker_blocks: CatalogueRanker::blocks(model, items),
        });
        let ranker = match context_fields {
            [] => None,
            fields => Some((fields.to_vec(), Ranker::blocks(model, fields).map_err(Error::row(0))?)),
        };
        let encoder = model.encoder().map_err(|error| Error::Input(error.to_string()))?;
        let encoder = encoder.map(|encoder| [encoder.max_indices(), encoder.max_offsets()]);
        let mut taken = BTreeSet::new();
        let fields = model.fields().enumerate().map(|(number, field)| {
            let mut identifier = identifier(field.name);
            // One character that code cannot have; `_` alone names nothing.
            if identifier == "_" {
                let _ = write!(identifier, "{number}");
            }
            while !taken.insert(identifier.clone()) {
                let _ = write!(identifier, "_{number}");
            }
            let (features, bag, weighted) = (field.features, field.bag, field.weighted);
            Field { name: field.name.to_owned(), identifier, features, bag, weighted }
        });
        Ok(Facts {
            bytes: packed.len(),
            scratch_blocks: model.scratch_blocks(),
            batch_scratch_blocks: model.batch_scratch_blocks(),
            embed_dim: model.embed_dim(),
            fields: fields.collect(),
            encoder,
            ranker,
            catalogue,
        })
    }

    fn rust(&self, name: &str) -> String {
        let Facts { bytes, scratch_blocks, batch_scratch_blocks, embed_dim, fields, encoder, ranker, catalogue } = self;
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
/// The same of a scorer that takes rows of a batch together.
pub const BATCH_SCRATCH_BLOCKS: usize = {batch_scratch_blocks};
/// The packed model, for `Model::from_bytes`.
pub static MODEL: xsfm_runtime::Aligned<[u8; BYTES]> = xsfm_runtime::Aligned(*include_bytes!(\"{name}.xsfm\"));
/// The names of the fields in the order of a row.
pub const FIELD_NAMES: [&str; NUM_FIELDS] = {names:?};
/// How many features each field has: indices are below.
pub const FEATURES: [u32; NUM_FIELDS] = {features:?};
/// Whether each index of a field has the word of its weight behind it.
pub const WEIGHTED: [bool; NUM_FIELDS] = {weighted:?};
/// Where each field is in a row.
pub mod field {{
",
            features = fields.iter().map(|field| field.features).collect::<Vec<_>>(),
            weighted = fields.iter().map(|field| field.weighted).collect::<Vec<_>>(),
        );
        for (number, field) in fields.iter().enumerate() {
            let (Field { name, identifier, features, .. }, bag) = (field, field.remark());
            let constant = identifier.to_uppercase();
            let _ = writeln!(
                text,
                "    /// {name:?}: {features} features{bag}.\n    pub const {constant}: usize = {number};"
            );
        }
        text.push_str("}\n");
        if let Some([indices, offsets]) = encoder {
            let _ = write!(
                text,
                "/// Room for the indices of any row of raw values, and for their weights.
pub const MAX_INDICES: usize = {indices};
/// Room for its offsets: none where no field is a bag.
pub const MAX_OFFSETS: usize = {offsets};
"
            );
        }
        if let Some((context, blocks)) = ranker {
            let _ = write!(
                text,
                "/// The fields of a ranker's context.
pub const CONTEXT_FIELDS: [usize; {}] = {context:?};
/// Blocks of memory that a ranker needs with them, without vector instructions.
pub const RANKER_BLOCKS: usize = {blocks};
",
                context.len()
            );
        }
        if let Some(Items { bytes, count, ranker_blocks }) = catalogue {
            let _ = write!(
                text,
                "/// Items of the catalogue.
pub const CATALOGUE_ITEMS: usize = {count};
/// Bytes of the catalogue.
pub const CATALOGUE_BYTES: usize = {bytes};
/// Blocks of memory that a ranker of its items needs, without vector instructions.
pub const CATALOGUE_RANKER_BLOCKS: usize = {ranker_blocks};
/// The catalogue, for `Catalogue::from_bytes`.
pub static CATALOGUE: xsfm_runtime::Aligned<[u8; CATALOGUE_BYTES]> =
    xsfm_runtime::Aligned(*include_bytes!(\"{name}.xsfc\"));
"
            );
        }
        text
    }

    fn header(&self, name: &str) -> String {
        let Facts { bytes, scratch_blocks, batch_scratch_blocks, embed_dim, fields, encoder, ranker, catalogue } = self;
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
/* Blocks of scratch that a scorer needs without vector instructions, as on a microcontroller; elsewhere ask
   xsfm_get_info. */
#define {upper}_SCRATCH_BLOCKS {scratch_blocks}u
/* The same of a scorer that takes rows of a batch together. */
#define {upper}_BATCH_SCRATCH_BLOCKS {batch_scratch_blocks}u

/* Where each field is in a row. */
"
        );
        for (number, field) in fields.iter().enumerate() {
            let Field { identifier, features, .. } = field;
            let (constant, bag) = (identifier.to_uppercase(), field.remark());
            let _ = writeln!(text, "#define {upper}_FIELD_{constant} {number}u /* {features} features{bag} */");
        }
        if let Some([indices, offsets]) = encoder {
            let _ = write!(
                text,
                "
/* Room for the indices of any row of raw values, with their weights, and for its offsets: none where no field is a
   bag. */
#define {upper}_MAX_INDICES {indices}u
#define {upper}_MAX_OFFSETS {offsets}u
"
            );
        }
        if let Some((context, blocks)) = ranker {
            let numbers: Vec<String> = context.iter().map(|field| format!("{field}u")).collect();
            let _ = write!(
                text,
                "
/* The fields of a ranker's context, for an array, and how many they are. */
#define {upper}_CONTEXT_FIELDS {{{}}}
#define {upper}_NUM_CONTEXT_FIELDS {}u
/* Blocks of memory that a ranker needs with them, without vector instructions. */
#define {upper}_RANKER_BLOCKS {blocks}u
",
                numbers.join(", "),
                context.len()
            );
        }
        if let Some(Items { bytes, count, ranker_blocks }) = catalogue {
            let _ = write!(
                text,
                "
/* The catalogue: its bytes, its items, and blocks of memory that a ranker of them needs, without vector
   instructions. */
#define {upper}_CATALOGUE_BYTES {bytes}u
#define {upper}_CATALOGUE_ITEMS {count}u
#define {upper}_CATALOGUE_RANKER_BLOCKS {ranker_blocks}u
"
            );
        }
        let items = match catalogue {
            None => String::new(),
            Some(_) => format!(
                "/* The catalogue, for xsfm_catalogue_load. */\n\
                 extern const uint8_t {name}_catalogue[{upper}_CATALOGUE_BYTES];\n"
            ),
        };
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
/* Whether each index of a field has its xsfm_weight behind it. */
extern const bool {name}_weighted[{upper}_NUM_FIELDS];
{items}
#ifdef __cplusplus
}}
#endif

#endif
"
        );
        text
    }

    fn c(&self, packed: &[u8], items: Option<&[u8]>, name: &str) -> String {
        let upper = name.to_uppercase();
        let mut text = format!("/* The model {name}; written by `xsfm generate`. */\n#include \"{name}.h\"\n\n");
        let _ = write!(text, "const char *const {name}_field_names[{upper}_NUM_FIELDS] = {{");
        for (i, field) in self.fields.iter().enumerate() {
            let _ = write!(text, "{}{}", if i > 0 { ", " } else { "" }, string(&field.name));
        }
        let features: Vec<String> = self.fields.iter().map(|field| format!("{}u", field.features)).collect();
        let features = features.join(", ");
        let weighted: Vec<String> = self.fields.iter().map(|field| field.weighted.to_string()).collect();
        let weighted = weighted.join(", ");
        let _ = write!(
            text,
            "}};\nconst uint32_t {name}_features[{upper}_NUM_FIELDS] = {{{features}}};\n\n\
             const bool {name}_weighted[{upper}_NUM_FIELDS] = {{{weighted}}};\n"
        );
        array(&mut text, &format!("{name}_bytes[{upper}_BYTES]"), packed);
        if let Some(items) = items {
            array(&mut text, &format!("{name}_catalogue[{upper}_CATALOGUE_BYTES]"), items);
        }
        text
    }
}

/// An array of C, placed as the runtime wants it.
fn array(text: &mut String, declared: &str, bytes: &[u8]) {
    let _ = write!(text, "const XSFM_ALIGNED({}) uint8_t {declared} = {{", ScratchBlock::LEN);
    for (i, byte) in bytes.iter().enumerate() {
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
    use xsfm_runtime::Encoder;

    use super::*;

    #[test]
    fn what_raw_values_need_is_stated_where_the_file_has_it() {
        fn code(packed: &[u8], language: Language) -> (String, Option<Encoder<'_>>) {
            let model = Model::from_bytes(packed).expect("a model");
            let sources = generate(packed, &model, "m", language, &[], None).expect("sources");
            (String::from_utf8(sources[0].bytes.clone()).expect("text"), model.encoder().expect("whole"))
        }
        let with = xsfm_runtime::Aligned(*include_bytes!("../../tests/fixtures/raw-values/model.xsfm"));
        let without = xsfm_runtime::Aligned(*include_bytes!("../../tests/fixtures/movielens-student/model.xsfm"));
        for (language, names) in [
            (Language::Rust, ["pub const MAX_INDICES: usize = ", "pub const MAX_OFFSETS: usize = ", ";"]),
            (Language::C, ["#define M_MAX_INDICES ", "#define M_MAX_OFFSETS ", "u"]),
        ] {
            let (text, encoder) = code(&with.0, language);
            let encoder = encoder.expect("a vocabulary");
            assert!(encoder.max_offsets() == encoder.num_fields() + 1 && encoder.max_indices() > encoder.num_fields());
            for (name, number) in names.iter().zip([encoder.max_indices(), encoder.max_offsets()]) {
                let line = format!("{name}{number}{}", names[2]);
                assert!(text.lines().any(|found| found == line), "{line:?}");
            }
            let (text, encoder) = code(&without.0, language);
            assert!(encoder.is_none() && !text.contains("MAX_INDICES"));
        }
    }

    #[test]
    fn names_become_identifiers() {
        assert_eq!(identifier("Release year"), "release_year");
        assert_eq!(identifier("1st"), "_1st");
        assert_eq!(identifier("größe"), "gr__e");
    }

    #[test]
    fn what_is_suggested_can_be_used() {
        for (text, rust, c) in [
            ("2024", "model_2024", "model_2024"),
            ("Student v2", "student_v2", "student_v2"),
            ("_hidden", "hidden", "hidden"),
            ("\u{6a21}\u{578b}", "model", "model"),
            ("", "model", "model"),
            ("7-eleven.final", "model_7_eleven_final", "model_7_eleven_final"),
            ("type", "type_model", "type"),
            ("Match", "match_model", "match"),
            ("core", "core_model", "core"),
            ("string", "string", "string_model"),
            ("xsfm", "xsfm", "xsfm_model"),
        ] {
            for (language, expected) in [(Language::Rust, rust), (Language::C, c)] {
                let name = usable_name(text, language);
                assert_eq!(name, expected, "{text:?}");
                check_name(&name, language).expect("usable");
            }
        }
    }

    #[test]
    fn strings_of_c_are_escaped() {
        assert_eq!(string("a\"b\\c"), r#""a\"b\\c""#);
        assert_eq!(string("é1??="), r#""\303\2511\?\?=""#);
        assert_eq!(string("\n"), r#""\012""#);
    }
}
