//! What people see on a terminal while it works: the binary runs on a pseudo-terminal, and the test reads the screen.

mod golden;
mod out;
mod overview;
mod reasons;
mod screen;
mod screens;
mod widths;

use screen::{Screen, Terminal};

use crate::space::Space;

/// The pattern of the quick start, small.
const QUICK: &str = "pipeline quick seed=7 {
    synthetic eyes { photographs 8; size 160; photographs-per-patient 1; healthy 0.25; severity 2.0 }
    extract patches { from eyes; size 32; label min-pixels=1 }
    filter-black visible { from patches }
    split folds { from visible; by patient; train 0.5; valid 0.25; test 0.25 }
    augment views { from folds.train; flip horizontal=0.5 }
    train classifier { data views; valid folds.valid; network shallow-cnn; epochs 3; batch 16 }
    threshold-tune cuts { model classifier; data folds.valid; maximize f1 }
    eval scores { model classifier; thresholds cuts; data folds.test }
    report page { of eyes patches visible folds.train classifier cuts scores }
}
";

/// A training long enough to be looked at; it is stopped.
const TRAINING: &str = "pipeline seen seed=7 {
    synthetic eyes { photographs 6; size 192 }
    extract patches { from eyes; size 32 }
    split folds { from patches; by patient; train 0.34; valid 0.33; test 0.33 }
    augment views { from folds.train; flip horizontal=0.5 }
    train classifier { data views; valid folds.valid; network shallow-cnn; epochs 2000; batch 16 }
    eval scores { model classifier; data folds.test }
}
";

/// The same on a terminal of some size.
fn start(space: &Space, columns: u16, rows: u16, environment: &[(&str, &str)]) -> Terminal {
    let mut command = space.command(&["run", "pipeline.kdl"]);
    command.env("TERM", "xterm-256color").env("LANG", "C.UTF-8").env_remove("LC_ALL").env_remove("LC_CTYPE");
    command.envs(environment.iter().copied());
    Terminal::start(command, columns, rows)
}

/// The line of the screen that holds both.
fn line(screen: &Screen, one: &str, other: &str) -> Option<String> {
    screen.shown().into_iter().find(|line| line.contains(one) && line.contains(other))
}

/// What is drawn below the lines that scroll: from the head on.
fn drawn(screen: &Screen) -> Vec<String> {
    let lines = screen.shown();
    let head = lines.iter().rposition(|line| line.contains(" stages  ")).expect("a head");
    lines[head..].iter().filter(|line| !line.is_empty()).cloned().collect()
}

fn in_a_later_epoch(screen: &Screen) -> bool {
    // The screen is drawn now and then, and epochs may be shorter than that.
    line(screen, "/2000", "; validation: loss").is_some() && line(screen, " left", "classifier").is_some()
}

#[test]
fn a_training_shows_how_far_it_is_how_fast_and_how_well() {
    let space = Space::with(TRAINING);
    let mut terminal = start(&space, 100, 24, &[]);
    terminal.until("a later epoch", in_a_later_epoch);
    let screen = &terminal.screen;
    let row = line(screen, "classifier", "batches").expect("a line for the stage");
    assert!(
        row.contains('━') && ["/s  ", "/min  "].iter().any(|rate| row.contains(rate)) && row.contains(" left"),
        "{row}"
    );
    let head = line(screen, "seen", "/6 stages").expect("a head");
    assert!(head.contains("1 running") && head.contains("0 reused"), "{head}");
    assert!(screen.coloured);
    let drawn = drawn(screen);
    assert!(drawn.len() == 3 && drawn.iter().all(|line| line.chars().count() < 100), "{drawn:?}");
    assert!(screen.all().contains("folds"), "what ended scrolls above");
    terminal.press(b"\x03");
    terminal.until("that it stops", |screen| {
        screen.all().contains("finishing current steps, then stopping; press Ctrl-C again to quit now")
    });
    assert_eq!(terminal.end(), Some(130));
    let all = terminal.screen.all();
    assert!(!all.contains("/6 stages"), "what was drawn is taken away:\n{all}");
    assert!(all.contains("run again to continue"), "{all}");
}

#[test]
fn a_narrow_low_terminal_is_never_overrun() {
    let space = Space::with(TRAINING);
    let mut terminal = start(&space, 40, 6, &[("NO_COLOR", "1")]);
    terminal
        .until("the stage", |screen| line(screen, "classifier", "/").is_some() && line(screen, "epoch", "").is_some());
    assert!(!terminal.screen.coloured);
    let all = terminal.screen.all();
    assert_eq!(all.matches("/6 stages").count(), 1, "nothing of it scrolled away:\n{all}");
    terminal.resize(60, 3);
    terminal.until("the stage after the terminal changed", |screen| {
        screen.shown().iter().any(|line| line.contains("classifier") && line.chars().count() > 40)
    });
    terminal.resize(24, 2);
    terminal.until("the head alone", |screen| {
        screen.shown().first().is_some_and(|line| line.contains("seen") && line.chars().count() < 24)
    });
    terminal.press(b"\x03");
    assert_eq!(terminal.end(), Some(130));
}

#[test]
fn without_utf_8_it_is_drawn_in_ascii() {
    let space = Space::with(TRAINING);
    let mut terminal = start(&space, 90, 24, &[("LANG", "C"), ("NO_COLOR", "1")]);
    terminal.until("a later epoch", in_a_later_epoch);
    let shown = drawn(&terminal.screen).join("\n");
    assert!(shown.is_ascii() && shown.contains("...."), "{shown}");
    terminal.press(b"\x03");
    assert_eq!(terminal.end(), Some(130));
}

#[test]
fn a_second_ctrl_c_ends_at_once_and_loses_nothing_that_was_finished() {
    // A command that hears no wish to stop for as long as it is let.
    let space = Space::new();
    let woke = space.path("woke");
    let pipeline = format!(
        "pipeline deaf {{
    synthetic eyes {{ photographs 4; size 192 }}
    extract patches {{ from eyes; size 32 }}
    exec sleeper {{ command sh \"-c\" \"trap '' TERM; sleep 60; echo > {}\"; gives \"out\" any }}
}}
",
        woke.display()
    );
    space.write("pipeline.kdl", pipeline);
    let mut command = space.command(&["run", "--trust", "--unconfined", "pipeline.kdl"]);
    command.env("TERM", "xterm").env("LANG", "C.UTF-8").env("MACULA_TRUST", space.path("trusted"));
    let mut terminal = Terminal::start(command, 80, 24);
    terminal.until("the command alone", |screen| {
        line(screen, "sleeper", "s").is_some() && line(screen, "patches", "computed  ").is_some()
    });
    terminal.press(b"\x03");
    terminal.until("that it stops", |screen| line(screen, "deaf", "Ctrl-C again quits now").is_some());
    terminal.press(b"\x03");
    assert_eq!(terminal.end(), Some(130));
    assert!(!woke.exists(), "it did not wait for the command");
    // The terminal itself shows the key.
    assert!(["", "^C"].contains(&terminal.screen.last().as_str()), "below what was drawn:\n{}", terminal.screen.all());
    let planned = space.macula("plan pipeline.kdl").stdout;
    assert!(planned.contains("1 will run") && planned.contains("reused"), "{planned}");
    let verified = space.macula("store verify");
    assert_eq!(verified.code, Some(0), "{}", verified.stdout);
}
