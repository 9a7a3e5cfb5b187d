//! A feed over HTTPS: bounded in size and time, and never led to another host.
//!
//! Its address is a secret, for whoever knows it reads the calendar: it is in no error and no log. Plain HTTP is for loopback only.

use std::fmt;
use std::time::Duration;

use reqwest::redirect::{Attempt, Policy};
use reqwest::{Url, header};

pub const BYTES_MAX: usize = 1 << 20;
const TIMEOUT: Duration = Duration::from_secs(20);
const REDIRECTS_MAX: usize = 5;

/// An address that may be fetched. It is never shown.
#[derive(Clone)]
pub struct Feed(Url);

impl fmt::Debug for Feed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Feed(hidden)")
    }
}

impl Feed {
    /// `webcal://` is how calendars call `https://`.
    pub fn new(address: &str) -> Result<Self, String> {
        let address = address.trim();
        let address =
            address.strip_prefix("webcal://").map_or_else(|| address.to_owned(), |rest| format!("https://{rest}"));
        let url = Url::parse(&address).map_err(|error| format!("this is no address: {error}"))?;
        match may_be_asked(&url) {
            true => Ok(Self(url)),
            false => Err("a feed is fetched over https://; plain http:// is for loopback only".to_owned()),
        }
    }
}

fn may_be_asked(url: &Url) -> bool {
    let is_loopback = matches!(url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"));
    url.scheme() == "https" && url.host_str().is_some() || url.scheme() == "http" && is_loopback
}

#[derive(Clone, Debug)]
pub struct Fetcher(reqwest::Client);

impl Fetcher {
    pub fn new() -> Result<Self, reqwest::Error> {
        let client = reqwest::Client::builder().timeout(TIMEOUT).redirect(Policy::custom(redirected));
        Ok(Self(client.build()?))
    }

    pub async fn fetch(&self, feed: &Feed) -> Result<String, String> {
        let told = |error: reqwest::Error| format!("the feed cannot be fetched: {}", error.without_url());
        let agent = concat!("fairlead/", env!("CARGO_PKG_VERSION"));
        let request = self
            .0
            .get(feed.0.clone())
            .header(header::USER_AGENT, agent)
            .header(header::ACCEPT, "text/calendar, */*;q=0.1");
        let mut response = request.send().await.map_err(told)?;
        let status = response.status();
        if !status.is_success() {
            return Err(format!("the feed answers {status}"));
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(told)? {
            body.extend_from_slice(&chunk);
            if body.len() > BYTES_MAX {
                return Err(format!("the feed is larger than {BYTES_MAX} bytes"));
            }
        }
        String::from_utf8(body).map_err(|_| "the feed is no UTF-8".to_owned())
    }
}

fn redirected(attempt: Attempt<'_>) -> reqwest::redirect::Action {
    let from = attempt.previous().first();
    let same =
        from.is_some_and(|from| from.host_str() == attempt.url().host_str() && from.scheme() == attempt.url().scheme());
    match same && attempt.previous().len() <= REDIRECTS_MAX {
        true => attempt.follow(),
        false => attempt.error("it leads to another host, or round and round"),
    }
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::response::Redirect;
    use axum::routing::get;

    use super::*;

    #[test]
    fn only_https_and_loopback_and_never_shown() {
        for good in [
            "https://a.example/secret.ics",
            "webcal://a.example/secret",
            "http://127.0.0.1:1/secret",
            "http://localhost/x",
        ] {
            let feed = Feed::new(good).unwrap();
            assert!(!format!("{feed:?}").contains("secret"));
        }
        for bad in [
            "http://a.example/secret",
            "ftp://a.example/secret",
            "secret",
            "file:///secret",
            "http://127.0.0.1.example/secret",
        ] {
            let told = Feed::new(bad).unwrap_err();
            assert!(!told.contains("secret"), "{told}");
        }
    }

    #[tokio::test]
    async fn what_is_too_large_not_there_or_somewhere_else_is_refused_without_its_address() {
        let router = Router::new()
            .route("/secret/good", get(|| async { "BEGIN:VCALENDAR" }))
            .route("/secret/large", get(|| async { "x".repeat(BYTES_MAX + 1) }))
            .route("/secret/bytes", get(|| async { vec![0xff_u8, 0xfe] }))
            .route("/secret/moved", get(|| async { Redirect::temporary("/secret/good") }))
            .route("/secret/round", get(|| async { Redirect::temporary("/secret/round") }))
            .route("/secret/away", get(|| async { Redirect::temporary("http://localhost:1/secret/good") }));
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, router).await });
        let fetcher = Fetcher::new().unwrap();
        let fetch =
            async |path: &str| fetcher.fetch(&Feed::new(&format!("http://{address}/secret/{path}")).unwrap()).await;
        assert_eq!(fetch("good").await.unwrap(), "BEGIN:VCALENDAR");
        assert_eq!(fetch("moved").await.unwrap(), "BEGIN:VCALENDAR");
        for (path, why) in [
            ("large", "larger than"),
            ("bytes", "no UTF-8"),
            ("gone", "404"),
            ("round", "cannot be fetched"),
            ("away", "cannot be fetched"),
        ] {
            let told = fetch(path).await.unwrap_err();
            assert!(told.contains(why) && !told.contains("secret"), "{path}: {told}");
        }
        let nobody = Feed::new("http://127.0.0.1:1/secret").unwrap();
        assert!(!fetcher.fetch(&nobody).await.unwrap_err().contains("secret"));
    }
}
