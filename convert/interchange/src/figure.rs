//! Figures that both programs draw, as SVG text, and what other figures are drawn with.

use plotters::coord::Shift;
use plotters::prelude::*;

use crate::metrics::calibration::Reliability;

const SIZE: (u32, u32) = (520, 460);
/// The font of all text.
pub const FONT: &str = "sans-serif";
/// Colours that stay apart for the colour-blind (Okabe and Ito 2008), and darker ones of the same for more lines.
const COLOURS: [RGBColor; 12] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(230, 159, 0),
    RGBColor(86, 180, 233),
    RGBColor(60, 60, 60),
    RGBColor(148, 103, 189),
    RGBColor(0, 70, 110),
    RGBColor(130, 58, 0),
    RGBColor(0, 96, 70),
    RGBColor(150, 150, 150),
];

/// Why nothing was drawn.
#[derive(Clone, Debug, thiserror::Error)]
#[error("drawing: {0}")]
pub struct DrawError(String);

/// The drawing library's errors borrow what was drawn.
pub fn failed(error: impl std::fmt::Display) -> DrawError {
    DrawError(error.to_string())
}

/// A picture that is being drawn.
pub type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// The colour of line `i`; after twelve they begin again.
pub fn colour(i: usize) -> RGBColor {
    COLOURS[i % COLOURS.len()]
}

/// Draws on an empty picture of a size, in pixels.
///
/// # Errors
/// Those of `draw`.
pub fn svg<E: From<DrawError>>(size: (u32, u32), draw: impl FnOnce(&Area<'_>) -> Result<(), E>) -> Result<String, E> {
    let mut text = String::new();
    let area = SVGBackend::with_string(&mut text, size).into_drawing_area();
    area.fill(&WHITE).map_err(failed)?;
    draw(&area)?;
    area.present().map_err(failed)?;
    drop(area);
    Ok(text)
}

/// Click rate against mean prediction, bin by bin, with two standard errors of the rate up and down: a model whose
/// probabilities are those of clicks lies on the diagonal (DeGroot and Fienberg 1983). One curve for each named model.
///
/// # Errors
/// None but those of the drawing library.
pub fn reliability(title: &str, models: &[(&str, &Reliability)]) -> Result<String, DrawError> {
    let bins = || models.iter().flat_map(|(_, reliability)| reliability.bins());
    let most = bins().map(|bin| bin.mean_prediction().max(bin.click_rate())).fold(0.0, f64::max);
    let end = (most * 1.1).clamp(1e-6, 1.0);
    let draw = |area: &Area<'_>| {
        let mut chart = ChartBuilder::on(area)
            .caption(title, (FONT, 15))
            .margin(10)
            .x_label_area_size(38)
            .y_label_area_size(58)
            .build_cartesian_2d(0.0..end, 0.0..end)
            .map_err(failed)?;
        chart
            .configure_mesh()
            .light_line_style(TRANSPARENT)
            .x_desc("mean prediction")
            .y_desc("click rate")
            .draw()
            .map_err(failed)?;
        let diagonal = LineSeries::new([(0.0, 0.0), (end, end)], BLACK.mix(0.35).stroke_width(1));
        chart.draw_series(diagonal).map_err(failed)?;
        for (i, (name, reliability)) in models.iter().enumerate() {
            let bars = reliability.bins().iter().map(|bin| {
                let (x, rate) = (bin.mean_prediction(), bin.click_rate());
                let two_errors = 2.0 * (rate * (1.0 - rate) / bin.rows as f64).sqrt();
                let ends = [(x, (rate - two_errors).max(0.0)), (x, (rate + two_errors).min(end))];
                PathElement::new(ends, colour(i).mix(0.4))
            });
            chart.draw_series(bars).map_err(failed)?;
            let points = || reliability.bins().iter().map(|bin| (bin.mean_prediction(), bin.click_rate()));
            let dots = points().map(|at| Circle::new(at, 3, colour(i).filled()));
            chart.draw_series(dots).map_err(failed)?;
            let line = chart.draw_series(LineSeries::new(points(), colour(i).stroke_width(2))).map_err(failed)?;
            line.label(*name).legend(move |(x, y)| PathElement::new([(x, y), (x + 14, y)], colour(i).stroke_width(2)));
        }
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::UpperLeft)
            .label_font((FONT, 10))
            .background_style(WHITE.mix(0.8))
            .border_style(BLACK.mix(0.2))
            .draw()
            .map_err(failed)
    };
    svg(SIZE, draw)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn every_bin_is_a_dot_and_names_are_escaped() {
        let labels: Vec<u8> = (0..60).map(|i| u8::from(i % 3 == 0)).collect();
        let logits: Vec<f64> = (0..60).map(|i| f64::from(i) / 20.0 - 3.0).collect();
        let all = Reliability::from_logits(&labels, &logits).unwrap();
        let one = Reliability::from_logits(&labels, &[0.0; 60]).unwrap();
        let svg = reliability("A < B", &[("a & b", &all), ("c", &one)]).unwrap();
        assert_eq!(svg.matches("<circle").count(), 15 + 1, "{svg}");
        assert!(svg.contains("A &lt; B") && svg.contains("a &amp; b"), "{svg}");
        assert!(reliability("no clicks", &[("a", &Reliability::from_logits(&[0], &[-800.0]).unwrap())]).is_ok());
    }
}
