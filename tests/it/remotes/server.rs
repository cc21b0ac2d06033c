//! A web server of a folder, as plain as they come, that can be told to misbehave.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// What the server does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Manner {
    /// Serves what it is asked for.
    Well,
    /// Accepts, and never answers.
    Silent,
    /// Of each file's bytes the last is another.
    Corrupt,
    /// Promises all bytes and closes after half of them.
    Cut,
    /// Answers each third request with 503.
    Busy,
    /// Wants a password.
    Locked,
}

/// A server that ends with the test's process.
pub(super) struct Server {
    pub(super) address: String,
    /// Requests so far.
    pub(super) asked: Arc<AtomicUsize>,
}

impl Server {
    /// Serves `folder`.
    pub(super) fn of(folder: PathBuf, manner: Manner) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = format!("http://{}", listener.local_addr().expect("an address"));
        let asked = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&asked);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (folder, count) = (folder.clone(), Arc::clone(&count));
                std::thread::spawn(move || serve(&stream, &folder, manner, &count));
            }
        });
        Self { address, asked }
    }
}

fn serve(stream: &TcpStream, folder: &Path, manner: Manner, count: &AtomicUsize) -> Option<()> {
    let mut lines = BufReader::new(stream.try_clone().ok()?).lines();
    let first = lines.next()?.ok()?;
    while !lines.next()?.ok()?.is_empty() {}
    let number = count.fetch_add(1, Ordering::SeqCst);
    let mut words = first.split(' ');
    let (method, path) = (words.next()?, words.next()?);
    let answer = |status: &str, length: usize, body: &[u8]| {
        let head = format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n");
        let mut stream = stream;
        let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body));
    };
    match manner {
        Manner::Silent => std::thread::sleep(Duration::from_mins(1)),
        Manner::Locked => answer("401 Unauthorized", 0, b""),
        Manner::Busy if number % 3 == 2 => answer("503 Service Unavailable", 0, b""),
        _ => match fs::read(folder.join(path.trim_start_matches('/'))) {
            Err(_) => answer("404 Not Found", 0, b""),
            Ok(mut bytes) => {
                let length = bytes.len();
                if let (Manner::Corrupt, Some(last)) = (manner, bytes.last_mut()) {
                    *last ^= 1;
                }
                if manner == Manner::Cut {
                    bytes.truncate(length / 2);
                }
                answer("200 OK", length, if method == "HEAD" { b"" } else { &bytes });
            }
        },
    }
    Some(())
}
