//! The maps and globals. Names, sizes and value types come from `probe-common`, where the daemon finds them too.

use aya_ebpf::{
    macros::map,
    maps::{Array, HashMap, LruHashMap, PerCpuArray, RingBuf},
};
use probe_common::{
    CallScratch, Control, Counters, Fault, FoldEntry, FoldKey, KINDS, Offsets, SYSCALL_SLOTS, Sender,
    SyscallPolicy,
};

/// Every event.
#[map]
pub static RING: RingBuf = RingBuf::with_byte_size(4 << 20, 0);

/// What was sent and lost, by kind.
#[map]
pub static COUNTERS: PerCpuArray<Counters> = PerCpuArray::with_max_entries(KINDS, 0);

/// Which failures are events, by system call number.
#[map]
pub static POLICY: Array<SyscallPolicy> = Array::with_max_entries(SYSCALL_SLOTS, 0);

/// What the daemon changes while programs run.
#[map]
pub static CONTROL: Array<Control> = Array::with_max_entries(1, 0);

/// Failures that repeat. The daemon may set another size at load.
#[map]
pub static FOLD: HashMap<FoldKey, FoldEntry> = HashMap::with_max_entries(16 * 1024, 0);

/// Where a failed call is put together.
#[map]
pub static SCRATCH: PerCpuArray<CallScratch> = PerCpuArray::with_max_entries(1, 0);

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

/// Where the running kernel keeps its fields; the daemon reads them from the kernel's BTF.
#[unsafe(no_mangle)]
pub static OFFSETS: Offsets = Offsets::NONE;

/// The daemon's thread group id, which is never observed; 0 is nobody's.
#[unsafe(no_mangle)]
pub static SELF_TGID: u32 = 0;

/// Reads a global that the daemon sets at load. The load is volatile because the compiler sees only the value
/// here; the verifier sees the one that was set, and removes what depends on a field that is absent.
#[inline(always)]
pub fn global(value: &'static u32) -> u32 {
    // SAFETY: a reference is valid and aligned.
    unsafe { core::ptr::from_ref(value).read_volatile() }
}
