//! Runs of numbers that are known to be there: the loader or the caller has seen to it, and a small program has no
//! panics.

/// `count` numbers from `first` on; none where they are not all there.
#[inline]
pub(crate) fn run<T>(numbers: &[T], first: usize, count: usize) -> &[T] {
    numbers.get(first..).and_then(|rest| rest.get(..count)).unwrap_or_default()
}

/// The same, to be changed.
#[inline]
pub(crate) fn run_mut<T>(numbers: &mut [T], first: usize, count: usize) -> &mut [T] {
    numbers.get_mut(first..).and_then(|rest| rest.get_mut(..count)).unwrap_or_default()
}

/// The numbers in rows of `len`; what is left over is left out, and there are no rows of nothing.
#[inline(always)]
pub(crate) fn rows<T>(mut numbers: &[T], len: usize) -> impl Iterator<Item = &[T]> {
    std::iter::from_fn(move || {
        let (row, rest) = numbers.split_at_checked(len).filter(|(row, _)| !row.is_empty())?;
        numbers = rest;
        Some(row)
    })
}
