//! Floods: in comes a rate, out comes the number of failing calls that one process has made.

use std::sync::atomic::Ordering::SeqCst;

use anyhow::Result;
use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};

use super::child::{self, Slot};

/// How fast a flood runs.
#[derive(Debug, Clone, Copy)]
pub enum Pace {
    /// So many calls in each millisecond.
    PerMillisecond(u64),
    /// As fast as the machine can.
    Unpaced,
}

/// A process that makes failing calls, `close(-1)`, one after the other.
#[derive(Debug)]
pub struct Flood {
    pid: Pid,
    slot: Slot,
    ended: bool,
}

impl Flood {
    /// Starts a process that makes `limit` calls and then ends.
    pub fn start(pace: Pace, limit: u64) -> Result<Self> {
        let slot = Slot::new()?;
        let a_millisecond = match pace {
            Pace::PerMillisecond(calls) => Some(calls),
            Pace::Unpaced => None,
        };
        let pid = child::flood(a_millisecond, limit, &slot)?;
        Ok(Self { pid, slot, ended: false })
    }

    /// Its process id.
    pub fn pid(&self) -> i32 {
        self.pid.as_raw_nonzero().get()
    }

    /// The calls that it has counted so far.
    pub fn calls(&self) -> u64 {
        self.slot.outcome().calls.load(SeqCst)
    }

    /// Whether it has made all its calls.
    pub fn ended(&mut self) -> Result<bool> {
        self.ended = self.ended || waitpid(Some(self.pid), WaitOptions::NOHANG)?.is_some();
        Ok(self.ended)
    }
}

impl Drop for Flood {
    fn drop(&mut self) {
        if !self.ended {
            kill_process(self.pid, Signal::KILL).ok();
            waitpid(Some(self.pid), WaitOptions::empty()).ok();
        }
    }
}
