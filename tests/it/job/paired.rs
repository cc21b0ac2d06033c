//! `compare --paired` through the binary.

use serde_json::Value;

use crate::space::{Said, Space};

const TWO: &str = r"pipeline two seed=7 {
    synthetic eyes { photographs 44; size 128; photographs-per-patient 1; healthy 0.0; severity 3.0 }
    extract patches { from eyes; size 32 }
    split folds { from patches; by patient; train 0.3; valid 0.2; test 0.5 }
    train classifier {
        data folds.train
        valid folds.valid
        network shallow-cnn
        epochs 1
        batch 32
    }
    train other {
        data folds.train
        valid folds.valid
        network shallow-cnn
        epochs 2
        batch 32
    }
    eval scores { model classifier; data folds.test }
    eval second { model other; data folds.test; within-photograph #true }
    eval elsewhere { model other; data folds.valid }
    report page { of scores second elsewhere }
}

sweep rates {
    over classifier.optimizer.lr 1e-3 1e-4
    repeat 2 only=classifier
    rank by=scores.mean-average-precision
}
";

pub(super) fn json(said: &Said) -> Value {
    serde_json::from_str(&said.raw).unwrap_or_else(|error| panic!("{error}: {}", said.raw))
}

/// A metric of one comparison.
pub(super) fn metric<'v>(compared: &'v Value, pair: usize, name: &str) -> &'v Value {
    let metrics = compared["comparisons"][pair]["metrics"].as_array().expect("metrics");
    metrics.iter().find(|metric| metric["metric"] == name).unwrap_or_else(|| panic!("{name} in {compared:#}"))
}

#[test]
fn evaluations_of_the_same_patches_are_compared() {
    let space = Space::with(TWO);
    space
        .macula("compare pipeline.kdl --pipeline two scores second --paired")
        .code(2)
        .says(&["`scores` has no result yet"]);
    space.macula("run pipeline.kdl --pipeline two").code(0);
    let ask = "compare pipeline.kdl --pipeline two scores second --paired";
    let said = space.macula(ask).code(0);
    let first = said.raw.lines().next().expect("a line").to_owned();
    assert!(first.contains("`second`") && first.contains("`scores`"), "the verdict comes first: {}", said.raw);
    let said =
        said.says(&["average precision within photographs", "Hamming loss", "2,000 bootstrap draws of patients"]);
    assert!(said.raw.lines().all(|line| line.chars().count() <= 80), "{}", said.raw);

    let compared = json(&space.macula(&format!("{ask} --json")).code(0));
    let ap = metric(&compared, 0, "mean-average-precision");
    let (low, high) = (ap["interval"]["low"].as_f64(), ap["interval"]["high"].as_f64());
    let difference = ap["second"].as_f64().expect("a value") - ap["first"].as_f64().expect("a value");
    assert!((ap["difference"].as_f64().expect("a value") - difference).abs() < 1e-12, "{ap}");
    assert!(low.expect("an interval") <= difference && difference <= high.expect("an interval"), "{ap}");
    assert!(compared["verdicts"][0].as_str().is_some_and(|text| first.starts_with(&text[..20])), "{compared:#}");
    // The values are those that the stages report, `within-photograph` included.
    let shown = json(&space.macula("show pipeline.kdl --pipeline two second --no-pictures --json").code(0));
    for name in ["mean-average-precision", "within-photograph-average-precision.HE", "hamming-loss", "recall.EX"] {
        let (shown, own) = (&shown["summary"]["figures"][name], &metric(&compared, 0, name)["second"]);
        let (shown, own) = (shown.as_f64().unwrap_or_else(|| panic!("{name}")), own.as_f64().expect("a value"));
        assert!((shown - own).abs() < 1e-12, "{name}: {shown} and {own}");
    }
    // The report page has the same numbers; what was evaluated on other patches is not compared.
    let page = std::fs::read_to_string(space.path("results/two/page/report.html")).expect("a page");
    let section = page.split("id=\"comparison\"").nth(1).and_then(|rest| rest.split("<h2").next()).expect("a section");
    let verdict = compared["verdicts"][0].as_str().expect("a verdict");
    let number = verdict.split(' ').find(|word| word.starts_with('[')).expect("an interval").trim_start_matches('[');
    assert!(section.contains(number.trim_end_matches(',')), "{verdict}\n{section}");
    assert!(section.contains("2,000 bootstrap draws of patients"), "{section}");
    let reason = "<code>scores</code> and <code>elsewhere</code> are evaluated on different patches";
    assert!(section.contains(reason) && !section.contains("<td><code>elsewhere"), "{section}");
    // One thread draws what many draw.
    let mut alone = space.command(&format!("{ask} --json").split(' ').collect::<Vec<_>>());
    alone.env("RAYON_NUM_THREADS", "1");
    assert_eq!(json(&space.finish(alone)), compared);

    let mistaken = |words: &str, says: &[&str]| {
        space.macula(&format!("compare pipeline.kdl --pipeline two {words} --paired")).code(2).says(says);
    };
    mistaken("scores elsewhere", &["different patches: 0 in common", "only in the second"]);
    mistaken("scores secnd", &["no evaluation `secnd`", "did you mean `second`?"]);
    mistaken("scores", &["nothing to be compared with"]);
    mistaken("scores second --by mean-averge-precision", &["unknown metric", "did you mean `mean-average-precision`?"]);
    mistaken("scores second --format csv", &["`--paired` has no CSV"]);

    // Runs; the second has another number of epochs.
    space.macula("run pipeline.kdl --pipeline two --set classifier.epochs=2").code(0);
    let listed = space.macula("runs pipeline.kdl --pipeline two --json").code(0);
    let id = |line: &str| serde_json::from_str::<Value>(line).expect("JSON")["id"].as_str().expect("an id").to_owned();
    let ids: Vec<String> = listed.raw.lines().map(id).collect();
    let ask = format!("compare {} {} --paired", ids[1], ids[0]);
    space.macula(&ask).code(2).says(&["has several evaluations", "--by elsewhere.mean-average-precision"]);
    let runs = json(&space.macula(&format!("{ask} --by scores.mean-average-precision --json")).code(0));
    assert_eq!(
        metric(&runs, 0, "mean-average-precision")["first"],
        metric(&compared, 0, "mean-average-precision")["first"]
    );
}

