//! Factors for fields, by name: `user=2,genres=0.5`.

use std::str::FromStr;

use anyhow::{Result, bail};
use serde::Serialize;
use xsfm_interchange::config::ModelConfig;

/// Factors for some fields; others have 1.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct FieldFactors(Vec<(String, f64)>);

impl FieldFactors {
    /// Whether no field has one.
    pub fn is_none(&self) -> bool {
        self.0.is_empty()
    }

    /// `[num_fields]`: every field's factor.
    ///
    /// # Errors
    /// A name that is no field's; the message has the fields.
    pub fn of(&self, config: &ModelConfig) -> Result<Vec<f64>> {
        let mut factors = vec![1.0; config.fields.len()];
        for (name, factor) in &self.0 {
            let Some(f) = config.fields.iter().position(|field| field.name == *name) else {
                let names: Vec<&str> = config.fields.iter().map(|field| field.name.as_str()).collect();
                bail!("`{name}` is no field; these are: {}", names.join(", "));
            };
            factors[f] = *factor;
        }
        Ok(factors)
    }
}

impl FromStr for FieldFactors {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let factor = |part: &str| {
            // A name may have the sign in it.
            let parsed =
                part.rsplit_once('=').and_then(|(name, value)| Some((name.trim(), value.trim().parse().ok()?)));
            match parsed {
                Some((name, factor)) if f64::is_finite(factor) && factor >= 0.0 => Ok((name.to_owned(), factor)),
                _ => Err(format!("`{part}` is no field and its factor; write for example `user=2,genres=0.5`")),
            }
        };
        let parts = text.split(',').filter(|part| !part.trim().is_empty());
        parts.map(factor).collect::<Result<_, _>>().map(FieldFactors)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn factors_are_names_and_numbers() {
        let of = |text: &str| text.parse::<FieldFactors>();
        assert_eq!(of(""), Ok(FieldFactors::default()));
        assert_eq!(of("user=2, a=b=0.5"), Ok(FieldFactors(vec![("user".to_owned(), 2.0), ("a=b".to_owned(), 0.5)])));
        for text in ["user", "user=", "user=x", "user=-1", "user=inf", "user=2,,item"] {
            assert!(of(text).is_err_and(|message| message.contains("user=2")), "{text}");
        }
    }
}
