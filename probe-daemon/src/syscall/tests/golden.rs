//! Calls as programs make them, and what is said of them.

use serde_json::{Value, json};

use super::super::{Abi, Args, Captured, SockAddr, decode, path, peer, summary};
use super::{captured, number};

const AT_FDCWD: u64 = 0xffff_ff9c;
const MINUS_ONE: u64 = u64::MAX;
const ADDR: u64 = 0x7ffd_0000_1000;

fn json(args: &Args) -> Value {
    serde_json::to_value(args).unwrap()
}

#[track_caller]
fn check(name: &str, registers: &[u64], memory: &[(usize, &[u8])], args: Value, words: Option<&str>) {
    let seen = captured(registers, memory);
    assert_eq!(json(&decode(number(name), &seen)), args, "{name}");
    assert_eq!(summary(number(name), &seen).as_deref(), words, "{name}");
}

#[test]
fn b9_openat_names_directory_path_and_flags() {
    let shadow: (usize, &[u8]) = (1, b"/etc/shadow\0");
    check(
        "openat",
        &[AT_FDCWD, ADDR, 0, 0xdead],
        &[shadow],
        json!({"dir_fd": "AT_FDCWD", "pathname": "/etc/shadow", "flags": ["O_RDONLY"]}),
        Some("\"/etc/shadow\""),
    );
    check(
        "openat",
        &[5, ADDR, 0o2001101, 0o640],
        &[shadow],
        json!({"dir_fd": 5, "pathname": "/etc/shadow", "flags": ["O_WRONLY", "O_CREAT", "O_TRUNC", "O_CLOEXEC"], "mode": "0640"}),
        Some("\"/etc/shadow\""),
    );
    check(
        "open",
        &[ADDR, 0o20200003 | 0x8000_0000, 0o600],
        &[],
        json!({"pathname": "0x7ffd00001000", "flags": ["0x3", "O_TMPFILE", "0x80000000"], "mode": "0600"}),
        Some("0x7ffd00001000"),
    );
    check(
        "open",
        &[0, 0o4010002],
        &[],
        json!({"pathname": null, "flags": ["O_RDWR", "O_SYNC"]}),
        Some("NULL"),
    );
}

#[test]
fn calls_on_a_descriptor_without_a_path_name_the_descriptor() {
    let times = json!({"dir_fd": 5, "pathname": null, "times": null, "flags": []});
    check("utimensat", &[5, 0, 0, 0], &[], times, Some("fd 5"));
    let dot: (usize, &[u8]) = (1, b"\0");
    let stat =
        |fd: Value| json!({"dir_fd": fd, "pathname": "", "statbuf": "0x1", "flags": ["AT_EMPTY_PATH"]});
    check("newfstatat", &[4, ADDR, 1, 0x1000], &[dot], stat(json!(4)), Some("fd 4"));
    check("newfstatat", &[AT_FDCWD, ADDR, 1, 0x1000], &[dot], stat(json!("AT_FDCWD")), Some("\"\""));
}

#[test]
fn b9_execve_names_the_program() {
    check(
        "execve",
        &[ADDR, 0x1000, 0x2000],
        &[(0, b"/opt/app\0")],
        json!({"filename": "/opt/app", "argv": "0x1000", "envp": "0x2000"}),
        Some("\"/opt/app\""),
    );
    check(
        "execveat",
        &[7, ADDR, 0, 0, 0x1000],
        &[(1, b"\0")],
        json!({"dir_fd": 7, "filename": "", "argv": null, "envp": null, "flags": ["AT_EMPTY_PATH"]}),
        Some("fd 7"),
    );
}

#[test]
fn b9_an_unknown_number_keeps_its_registers() {
    let seen = captured(&[1, 0, MINUS_ONE], &[]);
    let raw = json!({"arg0": "0x1", "arg1": "0x0", "arg2": "0xffffffffffffffff", "arg3": "0x0", "arg4": "0x0", "arg5": "0x0"});
    assert_eq!(json(&decode(999, &seen)), raw);
    assert_eq!((summary(999, &seen), path(999, &seen), peer(999, &seen)), (None, None, None));
}

