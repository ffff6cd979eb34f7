//! Packed files built from the public types of the format, so that these tests run wherever the runtime does.
#![allow(dead_code, reason = "each test program needs a part of it")]

pub(crate) mod compare;
pub(crate) mod random;

use xsfm_runtime::format::{
    Arithmetic, CRC, FieldRecord, LayerRecord, MAGIC, Manifest, Prefix, Section, SectionKind, VERSION, composition,
};
use xsfm_runtime::{LoadError, Model, ScratchBlock};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Sections start here; the manifest is shorter.
pub(crate) const FIRST_SECTION: u64 = 1024;

/// A file before it is written.
pub(crate) struct Draft {
    pub(crate) version: u16,
    pub(crate) reserved: u16,
    pub(crate) num_fields: u16,
    pub(crate) dim: u16,
    pub(crate) arithmetic: Arithmetic,
    pub(crate) names: Vec<u8>,
    pub(crate) sections: Vec<(u8, Vec<u8>)>,
    /// Changes the section table once the sections have their places.
    pub(crate) place: fn(&mut [Section]),
}

/// A field that is one of several alike, with one row per feature.
pub(crate) fn field(number: u32, bag: u8, features: u32, dim: u32) -> FieldRecord {
    FieldRecord {
        composition: composition::FULL,
        bag,
        bits: 0,
        reserved: 0,
        features: features.into(),
        collisions: 0.into(),
        table_offset: (number * features * dim).into(),
        feature_offset: (number * features).into(),
        multiplier: 0.into(),
        scale: 1.0.into(),
        weighted_features: 0.into(),
    }
}

pub(crate) fn layer(inputs: u32, outputs: u32, weight_offset: u32, channel_offset: u32) -> LayerRecord {
    LayerRecord {
        inputs: inputs.into(),
        outputs: outputs.into(),
        weight_offset: weight_offset.into(),
        channel_offset: channel_offset.into(),
        scale: 1.0.into(),
        layout: 0.into(),
        reserved: [0.into(); 2],
    }
}

impl Draft {
    /// A file without sections; its fields are all named `f`.
    pub(crate) fn empty(num_fields: u16, dim: u16, arithmetic: Arithmetic) -> Self {
        let names = [1, b'f'].repeat(num_fields.into());
        Draft { version: VERSION, reserved: 0, num_fields, dim, arithmetic, names, sections: vec![], place: |_| () }
    }

    /// Replaces or adds a section; sections lie in the order of their kinds.
    pub(crate) fn put<T: IntoBytes + Immutable>(&mut self, kind: SectionKind, numbers: &[T]) {
        self.put_bytes(kind as u8, numbers.as_bytes());
    }

    pub(crate) fn put_bytes(&mut self, kind: u8, bytes: &[u8]) {
        self.sections.retain(|&(other, _)| other != kind);
        self.sections.push((kind, bytes.to_vec()));
        self.sections.sort_by_key(|&(kind, _)| kind);
    }

    pub(crate) fn remove(&mut self, kind: SectionKind) {
        self.sections.retain(|&(other, _)| other != kind as u8);
    }

    pub(crate) fn section(&mut self, kind: SectionKind) -> &mut Vec<u8> {
        &mut self.sections.iter_mut().find(|(other, _)| *other == kind as u8).unwrap().1
    }

    pub(crate) fn set<T: IntoBytes + Immutable>(&mut self, kind: SectionKind, at: usize, number: T) {
        self.section(kind)[at * size_of::<T>()..][..size_of::<T>()].copy_from_slice(number.as_bytes());
    }

    pub(crate) fn record<T: FromBytes + IntoBytes + KnownLayout + zerocopy::Unaligned>(
        &mut self,
        kind: SectionKind,
        at: usize,
    ) -> &mut T {
        &mut <[T]>::mut_from_bytes(self.section(kind)).unwrap()[at]
    }

    pub(crate) fn field(&mut self, at: usize) -> &mut FieldRecord {
        self.record(SectionKind::Fields, at)
    }

    pub(crate) fn layer(&mut self, at: usize) -> &mut LayerRecord {
        self.record(SectionKind::Layers, at)
    }

    /// The file, followed by what fills its last block.
    pub(crate) fn write(&self) -> Vec<ScratchBlock> {
        let (mut table, mut end) = (heapless::Vec::new(), FIRST_SECTION);
        for (kind, bytes) in &self.sections {
            let (offset, len) = (end.next_multiple_of(64), bytes.len() as u64);
            table.push(Section { kind: *kind, offset: offset as u32, len: len as u32 }).unwrap();
            end = offset + len;
        }
        let mut blocks = vec![ScratchBlock::ZERO; end.div_ceil(64) as usize];
        let file = &mut blocks.as_mut_bytes()[..end as usize];
        for (section, (_, bytes)) in table.iter().zip(&self.sections) {
            file[section.offset as usize..][..bytes.len()].copy_from_slice(bytes);
        }
        (self.place)(&mut table);
        let manifest = Manifest {
            producer: "runtime/tests",
            label: "click",
            num_fields: self.num_fields,
            embed_dim: self.dim,
            arithmetic: self.arithmetic,
            field_names: &self.names,
            sections: table,
            vocabulary: &[],
        };
        let room = &mut file[Prefix::LEN..FIRST_SECTION as usize];
        let manifest_len = postcard::to_slice(&manifest, room).unwrap().len() as u32;
        let mut prefix = Prefix {
            magic: MAGIC,
            version: self.version.into(),
            reserved: self.reserved.into(),
            manifest_len: manifest_len.into(),
            file_len: end.into(),
            body_crc: CRC.checksum(&file[Prefix::LEN..]).into(),
            prefix_crc: 0.into(),
        };
        prefix.prefix_crc = prefix.checksum().into();
        file[..Prefix::LEN].copy_from_slice(prefix.as_bytes());
        blocks
    }

    pub(crate) fn load_error(&self) -> Option<LoadError> {
        Model::from_bytes(self.write().as_bytes()).err()
    }
}
