//! AUC against a cost, and the frontier.

use anyhow::Result;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::canvas::{Area, FONT, Mark, colour, failed, with_legend};
use super::ticks::{Scale, Ticks};
use crate::experiment::report::entry::Line;
use crate::experiment::report::tables::by_table;

const SIZE: (u32, u32) = (640, 460);

/// One model in a figure of AUC against a cost.
#[derive(Clone, Debug)]
pub(crate) struct Point<'a> {
    /// Models of one table have one colour.
    pub(crate) table: &'a str,
    /// Shown where nothing cheaper is as good.
    pub(crate) title: &'a str,
    /// More than 0.
    pub(crate) cost: f64,
    /// Mean of the seeds.
    pub(crate) auc: f64,
    /// Of the seeds from their mean.
    pub(crate) deviation: f64,
}

fn points<'a>(lines: &[&'a Line], cost: impl Fn(&Line) -> Option<f64>) -> Vec<Point<'a>> {
    let point = |line: &&'a Line| {
        let deviation = line.auc_deviation.unwrap_or(0.0);
        Some(Point { table: &line.table, title: &line.title, cost: cost(line)?, auc: line.auc, deviation })
    };
    lines.iter().filter_map(point).filter(|point| point.cost > 0.0 && point.auc.is_finite()).collect()
}

/// Those that no other beats in one of cost and AUC without losing in the other, from the cheapest.
pub(crate) fn frontier<'p, 'a>(points: &'p [Point<'a>]) -> Vec<&'p Point<'a>> {
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

/// Test AUC against the bytes of the packed file, with its vocabulary where all are known so.
pub(crate) fn auc_by_bytes(lines: &[&Line]) -> Result<Option<String>> {
    let are_known = lines.iter().all(|line| line.packed_bytes.is_none() || line.deployed_bytes.is_some());
    let (title, of): (_, fn(&Line) -> Option<u64>) = match are_known {
        true => ("AUC against deployed bytes", |line| line.deployed_bytes),
        false => ("AUC against packed bytes without vocabulary", |line| line.packed_bytes),
    };
    scatter(title, BYTES, &points(lines, |line| of(line).map(|bytes| bytes as f64)))
}

/// Test AUC against the time of a call of one row.
pub(crate) fn auc_by_latency(lines: &[&Line]) -> Result<Option<String>> {
    let axis = ("nanoseconds", Scale::Decimal);
    scatter("AUC against the time of one row", axis, &points(lines, |line| line.ns_per_row))
}

/// Name of an axis of costs, and how they lie on it.
pub(crate) type Axis<'a> = (&'a str, Scale);

/// The axis of a file's size.
pub(crate) const BYTES: Axis<'static> = ("bytes", Scale::Binary);

