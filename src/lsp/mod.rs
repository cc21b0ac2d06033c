//! The language server: what an editor asks of a pipeline file. One request a file; reads the store and the records of runs
//! and writes neither; knows no data set and no network's arithmetic, so that it starts at once.
//!
//! `server` takes messages in their order and never waits: what may take long (what is cached, and why not) is found out by
//! the thread of `state`. `documents` holds the open texts, each analysed once a change by [`crate::lang::analyse`].

mod actions;
mod capabilities;
mod completion;
mod definition;
mod diagnostics;
mod docs;
mod documents;
mod formatting;
mod hints;
mod hover;
mod library;
mod position;
mod rename;
mod server;
mod state;
mod symbols;
mod uri;
mod view;
mod workspace;

use lsp_server::Connection;

use crate::run::World;
use crate::stage::Implementation;
use server::{Inbox, Server};

/// How a session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// The client said `shutdown`, then `exit`.
    InOrder,
    /// It said `exit` alone, or went away.
    Abruptly,
}

/// Serves a client on stdin and stdout until it is done. What stages do is handed in: the store's state of a pipeline
/// depends on it, and nothing of it is executed.
#[must_use]
pub fn on_stdio(world: &World, implementations: &'static [Implementation]) -> Ended {
    let (connection, threads) = Connection::stdio();
    let ended = serve(world, implementations, connection);
    // What could not be written any more has no reader.
    let _ = threads.join();
    ended
}

/// Serves the client at the other end of a connection until it is done.
#[must_use]
pub fn serve(world: &World, implementations: &'static [Implementation], connection: Connection) -> Ended {
    let (inbox, messages) = std::sync::mpsc::channel();
    let Connection { sender, receiver } = connection;
    let known = inbox.clone();
    let ask = state::begin(world.clone(), implementations, move |states| _ = known.send(Inbox::Known(states)));
    let begun = std::thread::Builder::new().spawn(move || {
        for message in receiver {
            if inbox.send(Inbox::Client(message)).is_err() {
                return;
            }
        }
        let _ = inbox.send(Inbox::Gone);
    });
    if begun.is_err() {
        return Ended::Abruptly;
    }
    Server::new(world, implementations, Box::new(move |message| _ = sender.send(message)), ask).run(&messages)
}
