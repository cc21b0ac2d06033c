//! The language server for pipeline files. One file per request; reads the store and run records, and writes neither; knows
//! no data sets and no network arithmetic, so that it starts instantly.
//!
//! `server` handles messages in order and never blocks: slow questions (what is cached, and why not) are answered by the thread
//! of `state`. `documents` holds the open texts, each analysed once per change by [`crate::lang::analyse`].

mod actions;
mod capabilities;
mod commands;
mod completion;
mod definition;
mod diagnostics;
mod docs;
mod documents;
mod formatting;
mod hints;
mod hover;
mod legend;
mod lenses;
mod library;
mod position;
mod rename;
mod server;
mod stage_nodes;
mod state;
mod symbols;
mod tokens;
mod uri;
mod view;
mod workspace;
mod workspace_symbols;

use lsp_server::Connection;

use crate::run::Host;
use crate::stage::Implementation;
use server::{Inbox, Server};

/// How a session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionEnd {
    /// The client sent `shutdown`, then `exit`.
    InOrder,
    /// It sent `exit` without `shutdown`, or disconnected.
    Abruptly,
}

/// Serves a client on stdin and stdout until it is done. Implementations are passed in because the cache state of a pipeline
/// depends on them; none is executed.
#[must_use]
pub fn on_stdio(host: &Host, implementations: &'static [Implementation]) -> SessionEnd {
    let (connection, threads) = Connection::stdio();
    let ended = serve(host, implementations, connection);
    // Unsent messages have no reader any more.
    let _ = threads.join();
    ended
}

/// Serves the client at the other end of a connection until it is done.
#[must_use]
pub fn serve(host: &Host, implementations: &'static [Implementation], connection: Connection) -> SessionEnd {
    let (inbox, messages) = std::sync::mpsc::channel();
    let Connection { sender, receiver } = connection;
    let known = inbox.clone();
    let ask = state::begin(host.clone(), implementations, move |states| _ = known.send(Inbox::Known(states)));
    let begun = std::thread::Builder::new().spawn(move || {
        for message in receiver {
            if inbox.send(Inbox::Client(message)).is_err() {
                return;
            }
        }
        let _ = inbox.send(Inbox::Gone);
    });
    if begun.is_err() {
        return SessionEnd::Abruptly;
    }
    Server::new(host, implementations, Box::new(move |message| _ = sender.send(message)), ask).run(&messages)
}
