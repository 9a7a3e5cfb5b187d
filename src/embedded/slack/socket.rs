//! Socket Mode of the stand-in: an address for one connection, greetings, envelopes and their acknowledgements.
//!
//! Rules held: an address is good once; only who has an app-level token is given one; of several connections the newest gets
//! what comes; what is not acknowledged within three seconds has failed.

use std::collections::BTreeSet;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};
use tokio_tungstenite::accept_hdr_async;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};

const ACK_WITHIN: Duration = Duration::from_secs(3);

/// What is sent to a client, and who waits for its acknowledgement.
type Outgoing = (Value, Option<oneshot::Sender<()>>);

#[derive(Clone)]
pub struct Sockets {
    address: SocketAddr,
    shared: Arc<Mutex<Shared>>,
}

#[derive(Default)]
struct Shared {
    issued: u64,
    /// Numbers of addresses that nobody used yet.
    fresh: BTreeSet<u64>,
    newest: Option<mpsc::Sender<Outgoing>>,
    connected: u64,
}

impl Sockets {
    /// Of an app-level token.
    pub const APP_TOKEN: &str = "xapp-fake-0123456789";

    pub async fn start() -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let sockets = Self { address: listener.local_addr()?, shared: Arc::default() };
        let serving = sockets.clone();
        tokio::spawn(async move {
            // Ends with its runtime: it is for tests and the demo.
            while let Ok((stream, _)) = listener.accept().await {
                let serving = serving.clone();
                tokio::spawn(async move { serving.serve(stream).await });
            }
        });
        Ok(sockets)
    }

    /// The answer of apps.connections.open.
    pub fn open(&self, token: Option<&str>) -> Value {
        if token != Some(Self::APP_TOKEN) {
            return json!({"ok": false, "error": "not_allowed_token_type"});
        }
        let mut shared = self.lock();
        shared.issued += 1;
        let ticket = shared.issued;
        shared.fresh.insert(ticket);
        json!({"ok": true, "url": format!("ws://{}/link/?ticket={ticket}", self.address)})
    }

    /// How often somebody has connected so far.
    pub fn connected(&self) -> u64 {
        self.lock().connected
    }

    /// Sends an envelope; whether it was acknowledged in time.
    pub async fn deliver(&self, payload: Value) -> Result<bool, String> {
        let newest = self.lock().newest.clone().ok_or("nobody is connected")?;
        let (acked, ack) = oneshot::channel();
        let envelope = json!({"type": "interactive", "payload": payload, "accepts_response_payload": false});
        newest.send((envelope, Some(acked))).await.map_err(|_| "nobody is connected any more")?;
        Ok(matches!(tokio::time::timeout(ACK_WITHIN, ack).await, Ok(Ok(()))))
    }

    /// Asks the newest connection to be renewed, and closes it.
    pub async fn refresh(&self) {
        let newest = self.lock().newest.take();
        if let Some(newest) = newest {
            let _ = newest.send((json!({"type": "disconnect", "reason": "refresh_requested"}), None)).await;
        }
    }

    async fn serve(self, stream: TcpStream) {
        #[expect(clippy::result_large_err, reason = "tungstenite asks for this shape")]
        let is_fresh = |request: &Request, response: Response| {
            let ticket = request.uri().query().and_then(|query| query.strip_prefix("ticket=")?.parse().ok());
            match ticket.is_some_and(|ticket: u64| self.lock().fresh.remove(&ticket)) {
                true => Ok(response),
                false => Err(ErrorResponse::new(Some("this address was used".to_owned()))),
            }
        };
        let Ok(mut socket) = accept_hdr_async(stream, is_fresh).await else { return };
        let (send, mut outgoing) = mpsc::channel::<Outgoing>(16);
        {
            let mut shared = self.lock();
            shared.newest = Some(send);
            shared.connected += 1;
        }
        let hello = json!({"type": "hello", "num_connections": 1, "connection_info": {"app_id": "A0FAKE"}});
        let mut waiting: Vec<(String, oneshot::Sender<()>)> = Vec::new();
        let mut sent = 0;
        if socket.send(Message::text(hello.to_string())).await.is_err() {
            return;
        }
        loop {
            tokio::select! {
                next = outgoing.recv() => {
                    let Some((mut message, ack)) = next else { return };
                    if let Some(ack) = ack {
                        sent += 1;
                        let id = format!("envelope-{sent}");
                        message["envelope_id"] = id.as_str().into();
                        waiting.push((id, ack));
                    }
                    if socket.send(Message::text(message.to_string())).await.is_err() {
                        return;
                    }
                }
                received = socket.next() => {
                    let Some(Ok(received)) = received else { return };
                    let ack: Value = received.to_text().ok().and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
                    if let Some(at) = waiting.iter().position(|(id, _)| ack["envelope_id"] == id.as_str()) {
                        // Who waited may have given up.
                        let _ = waiting.swap_remove(at).1.send(());
                    }
                }
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
