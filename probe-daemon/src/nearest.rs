//! "Did you mean": in, a misspelt name and the right ones; out, the one that was most likely meant.

/// ` did you mean "kafka"?` where one of the candidates is near, else nothing.
pub fn did_you_mean<'a>(given: &str, candidates: impl IntoIterator<Item = &'a str>) -> String {
    nearest(given, candidates).map(|near| format!("; did you mean {near:?}?")).unwrap_or_default()
}

/// The candidate that a typing mistake most likely meant: at most a third of its letters differ.
pub fn nearest<'a>(given: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // Nobody mistypes a name into something this long, and the distance costs the product of the lengths.
    if given.len() > 100 {
        return None;
    }
    let given = given.to_lowercase();
    let distance = |to: &str| strsim::osa_distance(&given, &to.to_lowercase());
    candidates
        .into_iter()
        .map(|candidate| (distance(candidate), candidate))
        .filter(|(distance, candidate)| *distance <= (candidate.chars().count() / 3).max(1))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nearest_takes_typing_mistakes_and_nothing_else() {
        let names = ["kafka", "logs", "stdout"];
        assert_eq!(nearest("kafkaa", names), Some("kafka"));
        assert_eq!(nearest("KAFKA", names), Some("kafka"));
        assert_eq!(nearest("stduot", names), Some("stdout"));
        assert_eq!(nearest("syslog", names), None);
        assert_eq!(nearest("", names), None);
        assert_eq!(nearest(&"k".repeat(100_000), names), None);
    }
}
