//! Pictures of messages, fetched as Slack does it: an address that does not answer with one costs the message.
//!
//! Only from this machine: whoever may post must not make this process ask others. Always: bounded in time and size, no redirect followed.

use std::time::Duration;

use reqwest::{Client, Url, redirect};

const TIMEOUT: Duration = Duration::from_secs(3);
const BYTES_MAX: usize = 2 << 20;
/// How files of these kinds begin: PNG, JPEG, GIF.
const KINDS: [&[u8]; 4] = [b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF87a", b"GIF89a"];

#[derive(Clone)]
pub struct Pictures {
    http: Client,
}

impl Pictures {
    pub fn new() -> reqwest::Result<Self> {
        let http = Client::builder().timeout(TIMEOUT).redirect(redirect::Policy::none()).no_proxy().build()?;
        Ok(Self { http })
    }

    /// The error says why there is no picture.
    pub async fn fetch(&self, address: &str) -> Result<(), String> {
        let url = Url::parse(address).map_err(|error| error.to_string())?;
        if !is_here(&url) {
            return Err("it is not on this machine".to_owned());
        }
        let mut response = self.http.get(url).send().await.map_err(|error| error.to_string())?;
        if response.status() != 200 {
            return Err(format!("http status {}", response.status()));
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| error.to_string())? {
            body.extend_from_slice(&chunk);
            if body.len() > BYTES_MAX {
                return Err(format!("more than {BYTES_MAX} bytes"));
            }
        }
        let known = KINDS.iter().any(|kind| body.starts_with(kind));
        known.then_some(()).ok_or_else(|| "neither PNG nor JPEG nor GIF".to_owned())
    }
}

fn is_here(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    let address = host.parse::<std::net::IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_elsewhere_is_asked() {
        let here = |address: &str| is_here(&Url::parse(address).unwrap());
        assert!(here("http://127.0.0.1:8080/x.png") && here("http://[::1]/x") && here("http://localhost/"));
        assert!(!here("http://10.0.0.1/x") && !here("https://slack.com/") && !here("http://localhost.example/"));
    }
}
