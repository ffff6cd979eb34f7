//! The field matrix as colours, with their scale.

use anyhow::Result;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::canvas::{Area, FONT, failed, svg};
use super::ticks::{Scale, Ticks};

/// A cell is at least so wide that the name of its field fits, and few are not larger than that.
const CELL: [i32; 2] = [13, 48];
/// Side of the matrix, where cells may choose.
const SIDE: i32 = 380;
const LETTER: f64 = 6.0;
const MARGIN: i32 = 12;
const TITLE: i32 = 36;
const BAR: i32 = 16;
/// Room for the numbers of the bar.
const NUMBERS: i32 = 60;
/// Stripes of the bar: odd, so that one is nothing.
const STRIPES: i32 = 65;

/// values `[names, names]` as colours: blue below 0, red above.
pub(crate) fn heat_map(title: &str, names: &[&str], values: &[f64]) -> Result<String> {
    let n = names.len();
    let off_diagonal = |i: usize, j: usize| if i == j { 0.0 } else { values[i * n + j] };
    let most = (0..n * n).map(|at| off_diagonal(at / n, at % n).abs()).fold(0.0, f64::max);
    let most = if most > 0.0 { most } else { 1.0 };
    let count = i32::try_from(n)?;
    let cell = (SIDE / count.max(1)).clamp(CELL[0], CELL[1]);
    let side = cell * count;
    let longest = names.iter().map(|name| name.chars().count()).max().unwrap_or(0);
    let words = 8 + (longest as f64 * LETTER).ceil() as i32;
    let (left, top) = (MARGIN + words, TITLE);
    let titled = (title.chars().count() as f64 * 9.0) as i32 + 2 * MARGIN;
    let width = (left + side + 2 * MARGIN + BAR + NUMBERS).max(titled);
    let size = (width.unsigned_abs(), (top + side + words + MARGIN).unsigned_abs());
    let draw = |area: &Area<'_>| {
        let heading = TextStyle::from((FONT, 17)).pos(Pos::new(HPos::Center, VPos::Center));
        area.draw(&Text::new(title, (width / 2, TITLE / 2), heading)).map_err(failed)?;
        let name = TextStyle::from((FONT, 11)).pos(Pos::new(HPos::Right, VPos::Center));
        for ((i, text), y) in names.iter().enumerate().zip((0..).step_by(cell.unsigned_abs() as usize)) {
            let middle = y + cell / 2;
            area.draw(&Text::new(*text, (left - 5, top + middle), name.clone())).map_err(failed)?;
            let upright = name.transform(FontTransform::Rotate270);
            area.draw(&Text::new(*text, (left + middle, top + side + 5), upright)).map_err(failed)?;
            for (j, x) in (0..n).zip((0..).step_by(cell.unsigned_abs() as usize)) {
                let corner = (left + x, top + y);
                let ends = [corner, (corner.0 + cell, corner.1 + cell)];
                area.draw(&Rectangle::new(ends, shade(off_diagonal(i, j) / most).filled())).map_err(failed)?;
            }
        }
        let edge = BLACK.mix(0.3);
        area.draw(&Rectangle::new([(left, top), (left + side, top + side)], edge)).map_err(failed)?;
        bar(area, (left + side + 2 * MARGIN, top), side.max(90), most)
    };
    svg(size, draw)
}

/// The colours from `-most` at the bottom to `most`, with their numbers to the right.
fn bar(area: &Area<'_>, (left, top): (i32, i32), height: i32, most: f64) -> Result<()> {
    let y = |value: f64| top + ((1.0 - value / most) / 2.0 * f64::from(height)).round() as i32;
    for stripe in 0..STRIPES {
        let end = |stripe: i32| 1.0 - 2.0 * f64::from(stripe) / f64::from(STRIPES);
        let (upper, lower) = (end(stripe), end(stripe + 1));
        let ends = [(left, y(upper * most)), (left + BAR, y(lower * most))];
        area.draw(&Rectangle::new(ends, shade((upper + lower) / 2.0).filled())).map_err(failed)?;
    }
    area.draw(&Rectangle::new([(left, top), (left + BAR, top + height)], BLACK.mix(0.3))).map_err(failed)?;
    let style = TextStyle::from((FONT, 11)).pos(Pos::new(HPos::Left, VPos::Center));
    for (value, text) in Ticks::within(Scale::Linear, -most..most, 8).labels {
        let tick = [(left + BAR, y(value)), (left + BAR + 4, y(value))];
        area.draw(&PathElement::new(tick, BLACK)).map_err(failed)?;
        area.draw(&Text::new(text, (left + BAR + 7, y(value)), style.clone())).map_err(failed)?;
    }
    Ok(())
}

/// -1 is blue, 0 white, 1 red.
fn shade(share: f64) -> RGBColor {
    let faded = (255.0 * (1.0 - share.abs().min(1.0))) as u8;
    if share < 0.0 { RGBColor(faded, faded, 255) } else { RGBColor(255, faded, faded) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::heat_map;

    #[test]
    fn a_heat_map_has_a_cell_for_every_pair_and_a_scale_with_numbers() {
        let svg = heat_map("m", &["a", "b", "c"], &[9.0, -1.0, 0.0, -1.0, 9.0, 0.5, 0.0, 0.5, 9.0]).unwrap();
        assert_eq!(svg.matches("#0000FF").count(), 2, "the smallest value, twice");
        assert_eq!(svg.matches("#FF7F7F").count(), 2, "half of the largest");
        let words: Vec<&str> = svg.lines().map(str::trim).collect();
        assert!(["-1.0", "-0.5", "0.0", "0.5", "1.0"].iter().all(|number| words.contains(number)), "{words:?}");
        let small = heat_map("m", &["a", "b"], &[0.0, 0.031, 0.031, 0.0]).unwrap();
        assert!(small.lines().any(|line| line.trim() == "0.03"), "{small}");
    }

    #[test]
    fn nothing_but_zeros_and_one_field_are_drawn() {
        assert!(heat_map("m", &["a", "b"], &[0.0; 4]).unwrap().contains("</svg>"));
        assert!(heat_map("m", &["a"], &[1.0]).unwrap().contains("</svg>"));
    }
}
