//! A capability was refused: `tp_btf/cap_capable`, in Linux from 6.13 on.
//!
//! In: the capability and the answer. Out: one slot for each thread, where a denial of the same system call finds
//! it. It is no event of its own: the kernel also asks to learn what it may do, and then a refusal means nothing.
//!
//! Kernel prototype (include/trace/events/capability.h): `cap_capable(const struct cred *cred, struct
//! user_namespace *target_ns, const struct user_namespace *capable_ns, int cap, int ret)`.

use core::mem::offset_of;

use aya_ebpf::{
    bindings::pt_regs,
    helpers::{
        bpf_get_current_pid_tgid,
        generated::{bpf_get_current_task_btf, bpf_task_pt_regs},
    },
    macros::btf_tracepoint,
    programs::BtfTracePointContext,
};
use probe_common::{REFUSED_SLOTS, Refused};

use crate::{
    map::{OFFSETS, REFUSED, global},
    task::Object,
};

/// Runs whenever the kernel asks whether somebody has a capability.
#[btf_tracepoint(function = "cap_capable")]
pub fn cap_capable(ctx: BtfTracePointContext) -> i32 {
    let ret: u64 = ctx.arg(4);
    if ret as u32 != 0 {
        // The kernel may ask about others, too; that leads to no error here.
        let cred: u64 = ctx.arg(0);
        if Object::current_task().load::<u64>(global(&OFFSETS.task_cred)) == cred {
            remember(ctx.arg::<u64>(3) as u32);
        }
    }
    0
}

#[inline(always)]
fn remember(capability: u32) {
    let tid = bpf_get_current_pid_tgid() as u32;
    let Some(slot) = REFUSED.get_ptr_mut(tid & (REFUSED_SLOTS - 1)) else { return };
    // SAFETY: takes the current task, and never fails.
    let regs = unsafe { bpf_task_pt_regs(bpf_get_current_task_btf()) } as *const u8;
    // SAFETY: a value of the map. Threads that share the slot may overwrite it at the same time; the reader
    // compares the digest, which then fits neither.
    unsafe { slot.write(Refused { tid, capability, entry: digest(regs) }) };
}

/// One more than the capability that was refused to this thread in this call, whose registers these are; else 0.
#[inline(always)]
pub fn take(regs: *const u8) -> u8 {
    let tid = bpf_get_current_pid_tgid() as u32;
    let Some(slot) = REFUSED.get_ptr_mut(tid & (REFUSED_SLOTS - 1)) else { return 0 };
    // SAFETY: a value of the map.
    let slot = unsafe { &mut *slot };
    if slot.tid != tid || slot.entry != digest(regs) {
        return 0;
    }
    slot.tid = 0;
    slot.capability as u8 + 1
}

/// Tells one entry into the kernel from others: where it came from, and with what.
#[inline(always)]
fn digest(regs: *const u8) -> u64 {
    let fields = [
        offset_of!(pt_regs, orig_rax),
        offset_of!(pt_regs, rip),
        offset_of!(pt_regs, rsp),
        offset_of!(pt_regs, rdi),
        offset_of!(pt_regs, rsi),
        offset_of!(pt_regs, rdx),
        offset_of!(pt_regs, rbx),
    ];
    let mut digest = 0u64;
    for at in fields {
        // SAFETY: a field of a structure whose type the verifier knows.
        let field = unsafe { regs.add(at).cast::<u64>().read_volatile() };
        digest = digest.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(field);
    }
    digest
}
