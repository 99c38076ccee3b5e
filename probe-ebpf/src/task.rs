//! Reads a task's fields through the offsets that the daemon found in the kernel's BTF.
//!
//! In: a task. Out: the identity part of a ring header. The fields are read with plain loads on the
//! BTF-typed task pointer, which the verifier checks; a null pointer on the way reads as 0 and does not fault.

use aya_ebpf::helpers::{
    bpf_probe_read_kernel,
    generated::{bpf_get_current_task_btf, bpf_probe_read_kernel_str},
};
use probe_common::{ABSENT, COMM_LEN, NAME_LEN, RingHeader};

use crate::map::{OFFSETS, global};

/// Inode number of the initial pid namespace: `PROC_PID_INIT_INO` of `include/linux/proc_ns.h`.
const PID_NS_INIT_INO: u32 = 0xEFFF_FFFC;

/// A pointer to a kernel structure whose type the verifier knows.
#[derive(Clone, Copy)]
pub struct Object(*const u8);

impl Object {
    /// The current task.
    #[inline(always)]
    pub fn current_task() -> Self {
        // SAFETY: takes no arguments and never fails.
        Self(unsafe { bpf_get_current_task_btf() }.cast())
    }

    /// A structure that a program was given a typed pointer to.
    #[inline(always)]
    pub fn new(pointer: *const u8) -> Self {
        Self(pointer)
    }

    /// The pointer itself, for helpers.
    #[inline(always)]
    pub fn pointer(self) -> *const u8 {
        self.0
    }

    /// Whether it leads nowhere.
    #[inline(always)]
    pub fn is_null(self) -> bool {
        self.0.is_null()
    }

    /// The address of the field at `offset`, which the kernel has.
    #[inline(always)]
    pub fn at(self, offset: u32) -> *const u8 {
        self.0.wrapping_add(offset as usize)
    }

    /// Follows the pointer at `offset` past what the verifier can check; null where it leads nowhere.
    #[inline(always)]
    pub fn pointer_at(self, offset: u32) -> Self {
        Self(self.probe_field::<u64>(offset) as *const u8)
    }

    /// The name of this task.
    #[inline(always)]
    pub fn comm(self) -> [u8; COMM_LEN] {
        let at = global(&OFFSETS.task_comm);
        let mut comm = [0; COMM_LEN];
        for word in 0..COMM_LEN / 8 {
            let bytes = self.load::<u64>(at + 8 * word as u32).to_ne_bytes();
            comm[8 * word..8 * (word + 1)].copy_from_slice(&bytes);
        }
        comm
    }

    /// Loads the field at `offset`; 0 where the kernel does not have it.
    #[inline(always)]
    pub fn load<T: Copy + Default>(self, offset: u32) -> T {
        if offset == ABSENT {
            return T::default();
        }
        // SAFETY: the verifier checks the load against the structure's BTF.
        unsafe { self.0.add(offset as usize).cast::<T>().read_volatile() }
    }

    /// As [`Object::load`], for a field that the kernel has: a test less. The verifier refuses the program otherwise.
    #[inline(always)]
    pub fn load_present<T: Copy>(self, offset: u32) -> T {
        // SAFETY: the verifier checks the load against the structure's BTF.
        unsafe { self.0.add(offset as usize).cast::<T>().read_volatile() }
    }

    /// Follows the pointer at `offset`. Follow only pointers that `offset` has.
    #[inline(always)]
    pub fn follow(self, offset: u32) -> Self {
        Self(self.load::<u64>(offset) as *const u8)
    }

    /// Follows the pointer at `outer` and loads the field at `inner` behind it; 0 where either is missing.
    #[inline(always)]
    pub fn load_behind<T: Copy + Default>(self, outer: u32, inner: u32) -> T {
        if outer == ABSENT || inner == ABSENT { T::default() } else { self.follow(outer).load(inner) }
    }

    /// Loads a field past what the verifier can check, such as an element of a flexible array; 0 where the kernel
    /// does not have it, or the pointer leads nowhere.
    #[inline(always)]
    pub fn probe_field<T: Copy + Default>(self, offset: u32) -> T {
        if offset == ABSENT { T::default() } else { self.probe(offset) }
    }

    /// Copies the string that the pointer at `offset` leads to; nothing where there is none.
    #[inline(always)]
    pub fn probe_name(self, offset: u32, name: &mut [u8; NAME_LEN]) {
        *name = [0; NAME_LEN];
        let from: u64 = self.probe_field(offset);
        // SAFETY: the helper writes at most the name's length, checks the address and fails instead of faulting.
        unsafe { bpf_probe_read_kernel_str(name.as_mut_ptr().cast(), NAME_LEN as u32, from as *const _) };
    }

    /// Loads a field past what the verifier can check: an element of a flexible array.
    #[inline(always)]
    fn probe<T: Copy + Default>(self, offset: u32) -> T {
        // SAFETY: the helper checks the address and fails instead of faulting.
        unsafe { bpf_probe_read_kernel(self.0.add(offset as usize).cast::<T>()) }.unwrap_or_default()
    }
}

