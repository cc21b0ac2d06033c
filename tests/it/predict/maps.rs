//! Heat maps: the bytes of their files are fixed, reading returns what was written, and metrics match their definitions.

use macula::data::bitmap::Bitmap;
use macula::data::decode::Photograph;
use macula::data::heat::{CellGrid, MapInfo, OverlayStyle, ScoreMap, class_picture, overlay};
use macula::data::mask::Mask;
use macula::data::patches::Label;
use macula::learn::evaluation::{HALF, ScoredSet, of_classes, of_photographs};
use macula::learn::maps::{CellDecision, MapMetrics, Maps, cell_metrics};
use macula::report::gather::ranked;
use macula::report::maps::summary;
use macula::stages::predict::predicted;
use macula::store::{Objects, Tree};

use crate::metrics::fixture::{TINY, set};

fn map() -> ScoreMap {
    let cover = CellGrid { size: 16, stride: 8, width: 60, height: 44 };
    let places = cover.places();
    let score = |at: usize| (at * 37 % 101) as f64 / 100.0;
    // The first row of patches is black.
    let places: Vec<(usize, usize)> = places.into_iter().filter(|place| place.1 > 0).collect();
    let scores: Vec<f64> = (0..places.len()).flat_map(|at| [score(at), score(at + 50) / 4.0]).collect();
    let cells = cover.columns() * cover.rows();
    let label = |at: usize| match at {
        at if at >= cells => Label::Unknown,
        at if at.is_multiple_of(5) => Label::Present,
        _ => Label::Absent,
    };
    ScoreMap {
        scores: cover.means(&places, &scores, 2),
        lesion: (0..2 * cells).map(label).collect(),
        info: MapInfo {
            classes: vec!["MA".to_owned(), "EX".to_owned()],
            width: 60,
            height: 44,
            scale: 2,
            size: 16,
            stride: 8,
            columns: cover.columns() as u32,
            rows: cover.rows() as u32,
            scored: places.len() as u64,
            black: 7,
            thresholds: Some(vec![0.4, 0.1]),
        },
    }
}

fn space() -> (tempfile::TempDir, Objects) {
    let folder = tempfile::tempdir().expect("a folder");
    let objects = Objects::open(folder.path()).expect("a store");
    (folder, objects)
}

#[test]
fn the_bytes_of_a_map_do_not_change() {
    let (_folder, objects) = space();
    let map = map();
    let rgb = (0..60 * 44).flat_map(|at: usize| [(at % 60 * 3) as u8 + 60, (at / 60 * 2) as u8 + 30, 40]).collect();
    let mut bits = Bitmap::new(60, 44);
    (20..30).for_each(|x| (18..26).for_each(|y| bits.set(x, y)));
    let drawn = overlay(
        &Photograph { width: 60, height: 44, rgb },
        &[Some(&Mask::released(bits)), None],
        &map,
        OverlayStyle { alpha: 0.6, side: 1024 },
    );
    let mut tree = Tree::default();
    map.write(&mut tree, &objects).expect("written");
    tree.insert("overlay.png", objects.put(&drawn.png()).expect("stored"));
    tree.insert("cells/1-MA.png", objects.put(&class_picture(&map, 0).png()).expect("stored"));
    assert_eq!(tree.digest().short(), "3765e97f", "raise the version of `heat-map`");

    let read = ScoreMap::read(&tree, &objects).expect("read");
    assert_eq!((&read.info, &read.lesion), (&map.info, &map.lesion));
    let bits = |map: &ScoreMap| map.scores.iter().map(|score| score.to_bits()).collect::<Vec<_>>();
    assert_eq!(bits(&read), bits(&map));
    assert!(map.scores[0].is_nan() && !map.scores[map.info.columns as usize * 2].is_nan());
}

