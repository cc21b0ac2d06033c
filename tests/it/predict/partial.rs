//! Photographs that cannot be scored, among others that can.

use serde_json::Value;

use super::{bytes, made};

#[test]
fn a_damaged_photograph_stops_no_others() {
    let space = made();
    let files = space.files("results/small/eyes");
    let photographs: Vec<&String> = files.iter().filter(|file| file.contains("/photograph.")).take(3).collect();
    let mut given = Vec::new();
    for (at, file) in photographs.iter().enumerate() {
        let whole = bytes(&space, &format!("results/small/eyes/{file}"));
        let end = if at == 1 { whole.len() / 2 } else { whole.len() };
        space.write(&format!("new/eye-{at}.png"), &whole[..end]);
        given.push(format!("new/eye-{at}.png"));
    }
    let verb = format!("predict pipeline.kdl classifier {}", given.join(" "));
    let said = space.macula(&format!("{verb} --out looked")).code(1);
    assert!(said.stdout.contains("eye-0") && said.stdout.contains("eye-2"), "{}", said.stdout);
    let said = said.says(&["1 of 3 photographs not scored", "truncated-photograph", "new/eye-1.png"]);
    assert_eq!(said.stderr.matches("error[").count(), 1, "{}", said.stderr);
    for at in [0, 2] {
        assert!(space.path(&format!("looked/eye-{at}/overlay.png")).is_file(), "{at}");
    }
    assert!(!space.path("looked/eye-1").exists());
    // As the others alone.
    let alone = space.macula("predict pipeline.kdl classifier new/eye-0.png new/eye-2.png --json").code(0);
    let found: Value = serde_json::from_str(&alone.raw).expect("JSON");
    let said = space.macula(&format!("{verb} new/none.png --json")).code(2).says(&["cannot read", "none.png"]);
    let all: Value = serde_json::from_str(&said.raw).expect("JSON");
    assert_eq!(all["photographs"], found["photographs"]);
    assert_eq!(found["failed"], Value::Array(Vec::new()));
    assert_eq!(all["failed"].as_array().map(Vec::len), Some(2));
    assert_eq!(
        (&all["failed"][0]["code"], &all["failed"][0]["file"]),
        (&"truncated-photograph".into(), &given[1].as_str().into())
    );
    // Nothing is printed of photographs if none was scored.
    let said = space.macula("predict pipeline.kdl classifier new/eye-1.png new/none.png").code(2);
    assert_eq!(said.says(&["truncated-photograph", "none.png"]).stdout, "");
}
