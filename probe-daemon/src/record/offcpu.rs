//! The record of: a thread that is kept off the CPU.

use std::time::Duration;

use probe_common::Wait;

use super::{Attributes, Told, Value, identity::put_cgroup};
use crate::event::Offcpu;

/// `EventName` of a stall.
pub const STALL: &str = "gala_gopher.sched.offcpu_stall";

/// Says what happened.
pub fn say<'a>(event: &'a Offcpu, attributes: &mut Attributes<'a>) -> Told {
    attributes.subject(&event.subject);
    put_cgroup(&event.subject, attributes);
    attributes.put("gala_gopher.offcpu.duration_ns", nanoseconds(event.duration));
    attributes.put("gala_gopher.offcpu.threshold_ns", nanoseconds(event.threshold));
    attributes.put("gala_gopher.offcpu.state", letter(event.wait));
    attributes.put("gala_gopher.offcpu.ongoing", event.ongoing);
    attributes.put("gala_gopher.offcpu.stall_id", event.stall_id());
    attributes.put("gala_gopher.offcpu.kernel_stack", Value::Texts(&event.frames));
    attributes.put("cpu.logical_number", event.cpu);
    if let Some((pid, comm)) = &event.taken_by {
        attributes.put("gala_gopher.offcpu.preempted_by.pid", *pid);
        attributes.put("gala_gopher.offcpu.preempted_by.comm", comm.as_str());
    }
    (STALL, sentence(event))
}

/// `java[77/80] off CPU 1530 ms in state D (threshold 1000 ms), in percpu_rwsem_wait`, or
/// `java[77/80] still waiting for a CPU for 302 ms (threshold 200 ms), CPU 1 is taken by hog[99]`.
fn sentence(event: &Offcpu) -> String {
    let subject = &event.subject;
    let who = format!("{}[{}/{}]", subject.comm.escape_debug(), subject.pid, subject.tid);
    let still = if event.ongoing { "still " } else { "" };
    let (duration, threshold) = (event.duration.as_millis(), event.threshold.as_millis());
    if event.wait == Some(Wait::Starved) {
        let verb = if event.ongoing { "is" } else { "was" };
        let taken = event.taken_by.as_ref().map_or(String::new(), |(pid, comm)| {
            format!(", CPU {} {verb} taken by {}[{pid}]", event.cpu, comm.escape_debug())
        });
        return format!("{who} {still}waiting for a CPU for {duration} ms (threshold {threshold} ms){taken}");
    }
    let place = event.frames.first().map_or(String::new(), |frame| format!(", in {frame}"));
    let state = letter(event.wait);
    format!("{who} {still}off CPU {duration} ms in state {state} (threshold {threshold} ms){place}")
}

fn letter(wait: Option<Wait>) -> &'static str {
    match wait {
        Some(Wait::Blocked) => "D",
        Some(Wait::Starved) => "R",
        Some(Wait::Sleeping) => "S",
        None => "?",
    }
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
