//! A map from tokens to numbers, as fast as their shortness allows: click logs have billions of tokens, most of eight
//! bytes.

use std::collections::HashMap;

use foldhash::fast::RandomState;

/// A map from tokens to values. A token of at most eight bytes is one integer in it, without an allocation of its own.
#[derive(Clone, Debug, Default)]
pub struct TokenMap<V> {
    short: HashMap<u64, V, RandomState>,
    long: HashMap<Box<str>, V, RandomState>,
}

/// The bytes of a short token, filled up with zeros; `None` for a long one, or one whose own zeros could be such.
fn pack(token: &str) -> Option<u64> {
    let bytes = token.as_bytes();
    let (packed, filled) = match <[u8; 8]>::try_from(bytes) {
        Ok(eight) => (u64::from_le_bytes(eight), 0),
        Err(_) if bytes.len() < 8 => {
            (bytes.iter().rev().fold(0, |packed, &b| packed << 8 | u64::from(b)), u64::MAX << (8 * bytes.len()))
        }
        Err(_) => return None,
    };
    // Whether a byte is zero (Mycroft): only below one that is does subtracting 1 from each byte borrow.
    const ONES: u64 = 0x0101_0101_0101_0101;
    let bytes = packed | filled;
    let zeros = bytes.wrapping_sub(ONES) & !bytes & (ONES << 7);
    (zeros == 0).then_some(packed)
}

fn unpack(packed: u64) -> String {
    let bytes = packed.to_le_bytes();
    let length = bytes.iter().position(|&b| b == 0).unwrap_or(8);
    String::from_utf8_lossy(&bytes[..length]).into_owned()
}

impl<V> TokenMap<V> {
    /// The value of a token.
    pub fn get(&self, token: &str) -> Option<&V> {
        match pack(token) {
            Some(packed) => self.short.get(&packed),
            None => self.long.get(token),
        }
    }

    /// Number of tokens.
    pub fn len(&self) -> usize {
        self.short.len() + self.long.len()
    }

    /// Whether there is no token.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<V: Copy> TokenMap<V> {
    /// Visits all tokens, in any order, with their values.
    pub fn each(&self, mut visit: impl FnMut(&str, V)) {
        self.short.iter().for_each(|(&packed, &value)| visit(&unpack(packed), value));
        self.long.iter().for_each(|(token, &value)| visit(token, value));
    }

    /// All tokens for whose value `keep` is true, in any order.
    pub fn filtered(self, keep: impl Fn(V) -> bool) -> Vec<(String, V)> {
        let short = self.short.into_iter().filter(|&(_, v)| keep(v)).map(|(packed, v)| (unpack(packed), v));
        let long = self.long.into_iter().filter(|&(_, v)| keep(v)).map(|(token, v)| (String::from(token), v));
        short.chain(long).collect()
    }
}

impl<V: Default> TokenMap<V> {
    /// Changes the value of a token, which is added where it is new.
    pub fn update(&mut self, token: &str, change: impl FnOnce(&mut V)) {
        match pack(token) {
            Some(packed) => change(self.short.entry(packed).or_default()),
            None => match self.long.get_mut(token) {
                Some(value) => change(value),
                None => {
                    let mut value = V::default();
                    change(&mut value);
                    self.long.insert(token.into(), value);
                }
            },
        }
    }
}

impl<'a> FromIterator<(&'a str, u32)> for TokenMap<u32> {
    fn from_iter<I: IntoIterator<Item = (&'a str, u32)>>(pairs: I) -> Self {
        let mut map = TokenMap::default();
        pairs.into_iter().for_each(|(token, value)| map.update(token, |v| *v = value));
        map
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_of_every_length_are_told_apart() {
        // Among them pairs that differ in trailing zeros only, and a character of several bytes.
        let tokens = [
            "",
            "\0",
            "\0\0",
            "a",
            "a\0",
            "ab",
            "68fd1e64",
            "68fd1e6\0",
            "68fd1e64\0",
            "68fd1e640",
            "é",
            "Misérab",
            "éééé",
        ];
        let mut map = TokenMap::<u64>::default();
        for (i, token) in tokens.iter().enumerate() {
            for _ in 0..=i {
                map.update(token, |count| *count += 1);
            }
        }
        assert_eq!(map.len(), tokens.len());
        for (i, token) in tokens.iter().enumerate() {
            assert_eq!(map.get(token), Some(&(i as u64 + 1)), "{token:?}");
        }
        assert_eq!(map.get("b"), None);
        assert_eq!(map.get("68fd1e641"), None);
        let mut all = map.filtered(|count| count > 1);
        all.sort_by_key(|&(_, count)| count);
        assert_eq!(all.into_iter().map(|(token, _)| token).collect::<Vec<_>>(), tokens[1..]);
    }
}
