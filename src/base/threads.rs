//! Starts threads. The system may refuse any of them (limits on processes or address space): callers continue with
//! fewer, and fail only without any. Results do not depend on the number of threads.

use std::io;
use std::sync::{Arc, Condvar, Mutex};
use std::thread::{Builder, Scope};

use rayon::ThreadPool;

use super::unpanicked;

use crate::base::sync;

/// Threads that a pool leaves for other work: stages, and what they wait for.
const SPARE: usize = 8;

/// Stack size of pool threads in bytes: deep enough for recursion over networks with stolen work on top.
const STACK: usize = 16 << 20;

/// A pool of at most `threads` threads, or fewer if the system refuses more.
///
/// # Errors
/// The system's error if it refuses even one.
pub fn pool(threads: usize) -> io::Result<ThreadPool> {
    let build = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).thread_name(|at| format!("macula-{at}"));
        pool.stack_size(STACK).build()
    };
    let mut threads = room(bounded(threads))?;
    loop {
        match build(threads) {
            Ok(pool) => return Ok(pool),
            Err(error) if threads == 1 => return Err(io::Error::other(error.to_string())),
            Err(_) => threads /= 2,
        }
    }
}

/// At least one, and no more than are useful on any machine, to survive a typo.
fn bounded(threads: usize) -> usize {
    let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    threads.clamp(1, (8 * processors).max(64))
}

/// How many of `wanted` threads to start. If the system refuses some, half of what it allows is left for other work.
fn room(wanted: usize) -> io::Result<usize> {
    let given = available(wanted + SPARE)?;
    Ok(if given == wanted + SPARE { wanted } else { (given / 2).clamp(1, wanted) })
}

/// Starts the global pool in advance: starting it implicitly would panic if the system refuses threads.
///
/// # Errors
/// The system's error if it refuses even one.
pub fn begin(threads: usize) -> io::Result<()> {
    let threads = room(bounded(threads))?;
    // It may have been started before.
    let _ = rayon::ThreadPoolBuilder::new().num_threads(threads).build_global();
    Ok(())
}

/// How many of `wanted` threads the system allows now; its error if that is none.
fn available(wanted: usize) -> io::Result<usize> {
    let (done, told) = (Mutex::new(false), Condvar::new());
    let lock = || sync::lock(&done);
    std::thread::scope(|scope| {
        let wait = || drop(told.wait_while(lock(), |done| !*done));
        let mut given = Err(io::ErrorKind::InvalidInput.into());
        for begun in 1..=wanted {
            match Builder::new().stack_size(STACK).spawn_scoped(scope, wait) {
                Ok(_) => given = Ok(begun),
                Err(error) => {
                    given = given.map_err(|_| error);
                    break;
                }
            }
        }
        *lock() = true;
        told.notify_all();
        given
    })
}

/// Starts a thread in a scope.
///
/// # Errors
/// The system's error if it refuses the thread; `work` is dropped then.
pub fn spawn<'scope>(scope: &'scope Scope<'scope, '_>, work: impl FnOnce() + Send + 'scope) -> io::Result<()> {
    Builder::new().spawn_scoped(scope, work).map(drop)
}

/// Starts a thread in a scope and passes a value to it.
///
/// # Errors
/// The system's error if it refuses the thread, and the value.
pub fn hand_over<'scope, T: Send + 'scope>(
    scope: &'scope Scope<'scope, '_>,
    value: T,
    work: impl FnOnce(T) + Send + 'scope,
) -> Result<(), (io::Error, T)> {
    let place = Arc::new(Mutex::new(Some(value)));
    let handed = Arc::clone(&place);
    let take = |place: &Mutex<Option<T>>| sync::lock(place).take();
    let begun = spawn(scope, move || _ = take(&handed).map(work));
    begun.or_else(|error| take(&place).map_or(Ok(()), |value| Err((error, value))))
}

/// Runs `work` on a thread outside every pool. The calling thread waits without taking over other work, which a thread of a pool does
/// while it waits for the pool; so it may hold a lock that other work needs.
///
/// # Errors
/// The system's error if it refuses the thread.
///
/// # Panics
/// If `work` does.
pub fn apart<T: Send>(work: impl FnOnce() -> T + Send) -> io::Result<T> {
    std::thread::scope(|scope| {
        let begun = Builder::new().stack_size(STACK).spawn_scoped(scope, work)?;
        begun.join().or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// Runs the same work on up to `threads` threads including the calling one, or fewer if the system refuses more.
pub fn side_by_side(threads: usize, work: impl Fn() + Sync) {
    std::thread::scope(|scope| {
        for _ in 1..threads {
            if spawn(scope, &work).is_err() {
                break;
            }
        }
        work();
    });
}

/// Runs `make`, which starts threads and panics if the system refuses one.
///
/// # Errors
/// If it panicked.
pub fn begun<T>(make: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    unpanicked(make).unwrap_or_else(|| Err(io::Error::other("cannot start more threads")))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn more_threads_than_any_machine_has_are_bounded_and_none_is_one() {
        assert_eq!(pool(0).expect("a pool").current_num_threads(), 1);
        assert_eq!(pool(3).expect("a pool").current_num_threads(), 3);
        assert_eq!(room(3).expect("threads"), 3);
        assert!(bounded(1_000_000) < 100_000 && bounded(0) == 1);
    }

    #[test]
    fn the_calling_thread_works_too() {
        for threads in [0, 1, 4] {
            let (open, done) = (AtomicUsize::new(0), AtomicUsize::new(0));
            side_by_side(threads, || {
                while open.fetch_add(1, Ordering::Relaxed) < 100 {
                    done.fetch_add(1, Ordering::Relaxed);
                }
            });
            assert_eq!(done.into_inner(), 100);
        }
    }
}
