//! Reads the manifest where it lies: as much of [postcard](https://postcard.jamesmunns.com/wire-format) as its types
//! take.
//!
//! Writers use the crate of that name. What it generates for reading is several times as large as this, and would be
//! the largest part of a small program. The tests below compare both on any bytes.

use super::{Arithmetic, FIRST_WITH_VOCABULARY, MAX_SECTIONS, Manifest, Mode, Section, Term, Terms};

/// What is left to be read. A read that does not find what it should is `None`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reader<'a>(pub(crate) &'a [u8]);

impl<'a> Reader<'a> {
    fn byte(&mut self) -> Option<u8> {
        let (&byte, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(byte)
    }

    /// A number under `2^bits`, in at most as many bytes as a type of `width` bits takes: zeros may be left in front.
    #[inline(never)]
    fn varint(&mut self, width: u32, bits: u32) -> Option<u32> {
        let (mut value, mut shift, most) = (0, 0, u32::MAX >> (32 - bits));
        while shift < width {
            let byte = self.byte()?;
            let seven = u32::from(byte & 0x7F);
            if seven > most.checked_shr(shift).unwrap_or(0) {
                return None;
            }
            value |= seven.checked_shl(shift).unwrap_or(0);
            if byte < 0x80 {
                return Some(value);
            }
            shift += 7;
        }
        None
    }

    fn u16(&mut self) -> Option<u16> {
        self.varint(16, 16).map(|value| value as u16)
    }

    fn u32(&mut self) -> Option<u32> {
        self.varint(32, 32)
    }

    fn i32(&mut self) -> Option<i32> {
        let zigzag = self.u32()?;
        Some((zigzag >> 1).cast_signed() ^ -(zigzag & 1).cast_signed())
    }

    /// A count of bytes or items. postcard's are 64 bits wide; what needs more than 32 is more than a file has.
    fn len(&mut self) -> Option<usize> {
        self.varint(64, 32).map(|len| len as usize)
    }

    fn bytes(&mut self) -> Option<&'a [u8]> {
        let len = self.len()?;
        let (bytes, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(bytes)
    }

    pub(crate) fn string(&mut self) -> Option<&'a str> {
        str::from_utf8(self.bytes()?).ok()
    }

    fn term(&mut self) -> Option<Term> {
        Some(Term { mantissa: self.i32()?, shift: self.byte()? })
    }

    fn terms(&mut self) -> Option<Terms> {
        Some(Terms {
            feature_weight: self.term()?,
            field_vector: self.term()?,
            interaction: self.term()?,
            mlp: self.term()?,
        })
    }

    /// The bits of an f32.
    fn bits(&mut self) -> Option<u32> {
        let (bits, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u32::from_le_bytes(*bits))
    }

    fn section(&mut self) -> Option<Section> {
        Some(Section { kind: self.byte()?, offset: self.u32()?, len: self.u32()? })
    }
}

/// A manifest whose strings nobody has looked at, and whose section table lies where it lay: all that a loader needs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Head<'a> {
    producer: &'a [u8],
    label: &'a [u8],
    pub(crate) num_fields: u16,
    pub(crate) embed_dim: u16,
    pub(crate) mode: Mode,
    /// Steps of the logit; f32 mode: the bits of an f32.
    pub(crate) bias: u32,
    /// f32 mode: not there.
    pub(crate) terms: Terms,
    pub(crate) field_names: &'a [u8],
    sections: Reader<'a>,
    vocabulary: &'a [u8],
}

impl<'a> Head<'a> {
    /// `None` where the bytes are not a manifest of this version and nothing else. Its strings may still be none.
    pub(crate) fn read(bytes: &'a [u8], version: u16) -> Option<Self> {
        let mut reader = Reader(bytes);
        let (producer, label) = (reader.bytes()?, reader.bytes()?);
        let (num_fields, embed_dim) = (reader.u16()?, reader.u16()?);
        let mode = match reader.u32()? {
            0 => Mode::F32,
            1 => Mode::Int8,
            2 => Mode::Dynamic,
            _ => return None,
        };
        let (bias, terms) = match mode {
            Mode::F32 => (reader.bits()?, Terms::ABSENT),
            _ => (reader.i32()?.cast_unsigned(), reader.terms()?),
        };
        let field_names = reader.bytes()?;
        let count = reader.len().filter(|&count| count <= MAX_SECTIONS)?;
        let table = reader.0;
        for _ in 0..count {
            reader.section()?;
        }
        let sections = Reader(table.get(..table.len() - reader.0.len())?);
        let vocabulary = if version < FIRST_WITH_VOCABULARY { &[] } else { reader.bytes()? };
        let rest = reader.0;
        let head =
            Head { producer, label, num_fields, embed_dim, mode, bias, terms, field_names, sections, vocabulary };
        rest.is_empty().then_some(head)
    }

