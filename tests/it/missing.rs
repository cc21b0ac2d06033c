//! What tests need beyond Rust and may lack. Then they say so and pass, or fail: where everything is to be tested, as in `.ci/run`,
//! `MACULA_TESTS_MAY_MISS` is set and names what may be missing all the same (names parted by commas; empty for nothing).

use std::fmt::Display;

/// The switch.
const SWITCH: &str = "MACULA_TESTS_MAY_MISS";

/// What tests need.
const NEEDS: [&str; 12] =
    ["bash", "c++", "data", "fish", "groff", "nvrtc", "pyarrow", "python", "reader", "sandbox", "script", "zsh"];

/// Says that a test is skipped because `need` is missing, in the words of `text`.
///
/// # Panics
/// Where it may not be.
pub(crate) fn missing(need: &str, text: impl Display) {
    let may_miss = std::env::var(SWITCH).ok();
    assert!(NEEDS.contains(&need), "`{need}` is not among what tests need");
    assert!(may_be(need, may_miss.as_deref()), "{text}; {SWITCH} is set and does not name `{need}`");
    println!("skipped: {text}");
}

/// Whether `need` may be missing where the switch has this value.
fn may_be(need: &str, may_miss: Option<&str>) -> bool {
    may_miss.is_none_or(|names| {
        let names: Vec<&str> = names.split(',').map(str::trim).filter(|name| !name.is_empty()).collect();
        let unknown = names.iter().find(|name| !NEEDS.contains(name));
        assert!(unknown.is_none(), "{SWITCH} names {unknown:?}, which no test needs: {NEEDS:?}");
        names.contains(&need)
    })
}

#[test]
fn what_is_missing_fails_its_test_where_the_switch_does_not_name_it() {
    assert!(may_be("zsh", None));
    assert!(may_be("zsh", Some("data, zsh")));
    assert!(!may_be("zsh", Some("")) && !may_be("zsh", Some("data")));
    assert!(std::panic::catch_unwind(|| may_be("zsh", Some("zhs"))).is_err(), "a slip is told");
}
