//! What a spool gives back. In: records, kills, damage at any byte, bounds and full disks. Out: what must come out.

use proptest::prelude::*;
use tempfile::TempDir;

use super::*;

/// A record with a document of this size, whose bytes tell which one it is.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Owned {
    number: u64,
    totals: Totals,
    document: Vec<u8>,
}

impl Owned {
    fn new(number: u64, size: usize) -> Self {
        let document = number.to_le_bytes().iter().copied().cycle().take(size).collect();
        Self { number, totals: Totals { epoch: 7, reached: number * 2, sequence: number + 100 }, document }
    }

    fn entry(&self) -> Entry<'_> {
        Entry {
            number: self.number,
            occurrences: 2,
            told: told(self.number),
            totals: self.totals,
            event_name: "gala_gopher.syscall.failed",
            encoding: "json",
            content_type: "application/json",
            document: &self.document,
        }
    }

    fn of(entry: &Entry<'_>) -> Self {
        assert_eq!(
            (entry.event_name, entry.encoding, entry.content_type, entry.occurrences, entry.told),
            ("gala_gopher.syscall.failed", "json", "application/json", 2, told(entry.number))
        );
        Self { number: entry.number, totals: entry.totals, document: entry.document.to_vec() }
    }
}

/// What a record says to be lost: most say nothing.
fn told(number: u64) -> Told {
    let since = number * 10;
    if number.is_multiple_of(7) { Told { count: number, since, until: since + 15 } } else { Told::default() }
}

/// So many records of [`Owned`], as far as they stand for events.
fn tally(records: u64) -> Tally {
    Tally { records, events: 2 * records, told: Told::default() }
}

fn open(dir: &TempDir, max: u64) -> (Spool, Found) {
    Spool::open(&dir.path().join("spool"), max).unwrap()
}

/// Nothing is to be lost.
fn none(lost: Tally) {
    assert_eq!(lost, Tally::default());
}

fn append(spool: &mut Spool, records: &[Owned], known: bool) {
    spool.append(records.iter().map(Owned::entry), known, none).unwrap();
}

/// Everything that is to be read, in portions.
fn drain(spool: &mut Spool, most: usize) -> Vec<Owned> {
    let mut read = Vec::new();
    while spool.unread().records > 0 {
        spool.read(most, |entry| read.push(Owned::of(&entry)), none).unwrap();
    }
    read
}

fn some(numbers: impl Iterator<Item = u64>, size: usize) -> Vec<Owned> {
    numbers.map(|number| Owned::new(number, size)).collect()
}

fn segments(dir: &TempDir) -> Vec<PathBuf> {
    Segment::list(&dir.path().join("spool")).unwrap().into_iter().map(|(_, path)| path).collect()
}

#[test]
fn what_is_appended_is_read_in_order_by_this_run_and_the_next() {
    let dir = TempDir::new().unwrap();
    let records = some(1..=100, 300);
    let (mut spool, found) = open(&dir, 1 << 20);
    assert_eq!(found, Found::default());
    records.chunks(7).for_each(|batch| append(&mut spool, batch, false));
    assert_eq!(drain(&mut spool, 1000), records);
    drop(spool);
    let (mut spool, found) = open(&dir, 1 << 20);
    assert_eq!((found.waiting, found.damaged_bytes), (Tally { told: found.waiting.told, ..tally(100) }, 0));
    assert_eq!(found.waiting.told, Told { count: (7..=98).step_by(7).sum(), since: 70, until: 995 });
    assert_eq!((found.totals.reached(7), found.totals.reached(8), found.totals.sequence), (200, 0, 200));
    assert_eq!(drain(&mut spool, 1), records);
    // Nobody else may have it meanwhile.
    let error = Spool::open(&dir.path().join("spool"), 1 << 20).unwrap_err();
    assert!(error.to_string().contains("another process"), "{error}");
}

