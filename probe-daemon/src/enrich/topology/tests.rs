//! The table by itself; parsers and any bytes; runtimes that hang, babble and die, on real sockets.

use std::{convert::Infallible, time::Duration};

use bytes::{BufMut, BytesMut};
use proptest::prelude::*;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{UnixListener, UnixStream},
};

use super::{
    docker::{Inspected, Listed},
    watch::{Socket, SocketError},
    *,
};

fn container(id: &str, pid_namespace: i64) -> Container {
    Container {
        id: id.to_owned(),
        name: format!("name of {id}"),
        pid: 1,
        pid_namespace,
        ..Container::default()
    }
}

#[test]
fn what_is_added_is_found_and_what_is_deleted_is_not() {
    let topology = Topology::default();
    let own = topology.own_pid_ns;
    assert_eq!(topology.apply(0, Change::Add, container("a", 7)), Ok(()));
    assert_eq!(topology.by_pid_ns(7).as_deref(), Some(&container("a", 7)));
    assert_eq!(topology.by_id("a"), topology.by_pid_ns(7));
    assert_eq!((topology.by_pid_ns(8), topology.by_id("b")), (None, None));
    // Another one in another namespace, and the host's own, which is nobody's.
    for (id, pid_ns) in [("b", 8), ("c", own), ("d", INITIAL_PID_NS)] {
        topology.apply(0, Change::Add, container(id, pid_ns)).unwrap();
    }
    assert_eq!((topology.by_pid_ns(own), topology.by_pid_ns(INITIAL_PID_NS)), (None, None));
    assert!(topology.by_id("c").is_some());
    topology.apply(0, Change::Note, container("b", 0)).unwrap();
    assert!(topology.by_pid_ns(8).is_none() && topology.by_id("b").is_some());
    topology.apply(0, Change::Delete, container("a", 0)).unwrap();
    assert_eq!((topology.by_pid_ns(7), topology.by_id("a")), (None, None));
    assert_eq!(topology.apply(0, Change::Delete, container("a", 0)), Ok(()));
    assert!(topology.read().by_pid_ns.is_empty());
}

#[test]
fn what_a_change_lacks_is_said_and_changes_nothing() {
    let topology = Topology::default();
    for pid_ns in [0, -1, i64::MIN] {
        let error = TopologyError::PidNamespace(pid_ns);
        assert_eq!(topology.apply(0, Change::Add, container("a", pid_ns)), Err(error));
    }
    assert_eq!(topology.apply(0, Change::Add, container("", 7)), Err(TopologyError::NoContainer));
    assert_eq!((topology.by_id("a"), topology.changes()), (None, 0));
    assert_eq!(Change::of_docker("attach"), Err(TopologyError::UnknownKind("attach".to_owned())));
    assert_eq!(Change::of_cri(4), Err(TopologyError::UnknownKind("4".to_owned())));
    assert_eq!(Change::of_docker("start"), Change::of_cri(1));
    assert_eq!(Change::of_docker("destroy"), Change::of_cri(3));
}

#[test]
fn who_shares_a_namespace_has_only_the_pod_in_common() {
    let topology = Topology::default();
    for id in ["a", "b"] {
        let container = Container { pod: "shop-0".into(), namespace: "prod".into(), ..container(id, 7) };
        topology.apply(0, Change::Add, container).unwrap();
    }
    let both = topology.by_pid_ns(7).unwrap();
    assert_eq!((both.id.as_str(), both.name.as_str(), both.pod.as_str()), ("", "", "shop-0"));
    topology.apply(0, Change::Delete, container("a", 7)).unwrap();
    assert_eq!(topology.by_pid_ns(7).unwrap().id, "b");
}

#[test]
fn one_that_docker_knows_without_its_pod_keeps_the_pod_that_the_cri_tells() {
    let topology = Topology::default();
    let of_pod = Container { pod: "shop-0".into(), ..container("a", 7) };
    topology.apply(1, Change::Add, of_pod.clone()).unwrap();
    topology.apply(0, Change::Add, container("a", 7)).unwrap();
    topology.keep(0, |_| false);
    assert_eq!(topology.by_id("a").as_deref(), Some(&of_pod));
    topology.keep(1, |_| false);
    assert_eq!(topology.by_id("a"), None);
}

#[test]
fn the_table_is_bounded() {
    let topology = Topology::default();
    for number in 0..MOST {
        topology.apply(0, Change::Add, container(&number.to_string(), 1 + number as i64)).unwrap();
    }
    assert_eq!(topology.apply(0, Change::Add, container("one more", 7)), Err(TopologyError::Full));
    assert_eq!(topology.apply(0, Change::Note, container("0", 0)), Ok(()), "one that is there still changes");
    topology.apply(0, Change::Delete, container("0", 0)).unwrap();
    assert_eq!(topology.apply(0, Change::Add, container("one more", 7)), Ok(()));
}

