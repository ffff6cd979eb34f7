//! Work done ahead: threads prepare batches while another trains on those before.

use std::sync::mpsc;
use std::thread::Scope;

use xsfm_readers::parallel::in_order;

/// What `work` makes of each item of `source`, in their order, on `threads` of its own. At most `waiting` are ready and
/// not yet taken; the threads end when the items do, or when nobody wants more.
pub fn ahead<'scope, T: Send + 'scope, R: Send + 'scope>(
    scope: &'scope Scope<'scope, '_>,
    waiting: usize,
    threads: usize,
    source: impl Iterator<Item = T> + Send + 'scope,
    work: impl Fn(T) -> R + Send + Sync + 'scope,
) -> impl Iterator<Item = R> {
    let (sender, receiver) = mpsc::sync_channel(waiting);
    scope.spawn(move || {
        // Its only error is that nobody wants more.
        let _ = in_order(threads, source.map(Ok), work, |made| sender.send(made).map_err(|_| ()));
    });
    receiver.into_iter()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::thread;
    use std::time::Duration;

    use super::ahead;

    #[test]
    fn items_come_in_their_order_and_no_more_are_made_than_wanted() {
        for threads in [1, 4] {
            let made = AtomicUsize::new(0);
            let work = |n: u64| {
                made.fetch_add(1, Ordering::Relaxed);
                // The first of each three takes longest.
                thread::sleep(Duration::from_micros(if n.is_multiple_of(3) { 300 } else { 10 }));
                n * n
            };
            let taken: Vec<u64> = thread::scope(|scope| ahead(scope, 2, threads, 0..1000, work).take(10).collect());
            assert_eq!(taken, (0..10).map(|n| n * n).collect::<Vec<_>>());
            // Ten taken, two that wait, and one that each thread has made or makes, and one more that it may have begun
            // by then.
            assert!(made.load(Ordering::Relaxed) <= 12 + 2 * threads, "{} by {threads} threads", made.into_inner());
            let all: Vec<u64> = thread::scope(|scope| ahead(scope, 3, threads, 0..100, |n| n).collect());
            assert_eq!(all, (0..100).collect::<Vec<_>>());
        }
    }
}
