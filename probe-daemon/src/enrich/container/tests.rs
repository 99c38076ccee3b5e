//! Paths as runtimes make them, and any path.

use std::{fs, sync::Arc};

use proptest::prelude::*;

use super::*;

const ID: &str = "3b1d2c4e5f60718293a4b5c6d7e8f9000102030405060708090a0b0c0d0e0f10";
const OTHER: &str = "0f0e0d0c0b0a09080706050403020100f9e8d7c6b5a49382716051f4e4d3c2b1";
const UID: &str = "9c2e7d1a-0b4f-4c6e-8a55-1f2e3d4c5b6a";
const UID_: &str = "9c2e7d1a_0b4f_4c6e_8a55_1f2e3d4c5b6a";
const HASH: &str = "5a1bf2c3d4e5f60718293a4b5c6d7e8f";

fn check(path: &str, container: Option<&str>, runtime: Option<&str>, pod: Option<&str>, unit: Option<&str>) {
    let found = place(path);
    let found = (found.container.as_deref(), found.runtime, found.pod.as_deref(), found.unit.as_deref());
    assert_eq!(found, (container, runtime, pod, unit), "{path}");
}

#[test]
fn docker_in_both_drivers() {
    let docker = Some("docker");
    check(&format!("/docker/{ID}"), Some(ID), docker, None, None);
    check(&format!("/system.slice/docker-{ID}.scope"), Some(ID), docker, None, None);
    check(&format!("/system.slice/docker-{ID}.scope/init.scope"), Some(ID), docker, None, None);
    check(
        &format!("/system.slice/docker-{ID}.scope/system.slice/cron.service"),
        Some(ID),
        docker,
        None,
        None,
    );
    check(&format!("/user.slice:docker:{ID}"), Some(ID), docker, None, None);
    check(&format!("/docker/{OTHER}/docker/{ID}"), Some(ID), docker, None, None);
}

#[test]
fn kubernetes_in_all_classes_and_drivers() {
    let systemd = |class: &str, prefix: &str| {
        format!("/kubepods.slice/kubepods{class}.slice/kubepods{class}-pod{UID_}.slice/{prefix}{ID}.scope")
    };
    let (containerd, crio) = (Some("containerd"), Some("cri-o"));
    for class in ["-burstable", "-besteffort", ""] {
        check(&systemd(class, "cri-containerd-"), Some(ID), containerd, Some(UID), None);
        check(&systemd(class, "crio-"), Some(ID), crio, Some(UID), None);
        check(&systemd(class, "docker-"), Some(ID), Some("docker"), Some(UID), None);
    }
    for class in ["burstable/", "besteffort/", ""] {
        check(&format!("/kubepods/{class}pod{UID}/{ID}"), Some(ID), None, Some(UID), None);
        check(&format!("/kubepods/{class}pod{UID}/crio-{ID}"), Some(ID), crio, Some(UID), None);
    }
    let slice = format!("kubepods-burstable-pod{UID_}.slice:cri-containerd:{ID}");
    check(&format!("/system.slice/containerd.service/{slice}"), Some(ID), containerd, None, None);
    check(
        &format!("/docker/{OTHER}/kubelet/kubepods/burstable/pod{UID}/{ID}"),
        Some(ID),
        None,
        Some(UID),
        None,
    );
    // The pod's own processes, outside of any container.
    check(&format!("/kubepods.slice/kubepods-pod{UID_}.slice"), None, None, Some(UID), None);
}

#[test]
fn a_static_pod_has_a_hash_and_no_id() {
    for path in [
        format!("/kubepods/burstable/pod{HASH}/{ID}"),
        format!("/x/kubepods-pod{HASH}.slice/crio-{ID}.scope"),
    ] {
        let place = place(&path);
        assert_eq!((place.pod, place.static_pod.as_deref()), (None, Some(HASH)), "{path}");
        assert_eq!(place.container.as_deref(), Some(ID));
    }
}

#[test]
fn podman_with_root_and_without() {
    let podman = Some("podman");
    check(&format!("/machine.slice/libpod-{ID}.scope/container"), Some(ID), podman, None, None);
    check(&format!("/libpod_parent/libpod-{ID}"), Some(ID), podman, None, None);
    let user = "/user.slice/user-1000.slice/user@1000.service/user.slice";
    check(&format!("{user}/libpod-{ID}.scope"), Some(ID), podman, None, None);
}

#[test]
fn monitors_of_containers_and_services_are_in_none() {
    let conmon = format!("crio-conmon-{ID}.scope");
    check(&format!("/system.slice/{conmon}"), None, None, None, Some(&conmon));
    let conmon = format!("libpod-conmon-{ID}.scope");
    check(&format!("/machine.slice/{conmon}"), None, None, None, Some(&conmon));
    check("/system.slice/nginx.service", None, None, None, Some("nginx.service"));
    check("/system.slice/_cpu.service", None, None, None, Some("cpu.service"));
    check("/user.slice/user-0.slice/session-4.scope", None, None, None, Some("session-4.scope"));
    let user = "/user.slice/user-1000.slice/user@1000.service/app.slice/foo.service";
    check(user, None, None, None, Some("foo.service"));
    for path in ["/", "", "/docker", "/kubepods/podx", &format!("/docker/{}", &ID[1..]), &ID.to_uppercase()] {
        check(path, None, None, None, None);
    }
}

