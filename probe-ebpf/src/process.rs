//! Describes a process for later, when an event of it is read and it may be gone.
//!
//! In: a task, as it forks, executes a program, ends, or is visited. Out: an entry of `LIVING` or `PAST`. Nothing
//! here sends anything, so a host that makes processes and has no events wakes nobody up.

use aya_ebpf::helpers::generated::{bpf_ktime_get_boot_ns, bpf_probe_read_kernel_str};
use probe_common::{ABSENT, COMPONENT_LEN, NAMES_LEN, NO_LOGIN, PATH_ROOM, PastKey, ProcessEntry, TTY_LEN};

use crate::{
    map::{LIVING, OFFSETS, PAST, PROCESS_SCRATCH, global},
    task::{self, Object},
};

/// Folders and mounts that a path is followed through at most.
const STEPS: usize = 24;

/// Describes a process that the tables do not know, or not any more as it is. `scratch` is the caller's slot of
/// `PROCESS_SCRATCH`.
#[inline(always)]
pub fn describe(leader: Object, executed: u64, scratch: u32) -> Option<&'static ProcessEntry> {
    // SAFETY: a value of the per-CPU map; each slot has one kind of user, and those do not interrupt themselves.
    let entry = unsafe { &mut *PROCESS_SCRATCH.get_ptr_mut(scratch)? };
    entry.executed = executed;
    about(leader, entry);
    let signal = Object::new(leader.load::<u64>(global(&OFFSETS.task_signal)) as *const u8);
    let tty: u64 = signal.probe_field(global(&OFFSETS.signal_tty));
    entry.tty = [0; TTY_LEN];
    let name = global(&OFFSETS.tty_name);
    if tty != 0 && name != ABSENT {
        let from = Object::new(tty as *const u8).at(name);
        // SAFETY: the helper writes at most that many bytes, checks the address and fails instead of faulting.
        unsafe {
            bpf_probe_read_kernel_str(entry.tty.as_mut_ptr().cast(), TTY_LEN as u32, from.cast());
        }
    }
    let file = executable(leader);
    identify(file, entry);
    path(file, entry);
    Some(entry)
}

/// Fills what a new process does not have of its parent.
#[inline(always)]
pub fn about(leader: Object, entry: &mut ProcessEntry) {
    entry.start = leader.load(global(&OFFSETS.task_start_boottime));
    let (parent, tgid) = (global(&OFFSETS.task_real_parent), global(&OFFSETS.task_tgid));
    (entry.parent, entry.parent_start) = (0, 0);
    if parent != ABSENT {
        let parent = leader.follow(parent);
        entry.parent = parent.load(tgid);
        entry.parent_start = task::process_start(parent);
    }
    let (login, session) = (global(&OFFSETS.task_login_uid), global(&OFFSETS.task_session));
    entry.login_uid = if login == ABSENT { NO_LOGIN } else { leader.load(login) };
    entry.session = if session == ABSENT { NO_LOGIN } else { leader.load(session) };
    entry.comm = leader.comm();
}

/// The file that a process executes; null where there is none, or nobody knows.
#[inline(always)]
fn executable(leader: Object) -> Object {
    let (mm, file) = (global(&OFFSETS.task_mm), global(&OFFSETS.mm_exe_file));
    if mm == ABSENT || file == ABSENT {
        return Object::new(core::ptr::null());
    }
    Object::new(leader.load::<u64>(mm) as *const u8).pointer_at(file)
}

/// Notes which file it is: a number tells programs apart that have one name, at a look.
#[inline(always)]
fn identify(file: Object, entry: &mut ProcessEntry) {
    let inode = file.pointer_at(global(&OFFSETS.file_inode));
    entry.inode = inode.probe_field(global(&OFFSETS.inode_number));
    entry.device = inode.pointer_at(global(&OFFSETS.inode_super)).probe_field(global(&OFFSETS.super_device));
}

