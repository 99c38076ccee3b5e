//! A call that failed becomes one record for the first failure of a process, call and error, and a count of its
//! repeats in the fold table.
//!
//! In: which call, which error, its registers, and the policy of the call. Out: a ring record or one more in a count.

use aya_ebpf::helpers::generated::{bpf_ktime_get_boot_ns, bpf_probe_read_user, bpf_probe_read_user_str};
use probe_common::{
    ABSENT, CallPayload, CallRecord, CallScratch, ERRNO_BITS, FOLD_SETS, FOLD_WAYS, FoldSet, Kind, LOOKS,
    LOOKS_MAX, LOOKS_SLOTS, Looks, MEMORY_SLOT_LEN, PATH_LEN, REGISTERS, RingHeader, SCRATCH_MEMORY_LEN,
    SOCKADDR_LEN, SYSCALL_SLOTS, SyscallPolicy, fold_key, fold_place,
};

use crate::{
    atomic::{self, low_bits},
    emit::{self, Fate},
    map::{ASKED, CONTROL, FOLD, FOLD_FIRST, LOOKS as SLOTS, OFFSETS, SCRATCH, control, global},
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

/// Whether this error may be an event of a call of this number, be it a 64-bit or a 32-bit one.
#[inline(always)]
pub fn may_matter(nr: u32, errno: u64) -> bool {
    let (nr, word) = (u64::from(nr), low_bits::<3>(errno / 64) & 3);
    let index = low_bits::<{ SYSCALL_SLOTS as u64 - 1 }>(nr) & (u64::from(SYSCALL_SLOTS) - 1);
    let asked = control(&ASKED[index as usize][word as usize]);
    errno < u64::from(ERRNO_BITS) && (nr >= u64::from(SYSCALL_SLOTS) || asked & (1 << (errno % 64)) != 0)
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
        let (bank, pages) = (control(&CONTROL.bank), control(&CONTROL.pages));
        let tgid = (self.pid_tgid >> 32) as u32;
        if policy.looks != 0 && self.errno == ENOENT {
            let Some(slot) = looks_of(bank, tgid) else { return };
            if policy.looks == LOOKS && self.is_miss(slot) {
                return;
            }
            if slot.count < LOOKS_MAX {
                slot.count += 1;
                return self.send_alone(policy);
            }
        }
        if pages == 0 || self.errno == u32::from(policy.alone) {
            return self.send_alone(policy);
        }
        let key = fold_key(tgid, self.slot, self.errno);
        let (page, set) = fold_place(key, pages);
        let page = bank * pages + page;
        let Some(sets) = FOLD.get_ptr_mut(page) else { return self.send_alone(policy) };
        let set = low_bits::<{ FOLD_SETS as u64 - 1 }>(u64::from(set)) as usize;
        // SAFETY: a value of the map, and an index of its array.
        let counted = unsafe { &raw mut (*sets).sets[set & (FOLD_SETS - 1)] };
        if !count_in(counted, key) {
            self.send_first(policy, counted, key, page * FOLD_SETS as u32 + set as u32);
        }
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

    /// Writes every field but the header's `length`; nothing is captured yet.
    #[inline(always)]
    fn describe(&self, header: &mut RingHeader, payload: &mut CallPayload) {
        header.tag = self.kind.tag();
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
                record.header.length = size_of::<CallRecord>() as u32;
            });
        }
        let fate = match scratch() {
            Some(scratch) => self.send(scratch, policy),
            None => Fate::Lost,
        };
        emit::count(self.kind, fate);
    }

    /// Takes a way of the set for this failure, and sends it. Each event ends in exactly one place: the ring buffer,
    /// a way's count, or the count of what is lost.
    #[inline(never)]
    fn send_first(&self, policy: &SyscallPolicy, set: *mut FoldSet, key: u64, set_index: u32) {
        for way in 0..FOLD_WAYS {
            // SAFETY: a value of the map, and an index of its array.
            let found = unsafe { atomic::replace(&raw mut (*set).keys[way], 0, key) };
            if found == key {
                // Another CPU was quicker.
                // SAFETY: as above.
                return unsafe { atomic::add(&raw mut (*set).counts[way], 1) };
            }
            if found == 0 {
                let fate = match scratch() {
                    Some(scratch) => {
                        let fate = self.send(scratch, policy);
                        remember(set_index * FOLD_WAYS as u32 + way as u32, key, scratch);
                        fate
                    }
                    None => Fate::Lost,
                };
                return match fate {
                    Fate::Sent => emit::count(self.kind, fate),
                    // SAFETY: as above.
                    Fate::Lost => unsafe { atomic::add(&raw mut (*set).counts[way], 1) },
                };
            }
        }
        // The set is full of others.
        self.send_alone(policy);
    }

    #[inline(always)]
    fn send(&self, scratch: &mut CallScratch, policy: &SyscallPolicy) -> Fate {
        self.describe(&mut scratch.record.header, &mut scratch.record.payload);
        let mut end = 0;
        for index in 0..REGISTERS {
            if policy.strings & 1 << index != 0 {
                end = capture_string(scratch, index, end);
            } else if policy.sockaddr as usize == index + 1 {
                end = capture_sockaddr(scratch, index, policy.sockaddr_len as usize, end);
            }
        }
        let length = size_of::<CallRecord>() + bounded(end);
        scratch.record.header.length = length as u32;
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

/// A write position that the verifier can see to leave room for one more string.
#[inline(always)]
fn bounded(end: usize) -> usize {
    core::hint::black_box(end) & (SCRATCH_MEMORY_LEN - MEMORY_SLOT_LEN - 1)
}

#[inline(always)]
fn capture_string(scratch: &mut CallScratch, index: usize, end: usize) -> usize {
    let end = bounded(end);
    // SAFETY: `end` leaves room for a slot.
    let to = unsafe { scratch.memory.as_mut_ptr().add(end) };
    let from = scratch.record.payload.registers[index] as *const _;
    // SAFETY: the helper writes at most a slot, and fails on an address that cannot be read.
    let read = unsafe { bpf_probe_read_user_str(to.cast(), MEMORY_SLOT_LEN as u32, from) };
    if read < 1 {
        return end;
    }
    // The helper counts the NUL that it writes.
    let mut len = read as usize - 1;
    if len > PATH_LEN {
        len = PATH_LEN;
        scratch.record.payload.truncated |= 1 << index;
    }
    scratch.record.payload.captured |= 1 << index;
    scratch.record.payload.memory_len[index] = len as u16;
    end + len
}

#[inline(always)]
fn capture_sockaddr(scratch: &mut CallScratch, index: usize, len_index: usize, end: usize) -> usize {
    if len_index >= REGISTERS {
        return end;
    }
    let end = bounded(end);
    // The kernel takes the length as an `int` and refuses one past sizeof(struct sockaddr_storage).
    let given = scratch.record.payload.registers[len_index] as u32;
    let len = if given as usize > SOCKADDR_LEN { SOCKADDR_LEN } else { given as usize };
    // SAFETY: `end` leaves room for a slot, which is larger than an address.
    let to = unsafe { scratch.memory.as_mut_ptr().add(end) };
    let from = scratch.record.payload.registers[index] as *const _;
    // SAFETY: the helper writes `len` bytes, and fails on an address that cannot be read.
    if len == 0 || unsafe { bpf_probe_read_user(to.cast(), len as u32, from) } != 0 {
        return end;
    }
    if given as usize > SOCKADDR_LEN {
        scratch.record.payload.truncated |= 1 << index;
    }
    scratch.record.payload.captured |= 1 << index;
    scratch.record.payload.memory_len[index] = len as u16;
    end + len
}