proptest! {
    #[test]
    fn any_path_is_read(path in any::<String>()) {
        place(&path);
    }

    #[test]
    fn any_nesting_gives_the_innermost(
        parts in prop::collection::vec("(docker|kubepods|pod|crio-|libpod-|-pod|[0-9a-f]{64}|\\.slice|\\.scope|:|/|é){0,6}", 0..6),
    ) {
        let found = place(&format!("{}/docker-{ID}.scope", parts.join("/")));
        prop_assert_eq!(found.container.as_deref(), Some(ID));
        prop_assert_eq!(found.unit, None);
    }
}

/// Writes the files of a runtime below a folder, asks for the container, and removes all again.
fn described(name: &str, path: &str, files: &[(&str, String)]) -> Vec<(Cow<'static, str>, String)> {
    let root = std::env::temp_dir().join(format!("container-{name}-{}", std::process::id()));
    for (path, text) in files {
        let path = below(&root, path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    let mut containers = Containers::at(root.clone(), Arc::default());
    let place = place(path);
    let found = containers.find(&place, 0);
    fs::remove_dir_all(&root).ok();
    assert_eq!(containers.find(&place, 0), found, "what was found is kept");
    describe(&place, found.as_deref(), true)
}

fn is(found: &[(Cow<'static, str>, String)], expected: &[(&str, &str)]) {
    let found: Vec<(&str, &str)> = found.iter().map(|(key, value)| (key.as_ref(), value.as_str())).collect();
    assert_eq!(found, expected);
}

#[test]
fn docker_tells_name_and_image() {
    let config = r#"{"Name":"/web","Config":{"Image":"nginx:1.27","Labels":{}},"State":{"Pid":1}}"#;
    let file = format!("/var/lib/docker/containers/{ID}/config.v2.json");
    let found = described("docker", &format!("/docker/{ID}"), &[(&file, config.to_owned())]);
    is(
        &found,
        &[
            ("container.id", ID),
            ("container.runtime.name", "docker"),
            ("container.name", "web"),
            ("container.image.name", "nginx:1.27"),
        ],
    );
}

#[test]
fn containerd_tells_pod_and_namespace() {
    let config = format!(
        r#"{{"ociVersion":"1.1.0","annotations":{{
        "io.kubernetes.cri.container-name":"app","io.kubernetes.cri.image-name":"registry/app:2",
        "io.kubernetes.cri.sandbox-name":"app-7f","io.kubernetes.cri.sandbox-namespace":"shop",
        "io.kubernetes.cri.sandbox-uid":"{UID}"}}}}"#
    );
    let file = format!("/run/containerd/io.containerd.runtime.v2.task/k8s.io/{ID}/config.json");
    // Neither the runtime nor, for a static pod, the pod's id is in the path.
    let found = described("containerd", &format!("/kubepods/burstable/pod{HASH}/{ID}"), &[(&file, config)]);
    is(
        &found,
        &[
            ("container.id", ID),
            ("container.runtime.name", "containerd"),
            ("k8s.pod.uid", UID),
            ("gala_gopher.k8s.static_pod.hash", HASH),
            ("container.name", "app"),
            ("container.image.name", "registry/app:2"),
            ("k8s.container.name", "app"),
            ("k8s.pod.name", "app-7f"),
            ("k8s.namespace.name", "shop"),
        ],
    );
}

#[test]
fn crio_and_podman_share_their_storage() {
    let annotations = r#"{"annotations":{"io.kubernetes.container.name":"db","io.kubernetes.pod.name":"db-0",
        "io.kubernetes.pod.namespace":"shop","io.kubernetes.cri-o.ImageName":"docker.io/library/postgres:17"}}"#;
    let file = format!("/run/containers/storage/overlay-containers/{ID}/userdata/config.json");
    let path = format!("/kubepods.slice/kubepods-pod{UID_}.slice/crio-{ID}.scope");
    let found = described("crio", &path, &[(&file, annotations.to_owned())]);
    is(
        &found,
        &[
            ("container.id", ID),
            ("container.runtime.name", "cri-o"),
            ("k8s.pod.uid", UID),
            ("container.name", "db"),
            ("container.image.name", "docker.io/library/postgres:17"),
            ("k8s.container.name", "db"),
            ("k8s.pod.name", "db-0"),
            ("k8s.namespace.name", "shop"),
        ],
    );
    let list = format!(
        r#"[{{"id":"{OTHER}","names":["x"]}},
        {{"id":"{ID}","names":["mail"],"metadata":"{{\"image-name\":\"quay.io/mail:3\",\"name\":\"mail\"}}"}}]"#
    );
    let file = "/var/lib/containers/storage/overlay-containers/containers.json";
    let found = described("podman", &format!("/machine.slice/libpod-{ID}.scope"), &[(file, list)]);
    is(
        &found,
        &[
            ("container.id", ID),
            ("container.runtime.name", "podman"),
            ("container.name", "mail"),
            ("container.image.name", "quay.io/mail:3"),
        ],
    );
}

#[test]
fn a_container_that_no_runtime_knows_keeps_its_id() {
    let broken = format!("/var/lib/docker/containers/{ID}/config.v2.json");
    for files in
        [vec![], vec![(broken.as_str(), "{\"Name\":".to_owned())], vec![(broken.as_str(), "[]".to_owned())]]
    {
        let found = described("miss", &format!("/docker/{ID}"), &files);
        is(&found, &[("container.id", ID), ("container.runtime.name", "docker")]);
    }
    is(&described("none", "/system.slice/x.service", &[]), &[]);
}
