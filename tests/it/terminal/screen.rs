//! A terminal of a test's: a pseudo-terminal that a program runs on, and the screen that it draws. Knows the few commands that
//! macula sends, and refuses any other.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, FromRawFd};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

/// Longer than any test's program runs.
const LONG: Duration = Duration::from_mins(2);

/// What a program shows.
pub(super) struct Screen {
    columns: usize,
    /// All lines, those that scrolled away too.
    lines: Vec<Vec<char>>,
    /// The screen's first line, and how many it has.
    top: usize,
    rows: usize,
    at: (usize, usize),
    /// What was sent and is no whole command or character yet.
    rest: Vec<u8>,
    /// Whether colours were used.
    pub(super) coloured: bool,
}

impl Screen {
    pub(super) fn new(columns: usize, rows: usize) -> Self {
        Self { columns, lines: vec![Vec::new()], top: 0, rows, at: (0, 0), rest: Vec::new(), coloured: false }
    }

    /// All lines that were ever shown and not drawn over, as text.
    pub(super) fn all(&self) -> String {
        let lines = self.lines.iter().map(|line| line.iter().collect::<String>().trim_end().to_owned());
        lines.collect::<Vec<_>>().join("\n")
    }

    /// The lines on the screen.
    pub(super) fn shown(&self) -> Vec<String> {
        self.all().lines().skip(self.top).map(str::to_owned).collect()
    }

    /// The line that the cursor stands in.
    pub(super) fn last(&self) -> String {
        self.lines[self.at.0].iter().collect::<String>().trim_end().to_owned()
    }

    fn take(&mut self, bytes: &[u8]) {
        self.rest.extend_from_slice(bytes);
        let bytes = std::mem::take(&mut self.rest);
        let text = match std::str::from_utf8(&bytes) {
            Ok(text) => text,
            Err(error) if error.error_len().is_none() => {
                self.rest = bytes[error.valid_up_to()..].to_vec();
                std::str::from_utf8(&bytes[..error.valid_up_to()]).expect("valid so far")
            }
            Err(error) => panic!("no UTF-8: {error}"),
        };
        let mut chars = text.char_indices();
        while let Some((at, c)) = chars.next() {
            if c != '\u{1b}' {
                self.put(c);
                continue;
            }
            let command = &text[at..];
            let Some(end) = command.char_indices().skip(2).find(|(_, c)| c.is_ascii_alphabetic()) else {
                let rest = std::mem::take(&mut self.rest);
                self.rest = [command.as_bytes(), &rest].concat();
                return;
            };
            self.obey(&command[2..end.0], end.1);
            (0..end.0).for_each(|_| _ = chars.next());
        }
    }

    fn put(&mut self, c: char) {
        match c {
            '\n' => self.down(),
            '\r' => self.at.1 = 0,
            c => {
                if self.at.1 == self.columns {
                    self.at.1 = 0;
                    self.down();
                }
                let (row, column) = self.at;
                let line = &mut self.lines[row];
                line.resize(line.len().max(column + 1), ' ');
                line[column] = c;
                self.at.1 += 1;
            }
        }
    }

    fn down(&mut self) {
        self.at.0 += 1;
        if self.at.0 == self.lines.len() {
            self.lines.push(Vec::new());
        }
        self.top = self.top.max((self.at.0 + 1).saturating_sub(self.rows));
    }

    fn obey(&mut self, given: &str, command: char) {
        let (row, column) = self.at;
        match command {
            'A' => self.at.0 = row.saturating_sub(given.parse().expect("a number of lines")).max(self.top),
            'K' if given.is_empty() => self.lines[row].truncate(column),
            'J' if given.is_empty() => {
                self.lines[row].truncate(column);
                self.lines.truncate(row + 1);
            }
            'm' => self.coloured = true,
            other => panic!("an unknown command: {given}{other}"),
        }
    }
}

/// A program on a terminal.
pub(super) struct Terminal {
    pub(super) screen: Screen,
    child: Child,
    keys: File,
    said: Receiver<Vec<u8>>,
}

