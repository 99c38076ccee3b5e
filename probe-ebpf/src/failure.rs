//! A call that failed becomes one record for the first failure of a process, call and error, and a count of its
//! repeats in the fold table.
//!
//! In: which call, which error, its registers, and the policy of the call. Out: a ring record or one more in a count.

use aya_ebpf::helpers::generated::{bpf_ktime_get_boot_ns, bpf_probe_read_user, bpf_probe_read_user_str};
use probe_common::{
    ABSENT, CallPayload, CallRecord, CallScratch, ERRNO_BITS, FOLD_SETS, FOLD_WAYS, FoldSet, Kind, LOOKS,
    LOOKS_MAX, LOOKS_SLOTS, Looks, MEMORY_SLOT_LEN, PATH_LEN, REGISTERS, RingHeader, SCRATCH_MEMORY_LEN,
    SOCKADDR_LEN, SyscallPolicy, fold_key, fold_place,
};

use crate::{
    atomic::{self, low_bits},
    emit::{self, Fate},
    map::{CONTROL, FOLD, FOLD_FIRST, LOOKS as SLOTS, OFFSETS, SCRATCH, control, global},
    task::{self, Object},
};

const ENOENT: u32 = 2;

/// [`SyscallPolicy::reports`], in a form that every verifier follows: some forget the bound of a number that the
/// compiler keeps on the stack, so the index is masked where it is used.
#[inline(always)]
pub fn reports(policy: &SyscallPolicy, errno: u64) -> bool {
    // The compiler still has to be told that it is an index.
    let word = low_bits::<3>(errno / 64) & 3;
    errno < u64::from(ERRNO_BITS) && policy.errnos[word as usize] & (1 << (errno % 64)) != 0
}

/// Who made a call, and with what.
pub trait Caller {
    /// The task to describe.
    fn task(&self) -> Object;

    /// Writes all registers.
    fn registers(&self, registers: &mut [u64; REGISTERS]);

    /// One more than the capability whose refusal led to the error; 0 where none is known. Asked once.
    fn refused(&self, kind: Kind) -> u8;
}

/// A call that failed, and whose failure is an event.
pub struct Failure<C> {
    /// Who made it.
    pub caller: C,
    /// Its number.
    pub nr: u32,
    /// Whose numbers these are.
    pub abi: u8,
    /// Its slot in the policy.
    pub slot: u32,
    /// How it failed.
    pub errno: u32,
    /// The thread.
    pub pid_tgid: u64,
    /// What kind of failure it is.
    pub kind: Kind,
}

impl<C: Caller> Failure<C> {
    /// Sends it, or counts it.
    #[inline(always)]
    pub fn report(&self, policy: &SyscallPolicy) {
        // One call for all that go alone: a verifier looks into a function once for each place that calls it.
        if !self.settled(policy) {
            self.send_alone(policy);
        }
    }

    /// Folds it, where that may be. True where nothing more is to be done: it says nothing, is sent, or is one more in a count.
    #[inline(always)]
    fn settled(&self, policy: &SyscallPolicy) -> bool {
        let (bank, pages) = (control(&CONTROL.bank), control(&CONTROL.pages));
        let tgid = (self.pid_tgid >> 32) as u32;
        if policy.looks != 0 && self.errno == ENOENT {
            let Some(slot) = looks_of(bank, tgid) else { return true };
            if policy.looks == LOOKS && self.is_miss(slot) {
                return true;
            }
            if slot.count < LOOKS_MAX {
                slot.count += 1;
                return false;
            }
        }
        if pages == 0 || self.errno == u32::from(policy.alone) {
            return false;
        }
        let key = fold_key(tgid, self.slot, self.errno);
        let (page, set) = fold_place(key, pages);
        let page = bank * pages + page;
        let Some(sets) = FOLD.get_ptr_mut(page) else { return false };
        let set = low_bits::<{ FOLD_SETS as u64 - 1 }>(u64::from(set)) as usize;
        // SAFETY: a value of the map, and an index of its array.
        let counted = unsafe { &raw mut (*sets).sets[set & (FOLD_SETS - 1)] };
        count_in(counted, key) || self.send_first(policy, counted, key, page * FOLD_SETS as u32 + set as u32)
    }

