//! What becomes of records that come back. In: delivery reports, real ones of a mock cluster and made-up ones. Out: what
//! is sent again, what is cut, what is lost.

use bytes::Bytes;
use rdkafka::{
    ClientConfig, Message as _, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer as _},
    mocking::MockCluster,
    types::{RDKafkaApiKey, RDKafkaRespErr},
};

use super::*;
use crate::{
    encode::json,
    meter::Meter,
    sink::{self, Mark},
};

fn config(brokers: String) -> Config {
    let mut config = Config::default();
    config.kafka.kafka_broker = brokers;
    config.event.kafka_topic = "events".to_owned();
    config
}

fn record(number: u64, size: usize) -> Encoded {
    let body = "b".repeat(size);
    let text = format!(r#"{{"Body":"{body}","Attributes":{{"log.record.uid":"{number}"}}}}"#);
    Encoded {
        bytes: Bytes::from(text),
        event_name: "x",
        mark: Mark::default(),
        form: &json::FORM,
        occurrences: 1,
    }
}

fn sink(config: &Config, meter: &Arc<SinkMeter>) -> KafkaSink {
    KafkaSink::new(config, None, Deadline::default(), Arc::clone(meter)).unwrap()
}

/// As if these records had come back.
fn back(numbers: &[u64], why: Code, size: usize) -> Vec<Returned> {
    let ticket = |number: &u64| Ticket { number: *number, record: record(*number, size) };
    numbers.iter().map(|number| Returned { ticket: ticket(number), why }).collect()
}

fn waiting(sink: &KafkaSink) -> Vec<u64> {
    sink.waiting.iter().map(|ticket| ticket.number).collect()
}

#[test]
fn what_came_back_goes_in_front_in_order() {
    let meter = Meter::default().sink("kafka");
    let mut sink = sink(&config("127.0.0.1:1".to_owned()), &meter);
    sink.waiting.push_back(Ticket { number: 4, record: record(4, 1) });
    let mut returned = back(&[1], Code::MessageTimedOut, 1);
    returned.extend(back(&[2, 3], Code::PurgeQueue, 1));
    assert!(!sink.settle(returned, Batching::Together(None)));
    assert_eq!(waiting(&sink), [1, 2, 3, 4]);
    assert_eq!((sink.alone, sink.suspect), (0, None));
}

#[test]
fn a_refused_request_is_taken_apart() {
    let meter = Meter::default().sink("kafka");
    let mut sink = sink(&config("127.0.0.1:1".to_owned()), &meter);
    let mut returned = back(&[1, 2], Code::MessageSizeTooLarge, 3000);
    returned.extend(back(&[3], Code::PurgeQueue, 1));
    assert!(sink.settle(returned, Batching::Together(None)));
    assert_eq!(waiting(&sink), [1, 2, 3]);
    // Up to the second they go alone; if none is refused then, requests are to be smaller.
    assert_eq!((sink.alone, sink.suspect), (2, Some(BATCH_SIZE / 4)));

    // The first one is refused by itself: it is cut, and the requests were not to blame.
    sink.waiting.clear();
    assert!(sink.settle(back(&[1], Code::MessageSizeTooLarge, 3000), Batching::Alone));
    assert_eq!((waiting(&sink), sink.suspect), (vec![1], None));
    let cut = &sink.waiting[0].record.bytes;
    assert!(cut.len() < 1600 && String::from_utf8_lossy(cut).contains("gala_gopher.record.cut"));
    assert_eq!(meter.lost_delivery.get(), 0);
}

#[test]
fn what_is_refused_alone_and_cannot_be_cut_is_lost_and_counted() {
    let meter = Meter::default().sink("kafka");
    let mut sink = sink(&config("127.0.0.1:1".to_owned()), &meter);
    // Invalid for another reason than its size, or small already.
    assert!(sink.settle(back(&[1], Code::InvalidRecord, 3000), Batching::Alone));
    assert!(sink.settle(back(&[2], Code::MessageSizeTooLarge, 100), Batching::Alone));
    assert!(sink.waiting.is_empty());
    assert_eq!(meter.lost_delivery.get(), 2);
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
async fn survives(errors: &[RDKafkaRespErr]) {
    let cluster = MockCluster::new(1).unwrap();
    cluster.create_topic("events", 1, 1).unwrap();
    cluster.request_errors(RDKafkaApiKey::Produce, errors);
    let brokers = cluster.bootstrap_servers();
    let config = config(brokers.clone());
    let meter = Meter::default().sink("kafka");
    let deadline = Deadline::default();
    let sink = KafkaSink::new(&config, None, deadline.clone(), Arc::clone(&meter)).unwrap();
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
    survives(&[RDKafkaRespErr::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED; 2]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_request_loses_nothing_where_each_record_is_accepted() {
    survives(&[RDKafkaRespErr::RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_producer_that_cannot_go_on_is_replaced() {
    survives(&[RDKafkaRespErr::RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER]).await;
}
