//! The built-in table: failures that are part of every working host, and no events unless a rule says so.

mod question;

pub use question::{ASKS, Asks, SHOWN, Shown};

/// One line of the built-in table: these errors of these system calls (all, where none is named) are dropped.
pub struct Ordinary {
    /// Why it is ordinary.
    pub why: &'static str,
    /// System calls and io_uring operations, as in a rule.
    pub syscalls: &'static [&'static str],
    /// Errors by name.
    pub errnos: &'static [&'static str],
}

/// What fails in the ordinary course of things.
pub const ORDINARY: [Ordinary; 14] = [
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
            "getxattr",
            "lgetxattr",
            "listxattr",
            "llistxattr",
            "inotify_add_watch",
        ],
        errnos: &["ENOENT", "ENOTDIR"],
    },
    Ordinary {
        why: "a request that was cancelled, or linked to one that failed",
        syscalls: &["class:io_uring"],
        errnos: &["ECANCELED"],
    },
    Ordinary {
        why: "a timeout that ran out",
        syscalls: &["io_uring:timeout", "io_uring:link_timeout"],
        errnos: &["ETIME"],
    },
    Ordinary {
        why: "nothing left to cancel: the request had ended",
        syscalls: &[
            "io_uring:async_cancel",
            "io_uring:timeout_remove",
            "io_uring:poll_remove",
            "io_uring:link_timeout",
        ],
        errnos: &["ENOENT"],
    },
    Ordinary {
        why: "no buffer left of those that were provided: the process provides more and asks again",
        syscalls: &[
            "io_uring:read",
            "io_uring:readv",
            "io_uring:read_multishot",
            "io_uring:recv",
            "io_uring:recvmsg",
        ],
        errnos: &["ENOBUFS"],
    },
    // ENOENT is not here: it may also mean that the file is there, and its interpreter is not.
    Ordinary {
        why: "looking for a program in several places",
        syscalls: &["execve", "execveat"],
        errnos: &["ENOTDIR"],
    },
];