#[test]
fn b9_socket_calls_name_their_address() {
    let peer4: &[u8] = &[2, 0, 1, 187, 10, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0, 0];
    check(
        "connect",
        &[3, ADDR, 16],
        &[(1, peer4)],
        json!({"sockfd": 3, "addr": "ipv4:10.0.0.5:443", "addrlen": 16}),
        Some("10.0.0.5:443"),
    );
    check(
        "bind",
        &[3, ADDR, 16],
        &[],
        json!({"sockfd": 3, "addr": "0x7ffd00001000", "addrlen": 16}),
        Some("fd 3"),
    );
    check(
        "connect",
        &[3, ADDR, 9],
        &[(1, b"\x01\0/run/a\nbcd")],
        json!({"sockfd": 3, "addr": "unix:/run/a\n", "addrlen": 9}),
        Some("unix:/run/a\\n"),
    );
    check(
        "sendto",
        &[3, 0x1000, 5, 0x4040, 0, 0],
        &[],
        json!({"sockfd": 3, "buf": "0x1000", "len": 5, "flags": ["MSG_DONTWAIT", "MSG_NOSIGNAL"], "dest_addr": null, "addrlen": 0}),
        Some("fd 3"),
    );
    let seen = captured(&[3, ADDR, 16], &[(1, peer4)]);
    assert_eq!(peer(number("connect"), &seen), Some(SockAddr::parse(peer4)));
}

#[test]
fn sockets_and_their_options_take_names_from_each_other() {
    check(
        "socket",
        &[2, 0x80802, 17],
        &[],
        json!({"domain": "AF_INET", "type": ["SOCK_DGRAM", "SOCK_NONBLOCK", "SOCK_CLOEXEC"], "protocol": "IPPROTO_UDP"}),
        Some("AF_INET, SOCK_DGRAM, IPPROTO_UDP"),
    );
    check(
        "socket",
        &[16, 3, 0],
        &[],
        json!({"domain": "AF_NETLINK", "type": ["SOCK_RAW"], "protocol": "NETLINK_ROUTE"}),
        Some("AF_NETLINK, SOCK_RAW"),
    );
    check(
        "socket",
        &[77, 0xe, 9],
        &[],
        json!({"domain": 77, "type": ["0xe"], "protocol": 9}),
        Some("domain 77, 0xe, protocol 9"),
    );
    check(
        "setsockopt",
        &[4, 6, 9, 0x1000, 4],
        &[],
        json!({"sockfd": 4, "level": "IPPROTO_TCP", "optname": "TCP_DEFER_ACCEPT", "optval": "0x1000", "optlen": 4}),
        Some("fd 4, IPPROTO_TCP, TCP_DEFER_ACCEPT"),
    );
    check(
        "getsockopt",
        &[4, 1, 4, 0, 0],
        &[],
        json!({"sockfd": 4, "level": "SOL_SOCKET", "optname": "SO_ERROR", "optval": null, "optlen": null}),
        Some("fd 4, SOL_SOCKET, SO_ERROR"),
    );
}

#[test]
fn descriptors_numbers_and_sizes_keep_their_sign_and_width() {
    check("read", &[7, 0x1000, 4096], &[], json!({"fd": 7, "buf": "0x1000", "count": 4096}), Some("fd 7"));
    check("close", &[0xffff_ffff], &[], json!({"fd": -1}), Some("fd -1"));
    check("close", &[0xabcd_0000_0000_0007], &[], json!({"fd": 7}), Some("fd 7"));
    check(
        "write",
        &[1, 0, MINUS_ONE],
        &[],
        json!({"fd": 1, "buf": null, "count": "0xffffffffffffffff"}),
        Some("fd 1"),
    );
    check(
        "lseek",
        &[3, MINUS_ONE, 2],
        &[],
        json!({"fd": 3, "offset": -1, "whence": "SEEK_END"}),
        Some("fd 3, SEEK_END"),
    );
    check("dup2", &[3, 9000], &[], json!({"oldfd": 3, "newfd": 9000}), Some("fd 3, fd 9000"));
    check("fork", &[1, 2, 3], &[], json!({}), None);
}

