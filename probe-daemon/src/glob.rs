//! Patterns of names and paths, as rules have them.
//!
//! In: a pattern and a text. Out: whether they fit.

/// Whether a text is like a pattern, in which `*` stands for any characters, also none.
pub fn matches(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else { return false };
    let Some(last) = parts.next_back() else { return rest.is_empty() };
    for part in parts {
        let Some(at) = rest.find(part) else { return false };
        rest = rest.get(at + part.len()..).unwrap_or_default();
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(pattern: &str, text: &str, expect: bool) {
        assert_eq!(matches(pattern, text), expect, "{pattern:?} {text:?}");
    }

    #[test]
    fn a_star_stands_for_any_characters() {
        check("nginx", "nginx", true);
        check("nginx", "nginx2", false);
        check("*", "", true);
        check("kworker/*", "kworker/0:1", true);
        check("*/docker/*", "/system.slice/docker/abc", true);
        check("*.service", "/system.slice/sshd.service", true);
        check("a*b*c", "a--b--c", true);
        check("a*b*c", "a--c--b", false);
        check("ab*ba", "aba", false);
    }

    proptest! {
        #[test]
        fn whatever_a_star_stood_for_is_found(head in "[a-c]{0,4}", middle in ".{0,9}", tail in "[a-c]{0,4}") {
            let (pattern, text) = (format!("{head}*{tail}"), format!("{head}{middle}{tail}"));
            prop_assert!(matches(&pattern, &text));
        }

        #[test]
        fn no_pattern_and_no_text_panics(pattern in "[*ä\\w]{0,9}", text in ".{0,20}") {
            let _ = matches(&pattern, &text);
        }
    }
}
