//! The maps and globals. Names, sizes and value types come from `probe-common`, where the daemon finds them too.

use aya_ebpf::{
    bindings::BPF_F_NO_PREALLOC,
    macros::map,
    maps::{Array, HashMap, LruHashMap, PerCpuArray, RingBuf},
};
use probe_common::{
    ASKED_NOTHING, Asked, COMM_LEN, Calibration, CallScratch, Control, Counters, EXITS_LEN, ExitKey, Fault,
    FoldFirst, FoldPage, FoldedExit, KINDS, LOOKS_SLOTS, Ledger, Looks, OffcpuControl, Offsets, POLICY_SLOTS,
    PastKey, ProcessEntry, REFUSED_SLOTS, Refused, Runner, SLEEPER_CGROUPS_LEN, SLEEPER_NAMES_LEN,
    SLEEPER_SETS, Sender, SleeperSet, SyscallPolicy, ToldPage,
};

/// Every event.
#[map]
pub static RING: RingBuf = RingBuf::with_byte_size(2 << 20, 0);

/// What was sent and lost, by kind.
#[map]
pub static COUNTERS: PerCpuArray<Counters> = PerCpuArray::with_max_entries(KINDS, 0);

/// Which failures are events, by call.
#[map]
pub static POLICY: Array<SyscallPolicy> = Array::with_max_entries(POLICY_SLOTS, 0);

/// The last capability that each thread was refused.
#[map]
pub static REFUSED: Array<Refused> = Array::with_max_entries(REFUSED_SLOTS, 0);

/// What was sent of what has to be looked into, by process.
#[map]
pub static LOOKS: Array<Looks> = Array::with_max_entries(LOOKS_SLOTS, 0);

/// Failures that repeat, and how often. The daemon sets its size at load.
#[map]
pub static FOLD: Array<FoldPage> = Array::with_max_entries(1, 0);

/// What is known of each of them. The daemon sets its size at load.
#[map]
pub static FOLD_FIRST: Array<FoldFirst> = Array::with_max_entries(1, 0);

/// What the daemon has taken of them. The daemon sets its size at load.
#[map]
pub static TOLD: Array<ToldPage> = Array::with_max_entries(1, 0);

/// What the daemon has made of everything.
#[map]
pub static LEDGER: Array<Ledger> = Array::with_max_entries(1, 0);

/// Where a failed call is put together.
#[map]
pub static SCRATCH: PerCpuArray<CallScratch> = PerCpuArray::with_max_entries(1, 0);

/// How the clocks relate, as measured last.
#[map]
pub static CALIBRATION: Array<Calibration> = Array::with_max_entries(1, 0);

/// Threads that sleep, by the low bits of their ids: 1 MiB.
#[map]
pub static SLEEPERS: Array<SleeperSet> = Array::with_max_entries(SLEEPER_SETS, 0);

/// How many ways of each set of sleepers are taken. No global, since the next daemon's loader would clear that.
#[map]
pub static TAKEN: Array<u32> = Array::with_max_entries(SLEEPER_SETS, 0);

/// Names of threads whose interruptible sleeps are looked at.
#[map]
pub static SLEEPER_NAMES: HashMap<[u8; COMM_LEN], u32> = HashMap::with_max_entries(SLEEPER_NAMES_LEN, 0);

/// Cgroups whose threads' interruptible sleeps are looked at.
#[map]
pub static SLEEPER_CGROUPS: HashMap<u64, u32> = HashMap::with_max_entries(SLEEPER_CGROUPS_LEN, 0);

/// Starved threads that have been told of, with the time when they were queued.
#[map]
pub static STARVED_TOLD: LruHashMap<u32, u64> = LruHashMap::with_max_entries(4096, 0);

/// Who was seen running, by CPU. The daemon sets its size at load.
#[map]
pub static RUNNERS: Array<Runner> = Array::with_max_entries(1, 0);

/// Who last kept this CPU for longer than the threshold of starvation.
#[map]
pub static HOG: PerCpuArray<Runner> = PerCpuArray::with_max_entries(1, 0);

