//! Work on all cores with results in order, in memory that does not grow with the work.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

/// Takes jobs one after the other, works on them on several threads, and hands the results to `collect` in the order of
/// the jobs. A thread has one job at a time, so that `threads` jobs at most are in memory.
///
/// # Errors
/// The first error in the order of the jobs, of a job or of `collect`; later jobs are not collected.
pub fn in_order<J, R, E>(
    threads: usize,
    jobs: impl Iterator<Item = Result<J, E>> + Send,
    work: impl Fn(J) -> R + Sync,
    collect: impl FnMut(R) -> Result<(), E> + Send,
) -> Result<(), E>
where
    J: Send,
    E: Send,
{
    let jobs = Mutex::new((0_u64..).zip(jobs.fuse()));
    let turn = Mutex::new(Turn { number: 0, stopped: false, collect, result: Ok(()) });
    let turned = Condvar::new();
    let worker = || {
        // Whoever panics must not leave the others waiting for its turn.
        let stop_all = OnPanic(|| {
            lock(&turn).stopped = true;
            turned.notify_all();
        });
        loop {
            let Some((number, job)) = lock(&jobs).next() else { break };
            let result = job.map(&work);
            let mut turn = lock(&turn);
            while turn.number != number && !turn.stopped {
                turn = turned.wait(turn).unwrap_or_else(PoisonError::into_inner);
            }
            if turn.stopped {
                break;
            }
            let Turn { collect, .. } = &mut *turn;
            if let Err(error) = result.and_then(collect) {
                turn.result = Err(error);
                turn.stopped = true;
            }
            turn.number += 1;
            turned.notify_all();
        }
        drop(stop_all);
    };
    thread::scope(|scope| (0..threads.max(1)).for_each(|_| drop(scope.spawn(worker))));
    turn.into_inner().unwrap_or_else(PoisonError::into_inner).result
}

/// Whose result is collected next.
struct Turn<C, E> {
    number: u64,
    stopped: bool,
    collect: C,
    result: Result<(), E>,
}

/// Locks; a thread that panicked ends the whole scope anyway.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

struct OnPanic<F: Fn()>(F);

impl<F: Fn()> Drop for OnPanic<F> {
    fn drop(&mut self) {
        if thread::panicking() {
            (self.0)();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use super::*;

    #[test]
    fn results_come_in_order_and_few_jobs_are_held() {
        let (held, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let jobs = (0..200_u64).map(|i| {
            most.fetch_max(held.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            Ok::<_, String>(i)
        });
        let mut collected = Vec::new();
        let work = |i: u64| {
            // The first of each four takes longest.
            thread::sleep(Duration::from_micros(if i.is_multiple_of(4) { 500 } else { 50 }));
            i * i
        };
        in_order(4, jobs, work, |r| {
            held.fetch_sub(1, Ordering::SeqCst);
            collected.push(r);
            Ok(())
        })
        .expect("no error");
        assert_eq!(collected, (0..200).map(|i| i * i).collect::<Vec<_>>());
        assert!(most.into_inner() <= 4);
    }

    #[test]
    fn the_first_error_in_order_ends_the_work() {
        for threads in [1, 3] {
            let jobs = (0..1000).map(|i| if i == 500 { Err("job 500") } else { Ok(i) });
            let mut collected = 0;
            let result = in_order(
                threads,
                jobs,
                |i| i,
                |i| {
                    if i == 300 {
                        Err("result 300")
                    } else {
                        collected += 1;
                        Ok(())
                    }
                },
            );
            assert_eq!((result, collected), (Err("result 300"), 300));
            let jobs = (0..1000).map(|i| if i == 500 { Err("job 500") } else { Ok(i) });
            assert_eq!(in_order(threads, jobs, |i: i32| i, |_| Ok(())), Err("job 500"));
        }
    }

    #[test]
    fn a_panic_ends_all_threads() {
        let jobs = (0..100).map(Ok::<i32, ()>);
        let run = || in_order(3, jobs.clone(), |i| assert!(i != 7), |()| Ok(()));
        assert!(std::panic::catch_unwind(run).is_err());
    }
}