#[test]
fn metrics_are_over_cells_that_are_scored_and_known() {
    let map = map();
    let found = cell_metrics([&map], 0, Some(0.4));
    let cells = map.info.cells();
    let scored: Vec<usize> = (0..cells).filter(|&at| !map.scores[at].is_nan()).collect();
    let lesion = |at: &&usize| map.lesion[**at] == Label::Present;
    assert_eq!(found.cells, scored.len() as u64);
    assert_eq!(found.lesion, scored.iter().filter(lesion).count() as u64);
    assert_eq!(
        found.lesion_unscored,
        (0..cells).filter(|at| map.scores[*at].is_nan() && at.is_multiple_of(5)).count() as u64
    );
    assert!(found.lesion_unscored > 0);
    assert_eq!(found.over, scored.iter().filter(|&&at| f64::from(map.scores[at]) >= 0.4).count() as u64);
    // All pairs of a cell with and a cell without the lesion.
    let (mut right, mut pairs) = (0.0, 0.0);
    for with in scored.iter().filter(lesion) {
        for without in scored.iter().filter(|at| !lesion(at)) {
            let (with, without) = (map.scores[*with], map.scores[*without]);
            pairs += 1.0;
            right += if with > without {
                1.0
            } else if with == without {
                0.5
            } else {
                0.0
            };
        }
    }
    let auroc = found.auroc.expect("both are there");
    assert!((auroc - right / pairs).abs() < 1e-12, "{auroc}");
    // The second class is unknown everywhere.
    let unknown = cell_metrics([&map], 1, Some(0.1));
    assert_eq!((unknown.known, unknown.average_precision, unknown.prevalence()), (0, None, None));
    // The cells of two maps are pooled.
    let twice = cell_metrics([&map, &map], 0, Some(0.4));
    assert_eq!((twice.cells, twice.auroc), (2 * found.cells, found.auroc));
}

#[test]
fn a_summary_ranks_photographs_and_says_what_is_unknown() {
    let map = map();
    let of = |class: usize| cell_metrics([&map], class, Some(HALF));
    let photograph = |name: &str, highest: f64| {
        let classes = vec![macula::learn::maps::CellMetrics { highest: Some(highest), ..of(0) }, of(1)];
        MapMetrics { photograph: name.to_owned(), scored: 30, black: 7, classes }
    };
    let maps = Maps {
        decision: CellDecision::default(),
        classes: map.info.classes.clone(),
        thresholds: None,
        size: 16,
        stride: 8,
        all: vec![of(0), of(1)],
        photographs: vec![photograph("b", 0.99), photograph("a", 0.99), photograph("c", 1.0)],
    };
    assert_eq!(ranked(&maps), [2, 1, 0]);
    let said = summary(&maps, Vec::new());
    let prevalence = macula::base::figure::metric(of(0).prevalence());
    let precision = macula::base::figure::metric(of(0).average_precision);
    assert_eq!(
        said.headline,
        format!(
            "3 photographs, 90 patches scored, 21 black patches skipped; AP over cells of 8 px: MA {precision}, EX -; prevalence: MA {prevalence}, EX -"
        )
    );
    assert_eq!(
        said.metrics.keys().collect::<Vec<_>>(),
        ["cell-auroc.MA", "cell-average-precision.MA", "mean-cell-average-precision"]
    );
    assert_eq!(said.tables[1].rows.len(), 3);
}

#[test]
fn the_bytes_of_predictions_do_not_change_and_photographs_are_counted() {
    let (_folder, objects) = space();
    let (mut set, logits) = set(TINY, &objects);
    let judged = ScoredSet::new(&set, &logits);
    let done = predicted(&judged, Some(&[0.3, 0.4, 0.5, 0.6]), None, &objects).expect("predicted");
    assert_eq!(done.outputs["out"].digest().short(), "3ba8d5bc", "raise the version of `predict`");
    assert!(
        done.summary
            .headline
            .starts_with("144 patches of 6 photographs scored; fraction positive at the tuned thresholds: MA "),
        "{}",
        done.summary.headline
    );
    assert!(done.summary.warnings.is_empty());
    let half = [HALF; 4];
    let (classes, photographs) = (of_classes(&judged, &half), of_photographs(&judged, &half));
    assert_eq!(photographs.iter().map(|one| one.classes[2].over).sum::<u64>(), classes[2].over);
    assert_eq!(photographs.iter().map(|one| one.classes[3].known).sum::<u64>(), classes[3].known);
    assert_eq!((classes[3].patches, classes[3].known), (144, 120), "SE is unknown on the last photograph");
    assert_eq!(photographs[5].classes[3].prevalence(), None);
    let mean = judged.scored.iter().map(|(scores, _)| scores[1]).sum::<f64>() / 144.0;
    assert_eq!(classes[1].mean(), Some(mean));
    set.info.resampled = true;
    let done = predicted(&ScoredSet::new(&set, &logits), None, None, &objects).expect("predicted");
    assert_eq!(done.summary.warnings[0].code, "resampled-predictions");
}
