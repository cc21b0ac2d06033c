//! Packages: pinned by digest in `project.kdl`, used as `use "NAME:file.kdl"`.

use std::fs;

use crate::space::Space;

const TEMPLATES: &str = "use \"parts/cut.kdl\"
stage tiles { in e type=photographs; out type=patches from=t; body { cut t { e e } } }
";
const CUT: &str =
    "stage cut { in e type=photographs; out type=patches from=t; body { extract t { from e; size 32 } } }\n";
const PIPELINE: &str = "use \"lesions:templates.kdl\" as=l
pipeline p seed=1 {
    synthetic eyes
    l.tiles patches { e eyes }
    export files { from patches }
}
";
const PROJECT: &str = "// The project.
package lesions { path \"vendor/lesions\" } // of the group
";

fn space(project: &str) -> Space {
    let space = Space::with(PIPELINE);
    space.write("project.kdl", project);
    space.write("vendor/lesions/templates.kdl", TEMPLATES);
    space.write("vendor/lesions/parts/cut.kdl", CUT);
    space.write("vendor/lesions/README.md", "Not covered.");
    space
}

/// A project whose package is pinned.
fn pinned() -> Space {
    let space = space(PROJECT);
    let said = space.macula("package pin lesions");
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    space
}

/// What `check` says of the pipeline, which is wrong.
fn refused(space: &Space) -> String {
    let said = space.macula("check pipeline.kdl");
    assert_eq!(said.code, Some(2), "{}", said.stdout);
    // Lines are broken for the terminal.
    said.stderr.split_whitespace().collect::<Vec<_>>().join(" ").replace(" │ ", " ")
}

#[test]
fn a_package_is_used_once_it_is_pinned_and_pinning_keeps_the_text() {
    let space = space(PROJECT);
    let said = refused(&space);
    assert!(said.contains("error[package-unpinned]") && said.contains("macula package pin lesions"), "{said}");
    assert_eq!(space.macula("package pin lesions").code, Some(0));
    let text = space.read("project.kdl");
    let digest = text.split('"').nth(3).expect("a digest").to_owned();
    assert_eq!(text, PROJECT.replace(" }", &format!("; digest \"{digest}\" }}")), "all else stays");
    let said = space.macula("check pipeline.kdl");
    assert_eq!((said.code, said.stderr.as_str()), (Some(0), ""));
    assert_eq!(space.macula("package list").code, Some(0));
    assert!(space.macula("package pin lesions").stdout.contains("already"));
    assert_eq!(space.read("project.kdl"), text);
}

#[test]
fn a_change_of_any_file_is_reported_and_pinned_again_where_it_is_meant() {
    let space = pinned();
    let before = space.read("project.kdl");
    space.write("vendor/lesions/README.md", "Changed, and no part of it.");
    space.write("vendor/lesions/.git/config.kdl", "Hidden.");
    assert_eq!(space.macula("check pipeline.kdl").code, Some(0));
    for (file, text) in [("parts/cut.kdl", CUT.replace("32", "64")), ("parts/more.kdl", String::new())] {
        space.write(&format!("vendor/lesions/{file}"), text);
        let said = refused(&space);
        for part in [
            "error[package-digest]",
            "expected blake3:",
            "its files have digest",
            "review what changed",
            "macula package pin lesions",
        ] {
            assert!(said.contains(part), "{part}: {said}");
        }
        let listed = space.macula("package list");
        assert!(listed.code == Some(1) && listed.stdout.contains("differs"), "{}", listed.stdout);
        assert_eq!(space.macula("package pin lesions").code, Some(0));
        assert_eq!(space.macula("check pipeline.kdl").code, Some(0));
    }
    let after = space.read("project.kdl");
    assert!(after != before && after.len() == before.len(), "the digest alone changed");
}

#[test]
fn a_package_uses_the_standard_library_and_its_own_files_alone() {
    for (target, why) in [
        ("../../own.kdl", "up and out"),
        ("parts/../../../own.kdl", "in, then out"),
        ("/etc/hostname.kdl", "absolute"),
        ("other:x.kdl", "another package"),
    ] {
        let space = space(
            "package lesions { path vendor/lesions }\npackage other { path \"vendor/other\" }\n"
                .replace("vendor/lesions }", "\"vendor/lesions\" }")
                .as_str(),
        );
        space.write("own.kdl", CUT);
        space.write("vendor/other/x.kdl", CUT);
        space.write("vendor/lesions/templates.kdl", TEMPLATES.replace("parts/cut.kdl", target));
        assert_eq!(space.macula("package pin lesions").code, Some(0));
        let said = refused(&space);
        assert!(said.contains("error[outside-package]"), "{why}: {said}");
    }
    let space = pinned();
    space.edit("pipeline.kdl", "lesions:templates.kdl", "lesions:../lesions/templates.kdl");
    assert!(refused(&space).contains("error[outside-package]"));
    space.edit("pipeline.kdl", "lesions:../lesions/templates.kdl", "lesions:template.kdl");
    assert!(refused(&space).contains("did you mean `templates.kdl`?"));
    space.edit("pipeline.kdl", "lesions:template.kdl", "lesion:templates.kdl");
    assert!(refused(&space).contains("did you mean `lesions:`?"));
}

#[cfg(unix)]
#[test]
fn a_package_holds_no_links_and_is_bounded() {
    use std::os::unix::fs::symlink;
    let foreign = pinned();
    fs::write(foreign.path("vendor/lesions/parts/cut.kdl"), b"// caf\xe9\n").expect("written");
    assert!(refused(&foreign).contains("line 1 contains byte 0xe9, which is not valid UTF-8"), "{}", refused(&foreign));

    let space = pinned();
    let folder = space.path("vendor/lesions");
    // A circle, and a way out.
    for (target, name) in [(folder.clone(), "again"), (space.path("pipeline.kdl"), "own.kdl")] {
        symlink(&target, folder.join(name)).expect("a link");
        let said = refused(&space);
        assert!(said.contains("error[package-files]") && said.contains("is a link"), "{said}");
        fs::remove_file(folder.join(name)).expect("removed");
    }
    assert_eq!(space.macula("check pipeline.kdl").code, Some(0));
    // A file of 100 GB that takes no room.
    let huge = fs::File::create(folder.join("huge.kdl")).expect("a file");
    huge.set_len(100 << 30).expect("it may be sparse");
    let said = refused(&space);
    assert!(said.contains("error[package-files]") && said.contains("larger than 512 KiB"), "{said}");
    fs::remove_file(folder.join("huge.kdl")).expect("removed");
    for i in 0..1_001 {
        fs::write(folder.join(format!("{i}.kdl")), "").expect("written");
    }
    assert!(refused(&space).contains("more than 1000 KDL files"));
    fs::remove_dir_all(&folder).expect("removed");
    assert!(refused(&space).contains("cannot read"));
}

#[test]
fn mistakes_in_the_project_file_are_reported_with_their_places() {
    let digest = format!("digest \"blake3:{}\"", "0".repeat(64));
    for (text, code) in [
        ("packag lesions { path \"vendor/lesions\" }", "unknown-node"),
        ("package { path \"vendor/lesions\" }", "missing-name"),
        ("package std { path \"vendor/lesions\" }", "bad-name"),
        ("package lesions { pat \"vendor/lesions\" }", "unknown-param"),
        ("package lesions { path 3 }", "wrong-kind"),
        ("package lesions { path \"vendor/lesions\"; digest \"blake3:12\" }", "wrong-kind"),
        ("package lesions path=\"vendor/lesions\"", "outside-braces"),
        ("package lesions { path \"x\" }\npackage lesions { path \"y\" }", "duplicate-name"),
        ("store 3", "wrong-kind"),
        (&format!("package lesions {{ {digest} }}"), "missing-param"),
    ] {
        let space = space(text);
        let said = refused(&space);
        assert!(said.contains(&format!("error[{code}]")) && said.contains("project.kdl:"), "{text}: {said}");
    }
    let bare = Space::with(PIPELINE);
    let said = refused(&bare);
    assert!(said.contains("error[unknown-package]") && said.contains("declare it in `project.kdl`"), "{said}");
    assert_eq!(bare.macula("package list").code, Some(2));
}

#[test]
fn the_project_file_says_where_the_store_lies_and_the_environment_wins() {
    let space = Space::with(
        "pipeline p seed=1 { synthetic eyes { photographs 1; size 128 }; extract patches { from eyes }; export files { from patches } }",
    );
    space.write("project.kdl", "store \"elsewhere/store\"\n");
    assert_eq!(space.macula("run pipeline.kdl").code, Some(0));
    assert!(space.path("elsewhere/store").is_dir() && !space.path(".macula").exists());
    let mut command = space.command(&["plan", "pipeline.kdl"]);
    command.env("MACULA_STORE", space.path("third"));
    assert_eq!(space.finish(command).code, Some(0));
    assert!(space.path("third").is_dir());
}
