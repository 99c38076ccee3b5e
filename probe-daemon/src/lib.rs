//! The event probe's daemon: sees in the kernel where something goes wrong, and delivers one OpenTelemetry log
//! record for it.
//!
//! The flow, left to right: [`source`] → [`event`] → [`enrich`] and [`fold`] in the [`pipeline`] → [`record`] → [`encode`] → [`sink`].
//! [`run`] holds all tasks and channels; [`config`] and [`policy`] say what is captured and where it goes.

#![forbid(unsafe_code)]

pub mod account;
pub mod capability;
pub mod catalogue;
pub mod cgroup;
pub mod clock;
pub mod config;
pub mod encode;
pub mod enrich;
pub mod errno;
pub mod event;
pub mod exec;
pub mod facts;
pub mod filter;
pub mod fold;
#[cfg(test)]
mod generated;
pub mod glob;
pub mod io_uring;
pub mod losses;
pub mod members;
pub mod meter;
pub mod nearest;
pub mod pipeline;
pub mod policy;
pub mod record;
pub mod replay;
pub mod run;
pub mod severity;
pub mod sink;
pub mod source;
pub mod spool;
pub mod state;
pub mod symbols;
pub mod syscall;
pub mod text_file;
mod victim;
