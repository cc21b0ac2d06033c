//! Names of YOLO's classes: `names` of a `data.yaml`, or a text with one name per line. Reads the simple forms of YAML only.

use std::collections::BTreeMap;

use super::mistakes::AnnotationMistakes;

/// Names by number; `yaml` says whether the text is YAML.
#[must_use]
pub fn names(text: &str, yaml: bool, mistakes: &mut AnnotationMistakes) -> BTreeMap<u32, String> {
    let found = if yaml { of_yaml(text, mistakes) } else { of_lines(text) };
    if found.is_empty() && mistakes.count() == 0 {
        mistakes.add("", "has no names of classes");
    }
    found
}

fn of_lines(text: &str) -> BTreeMap<u32, String> {
    let lines = text.trim_start_matches('\u{feff}').trim_end().lines();
    (0..).zip(lines).map(|(number, line)| (number, line.trim().to_owned())).collect()
}

/// Names in one of three forms: `names: [a, b]`, `- a` below `names:`, or `0: a` below `names:`.
fn of_yaml(text: &str, mistakes: &mut AnnotationMistakes) -> BTreeMap<u32, String> {
    let mut lines = (1..).zip(text.trim_start_matches('\u{feff}').lines().map(without_comment));
    let Some((number, rest)) = lines.find_map(|(number, line)| Some((number, line.strip_prefix("names:")?.trim())))
    else {
        mistakes.add("", "has no line that begins with `names:`");
        return BTreeMap::new();
    };
    let mut found = BTreeMap::new();
    let mut add = |line: u32, key: u32, name: Option<String>, mistakes: &mut AnnotationMistakes| match name {
        None => mistakes.add(&format!("line {line}"), "this form of YAML is not read here; write `0: name`"),
        Some(name) => {
            if found.insert(key, name).is_some() {
                mistakes.add(&format!("line {line}"), format!("class {key} has two names"));
            }
        }
    };
    if !rest.is_empty() {
        let mut all = rest.to_owned();
        while !all.ends_with([']', '}']) {
            let Some((_, line)) = lines.next() else { break };
            all = format!("{all} {}", line.trim());
        }
        let list = all.strip_prefix('[').and_then(|all| all.strip_suffix(']'));
        let map = all.strip_prefix('{').and_then(|all| all.strip_suffix('}'));
        let parts = list.or(map).and_then(split);
        let Some(parts) = parts else {
            mistakes.add(&format!("line {number}"), "expected `names: [a, b]`, or `names:` with `0: a` on lines below");
            return BTreeMap::new();
        };
        for (at, part) in (0..).zip(parts) {
            match (list.is_some(), keyed(part)) {
                (true, _) => add(number, at, scalar(part), mistakes),
                (false, Some((key, name))) => add(number, key, scalar(name), mistakes),
                (false, None) => add(number, at, None, mistakes),
            }
        }
        return found;
    }
    let mut at = 0;
    for (number, line) in lines.filter(|(_, line)| !line.trim().is_empty()) {
        let inner = line.trim();
        match (inner.strip_prefix("- "), keyed(inner)) {
            (Some(name), _) => {
                add(number, at, scalar(name), mistakes);
                at += 1;
            }
            // The next member of the file.
            _ if !line.starts_with([' ', '\t']) => break,
            (None, Some((key, name))) => add(number, key, scalar(name), mistakes),
            (None, None) => add(number, 0, None, mistakes),
        }
    }
    found
}

/// The number and the rest of `0: name`.
fn keyed(text: &str) -> Option<(u32, &str)> {
    let (key, name) = text.split_once(':')?;
    Some((key.trim().trim_matches(['"', '\'']).parse().ok()?, name))
}

/// A line without its comment: `#` at its start, or after a space and outside of quotes.
fn without_comment(line: &str) -> &str {
    let (mut quote, mut last) = (None, ' ');
    for (at, letter) in line.char_indices() {
        match quote {
            Some(open) if letter == open => quote = None,
            None if matches!(letter, '"' | '\'') && !last.is_alphanumeric() => quote = Some(letter),
            None if letter == '#' && last.is_whitespace() => return line[..at].trim_end(),
            _ => {}
        }
        last = letter;
    }
    line.trim_end()
}