#[test]
fn what_is_acknowledged_is_gone_and_its_totals_stay() {
    let dir = TempDir::new().unwrap();
    let records = some(1..=1000, 1000);
    let (mut spool, _) = open(&dir, 1 << 20);
    records[..500].chunks(50).for_each(|batch| append(&mut spool, batch, true));
    assert!(segments(&dir).len() > 3);
    spool.acknowledge(400, records[399].totals).unwrap();
    drop(spool);
    let (mut spool, found) = open(&dir, 1 << 20);
    assert_eq!((found.waiting.records, found.totals.reached(7)), (100, 1000));
    assert_eq!(drain(&mut spool, 4096), records[400..500]);
    append(&mut spool, &records[500..600], true);
    spool.acknowledge(600, records[599].totals).unwrap();
    let [only] = segments(&dir).try_into().unwrap();
    assert_eq!(fs::metadata(only).unwrap().len(), BLOCK as u64);
    drop(spool);
    // Also without the file that says what is acknowledged.
    fs::remove_file(dir.path().join("spool/acknowledged")).unwrap();
    let (spool, found) = open(&dir, 1 << 20);
    assert_eq!((found.waiting.records, found.totals.reached(7), spool.last()), (0, 1200, 600));
}

#[test]
fn past_the_bound_the_oldest_go_that_nobody_has_read_and_are_counted_once() {
    let dir = TempDir::new().unwrap();
    let records = some(1..=4000, 1000);
    let (mut spool, _) = open(&dir, 1 << 20);
    let mut lost = Tally::default();
    append(&mut spool, &records[..10], true);
    for batch in records[10..].chunks(10) {
        spool.append(batch.iter().map(Owned::entry), false, |gone| lost += gone).unwrap();
    }
    let size: u64 = segments(&dir).iter().map(|path| fs::metadata(path).unwrap().len()).sum();
    assert!(size <= 1 << 20, "{size}");
    // What is in memory, and the rest of its segment, is there for whoever comes after a kill.
    assert!((1..=4000).all(|number| spool.has(number)));
    let read = drain(&mut spool, 10_000);
    let missing = 3990 - read.len() as u64;
    assert!(missing > 2000, "{missing}");
    assert_eq!((lost.records, lost.events), (missing, 2 * missing));
    let gap = read.windows(2).position(|pair| pair[1].number > pair[0].number + 1).unwrap();
    let (before, after) = (read[gap].number, read[gap + 1].number);
    assert_eq!((read[0].number, after - before - 1), (11, missing));
    let last = (before + 1..after).filter(|number| told(*number).count > 0).max().unwrap();
    let sum = (before + 1..after).map(|number| told(number).count).sum::<u64>();
    assert_eq!((lost.told.count, lost.told.until), (sum, told(last).until));
    drop(spool);
    let (mut spool, found) = open(&dir, 1 << 20);
    assert_eq!((found.damaged, found.damaged_bytes, found.totals.sequence), (Tally::default(), 0, 4100));
    assert_eq!(drain(&mut spool, 10_000), [&records[..10], &read].concat());
}

#[test]
fn where_all_is_in_memory_the_oldest_go_and_nothing_is_lost() {
    let dir = TempDir::new().unwrap();
    let records = some(1..=4000, 1000);
    let (mut spool, _) = open(&dir, 1 << 20);
    for batch in records.chunks(10) {
        append(&mut spool, batch, true);
    }
    assert!(!spool.has(5) && spool.has(4000));
    drop(spool);
    let (mut spool, found) = open(&dir, 1 << 20);
    let read = drain(&mut spool, 10_000);
    assert_eq!((found.damaged, found.waiting.records), (Tally::default(), read.len() as u64));
    assert_eq!(read, records[4000 - read.len()..]);
}