#[test]
fn labels_are_bounded_and_say_nothing_twice() {
    let long = "é".repeat(LABEL_LEN);
    let all = (0..100).map(|number| (format!("key-{number:03}"), long.clone()));
    let said =
        [("io.kubernetes.pod.name".to_owned(), "x".to_owned()), ("k".repeat(LABEL_LEN + 1), "x".to_owned())];
    let kept = labels(all.chain(said));
    assert_eq!(kept.len(), MOST_LABELS);
    assert!(kept.values().all(|value| value.len() == LABEL_LEN));
    assert_eq!(kept.keys().next().map(String::as_str), Some("key-000"));
}

#[test]
fn docker_and_podman_describe_containers() {
    let inspected = r#"{"Id":"3b1d","Name":"/web","State":{"Status":"running","Pid":0},"Mounts":[],
        "Config":{"Image":"nginx:1.27","Labels":{"app":"shop"}}}"#;
    let found = serde_json::from_str::<Inspected>(inspected).unwrap().container("docker");
    let expect = Container {
        id: "3b1d".into(),
        name: "web".into(),
        image: "nginx:1.27".into(),
        labels: [("app".to_owned(), "shop".to_owned())].into(),
        runtime: Some("docker"),
        ..Container::default()
    };
    assert_eq!(found, expect);
    let listed = r#"{"Id":"3b1d","Names":["/k8s_web"],"Image":"nginx:1.27","State":"exited","Labels":{
        "io.kubernetes.pod.name":"shop-0","io.kubernetes.pod.namespace":"prod","io.kubernetes.pod.uid":"9c2e",
        "io.kubernetes.container.name":"web","io.kubernetes.sandbox.id":"0f0e","app":"shop"}}"#;
    let found = serde_json::from_str::<Listed>(listed).unwrap().container("docker");
    let of_pod = Container {
        pod: "shop-0".into(),
        namespace: "prod".into(),
        pod_uid: "9c2e".into(),
        sandbox_id: "0f0e".into(),
        ..expect
    };
    assert_eq!(found, of_pod);
    let nothing = r#"{"Id":"3b1d","Name":"","State":{"Pid":null},"Config":{"Image":null,"Labels":null}}"#;
    let found = serde_json::from_str::<Inspected>(nothing).unwrap().container("podman");
    assert_eq!(found, Container { id: "3b1d".into(), runtime: Some("podman"), ..Container::default() });
}

/// A change as Docker writes it.
fn message(action: &str, id: &str) -> String {
    format!(
        r#"{{"status":"{action}","Type":"container","Action":"{action}","Actor":{{"ID":"{id}"}},"time":1}}"#
    )
}

proptest! {
    #[test]
    fn changes_come_whole_however_they_are_torn(
        ids in prop::collection::vec("[0-9a-f]{0,64}", 0..6), gap in "[ \n]{0,3}", size in 1..40_usize,
    ) {
        let text: String = ids.iter().map(|id| message("start", id) + &gap).collect();
        let (mut buffer, mut found) = (BytesMut::new(), 0);
        for piece in text.as_bytes().chunks(size) {
            buffer.extend_from_slice(piece);
            found += docker::messages(&mut buffer).unwrap().len();
        }
        prop_assert_eq!(found, ids.len());
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = docker::messages(&mut BytesMut::from(&bytes[..]));
        let _ = serde_json::from_slice::<Vec<Listed>>(&bytes);
        let mut buffer = BytesMut::from(&bytes[..]);
        while let Ok(Some(_)) = grpc::message(&mut buffer) {}
        cri::decode_any(&bytes);
    }

    #[test]
    fn grpc_messages_come_whole_however_they_are_torn(
        messages in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..50), 0..6), size in 1..20_usize,
    ) {
        let mut all = BytesMut::new();
        for message in &messages {
            all.put_u8(0);
            all.put_u32(u32::try_from(message.len()).unwrap());
            all.extend_from_slice(message);
        }
        let (mut buffer, mut found) = (BytesMut::new(), Vec::new());
        for piece in all.chunks(size) {
            buffer.extend_from_slice(piece);
            while let Some(message) = grpc::message(&mut buffer).unwrap() {
                found.push(message.to_vec());
            }
        }
        prop_assert_eq!(found, messages);
    }
}

