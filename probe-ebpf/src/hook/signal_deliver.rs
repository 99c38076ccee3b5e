//! A signal arrives: `tp_btf/signal_deliver`.
//!
//! In: the signal and what its receiver, the current thread, is going to do. Out: nothing but a note of where the
//! fault was, if the signal comes of one and kills; the end of the process tells of it.
//!
//! Kernel prototype (include/trace/events/signal.h): `signal_deliver(int sig, struct kernel_siginfo *info, struct
//! k_sigaction *ka)`. `info` may be a small number that is no address.

use core::mem::offset_of;

use aya_ebpf::{
    bindings::pt_regs,
    helpers::{
        bpf_get_current_pid_tgid,
        generated::{bpf_find_vma, bpf_task_pt_regs},
    },
    macros::btf_tracepoint,
    programs::BtfTracePointContext,
};
use probe_common::{ABSENT, Fault, NAME_LEN};

use crate::{
    map::{FAULTS, OFFSETS, global},
    task::{self, Object},
};

const SIGSYS: u32 = 31;
/// Signals that an instruction brings about, by bit: ILL, TRAP, BUS, FPE, SEGV, SYS.
const FAULT_SIGNALS: u64 = 1 << 3 | 1 << 4 | 1 << 6 | 1 << 7 | 1 << 10 | 1 << 30;
/// `SA_IMMUTABLE` of include/linux/signal_types.h.
const IMMUTABLE: u64 = 0x0080_0000;

/// Runs whenever a thread is about to act on a signal.
#[btf_tracepoint(function = "signal_deliver")]
pub fn signal_deliver(ctx: BtfTracePointContext) -> i32 {
    let signal: u32 = ctx.arg(0);
    let index = signal.wrapping_sub(1);
    let info = Object::new(ctx.arg(1));
    if index >= 64 || FAULT_SIGNALS & 1 << index == 0 {
        return 0;
    }
    let action = Object::new(ctx.arg(2));
    let code: i32 = info.probe_field(global(&OFFSETS.siginfo_code));
    // What a process sends has a code of 0 or less.
    if code <= 0 || action.probe_field::<u64>(global(&OFFSETS.k_sigaction_handler)) != 0 {
        return 0;
    }
    let current = Object::current_task();
    let mut fault = Fault {
        process_start: task::process_start(current),
        signal,
        code,
        address: info.probe_field(global(&OFFSETS.siginfo_addr)),
        instruction: instruction(current),
        mapping_start: 0,
        mapping_page: 0,
        syscall: 0,
        arch: 0,
        immutable: u64::from(action.probe_field::<u64>(global(&OFFSETS.k_sigaction_flags)) & IMMUTABLE != 0),
        mapping: [0; NAME_LEN],
    };
    if signal == SIGSYS {
        fault.syscall = info.probe_field(global(&OFFSETS.siginfo_syscall));
        fault.arch = info.probe_field(global(&OFFSETS.siginfo_arch));
    }
    // SAFETY: the kernel calls the function at most once, before this returns, with the address given here.
    unsafe {
        bpf_find_vma(
            current.pointer().cast_mut().cast(),
            fault.instruction,
            describe_mapping as *mut _,
            (&raw mut fault).cast(),
            0,
        );
    }
    let tgid = (bpf_get_current_pid_tgid() >> 32) as u32;
    // Where the map is full, the oldest entry goes: its process ended a while ago.
    let _ = FAULTS.insert(tgid, fault, 0);
    0
}

#[inline(always)]
fn instruction(current: Object) -> u64 {
    // SAFETY: the pointer is the current task's; the registers of a user thread are always there.
    let registers = unsafe { bpf_task_pt_regs(current.pointer().cast_mut().cast()) } as *const u8;
    // SAFETY: a field of the structure; the verifier checks it.
    unsafe { registers.add(offset_of!(pt_regs, rip)).cast::<u64>().read_volatile() }
}

/// Called with the mapping that holds the instruction.
extern "C" fn describe_mapping(_task: *const u8, vma: *const u8, fault: *mut Fault) -> i64 {
    // SAFETY: the address that was handed to `bpf_find_vma`; nobody else uses it meanwhile.
    let fault = unsafe { &mut *fault };
    let vma = Object::new(vma);
    fault.mapping_start = vma.load(global(&OFFSETS.vma_start));
    fault.mapping_page = vma.load(global(&OFFSETS.vma_pgoff));
    let (file, dentry) = (global(&OFFSETS.vma_file), global(&OFFSETS.file_dentry));
    if file != ABSENT && dentry != ABSENT {
        let dentry: u64 = Object::new(vma.load::<u64>(file) as *const u8).probe_field(dentry);
        Object::new(dentry as *const u8).probe_name(global(&OFFSETS.dentry_name), &mut fault.mapping);
    }
    0
}
