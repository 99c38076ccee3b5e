//! What becomes of records that Kafka did not take. In: their numbers and why each came back. Out: which of them are sent
//! again, alone or together; which are cut, and which given up.

use bytes::Bytes;
use rdkafka::error::RDKafkaErrorCode as Code;
use tracing::{error, warn};

use super::{KafkaSink, reports::Returned, session::Batching};

/// librdkafka's own limit for the batches of a request.
pub(super) const BATCH_SIZE: usize = 1_000_000;
/// Requests do not become smaller than this, and records are not cut below.
const SMALLEST: usize = 1024;

impl KafkaSink {
    /// Decides about records that came back. All are sent again but those that were refused alone. Returns whether some
    /// were refused.
    pub(super) fn settle(&mut self, returned: &[Returned], batching: Batching) -> bool {
        let refused: Vec<_> = returned.iter().filter(|back| is_refusal(back.why)).collect();
        match (batching, refused.last()) {
            (_, None) => {}
            (Batching::Together(size), Some(last)) => {
                // Which record of the request it is about, or whether only all together are too large, shows when
                // each is sent by itself.
                self.alone = last.number;
                let for_size = refused.iter().any(|back| is_size(back.why));
                self.suspect = for_size.then(|| (size.unwrap_or(BATCH_SIZE) / 4).max(SMALLEST));
            }
            (Batching::Alone, Some(_)) => {
                self.suspect = None;
                refused.iter().for_each(|back| self.cut(back.number, back.why));
            }
        }
        !refused.is_empty()
    }

    /// Has a smaller form of a record, which Kafka refuses for good, take its place; where there is none it is lost.
    pub(super) fn cut(&mut self, number: u64, why: Code) {
        let Some(ticket) = self.line.get(number) else { return };
        let record = &mut ticket.record;
        let size = record.bytes.len();
        let smaller: Option<Bytes> = match record.form.cut {
            Some(cut) if is_size(why) && size > SMALLEST => cut(&record.bytes, size / 2),
            _ => None,
        };
        let topic = &self.config.event.kafka_topic;
        match smaller {
            Some(bytes) => {
                warn!(
                    size,
                    cut = bytes.len(),
                    "a record is cut: topic {topic} takes none of its size; raise the topic's max.message.bytes"
                );
                self.line.replace(number, bytes);
            }
            None => {
                error!(
                    size,
                    event = &*record.event_name,
                    "a record is lost: Kafka refuses it for good ({why})"
                );
                self.line.give_up(number);
            }
        }
    }
}

/// Whether Kafka says that it never takes such a record, whoever sends it and however often.
pub(super) fn is_refusal(code: Code) -> bool {
    let other = [
        Code::InvalidMessage,
        Code::InvalidRecord,
        Code::InvalidTimestamp,
        Code::PolicyViolation,
        Code::UnsupportedForMessageFormat,
    ];
    is_size(code) || other.contains(&code)
}

/// Whether it says so for the size.
fn is_size(code: Code) -> bool {
    [Code::MessageSizeTooLarge, Code::InvalidMessageSize, Code::MessageBatchTooLarge].contains(&code)
}
