//! The list of probes, of which one is ours. In: the list. Out: the stanza named "event", and the names of
//! the other probes.

use crate::config::Probe;
use crate::config::kind::{items, list};
use crate::config::read::Reader;
use crate::config::schema::{Kind, Section, SectionDoc};
use crate::config::tree::{Node, Value, get};

/// The name of this probe in the list.
pub(crate) const OURS: &str = "event";

/// Reads our stanza out of the list of probes.
pub(crate) struct Probes;

impl Kind for Probes {
    type Value = Probe;

    fn accepts(&self) -> String {
        "list of sections".to_owned()
    }

    fn read(&self, reader: &mut Reader, key: &str, node: &Node) -> Option<Probe> {
        let mut ours: Option<(Probe, usize)> = None;
        let mut others = Vec::new();
        let mut all_named = true;
        for (index, item) in items(reader, key, node)?.iter().enumerate() {
            let path = format!("{key}.{index}");
            let table = reader.table(item, &path);
            let name = table.and_then(|table| name(reader, &path, item, get(table, "name")));
            let (Some(table), Some(name)) = (table, name) else {
                all_named = false;
                continue;
            };
            let path = format!("{key}.{name}");
            if name != OURS {
                reader.belongs_to_others(path);
                others.push(name);
            } else if let Some((_, line)) = ours {
                let message = format!("a second probe is named {OURS:?}; the first one is in line {line}");
                reader.error(item, &path, message);
            } else {
                ours = Some((Probe::read(reader, &path, table), item.place.line));
            }
        }
        // Where a stanza has no usable name it was most likely meant, and is reported already.
        if ours.is_none() && all_named {
            let near = crate::nearest::nearest(OURS, others.iter().map(String::as_str));
            let near = near.map(|near| format!("; did you mean it by {near:?}?")).unwrap_or_default();
            reader.error(node, key, missing(reader.libconfig, &near));
        }
        ours.map(|(probe, _)| probe)
    }

    fn show(&self, value: &Probe) -> Option<Value> {
        Some(list(std::iter::once(Value::Table(value.show()))))
    }

    fn sections(&self, key: &str) -> Vec<SectionDoc> {
        Probe::docs(key, true)
    }
}

fn name(reader: &mut Reader, path: &str, item: &Node, name: Option<&Node>) -> Option<String> {
    let key = format!("{path}.name");
    let Some(node) = name else {
        reader.error(item, &key, format!("missing; every probe has a name, this one is name = {OURS:?}"));
        return None;
    };
    let text = reader.text(node, &key)?;
    if text.is_empty() {
        reader.error(node, &key, format!("is empty; this probe is name = {OURS:?}"));
        return None;
    }
    Some(text.to_owned())
}

/// What to do when no stanza is ours.
pub(crate) fn missing(libconfig: bool, near: &str) -> String {
    let stanza = if libconfig {
        "probes = ( { name = \"event\"; switch = \"on\"; } );"
    } else {
        "[[probes]] with name = \"event\" and switch = \"on\""
    };
    format!("no probe is named {OURS:?}{near}; write {stanza}")
}