/// AUC against a cost on a logarithmic axis, with the [`frontier`]: the AUC that is to be had at each cost.
pub(crate) fn scatter(title: &str, axis: Axis<'_>, points: &[Point<'_>]) -> Result<Option<String>> {
    if points.is_empty() {
        return Ok(None);
    }
    let x = Ticks::new(axis.1, points.iter().map(|point| point.cost), 0.08, 9);
    let y = Ticks::new(Scale::Linear, points.iter().flat_map(|p| [p.auc - p.deviation, p.auc + p.deviation]), 0.06, 8);
    let place = |point: &Point<'_>| (axis.1.place(point.cost), point.auc);
    let frontier = frontier(points);
    let tables = by_table(points, |point| point.table);
    let mut legend: Vec<(Mark, &str)> =
        tables.iter().enumerate().map(|(i, (table, _))| (Mark::Dot(colour(i)), *table)).collect();
    legend.extend([(Mark::None, ""), (Mark::None, "Best at their cost:")]);
    legend.extend(frontier.iter().enumerate().map(|(n, point)| (Mark::Number(n + 1), point.title)));
    let draw = |area: &Area<'_>| {
        let mut chart = ChartBuilder::on(area)
            .caption(title, (FONT, 17))
            .margin(10)
            .x_label_area_size(38)
            .y_label_area_size(58)
            .build_cartesian_2d(x.clone(), y.clone())
            .map_err(failed)?;
        chart.configure_mesh().x_desc(axis.0).y_desc("AUC").draw().map_err(failed)?;
        chart
            .draw_series([PathElement::new(steps(&frontier, place, x.range.end), FRONTIER.stroke_width(2))])
            .map_err(failed)?;
        for (i, (_, points)) in tables.iter().enumerate() {
            let bars = points.iter().map(|p| {
                let ends = [-1.0, 1.0].map(|side| (place(p).0, p.auc + side * p.deviation));
                PathElement::new(ends, colour(i).mix(0.4))
            });
            chart.draw_series(bars).map_err(failed)?;
            chart.draw_series(points.iter().map(|p| Circle::new(place(p), 4, colour(i).filled()))).map_err(failed)?;
        }
        let style = TextStyle::from((FONT, 11)).pos(Pos::new(HPos::Right, VPos::Bottom));
        let numbers = frontier
            .iter()
            .enumerate()
            .map(|(n, p)| EmptyElement::at(place(p)) + Text::new((n + 1).to_string(), (-5, -4), style.clone()));
        chart.draw_series(numbers).map_err(failed)?;
        Ok(())
    };
    with_legend(SIZE, &legend, draw).map(Some)
}

const FRONTIER: RGBColor = RGBColor(160, 160, 160);

/// Between two models there is only the cheaper one to be had; whoever can pay more than the last has the last.
fn steps(frontier: &[&Point<'_>], place: impl Fn(&Point<'_>) -> (f64, f64), end: f64) -> Vec<(f64, f64)> {
    let next = frontier.iter().skip(1).map(|point| place(point).0).chain([end]);
    frontier.iter().zip(next).flat_map(|(point, next)| [place(point), (next, point.auc)]).collect()
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
        let steps = steps(&frontier(&points), |p| (p.cost, p.auc), 10.0);
        assert_eq!(steps, [(1.0, 0.5), (3.0, 0.5), (3.0, 0.8), (9.0, 0.8), (9.0, 0.9), (10.0, 0.9)]);
    }

    /// The numbers of an attribute's pairs, `x,y x,y`.
    fn frontier_line(svg: &str) -> Vec<(f64, f64)> {
        let line = svg.lines().find(|line| line.contains("polyline") && line.contains("#A0A0A0")).unwrap();
        let points = line.split("points=\"").nth(1).unwrap().split('"').next().unwrap();
        let number = |text: &str| text.parse::<f64>().unwrap();
        points
            .split_whitespace()
            .map(|pair| pair.split_once(',').unwrap())
            .map(|(x, y)| (number(x), number(y)))
            .collect()
    }

    #[test]
    fn the_frontier_of_one_point_is_a_line_that_is_seen() {
        let svg = scatter("t", BYTES, &[point(3908.0, 0.79)]).unwrap().unwrap();
        let line = frontier_line(&svg);
        let (first, last) = (line[0], line[line.len() - 1]);
        assert!(last.0 - first.0 > 100.0 && last.1 == first.1, "{line:?}");
    }

    #[test]
    fn the_legend_is_beside_the_plot_whatever_is_in_it() {
        let names: Vec<String> =
            (0..40).map(|i| format!("a table with a long name, which is number {i} of them")).collect();
        for count in [1, 40] {
            let point =
                |(i, name): (usize, &'static str)| Point { table: name, title: name, ..point(i as f64 + 1.0, 0.5) };
            let names: Vec<&'static str> = names[..count].iter().map(|name| &*name.clone().leak()).collect();
            let points: Vec<Point<'_>> = names.iter().copied().enumerate().map(point).collect();
            let svg = scatter("t", BYTES, &points).unwrap().unwrap();
            super::super::legend::check_legend(&svg, SIZE.0, "a table with a long name");
        }
    }
}
