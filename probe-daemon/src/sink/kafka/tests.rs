//! What becomes of records that come back. In: delivery reports, real ones of a mock cluster and made-up ones. Out: what
//! is sent again, what is cut, what is lost.

use std::borrow::Cow;

use bytes::Bytes;
use rdkafka::{
    ClientConfig, Message as _, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer as _},
    mocking::MockCluster,
    types::{RDKafkaApiKey, RDKafkaRespErr},
};

use super::*;
use crate::{
    config::SpoolMode,
    encode::json,
    losses::{Loss, Of},
    meter::Meter,
    sink::{self, Mark},
};

fn config(brokers: String) -> Config {
    let mut config = Config::default();
    config.kafka.kafka_broker = brokers;
    config.event.kafka_topic = "events".to_owned();
    config.spool.mode = SpoolMode::Off;
    config
}

fn record(number: u64, size: usize) -> Encoded {
    let body = "b".repeat(size);
    let text = format!(r#"{{"Body":"{body}","Attributes":{{"log.record.uid":"{number}"}}}}"#);
    let form = Cow::Borrowed(&json::FORM);
    let bytes = Bytes::from(text);
    Encoded {
        bytes,
        event_name: "x".into(),
        mark: Mark::default(),
        form,
        occurrences: 1,
        sequence: number,
        loss: None,
    }
}

fn sink(config: &Config, meter: &Arc<SinkMeter>) -> KafkaSink {
    KafkaSink::new(config, None, 0, Deadline::default(), Arc::clone(meter)).unwrap()
}

/// A sink that has sent records with the numbers from 1 on.
fn with_records(meter: &Arc<SinkMeter>, count: u64, size: usize) -> KafkaSink {
    let mut sink = sink(&config("127.0.0.1:1".to_owned()), meter);
    sink.line.admit(&mut (1..=count).map(|number| record(number, size)).collect());
    (0..count).for_each(|_| sink.line.sent());
    sink
}

/// As if these records had come back.
fn back(numbers: &[u64], why: Code) -> Vec<Returned> {
    numbers.iter().map(|number| Returned { number: *number, why }).collect()
}

/// What is to be sent, in order.
fn waiting(sink: &mut KafkaSink) -> Vec<u64> {
    let mut numbers = Vec::new();
    sink.line.rewind();
    while let Some(number) = sink.line.next().map(|ticket| ticket.number) {
        numbers.push(number);
        sink.line.sent();
    }
    numbers
}

#[test]
fn what_is_not_acknowledged_is_sent_again_in_order() {
    let meter = Meter::default().sink("kafka");
    let mut sink = with_records(&meter, 5, 1);
    assert_eq!(sink.line.acknowledge(&[1, 3]), 2);
    // Late and twice, as after a producer was replaced.
    assert_eq!(sink.line.acknowledge(&[3, 9]), 0);
    let mut returned = back(&[2], Code::MessageTimedOut);
    returned.extend(back(&[4, 5], Code::PurgeQueue));
    assert!(!sink.settle(&returned, Batching::Together(None)));
    assert_eq!(waiting(&mut sink), [2, 4, 5]);
    assert_eq!((sink.alone, sink.suspect), (0, None));
}

#[test]
fn a_refused_request_is_taken_apart() {
    let meter = Meter::default().sink("kafka");
    let mut sink = with_records(&meter, 3, 3000);
    let mut returned = back(&[1, 2], Code::MessageSizeTooLarge);
    returned.extend(back(&[3], Code::PurgeQueue));
    assert!(sink.settle(&returned, Batching::Together(None)));
    assert_eq!(waiting(&mut sink), [1, 2, 3]);
    // Up to the second they go alone; if none is refused then, requests are to be smaller.
    assert_eq!((sink.alone, sink.suspect), (2, Some(returned::BATCH_SIZE / 4)));

    // The first one is refused by itself: it is cut, and the requests were not to blame.
    assert!(sink.settle(&back(&[1], Code::MessageSizeTooLarge), Batching::Alone));
    assert_eq!((waiting(&mut sink), sink.suspect), (vec![1, 2, 3], None));
    let cut = sink.line.get(1).unwrap().record.bytes.clone();
    assert!(cut.len() < 1600 && String::from_utf8_lossy(&cut).contains("gala_gopher.record.cut"));
    assert_eq!(meter.lost_delivery.get(), 0);
}

#[test]
fn what_is_refused_alone_and_cannot_be_cut_is_lost_and_counted() {
    let meter = Meter::default().sink("kafka");
    let mut sink = with_records(&meter, 3, 100);
    // Invalid for another reason than its size, or small already.
    assert!(sink.settle(&back(&[1], Code::InvalidRecord), Batching::Alone));
    assert!(sink.settle(&back(&[2], Code::MessageSizeTooLarge), Batching::Alone));
    assert_eq!(waiting(&mut sink), [3]);
    assert_eq!(meter.lost_delivery.get(), 2);
}

/// A record that says so many events to be lost.
fn loss(number: u64, count: u64) -> Encoded {
    let loss = Loss { hop: "ring", of: Of::family("oom"), count, since: number, until: number + 1 };
    Encoded { occurrences: 0, loss: Some(Arc::new(loss)), ..record(number, 1) }
}

#[test]
fn a_loss_whose_record_is_refused_is_told_again() {
    let meters = Meter::default();
    let meter = meters.sink("kafka");
    let mut sink = sink(&config("127.0.0.1:1".to_owned()), &meter);
    sink.line.admit(&mut [loss(1, 30), record(2, 1), loss(3, 12)].into());
    (0..3).for_each(|_| sink.line.sent());
    sink.settle(&back(&[1, 3], Code::InvalidRecord), Batching::Alone);
    assert_eq!((meter.lost_delivery.get(), meter.gone_from_line()), (0, 42));
    assert_eq!(meters.again(false), [], "nothing arrives");
    sink.line.acknowledge(&[2]);
    let of = Of { family: Some("oom"), sink: Some("kafka") };
    assert_eq!(meters.again(false), [Loss { hop: "ring", of, count: 42, since: 1, until: 4 }]);
    assert_eq!(meters.again(true), []);
}

#[test]
fn losses_whose_records_are_among_the_oldest_of_a_full_spool_are_told_again() {
    let dir = tempfile::TempDir::new().unwrap();
    let mut config = config("127.0.0.1:1".to_owned());
    (config.spool.mode, config.spool.dir) = (SpoolMode::Always, Some(dir.path().join("spool")));
    (config.spool.max_bytes, config.kafka.queue_buffering_max_kbytes) = (1 << 20, 64);
    let meters = Meter::default();
    let meter = meters.sink("kafka");
    let mut sink = sink(&config, &meter);
    let offered = 4000;
    for number in 1..=offered {
        let record = if number % 10 == 0 { loss(number, 3) } else { record(number, 1000) };
        sink.line.admit(&mut [record].into());
    }
    let lost = meter.lost_spool.get();
    assert!(lost > 2000, "{lost}");
    let again = meters.again(true);
    let [Loss { hop: "spool", of, count, .. }] = again[..] else { panic!("{again:?}") };
    assert_eq!((of, meter.gone_from_line()), (Of::sink("kafka"), lost + count));
    // The others come to their turn, and nothing of what is in memory has gone.
    let (mut events, mut told) = (0, 0);
    while !sink.line.is_empty() {
        sink.line.refill();
        let Some(ticket) = sink.line.next() else { break };
        let number = ticket.number;
        events += ticket.record.occurrences;
        told += ticket.record.accounts_for() - ticket.record.occurrences;
        sink.line.sent();
        sink.line.acknowledge(&[number]);
    }
    assert_eq!((events + lost, told + count), (offered / 10 * 9, offered / 10 * 3));
}

/// Everything in the topic, in order.
fn consume(brokers: &str, count: usize) -> Vec<String> {
    let consumer: BaseConsumer =
        ClientConfig::new().set("bootstrap.servers", brokers).set("group.id", "t").create().unwrap();
    let mut partitions = TopicPartitionList::new();
    partitions.add_partition_offset("events", 0, Offset::Beginning).unwrap();
    consumer.assign(&partitions).unwrap();
    let mut found = Vec::new();
    while found.len() < count {
        let message = consumer.poll(Duration::from_secs(30)).expect("a message").unwrap();
        found.push(String::from_utf8_lossy(message.payload().unwrap()).into_owned());
    }
    found
}

/// Runs the driver over 100 records while produce requests fail with these errors; what arrives, arrives in order.
async fn survives(errors: &[RDKafkaRespErr], spool: SpoolMode) {
    let dir = tempfile::TempDir::new().unwrap();
    let cluster = MockCluster::new(1).unwrap();
    cluster.create_topic("events", 1, 1).unwrap();
    cluster.request_errors(RDKafkaApiKey::Produce, errors);
    let brokers = cluster.bootstrap_servers();
    let mut config = config(brokers.clone());
    (config.spool.mode, config.spool.dir) = (spool, Some(dir.path().join("spool")));
    let meter = Meter::default().sink("kafka");
    let deadline = Deadline::default();
    let sink = KafkaSink::new(&config, None, 0, deadline.clone(), Arc::clone(&meter)).unwrap();
    let (queue, records) = sink::Queue::new(Arc::clone(&meter));
    let driver = tokio::spawn(sink::drive(sink, records));
    let sent: Vec<Encoded> = (0..100).map(|number| record(number, 10)).collect();
    sent.iter().for_each(|record| queue.offer(record.clone()));
    let wanted: Vec<String> = sent.iter().map(|r| String::from_utf8_lossy(&r.bytes).into_owned()).collect();
    let found = spawn_blocking(move || consume(&brokers, 100)).await.unwrap();
    assert_eq!(found, wanted);
    deadline.start(Duration::from_secs(60));
    drop(queue);
    driver.await.unwrap();
    assert_eq!((meter.lost_delivery.get(), meter.lost_queue.get()), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_permission_that_comes_late_loses_nothing() {
    survives(&[RDKafkaRespErr::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED; 2], SpoolMode::Always).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_request_loses_nothing_where_each_record_is_accepted() {
    survives(&[RDKafkaRespErr::RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE], SpoolMode::Outage).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_producer_that_cannot_go_on_is_replaced() {
    survives(&[RDKafkaRespErr::RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER], SpoolMode::Off).await;
}

/// Runs a sink over these records in order, and stops it where no broker is.
async fn run(config: &Config, records: impl Iterator<Item = Encoded>, patience: Duration) -> Arc<SinkMeter> {
    let meter = Meter::default().sink("kafka");
    let deadline = Deadline::default();
    let sink = KafkaSink::new(config, None, 7, deadline.clone(), Arc::clone(&meter)).unwrap();
    let (queue, taken) = sink::Queue::new(Arc::clone(&meter));
    let driver = tokio::spawn(sink::drive(sink, taken));
    for record in records {
        // As slow as the sink is: what the queue does with floods is not the question here.
        while queue.is_busy() {
            time::sleep(Duration::from_millis(1)).await;
        }
        queue.offer(record);
    }
    deadline.start(patience);
    drop(queue);
    driver.await.unwrap();
    meter
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_broker_took_is_sent_by_the_next_run_in_order() {
    for mode in [SpoolMode::Always, SpoolMode::Outage] {
        let dir = tempfile::TempDir::new().unwrap();
        let mut config = config("127.0.0.1:1".to_owned());
        // Most of them find no room in memory.
        config.kafka.queue_buffering_max_kbytes = 64;
        config.event.state_dir = dir.path().to_owned();
        config.spool.mode = mode;
        let meter =
            run(&config, (1..=1000).map(|number| record(number, 100)), Duration::from_millis(200)).await;
        assert_eq!((meter.kept.get(), meter.lost_delivery.get(), meter.lost_queue.get()), (1000, 0, 0));
        let meter = run(&config, (1001..=1100).map(|number| record(number, 100)), Duration::ZERO).await;
        assert_eq!((meter.resumed.get(), meter.kept.get(), meter.lost_delivery.get()), (1000, 1100, 0));

        let cluster = MockCluster::new(1).unwrap();
        cluster.create_topic("events", 1, 1).unwrap();
        config.kafka.kafka_broker = cluster.bootstrap_servers();
        let meter = run(&config, std::iter::once(record(1101, 100)), Duration::from_secs(60)).await;
        let brokers = config.kafka.kafka_broker.clone();
        let found = spawn_blocking(move || consume(&brokers, 1101)).await.unwrap();
        let wanted =
            (1..=1101).map(|number| String::from_utf8_lossy(&record(number, 100).bytes).into_owned());
        assert!(found.into_iter().eq(wanted), "out of order");
        assert_eq!((meter.resumed.get(), meter.kept.get(), meter.lost_delivery.get()), (1100, 0, 0));
        let sink = KafkaSink::new(&config, None, 7, Deadline::default(), meter).unwrap();
        assert_eq!(sink.found(), Some(Totals { epoch: 7, reached: 1101, sequence: 1101 }));
    }
}
