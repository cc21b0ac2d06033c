//! A client on an in-memory connection, and texts with a cursor mark.

#![expect(clippy::needless_pass_by_value, reason = "`json!(…)` reads best where it is used")]

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use lsp_server::{Connection, Message, Notification, Request, RequestId, Response};
use macula::lsp::{self, SessionEnd};
use macula::run::Host;
use macula::stage::Implementation;
use serde_json::{Value, json};

/// Time limit for a response.
const PATIENCE: Duration = Duration::from_mins(1);

/// Client of a server that runs in another thread.
pub(super) struct Client {
    connection: Connection,
    server: Option<std::thread::JoinHandle<SessionEnd>>,
    next: Cell<i32>,
    versions: RefCell<BTreeMap<String, i32>>,
    /// Notifications and requests from the server, not consumed yet.
    waiting: RefCell<Vec<Message>>,
    /// Project folder.
    pub(super) folder: tempfile::TempDir,
}

impl Client {
    /// A client with an initialized server, in its own folder.
    pub(super) fn new() -> Self {
        Self::with(json!({}))
    }

    /// The same, with these capabilities.
    pub(super) fn with(capabilities: Value) -> Self {
        let client = Self::silent();
        client.ask("initialize", json!({"processId": null, "rootUri": null, "capabilities": capabilities}));
        client.tell("initialized", json!({}));
        client
    }

    /// A client that has not sent `initialize`.
    pub(super) fn silent() -> Self {
        Self::of(macula::stages::registry())
    }

    /// The same, of a server with these implementations.
    pub(super) fn of(implementations: &'static [Implementation]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let (ours, theirs) = Connection::memory();
        let mut host = Host::real();
        folder.path().clone_into(&mut host.folder);
        let cache = folder.path().join("cache").display().to_string();
        host.environment = BTreeMap::from([("XDG_CACHE_HOME".to_owned(), cache)]);
        let server = std::thread::spawn(move || lsp::serve(&host, implementations, theirs));
        Self {
            connection: ours,
            server: Some(server),
            next: Cell::new(0),
            versions: RefCell::default(),
            waiting: RefCell::default(),
            folder,
        }
    }

    /// Sends a request and returns its id.
    pub(super) fn request(&self, method: &str, params: Value) -> RequestId {
        self.next.set(self.next.get() + 1);
        let id = RequestId::from(self.next.get());
        self.send(Request { id: id.clone(), method: method.to_owned(), params }.into());
        id
    }

    /// Sends a notification.
    pub(super) fn tell(&self, method: &str, params: Value) {
        self.send(Notification { method: method.to_owned(), params }.into());
    }

    pub(super) fn send(&self, message: Message) {
        self.connection.sender.send(message).expect("the server listens");
    }

