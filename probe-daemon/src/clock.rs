//! Turns the kernel's time into wall time.
//!
//! In: `CLOCK_BOOTTIME`, the clock of the BPF programs, which runs through suspend. Out: nanoseconds since the
//! Unix epoch.

use rustix::time::{ClockId, clock_gettime};

/// The distance between the two clocks as measured once. Measure anew often: wall time can be set.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    /// `CLOCK_REALTIME` − `CLOCK_BOOTTIME` in nanoseconds.
    offset: i64,
}

impl Clock {
    /// Measures. Each sample reads the wall clock between two readings of the other; the one with the shortest
    /// bracket wins, since the thread may be interrupted in between.
    pub fn now() -> Self {
        let sample = || {
            let before = read(ClockId::Boottime);
            let wall = read(ClockId::Realtime);
            let after = read(ClockId::Boottime);
            (after - before, wall - (before + (after - before) / 2))
        };
        let best =
            (0..4).map(|_| sample()).fold(sample(), |best, next| if next.0 < best.0 { next } else { best });
        Self { offset: best.1 }
    }

    /// A clock whose two sides are that far apart, in nanoseconds: when the host was started, since the Unix epoch.
    pub fn with_offset(offset: i64) -> Self {
        Self { offset }
    }

    /// Nanoseconds since the Unix epoch at `boot` nanoseconds of `CLOCK_BOOTTIME`.
    pub fn wall(self, boot: u64) -> u64 {
        boot.saturating_add_signed(self.offset)
    }
}

/// Nanoseconds of `CLOCK_BOOTTIME`, now.
pub fn boot_now() -> u64 {
    u64::try_from(read(ClockId::Boottime)).unwrap_or_default()
}

/// Nanoseconds since the Unix epoch, now.
pub fn wall_now() -> u64 {
    u64::try_from(read(ClockId::Realtime)).unwrap_or_default()
}

fn read(clock: ClockId) -> i64 {
    let time = clock_gettime(clock);
    time.tv_sec.saturating_mul(1_000_000_000).saturating_add(time.tv_nsec)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boot_time_now_is_wall_time_now() {
        let before = wall_now();
        let boot = u64::try_from(read(ClockId::Boottime)).unwrap();
        let wall = Clock::now().wall(boot);
        let after = wall_now();
        // The two readings of the kernel's clocks are not one instant: a millisecond is far more than they need.
        assert!(before - 1_000_000 <= wall && wall <= after + 1_000_000, "{before} {wall} {after}");
    }
}