    /// The section table, which [`Head::read`] has seen to be whole.
    pub(crate) fn sections(&self) -> impl Iterator<Item = Section> + 'a {
        let mut reader = self.sections;
        std::iter::from_fn(move || reader.section())
    }

    /// The arithmetic, with the numbers that stand alone.
    pub(crate) fn arithmetic(&self) -> Arithmetic {
        let (bias, terms) = (self.bias.cast_signed(), self.terms);
        match self.mode {
            Mode::F32 => Arithmetic::F32 { bias: f32::from_bits(self.bias) },
            Mode::Int8 => Arithmetic::Int8 { bias, terms },
            Mode::Dynamic => Arithmetic::Dynamic { bias, terms },
        }
    }

    /// Producer and label; `None` where they are not UTF-8.
    pub(crate) fn strings(&self) -> Option<[&'a str; 2]> {
        Some([str::from_utf8(self.producer).ok()?, str::from_utf8(self.label).ok()?])
    }

    /// The whole manifest; `None` where its strings are none.
    pub(crate) fn manifest(&self) -> Option<Manifest<'a>> {
        let [producer, label] = self.strings()?;
        let mut sections = heapless::Vec::new();
        for section in self.sections() {
            sections.push(section).ok()?;
        }
        Some(Manifest {
            producer,
            label,
            num_fields: self.num_fields,
            embed_dim: self.embed_dim,
            arithmetic: self.arithmetic(),
            field_names: self.field_names,
            sections,
            vocabulary: self.vocabulary,
        })
    }
}

#[cfg(all(test, feature = "std"))]
mod tests {
    use std::vec::Vec;

    use super::super::VERSION;
    use super::*;

    /// Numbers that look random.
    struct Random(u64);

    impl Random {
        fn next(&mut self) -> u32 {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (self.0 >> 32) as u32
        }

        fn below(&mut self, count: usize) -> usize {
            self.next() as usize % count
        }

        /// Of every length as a varint.
        fn varied(&mut self) -> u32 {
            self.next() >> self.below(32)
        }

        fn signed(&mut self) -> i32 {
            if self.below(2) == 0 { self.varied().cast_signed() } else { !self.varied().cast_signed() }
        }

        fn term(&mut self) -> Term {
            Term { mantissa: self.signed(), shift: self.next() as u8 }
        }
    }

    const STRINGS: [&str; 4] = [
        "",
        "click",
        "xsfm-convert 0.1.0",
        "ein Klick, möglichst früh, 点击 und noch etwas mehr, so that its length takes two bytes: 0123456789 \
         0123456789 0123456789",
    ];

