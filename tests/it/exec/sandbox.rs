//! The sandbox: undeclared files can neither be read nor written, and there is no network.

use super::{confines, macula, python, run, space, without_namespaces};

const ONE: &str = "gives \"a.json\" json";

#[test]
fn a_file_that_was_not_declared_cannot_be_read_and_is_named() {
    if !confines() {
        return;
    }
    let space = space("", ONE);
    space.write("secret.txt", "secret");
    let secret = space.path("secret.txt").canonicalize().expect("a path").display().to_string();
    space.write("run.sh", format!("cat {secret} > tmp/x && echo 1 > outputs/a.json\n"));
    run(&space).code(1).says(&["undeclared-path", "no access to `[space]/secret.txt`"]);
    // A command that continues anyway gets a warning.
    space.write("run.sh", format!("cat {secret} > tmp/x; echo 1 > outputs/a.json\n"));
    run(&space).code(0).says(&["undeclared-path", "continued without it"]);
    // Allowed once declared.
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
    // In a process namespace it does not even exist.
    run(&space).code(1).says_not(&["PATH="]);
    without_namespaces(&space, "run --trust pipeline.kdl").code(1).says(&["ermission denied"]);
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
    // UDP is denied if the system has network namespaces.
    let space = super::space(
        "python3 -c 'import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b\"x\", (\"192.0.2.1\", 9))' && echo 1 > outputs/a.json\n",
        ONE,
    );
    run(&space).code(1);
    without_namespaces(&space, "run --trust pipeline.kdl").code(1).says(&["command-failed"]);
}

#[test]
fn without_walls_inputs_are_copies_and_the_flag_must_be_given() {
    let space =
        space("chmod u+w inputs/script/run.sh; echo more >> inputs/script/run.sh; echo 1 > outputs/a.json\n", ONE);
    macula(&space, "run --trust --unconfined pipeline.kdl").code(0);
    assert!(!space.read("run.sh").contains("more\nmore") && space.read("run.sh").ends_with("a.json\n"));
}

#[test]
fn a_program_of_a_home_opens_no_home_and_an_environment_near_the_root_is_opened() {
    if !confines() {
        return;
    }
    let space = space("", ONE);
    // Outside the project, only the program itself is readable.
    let home = tempfile::tempdir().expect("a folder");
    let write = |path: &str, text: &str| {
        let path = home.path().join(path);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        std::fs::write(&path, text).expect("written");
        path
    };
    write(".ssh/key", "PRIVATE");
    write(".local/share/keyrings/key", "PRIVATE");
    write(".local/lib/words", "public");
    let read = "#!/bin/sh\nhere=$(dirname \"$0\")\ncat \"$here\"/../.ssh/key \"$here\"/../share/keyrings/key \"$here\"/../lib/words > outputs/a.json\ntrue\n";
    let asked = |at: &str| {
        use std::os::unix::fs::PermissionsExt;
        // A different command in each place: the same one would have the same key.
        let name = format!("tool-{}", at.len());
        let tool = write(&format!("{at}/{name}"), read);
        std::fs::set_permissions(&tool, std::fs::Permissions::from_mode(0o755)).expect("a mode");
        space.edit("pipeline.kdl", "command tool", &format!("command {name}"));
        let mut asked = super::command(&space, "run --trust pipeline.kdl");
        let path = std::env::var("PATH").unwrap_or_default();
        asked.env("HOME", home.path()).env("PATH", format!("{}:{path}", home.path().join(at).display()));
        space.finish(asked).code(0);
        space.edit("pipeline.kdl", &format!("command {name}"), "command tool");
        space.read("results/p/made/a.json")
    };
    space.edit("pipeline.kdl", "command sh \"inputs/script/run.sh\"", "command tool");
    space.edit("pipeline.kdl", "\"a.json\" json", "\"a.json\" any");
    assert_eq!(asked("bin"), "");
    assert_eq!(asked(".local/bin"), "public");
}

#[test]
fn the_limits_modes_and_times_of_what_is_not_its_own_are_out_of_reach() {
    if !confines() {
        return;
    }
    let victim = std::process::Command::new("sleep").arg("300").spawn();
    let mut victim = victim.expect("a process");
    let id = victim.id();
    let script = format!(
        "import os, resource\nfound = ''\n\
         def tried(name, call):\n    global found\n    try:\n        call()\n        found += name + ' was allowed, '\n    except OSError:\n        pass\n\
         tried('prlimit', lambda: resource.prlimit({id}, resource.RLIMIT_CPU, (1, 1)))\n\
         tried('setpriority', lambda: os.setpriority(os.PRIO_PROCESS, {id}, 19))\n\
         tried('affinity', lambda: os.sched_setaffinity({id}, [0]))\n\
         tried('kill', lambda: os.kill({id}, 15))\n\
         for path in ['inputs/script/run.sh', os.environ['VICTIM'], '/usr/bin', '/dev/null']:\n    \
             tried('chmod ' + path, lambda: os.chmod(path, 0o777))\n    \
             tried('utime ' + path, lambda: os.utime(path, (0, 0)))\n    \
             tried('chown ' + path, lambda: os.chown(path, os.getuid(), os.getgid()))\n    \
             tried('setxattr ' + path, lambda: os.setxattr(path, 'user.x', b'1'))\n    \
             tried('fchmod ' + path, lambda: os.fchmod(os.open(path, os.O_RDONLY), 0o777))\n\
         open('outputs/a.json', 'w').write(found)\n\
         resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))\n\
         os.sched_setaffinity(0, os.sched_getaffinity(0))\n"
    );
    let space = python(&script, ONE);
    space.write("secret", "x");
    let secret = space.path("secret").canonicalize().expect("a path").display().to_string();
    space.edit(
        "pipeline.kdl",
        ONE,
        &format!("gives \"a.json\" any; environment VICTIM \"{secret}\"; reads \"{secret}\""),
    );
    run(&space).code(0);
    assert_eq!(space.read("results/p/made/a.json"), "");
    std::fs::remove_dir_all(space.path(".macula")).expect("the store goes");
    without_namespaces(&space, "run --trust pipeline.kdl").code(0);
    assert_eq!(space.read("results/p/made/a.json"), "");
    assert!(victim.try_wait().expect("it can be asked").is_none(), "it was ended");
    victim.kill().and_then(|()| victim.wait()).expect("it ends");
}

#[cfg(unix)]
#[test]
fn of_a_program_that_only_starts_another_one_the_other_is_asked_for() {
    use std::os::unix::fs::PermissionsExt as _;

    if !confines() {
        return;
    }
    let elsewhere = crate::space::Space::new();
    let real = elsewhere.path("libexec/real").display().to_string();
    let shim = elsewhere.path("shims/python9");
    elsewhere.write("libexec/real", "#!/bin/sh\nexec python3 \"$@\"\n");
    elsewhere.write("shims/python9", format!("#!/usr/bin/env bash\nexec \"{real}\" \"$@\"\n"));
    for file in ["libexec/real", "shims/python9"] {
        let allowed = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(elsewhere.path(file), allowed).expect("permissions");
    }
    let space = space("", ONE);
    space.edit("pipeline.kdl", "command sh", "command python9");
    let mut command = super::command(&space, "run --trust pipeline.kdl");
    command.env("PATH", format!("{}:/usr/bin:/bin", shim.parent().expect("a folder").display()));
    space.finish(command).code(1).says(&[
        "undeclared-path",
        "is a script that starts the real `python9`: write the path of that program in `command`",
        "sys.executable",
    ]);
}