#[test]
fn memory_calls_say_how_much() {
    check(
        "mmap",
        &[0, 1 << 40, 3, 0x22, 0xffff_ffff, 0],
        &[],
        json!({"addr": null, "length": 1_u64 << 40, "prot": ["PROT_READ", "PROT_WRITE"], "flags": ["MAP_PRIVATE", "MAP_ANONYMOUS"], "fd": -1, "offset": 0}),
        Some("length 1099511627776"),
    );
    check(
        "mprotect",
        &[0x1000, 4096, 0],
        &[],
        json!({"addr": "0x1000", "length": 4096, "prot": ["PROT_NONE"]}),
        Some("length 4096"),
    );
    check(
        "madvise",
        &[0x1000, 1, 99],
        &[],
        json!({"addr": "0x1000", "length": 1, "advice": 99}),
        Some("length 1, advice 99"),
    );
    check(
        "mlockall",
        &[3],
        &[],
        json!({"flags": ["MCL_CURRENT", "MCL_FUTURE"]}),
        Some("MCL_CURRENT|MCL_FUTURE"),
    );
    check("brk", &[0x5000], &[], json!({"addr": "0x5000"}), None);
}

#[test]
fn processes_signals_and_identities_are_named() {
    check("kill", &[4242, 15], &[], json!({"pid": 4242, "sig": "SIGTERM"}), Some("pid 4242, SIGTERM"));
    check("kill", &[MINUS_ONE, 0], &[], json!({"pid": -1, "sig": 0}), Some("pid -1, sig 0"));
    check(
        "tgkill",
        &[1, 2, 36],
        &[],
        json!({"tgid": 1, "tid": 2, "sig": "SIGRTMIN+2"}),
        Some("pid 1, pid 2, SIGRTMIN+2"),
    );
    check(
        "ptrace",
        &[16, 77, 0, 0],
        &[],
        json!({"request": "PTRACE_ATTACH", "pid": 77, "addr": "0x0", "data": "0x0"}),
        Some("PTRACE_ATTACH, pid 77"),
    );
    check(
        "setresuid",
        &[0, 1000, 0xffff_ffff],
        &[],
        json!({"ruid": 0, "euid": 1000, "suid": -1}),
        Some("uid 0, uid 1000, uid -1"),
    );
    check(
        "clone",
        &[0x1200011, 0, 0, 0, 0],
        &[],
        json!({"flags": ["SIGCHLD", "CLONE_CHILD_CLEARTID", "CLONE_CHILD_SETTID"], "stack": null, "parent_tid": null, "child_tid": null, "tls": "0x0"}),
        Some("SIGCHLD|CLONE_CHILD_CLEARTID|CLONE_CHILD_SETTID"),
    );
    check(
        "unshare",
        &[0x1002_0000],
        &[],
        json!({"flags": ["CLONE_NEWNS", "CLONE_NEWUSER"]}),
        Some("CLONE_NEWNS|CLONE_NEWUSER"),
    );
    check(
        "prlimit64",
        &[0, 7, 0x1000, 0],
        &[],
        json!({"pid": 0, "resource": "RLIMIT_NOFILE", "new_limit": "0x1000", "old_limit": null}),
        Some("pid 0, RLIMIT_NOFILE"),
    );
    check(
        "sched_setscheduler",
        &[5, 0x4000_0001, 0],
        &[],
        json!({"pid": 5, "policy": ["SCHED_FIFO", "SCHED_RESET_ON_FORK"], "param": null}),
        Some("pid 5, SCHED_FIFO"),
    );
}

