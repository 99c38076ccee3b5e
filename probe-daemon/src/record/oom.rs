//! The record of a process that the kernel kills for memory.

use super::{Attributes, Told, VALUE_LEN, cgroup, cut};
use crate::event::OomKill;

/// `EventName`.
pub const OOM_KILL: &str = "gala_gopher.oom.kill";

/// Says what happened.
pub fn say<'a>(event: &'a OomKill, attributes: &mut Attributes<'a>) -> Told {
    attributes.subject(&event.subject);
    cgroup(&event.cgroup, attributes);
    let constraint = if event.limit.is_some() { "memcg" } else { "global" };
    attributes.put("gala_gopher.oom.constraint", constraint);
    if let Some((limited, bytes)) = &event.limit {
        attributes.put("gala_gopher.oom.limit.cgroup", cut(limited.shown(), VALUE_LEN));
        attributes.put("gala_gopher.oom.limit.cgroup_id", limited.id);
        attributes.put("gala_gopher.oom.limit.bytes", *bytes);
    }
    attributes.put("gala_gopher.oom.total_vm_kb", event.total_vm);
    attributes.put("gala_gopher.oom.anon_rss_kb", event.anon);
    attributes.put("gala_gopher.oom.file_rss_kb", event.file);
    attributes.put("gala_gopher.oom.shmem_rss_kb", event.shmem);
    attributes.put("gala_gopher.oom.pgtables_kb", event.pgtables);
    attributes.put("gala_gopher.oom.score_adj", i64::from(event.score_adj));
    attributes.put("gala_gopher.oom.trigger.pid", event.trigger.0);
    attributes.put("gala_gopher.oom.trigger.name", event.trigger.1.as_str());
    (OOM_KILL, sentence(event))
}

/// `OOM kill (memcg /kubepods/x, limit 262144 kB): java[77] uid=1000 anon-rss=512000kB oom_score_adj=0`
fn sentence(event: &OomKill) -> String {
    let scope = match &event.limit {
        Some((limited, bytes)) => {
            let path = limited.shown().escape_debug().to_string();
            format!("memcg {}, limit {} kB", cut(&path, VALUE_LEN), bytes / 1024)
        }
        None => "global".to_owned(),
    };
    let OomKill { subject, anon, score_adj, .. } = event;
    format!(
        "OOM kill ({scope}): {}[{}] uid={} anon-rss={anon}kB oom_score_adj={score_adj}",
        subject.comm.escape_debug(),
        subject.pid,
        subject.uid
    )
}
