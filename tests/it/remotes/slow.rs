//! Slow, silent and endless remotes, on a clock of the test's own: a run is not held up, and stopping works.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use macula::base::Digest;
use macula::store::remote::{Fault, Remote, Site, Trouble, Watchdog};
use macula::store::{Accept, EVERYWHERE, Remotes, Store};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::server::{Manner, Server};
use crate::space::Space;

const PATIENCE: Duration = Duration::from_secs(3);

/// A pipeline that takes no time to compute.
const PIPELINE: &str = "pipeline tiny {
    synthetic eyes { photographs 2; size 128 }
    extract patches { from eyes; size 64 }
}
";

/// How a site responds to a request for a file.
type Answer = dyn Fn(&mut dyn Write) -> io::Result<Option<u64>> + Send + Sync;

/// A site that responds to every request in one way, and counts them.
struct Place {
    asked: Arc<AtomicUsize>,
    answer: Box<Answer>,
}

impl std::fmt::Debug for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Place")
    }
}

impl Site for Place {
    fn fetch(&self, _name: &str, _most: u64, into: &mut dyn Write) -> Result<Option<u64>, Fault> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        (self.answer)(into).map_err(|error| Fault::Lasting { text: error.to_string(), hint: None })
    }

    fn size(&self, _name: &str) -> Result<Option<u64>, Fault> {
        Ok(None)
    }

    fn put(&self, _name: &str, _bytes: Bytes, _go_on: &dyn Fn() -> bool) -> Result<(), Fault> {
        Ok(())
    }

    fn create(&self, _name: &str, _bytes: Bytes) -> Result<bool, Fault> {
        Ok(true)
    }
}

/// A clock that advances by `step` whenever it is read.
fn clock(step: Duration) -> impl Fn() -> Instant + Send + Sync + 'static {
    let time = Mutex::new(Instant::now());
    move || {
        let mut time = time.lock().expect("whole");
        *time += step;
        *time
    }
}

/// Looks up a number of keys on such a site. Returns the number of requests, and the reported problems.
fn ask(
    keys: u8,
    step: Duration,
    stop: &Arc<AtomicBool>,
    answer: impl Fn(&mut dyn Write) -> io::Result<Option<u64>> + Send + Sync + 'static,
) -> (usize, Vec<Trouble>) {
    let folder = TempDir::new().expect("a folder");
    let asked = Arc::new(AtomicUsize::new(0));
    let stopped = Arc::clone(stop);
    let watch = Watchdog::new(PATIENCE, clock(step), move || stopped.load(Ordering::SeqCst));
    let place = Place { asked: Arc::clone(&asked), answer: Box::new(answer) };
    let remotes = Remotes::new(vec![Remote::new("lab", Box::new(place), watch)]);
    let store = Store::open(folder.path()).expect("a store").with_remotes(remotes);
    for key in 0..keys {
        let hit = store.find_remote(&Digest::of(&[key]), EVERYWHERE, Accept::OwnTarget).expect("asked");
        assert!(hit.is_none());
    }
    (asked.load(Ordering::SeqCst), store.remotes.troubles())
}

fn told(troubles: &[Trouble]) -> Vec<&str> {
    troubles.iter().map(|trouble| trouble.text.as_str()).collect()
}

#[test]
fn a_place_that_drips_is_left_after_twice_its_patience_and_asked_no_more() {
    let drips = |into: &mut dyn Write| loop {
        into.write_all(b"x")?;
    };
    // Two readings of the clock per piece: before and after waiting for it.
    let (asked, troubles) = ask(3, Duration::from_millis(250), &Arc::default(), drips);
    assert_eq!(asked, 1);
    let text = told(&troubles)[0];
    assert!(text.starts_with("remote `lab` is too slow: ") && text.ends_with(" bytes in 6.3 s"), "{text}");
    assert!(troubles[0].hint.as_ref().is_some_and(|hint| hint.contains("timeout=")));
}

#[test]
fn a_parcel_that_comes_fast_enough_but_without_end_is_left_in_time() {
    // 16 KiB in a quarter of a second is fast enough. In four timeouts, this is less than the size limit of a bundle.
    let flows = |into: &mut dyn Write| loop {
        into.write_all(&[b'x'; 16 << 10])?;
    };
    let (asked, troubles) = ask(3, Duration::from_millis(250), &Arc::default(), flows);
    let text = told(&troubles)[0];
    assert!(asked == 1 && text.starts_with("remote `lab` is too slow: ") && text.ends_with(" in 12.3 s"), "{text}");
}

#[test]
fn a_place_that_ignores_how_much_may_come_is_cut_off() {
    let sent = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&sent);
    let endless = move |into: &mut dyn Write| loop {
        into.write_all(&vec![b'x'; 1 << 20])?;
        count.fetch_add(1, Ordering::SeqCst);
    };
    let (_, troubles) = ask(1, Duration::ZERO, &Arc::default(), endless);
    assert!(told(&troubles)[0].contains("is larger than the expected 16777216 bytes"), "{troubles:?}");
    // Only a few pieces are queued.
    assert!(sent.load(Ordering::SeqCst) < 32, "{sent:?} MiB");
}

