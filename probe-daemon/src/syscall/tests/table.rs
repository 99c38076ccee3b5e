//! The table against itself, against the C library's header and against the running kernel.

use std::collections::HashSet;
use std::fs;

use super::super::{
    Abi, Capture, Class, Kind, MAX_ARGS, all, both, capture, class_members, lookup, named, nearest, parse,
    signal_name,
};
use super::number;

#[test]
fn numbers_ascend_and_names_are_unique() {
    assert!(all().map(|call| call.number).is_sorted_by(|a, b| a < b));
    assert_eq!(all().map(|call| call.name).collect::<HashSet<_>>().len(), all().count());
    assert_eq!(all().count(), 383);
    assert!((0..=336).chain(424..=469).eq(all().map(|call| call.number)));
}

#[test]
fn every_call_is_found_by_number_and_by_name() {
    for call in all() {
        assert_eq!(lookup(call.abi, call.number), Some(call));
        assert_eq!(parse(call.name), Some(call));
        assert_eq!(parse(&format!("sys_{}", call.name)), Some(call));
    }
    for unknown in [337, 423, 470, 999, 512, 0x4000_0000, u32::MAX] {
        assert_eq!(lookup(Abi::X86_64, unknown), None, "{unknown}");
        assert_eq!(capture(Abi::X86_64, unknown), Capture::default());
    }
    for unknown in ["", "sys_", "openatt", "sys_sys_open", "999", "OPENAT"] {
        assert_eq!(parse(unknown), None, "{unknown}");
    }
    assert_eq!((number("umount"), number("prlimit"), number("fstatat")), (166, 302, 262));
    assert_eq!((nearest("sys_opennat"), nearest("qqqqqqqq")), (Some("openat"), None));
}

#[test]
fn arguments_fit_the_registers_and_refer_to_each_other() {
    for call in both() {
        assert!(call.args.len() <= MAX_ARGS, "{}", call.name);
        let names: HashSet<_> = call.args.iter().map(|arg| arg.name).collect();
        assert_eq!(names.len(), call.args.len(), "{}", call.name);
        for arg in call.args {
            let refers = match arg.kind {
                Kind::SockAddr { len } => Some(("addrlen", len)),
                Kind::CreateMode { flags } => {
                    Some((if call.name == "mq_open" { "oflag" } else { "flags" }, flags))
                }
                Kind::SocketProtocol { domain } => Some(("domain", domain)),
                Kind::SocketOption { level } => Some(("level", level)),
                Kind::FcntlArg { cmd } => Some(("cmd", cmd)),
                _ => None,
            };
            if let Kind::Split { high } = arg.kind {
                let half = &call.args[usize::from(high)];
                assert_eq!((half.name, half.kind), (&*format!("{}_high", arg.name), Kind::HighHalf));
            }
            if let Some((name, index)) = refers {
                assert_eq!(call.args[usize::from(index)].name, name, "{}", call.name);
            }
        }
    }
}

#[test]
fn every_flag_can_be_said_and_names_and_numbers_are_one_to_one() {
    for call in all() {
        for arg in call.args {
            let names = match arg.kind {
                Kind::Choice(names) | Kind::Request(names) => names,
                Kind::Flags(flags) => flags.names,
                _ => continue,
            };
            let labels: HashSet<_> = names.iter().map(|(_, name)| name).collect();
            let numbers: HashSet<_> = names.iter().map(|(number, _)| number).collect();
            assert_eq!(
                (labels.len(), numbers.len()),
                (names.len(), names.len()),
                "{} {}",
                call.name,
                arg.name
            );
            if let Kind::Flags(flags) = arg.kind {
                for (flag, name) in flags.names {
                    let said = flags.names(*flag);
                    assert!(
                        said.iter().any(|word| word == name),
                        "{} never says {name} but {said:?}",
                        call.name
                    );
                }
            }
        }
    }
}

#[test]
fn the_capture_plan_reads_what_the_caller_filled_in() {
    for call in both() {
        let plan = capture(call.abi, call.number);
        assert!(plan.strings.count_ones() <= 3, "{}", call.name);
        assert_eq!(plan.strings >> call.args.len(), 0, "{}", call.name);
        if let Some((addr, len)) = plan.sockaddr {
            assert!(usize::from(addr) < call.args.len() && usize::from(len) < call.args.len() && addr != len);
            assert_eq!(plan.strings, 0, "{}", call.name);
        }
    }
    let with_address: Vec<_> = all()
        .filter(|call| capture(call.abi, call.number).sockaddr.is_some())
        .map(|call| call.name)
        .collect();
    assert_eq!(with_address, ["connect", "sendto", "bind"]);
    for (name, strings) in [
        ("openat", 0b10),
        ("rename", 0b11),
        ("renameat2", 0b1010),
        ("mount", 0b111),
        ("execve", 1),
        ("read", 0),
    ] {
        assert_eq!(capture(Abi::X86_64, number(name)).strings, strings, "{name}");
    }
    assert_eq!(capture(Abi::X86_64, number("sendto")).sockaddr, Some((4, 5)));
}

#[test]
fn classes_have_names_and_members() {
    for class in Class::ALL {
        assert_eq!(Class::parse(class.name()), Some(class));
        assert!(class_members(class).next().is_some(), "{class}");
    }
    assert_eq!(Class::ALL.iter().map(|class| class_members(*class).count()).sum::<usize>(), both().count());
    assert_eq!(Class::parse("nothing"), None);
    assert!(class_members(Class::Network).any(|call| call.name == "connect"));
}

