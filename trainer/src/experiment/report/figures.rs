//! Figures, as SVG text. `None` where there is nothing to draw.

use std::ops::Range;

use anyhow::Result;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use xsfm_interchange::figure::{Area, FONT, colour, failed, svg};

use super::tables::by_table;
use super::{Entry, Line};
use crate::bench::Batch;

const SIZE: (u32, u32) = (760, 460);
const SMALL: (u32, u32) = (520, 340);

/// One model in a figure of AUC against a cost.
#[derive(Clone, Debug)]
pub(in crate::experiment) struct Point<'a> {
    /// Models of one table have one colour.
    pub(in crate::experiment) table: &'a str,
    /// Shown where nothing cheaper is as good.
    pub(in crate::experiment) title: &'a str,
    /// More than 0.
    pub(in crate::experiment) cost: f64,
    /// Mean of the seeds.
    pub(in crate::experiment) auc: f64,
    /// Of the seeds from their mean.
    pub(in crate::experiment) deviation: f64,
}

fn points<'a>(lines: &[&'a Line], cost: impl Fn(&Line) -> Option<f64>) -> Vec<Point<'a>> {
    let point = |line: &&'a Line| {
        let deviation = line.auc_deviation.unwrap_or(0.0);
        Some(Point { table: &line.table, title: &line.title, cost: cost(line)?, auc: line.auc, deviation })
    };
    lines.iter().filter_map(point).filter(|point| point.cost > 0.0 && point.auc.is_finite()).collect()
}

/// Those that no other beats in one of cost and AUC without losing in the other, from the cheapest.
pub(in crate::experiment) fn frontier<'p, 'a>(points: &'p [Point<'a>]) -> Vec<&'p Point<'a>> {
    let mut sorted: Vec<&Point<'_>> = points.iter().collect();
    sorted.sort_by(|a, b| a.cost.total_cmp(&b.cost).then(b.auc.total_cmp(&a.auc)));
    let mut best = f64::NEG_INFINITY;
    sorted.retain(|point| {
        point.auc > best && {
            best = point.auc;
            true
        }
    });
    sorted
}

/// Test AUC against the bytes of the packed file.
pub(super) fn auc_by_bytes(lines: &[&Line]) -> Result<Option<String>> {
    scatter("AUC against packed bytes", BYTES, &points(lines, |line| line.packed_bytes.map(|bytes| bytes as f64)))
}

/// Test AUC against the time of a call of one row.
pub(super) fn auc_by_latency(lines: &[&Line]) -> Result<Option<String>> {
    scatter("AUC against the time of one row", ("nanoseconds", plain), &points(lines, |line| line.ns_per_row))
}

/// A little more than the values span.
fn span(values: impl Iterator<Item = f64> + Clone, margin: f64) -> Range<f64> {
    let low = values.clone().fold(f64::INFINITY, f64::min);
    let high = values.fold(f64::NEG_INFINITY, f64::max);
    let margin = ((high - low) * margin).max(low.abs() * 1e-3);
    low - margin..high + margin
}

/// Name of an axis, and how a power of 2 is written on it.
pub(in crate::experiment) type Axis<'a> = (&'a str, fn(f64) -> String);

/// The axis of a file's size.
pub(in crate::experiment) const BYTES: Axis<'static> = ("bytes", binary);

