//! A quick client for many small tests: in comes a topic, out come its messages; and topics made and removed.

use std::collections::{BTreeSet, HashSet};
use std::sync::mpsc::channel;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::{ClientConfig, Message, Offset, TopicPartitionList};

use super::Kafka;
use crate::record::Record;

/// Reads partition 0 of a topic from its beginning.
pub struct Reader {
    consumer: BaseConsumer,
    /// What it has read so far, but for what the daemon says of itself.
    pub records: Vec<Record>,
}

impl Reader {
    /// Takes over what has come since the last time.
    pub fn poll(&mut self) -> Result<()> {
        let mut wait = Duration::from_millis(20);
        while let Some(message) = self.consumer.poll(wait) {
            match message {
                Ok(message) => {
                    let record = Record::parse(message.payload().unwrap_or_default())?;
                    if !record.is_of_probe() {
                        self.records.push(record);
                    }
                }
                // The topic is not there, or not there any more; the records tell whether that is as it should be.
                Err(_) => break,
            }
            wait = Duration::ZERO;
        }
        Ok(())
    }

    /// Takes over only the ids, of records of which there are too many to keep.
    pub fn poll_ids(&mut self, ids: &mut HashSet<String>) -> Result<()> {
        const KEY: &str = "\"log.record.uid\":\"";
        self.poll_lines(|text| {
            let start = text.find(KEY).context("no log.record.uid")? + KEY.len();
            let id = text[start..].split('"').next().context("no end of log.record.uid")?;
            if !text.contains("\"EventName\":\"gala_gopher.probe.") {
                ids.insert(id.to_owned());
            }
            Ok(())
        })
    }

    /// Hands over what has come, as it is, with what the daemon says of itself.
    pub fn poll_lines(&mut self, mut take: impl FnMut(&str) -> Result<()>) -> Result<()> {
        let mut wait = Duration::from_millis(20);
        while let Some(Ok(message)) = self.consumer.poll(wait) {
            take(std::str::from_utf8(message.payload().unwrap_or_default())?)?;
            wait = Duration::ZERO;
        }
        Ok(())
    }

    /// The ids of all records.
    pub fn unique(&self) -> BTreeSet<String> {
        self.records.iter().map(|record| record.attribute("log.record.uid").to_string()).collect()
    }
}

/// A record, and where in its topic it is.
#[derive(Debug)]
pub struct Placed {
    /// The partition that it is in.
    pub partition: i32,
    /// Its key.
    pub key: String,
    /// The record.
    pub record: Record,
}

/// Reads several partitions of a topic from their beginning.
pub struct PlaceReader {
    consumer: BaseConsumer,
    /// What it has read so far; within a partition, in its order.
    pub placed: Vec<Placed>,
}

impl PlaceReader {
    /// Takes over what has come since the last time.
    pub fn poll(&mut self) -> Result<()> {
        let mut wait = Duration::from_millis(20);
        while let Some(message) = self.consumer.poll(wait) {
            let message = message?;
            let key = std::str::from_utf8(message.key().context("no key")?)?.to_owned();
            let record = Record::parse(message.payload().unwrap_or_default())?;
            self.placed.push(Placed { partition: message.partition(), key, record });
            wait = Duration::ZERO;
        }
        Ok(())
    }
}

impl Kafka {
    /// Reads a topic that is there, or will be.
    pub fn read(&self, topic: &str) -> Result<Reader> {
        Ok(Reader { consumer: self.consumer(topic, 1)?, records: Vec::new() })
    }

    /// Reads all partitions of a topic that is there.
    pub fn read_places(&self, topic: &str, partitions: i32) -> Result<PlaceReader> {
        Ok(PlaceReader { consumer: self.consumer(topic, partitions)?, placed: Vec::new() })
    }

    /// A consumer of the first partitions.
    fn consumer(&self, topic: &str, count: i32) -> Result<BaseConsumer> {
        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", self.address())
            .set("group.id", "tests")
            .set("enable.auto.commit", "false")
            .set("allow.auto.create.topics", "false")
            .set("topic.metadata.refresh.interval.ms", "500")
            .create()?;
        let mut partitions = TopicPartitionList::new();
        for partition in 0..count {
            partitions.add_partition_offset(topic, partition, Offset::Beginning)?;
        }
        consumer.assign(&partitions)?;
        Ok(consumer)
    }

    /// Creates a topic of one partition.
    pub fn create_topic(&self, topic: &str, settings: &[(&str, &str)]) -> Result<()> {
        self.create_topic_of(topic, 1, settings)
    }

    /// Creates a topic of so many partitions.
    pub fn create_topic_of(&self, topic: &str, partitions: i32, settings: &[(&str, &str)]) -> Result<()> {
        let new = NewTopic::new(topic, partitions, TopicReplication::Fixed(1));
        let new = settings.iter().fold(new, |new, (key, value)| new.set(key, value));
        let admin = self.admin()?;
        let created = wait(admin.create_topics([&new], &AdminOptions::new()))?;
        match created?.into_iter().next().context("no answer")? {
            Ok(_) => Ok(()),
            Err((topic, code)) => bail!("{topic} cannot be created: {code}"),
        }
    }

    /// Removes a topic with all that is in it.
    pub fn delete_topic(&self, topic: &str) -> Result<()> {
        let admin = self.admin()?;
        let deleted = wait(admin.delete_topics(&[topic], &AdminOptions::new()))?;
        match deleted?.into_iter().next().context("no answer")? {
            Ok(_) => Ok(()),
            Err((topic, code)) => bail!("{topic} cannot be deleted: {code}"),
        }
    }

    fn admin(&self) -> Result<AdminClient<DefaultClientContext>> {
        Ok(ClientConfig::new().set("bootstrap.servers", self.address()).create()?)
    }
}

/// Waits for an answer without a runtime.
fn wait<T>(future: impl Future<Output = T>) -> Result<T> {
    struct Waker(std::sync::mpsc::Sender<()>);
    impl std::task::Wake for Waker {
        fn wake(self: std::sync::Arc<Self>) {
            self.0.send(()).ok();
        }
    }
    let (sender, woken) = channel();
    let waker = std::sync::Arc::new(Waker(sender)).into();
    let mut context = std::task::Context::from_waker(&waker);
    let mut future = std::pin::pin!(future);
    loop {
        match future.as_mut().poll(&mut context) {
            std::task::Poll::Ready(answer) => return Ok(answer),
            std::task::Poll::Pending => woken.recv_timeout(Duration::from_secs(60)).context("no answer")?,
        }
    }
}
