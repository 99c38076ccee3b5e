//! The operations of io_uring (`enum io_uring_op` of include/uapi/linux/io_uring.h): in, an opcode or a name; out, what
//! the operation is called and what it works on.

use std::borrow::Cow;

use crate::syscall::Class;

/// One operation. Its opcode is its place in [`OPERATIONS`].
#[derive(Debug, PartialEq, Eq)]
pub struct Operation {
    /// Its name, without the kernel's `IORING_OP_` and in lower case; the same as the system call's that it stands for.
    pub name: &'static str,
    /// What it works on.
    pub class: Class,
}

const fn op(name: &'static str, class: Class) -> Operation {
    Operation { name, class }
}

/// Every operation, ascending by opcode.
pub static OPERATIONS: [Operation; 65] = [
    op("nop", Class::Io),
    op("readv", Class::Io),
    op("writev", Class::Io),
    op("fsync", Class::Io),
    op("read_fixed", Class::Io),
    op("write_fixed", Class::Io),
    op("poll_add", Class::Io),
    op("poll_remove", Class::Io),
    op("sync_file_range", Class::Io),
    op("sendmsg", Class::Network),
    op("recvmsg", Class::Network),
    op("timeout", Class::Time),
    op("timeout_remove", Class::Time),
    op("accept", Class::Network),
    op("async_cancel", Class::Io),
    op("link_timeout", Class::Time),
    op("connect", Class::Network),
    op("fallocate", Class::File),
    op("openat", Class::File),
    op("close", Class::Io),
    op("files_update", Class::Io),
    op("statx", Class::File),
    op("read", Class::Io),
    op("write", Class::Io),
    op("fadvise", Class::Io),
    op("madvise", Class::Memory),
    op("send", Class::Network),
    op("recv", Class::Network),
    op("openat2", Class::File),
    op("epoll_ctl", Class::Io),
    op("splice", Class::Io),
    op("provide_buffers", Class::Io),
    op("remove_buffers", Class::Io),
    op("tee", Class::Io),
    op("shutdown", Class::Network),
    op("renameat", Class::File),
    op("unlinkat", Class::File),
    op("mkdirat", Class::File),
    op("symlinkat", Class::File),
    op("linkat", Class::File),
    op("msg_ring", Class::Io),
    op("fsetxattr", Class::File),
    op("setxattr", Class::File),
    op("fgetxattr", Class::File),
    op("getxattr", Class::File),
    op("socket", Class::Network),
    op("uring_cmd", Class::Io),
    op("send_zc", Class::Network),
    op("sendmsg_zc", Class::Network),
    op("read_multishot", Class::Io),
    op("waitid", Class::Process),
    op("futex_wait", Class::Ipc),
    op("futex_wake", Class::Ipc),
    op("futex_waitv", Class::Ipc),
    op("fixed_fd_install", Class::Io),
    op("ftruncate", Class::File),
    op("bind", Class::Network),
    op("listen", Class::Network),
    op("recv_zc", Class::Network),
    op("epoll_wait", Class::Io),
    op("readv_fixed", Class::Io),
    op("writev_fixed", Class::Io),
    op("pipe", Class::Ipc),
    op("nop128", Class::Io),
    op("uring_cmd128", Class::Io),
];

/// The name of an operation, or its opcode where this build does not know it.
pub fn name(opcode: u32) -> Cow<'static, str> {
    match usize::try_from(opcode).ok().and_then(|at| OPERATIONS.get(at)) {
        Some(operation) => Cow::Borrowed(operation.name),
        None => Cow::Owned(format!("op_{opcode}")),
    }
}

/// The opcodes of the operations that are `wanted`.
pub fn opcodes(wanted: impl Fn(&Operation) -> bool) -> impl Iterator<Item = u32> {
    (0u32..).zip(&OPERATIONS).filter(move |(_, operation)| wanted(operation)).map(|(opcode, _)| opcode)
}

#[cfg(test)]
mod tests {
    use btf_rs::{Btf, Type};

    use super::*;
    use crate::syscall;

    #[test]
    fn opcodes_are_those_of_this_kernel() {
        let Ok(btf) = Btf::from_file("/sys/kernel/btf/vmlinux") else {
            eprintln!("this kernel has no BTF: nothing to compare");
            return;
        };
        let mut found = btf.resolve_types_by_name("io_uring_op").unwrap_or_default().into_iter();
        let Some(Type::Enum(found)) = found.find(|found| matches!(found, Type::Enum(_))) else {
            eprintln!("this kernel has no io_uring: nothing to compare");
            return;
        };
        for member in &found.members {
            let said = btf.resolve_name(member).unwrap().trim_start_matches("IORING_OP_").to_lowercase();
            if said != "last" {
                assert_eq!(name(member.val()), said, "{}", member.val());
            }
        }
    }

    #[test]
    fn an_operation_has_the_class_of_the_call_of_its_name_and_an_unknown_one_its_number() {
        for operation in &OPERATIONS {
            if let Some(call) = syscall::parse(operation.name) {
                assert_eq!(call.class, operation.class, "{}", operation.name);
            }
        }
        assert_eq!((name(18), name(97)), ("openat".into(), "op_97".into()));
        assert_eq!(opcodes(|operation| operation.name == "openat").collect::<Vec<_>>(), [18]);
    }
}
