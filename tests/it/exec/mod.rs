//! Commands of the user's as stages: what they are given, what they may, what they leave, and that nothing of it is believed
//! unchecked.

mod commands;
mod predictions;
mod rebuild;
mod walls;

use std::process::Command;

use crate::missing::missing;
use crate::space::{Said, Space};

/// A project with a script and a pipeline that runs it by `sh`, with more statements for the stage.
fn space(script: &str, statements: &str) -> Space {
    let space = Space::with(&format!(
        "pipeline p seed=1 {{\n    files script {{ path \"run.sh\" }}\n    exec made {{\n        script script\n        \
         command sh \"inputs/script/run.sh\"\n        {statements}\n    }}\n}}\n"
    ));
    space.write("run.sh", script);
    space
}

/// The binary with a place for what is trusted that is the project's own.
fn command(space: &Space, arguments: &str) -> Command {
    let mut command = space.command(&arguments.split_whitespace().collect::<Vec<_>>());
    command.env(
        "MACULA_TRUST",
        space.path("../").join(format!(
            "{}.trusted",
            space.path("").file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned())
        )),
    );
    command
}

/// Runs the binary so.
fn macula(space: &Space, arguments: &str) -> Said {
    space.finish(command(space, arguments))
}

/// Runs the pipeline, trusted.
fn run(space: &Space) -> Said {
    macula(space, "run --trust pipeline.kdl")
}

/// Whether this system can confine commands; says so where it can't.
fn confines() -> bool {
    let space = space("echo '{}' > outputs/a.json", "gives \"a.json\" json");
    let said = run(&space);
    let can = !said.stderr.contains("no-sandbox") && !said.stdout.contains("no-sandbox");
    if !can {
        missing("sandbox", "this system can't confine commands");
    }
    can
}
