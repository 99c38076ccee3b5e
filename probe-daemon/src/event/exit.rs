//! A process that ended by a signal or with a non-zero exit code.
//!
//! In: the payload of a ring record. Out: [`Exit`].

use std::time::Duration;

use probe_common::{ExitPayload, Fault as RawFault, RingHeader};
use ulid::Ulid;

use super::{Subject, text};
use crate::cgroup::Cgroup;

/// SIGSYS, and its `si_code` where seccomp sent it.
const SIGSYS: u32 = 31;
const SYS_SECCOMP: i32 = 1;

/// A process that ended by a signal or with a non-zero exit code.
#[derive(Clone, Debug, PartialEq)]
pub struct Exit {
    /// Who.
    pub subject: Subject,
    /// Its cgroup.
    pub cgroup: Cgroup,
    /// Device and inode number of what it executed; 0 where unknown. They tell programs of one name apart.
    pub program: (u32, u64),
    /// How it ended.
    pub end: End,
    /// How long the process lived; none where unknown.
    pub lifetime: Option<Duration>,
    /// Process id, user id and name of whoever sent the signal.
    pub sender: Option<(u32, u32, String)>,
    /// The fault that the signal stands for.
    pub fault: Option<Fault>,
    /// The system call that seccomp killed it for.
    pub refused: Option<Refused>,
    /// The record of the OOM kill that it died of.
    pub oom: Option<Ulid>,
}

/// How a process ended.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum End {
    /// With an exit code.
    Code(u32),
    /// By a signal.
    Signal {
        /// Its number.
        number: u32,
        /// Whether a core dump was written.
        core: bool,
    },
}

/// What an instruction could not do.
#[derive(Clone, Debug, PartialEq)]
pub struct Fault {
    /// `si_code`.
    pub code: i32,
    /// The address that could not be used; of a division and its like, that of the instruction.
    pub address: u64,
    /// Address of the instruction.
    pub instruction: u64,
    /// The file that holds the instruction, without its folder, and where in the file.
    pub mapping: Option<(String, u64)>,
}

/// A system call that seccomp did not let pass.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Refused {
    /// Its number.
    pub syscall: u32,
    /// `AUDIT_ARCH_*`: which table of system calls the number is of.
    pub arch: u32,
    /// Whether the filter killed the process, rather than sending a signal that it did not handle.
    pub kills: bool,
}

impl Exit {
    /// Decodes a payload.
    pub fn new(header: &RingHeader, payload: &ExitPayload) -> Self {
        let status = payload.status;
        let (sender, fault) = (&payload.sender, &payload.fault);
        let lived = header.head.finish.saturating_sub(header.start_time);
        Self {
            subject: header.into(),
            cgroup: Cgroup { id: header.cgroup, name: text(&payload.cgroup_name), path: None },
            program: (payload.device, payload.inode),
            end: match status & 0x7f {
                0 => End::Code(status >> 8 & 0xff),
                number => End::Signal { number, core: status & 0x80 != 0 },
            },
            lifetime: (header.start_time != 0).then_some(Duration::from_nanos(lived)),
            sender: (sender.pid != 0).then(|| (sender.pid, sender.uid, text(&sender.comm))),
            fault: (fault.signal != 0 && fault.signal != SIGSYS).then(|| Fault::from(fault)),
            refused: (fault.signal == SIGSYS && fault.code == SYS_SECCOMP).then_some(Refused {
                syscall: fault.syscall,
                arch: fault.arch,
                kills: fault.immutable != 0,
            }),
            oom: None,
        }
    }
}

impl From<&RawFault> for Fault {
    fn from(fault: &RawFault) -> Self {
        let name = text(&fault.mapping);
        let offset = fault.instruction.wrapping_sub(fault.mapping_start);
        let offset = fault.mapping_page.wrapping_mul(4096).wrapping_add(offset);
        Self {
            code: fault.code,
            address: fault.address,
            instruction: fault.instruction,
            mapping: (!name.is_empty()).then_some((name, offset)),
        }
    }
}
