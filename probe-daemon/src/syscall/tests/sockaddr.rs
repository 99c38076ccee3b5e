//! Socket addresses of every family, whole and cut.

use std::net::IpAddr;

use proptest::prelude::*;

use super::super::{SockAddr, UnixName};

#[track_caller]
fn check(bytes: &[u8], expect: &str) -> SockAddr {
    let address = SockAddr::parse(bytes);
    assert_eq!(address.to_string(), expect, "{bytes:?}");
    address
}

/// An IPv6 address with this port, address and scope.
fn ipv6(port: u16, ip: &str, scope: u32) -> Vec<u8> {
    let ip: std::net::Ipv6Addr = ip.parse().unwrap();
    [&[10, 0][..], &port.to_be_bytes(), &[0; 4], &ip.octets(), &scope.to_ne_bytes()].concat()
}

#[test]
fn b9_ip_addresses_carry_ip_and_port() {
    let address = check(&[2, 0, 0, 80, 1, 2, 3, 4, 0, 0, 0, 0, 0, 0, 0, 0], "ipv4:1.2.3.4:80");
    assert_eq!((address.ip(), address.port()), (Some(IpAddr::from([1, 2, 3, 4])), Some(80)));
    check(&[2, 0, 1, 187, 10, 0, 0, 5], "ipv4:10.0.0.5:443");
    let address = check(&ipv6(80, "::1", 0), "ipv6:[::1]:80");
    assert_eq!((address.ip(), address.port()), ("::1".parse().ok(), Some(80)));
    check(&ipv6(443, "fe80::1", 2), "ipv6:[fe80::1%2]:443");
    check(&ipv6(80, "2001:db8::7", 0)[..24], "ipv6:[2001:db8::7]:80");
    let mapped = check(&ipv6(80, "::ffff:1.2.3.4", 0), "ipv6:[::ffff:1.2.3.4]:80");
    assert_eq!(mapped.ip(), Some(IpAddr::from([1, 2, 3, 4])));
}

#[test]
fn unix_addresses_are_paths_abstract_names_or_nothing() {
    check(b"\x01\0/run/x.sock\0rubbish", "unix:/run/x.sock");
    check(b"\x01\0/run/x.sock", "unix:/run/x.sock");
    check(b"\x01\0\0name", "unix:@name");
    check(b"\x01\0\0na\0me\0\0\0", "unix:@na\0me");
    check(b"\x01\0\0\0\0", "unix:@");
    let unnamed = check(b"\x01\0", "unix:");
    assert_eq!(unnamed, SockAddr::Unix(UnixName::Unnamed));
    assert_eq!((unnamed.ip(), unnamed.port()), (None, None));
    check(b"\x01\0/\xff", "unix:/\u{fffd}");
}

#[test]
fn other_families_are_named_or_shown_raw() {
    check(&[16, 0, 0, 0, 0x92, 0x10, 0, 0, 3, 0, 0, 0], "netlink:4242:3");
    check(&[17, 0, 8, 0, 3, 0, 0, 0, 0, 0, 0, 0], "packet:3:0x0800");
    check(&[40, 0, 0, 0, 0xd2, 4, 0, 0, 2, 0, 0, 0], "vsock:2:1234");
    check(&[0, 0, 1, 2], "family:0:0102");
    check(&[38, 0, 0xab, 0xcd], "family:38:abcd");
}

#[test]
fn too_few_bytes_for_the_family_are_shown_raw() {
    check(&[], "family:0:");
    check(&[7], "family:0:07");
    check(&[2, 0], "family:2:");
    check(&[2, 0, 0, 80, 1, 2, 3], "family:2:0050010203");
    check(
        &ipv6(80, "::1", 0)[..23],
        "family:10:0050000000000000000000000000000000000000 00".replace(' ', "").as_str(),
    );
    check(&[16, 0, 0, 0, 1], "family:16:000001");
    check(&[40, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0], "family:40:000001000000020000");
}

proptest! {
    #[test]
    fn any_bytes_are_an_address(family in 0_u8..50, data in prop::collection::vec(any::<u8>(), 0..140), cut in 0_usize..142) {
        let bytes = [&[family, 0][..], &data].concat();
        let address = SockAddr::parse(&bytes[..cut.min(bytes.len())]);
        prop_assert!(!address.to_string().is_empty());
        prop_assert_eq!(address.ip().is_some(), address.port().is_some());
    }

    #[test]
    fn every_ip_address_comes_back(ip: [u8; 4], port: u16, fill in prop::collection::vec(any::<u8>(), 0..20)) {
        let address = SockAddr::parse(&[&[2, 0][..], &port.to_be_bytes(), &ip, &fill].concat());
        prop_assert_eq!((address.ip(), address.port()), (Some(IpAddr::from(ip)), Some(port)));
    }
}
