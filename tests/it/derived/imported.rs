//! Patches and classifiers of other programs: read back as they were written, and refused if anything about them is wrong.

use std::collections::BTreeMap;

use image::{ImageBuffer, Rgb};
use safetensors::SafeTensors;

use crate::space::Space;

/// Bytes of a PNG of one colour.
fn png(width: u32, height: u32, colour: [u8; 3]) -> Vec<u8> {
    let mut bytes = std::io::Cursor::new(Vec::new());
    let picture = ImageBuffer::from_pixel(width, height, Rgb(colour));
    picture.write_to(&mut bytes, image::ImageFormat::Png).expect("a picture");
    bytes.into_inner()
}

/// Place and pixels of the patches of each photograph.
fn patches(space: &Space, folder: &str) -> BTreeMap<String, Vec<Vec<u8>>> {
    let of = |file: &String| {
        let bytes = std::fs::read(space.path(&format!("{folder}/shards/{file}"))).expect("a shard");
        let pixels =
            SafeTensors::deserialize(&bytes).expect("safetensors").tensor("pixels").expect("pixels").data().to_vec();
        (file.clone(), pixels.chunks(32 * 32 * 3).map(<[u8]>::to_vec).collect())
    };
    space.files(&format!("{folder}/shards")).iter().map(of).collect()
}

#[test]
fn exported_patches_are_read_back_as_they_were() {
    let space = Space::with(
        r"pipeline p seed=3 {
    synthetic eyes { photographs 6; size 256; photographs-per-patient 2; healthy 0.0 }
    extract patches { from eyes; size 32 }
    export pictures { from patches; manifest #true }
    import-patches again { from pictures; size 32 }
    split folds { from patches; by patient; train 0.4; valid 0.3; test 0.3 }
    split folds-again { from again; by patient; train 0.4; valid 0.3; test 0.3 }
    train one { data folds.train; valid folds.valid; network shallow-cnn; epochs 1 }
    train two { data folds-again.train; valid folds-again.valid; network shallow-cnn; epochs 1 }
}
",
    );
    space.macula("run pipeline.kdl again").code(0).says(&["384 patches of 6 photographs"]);
    let [before, after] = ["patches", "again"].map(|stage| patches(&space, &format!("results/p/{stage}")));
    assert_eq!(before.len(), 6);
    assert!(before == after, "pixels in the same order");
    let set = |stage: &str| -> serde_json::Value {
        serde_json::from_str(&space.read(&format!("results/p/{stage}/set.json"))).expect("JSON")
    };
    assert_eq!(set("patches")["classes"], set("again")["classes"]);
    let table = |stage: &str| {
        let file = space.path(&format!("results/p/{stage}/parts/{}", space.files("results/p/again/parts")[0]));
        let table = macula::data::table::Columns::from_parquet(&std::fs::read(file).expect("a part")).expect("a table");
        ["x", "y", "MA", "EX"].map(|column| table.counts(column).expect("numbers").to_vec())
    };
    assert_eq!(table("patches"), table("again"));
    // They are trained on like others.
    space.macula("run pipeline.kdl two").code(0);
    space.macula("run pipeline.kdl again").code(0).says(&["nothing to compute"]);
}

/// A pipeline that imports the patches in `theirs`.
fn theirs(table: &str) -> Space {
    let space = Space::with(
        "pipeline p {\n    files pictures { path \"theirs\" }\n    import-patches patches { from pictures; size 32 }\n    report page { of patches }\n}\n",
    );
    space.write("theirs/manifest.csv", table);
    space.write("theirs/a.png", png(32, 32, [200, 10, 10]));
    space.write("theirs/b.png", png(32, 32, [10, 200, 10]));
    space.write("secret.png", png(32, 32, [0, 0, 0]));
    space
}

#[test]
fn tables_that_are_wrong_are_refused() {
    let head = "path,photograph,x,y,patient,MA,EX\n";
    let cases = [
        ("a.png,one,0,0,p,1,0\n../secret.png,one,32,0,p,0,0\n", "line 3: `from` has no picture `../secret.png`"),
        ("/etc/hostname,one,0,0,p,1,0\n", "`from` has no picture `/etc/hostname`"),
        ("a.png,../one,0,0,p,1,0\n", "photograph `../one`: names have no `/`"),
        ("a.png,one,0,0,p,yes,0\n", "class `MA` is `yes`, not 1, 0 or nothing"),
        ("a.png,one,-3,0,p,1,0\n", "`x` is `-3`, not a whole number of pixels"),
        ("a.png,one,0,0,p,1,0\nb.png,one,0,0,p,1,0\n", "photograph `one` has a second patch at x 0 y 0"),
        ("a.png,one,0,0,p,1,0\nb.png,one,32,0,q,1,0\n", "photograph `one` has another patient"),
        ("a.png,,0,0,p,1,0\n", "`photograph` is empty"),
        ("a.png,one,0,0,p,1,0\nb.png,ONE,0,0,p,1,0\n", "differ only in case"),
        ("", "it has no row"),
    ];
    for (rows, says) in cases {
        let space = theirs(&format!("{head}{rows}"));
        space.macula("run pipeline.kdl patches").code(1).says(&[says]);
    }
    theirs("photograph,x,y,MA\none,0,0,1\n")
        .macula("run pipeline.kdl patches")
        .code(1)
        .says(&["column `path` is missing"]);
    theirs("path,photograph,x,y\na.png,one,0,0\n")
        .macula("run pipeline.kdl patches")
        .code(1)
        .says(&["no column of a class"]);
    theirs("path,photograph,x,y,a/b\na.png,one,0,0,1\n").macula("run pipeline.kdl patches").code(1).says(&["`a/b`"]);
}

