//! Calls on processes, users, time and the kernel itself: in comes a world, out come calls that nobody may
//! make, or that make no sense.

use libc::{CLONE_NEWNS, CLONE_SIGHAND, PTRACE_ATTACH};

use super::{NO_FD, NO_PID};
use crate::provoke::Call;

pub(super) fn calls() -> Vec<Call> {
    let buffer = || vec![0_u8; 64];
    vec![
        call!(SYS_kill, ESRCH, NO_PID, 0).shows(NO_PID),
        call!(SYS_kill, EINVAL, 1, 200).shows(1),
        call!(SYS_kill, EPERM, 1, 0).nobody(),
        call!(SYS_tgkill, ESRCH, NO_PID, NO_PID, 0).shows(NO_PID),
        call!(SYS_waitid, EINVAL, 99, 0, 0, 0, 0),
        call!(SYS_getpgid, ESRCH, NO_PID).shows(NO_PID),
        call!(SYS_setpgid, ESRCH, NO_PID, 0).shows(NO_PID),
        call!(SYS_getpriority, EINVAL, 99, 0),
        call!(SYS_sched_setaffinity, ESRCH, NO_PID, 8, vec![1, 0, 0, 0, 0, 0, 0, 0]).shows(NO_PID),
        call!(SYS_prlimit64, ESRCH, NO_PID, 0, 0, 0).shows(NO_PID),
        call!(SYS_pidfd_open, ESRCH, NO_PID, 0).shows(NO_PID),
        call!(SYS_ptrace, ESRCH, PTRACE_ATTACH as i32, NO_PID, 0, 0).shows(NO_PID),
        call!(SYS_setuid, EPERM, 0).nobody(),
        call!(SYS_setgid, EPERM, 0).nobody(),
        call!(SYS_setresuid, EPERM, 0, 0, 0).nobody(),
        call!(SYS_setgroups, EPERM, 0, 0).nobody(),
        call!(SYS_sethostname, EPERM, "host", 4).nobody(),
        call!(SYS_reboot, EPERM, 0, 0, 0, 0).nobody(),
        call!(SYS_unshare, EPERM, CLONE_NEWNS).nobody(),
        call!(SYS_setns, EBADF, NO_FD, 0).shows(NO_FD),
        call!(SYS_clone, EINVAL, CLONE_SIGHAND, 0, 0, 0, 0),
        call!(SYS_bpf, EINVAL, 9999, 0, 0),
        call!(SYS_perf_event_open, EFAULT, 0, 0, -1, -1, 0),
        call!(SYS_prctl, EINVAL, 9999, 0, 0, 0, 0),
        call!(SYS_arch_prctl, EINVAL, 9999, 0),
        call!(SYS_futex, ENOSYS, buffer(), 127, 0, 0, 0, 0),
        call!(SYS_nanosleep, EINVAL, vec![0xff; 16], 0),
        call!(SYS_clock_gettime, EINVAL, 9999, buffer()),
        call!(SYS_timer_delete, EINVAL, 9999),
        call!(SYS_getrusage, EINVAL, 99, buffer()),
        call!(SYS_getrandom, EINVAL, buffer(), 64, 0x1000),
        call!(SYS_getcwd, ERANGE, buffer(), 1),
        call!(SYS_poll, EINVAL, 0, 1 << 30, 0),
        Call::new("", 999, vec![1.into(), 2.into()], (libc::ENOSYS, "ENOSYS")),
    ]
}
