//! The message loop. A request sees every change that came before it; cancelled requests still queued are dropped; diagnostics
//! are published when the queue is empty.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

use gen_lsp_types::{
    CodeActionParams, CodeLensParams, CompletionParams, DefinitionParams, Diagnostic, DidChangeTextDocumentParams,
    DidChangeWatchedFilesParams, DidCloseTextDocumentParams, DidOpenTextDocumentParams, DidSaveTextDocumentParams,
    DocumentFormattingParams, DocumentHighlightParams, DocumentSymbolParams, ExecuteCommandParams, HoverParams,
    InitializeParams, InlayHintParams, PrepareRenameParams, PublishDiagnosticsParams, ReferenceParams, RenameParams,
    SemanticTokensParams, SemanticTokensRangeParams, TextDocumentPositionParams, WorkspaceFolders,
    WorkspaceSymbolParams,
};
use lsp_server::{ErrorCode, Message, Notification, Request, RequestId, Response};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::capabilities::{self, Client};
use super::commands::{COMMANDS, CommandTarget};
use super::diagnostics::diagnostics;
use super::documents::Documents;
use super::library::Library;
use super::state::{CacheStates, Question};
use super::view::View;
use super::workspace_symbols::workspace_symbols;
use super::{
    SessionEnd, actions, commands, completion, definition, formatting, hints, hover, lenses, rename, symbols, tokens,
    uri,
};
use crate::diag::Severity;
use crate::run::Host;
use crate::stage::Implementation;

/// Incoming events.
pub(super) enum Inbox {
    /// A message from the client.
    Client(Message),
    /// The client disconnected.
    Gone,
    /// Cache states of a text's stages.
    Known(CacheStates),
}

/// Phase of the session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Before `initialize`.
    Waiting,
    /// After `initialize`.
    Running,
    /// After `shutdown`.
    ShutDown,
}

/// Time without a message after which the server counts as idle.
const IDLE: Duration = Duration::from_millis(150);

/// Number of outdated analyses kept until the server is idle.
const MOST_OLD: usize = 16;

/// Age after which cache states are requested again.
const OLD: Duration = Duration::from_secs(2);

/// Response to a request: a value, or an error.
type Answer = Result<Value, (ErrorCode, String)>;

/// The server.
pub(super) struct Server {
    /// Sends a message; does nothing if the client disconnected.
    send: Box<dyn Fn(Message)>,
    phase: Phase,
    client: Client,
    documents: Documents,
    library: Library,
    host: Host,
    /// Folders open in the client.
    roots: Vec<PathBuf>,
    /// Channel for questions about the store.
    ask: Sender<Question>,
    /// URIs of texts changed since their cache states were last requested.
    unasked: BTreeSet<String>,
    /// Time of the last such request, by URI.
    asked: BTreeMap<String, Instant>,
    /// Cache states, by the text's URI.
    states: BTreeMap<String, CacheStates>,
    /// Published diagnostics of each file, by the text that caused them.
    told: BTreeMap<String, BTreeMap<String, Vec<Diagnostic>>>,
}

impl Server {
    /// A server waiting for `initialize`.
    pub(super) fn new(
        host: &Host,
        implementations: &'static [Implementation],
        send: Box<dyn Fn(Message)>,
        ask: Sender<Question>,
    ) -> Self {
        Self {
            send,
            phase: Phase::Waiting,
            client: Client::default(),
            documents: Documents::new(implementations),
            library: Library::new(host),
            host: host.clone(),
            roots: Vec::new(),
            ask,
            unasked: BTreeSet::new(),
            asked: BTreeMap::new(),
            states: BTreeMap::new(),
            told: BTreeMap::new(),
        }
    }

    /// Handles messages until the client is done.
    pub(super) fn run(mut self, inbox: &Receiver<Inbox>) -> SessionEnd {
        let mut waiting = VecDeque::new();
        loop {
            if waiting.is_empty() {
                self.tell();
                self.survives(|server| server.documents.let_go(MOST_OLD));
                // Deferred work is done when idle.
                let waits = !self.unasked.is_empty() || self.documents.holds_old();
                let next = if waits { inbox.recv_timeout(IDLE) } else { inbox.recv().map_err(RecvTimeoutError::from) };
                match next {
                    Ok(first) => waiting.push_back(first),
                    Err(RecvTimeoutError::Timeout) => _ = self.survives(Self::idle),
                    Err(RecvTimeoutError::Disconnected) => return SessionEnd::Abruptly,
                }
            }
            while let Ok(next) = inbox.try_recv() {
                self.cancel(&next, &mut waiting);
                waiting.push_back(next);
            }
            match waiting.pop_front() {
                Some(Inbox::Gone) => return SessionEnd::Abruptly,
                Some(Inbox::Known(states)) => _ = self.survives(|server| server.known(states)),
                Some(Inbox::Client(Message::Request(request))) => self.request(request),
                // Responses to the server's own requests are not needed.
                None | Some(Inbox::Client(Message::Response(_))) => {}
                Some(Inbox::Client(Message::Notification(notification))) => {
                    if notification.method == "exit" {
                        return if self.phase == Phase::ShutDown { SessionEnd::InOrder } else { SessionEnd::Abruptly };
                    }
                    self.notified(notification);
                }
            }
        }
    }

