//! Where an axis has ticks, and how people write the numbers at them: 1k, 20k, 1Mi; never 1.259k.

use std::ops::Range;

use plotters::coord::ranged1d::{KeyPointHint, NoDefaultFormatting, Ranged, ValueFormatter};

/// How numbers lie on an axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scale {
    /// One beside the other.
    Linear,
    /// The same, of things that are counted: no ticks between whole numbers.
    Counts,
    /// By powers of 10.
    Decimal,
    /// By powers of 2, written with Ki and Mi.
    Binary,
}

/// A range of a scale, and its ticks.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Ticks {
    /// Ends of the axis, as places.
    pub(super) range: Range<f64>,
    /// Places and what is written at them, from the lowest.
    pub(super) labels: Vec<(f64, String)>,
}

/// Powers of 10 and what is written between them, from the sparsest.
const DECIMALS: [&[f64]; 3] = [&[1.0], &[1.0, 3.0], &[1.0, 2.0, 5.0]];
/// The same of powers of 2.
const BINARIES: [&[f64]; 3] = [&[1.0], &[1.0, 1.5], &[1.0, 1.25, 1.5, 1.75]];

impl Ticks {
    /// An axis on which all values are seen, with a share of what they span as margin, and at most `most` ticks.
    pub(super) fn new(scale: Scale, values: impl Iterator<Item = f64>, margin: f64, most: usize) -> Self {
        let places = values.map(|value| scale.place(value));
        let (low, high) = places.fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), v| (l.min(v), h.max(v)));
        // Where all values are alike there is something to see to both sides of them.
        let least = match scale {
            Scale::Linear => (low.abs() * 1e-3).max(1e-9),
            Scale::Counts => 0.5,
            Scale::Decimal => 0.2,
            Scale::Binary => 0.6,
        };
        let margin = if high - low > least { (high - low) * margin } else { least };
        Self::within(scale, low - margin..high + margin, most)
    }

    /// The ticks of a range of places.
    pub(super) fn within(scale: Scale, range: Range<f64>, most: usize) -> Self {
        let most = most.max(2);
        let values = match scale {
            Scale::Linear | Scale::Counts => None,
            Scale::Decimal => powers(10.0, &DECIMALS, &range, most),
            Scale::Binary => powers(2.0, &BINARIES, &range, most),
        };
        // A short piece of a logarithmic axis is nearly a linear one.
        let values = values.unwrap_or_else(|| even(scale.value(range.start)..scale.value(range.end), scale, most));
        let step = values.windows(2).map(|pair| pair[1] - pair[0]).fold(f64::INFINITY, f64::min);
        let labels = values.iter().map(|&value| (scale.place(value), scale.written(value, step))).collect();
        Ticks { range, labels }
    }
}

/// The axis as the drawing library has it: values are places.
impl Ranged for Ticks {
    type FormatOption = NoDefaultFormatting;
    type ValueType = f64;

    fn map(&self, place: &f64, (first, last): (i32, i32)) -> i32 {
        let share = (place - self.range.start) / (self.range.end - self.range.start);
        first + (share * f64::from(last - first)).round() as i32
    }

    fn key_points<Hint: KeyPointHint>(&self, hint: Hint) -> Vec<f64> {
        // Light ones are lines without a number.
        let places = self.labels.iter().map(|(place, _)| *place);
        if hint.weight().allow_light_points() { Vec::new() } else { places.collect() }
    }

    fn range(&self) -> Range<f64> {
        self.range.clone()
    }
}

impl ValueFormatter<f64> for Ticks {
    fn format_ext(&self, place: &f64) -> String {
        let label = self.labels.iter().find(|(at, _)| at == place);
        label.map(|(_, text)| text.clone()).unwrap_or_default()
    }
}

impl Scale {
    /// Where a value is on the axis.
    pub(super) fn place(self, value: f64) -> f64 {
        match self {
            Scale::Linear | Scale::Counts => value,
            Scale::Decimal => value.log10(),
            Scale::Binary => value.log2(),
        }
    }

    fn value(self, place: f64) -> f64 {
        match self {
            Scale::Linear | Scale::Counts => place,
            Scale::Decimal => 10_f64.powf(place),
            Scale::Binary => place.exp2(),
        }
    }

    /// A value with the digits that tell it from one a step away.
    fn written(self, value: f64, step: f64) -> String {
        let units: &[(f64, &str)] = match self {
            Scale::Linear => &[],
            Scale::Counts | Scale::Decimal => &[(1e9, "G"), (1e6, "M"), (1e3, "k")],
            Scale::Binary => &[(1_073_741_824.0, "Gi"), (1_048_576.0, "Mi"), (1024.0, "Ki")],
        };
        let (size, unit) = units.iter().copied().find(|(size, _)| value.abs() >= *size).unwrap_or((1.0, ""));
        if self == Scale::Linear {
            let digits = (-step.log10()).ceil().clamp(0.0, 12.0) as usize;
            return format!("{value:.digits$}");
        }
        // Four digits are enough for ticks that are a step apart.
        let text = format!("{:.4}", value / size);
        format!("{}{unit}", text.trim_end_matches('0').trim_end_matches('.'))
    }
}

