//! Calls that name files by path: in comes a world, out come calls that fail on its files.

use libc::{
    AT_FDCWD, AT_REMOVEDIR, MS_NODEV, O_CREAT, O_EXCL, O_RDONLY, O_WRONLY, RENAME_NOREPLACE, S_IFREG,
};

use super::NO_FD;
use crate::provoke::{Call, World};

pub(super) fn calls(world: &World) -> Vec<Call> {
    let [plain, secret, noexec, garbage, nointerpreter, dir, sub, closed, looped, gone] =
        ["plain", "secret", "noexec", "garbage", "nointerpreter", "dir", "dir/sub", "closed", "loop", "gone"]
            .map(|name| world.path(name));
    let [plain, secret, noexec, garbage, nointerpreter, dir, sub, closed, looped, gone] =
        [&plain, &secret, &noexec, &garbage, &nointerpreter, &dir, &sub, &closed, &looped, &gone]
            .map(|path| path.as_path());
    let inside = plain.join("inside");
    let long = world.path(&"x".repeat(300));
    let into_closed = closed.join("file");
    let new = world.path("new");
    vec![
        call!(SYS_openat, ENOENT, AT_FDCWD, gone, O_RDONLY, 0).about(gone),
        call!(SYS_openat, ENOTDIR, AT_FDCWD, &*inside, O_RDONLY, 0).about(&inside),
        call!(SYS_openat, ELOOP, AT_FDCWD, looped, O_RDONLY, 0).about(looped),
        call!(SYS_openat, ENAMETOOLONG, AT_FDCWD, &*long, O_RDONLY, 0).about(&long),
        call!(SYS_openat, EISDIR, AT_FDCWD, dir, O_WRONLY, 0).about(dir),
        call!(SYS_openat, EACCES, AT_FDCWD, secret, O_RDONLY, 0).about(secret).nobody(),
        call!(SYS_openat, EFAULT, AT_FDCWD, 1, O_RDONLY, 0),
        call!(SYS_openat, EBADF, NO_FD, "relative", O_RDONLY, 0).shows("relative").shows(NO_FD),
        call!(SYS_open, EEXIST, plain, O_CREAT | O_EXCL | O_WRONLY, 0o600).about(plain),
        call!(SYS_openat2, EINVAL, AT_FDCWD, plain, 0, 0).about(plain),
        call!(SYS_creat, EISDIR, dir, 0o644).about(dir),
        call!(SYS_execve, EACCES, noexec, 0, 0).about(noexec),
        call!(SYS_execve, EACCES, dir, 0, 0).about(dir),
        call!(SYS_execve, ENOEXEC, garbage, 0, 0).about(garbage),
        call!(SYS_execve, ENOENT, gone, 0, 0).about(gone),
        call!(SYS_execve, ENOENT, nointerpreter, 0, 0).about(nointerpreter),
        call!(SYS_execveat, EBADF, NO_FD, "relative", 0, 0, 0).shows("relative"),
        call!(SYS_execveat, EACCES, AT_FDCWD, noexec, 0, 0, 0).about(noexec),
        call!(SYS_unlink, EISDIR, dir).about(dir),
        call!(SYS_unlink, EACCES, plain).about(plain).nobody(),
        call!(SYS_unlinkat, ENOTEMPTY, AT_FDCWD, dir, AT_REMOVEDIR).about(dir),
        call!(SYS_rmdir, ENOTEMPTY, dir).about(dir),
        call!(SYS_rename, EISDIR, plain, dir).and(plain).and(dir),
        call!(SYS_rename, EACCES, plain, &*new).and(plain).and(&new).nobody(),
        call!(SYS_renameat, EINVAL, AT_FDCWD, dir, AT_FDCWD, &*sub.join("down")).and(dir),
        call!(SYS_renameat2, EEXIST, AT_FDCWD, plain, AT_FDCWD, secret, RENAME_NOREPLACE as i64)
            .and(plain)
            .and(secret),
        call!(SYS_mkdir, EACCES, &*new, 0o755).about(&new).nobody(),
        call!(SYS_mkdirat, EACCES, AT_FDCWD, &*new, 0o755).about(&new).nobody(),
        call!(SYS_mknod, EEXIST, plain, S_IFREG as i32, 0).about(plain),
        call!(SYS_mount, EPERM, "none", dir, "tmpfs", MS_NODEV as i64, 0).and(dir).shows("tmpfs").nobody(),
        call!(SYS_umount2, EINVAL, dir, 0).about(dir),
        call!(SYS_chmod, EPERM, plain, 0o777).about(plain).nobody(),
        call!(SYS_fchmodat, EPERM, AT_FDCWD, plain, 0o777).about(plain).nobody(),
        call!(SYS_chown, EPERM, plain, 0, 0).about(plain).nobody(),
        call!(SYS_fchownat, EPERM, AT_FDCWD, plain, 0, 0, 0).about(plain).nobody(),
        call!(SYS_symlink, EEXIST, "target", plain).and(plain).shows("target"),
        call!(SYS_symlinkat, EEXIST, "target", AT_FDCWD, plain).and(plain).shows("target"),
        call!(SYS_link, EPERM, dir, &*new).and(dir).and(&new),
        call!(SYS_linkat, EEXIST, AT_FDCWD, plain, AT_FDCWD, secret, 0).and(plain).and(secret),
        call!(SYS_chdir, ENOTDIR, plain).about(plain),
        call!(SYS_chdir, EACCES, closed).about(closed).nobody(),
        call!(SYS_chroot, EPERM, dir).about(dir).nobody(),
        call!(SYS_truncate, EISDIR, dir, 0).about(dir),
        call!(SYS_truncate, EINVAL, plain, -1).about(plain),
        call!(SYS_access, EACCES, secret, 4).about(secret).nobody(),
        call!(SYS_faccessat2, EACCES, AT_FDCWD, secret, 4, 0).about(secret).nobody(),
        call!(SYS_stat, EACCES, &*into_closed, vec![0; 256]).about(&into_closed).nobody(),
        call!(SYS_newfstatat, EACCES, AT_FDCWD, &*into_closed, vec![0; 256], 0).about(&into_closed).nobody(),
        call!(SYS_statx, EINVAL, AT_FDCWD, plain, 0x6000, 0, vec![0; 256]).about(plain),
        call!(SYS_utimensat, EACCES, AT_FDCWD, plain, 0, 0).about(plain).nobody(),
        call!(SYS_setxattr, EINVAL, plain, "user.x", vec![1], 1, 99).about(plain),
    ]
}
