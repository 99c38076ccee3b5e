//! A call that failed becomes one record for the first failure of a process, call and error, and a count of its
//! repeats in the fold map.
//!
//! In: which call, which error, its registers, and the policy of the call. Out: a ring record or one more in the
//! count of an entry.

use aya_ebpf::{
    bindings::BPF_NOEXIST,
    helpers::generated::{bpf_ktime_get_boot_ns, bpf_probe_read_user, bpf_probe_read_user_str},
};
use probe_common::{
    CallPayload, CallRecord, CallScratch, ERRNO_BITS, FoldKey, Kind, MEMORY_SLOT_LEN, PATH_LEN, REGISTERS,
    RingHeader, SCRATCH_MEMORY_LEN, SOCKADDR_LEN, SyscallPolicy,
};

use crate::{
    atomic::{self, low_two_bits},
    emit::{self, Fate},
    map::{CONTROL, FOLD, SCRATCH},
    task::{self, Object},
};

/// What the map says of a key that is already there (`EEXIST`).
const EXISTS: i32 = -17;
const ENOENT: u32 = 2;

/// [`SyscallPolicy::reports`], in a form that every verifier follows: some forget the bound of a number that the
/// compiler keeps on the stack, so the index is masked where it is used.
#[inline(always)]
pub fn reports(policy: &SyscallPolicy, errno: u64) -> bool {
    // The compiler still has to be told that it is an index.
    let word = low_two_bits(errno / 64) & 3;
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
        let Some(control) = CONTROL.get(0) else { return };
        if control.fold == 0
            || (policy.looks != 0 && self.errno == ENOENT)
            || self.errno == u32::from(policy.alone)
        {
            return self.send_alone(policy);
        }
        let tgid = (self.pid_tgid >> 32) as u32;
        let key = FoldKey { generation: control.generation, tgid, slot: self.slot, errno: self.errno };
        match FOLD.get_ptr_mut(key) {
            // SAFETY: a value of the map, valid while this program runs.
            Some(entry) => unsafe { atomic::add(&raw mut (*entry).count, 1) },
            None => self.send_first(policy, &key),
        }
    }

    /// Writes every field but the header's `length`; nothing is captured yet.
    #[inline(always)]
    fn describe(&self, header: &mut RingHeader, payload: &mut CallPayload) {
        header.tag = self.kind.tag();
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

    /// Sends the failure and forgets it.
    #[inline(always)]
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

    /// Sends the first failure of this key, and opens the entry that counts its repeats. Each event ends in
    /// exactly one place: the ring buffer, an entry's count, or the count of what is lost.
    #[inline(never)]
    fn send_first(&self, policy: &SyscallPolicy, key: &FoldKey) {
        let Some(scratch) = scratch() else { return emit::count(self.kind, Fate::Lost) };
        let fate = self.send(scratch, policy);
        scratch.entry.count = 1;
        scratch.entry.sent = u64::from(fate == Fate::Sent);
        let opened = FOLD.insert(key, scratch.entry, u64::from(BPF_NOEXIST));
        if fate == Fate::Sent {
            // Whether or not there is an entry now: this event went out, and no count holds it twice, since the
            // entry that was opened says so.
            return emit::count(self.kind, fate);
        }
        match opened {
            Ok(()) => {}
            Err(error) => {
                // Another CPU opened the entry in between, or the map is full as well.
                match FOLD.get_ptr_mut(key) {
                    // SAFETY: a value of the map, valid while this program runs.
                    Some(entry) if i64::from(error) == i64::from(EXISTS) => unsafe {
                        atomic::add(&raw mut (*entry).count, 1);
                    },
                    _ => emit::count(self.kind, Fate::Lost),
                }
            }
        }
    }

    #[inline(always)]
    fn send(&self, scratch: &mut CallScratch, policy: &SyscallPolicy) -> Fate {
        self.describe(&mut scratch.entry.header, &mut scratch.entry.payload);
        let mut end = 0;
        for index in 0..REGISTERS {
            if policy.strings & 1 << index != 0 {
                end = capture_string(scratch, index, end);
            } else if policy.sockaddr as usize == index + 1 {
                end = capture_sockaddr(scratch, index, policy.sockaddr_len as usize, end);
            }
        }
        let length = size_of::<CallRecord>() + bounded(end);
        scratch.entry.header.length = length as u32;
        // SAFETY: header, payload and memory lie one after another, and so many bytes of them are written.
        unsafe { emit::output((&raw const scratch.entry.header).cast(), length) }
    }
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
    let from = scratch.entry.payload.registers[index] as *const _;
    // SAFETY: the helper writes at most a slot, and fails on an address that cannot be read.
    let read = unsafe { bpf_probe_read_user_str(to.cast(), MEMORY_SLOT_LEN as u32, from) };
    if read < 1 {
        return end;
    }
    // The helper counts the NUL that it writes.
    let mut len = read as usize - 1;
    if len > PATH_LEN {
        len = PATH_LEN;
        scratch.entry.payload.truncated |= 1 << index;
    }
    scratch.entry.payload.captured |= 1 << index;
    scratch.entry.payload.memory_len[index] = len as u16;
    end + len
}

#[inline(always)]
fn capture_sockaddr(scratch: &mut CallScratch, index: usize, len_index: usize, end: usize) -> usize {
    if len_index >= REGISTERS {
        return end;
    }
    let end = bounded(end);
    // The kernel takes the length as an `int` and refuses one past sizeof(struct sockaddr_storage).
    let given = scratch.entry.payload.registers[len_index] as u32;
    let len = if given as usize > SOCKADDR_LEN { SOCKADDR_LEN } else { given as usize };
    // SAFETY: `end` leaves room for a slot, which is larger than an address.
    let to = unsafe { scratch.memory.as_mut_ptr().add(end) };
    let from = scratch.entry.payload.registers[index] as *const _;
    // SAFETY: the helper writes `len` bytes, and fails on an address that cannot be read.
    if len == 0 || unsafe { bpf_probe_read_user(to.cast(), len as u32, from) } != 0 {
        return end;
    }
    if given as usize > SOCKADDR_LEN {
        scratch.entry.payload.truncated |= 1 << index;
    }
    scratch.entry.payload.captured |= 1 << index;
    scratch.entry.payload.memory_len[index] = len as u16;
    end + len
}
