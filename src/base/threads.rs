//! Threads, each of which the system may refuse: limits on processes and on address space hold for them too. Who asks for several goes
//! on with fewer; none at all is a failure to be told. What is computed does not depend on how many there are.

use std::io;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::{Builder, Scope};

use rayon::ThreadPool;

use super::unpanicked;

/// More threads than this are never started: a typo must not bring a machine down.
pub const MOST: usize = 1024;

/// Bytes of stack of a pool's threads: deep enough for the recursion of networks and for stolen work on top of it.
const STACK: usize = 16 << 20;

/// A pool of at most so many threads, of fewer where the system gives no more.
///
/// # Errors
/// What the system says where it gives none.
pub fn pool(threads: usize) -> io::Result<ThreadPool> {
    let build = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).thread_name(|at| format!("macula-{at}"));
        pool.stack_size(STACK).build()
    };
    let mut threads = threads.clamp(1, MOST);
    loop {
        match build(threads) {
            Ok(pool) => return Ok(pool),
            Err(error) if threads == 1 => return Err(io::Error::other(error.to_string())),
            Err(_) => threads /= 2,
        }
    }
}

/// Starts the pool that work outside of any other uses, so that it need not be started where the system gives no more threads: that
/// would be a panic.
///
/// # Errors
/// What the system says where it gives none.
pub fn begin(threads: usize) -> io::Result<()> {
    let wanted = threads.clamp(1, MOST);
    let given = available(wanted)?;
    // Where there are not enough, some are left to the run's own pool.
    let threads = if given == wanted { wanted } else { given.div_ceil(2) };
    // Where it was begun before, it is there.
    let _ = rayon::ThreadPoolBuilder::new().num_threads(threads).build_global();
    Ok(())
}

/// How many threads the system gives now, of so many; what it says where that is none.
fn available(wanted: usize) -> io::Result<usize> {
    let (done, told) = (Mutex::new(false), Condvar::new());
    let lock = || done.lock().unwrap_or_else(PoisonError::into_inner);
    std::thread::scope(|scope| {
        let wait = || drop(told.wait_while(lock(), |done| !*done));
        let mut given = Err(io::ErrorKind::InvalidInput.into());
        for begun in 1..=wanted {
            match spawn(scope, wait) {
                Ok(()) => given = Ok(begun),
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
/// What the system says where it gives none; `work` is dropped then.
pub fn spawn<'scope>(scope: &'scope Scope<'scope, '_>, work: impl FnOnce() + Send + 'scope) -> io::Result<()> {
    Builder::new().spawn_scoped(scope, work).map(drop)
}

/// Starts a thread in a scope and hands it a value.
///
/// # Errors
/// What the system says where it gives none, and the value.
pub fn hand_over<'scope, T: Send + 'scope>(
    scope: &'scope Scope<'scope, '_>,
    value: T,
    work: impl FnOnce(T) + Send + 'scope,
) -> Result<(), (io::Error, T)> {
    let place = Arc::new(Mutex::new(Some(value)));
    let handed = Arc::clone(&place);
    let take = |place: &Mutex<Option<T>>| place.lock().unwrap_or_else(PoisonError::into_inner).take();
    let begun = spawn(scope, move || _ = take(&handed).map(work));
    begun.or_else(|error| take(&place).map_or(Ok(()), |value| Err((error, value))))
}

/// Does the same work on several threads, the calling one among them, as many as the system gives.
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

/// As `make`, which starts threads and panics where the system refuses one.
///
/// # Errors
/// Where it panicked.
pub fn begun<T>(make: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    unpanicked(make).unwrap_or_else(|| Err(io::Error::other("the system gives no more threads")))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn more_threads_than_any_machine_has_are_bounded_and_none_is_one() {
        assert_eq!(pool(0).expect("a pool").current_num_threads(), 1);
        assert_eq!(pool(3).expect("a pool").current_num_threads(), 3);
        assert_eq!(available(3).expect("threads"), 3);
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
