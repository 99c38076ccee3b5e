//! A system call returned an error: `tp_btf/sys_exit`.
//!
//! In: the registers and the return value. Out: one record for the first failure of a process, call and error, and
//! a count of its repeats in the fold map. A success leaves after one comparison, a failure that no rule asks for
//! after one bit.
//!
//! Kernel prototype (include/trace/events/syscalls.h): `sys_exit(struct pt_regs *regs, long ret)`.

use core::mem::offset_of;

use aya_ebpf::{
    bindings::{BPF_NOEXIST, pt_regs},
    helpers::{
        bpf_get_current_pid_tgid,
        generated::{bpf_ktime_get_boot_ns, bpf_probe_read_user, bpf_probe_read_user_str},
    },
    macros::btf_tracepoint,
    programs::BtfTracePointContext,
};
use probe_common::{
    CallPayload, CallRecord, CallScratch, ERRNO_BITS, FoldKey, Kind, MEMORY_SLOT_LEN, PATH_LEN, REGISTERS,
    RingHeader, SCRATCH_MEMORY_LEN, SOCKADDR_LEN, SYSCALL_OTHER, SYSCALL_SLOTS, SyscallPolicy,
};

use crate::{
    atomic::{self, low_two_bits},
    emit::{self, Fate},
    map::{CONTROL, FOLD, POLICY, SCRATCH, SELF_TGID, global},
    task::{self, Object},
};

/// Error numbers are −1 … −4095 (`MAX_ERRNO` of include/linux/err.h).
const MAX_ERRNO: u64 = 4095;
/// What the map says of a key that is already there (`EEXIST`).
const EXISTS: i32 = -17;

/// The argument registers, in order: the kernel's system call convention on x86-64.
const ARGUMENTS: [usize; REGISTERS] = [
    offset_of!(pt_regs, rdi),
    offset_of!(pt_regs, rsi),
    offset_of!(pt_regs, rdx),
    offset_of!(pt_regs, r10),
    offset_of!(pt_regs, r8),
    offset_of!(pt_regs, r9),
];

/// Runs at the end of every system call of the host.
#[btf_tracepoint(function = "sys_exit")]
pub fn sys_exit(ctx: BtfTracePointContext) -> i32 {
    let ret: u64 = ctx.arg(1);
    let errno = 0u64.wrapping_sub(ret);
    if errno.wrapping_sub(1) < MAX_ERRNO {
        failed(&ctx, errno);
    }
    0
}

#[inline(always)]
fn failed(ctx: &BtfTracePointContext, errno: u64) {
    let regs: *const u8 = ctx.arg(0);
    // SAFETY: a field of the traced structure; the verifier checks it.
    let nr = unsafe { regs.add(offset_of!(pt_regs, orig_rax)).cast::<u64>().read_volatile() } as u32;
    if nr.cast_signed() < 0 {
        // No system call: after rt_sigreturn the registers are those of the code that the signal interrupted.
        return;
    }
    let slot = if nr < SYSCALL_SLOTS { nr } else { SYSCALL_OTHER };
    let Some(policy) = POLICY.get(slot) else { return };
    if !reports(policy, errno) {
        return;
    }
    let pid_tgid = bpf_get_current_pid_tgid();
    let tgid = (pid_tgid >> 32) as u32;
    if tgid == global(&SELF_TGID) {
        return;
    }
    let Some(control) = CONTROL.get(0) else { return };
    let kind = Kind::of_call(policy.exec != 0, errno);
    let failure = Failure { regs, nr, errno: errno as u32, pid_tgid, kind };
    if control.fold == 0 {
        return failure.send_alone(policy);
    }
    let key = FoldKey { generation: control.generation, tgid, slot, errno: errno as u32 };
    match FOLD.get_ptr_mut(key) {
        // SAFETY: a value of the map, valid while this program runs.
        Some(entry) => unsafe { atomic::add(&raw mut (*entry).count, 1) },
        None => failure.send_first(policy, &key),
    }
}

/// [`SyscallPolicy::reports`], in a form that every verifier follows: some forget the bound of a number that the
/// compiler keeps on the stack, so the index is masked where it is used.
#[inline(always)]
fn reports(policy: &SyscallPolicy, errno: u64) -> bool {
    // The compiler still has to be told that it is an index.
    let word = low_two_bits(errno / 64) & 3;
    errno < u64::from(ERRNO_BITS) && policy.errnos[word as usize] & (1 << (errno % 64)) != 0
}

struct Failure {
    regs: *const u8,
    nr: u32,
    errno: u32,
    pid_tgid: u64,
    kind: Kind,
}

impl Failure {
    /// Writes every field but the header's `length`; nothing is captured yet.
    #[inline(always)]
    fn describe(&self, header: &mut RingHeader, payload: &mut CallPayload) {
        header.tag = self.kind.tag();
        payload.memory_len = [0; REGISTERS];
        (payload.captured, payload.truncated, payload.reserved) = (0, 0, 0);
        for (register, at) in payload.registers.iter_mut().zip(ARGUMENTS) {
            // SAFETY: a field of the traced structure; the verifier checks it.
            *register = unsafe { self.regs.add(at).cast::<u64>().read_volatile() };
        }
        task::identify(Object::current_task(), self.pid_tgid, header);
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
