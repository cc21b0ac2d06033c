//! Screens of made-up runs at 80 columns, compared with files. `MACULA_BLESS=1` writes them.

use std::collections::BTreeMap;
use std::path::Path;

use macula::base::Digest;
use macula::progress::{Colours, Detail, EventText};
use macula::run::Event;
use macula::stage::{Cell, MetricColumn, MetricStyle, Metrics, Summary, Table, Warning};
use macula::store::{RunOutcome, StageOutcome};

fn metrics(epoch: u64, ap: f64, best: bool) -> Event {
    let names = [
        ("valid.mean-average-precision", "valid AP", ap),
        ("valid.loss", "valid loss", 0.5 - ap / 4.0),
        ("training.loss", "train loss", 0.6 - ap / 2.0),
        ("valid.micro-f1", "valid F1", ap / 1.25),
        ("learning-rate", "rate", 2e-3 * 0.1_f64.powi(epoch as i32)),
    ];
    let columns = names.map(|(name, head, _)| MetricColumn {
        name: name.to_owned(),
        head: head.to_owned(),
        style: MetricStyle::of(name),
    });
    let mut values: BTreeMap<String, Option<f64>> = names.map(|(name, _, value)| (name.to_owned(), Some(value))).into();
    values.extend([("valid.f1.MA".to_owned(), Some(0.5)), ("valid.f1.SE".to_owned(), None)]);
    let metrics = Metrics { epoch, epochs: 16, best, columns: columns.to_vec(), values };
    Event::Metrics { stage: "classifier".to_owned(), metrics }
}

fn warning(code: &str, text: &str) -> Warning {
    Warning { code: code.to_owned(), text: text.to_owned() }
}

fn ended(stage: &str, became: StageOutcome, seconds: f64, summary: Summary) -> Event {
    Event::StageEnded {
        stage: stage.to_owned(),
        key: None,
        became,
        seconds,
        cost: seconds,
        items: None,
        other_class: None,
        remote: None,
        summary,
    }
}

fn headline(text: &str) -> Summary {
    Summary { headline: text.to_owned(), ..Summary::default() }
}

/// A run with all that is said of stages that do well.
fn well() -> Vec<Event> {
    let few = |class: &str, count: u32| {
        warning(
            "few-positives",
            &format!("split side `valid` has {count} patches with `{class}`: its metrics are uncertain"),
        )
    };
    let scores = Summary {
        headline: "mean average precision 0.783 on 1,204 patches of 12 photographs, 95 % interval 0.701 to 0.842"
            .to_owned(),
        metrics: BTreeMap::from([("mean-average-precision".to_owned(), 0.783)]),
        tables: vec![Table {
            title: "test, thresholds of `cuts`".to_owned(),
            columns: [
                "class",
                "average precision",
                "prevalence",
                "AUROC",
                "F1",
                "always-yes F1",
                "precision",
                "recall",
            ]
            .map(str::to_owned)
            .to_vec(),
            rows: [("MA", 0.7), ("SE", 0.85)]
                .map(|(class, value)| {
                    let mut row = vec![Cell::Text(class.to_owned())];
                    row.extend((0..6).map(|place| Cell::Real(value - f64::from(place) / 10.0)));
                    row.push(Cell::Null(()));
                    row
                })
                .to_vec(),
        }],
        warnings: vec![few("MA", 9), few("SE", 4), warning("class-missing", "no photograph has `HE`")],
        ..Summary::default()
    };
    let began = Event::StageBegan {
        stage: "classifier".to_owned(),
        kind: "train".to_owned(),
        key: Digest::of(b"classifier"),
        reason: "epochs 8 -> 16".to_owned(),
        items: None,
    };
    let collapsed =
        |epoch: u32| warning("prediction-ratio", &format!("epoch {epoch}, validation: `SE` is never predicted"));
    vec![
        Event::RunBegan {
            run: "20260102-030405-678abc".to_owned(),
            pipeline: "quickstart".to_owned(),
            file: "quickstart.kdl".to_owned(),
            stages: 5,
            to_run: 3,
            unknown: 1,
            widest: 10,
        },
        ended("eyes", StageOutcome::Reused, 0.0, headline("64 photographs of 32 patients, 48 with lesions")),
        ended(
            "patches",
            StageOutcome::Computed,
            2.13,
            headline("9,504 patches of 64 photographs, 6,214 without a lesion, 64 px, scale 1"),
        ),
        began,
        Event::Line {
            stage: "classifier".to_owned(),
            text: "continuing from a run of 8 epochs that differs only in `epochs`".to_owned(),
        },
        metrics(1, 0.4, true),
        Event::Warned { stage: "classifier".to_owned(), warning: collapsed(1) },
        metrics(2, 0.3, false),
        Event::Warned { stage: "classifier".to_owned(), warning: collapsed(2) },
        metrics(3, 0.6, true),
        ended(
            "classifier",
            StageOutcome::Computed,
            79.2,
            Summary {
                warnings: vec![collapsed(1), collapsed(2)],
                ..headline(
                    "epoch 3 of 16 chosen by average precision: average precision on validation 0.600 (MA 0.500, SE 0.700)",
                )
            },
        ),
        ended("scores", StageOutcome::Computed, 0.61, scores),
        ended("page", StageOutcome::Repaired, 0.2, headline("1 page")),
        Event::RunEnded {
            ended: RunOutcome::Done,
            computed: 4,
            reused: 1,
            seconds: 83.0,
            results: Some("results/quickstart".to_owned()),
        },
    ]
}

