//! Limits that a failure may have hit.
//!
//! In: a failed call. Out: the limits of its process, from `/proc/PID/limits`, and those of the host.

use std::path::Path;

use super::{Found, Process, read};
use crate::{errno, event::TraceEvent, syscall::Class};

/// An error, the row of `/proc/PID/limits` that may be behind it, and the attribute that the limit becomes.
const OF_PROCESS: [(&str, &str, &str); 6] = [
    ("EMFILE", "Max open files", "gala_gopher.limit.open_files"),
    ("ENOMEM", "Max address space", "gala_gopher.limit.address_space"),
    ("ENOMEM", "Max locked memory", "gala_gopher.limit.locked_memory"),
    ("EAGAIN", "Max processes", "gala_gopher.limit.processes"),
    ("EFBIG", "Max file size", "gala_gopher.limit.file_size"),
    ("E2BIG", "Max stack size", "gala_gopher.limit.stack"),
];

/// An error, the file that holds the host's limit, and the attribute that it becomes.
const OF_HOST: [(&str, &str, &str); 2] = [
    ("ENFILE", "/proc/sys/fs/file-max", "gala_gopher.limit.host_files"),
    ("ENOMEM", "/proc/sys/vm/max_map_count", "gala_gopher.limit.mappings"),
];

/// Adds the limits behind this failure. One that is `unlimited` was not hit, and is left out.
pub fn find(call: &TraceEvent, found: &mut Found) {
    let name = errno::name(call.errno);
    // Only starting processes hits this one; elsewhere the error means something else.
    if name == "EAGAIN" && call.syscall.is_none_or(|call| call.class != Class::Process) {
        return;
    }
    if OF_PROCESS.iter().any(|(errno, ..)| *errno == name)
        && let Some(process) = Process::of(&call.subject)
        && let Some(limits) = read(&process.folder.join("limits"))
    {
        for (_, row, key) in OF_PROCESS.iter().filter(|(errno, ..)| *errno == name) {
            found.extend(soft(&limits, row).map(|limit| (*key, limit.into())));
        }
    }
    for (_, path, key) in OF_HOST.iter().filter(|(errno, ..)| *errno == name) {
        let limit = read(Path::new(path)).and_then(|text| text.trim().parse::<u64>().ok());
        found.extend(limit.map(|limit| (*key, limit.into())));
    }
}

/// `Max open files            1024                 524288               files`
fn soft(limits: &str, row: &str) -> Option<u64> {
    let rest = limits.lines().find_map(|line| line.strip_prefix(row))?;
    rest.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_the_kernel_are_read() {
        let limits = "Limit                     Soft Limit           Hard Limit           Units     \n\
                      Max cpu time              unlimited            unlimited            seconds   \n\
                      Max open files            1024                 524288               files     \n";
        assert_eq!(soft(limits, "Max open files"), Some(1024));
        assert_eq!(soft(limits, "Max cpu time"), None, "no limit");
        assert_eq!(soft(limits, "Max stack size"), None);
    }

    #[test]
    fn every_row_is_one_of_this_kernel() {
        let limits = read(Path::new("/proc/self/limits")).unwrap();
        for (errno, row, _) in OF_PROCESS {
            assert!(limits.lines().any(|line| line.starts_with(row)), "{row}");
            assert!(errno::parse(errno).is_some(), "{errno}");
        }
    }
}
