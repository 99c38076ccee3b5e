//! The record of a process that ended by a signal or with a non-zero exit code.

use std::{borrow::Cow, time::Duration};

use super::{Attributes, Told, VALUE_LEN, cgroup, cut, times};
use crate::{
    event::{End, Exit, Fault, Refused},
    syscall::{self, Abi},
};

/// `EventName` of an end that was not asked for.
pub const ABNORMAL_EXIT: &str = "gala_gopher.process.abnormal_exit";
/// `EventName` of an end by seccomp.
pub const DENIED: &str = "gala_gopher.security.denied";

/// Of `AUDIT_ARCH_*` of include/uapi/linux/audit.h.
const ARCHES: [(u32, Abi); 2] = [(0xC000_003E, Abi::X86_64), (0x4000_0003, Abi::I386)];

/// Says what happened.
pub fn say<'a>(event: &'a Exit, occurrences: u64, window: Duration, attributes: &mut Attributes<'a>) -> Told {
    attributes.subject(&event.subject);
    cgroup(&event.cgroup, attributes);
    match event.end {
        End::Code(code) => attributes.put("process.exit.code", code),
        End::Signal { number, core } => {
            attributes.put("process.exit.code", 128 + number);
            attributes.put("gala_gopher.exit.signal.name", signal_name(number));
            attributes.put("gala_gopher.exit.signal.number", number);
            attributes.put("gala_gopher.exit.core_dumped", core);
        }
    }
    if let Some(lifetime) = event.lifetime {
        let milliseconds = u64::try_from(lifetime.as_millis()).unwrap_or(u64::MAX);
        attributes.put("gala_gopher.exit.lifetime_ms", milliseconds);
    }
    if let Some((pid, uid, name)) = &event.sender {
        attributes.put("gala_gopher.exit.sender.pid", *pid);
        attributes.put("gala_gopher.exit.sender.comm", name.as_str());
        attributes.put("gala_gopher.exit.sender.uid", *uid);
    }
    if let (Some(fault), End::Signal { number, .. }) = (&event.fault, event.end) {
        say_fault(fault, number, attributes);
    }
    if let Some(record) = event.oom {
        attributes.put("gala_gopher.exit.cause", "oom");
        attributes.put("gala_gopher.exit.cause.record", record.to_string());
    }
    let how = match &event.refused {
        Some(refused) => say_refused(refused, attributes),
        None => how(event),
    };
    let repeated = times(occurrences, window);
    let body = format!("{}[{}] {how}{repeated}", event.subject.comm.escape_debug(), event.subject.pid);
    let event_name = if event.refused.is_some() { DENIED } else { ABNORMAL_EXIT };
    (event_name, body)
}

/// `killed by SIGSEGV (core dumped): SEGV_MAPERR at 0x10, libc.so.6+0x9b2f1`
fn how(event: &Exit) -> String {
    let (number, core) = match event.end {
        End::Code(code) => return format!("exited with code {code}"),
        End::Signal { number, core } => (number, core),
    };
    let core = if core { " (core dumped)" } else { "" };
    let why = match (&event.fault, &event.sender, event.oom) {
        (_, _, Some(_)) => ": out of memory".to_owned(),
        (Some(fault), _, _) => {
            let place = match &fault.mapping {
                Some((name, offset)) => format!(", {}+{offset:#x}", name.escape_debug()),
                None => String::new(),
            };
            format!(": {} at {:#x}{place}", code_name(number, fault.code), fault.address)
        }
        // What a process does to itself, by abort(3) for one, needs no sender.
        (None, Some((pid, uid, name)), _) if *pid != event.subject.pid => {
            format!(", sent by {}[{pid}] uid={uid}", name.escape_debug())
        }
        (None, _, _) => String::new(),
    };
    format!("killed by {}{core}{why}", signal_name(number))
}

fn say_fault<'a>(fault: &'a Fault, signal: u32, attributes: &mut Attributes<'a>) {
    attributes.put("gala_gopher.exit.fault.code", code_name(signal, fault.code));
    attributes.put("gala_gopher.exit.fault.address", format!("{:#x}", fault.address));
    attributes.put("gala_gopher.exit.fault.instruction", format!("{:#x}", fault.instruction));
    if let Some((name, offset)) = &fault.mapping {
        attributes.put("gala_gopher.exit.fault.mapping", cut(name, VALUE_LEN));
        attributes.put("gala_gopher.exit.fault.offset", format!("{offset:#x}"));
    }
}

fn say_refused(refused: &Refused, attributes: &mut Attributes<'_>) -> String {
    let arch = ARCHES.into_iter().find(|(number, _)| *number == refused.arch).map(|(_, abi)| abi);
    let known = arch.and_then(|abi| syscall::lookup(abi, refused.syscall));
    let name = match known {
        Some(call) => Cow::Borrowed(call.name),
        None => Cow::Owned(format!("syscall_{}", refused.syscall)),
    };
    let action = if refused.kills { "kill_process" } else { "trap" };
    let body = format!("killed by seccomp for {name}()");
    attributes.put("gala_gopher.denial.kind", "seccomp");
    attributes.put("gala_gopher.seccomp.action", action);
    attributes.put("gala_gopher.syscall.name", name);
    attributes.put("gala_gopher.syscall.number", refused.syscall);
    match arch {
        Some(abi) => attributes.put("gala_gopher.seccomp.arch", abi.name()),
        None => attributes.put("gala_gopher.seccomp.arch", format!("{:#x}", refused.arch)),
    }
    body
}

fn signal_name(number: u32) -> Cow<'static, str> {
    let name = i32::try_from(number).ok().and_then(syscall::signal_name);
    name.unwrap_or_else(|| Cow::Owned(format!("SIG{number}")))
}

/// The name of an `si_code` (sigaction(2)).
fn code_name(signal: u32, code: i32) -> Cow<'static, str> {
    let names: &[&'static str] = match signal {
        4 => &[
            "ILL_ILLOPC",
            "ILL_ILLOPN",
            "ILL_ILLADR",
            "ILL_ILLTRP",
            "ILL_PRVOPC",
            "ILL_PRVREG",
            "ILL_COPROC",
            "ILL_BADSTK",
        ],
        5 => &["TRAP_BRKPT", "TRAP_TRACE", "TRAP_BRANCH", "TRAP_HWBKPT", "TRAP_UNK", "TRAP_PERF"],
        7 => &["BUS_ADRALN", "BUS_ADRERR", "BUS_OBJERR", "BUS_MCEERR_AR", "BUS_MCEERR_AO"],
        8 => &[
            "FPE_INTDIV",
            "FPE_INTOVF",
            "FPE_FLTDIV",
            "FPE_FLTOVF",
            "FPE_FLTUND",
            "FPE_FLTRES",
            "FPE_FLTINV",
            "FPE_FLTSUB",
        ],
        11 => &[
            "SEGV_MAPERR",
            "SEGV_ACCERR",
            "SEGV_BNDERR",
            "SEGV_PKUERR",
            "SEGV_ACCADI",
            "SEGV_ADIDERR",
            "SEGV_ADIPERR",
            "SEGV_MTEAERR",
            "SEGV_MTESERR",
            "SEGV_CPERR",
        ],
        _ => &[],
    };
    let index = usize::try_from(code).ok().and_then(|code| code.checked_sub(1));
    match index.and_then(|index| names.get(index)) {
        Some(name) => Cow::Borrowed(name),
        None if code == 0x80 => Cow::Borrowed("SI_KERNEL"),
        None => Cow::Owned(format!("si_code {code}")),
    }
}