#[test]
fn points_of_a_sweep_are_compared_with_the_best() {
    let space = Space::with(TWO);
    space.macula("compare pipeline.kdl --sweep rates --paired").code(2).says(&["2 points without results"]);
    let other = space.macula("compare pipeline.kdl --sweep rates --paired --set classifier.epochs=3").code(2);
    other.says(&["--sweep rates --set classifier.epochs=3`"]);
    space.macula("run pipeline.kdl --sweep rates scores").code(0);
    let two = space.macula("compare pipeline.kdl --sweep rates --paired").code(0);
    two.says(&["lr=1e-3, mean of 2 repeats", "by repeat:"]);
    let compared = json(&space.macula("compare pipeline.kdl --sweep rates lr=1e-4 lr=1e-3 --paired --json").code(0));
    assert_eq!(
        (&compared["candidates"][0]["name"], &compared["candidates"][0]["repeats"]),
        (&"lr=1e-4".into(), &2.into())
    );
    assert_eq!(metric(&compared, 0, "micro-f1")["by_repeat"].as_array().map(Vec::len), Some(2));
    let each = space.macula("compare pipeline.kdl --sweep rates --paired --each").code(0);
    let each = each.says(&[
        "has the best mean average precision",
        "each minus the best",
        "the best was selected on these patches",
    ]);
    assert!(each.raw.lines().all(|line| line.chars().count() <= 80), "{}", each.raw);
    space.macula("compare pipeline.kdl --sweep rates lr=1 --paired").code(2).says(&["no point `lr=1`", "`lr=1e-3`"]);
    // Two evaluations of the same points.
    let ask = "compare pipeline.kdl --sweep rates scores second lr=1e-3 --paired --json";
    space.macula(ask).code(2).says(&["1 point without results"]);
    space.macula("run pipeline.kdl --sweep rates second").code(0);
    let compared = json(&space.macula(ask).code(0));
    let candidate = |at: usize| (&compared["candidates"][at]["name"], &compared["candidates"][at]["repeats"]);
    assert_eq!(candidate(0), (&"scores".into(), &2.into()));
    // No repeat changes it.
    assert_eq!(candidate(1), (&"second".into(), &1.into()));
    let all = json(&space.macula("compare pipeline.kdl --sweep rates scores second --paired --json").code(0));
    let names = all["candidates"].as_array().expect("candidates").iter().map(|one| one["name"].as_str());
    // The points do not change the second evaluation.
    assert_eq!(names.collect::<Vec<_>>(), ["scores at lr=1e-3", "scores at lr=1e-4", "second"].map(Some));
    let unknown = space.macula("compare pipeline.kdl --sweep rates scores secnd --paired").code(2);
    unknown.says(&["no point `secnd`"]);
}
