//! Messages in, messages out, one after the other. A request sees every change that came before it; a cancelled one that was
//! not begun is not begun; what is wrong with a text is told once no message waits.

use std::collections::{BTreeMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::Receiver;

use gen_lsp_types::{
    Diagnostic, DidChangeTextDocumentParams, DidChangeWatchedFilesParams, DidCloseTextDocumentParams,
    DidOpenTextDocumentParams, DocumentFormattingParams, DocumentSymbolParams, InitializeParams,
    PublishDiagnosticsParams,
};
use lsp_server::{ErrorCode, Message, Notification, Request, RequestId, Response};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::capabilities::{self, Client};
use super::diagnostics::diagnostics;
use super::documents::Documents;
use super::library::Library;
use super::{Ended, formatting, symbols, uri};
use crate::run::World;

/// What comes in.
pub(super) enum Inbox {
    /// From the client.
    Client(Message),
    /// The client went away.
    Gone,
}

/// How far the session is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Before `initialize`.
    Waiting,
    /// At work.
    Running,
    /// After `shutdown`.
    ShutDown,
}

/// What a request comes to: the answer, or why there is none.
type Answer = Result<Value, (ErrorCode, String)>;

/// The server.
pub(super) struct Server {
    /// Where messages go. A client that went away gets none.
    send: Box<dyn Fn(Message)>,
    phase: Phase,
    client: Client,
    documents: Documents,
    library: Library,
    /// What was told of each file, by the text because of which it was told.
    told: BTreeMap<String, BTreeMap<String, Vec<Diagnostic>>>,
}

impl Server {
    /// A server that has said nothing yet.
    pub(super) fn new(world: &World, send: Box<dyn Fn(Message)>) -> Self {
        Self {
            send,
            phase: Phase::Waiting,
            client: Client::default(),
            documents: Documents::default(),
            library: Library::new(world),
            told: BTreeMap::new(),
        }
    }

    /// Takes messages until the client is done.
    pub(super) fn run(mut self, inbox: &Receiver<Inbox>) -> Ended {
        let mut waiting = VecDeque::new();
        loop {
            if waiting.is_empty() {
                self.tell();
                let Ok(first) = inbox.recv() else { return Ended::Abruptly };
                waiting.push_back(first);
            }
            while let Ok(next) = inbox.try_recv() {
                self.cancel(&next, &mut waiting);
                waiting.push_back(next);
            }
            match waiting.pop_front() {
                Some(Inbox::Gone) => return Ended::Abruptly,
                Some(Inbox::Client(Message::Request(request))) => self.request(request),
                // Answers to what the server asked for: it needs none.
                None | Some(Inbox::Client(Message::Response(_))) => {}
                Some(Inbox::Client(Message::Notification(notification))) => {
                    if notification.method == "exit" {
                        return if self.phase == Phase::ShutDown { Ended::InOrder } else { Ended::Abruptly };
                    }
                    self.notification(notification);
                }
            }
        }
    }

    /// Takes a request out of those that wait, where `next` cancels it.
    fn cancel(&self, next: &Inbox, waiting: &mut VecDeque<Inbox>) {
        let Inbox::Client(Message::Notification(notification)) = next else { return };
        if notification.method != "$/cancelRequest" {
            return;
        }
        let Ok(id) = serde_json::from_value::<RequestId>(notification.params["id"].clone()) else { return };
        let is_it = |one: &Inbox| matches!(one, Inbox::Client(Message::Request(request)) if request.id == id);
        if let Some(at) = waiting.iter().position(is_it) {
            waiting.remove(at);
            self.answer(id, Err((ErrorCode::RequestCanceled, "cancelled".to_owned())));
        }
    }

    fn answer(&self, id: RequestId, answer: Answer) {
        let response = match answer {
            Ok(value) => Response::new_ok(id, value),
            Err((code, message)) => Response::new_err(id, code as i32, message),
        };
        (self.send)(response.into());
    }

    fn notify(&self, method: &str, params: impl Serialize) {
        (self.send)(Notification::new(method.to_owned(), params).into());
    }

    fn request(&mut self, request: Request) {
        let Request { id, method, params } = request;
        let answer = match (self.phase, method.as_str()) {
            (Phase::Waiting, "initialize") => self.initialize(params),
            (Phase::Waiting, _) => Err((ErrorCode::ServerNotInitialized, "`initialize` comes first".to_owned())),
            (Phase::Running, "shutdown") => {
                self.phase = Phase::ShutDown;
                Ok(Value::Null)
            }
            (Phase::Running, "initialize") | (Phase::ShutDown, _) => {
                Err((ErrorCode::InvalidRequest, format!("`{method}` can't come here")))
            }
            // A defect in one answer must not end the session, which holds texts that are nowhere else.
            (Phase::Running, _) => catch_unwind(AssertUnwindSafe(|| self.asked(&method, params)))
                .unwrap_or_else(|_| Err((ErrorCode::InternalError, format!("`{method}` failed: a defect of macula")))),
        };
        self.answer(id, answer);
    }

    fn initialize(&mut self, params: Value) -> Answer {
        let params: InitializeParams = read(params)?;
        self.client = Client::new(&params.capabilities);
        self.documents.encoding = self.client.encoding;
        self.phase = Phase::Running;
        shown(capabilities::offered(self.client))
    }

