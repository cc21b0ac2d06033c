//! A minimal web server for a folder that misbehaves on request.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

/// The server's behaviour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Manner {
    /// Serves files.
    Well,
    /// Accepts connections and never responds.
    Silent,
    /// Changes the last byte of each file.
    Corrupt,
    /// Closes the connection after half of the promised bytes.
    Cut,
    /// Responds to every third request with 503.
    Busy,
    /// Requires a password.
    Locked,
    /// Promises a megabyte and sends a byte now and then.
    Drips,
    /// Sends a byte of the header now and then.
    DripsHead,
    /// Sends forever, without a length.
    Endless,
    /// Sends an endless "not found" page.
    EndlessRefusal,
}

/// A server that ends with the test process.
pub(super) struct Server {
    pub(super) address: String,
    /// Requests so far.
    pub(super) asked: Arc<AtomicUsize>,
    /// Bytes of endless bodies so far.
    pub(super) sent: Arc<AtomicU64>,
}

impl Server {
    /// Serves `folder`.
    pub(super) fn of(folder: PathBuf, manner: Manner) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = format!("http://{}", listener.local_addr().expect("an address"));
        let (asked, sent) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicU64::new(0)));
        let (count, bytes) = (Arc::clone(&asked), Arc::clone(&sent));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (folder, count, bytes) = (folder.clone(), Arc::clone(&count), Arc::clone(&bytes));
                std::thread::spawn(move || serve(&stream, &folder, manner, &count, &bytes));
            }
        });
        Self { address, asked, sent }
    }
}

fn serve(mut stream: &TcpStream, folder: &Path, manner: Manner, count: &AtomicUsize, sent: &AtomicU64) -> Option<()> {
    let mut lines = BufReader::new(stream.try_clone().ok()?).lines();
    let first = lines.next()?.ok()?;
    while !lines.next()?.ok()?.is_empty() {}
    let number = count.fetch_add(1, Ordering::SeqCst);
    let mut words = first.split(' ');
    let (method, path) = (words.next()?, words.next()?);
    let mut answer = |status: &str, length: usize, body: &[u8]| {
        let head = format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n");
        let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body));
    };
    // As a bucket responds, for files too.
    let facts = "ETag: \"1\"\r\nLast-Modified: Wed, 01 Jan 2025 00:00:00 GMT\r\nConnection: close\r\n\r\n";
    match manner {
        Manner::Drips => {
            let _ = stream.write_all(format!("HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n{facts}").as_bytes());
            while method != "HEAD" && stream.write_all(b"x").is_ok() {
                std::thread::sleep(Duration::from_millis(20));
            }
        }
        Manner::DripsHead => {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nX: ");
            while stream.write_all(b"x").is_ok() {
                std::thread::sleep(Duration::from_millis(20));
            }
        }
        Manner::Endless | Manner::EndlessRefusal => {
            let status = if manner == Manner::Endless { "200 OK" } else { "404 Not Found" };
            let _ = stream.write_all(format!("HTTP/1.1 {status}\r\n{facts}").as_bytes());
            let piece = vec![b'x'; 64 << 10];
            while method != "HEAD" && stream.write_all(&piece).is_ok() {
                sent.fetch_add(piece.len() as u64, Ordering::SeqCst);
            }
        }
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
