//! Programs that cannot be executed: in come files that lack something, out come records that say what.

use std::ffi::{CString, OsStr};
use std::fs::{self, File, Permissions};
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::ptr;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tempfile::TempDir;
use tests::daemon::{FileDaemon, open_dir};
use tests::provoke::{Call, Made};
use tests::record::Record;
use tests::stay::{Staying, errno};

use super::{make, only};

/// Makes a file that may be executed.
fn program(path: PathBuf, content: impl AsRef<[u8]>) -> Result<PathBuf> {
    fs::write(&path, content)?;
    fs::set_permissions(&path, Permissions::from_mode(0o755))?;
    Ok(path)
}

/// A 64-bit program of nothing but the name of its loader.
fn elf(loader: &str) -> Vec<u8> {
    let mut file = vec![0u8; 64 + 56];
    file[..7].copy_from_slice(b"\x7fELF\x02\x01\x01");
    // ET_EXEC, EM_X86_64, EV_CURRENT; the headers' place, sizes and number.
    for (at, value) in [(16, 2), (18, 62), (20, 1), (32, 64), (52, 64), (54, 56), (56, 1)] {
        file[at] = value;
    }
    let size = loader.len() as u8 + 1;
    // PT_INTERP, readable; its place, and its size in the file and in memory.
    for (at, value) in [(0, 3), (4, 4), (8, 64 + 56), (32, size), (40, size)] {
        file[64 + at] = value;
    }
    [&file, loader.as_bytes(), b"\0"].concat()
}

fn execve(path: &Path, errno: (i32, &str)) -> Call {
    Call::new("execve", libc::SYS_execve, vec![path.into(), 0.into(), 0.into()], errno).about(path)
}

const MISSING: (i32, &str) = (libc::ENOENT, "ENOENT");
const REFUSED: (i32, &str) = (libc::EACCES, "EACCES");

fn c(path: impl AsRef<OsStr>) -> Result<CString> {
    Ok(CString::new(path.as_ref().as_bytes())?)
}

/// The record says of this process that an interpreter is missing.
fn names_interpreter(record: &Record, file: &str, interpreter: &str) -> Result<()> {
    for (key, value) in [
        ("event.name", json!("gala_gopher.exec.failure")),
        ("error.type", json!("ENOENT")),
        ("gala_gopher.exec.reason", json!("missing")),
        ("gala_gopher.exec.interpreter", json!(interpreter)),
        ("file.path", json!(file)),
    ] {
        ensure!(*record.attribute(key) == value, "{key} is not {value}: {record:?}");
    }
    let text = format!(
        "[{}] could not execute {file:?}: its interpreter {interpreter:?} does not exist: ENOENT (2)",
        record.pid()
    );
    let body = record.top("Body").as_str().unwrap_or_default();
    ensure!(body.ends_with(&text), "{body:?} does not end with {text:?}");
    ensure!(record.top("SeverityText") == "WARN", "{record:?}");
    Ok(())
}

/// The one record of a process that stays, after everything before has arrived.
fn one(probe: &mut FileDaemon, staying: &Staying) -> Result<Record> {
    make(probe, &[])?;
    let records = probe.events.of(staying.pid);
    ensure!(records.len() == 1, "{} records: {records:?}", records.len());
    Ok(records[0].clone())
}

