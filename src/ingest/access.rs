//! Who may send: bearer tokens and other keys, several at once so that one can be replaced while both are valid.
//!
//! Invariants: only digests of tokens are kept, none is ever printed; comparison takes the same time whatever is told.
//! Without tokens nothing starts, unless that is asked for by name, and then only on loopback.

use std::fmt;
use std::net::SocketAddr;
use std::path::Path;

use sha2::{Digest, Sha256};
use subtle::{Choice, ConstantTimeEq};
use thiserror::Error;

/// Shorter ones can be guessed.
const SHORTEST: usize = 16;

#[derive(Debug, Error)]
pub enum Error {
    #[error("{origin} holds no secret; put one there, for example the output of `openssl rand -hex 32`")]
    Empty { origin: String },
    #[error("secret {number} of {origin} is shorter than {SHORTEST} characters; use `openssl rand -hex 32`")]
    Short { origin: String, number: usize },
    #[error("cannot read the bearer tokens in {path}: {error}")]
    File { path: String, error: std::io::Error },
    #[error(
        "{listen} is reachable from outside and nothing would be asked of a sender; set tokens or listen on 127.0.0.1"
    )]
    Open { listen: SocketAddr },
}

#[derive(Clone)]
pub enum Access {
    /// Digests of the tokens, any of which will do.
    Tokens(Vec<[u8; 32]>),
    /// Nothing is asked; only on loopback.
    Open,
}

/// Secrets parted by white space; a line that starts with `#` is a comment. `origin` is where they were found.
pub fn secrets<'t>(text: &'t str, origin: &str) -> Result<Vec<&'t str>, Error> {
    let lines = text.lines().filter(|line| !line.trim_start().starts_with('#'));
    let secrets: Vec<_> = lines.flat_map(str::split_whitespace).collect();
    if secrets.is_empty() {
        return Err(Error::Empty { origin: origin.to_owned() });
    }
    match secrets.iter().position(|secret| secret.len() < SHORTEST) {
        Some(short) => Err(Error::Short { origin: origin.to_owned(), number: short + 1 }),
        None => Ok(secrets),
    }
}

impl Access {
    /// Tokens as [`secrets`] reads them.
    pub fn from_text(text: &str, origin: &str) -> Result<Self, Error> {
        let tokens = secrets(text, origin)?;
        Ok(Access::Tokens(tokens.into_iter().map(|token| Sha256::digest(token).into()).collect()))
    }

    pub fn from_file(path: &Path) -> Result<Self, Error> {
        let path_told = path.display().to_string();
        let text = std::fs::read_to_string(path).map_err(|error| Error::File { path: path_told.clone(), error })?;
        Self::from_text(&text, &path_told)
    }

    /// Whether a server may listen there.
    pub fn check(&self, listen: SocketAddr) -> Result<(), Error> {
        match self {
            Access::Open if !listen.ip().is_loopback() => Err(Error::Open { listen }),
            _ => Ok(()),
        }
    }

    /// `authorization` is the value of that header.
    pub fn allows(&self, authorization: Option<&str>) -> bool {
        if matches!(self, Access::Open) {
            return true;
        }
        let Some((scheme, told)) = authorization.and_then(|value| value.split_once(' ')) else { return false };
        self.knows(told.trim()) && scheme.eq_ignore_ascii_case("bearer")
    }

    /// Whether `told` is one of the tokens.
    pub fn knows(&self, told: &str) -> bool {
        let Access::Tokens(tokens) = self else { return true };
        let told: [u8; 32] = Sha256::digest(told).into();
        // Every token is compared, so that the time tells not even which one was met.
        bool::from(tokens.iter().fold(Choice::from(0), |known, token| known | token.ct_eq(&told)))
    }
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Access::Tokens(tokens) => write!(f, "{} tokens", tokens.len()),
            Access::Open => f.write_str("open"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: &str = "old-token-0123456789";
    const NEW: &str = "new-token-0123456789";

    #[test]
    fn any_of_the_tokens_opens_and_nothing_else() {
        let access = Access::from_text(&format!("# rotated in November\n{OLD}\n\n  {NEW} \n"), "a test").unwrap();
        for told in [format!("Bearer {OLD}"), format!("bearer {NEW}"), format!("Bearer  {NEW} ")] {
            assert!(access.allows(Some(&told)), "{told}");
        }
        let longer = format!("Bearer {NEW}9");
        for told in ["", "Bearer", "Bearer ", OLD, "Basic old-token-0123456789", "Bearer old-token", &longer] {
            assert!(!access.allows(Some(told)), "{told}");
        }
        assert!(!access.allows(None));
        assert!(!format!("{access:?}").contains("token-0"));
    }

    #[test]
    fn no_tokens_or_short_ones_start_nothing_and_open_means_loopback() {
        let refused = |text: &str| Access::from_text(text, "$TOKENS").unwrap_err().to_string();
        assert!(refused(" \n# none\n").starts_with("$TOKENS holds no secret"));
        assert!(refused(&format!("{OLD} secret")).contains("secret 2 of $TOKENS is shorter"));
        assert!(!refused("hunter2").contains("hunter2"));
        let listen = |address: &str| Access::Open.check(address.parse().unwrap());
        assert!(listen("127.0.0.1:8080").is_ok() && listen("[::1]:8080").is_ok());
        assert!(listen("0.0.0.0:8080").unwrap_err().to_string().contains("0.0.0.0:8080 is reachable"));
        let missing = Access::from_file(Path::new("no/such/file")).unwrap_err();
        assert!(missing.to_string().contains("no/such/file"));
    }
}
