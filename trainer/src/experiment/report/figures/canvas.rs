//! A picture with a plot, and the legend beside it.

use anyhow::Result;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use xsfm_interchange::figure;
pub(super) use xsfm_interchange::figure::{Area, FONT, colour, svg};

/// Size of words in a legend, and how wide one of its letters is at most on average.
const WORDS: i32 = 11;
const LETTER: f64 = 6.3;
/// Longer lines of a legend are wrapped.
const LINE_LETTERS: usize = 44;
const LINE_HEIGHT: i32 = 15;
/// From the legend's edge to its words.
const INDENT: i32 = 26;
const MARGIN: i32 = 10;

/// The drawing library's errors borrow what was drawn.
pub(super) fn failed(error: impl std::fmt::Display) -> anyhow::Error {
    figure::failed(error).into()
}

/// What stands for something in a plot.
#[derive(Clone, Debug)]
pub(super) enum Mark {
    Dot(RGBColor),
    Line(RGBColor),
    /// The number that the plot has in its place.
    Number(usize),
    /// A heading.
    None,
}

/// Draws a plot of a size, and a legend to the right of it; the picture is as much wider as the legend takes, and
/// higher where it must be.
pub(super) fn with_legend(
    size: (u32, u32),
    legend: &[(Mark, &str)],
    draw: impl FnOnce(&Area<'_>) -> Result<()>,
) -> Result<String> {
    let entries: Vec<(&Mark, Vec<String>)> = legend.iter().map(|(mark, text)| (mark, wrapped(text))).collect();
    let lines = || entries.iter().flat_map(|(_, lines)| lines);
    let letters = lines().map(|line| line.chars().count()).max().unwrap_or(0);
    let width = INDENT + (letters as f64 * LETTER).ceil() as i32 + MARGIN;
    let height = 2 * MARGIN + LINE_HEIGHT * i32::try_from(lines().count())?;
    let whole = (size.0 + width.unsigned_abs(), size.1.max(height.unsigned_abs()));
    svg(whole, |area| {
        let (left, side) = area.split_horizontally(size.0);
        draw(&left.split_vertically(size.1).0)?;
        // From the top of the plot, below its title, where there is room for that.
        let mut y = (whole.1.cast_signed() - height).min(3 * MARGIN) + MARGIN;
        let style = TextStyle::from((FONT, WORDS)).pos(Pos::new(HPos::Left, VPos::Center));
        for (mark, lines) in &entries {
            let middle = y + LINE_HEIGHT / 2;
            match mark {
                Mark::Dot(colour) => side.draw(&Circle::new((INDENT / 2, middle), 4, colour.filled())),
                Mark::Line(colour) => {
                    let ends = [(4, middle), (INDENT - 6, middle)];
                    side.draw(&PathElement::new(ends, colour.stroke_width(2)))
                }
                Mark::Number(n) => {
                    let right = style.clone().pos(Pos::new(HPos::Right, VPos::Center));
                    side.draw(&Text::new(n.to_string(), (INDENT - 6, middle), right))
                }
                Mark::None => Ok(()),
            }
            .map_err(failed)?;
            let x = if matches!(mark, Mark::None) { 4 } else { INDENT };
            for line in lines {
                side.draw(&Text::new(line.clone(), (x, y + LINE_HEIGHT / 2), style.clone())).map_err(failed)?;
                y += LINE_HEIGHT;
            }
        }
        Ok(())
    })
}

/// Lines of at most [`LINE_LETTERS`], broken at spaces where there are any.
fn wrapped(text: &str) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let letters: Vec<char> = word.chars().collect();
        for (n, piece) in letters.chunks(LINE_LETTERS).enumerate() {
            let line = lines.last_mut().filter(|line| {
                let gap = usize::from(!line.is_empty());
                n == 0 && line.chars().count() + gap + piece.len() <= LINE_LETTERS
            });
            let piece = piece.iter().collect::<String>();
            match line {
                Some(line) if line.is_empty() => *line = piece,
                Some(line) => *line = format!("{line} {piece}"),
                None => lines.push(piece),
            }
        }
    }
    lines.retain(|line| !line.is_empty());
    lines
}

#[cfg(test)]
mod tests {
    use super::wrapped;

    #[test]
    fn long_lines_are_wrapped_at_spaces_and_long_words_anywhere() {
        assert_eq!(wrapped("DeepFwFM 64"), ["DeepFwFM 64"]);
        let title = "DeepFwFM 32-32, embed_dim 16, QR 2, int4 tables, minimum count 10";
        assert_eq!(wrapped(title), ["DeepFwFM 32-32, embed_dim 16, QR 2, int4", "tables, minimum count 10"]);
        assert_eq!(wrapped(&"x".repeat(50)), ["x".repeat(44), "x".repeat(6)]);
    }
}
