//! Windows: when they open, grow and close, and that no occurrence is lost or told twice.

use probe_common::{ExitPayload, RAW_EVENT_LEN, RawEvent, RingHeader};
use proptest::prelude::*;
use zerocopy::FromZeros;

use super::*;
use crate::event::{Exit, IoRequest, TraceEvent};

const SECOND: u64 = 1_000_000_000;

fn seen(pid: u32, errno: u32) -> Observation {
    let mut bytes = [0; RAW_EVENT_LEN];
    bytes[4..8].copy_from_slice(&pid.to_le_bytes());
    bytes[72..76].copy_from_slice(&errno.to_le_bytes());
    Observation { time: 1, event: Event::Call(TraceEvent::from(&RawEvent::ingest(&bytes).unwrap())) }
}

fn end(inode: u64, comm: &str) -> Observation {
    let (mut header, mut payload) = (RingHeader::new_zeroed(), ExitPayload::new_zeroed());
    header.head.comm[..comm.len()].copy_from_slice(comm.as_bytes());
    (payload.inode, payload.status) = (inode, 6);
    Observation { time: 1, event: Event::Exit(Exit::new(&header, &payload)) }
}

#[test]
fn ends_of_two_programs_of_one_name_and_of_one_program_by_two_names_stay_apart() {
    let mut fold = fold(600);
    for seen in [end(1, "a"), end(2, "a"), end(1, "b")] {
        assert!(fold.take(seen.clone(), 1, true, 0).is_some());
        assert!(fold.take(seen, 1, false, 0).is_none());
    }
    assert_eq!(fold.sweep(5 * SECOND).len(), 3);
}

#[test]
fn an_end_that_an_oom_kill_explains_is_nobodys_repeat() {
    let mut fold = fold(600);
    let mut killed = end(1, "a");
    if let Event::Exit(exit) = &mut killed.event {
        exit.oom = Some(ulid::Ulid::nil());
    }
    for seen in [end(1, "a"), killed.clone(), killed] {
        assert!(fold.take(seen, 1, true, 0).is_some());
    }
}

fn fold(timeout: u64) -> Fold {
    Fold::new(Duration::from_secs(5), Duration::from_secs(timeout))
}

fn told(folded: &[Folded]) -> Vec<(u64, u64)> {
    folded.iter().map(|folded| (folded.occurrences, folded.window.as_secs())).collect()
}

#[test]
fn the_first_goes_out_at_once_and_repeats_when_the_window_ends() {
    let mut fold = fold(600);
    assert_eq!(fold.take(seen(1, 2), 1, true, 0).map(|folded| folded.occurrences), Some(1));
    assert_eq!(fold.take(seen(1, 2), 41, false, SECOND), None);
    assert_eq!(told(&fold.sweep(4 * SECOND)), []);
    assert_eq!(told(&fold.sweep(5 * SECOND)), [(41, 5)]);
}

#[test]
fn windows_double_up_to_the_timeout_and_a_quiet_one_closes() {
    let mut fold = fold(12);
    assert!(fold.take(seen(1, 2), 1, true, 0).is_some());
    let mut windows = Vec::new();
    for second in 1..60 {
        assert!(fold.take(seen(1, 2), 1, false, second * SECOND).is_none());
        windows.extend(fold.sweep(second * SECOND).iter().map(|folded| folded.window.as_secs()));
    }
    assert_eq!(windows, [5, 10, 12, 12, 12]);
    assert_eq!(told(&fold.sweep(100 * SECOND)).len(), 1);
    assert_eq!(told(&fold.sweep(200 * SECOND)), []);
    assert_eq!(
        fold.take(seen(1, 2), 1, true, 201 * SECOND).map(|folded| folded.window),
        Some(Duration::ZERO)
    );
}

#[test]
fn a_timeout_of_zero_never_grows() {
    let mut fold = fold(0);
    assert!(fold.take(seen(1, 2), 1, true, 0).is_some());
    for end in [5, 10, 15] {
        assert!(fold.take(seen(1, 2), 7, false, (end - 1) * SECOND).is_none());
        assert_eq!(told(&fold.sweep(end * SECOND)), [(7, 5)]);
    }
}

#[test]
fn the_same_number_of_another_table_is_another_call() {
    let mut fold = fold(600);
    let mut narrow = seen(1, 2);
    let Event::Call(call) = &mut narrow.event else { panic!("no call") };
    call.slot = probe_common::I386_FIRST + call.nr;
    assert!(fold.take(seen(1, 2), 1, true, 0).is_some());
    assert!(fold.take(narrow.clone(), 1, true, 0).is_some());
    assert!(fold.take(narrow, 3, false, 1).is_none());
    assert_eq!(told(&fold.sweep(6 * SECOND)), [(3, 5)]);
}

#[test]
fn an_event_from_the_ring_replaces_what_a_count_alone_knew() {
    let mut fold = fold(600);
    let mut known = seen(1, 2);
    let Event::Call(call) = &mut known.event else { panic!("no call") };
    call.path = Some("/etc/shadow".to_owned());
    assert!(fold.take(seen(1, 2), 3, false, 0).is_some());
    assert!(fold.take(known.clone(), 1, true, 1).is_none());
    assert!(fold.take(seen(1, 2), 3, false, 2).is_none());
    assert_eq!(fold.sweep(6 * SECOND)[0].seen, known);
}

#[test]
fn a_request_is_no_repeat_of_a_call_with_the_same_numbers() {
    let mut fold = fold(600);
    let call = seen(1, 2);
    let Event::Call(TraceEvent { subject, .. }) = call.event.clone() else { panic!("no call") };
    let request = |opcode, user_data| {
        let request = IoRequest { subject: subject.clone(), opcode, errno: 2, user_data };
        Observation { time: 1, event: Event::IoUring(request) }
    };
    assert!(fold.take(call, 1, true, 0).is_some());
    assert!(fold.take(request(0, 1), 1, true, 0).is_some());
    assert!(fold.take(request(1, 1), 1, true, 0).is_some());
    assert_eq!(fold.take(request(1, 2), 7, false, 0), None, "whatever the process calls it by");
    assert_eq!(told(&fold.finish()), [(7, 5)]);
}

proptest! {
    #[test]
    fn every_occurrence_goes_out_exactly_once(
        steps in proptest::collection::vec((0u32..6, 1u32..4, 0u64..50, any::<bool>(), 0u64..9), 0..300),
    ) {
        let mut fold = fold(40);
        let (mut now, mut taken, mut out) = (0, 0, 0);
        for (pid, errno, count, from_ring, pause) in steps {
            now += pause * SECOND;
            taken += count;
            out += fold.take(seen(pid, errno), count, from_ring, now).map_or(0, |folded| folded.occurrences);
            out += fold.sweep(now).iter().map(|folded| folded.occurrences).sum::<u64>();
        }
        out += fold.finish().iter().map(|folded| folded.occurrences).sum::<u64>();
        prop_assert_eq!(taken, out);
    }
}
