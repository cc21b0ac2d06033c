//! Users' commands as stages: their inputs, permissions and outputs, and that outputs are checked before use.

mod commands;
mod labels;
mod leftovers;
mod models;
mod pins;
mod predictions;
mod rebuild;
mod sandbox;
mod sockets;

use std::process::Command;

use crate::missing::missing;
use crate::space::{Said, Space};

/// A project with a script and a pipeline that runs it by `sh`, with further statements for the stage.
fn space(script: &str, statements: &str) -> Space {
    let space = Space::with(&format!(
        "pipeline p seed=1 {{\n    files script {{ path \"run.sh\" }}\n    exec made {{\n        script script\n        \
         command sh \"inputs/script/run.sh\"\n        {statements}\n    }}\n}}\n"
    ));
    space.write("run.sh", script);
    space
}

/// A project whose command is a Python script. Names the interpreter itself: the one in PATH may be a shim for one in a
/// user's folder.
fn python(script: &str, gives: &str) -> Space {
    let space = space("", gives);
    let command = format!("command \"{}\" \"inputs/script/run.sh\"", predictions::python());
    space.edit("pipeline.kdl", "command sh \"inputs/script/run.sh\"", &command);
    space.write("run.sh", script);
    space
}

/// The binary with a trust file of the project's own.
fn command(space: &Space, arguments: &str) -> Command {
    let mut command = space.command(&arguments.split_whitespace().collect::<Vec<_>>());
    command.env("MACULA_TRUST", space.outside("trusted"));
    command
}

/// Runs the binary this way.
fn macula(space: &Space, arguments: &str) -> Said {
    space.finish(command(space, arguments))
}

/// Runs the pipeline, trusted.
fn run(space: &Space) -> Said {
    macula(space, "run --trust pipeline.kdl")
}

/// As [`macula`], without namespaces: a seccomp filter denies them, as in many containers.
#[cfg(target_os = "linux")]
fn without_namespaces(space: &Space, arguments: &str) -> Said {
    use seccompiler::{
        BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    };
    let flag = libc::CLONE_NEWNS.unsigned_abs().into();
    let asked = SeccompCondition::new(0, SeccompCmpArgLen::Qword, SeccompCmpOp::MaskedEq(flag), flag);
    let rule = SeccompRule::new(vec![asked.expect("a condition")]).expect("a rule");
    let rules = [(libc::SYS_clone, vec![rule])].into();
    let refuse = SeccompAction::Errno(libc::EPERM.unsigned_abs());
    let processor = std::env::consts::ARCH.try_into().expect("a processor with filters");
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, refuse, processor).expect("a filter");
    let program: BpfProgram = filter.try_into().expect("a program");
    // The filter applies to this thread and its children.
    std::thread::scope(|scope| {
        let run = scope.spawn(|| {
            seccompiler::apply_filter(&program).expect("the filter");
            macula(space, arguments)
        });
        run.join().expect("the run")
    })
}

/// Elsewhere there is no sandbox either.
#[cfg(not(target_os = "linux"))]
fn without_namespaces(space: &Space, arguments: &str) -> Said {
    macula(space, arguments)
}

/// Whether this system can sandbox commands; reports if it cannot.
fn confines() -> bool {
    let space = space("echo '{}' > outputs/a.json", "gives \"a.json\" json");
    let said = run(&space);
    let can = !said.stderr.contains("no-sandbox") && !said.stdout.contains("no-sandbox");
    if !can {
        missing("sandbox", "this system cannot sandbox commands");
    }
    can
}
