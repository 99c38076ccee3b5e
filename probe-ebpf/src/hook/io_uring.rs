//! An io_uring request ended with an error: `tp_btf/io_uring_complete`.
//!
//! In: the request and its result. Out: a failure that a rule asks for. Requests pass no system call's exit, and
//! what they were given (paths, addresses) is gone by now.
//!
//! Kernel prototypes (include/trace/events/io_uring.h): `io_uring_complete(void *ctx, void *req, u64 user_data, int
//! res, unsigned cflags, u64 extra1, u64 extra2)`, and in newer kernels `io_uring_complete(struct io_ring_ctx *ctx,
//! void *req, struct io_uring_cqe *cqe)`. The daemon loads the program that fits.

use aya_ebpf::{
    helpers::{bpf_get_current_pid_tgid, bpf_probe_read_kernel},
    macros::btf_tracepoint,
    programs::BtfTracePointContext,
};
use probe_common::{ABSENT, Kind, REGISTERS, X86_64, io_uring_slot};

use crate::{
    failure::{Caller, Failure, reports},
    map::{OFFSETS, POLICY, global, is_own},
    task::Object,
};

/// Where `struct io_uring_cqe` has its parts (include/uapi/linux/io_uring.h).
const CQE_RES: usize = 8;
/// `PF_IO_WORKER` of include/linux/sched.h: a thread that the kernel made for the process, to work on requests.
const PF_IO_WORKER: u32 = 0x10;

/// Runs at the end of every request of a newer kernel.
#[btf_tracepoint(function = "io_uring_complete")]
pub fn io_uring_complete(ctx: BtfTracePointContext) -> i32 {
    let cqe: *const u8 = ctx.arg(2);
    // SAFETY: fields of the traced structure; the verifier checks them.
    let (user_data, res) =
        unsafe { (cqe.cast::<u64>().read_volatile(), cqe.add(CQE_RES).cast::<i32>().read_volatile()) };
    if res < 0 {
        failed(ctx.arg(1), user_data, res.unsigned_abs());
    }
    0
}

/// The same for an older kernel.
#[btf_tracepoint(function = "io_uring_complete")]
pub fn io_uring_complete_v1(ctx: BtfTracePointContext) -> i32 {
    let res = (ctx.arg::<u64>(3) as u32).cast_signed();
    if res < 0 {
        failed(ctx.arg(1), ctx.arg(2), res.unsigned_abs());
    }
    0
}

#[inline(always)]
fn failed(request: *const u8, user_data: u64, errno: u32) {
    let at = global(&OFFSETS.io_kiocb_opcode);
    if request.is_null() || at == ABSENT {
        // A completion that one request posts on behalf of another; its own is still to come.
        return;
    }
    // SAFETY: the helper checks the address and fails instead of faulting.
    let Ok(opcode) = (unsafe { bpf_probe_read_kernel(request.add(at as usize)) }) else { return };
    let opcode = u32::from(opcode);
    let slot = io_uring_slot(opcode);
    let Some(policy) = POLICY.get(slot) else { return };
    if !reports(policy, u64::from(errno)) {
        return;
    }
    let pid_tgid = bpf_get_current_pid_tgid();
    if is_own((pid_tgid >> 32) as u32) {
        return;
    }
    let caller = Request { user_data };
    Failure { caller, nr: opcode, abi: X86_64, slot, errno, pid_tgid, kind: Kind::IoUring }.report(policy);
}

struct Request {
    user_data: u64,
}

impl Caller for Request {
    #[inline(always)]
    fn task(&self) -> Object {
        let task = Object::current_task();
        let leader = global(&OFFSETS.task_group_leader);
        let flags: u32 = task.load(global(&OFFSETS.task_flags));
        // A worker has a name that the kernel gave it; the process's own says more.
        if flags & PF_IO_WORKER != 0 && leader != ABSENT { task.follow(leader) } else { task }
    }

    #[inline(always)]
    fn registers(&self, registers: &mut [u64; REGISTERS]) {
        *registers = [self.user_data, 0, 0, 0, 0, 0];
    }

    #[inline(always)]
    fn refused(&self, _: Kind) -> u8 {
        0
    }
}
