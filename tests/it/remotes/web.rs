//! Remotes on web servers, including misbehaving ones.

use std::sync::atomic::Ordering;

use super::server::{Manner, Server};
use super::{project, pushed, results};
use crate::space::{Said, Space};

/// Runs a project whose only remote is `at`, with a timeout of a second.
fn run(at: &str) -> (Space, Said) {
    let space = project(&format!("\"{at}\" timeout=1"));
    let mut command = space.command(&["run", "pipeline.kdl"]);
    for name in ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"] {
        command.env_remove(name);
    }
    let said = space.finish(command);
    (space, said)
}

#[test]
fn a_pushed_folder_is_read_through_a_web_server() {
    let (first, folder) = pushed("photographs=#true");
    let server = Server::of(folder, Manner::Well);
    let (other, said) = run(&server.address);
    said.code(0).says(&["nothing to compute: 5 reused", "(from remote `lab`)"]);
    assert_eq!(results(&other), results(&first));
    other.macula("store verify").code(0).says(&["store is intact"]);
    let asked = server.asked.load(Ordering::SeqCst);
    assert!(asked <= 60, "{asked} requests for 5 results");
}

#[test]
fn a_server_that_is_busy_now_and_then_is_asked_again() {
    let (_first, folder) = pushed("photographs=#true");
    let server = Server::of(folder, Manner::Busy);
    let (_, said) = run(&server.address);
    said.code(0).says(&["nothing to compute: 5 reused"]).says_not(&["warning[remote]"]);
}

#[test]
fn a_server_that_misbehaves_is_reported_once_and_the_run_continues_without_it() {
    let (first, folder) = pushed("photographs=#true");
    let refused = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        format!("http://{}", listener.local_addr().expect("an address"))
    };
    let of = |manner| Server::of(folder.clone(), manner);
    for (server, says) in [
        (Some(of(Manner::Silent)), "did not respond for"),
        (Some(of(Manner::Locked)), "responded with 401"),
        (Some(of(Manner::Cut)), "cannot be read"),
        (None, "cannot be"),
    ] {
        let (other, said) = run(server.as_ref().map_or(&refused, |server| &server.address));
        let said = said.code(0).says(&["5 computed, 0 reused", says]);
        assert_eq!(said.stdout.matches("warning[remote]").count(), 1, "{}", said.stdout);
        assert_eq!(results(&other), results(&first));
        let asked = server.map_or(0, |server| server.asked.load(Ordering::SeqCst));
        assert!(asked <= 4, "one request, and three more of one that is cut off: {asked}");
    }
    let (other, said) = run(&of(Manner::Corrupt).address);
    said.code(0).says(&["5 computed, 0 reused", "is damaged and is ignored"]);
    assert_eq!(results(&other), results(&first));
}
