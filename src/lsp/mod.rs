//! The language server: what an editor asks of a pipeline file. One request a file; reads the store and the records of runs
//! and writes neither; knows no data set and no network's arithmetic, so that it starts at once.
//!
//! `server` takes messages in their order and never waits: what may take long (what is cached, and why not) is found out by
//! the thread of `state`. `documents` holds the open texts, each analysed once a change by [`crate::lang::analyse`].

mod capabilities;
mod diagnostics;
mod documents;
mod formatting;
mod library;
mod position;
mod server;
mod symbols;
mod uri;

use lsp_server::Connection;

use crate::run::World;

/// How a session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// The client said `shutdown`, then `exit`.
    InOrder,
    /// It said `exit` alone, or went away.
    Abruptly,
}

/// Serves a client on stdin and stdout until it is done.
#[must_use]
pub fn on_stdio(world: &World) -> Ended {
    let (connection, threads) = Connection::stdio();
    let ended = serve(world, connection);
    // What could not be written any more has no reader.
    let _ = threads.join();
    ended
}

/// Serves the client at the other end of a connection until it is done.
#[must_use]
pub fn serve(world: &World, connection: Connection) -> Ended {
    let (inbox, messages) = std::sync::mpsc::channel();
    let Connection { sender, receiver } = connection;
    std::thread::spawn(move || {
        for message in receiver {
            if inbox.send(server::Inbox::Client(message)).is_err() {
                return;
            }
        }
        let _ = inbox.send(server::Inbox::Gone);
    });
    server::Server::new(world, Box::new(move |message| _ = sender.send(message))).run(&messages)
}
