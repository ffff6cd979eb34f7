//! Curves: of epochs, of rows of a call, of the values of a setting.

use anyhow::Result;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::canvas::{Area, FONT, Mark, colour, failed, svg, with_legend};
use super::ticks::{Scale, Ticks};
use crate::bench::Batch;
use crate::experiment::report::entry::Entry;

const SIZE: (u32, u32) = (440, 320);

/// Validation LogLoss of a table's rows, by epoch.
pub(crate) fn loss_by_epoch(entries: &[Entry]) -> Result<Option<String>> {
    let curve = |entry: &Entry| (1..).map(f64::from).zip(entry.log_losses.iter().copied()).collect();
    let scales = [Scale::Counts, Scale::Linear];
    lines("Validation LogLoss by epoch, first seed", "epoch", &curves(entries, curve), scales)
}

/// Nanoseconds per row of a table's packed models, by rows of a call.
pub(crate) fn latency_by_batch(entries: &[Entry]) -> Result<Option<String>> {
    let curves = curves(entries, |entry| by_rows(&entry.batches));
    lines("Nanoseconds per row, by rows of a call", "rows of a call", &curves, [Scale::Decimal; 2])
}

/// The same of its checkpoints in libtorch.
pub(crate) fn libtorch_by_batch(entries: &[Entry]) -> Result<Option<String>> {
    let Some(first) = entries.iter().find_map(|entry| entry.libtorch.as_ref()) else { return Ok(None) };
    let curves = curves(entries, |entry| entry.libtorch.as_ref().map_or(Vec::new(), |l| by_rows(&l.batches)));
    let title = format!("Nanoseconds per row in libtorch on {}", first.device);
    lines(&title, "rows of a call", &curves, [Scale::Decimal; 2])
}

type Curve = Vec<(f64, f64)>;

fn curves(entries: &[Entry], curve: impl Fn(&Entry) -> Curve) -> Vec<(String, Curve)> {
    entries.iter().map(|entry| (entry.line.title.clone(), curve(entry))).collect()
}

fn by_rows(batches: &[Batch]) -> Curve {
    batches.iter().map(|batch| (f64::from(batch.rows), batch.ns_per_row)).collect()
}

/// `scales`: of x and of y.
fn lines(title: &str, axis: &str, curves: &[(String, Curve)], scales: [Scale; 2]) -> Result<Option<String>> {
    let all = || curves.iter().flat_map(|(_, curve)| curve.iter().copied());
    if all().next().is_none() {
        return Ok(None);
    }
    let x = Ticks::new(scales[0], all().map(|(x, _)| x), 0.02, 7);
    let y = Ticks::new(scales[1], all().map(|(_, y)| y), 0.05, 7);
    let drawn = || curves.iter().filter(|(_, curve)| !curve.is_empty()).enumerate();
    let legend: Vec<(Mark, &str)> = drawn().map(|(i, (name, _))| (Mark::Line(colour(i)), name.as_str())).collect();
    let draw = |area: &Area<'_>| {
        let mut chart = ChartBuilder::on(area)
            .caption(title, (FONT, 15))
            .margin(8)
            .x_label_area_size(36)
            .y_label_area_size(52)
            .build_cartesian_2d(x.clone(), y.clone())
            .map_err(failed)?;
        chart.configure_mesh().x_desc(axis).draw().map_err(failed)?;
        for (i, (_, curve)) in drawn() {
            let places = || curve.iter().map(|&(x, y)| (scales[0].place(x), scales[1].place(y)));
            chart.draw_series(LineSeries::new(places(), colour(i).stroke_width(2))).map_err(failed)?;
            // A curve of one value would not be seen.
            chart.draw_series(places().map(|at| Circle::new(at, 2, colour(i).filled()))).map_err(failed)?;
        }
        Ok(())
    };
    with_legend(SIZE, &legend, draw).map(Some)
}

/// What each value of a setting came to.
#[derive(Clone, Debug)]
pub(crate) struct ByValue {
    /// The setting's name.
    pub(crate) name: String,
    /// Values in their order, and their AUC.
    pub(crate) values: Vec<(String, f64)>,
}

