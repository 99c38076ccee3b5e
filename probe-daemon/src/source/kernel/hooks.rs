//! Which programs there are, where they attach, and what for.
//!
//! In: the loaded object, the families that are switched on, and links that earlier daemons have pinned. Out: links. A hook that this kernel lacks switches
//! its families off, with one warning that names them; the others go on.

use std::{fs, io, path::PathBuf};

use aya::{
    Ebpf,
    programs::{BtfTracePoint, ProgramError, links::FdLink},
};
use probe_common::Kind;
use tracing::{info, warn};

use super::{KernelError, btf::Types, pins::open_link};

/// A program of the BPF object on a BTF-typed tracepoint.
struct Hook {
    /// Its name in the object.
    program: &'static str,
    /// The kernel's tracepoint.
    tracepoint: &'static str,
    /// What it serves; it attaches where one of these is switched on.
    families: &'static [Kind],
    /// What the families are without it, where they go on without it.
    without: Option<&'static str>,
}

/// All of them. A family whose hooks are several needs each that does not say otherwise.
const HOOKS: [Hook; 12] = [
    Hook {
        program: "sys_exit",
        tracepoint: "sys_exit",
        families: &[Kind::Syscall, Kind::Exec, Kind::Denial],
        without: None,
    },
    Hook {
        program: "cap_capable",
        tracepoint: "cap_capable",
        families: &[Kind::Denial],
        without: Some("denials do not name the capability that was refused"),
    },
    Hook { program: "sched_switch", tracepoint: "sched_switch", families: &[Kind::Offcpu], without: None },
    Hook { program: "mark_victim", tracepoint: "mark_victim", families: &[Kind::Oom], without: None },
    Hook {
        program: "sched_process_exit",
        tracepoint: "sched_process_exit",
        families: &[Kind::Exit],
        without: None,
    },
    Hook {
        program: "signal_generate",
        tracepoint: "signal_generate",
        families: &[Kind::Exit],
        without: Some("ends by a signal do not name its sender"),
    },
    Hook {
        program: "signal_deliver",
        tracepoint: "signal_deliver",
        families: &[Kind::Exit],
        without: Some("ends by a fault do not tell its address"),
    },
    Hook {
        program: "io_uring_complete",
        tracepoint: "io_uring_complete",
        families: &[Kind::IoUring],
        without: None,
    },
    Hook {
        program: "io_uring_complete_v1",
        tracepoint: "io_uring_complete",
        families: &[Kind::IoUring],
        without: None,
    },
    Hook {
        program: FORK,
        tracepoint: "sched_process_fork",
        families: &Kind::ALL,
        without: Some(
            "a process that is gone before its event is read may have no executable and no parents",
        ),
    },
    Hook {
        program: "sched_process_exec",
        tracepoint: "sched_process_exec",
        families: &Kind::ALL,
        without: Some("a process that is gone before its event is read may have another one's executable"),
    },
    Hook {
        program: "sched_process_gone",
        tracepoint: "sched_process_exit",
        families: &Kind::ALL,
        without: Some("processes that have ended take the place of others"),
    },
];

/// The program without which nobody notes processes.
pub const FORK: &str = "sched_process_fork";

