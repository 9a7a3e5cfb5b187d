//! Socket Mode: clicks fetched over a WebSocket that we open, so that no address of ours need be public.
//!
//! Invariants: an envelope is acknowledged only once what it brought is durable, or refused, or none of ours; what could not be
//! stored is not, and Slack shows its warning. What is judged at once is bounded. A connection that is silent for longer than Slack
//! ever is counts as dead. Where we connect to comes from Slack's own answer, each time anew.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinHandle;
use tokio_tungstenite::connect_async_with_config;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;

use super::desk::{Desk, Taken};
use crate::sink::slack::Token;

const MESSAGE_BYTES_MAX: usize = 1 << 20;
/// Clicks that are judged at once; more wait on the wire.
const AT_ONCE: usize = 32;
/// Slack pings every few seconds.
const SILENT: Duration = Duration::from_secs(60);
const CONNECT_WITHIN: Duration = Duration::from_secs(10);
const PAUSE_LEAST: Duration = Duration::from_millis(500);
const PAUSE_MOST: Duration = Duration::from_secs(30);

/// The connection, and its successors; it ends when this is dropped.
pub struct Socket(JoinHandle<()>);

impl Drop for Socket {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Socket {
    pub fn start(desk: Arc<Desk>, app_token: Token) -> Self {
        Self(tokio::spawn(async move {
            let mut pause = PAUSE_LEAST;
            loop {
                match connection(&desk, &app_token).await {
                    // Slack closes every one after some hours.
                    Ok(why) => {
                        tracing::info!(why, "the connection of socket mode is renewed");
                        pause = PAUSE_LEAST;
                    }
                    Err(error) => {
                        tracing::warn!(error, "socket mode is not connected, so clicks do not arrive; trying again");
                        tokio::time::sleep(pause).await;
                        pause = (pause * 2).min(PAUSE_MOST);
                    }
                }
            }
        }))
    }
}

/// From its opening to its end. `Ok`: Slack asked for another one.
async fn connection(desk: &Arc<Desk>, app_token: &Token) -> Result<String, String> {
    let url = desk.asking().socket(app_token).await?;
    let config =
        WebSocketConfig::default().max_message_size(Some(MESSAGE_BYTES_MAX)).max_frame_size(Some(MESSAGE_BYTES_MAX));
    // The address is a secret: it lets whoever has it in.
    let connecting = connect_async_with_config(url, Some(config), false);
    let connected = tokio::time::timeout(CONNECT_WITHIN, connecting).await;
    let connected = connected.map_err(|_| "no connection in time".to_owned())?;
    let (mut socket, _) = connected.map_err(|error| error.to_string())?;
    let places = Arc::new(Semaphore::new(AT_ONCE));
    let (send, mut acks) = mpsc::channel::<String>(AT_ONCE);
    loop {
        let place = places.clone().acquire_owned();
        let received = tokio::select! {
            Some(envelope_id) = acks.recv() => {
                let ack = json!({"envelope_id": envelope_id}).to_string();
                socket.send(Message::text(ack)).await.map_err(|error| error.to_string())?;
                continue;
            }
            received = async { (place.await, tokio::time::timeout(SILENT, socket.next()).await) } => received,
        };
        let (Ok(place), received) = received else { return Err("no place for a click".to_owned()) };
        let message = received.map_err(|_| "nothing was heard for a minute".to_owned())?;
        let message = message.ok_or("the connection was closed")?.map_err(|error| error.to_string())?;
        let Message::Text(text) = message else { continue };
        match taken(&text) {
            ControlFlow::Break(why) => return Ok(why),
            ControlFlow::Continue(None) => {}
            ControlFlow::Continue(Some((envelope_id, payload))) => {
                let (desk, send) = (desk.clone(), send.clone());
                tokio::spawn(async move {
                    let durable = match desk.click("socket", payload.to_string().as_bytes()).await {
                        Ok(Taken::Failed(_)) => false,
                        // What cannot be read does not get better.
                        Ok(_) | Err(_) => true,
                    };
                    if durable {
                        // A connection that is gone takes no acknowledgement; the fact is there all the same.
                        let _ = send.send(envelope_id).await;
                    }
                    drop(place);
                });
            }
        }
    }
}

/// An envelope with what it brings; or why this connection ends.
fn taken(text: &str) -> ControlFlow<String, Option<(String, Value)>> {
    let Ok(mut message) = serde_json::from_str::<Value>(text) else { return ControlFlow::Continue(None) };
    if message["type"] == "disconnect" {
        return ControlFlow::Break(message["reason"].as_str().unwrap_or("disconnect").to_owned());
    }
    let envelope_id = message["envelope_id"].as_str().map(str::to_owned);
    // Envelopes of other kinds are acknowledged as clicks on nothing of ours.
    let payload = match message["type"].as_str() {
        Some("interactive") => message["payload"].take(),
        _ => json!({"type": message["type"]}),
    };
    ControlFlow::Continue(envelope_id.map(|id| (id, payload)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_envelope_is_told_from_a_greeting_and_a_farewell_and_junk_is_nothing() {
        let interactive = r#"{"type": "interactive", "envelope_id": "e1", "payload": {"type": "block_actions"}}"#;
        let ControlFlow::Continue(Some((id, payload))) = taken(interactive) else { panic!("an envelope") };
        assert_eq!((&*id, payload), ("e1", json!({"type": "block_actions"})));
        let farewell = r#"{"type": "disconnect", "reason": "refresh_requested"}"#;
        assert_eq!(taken(farewell), ControlFlow::Break("refresh_requested".to_owned()));
        for nothing in [r#"{"type": "hello"}"#, "", "[]", "7", r#"{"envelope_id": 7, "type": "interactive"}"#] {
            assert_eq!(taken(nothing), ControlFlow::Continue(None), "{nothing}");
        }
        assert!(matches!(taken(r#"{"type": "events_api", "envelope_id": "e2"}"#), ControlFlow::Continue(Some(_))));
    }
}
