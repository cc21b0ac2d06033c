//! Photographs as grids of the vectors of their patches.

use macula::data::table::Columns;

use super::{bytes, floats, json, same_as_maps, same_as_patches};
use crate::space::Space;

const PIPELINE: &str = r#"network looking {
    input grid
    parallel join=concat {
        branch { shallow-cnn to=features }
        branch from=grid { conv look out=4 kernel=3 padding=1; relu; global-avg-pool }
    }
    linear fc
}

pipeline cells seed=7 {
    synthetic eyes { photographs 8; size 384; photographs-per-patient 1; healthy 0.0; severity 3.0 }
    preprocess half { from eyes; shrink 2 }
    extract patches { from half; size 64; margin 4 }
    filter-black visible { from patches; share 0.4 }
    split folds { from visible; by patient; train 0.5; valid 0.25; test 0.25 }
    train first { data folds.train; valid folds.valid; network shallow-cnn; epochs 1; batch 32 }
    encode grids { from visible; init first; network shallow-cnn to=features }
    join fitted { patches folds.train; embeddings grids; as grid }
    join chosen { patches folds.valid; embeddings grids; as grid }
    join tested { patches folds.test; embeddings grids; as grid }
    train classifier { data fitted; valid chosen; network looking; loss bce; epochs 1; batch 32 }
    eval scores { model classifier; data tested }
    heat-map maps { model classifier; from half; embeddings grids; only tested; stride 64; black share=0.4 }
    folder pieces { root "pieces"; photographs "*.png"; masks MA "ma/*"; absent-mask unknown }
    encode pieces-described { from pieces; init first; network shallow-cnn to=features; side 64 }
}
"#;

/// The values of an embedding.
fn values(space: &Space, path: &str) -> Vec<f32> {
    floats(space, path, "values")
}

#[test]
fn a_photograph_is_the_grid_of_the_vectors_of_its_patches() {
    let space = Space::with(PIPELINE);
    space.macula("check pipeline.kdl").code(0);
    space.macula("run pipeline.kdl first grids patches visible half").code(0);
    let info = json(&space, "results/cells/grids/embeddings.json");
    assert_eq!([&info["rows"], &info["columns"]], [&serde_json::json!(3), &serde_json::json!(3)]);
    let channels = info["channels"].as_u64().expect("a count") as usize;

    // Each piece of a photograph as a photograph of its own.
    let files = space.files("results/cells/grids/photographs");
    let name = files[0].trim_end_matches(".safetensors").to_owned();
    let picture =
        image::open(space.path(&format!("results/cells/half/{name}/photograph.png"))).expect("a PNG").to_rgb8();
    assert_eq!(picture.dimensions(), (192, 192));
    for place in 0..9 {
        let piece = image::imageops::crop_imm(&picture, place % 3 * 64, place / 3 * 64, 64, 64).to_image();
        std::fs::create_dir_all(space.path("pieces")).expect("a folder");
        piece.save(space.path(&format!("pieces/piece-{place}.png"))).expect("saved");
    }
    space.macula("run pipeline.kdl").code(0);
    let grid = values(&space, &format!("results/cells/grids/photographs/{name}.safetensors"));
    assert_eq!(grid.len(), 9 * channels);
    let part = bytes(&space, &format!("results/cells/visible/kept/parts/{name}.parquet"));
    let left = Columns::from_parquet(&part).expect("a table").counts("index").expect("places").to_vec();
    assert!(left.len() < 9 && !left.is_empty(), "{left:?}");
    for (place, vector) in grid.chunks_exact(channels).enumerate() {
        let alone = values(&space, &format!("results/cells/pieces-described/photographs/piece-{place}.safetensors"));
        assert!(alone.iter().any(|value| *value != 0.0));
        let expected = if left.contains(&Some(place as u32)) { alone } else { vec![0.0; channels] };
        assert!(vector.iter().zip(&expected).all(|(one, other)| (one - other).abs() < 1e-6), "{place}");
    }

    // Every stage and the command give a patch the same score.
    let photographs = same_as_patches(&space, "cells", "scores", "maps");
    same_as_maps(&space, "cells", "eyes", "classifier", "maps", &photographs);

    // Labels are not read: nothing is encoded again.
    let text = space.read("pipeline.kdl").trim_end().trim_end_matches('}').to_owned();
    let again = "    relabel other { from visible; min-pixels 40 }
    encode again { from other; init first; network shallow-cnn to=features }
}
";
    space.write("pipeline.kdl", text + again);
    space.macula("run pipeline.kdl again").code(0).says(&["(0 of 8 items computed)"]);
    // Resampled patches are refused.
    space.edit("pipeline.kdl", "from other; init", "from balanced; init");
    space.edit(
        "pipeline.kdl",
        "    split folds",
        "    rebalance balanced { from visible; lesions undersample }\n    split folds",
    );
    space.macula("check pipeline.kdl").code(2).says(&["resampled-encoding", "depends on their labels"]);
}