#[test]
fn numbers_are_those_of_the_kernel_headers() {
    let header = ["/usr/include/asm/unistd_64.h", "/usr/include/x86_64-linux-gnu/asm/unistd_64.h"];
    let Some(header) = header.into_iter().find_map(|path| fs::read_to_string(path).ok()) else { return };
    let defined = header.lines().filter_map(|line| line.strip_prefix("#define __NR_")?.split_once(' '));
    let mut checked = 0;
    for (name, number) in defined {
        assert_eq!(parse(name).map(|call| call.number), Some(number.trim().parse().unwrap()), "{name}");
        checked += 1;
    }
    assert!(checked > 300, "{checked}");
}

#[test]
fn numbers_of_32_bit_calls_are_those_of_the_kernel_headers() {
    let narrow = || both().filter(|call| call.abi == Abi::I386);
    assert!(narrow().map(|call| call.number).is_sorted_by(|a, b| a < b));
    assert_eq!(narrow().map(|call| call.name).collect::<HashSet<_>>().len(), narrow().count());
    assert_eq!((narrow().count(), narrow().last().map(|call| call.number)), (459, Some(469)));
    let header = ["/usr/include/asm/unistd_32.h", "/usr/include/x86_64-linux-gnu/asm/unistd_32.h"];
    let Some(header) = header.into_iter().find_map(|path| fs::read_to_string(path).ok()) else { return };
    let defined = header.lines().filter_map(|line| line.strip_prefix("#define __NR_")?.split_once(' '));
    let mut checked = 0;
    for (name, number) in defined {
        let number = number.trim().parse().unwrap();
        assert_eq!(lookup(Abi::I386, number).map(|call| call.name), Some(name), "{number}");
        checked += 1;
    }
    assert!(checked > 400, "{checked}");
}

#[test]
fn a_32_bit_call_is_like_the_64_bit_call_of_which_it_is_a_form() {
    // The kernel has never implemented these, or has them for 32-bit processes alone.
    let alone = [
        "break",
        "stty",
        "gtty",
        "nice",
        "ftime",
        "prof",
        "lock",
        "mpx",
        "ulimit",
        "sgetmask",
        "ssetmask",
        "profil",
        "socketcall",
        "idle",
        "vm86old",
        "ipc",
        "bdflush",
        "vm86",
    ];
    for call in both().filter(|call| call.abi == Abi::I386) {
        let base = all().find(|base| named(base.name).contains(&call));
        assert_eq!(base.is_none(), alone.contains(&call.name), "{}", call.name);
        let Some(base) = base else { continue };
        assert_eq!(call.class, base.class, "{}", call.name);
        assert_eq!(parse(call.name).is_some_and(|same| same.name == call.name), call.name == base.name);
    }
    let names = |name| named(name).into_iter().map(|call| (call.abi, call.name)).collect::<Vec<_>>();
    let stat = [(Abi::X86_64, "stat"), (Abi::I386, "oldstat"), (Abi::I386, "stat"), (Abi::I386, "stat64")];
    assert_eq!(names("stat"), stat);
    assert_eq!(names("sys_mmap2"), [(Abi::I386, "mmap2")]);
    assert_eq!(names("openn"), []);
    assert_eq!(nearest("socketcal"), Some("socketcall"));
    let number = |number| lookup(Abi::I386, number).map(|call| call.name);
    assert_eq!(
        [5, 6, 102, 195].map(number),
        [Some("open"), Some("close"), Some("socketcall"), Some("stat64")]
    );
    assert_eq!([222, 387, 470, 511, u32::MAX].map(number), [None; 5]);
}

/// The kernel describes the arguments of most calls to root; where it does, the table must agree.
#[test]
fn arguments_are_those_of_the_running_kernel() {
    for call in all() {
        let name = match call.name {
            "stat" | "fstat" | "lstat" | "uname" => format!("new{}", call.name),
            "sendfile" => "sendfile64".to_owned(),
            "umount2" => "umount".to_owned(),
            name => name.to_owned(),
        };
        let format = format!("/sys/kernel/tracing/events/syscalls/sys_enter_{name}/format");
        let Ok(format) = fs::read_to_string(format) else { continue };
        let fields = format.lines().filter_map(|line| line.trim().strip_prefix("field:")?.split(';').next());
        // Five common fields come first.
        let fields: Vec<_> = fields.skip(5).collect();
        assert_eq!(fields.len(), call.args.len(), "{name}: {fields:?}");
        for (field, arg) in fields.iter().zip(call.args) {
            let reads_memory = matches!(arg.kind, Kind::Path | Kind::Text | Kind::SockAddr { .. });
            assert!(!reads_memory || field.contains('*'), "{name}: {field} is {arg:?}");
        }
    }
}

#[test]
fn signals_have_the_names_of_kill() {
    for (signal, expect) in [
        (1, Some("SIGHUP")),
        (9, Some("SIGKILL")),
        (31, Some("SIGSYS")),
        (34, Some("SIGRTMIN")),
        (64, Some("SIGRTMIN+30")),
    ] {
        assert_eq!(signal_name(signal).as_deref(), expect);
    }
    for none in [i32::MIN, -1, 0, 32, 33, 65] {
        assert_eq!(signal_name(none), None, "{none}");
    }
}
