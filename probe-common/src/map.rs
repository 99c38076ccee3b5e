//! The maps and globals of the BPF object: their names, sizes and value types.
//!
//! In: what the daemon resolves (policy, field offsets). Out: what the kernel counts.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::{
    call::{I386, X86_64},
    ring::Kind,
};

/// Ring buffer: every event.
pub const RING: &str = "RING";
/// Per-CPU array of [`Counters`], indexed by [`Kind`].
pub const COUNTERS: &str = "COUNTERS";
/// Array of [`SyscallPolicy`], indexed by [`syscall_slot`] and [`io_uring_slot`].
pub const POLICY: &str = "POLICY";
/// Array of [`Refused`], indexed by thread id modulo [`REFUSED_SLOTS`].
pub const REFUSED: &str = "REFUSED";
/// Read-only global: [`Offsets`].
pub const OFFSETS: &str = "OFFSETS";

/// Kinds of event, hence entries of [`COUNTERS`].
pub const KINDS: u32 = Kind::ALL.len() as u32;
/// Slots of [`POLICY`] for the system calls of one kind of process: more than Linux has.
pub const SYSCALL_SLOTS: u32 = 512;
/// The slot, among those, of every number that has none of its own.
pub const SYSCALL_OTHER: u32 = SYSCALL_SLOTS - 1;
/// The first slot of 32-bit system calls.
pub const I386_FIRST: u32 = SYSCALL_SLOTS;
/// `socketcall` of 32-bit processes: all socket calls in one, of which the first argument says which.
pub const SOCKETCALL: u32 = 102;
/// Calls behind `socketcall`, counted from 1 (include/uapi/linux/net.h); 0 stands for all that there are not.
pub const SOCKETCALLS: u32 = 21;
/// The first slot of the calls behind `socketcall`: the last ones of 32-bit calls, far from the numbers in use.
pub const SOCKETCALL_FIRST: u32 = I386_FIRST + SYSCALL_OTHER - SOCKETCALLS;
/// The first slot of io_uring's operations.
pub const IO_URING_FIRST: u32 = I386_FIRST + SYSCALL_SLOTS;
/// Slots of io_uring's operations: as many as Linux has at most, since an opcode above 127 needs a new layout.
pub const IO_URING_SLOTS: u32 = 128;
/// Slots of [`POLICY`].
pub const POLICY_SLOTS: u32 = IO_URING_FIRST + IO_URING_SLOTS;
/// Slots of [`REFUSED`], a power of two. Threads that share one only hide each other's refusals.
pub const REFUSED_SLOTS: u32 = 4096;
/// Slots of [`Looks`], a power of two. Processes that share one share what they may send.
pub const LOOKS_SLOTS: u32 = 4096;
/// Failures of [`SyscallPolicy::looks`] that one slot sends in an interval; a search along `PATH` makes some ten.
/// Further ones are folded.
pub const LOOKS_MAX: u32 = 64;
/// Error numbers that the policy can tell apart. Linux's own end at 133; from 512 on they are the kernel's
/// private ones (restarts), which user space never sees.
pub const ERRNO_BITS: u32 = 256;
/// The offset of a field that the running kernel does not have.
pub const ABSENT: u32 = u32::MAX;

/// The slot of [`POLICY`] of a system call; `abi` as in [`CallPayload::abi`], `first` its first argument.
#[inline(always)]
pub const fn syscall_slot(abi: u8, number: u32, first: u64) -> u32 {
    if abi != I386 {
        return if number < SYSCALL_SLOTS { number } else { SYSCALL_OTHER };
    }
    if number == SOCKETCALL {
        return socketcall_slot(first as u32);
    }
    let slot = I386_FIRST + if number < SYSCALL_SLOTS { number } else { SYSCALL_OTHER };
    if slot < SOCKETCALL_FIRST { slot } else { I386_FIRST + SYSCALL_OTHER }
}