#[test]
fn a_missing_interpreter_is_named_even_if_the_process_is_gone_at_once() -> Result<()> {
    let dir = open_dir()?;
    let at = |name: &str| dir.path().join(name);
    let through = at("through");
    let files = [
        (program(at("script"), "#! /nowhere/perl -w\n")?, "/nowhere/perl"),
        (program(at("windows"), "#!/bin/sh\r\necho\r\n")?, "/bin/sh\r"),
        (program(at("musl"), elf("/nowhere/ld-musl-x86_64.so.1"))?, "/nowhere/ld-musl-x86_64.so.1"),
        (program(through, elf("/nowhere/ld.so"))?, "/nowhere/ld.so"),
        (program(at("nested"), format!("#!{}\n", at("through").display()))?, "/nowhere/ld.so"),
    ];
    let calls: Vec<Call> = files.iter().map(|(path, _)| execve(path, MISSING)).collect();
    let mut probe = FileDaemon::start("")?;
    let made = make(&mut probe, &calls)?;
    for ((call, made), (path, interpreter)) in calls.iter().zip(&made).zip(&files) {
        names_interpreter(only(&probe, call, made)?, &path.to_string_lossy(), interpreter)?;
    }
    probe.finish()?;
    Ok(())
}

#[test]
fn a_search_along_path_stays_silent_however_long_it_takes() -> Result<()> {
    let dir = open_dir()?;
    let gone = c(dir.path().join("gone"))?;
    let mut probe = FileDaemon::start("")?;
    let single = make(&mut probe, &vec![execve(&dir.path().join("absent"), MISSING); 10])?;
    let misses = 1000;
    // SAFETY: one raw system call, which fails.
    let search = unsafe {
        Staying::start(|| {
            for _ in 0..misses {
                libc::execve(gone.as_ptr(), ptr::null(), ptr::null());
            }
            errno()
        })?
    };
    search.failed_with(libc::ENOENT)?;
    make(&mut probe, &[])?;
    ensure!(probe.events.of(search.pid).is_empty(), "{:?}", probe.events.of(search.pid));
    for Made { pid, .. } in single {
        ensure!(probe.events.of(pid).is_empty(), "{:?}", probe.events.of(pid));
    }
    let (events, ledger) = probe.finish()?;
    ensure!(events.of(search.pid).is_empty(), "{:?}", events.of(search.pid));
    // The kernel itself can tell most; the daemon looks at the rest.
    ensure!(ledger.of("sent")? < misses / 2, "a search is sent call by call: {ledger:?}");
    Ok(())
}

#[test]
fn a_rule_has_misses_reported_and_interpreters_named() -> Result<()> {
    let dir = open_dir()?;
    let script = program(dir.path().join("script"), "#!/nowhere/perl\n")?;
    let calls = [execve(&dir.path().join("absent"), MISSING), execve(&script, MISSING)];
    for (rule, severities) in [
        ("severity = \"ERROR\"\n", ["ERROR", "ERROR"]),
        ("", ["INFO", "WARN"]),
        ("comms = [\"*\"]\n", ["INFO", "WARN"]),
    ] {
        let rule = format!("[[event.syscall.rules]]\nsyscalls = [\"execve\"]\nerrnos = [\"ENOENT\"]\n{rule}");
        let mut probe = FileDaemon::start(&rule)?;
        let made = make(&mut probe, &calls)?;
        let records = [only(&probe, &calls[0], &made[0])?, only(&probe, &calls[1], &made[1])?];
        for (record, severity) in records.iter().zip(severities) {
            ensure!(record.top("SeverityText") == severity, "{record:?} is not {severity}, rule {rule:?}");
        }
        let interpreters = records.map(|record| record.attribute("gala_gopher.exec.interpreter").clone());
        ensure!(interpreters == [Value::Null, json!("/nowhere/perl")], "{interpreters:?}");
        probe.finish()?;
    }
    Ok(())
}

