//! How many events earlier daemons have taken out of the ring buffer.
//!
//! In: what the kernel side has counted, and then each record that is read, with its number. Out: the sum, to the unit.
//! The first record of a CPU and kind that is read says how many were read before; of those from which nothing comes
//! everything that was counted was read before.

use probe_common::{Counters, Kind, RingHeader};

/// One number for each kind and CPU.
pub struct Before(Vec<[u64; Kind::ALL.len()]>);

impl Before {
    /// What `counted` says of a kind, for each CPU. Ask before the ring buffer is read, and then read all of it.
    pub fn new(counted: impl Fn(Kind) -> Vec<Counters>) -> Self {
        let mut before = Vec::new();
        for kind in Kind::ALL {
            for (cpu, counters) in counted(kind).into_iter().enumerate() {
                if before.len() <= cpu {
                    before.resize(cpu + 1, [0; Kind::ALL.len()]);
                }
                if let Some(kinds) = before.get_mut(cpu) {
                    kinds[kind as usize] = counters.sent;
                }
            }
        }
        Self(before)
    }

    /// Notes a record that was not read before.
    pub fn see(&mut self, kind: Kind, header: &RingHeader) {
        let cpu = usize::try_from(header.cpu()).unwrap_or(usize::MAX);
        if let Some(kinds) = self.0.get_mut(cpu) {
            let number = &mut kinds[kind as usize];
            *number = (*number).min(header.number().saturating_sub(1));
        }
    }

    /// All of them.
    pub fn sum(&self) -> u64 {
        self.0.iter().flatten().sum()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use zerocopy::FromZeros;

    use super::*;

    fn header(cpu: u32, number: u64) -> RingHeader {
        RingHeader { stamp: RingHeader::stamp_of(cpu, number), ..RingHeader::new_zeroed() }
    }

    proptest! {
        #[test]
        fn what_was_read_before_and_what_is_read_are_what_was_sent(
            sent in proptest::collection::vec((0u32..4, 0..Kind::ALL.len()), 0..200),
            taken in 0usize..200,
            late in 0usize..20,
        ) {
            let taken = taken.min(sent.len());
            let counted = sent.len().saturating_sub(late).max(taken);
            let mut numbers = [[0u64; Kind::ALL.len()]; 4];
            let mut ring = Vec::new();
            let mut counters = numbers;
            for (at, (cpu, kind)) in sent.iter().enumerate() {
                let number = &mut numbers[*cpu as usize][*kind];
                *number += 1;
                ring.push((Kind::ALL[*kind], header(*cpu, *number)));
                if at < counted {
                    counters = numbers;
                }
            }
            let mut before = Before::new(|kind| {
                let of = |cpu: &[u64; Kind::ALL.len()]| Counters { sent: cpu[kind as usize], lost: 0 };
                counters.iter().map(of).collect()
            });
            ring[taken..].iter().for_each(|(kind, header)| before.see(*kind, header));
            prop_assert_eq!(before.sum(), taken as u64);
        }
    }

    #[test]
    fn a_stamp_has_cpu_and_number() {
        let header = header(8_191, (1 << 48) - 1);
        assert_eq!((header.cpu(), header.number()), (8_191, (1 << 48) - 1));
    }
}