/// Values of the form `mantissa base^n` in a range of places, as dense as `most` allows; `None` where fewer than two
/// fit.
fn powers(base: f64, mantissas: &[&[f64]], range: &Range<f64>, most: usize) -> Option<Vec<f64>> {
    let (first, last) = (range.start.floor() as i32, range.end.ceil() as i32);
    let of = |mantissas: &[f64], every: i32| -> Vec<f64> {
        let exponents = (first..=last).filter(|exponent| exponent.rem_euclid(every) == 0);
        let values = exponents.flat_map(|exponent| mantissas.iter().map(move |m| m * base.powi(exponent)));
        values.filter(|value| range.contains(&(value.ln() / base.ln()))).collect()
    };
    let mut found = (1..).map(|every| of(&[1.0], every)).find(|values| values.len() <= most)?;
    for mantissas in mantissas {
        let denser = of(mantissas, 1);
        // Whole powers are what people count in; more is for axes that would have hardly any.
        if found.len() < 4 && denser.len() <= most {
            found = denser;
        }
    }
    (found.len() > 1).then_some(found)
}

/// Multiples of 1, 2 or 5 times a power of 10.
fn even(range: Range<f64>, scale: Scale, most: usize) -> Vec<f64> {
    let least = match scale {
        Scale::Counts => 1.0,
        Scale::Linear | Scale::Decimal | Scale::Binary => 0.0,
    };
    let rough = ((range.end - range.start) / most as f64).max(least).max(f64::MIN_POSITIVE);
    let power = 10_f64.powf(rough.log10().floor());
    // A little less than the bounds: steps are not exact in binary.
    let step = [1.0, 2.0, 5.0, 10.0].map(|m| m * power).into_iter().find(|step| *step >= rough * (1.0 - 1e-9));
    let step = step.unwrap_or(10.0 * power);
    let (first, last) = ((range.start / step).ceil() as i64, (range.end / step).floor() as i64);
    (first..=last).map(|n| n as f64 * step).collect()
}

#[cfg(test)]
mod tests {
    use super::{Scale, Ticks};

    fn labels(scale: Scale, values: &[f64], most: usize) -> Vec<String> {
        Ticks::new(scale, values.iter().copied(), 0.05, most).labels.into_iter().map(|(_, text)| text).collect()
    }

    #[test]
    fn ticks_are_written_as_people_write_them() {
        use Scale::{Binary, Counts, Decimal, Linear};
        let cases: [(Scale, &[f64], usize, &[&str]); 12] = [
            (Decimal, &[900.0, 12_000.0], 8, &["1k", "2k", "5k", "10k"]),
            (Decimal, &[1.0, 512.0], 8, &["1", "3", "10", "30", "100", "300"]),
            (Decimal, &[50.0, 60e6], 8, &["100", "1k", "10k", "100k", "1M", "10M", "100M"]),
            (Decimal, &[1e-3, 1e9], 8, &["0.01", "1", "100", "10k", "1M", "100M"]),
            (Decimal, &[1000.0, 1100.0], 8, &["800", "1k", "1.2k", "1.4k", "1.6k"]),
            (Decimal, &[4000.0], 8, &["3k", "3.5k", "4k", "4.5k", "5k", "5.5k", "6k"]),
            (
                Binary,
                &[4096.0, 1_048_576.0],
                9,
                &["4Ki", "8Ki", "16Ki", "32Ki", "64Ki", "128Ki", "256Ki", "512Ki", "1Mi"],
            ),
            (Binary, &[4096.0, 1_048_576.0], 8, &["4Ki", "16Ki", "64Ki", "256Ki", "1Mi"]),
            (Binary, &[3908.0], 8, &["3Ki", "3.5Ki", "4Ki", "5Ki"]),
            (Linear, &[0.7884, 0.7974], 6, &["0.788", "0.790", "0.792", "0.794", "0.796"]),
            (Counts, &[1.0, 3.0], 8, &["1", "2", "3"]),
            (Counts, &[1.0, 40.0], 8, &["0", "10", "20", "30", "40"]),
        ];
        for (scale, values, most, expected) in cases {
            assert_eq!(labels(scale, values, most), expected, "{scale:?} {values:?}");
        }
    }

    #[test]
    fn an_axis_has_two_to_the_asked_number_of_ticks_and_no_label_twice() {
        for scale in [Scale::Linear, Scale::Counts, Scale::Decimal, Scale::Binary] {
            for low in [0.4, 1.0, 7.0, 300.0, 12_345.0, 5e6] {
                for share in [1.0, 1.01, 1.3, 2.0, 9.0, 1000.0, 1e7] {
                    let labels = labels(scale, &[low, low * share], 7);
                    let mut once = labels.clone();
                    once.dedup();
                    assert!(labels == once && labels.len() <= 8, "{scale:?} {low} {share}: {labels:?}");
                    assert!(labels.len() > 1 || scale == Scale::Counts, "{scale:?} {low} {share}: {labels:?}");
                }
            }
        }
    }
}