/// What a program expects, where some kernels have something else.
enum Expects {
    /// The tracepoint's first argument points to this structure.
    First(&'static str),
    /// The tracepoint has so many arguments.
    Count(usize),
    /// There is this field, without which the program does nothing.
    Field(&'static str),
}

/// Such programs, and what a kernel lacks where none for the tracepoint fits.
const EXPECTED: [(&str, Expects, &str); 5] = [
    ("mark_victim", Expects::First("task_struct"), "that passes a task_struct"),
    ("io_uring_complete", Expects::Count(3), "with 3 or 7 arguments"),
    ("io_uring_complete_v1", Expects::Count(7), "with 3 or 7 arguments"),
    ("io_uring_complete", Expects::Field("io_kiocb.opcode"), "whose io_kiocb has an opcode"),
    ("io_uring_complete_v1", Expects::Field("io_kiocb.opcode"), "whose io_kiocb has an opcode"),
];

/// The programs that expect other arguments of their tracepoint than this kernel passes, with what is expected.
pub fn unfit(types: &btf_rs::Btf) -> Vec<(&'static str, &'static str)> {
    let fits = |program: &str, expects: &Expects| {
        let hook = HOOKS.iter().find(|hook| hook.program == program);
        hook.is_some_and(|hook| match expects {
            Expects::First(structure) => super::btf::first_argument_is(types, hook.tracepoint, structure),
            Expects::Field(path) => super::btf::has(types, path),
            Expects::Count(count) => super::btf::arguments(types, hook.tracepoint) == Some(*count),
        })
    };
    let unfit = EXPECTED.into_iter().filter(|(program, expects, _)| !fits(program, expects));
    unfit.map(|(program, _, what)| (program, what)).collect()
}

/// The programs that are attached.
pub struct Links {
    attached: Vec<(&'static str, FdLink)>,
    /// Those that may not be, as [`unfit`] has them.
    unfit: Vec<(&'static str, &'static str)>,
    /// Where links are pinned, by the names of their programs.
    pins: Option<PathBuf>,
}

impl Links {
    /// What is pinned is attached; nothing else.
    pub fn new(unfit: Vec<(&'static str, &'static str)>, pins: Option<PathBuf>) -> Self {
        let pinned = |hook: &Hook| Some((hook.program, open_link(&pins.as_ref()?.join(hook.program))?));
        let attached = HOOKS.iter().filter_map(pinned).collect();
        Self { attached, unfit, pins }
    }

    /// Attaches every hook that serves one of these families, and detaches the others.
    ///
    /// # Errors
    /// [`KernelError`] of the last hook where families are asked for and none could be attached.
    pub fn select(
        &mut self,
        bpf: &mut Ebpf,
        types: &mut Types,
        families: &[Kind],
    ) -> Result<(), KernelError> {
        let mut refused = None;
        let hooks: Vec<&Hook> = HOOKS.iter().filter(|hook| !self.is_replaced(hook)).collect();
        for hook in hooks {
            let serves: Vec<&str> =
                hook.families.iter().filter(|kind| families.contains(kind)).map(|kind| kind.name()).collect();
            let at = self.attached.iter().position(|(program, _)| *program == hook.program);
            match (at, serves.is_empty()) {
                (Some(at), true) => {
                    let (program, link) = self.attached.swap_remove(at);
                    self.unpin(program);
                    drop(link);
                }
                (None, false) => match self.fits(hook).and_then(|()| attach(bpf, types, hook)) {
                    Ok(link) => {
                        let link = self.pin(hook.program, link).or_else(|| attach(bpf, types, hook).ok());
                        self.attached.extend(link.map(|link| (hook.program, link)));
                    }
                    Err(error) => {
                        let (families, hook, without) = (serves.join(", "), hook.program, hook.without);
                        match without {
                            Some(without) => warn!(families, hook, "on this kernel {without}: {error}"),
                            None => {
                                warn!(families, hook, "not captured on this kernel: {error}");
                                refused = Some(error);
                            }
                        }
                    }
                },
                _ => {}
            }
        }
        // What only adds to other hooks' events captures none.
        let captures = |hook: &Hook| hook.without.is_none() && self.has(hook.program);
        if let (false, Some(error)) = (HOOKS.iter().any(captures), refused) {
            return Err(error);
        }
        let hooks: Vec<_> = self.attached.iter().map(|(program, _)| *program).collect();
        info!(hooks = hooks.join(", "), "attached");
        Ok(())
    }

    /// Whether this program runs.
    pub fn has(&self, program: &str) -> bool {
        self.attached.iter().any(|(attached, _)| *attached == program)
    }

    fn fits(&self, hook: &Hook) -> Result<(), KernelError> {
        match self.unfit.iter().find(|(program, _)| *program == hook.program) {
            Some((_, what)) => Err(KernelError::Lacks(format!("a tracepoint {} {what}", hook.tracepoint))),
            None => Ok(()),
        }
    }

    /// Whether another program for the same tracepoint takes the place of this one, which does not fit: one that
    /// fits, or the first of those that do not, which alone is complained of.
    fn is_replaced(&self, hook: &Hook) -> bool {
        let before = HOOKS.iter().take_while(|other| other.program != hook.program);
        let others = || HOOKS.iter().filter(|other| other.tracepoint == hook.tracepoint);
        self.fits(hook).is_err()
            && (others().any(|other| self.fits(other).is_ok())
                || before.into_iter().any(|other| other.tracepoint == hook.tracepoint))
    }

    /// Detaches all; the ids of the links.
    pub fn detach(&mut self) -> Vec<u32> {
        let mut ids = Vec::new();
        for (program, link) in std::mem::take(&mut self.attached) {
            ids.extend(link.info().map(|info| info.id()));
            self.unpin(program);
        }
        ids
    }

    fn unpin(&self, program: &str) {
        if let Some(Err(error)) = self.pins.as_ref().map(|pins| fs::remove_file(pins.join(program)))
            && error.kind() != io::ErrorKind::NotFound
        {
            warn!(%error, program, "a program could not be detached; remove the directory event.pin_dir");
        }
    }

    /// Lets a program run on when the daemon is gone; none where it could not be pinned, and is detached again.
    fn pin(&self, program: &str, link: FdLink) -> Option<FdLink> {
        let Some(pins) = &self.pins else { return Some(link) };
        let path = pins.join(program);
        // What is there is no link, or it would have been taken over.
        if path.exists() {
            self.unpin(program);
        }
        match link.pin(path) {
            Ok(pinned) => Some(pinned.into()),
            Err(error) => {
                warn!(%error, program, "this program ends with the daemon, since its link cannot be pinned; see event.pin_dir");
                None
            }
        }
    }
}

fn attach(bpf: &mut Ebpf, types: &mut Types, hook: &Hook) -> Result<FdLink, KernelError> {
    let missing = || KernelError::Refused {
        what: "the BPF object",
        detail: format!("has no program {}", hook.program),
    };
    let program: &mut BtfTracePoint = bpf
        .program_mut(hook.program)
        .ok_or_else(missing)?
        .try_into()
        .map_err(|e: ProgramError| KernelError::refused("the BPF object", e))?;
    if program.fd().is_err() {
        program.load(hook.tracepoint, types.get()?).map_err(|error| match error {
            ProgramError::Btf(_) => KernelError::Lacks(format!("the tracepoint {}", hook.tracepoint)),
            error => KernelError::refused("loading a program", error),
        })?;
    }
    let link = program.attach().and_then(|link| program.take_link(link));
    link.map(FdLink::from).map_err(|e| KernelError::refused("attaching a program", e))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_kernel_has_one_program_for_each_tracepoint_that_differs() {
        let Ok(types) = btf_rs::Btf::from_file("/sys/kernel/btf/vmlinux") else {
            eprintln!("this kernel has no BTF: nothing to compare");
            return;
        };
        let links = Links::new(unfit(&types), None);
        let left = |tracepoint: &str| {
            let hooks = HOOKS.iter().filter(|hook| hook.tracepoint == tracepoint);
            hooks.filter(|hook| links.fits(hook).is_ok() && !links.is_replaced(hook)).count()
        };
        assert_eq!((left("io_uring_complete"), left("mark_victim"), left("sys_exit")), (1, 1, 1));
    }

    #[test]
    fn where_no_program_fits_one_is_complained_of() {
        let links = Links::new(vec![("io_uring_complete", "a"), ("io_uring_complete_v1", "b")], None);
        let left: Vec<_> =
            HOOKS.iter().filter(|hook| !links.is_replaced(hook) && links.fits(hook).is_err()).collect();
        assert_eq!(left.iter().map(|hook| hook.program).collect::<Vec<_>>(), ["io_uring_complete"]);
        let links = Links::new(vec![("io_uring_complete", "a")], None);
        let kept = |program| HOOKS.iter().any(|hook| hook.program == program && !links.is_replaced(hook));
        assert!(!kept("io_uring_complete") && kept("io_uring_complete_v1"));
    }
}