#[test]
fn pictures_that_are_wrong_are_refused() {
    let table = "path,photograph,x,y,MA\na.png,one,0,0,1\nb.png,one,32,0,0\n";
    let space = theirs(table);
    space.write("theirs/c.png", png(32, 32, [1, 2, 3]));
    space
        .macula("run pipeline.kdl patches")
        .code(0)
        .says(&["2 patches of 1 photograph", "1 picture is not in the table"]);
    let cases = [
        (png(40, 40, [0; 3]), "picture `b.png` is 40 x 40 px", "`margin 4`"),
        (png(32, 30, [0; 3]), "picture `b.png` is 32 x 30 px", "square patches"),
        (b"not a picture".to_vec(), "b.png", "b.png"),
        (png(32, 32, [0; 3])[..60].to_vec(), "b.png", "b.png"),
        // A header of 65,000 x 65,000 px in a small file.
        (
            {
                let mut bytes = png(32, 32, [0; 3]);
                bytes[16..20].copy_from_slice(&65_000_u32.to_be_bytes());
                bytes[20..24].copy_from_slice(&65_000_u32.to_be_bytes());
                bytes
            },
            "picture `b.png` is 65000 x 65000 px",
            "32 x 32 px",
        ),
    ];
    for (bytes, says, also) in cases {
        let space = theirs(table);
        space.write("theirs/b.png", bytes);
        space.macula("run pipeline.kdl patches").code(1).says(&[says, also]);
    }
}

/// Trains a classifier and imports its weights again.
const MODEL: &str = r#"pipeline p seed=3 {
    synthetic eyes { photographs 6; size 256; photographs-per-patient 1; healthy 0.0 }
    extract patches { from eyes; size 32 }
    split folds { from patches; by patient; train 0.4; valid 0.3; test 0.3 }
    train classifier { data folds.train; valid folds.valid; network shallow-cnn; epochs 1 }
    eval one { model classifier; data folds.test }
}
pipeline q seed=3 {
    synthetic eyes { photographs 6; size 256; photographs-per-patient 1; healthy 0.0 }
    extract patches { from eyes; size 32 }
    split folds { from patches; by patient; train 0.4; valid 0.3; test 0.3 }
    files theirs { path "theirs" }
    import-model classifier { from theirs; network shallow-cnn; classes MA HE EX SE; size 32 }
    eval one { model classifier; data folds.test }
    threshold-tune cuts { model classifier; data folds.valid }
    heat-map maps { model classifier; thresholds cuts; from eyes; only folds.test; stride 32 }
}
"#;

#[test]
fn imported_weights_score_like_the_model_they_are_from() {
    let space = Space::with(MODEL);
    space.macula("run pipeline.kdl --pipeline p").code(0);
    let weights = std::fs::read(space.path("results/p/classifier/weights.safetensors")).expect("weights");
    space.write("theirs/weights.safetensors", &weights);
    space.write("theirs/readme.txt", "trained elsewhere");
    space.macula("run pipeline.kdl --pipeline q").code(0).says(&["shallow-cnn, 4 classes"]);
    let table = |pipeline: &str| {
        std::fs::read(space.path(&format!("results/{pipeline}/one/predictions.parquet"))).expect("a table")
    };
    assert!(table("p") == table("q"), "the same predictions");
    space.macula("get pipeline.kdl --pipeline q classifier --onnx theirs.onnx").code(0).says(&["shallow-cnn"]);

    let import = "network shallow-cnn; classes MA HE EX SE; size 32";
    let wrong = |instead: &str, code: i32, says: &[&str]| {
        space.edit("pipeline.kdl", import, instead);
        space.macula("run pipeline.kdl --pipeline q classifier").code(code).says(says);
        space.edit("pipeline.kdl", instead, import);
    };
    wrong("network resnet18; classes MA HE EX SE; size 32", 1, &["resnet18", "weights.safetensors"]);
    wrong("network shallow-cnn; classes MA HE; size 32", 1, &["has 4 outputs, but `classes` has 2 names"]);
    wrong("network resnet18 to=features; classes MA HE EX SE; size 32", 2, &["ends at a tap"]);
    wrong("network late-fusion-resnet18; classes MA HE EX SE; size 32", 2, &["has an input `whole`"]);
    wrong("network vit-s16; classes MA HE EX SE; size 8", 2, &["cannot take patches of 8 px"]);
    space.write("theirs/weights.safetensors", &weights[..200]);
    space.macula("run pipeline.kdl --pipeline q classifier").code(1).says(&["weights.safetensors", "truncated"]);
    space.write("theirs/other.safetensors", &weights);
    space.macula("run pipeline.kdl --pipeline q classifier").code(1).says(&["several weights files", "file \"NAME\""]);
}
