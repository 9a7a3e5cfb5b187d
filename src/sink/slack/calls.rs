//! The calls that are under way: made on the async runtime, answered into a channel that the worker's thread reads.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use tokio::runtime::Handle;

use super::call::Answer;
use super::client::Client;
use super::ledger::Work;

pub struct Answered {
    pub work: Work,
    pub answer: Answer,
    pub seconds: f64,
}

pub struct Calls {
    client: Arc<Client>,
    handle: Handle,
    /// A call that has not begun so long after its intent is not made: its place may be another's by now.
    intent_holds: Duration,
    send: SyncSender<Answered>,
    receive: Receiver<Answered>,
    in_flight: usize,
}

impl Calls {
    pub const MAX: usize = 12;
    /// Of these, for what wakes people or is the last word.
    pub const SPARE: usize = 4;

    pub fn new(client: Client, handle: Handle, intent_holds: Duration) -> Self {
        // Room for every call under way: an answer never waits.
        let (send, receive) = sync_channel(Self::MAX);
        Self { client: Arc::new(client), handle, intent_holds, send, receive, in_flight: 0 }
    }

    pub fn free(&self) -> usize {
        Self::MAX - self.in_flight
    }

    pub fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// `intended`: just before its intent became durable.
    pub fn start(&mut self, work: Work, intended: Instant) {
        self.in_flight += 1;
        let (client, send, intent_holds) = (self.client.clone(), self.send.clone(), self.intent_holds);
        self.handle.spawn(async move {
            let began = Instant::now();
            let answer = match began.duration_since(intended) > intent_holds {
                true => Answer::NotSent("its intent is too old".to_owned()),
                false => client.call(&work.call).await,
            };
            let seconds = began.elapsed().as_secs_f64();
            // Nobody listens any more once the worker has died: then the journal says that this call is in doubt.
            let _ = send.send(Answered { work, answer, seconds });
        });
    }

    /// An answer that came within `wait`, if any call is under way.
    pub fn answered(&mut self, wait: Duration) -> Option<Answered> {
        if self.in_flight == 0 {
            return None;
        }
        let answered = self.receive.recv_timeout(wait).ok()?;
        self.in_flight -= 1;
        Some(answered)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Partition;
    use crate::sink::slack::call::Call;
    use crate::sink::slack::client::Token;
    use crate::sink::slack::ledger::ThreadKey;

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn a_call_whose_intent_is_too_old_is_not_made() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let base = format!("http://{}/api/", listener.local_addr().unwrap());
        let client = Client::new(&base, Token("xoxb-test".into()), Duration::from_millis(200)).unwrap();
        let mut calls = Calls::new(client, Handle::current(), Duration::from_secs(10));
        let key = ThreadKey { partition: Partition(0), incident_id: "i".into(), channel: "#c".into() };
        let call = Call::Delete { channel_id: "C1".into(), ts: "1.1".into() };
        let work = Work { key, ticket: 1, intent: None, call };
        calls.start(work.clone(), Instant::now() - Duration::from_secs(11));
        let answered = calls.answered(Duration::from_secs(10)).unwrap();
        assert_eq!(answered.answer, Answer::NotSent("its intent is too old".into()));
        assert!(listener.accept().is_err(), "nobody has connected");
        // A young one is.
        calls.start(work, Instant::now());
        assert!(matches!(calls.answered(Duration::from_secs(10)).unwrap().answer, Answer::Unknown(_)));
        assert!(listener.accept().is_ok());
    }
}
