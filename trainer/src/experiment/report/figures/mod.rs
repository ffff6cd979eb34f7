//! Figures, as SVG text. `None` where there is nothing to draw.
//!
//! | module | draws |
//! |---|---|
//! | `ticks` | nothing: where axes have numbers, and how those are written |
//! | `canvas` | a picture, and the legend beside a plot |
//! | `scatter` | AUC against a cost, and the frontier |
//! | `curves` | values by epoch, by rows of a call, by the value of a setting |
//! | `heat_map` | the field matrix, with the scale of its colours |

mod canvas;
mod curves;
mod heat_map;
#[cfg(test)]
mod legend;
mod scatter;
mod ticks;

pub(crate) use self::curves::{ByValue, by_value};
pub(super) use self::curves::{latency_by_batch, libtorch_by_batch, loss_by_epoch};
pub(super) use self::heat_map::heat_map;
pub(crate) use self::scatter::{BYTES, Point, frontier, scatter};
pub(super) use self::scatter::{auc_by_bytes, auc_by_latency};

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn text_in_figures_is_escaped_and_nothing_to_draw_is_none() {
        let named = Point { table: "t", title: "<a> & b", cost: 1.0, auc: 0.5, deviation: 0.0 };
        let other = Point { title: "", cost: 2.0, auc: 0.6, ..named.clone() };
        let svg = scatter("A < B", BYTES, &[named, other]).unwrap().unwrap();
        assert!(svg.contains("A &lt; B") && svg.contains("&lt;a&gt; &amp; b") && !svg.contains("<a>"), "{svg}");
        assert_eq!(scatter("t", BYTES, &[]).unwrap(), None);
        assert_eq!(by_value("t", &[]).unwrap(), None);
    }
}
