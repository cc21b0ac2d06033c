//! What is asked of any text: one function for each floor, called by the fuzz targets next to this and by the bounded property
//! tests of `tests/it/language/fuzz.rs`. Each panics where a promise is broken.

use macula::base::{FileId, Sources};
use macula::lang::spec::Points;
use macula::{lang, syntax};

/// The scan loses no byte; reading ends, tells places that lie in the text, and tells the same again from a cache.
pub(crate) fn parser(text: &str) {
    let tokens = syntax::scan(text);
    let mut at = 0;
    for token in &tokens {
        assert!(token.start == at && token.end > at, "tokens follow each other");
        at = token.end;
    }
    assert_eq!(at, text.len(), "no byte is lost");
    let mut cache = syntax::ValidationCache::default();
    let (document, diags) = syntax::parse_with(FileId(0), text, &mut cache);
    for span in diags.iter().flat_map(|diag| &diag.labels).map(|label| label.span) {
        assert!(text.get(span.range()).is_some(), "{span:?} lies in the text");
    }
    assert_eq!(syntax::parse_with(FileId(0), text, &mut cache), (document, diags), "the cache changes nothing");
}

/// What is formatted has the same tree, and stays as it is when it is formatted again; what is faulty is refused.
pub(crate) fn formatter(text: &str) {
    match syntax::format(FileId(0), text) {
        Ok(once) => assert_eq!(syntax::format(FileId(0), &once).as_ref(), Ok(&once), "twice is once"),
        Err(syntax::Unformatted::Faulty(diags)) => assert!(!diags.is_empty()),
        Err(syntax::Unformatted::Defect) => panic!("the layout changes what the text says"),
    }
}

/// Templates, differences and parameters are expanded within bounds, and every reported place is in its text.
pub(crate) fn expander(text: &str) {
    let mut sources = Sources::default();
    let (contents, diags) = lang::load_text("fuzz.kdl", None, text, &[], Points::All, &mut sources);
    for span in diags.iter().flat_map(|diag| &diag.labels).map(|label| label.span) {
        assert!(sources.get(span.file).text.get(span.range()).is_some(), "{span:?} lies in its text");
    }
    for pipeline in &contents.pipelines {
        let refused = diags.iter().any(|diag| diag.code == "too-many-stages");
        assert!(refused || pipeline.stages.len() <= 10_000, "{} stages", pipeline.stages.len());
    }
}

/// A network's shapes are inferred within bounds for patches of any size.
pub(crate) fn shapes(text: &str) {
    let network = format!("network fuzzed {{\n{text}\n}}\n");
    expander(&network);
    let stages = "synthetic a; extract b { from a; size 64 }; split c { from b }";
    let train = "train d { data c.train; valid c.valid; network fuzzed }";
    expander(&format!("{network}pipeline p seed=1 {{ {stages}; {train} }}\n"));
}