#[test]
fn operations_on_descriptors_are_named() {
    check(
        "fcntl",
        &[3, 4, 0x802],
        &[],
        json!({"fd": 3, "cmd": "F_SETFL", "arg": ["O_NONBLOCK", "0x2"]}),
        Some("fd 3, F_SETFL"),
    );
    check("fcntl", &[3, 3, 0xdead], &[], json!({"fd": 3, "cmd": "F_GETFL"}), Some("fd 3, F_GETFL"));
    check(
        "fcntl",
        &[3, 1030, 10],
        &[],
        json!({"fd": 3, "cmd": "F_DUPFD_CLOEXEC", "arg": 10}),
        Some("fd 3, F_DUPFD_CLOEXEC"),
    );
    check(
        "fcntl",
        &[3, 6, 0x1000],
        &[],
        json!({"fd": 3, "cmd": "F_SETLK", "arg": "0x1000"}),
        Some("fd 3, F_SETLK"),
    );
    check(
        "ioctl",
        &[0, 0x5413, 0x1000],
        &[],
        json!({"fd": 0, "request": "TIOCGWINSZ", "argp": "0x1000"}),
        Some("fd 0, TIOCGWINSZ"),
    );
    check(
        "ioctl",
        &[0, 0xabcd, 0],
        &[],
        json!({"fd": 0, "request": "0xabcd", "argp": "0x0"}),
        Some("fd 0, 0xabcd"),
    );
    check(
        "epoll_ctl",
        &[4, 1, 9, 0x1000],
        &[],
        json!({"epfd": 4, "op": "EPOLL_CTL_ADD", "fd": 9, "event": "0x1000"}),
        Some("fd 4, EPOLL_CTL_ADD, fd 9"),
    );
    check(
        "futex",
        &[0x1000, 0x189, 1, 0, 0, 5],
        &[],
        json!({"uaddr": "0x1000", "futex_op": ["FUTEX_WAIT_BITSET", "FUTEX_PRIVATE_FLAG", "FUTEX_CLOCK_REALTIME"], "val": 1, "timeout": "0x0", "uaddr2": null, "val3": 5}),
        Some("FUTEX_WAIT_BITSET"),
    );
    check(
        "bpf",
        &[5, 0x1000, 128],
        &[],
        json!({"cmd": "BPF_PROG_LOAD", "attr": "0x1000", "size": 128}),
        Some("BPF_PROG_LOAD"),
    );
    check(
        "shmget",
        &[0x1234, 64, 0o3600],
        &[],
        json!({"key": "0x1234", "size": 64, "shmflg": ["0600", "IPC_CREAT", "IPC_EXCL"]}),
        Some("0600|IPC_CREAT|IPC_EXCL"),
    );
}

#[test]
fn calls_with_several_strings_name_what_they_work_on() {
    check(
        "mount",
        &[1, 2, 3, 0xc0ed_0001, 0],
        &[(0, b"/dev/sda1\0"), (1, b"/mnt\0"), (2, b"ext4\0")],
        json!({"source": "/dev/sda1", "target": "/mnt", "filesystemtype": "ext4", "mountflags": ["MS_MGC_VAL", "MS_RDONLY"], "data": null}),
        Some("\"/mnt\""),
    );
    check(
        "rename",
        &[1, 2],
        &[(0, b"/a\0"), (1, b"/b\0")],
        json!({"oldpath": "/a", "newpath": "/b"}),
        Some("\"/a\", \"/b\""),
    );
    check(
        "setxattr",
        &[1, 2, 3, 4, 1],
        &[(0, b"/f\0"), (1, b"user.x\0")],
        json!({"path": "/f", "name": "user.x", "value": "0x3", "size": 4, "flags": ["XATTR_CREATE"]}),
        Some("\"/f\""),
    );
    check(
        "request_key",
        &[1, 2, 0, 0xffff_fffd],
        &[(0, b"user\0"), (1, b"k:1\0")],
        json!({"type": "user", "description": "k:1", "callout_info": null, "dest_keyring": "KEY_SPEC_SESSION_KEYRING"}),
        Some("\"user\", \"k:1\", KEY_SPEC_SESSION_KEYRING"),
    );
    check(
        "mknod",
        &[1, 0o60660, 0x0010_0801],
        &[(0, b"/dev/x\0")],
        json!({"pathname": "/dev/x", "mode": "60660", "dev": "8:257"}),
        Some("\"/dev/x\""),
    );
}

#[test]
fn calls_with_a_descriptor_and_a_name_give_both() {
    let name: (usize, &[u8]) = (1, b"user.x\0");
    check("fremovexattr", &[3, ADDR], &[name], json!({"fd": 3, "name": "user.x"}), Some("fd 3, \"user.x\""));
    let source = json!({"fd": 3, "cmd": "FSCONFIG_SET_STRING", "key": "source", "value": "0x1", "aux": 0});
    let words = "fd 3, FSCONFIG_SET_STRING, \"source\"";
    check("fsconfig", &[3, 1, ADDR, 1, 0], &[(2, b"source\0")], source, Some(words));
    check(
        "delete_module",
        &[ADDR, 0x800],
        &[(0, b"dm_mod\0")],
        json!({"name": "dm_mod", "flags": ["O_NONBLOCK"]}),
        Some("\"dm_mod\""),
    );
    check("memfd_create", &[0, 1], &[], json!({"name": null, "flags": ["MFD_CLOEXEC"]}), Some("MFD_CLOEXEC"));
}

