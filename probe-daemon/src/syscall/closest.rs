//! "Did you mean": in, a misspelt name and the right ones; out, the one that was probably meant.

/// The candidate that takes the fewest typing slips to reach, if they are few for a name of this length.
pub(crate) fn closest<'a>(name: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let name = name.to_ascii_lowercase();
    // A longer text is no misspelt name, and comparing it would only cost time.
    if name.len() > 64 {
        return None;
    }
    let allowed = (name.len() / 3).clamp(1, 3);
    candidates
        .map(|candidate| (slips(name.as_bytes(), candidate.to_ascii_lowercase().as_bytes()), candidate))
        .filter(|(slips, _)| *slips <= allowed)
        .min_by_key(|(slips, _)| *slips)
        .map(|(_, candidate)| candidate)
}

/// Insertions, deletions, replacements and swaps of neighbours that turn one name into the other.
fn slips(from: &[u8], to: &[u8]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=to.len()).collect();
    for (i, a) in from.iter().enumerate() {
        let mut row = Vec::with_capacity(to.len() + 1);
        row.push(i + 1);
        for (j, b) in to.iter().enumerate() {
            let mut best = (last[j] + usize::from(a != b)).min(last[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && *a == to[j - 1] && from[i - 1] == *b {
                best = best.min(before[j - 1] + 1);
            }
            row.push(best);
        }
        before = std::mem::replace(&mut last, row);
    }
    last.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::{closest, slips};

    #[test]
    fn slips_are_counted_as_a_typist_makes_them() {
        for (from, to, expect) in [
            ("", "", 0),
            ("", "abc", 3),
            ("open", "open", 0),
            ("opne", "open", 1),
            ("opn", "open", 1),
            ("kill", "bind", 3),
        ] {
            assert_eq!(slips(from.as_bytes(), to.as_bytes()), expect, "{from} {to}");
            assert_eq!(slips(to.as_bytes(), from.as_bytes()), expect, "{to} {from}");
        }
    }

    #[test]
    fn only_a_name_that_is_close_is_offered() {
        let names = ["openat", "open", "connect"];
        for (name, expect) in [
            ("opennat", Some("openat")),
            ("CONNETC", Some("connect")),
            ("opne", Some("open")),
            ("zzzzzz", None),
            ("", None),
        ] {
            assert_eq!(closest(name, names.into_iter()), expect, "{name}");
        }
        assert_eq!(closest(&"a".repeat(1000), names.into_iter()), None);
    }
}
