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

/// One line of the table of costs in the kernel.
struct Line {
    name: &'static str,
    case: Case,
    mode: Mode,
    /// What it may cost over the empty programs: nanoseconds, or a share where it is below 1.
    limit: f64,
}

const LINES: [Line; 7] = [
    Line { name: "call that succeeds", case: Case::Success, mode: Mode::Folding, limit: 10.0 },
    Line { name: "failure that no rule asks for", case: Case::Dropped, mode: Mode::Folding, limit: 10.0 },
    Line { name: "failure, folded", case: Case::Failure, mode: Mode::Folding, limit: 50.0 },
    Line { name: "failure, sent", case: Case::Failure, mode: Mode::Sending, limit: 190.0 },
    Line { name: "context switch, pipe", case: Case::Switch, mode: Mode::Folding, limit: 10.0 },
    Line { name: "context switch, sched_yield", case: Case::Yield, mode: Mode::Folding, limit: 10.0 },
    Line { name: "fork, exec, exit", case: Case::Exec, mode: Mode::Folding, limit: 0.01 },
];

/// Costs in the kernel.
pub fn kernel(best: &[Best]) {
    println!(
        "\nNanoseconds for one operation; run: one run of a program, as the kernel counts it (some 55 of it"
    );
    println!("are the counting itself), a mean over the hooks that the operation passes.\n");
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
        "goal over empty",
        "",
    ])];
    for line in &LINES {
        let Some(best) = best.iter().find(|best| best.case == line.case) else { continue };
        let (none, empty) = (best.wall[Mode::None as usize], best.wall[Mode::Empty as usize]);
        let probe = best.wall[line.mode as usize];
        let relative = line.limit < 1.0;
        let (over, reached) = match relative {
            true => (format!("{:+.2} %", 100.0 * (probe / empty - 1.0)), probe / empty - 1.0 <= line.limit),
            false => (format!("{:+.0}", probe - empty), probe - empty <= line.limit),
        };
        let goal = match relative {
            true => format!("≤ {:.0} %", 100.0 * line.limit),
            false => format!("≤ {:.0}", line.limit),
        };
        rows.push(vec![
            line.name.to_owned(),
            format!("{none:.0}"),
            format!("{empty:.0}"),
            format!("{probe:.0}"),
            over,
            format!("{:.2}", probe / empty),
            format!("{:.2}", probe / none),
            format!("{:.0}", best.run[Mode::Empty as usize]),
            format!("{:.0}", best.run[line.mode as usize]),
            goal,
            verdict(reached),
        ]);
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
fn print(rows: &[Vec<String>]) {
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