    /// Response to a request.
    pub(super) fn response(&self, id: &RequestId) -> Response {
        let end = Instant::now() + PATIENCE;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            match self.connection.receiver.recv_timeout(left).expect("an answer") {
                Message::Response(response) if response.id == *id => return response,
                other => self.waiting.borrow_mut().push(other),
            }
        }
    }

    /// Result of a request that must succeed.
    pub(super) fn ask(&self, method: &str, params: Value) -> Value {
        let id = self.request(method, params);
        self.response(&id).response_result.unwrap_or_else(|error| panic!("{method}: {}", error.message))
    }

    /// Error code and message of a request that must fail.
    pub(super) fn refused(&self, method: &str, params: Value) -> (i32, String) {
        let id = self.request(method, params);
        let error = self.response(&id).response_result.expect_err("an error");
        (error.code, error.message)
    }

    /// Next notification, or request from the server, with that method.
    pub(super) fn told(&self, method: &str) -> Value {
        self.told_where(method, |_| true)
    }

    /// Next one whose parameters are wanted; others stay queued.
    fn told_where(&self, method: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let end = Instant::now() + PATIENCE;
        let of = |message: &Message| match message {
            Message::Notification(notification) if notification.method == method => Some(notification.params.clone()),
            Message::Request(request) if request.method == method => Some(request.params.clone()),
            _ => None,
        };
        let mut waiting = self.waiting.borrow_mut();
        if let Some(at) = waiting.iter().position(|message| of(message).is_some_and(|params| wanted(&params))) {
            return of(&waiting.remove(at)).unwrap_or_default();
        }
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let message = self.connection.receiver.recv_timeout(left).expect("a message");
            match of(&message).filter(|params| wanted(params)) {
                Some(params) => return params,
                None => waiting.push(message),
            }
        }
    }

    /// Diagnostics of a file, once published for the current version.
    pub(super) fn wrong(&self, uri: &str) -> Vec<Value> {
        let version = self.versions.borrow().get(uri).copied();
        let told = self.told_where("textDocument/publishDiagnostics", |told| {
            told["uri"] == uri && version.is_none_or(|version| told["version"] == version)
        });
        told["diagnostics"].as_array().cloned().unwrap_or_default()
    }

    /// Codes of the diagnostics, in order.
    pub(super) fn codes(&self, uri: &str) -> Vec<String> {
        self.wrong(uri).iter().map(|one| one["code"].as_str().unwrap_or_default().to_owned()).collect()
    }

    /// Path and URI of a file of the project; writes nothing.
    pub(super) fn file(&self, name: &str) -> (PathBuf, String) {
        let path = self.folder.path().join(name);
        let uri = format!("file://{}", path.display());
        (path, uri)
    }

    /// Writes a file of the project.
    pub(super) fn write(&self, name: &str, text: &str) -> String {
        let (path, uri) = self.file(name);
        std::fs::create_dir_all(path.parent().unwrap_or(Path::new(""))).expect("a folder");
        std::fs::write(path, text).expect("written");
        uri
    }

    /// Opens a text without a file.
    pub(super) fn open(&self, name: &str, text: &str) -> String {
        let (_, uri) = self.file(name);
        self.open_as(&uri, text);
        uri
    }

    /// Opens a text under a URI.
    pub(super) fn open_as(&self, uri: &str, text: &str) {
        self.versions.borrow_mut().insert(uri.to_owned(), 1);
        let item = json!({"uri": uri, "languageId": "kdl", "version": 1, "text": text});
        self.tell("textDocument/didOpen", json!({"textDocument": item}));
    }

    /// Changes a text by `changes`, in the form of the protocol.
    pub(super) fn change(&self, uri: &str, changes: Value) {
        let mut versions = self.versions.borrow_mut();
        let version = versions.entry(uri.to_owned()).or_insert(0);
        *version += 1;
        let document = json!({"uri": uri, "version": *version});
        self.tell("textDocument/didChange", json!({"textDocument": document, "contentChanges": changes}));
    }

    /// Replaces a whole text.
    pub(super) fn replace(&self, uri: &str, text: &str) {
        self.change(uri, json!([{"text": text}]));
    }

    /// Sends `shutdown` and `exit`; returns how the server ended.
    pub(super) fn end(mut self) -> SessionEnd {
        self.ask("shutdown", Value::Null);
        self.tell("exit", Value::Null);
        self.server.take().expect("a server").join().expect("no panic")
    }

    /// Disconnects; returns how the server ended.
    pub(super) fn leave(mut self) -> SessionEnd {
        let server = self.server.take().expect("a server");
        let (nobody, _) = Connection::memory();
        self.connection = nobody;
        server.join().expect("no panic")
    }
}

/// A text without its `|`, and the position of that, in UTF-16 units.
pub(super) fn marked(text: &str) -> (String, Value) {
    let at = text.find('|').expect("a mark");
    (text.replacen('|', "", 1), place(text, at))
}

/// Position of byte `at`, in UTF-16 units.
pub(super) fn place(text: &str, at: usize) -> Value {
    let line = text[..at].matches('\n').count();
    let start = text[..at].rfind('\n').map_or(0, |newline| newline + 1);
    json!({"line": line, "character": text[start..at].encode_utf16().count()})
}

/// A range as `line:column-line:column`, from 0.
pub(super) fn range(value: &Value) -> String {
    let at = |end: &str| format!("{}:{}", value[end]["line"], value[end]["character"]);
    format!("{}-{}", at("start"), at("end"))
}

/// A text after edits, as an editor would make them.
pub(super) fn edited(text: &str, edits: &Value) -> String {
    let offset = |place: &Value| {
        let line = place["line"].as_u64().expect("a line") as usize;
        let start: usize = text.split_inclusive('\n').take(line).map(str::len).sum();
        let mut units = place["character"].as_u64().expect("a column") as usize;
        let rest = text[start..].chars().take_while(|c| {
            let before = units;
            units = units.saturating_sub(c.len_utf16());
            before > 0
        });
        start + rest.map(char::len_utf8).sum::<usize>()
    };
    let mut edits: Vec<(usize, usize, String)> = edits
        .as_array()
        .expect("edits")
        .iter()
        .map(|edit| {
            let text = edit["newText"].as_str().expect("a text").to_owned();
            (offset(&edit["range"]["start"]), offset(&edit["range"]["end"]), text)
        })
        .collect();
    edits.sort();
    let mut out = text.to_owned();
    for (start, end, new) in edits.into_iter().rev() {
        out.replace_range(start..end, &new);
    }
    out
}
