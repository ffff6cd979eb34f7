//! x86-64 with `std`: the portable loops, compiled again for the vector instructions that the CPU turns out to have.
//!
//! The baseline of the architecture (SSE2) can neither widen nor multiply i8 well: a layer of 64 x 112 takes about five times
//! as long with it as with AVX-512. The loops are the same source, so are the sums, and so are the bits.

#![allow(unsafe_code, reason = "calling a function that was compiled for more than the baseline")]

use std::is_x86_feature_detected;

use super::portable;
pub(crate) use super::portable::{
    accumulators_int8, add_product, add_row, dot_coefficients_int8, dot_f32, layer_f32, listed_pairs_f32,
    listed_pairs_int8, pairs_f32, pairs_int8, requantize_row,
};

/// x \[inputs\], w \[outputs, inputs\], b, m and y \[outputs\]: as [`portable::layer_int8`]
pub(crate) fn layer_int8<X: Copy + Into<i32>>(x: &[X], w: &[i8], b: &[i32], m: &[i32], y: &mut [u8]) {
    // The answers are kept by `std`: asking is a load and a test.
    if is_x86_feature_detected!("avx512bw") && is_x86_feature_detected!("avx512vl") {
        // SAFETY: the CPU has the features that the function is compiled for, as was just asked.
        unsafe { layer_int8_avx512(x, w, b, m, y) }
    } else if is_x86_feature_detected!("avx2") {
        // SAFETY: the CPU has the feature that the function is compiled for, as was just asked.
        unsafe { layer_int8_avx2(x, w, b, m, y) }
    } else {
        portable::layer_int8(x, w, b, m, y);
    }
}

#[target_feature(enable = "avx512bw,avx512vl")]
fn layer_int8_avx512<X: Copy + Into<i32>>(x: &[X], w: &[i8], b: &[i32], m: &[i32], y: &mut [u8]) {
    portable::layer_int8(x, w, b, m, y);
}

#[target_feature(enable = "avx2")]
fn layer_int8_avx2<X: Copy + Into<i32>>(x: &[X], w: &[i8], b: &[i32], m: &[i32], y: &mut [u8]) {
    portable::layer_int8(x, w, b, m, y);
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use super::*;

    /// Every function, whatever this CPU would choose, against the portable one.
    #[test]
    fn layers_equal_the_portable_ones() {
        for (inputs, outputs) in [(1, 1), (7, 3), (16, 16), (33, 5), (112, 64), (390, 17)] {
            let numbers = |count: usize, step: usize| (0..count).map(move |i| ((i * step + inputs) % 256) as u8);
            let x: Vec<u8> = numbers(inputs, 37).collect();
            let signed: Vec<i8> = x.iter().map(|&v| v.cast_signed()).collect();
            let w: Vec<i8> = numbers(inputs * outputs, 91).map(u8::cast_signed).collect();
            let b: Vec<i32> = numbers(outputs, 53).map(|v| i32::from(v) * 100 - 12_800).collect();
            let m: Vec<i32> = numbers(outputs, 11).map(|v| (i32::from(v) + 1) << 14).collect();
            let run = |layer: &dyn Fn(&mut [u8])| {
                let mut y = std::vec![0; outputs];
                layer(&mut y);
                y
            };
            let unsigned = run(&|y| portable::layer_int8(&x, &w, &b, &m, y));
            let first = run(&|y| portable::layer_int8(&signed, &w, &b, &m, y));
            assert_eq!(unsigned, run(&|y| layer_int8(&x, &w, &b, &m, y)), "{inputs} x {outputs}");
            assert_eq!(first, run(&|y| layer_int8(&signed, &w, &b, &m, y)), "{inputs} x {outputs}");
            if is_x86_feature_detected!("avx2") {
                // SAFETY: the CPU has the feature, as was just asked.
                assert_eq!(unsigned, run(&|y| unsafe { layer_int8_avx2(&x, &w, &b, &m, y) }), "{inputs} x {outputs}");
            }
        }
    }
}
