//! The record of: a process that ended by a signal or with a non-zero exit code.

use super::{Attributes, Said};
use crate::{event::Exit, severity::Severity};

/// Says what happened.
pub fn say<'a>(event: &'a Exit, attributes: &mut Attributes<'a>) -> Said {
    attributes.subject(&event.subject);
    Said { event_name: "gala_gopher.exit", severity: Severity::Warn, body: String::new() }
}