/// Senders of signals that will kill, by thread group id (upper half) and signal. Most are read a moment later, when
/// the process ends.
#[map]
pub static SENDERS: LruHashMap<u64, Sender> = LruHashMap::with_max_entries(4096, 0);

/// Faults that will kill, by thread group id. A core dump may lie between a fault and the end of its process.
#[map]
pub static FAULTS: LruHashMap<u32, Fault> = LruHashMap::with_max_entries(1024, 0);

/// Processes whose abnormal end has been told of, by thread group id and start: of threads that end at the same
/// time several may see that none is left.
#[map]
pub static ENDED: LruHashMap<[u64; 2], u8> = LruHashMap::with_max_entries(1024, 0);

/// Ends that repeat, and how often. The daemon may make it smaller at load.
#[map]
pub static EXITS: HashMap<ExitKey, FoldedExit> = HashMap::with_max_entries(EXITS_LEN, BPF_F_NO_PREALLOC);

/// What the daemon has taken of their counts; only it uses this.
#[map]
pub static EXITS_TOLD: HashMap<ExitKey, u64> = HashMap::with_max_entries(EXITS_LEN, BPF_F_NO_PREALLOC);

/// Where the record of an end is put together.
#[map]
pub static EXIT_SCRATCH: PerCpuArray<FoldedExit> = PerCpuArray::with_max_entries(1, 0);

/// The processes that there are, by thread group id. Memory is taken for those that there are; beyond the bound a process
/// is not known.
#[map]
pub static LIVING: HashMap<u32, ProcessEntry> = HashMap::with_max_entries(32 * 1024, BPF_F_NO_PREALLOC);

/// Processes that have ended, and what others were before they executed another program: 2 MiB, which is seconds of
/// a host that starts a thousand processes a second. Events are read milliseconds after they happen.
#[map]
pub static PAST: LruHashMap<PastKey, ProcessEntry> = LruHashMap::with_max_entries(4096, 0);

/// Where an entry is put together: the first for tracepoints, the second for the iterator, which they interrupt.
#[map]
pub static PROCESS_SCRATCH: PerCpuArray<ProcessEntry> = PerCpuArray::with_max_entries(2, 0);

/// What the daemon changes while programs run. A global is read without a look-up.
#[unsafe(no_mangle)]
#[unsafe(link_section = ".data.control")]
pub static CONTROL: Control = Control { bank: 0, pages: 0, own: 0, reserved: 0 };

/// Which errors of which number are events at all. A global is read without a look-up.
#[unsafe(no_mangle)]
#[unsafe(link_section = ".data.asked")]
pub static ASKED: Asked = ASKED_NOTHING;

/// Thresholds of off-CPU stalls and how the clocks relate. A global is read without a look-up.
#[unsafe(no_mangle)]
#[unsafe(link_section = ".data.offcpu")]
pub static OFFCPU_CONTROL: OffcpuControl =
    OffcpuControl { gate: i64::MAX, scheduler_offset: 0, tick: 0, blocked: 0, starved: 0, sleeping: 0 };

/// Where the running kernel keeps its fields; the daemon reads them from the kernel's BTF.
#[unsafe(no_mangle)]
pub static OFFSETS: Offsets = Offsets::NONE;

/// Reads what the daemon changes at any time.
#[inline(always)]
pub fn control<T: Copy>(value: &'static T) -> T {
    // SAFETY: a reference is valid and aligned.
    unsafe { core::ptr::from_ref(value).read_volatile() }
}

/// Whether this is the daemon, which is never observed.
#[inline(always)]
pub fn is_own(tgid: u32) -> bool {
    control(&CONTROL.own) == tgid
}

/// Reads a global that the daemon sets at load. The load is volatile because the compiler sees only the value
/// here; the verifier sees the one that was set, and removes what depends on a field that is absent.
#[inline(always)]
pub fn global(value: &'static u32) -> u32 {
    // SAFETY: a reference is valid and aligned.
    unsafe { core::ptr::from_ref(value).read_volatile() }
}
