//! Failures that are ordinary only with certain arguments: a caller asks whether something is there or possible, and
//! the error is the answer. The same error of the same call is an event with any other argument.

/// A question that one register asks. The kernel side knows these, so they cost nothing and hide nothing.
pub struct Asks {
    /// Why it is ordinary.
    pub why: &'static str,
    /// The system call.
    pub syscall: &'static str,
    /// The error that answers.
    pub errno: &'static str,
    /// Index of the argument, and its value (the lower half).
    pub argument: (u16, u32),
}

/// At most [`probe_common::QUESTIONS`] for each call.
pub const ASKS: [Asks; 12] = [
    asks("lseek", "ESPIPE", (2, 1), "asking whether a file has positions (SEEK_CUR)"),
    asks("lseek", "ENXIO", (2, 3), "asking for data behind the last (SEEK_DATA), as cp does"),
    asks("fadvise64", "ESPIPE", (3, 2), "advice on a pipe (POSIX_FADV_SEQUENTIAL), which nobody needs"),
    asks("ioctl", "EOPNOTSUPP", (1, 0x4004_9409), "asking for a copy on write (FICLONE), as cp does"),
    asks("fcntl", "EBADF", (1, 1), "asking whether a descriptor is open (F_GETFD), as shells do"),
    asks("prctl", "EINVAL", (0, 23), "asking for the last capability (PR_CAPBSET_READ)"),
    asks("rt_sigaction", "EINVAL", (0, 9), "resetting every signal, SIGKILL among them"),
    asks("rt_sigaction", "EINVAL", (0, 19), "resetting every signal, SIGSTOP among them"),
    asks("seccomp", "EFAULT", (2, 0), "asking which flags seccomp knows, without a filter"),
    asks("seccomp", "EINVAL", (0, 0), "asking whether seccomp is there (SECCOMP_SET_MODE_STRICT)"),
    asks("statx", "EFAULT", (4, 0), "asking whether statx is there, without a buffer"),
    asks(
        "epoll_ctl",
        "EPERM",
        (1, 1),
        "a file that is always ready and cannot be waited for (EPOLL_CTL_ADD)",
    ),
];

const fn asks(syscall: &'static str, errno: &'static str, argument: (u16, u32), why: &'static str) -> Asks {
    Asks { why, syscall, errno, argument }
}

/// A question that only the memory behind an argument tells, so the daemon decides. The kernel side does not fold what
/// may be one, lest a real failure be counted as the repeat of a question.
pub struct Shown {
    /// Why it is ordinary.
    pub why: &'static str,
    /// System calls.
    pub syscalls: &'static [&'static str],
    /// The error that answers.
    pub errno: &'static str,
    /// What a record would show as the call's object.
    pub object: &'static str,
}

/// At most one error for each call.
pub const SHOWN: [Shown; 2] = [
    Shown {
        why: "asking for the name service cache, which few hosts run",
        syscalls: &["connect"],
        errno: "ENOENT",
        object: "unix:/var/run/nscd/socket",
    },
    Shown {
        why: "asking for a terminal, which services do not have",
        syscalls: &["open", "openat"],
        errno: "ENXIO",
        object: "\"/dev/tty\"",
    },
];