/// AUC by value, a small figure for each setting, all with the same axis of AUC.
pub(crate) fn by_value(title: &str, curves: &[ByValue]) -> Result<Option<String>> {
    if curves.iter().all(|curve| curve.values.is_empty()) {
        return Ok(None);
    }
    const COLUMNS: usize = 3;
    const WIDTH: u32 = 260;
    const LETTER: usize = 6;
    let rows = curves.len().div_ceil(COLUMNS);
    let y = Ticks::new(Scale::Linear, curves.iter().flat_map(|curve| &curve.values).map(|(_, auc)| *auc), 0.1, 7);
    // Values that are too long to stand side by side stand upright.
    let letters = |curve: &ByValue| curve.values.iter().map(|(value, _)| value.chars().count()).max().unwrap_or(0);
    let is_upright = |curve: &ByValue| (letters(curve) + 1) * LETTER * curve.values.len() > WIDTH as usize - 64;
    let longest = curves.iter().filter(|curve| is_upright(curve)).map(letters).max().unwrap_or(0);
    let words = 24_u32.max(12 + u32::try_from(longest * LETTER)?);
    let draw = |area: &Area<'_>| {
        let area = area.titled(title, (FONT, 17)).map_err(failed)?;
        for (n, (part, curve)) in area.split_evenly((rows, COLUMNS)).iter().zip(curves).enumerate() {
            let places = || (0..).map(f64::from);
            // Upright ones are drawn below: the drawing library would centre them on the axis.
            let beside = |value: &String| if is_upright(curve) { String::new() } else { value.clone() };
            let labels = places().zip(curve.values.iter().map(|(value, _)| beside(value))).collect();
            let x = Ticks { range: -0.5..curve.values.len() as f64 - 0.5, labels };
            let mut chart = ChartBuilder::on(part)
                .caption(&curve.name, (FONT, 13))
                .margin(8)
                .x_label_area_size(words)
                .y_label_area_size(52)
                .build_cartesian_2d(x, y.clone())
                .map_err(failed)?;
            let style = TextStyle::from((FONT, 10));
            chart.configure_mesh().label_style(style.clone()).draw().map_err(failed)?;
            if is_upright(curve) {
                let upright = style.transform(FontTransform::Rotate270).pos(Pos::new(HPos::Right, VPos::Center));
                let words = places().zip(&curve.values).map(|(place, (value, _))| {
                    EmptyElement::at((place, y.range.start)) + Text::new(value.clone(), (0, 7), upright.clone())
                });
                chart.draw_series(words).map_err(failed)?;
            }
            let points = || places().zip(curve.values.iter().map(|(_, auc)| *auc));
            chart.draw_series(LineSeries::new(points(), colour(n).stroke_width(2))).map_err(failed)?;
            chart.draw_series(points().map(|at| Circle::new(at, 3, colour(n).filled()))).map_err(failed)?;
        }
        Ok(())
    };
    svg((WIDTH * COLUMNS as u32, 40 + (190 + words) * rows as u32), draw).map(Some)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn the_legend_is_beside_the_plot_and_ticks_are_round() {
        let curve: Curve = vec![(1.0, 800.0), (8.0, 300.0), (512.0, 90.0)];
        let curves: Vec<(String, Curve)> = (0..30).map(|i| (format!("named {i}"), curve.clone())).collect();
        let svg = lines("t", "x", &curves, [Scale::Decimal; 2]).unwrap().unwrap();
        super::super::legend::check_legend(&svg, SIZE.0, "named");
        let words: Vec<&str> = svg.lines().map(str::trim).collect();
        assert!(["1", "10", "100", "500"].iter().all(|tick| words.contains(tick)), "{words:?}");
        assert_eq!(lines("t", "x", &[("empty".to_owned(), vec![])], [Scale::Decimal; 2]).unwrap(), None);
    }

    #[test]
    fn every_value_of_a_setting_is_written_once() {
        let values = ["none", "64,64", "400,400", "400,400,400"].map(|value| (value.to_owned(), 0.8));
        let curve = ByValue { name: "hidden".to_owned(), values: values.to_vec() };
        let svg = by_value("t", &[curve]).unwrap().unwrap();
        for (value, _) in values {
            assert_eq!(svg.lines().filter(|line| line.trim() == value).count(), 1, "{value}");
        }
    }
}
