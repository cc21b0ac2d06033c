//! What `plan` counts and waits for, and how `why` follows a change to where it began.

use crate::space::Space;

const PIPELINE: &str = "pipeline prepared seed=7 {
    folder eyes { root \"photographs\"; photographs \"*.png\"; masks MA \"m/*.png\"; absent-mask absent }
    extract patches { from eyes; size 32 }
    filter-black visible { from patches }
    augment views { from visible; flip horizontal=0.5 }
}
";

fn picture(level: u8) -> Vec<u8> {
    let grey = image::GrayImage::from_fn(64, 64, |x, y| image::Luma([level + (x * y % 50) as u8]));
    let mut png = std::io::Cursor::new(Vec::new());
    image::DynamicImage::ImageLuma8(grey).to_rgb8().write_to(&mut png, image::ImageFormat::Png).expect("a PNG");
    png.into_inner()
}

fn space() -> Space {
    let space = Space::with(PIPELINE);
    for (eye, level) in [("one", 60), ("two", 100)] {
        space.write(&format!("photographs/{eye}.png"), picture(level));
    }
    let mask = image::GrayImage::from_fn(64, 64, |x, y| image::Luma([if x < 8 && y < 8 { 255 } else { 0 }]));
    let mut png = std::io::Cursor::new(Vec::new());
    image::DynamicImage::ImageLuma8(mask).write_to(&mut png, image::ImageFormat::Png).expect("a PNG");
    space.write("photographs/m/one.png", png.into_inner());
    space
}

#[test]
fn a_plan_counts_stages_and_says_what_waits_for_what() {
    let space = space();
    space.macula("plan pipeline.kdl").code(0).says(&[
        "prepared: 4 stages: 1 will run (new), 0 reused, 2 wait (new), 1 source",
        "visible waits for patches",
        "views waits for visible",
        "estimated time: not known",
    ]);
    space.macula("run pipeline.kdl").code(0);
    space
        .macula("plan pipeline.kdl")
        .code(0)
        .says(&["4 stages: 0 will run, 3 reused, 1 source"])
        .says_not(&["estimated"]);
    space.edit("pipeline.kdl", "size 32", "size 16");
    let plan = space.macula("plan pipeline.kdl").code(0);
    let plan =
        plan.says(&["1 will run (changed), 0 reused, 2 wait, 1 source", "size 32 -> 16", "if all waiting stages run"]);
    assert!(plan.raw.lines().any(|line| line.starts_with("  patches") && line.contains('~')), "{}", plan.raw);
    let coloured = space.macula("plan pipeline.kdl --color always").code(0).raw;
    assert!(coloured.contains("\u{1b}[32mwill run\u{1b}[0m"), "{coloured}");
    let json: serde_json::Value =
        serde_json::from_str(&space.macula("plan pipeline.kdl --json").code(0).raw).expect("JSON");
    assert_eq!(json["stages"][3]["waits"], serde_json::json!(["visible"]));
    assert_eq!(json["stages"][3]["until"], serde_json::json!(["patches"]));
    assert!(json["stages"][1]["estimate"].is_f64(), "{json:#}");
}

#[test]
fn an_error_of_a_plan_is_printed_once() {
    let space = space();
    space.edit("pipeline.kdl", "m/*.png", "nothing/*.png");
    let said = space.macula("plan pipeline.kdl").code(1);
    let all = format!("{}{}", said.stdout, said.stderr);
    assert_eq!(all.matches("error[").count(), 1, "{all}");
    let message = said.stderr.lines().next().and_then(|line| line.split_once(": ")).expect("an error").1;
    assert!(!message.is_empty() && !said.stdout.contains(message), "{all}");
    said.says(&["4 stages: 0 will run, 0 reused, 4 cannot run", "patches cannot run needs eyes"]);
}

#[test]
fn why_follows_a_change_to_the_parameter_that_changed_first() {
    let space = space();
    space.macula("run pipeline.kdl").code(0);
    space.edit("pipeline.kdl", "size 32", "size 16");
    let chain = ["patches.size", "32 -> 16", "pipeline.kdl:3", "chain: patches -> visible -> views"];
    space
        .macula("why pipeline.kdl views")
        .code(0)
        .says(&chain)
        .says(&["`views` waits for `visible`; it runs again if"]);
    // Computed so far in another run: what is compared with is the last run of the stage itself.
    space.macula("run pipeline.kdl visible").code(0);
    space.macula("why pipeline.kdl views").code(0).says(&chain).says(&["`views` will run"]);
    space.edit("pipeline.kdl", "horizontal=0.5", "horizontal=0.25");
    space.macula("why pipeline.kdl views").code(0).says(&chain).says(&[
        "flip.horizontal",
        "0.5 -> 0.25",
        "pipeline.kdl:5",
    ]);
    // A reference to another output is a change where it is written.
    space.write("pipeline.kdl", PIPELINE.replace("from visible; flip", "from visible.dropped; flip"));
    space.macula("why pipeline.kdl views").code(0).says(&["from visible.kept", "-> visible.dropped", "pipeline.kdl:5"]);
}

#[test]
fn why_names_the_files_that_changed() {
    let space = space();
    space.macula("run pipeline.kdl").code(0);
    space.write("photographs/two.png", picture(140));
    space.write("photographs/three.png", picture(20));
    let files = ["1 file changed, 1 added: two/photograph.png, three/photograph.png", "pipeline.kdl:2"];
    space.macula("why pipeline.kdl eyes").code(0).says(&files);
    space.macula("why pipeline.kdl patches").code(0).says(&files).says(&["chain: eyes -> patches"]);
    space.macula("why pipeline.kdl views").code(0).says(&files).says(&["chain: eyes -> patches -> visible -> views"]);
}
