//! Why programs could not be executed.
//!
//! In: failed attempts, a batch at a time. Out: for each what is in the way, where it can be told. Most that end with
//! `ENOENT` are misses of a search along `PATH`; what is worth telling is the file that exists, and whose interpreter
//! does not.
//!
//! Looking touches file systems of other processes, and one that does not answer would hold up whoever looks. So a
//! thread of its own looks, and who asks waits a bounded time.

use std::{io, thread, time::Duration};

use probe_common::Kind;
use tokio::{sync::mpsc, time::timeout};
use tracing::warn;

use crate::event::{Attempt, Event, Hindrance};

mod interpreter;
mod look;

/// Time that a batch of questions may take. An answer takes some microseconds, so this is about hosts that are busy.
const PATIENCE: Duration = Duration::from_secs(2);
/// Errors that a look can explain: `ENOENT`, `EACCES`.
const EXPLAINED: [u32; 2] = [2, 13];

/// A failed attempt to execute a file.
#[derive(Clone, Debug)]
pub struct Question {
    pid: u32,
    tid: u32,
    parent: Option<u32>,
    mount_ns: u32,
    errno: u32,
    attempt: Attempt,
}

impl Question {
    /// What to ask about an event; none where there is nothing.
    pub fn of(event: &Event) -> Option<Self> {
        let Event::Call(call) = event else { return None };
        if call.kind != Kind::Exec || !EXPLAINED.contains(&call.errno) {
            return None;
        }
        Some(Self {
            pid: call.subject.pid,
            tid: call.subject.tid,
            parent: call.subject.parent_pid,
            mount_ns: call.subject.mnt_ns,
            errno: call.errno,
            attempt: call.attempt.clone()?,
        })
    }
}

/// Answers questions, in their order.
pub type Answers = Vec<Option<Hindrance>>;

/// The thread that looks.
pub struct Looker {
    questions: mpsc::Sender<Vec<Question>>,
    answers: mpsc::Receiver<Answers>,
    /// Whether it still owes answers that nobody waits for.
    late: bool,
}

impl Looker {
    /// Starts the thread; it ends when this is dropped, or with the process.
    ///
    /// # Errors
    /// Where the host has no room for another thread.
    pub fn start() -> io::Result<Self> {
        Self::with(look::look)
    }

    fn with(look: impl Fn(&Question) -> Option<Hindrance> + Send + 'static) -> io::Result<Self> {
        let (questions, mut asked) = mpsc::channel::<Vec<Question>>(1);
        let (answer, answers) = mpsc::channel(1);
        thread::Builder::new().name("exec-look".to_owned()).spawn(move || {
            while let Some(questions) = asked.blocking_recv() {
                if answer.blocking_send(questions.iter().map(&look).collect()).is_err() {
                    break;
                }
            }
        })?;
        Ok(Self { questions, answers, late: false })
    }

    /// What is in the way of each; nothing is said of any while a file system does not answer.
    pub async fn ask(&mut self, questions: Vec<Question>) -> Answers {
        if self.late && self.answers.try_recv().is_err() {
            return Answers::new();
        }
        self.late = false;
        if self.questions.try_send(questions).is_err() {
            return Answers::new();
        }
        match timeout(PATIENCE, self.answers.recv()).await {
            Ok(answers) => answers.unwrap_or_default(),
            Err(_) => {
                self.late = true;
                warn!(
                    "a file system does not answer: programs that miss their interpreter are not told until it does"
                );
                Answers::new()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel as blocking_channel;

    use super::*;
    use crate::event::Reason;

    #[tokio::test]
    async fn a_file_system_that_does_not_answer_holds_nothing_up() {
        let (release, released) = blocking_channel();
        let found = Hindrance { reason: Reason::Missing, interpreter: Some("/lib/ld.so".to_owned()) };
        let answer = found.clone();
        let mut looker = Looker::with(move |question| {
            if question.pid == 1 {
                let _ = released.recv();
            }
            Some(answer.clone())
        })
        .unwrap();
        let question = |pid| Question {
            pid,
            tid: pid,
            parent: None,
            mount_ns: 0,
            errno: 2,
            attempt: Attempt { dir: None, path: b"/app".to_vec() },
        };
        assert_eq!(looker.ask(vec![question(2), question(3)]).await, vec![Some(found.clone()); 2]);
        assert_eq!(looker.ask(vec![question(1)]).await, Answers::new(), "it hangs");
        assert_eq!(looker.ask(vec![question(2)]).await, Answers::new(), "it still hangs");
        release.send(()).unwrap();
        // Its late answer is nobody's any more; from then on it answers again.
        let answered = loop {
            let answers = looker.ask(vec![question(2)]).await;
            if !answers.is_empty() {
                break answers;
            }
            tokio::task::yield_now().await;
        };
        assert_eq!(answered, [Some(found)]);
    }
}
