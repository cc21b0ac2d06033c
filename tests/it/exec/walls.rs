//! The walls: what is not declared can be neither read nor written, and there is no network.

use super::{confines, macula, run, space};

const ONE: &str = "gives \"a.json\" json";

#[test]
fn a_file_that_was_not_declared_can_not_be_read_and_is_named() {
    if !confines() {
        return;
    }
    let space = space("", ONE);
    space.write("secret.txt", "secret");
    let secret = space.path("secret.txt").canonicalize().expect("a path").display().to_string();
    space.write("run.sh", format!("cat {secret} > tmp/x && echo 1 > outputs/a.json\n"));
    run(&space).code(1).says(&["undeclared-path", "it was kept from `[space]/secret.txt`"]);
    // One that goes on without it is warned of.
    space.write("run.sh", format!("cat {secret} > tmp/x; echo 1 > outputs/a.json\n"));
    run(&space).code(0).says(&["undeclared-path", "went on without"]);
    // Declared, it may.
    space.edit("pipeline.kdl", ONE, &format!("{ONE}; reads \"{secret}\""));
    space.write("run.sh", format!("cat {secret} > tmp/x && echo 1 > outputs/a.json\n"));
    run(&space).code(0).says_not(&["undeclared-path"]);
}

#[test]
fn nothing_is_written_outside_and_no_input_is_changed() {
    if !confines() {
        return;
    }
    let space = space("", ONE);
    let outside = space.path("").canonicalize().expect("a path").join("outside").display().to_string();
    space.write("run.sh", format!("echo 1 > {outside} && echo 1 > outputs/a.json\n"));
    run(&space).code(1).says(&["undeclared-path", "`[space]/outside`"]);
    assert!(!space.path("outside").exists());
    let script = "chmod u+w inputs/script/run.sh; echo changed >> inputs/script/run.sh && echo 1 > outputs/a.json\n";
    space.write("run.sh", script);
    run(&space).code(1);
    assert_eq!(space.read("run.sh"), script);
    space.write("run.sh", "rm -f inputs/script/run.sh && echo 1 > outputs/a.json\n");
    run(&space).code(1);
}

#[test]
fn what_other_processes_hold_is_out_of_reach() {
    if !confines() {
        return;
    }
    let space = space("", ONE);
    space.write("run.sh", format!("cat /proc/{}/environ > tmp/x && echo 1 > outputs/a.json\n", std::process::id()));
    run(&space).code(1).says(&["ermission denied"]);
}

#[test]
fn there_is_no_network_unless_it_is_declared() {
    if !confines() {
        return;
    }
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let connect = format!(
        "python3 -c 'import socket; socket.create_connection((\"127.0.0.1\", {port}), 5)' && echo 1 > outputs/a.json\n"
    );
    let space = space(&connect, ONE);
    run(&space).code(1).says(&["command-failed"]);
    space.edit("pipeline.kdl", ONE, &format!("{ONE}; network #true"));
    run(&space).code(0);
    // Packets without a connection are denied where the system gives a network of its own.
    let space = super::space(
        "python3 -c 'import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b\"x\", (\"192.0.2.1\", 9))' && echo 1 > outputs/a.json\n",
        ONE,
    );
    let said = run(&space);
    if said.code == Some(0) {
        println!("this system has no network namespace for users: UDP is open");
    }
}

#[test]
fn without_walls_inputs_are_copies_and_the_flag_must_be_given() {
    let space =
        space("chmod u+w inputs/script/run.sh; echo more >> inputs/script/run.sh; echo 1 > outputs/a.json\n", ONE);
    macula(&space, "run --trust --unconfined pipeline.kdl").code(0);
    assert!(!space.read("run.sh").contains("more\nmore") && space.read("run.sh").ends_with("a.json\n"));
}
