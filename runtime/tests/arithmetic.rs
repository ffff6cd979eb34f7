//! The arithmetic and the layouts that writers of files share with the runtime.

use xsfm_runtime::format::Layout;
use xsfm_runtime::format::layout::Weight;
use xsfm_runtime::quant::{requantize, sigmoid};

#[test]
fn requantize_rounds_to_nearest_with_ties_up() {
    let half = 1 << 31;
    for (acc, multiplier, expected) in
        [(1, i32::MAX, 0), (3, 1 << 30, 1), (2, 1 << 30, 1), (-2, 1 << 30, 0), (-3, 1 << 30, -1), (-6, 1 << 30, -1)]
    {
        assert_eq!(requantize(acc, multiplier), expected, "{acc} * {multiplier}");
        let exact = (i128::from(acc) * i128::from(multiplier) + half).div_euclid(1 << 32);
        assert_eq!(i128::from(expected), exact);
    }
    assert_eq!(requantize(i32::MIN, i32::MAX), -1_073_741_824 + 1);
}

#[test]
fn sigmoid_is_close_and_symmetric_at_the_ends() {
    assert_eq!(sigmoid(0.0), 0.5);
    assert_eq!(sigmoid(200.0), 1.0);
    assert_eq!(sigmoid(-200.0), sigmoid(-87.0));
    assert!(sigmoid(-200.0) >= f32::MIN_POSITIVE);
    for step in -86_999..=86_999 {
        let x = step as f32 * 1e-3;
        let exact = 1.0 / (1.0 + (-f64::from(x)).exp());
        let error = (f64::from(sigmoid(x)) - exact).abs() / exact;
        assert!(error < 5e-7, "sigmoid({x}) is off by {error:e}");
    }
}

#[test]
fn what_is_laid_is_read() {
    for layout in Layout::ALL {
        for (inputs, outputs) in [(1, 1), (5, 3), (8, 4), (17, 18), (33, 5)] {
            let number = |n: usize| (n * 89 % 255) as i8;
            let rows: Vec<i8> = (0..inputs * outputs).map(number).map(|w| w.max(-127)).collect();
            let mut laid = vec![0; layout.weights::<i8>(inputs, outputs)];
            layout.lay(&rows, inputs, &mut laid);
            let mut set = vec![0; laid.len()];
            // Backwards, so that an odd one is there before its even one.
            for at in (0..rows.len()).rev() {
                layout.set(&mut set, inputs, at / inputs, at % inputs, rows[at]);
            }
            assert_eq!(set, laid, "{layout:?}");
            for (at, &weight) in rows.iter().enumerate() {
                assert_eq!(layout.weight(&laid, inputs, at / inputs, at % inputs), weight, "{layout:?}");
            }
            let padding: i32 = (0..layout.channels(outputs))
                .flat_map(|o| (0..layout.inputs::<i8>(inputs)).map(move |i| (o, i)))
                .filter(|&(o, i)| o >= outputs || i >= inputs)
                .map(|(o, i)| i32::from(layout.weight(&laid, inputs, o, i)).abs())
                .sum();
            assert_eq!(padding, 0, "{layout:?}");
        }
    }
}

#[test]
fn a_couple_is_the_difference() {
    for a in -127..=127_i8 {
        for b in -127..=127_i8 {
            let half = i16::from_le_bytes([a.cast_unsigned(), b.coupled(a).cast_unsigned()]);
            assert_eq!(half, i16::from(a) - 256 * i16::from(b));
            assert_eq!(b.coupled(a).coupled(a), b);
        }
    }
}