/// The slot of [`POLICY`] of a call behind `socketcall`.
#[inline(always)]
pub const fn socketcall_slot(call: u32) -> u32 {
    SOCKETCALL_FIRST + if call < SOCKETCALLS { call } else { 0 }
}

/// The slot of [`POLICY`] of an io_uring operation.
#[inline(always)]
pub const fn io_uring_slot(opcode: u32) -> u32 {
    IO_URING_FIRST + if opcode < IO_URING_SLOTS { opcode } else { IO_URING_SLOTS - 1 }
}

/// Questions that one call can have in [`SyscallPolicy::questions`].
pub const QUESTIONS: usize = 2;

/// A failure that is an answer: with this argument the caller only asks whether something is possible.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Question {
    /// The lower half of the argument.
    pub value: u32,
    /// The error that answers; 0 where there is no question.
    pub errno: u16,
    /// Index of the argument.
    pub argument: u16,
}

/// What to do when one system call fails.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct SyscallPolicy {
    /// One bit per error number: set where the failure is an event.
    pub errnos: [u64; (ERRNO_BITS / 64) as usize],
    /// Failures that are no events all the same.
    pub questions: [Question; QUESTIONS],
    /// Bit i: argument i is a NUL-terminated string in user memory. At most three are set.
    pub strings: u8,
    /// One more than the index of the argument that points to a socket address; 0 where none does.
    pub sockaddr: u8,
    /// Index of the argument that is that address's length.
    pub sockaddr_len: u8,
    /// 1 where the call executes a program, so that its failures are [`Kind::Exec`].
    pub exec: u8,
    /// Not 0 where `ENOENT` is not folded before [`LOOKS_MAX`], since each one has to be looked into: most are misses of
    /// a search. [`LOOKS_ALL`] where these are asked for as well.
    pub looks: u8,
    /// An error that is never folded either, since the daemon looks at the arguments of each; 0 is none.
    pub alone: u8,
    /// Padding, always 0.
    pub reserved: [u8; 2],
}

impl SyscallPolicy {
    /// Whether a failure with this error number is an event.
    pub fn reports(&self, errno: u64) -> bool {
        errno < u64::from(ERRNO_BITS) && self.errnos[(errno / 64) as usize] & (1 << (errno % 64)) != 0
    }

    /// Sets whether a failure with this error number is an event; numbers past [`ERRNO_BITS`] never are.
    pub fn set(&mut self, errno: u32, report: bool) {
        if errno < ERRNO_BITS {
            let bit = 1 << (errno % 64);
            let word = &mut self.errnos[(errno / 64) as usize];
            *word = if report { *word | bit } else { *word & !bit };
        }
    }
}

/// Global: one [`Asked`].
pub const ASKED: &str = ".data.asked";
/// Its symbol in the object.
pub const ASKED_SYMBOL: &str = "ASKED";

/// For each number of a system call one bit per error number, the lowest bit of a byte first: set where such a failure is an
/// event. What is none leaves before anybody asks whose number it was. The first [`SYSCALL_SLOTS`] rows are for what is
/// surely a 64-bit call; in the others a bit is set where the 64-bit or the 32-bit call of this number asks for it.
pub type Asked = [[u8; ASKED_ROW]; 2 * SYSCALL_SLOTS as usize];
/// Bytes of a row.
pub const ASKED_ROW: usize = (ERRNO_BITS / 8) as usize;
/// Nothing is an event.
pub static ASKED_NOTHING: Asked = [[0; ASKED_ROW]; 2 * SYSCALL_SLOTS as usize];