/// Collects the names of the executable's path, from the file up to the root of its mount namespace.
#[inline(always)]
fn path(file: Object, entry: &mut ProcessEntry) {
    (entry.path_len, entry.path_cut) = (0, 0);
    let needed = [
        global(&OFFSETS.file_mount),
        global(&OFFSETS.file_dentry),
        global(&OFFSETS.dentry_name),
        global(&OFFSETS.dentry_parent),
        global(&OFFSETS.vfsmount_root),
        global(&OFFSETS.mount_vfsmount),
        global(&OFFSETS.mount_parent),
        global(&OFFSETS.mount_point),
    ];
    if needed.contains(&ABSENT) || file.is_null() {
        return;
    }
    let mut dentry = file.pointer_at(global(&OFFSETS.file_dentry));
    let mut mount = file.pointer_at(global(&OFFSETS.file_mount));
    let mut top = mount.pointer_at(global(&OFFSETS.vfsmount_root));
    for _ in 0..STEPS {
        if dentry.pointer() == top.pointer() {
            // The root of a mount: go on where that is mounted, unless it is the topmost.
            let outer = Object::new(mount.pointer().wrapping_sub(global(&OFFSETS.mount_vfsmount) as usize));
            let parent = outer.pointer_at(global(&OFFSETS.mount_parent));
            if parent.is_null() || parent.pointer() == outer.pointer() {
                return;
            }
            dentry = outer.pointer_at(global(&OFFSETS.mount_point));
            mount = Object::new(parent.at(global(&OFFSETS.mount_vfsmount)));
            top = mount.pointer_at(global(&OFFSETS.vfsmount_root));
            continue;
        }
        let name = dentry.pointer_at(global(&OFFSETS.dentry_name));
        // Read back from memory, so that the verifier knows as little of it at each step as at the first. It would follow
        // all combinations of lengths otherwise, 100,000 instructions or more.
        // SAFETY: a field of the entry, which is this program's alone.
        let used = unsafe { (&raw const entry.path_len).read_volatile() } as usize;
        if used >= PATH_ROOM {
            break;
        }
        let to = entry.path.as_mut_ptr();
        const { assert!(PATH_ROOM + COMPONENT_LEN <= NAMES_LEN) };
        // SAFETY: `used` is below `PATH_ROOM`, so a whole component has room behind it. The helper checks the address
        // that it reads from and fails instead of faulting.
        let copied = unsafe {
            bpf_probe_read_kernel_str(to.add(used).cast(), COMPONENT_LEN as u32, name.pointer().cast())
        };
        if copied <= 0 || copied > COMPONENT_LEN as i64 {
            break;
        }
        // SAFETY: as above.
        unsafe { (&raw mut entry.path_len).write_volatile((used + copied as usize) as u32) };
        let parent = dentry.pointer_at(global(&OFFSETS.dentry_parent));
        if parent.is_null() || parent.pointer() == dentry.pointer() {
            // A file without a folder, such as one in memory only.
            return;
        }
        dentry = parent;
    }
    entry.path_cut = 1;
}

/// The process executes another program from now on.
#[inline(always)]
pub fn executes(leader: Object, tgid: u32) {
    // SAFETY: takes no arguments and never fails.
    let now = unsafe { bpf_ktime_get_boot_ns() };
    // SAFETY: an entry is replaced and removed by its own process alone, which is busy here.
    if let Some(before) = unsafe { LIVING.get(tgid) } {
        PAST.insert(PastKey { tgid, replaced: 1 }, before, 0).ok();
    }
    if let Some(entry) = describe(leader, now, 0) {
        LIVING.insert(tgid, entry, 0).ok();
    }
}

/// A process has been made and does not run yet.
#[inline(always)]
pub fn begins(leader: Object, tgid: u32, parent: u32) {
    // SAFETY: the parent is busy here, and nobody else replaces its entry.
    let Some(of_parent) = (unsafe { LIVING.get(parent) }) else {
        if let Some(entry) = describe(leader, 0, 0) {
            LIVING.insert(tgid, entry, 0).ok();
        }
        return;
    };
    if LIVING.insert(tgid, of_parent, 0).is_err() {
        return;
    }
    if let Some(entry) = LIVING.get_ptr_mut(tgid) {
        // SAFETY: a value of the map, of a process that does not run yet.
        let entry = unsafe { &mut *entry };
        about(leader, entry);
        entry.executed = 0;
    }
}

/// Device and inode number of a process's executable, also where it has just been noted as ended; 0 where unknown.
#[inline(always)]
pub fn program(tgid: u32, start: u64) -> (u32, u64) {
    // SAFETY: an entry is replaced and removed by its own process alone, which is busy here.
    let living = unsafe { LIVING.get(tgid) };
    // SAFETY: as above; an entry that is forgotten meanwhile has another start at worst.
    let entry = living.or_else(|| unsafe { PAST.get(PastKey { tgid, replaced: 0 }) });
    match entry {
        Some(entry) if entry.start == start => (entry.device, entry.inode),
        _ => (0, 0),
    }
}

/// The process has ended.
#[inline(always)]
pub fn ends(tgid: u32) {
    // SAFETY: an entry is replaced and removed by its own process alone, which is busy here.
    if let Some(entry) = unsafe { LIVING.get(tgid) } {
        PAST.insert(PastKey { tgid, replaced: 0 }, entry, 0).ok();
        LIVING.remove(tgid).ok();
    }
}
