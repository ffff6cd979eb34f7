//! Work done ahead: a thread prepares batches while another trains on those before.

use std::sync::mpsc;
use std::thread::Scope;

/// Items of `source`, made on a thread of their own. At most `waiting` are ready and not yet taken; the thread ends when the items do, or
/// when nobody wants more.
pub fn ahead<'scope, T: Send + 'scope>(
    scope: &'scope Scope<'scope, '_>,
    waiting: usize,
    source: impl Iterator<Item = T> + Send + 'scope,
) -> impl Iterator<Item = T> {
    let (sender, receiver) = mpsc::sync_channel(waiting);
    scope.spawn(move || {
        for item in source {
            if sender.send(item).is_err() {
                break;
            }
        }
    });
    receiver.into_iter()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::thread;

    use super::ahead;

    #[test]
    fn items_come_in_their_order_and_no_more_are_made_than_wanted() {
        let made = AtomicUsize::new(0);
        let source = (0..1000).inspect(|_| {
            made.fetch_add(1, Ordering::Relaxed);
        });
        let taken: Vec<i32> = thread::scope(|scope| ahead(scope, 2, source).take(10).collect());
        assert_eq!(taken, (0..10).collect::<Vec<_>>());
        // Ten taken, two that wait, one that is being sent, one that is being made.
        assert!(made.into_inner() <= 14);
        let all: Vec<i32> = thread::scope(|scope| ahead(scope, 3, 0..100).collect());
        assert_eq!(all, (0..100).collect::<Vec<_>>());
    }
}
