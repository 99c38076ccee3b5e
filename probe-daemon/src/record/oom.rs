//! The record of: a process that the kernel kills for memory.

use super::{Attributes, Said};
use crate::{event::OomKill, severity::Severity};

/// Says what happened.
pub fn say<'a>(event: &'a OomKill, attributes: &mut Attributes<'a>) -> Said {
    attributes.subject(&event.subject);
    Said { event_name: "gala_gopher.oom", severity: Severity::Warn, body: String::new() }
}
