//! The record of: a thread that is kept off the CPU.

use super::{Attributes, Said};
use crate::{event::Offcpu, severity::Severity};

/// Says what happened.
pub fn say<'a>(event: &'a Offcpu, attributes: &mut Attributes<'a>) -> Said {
    attributes.subject(&event.subject);
    Said { event_name: "gala_gopher.offcpu", severity: Severity::Warn, body: String::new() }
}
