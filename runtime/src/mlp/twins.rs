//! int8 mode where hidden layers lie as [`Layout::Dsp`] has them, on a CPU with SMLAD and without MVE: two rows of a
//! batch together.

use zerocopy::{FromBytes, IntoBytes};

use super::fours::{in_place, output_of, read_len};
use super::{Input, Mlp};
use crate::format::Layout;
use crate::kernel::dsp;
use crate::kernel::vector::TWINS;
use crate::run::run_mut;

impl Mlp<'_, i8, i32, i32> {
    /// As [`Mlp::fours`], with as much of `e`, `read` and `h` for each row.
    pub(super) fn twins(&self, input: Input<'_>, (read, h): (&mut [u32], &mut [u8])) -> [i64; TWINS] {
        let Input { e, stride, start, .. } = input;
        let e = e.split_at(stride);
        let e = [e.0, e.1];
        let (h_a, h_b) = h.split_at_mut(self.widest());
        let (hidden, output) = self.split();
        let read = <[dsp::Quad<TWINS>]>::mut_from_bytes(read.as_mut_bytes()).unwrap_or_default();
        for n in 0..hidden {
            let layer = self.layer_from(n, start);
            let (x, flip) = if n == 0 { (e.map(IntoBytes::as_bytes), 0x8080_8080) } else { ([&*h_a, &*h_b], 0) };
            let read = run_mut(read, 0, read_len(Layout::Dsp, layer.inputs) / 2);
            dsp::read(x, flip, read);
            let (biases, multipliers) = (layer.biases.as_chunks().0, layer.multipliers.as_chunks().0);
            let y = [h_a.as_chunks_mut().0, h_b.as_chunks_mut().0];
            dsp::layer_of_twins(read, in_place(layer.weights), biases, multipliers, y);
        }
        [output_of(output, h_a), output_of(output, h_b)]
    }
}