/// AUC against a cost on a logarithmic axis, with the [`frontier`].
pub(in crate::experiment) fn scatter(title: &str, axis: Axis<'_>, points: &[Point<'_>]) -> Result<Option<String>> {
    if points.is_empty() {
        return Ok(None);
    }
    // The axis is drawn in powers of 2, with labels at whole ones.
    let x = span(points.iter().map(|point| point.cost.log2()), 0.08);
    let y = span(points.iter().flat_map(|p| [p.auc - p.deviation, p.auc + p.deviation]), 0.05);
    let draw = |area: &Area<'_>| {
        let mut chart = ChartBuilder::on(area)
            .caption(title, (FONT, 17))
            .margin(10)
            .x_label_area_size(38)
            .y_label_area_size(58)
            .build_cartesian_2d(x.clone(), y)
            .map_err(failed)?;
        chart
            .configure_mesh()
            .light_line_style(TRANSPARENT)
            .x_desc(axis.0)
            .y_desc("AUC")
            .x_label_formatter(&|x| if x.fract() == 0.0 { axis.1(*x) } else { String::new() })
            .y_label_formatter(&|y| format!("{y:.3}"))
            .draw()
            .map_err(failed)?;
        let frontier = frontier(points);
        let line = frontier.iter().map(|point| (point.cost.log2(), point.auc));
        chart.draw_series(LineSeries::new(line, BLACK.mix(0.35).stroke_width(2))).map_err(failed)?;
        for (i, (table, points)) in by_table(points, |point| point.table).into_iter().enumerate() {
            let bars = points.iter().map(|p| {
                let ends = [-1.0, 1.0].map(|side| (p.cost.log2(), p.auc + side * p.deviation));
                PathElement::new(ends, colour(i).mix(0.4))
            });
            chart.draw_series(bars).map_err(failed)?;
            let dots = points.iter().map(|p| Circle::new((p.cost.log2(), p.auc), 4, colour(i).filled()));
            let series = chart.draw_series(dots).map_err(failed)?;
            series.label(table).legend(move |at| Circle::new((at.0 + 8, at.1), 4, colour(i).filled()));
        }
        // Words go to where there is room.
        let middle = (x.start + x.end) / 2.0;
        let style = |side| TextStyle::from((FONT, 11)).pos(Pos::new(side, VPos::Bottom));
        let named = frontier.iter().map(|p| {
            let (side, gap) = if p.cost.log2() > middle { (HPos::Right, -6) } else { (HPos::Left, 6) };
            EmptyElement::at((p.cost.log2(), p.auc)) + Text::new(p.title.to_owned(), (gap, -4), style(side))
        });
        chart.draw_series(named).map_err(failed)?;
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::LowerRight)
            .label_font((FONT, 11))
            .background_style(WHITE.mix(0.8))
            .border_style(BLACK.mix(0.2))
            .draw()
            .map_err(failed)
    };
    Ok(Some(svg(SIZE, draw)?))
}

/// What each value of a setting came to.
#[derive(Clone, Debug)]
pub(in crate::experiment) struct ByValue {
    /// The setting's name.
    pub(in crate::experiment) name: String,
    /// Values in their order, and their AUC.
    pub(in crate::experiment) values: Vec<(String, f64)>,
}

/// AUC by value, a small figure for each setting, all with the same axis of AUC.
pub(in crate::experiment) fn by_value(title: &str, curves: &[ByValue]) -> Result<Option<String>> {
    if curves.is_empty() {
        return Ok(None);
    }
    const COLUMNS: usize = 3;
    let rows = curves.len().div_ceil(COLUMNS);
    let y = span(curves.iter().flat_map(|curve| &curve.values).map(|(_, auc)| *auc), 0.1);
    let draw = |area: &Area<'_>| {
        let area = area.titled(title, (FONT, 17)).map_err(failed)?;
        for (n, (part, curve)) in area.split_evenly((rows, COLUMNS)).iter().zip(curves).enumerate() {
            let last = curve.values.len() as f64 - 0.5;
            let mut chart = ChartBuilder::on(part)
                .caption(&curve.name, (FONT, 13))
                .margin(8)
                .x_label_area_size(30)
                .y_label_area_size(48)
                .build_cartesian_2d(-0.5..last, y.clone())
                .map_err(failed)?;
            let value = |x: &f64| match x.fract() == 0.0 {
                true => curve.values.get(*x as usize).map_or_else(String::new, |(value, _)| value.clone()),
                false => String::new(),
            };
            chart
                .configure_mesh()
                .light_line_style(TRANSPARENT)
                .x_labels(2 * curve.values.len())
                .x_label_formatter(&value)
                .y_label_formatter(&|y| format!("{y:.3}"))
                .label_style((FONT, 10))
                .draw()
                .map_err(failed)?;
            let points = || (0..).map(f64::from).zip(curve.values.iter().map(|(_, auc)| *auc));
            chart.draw_series(LineSeries::new(points(), colour(n).stroke_width(2))).map_err(failed)?;
            chart.draw_series(points().map(|at| Circle::new(at, 3, colour(n).filled()))).map_err(failed)?;
        }
        Ok(())
    };
    Ok(Some(svg((SIZE.0, 40 + 220 * rows as u32), draw)?))
}

