//! Calls that find nothing in the caches, as one does that scores once for each page view.

use std::hint::black_box;

use super::machine;

/// What is looked through where the system does not say how large the caches are.
const USUAL: usize = 64 << 20;
/// Looking through more than this would take longer than it tells.
const MOST: usize = 1 << 30;
/// Numbers of a cache line.
const LINE: usize = 64 / size_of::<u64>();

/// Memory that takes the place of all else in the caches: twice the largest.
#[derive(Debug)]
pub struct Flood(Vec<u64>);

impl Default for Flood {
    fn default() -> Self {
        let bytes = machine::largest_cache_bytes().unwrap_or(USUAL).saturating_mul(2).min(MOST);
        Flood(vec![1; bytes / size_of::<u64>()])
    }
}

impl Flood {
    /// Bytes of it.
    pub fn bytes(&self) -> usize {
        self.0.len() * size_of::<u64>()
    }

    /// Writes to each line of it: what was only read might be dropped first.
    pub fn fill_caches(&mut self) {
        self.0.iter_mut().step_by(LINE).for_each(|number| *number = number.wrapping_mul(3));
        black_box(&mut self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_is_written() {
        let mut flood = Flood::default();
        assert!(flood.bytes() >= 2 * machine::largest_cache_bytes().unwrap_or(USUAL).min(MOST / 2));
        flood.fill_caches();
        assert!(flood.0.iter().step_by(LINE).all(|&number| number == 3));
    }
}
