//! `macula report` and `macula compare --html`: pages of pipelines, runs and sweeps.

use crate::space::Space;

const PIPELINE: &str = r#"pipeline small seed=7 {
    doc "A <tiny> study."
    synthetic eyes { photographs 12; size 192; photographs-per-patient 1; healthy 0.25; severity 2.0 }
    extract patches { from eyes; size 48; masks #true }
    split folds { from patches; by patient; train 0.5; valid 0.2; test 0.3 }
    train classifier { data folds.train; valid folds.valid; network shallow-cnn; epochs 2; batch 16 }
    threshold-tune cuts { model classifier; data folds.valid }
    eval scores { model classifier; thresholds cuts; data folds.test }
    eval plain { model classifier; data folds.test }
}

sweep rates {
    over classifier.epochs 1 2
    repeat 2 only=classifier
    rank by=scores.mean-average-precision
}
"#;

const EXTENDED: &str = r#"pipeline longer {
    extends "pipeline.kdl" pipeline=small
    train classifier { epochs 1 }
}
"#;

fn made() -> Space {
    let space = Space::with(PIPELINE);
    space.macula("run pipeline.kdl --pipeline small").code(0);
    space
}

/// What is on a page besides its pictures.
fn text(space: &Space, file: &str) -> String {
    let page = space.read(file);
    let mut text = String::new();
    for (at, part) in page.split(";base64,").enumerate() {
        let start = if at == 0 { 0 } else { part.find('"').unwrap_or(0) };
        text.push_str(&part[start..]);
    }
    text
}

#[test]
fn a_page_of_a_pipeline_without_a_report_has_its_results_and_its_facts() {
    let space = made();
    let said = space.macula("report pipeline.kdl --pipeline small").code(0);
    assert!(said.stdout.starts_with("wrote results/small/report.html ("), "{}", said.stdout);
    let page = text(&space, "results/small/report.html");
    for words in [
        "A &lt;tiny&gt; study.",
        "macula run pipeline.kdl --pipeline small",
        "macula run pipeline.kdl --pipeline small --locked",
        "No lock file yet; that of these results has the digest",
        "Precision-recall curves",
        "ROC curves",
        "Counts by threshold",
        "Photographs, hardest first",
        "Paired comparison",
        "Provenance",
        "class=\"outline\"",
        "<td class=\"text\">training</td><td>",
        "<code>epochs</code></td><td class=\"text\">2</td><td class=\"text\">10</td>",
    ] {
        assert!(page.contains(words), "`{words}` is missing");
    }
    assert!(!page.contains("<script src") && !page.contains("loading=\"lazy\""));
    assert!(!page.contains(&space.path("").display().to_string()), "a folder of this machine is on the page");
    let lock = space.macula("lock pipeline.kdl --pipeline small").code(0);
    assert!(lock.stdout.starts_with("wrote "), "{}", lock.stdout);
    space.macula(&format!("report {} --pipeline small", space.path("pipeline.kdl").display())).code(0);
    let page = text(&space, "results/small/report.html");
    assert!(!page.contains(&space.path("").display().to_string()), "a folder of this machine is on the page");
    assert!(page.contains("small.lock.kdl</code> has these results; digest <code>"), "the lock file is compared");
}

#[test]
fn a_page_shows_every_error_within_five_megabytes() {
    let space = made();
    space.macula("report pipeline.kdl --pipeline small --output all.html").code(0).says(&["wrote all.html ("]);
    let page = space.read("all.html");
    assert!(page.len() < 5_000_000, "{} bytes", page.len());
    let gallery = page.split("id=\"gallery-0\"").nth(1).expect("a gallery").split("class=\"panel").next().unwrap_or("");
    let errors =
        gallery.matches("<figure class=\"missed\"").count() + gallery.matches("<figure class=\"false-alarm\"").count();
    let said = gallery.split("have an error").next().expect("a sentence").rsplit('>').next().expect("its start");
    let count: usize = said.split(' ').next().expect("a number").replace(',', "").parse().expect("a number");
    assert_eq!(errors, count, "as many pictures as errors");
    assert!(count > 16, "more than the examples that an evaluation keeps");
    space.macula("report pipeline.kdl --pipeline small --examples 0 --output none.html").code(0);
    assert!(!space.read("none.html").contains("id=\"gallery-0\""));
}

