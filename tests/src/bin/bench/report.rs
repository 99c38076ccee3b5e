//! The tables: in come measurements, out come lines with what they should be beside them.

use std::fs;

use crate::daemon::Measured;
use crate::load::Case;
use crate::mode::{Best, Mode};
use crate::peers::Added;

/// Says on what it was measured.
pub fn machine() {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let of = |name: &str| {
        let line = info.lines().find(|line| line.starts_with(name));
        line.and_then(|line| line.split_once(": ")).map_or("", |(_, value)| value)
    };
    let cpus = info.lines().filter(|line| line.starts_with("processor")).count();
    println!("Linux {}, {} CPUs, {}", release.trim(), cpus, of("model name"));
}

/// How a line of the table of costs in the kernel is judged.
#[derive(Clone, Copy)]
enum Goal {
    /// Nanoseconds of the programs' own time over the empty ones'. The wall clock does not show so few.
    Run(f64),
    /// Nanoseconds on the wall clock over the empty programs.
    Wall(f64),
    /// The programs' own time over the empty ones', as a share of the operation's time.
    Share(f64),
    /// Not at all.
    None,
}

/// One line of that table.
struct Line {
    name: &'static str,
    case: Case,
    mode: Mode,
    goal: Goal,
}

const fn line(name: &'static str, case: Case, mode: Mode, goal: Goal) -> Line {
    Line { name, case, mode, goal }
}

const LINES: [Line; 9] = [
    line("call that succeeds", Case::Success, Mode::Folding, Goal::Run(10.0)),
    line("error that no rule asks for", Case::Dropped, Mode::Folding, Goal::Run(10.0)),
    line("error that no rule asks for of this call", Case::Ordinary, Mode::Folding, Goal::Run(10.0)),
    line("failure, folded", Case::Failure, Mode::Folding, Goal::Wall(50.0)),
    line("failure, sent", Case::Failure, Mode::Sending, Goal::Wall(190.0)),
    line("failure, sent with a path", Case::Path, Mode::Sending, Goal::None),
    line("context switch, pipe", Case::Switch, Mode::Folding, Goal::Run(10.0)),
    line("context switch, sched_yield", Case::Yield, Mode::Folding, Goal::Run(10.0)),
    line("fork, exec, exit", Case::Exec, Mode::Folding, Goal::Share(0.01)),
];

/// Parts of the costs: each line takes the programs' own time of the second from that of the first.
const PARTS: [(&str, &str, &str); 6] = [
    ("the sign of the return value", "call that succeeds", ""),
    ("the error's bit", "error that no rule asks for", "call that succeeds"),
    (
        "the call's number, 32 or 64 bits, the policy's bit",
        "error that no rule asks for of this call",
        "error that no rule asks for",
    ),
    (
        "which process, its way in the table, one more",
        "failure, folded",
        "error that no rule asks for of this call",
    ),
    (
        "who (identity, namespaces, cgroup), clock, ring, counter",
        "failure, sent",
        "error that no rule asks for of this call",
    ),
    (
        "the path read from user memory, and copied into the ring",
        "failure, sent with a path",
        "failure, sent",
    ),
];

