//! System calls from 300 on of x86_64, one a row: number, name, class, arguments.
//!
//! The numbers 337 to 423 are not in use: from 424 on a call has one number on every architecture.

use crate::syscall::{
    Syscall, kind::Kind::*, names::file::*, names::memory::*, names::net::*, names::process::*,
    names::system::*, table::calls,
};

calls! {
    300 fanotify_init File (flags: FANOTIFY_INIT, event_f_flags: OPEN);
    301 fanotify_mark File (fanotify_fd: Fd, flags: FANOTIFY_MARK, mask: FANOTIFY_EVENTS, dir_fd: DirFd, pathname: Path);
    302 prlimit64 Process (pid: Pid, resource: RLIMIT, new_limit: Pointer, old_limit: Pointer);
    303 name_to_handle_at File (dir_fd: DirFd, pathname: Path, handle: Pointer, mount_id: Pointer, flags: HANDLE);
    304 open_by_handle_at File (mount_fd: DirFd, handle: Pointer, flags: OPEN);
    305 clock_adjtime Time (clockid: CLOCK, buf: Pointer);
    306 syncfs Io (fd: Fd);
    307 sendmmsg Network (sockfd: Fd, msgvec: Pointer, vlen: Uint, flags: MESSAGE);
    308 setns Process (fd: Fd, nstype: UNSHARE);
    309 getcpu Sched (cpu: Pointer, node: Pointer, tcache: Pointer);
    310 process_vm_readv Trace (pid: Pid, local_iov: Pointer, liovcnt: Size, remote_iov: Pointer, riovcnt: Size, flags: Hex);
    311 process_vm_writev Trace (pid: Pid, local_iov: Pointer, liovcnt: Size, remote_iov: Pointer, riovcnt: Size, flags: Hex);
    312 kcmp Trace (pid1: Pid, pid2: Pid, type: KCMP, idx1: Hex, idx2: Hex);
    313 finit_module Module (fd: Fd, param_values: Text, flags: INIT_MODULE);
    314 sched_setattr Sched (pid: Pid, attr: Pointer, flags: Hex);
    315 sched_getattr Sched (pid: Pid, attr: Pointer, size: Uint, flags: Hex);
    316 renameat2 File (old_dir_fd: DirFd, oldpath: Path, new_dir_fd: DirFd, newpath: Path, flags: RENAME);
    317 seccomp Security (operation: SECCOMP, flags: SECCOMP_FILTER, args: Pointer);
    318 getrandom System (buf: Pointer, buflen: Size, flags: RANDOM);
    319 memfd_create Memory (name: Text, flags: MEMFD);
    320 kexec_file_load Module (kernel_fd: Fd, initrd_fd: Fd, cmdline_len: Size, cmdline: Text, flags: KEXEC_FILE);
    321 bpf Trace (cmd: BPF, attr: Pointer, size: Uint);
    322 execveat Process (dir_fd: DirFd, filename: Path, argv: Pointer, envp: Pointer, flags: AT);
    323 userfaultfd Memory (flags: USERFAULTFD);
    324 membarrier Memory (cmd: MEMBARRIER, flags: Hex, cpu_id: Int);
    325 mlock2 Memory (addr: Pointer, length: Size, flags: MLOCK);
    326 copy_file_range Io (fd_in: Fd, off_in: Pointer, fd_out: Fd, off_out: Pointer, len: Size, flags: Hex);
    327 preadv2 Io (fd: Fd, iov: Pointer, iovcnt: Int, offset: Long, offset_high: Long, flags: RWF);
    328 pwritev2 Io (fd: Fd, iov: Pointer, iovcnt: Int, offset: Long, offset_high: Long, flags: RWF);
    329 pkey_mprotect Memory (addr: Pointer, length: Size, prot: PROT, pkey: Int);
    330 pkey_alloc Memory (flags: Hex, access_rights: PKEY);
    331 pkey_free Memory (pkey: Int);
    332 statx File (dir_fd: DirFd, pathname: Path, flags: AT, mask: STATX, statxbuf: Pointer);
    333 io_pgetevents Io (ctx_id: Hex, min_nr: Long, nr: Long, events: Pointer, timeout: Pointer, sig: Pointer);
    334 rseq Process (rseq: Pointer, rseq_len: Uint, flags: RSEQ, sig: Hex);
    335 uretprobe Trace ();
    336 uprobe Trace ();
    424 pidfd_send_signal Signal (pidfd: Fd, sig: Signal, info: Pointer, flags: PIDFD_SIGNAL);
    425 io_uring_setup Io (entries: Uint, params: Pointer);
    426 io_uring_enter Io (fd: Fd, to_submit: Uint, min_complete: Uint, flags: URING_ENTER, arg: Pointer, argsz: Size);
    427 io_uring_register Io (fd: Fd, opcode: URING_REGISTER, arg: Pointer, nr_args: Uint);
    428 open_tree Mount (dir_fd: DirFd, pathname: Path, flags: OPEN_TREE);
    429 move_mount Mount (from_dir_fd: DirFd, from_pathname: Path, to_dir_fd: DirFd, to_pathname: Path, flags: MOVE_MOUNT);
    430 fsopen Mount (fsname: Text, flags: FSOPEN);
    431 fsconfig Mount (fd: Fd, cmd: FSCONFIG, key: Text, value: Pointer, aux: Int);
    432 fsmount Mount (fd: Fd, flags: FSMOUNT, attr_flags: MOUNT_ATTR);
    433 fspick Mount (dir_fd: DirFd, pathname: Path, flags: FSPICK);
    434 pidfd_open Process (pid: Pid, flags: PIDFD);
    435 clone3 Process (cl_args: Pointer, size: Size);
    436 close_range Io (first: Uint, last: Uint, flags: CLOSE_RANGE);
    437 openat2 File (dir_fd: DirFd, pathname: Path, how: Pointer, size: Size);
    438 pidfd_getfd Process (pidfd: Fd, targetfd: Fd, flags: Hex);
    439 faccessat2 File (dir_fd: DirFd, pathname: Path, mode: ACCESS, flags: FACCESS);
    440 process_madvise Memory (pidfd: Fd, iovec: Pointer, vlen: Size, advice: MADVISE, flags: Hex);
    441 epoll_pwait2 Io (epfd: Fd, events: Pointer, maxevents: Int, timeout: Pointer, sigmask: Pointer, sigsetsize: Size);
    442 mount_setattr Mount (dir_fd: DirFd, pathname: Path, flags: AT, attr: Pointer, size: Size);
    443 quotactl_fd System (fd: Fd, op: QUOTA, id: Int, addr: Pointer);
    444 landlock_create_ruleset Security (attr: Pointer, size: Size, flags: LANDLOCK_CREATE);
    445 landlock_add_rule Security (ruleset_fd: Fd, rule_type: LANDLOCK_RULE, rule_attr: Pointer, flags: Hex);
    446 landlock_restrict_self Security (ruleset_fd: Fd, flags: LANDLOCK_RESTRICT);
    447 memfd_secret Memory (flags: SECRET);
    448 process_mrelease Memory (pidfd: Fd, flags: Hex);
    449 futex_waitv Ipc (waiters: Pointer, nr_futexes: Uint, flags: Hex, timeout: Pointer, clockid: CLOCK);
    450 set_mempolicy_home_node Memory (start: Pointer, length: Size, home_node: Size, flags: Hex);
    451 cachestat Io (fd: Fd, cstat_range: Pointer, cstat: Pointer, flags: Hex);
    452 fchmodat2 File (dir_fd: DirFd, pathname: Path, mode: Mode, flags: AT);
    453 map_shadow_stack Memory (addr: Pointer, size: Size, flags: SHADOW_STACK);
    454 futex_wake Ipc (uaddr: Pointer, mask: Hex, nr: Int, flags: FUTEX2);
    455 futex_wait Ipc (uaddr: Pointer, val: Hex, mask: Hex, flags: FUTEX2, timeout: Pointer, clockid: CLOCK);
    456 futex_requeue Ipc (waiters: Pointer, flags: Hex, nr_wake: Int, nr_requeue: Int);
    457 statmount Mount (req: Pointer, buf: Pointer, bufsize: Size, flags: Hex);
    458 listmount Mount (req: Pointer, mnt_ids: Pointer, nr_mnt_ids: Size, flags: Hex);
    459 lsm_get_self_attr Security (attr: LSM_ATTRIBUTE, ctx: Pointer, size: Pointer, flags: Hex);
    460 lsm_set_self_attr Security (attr: LSM_ATTRIBUTE, ctx: Pointer, size: Uint, flags: Hex);
    461 lsm_list_modules Security (ids: Pointer, size: Pointer, flags: Hex);
    462 mseal Memory (addr: Pointer, length: Size, flags: Hex);
    463 setxattrat File (dir_fd: DirFd, pathname: Path, at_flags: AT, name: Text, args: Pointer, size: Size);
    464 getxattrat File (dir_fd: DirFd, pathname: Path, at_flags: AT, name: Text, args: Pointer, size: Size);
    465 listxattrat File (dir_fd: DirFd, pathname: Path, at_flags: AT, list: Pointer, size: Size);
    466 removexattrat File (dir_fd: DirFd, pathname: Path, at_flags: AT, name: Text);
    467 open_tree_attr Mount (dir_fd: DirFd, pathname: Path, flags: OPEN_TREE, attr: Pointer, size: Size);
    468 file_getattr File (dir_fd: DirFd, pathname: Path, attr: Pointer, size: Size, at_flags: AT);
    469 file_setattr File (dir_fd: DirFd, pathname: Path, attr: Pointer, size: Size, at_flags: AT);
}
