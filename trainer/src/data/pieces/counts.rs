//! Counts as bytes: entries of field, key and count, in shares. All entries of a key are in one share.
//!
//! An entry is the field, the key's length and the count, as LEB128, and the key.

use xsfm_interchange::tokens::TokenMap;
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// How many shares there are.
const SHARES: u64 = 256;
/// A piece of a share is closed at this many bytes.
const PIECE_BYTES: usize = 4 << 20;

/// Entries on their way to whoever adds them up.
#[derive(Debug, Default)]
pub(super) struct Shares {
    open: Vec<Vec<u8>>,
    /// Those that are as large as they may be, with their numbers.
    closed: Vec<(u32, Vec<u8>)>,
}

impl Shares {
    /// Adds an entry.
    pub(super) fn push(&mut self, field: usize, key: &str, count: u64) {
        if count == 0 {
            return;
        }
        self.open.resize(SHARES as usize, Vec::new());
        let share = xxh3_64_with_seed(key.as_bytes(), field as u64) % SHARES;
        let bytes = &mut self.open[share as usize];
        push(bytes, field, key, count);
        if bytes.len() >= PIECE_BYTES {
            self.closed.push((share as u32, std::mem::take(bytes)));
        }
    }

    /// The shares' numbers, each with some of its entries.
    pub(super) fn finish(self) -> Vec<(u32, Vec<u8>)> {
        let open = (0..).zip(self.open).filter(|(_, bytes)| !bytes.is_empty());
        self.closed.into_iter().chain(open).collect()
    }
}

/// Entries that are added up.
#[derive(Debug, Default)]
pub(super) struct Added {
    /// By field.
    counts: Vec<TokenMap<u64>>,
}

impl Added {
    /// Adds entries.
    ///
    /// # Errors
    /// Bytes that are none.
    pub(super) fn add(&mut self, bytes: &[u8]) -> Result<(), String> {
        entries(bytes, |field, key, count| {
            if field >= self.counts.len() {
                self.counts.resize_with(field + 1, TokenMap::default);
            }
            self.counts[field].update(key, |all| *all += count);
            Ok(())
        })
    }

    /// The entries again, but for those whose count is below their field's `least`.
    pub(super) fn finish(self, least: &[u64]) -> Vec<Vec<u8>> {
        let mut pieces = vec![Vec::new()];
        for (field, counts) in self.counts.iter().enumerate() {
            let least = least.get(field).copied().unwrap_or(0);
            counts.each(|key, count| {
                if count < least {
                    return;
                }
                if pieces.last().is_none_or(|piece: &Vec<u8>| piece.len() >= PIECE_BYTES) {
                    pieces.push(Vec::new());
                }
                pieces.iter_mut().last().into_iter().for_each(|piece| push(piece, field, key, count));
            });
        }
        pieces
    }
}

/// Visits the entries.
///
/// # Errors
/// Bytes that are none; those of `visit`.
pub(super) fn entries(
    mut bytes: &[u8],
    mut visit: impl FnMut(usize, &str, u64) -> Result<(), String>,
) -> Result<(), String> {
    while !bytes.is_empty() {
        let entry = entry(&mut bytes).ok_or_else(|| format!("counts break off {} bytes before their end", bytes.len()));
        let (field, key, count) = entry?;
        visit(field, key, count)?;
    }
    Ok(())
}

fn push(bytes: &mut Vec<u8>, field: usize, key: &str, count: u64) {
    for mut number in [field as u64, key.len() as u64, count] {
        while number >= 0x80 {
            bytes.push(number as u8 | 0x80);
            number >>= 7;
        }
        bytes.push(number as u8);
    }
    bytes.extend_from_slice(key.as_bytes());
}

/// The fields of a schema are no more than a file's description can have.
const FIELDS: u64 = 1 << 20;

fn entry<'a>(bytes: &mut &'a [u8]) -> Option<(usize, &'a str, u64)> {
    let (mut numbers, mut rest) = ([0_u64; 3], *bytes);
    for number in &mut numbers {
        for shift in (0..).step_by(7) {
            let (&byte, behind) = rest.split_first()?;
            rest = behind;
            *number |= u64::from(byte & 0x7f).checked_shl(shift)?;
            if byte & 0x80 == 0 {
                break;
            }
        }
    }
    let [field, length, count] = numbers;
    let (key, rest) = rest.split_at_checked(usize::try_from(length).ok()?)?;
    *bytes = rest;
    Some((usize::try_from(field).ok().filter(|_| field < FIELDS)?, str::from_utf8(key).ok()?, count))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_add_up_whatever_the_shares() {
        let mut pieces: [Shares; 3] = Default::default();
        for n in 0..30_000_u64 {
            pieces[(n % 3) as usize].push((n % 5) as usize, &format!("{:x}", n % 700), n);
        }
        let mut by_share = std::collections::BTreeMap::<u32, Added>::new();
        for (share, bytes) in pieces.into_iter().flat_map(Shares::finish) {
            by_share.entry(share).or_default().add(&bytes).expect("entries");
        }
        let mut found = Vec::new();
        for added in by_share.into_values() {
            for bytes in added.finish(&[0, 0, 0, 0, u64::MAX]) {
                let visit = |field, key: &str, count| {
                    found.push((field, key.to_owned(), count));
                    Ok(())
                };
                entries(&bytes, visit).expect("entries");
            }
        }
        found.sort();
        let mut plain = std::collections::BTreeMap::new();
        (0..30_000).for_each(|n| *plain.entry(((n % 5) as usize, format!("{:x}", n % 700))).or_default() += n);
        let plain = plain.into_iter().filter(|((field, _), count)| *field < 4 && *count > 0);
        assert_eq!(found, plain.map(|((field, key), count)| (field, key, count)).collect::<Vec<_>>());
    }

    #[test]
    fn any_bytes_are_an_error_or_entries() {
        let mut bytes = Vec::new();
        push(&mut bytes, 300, "é", u64::MAX);
        assert_eq!(
            entries(&bytes, |field, key, count| {
                assert_eq!((field, key, count), (300, "é", u64::MAX));
                Ok(())
            }),
            Ok(())
        );
        for end in 1..bytes.len() {
            assert!(entries(&bytes[..end], |_, _, _| Ok(())).is_err(), "{end}");
        }
        for bytes in [&[0xff; 40][..], &[0, 1, 1, 0xff], &[0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 1]] {
            assert!(entries(bytes, |_, _, _| Ok(())).is_err(), "{bytes:?}");
        }
    }
}
