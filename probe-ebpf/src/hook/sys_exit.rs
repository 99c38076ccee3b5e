//! A system call returned an error: `tp_btf/sys_exit`.
//!
//! In: the registers and the return value. Out: a failure that a rule asks for. A success leaves after one
//! comparison, a failure that no rule asks for after one bit.
//!
//! Kernel prototype (include/trace/events/syscalls.h): `sys_exit(struct pt_regs *regs, long ret)`.

use core::mem::offset_of;

use aya_ebpf::{bindings::pt_regs, macros::btf_tracepoint, programs::BtfTracePointContext};
use probe_common::{
    ASKED_ROW, Asked, ERRNO_BITS, I386, Kind, REGISTERS, SYSCALL_SLOTS, SyscallPolicy, X86_64, syscall_slot,
};

use crate::{
    atomic::low_bits,
    failure::{Caller, Failure, reports},
    hook::cap_capable,
    map::{ASKED, OFFSETS, POLICY, global, is_own},
    task::Object,
};

/// Error numbers are −1 … −4095 (`MAX_ERRNO` of include/linux/err.h).
const MAX_ERRNO: u64 = 4095;
/// `TS_COMPAT` of arch/x86/include/asm/thread_info.h: a 32-bit system call is being made.
const TS_COMPAT: u32 = 2;

/// The argument registers, in order: the kernel's system call convention on x86-64.
const ARGUMENTS: [usize; REGISTERS] = [
    offset_of!(pt_regs, rdi),
    offset_of!(pt_regs, rsi),
    offset_of!(pt_regs, rdx),
    offset_of!(pt_regs, r10),
    offset_of!(pt_regs, r8),
    offset_of!(pt_regs, r9),
];

/// The same of a 32-bit call.
const ARGUMENTS_32: [usize; REGISTERS] = [
    offset_of!(pt_regs, rbx),
    offset_of!(pt_regs, rcx),
    offset_of!(pt_regs, rdx),
    offset_of!(pt_regs, rsi),
    offset_of!(pt_regs, rdi),
    offset_of!(pt_regs, rbp),
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
    let nr = unsafe { regs.add(offset_of!(pt_regs, orig_rax)).cast::<u32>().read_volatile() };
    if !may_matter(regs, nr, errno) {
        return;
    }
    let status: u32 = Object::current_task().load(global(&OFFSETS.task_status));
    const { assert!(X86_64 == 0 && I386 == 1) };
    let abi = low_bits::<1>(u64::from(status / TS_COMPAT)) as u8;
    // Before anything is decided by it, so that the verifier does not look at the rest once for each of the two.
    let errno_abi = low_bits::<0xff_ffff>(errno << 8 | u64::from(abi)) as u32;
    let slot = match abi {
        // SAFETY: as above.
        I386 => syscall_slot(I386, nr, unsafe { regs.add(ARGUMENTS_32[0]).cast::<u64>().read_volatile() }),
        _ => syscall_slot(X86_64, nr, 0),
    };
    let Some(policy) = POLICY.get(slot) else { return };
    if reports(policy, errno) && !answers(policy, errno, regs, abi) {
        wanted(regs, policy, nr, slot, errno_abi);
    }
}

/// Whether this error may be an event of a call of this number. The path of nearly all failures, so nothing is done twice.
#[inline(always)]
fn may_matter(regs: *const u8, nr: u32, errno: u64) -> bool {
    if nr >= SYSCALL_SLOTS {
        // Below zero it is no system call: after rt_sigreturn the registers are those of the code that the signal interrupted.
        return nr.cast_signed() > 0;
    }
    // SAFETY: fields of the traced structure; the verifier checks them.
    let load = |at: usize| unsafe { regs.add(at).cast::<u64>().read_volatile() };
    // The instruction `syscall` leaves the address behind it in rcx, and 32-bit calls are made with others. The kernel asks
    // the same of a way back (do_syscall_64 of arch/x86/entry).
    let is_64 = load(offset_of!(pt_regs, rcx)) == load(offset_of!(pt_regs, rip));
    let row = u64::from(if is_64 { nr } else { nr + SYSCALL_SLOTS });
    const { assert!(size_of::<Asked>().is_power_of_two()) };
    let byte = low_bits::<{ size_of::<Asked>() as u64 - 1 }>(row * ASKED_ROW as u64 + errno / 8);
    // SAFETY: the index is within the table.
    let bits = unsafe { (&raw const ASKED).cast::<u8>().add(byte as usize).read_volatile() };
    errno < u64::from(ERRNO_BITS) && bits >> (errno % 8) & 1 != 0
}

/// Apart from the rest, so that what is no event has little to save and restore. The last argument is the error
/// number and, in its low byte, whose numbers these are: a BPF function has five arguments at most.
#[inline(never)]
fn wanted(regs: *const u8, policy: &SyscallPolicy, nr: u32, slot: u32, errno_abi: u32) {
    let task = Object::current_task();
    let (errno, abi) = (errno_abi >> 8, errno_abi as u8);
    let tgid: u32 = task.load(global(&OFFSETS.task_tgid));
    if is_own(tgid) {
        return;
    }
    let tid: u32 = task.load(global(&OFFSETS.task_pid));
    let pid_tgid = u64::from(tgid) << 32 | u64::from(tid);
    let kind = Kind::of_call(policy.exec != 0, u64::from(errno));
    let caller = Registers { task, regs, abi };
    Failure { caller, nr, abi, slot, errno, pid_tgid, kind }.report(policy);
}

/// Whether the error is the answer to a question.
#[inline(always)]
fn answers(policy: &SyscallPolicy, errno: u64, regs: *const u8, abi: u8) -> bool {
    for question in &policy.questions {
        if u64::from(question.errno) == errno
            && argument(regs, abi, u32::from(question.argument)) == question.value
        {
            return true;
        }
    }
    false
}

/// The lower half of an argument.
#[inline(always)]
fn argument(regs: *const u8, abi: u8, argument: u32) -> u32 {
    let mut value = 0;
    for index in 0..REGISTERS {
        // A kernel pointer takes constant offsets only.
        if index as u32 == argument {
            let at = if abi == I386 { ARGUMENTS_32[index] } else { ARGUMENTS[index] };
            // SAFETY: a field of the traced structure; the verifier checks it.
            value = unsafe { regs.add(at).cast::<u32>().read_volatile() };
        }
    }
    value
}

/// The current task, as it entered the kernel.
struct Registers {
    task: Object,
    regs: *const u8,
    abi: u8,
}

impl Caller for Registers {
    #[inline(always)]
    fn task(&self) -> Object {
        self.task
    }

    #[inline(always)]
    fn registers(&self, registers: &mut [u64; REGISTERS]) {
        for index in 0..REGISTERS {
            // SAFETY: a field of the traced structure; the verifier checks it.
            let load = |at: usize| unsafe { self.regs.add(at).cast::<u64>().read_volatile() };
            // The upper half of a 32-bit call's registers means nothing.
            registers[index] = match self.abi {
                I386 => u64::from(load(ARGUMENTS_32[index]) as u32),
                _ => load(ARGUMENTS[index]),
            };
        }
    }

    #[inline(always)]
    fn refused(&self, kind: Kind) -> u8 {
        if kind == Kind::Denial { cap_capable::take(self.regs) } else { 0 }
    }
}