    /// Whether a program was surely not found. One that is there is read before its interpreter is missed, and the kernel
    /// counts what each thread reads: a thread that has read nothing yet, as a new process, or nothing since its last
    /// failure of this kind, has found no program.
    #[inline(always)]
    fn is_miss(&self, slot: &mut Looks) -> bool {
        let offset = global(&OFFSETS.task_syscr);
        if offset == ABSENT {
            return false;
        }
        let (tid, reads) = (self.pid_tgid as u32, self.caller.task().load::<u64>(offset));
        let same = slot.tid == tid && slot.reads == reads;
        (slot.tid, slot.reads) = (tid, reads);
        reads == 0 || same
    }

    /// Writes every field; nothing is captured yet.
    #[inline(always)]
    fn describe(&self, header: &mut RingHeader, payload: &mut CallPayload) {
        header.tag = self.kind.tag();
        header.length = size_of::<CallRecord>() as u32;
        header.stamp = emit::stamp(self.kind);
        for length in &mut payload.memory_len {
            // SAFETY: a reference is valid and aligned. Volatile, lest a function be called for it: 6.1's verifier allows
            // 512 bytes of stack to all functions that are being called, and counts 32 for each.
            unsafe { core::ptr::from_mut(length).write_volatile(0) };
        }
        (payload.captured, payload.truncated, payload.abi) = (0, 0, self.abi);
        payload.capability = self.caller.refused(self.kind);
        self.caller.registers(&mut payload.registers);
        task::identify(self.caller.task(), self.pid_tgid, header);
        let head = &mut header.head;
        head.nr = self.nr;
        head.errno = self.errno;
        head.ret = 0u32.wrapping_sub(self.errno);
        // SAFETY: takes no arguments and never fails.
        head.finish = unsafe { bpf_ktime_get_boot_ns() };
        head.start = head.finish;
    }

    /// Sends the failure and forgets it. A function of its own: its stack would be the caller's otherwise, and 6.1
    /// allows 512 bytes in all functions together that call one another.
    #[inline(never)]
    fn send_alone(&self, policy: &SyscallPolicy) {
        if policy.strings == 0 && policy.sockaddr == 0 {
            return emit::reserve(self.kind, |record: &mut CallRecord| {
                self.describe(&mut record.header, &mut record.payload);
            });
        }
        let fate = match scratch() {
            Some(scratch) => self.send(scratch, policy),
            None => Fate::Lost,
        };
        emit::count(self.kind, fate);
    }

    /// Takes a way of the set for this failure, and sends it; false where the set is full of others. Each event ends in
    /// exactly one place: the ring buffer, a way's count, or the count of what is lost.
    #[inline(never)]
    fn send_first(&self, policy: &SyscallPolicy, set: *mut FoldSet, key: u64, set_index: u32) -> bool {
        let Some(scratch) = scratch() else { return false };
        for free in 0..FOLD_WAYS {
            // SAFETY: a value of the map, and an index of its array.
            let found = unsafe { atomic::replace(&raw mut (*set).keys[free], 0, key) };
            if found == key {
                // Another CPU was quicker.
                // SAFETY: as above.
                unsafe { atomic::add(&raw mut (*set).counts[free], 1) };
                return true;
            }
            if found == 0 {
                let way = &raw mut scratch.way;
                // Through memory, so that the verifier does not look at what follows once for each of them.
                // SAFETY: a value of the map.
                let way = unsafe {
                    way.write_volatile(free as u64);
                    way.read_volatile() as usize & (FOLD_WAYS - 1)
                };
                let fate = self.send(scratch, policy);
                remember(set_index * FOLD_WAYS as u32 + way as u32, key, scratch);
                match fate {
                    Fate::Sent => emit::count(self.kind, fate),
                    // SAFETY: a value of the map, and an index of its array.
                    Fate::Lost => unsafe { atomic::add(&raw mut (*set).counts[way], 1) },
                }
                return true;
            }
        }
        false
    }

    #[inline(always)]
    fn send(&self, scratch: &mut CallScratch, policy: &SyscallPolicy) -> Fate {
        self.describe(&mut scratch.record.header, &mut scratch.record.payload);
        for index in 0..REGISTERS {
            if policy.strings & 1 << index != 0 {
                capture_string(scratch, index);
            } else if policy.sockaddr as usize == index + 1 {
                capture_sockaddr(scratch, index, policy.sockaddr_len as usize);
            }
        }
        let length = size_of::<CallRecord>() + captured(scratch);
        // SAFETY: header, payload and memory lie one after another, and so many bytes of them are written.
        unsafe { emit::output((&raw const scratch.record.header).cast(), length) }
    }
}

