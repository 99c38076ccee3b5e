//! Repeats of a failure become one record.
//!
//! In: events as they come, counts of repeats that the kernel has folded, and the time. Out: what is to become a
//! record now, with the number of occurrences that it stands for. Nothing is lost here: each occurrence goes out
//! in exactly one record, the last at [`Fold::finish`]. Pure, but for its state.
//!
//! The first failure goes out at once and opens a window of `interval`; what repeats in it goes out as one record
//! when it ends. While repeats go on, each window is twice as long as the one before, up to `timeout`. A window
//! without repeats closes, and the next failure is a first one again.

use std::{collections::HashMap, time::Duration};

use crate::event::{End, Event, Exit, Observation, Subject};

/// Failures whose windows are open at most; what comes beyond goes out unfolded.
const CAPACITY: usize = 16 * 1024;

/// Which failures are repeats of one another.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub enum Key {
    /// The same call of the same process with the same error: process, slot in the policy,
    /// number, error number.
    Call(u32, u32, u32, u32),
    /// The same operation of the same process with the same error: process, opcode, error number.
    IoUring(u32, u32, u32),
    /// Processes of the same program, name, user and cgroup that end in the same way, as in a crash loop: device and
    /// inode number of the executable, name, effective user id, name of the cgroup (which a restarted service keeps,
    /// unlike the id), end, and for one that seccomp killed the system call: architecture and number.
    Exit((u32, u64), String, u32, String, End, Option<(u32, u32)>),
}

impl Key {
    /// The key of an event; none where each has its own record.
    fn of(event: &Event) -> Option<Self> {
        match event {
            Event::Call(call) => Some(Self::Call(call.subject.pid, call.slot, call.nr, call.errno)),
            Event::IoUring(request) => {
                Some(Self::IoUring(request.subject.pid, request.opcode, request.errno))
            }
            // The one end that an OOM kill's record is joined with.
            Event::Exit(Exit { oom: Some(_), .. }) => None,
            Event::Exit(exit) => {
                let syscall = exit.refused.map(|refused| (refused.arch, refused.syscall));
                let Subject { comm, euid, .. } = &exit.subject;
                let cgroup = exit.cgroup.name.clone();
                Some(Self::Exit(exit.program, comm.clone(), *euid, cgroup, exit.end, syscall))
            }
            Event::Oom(_) | Event::Offcpu(_) | Event::Probe(_) => None,
        }
    }
}

/// What is to become a record.
#[derive(Clone, Debug, PartialEq)]
pub struct Folded {
    /// One of the occurrences, with the most that is known of it.
    pub seen: Observation,
    /// How many occurrences it stands for.
    pub occurrences: u64,
    /// The time in which they happened; zero for a first one.
    pub window: Duration,
}

/// The open windows.
pub struct Fold {
    interval: Duration,
    timeout: Duration,
    open: HashMap<Key, Window>,
}

struct Window {
    seen: Observation,
    pending: u64,
    length: Duration,
    /// `CLOCK_BOOTTIME`, nanoseconds.
    ends: u64,
}

impl Fold {
    /// No window open. A `timeout` shorter than `interval` (0, for instance) keeps windows from growing.
    pub fn new(interval: Duration, timeout: Duration) -> Self {
        Self { interval, timeout, open: HashMap::new() }
    }

    /// Takes `count` occurrences of what was `seen`; `now` is `CLOCK_BOOTTIME` in nanoseconds. They come out again
    /// here, if they are the first, or later from [`Fold::sweep`]. `seen` is kept where it knows more than what is
    /// kept already: an event from the ring has the memory behind its arguments, a count has not.
    pub fn take(&mut self, seen: Observation, count: u64, from_ring: bool, now: u64) -> Option<Folded> {
        let Some(key) = Key::of(&seen.event) else {
            return Some(Folded { seen, occurrences: count, window: Duration::ZERO });
        };
        if let Some(window) = self.open.get_mut(&key) {
            window.pending += count;
            if from_ring {
                window.seen = seen;
            }
            return None;
        }
        if self.open.len() < CAPACITY {
            let ends = now.saturating_add(nanoseconds(self.interval));
            self.open.insert(key, Window { seen: seen.clone(), pending: 0, length: self.interval, ends });
        }
        Some(Folded { seen, occurrences: count, window: Duration::ZERO })
    }

    /// What windows that have ended by `now` have gathered. A window that gathered something opens anew.
    pub fn sweep(&mut self, now: u64) -> Vec<Folded> {
        let mut out = Vec::new();
        let (interval, timeout) = (self.interval, self.timeout);
        self.open.retain(|_, window| {
            if now < window.ends {
                return true;
            }
            let Some(folded) = window.gathered() else { return false };
            out.push(folded);
            window.length = (window.length * 2).min(timeout).max(interval);
            window.ends = now.saturating_add(nanoseconds(window.length));
            true
        });
        out
    }

    /// What all windows have gathered so far; none is open afterwards.
    pub fn finish(&mut self) -> Vec<Folded> {
        self.open.drain().filter_map(|(_, mut window)| window.gathered()).collect()
    }
}

impl Window {
    fn gathered(&mut self) -> Option<Folded> {
        let occurrences = std::mem::take(&mut self.pending);
        (occurrences > 0).then(|| Folded { seen: self.seen.clone(), occurrences, window: self.length })
    }
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