/// How a session with a runtime ends that does this with each connection. Time is only waited for where nothing else is to do.
fn ends<F: Future<Output = ()> + Send + 'static>(
    runtime: impl Fn(UnixStream) -> F + Send + 'static,
) -> [SocketError; 2] {
    let built =
        tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    let folder = tempdir();
    let path = folder.join("runtime.sock");
    let ended = built.block_on(async {
        let listener = UnixListener::bind(&path).unwrap();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(runtime(stream));
            }
        });
        let socket = Socket { path: path.clone(), source: 0, topology: Arc::default() };
        let Err(docker) = docker::follow(&socket).await;
        let Err(cri): Result<Infallible, _> = cri::follow(&socket).await;
        [docker, cri]
    });
    fs::remove_dir_all(folder).unwrap();
    ended
}

fn tempdir() -> std::path::PathBuf {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let folder = std::env::temp_dir().join(format!("topology-{}-{number}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    folder
}

#[test]
fn a_runtime_that_hangs_is_given_up() {
    let ended = ends(|stream| async move {
        tokio::time::sleep(Duration::from_secs(3600)).await;
        drop(stream);
    });
    assert!(ended.iter().all(|error| matches!(error, SocketError::Hangs(_))), "{ended:?}");
}

#[test]
fn a_runtime_that_babbles_or_dies_is_given_up() {
    for words in [
        &b"\x00\xffnothing that anybody understands\r\n\r\n"[..],
        b"",
        b"HTTP/1.1 500 No\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nnot json!",
    ] {
        let ended = ends(move |mut stream| async move {
            let mut question = [0; 1024];
            let _ = stream.read(&mut question).await;
            let _ = stream.write_all(words).await;
        });
        assert!(
            ended.iter().all(|error| matches!(error, SocketError::Answer(_) | SocketError::Ended)),
            "{ended:?}"
        );
    }
}

#[test]
fn nobody_listens() {
    let topology = Arc::default();
    let socket = Socket { path: "/nonexistent/x.sock".into(), source: 0, topology };
    let built = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let Err(error) = built.block_on(docker::follow(&socket));
    assert!(matches!(error, SocketError::Connect(_)), "{error:?}");
}

/// A fake of the CRI: answers to three methods, and a change whenever there is one.
async fn fake(stream: UnixStream, containers: usize) {
    let mut connection = h2::server::handshake(stream).await.unwrap();
    while let Some(Ok((request, mut respond))) = connection.accept().await {
        let method = request.uri().path().rsplit('/').next().unwrap_or_default().to_owned();
        let answer = cri::fake_answer(&method, containers);
        let headers = ::http::Response::builder().header("content-type", "application/grpc");
        let Some(answer) = answer else {
            let refused = headers.header("grpc-status", "12").header("grpc-message", "no such method");
            respond.send_response(refused.body(()).unwrap(), true).unwrap();
            continue;
        };
        let mut body = respond.send_response(headers.body(()).unwrap(), false).unwrap();
        let mut framed = BytesMut::new();
        framed.put_u8(0);
        framed.put_u32(u32::try_from(answer.len()).unwrap());
        framed.extend_from_slice(&answer);
        body.send_data(framed.freeze(), false).unwrap();
        let mut trailers = ::http::HeaderMap::new();
        trailers.insert("grpc-status", ::http::HeaderValue::from_static("0"));
        body.send_trailers(trailers).unwrap();
    }
}

#[test]
fn a_thousand_containers_of_the_cri_are_known_with_their_pod() {
    const CONTAINERS: usize = 1000;
    let built = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let folder = tempdir();
    let topology: Arc<Topology> = Arc::default();
    let socket = Socket { path: folder.join("cri.sock"), source: 0, topology: Arc::clone(&topology) };
    built.block_on(async {
        let listener = UnixListener::bind(&socket.path).unwrap();
        let served = async {
            let (stream, _) = listener.accept().await.unwrap();
            fake(stream, CONTAINERS).await;
        };
        let known = async {
            while topology.by_id(&format!("{:064x}", CONTAINERS - 1)).is_none() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::select! {
            () = known => {}
            () = served => panic!("the connection ended"),
            ended = cri::follow(&socket) => panic!("{ended:?}"),
        }
    });
    fs::remove_dir_all(folder).unwrap();
    let found = topology.by_id(&format!("{:064x}", 7)).unwrap();
    let expect = Container {
        id: format!("{:064x}", 7),
        pod: "shop-0".into(),
        sandbox_id: "sandbox".into(),
        name: "web".into(),
        image: "nginx:1.27".into(),
        namespace: "prod".into(),
        labels: [("tier".to_owned(), "front".to_owned())].into(),
        pid: std::process::id().into(),
        pid_namespace: topology.own_pid_ns,
        runtime: Some("containerd"),
        pod_uid: "9c2e".into(),
        pod_labels: [("app".to_owned(), "shop".to_owned())].into(),
    };
    assert_eq!(*found, expect);
    assert_eq!(topology.by_id("sandbox").unwrap().pod, "shop-0");
    assert_eq!(topology.by_pid_ns(topology.own_pid_ns), None);
}
