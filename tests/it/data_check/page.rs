//! The page: one file, with small pictures, and only if it is asked for.

use super::problems::broken_space;
use super::{check, healthy_space};

#[test]
fn the_page_is_one_file_with_pictures_and_says_so() {
    let space = broken_space();
    space.write("data/photos/<b>x.png", b"not a picture");
    let said = check(&space, "--page data.html").code(1);
    said.says(&["wrote data.html, which shows photographs"]);
    let page = space.read("data.html");
    assert!(page.starts_with("<!DOCTYPE html>"));
    assert!(page.contains("This page shows photographs."));
    assert!(page.contains("7 errors, "), "the verdict");
    assert!(page.contains("data:image/png;base64,"));
    for other in ["http:", "https:", "src=\"/", "url("] {
        let names_pointer = page.replace("version https://git-lfs", "");
        assert!(!names_pointer.contains(other), "{other}");
    }
    assert!(page.contains("&lt;b&gt;x") && !page.contains("<b>x"), "names are escaped");
    for part in ["is truncated", "identical files", "The same picture", "photographs by class"] {
        assert!(page.contains(part), "{part}");
    }
    let again = check(&space, "--page again.html --threads 1").code(1);
    drop(again);
    assert_eq!(page, space.read("again.html"), "the page does not depend on threads");
}

#[test]
fn no_picture_leaves_the_data_without_a_page() {
    let space = broken_space();
    let before = space.files("");
    let said = check(&space, "--json").code(1);
    assert!(!said.raw.contains("base64") && !said.raw.contains("PNG\r"));
    let new: Vec<String> = space.files("").into_iter().filter(|file| !before.contains(file)).collect();
    assert!(new.iter().all(|file| file.starts_with(".macula/")), "{new:?}");
}

#[test]
fn good_data_have_a_page_without_pictures() {
    let space = healthy_space(2, "absent-mask absent");
    check(&space, "--page data.html").code(0);
    let page = space.read("data.html");
    assert!(page.contains("Nothing is wrong") && !page.contains("base64"));
    assert!(page.contains("This page names photographs and files."));
}

#[test]
fn a_page_that_cannot_be_written_is_refused_before_anything_is_read() {
    let space = broken_space();
    check(&space, "--page data/photos/a01.png").code(2).says(&["the name of a page ends in `.html`"]);
    check(&space, "--page nowhere/data.html").code(2).says(&["the folder `nowhere` does not exist"]);
}
