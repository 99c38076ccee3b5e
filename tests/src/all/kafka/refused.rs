//! Records that Kafka refuses for good: in come topics with small limits, out comes whether such records are cut or
//! counted, and whether all others arrive.

use std::path::Path;

use anyhow::{Result, ensure};
use tests::kafka::secured::{PASSWORD, Secured, USER};
use tests::provoke::Call;

use super::sent::{Sent, folder};

/// Uncompressed, so that the size of a request is the size of its records.
fn keys() -> String {
    format!("username = \"{USER}\"\npassword_file = \"DIR/secret\"\ncompression_codec = \"none\"\n")
}

/// A failure whose record is some 4 KiB larger than others, several times over.
fn large() -> Call {
    let path = Path::new("/dev/null").join("y/".repeat(2000));
    let args = vec![libc::AT_FDCWD.into(), path.as_path().into(), libc::O_RDONLY.into()];
    Call::new("openat", libc::SYS_openat, args, (libc::ENOTDIR, "ENOTDIR"))
}

#[test]
fn a_record_too_large_for_its_topic_is_cut() -> Result<()> {
    let secured = Secured::get()?;
    secured.kafka.create_topic("small", &[("max.message.bytes", "4000")])?;
    let mut sent = Sent::start("OPEN", "small", folder("secret", PASSWORD)?, &keys())?;
    sent.fail(5)?;
    let made = sent.make(&large())?;
    // Together they are larger than the topic's limit; each by itself is not.
    sent.fail(40)?;
    sent.arrive()?;
    let cut = |pid: i64, sent: &Sent| {
        let records = sent.reader.records.iter();
        records.filter(|record| record.pid() == pid).all(|r| r.attribute("gala_gopher.record.cut") == true)
    };
    ensure!(cut(made.pid.into(), &sent), "the large record is not flagged");
    let flagged =
        sent.reader.records.iter().filter(|r| r.attribute("gala_gopher.record.cut") == true).count();
    ensure!(flagged == 1, "{flagged} records are cut");
    sent.says(&["a record is cut", "max.message.bytes"])?;
    sent.finish_whole().map(drop)
}

#[test]
fn records_that_cannot_be_cut_are_counted_and_hold_up_nothing() -> Result<()> {
    let secured = Secured::get()?;
    secured.kafka.create_topic("tiny", &[("max.message.bytes", "200")])?;
    let mut sent = Sent::start("OPEN", "tiny", folder("secret", PASSWORD)?, &keys())?;
    sent.fail(10)?;
    sent.says(&["a record is lost: Kafka refuses it for good"])?;
    let (_, ledger, _) = sent.finish()?;
    let lost = ledger.of_sink("kafka", "lost_delivery")?;
    ensure!(lost >= 10 && lost == ledger.of("events")?, "{ledger:?}");
    Ok(())
}
