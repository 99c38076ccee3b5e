//! The host that a record speaks of: OpenTelemetry's Resource.
//!
//! In: the host's own files, read once at start. Out: a [`Resource`]; what cannot be read is absent.

use std::{fs, net::IpAddr};

/// Attributes of the host, in order; no key twice.
#[derive(Clone, Debug, Default)]
pub struct Resource {
    /// `host.id`, which is also the key of a Kafka record; none where the host has no machine id.
    pub host_id: Option<String>,
    /// The system's UUID, from its firmware; none where it has none.
    pub system_uuid: Option<String>,
    /// An address of the host, an IPv4 one if there is any; none where it has only the loopback.
    pub address: Option<IpAddr>,
    /// All attributes that are texts, under OpenTelemetry's names.
    pub attributes: Vec<(&'static str, String)>,
    /// `host.ip`: addresses by which others reach the host; empty where records are not to have them.
    pub addresses: Vec<String>,
}

impl Resource {
    /// Describes this host.
    pub fn detect() -> Self {
        let uname = rustix::system::uname();
        let host_id = ["/etc/machine-id", "/var/lib/dbus/machine-id"].into_iter().find_map(read_line);
        let os_release = ["/etc/os-release", "/usr/lib/os-release"]
            .into_iter()
            .find_map(|path| fs::read_to_string(path).ok())
            .unwrap_or_default();
        let arch = match uname.machine().to_string_lossy().as_ref() {
            "x86_64" => "amd64".to_owned(),
            "aarch64" => "arm64".to_owned(),
            other => other.to_owned(),
        };
        let all: [(&'static str, Option<String>); 9] = [
            ("host.name", Some(uname.nodename().to_string_lossy().into_owned())),
            ("host.id", host_id.clone()),
            ("host.arch", Some(arch)),
            ("os.type", Some("linux".to_owned())),
            ("os.name", os_release_value(&os_release, "NAME")),
            ("os.version", os_release_value(&os_release, "VERSION_ID")),
            ("gala_gopher.kernel.release", Some(uname.release().to_string_lossy().into_owned())),
            ("gala_gopher.boot.id", read_line("/proc/sys/kernel/random/boot_id")),
            ("gala_gopher.dmi.product", read_line("/sys/class/dmi/id/product_name")),
        ];
        let attributes = all.into_iter().filter_map(|(key, value)| Some((key, value?))).collect();
        let system_uuid = read_line("/sys/class/dmi/id/product_uuid");
        let address = addresses().into_iter().min_by_key(IpAddr::is_ipv6);
        Self { host_id, system_uuid, address, attributes, addresses: Vec::new() }
    }

    /// The same, with the host's addresses where they are `wanted`.
    pub fn with_addresses(self, wanted: bool) -> Self {
        let addresses = if wanted { addresses().iter().map(IpAddr::to_string).collect() } else { Vec::new() };
        Self { addresses, ..self }
    }

    /// Sets one attribute.
    pub fn set(&mut self, key: &'static str, value: &str) {
        match self.attributes.iter_mut().find(|(own, _)| *own == key) {
            Some((_, own)) => value.clone_into(own),
            None => self.attributes.push((key, value.to_owned())),
        }
    }
}

/// Link-local addresses are left out: they mean nothing on another host.
fn addresses() -> Vec<IpAddr> {
    let interfaces = if_addrs::get_if_addrs().unwrap_or_default();
    let global = interfaces.iter().filter(|interface| !interface.is_loopback() && !interface.is_link_local());
    global.map(|interface| interface.ip()).collect()
}

fn read_line(path: &str) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    let line = text.lines().next()?.trim();
    (!line.is_empty()).then(|| line.to_owned())
}

/// A value of os-release(5), quotes taken off.
fn os_release_value(text: &str, key: &str) -> Option<String> {
    let value = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='))?;
    Some(value.trim().trim_matches(['"', '\'']).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn os_release_values_lose_their_quotes_and_keys_match_whole() {
        let text = "PRETTY_NAME=\"Debian 12\"\nNAME=\"Debian GNU/Linux\"\nVERSION_ID=12\n";
        assert_eq!(os_release_value(text, "NAME").as_deref(), Some("Debian GNU/Linux"));
        assert_eq!(os_release_value(text, "VERSION_ID").as_deref(), Some("12"));
        assert_eq!(os_release_value(text, "ID"), None);
    }

    #[test]
    fn this_host_has_a_name_and_no_key_twice() {
        let resource = Resource::detect();
        let mut keys: Vec<_> = resource.attributes.iter().map(|(key, _)| *key).collect();
        assert!(keys.contains(&"host.name") && keys.contains(&"os.type"));
        let all = keys.len();
        keys.sort_unstable();
        keys.dedup();
        assert_eq!(keys.len(), all);
    }
}
