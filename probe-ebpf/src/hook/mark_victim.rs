//! The kernel has chosen whom to kill for memory: `tp_btf/mark_victim`.
//!
//! In: the victim; the current task is the one that asked for memory. Out: one record. This is as rare as it is bad,
//! so everything that leads away from the task is read with the helper that needs no types.
//!
//! Kernel prototype (include/trace/events/oom.h): `mark_victim(struct task_struct *task, uid_t uid)`. Kernels whose
//! prototype has a process id instead are told apart before this is loaded.

use aya_ebpf::{
    helpers::{bpf_get_current_pid_tgid, generated::bpf_ktime_get_boot_ns},
    macros::btf_tracepoint,
    programs::BtfTracePointContext,
};
use probe_common::{ABSENT, Kind, NAME_LEN, OomPayload, OomRecord};

use crate::{
    emit,
    map::{OFFSETS, global},
    task::{self, Object},
};

const PAGE: u64 = 4096;
/// A limit of so many pages and more is none (`PAGE_COUNTER_MAX`).
const NO_LIMIT: u64 = i64::MAX as u64 / PAGE;
/// A cgroup with no more free pages than this is at its limit, unless they are much of it. When the victim is
/// marked, others may have given back a little since; the kernel charges up to 64 pages at once for each CPU.
const AT_LIMIT: u64 = 256;
/// Levels of cgroups that are looked at, from the victim's upward.
const LEVELS: usize = 24;

/// Runs once for each victim.
#[btf_tracepoint(function = "mark_victim")]
pub fn mark_victim(ctx: BtfTracePointContext) -> i32 {
    let victim = Object::new(ctx.arg(0));
    emit::reserve(Kind::Oom, |record: &mut OomRecord| {
        let (header, payload) = (&mut record.header, &mut record.payload);
        header.tag = Kind::Oom.tag();
        header.length = size_of::<OomRecord>() as u32;
        header.stamp = emit::stamp(Kind::Oom);
        let tid: u32 = victim.load(global(&OFFSETS.task_pid));
        let tgid: u32 = victim.load(global(&OFFSETS.task_tgid));
        task::identify(victim, u64::from(tgid) << 32 | u64::from(tid), header);
        let head = &mut header.head;
        (head.nr, head.errno, head.ret) = (0, 0, 0);
        // SAFETY: takes no arguments and never fails.
        head.finish = unsafe { bpf_ktime_get_boot_ns() };
        head.start = head.finish;

        memory(victim, payload);
        let (signal, adjustment) = (global(&OFFSETS.task_signal), global(&OFFSETS.signal_oom_score_adj));
        payload.score_adj = victim.load_behind::<i16>(signal, adjustment).into();
        payload.trigger_pid = (bpf_get_current_pid_tgid() >> 32) as u32;
        payload.trigger_comm = Object::current_task().comm();
        task::cgroup_name(victim, &mut payload.cgroup_name);
        limit(victim, payload);
    });
    0
}

#[inline(always)]
fn memory(victim: Object, payload: &mut OomPayload) {
    let mm = Object::new(victim.load::<u64>(global(&OFFSETS.task_mm)) as *const u8);
    // A counter that others change meanwhile may be a little below 0.
    let counter = |offset| mm.probe_field::<i64>(offset).max(0).cast_unsigned();
    payload.total_vm = counter(global(&OFFSETS.mm_total_vm));
    payload.anon = counter(global(&OFFSETS.mm_anon));
    payload.file = counter(global(&OFFSETS.mm_file));
    payload.shmem = counter(global(&OFFSETS.mm_shmem));
    payload.pgtables = counter(global(&OFFSETS.mm_pgtables));
}

/// Finds the cgroup whose limit was hit: the nearest one above the victim that has no memory left.
#[inline(always)]
fn limit(victim: Object, payload: &mut OomPayload) {
    (payload.limit, payload.limit_cgroup, payload.limit_name) = (0, 0, [0; NAME_LEN]);
    let (cgroups, memcg) = (global(&OFFSETS.task_cgroups), global(&OFFSETS.css_set_memcg));
    let (css_offset, memory) = (global(&OFFSETS.memcg_css), global(&OFFSETS.memcg_memory));
    let (usage, max) = (global(&OFFSETS.counter_usage), global(&OFFSETS.counter_max));
    if [cgroups, memcg, css_offset, memory, usage, max].contains(&ABSENT) {
        return;
    }
    let mut css: u64 = victim.follow(cgroups).load(memcg);
    for _ in 0..LEVELS {
        if css == 0 {
            return;
        }
        let level = Object::new(css as *const u8);
        let counter = memory.wrapping_sub(css_offset);
        let most: u64 = level.probe_field(counter + max);
        let used: u64 = level.probe_field(counter + usage);
        if most < NO_LIMIT && used + AT_LIMIT.min(most / 16) >= most {
            payload.limit = most * PAGE;
            let cgroup: u64 = level.probe_field(global(&OFFSETS.css_cgroup));
            let kn: u64 = Object::new(cgroup as *const u8).probe_field(global(&OFFSETS.cgroup_kn));
            let kn = Object::new(kn as *const u8);
            payload.limit_cgroup = kn.probe_field(global(&OFFSETS.kn_id));
            kn.probe_name(global(&OFFSETS.kn_name), &mut payload.limit_name);
            return;
        }
        css = level.probe_field(global(&OFFSETS.css_parent));
    }
}