/// Fills who: everything of the header that describes this task, whose thread id and thread group id are given.
#[inline(always)]
pub fn identify(task: Object, pid_tgid: u64, header: &mut RingHeader) {
    let head = &mut header.head;
    head.pid = pid_tgid as u32;
    head.tid = (pid_tgid >> 32) as u32;

    let (cred, uid, gid) = (global(&OFFSETS.task_cred), global(&OFFSETS.cred_uid), global(&OFFSETS.cred_gid));
    head.uid = task.load_behind(cred, uid);
    head.gid = task.load_behind(cred, gid);
    header.euid = task.load_behind(cred, global(&OFFSETS.cred_euid));
    header.parent = task.load_behind(global(&OFFSETS.task_real_parent), global(&OFFSETS.task_tgid));
    header.start_time = process_start(task);
    head.context_sw =
        task.load::<u64>(global(&OFFSETS.task_nvcsw)) + task.load::<u64>(global(&OFFSETS.task_nivcsw));

    header.cgroup = cgroup_id(task);
    head.comm = task.comm();

    let nsproxy = global(&OFFSETS.task_nsproxy);
    if nsproxy == ABSENT {
        (head.uts_ns, head.mnt_ns, head.ipc_ns, head.cgr_ns) = (0, 0, 0, 0);
    } else {
        let nsproxy = task.follow(nsproxy);
        head.uts_ns = nsproxy.load_behind(global(&OFFSETS.nsproxy_uts), global(&OFFSETS.uts_ns_inum));
        head.mnt_ns = nsproxy.load_behind(global(&OFFSETS.nsproxy_mnt), global(&OFFSETS.mnt_ns_inum));
        head.ipc_ns = nsproxy.load_behind(global(&OFFSETS.nsproxy_ipc), global(&OFFSETS.ipc_ns_inum));
        head.cgr_ns = nsproxy.load_behind(global(&OFFSETS.nsproxy_cgroup), global(&OFFSETS.cgroup_ns_inum));
    }

    (head.ns_pid, head.pid_ns, head.sid) = (head.tid, PID_NS_INIT_INO, 0);
    let (signal, tgid, sid) =
        (global(&OFFSETS.task_signal), global(&OFFSETS.signal_tgid), global(&OFFSETS.signal_sid));
    let (level, numbers, size) =
        (global(&OFFSETS.pid_level), global(&OFFSETS.pid_numbers), global(&OFFSETS.upid_size));
    let (nr, ns, inum) = (global(&OFFSETS.upid_nr), global(&OFFSETS.upid_ns), global(&OFFSETS.pid_ns_inum));
    let missing = signal == ABSENT || tgid == ABSENT || sid == ABSENT || level == ABSENT || numbers == ABSENT;
    if missing || size == ABSENT || nr == ABSENT || ns == ABSENT || inum == ABSENT {
        return;
    }
    let signal = task.follow(signal);
    // The first element is within what the verifier can check.
    head.sid = signal.follow(sid).load(numbers + nr);
    let pid = signal.follow(tgid);
    let depth: u32 = pid.load(level);
    if depth != 0 {
        // A pid namespace may be nested 32 deep (MAX_PID_NS_LEVEL).
        let own = numbers + (depth & 63) * size;
        head.ns_pid = pid.probe(own + nr);
        head.pid_ns = Object(pid.probe::<u64>(own + ns) as *const u8).probe(inum);
    }
}

/// Start of the task's process on `CLOCK_BOOTTIME`; 0 where unknown.
#[inline(always)]
pub fn process_start(task: Object) -> u64 {
    task.load_behind(global(&OFFSETS.task_group_leader), global(&OFFSETS.task_start_boottime))
}

/// The id of the task's cgroup; 0 where unknown.
#[inline(always)]
pub fn cgroup_id(task: Object) -> u64 {
    cgroup(task).map_or(0, |kn| kn.load(global(&OFFSETS.kn_id)))
}

/// The last name of the path of the task's cgroup.
#[inline(always)]
pub fn cgroup_name(task: Object, name: &mut [u8; NAME_LEN]) {
    match cgroup(task) {
        Some(kn) => kn.probe_name(global(&OFFSETS.kn_name), name),
        None => *name = [0; NAME_LEN],
    }
}

/// The directory (kernfs node) of the task's cgroup.
#[inline(always)]
fn cgroup(task: Object) -> Option<Object> {
    let (cgroups, kn, id) =
        (global(&OFFSETS.task_cgroups), global(&OFFSETS.cgroup_kn), global(&OFFSETS.kn_id));
    if cgroups == ABSENT || kn == ABSENT || id == ABSENT {
        return None;
    }
    let css_set = task.follow(cgroups);
    let (memory, css_cgroup) = (global(&OFFSETS.css_set_memory), global(&OFFSETS.css_cgroup));
    let default = global(&OFFSETS.css_set_default);
    if memory != ABSENT && css_cgroup != ABSENT {
        Some(css_set.follow(memory).follow(css_cgroup).follow(kn))
    } else if default != ABSENT {
        Some(css_set.follow(default).follow(kn))
    } else {
        None
    }
}
