//! What a file is, by its first bytes: what is no text is named, before its bytes are taken for rows.

/// How many bytes [`foreign`] wants to see. The mark of a tar stands behind its first name.
pub(crate) const HEAD_BYTES: usize = 512;
/// The mark that some programs put before UTF-8.
pub(crate) const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
/// The first bytes of gzip,
pub(crate) const GZIP: &[u8] = b"\x1f\x8b";
/// and of Parquet.
pub(crate) const PARQUET: &[u8] = b"PAR1";

const GIT_LFS: &[u8] = b"version https://git-lfs";

const UNPACK: &str = "unpack it first, or pack it with gzip, which is read as it is";
const AS_CSV: &str = "write its rows as CSV or Parquet";
const AS_UTF8: &str = "convert it to UTF-8 first, for example by `iconv -f";

/// First bytes, what they are the mark of, and what to do.
const MARKS: &[(&[u8], &str, &str)] = &[
    (GZIP, "gzip inside of gzip", "unpack it first"),
    (b"BZh", "bzip2", UNPACK),
    (b"\xfd7zXZ\0", "xz", UNPACK),
    (b"\x28\xb5\x2f\xfd", "zstd", UNPACK),
    (b"\x04\x22\x4d\x18", "lz4", UNPACK),
    (b"\x5d\0\0", "lzma", UNPACK),
    (b"\x1f\x9d", "a file of `compress`", UNPACK),
    (b"\xff\x06\0\0sNaPpY", "snappy", UNPACK),
    (b"PK\x03\x04", "a zip archive (or a spreadsheet, which is one)", UNPACK),
    (b"PK\x05\x06", "a zip archive without files", UNPACK),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive", UNPACK),
    (b"Rar!\x1a\x07", "a rar archive", UNPACK),
    (PARQUET, "Parquet", "`xsfm-train prepare parquet` reads it"),
    (b"PARE", "encrypted Parquet", "write it without encryption"),
    (b"ARROW1", "Arrow (Feather)", AS_CSV),
    (b"FEA1", "Feather", AS_CSV),
    (b"\xff\xff\xff\xff", "a stream of Arrow", AS_CSV),
    (b"Obj\x01", "Avro", AS_CSV),
    (b"\x89HDF", "HDF5", AS_CSV),
    (b"\x93NUMPY", "an array of NumPy", AS_CSV),
    (b"SQLite format 3\0", "a database of SQLite", AS_CSV),
    (b"\xd0\xcf\x11\xe0", "an old file of Office", AS_CSV),
    (GIT_LFS, "a pointer of Git LFS in place of the file", "fetch the file by `git lfs pull`"),
    (b"\xff\xfe\0\0", "text in UTF-32", "convert it to UTF-8 first"),
    (b"\0\0\xfe\xff", "text in UTF-32", "convert it to UTF-8 first"),
    (b"\xff\xfe", "text in UTF-16", "UTF-16"),
    (b"\xfe\xff", "text in UTF-16", "UTF-16"),
];

/// What a file is that begins like this and is no text in UTF-8, and what to do; `None` for text.
pub(crate) fn foreign(head: &[u8]) -> Option<String> {
    // These marks are letters that a text may begin with; what follows is none.
    let is_binary = || head.iter().any(|b| *b < 9 || *b >= 0xf8);
    let is_sure = |mark: &[u8]| !mark.is_ascii() || mark == GIT_LFS || is_binary();
    let mark = MARKS.iter().find(|(mark, ..)| head.starts_with(mark) && is_sure(mark));
    let (what, advice) = match mark {
        Some(&(_, what, "UTF-16")) => (what, format!("{AS_UTF8} UTF-16 -t UTF-8`")),
        Some(&(_, what, advice)) => (what, advice.to_owned()),
        None if head.starts_with(b"ORC") && is_binary() => ("ORC", AS_CSV.to_owned()),
        None if head.get(257..262) == Some(b"ustar") => ("a tar archive", UNPACK.to_owned()),
        None => {
            let name = wide(head)?;
            ("text in UTF-16 or UTF-32", format!("{AS_UTF8} {name} -t UTF-8`"))
        }
    };
    Some(format!("this is {what}: {advice}"))
}

/// Text of two or four bytes a letter, which has no mark: letters of ASCII then have their zeros always in the same
/// places.
fn wide(head: &[u8]) -> Option<&'static str> {
    let zeros = |first: usize, step: usize| head.iter().skip(first).step_by(step).filter(|&&b| b == 0).count();
    let (quarter, half) = (head.len() / 4, head.len() / 2);
    if head.len() < 8 {
        return None;
    }
    // Three of four letters at least are ASCII.
    let most = |zeros: usize, of: usize| zeros * 4 >= of * 3;
    let none = |zeros: usize, of: usize| zeros * 16 <= of;
    let by_four = [0, 1, 2, 3].map(|first| zeros(first, 4));
    let by_two = [0, 1].map(|first| zeros(first, 2));
    match (by_four, by_two) {
        ([a, b, c, d], _) if most(b.min(c).min(d), quarter) && none(a, quarter) => Some("UTF-32LE"),
        ([a, b, c, d], _) if most(a.min(b).min(c), quarter) && none(d, quarter) => Some("UTF-32BE"),
        (_, [even, odd]) if most(odd, half) && none(even, half) => Some("UTF-16LE"),
        (_, [even, odd]) if most(even, half) && none(odd, half) => Some("UTF-16BE"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::foreign;

    #[test]
    fn text_is_text_and_the_rest_is_named() {
        for text in [
            "",
            "u",
            "user,item\n",
            "BZh,x\n1,2\n",
            "ORCID,label\n1,2\n",
            "Obj,label\n",
            "PK\n",
            "PARENT,label\n",
            "7z,label\n",
            "FEA1,label\n",
            "Benutzer,Straße\n",
            "\u{1}a\u{1}b\n",
            "日本,語\n",
            "PAR1,label\n1,0\n",
            "ARROW1,label\n",
            "Rar!,x\n",
        ] {
            assert_eq!(foreign(text.as_bytes()), None, "{text}");
        }
        let text = "user,item,label\nu1,i1,0\nü,i2,1\n";
        let utf16 = |order: fn(u16) -> [u8; 2]| text.encode_utf16().flat_map(order).collect::<Vec<u8>>();
        let utf32 = |order: fn(u32) -> [u8; 4]| text.chars().flat_map(|c| order(c.into())).collect::<Vec<u8>>();
        for (bytes, expected) in [
            (utf16(u16::to_le_bytes), "UTF-16LE"),
            (utf16(u16::to_be_bytes), "UTF-16BE"),
            (utf32(u32::to_le_bytes), "UTF-32LE"),
            (utf32(u32::to_be_bytes), "UTF-32BE"),
            (b"\xff\xfeu\0".to_vec(), "UTF-16"),
            (b"\xff\xfe\0\0u\0\0\0".to_vec(), "UTF-32"),
            (b"BZh91AY&SY\x01".to_vec(), "bzip2"),
            (b"ORC\x0a\x0b\0\0".to_vec(), "ORC"),
            (b"Obj\x01\x04\x14".to_vec(), "Avro"),
            (b"PAR1\x15\x04\x15".to_vec(), "prepare parquet"),
            ([&b"rows.csv"[..], &[0; 249], b"ustar\0"].concat(), "tar"),
        ] {
            assert!(foreign(&bytes).is_some_and(|what| what.contains(expected)), "{expected}");
        }
    }
}
