//! One call over HTTP, and whether it can have had an effect.

use std::fmt;
use std::time::Duration;

use reqwest::{Url, header, redirect};
use thiserror::Error;

use super::call::{Answer, Call};

#[derive(Debug, Error)]
pub enum Error {
    #[error("`{given}` is no base url for slack, such as https://slack.com/api/: {why}")]
    BaseUrl { given: String, why: String },
    #[error("no http client: {0}")]
    Client(#[from] reqwest::Error),
}

/// A bearer token. It is never shown.
#[derive(Clone)]
pub struct Token(pub String);

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(hidden)")
    }
}

#[derive(Clone, Debug)]
pub struct Client {
    http: reqwest::Client,
    base: Url,
    token: Token,
}

impl Client {
    /// More than a thousand messages with their blocks: a page of history fits many times.
    const ANSWER_BYTES_MAX: usize = 16 << 20;

    /// `timeout` covers a call from its first byte to the last one of its answer.
    pub fn new(base_url: &str, token: Token, timeout: Duration) -> Result<Self, Error> {
        let base = Url::parse(base_url).map_err(|error| error.to_string());
        let base = base.and_then(|base| match base.cannot_be_a_base() || !base.path().ends_with('/') {
            true => Err("it must be absolute and end with a slash".to_owned()),
            false => Ok(base),
        });
        let base = base.map_err(|why| Error::BaseUrl { given: base_url.to_owned(), why })?;
        let http = reqwest::Client::builder()
            .timeout(timeout)
            .redirect(redirect::Policy::none())
            // Shorter than servers keep an idle connection: one that is closed while a call is written leaves a doubt.
            .pool_idle_timeout(Duration::from_secs(15))
            .build()?;
        Ok(Self { http, base, token })
    }

    pub async fn call(&self, call: &Call) -> Answer {
        match self.ask(call).await {
            Ok((status, retry_after_s, body)) => call.answer(status, retry_after_s, &body),
            // Without its URL: nothing of a message belongs into a log.
            Err(error) if error.is_connect() || error.is_builder() => Answer::NotSent(error.without_url().to_string()),
            Err(error) => Answer::Unknown(error.without_url().to_string()),
        }
    }

    async fn ask(&self, call: &Call) -> Result<(u16, Option<i64>, Vec<u8>), reqwest::Error> {
        let mut url = self.base.clone();
        url.set_path(&format!("{}{}", self.base.path(), call.method().name()));
        let request = match call.body() {
            Some(body) => self.http.post(url).json(&body),
            None => {
                url.query_pairs_mut().extend_pairs(call.query());
                self.http.get(url)
            }
        };
        let mut response = request.bearer_auth(&self.token.0).send().await?;
        let retry_after =
            response.headers().get(header::RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await? {
            body.extend_from_slice(&chunk);
            if body.len() > Self::ANSWER_BYTES_MAX {
                // Cut, it is no JSON any more, and so an unknown outcome.
                break;
            }
        }
        Ok((response.status().as_u16(), retry_after, body))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_never_shown_and_a_base_url_without_a_slash_is_refused() {
        let client = |url| Client::new(url, Token("xoxb-secret".into()), Duration::from_secs(1));
        assert!(!format!("{:?}", client("https://slack.com/api/").unwrap()).contains("secret"));
        assert!(client("https://slack.com/api").unwrap_err().to_string().contains("end with a slash"));
        assert!(client("slack").is_err());
    }
}
