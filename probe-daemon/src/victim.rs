//! Whom the kernel killed for memory, until they have ended.
//!
//! In: OOM kills and exits, in the order of the ring buffer. Out: the exit of a victim refers to the record of its
//! kill. Bounded: the oldest victim is forgotten first.

use std::collections::VecDeque;

use ulid::Ulid;

use crate::event::{End, Exit, OomKill, Subject};

/// Victims that are remembered at most.
const CAPACITY: usize = 1024;
const SIGKILL: u32 = 9;

/// Recent victims: process id, start of the process, id of the record.
#[derive(Debug, Default)]
pub struct Victims(VecDeque<(u32, Option<u64>, Ulid)>);

impl Victims {
    /// Remembers a victim, whose record is going to have this id.
    pub fn remember(&mut self, kill: &mut OomKill, id: Ulid) {
        kill.record = Some(id);
        self.0.truncate(CAPACITY - 1);
        self.0.push_front((kill.subject.pid, kill.subject.process_start, id));
    }

    /// Says of an exit by SIGKILL which OOM kill it comes of.
    pub fn explain(&self, exit: &mut Exit) {
        let Subject { pid, process_start, .. } = exit.subject;
        if matches!(exit.end, End::Signal { number: SIGKILL, .. }) {
            exit.oom = self.0.iter().find(|known| (known.0, known.1) == (pid, process_start)).map(|it| it.2);
        }
    }
}
