//! Calls on descriptors and on memory: in comes a world, out come calls that its descriptors refuse.

use libc::{EPOLL_CTL_ADD, FALLOC_FL_KEEP_SIZE, MAP_PRIVATE, PROT_READ, SEEK_SET};

use super::NO_FD;
use crate::provoke::{Call, World};

pub(super) fn calls(world: &World) -> Vec<Call> {
    let [file, full, broken_pipe, pipe, ..] = world.descriptors();
    let buffer = || vec![0_u8; 64];
    vec![
        call!(SYS_close, EBADF, NO_FD).shows(NO_FD),
        call!(SYS_read, EBADF, NO_FD, buffer(), 64).shows(NO_FD),
        call!(SYS_read, EFAULT, file, 1, 64).shows(file),
        call!(SYS_write, EBADF, pipe, buffer(), 64).shows(pipe),
        call!(SYS_write, EPIPE, broken_pipe, buffer(), 64).shows(broken_pipe),
        call!(SYS_write, ENOSPC, full, buffer(), 64).shows(full),
        call!(SYS_pread64, ESPIPE, pipe, buffer(), 64, 0).shows(pipe),
        call!(SYS_pwrite64, EINVAL, file, buffer(), 64, -1).shows(file),
        call!(SYS_readv, EINVAL, file, 0, -1).shows(file),
        call!(SYS_writev, EBADF, NO_FD, 0, 0).shows(NO_FD),
        call!(SYS_lseek, ESPIPE, pipe, 0, SEEK_SET).shows(pipe),
        call!(SYS_lseek, EINVAL, file, 0, 99).shows(file),
        call!(SYS_fallocate, EFBIG, file, FALLOC_FL_KEEP_SIZE, 1_i64 << 62, 1_i64 << 62).shows(file),
        call!(SYS_ftruncate, EINVAL, file, -1).shows(file),
        call!(SYS_fsync, EINVAL, pipe).shows(pipe),
        call!(SYS_fdatasync, EBADF, NO_FD).shows(NO_FD),
        call!(SYS_flock, EBADF, NO_FD, 2).shows(NO_FD),
        call!(SYS_fstat, EBADF, NO_FD, buffer()).shows(NO_FD),
        call!(SYS_fchmod, EBADF, NO_FD, 0o644).shows(NO_FD),
        call!(SYS_fchdir, ENOTDIR, file).shows(file),
        call!(SYS_getdents64, ENOTDIR, file, buffer(), 64).shows(file),
        call!(SYS_dup, EBADF, NO_FD).shows(NO_FD),
        call!(SYS_dup2, EBADF, NO_FD, 5).shows(NO_FD),
        call!(SYS_dup3, EINVAL, file, file, 0).shows(file),
        call!(SYS_fcntl, EINVAL, file, 9999, 0).shows(file),
        call!(SYS_ioctl, EBADF, NO_FD, 0x5401, 0).shows(NO_FD),
        call!(SYS_ioctl, ENOTTY, file, 0x5401, 0).shows(file),
        call!(SYS_sendfile, EBADF, NO_FD, file, 0, 1).shows(NO_FD),
        call!(SYS_splice, EBADF, NO_FD, 0, pipe, 0, 1, 0).shows(NO_FD),
        call!(SYS_copy_file_range, EBADF, NO_FD, 0, file, 0, 1, 0).shows(NO_FD),
        call!(SYS_epoll_create1, EINVAL, -1),
        call!(SYS_epoll_ctl, EBADF, NO_FD, EPOLL_CTL_ADD, file, buffer()).shows(NO_FD),
        call!(SYS_epoll_wait, EBADF, NO_FD, buffer(), 1, 0).shows(NO_FD),
        call!(SYS_eventfd2, EINVAL, 0, -1),
        call!(SYS_timerfd_create, EINVAL, 9999, 0),
        call!(SYS_signalfd4, EINVAL, -1, buffer(), 3, 0),
        call!(SYS_inotify_init1, EINVAL, -1),
        call!(SYS_pipe2, EINVAL, buffer(), -1),
        call!(SYS_memfd_create, EINVAL, "name", -1),
        call!(SYS_mmap, EINVAL, 0, 0, PROT_READ, MAP_PRIVATE, file, 0).shows(file),
        call!(SYS_mmap, EBADF, 0, 4096, PROT_READ, MAP_PRIVATE, NO_FD, 0).shows(NO_FD),
        call!(SYS_munmap, EINVAL, 1, 4096),
        call!(SYS_mprotect, ENOMEM, 0, 4096, PROT_READ),
        call!(SYS_mremap, EINVAL, 1, 4096, 4096, 0),
        call!(SYS_madvise, EINVAL, 1, 4096, 0),
    ]
}