    /// Runs `work` and returns whether it finished: a panic must not end the session, which holds unsaved texts.
    fn survives(&mut self, work: impl FnOnce(&mut Self)) -> bool {
        catch_unwind(AssertUnwindSafe(|| work(self))).is_ok()
    }

    /// Handles a notification. After a panic in one that changes a text, its content is unknown: it is closed until the client
    /// opens it again.
    fn notified(&mut self, notification: Notification) {
        let method = notification.method.clone();
        let uri = notification.params["textDocument"]["uri"].as_str().map(str::to_owned);
        if self.survives(|server| server.notification(notification)) {
            return;
        }
        let Some(uri) = uri.filter(|_| matches!(method.as_str(), "textDocument/didOpen" | "textDocument/didChange"))
        else {
            return;
        };
        self.survives(|server| {
            server.states.remove(&uri);
            server.documents.close(&uri);
            server.forget(&uri);
        });
        let message = format!("`{method}` failed: a bug in macula; close `{uri}` and open it again");
        self.notify("window/showMessage", json!({"type": 1, "message": message}));
    }

    /// Removes a queued request if `next` cancels it.
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
            (Phase::Waiting, "initialize") => catch_unwind(AssertUnwindSafe(|| self.initialize(params)))
                .unwrap_or_else(|_| Err((ErrorCode::InternalError, "`initialize` failed: a bug in macula".to_owned()))),
            (Phase::Waiting, _) => Err((ErrorCode::ServerNotInitialized, "`initialize` must come first".to_owned())),
            (Phase::Running, "shutdown") => {
                self.phase = Phase::ShutDown;
                Ok(Value::Null)
            }
            (Phase::Running, "initialize") | (Phase::ShutDown, _) => {
                Err((ErrorCode::InvalidRequest, format!("`{method}` is not allowed now")))
            }
            // See [`Server::survives`].
            (Phase::Running, _) => catch_unwind(AssertUnwindSafe(|| self.asked(&method, params)))
                .unwrap_or_else(|_| Err((ErrorCode::InternalError, format!("`{method}` failed: a bug in macula")))),
        };
        self.answer(id, answer);
    }

    fn initialize(&mut self, params: Value) -> Answer {
        let params: InitializeParams = read(params)?;
        self.client = Client::new(&params);
        self.roots = roots(&params);
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
                self.look(&params.text_document.uri.0, |view| shown(symbols::symbols(view.document, view.read)))
            }
            "textDocument/completion" => {
                let params: CompletionParams = read(params)?;
                self.look_at(&params.text_document_position_params, |view, at| shown(completion::completion(view, at)))
            }
            "textDocument/hover" => {
                let params: HoverParams = read(params)?;
                let place = params.text_document_position_params;
                // Recent computations show up in the next hover.
                if self.asked.get(&place.text_document.uri.0).is_none_or(|asked| asked.elapsed() > OLD) {
                    self.ask(&place.text_document.uri.0);
                }
                self.look_at(&place, |view, at| shown(hover::hover(view, at)))
            }
            "textDocument/definition" => {
                let params: DefinitionParams = read(params)?;
                self.look_at(&params.text_document_position_params, |view, at| shown(definition::definition(view, at)))
            }
            "textDocument/references" => {
                let params: ReferenceParams = read(params)?;
                let with_declaration = params.context.include_declaration;
                let found = |view: &View, at| shown(definition::references(view, at, with_declaration));
                self.look_at(&params.text_document_position_params, found)
            }
            "textDocument/documentHighlight" => {
                let params: DocumentHighlightParams = read(params)?;
                self.look_at(&params.text_document_position_params, |view, at| shown(definition::highlights(view, at)))
            }
            "textDocument/prepareRename" => {
                let params: PrepareRenameParams = read(params)?;
                self.look_at(&params.text_document_position_params, |view, at| {
                    shown(rename::prepare(view, at).map_err(|why| (ErrorCode::RequestFailed, why))?)
                })
            }
            "textDocument/rename" => {
                let params: RenameParams = read(params)?;
                let new = params.new_name;
                self.look_at(&params.text_document_position_params, |view, at| {
                    shown(rename::rename(view, at, &new).map_err(|why| (ErrorCode::RequestFailed, why))?)
                })
            }
            "textDocument/inlayHint" => {
                let params: InlayHintParams = read(params)?;
                self.look(&params.text_document.uri.0, |view| shown(hints::hints(view, params.range)))
            }
            "textDocument/codeAction" => {
                let params: CodeActionParams = read(params)?;
                self.look(&params.text_document.uri.0, |view| shown(actions::actions(view, &params)))
            }
            "textDocument/semanticTokens/full" => {
                let params: SemanticTokensParams = read(params)?;
                self.look(&params.text_document.uri.0, |view| shown(tokens::tokens(view, None)))
            }
            "textDocument/semanticTokens/range" => {
                let params: SemanticTokensRangeParams = read(params)?;
                self.look(&params.text_document.uri.0, |view| {
                    let bytes = view.document.lines.bytes(&view.document.text, params.range);
                    shown(tokens::tokens(view, Some(bytes)))
                })
            }
            "textDocument/codeLens" => {
                let params: CodeLensParams = read(params)?;
                self.look(&params.text_document.uri.0, |view| shown(lenses::lenses(view)))
            }
            "workspace/symbol" => {
                let params: WorkspaceSymbolParams = read(params)?;
                let here = [self.host.folder.clone()];
                let folders = if self.roots.is_empty() { here.as_slice() } else { &self.roots };
                shown(workspace_symbols(&self.documents, folders, &params.query))
            }
            "workspace/executeCommand" => self.execute(read(params)?),
            _ => Err((ErrorCode::MethodNotFound, format!("unknown method `{method}`"))),
        }
    }

    /// Shows what a command of a code lens is about.
    fn execute(&self, params: ExecuteCommandParams) -> Answer {
        let ExecuteCommandParams { command, arguments, .. } = params;
        if !COMMANDS.contains(&command.as_str()) {
            return Err((ErrorCode::InvalidParams, format!("unknown command `{command}`")));
        }
        let Some(target) = CommandTarget::new(arguments) else {
            return Err((ErrorCode::InvalidParams, format!("`{command}` needs an object with `file`")));
        };
        let open = self.documents.of_file(Path::new(&target.file));
        let states = open.and_then(|document| self.states.get(&document.uri));
        let text = commands::answer(&command, &target, states);
        self.notify("window/showMessage", json!({"type": 3, "message": text}));
        Ok(Value::Null)
    }

    /// Answers a request about a text; null if it is not open.
    fn look(&mut self, uri: &str, answer: impl FnOnce(&View) -> Answer) -> Answer {
        let Some(found) = self.documents.read(uri) else { return Ok(Value::Null) };
        let Some(document) = self.documents.get(uri) else { return Ok(Value::Null) };
        answer(&View {
            documents: &self.documents,
            document,
            read: &found,
            index: found.analysis.index(&found.sources),
            library: &self.library,
            client: self.client,
            scope: document.path.as_deref().map(|path| self.scope(path)),
            project: document.path.as_deref().map(|path| self.host.project(path)),
            states: self.states.get(uri),
        })
    }

    /// Answers a request about a position in a text.
    fn look_at(&mut self, place: &TextDocumentPositionParams, answer: impl FnOnce(&View, usize) -> Answer) -> Answer {
        self.look(&place.text_document.uri.0, |view| answer(view, view.document.offset(place.position)))
    }

    /// Folder whose files may use the names of a file: the innermost one open in the client that contains the project, else the
    /// server's working folder if it does, else the project.
    fn scope(&self, file: &Path) -> PathBuf {
        let project = self.host.project(file);
        let around = self.roots.iter().filter(|root| project.starts_with(root));
        let here = || Some(&self.host.folder).filter(|folder| project.starts_with(folder));
        around.max_by_key(|root| root.as_os_str().len()).or_else(here).cloned().unwrap_or(project)
    }

    /// Requests the cache states of a text's stages, if it has no errors.
    fn ask(&mut self, uri: &str) {
        let Some(found) = self.documents.read(uri) else { return };
        let Some(document) = self.documents.get(uri) else { return };
        let Some(path) = &document.path else { return };
        let wrong = found.analysis.diags.iter().any(|diag| diag.severity == Severity::Error);
        if wrong || found.analysis.contents.pipelines.is_empty() {
            return;
        }
        let question = Question {
            uri: uri.to_owned(),
            version: document.version,
            pipelines: found.analysis.contents.pipelines.clone(),
            project: self.host.project(path),
        };
        self.asked.insert(uri.to_owned(), Instant::now());
        // Without that thread, hovers do not show cache states.
        let _ = self.ask.send(question);
    }

    /// Does deferred work.
    fn idle(&mut self) {
        self.documents.let_go(0);
        for uri in std::mem::take(&mut self.unasked) {
            self.ask(&uri);
        }
    }

    /// Handles cache states.
    fn known(&mut self, states: CacheStates) {
        if self.documents.get(&states.uri).is_none() {
            return;
        }
        let changed = self.states.get(&states.uri).is_none_or(|old| *old != states);
        self.states.insert(states.uri.clone(), states);
        let refreshed = [
            (self.client.refreshes_hints, "hints", "workspace/inlayHint/refresh"),
            (self.client.refreshes_lenses && self.client.lenses, "lenses", "workspace/codeLens/refresh"),
        ];
        for (_, id, method) in refreshed.into_iter().filter(|(supported, ..)| changed && *supported) {
            (self.send)(Request::new(RequestId::from(id.to_owned()), method.to_owned(), Value::Null).into());
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
            "textDocument/didSave" => {
                let Ok(params) = read::<DidSaveTextDocumentParams>(params) else { return };
                let path = uri::path(&params.text_document.uri.0);
                self.documents.touched(path.as_deref());
                self.ask(&params.text_document.uri.0);
            }
            "textDocument/didClose" => {
                let Ok(params) = read::<DidCloseTextDocumentParams>(params) else { return };
                self.states.remove(&params.text_document.uri.0);
                self.asked.remove(&params.text_document.uri.0);
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

    /// Asks the client to watch files: an open text may import them.
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

    /// Publishes diagnostics of changed texts.
    fn tell(&mut self) {
        for uri in self.documents.untold() {
            let found = catch_unwind(AssertUnwindSafe(|| {
                let read = self.documents.read(&uri)?;
                let document = self.documents.get(&uri)?;
                // Files of the standard library have no diagnostics.
                let library = document.path.as_deref().is_some_and(|path| self.library.module(path).is_some());
                Some(if library {
                    BTreeMap::from([(uri.clone(), Vec::new())])
                } else {
                    diagnostics(&read, &uri, &self.documents, &self.library)
                })
            }));
            if let Ok(Some(found)) = found {
                self.publish(&uri, found);
                self.unasked.insert(uri);
            }
        }
    }

    /// Publishes the diagnostics caused by the text `owner`, by file, replacing the previous ones.
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

    /// Removes the diagnostics caused by a text.
    fn forget(&mut self, owner: &str) {
        self.publish(owner, BTreeMap::new());
    }

    fn show(&mut self, file: &str) {
        let version = self.documents.get(file).map(|document| document.version);
        let by_owner = self.told.get(file);
        let mut all: Vec<Diagnostic> = Vec::new();
        for (owner, diagnostics) in by_owner.into_iter().flatten() {
            // For an open text, only its own analysis counts.
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

/// Folders open in the client.
fn roots(params: &InitializeParams) -> Vec<PathBuf> {
    let folders = params.workspace_folders_initialize_params.workspace_folders.as_ref();
    let mut uris: Vec<&str> = match folders {
        Some(WorkspaceFolders::WorkspaceFolderList(folders)) => {
            folders.iter().map(|folder| folder.uri.0.as_str()).collect()
        }
        _ => Vec::new(),
    };
    #[expect(deprecated, reason = "older clients send nothing else")]
    let root = params.root_uri.as_ref();
    uris.extend(root.map(|root| root.0.as_str()));
    uris.into_iter().filter_map(uri::path).collect()
}

/// Parses the parameters of a message.
fn read<T: DeserializeOwned>(params: Value) -> Result<T, (ErrorCode, String)> {
    serde_json::from_value(params).map_err(|error| (ErrorCode::InvalidParams, error.to_string()))
}

fn shown(value: impl Serialize) -> Answer {
    serde_json::to_value(value).map_err(|error| (ErrorCode::InternalError, error.to_string()))
}