#[test]
fn a_path_is_seen_from_the_root_of_the_process() -> Result<()> {
    let root = open_dir()?;
    // It is there for everybody else, and its own interpreter is there for this process only.
    let outside = program(root.path().join("outside"), "")?;
    program(root.path().join("app"), format!("#!{}\n", outside.display()))?;
    program(root.path().join("inner"), "#!/nowhere/inside\n")?;
    program(root.path().join("nested"), "#!/inner\n")?;
    let (at, root_of) = (c(root.path())?, c("/")?);
    let mut probe = FileDaemon::start("")?;
    for (name, interpreter) in
        [("/app", outside.to_string_lossy().into_owned()), ("/nested", "/nowhere/inside".to_owned())]
    {
        let file = c(name)?;
        // SAFETY: raw system calls on strings that live longer than the process's work.
        let staying = unsafe {
            Staying::start(|| {
                libc::chroot(at.as_ptr());
                libc::chdir(root_of.as_ptr());
                libc::execve(file.as_ptr(), ptr::null(), ptr::null());
                errno()
            })?
        };
        staying.failed_with(libc::ENOENT)?;
        names_interpreter(&one(&mut probe, &staying)?, name, &interpreter)?;
    }
    probe.finish()?;
    Ok(())
}

/// A folder with a script that lacks its interpreter, and one in it that has the same name and lacks another.
fn folders() -> Result<TempDir> {
    let dir = open_dir()?;
    fs::create_dir(dir.path().join("inner"))?;
    program(dir.path().join("app"), "#!/nowhere/outer\n")?;
    program(dir.path().join("inner/app"), "#!../nowhere\n")?;
    Ok(dir)
}

#[test]
fn a_relative_path_is_seen_from_the_folder_that_it_goes_out_from() -> Result<()> {
    let dir = folders()?;
    let (inner, relative, plain) = (c(dir.path().join("inner"))?, c("./app")?, c("app")?);
    let mut probe = FileDaemon::start("")?;
    // SAFETY: raw system calls on strings that live longer than the process's work.
    let staying = unsafe {
        Staying::start(|| {
            libc::chdir(inner.as_ptr());
            libc::execve(relative.as_ptr(), ptr::null(), ptr::null());
            errno()
        })?
    };
    staying.failed_with(libc::ENOENT)?;
    names_interpreter(&one(&mut probe, &staying)?, "./app", "../nowhere")?;
    let outer = File::open(dir.path())?;
    // SAFETY: as above.
    let staying = unsafe {
        Staying::start(|| {
            libc::chdir(inner.as_ptr());
            libc::syscall(libc::SYS_execveat, outer.as_raw_fd(), plain.as_ptr(), 0, 0, 0);
            errno()
        })?
    };
    staying.failed_with(libc::ENOENT)?;
    names_interpreter(&one(&mut probe, &staying)?, "app", "/nowhere/outer")?;
    probe.finish()?;
    Ok(())
}

#[test]
fn the_child_of_a_shell_is_gone_at_once_and_its_relative_path_is_found_all_the_same() -> Result<()> {
    let dir = folders()?;
    let mut probe = FileDaemon::start("")?;
    let mut shell = Command::new("sh")
        .args(["-c", "./app; read line"])
        .current_dir(dir.path())
        .stdin(std::process::Stdio::piped())
        .stderr(std::process::Stdio::null())
        .spawn()?;
    let pid = i64::from(shell.id());
    let found = tests::wait::until("the record of the shell's child", tests::wait::PATIENCE, || {
        make(&mut probe, &[])?;
        let of_shell = |record: &&Record| *record.attribute("process.parent_pid") == pid;
        Ok(probe.events.records.iter().find(of_shell).cloned())
    });
    drop(shell.stdin.take());
    shell.wait()?;
    names_interpreter(&found?, "./app", "/nowhere/outer")?;
    probe.finish()?;
    Ok(())
}

