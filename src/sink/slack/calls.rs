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
    send: SyncSender<Answered>,
    receive: Receiver<Answered>,
    in_flight: usize,
}

impl Calls {
    pub const MAX: usize = 8;

    pub fn new(client: Client, handle: Handle) -> Self {
        // Room for every call under way: an answer never waits.
        let (send, receive) = sync_channel(Self::MAX);
        Self { client: Arc::new(client), handle, send, receive, in_flight: 0 }
    }

    pub fn free(&self) -> usize {
        Self::MAX - self.in_flight
    }

    pub fn in_flight(&self) -> usize {
        self.in_flight
    }

    pub fn start(&mut self, work: Work) {
        self.in_flight += 1;
        let (client, send) = (self.client.clone(), self.send.clone());
        self.handle.spawn(async move {
            let began = Instant::now();
            let answer = client.call(&work.call).await;
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
