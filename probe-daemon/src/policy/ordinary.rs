//! The built-in table: failures that are part of every working host, and no events unless a rule says so.

mod question;

pub use question::{ASKS, Asks, LOOKS, Looks};

/// One line of the built-in table: these errors of these system calls (all, where none is named) are dropped.
pub struct Ordinary {
    /// Why it is ordinary.
    pub why: &'static str,
    /// System calls by name.
    pub syscalls: &'static [&'static str],
    /// Errors by name.
    pub errnos: &'static [&'static str],
}

/// What fails in the ordinary course of things.
pub const ORDINARY: [Ordinary; 9] = [
    Ordinary {
        why: "flow control: try again, interrupted, still going on",
        syscalls: &[],
        errnos: &["EAGAIN", "EINTR", "EINPROGRESS", "EALREADY"],
    },
    Ordinary {
        why: "a wait that ran out",
        syscalls: &[
            "futex",
            "futex_wait",
            "futex_waitv",
            "mq_timedsend",
            "mq_timedreceive",
            "io_uring_enter",
        ],
        errnos: &["ETIMEDOUT", "ETIME"],
    },
    Ordinary { why: "no child left to wait for", syscalls: &["wait4", "waitid"], errnos: &["ECHILD"] },
    Ordinary {
        why: "asking whether a file is a symbolic link",
        syscalls: &["readlink", "readlinkat"],
        errnos: &["EINVAL"],
    },
    Ordinary { why: "a file of /proc whose process has ended", syscalls: &["openat"], errnos: &["ESRCH"] },
    Ordinary { why: "asking whether a file is a terminal", syscalls: &["ioctl"], errnos: &["ENOTTY"] },
    Ordinary {
        why: "a file or file system without extended attributes",
        syscalls: &[
            "setxattr",
            "lsetxattr",
            "fsetxattr",
            "setxattrat",
            "getxattr",
            "lgetxattr",
            "fgetxattr",
            "getxattrat",
            "listxattr",
            "llistxattr",
            "flistxattr",
            "listxattrat",
            "removexattr",
            "lremovexattr",
            "fremovexattr",
            "removexattrat",
        ],
        errnos: &["ENODATA", "EOPNOTSUPP"],
    },
    Ordinary {
        why: "a directory that is there already",
        syscalls: &["mkdir", "mkdirat"],
        errnos: &["EEXIST"],
    },
    Ordinary {
        why: "looking for a file in several places",
        syscalls: &[
            "open",
            "openat",
            "openat2",
            "stat",
            "lstat",
            "newfstatat",
            "statx",
            "statfs",
            "access",
            "faccessat",
            "faccessat2",
            "readlink",
            "readlinkat",
            "execve",
            "execveat",
            "getxattr",
            "lgetxattr",
            "listxattr",
            "llistxattr",
            "inotify_add_watch",
        ],
        errnos: &["ENOENT", "ENOTDIR"],
    },
];