/// Adds a repeat to its count; false where there is none yet.
#[inline(always)]
fn count_in(set: *mut FoldSet, key: u64) -> bool {
    for way in 0..FOLD_WAYS {
        // SAFETY: a value of the map, valid while this program runs, and an index of its arrays.
        unsafe {
            if (&raw const (*set).keys[way]).read_volatile() == key {
                atomic::add(&raw mut (*set).counts[way], 1);
                return true;
            }
        }
    }
    false
}

/// Keeps who it was, for the record that will tell of the repeats.
#[inline(always)]
fn remember(index: u32, key: u64, scratch: &CallScratch) {
    let Some(first) = FOLD_FIRST.get_ptr_mut(index) else { return };
    // SAFETY: a value of the map, which belongs to whoever took the way. The daemon looks at it after it has seen
    // the key there.
    unsafe {
        (&raw mut (*first).key).write_volatile(0);
        (*first).header = scratch.record.header;
        (*first).payload = scratch.record.payload;
        (&raw mut (*first).key).write_volatile(key);
    }
}

/// What this process has sent in this interval of what has to be looked into.
#[inline(always)]
fn looks_of<'a>(bank: u32, tgid: u32) -> Option<&'a mut Looks> {
    let slot = SLOTS.get_ptr_mut(tgid & (LOOKS_SLOTS - 1))?;
    // SAFETY: a value of the map, valid while this program runs.
    let slot = unsafe { &mut *slot };
    if slot.bank != bank {
        *slot = Looks { bank, ..Looks::default() };
    }
    Some(slot)
}

#[inline(always)]
fn scratch<'a>() -> Option<&'a mut CallScratch> {
    // SAFETY: this CPU's own value, and preemption is off while a tracing program runs.
    SCRATCH.get_ptr_mut(0).map(|scratch| unsafe { &mut *scratch })
}

/// Bytes of memory that are captured. The length is read back from memory, so that the verifier knows as little of it after
/// each argument, and sees that it leaves room for one more. It would follow all combinations of lengths otherwise.
#[inline(always)]
fn captured(scratch: &CallScratch) -> usize {
    // SAFETY: a reference is valid and aligned.
    let length = unsafe { (&raw const scratch.record.header.length).read_volatile() } as usize;
    length.wrapping_sub(size_of::<CallRecord>()) & (SCRATCH_MEMORY_LEN - MEMORY_SLOT_LEN - 1)
}

/// Notes that the memory of an argument is captured, `len` bytes behind what is.
#[inline(always)]
fn capture(scratch: &mut CallScratch, index: usize, len: usize, truncated: bool) {
    let payload = &mut scratch.record.payload;
    if truncated {
        payload.truncated |= 1 << index;
    }
    payload.captured |= 1 << index;
    payload.memory_len[index] = len as u16;
    let length = &raw mut scratch.record.header.length;
    // SAFETY: a reference is valid and aligned.
    unsafe { length.write_volatile(length.read_volatile() + len as u32) };
}

#[inline(always)]
fn capture_string(scratch: &mut CallScratch, index: usize) {
    // SAFETY: there is room for a slot behind what is captured.
    let to = unsafe { scratch.memory.as_mut_ptr().add(captured(scratch)) };
    let from = scratch.record.payload.registers[index] as *const _;
    // SAFETY: the helper writes at most a slot, and fails on an address that cannot be read.
    let read = unsafe { bpf_probe_read_user_str(to.cast(), MEMORY_SLOT_LEN as u32, from) };
    if read >= 1 {
        // The helper counts the NUL that it writes.
        let len = read as usize - 1;
        capture(scratch, index, len.min(PATH_LEN), len > PATH_LEN);
    }
}

#[inline(always)]
fn capture_sockaddr(scratch: &mut CallScratch, index: usize, len_index: usize) {
    if len_index >= REGISTERS {
        return;
    }
    // The kernel takes the length as an `int` and refuses one past sizeof(struct sockaddr_storage).
    let given = scratch.record.payload.registers[len_index] as u32 as usize;
    let len = if given > SOCKADDR_LEN { SOCKADDR_LEN } else { given };
    // SAFETY: there is room for a slot, which is larger than an address, behind what is captured.
    let to = unsafe { scratch.memory.as_mut_ptr().add(captured(scratch)) };
    let from = scratch.record.payload.registers[index] as *const _;
    // SAFETY: the helper writes `len` bytes, and fails on an address that cannot be read.
    if len != 0 && unsafe { bpf_probe_read_user(to.cast(), len as u32, from) } == 0 {
        capture(scratch, index, len, given > SOCKADDR_LEN);
    }
}