#[test]
fn a_segment_that_breaks_while_the_daemon_runs_is_counted_and_later_ones_are_read() {
    let dir = TempDir::new().unwrap();
    let records = some(1..=500, 1000);
    let (mut spool, _) = open(&dir, 1 << 20);
    records.chunks(10).for_each(|batch| append(&mut spool, batch, false));
    let oldest = File::options().write(true).open(&segments(&dir)[0]).unwrap();
    oldest.write_all_at(b"x", 5000).unwrap();
    let (mut read, mut lost) = (Vec::new(), Tally::default());
    let broken = loop {
        match spool.read(100_000, |entry| read.push(entry.number), |damaged| lost += damaged) {
            Err(error) => break error,
            Ok(()) => assert!(spool.unread().records > 0),
        }
    };
    assert!(broken.to_string().contains("is damaged"), "{broken}");
    let lost = lost.records;
    let rest = drain(&mut spool, 10_000);
    assert!(read.len() == 4 && lost > 50 && read.len() as u64 + lost + rest.len() as u64 == 500);
    assert_eq!(rest.last().map(|record| record.number), Some(500));
}

#[test]
fn an_oldest_segment_without_its_start_is_counted_whole() {
    for left in [0, 1, BLOCK as u64] {
        let dir = TempDir::new().unwrap();
        let (mut spool, _) = open(&dir, 1 << 20);
        some(1..=500, 1000).chunks(10).for_each(|batch| append(&mut spool, batch, false));
        drop(spool);
        File::options().write(true).open(&segments(&dir)[0]).unwrap().set_len(left).unwrap();
        let (mut spool, found) = open(&dir, 1 << 20);
        let missing = 500 - found.waiting.records;
        assert!(missing > 50, "{found:?}");
        assert_eq!(found.damaged, tally(missing), "{left} bytes are left");
        assert_eq!(drain(&mut spool, 10_000)[0].number, missing + 1);
    }
}

#[test]
fn a_write_that_fails_appends_nothing_and_the_next_one_goes_on() {
    let dir = TempDir::new().unwrap();
    let (mut spool, _) = open(&dir, 1 << 20);
    append(&mut spool, &some(1..=3, 100), false);
    // A file that is open for reading only stands for a disk that takes nothing.
    let newest = spool.segments.back_mut().unwrap();
    let good = newest.file.replace(Arc::new(File::open(&newest.path).unwrap()));
    let more = some(4..=6, 100);
    assert!(spool.append(more.iter().map(Owned::entry), false, none).is_err());
    assert_eq!((spool.last(), spool.unread().records), (3, 3));
    spool.segments.back_mut().unwrap().file = good;
    append(&mut spool, &more, false);
    assert_eq!(drain(&mut spool, 1 << 20), some(1..=6, 100));
}

/// What happens to a file.
#[derive(Clone, Debug)]
enum Harm {
    Cut,
    Flip(u8),
    Zero(u16),
}

