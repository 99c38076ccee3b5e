//! What earlier daemons have left: their kernel side is taken over, or what it still holds is delivered and it is replaced.
//!
//! In: the kernel sides that are pinned. Out: the one to go on with, and what was in the others.

use std::time::Duration;

use aya::{
    maps::{MapData, PerCpuArray},
    programs::loaded_links,
};
use probe_common::{COUNTERS, Counters, Kind, LEDGER, Ledger as Entry};
use tokio::time;
use tracing::{debug, info, warn};

use super::{
    KernelError, LAST_PROGRAMS,
    drain::{Drained, drain},
    ledger::Ledger,
    maps::{Maps, ring},
    outbox::Outbox,
    pins::{Pins, Side},
    repeats::Repeats,
};
use crate::meter::Meter;

/// A link is gone so long after nobody has it any more, at the latest: kernels before 6.9 wait until all CPUs have been
/// somewhere else.
const LAST_LINKS: Duration = Duration::from_secs(1);

/// What a daemon has taken over.
#[derive(Clone, Copy, Debug)]
pub struct Inherited {
    /// The account as it was found.
    pub ledger: Entry,
    /// The programs of that account do not run any more: others have taken their place, with an account of their own.
    pub replaced: bool,
}

/// What was found.
#[derive(Default)]
pub struct Estate {
    /// The kernel side to go on with.
    pub side: Option<Side>,
    /// What was in those that are replaced.
    pub rest: Outbox,
    /// What those have counted.
    pub counted: [Counters; Kind::ALL.len()],
    /// The account of one of them, or of the one to go on with.
    pub inherited: Option<Inherited>,
}

impl Estate {
    /// Looks through all that is pinned, for one that is called `name`.
    pub async fn find(pins: &Pins, name: &str, meter: &Meter) -> Self {
        let mut estate = Self::default();
        for mut side in pins.sides() {
            if pins.keep() && side.is(name) && side.runs() {
                let ledger = side.get(LEDGER).ok();
                estate.inherited = ledger.map(|ledger| Inherited { ledger, replaced: false });
                estate.side = Some(side);
            } else {
                estate.replace(side, meter).await;
            }
        }
        estate
    }

    /// Takes a kernel side down, and keeps what it holds.
    pub async fn replace(&mut self, mut side: Side, meter: &Meter) {
        until_gone(&side.detach()).await;
        if side.has_this_layout() && side.is_whole() {
            match self.empty(&mut side, meter) {
                Ok(events) => info!(
                    events,
                    "another version or configuration has captured before; what it had not delivered is, and programs \
                     are attached anew"
                ),
                Err(error) => warn!(%error, "what an earlier daemon has captured and not delivered is lost"),
            }
        } else if let Ok(mut ring) = ring(&mut side) {
            let mut events: u64 = 0;
            while ring.next().is_some() {
                events += 1;
            }
            meter.received.add(events);
            meter.malformed.add(events);
            self.counted[Kind::Syscall as usize].sent += events;
            warn!(
                events,
                "another version has captured before, or its pins were touched; what it had not delivered is lost, \
                 repeats that it counted among it, and programs are attached anew"
            );
        } else {
            warn!("pins of an earlier daemon were not whole; programs are attached anew");
        }
        side.remove();
    }

    /// Takes what a kernel side holds when its programs are gone; how many events.
    fn empty(&mut self, side: &mut Side, meter: &Meter) -> Result<u64, KernelError> {
        let ledger: Entry = side.get(LEDGER)?;
        let account = Ledger::new(side)?;
        let mut repeats = Repeats::new(side, account)?;
        let mut ring = ring(side)?;
        let counters = PerCpuArray::try_from(side.take(COUNTERS)?)
            .map_err(|e| KernelError::refused("opening the counters", e))?;
        meter.folded_before.add(repeats.inherit()?);
        let (received, folded) = (meter.received.get(), meter.folded.get());
        while drain(&mut ring, meter, None, &mut self.rest) == Drained::Some {}
        self.rest.put(repeats.rest(meter), meter);
        let received = meter.received.get() - received;
        let mut sent = 0;
        for kind in Kind::ALL {
            let counted = sum(&of_kind(&counters, kind)?);
            let total = &mut self.counted[kind as usize];
            (total.sent, total.lost) = (total.sent + counted.sent, total.lost + counted.lost);
            sent += counted.sent;
        }
        meter.received_before.add(sent.saturating_sub(received));
        // There is one account; of another kernel side, which nobody could remove, it would be about other counts.
        if self.inherited.is_none_or(|known| known.ledger.epoch == ledger.epoch) {
            self.inherited = Some(Inherited { ledger, replaced: true });
        }
        Ok(received + meter.folded.get() - folded)
    }
}

/// What each CPU has counted of a kind.
pub fn of_kind(counters: &PerCpuArray<MapData, Counters>, kind: Kind) -> Result<Vec<Counters>, KernelError> {
    let values =
        counters.get(&(kind as u32), 0).map_err(|e| KernelError::refused("reading the counters", e))?;
    Ok(values.iter().copied().collect())
}

/// What all CPUs have counted.
pub fn sum(counters: &[Counters]) -> Counters {
    counters.iter().fold(Counters::default(), |sum, cpu| Counters {
        sent: sum.sent + cpu.sent,
        lost: sum.lost + cpu.lost,
    })
}

/// Waits until the programs of these links, which nobody holds any more, have run for the last time.
pub async fn until_gone(ids: &[u32]) {
    let end = time::Instant::now() + LAST_LINKS;
    while time::Instant::now() < end {
        let mut there = false;
        for link in loaded_links() {
            match link {
                Ok(link) => there |= ids.contains(&link.id()),
                Err(error) => {
                    // It takes CAP_SYS_ADMIN to ask.
                    debug!(%error, "links cannot be listed");
                    there = true;
                    break;
                }
            }
        }
        if !there {
            break;
        }
        time::sleep(LAST_PROGRAMS / 4).await;
    }
    time::sleep(LAST_PROGRAMS).await;
}
