//! One connection to one broker: opened, asked what it serves, logged in, then one request after the other.
//!
//! It has one user at a time, and who gives up a call gives up the connection: an answer is never taken for another's. A broken or silent
//! connection is a [`Failure::Passing`]; what another attempt would not mend (a password, a version) is [`Failure::Lasting`].

use std::fmt;
use std::io;
use std::time::{Duration, Instant};

use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::{ApiVersionsRequest, ApiVersionsResponse};
use kafka_protocol::protocol::{Request, StrBytes};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::error::Error;
use super::frame::{self, FrameError};
use super::login::Login;
use super::versions::{NoVersion, Versions};

const CLIENT_ID: &str = "fairlead";
/// Until a connection is there, secured and logged in.
const OPEN: Duration = Duration::from_secs(10);
/// Memory is given to an answer as its bytes arrive, at most this much ahead.
const READ_AHEAD: usize = 1 << 20;

/// Why an attempt came to nothing.
#[derive(Debug)]
pub enum Failure {
    /// Worth another attempt, perhaps elsewhere.
    Passing(String),
    Lasting(Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        Failure::Lasting(error)
    }
}

/// A TCP connection, perhaps with TLS on it.
pub trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Address {
    pub host: String,
    pub port: u16,
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

pub struct Wire {
    address: Address,
    stream: Box<dyn Stream>,
    versions: Versions,
    correlation: i32,
    /// When the broker will want a new login (KIP-368): a new connection is opened before.
    session_end: Option<Instant>,
    last_used: Instant,
}

impl Wire {
    pub async fn open(address: &Address, login: &Login) -> Result<Wire, Failure> {
        match timeout(OPEN, Wire::open_patiently(address, login)).await {
            Ok(opened) => opened,
            Err(_) => Err(Failure::Passing(format!("{address}: no connection within {} s", OPEN.as_secs()))),
        }
    }

    async fn open_patiently(address: &Address, login: &Login) -> Result<Wire, Failure> {
        let away = |error: io::Error| {
            Failure::Passing(format!("{address}: {error}; is it running, and is it the right address?"))
        };
        let tcp = TcpStream::connect((&*address.host, address.port)).await.map_err(away)?;
        tcp.set_nodelay(true).map_err(away)?;
        let stream = login.secure(address, tcp).await?;
        let (versions, address, last_used) = (Versions::default(), address.clone(), Instant::now());
        let mut wire = Wire { address, stream, versions, correlation: 0, session_end: None, last_used };
        wire.versions = Versions::of(&wire.ask_versions().await?);
        let session = login.log_in(&mut wire).await?;
        wire.session_end = session.map(|life| last_used + life.mul_f32(0.8));
        Ok(wire)
    }

    /// A broker that does not know version 3 answers as version 0 does, with an error (KIP-511).
    async fn ask_versions(&mut self) -> Result<ApiVersionsResponse, Failure> {
        let asked = ApiVersionsRequest::default()
            .with_client_software_name(StrBytes::from_static_str(CLIENT_ID))
            .with_client_software_version(StrBytes::from_static_str(env!("CARGO_PKG_VERSION")));
        let mut body = self.exchange(&asked, 3).await?;
        let mut version = 3;
        if body.starts_with(&ResponseError::UnsupportedVersion.code().to_be_bytes()) {
            version = 0;
            body = self.exchange(&ApiVersionsRequest::default(), 0).await?;
        }
        let told: ApiVersionsResponse = frame::answer(body, version).map_err(|error| self.broken(&error))?;
        match told.error_code {
            0 => Ok(told),
            code => Err(self.broken(&format!("it does not tell what it serves (error {code})"))),
        }
    }

    /// `make` is told the version that is spoken. The caller bounds the time.
    pub async fn call<Q: Request>(&mut self, make: impl FnOnce(i16) -> Q) -> Result<Q::Response, Failure> {
        let version = self.versions.pick::<Q>().map_err(|NoVersion { call, served }| Error::Unsupported {
            broker: self.address.to_string(),
            call,
            versions: served,
        })?;
        let body = self.exchange(&make(version), version).await?;
        let answer = frame::answer(body, version).map_err(|error| self.broken(&error))?;
        self.last_used = Instant::now();
        Ok(answer)
    }

    async fn exchange<Q: Request>(&mut self, body: &Q, version: i16) -> Result<Bytes, Failure> {
        self.correlation = self.correlation.wrapping_add(1);
        let frame =
            frame::request(body, version, self.correlation, CLIENT_ID).map_err(|error| self.unwritable(error))?;
        let answer = async {
            self.stream.write_all(&frame).await?;
            self.stream.flush().await?;
            read_frame(&mut self.stream).await
        };
        let frame = answer.await.map_err(|error| self.broken(&error))?;
        frame::answer_body::<Q::Response>(frame, version, self.correlation).map_err(|error| self.broken(&error))
    }

    /// A field that the version which both speak does not have.
    fn unwritable(&self, error: FrameError) -> Failure {
        Failure::Lasting(Error::Unusable(format!("{}: {error}; it needs a newer Kafka", self.address)))
    }

    pub fn broken(&self, why: &dyn fmt::Display) -> Failure {
        Failure::Passing(format!("{}: {why}", self.address))
    }

    pub fn address(&self) -> &Address {
        &self.address
    }

    /// Whether it may be used once more, after having been idle.
    pub fn is_fresh(&self, now: Instant, idle_max: Duration) -> bool {
        now.duration_since(self.last_used) < idle_max && self.session_end.is_none_or(|end| now < end)
    }
}

/// An answer without its length.
async fn read_frame(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Bytes> {
    let mut prefix = [0; 4];
    stream.read_exact(&mut prefix).await?;
    let length = frame::answer_length(prefix).map_err(io::Error::other)?;
    let mut frame = BytesMut::with_capacity(length.min(READ_AHEAD));
    while frame.len() < length {
        let left = length - frame.len();
        frame.reserve(left.min(READ_AHEAD));
        if stream.read_buf(&mut (&mut frame).limit(left)).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(frame.freeze())
}

#[cfg(test)]
mod tests {
    use super::*;
    use kafka_protocol::messages::{ApiKey, ListGroupsRequest};
    use kafka_protocol::protocol::Encodable;
    use tokio::net::TcpListener;

    #[tokio::test]
    async fn frames_are_read_whole_and_absurd_lengths_are_refused() {
        let mut stream: &[u8] = &[0, 0, 0, 2, 7, 8, 0, 0, 0, 0];
        assert_eq!(read_frame(&mut stream).await.unwrap(), [7, 8][..]);
        assert_eq!(read_frame(&mut stream).await.unwrap(), [][..]);
        for broken in [&b"HTTP/1.1 400"[..], &[255, 255, 255, 255], &[0, 0, 0, 9, 1], &[]] {
            let mut stream = broken;
            assert!(read_frame(&mut stream).await.is_err());
        }
    }

    /// A broker that answers as told, one body a request, and then hangs up.
    async fn broker(bodies: Vec<Vec<u8>>) -> Address {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            for body in bodies {
                let asked = read_frame(&mut stream).await.unwrap();
                let answer = [&(body.len() as u32 + 4).to_be_bytes()[..], &asked[4..8], &body].concat();
                stream.write_all(&answer).await.unwrap();
            }
        });
        Address { host: "127.0.0.1".into(), port }
    }

    fn serves(key: ApiKey, low: i16, high: i16, version: i16) -> Vec<u8> {
        use kafka_protocol::messages::api_versions_response::ApiVersion;
        let api = ApiVersion::default().with_api_key(key as i16).with_min_version(low).with_max_version(high);
        let mut body = BytesMut::new();
        ApiVersionsResponse::default().with_api_keys(vec![api]).encode(&mut body, version).unwrap();
        body.to_vec()
    }

    #[tokio::test]
    async fn an_old_broker_is_asked_in_its_version_and_one_that_hangs_up_is_away() {
        // Error 35 in a body of version 0; then version 0; then ListGroups 0: no error, no groups.
        let refusal = vec![0, 35, 0, 0, 0, 0];
        let address = broker(vec![refusal, serves(ApiKey::ListGroups, 0, 0, 0), vec![0, 0, 0, 0, 0, 0]]).await;
        let mut wire = Wire::open(&address, &Login::default()).await.ok().unwrap();
        let listed = wire.call(|version| {
            assert_eq!(version, 0);
            ListGroupsRequest::default()
        });
        assert!(listed.await.unwrap().groups.is_empty());
        let gone = wire.call(|_| ListGroupsRequest::default()).await;
        assert!(matches!(gone, Err(Failure::Passing(_))), "{gone:?}");
    }

    #[tokio::test]
    async fn a_call_that_the_broker_lacks_is_told_with_what_it_has() {
        let address = broker(vec![serves(ApiKey::ListGroups, 70, 80, 3)]).await;
        let mut wire = Wire::open(&address, &Login::default()).await.ok().unwrap();
        let Err(Failure::Lasting(error)) = wire.call(|_| ListGroupsRequest::default()).await else {
            panic!("a version of nobody's was spoken")
        };
        assert!(error.to_string().contains("does not serve ListGroups in a version"), "{error}");
        assert!(error.to_string().contains("70 to 80"), "{error}");
    }
}
