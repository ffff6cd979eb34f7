//! `config.json` of a model trained elsewhere, key by key: each error names its key.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use serde::de::{DeserializeOwned, Deserializer, MapAccess, Visitor};
use serde::{Deserialize, de};
use serde_json::Value;

use crate::checkpoint::parse_json;
use crate::error::Error;

/// The keys of a file. Those that nobody asks for say nothing that scoring needs.
pub(super) struct Keys<'p> {
    path: &'p Path,
    values: BTreeMap<String, Value>,
}

impl<'p> Keys<'p> {
    pub(super) fn parse(path: &'p Path, text: &[u8]) -> Result<Self, Error> {
        let Unique(values) = parse_json(path, text)?;
        Ok(Keys { path, values })
    }

    /// What a key has; nothing where it is missing or `null`.
    pub(super) fn optional<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>, Error> {
        let Some(value) = self.values.get(key).filter(|value| !value.is_null()) else { return Ok(None) };
        T::deserialize(value).map(Some).map_err(|error| self.error(key, error.to_string()))
    }

    /// What a key has; `asks`: who needs it.
    pub(super) fn required<T: DeserializeOwned>(&self, key: &str, asks: &str) -> Result<T, Error> {
        self.optional(key)?.ok_or_else(|| self.error(key, format!("is missing; {asks} needs it")))
    }

    /// What is wrong with a key.
    pub(super) fn error(&self, key: &str, message: impl fmt::Display) -> Error {
        Error::config(self.path, format!("key `{key}`: {message}"))
    }
}

/// A map in which no key comes twice: JSON leaves open which of two values would count.
struct Unique(BTreeMap<String, Value>);

impl<'de> Deserialize<'de> for Unique {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(UniqueVisitor)
    }
}

struct UniqueVisitor;

impl<'de> Visitor<'de> for UniqueVisitor {
    type Value = Unique;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with the keys of a model")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Unique, A::Error> {
        let mut values = BTreeMap::new();
        while let Some((key, value)) = map.next_entry::<String, Value>()? {
            if values.contains_key(&key) {
                return Err(de::Error::custom(format!("key `{key}` is there twice")));
            }
            values.insert(key, value);
        }
        Ok(Unique(values))
    }
}