fn harm() -> impl Strategy<Value = Harm> {
    prop_oneof![Just(Harm::Cut), (1..=255_u8).prop_map(Harm::Flip), (1..2000_u16).prop_map(Harm::Zero),]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, ..ProptestConfig::default() })]

    /// Whatever happens to one file: what was written whole before the damage comes out once and in order, segments
    /// behind it are read, nothing is invented, and the damage is counted.
    #[test]
    fn damage_anywhere_costs_no_more_than_the_rest_of_its_segment(
        sizes in prop::collection::vec(1..6000_usize, 1..150),
        batch in 1..20_usize,
        acknowledged in 0..150_usize,
        which in any::<prop::sample::Index>(),
        place in any::<prop::sample::Index>(),
        harm in harm(),
    ) {
        let dir = TempDir::new().unwrap();
        let records: Vec<Owned> =
            sizes.iter().zip(1..).map(|(size, number)| Owned::new(number, *size)).collect();
        let (mut spool, _) = open(&dir, 1 << 20);
        records.chunks(batch).for_each(|batch| append(&mut spool, batch, false));
        let acknowledged = acknowledged.min(records.len());
        if let Some(last) = records[..acknowledged].last() {
            drain(&mut spool, 1 << 16);
            spool.acknowledge(last.number, last.totals).unwrap();
        }
        // Each segment's records, with the place behind each.
        let mut held: Vec<(PathBuf, Vec<(u64, u64)>)> = Vec::new();
        for path in segments(&dir) {
            let file = File::open(&path).unwrap();
            let mut frames = Frames::new(&file, BLOCK as u64, file.metadata().unwrap().len());
            let mut numbers = Vec::new();
            while let Next::Frame(entry, size) = frames.next().unwrap() {
                numbers.push((entry.number, frames.place() + size as u64));
                frames.pass(size);
            }
            held.push((path, numbers));
        }
        drop(spool);

        let (path, numbers) = &held[which.index(held.len())];
        let mut bytes = fs::read(path).unwrap();
        let intact = bytes.clone();
        let place = place.index(bytes.len());
        match harm {
            Harm::Cut => bytes.truncate(place),
            Harm::Flip(mask) => bytes[place] ^= mask,
            Harm::Zero(length) => {
                let end = (place + usize::from(length)).min(bytes.len());
                bytes[place..end].fill(0);
            }
        }
        fs::write(path, &bytes).unwrap();
        let first_difference = intact.iter().zip(&bytes).position(|(a, b)| a != b).unwrap_or(bytes.len());
        let whole = |end: u64| end <= first_difference as u64 || first_difference < BLOCK && {
            // The head of a segment is not needed to read what follows; a zeroed range may go beyond it.
            bytes.len() == intact.len() && bytes[BLOCK..end as usize] == intact[BLOCK..end as usize]
        };

        let whole = &whole;
        let expected: Vec<u64> = held
            .iter()
            .flat_map(|(other, all)| {
                all.iter().take_while(move |(_, end)| other != path || whole(*end)).map(|(number, _)| *number)
            })
            .filter(|number| *number > acknowledged as u64)
            .collect();
        let (mut spool, found) = open(&dir, 1 << 20);
        let read = drain(&mut spool, 5000);
        let got: Vec<u64> = read.iter().map(|record| record.number).collect();
        prop_assert_eq!(&got, &expected);
        prop_assert!(read.iter().all(|record| records[record.number as usize - 1] == *record));
        prop_assert_eq!(found.waiting.records, expected.len() as u64);
        let missing = (records.len() - acknowledged - expected.len()) as u64;
        // A cut on the edge of a record leaves no trace but in the segment that follows.
        let edge = place == 0 || place == BLOCK || numbers.iter().any(|(_, end)| *end == place as u64);
        let edge = bytes.len() < intact.len() && edge;
        prop_assert!(found.damaged_bytes > 0 || bytes == intact || edge);
        if *path != held[held.len() - 1].0 {
            prop_assert_eq!(found.damaged, tally(missing));
        } else {
            prop_assert!(found.damaged.records <= missing);
        }

        // It goes on from there, and what was damaged is not counted twice.
        let last = spool.last();
        let more = some(last + 1..=last + 3, 50);
        append(&mut spool, &more, false);
        drop(spool);
        let (mut spool, found) = open(&dir, 1 << 20);
        prop_assert_eq!((found.damaged_bytes, found.damaged), (0, Tally::default()));
        let again = drain(&mut spool, 5000);
        prop_assert_eq!(again, [read, more].concat());
    }

    /// Bytes that are no spool are no records.
    #[test]
    fn anything_is_read_without_harm(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let dir = TempDir::new().unwrap();
        let folder = dir.path().join("spool");
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("00000000000000000005.seg"), &bytes).unwrap();
        fs::write(folder.join("acknowledged"), &bytes).unwrap();
        let (spool, found) = open(&dir, 1 << 20);
        prop_assert_eq!((found.waiting, spool.unread()), (Tally::default(), Tally::default()));
        prop_assert_eq!(found.damaged_bytes, bytes.len() as u64);
    }
}
