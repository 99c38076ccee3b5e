//! A system call returned an error: `tp_btf/sys_exit`.
//!
//! In: the registers and the return value. Out: one [`Kind::Syscall`] record for each failure that the policy
//! reports. A success leaves after one comparison, a failure that no rule asks for after one bit.
//!
//! Kernel prototype (include/trace/events/syscalls.h): `sys_exit(struct pt_regs *regs, long ret)`.

use core::mem::offset_of;

use aya_ebpf::{
    bindings::pt_regs,
    helpers::{
        bpf_get_current_pid_tgid,
        generated::{
            bpf_ktime_get_boot_ns, bpf_probe_read_user, bpf_probe_read_user_str, bpf_ringbuf_output,
        },
    },
    macros::btf_tracepoint,
    programs::BtfTracePointContext,
};
use probe_common::{
    Kind, MEMORY_SLOT_LEN, PATH_LEN, REGISTERS, RingHeader, SCRATCH_MEMORY_LEN, SOCKADDR_LEN, SYSCALL_OTHER,
    SYSCALL_SLOTS, Scratch, SyscallPolicy,
};

use crate::{
    emit,
    map::{POLICY, RING, SCRATCH, SELF_TGID, global},
    task::{self, Object},
};

/// Error numbers are −1 … −4095 (`MAX_ERRNO` of include/linux/err.h).
const MAX_ERRNO: u64 = 4095;

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
    if !policy.reports(errno) {
        return;
    }
    let pid_tgid = bpf_get_current_pid_tgid();
    if (pid_tgid >> 32) as u32 == global(&SELF_TGID) {
        return;
    }
    emit::counted(Kind::Syscall, || {
        let event = Failure { regs, nr, errno: errno as u32, pid_tgid };
        if policy.strings == 0 && policy.sockaddr == 0 {
            emit::reserve(|header| {
                event.describe(header);
                header.length = size_of::<RingHeader>() as u32;
            })
        } else {
            event.send_with_memory(policy)
        }
    });
}

struct Failure {
    regs: *const u8,
    nr: u32,
    errno: u32,
    pid_tgid: u64,
}

impl Failure {
    /// Writes every field of the header but `length`; nothing is captured yet.
    #[inline(always)]
    fn describe(&self, header: &mut RingHeader) {
        header.tag = Kind::Syscall.tag();
        header.memory_len = [0; REGISTERS];
        (header.captured, header.truncated, header.reserved) = (0, 0, 0);
        for (register, at) in header.registers.iter_mut().zip(ARGUMENTS) {
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

    #[inline(always)]
    fn send_with_memory(&self, policy: &SyscallPolicy) -> bool {
        let Some(scratch) = SCRATCH.get_ptr_mut(0) else { return false };
        // SAFETY: this CPU's own value, and preemption is off while a tracing program runs.
        let scratch: &mut Scratch = unsafe { &mut *scratch };
        self.describe(&mut scratch.header);
        let mut end = 0;
        for index in 0..REGISTERS {
            if policy.strings & 1 << index != 0 {
                end = capture_string(scratch, index, end);
            } else if policy.sockaddr as usize == index + 1 {
                end = capture_sockaddr(scratch, index, policy.sockaddr_len as usize, end);
            }
        }
        let length = size_of::<RingHeader>() + bounded(end);
        scratch.header.length = length as u32;
        let record = (&raw mut *scratch).cast();
        // SAFETY: `length` bytes of the scratch are written, and the verifier checks the bound.
        unsafe { bpf_ringbuf_output((&raw const RING).cast_mut().cast(), record, length as u64, 0) == 0 }
    }
}

/// A write position that the verifier can see to leave room for one more string.
#[inline(always)]
fn bounded(end: usize) -> usize {
    core::hint::black_box(end) & (SCRATCH_MEMORY_LEN - MEMORY_SLOT_LEN - 1)
}

#[inline(always)]
fn capture_string(scratch: &mut Scratch, index: usize, end: usize) -> usize {
    let end = bounded(end);
    // SAFETY: `end` leaves room for a slot.
    let to = unsafe { scratch.memory.as_mut_ptr().add(end) };
    let from = scratch.header.registers[index] as *const _;
    // SAFETY: the helper writes at most a slot, and fails on an address that cannot be read.
    let read = unsafe { bpf_probe_read_user_str(to.cast(), MEMORY_SLOT_LEN as u32, from) };
    if read < 1 {
        return end;
    }
    // The helper counts the NUL that it writes.
    let mut len = read as usize - 1;
    if len > PATH_LEN {
        len = PATH_LEN;
        scratch.header.truncated |= 1 << index;
    }
    scratch.header.captured |= 1 << index;
    scratch.header.memory_len[index] = len as u16;
    end + len
}

#[inline(always)]
fn capture_sockaddr(scratch: &mut Scratch, index: usize, len_index: usize, end: usize) -> usize {
    if len_index >= REGISTERS {
        return end;
    }
    let end = bounded(end);
    // The kernel takes the length as an `int` and refuses one past sizeof(struct sockaddr_storage).
    let given = scratch.header.registers[len_index] as u32;
    let len = if given as usize > SOCKADDR_LEN { SOCKADDR_LEN } else { given as usize };
    // SAFETY: `end` leaves room for a slot, which is larger than an address.
    let to = unsafe { scratch.memory.as_mut_ptr().add(end) };
    let from = scratch.header.registers[index] as *const _;
    // SAFETY: the helper writes `len` bytes, and fails on an address that cannot be read.
    if len == 0 || unsafe { bpf_probe_read_user(to.cast(), len as u32, from) } != 0 {
        return end;
    }
    if given as usize > SOCKADDR_LEN {
        scratch.header.truncated |= 1 << index;
    }
    scratch.header.captured |= 1 << index;
    scratch.header.memory_len[index] = len as u16;
    end + len
}
