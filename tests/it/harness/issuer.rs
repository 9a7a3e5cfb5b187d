//! A token endpoint (OAuth's client credentials grant) whose tokens the secured broker takes: JSON web tokens without a signature.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use serde_json::json;

/// Of every client.
pub const SECRET: &str = "an oauth secret";

#[derive(Clone)]
pub struct Issuer {
    url: String,
    life: Duration,
    granted: Arc<AtomicU32>,
}

impl Issuer {
    /// Serves until the runtime ends.
    pub async fn start(life: Duration) -> Issuer {
        let listener = tokio::net::TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.expect("a port");
        let url = format!("http://{}/token", listener.local_addr().expect("an address"));
        let issuer = Issuer { url, life, granted: Arc::default() };
        let app = Router::new().route("/token", post(grant)).with_state(issuer.clone());
        tokio::spawn(async move { axum::serve(listener, app).await });
        issuer
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    /// How many tokens were given out.
    pub fn granted(&self) -> u32 {
        self.granted.load(Ordering::Relaxed)
    }
}

/// A client's name is its token's subject, and so its principal.
async fn grant(State(issuer): State<Issuer>, headers: HeaderMap, body: String) -> (StatusCode, String) {
    let login = headers.get("authorization").and_then(|login| login.to_str().ok()?.strip_prefix("Basic "));
    let login = login.and_then(|login| String::from_utf8(from_base64(login)?).ok()).unwrap_or_default();
    match login.split_once(':') {
        Some((client, SECRET)) if body == "grant_type=client_credentials&scope=kafka" => {
            issuer.granted.fetch_add(1, Ordering::Relaxed);
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            let claims = json!({ "sub": client, "iat": now.as_secs(), "exp": (now + issuer.life).as_secs_f64() });
            let token = format!("{}.{}.", to_base64(br#"{"alg":"none"}"#), to_base64(claims.to_string().as_bytes()));
            let answer = json!({ "access_token": token, "token_type": "Bearer", "expires_in": issuer.life.as_secs() });
            (StatusCode::OK, answer.to_string())
        }
        _ => (StatusCode::UNAUTHORIZED, json!({ "error": "invalid_client" }).to_string()),
    }
}

const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// As tokens have it: without padding.
fn to_base64(bytes: &[u8]) -> String {
    let digits = bytes.chunks(3).flat_map(|chunk| {
        let bits = chunk.iter().fold(0, |bits, byte| bits << 8 | usize::from(*byte)) << (8 * (3 - chunk.len()));
        (0..=chunk.len()).map(move |digit| char::from(DIGITS[bits >> (18 - 6 * digit) & 63]))
    });
    digits.collect()
}

fn from_base64(text: &str) -> Option<Vec<u8>> {
    let (mut bytes, mut bits, mut held) = (Vec::new(), 0_u32, 0);
    for digit in text.trim_end_matches('=').bytes() {
        let digit = match digit {
            b'+' => b'-',
            b'/' => b'_',
            other => other,
        };
        let value = DIGITS.iter().position(|known| *known == digit)?;
        (bits, held) = (bits << 6 | u32::try_from(value).ok()?, held + 6);
        if held >= 8 {
            held -= 8;
            bytes.push((bits >> held) as u8);
        }
    }
    Some(bytes)
}
