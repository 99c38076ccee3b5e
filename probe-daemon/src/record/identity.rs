//! The attributes that say who a process is.

use super::{Attributes, VALUE_LEN, Value, cut};
use crate::event::{Identity, Subject};

/// Puts who the subject is, as far as it is known, and in which namespaces it lives.
pub fn put<'a>(subject: &'a Subject, attributes: &mut Attributes<'a>) {
    for (key, number) in [
        ("gala_gopher.mnt_ns", subject.mnt_ns),
        ("gala_gopher.uts_ns", subject.uts_ns),
        ("gala_gopher.ipc_ns", subject.ipc_ns),
        ("gala_gopher.cgroup_ns", subject.cgroup_ns),
    ] {
        if number != 0 {
            attributes.put(key, number);
        }
    }
    attributes.put("gala_gopher.process.group.id", subject.gid);
    let Some(identity) = subject.identity.as_deref() else { return };
    let Identity { executable, command, ancestors, user, real_user, group, login, unit, .. } = identity;
    for (key, text) in [
        ("process.executable.name", identity.executable_name()),
        ("process.executable.path", executable.as_deref()),
        ("process.user.name", user.as_deref()),
        ("process.real_user.name", real_user.as_deref()),
        ("gala_gopher.process.group.name", group.as_deref()),
        ("gala_gopher.login.user", login.user.as_deref()),
        ("gala_gopher.login.tty", login.tty.as_deref()),
        ("gala_gopher.login.remote_address", login.remote.as_deref()),
        ("gala_gopher.systemd.unit", unit.as_deref()),
    ] {
        if let Some(text) = text {
            attributes.put(key, cut(text, VALUE_LEN));
        }
    }
    if let Some(uid) = login.uid {
        attributes.put("gala_gopher.login.uid", uid);
    }
    for (key, texts) in [("gala_gopher.process.ancestors", ancestors), ("process.command_args", command)] {
        if !texts.is_empty() {
            attributes.put(key, Value::Texts(texts));
        }
    }
}

/// Puts the cgroup of a subject whose event does not say more of it.
pub fn put_cgroup<'a>(subject: &'a Subject, attributes: &mut Attributes<'a>) {
    if subject.cgroup != 0 {
        attributes.put("gala_gopher.cgroup.id", subject.cgroup);
    }
    if let Some(path) = subject.identity.as_deref().and_then(|identity| identity.cgroup.as_deref()) {
        attributes.put("gala_gopher.cgroup.path", cut(path, VALUE_LEN));
    }
}
