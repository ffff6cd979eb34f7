//! What makes a label 1.

/// The rule of a description.
#[derive(Debug)]
pub(crate) enum LabelRule {
    ZeroOne,
    AtLeast(f64),
    Equals(String),
}

impl LabelRule {
    /// The label that a text means.
    ///
    /// # Errors
    /// It means none. An empty one never does: it is missing, which is not 0.
    pub(crate) fn apply(&self, text: &str) -> Result<u8, String> {
        if text.is_empty() {
            return Err("an empty label".to_owned());
        }
        match self {
            LabelRule::ZeroOne => {
                zero_or_one(text).ok_or_else(|| format!("{text:?}, 0 or 1 expected (or true or false)"))
            }
            LabelRule::AtLeast(least) => {
                let value = text.parse().ok().filter(|v: &f64| v.is_finite());
                value.map(|v| u8::from(v >= *least)).ok_or_else(|| format!("{text:?} is not a number"))
            }
            LabelRule::Equals(positive) => Ok(u8::from(text == positive)),
        }
    }
}

fn zero_or_one(text: &str) -> Option<u8> {
    match text {
        "0" => Some(0),
        "1" => Some(1),
        _ if text.eq_ignore_ascii_case("false") => Some(0),
        _ if text.eq_ignore_ascii_case("true") => Some(1),
        // As programs write it that have no integers beside missing values.
        _ => match text.parse::<f64>() {
            Ok(0.0) => Some(0),
            Ok(1.0) => Some(1),
            _ => None,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::LabelRule;

    #[test]
    fn labels_are_zero_and_one_however_they_are_written() {
        for (text, label) in [
            ("0", 0),
            ("1", 1),
            ("0.0", 0),
            ("1.0", 1),
            ("1.00", 1),
            ("1.", 1),
            ("-0.0", 0),
            ("1e0", 1),
            ("true", 1),
            ("True", 1),
            ("TRUE", 1),
            ("false", 0),
            ("False", 0),
            ("FALSE", 0),
        ] {
            assert_eq!(LabelRule::ZeroOne.apply(text), Ok(label), "{text}");
        }
        for text in ["", "2", "0.5", "-1", "yes", "NaN", "inf", " 1", "1 ", "t", "null"] {
            assert!(LabelRule::ZeroOne.apply(text).is_err(), "{text}");
        }
        for rule in [LabelRule::ZeroOne, LabelRule::AtLeast(-1.0), LabelRule::Equals("1".to_owned())] {
            assert_eq!(rule.apply(""), Err("an empty label".to_owned()));
        }
        assert_eq!(LabelRule::AtLeast(4.0).apply("4.0"), Ok(1));
        assert!(LabelRule::AtLeast(4.0).apply("NaN").is_err());
        assert_eq!(LabelRule::Equals("1".to_owned()).apply("1.0"), Ok(0));
    }
}