/// What [`POLICY`] asks for, by number.
pub fn asked(policy: &[SyscallPolicy]) -> Asked {
    let mut asked = ASKED_NOTHING;
    let (of_64, of_both) = asked.split_at_mut(SYSCALL_SLOTS as usize);
    for ((nr, of_64), of_both) in (0..SYSCALL_SLOTS).zip(of_64).zip(of_both) {
        let ask = |row: &mut [u8; ASKED_ROW], slot: u32| {
            let words = policy.get(slot as usize).into_iter().flat_map(|policy| policy.errnos);
            row.iter_mut().zip(words.flat_map(u64::to_le_bytes)).for_each(|(all, byte)| *all |= byte);
        };
        ask(of_64, syscall_slot(X86_64, nr, 0));
        *of_both = *of_64;
        let calls = if nr == SOCKETCALL { SOCKETCALLS } else { 0 };
        (0..=calls).for_each(|call| ask(of_both, syscall_slot(I386, nr, call.into())));
    }
    asked
}

/// The last capability that one thread was refused.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Refused {
    /// The thread; 0 where there is none.
    pub tid: u32,
    /// The capability's number.
    pub capability: u32,
    /// A digest of the registers with which the thread entered the kernel, so that a refusal in an earlier call is
    /// not taken for one in this.
    pub entry: u64,
}

/// [`SyscallPolicy::looks`] where misses of a search that the kernel side can tell are no events.
pub const LOOKS: u8 = 1;
/// [`SyscallPolicy::looks`] where a rule may ask for misses.
pub const LOOKS_ALL: u8 = 2;

/// What was sent of what has to be looked into, indexed by process id modulo [`LOOKS_SLOTS`]. A bound, no account: two CPUs may count the same one.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Looks {
    /// [`crate::Control::bank`] in which it was counted.
    pub bank: u32,
    /// How many were sent meanwhile.
    pub count: u32,
    /// The thread that sent the last.
    pub tid: u32,
    /// Padding, always 0.
    pub reserved: u32,
    /// How often that thread had read from a file by then.
    pub reads: u64,
}

/// What one CPU has counted for one kind. What was folded is counted in the table
/// of [`crate::FoldSet`]s.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Counters {
    /// Events put into the ring buffer.
    pub sent: u64,
    /// Events lost: the ring buffer had no room, and they could not be folded either.
    pub lost: u64,
}