/// A run in which stages fail, wait, are stopped and skipped.
fn badly() -> Vec<Event> {
    let failed = |stage: &str, stopped: bool, resume: Option<&str>| {
        Event::StageFailed {
        stage: stage.to_owned(),
        code: (!stopped).then(|| "truncated-photograph".to_owned()),
        text: "`data/images/IDRiD_01.jpg` ends in the middle of its pixels\n    `data/images/IDRiD_02.jpg` ends in the middle of its pixels, after 12 of 2,848 rows".to_owned(),
        hint: Some("copy it again, or leave it out with `exclude`".to_owned()),
        at: Some("pipeline.kdl:3".to_owned()),
        stopped,
        fault: None,
        resume: resume.map(str::to_owned),
    }
    };
    vec![
        Event::RunBegan {
            run: "r".to_owned(),
            pipeline: "p".to_owned(),
            file: "p.kdl".to_owned(),
            stages: 4,
            to_run: 4,
            unknown: 0,
            widest: 7,
        },
        Event::StageWaits { stage: "eyes".to_owned() },
        Event::StageFetched { stage: "patches".to_owned(), remote: "lab".to_owned(), bytes: 3 << 20 },
        Event::Repairing {
            stage: "patches".to_owned(),
            text: "object 01234567 is damaged".to_owned(),
            found_by: "folds".to_owned(),
        },
        failed("patches", false, None),
        Event::Stopping,
        failed("train", true, Some("at epoch 6, batch 111")),
        Event::StageLeft { stage: "scores".to_owned(), reason: "needs `patches`".to_owned() },
        Event::RunEnded { ended: RunOutcome::Failed, computed: 1, reused: 0, seconds: 4000.0, results: None },
    ]
}

#[test]
fn screens_of_runs_are_as_they_were() {
    let cases = [
        ("well", well(), Detail::Full, 80),
        ("well-verbose", well(), Detail::Verbose, 80),
        ("well-narrow", well(), Detail::Full, 50),
        ("well-brief", well(), Detail::Brief, 80),
        ("badly", badly(), Detail::Full, 80),
        ("badly-quiet", badly(), Detail::Quiet, 80),
    ];
    for (name, events, detail, width) in cases {
        let mut text = EventText::new(Colours::Off, detail, width);
        let shown: String = events.iter().filter_map(|event| text.of(event)).collect();
        assert!(shown.lines().all(|line| line.chars().count() <= width), "{name}:\n{shown}");
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/it/terminal/screens/{name}.txt"));
        if std::env::var_os("MACULA_BLESS").is_some() {
            std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder can be made");
            std::fs::write(&path, &shown).expect("it can be written");
        }
        let expected = std::fs::read_to_string(&path).unwrap_or_default();
        assert_eq!(shown, expected, "{name}: MACULA_BLESS=1 writes what is shown now");
        let mut text = EventText::new(Colours::Ansi, detail, width);
        let coloured: String = events.iter().filter_map(|event| text.of(event)).collect();
        assert_eq!(bare(&coloured), shown, "colours change nothing else");
    }
}

/// Text without colours.
fn bare(text: &str) -> String {
    let mut parts = text.split('\u{1b}');
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| text + part.split_once('m').map_or(part, |(_, rest)| rest))
}