/// Costs in the kernel.
pub fn kernel(best: &[Best]) {
    println!(
        "\nNanoseconds for one operation. run: in the program itself, as the kernel counts it (some 55 of it"
    );
    println!("are the counting): of fork, exec, exit all programs together, else one run of the program.\n");
    let mut rows = vec![row([
        "operation",
        "no probe",
        "empty",
        "probe",
        "over empty",
        "× empty",
        "× none",
        "run empty",
        "run probe",
        "run over empty",
        "goal",
        "",
    ])];
    for line in &LINES {
        let Some(best) = best.iter().find(|best| best.case == line.case) else { continue };
        let (none, empty) = (best.wall[Mode::None as usize], best.wall[Mode::Empty as usize]);
        let probe = best.wall[line.mode as usize];
        let (run_empty, run) = (best.run[Mode::Empty as usize], best.run[line.mode as usize]);
        let (goal, reached) = match line.goal {
            Goal::Run(limit) => (format!("run ≤ {limit:.0}"), verdict(run - run_empty <= limit)),
            Goal::Wall(limit) => (format!("≤ {limit:.0}"), verdict(probe - empty <= limit)),
            Goal::Share(limit) => {
                let share = (run - run_empty) / empty;
                (
                    format!("run ≤ {:.0} % of empty", 100.0 * limit),
                    format!("{}: {:.2} %", verdict(share <= limit), 100.0 * share),
                )
            }
            Goal::None => (String::new(), String::new()),
        };
        rows.push(vec![
            line.name.to_owned(),
            format!("{none:.0}"),
            format!("{empty:.0}"),
            format!("{probe:.0}"),
            format!("{:+.0}", probe - empty),
            format!("{:.2}", probe / empty),
            format!("{:.2}", probe / none),
            format!("{run_empty:.0}"),
            format!("{run:.0}"),
            format!("{:+.0}", run - run_empty),
            goal,
            reached,
        ]);
    }
    print(&rows);
    println!("\nWhere the time of `sys_exit` goes: nanoseconds of its run.\n");
    let mut rows = vec![row(["part", "ns"])];
    for (name, with, without) in PARTS {
        let run = |name: &str| {
            let line = LINES.iter().find(|line| line.name == name)?;
            let best = best.iter().find(|best| best.case == line.case)?;
            Some(best.run[line.mode as usize] - best.run[Mode::Empty as usize])
        };
        if let Some(part) = run(with) {
            rows.push(row([name, &format!("{:.0}", part - run(without).unwrap_or_default())]));
        }
    }
    print(&rows);
}

/// What the daemon takes.
pub fn daemon(measured: &Measured) {
    println!("\nThe daemon.\n");
    let share = |share: f64| format!("{:.3} %", 100.0 * share);
    let line =
        |name: &str, value: String, goal: &str, reached: bool| row([name, &value, goal, &verdict(reached)]);
    print(&[
        row(["figure", "measured", "goal", ""]),
        line("CPU at rest", share(measured.idle), "≤ 0.1 % of one", measured.idle <= 0.001),
        line("resident", format!("{:.1} MiB", measured.resident), "≤ 20 MiB", measured.resident <= 20.0),
        row(["resident at most, while it starts", &format!("{:.1} MiB", measured.peak), "", ""]),
        line(
            &format!("CPU at {:.0} folded failures a second", measured.rate),
            share(measured.flood),
            "≤ 1 % of one",
            measured.flood <= 0.01,
        ),
        row(["from the call to its record, median", &format!("{:.2} ms", measured.delay.0), "", ""]),
        line(
            "from the call to its record, most",
            format!("{:.2} ms", measured.delay.1),
            "≤ 10 ms",
            measured.delay.1 <= 10.0,
        ),
    ]);
}

/// What other tools cost.
pub fn peers(added: &[Added]) {
    println!("\nOther tools on the same job: nanoseconds added to a call.\n");
    let mut rows = vec![row(["tool", "call that succeeds", "failure"])];
    for peer in added {
        rows.push(match &peer.cost {
            Ok((success, failure)) => row([&peer.name, &format!("{success:+.0}"), &format!("{failure:+.0}")]),
            Err(why) => row([&peer.name, why, ""]),
        });
    }
    print(&rows);
}

fn verdict(reached: bool) -> String {
    if reached { "met" } else { "not met" }.to_owned()
}

fn row<const N: usize>(cells: [&str; N]) -> Vec<String> {
    cells.map(str::to_owned).into()
}

/// Markdown, with columns as wide as their widest cell.
/// Prints rows as a table; the first is its head.
pub fn print(rows: &[Vec<String>]) {
    let columns = rows.first().map_or(0, Vec::len);
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    for (index, row) in rows.iter().enumerate() {
        let cells: Vec<String> =
            row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        println!("| {} |", cells.join(" | "));
        if index == 0 {
            let rule: Vec<String> = widths.iter().map(|width| "-".repeat(*width)).collect();
            println!("| {} |", rule.join(" | "));
        }
    }
}