/// Makes [`Offsets`] and the one list of where each field comes from.
macro_rules! offsets {
    ($($field:ident = $path:literal,)*) => {
        /// Where the fields of the running kernel's structures lie, in bytes; [`ABSENT`] where it has no such field.
        #[repr(C)]
        #[derive(Clone, Copy, Debug, Eq, PartialEq, FromBytes, IntoBytes, Immutable, KnownLayout)]
        pub struct Offsets {
            $(#[doc = concat!("`", $path, "`")] pub $field: u32,)*
        }

        impl Offsets {
            /// No field known.
            pub const NONE: Self = Self { $($field: ABSENT,)* };

            /// Asks `find` for each field: `struct.member.member`, `struct.member[index]` (a number, or
            /// `enum:enumerator`), `sizeof struct`, or several of these with ` or ` in between, of which the first
            /// that is found counts. What it does not find is [`ABSENT`].
            pub fn resolve(mut find: impl FnMut(&'static str) -> Option<u32>) -> Self {
                Self { $($field: find($path).unwrap_or(ABSENT),)* }
            }
        }
    };
}

// The indexes of signal_struct.pids are those of `enum pid_type` (include/linux/pid_types.h).
offsets! {
    task_tgid = "task_struct.tgid",
    task_status = "task_struct.thread_info.status",
    task_flags = "task_struct.flags",
    io_kiocb_opcode = "io_kiocb.opcode",
    task_comm = "task_struct.comm",
    task_pid = "task_struct.pid",
    task_state = "task_struct.__state",
    task_on_cpu = "task_struct.on_cpu",
    task_policy = "task_struct.policy",
    task_cpu = "task_struct.thread_info.cpu",
    task_last_queued = "task_struct.sched_info.last_queued",
    task_last_arrival = "task_struct.sched_info.last_arrival",
    task_syscr = "task_struct.ioac.syscr",
    task_nvcsw = "task_struct.nvcsw",
    task_nivcsw = "task_struct.nivcsw",
    task_start_boottime = "task_struct.start_boottime",
    task_group_leader = "task_struct.group_leader",
    task_real_parent = "task_struct.real_parent",
    task_signal = "task_struct.signal",
    task_nsproxy = "task_struct.nsproxy",
    task_cred = "task_struct.cred",
    task_cgroups = "task_struct.cgroups",
    css_set_default = "css_set.dfl_cgrp",
    css_set_memory = "css_set.subsys[cgroup_subsys_id:memory_cgrp_id]",
    css_cgroup = "cgroup_subsys_state.cgroup",
    cgroup_kn = "cgroup.kn",
    kn_id = "kernfs_node.id",
    cred_uid = "cred.uid",
    cred_gid = "cred.gid",
    cred_euid = "cred.euid",
    signal_tgid = "signal_struct.pids[1]",
    signal_sid = "signal_struct.pids[3]",
    pid_level = "pid.level",
    pid_numbers = "pid.numbers",
    upid_size = "sizeof upid",
    upid_nr = "upid.nr",
    upid_ns = "upid.ns",
    pid_ns_inum = "pid_namespace.ns.inum",
    nsproxy_uts = "nsproxy.uts_ns",
    uts_ns_inum = "uts_namespace.ns.inum",
    nsproxy_mnt = "nsproxy.mnt_ns",
    mnt_ns_inum = "mnt_namespace.ns.inum",
    nsproxy_ipc = "nsproxy.ipc_ns",
    ipc_ns_inum = "ipc_namespace.ns.inum",
    nsproxy_cgroup = "nsproxy.cgroup_ns",
    cgroup_ns_inum = "cgroup_namespace.ns.inum",
    // The end of a process, and what killed it.
    task_exit_code = "task_struct.exit_code",
    task_sighand = "task_struct.sighand",
    signal_live = "signal_struct.live",
    signal_flags = "signal_struct.flags",
    signal_oom_mm = "signal_struct.oom_mm",
    signal_group_exit_code = "signal_struct.group_exit_code",
    sighand_action = "sighand_struct.action",
    k_sigaction_size = "sizeof k_sigaction",
    k_sigaction_handler = "k_sigaction.sa.sa_handler",
    k_sigaction_flags = "k_sigaction.sa.sa_flags",
    siginfo_code = "kernel_siginfo.si_code",
    siginfo_addr = "kernel_siginfo._sifields._sigfault._addr",
    siginfo_syscall = "kernel_siginfo._sifields._sigsys._syscall",
    siginfo_arch = "kernel_siginfo._sifields._sigsys._arch",
    vma_start = "vm_area_struct.vm_start",
    vma_pgoff = "vm_area_struct.vm_pgoff",
    vma_file = "vm_area_struct.vm_file",
    file_dentry = "file.f_path.dentry",
    dentry_name = "dentry.d_name.name",
    // A process killed for memory. The counters of enum MM_FILEPAGES and so on (include/linux/mm_types_task.h) are
    // a struct of atomics up to 6.1 and an array of per-CPU counters since 6.2.
    task_mm = "task_struct.mm",
    signal_oom_score_adj = "signal_struct.oom_score_adj",
    mm_total_vm = "mm_struct.total_vm",
    mm_pgtables = "mm_struct.pgtables_bytes",
    mm_file = "mm_struct.rss_stat[0].count or mm_struct.rss_stat.count[0]",
    mm_anon = "mm_struct.rss_stat[1].count or mm_struct.rss_stat.count[1]",
    mm_shmem = "mm_struct.rss_stat[3].count or mm_struct.rss_stat.count[3]",
    css_set_memcg = "css_set.subsys[cgroup_subsys_id:memory_cgrp_id]",
    css_parent = "cgroup_subsys_state.parent",
    memcg_css = "mem_cgroup.css",
    memcg_memory = "mem_cgroup.memory",
    counter_usage = "page_counter.usage",
    counter_max = "page_counter.max",
    kn_name = "kernfs_node.name",
    // Who a process is: its executable, up to the root of its mount namespace, and its login.
    mm_exe_file = "mm_struct.exe_file",
    file_mount = "file.f_path.mnt",
    dentry_parent = "dentry.d_parent",
    vfsmount_root = "vfsmount.mnt_root",
    mount_vfsmount = "mount.mnt",
    mount_parent = "mount.mnt_parent",
    mount_point = "mount.mnt_mountpoint",
    file_inode = "file.f_inode",
    inode_number = "inode.i_ino",
    inode_super = "inode.i_sb",
    super_device = "super_block.s_dev",
    task_login_uid = "task_struct.loginuid",
    task_session = "task_struct.sessionid",
    signal_tty = "signal_struct.tty",
    tty_name = "tty_struct.name",
}

#[cfg(feature = "user")]
mod pod {
    use super::{Counters, Offsets, SyscallPolicy};

    // SAFETY: `repr(C)`, made of integers only, without padding (zerocopy's `IntoBytes` derive checks it).
    unsafe impl aya::Pod for Counters {}
    // SAFETY: as above.
    unsafe impl aya::Pod for Offsets {}
    // SAFETY: as above.
    unsafe impl aya::Pod for SyscallPolicy {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::X86_64;

    #[test]
    fn every_call_has_a_slot_of_its_own_or_that_of_the_unknown() {
        assert_eq!(syscall_slot(X86_64, SOCKETCALL, 3), SOCKETCALL);
        assert_eq!(syscall_slot(X86_64, u32::MAX, 0), SYSCALL_OTHER);
        assert_eq!(syscall_slot(I386, 469, 0), I386_FIRST + 469);
        let unknown = I386_FIRST + SYSCALL_OTHER;
        let mut numbers = (SOCKETCALL_FIRST - I386_FIRST..700).chain([u32::MAX]);
        assert!(numbers.all(|number| syscall_slot(I386, number, 1) == unknown));
        assert_eq!(syscall_slot(I386, SOCKETCALL, 20), unknown - 1);
        assert_eq!(syscall_slot(I386, SOCKETCALL, 21), SOCKETCALL_FIRST);
        assert!(unknown < IO_URING_FIRST);
    }

    #[test]
    fn a_number_is_asked_for_where_either_of_its_calls_is() {
        let mut policy = vec![SyscallPolicy::default(); POLICY_SLOTS as usize];
        let slots = [syscall_slot(X86_64, 7, 0), syscall_slot(I386, 9, 0), socketcall_slot(3)];
        for (slot, errno) in slots.into_iter().zip([11, 64, 255]) {
            policy[slot as usize].set(errno, true);
        }
        policy[io_uring_slot(5) as usize].set(22, true);
        let asked = asked(&policy);
        let set: Vec<(usize, u32)> = (0..asked.len())
            .flat_map(|row| (0..ERRNO_BITS).map(move |errno| (row, errno)))
            .filter(|(row, errno)| asked[*row][*errno as usize / 8] & 1 << (errno % 8) != 0)
            .collect();
        let both = SYSCALL_SLOTS as usize;
        assert_eq!(set, [(7, 11), (both + 7, 11), (both + 9, 64), (both + SOCKETCALL as usize, 255)]);
    }

    #[test]
    fn a_policy_bit_is_set_and_cleared_alone_and_private_errors_never_match() {
        let mut policy = SyscallPolicy::default();
        for errno in [0, 2, 63, 64, 111, 133, 254] {
            policy.set(errno, true);
            let errno = u64::from(errno);
            assert!(policy.reports(errno) && !policy.reports(errno + 1), "{errno}");
        }
        policy.set(64, false);
        assert!(policy.reports(63) && !policy.reports(64) && policy.reports(111));
        policy.set(512, true);
        assert!(!policy.reports(512) && !policy.reports(256));
    }
}
