//! Secrets in files of their own. In: a path. Out: the secret, or why there is none; never the content in a message.

use std::{fs::File, io::Read as _, os::unix::fs::PermissionsExt as _, path::Path};

use crate::config::Secret;

/// No password is longer; a wrong path, such as a device, does not fill the memory.
const LONGEST: u64 = 64 * 1024;

/// Reads a file that holds nothing but a secret. The newline that editors put at its end is no part of it.
pub(super) fn read(path: &Path) -> Result<Secret, String> {
    let mut text = String::new();
    let opened = File::open(path).map_err(|error| format!("cannot be read: {error}"))?;
    let size = opened.take(LONGEST + 1).read_to_string(&mut text).map_err(|error| match error.kind() {
        std::io::ErrorKind::InvalidData => "is not UTF-8; write the secret as text".to_owned(),
        _ => format!("cannot be read: {error}"),
    })?;
    let secret = text.strip_suffix('\n').unwrap_or(&text);
    let secret = secret.strip_suffix('\r').unwrap_or(secret);
    if size as u64 > LONGEST {
        Err("is longer than 64 KiB; it holds nothing but the secret".to_owned())
    } else if secret.is_empty() {
        Err("is empty; write the secret into it".to_owned())
    } else if secret.contains(['\0', '\n']) {
        Err("has more than one line; it holds nothing but the secret".to_owned())
    } else {
        Ok(Secret::new(secret))
    }
}

/// Whether users other than its owner and group may read it.
pub(super) fn world_readable(path: &Path) -> bool {
    path.metadata().is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o004 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The secret in a file of these bytes.
    fn of(content: &[u8]) -> Result<String, String> {
        let path =
            std::env::temp_dir().join(format!("probe-secret-{}-{}", std::process::id(), content.len()));
        std::fs::write(&path, content).unwrap();
        let secret = read(&path);
        std::fs::remove_file(path).unwrap();
        secret.map(|secret| secret.expose().to_owned())
    }

    #[test]
    fn a_file_holds_one_secret() {
        assert_eq!(of(b"plain").unwrap(), "plain");
        assert_eq!(of(b" of spaces \n").unwrap(), " of spaces ");
        assert_eq!(of(b"from windows\r\n").unwrap(), "from windows");
        for (content, why) in [
            (b"".as_slice(), "empty"),
            (b"\n", "empty"),
            (b"two\nlines\n", "more than one line"),
            (b"zero\0", "more than one line"),
            (b"\xff\xfe", "UTF-8"),
            (&[b'x'; 70_000], "64 KiB"),
        ] {
            let said = of(content).unwrap_err();
            assert!(said.contains(why), "{said}");
            assert!(!said.contains("two") && !said.contains("zero"), "the content is told: {said}");
        }
        assert!(read(Path::new("/nowhere/secret")).unwrap_err().contains("cannot be read"));
    }
}
