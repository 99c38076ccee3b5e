//! Files of text that an operator has written.
//!
//! In: a path. Out: the text, or why it cannot be had, for a message that says which file it is.

use std::{fs, path::Path};

/// Reads a file of at most `mib` MiB, which is more than any real `what` has: a wrong path, such as that of a device,
/// does not fill the memory.
///
/// # Errors
/// Half a sentence, whose subject is the file.
pub fn read(path: &Path, mib: u64, what: &str) -> Result<String, String> {
    let cannot = |error| format!("cannot be read: {error}");
    if fs::metadata(path).map_err(cannot)?.len() > mib << 20 {
        return Err(format!("is larger than {mib} MiB; {what} is not"));
    }
    fs::read_to_string(path).map_err(cannot)
}