#[test]
fn in_another_mount_namespace_its_mounts_count() -> Result<()> {
    let dir = open_dir()?;
    let (at, root, tmpfs) = (c(dir.path())?, c("/")?, c("tmpfs")?);
    let (app, tool) = (dir.path().join("app"), dir.path().join("tool"));
    let (script, plain) = (c(&app)?, c(&tool)?);
    // What the daemon sees there is another file.
    program(app.clone(), "#!/nowhere/outside\n")?;
    let content = b"#!/nowhere/inside\n";
    let mut probe = FileDaemon::start("")?;
    let start = |flags: libc::c_ulong, file: &CString| {
        // SAFETY: raw system calls on memory that lives longer than the process's work.
        unsafe {
            Staying::start(|| {
                libc::unshare(libc::CLONE_NEWNS);
                let private = libc::MS_REC | libc::MS_PRIVATE;
                libc::mount(ptr::null(), root.as_ptr(), ptr::null(), private, ptr::null());
                libc::mount(tmpfs.as_ptr(), at.as_ptr(), tmpfs.as_ptr(), flags, ptr::null());
                let descriptor = libc::open(file.as_ptr(), libc::O_CREAT | libc::O_WRONLY, 0o755);
                libc::write(descriptor, content.as_ptr().cast(), content.len());
                libc::close(descriptor);
                libc::execve(file.as_ptr(), ptr::null(), ptr::null());
                errno()
            })
        }
    };
    let staying = start(0, &script)?;
    staying.failed_with(libc::ENOENT)?;
    names_interpreter(&one(&mut probe, &staying)?, &app.to_string_lossy(), "/nowhere/inside")?;
    let staying = start(libc::MS_NOEXEC, &plain)?;
    staying.failed_with(libc::EACCES)?;
    let record = one(&mut probe, &staying)?;
    ensure!(*record.attribute("gala_gopher.exec.reason") == "noexec_mount", "{record:?}");
    probe.finish()?;
    Ok(())
}

#[test]
fn a_refusal_says_what_is_in_the_way() -> Result<()> {
    let dir = open_dir()?;
    let at = |name: &str| dir.path().join(name);
    fs::write(at("plain"), "#!/bin/sh\n")?;
    let script = program(at("script"), format!("#!{}\n", at("plain").display()))?;
    let calls = [execve(&at("plain"), REFUSED), execve(dir.path(), REFUSED), execve(&script, REFUSED)];
    let mut probe = FileDaemon::start("")?;
    let made = make(&mut probe, &calls)?;
    for ((call, made), (reason, interpreter, text)) in calls.iter().zip(&made).zip([
        ("no_execute_permission", Value::Null, ": it has no execute permission: EACCES (13)"),
        ("no_regular_file", Value::Null, ": it is no regular file: EACCES (13)"),
        ("no_execute_permission", json!(at("plain")), "plain\" has no execute permission: EACCES (13)"),
    ]) {
        let record = only(&probe, call, made)?;
        ensure!(*record.attribute("gala_gopher.exec.reason") == reason, "{record:?}");
        ensure!(*record.attribute("gala_gopher.exec.interpreter") == interpreter, "{record:?}");
        ensure!(record.top("Body").as_str().is_some_and(|body| body.ends_with(text)), "{record:?}");
        ensure!(record.top("SeverityText") == "WARN", "{record:?}");
    }
    probe.finish()?;
    Ok(())
}

#[test]
fn what_no_caller_can_mend_is_an_error() -> Result<()> {
    let dir = open_dir()?;
    let garbage = program(dir.path().join("garbage"), "\u{1}\u{2}\u{3}")?;
    let itself = std::env::current_exe()?;
    let mut probe = FileDaemon::start("")?;
    ensure!(Command::new(&garbage).spawn().is_err());
    let huge = Command::new(&itself).arg("x".repeat(200_000)).spawn();
    ensure!(huge.is_err_and(|error| error.raw_os_error() == Some(libc::E2BIG)));
    make(&mut probe, &[])?;
    for (path, error) in [(garbage, "ENOEXEC"), (itself, "E2BIG")] {
        let about = |record: &&Record| *record.attribute("file.path") == json!(path);
        let record = probe.events.records.iter().find(about).with_context(|| format!("no {error}"))?;
        ensure!(*record.attribute("error.type") == error, "{record:?}");
        ensure!(record.top("SeverityText") == "ERROR" && record.top("SeverityNumber") == 17, "{record:?}");
    }
    probe.finish()?;
    Ok(())
}