/// 10 -> 1024
fn plain(exponent: f64) -> String {
    format!("{:.0}", exponent.exp2())
}

/// 10 -> 1Ki
fn binary(exponent: f64) -> String {
    match exponent {
        e if e >= 20.0 => format!("{:.0}Mi", (e - 20.0).exp2()),
        e if e >= 10.0 => format!("{:.0}Ki", (e - 10.0).exp2()),
        e => plain(e),
    }
}

/// 12345 -> 12.345k
fn si(value: f64) -> String {
    match value {
        v if v >= 1e6 => format!("{:.3}M", v / 1e6).replace(".000", ""),
        v if v >= 1e3 => format!("{:.3}k", v / 1e3).replace(".000", ""),
        v => format!("{v:.0}"),
    }
}

/// Validation LogLoss of a table's rows, by epoch.
pub(super) fn loss_by_epoch(entries: &[Entry]) -> Result<Option<String>> {
    let curve = |entry: &Entry| (1..).map(f64::from).zip(entry.log_losses.iter().copied()).collect();
    lines("Validation LogLoss by epoch, first seed", "epoch", &curves(entries, curve), false)
}

/// Nanoseconds per row of a table's packed models, by rows of a call.
pub(super) fn latency_by_batch(entries: &[Entry]) -> Result<Option<String>> {
    let curves = curves(entries, |entry| by_rows(&entry.batches));
    lines("Nanoseconds per row, by rows of a call", "rows of a call", &curves, true)
}

/// The same of its checkpoints in libtorch.
pub(super) fn libtorch_by_batch(entries: &[Entry]) -> Result<Option<String>> {
    let Some(first) = entries.iter().find_map(|entry| entry.libtorch.as_ref()) else { return Ok(None) };
    let curves = curves(entries, |entry| entry.libtorch.as_ref().map_or(Vec::new(), |l| by_rows(&l.batches)));
    let title = format!("Nanoseconds per row in libtorch on {}", first.device);
    lines(&title, "rows of a call", &curves, true)
}

type Curve = Vec<(f64, f64)>;

fn curves(entries: &[Entry], curve: impl Fn(&Entry) -> Curve) -> Vec<(String, Curve)> {
    entries.iter().map(|entry| (entry.line.title.clone(), curve(entry))).collect()
}

fn by_rows(batches: &[Batch]) -> Curve {
    batches.iter().map(|batch| (f64::from(batch.rows), batch.ns_per_row)).collect()
}

fn lines(title: &str, axis: &str, curves: &[(String, Curve)], logarithmic: bool) -> Result<Option<String>> {
    let all = || curves.iter().flat_map(|(_, curve)| curve.iter().copied());
    if all().next().is_none() {
        return Ok(None);
    }
    // Both axes of a logarithmic figure are drawn as powers of 10.
    let scale = |v: f64| if logarithmic { v.log10() } else { v };
    let x = span(all().map(|(x, _)| scale(x)), 0.02);
    let y = span(all().map(|(_, y)| scale(y)), 0.05);
    let shown = |v: &f64, digits: usize| if logarithmic { si(10_f64.powf(*v)) } else { format!("{v:.digits$}") };
    let draw = |area: &Area<'_>| {
        let mut chart = ChartBuilder::on(area)
            .caption(title, (FONT, 15))
            .margin(8)
            .x_label_area_size(36)
            .y_label_area_size(52)
            .build_cartesian_2d(x, y)
            .map_err(failed)?;
        chart
            .configure_mesh()
            .light_line_style(TRANSPARENT)
            .x_desc(axis)
            .x_label_formatter(&|v| shown(v, 0))
            .y_label_formatter(&|v| shown(v, 3))
            .draw()
            .map_err(failed)?;
        for (i, (name, curve)) in curves.iter().enumerate().filter(|(_, (_, curve))| !curve.is_empty()) {
            let scaled = curve.iter().map(|&(x, y)| (scale(x), scale(y)));
            let series = chart.draw_series(LineSeries::new(scaled, colour(i).stroke_width(2))).map_err(failed)?;
            series.label(name).legend(move |(x, y)| PathElement::new([(x, y), (x + 14, y)], colour(i).stroke_width(2)));
        }
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::UpperRight)
            .label_font((FONT, 10))
            .background_style(WHITE.mix(0.8))
            .border_style(BLACK.mix(0.2))
            .draw()
            .map_err(failed)
    };
    Ok(Some(svg(SMALL, draw)?))
}