    fn asked(&mut self, method: &str, params: Value) -> Answer {
        match method {
            "textDocument/formatting" => {
                let params: DocumentFormattingParams = read(params)?;
                shown(self.documents.get(&params.text_document.uri.0).and_then(formatting::formatting))
            }
            "textDocument/documentSymbol" => {
                let params: DocumentSymbolParams = read(params)?;
                let uri = params.text_document.uri.0;
                let read = self.documents.read(&uri);
                shown(self.documents.get(&uri).zip(read).map(|(document, read)| symbols::symbols(document, &read)))
            }
            _ => Err((ErrorCode::MethodNotFound, format!("`{method}` is not known here"))),
        }
    }

    fn notification(&mut self, notification: Notification) {
        let Notification { method, params } = notification;
        if self.phase != Phase::Running {
            return;
        }
        match method.as_str() {
            "initialized" => self.watch_files(),
            "textDocument/didOpen" => {
                let Ok(params) = read::<DidOpenTextDocumentParams>(params) else { return };
                let item = params.text_document;
                self.documents.open(item.uri.0, item.version, item.text);
            }
            "textDocument/didChange" => {
                let Ok(params) = read::<DidChangeTextDocumentParams>(params) else { return };
                let DidChangeTextDocumentParams { text_document, content_changes } = params;
                let uri = text_document.text_document_identifier.uri.0;
                self.documents.change(&uri, text_document.version, content_changes);
            }
            "textDocument/didClose" => {
                let Ok(params) = read::<DidCloseTextDocumentParams>(params) else { return };
                self.documents.close(&params.text_document.uri.0);
                self.forget(&params.text_document.uri.0);
            }
            "workspace/didChangeWatchedFiles" => {
                let Ok(params) = read::<DidChangeWatchedFilesParams>(params) else { return };
                for change in params.changes {
                    self.documents.touched(uri::path(&change.uri.0).as_deref());
                }
            }
            _ => {}
        }
    }

    /// Asks to be told of files that change on the disk: others may be brought in by an open one.
    fn watch_files(&self) {
        if !self.client.watches_files {
            return;
        }
        let watchers = json!({"watchers": [{"globPattern": "**/*.kdl"}]});
        let registration =
            json!({"id": "files", "method": "workspace/didChangeWatchedFiles", "registerOptions": watchers});
        let params = json!({"registrations": [registration]});
        let id = RequestId::from("files".to_owned());
        (self.send)(Request::new(id, "client/registerCapability".to_owned(), params).into());
    }

    /// Tells what is wrong with the texts that changed.
    fn tell(&mut self) {
        for uri in self.documents.untold() {
            let found = catch_unwind(AssertUnwindSafe(|| {
                let read = self.documents.read(&uri)?;
                let document = self.documents.get(&uri)?;
                // The standard library's own text is as it is.
                let library = document.path.as_deref().is_some_and(|path| self.library.module(path).is_some());
                Some(if library { BTreeMap::new() } else { diagnostics(&read, &uri, &self.documents, &self.library) })
            }));
            if let Ok(Some(found)) = found {
                self.publish(&uri, found);
            }
        }
    }

    /// Tells what is wrong because of the text `owner`, by file, and takes back what was told before.
    fn publish(&mut self, owner: &str, found: BTreeMap<String, Vec<Diagnostic>>) {
        let mut changed: Vec<String> = Vec::new();
        for (file, by_owner) in &mut self.told {
            if by_owner.remove(owner).is_some() {
                changed.push(file.clone());
            }
        }
        for (file, diagnostics) in found {
            if !changed.contains(&file) {
                changed.push(file.clone());
            }
            self.told.entry(file).or_default().insert(owner.to_owned(), diagnostics);
        }
        for file in changed {
            self.show(&file);
        }
    }

    /// Takes back all that was told because of a text.
    fn forget(&mut self, owner: &str) {
        self.publish(owner, BTreeMap::new());
    }

    fn show(&mut self, file: &str) {
        let version = self.documents.get(file).map(|document| document.version);
        let by_owner = self.told.get(file);
        let mut all: Vec<Diagnostic> = Vec::new();
        for (owner, diagnostics) in by_owner.into_iter().flatten() {
            // An open text speaks for itself.
            if version.is_none() || owner == file {
                all.extend(diagnostics.iter().filter(|one| !all.contains(one)).cloned().collect::<Vec<_>>());
            }
        }
        if by_owner.is_some_and(BTreeMap::is_empty) {
            self.told.remove(file);
        }
        let params = PublishDiagnosticsParams { uri: file.to_owned().into(), version, diagnostics: all };
        self.notify("textDocument/publishDiagnostics", params);
    }
}

/// The parameters of a message.
fn read<T: DeserializeOwned>(params: Value) -> Result<T, (ErrorCode, String)> {
    serde_json::from_value(params).map_err(|error| (ErrorCode::InvalidParams, error.to_string()))
}

fn shown(value: impl Serialize) -> Answer {
    serde_json::to_value(value).map_err(|error| (ErrorCode::InternalError, error.to_string()))
}
