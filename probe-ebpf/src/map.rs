//! The maps and globals. Names, sizes and value types come from `probe-common`, where the daemon finds them too.

use aya_ebpf::{
    macros::map,
    maps::{Array, HashMap, PerCpuArray, RingBuf},
};
use probe_common::{
    CallScratch, Control, Counters, FoldEntry, FoldKey, KINDS, Offsets, POLICY_SLOTS, REFUSED_SLOTS, Refused,
    SyscallPolicy,
};

/// Every event.
#[map]
pub static RING: RingBuf = RingBuf::with_byte_size(4 << 20, 0);

/// What was sent and lost, by kind.
#[map]
pub static COUNTERS: PerCpuArray<Counters> = PerCpuArray::with_max_entries(KINDS, 0);

/// Which failures are events, by call.
#[map]
pub static POLICY: Array<SyscallPolicy> = Array::with_max_entries(POLICY_SLOTS, 0);

/// The last capability that each thread was refused.
#[map]
pub static REFUSED: Array<Refused> = Array::with_max_entries(REFUSED_SLOTS, 0);

/// What the daemon changes while programs run.
#[map]
pub static CONTROL: Array<Control> = Array::with_max_entries(1, 0);

/// Failures that repeat. The daemon may set another size at load.
#[map]
pub static FOLD: HashMap<FoldKey, FoldEntry> = HashMap::with_max_entries(16 * 1024, 0);

/// Where a failed call is put together.
#[map]
pub static SCRATCH: PerCpuArray<CallScratch> = PerCpuArray::with_max_entries(1, 0);

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