    fn manifest<'a>(random: &mut Random, names: &'a [u8]) -> Manifest<'a> {
        let terms = Terms {
            feature_weight: random.term(),
            field_vector: random.term(),
            interaction: random.term(),
            mlp: random.term(),
        };
        let arithmetic = match random.below(3) {
            0 => Arithmetic::F32 { bias: f32::from_bits(random.next() & 0x7F7F_FFFF) },
            1 => Arithmetic::Int8 { bias: random.signed(), terms },
            _ => Arithmetic::Dynamic { bias: random.signed(), terms },
        };
        let section =
            |random: &mut Random| Section { kind: random.next() as u8, offset: random.varied(), len: random.varied() };
        Manifest {
            producer: STRINGS[random.below(4)],
            label: STRINGS[random.below(4)],
            num_fields: random.varied() as u16,
            embed_dim: random.varied() as u16,
            arithmetic,
            field_names: &names[..random.below(names.len())],
            sections: (0..random.below(MAX_SECTIONS + 1)).map(|_| section(random)).collect(),
            vocabulary: &names[..random.below(20)],
        }
    }

    /// Both readers on the same bytes, of which all must be the manifest's: whether there is one, and the same.
    fn agreed(bytes: &[u8]) -> bool {
        let ours = Head::read(bytes, VERSION).and_then(|head| head.manifest());
        let theirs = postcard::take_from_bytes::<Manifest<'_>>(bytes).ok().filter(|(_, rest)| rest.is_empty());
        // As text, because a bias may be not a number.
        let text = |manifest: &Manifest<'_>| std::format!("{manifest:?}");
        assert_eq!(ours.as_ref().map(text), theirs.as_ref().map(|(manifest, _)| text(manifest)), "{bytes:02x?}");
        ours.is_some()
    }

    #[test]
    fn postcard_reads_the_same_of_whole_cut_and_changed_manifests() {
        let mut random = Random(1);
        let names: Vec<u8> = (0..200).map(|_| random.next() as u8).collect();
        let (mut read, mut refused) = (0, 0);
        for _ in 0..300 {
            let manifest = manifest(&mut random, &names);
            let bytes = postcard::to_extend(&manifest, Vec::new()).expect("written");
            assert!(agreed(&bytes), "{manifest:?}");
            for len in 0..bytes.len() {
                assert!(!agreed(&bytes[..len]));
            }
            for _ in 0..300 {
                let mut changed = bytes.clone();
                for _ in 0..=random.below(3) {
                    let at = random.below(changed.len());
                    // Bits that go on with a varint, and end it, more often than chance would have it.
                    changed[at] = match random.below(4) {
                        0 => changed[at] ^ 0x80,
                        1 => 0xFF,
                        _ => random.next() as u8,
                    };
                }
                *(if agreed(&changed) { &mut read } else { &mut refused }) += 1;
            }
        }
        assert!(read > 1000 && refused > 1000, "{read} read, {refused} refused");
    }

    /// Version 3 ended with the section table.
    #[test]
    fn older_manifests_are_read_without_a_vocabulary() {
        let mut random = Random(4);
        let names: Vec<u8> = (0..200).map(|_| random.next() as u8).collect();
        for _ in 0..100 {
            let manifest = Manifest { vocabulary: &[], ..manifest(&mut random, &names) };
            let bytes = postcard::to_extend(&manifest, Vec::new()).expect("written");
            // Its length, 0, is the last byte.
            let (_, older) = bytes.split_last().expect("not empty");
            let read = Head::read(older, FIRST_WITH_VOCABULARY - 1).and_then(|head| head.manifest());
            assert_eq!(read.map(|read| std::format!("{read:?}")), Some(std::format!("{manifest:?}")));
            assert!(Head::read(older, VERSION).is_none() && Head::read(&bytes, FIRST_WITH_VOCABULARY - 1).is_none());
        }
    }

    #[test]
    fn postcard_reads_the_same_of_any_bytes() {
        let mut random = Random(2);
        for _ in 0..100_000 {
            // Small bytes: strings that end, and tables that are short.
            let bytes: Vec<u8> = (0..random.below(40)).map(|_| (random.next() >> random.below(32)) as u8).collect();
            agreed(&bytes);
        }
    }

    /// Every varint of a manifest, padded with zeros to every length.
    #[test]
    fn postcard_takes_the_same_numbers() {
        fn same<T: PartialEq + std::fmt::Debug + serde::de::DeserializeOwned>(
            bytes: &[u8],
            read: fn(&mut Reader<'_>) -> Option<T>,
        ) {
            let mut reader = Reader(bytes);
            let ours = read(&mut reader).map(|value| (value, reader.0));
            assert_eq!(ours, postcard::take_from_bytes::<T>(bytes).ok(), "{bytes:02x?}");
        }
        let mut random = Random(3);
        for _ in 0..200_000 {
            let edge = [0, 1, 3, 4, 0x0F, 0x10, 0x7F][random.below(7)];
            let mut bytes: Vec<u8> = (0..random.below(12)).map(|_| random.next() as u8 | 0x80).collect();
            if random.below(2) == 0 {
                bytes.iter_mut().for_each(|byte| *byte = if *byte & 1 == 0 { 0x80 } else { 0xFF });
            }
            bytes.extend([edge, 0x55]);
            same::<u16>(&bytes, |reader| reader.u16());
            same::<u32>(&bytes, |reader| reader.u32());
            same::<i32>(&bytes, |reader| reader.i32());
            // What does not fit 32 bits is refused here, and could only be refused later there.
            if postcard::take_from_bytes::<u64>(&bytes).is_ok_and(|(len, _)| u32::try_from(len).is_err()) {
                assert_eq!(Reader(&bytes).len(), None);
            } else {
                same::<usize>(&bytes, |reader| reader.len());
            }
        }
    }
}