#[test]
fn a_place_that_hangs_is_left_behind() {
    // Blocks until the test process ends, like a hanging disk.
    let hangs = |_: &mut dyn Write| loop {
        std::thread::park();
    };
    let (asked, troubles) = ask(3, Duration::from_secs(4), &Arc::default(), hangs);
    assert_eq!((asked, told(&troubles)), (1, vec!["remote `lab` did not respond for 8 s"]));
}

#[test]
fn answers_that_are_all_nearly_too_late_are_not_waited_for_without_end() {
    let (asked, troubles) = ask(100, Duration::from_secs(1), &Arc::default(), |_: &mut dyn Write| Ok(None));
    // Each takes at least 3 s by this clock and earns one: the limit is 60 s beyond what they earned.
    let text = told(&troubles)[0];
    assert!(asked <= 31 && text.starts_with("remote `lab` is too slow: its responses took "), "{asked}: {text}");
    let (asked, troubles) = ask(100, Duration::from_millis(300), &Arc::default(), |_: &mut dyn Write| Ok(None));
    assert_eq!((asked, troubles), (100, vec![]), "answers within a second are waited for");
}

#[test]
fn the_wish_to_stop_ends_a_request_that_hangs() {
    let stop = Arc::new(AtomicBool::new(false));
    let user = Arc::clone(&stop);
    let hangs = move |_: &mut dyn Write| {
        user.store(true, Ordering::SeqCst);
        loop {
            std::thread::park();
        }
    };
    let (asked, troubles) = ask(3, Duration::ZERO, &stop, hangs);
    assert_eq!((asked, troubles), (1, vec![]), "nothing is wrong with it, and it is not asked again");
}

/// How a server is accessed.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Web,
    #[cfg(feature = "cloud")]
    Bucket,
}

const KINDS: &[Kind] = &[
    Kind::Web,
    #[cfg(feature = "cloud")]
    Kind::Bucket,
];

/// A project whose only remote is a server, and a run in it.
fn run_beside(kind: Kind, server: &Server, timeout: &str) -> (Space, std::process::Command) {
    let at = match kind {
        Kind::Web => server.address.as_str(),
        #[cfg(feature = "cloud")]
        Kind::Bucket => "s3://lab/results",
    };
    let space = Space::with(PIPELINE);
    space.write("project.kdl", format!("remote lab \"{at}\" timeout={timeout}\n"));
    let mut command = space.command(&["run", "pipeline.kdl"]);
    for name in ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"] {
        command.env_remove(name);
    }
    command.env("AWS_ENDPOINT_URL", &server.address).env("AWS_REGION", "us-east-1");
    command.env("AWS_ACCESS_KEY_ID", "a").env("AWS_SECRET_ACCESS_KEY", "b");
    (space, command)
}

#[test]
fn a_run_goes_on_without_a_server_that_drips_or_does_not_end() {
    let alone = Space::with(PIPELINE);
    alone.macula("run pipeline.kdl").code(0);
    let patches = |space: &Space| {
        let files = space.files("results/tiny").into_iter().filter(|name| !name.ends_with("README.txt"));
        let files: Vec<_> =
            files.map(|name| std::fs::read(space.path("results/tiny").join(name)).expect("read")).collect();
        assert!(files.len() > 3, "there are patches");
        files
    };
    for (kind, manner, says) in [
        (Kind::Web, Manner::Drips, "is too slow"),
        (Kind::Web, Manner::DripsHead, "did not respond for"),
        (Kind::Web, Manner::Endless, "is larger than the expected"),
        (Kind::Web, Manner::EndlessRefusal, ""),
        #[cfg(feature = "cloud")]
        (Kind::Bucket, Manner::Drips, "is too slow"),
        #[cfg(feature = "cloud")]
        (Kind::Bucket, Manner::DripsHead, "did not respond for"),
        #[cfg(feature = "cloud")]
        (Kind::Bucket, Manner::EndlessRefusal, ""),
    ] {
        let server = Server::of(PathBuf::new(), manner);
        let (space, command) = run_beside(kind, &server, "0.2");
        println!("{kind:?} {manner:?}");
        space.finish(command).code(0).says(&["2 computed, 0 reused", says]);
        assert_eq!(patches(&space), patches(&alone));
        // Of two records, no more than the limit each, and what a socket buffers.
        let sent = server.sent.load(Ordering::SeqCst) >> 20;
        assert!(sent < 2 * 24, "{sent} MiB");
    }
}

#[test]
fn one_ctrl_c_ends_a_run_that_waits_for_a_remote() {
    for manner in [Manner::Silent, Manner::Drips, Manner::DripsHead] {
        for &kind in KINDS {
            let server = Server::of(PathBuf::new(), manner);
            let (space, mut command) = run_beside(kind, &server, "86400");
            let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the binary starts");
            while server.asked.load(Ordering::SeqCst) == 0 {
                assert!(child.try_wait().expect("a child").is_none(), "it asks the server");
                std::thread::sleep(Duration::from_millis(5));
            }
            kill_process(Pid::from_child(&child), Signal::INT).expect("it is there");
            let status = child.wait().expect("a child");
            assert_eq!(status.code(), Some(130), "{kind:?} {manner:?}");
            drop(space);
        }
    }
}