impl Terminal {
    /// Starts a program on a terminal of its own, which it is controlled by.
    pub(super) fn start(mut command: Command, columns: u16, rows: u16) -> Self {
        let (ours, theirs) = open(columns, rows);
        let copy = || Stdio::from(theirs.try_clone().expect("a second handle"));
        command.stdin(copy()).stdout(copy()).stderr(copy());
        #[expect(unsafe_code, reason = "a child gets a terminal by system calls between fork and exec")]
        // SAFETY: both calls may be made between fork and exec, and touch no memory.
        unsafe {
            command.pre_exec(|| {
                if libc::setsid() < 0 || libc::ioctl(0, libc::TIOCSCTTY, 0) < 0 {
                    return Err(std::io::Error::last_os_error());
                }
                Ok(())
            });
        }
        let child = command.spawn().expect("the program starts");
        drop((command, theirs));
        let (sender, said) = channel();
        let mut out = ours.try_clone().expect("a second handle");
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            // The system says that there is nothing more by an error.
            while let Ok(read @ 1..) = out.read(&mut bytes) {
                if sender.send(bytes[..read].to_vec()).is_err() {
                    return;
                }
            }
        });
        Self { screen: Screen::new(columns.into(), rows.into()), child, keys: ours, said }
    }

    /// Waits until the screen is as `is` says; `what` names it.
    pub(super) fn until(&mut self, what: &str, is: impl Fn(&Screen) -> bool) {
        let began = Instant::now();
        while !is(&self.screen) {
            match self.said.recv_timeout(LONG.saturating_sub(began.elapsed())) {
                Ok(bytes) => self.screen.take(&bytes),
                Err(error) => panic!("{what} is not shown ({error}):\n{}", self.screen.all()),
            }
        }
    }

    /// Presses keys.
    pub(super) fn press(&mut self, keys: &[u8]) {
        self.keys.write_all(keys).expect("pressed");
    }

    /// Gives the terminal another size; its program gets a signal.
    pub(super) fn resize(&mut self, columns: u16, rows: u16) {
        set_size(&self.keys, columns, rows);
        self.screen.columns = columns.into();
        self.screen.rows = rows.into();
        self.screen.top = self.screen.top.max((self.screen.at.0 + 1).saturating_sub(rows.into()));
    }

    /// Waits for the end; returns the exit code, where no signal ended it.
    pub(super) fn end(&mut self) -> Option<i32> {
        loop {
            match self.said.recv_timeout(LONG) {
                Ok(bytes) => self.screen.take(&bytes),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => panic!("it does not end:\n{}", self.screen.all()),
            }
        }
        let status = self.child.wait().expect("it ended");
        assert!(status.signal().is_none_or(|signal| signal == libc::SIGHUP), "{status}");
        status.code()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Both ends close themselves in programs that other tests start meanwhile, which would hold the terminal open.
fn open(columns: u16, rows: u16) -> (File, File) {
    let mut name = [0; 128];
    #[expect(unsafe_code, reason = "system calls that neither std nor rustix has without another feature")]
    // SAFETY: the descriptor is new and nobody else's; the name's length is given, and it ends with a 0.
    let (ours, name) = unsafe {
        let ours = libc::posix_openpt(libc::O_RDWR | libc::O_NOCTTY | libc::O_CLOEXEC);
        let done = ours >= 0
            && libc::grantpt(ours) == 0
            && libc::unlockpt(ours) == 0
            && libc::ptsname_r(ours, name.as_mut_ptr(), name.len()) == 0;
        assert!(done, "{}", std::io::Error::last_os_error());
        (File::from_raw_fd(ours), std::ffi::CStr::from_ptr(name.as_ptr()).to_str().expect("a name").to_owned())
    };
    let theirs = File::options().read(true).write(true).custom_flags(libc::O_NOCTTY).open(name).expect("the other end");
    set_size(&ours, columns, rows);
    (ours, theirs)
}

fn set_size(terminal: &File, columns: u16, rows: u16) {
    let size = libc::winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    #[expect(unsafe_code, reason = "a system call that neither std nor rustix has without another feature")]
    // SAFETY: the descriptor is open, and the call reads the struct, which lives as long.
    let done = unsafe { libc::ioctl(terminal.as_raw_fd(), libc::TIOCSWINSZ, &raw const size) };
    assert_eq!(done, 0, "{}", std::io::Error::last_os_error());
}
