//! The check of pages under `docs/` that are made from the sources.

/// Asserts that a page is what it would be if it were made now; with `UPDATE_DOCS` set, makes it.
pub fn assert_current(page: &str, now: &str) {
    let path = format!("{}/../docs/{page}", env!("CARGO_MANIFEST_DIR"));
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, now).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(written == now, "docs/{page} is stale; run UPDATE_DOCS=1 cargo test -p probe-daemon docs");
}