/// values `[names, names]` as colours: blue below 0, red above.
pub(super) fn heat_map(title: &str, names: &[&str], values: &[f64]) -> Result<String> {
    let n = names.len();
    let off_diagonal = |i: usize, j: usize| if i == j { 0.0 } else { values[i * n + j] };
    let most = (0..n * n).map(|at| off_diagonal(at / n, at % n).abs()).fold(f64::MIN_POSITIVE, f64::max);
    let count = i32::try_from(n)?;
    let label = |i: &i32| usize::try_from(*i).ok().and_then(|i| names.get(i)).copied().unwrap_or_default().to_owned();
    let draw = |area: &Area<'_>| {
        let mut chart = ChartBuilder::on(area)
            .caption(format!("{title} (largest {most:.3})"), (FONT, 17))
            .margin(10)
            .x_label_area_size(38)
            .y_label_area_size(110)
            .build_cartesian_2d((0..count - 1).into_segmented(), (0..count - 1).into_segmented())
            .map_err(failed)?;
        let name = |at: &SegmentValue<i32>| match at {
            SegmentValue::CenterOf(i) | SegmentValue::Exact(i) => label(i),
            SegmentValue::Last => String::new(),
        };
        chart
            .configure_mesh()
            .disable_mesh()
            .x_labels(n.min(40))
            .y_labels(n.min(40))
            .x_label_formatter(&name)
            .y_label_formatter(&name)
            .draw()
            .map_err(failed)?;
        let cells = (0..count).flat_map(|i| (0..count).map(move |j| (i, j)));
        let rectangles = cells.map(|(i, j)| {
            let share = off_diagonal(i.unsigned_abs() as usize, j.unsigned_abs() as usize) / most;
            // 255 where there is nothing, less of the other colours the larger the value.
            let faded = (255.0 * (1.0 - share.abs())) as u8;
            let fill = if share < 0.0 { RGBColor(faded, faded, 255) } else { RGBColor(255, faded, faded) };
            let corner = SegmentValue::Exact;
            Rectangle::new([(corner(i), corner(j)), (corner(i + 1), corner(j + 1))], fill.filled())
        });
        chart.draw_series(rectangles).map_err(failed)?;
        Ok(())
    };
    Ok(svg(SIZE, draw)?)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn point(cost: f64, auc: f64) -> Point<'static> {
        Point { table: "t", title: "", cost, auc, deviation: 0.0 }
    }

    #[test]
    fn the_frontier_has_what_nothing_cheaper_reaches() {
        let points =
            [point(4.0, 0.7), point(1.0, 0.5), point(2.0, 0.5), point(3.0, 0.8), point(1.0, 0.4), point(9.0, 0.9)];
        let found: Vec<(f64, f64)> = frontier(&points).iter().map(|p| (p.cost, p.auc)).collect();
        assert_eq!(found, [(1.0, 0.5), (3.0, 0.8), (9.0, 0.9)]);
    }

    #[test]
    fn text_in_figures_is_escaped_and_nothing_to_draw_is_none() {
        let named = Point { title: "<a> & b", ..point(1.0, 0.5) };
        let svg = scatter("A < B", BYTES, &[named, point(2.0, 0.6)]).unwrap().unwrap();
        assert!(svg.contains("A &lt; B") && svg.contains("&lt;a&gt; &amp; b") && !svg.contains("<a>"), "{svg}");
        assert_eq!(scatter("t", BYTES, &[]).unwrap(), None);
        assert_eq!(lines("t", "x", &[("empty".to_owned(), vec![])], true).unwrap(), None);
    }

    #[test]
    fn a_heat_map_has_a_cell_for_every_pair() {
        let svg = heat_map("m", &["a", "b", "c"], &[9.0, -1.0, 0.0, -1.0, 9.0, 0.5, 0.0, 0.5, 9.0]).unwrap();
        assert_eq!(svg.matches("#0000FF").count(), 2, "the smallest value, twice");
        assert_eq!(svg.matches("#FF7F7F").count(), 2, "half of the largest");
    }
}
