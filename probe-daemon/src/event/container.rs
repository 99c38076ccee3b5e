//! A container, as its runtime describes it.
//!
//! In: what `enrich` has found out. Out: a [`Container`]; what is unknown is empty and left out of its JSON.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// A container; its JSON is the `container` of a trace event.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct Container {
    /// The runtime's id of it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub id: String,
    /// Name of its pod.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub pod: String,
    /// The runtime's id of its pod.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub sandbox_id: String,
    /// Its name: in a pod the pod's name for it, else the runtime's.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// What it was made of, as it was asked for.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub image: String,
    /// Kubernetes' namespace of its pod.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub namespace: String,
    /// Its labels.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Its first process, as the host numbers it; 0 where it has none.
    #[serde(skip_serializing_if = "is_zero")]
    pub pid: i64,
    /// Inode of the pid namespace of its processes; 0 where unknown.
    #[serde(skip_serializing_if = "is_zero")]
    pub pid_namespace: i64,
    /// Which runtime has made it.
    #[serde(skip)]
    pub runtime: Option<&'static str>,
    /// Kubernetes' id of its pod.
    #[serde(skip)]
    pub pod_uid: String,
    /// Labels of its pod.
    #[serde(skip)]
    pub pod_labels: BTreeMap<String, String>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks with a reference")]
fn is_zero(number: &i64) -> bool {
    *number == 0
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_empty_is_left_out_and_the_rest_comes_back() {
        assert_eq!(serde_json::to_value(Container::default()).unwrap(), json!({}));
        let container = Container {
            id: "3b1d".into(),
            pod: "shop-0".into(),
            sandbox_id: "0f0e".into(),
            name: "web".into(),
            image: "nginx:1.27".into(),
            namespace: "prod".into(),
            labels: [("app".into(), "shop".into())].into(),
            pid: 77,
            pid_namespace: 4_026_532_201,
            ..Container::default()
        };
        let text = serde_json::to_string(&container).unwrap();
        let expect = r#"{"id":"3b1d","pod":"shop-0","sandbox-id":"0f0e","name":"web","image":"nginx:1.27","#
            .to_owned()
            + r#""namespace":"prod","labels":{"app":"shop"},"pid":77,"pid-namespace":4026532201}"#;
        assert_eq!(text, expect);
        assert_eq!(serde_json::from_str::<Container>(&text).unwrap(), container);
    }
}
