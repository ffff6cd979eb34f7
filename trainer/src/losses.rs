//! The mean loss of an epoch, read now and then: each reading waits for all that a GPU has to do.
//!
//! Losses stay in tensors until then, and are summed in f64 in the order of the steps, so that the mean does not depend
//! on when they are read.

use anyhow::Result;
use tch::{Kind, Tensor};

/// Losses of batches.
#[derive(Debug)]
pub struct Losses {
    /// Steps between two readings.
    every: usize,
    /// Those that were not read yet, on the device: the mean of a batch, and its rows.
    unread: Vec<(Tensor, f64)>,
    /// Steps that were read.
    steps: usize,
    sum: f64,
    rows: f64,
}

/// A loss that is not finite.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NotFinite {
    /// Its step, from 1.
    pub step: usize,
    /// The loss.
    pub loss: f64,
}

impl Losses {
    /// None yet, to be read every so many steps.
    pub fn read_every(steps: usize) -> Self {
        Losses { every: steps, unread: Vec::new(), steps: 0, sum: 0.0, rows: 0.0 }
    }

    /// Takes the mean loss of a batch; now and then reads what it took.
    ///
    /// # Errors
    /// libtorch's.
    pub fn add(&mut self, loss: &Tensor, rows: usize) -> Result<Option<NotFinite>> {
        self.unread.push((loss.detach(), rows as f64));
        if self.unread.len() < self.every { Ok(None) } else { self.read() }
    }

    /// Reads what was not read. The first loss that is not finite ends the reading.
    ///
    /// # Errors
    /// libtorch's.
    pub fn read(&mut self) -> Result<Option<NotFinite>> {
        if self.unread.is_empty() {
            return Ok(None);
        }
        let losses: Vec<&Tensor> = self.unread.iter().map(|(loss, _)| loss).collect();
        let losses: Vec<f64> = Vec::try_from(Tensor::f_stack(&losses, 0)?.f_to_kind(Kind::Double)?)?;
        for (loss, (_, rows)) in losses.into_iter().zip(self.unread.drain(..)) {
            self.steps += 1;
            if !loss.is_finite() {
                return Ok(Some(NotFinite { step: self.steps, loss }));
            }
            self.sum += loss * rows;
            self.rows += rows;
        }
        Ok(None)
    }

    /// Rows that were read.
    pub fn rows(&self) -> f64 {
        self.rows
    }

    /// The mean over all rows that were read.
    pub fn mean(&self) -> f64 {
        self.sum / self.rows
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn losses(count: usize) -> Vec<(f32, usize)> {
        (0..count).map(|n| (1.0 / (n as f32 + 1.3), 100 + n % 7)).collect()
    }

    #[test]
    fn the_mean_is_that_of_reading_each() {
        for (every, count) in [(1, 1), (1, 9), (64, 63), (64, 64), (64, 65), (64, 197), (7, 100)] {
            let (mut found, mut sum, mut rows) = (Losses::read_every(every), 0.0, 0.0);
            for (loss, batch) in losses(count) {
                assert_eq!(found.add(&Tensor::from(loss), batch).unwrap(), None);
                sum += f64::from(loss) * batch as f64;
                rows += batch as f64;
            }
            assert_eq!(found.read().unwrap(), None);
            assert_eq!(found.read().unwrap(), None);
            assert_eq!(found.mean().to_bits(), f64::to_bits(sum / rows), "{count} losses, {every} at a time");
        }
    }

    #[test]
    fn the_first_that_is_not_finite_is_named() {
        for (every, at, bad) in
            [(1, 0, f32::NAN), (64, 0, f32::NAN), (64, 5, f32::INFINITY), (64, 64, f32::NAN), (8, 15, f32::NAN)]
        {
            let mut found = Losses::read_every(every);
            let mut diverged = None;
            for (n, (loss, rows)) in losses(192).into_iter().enumerate() {
                let loss = if n >= at { bad } else { loss };
                diverged = diverged.or(found.add(&Tensor::from(loss), rows).unwrap());
            }
            let NotFinite { step, loss } = diverged.unwrap();
            assert_eq!((step, loss.is_nan()), (at + 1, bad.is_nan()));
        }
    }
}