/// Parts between commas outside of quotes; [`None`] if a quote does not end.
fn split(text: &str) -> Option<Vec<&str>> {
    let begins = |before: &str| before.is_empty() || before.ends_with(':');
    let (mut parts, mut quote, mut from) = (Vec::new(), None, 0);
    for (at, letter) in text.char_indices() {
        match quote {
            Some(open) if letter == open => quote = None,
            None if matches!(letter, '"' | '\'') && begins(text[from..at].trim()) => quote = Some(letter),
            // Two in a row within a text in single quotes.
            None if letter == '\'' && text[from..at].ends_with('\'') => quote = Some(letter),
            None if letter == ',' => {
                parts.push(&text[from..at]);
                from = at + 1;
            }
            _ => {}
        }
    }
    let last = &text[from..];
    if !last.trim().is_empty() {
        parts.push(last);
    }
    quote.is_none().then_some(parts)
}

/// A plain or quoted scalar; [`None`] for anything else that YAML allows.
fn scalar(text: &str) -> Option<String> {
    let text = text.trim();
    if let Some(inner) = text.strip_prefix('\'') {
        let inner = inner.strip_suffix('\'')?;
        return Some(inner.replace("''", "'"));
    }
    if let Some(inner) = text.strip_prefix('"') {
        return inner.strip_suffix('"').filter(|inner| !inner.contains(['\\', '"'])).map(str::to_owned);
    }
    let special = ['[', ']', '{', '}', '&', '*', '!', '|', '>', '%', '@', '`'];
    let plain = !text.is_empty() && !text.starts_with(special) && !text.contains(": ") && !text.ends_with(':');
    plain.then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Vec<(u32, String)> {
        let mut mistakes = AnnotationMistakes::of("data.yaml");
        let found = names(text, true, &mut mistakes);
        assert_eq!(mistakes, AnnotationMistakes::of("data.yaml"), "{text}");
        found.into_iter().collect()
    }

    fn refused(text: &str) -> String {
        let mut mistakes = AnnotationMistakes::of("data.yaml");
        let _ = names(text, true, &mut mistakes);
        mistakes.error("damaged-annotation").expect("a mistake").to_string()
    }

    #[test]
    fn all_three_forms_of_names_are_read() {
        let expected = [(0, "microaneurysm".to_owned()), (1, "it's, soft".to_owned())];
        for text in [
            "nc: 2\nnames: [microaneurysm, \"it's, soft\"]\n",
            "names: ['microaneurysm',\n  'it''s, soft' ] # of DDR\n",
            "path: x\nnames:\n  - microaneurysm # first\n  - \"it's, soft\"\ntrain: y\n",
            "names:\n- microaneurysm\n- it's, soft\n",
            "names:\n  0: microaneurysm\n\n  1: it's, soft\nval: z\n",
            "names: {0: microaneurysm, 1: \"it's, soft\"}\n",
        ] {
            assert_eq!(of(text), expected, "{text}");
        }
        assert_eq!(of_lines("a\nb c\n").into_values().collect::<Vec<_>>(), ["a", "b c"]);
    }

    #[test]
    fn other_forms_are_refused_by_line() {
        assert!(refused("nc: 2\n").contains("`names:`"));
        assert!(refused("names: &a [b]\n").contains("line 1: expected"));
        assert!(refused("names:\n  0: a\n  0: b\n").contains("line 3: class 0 has two names"));
        assert!(refused("names:\n  0: \"a\\n\"\n").contains("line 2: this form of YAML"));
        assert!(refused("names:\n  0: {a: b}\n").contains("line 2"));
        assert!(refused("names: [a, 'b]\n").contains("line 1"));
        assert!(refused("names:\n").contains("no names"));
    }
}