#[test]
fn strings_from_outside_break_neither_json_nor_the_sentence() {
    let bytes: &[u8] = b"/a\"b\\\n\x1b[31m\xff\xe2\x80\xae";
    let seen = captured(&[1], &[(0, bytes)]);
    assert_eq!(json(&decode(number("unlink"), &seen))["pathname"], "/a\"b\\\n\x1b[31m\u{fffd}\u{202e}");
    let words = "\"/a\\\"b\\\\\\n\\u{1b}[31m\u{fffd}\\u{202e}\"";
    assert_eq!(summary(number("unlink"), &seen).as_deref(), Some(words));
    assert_eq!(path(number("unlink"), &seen).as_deref(), Some("/a\"b\\\n\x1b[31m\u{fffd}\u{202e}"));
}

#[test]
fn a_cut_string_ends_at_a_whole_character_and_says_so() {
    for (bytes, truncated, text, words) in [
        (&b"/\xc3\xa4\xe2\x82"[..], 1, "/ä", "\"/ä\"..."),
        (b"/\xc3\xa4\xe2\x82", 0, "/ä\u{fffd}", "\"/ä\u{fffd}\""),
        (b"/\xff", 1, "/\u{fffd}", "\"/\u{fffd}\"..."),
        (b"/x\xe2\x82\0more", 0, "/x\u{fffd}", "\"/x\u{fffd}\""),
        (b"/abc", 1, "/abc", "\"/abc\"..."),
    ] {
        let seen = Captured { truncated, ..captured(&[1], &[(0, bytes)]) };
        assert_eq!(json(&decode(number("rmdir"), &seen))["pathname"], text, "{bytes:?}");
        assert_eq!(summary(number("rmdir"), &seen).as_deref(), Some(words), "{bytes:?}");
    }
}

#[test]
fn calls_of_32_bit_processes_have_their_own_numbers_and_conventions() {
    let check = |number: u32, registers: &[u64], memory: &[(usize, &[u8])], args: Value, words: &str| {
        let seen = Captured { abi: Abi::I386, ..captured(registers, memory) };
        assert_eq!(json(&decode(number, &seen)), args, "{number}");
        assert_eq!(summary(number, &seen).as_deref(), Some(words), "{number}");
        path(number, &seen)
    };
    let shadow: (usize, &[u8]) = (0, b"/etc/shadow\0");
    let open = json!({"pathname": "/etc/shadow", "flags": ["O_RDONLY"]});
    assert_eq!(
        check(5, &[0x804_9000, 0, 0xdead], &[shadow], open, "\"/etc/shadow\""),
        Some("/etc/shadow".to_owned())
    );
    // A C long has 32 bits, a 64-bit offset takes two registers.
    check(
        19,
        &[7, 0xffff_fff0, 2],
        &[],
        json!({"fd": 7, "offset": -16, "whence": "SEEK_END"}),
        "fd 7, SEEK_END",
    );
    let llseek = json!({"fd": 7, "offset": 0x1_0000_0002_u64, "result": "0x9000", "whence": "SEEK_SET"});
    check(140, &[7, 1, 2, 0x9000, 0], &[], llseek, "fd 7, SEEK_SET");
    let pread = json!({"fd": 7, "buf": "0x9000", "count": 16, "offset": -1});
    check(180, &[7, 0x9000, 16, 0xffff_ffff, 0xffff_ffff], &[], pread, "fd 7");
    check(102, &[3, 0xffff_0000], &[], json!({"call": "SYS_CONNECT", "args": "0xffff0000"}), "SYS_CONNECT");
    check(
        221,
        &[0xffff_ffff, 13, 0x9000],
        &[],
        json!({"fd": -1, "cmd": "F_SETLK64", "arg": "0x9000"}),
        "fd -1, F_SETLK64",
    );
    let stat = json!({"pathname": "/etc/shadow", "statbuf": "0x9000"});
    check(195, &[0x804_9000, 0x9000], &[shadow], stat, "\"/etc/shadow\"");
    let mut address = vec![2, 0, 1, 187, 10, 0, 0, 5];
    address.resize(16, 0);
    let seen = Captured { abi: Abi::I386, ..captured(&[3, 0x9000, 16], &[(1, &address)]) };
    assert_eq!(peer(362, &seen).map(|peer| peer.to_string()).as_deref(), Some("ipv4:10.0.0.5:443"));
}
