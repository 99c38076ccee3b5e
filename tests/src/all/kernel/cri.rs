//! A container runtime of Kubernetes on its socket: names, image, pod and labels in records of what fails in its
//! containers, those that are there before the daemon and those that come and go while it runs.

use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tests::cgroup::Cgroup;
use tests::cri::{Change, Container, Cri, Pod};
use tests::daemon::FileDaemon;
use tests::wait::{self, PATIENCE};

use super::containers::{Init, configuration, end};

const SANDBOX: &str = "f0e1d2c3b4a5968778695a4b3c2d1e0f00112233445566778899aabbccddeeff";
const WEB: &str = "3b1d2c4e5f60718293a4b5c6d7e8f9000102030405060708090a0b0c0d0e0f11";
const LATE: &str = "8899aabbccddeeff00112233445566773b1d2c4e5f60718293a4b5c6d7e8f900";
const UID: &str = "9c2e7d1a-0b4f-4c6e-8a55-1f2e3d4c5b6b";

fn labels(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

fn container(id: &str, name: &str, image: &str, pid: u32) -> Container {
    let labels = labels(&[("tier", name), ("io.kubernetes.container.name", name)]);
    let (id, name, image) = (id.to_owned(), name.to_owned(), image.to_owned());
    Container { id, pod: SANDBOX.to_owned(), name, image, labels, pid }
}

/// The cgroup that containerd makes for a container where systemd is its cgroup driver.
fn cgroup(id: &str) -> Result<Cgroup> {
    let slice = format!("kubepods-burstable-pod{}.slice", UID.replace('-', "_"));
    Cgroup::new(&format!("/kubepods.slice/kubepods-burstable.slice/{slice}/cri-containerd-{id}.scope"))
}

/// Has a process of the cgroup end with this code.
fn fail(cgroup: &Cgroup, code: u8) -> Result<()> {
    let mut command = Command::new("sh");
    command.args(["-c", &format!("exit {code}")]);
    cgroup.join(&mut command)?;
    command.status()?;
    Ok(())
}

/// Waits until the daemon has taken over all that the runtime has had so far.
fn taken_over(cri: &Cri) -> Result<()> {
    let before = cri.asked("ListPodSandbox");
    // A list that has begun since then is complete once the next one begins.
    for more in 1..=2 {
        cri.tell(WEB, Change::Started)?;
        cri.wait_for("ListPodSandbox", before + more)?;
    }
    Ok(())
}

fn has(resource: &Value, wanted: &[(&str, &str)]) -> Result<()> {
    for (key, value) in wanted {
        ensure!(resource[key] == *value, "{key} is not {value}: {resource:#}");
    }
    Ok(())
}

#[test]
fn the_cri_names_containers_that_are_there_and_that_come_and_go() -> Result<()> {
    let (init, dir) = (Init::new()?, tempfile::tempdir()?);
    let socket = dir.path().join("containerd.sock");
    let cri = Cri::listen(&socket)?;
    cri.add_pod(Pod {
        id: SANDBOX.to_owned(),
        name: "shop-0".to_owned(),
        uid: UID.to_owned(),
        namespace: "prod".to_owned(),
        labels: labels(&[("app", "shop")]),
    });
    cri.add(container(WEB, "web", "docker.io/library/nginx:1.27", init.pid()?));
    let mut probe = FileDaemon::start(&configuration(&[&socket]))?;
    probe.daemon.wait_for_log("a container runtime tells of its containers", PATIENCE)?;
    cri.wait_for("GetContainerEvents", 1)?;

    let (web, late) = (cgroup(WEB)?, cgroup(LATE)?);
    fail(&web, 71)?;
    // In no cgroup of a container, but in its pid namespace.
    init.exit(72)?;
    // Before the runtime knows of it.
    fail(&late, 73)?;
    wait::until("the record of an unknown container", PATIENCE, || {
        probe.events.poll()?;
        Ok(end(&probe.events.records, 73).ok().map(drop))
    })?;
    cri.add(container(LATE, "late", "registry.example:5000/late@sha256:0f1e", 0));
    cri.tell(LATE, Change::Started)?;
    taken_over(&cri)?;
    fail(&late, 74)?;
    wait::until("the record of a container that came late", PATIENCE, || {
        probe.events.poll()?;
        Ok(end(&probe.events.records, 74).ok().map(drop))
    })?;
    for id in [LATE, WEB] {
        cri.remove(id);
        cri.tell(id, Change::Deleted)?;
    }
    taken_over(&cri)?;
    // What its processes leave behind is still told of as theirs; the number of a pid namespace may be another's by now.
    fail(&late, 75)?;
    init.exit(76)?;

    let (events, _) = probe.finish()?;
    let resource = |code| end(&events.records, code).map(|record| record.top("Resource"));
    let pod = [
        ("k8s.pod.name", "shop-0"),
        ("k8s.pod.uid", UID),
        ("k8s.namespace.name", "prod"),
        ("k8s.pod.label.app", "shop"),
        ("container.runtime.name", "containerd"),
    ];
    for (code, id, name, image) in [
        (71, WEB, "web", "docker.io/library/nginx:1.27"),
        (72, WEB, "web", "docker.io/library/nginx:1.27"),
        (74, LATE, "late", "registry.example:5000/late@sha256:0f1e"),
        (75, LATE, "late", "registry.example:5000/late@sha256:0f1e"),
    ] {
        let resource = resource(code)?;
        let own = [
            ("container.id", id),
            ("container.name", name),
            ("k8s.container.name", name),
            ("container.image.name", image),
            ("container.label.tier", name),
        ];
        has(resource, &own).and_then(|()| has(resource, &pod)).with_context(|| format!("code {code}"))?;
        // What a label repeats is there once.
        ensure!(resource["container.label.io.kubernetes.container.name"].is_null(), "{resource:#}");
    }
    // Known by the path of its cgroup only, and not at all.
    has(resource(73)?, &[("container.id", LATE), ("k8s.pod.uid", UID)])?;
    ensure!(resource(76)?["container.id"].is_null(), "{:#}", resource(76)?);
    for code in [73, 76] {
        let resource = resource(code)?;
        for key in ["container.name", "k8s.pod.name", "container.image.name", "container.label.tier"] {
            ensure!(resource[key].is_null(), "{code}: {resource:#}");
        }
    }
    Ok(())
}
