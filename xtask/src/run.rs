//! Runs other programs. In: a command, and how its output is to be shown; out: how it ended, or an error
//! that names the command and shows the end of what it said.

use std::fmt::Write as _;
use std::io::{self, IsTerminal, Read, Write};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// How often a long command is reported on: nobody waits longer than ten seconds without a word.
const TICK: Duration = Duration::from_secs(6);
/// How often a silent child is looked after.
const POLL: Duration = Duration::from_millis(500);
/// How much of a failed command's output is shown.
const TAIL_LINES: usize = 30;

/// What `pump` hands on while a child runs.
enum Event<'a> {
    Output(&'a [u8]),
    /// The child has said nothing for `POLL`; the time since its start.
    Silent(Duration),
}

/// Runs `command` without showing anything, and returns its standard output.
pub fn capture(mut command: Command) -> Result<String> {
    let name = name_of(&command);
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("cannot start {name}"))?;
    if !output.status.success() {
        bail!("{name}: {}\n{}", output.status, String::from_utf8_lossy(&output.stderr).trim_end());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Whether `command` starts and ends well; shows nothing.
pub fn succeeds(mut command: Command) -> bool {
    let quiet = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    quiet.status().is_ok_and(|status| status.success())
}

/// Runs a long `command` with its output hidden: a line now and then says how far it is. Where it fails, the
/// end of its output is in the error.
pub fn quietly(command: Command) -> Result<()> {
    let name = name_of(&command);
    let mut output = Vec::new();
    let mut shown = Instant::now();
    let start = Instant::now();
    let status = pump(command, None, |event| {
        if let Event::Output(bytes) = event {
            output.extend_from_slice(bytes);
        }
        if shown.elapsed() >= TICK {
            shown = Instant::now();
            println!("      {} s: {}", start.elapsed().as_secs(), last_line(&output));
        }
    })?;
    if !status.success() {
        bail!("{name}: {status}; it said last:\n{}", tail(&output));
    }
    Ok(())
}

/// Runs `command` with its output on the terminal, and fails where it fails.
pub fn show(command: Command) -> Result<()> {
    let name = name_of(&command);
    let status = show_status(command)?;
    if !status.success() {
        bail!("{name}: {status}");
    }
    Ok(())
}

/// Runs `command` with its output on the terminal, and returns how it ended.
pub fn show_status(mut command: Command) -> Result<ExitStatus> {
    if io::stderr().is_terminal() {
        // A child that owns the terminal draws its own progress.
        let name = name_of(&command);
        return command.status().with_context(|| format!("cannot start {name}"));
    }
    tee(command, "", None).map(|(status, _)| status)
}

/// Runs `command`, copies what it says to the terminal as it comes, and returns it too. With a `prefix` it shows whole
/// lines only, each after the prefix, since others may be speaking as well. A child that runs longer than `limit` is
/// killed, which is an error.
pub fn tee(command: Command, prefix: &str, limit: Option<Duration>) -> Result<(ExitStatus, String)> {
    let mut said = Vec::new();
    let mut shown = 0;
    let mut line_open = false;
    let mut last_word = Instant::now();
    let status = pump(command, limit, |event| {
        if matches!(event, Event::Silent(_)) && last_word.elapsed() < TICK {
            return;
        }
        last_word = Instant::now();
        let mut out = io::stdout().lock();
        // A closed terminal must not end the run: the result is still wanted.
        let _ = match event {
            Event::Output(bytes) => {
                said.extend_from_slice(bytes);
                let whole = said.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
                let end = if prefix.is_empty() { said.len() } else { whole };
                let fresh = prefixed(said.get(shown..end).unwrap_or_default(), prefix, &mut line_open);
                shown = shown.max(end);
                out.write_all(&fresh)
            }
            Event::Silent(since_start) if line_open => write!(out, "[{} s] ", since_start.as_secs()),
            Event::Silent(since_start) => {
                let doing = String::from_utf8_lossy(&said[shown..]);
                writeln!(out, "{prefix}{doing}… {} s", since_start.as_secs())
            }
        };
        let _ = out.flush();
    })?;
    let rest = prefixed(&said[shown..], prefix, &mut line_open);
    let _ = io::stdout().lock().write_all(&rest);
    if line_open {
        println!();
    }
    Ok((status, String::from_utf8_lossy(&said).into_owned()))
}

/// Starts `command` and calls `handle` with what it says (both streams, in order) until it has ended.
fn pump(
    mut command: Command,
    limit: Option<Duration>,
    mut handle: impl FnMut(Event<'_>),
) -> Result<ExitStatus> {
    let name = name_of(&command);
    let (mut reader, writer) = io::pipe().context("cannot make a pipe")?;
    command.stdin(Stdio::null()).stdout(writer.try_clone()?).stderr(writer);
    let mut child = command.spawn().with_context(|| format!("cannot start {name}"))?;
    // The command holds the write end, and the pipe ends only when every copy is closed.
    drop(command);

    let (sender, receiver) = mpsc::sync_channel::<Vec<u8>>(64);
    thread::spawn(move || {
        let mut buffer = vec![0; 64 * 1024];
        while let Ok(length @ 1..) = reader.read(&mut buffer) {
            if sender.send(buffer[..length].to_vec()).is_err() {
                break;
            }
        }
    });

    let start = Instant::now();
    loop {
        if let Some(limit) = limit.filter(|limit| start.elapsed() > *limit) {
            let _ = child.kill();
            let _ = child.wait();
            bail!("{name}: not done after {} s, so it was killed", limit.as_secs());
        }
        match receiver.recv_timeout(POLL) {
            Ok(bytes) => handle(Event::Output(&bytes)),
            Err(RecvTimeoutError::Disconnected) => return Ok(child.wait()?),
            Err(RecvTimeoutError::Timeout) => {
                // A grandchild that lives on keeps the pipe open; the child's own end is what counts.
                if let Some(status) = child.try_wait()? {
                    return Ok(status);
                }
                handle(Event::Silent(start.elapsed()));
            }
        }
    }
}

/// `bytes` with `prefix` before every line; `line_open` says, between calls, whether a line was begun.
fn prefixed(bytes: &[u8], prefix: &str, line_open: &mut bool) -> Vec<u8> {
    let mut shown = Vec::with_capacity(bytes.len() + prefix.len());
    for byte in bytes.iter().filter(|byte| **byte != b'\r') {
        if !*line_open {
            shown.extend_from_slice(prefix.as_bytes());
        }
        shown.push(*byte);
        *line_open = *byte != b'\n';
    }
    shown
}

/// A command as its user would type it, shortened.
fn name_of(command: &Command) -> String {
    let program = std::path::Path::new(command.get_program());
    let mut name = program.file_name().unwrap_or_default().to_string_lossy().into_owned();
    for argument in command.get_args().take(8) {
        let _ = write!(name, " {}", argument.to_string_lossy());
    }
    name
}

fn last_line(output: &[u8]) -> String {
    let text = String::from_utf8_lossy(&output[output.len().saturating_sub(4096)..]);
    // The end of the output may be half a line.
    let text = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
    let last = text.lines().map(str::trim).rfind(|line| !line.is_empty()).unwrap_or("no output yet");
    last.chars().take(90).collect()
}

fn tail(output: &[u8]) -> String {
    let text = String::from_utf8_lossy(output);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn tee_returns_both_streams_and_the_exit_code() {
        let (status, said) = tee(sh("echo out; echo err >&2; exit 3"), "p| ", None).unwrap();
        assert_eq!((status.code(), said.as_str()), (Some(3), "out\nerr\n"));
    }

    #[test]
    fn a_child_past_its_limit_is_killed() {
        let error = tee(sh("exec sleep 60"), "", Some(Duration::from_millis(100))).unwrap_err();
        assert!(error.to_string().contains("not done after"), "{error}");
    }

    #[test]
    fn a_grandchild_that_lives_on_does_not_hold_the_run() {
        let start = Instant::now();
        let (status, said) = tee(sh("sleep 30 & echo done"), "", None).unwrap();
        assert!(status.success() && said == "done\n" && start.elapsed() < Duration::from_secs(10));
    }

    #[test]
    fn a_failed_quiet_command_shows_its_last_words() {
        let error = quietly(sh("echo the reason; exit 1")).unwrap_err();
        assert!(error.to_string().contains("the reason"), "{error}");
    }

    #[test]
    fn prefix_stands_before_every_line_however_the_bytes_arrive() {
        let mut open = false;
        let mut shown = prefixed(b"a\nb", "6.1| ", &mut open);
        shown.extend(prefixed(b"c\r\n", "6.1| ", &mut open));
        assert_eq!(String::from_utf8(shown).unwrap(), "6.1| a\n6.1| bc\n");
        assert!(!open);
    }
}
