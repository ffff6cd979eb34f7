//! What a number is measured by whose value is a weight.

use serde::{Deserialize, Serialize};
use xsfm_runtime::Weight;

/// A number's weight is its distance from the centre, in widths.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "[f64; 2]", into = "[f64; 2]")]
pub struct Scale {
    centre: f64,
    width: f64,
}

impl Scale {
    /// Of a centre and a width; -0 is 0.
    ///
    /// # Errors
    /// One that is not finite, or a width that is not above 0.
    pub fn new([centre, width]: [f64; 2]) -> Result<Self, String> {
        if !(centre.is_finite() && width.is_finite() && width > 0.0) {
            return Err(format!(
                "a scale of centre {centre} and width {width}: finite numbers expected, a width above 0"
            ));
        }
        Ok(Scale { centre: centre + 0.0, width })
    }

    /// Of a finite centre and a width of 1.
    pub(crate) fn unit(centre: f64) -> Self {
        Scale { centre, width: 1.0 }
    }

    /// Centre and width.
    pub fn numbers(self) -> [f64; 2] {
        [self.centre, self.width]
    }

    /// The weight of a number.
    pub fn weight(self, number: f64) -> Weight {
        Weight::of_number(number, self.numbers())
    }
}

/// Neither is NaN.
impl Eq for Scale {}

impl TryFrom<[f64; 2]> for Scale {
    type Error = String;

    fn try_from(numbers: [f64; 2]) -> Result<Self, String> {
        Scale::new(numbers)
    }
}

impl From<Scale> for [f64; 2] {
    fn from(scale: Scale) -> Self {
        scale.numbers()
    }
}
