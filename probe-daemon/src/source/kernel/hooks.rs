//! Which programs there are, where they attach, and what for.
//!
//! In: the loaded object and the families that are switched on. Out: links. A hook that this kernel lacks switches
//! its families off, with one warning that names them; the others go on.

use aya::{
    Btf, Ebpf,
    programs::{BtfTracePoint, ProgramError, tp_btf::BtfTracePointLinkId},
};
use probe_common::Kind;
use tracing::{info, warn};

use super::KernelError;

/// A program of the BPF object on a BTF-typed tracepoint.
struct Hook {
    /// Its name in the object.
    program: &'static str,
    /// The kernel's tracepoint.
    tracepoint: &'static str,
    /// What it serves; it attaches where one of these is switched on.
    families: &'static [Kind],
}

/// All of them. A family whose hooks are several needs each.
const HOOKS: [Hook; 1] = [Hook {
    program: "sys_exit",
    tracepoint: "sys_exit",
    families: &[Kind::Syscall, Kind::Exec, Kind::Denial],
}];

/// The programs that run.
pub struct Links(Vec<(&'static str, BtfTracePointLinkId)>);

impl Links {
    /// Attaches every hook that serves one of these families.
    ///
    /// # Errors
    /// [`KernelError`] of the last hook where none could be attached.
    pub fn attach(bpf: &mut Ebpf, btf: &Btf, families: &[Kind]) -> Result<Self, KernelError> {
        let mut links = Vec::new();
        let mut refused = None;
        for hook in &HOOKS {
            let serves: Vec<&str> =
                hook.families.iter().filter(|kind| families.contains(kind)).map(|kind| kind.name()).collect();
            if serves.is_empty() {
                continue;
            }
            match attach(bpf, btf, hook) {
                Ok(link) => links.push((hook.program, link)),
                Err(error) => {
                    let families = serves.join(", ");
                    warn!(families, hook = hook.program, "not captured on this kernel: {error}");
                    refused = Some(error);
                }
            }
        }
        match refused {
            Some(error) if links.is_empty() => Err(error),
            _ => {
                let hooks: Vec<_> = links.iter().map(|(program, _)| *program).collect();
                info!(hooks = hooks.join(", "), "attached");
                Ok(Self(links))
            }
        }
    }

    /// Detaches all.
    pub fn detach(&mut self, bpf: &mut Ebpf) {
        for (program, link) in self.0.drain(..) {
            let found = bpf.program_mut(program).map(<&mut BtfTracePoint>::try_from);
            let detached = match found {
                Some(Ok(found)) => found.detach(link),
                Some(Err(error)) => Err(error),
                None => Ok(()),
            };
            if let Err(error) = detached {
                warn!(%error, program, "a program could not be detached; it ends with the daemon");
            }
        }
    }
}

fn attach(bpf: &mut Ebpf, btf: &Btf, hook: &Hook) -> Result<BtfTracePointLinkId, KernelError> {
    let missing = || KernelError::Refused {
        what: "the BPF object",
        detail: format!("has no program {}", hook.program),
    };
    let program: &mut BtfTracePoint = bpf
        .program_mut(hook.program)
        .ok_or_else(missing)?
        .try_into()
        .map_err(|e: ProgramError| KernelError::refused("the BPF object", e))?;
    program.load(hook.tracepoint, btf).map_err(|error| match error {
        ProgramError::Btf(_) => KernelError::Lacks(format!("the tracepoint {}", hook.tracepoint)),
        error => KernelError::refused("loading a program", error),
    })?;
    program.attach().map_err(|e| KernelError::refused("attaching a program", e))
}
