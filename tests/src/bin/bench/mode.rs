//! What runs in the kernel while a case is measured: in come the empty programs and the number of rounds, out come
//! the best times of each case in each mode, and the run time of the programs as the kernel counts it.

use std::path::Path;

use anyhow::{Context, Result};
use aya::programs::{BtfTracePoint, loaded_programs};
use aya::{Btf, Ebpf};
use tests::daemon::FileDaemon;

use crate::load::{Case, EXECS};

/// How often the programs' run time is counted in each round; the least counts, since whatever else the host does
/// runs the same programs.
const PASSES: u32 = 4;

/// What is attached.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Mode {
    /// Nothing.
    None,
    /// Empty programs on the daemon's hooks.
    Empty,
    /// The daemon with its defaults.
    Folding,
    /// The daemon, told to send every event.
    Sending,
}

impl Mode {
    const ALL: [Self; 4] = [Self::None, Self::Empty, Self::Folding, Self::Sending];
}

/// The best times of one case.
#[derive(Clone, Copy, Debug)]
pub struct Best {
    /// The case.
    pub case: Case,
    /// Nanoseconds for one operation, by mode.
    pub wall: [f64; 4],
    /// Nanoseconds in programs, by mode: for one run of the program that the case is about, or, where it is about
    /// all of them, for one operation.
    pub run: [f64; 4],
}

/// What is attached, until it is dropped.
enum Attached {
    Nothing,
    Empty(Ebpf),
    Daemon(FileDaemon),
}

/// Measures every case in every mode, `rounds` times.
pub fn measure(empty: &Path, rounds: u32) -> Result<Vec<Best>> {
    let hooks = hooks()?;
    println!("Hooks of the daemon: {}", hooks.join(", "));
    let mut best: Vec<Best> =
        Case::ALL.map(|case| Best { case, wall: [f64::INFINITY; 4], run: [f64::INFINITY; 4] }).into();
    for round in 1..=rounds {
        eprintln!("round {round} of {rounds}");
        for mode in Mode::ALL {
            let before = programs();
            let attached = attach(mode, empty, &hooks)?;
            for best in &mut best {
                let slot = &mut best.wall[mode as usize];
                *slot = slot.min(best.case.time()?);
            }
            // In a pass of its own: counting costs some 50 ns for each run of a program.
            if !matches!(attached, Attached::Nothing) {
                let stats = aya::sys::enable_stats(aya::sys::Stats::RunTime)?;
                for best in &mut best {
                    for _ in 0..PASSES {
                        let start = RunTime::of(best.case, &before);
                        best.case.time()?;
                        let slot = &mut best.run[mode as usize];
                        *slot = slot.min(RunTime::of(best.case, &before).since(&start, best.case));
                    }
                }
                drop(stats);
            }
            detach(attached)?;
        }
    }
    Ok(best)
}

/// The hooks that the daemon attaches here, as it tells in its log.
fn hooks() -> Result<Vec<String>> {
    let probe = FileDaemon::start("")?;
    let log = quiet(probe)?;
    let hooks = log.split_once("hooks=\"").and_then(|(_, rest)| rest.split_once('"'));
    let hooks = hooks.context("the daemon does not say which hooks it attached")?.0;
    Ok(hooks.split(", ").map(str::to_owned).collect())
}

fn attach(mode: Mode, empty: &Path, hooks: &[String]) -> Result<Attached> {
    Ok(match mode {
        Mode::None => Attached::Nothing,
        Mode::Empty => {
            let btf = Btf::from_sys_fs()?;
            let mut bpf = Ebpf::load_file(empty).with_context(|| format!("{}", empty.display()))?;
            for hook in hooks {
                let Some(program) = bpf.program_mut(hook) else {
                    eprintln!("bench: there is no empty program for {hook}; its cost counts as the probe's");
                    continue;
                };
                let program: &mut BtfTracePoint = program.try_into()?;
                program.load(tracepoint(hook), &btf)?;
                program.attach()?;
            }
            Attached::Empty(bpf)
        }
        Mode::Folding => Attached::Daemon(FileDaemon::start("")?),
        Mode::Sending => Attached::Daemon(FileDaemon::start_with("", &["event.fold=off"])?),
    })
}

/// Where a program attaches: a second one for a tracepoint has a name of its own.
fn tracepoint(program: &str) -> &str {
    match program {
        "sched_process_gone" => "sched_process_exit",
        "io_uring_complete_v1" => "io_uring_complete",
        name => name,
    }
}

fn detach(attached: Attached) -> Result<()> {
    match attached {
        Attached::Nothing => {}
        Attached::Empty(bpf) => drop(bpf),
        Attached::Daemon(probe) => {
            let log = quiet(probe)?;
            if !log.contains("lost_ring=0") {
                eprintln!("bench: the ring lost events, and what is lost costs less than what is sent");
            }
        }
    }
    Ok(())
}

/// Stops a daemon whose log is not to be shown; the log.
fn quiet(mut probe: FileDaemon) -> Result<String> {
    probe.daemon.shows_log = false;
    Ok(probe.daemon.stop()?.log)
}

/// The ids of all loaded programs.
fn programs() -> Vec<u32> {
    loaded_programs().filter_map(|program| Some(program.ok()?.id())).collect()
}

/// What the kernel has counted for programs.
struct RunTime {
    nanoseconds: u128,
    runs: u64,
}

impl RunTime {
    /// Of the programs that this case is about, among those that were loaded since.
    fn of(case: Case, before: &[u32]) -> Self {
        let new = loaded_programs().filter_map(Result::ok).filter(|program| !before.contains(&program.id()));
        let about = new.filter(|program| {
            case.hook().is_none_or(|hook| program.name_as_str().is_some_and(|name| name == hook))
        });
        about.fold(Self { nanoseconds: 0, runs: 0 }, |sum, program| Self {
            nanoseconds: sum.nanoseconds + program.run_time().as_nanos(),
            runs: sum.runs + program.run_count(),
        })
    }

    /// Nanoseconds for one run, or for one operation of a case that is about all programs.
    fn since(&self, start: &Self, case: Case) -> f64 {
        let count = if case.hook().is_some() { self.runs - start.runs } else { u64::from(EXECS) };
        (self.nanoseconds - start.nanoseconds) as f64 / count.max(1) as f64
    }
}