#[test]
fn a_page_of_a_run_is_about_that_run() {
    let space = made();
    let id = |at: usize| {
        let lines = space.macula("runs pipeline.kdl --pipeline small --json").code(0).raw.clone();
        let run: serde_json::Value = serde_json::from_str(lines.lines().nth(at).expect("a run")).expect("JSON");
        run["id"].as_str().expect("an id").to_owned()
    };
    let first = id(0);
    space.macula("run pipeline.kdl --pipeline small --set classifier.epochs=1").code(0);
    space.macula(&format!("report {first} --output first.html")).code(0);
    space.macula(&format!("report {} --output second.html", id(0))).code(0);
    let epochs =
        |value: &str| format!("<code>epochs</code></td><td class=\"text\">{value}</td><td class=\"text\">10</td>");
    assert!(text(&space, "first.html").contains(&epochs("2")));
    let second = text(&space, "second.html");
    assert!(second.contains(&epochs("1")) && second.contains("class=\"outline\""), "connected as it ran");
    space.macula("report no-such-run").code(2).says(&["no run and no file `no-such-run`"]);
}

#[test]
fn a_page_of_a_sweep_has_mean_and_spread_differences_and_curves() {
    let space = Space::with(PIPELINE);
    space.macula("report pipeline.kdl --sweep rates").code(2).says(&["no point of `rates` has a result yet"]);
    space.macula("run pipeline.kdl --sweep rates").code(0);
    space.macula("report pipeline.kdl --sweep rates").code(0).says(&["wrote results/rates/report.html ("]);
    let page = text(&space, "results/rates/report.html");
    let place = |words: &str| page.find(words).unwrap_or_else(|| panic!("`{words}` is missing"));
    let order = ["Mean and spread", "Paired comparison", "Learning curves", "How to repeat it"];
    let nav = page.find("</nav>").expect("a nav");
    let places: Vec<usize> =
        order.iter().map(|words| page[nav..].find(words).unwrap_or_else(|| place(words))).collect();
    assert!(places.is_sorted(), "{places:?}");
    let curves = page.split("Mean average precision, validation").nth(2).expect("a chart");
    let chart = curves.split("</svg>").next().unwrap_or("");
    let drawn = chart.matches("<path class=\"line").count() + chart.matches("<circle class=\"dot").count();
    assert!(drawn >= 4, "a curve for each of four models: {drawn}");
    space.macula("compare pipeline.kdl --sweep rates --html compared.html").code(0).says(&["wrote compared.html ("]);
    assert!(space.read("compared.html").contains("Mean and spread"));
    space.macula("compare pipeline.kdl scores plain --pipeline small --paired --html pair.html").code(0);
    let pair = space.read("pair.html");
    assert!(pair.contains("too few: ") && pair.contains("95% CI"), "differences, and why they have no interval");
}

#[test]
fn what_differs_from_the_extended_pipeline_is_on_the_page() {
    let space = made();
    space.write("longer.kdl", EXTENDED);
    space.macula("run longer.kdl scores").code(0);
    space.macula("report longer.kdl --output page.html").code(0);
    let page = text(&space, "page.html");
    assert!(page.contains("Differences from <code>small</code>"));
    assert!(page.contains("<td><code>classifier</code></td><td class=\"text\">epochs</td><td class=\"text\">2</td><td class=\"text\">1</td>"));
}

#[test]
fn a_file_that_is_not_a_page_is_kept() {
    let space = made();
    space.write("notes.html", "mine");
    space
        .macula("report pipeline.kdl --pipeline small --output notes.html")
        .code(2)
        .says(&["`notes.html` exists and is not a page of macula"]);
    assert_eq!(space.read("notes.html"), "mine");
    space.macula("report pipeline.kdl --pipeline small --output nowhere/page.html").code(3);
    let fresh = Space::with(PIPELINE);
    fresh.macula("report pipeline.kdl --pipeline small").code(2).says(&["nothing to report yet"]);
}
