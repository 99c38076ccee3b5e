//! Calls on sockets: in comes a world, out come calls that no peer, or no socket, answers.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::os::fd::AsRawFd;

use anyhow::Result;
use libc::{AF_INET, SOCK_STREAM, SOL_SOCKET};

use super::NO_FD;
use crate::provoke::world::{inet, inet6, unix};
use crate::provoke::{Call, World};

pub(super) fn calls(world: &World) -> Result<Vec<Call>> {
    let [file, _, _, _, tcp, local, udp] = world.descriptors();
    let local_host = Ipv4Addr::LOCALHOST;
    let free = world.free_port();
    let taken = world.taken_port()?;
    let nowhere = Ipv4Addr::new(192, 0, 2, 1);
    let silent = world.path("silent.sock");
    let buffer = || vec![0_u8; 64];
    let length = || 64_i32.to_ne_bytes().to_vec();
    let silent_address = unix(&silent);
    let silent_length = silent_address.len() as i64;
    let mut calls = vec![
        call!(SYS_socket, EAFNOSUPPORT, 99, SOCK_STREAM, 0),
        call!(SYS_socket, EINVAL, AF_INET, 99, 0),
        call!(SYS_socketpair, EOPNOTSUPP, AF_INET, SOCK_STREAM, 0, buffer()),
        call!(SYS_connect, ECONNREFUSED, tcp, inet(local_host, free), 16)
            .peer("127.0.0.1", free)
            .shows(format!("ipv4:127.0.0.1:{free}"))
            .shows(tcp),
        call!(SYS_connect, ECONNREFUSED, local, silent_address, silent_length)
            .shows(format!("unix:{}", silent.display())),
        call!(SYS_connect, ENOTSOCK, file, inet(local_host, 80), 16).shows(file).shows("ipv4:127.0.0.1:80"),
        call!(SYS_bind, EADDRINUSE, tcp, inet(local_host, taken), 16)
            .shows(format!("ipv4:127.0.0.1:{taken}")),
        call!(SYS_bind, EADDRNOTAVAIL, tcp, inet(nowhere, 8080), 16).shows("ipv4:192.0.2.1:8080"),
        call!(SYS_listen, EOPNOTSUPP, udp, 5).shows(udp),
        call!(SYS_accept, EINVAL, tcp, 0, 0).shows(tcp),
        call!(SYS_accept4, EBADF, NO_FD, 0, 0, 0).shows(NO_FD),
        call!(SYS_sendto, EDESTADDRREQ, udp, buffer(), 64, 0, 0, 0).shows(udp),
        call!(SYS_sendto, EINVAL, udp, buffer(), 64, 0, inet(local_host, 0), 16).shows(udp),
        call!(SYS_sendmsg, EFAULT, udp, 0, 0).shows(udp),
        call!(SYS_recvfrom, ENOTCONN, tcp, buffer(), 64, 0, 0, 0).shows(tcp),
        call!(SYS_setsockopt, ENOPROTOOPT, tcp, SOL_SOCKET, 9999, buffer(), 4).shows(tcp),
        call!(SYS_getsockopt, ENOPROTOOPT, tcp, SOL_SOCKET, 9999, buffer(), length()).shows(tcp),
        call!(SYS_getpeername, ENOTCONN, tcp, buffer(), length()).shows(tcp),
        call!(SYS_getsockname, ENOTSOCK, file, buffer(), length()).shows(file),
        call!(SYS_shutdown, ENOTCONN, tcp, 2).shows(tcp),
    ];
    if let Some(tcp6) = &world.tcp6 {
        let free = world.free_port6();
        let address = inet6(Ipv6Addr::LOCALHOST, free);
        calls.push(call!(SYS_connect, ECONNREFUSED, tcp6.as_raw_fd(), address, 28).peer("::1", free));
    }
    Ok(calls)
}
