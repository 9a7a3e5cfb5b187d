//! One cluster: its brokers, the connections to them that are idle, and attempts until a deadline.
//!
//! - [`Cluster::ask`] is one attempt at one broker. Whatever breaks, it forgets what it knew, so that the next attempt looks anew: a
//!   controller that moved, a broker that is gone, an idle connection that the broker has closed.
//! - [`Patience`] says whether there is a next attempt. A call whose answer was lost is made again; what it did the first time shows in
//!   the second answer (`TOPIC_ALREADY_EXISTS`), as with Kafka's own admin client.
//!
//! Bounded: connections in use and idle, each attempt, all attempts.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use kafka_protocol::messages::{MetadataRequest, MetadataResponse};
use kafka_protocol::protocol::Request;
use parking_lot::Mutex;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::connection::{Address, Failure, Wire};
use super::error::{Error, Refusal};
use super::login::Login;
use crate::log::client::Connection;

/// For one request with all its attempts; a call of many requests has it for each.
const PATIENCE: Duration = Duration::from_secs(30);
/// For one attempt, after which another broker is asked.
const ATTEMPT: Duration = Duration::from_secs(12);
/// What a broker is told it may take, so that it answers before the attempt ends.
pub const BROKER_TIMEOUT_MS: i32 = 8_000;
const PAUSE_MIN: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(1);
const IN_USE_MAX: usize = 16;
const IDLE_MAX: usize = 32;
/// Brokers close what was idle for ten minutes, proxies and load balancers sooner.
const IDLE_TIME: Duration = Duration::from_secs(60);

/// Whom a request is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whom {
    Any,
    /// In KRaft any broker passes on what is the controller's; a broker of a ZooKeeper cluster does not.
    Controller,
    Broker(i32),
}

/// Shared by all clones.
#[derive(Clone)]
pub struct Cluster(Arc<Shared>);

struct Shared {
    login: Login,
    seeds: Vec<Address>,
    known: Mutex<Known>,
    idle: Mutex<Vec<Wire>>,
    places: Semaphore,
    /// Counts failures: which of the addresses is asked when any will do.
    turn: AtomicUsize,
}

/// What the brokers told last.
#[derive(Default)]
struct Known {
    brokers: BTreeMap<i32, Address>,
    controller: Option<i32>,
    /// False once something broke.
    is_current: bool,
}

impl Cluster {
    pub fn new(connection: &Connection) -> Result<Cluster, Error> {
        let shared = Shared {
            login: Login::of(connection)?,
            seeds: seeds(&connection.bootstrap_servers)?,
            known: Mutex::default(),
            idle: Mutex::default(),
            places: Semaphore::new(IN_USE_MAX),
            turn: AtomicUsize::new(0),
        };
        Ok(Cluster(Arc::new(shared)))
    }

    /// The brokers that are up, as they tell now.
    pub async fn brokers(&self) -> Result<Vec<i32>, Failure> {
        self.refresh().await?;
        Ok(self.0.known.lock().brokers.keys().copied().collect())
    }

    /// One attempt. `make` is told the version that is spoken.
    pub async fn ask<Q: Request>(&self, whom: Whom, make: impl FnOnce(i16) -> Q) -> Result<Q::Response, Failure> {
        let needs_map = whom != Whom::Any && !self.0.known.lock().is_current;
        if needs_map {
            self.refresh().await?;
        }
        let address = self.address(whom)?;
        self.ask_at(&address, make).await
    }

    /// As long as it takes, within `patience`.
    pub async fn insist<Q: Request>(
        &self,
        whom: Whom,
        patience: &mut Patience,
        make: impl Fn(i16) -> Q,
    ) -> Result<Q::Response, Error> {
        loop {
            match self.ask(whom, &make).await {
                Ok(answer) => return Ok(answer),
                Err(failure) => patience.after(failure).await?,
            }
        }
    }

    /// What is known of leaders, coordinators and the controller may be old: for an answer that says so.
    pub fn doubt(&self) {
        self.0.known.lock().is_current = false;
    }

    async fn refresh(&self) -> Result<(), Failure> {
        let address = self.address(Whom::Any)?;
        let told = self.ask_at(&address, |_| MetadataRequest::default().with_topics(Some(Vec::new()))).await?;
        self.learn(&told);
        Ok(())
    }

    /// Any answer to Metadata tells the brokers.
    pub fn learn(&self, told: &MetadataResponse) {
        let brokers = told.brokers.iter().filter_map(|broker| {
            let port = u16::try_from(broker.port).ok()?;
            Some((broker.node_id.0, Address { host: broker.host.to_string(), port }))
        });
        let controller = Some(told.controller_id.0).filter(|id| *id >= 0);
        *self.0.known.lock() = Known { brokers: brokers.collect(), controller, is_current: true };
    }

    fn address(&self, whom: Whom) -> Result<Address, Failure> {
        let known = self.0.known.lock();
        let id = match whom {
            Whom::Any => {
                let mut all: Vec<&Address> = known.brokers.values().collect();
                all.extend(self.0.seeds.iter().filter(|seed| !known.brokers.values().any(|broker| broker == *seed)));
                return Ok(all[self.0.turn.load(Ordering::Relaxed) % all.len()].clone());
            }
            Whom::Controller => known.controller,
            Whom::Broker(id) => Some(id),
        };
        let address = id.and_then(|id| known.brokers.get(&id)).cloned();
        drop(known);
        address.ok_or_else(|| {
            self.doubt();
            Failure::Passing(match id {
                Some(id) => format!("broker {id} is not up"),
                None => "the cluster has no controller".into(),
            })
        })
    }

    /// A connection is given back only after a whole answer, so a call that is dropped takes its connection with it.
    async fn ask_at<Q: Request>(&self, address: &Address, make: impl FnOnce(i16) -> Q) -> Result<Q::Response, Failure> {
        let _place = self.0.places.acquire().await.map_err(|error| Failure::Passing(error.to_string()))?;
        let attempt = async {
            let mut wire = match self.take_idle(address) {
                Some(wire) => wire,
                None => Wire::open(address, &self.0.login).await?,
            };
            let answer = wire.call(make).await?;
            Ok((wire, answer))
        };
        let silent = || Failure::Passing(format!("{address}: no answer within {} s", ATTEMPT.as_secs()));
        match timeout(ATTEMPT, attempt).await.unwrap_or_else(|_| Err(silent())) {
            Ok((wire, answer)) => {
                let mut idle = self.0.idle.lock();
                if idle.len() < IDLE_MAX {
                    idle.push(wire);
                }
                Ok(answer)
            }
            Err(failure) => {
                if matches!(failure, Failure::Passing(_)) {
                    // The other idle connections of a broker that went are as dead.
                    self.0.idle.lock().retain(|wire| wire.address() != address);
                    self.0.turn.fetch_add(1, Ordering::Relaxed);
                    self.doubt();
                }
                Err(failure)
            }
        }
    }

    fn take_idle(&self, address: &Address) -> Option<Wire> {
        let now = Instant::now();
        let mut idle = self.0.idle.lock();
        idle.retain(|wire| wire.is_fresh(now, IDLE_TIME));
        let found = idle.iter().rposition(|wire| wire.address() == address)?;
        Some(idle.swap_remove(found))
    }
}

/// `host:port`, comma separated, as librdkafka takes them: with an optional `PROTOCOL://`, port 9092, IPv6 in brackets.
fn seeds(servers: &str) -> Result<Vec<Address>, Error> {
    let unusable = |server: &str| Error::Unusable(format!("bootstrap_servers: `{server}` is not host:port"));
    let mut seeds = Vec::new();
    for server in servers.split(',').map(str::trim).filter(|server| !server.is_empty()) {
        let bare = server.split_once("://").map_or(server, |(_, rest)| rest);
        let (host, port) = match bare.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((host, rest)) => (host, rest.strip_prefix(':')),
            None => bare.rsplit_once(':').map_or((bare, None), |(host, port)| (host, Some(port))),
        };
        let port = port.unwrap_or("9092").parse().map_err(|_| unusable(server))?;
        if host.is_empty() {
            return Err(unusable(server));
        }
        seeds.push(Address { host: host.to_owned(), port });
    }
    if seeds.is_empty() {
        return Err(unusable(servers));
    }
    Ok(seeds)
}

/// Whether there is time for another attempt.
pub struct Patience {
    what: String,
    until: Instant,
    pause: Duration,
}

impl Patience {
    /// `what` is being done, for the error.
    pub fn to(what: impl Into<String>) -> Patience {
        Patience::within(PATIENCE, what)
    }

    pub fn within(patience: Duration, what: impl Into<String>) -> Patience {
        Patience { what: what.into(), until: Instant::now() + patience, pause: PAUSE_MIN }
    }

    /// Returns after a pause if so, and with the error otherwise.
    pub async fn after(&mut self, failure: Failure) -> Result<(), Error> {
        let why = match failure {
            Failure::Lasting(error) => return Err(error),
            Failure::Passing(why) => why,
        };
        if self.is_over() {
            return Err(Error::Unavailable(format!("to {}: {why}", self.what)));
        }
        tracing::debug!(what = self.what, why, "asked again");
        tokio::time::sleep(self.pause).await;
        self.pause = (self.pause * 2).min(PAUSE_MAX);
        Ok(())
    }

    /// For what the broker itself puts off.
    pub async fn after_refusal(&mut self, refusal: &Refusal) -> Result<(), Error> {
        self.after(Failure::Passing(refusal.to_string())).await
    }

    pub fn is_over(&self) -> bool {
        Instant::now() + self.pause >= self.until
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bootstrap_servers_are_read_as_librdkafka_reads_them() {
        let read = |servers: &str| {
            seeds(servers).map(|seeds| seeds.into_iter().map(|seed| (seed.host, seed.port)).collect::<Vec<_>>())
        };
        let named = |pairs: &[(&str, u16)]| Ok(pairs.iter().map(|(host, port)| ((*host).to_owned(), *port)).collect());
        assert_eq!(read("a:1, b:2,"), named(&[("a", 1), ("b", 2)]));
        assert_eq!(read("SASL_SSL://a:1"), named(&[("a", 1)]));
        assert_eq!(read("a"), named(&[("a", 9092)]));
        assert_eq!(read("[::1]:5,[::2]"), named(&[("::1", 5), ("::2", 9092)]));
        for wrong in ["", ",", "a:b", ":9092", "a:70000"] {
            assert!(matches!(read(wrong), Err(Error::Unusable(_))), "{wrong}");
        }
    }

    #[tokio::test]
    async fn patience_ends_and_does_not_wait_for_what_will_not_pass() {
        let refused = Error::Unusable("a password".into());
        assert_eq!(Patience::to("ask").after(Failure::Lasting(refused.clone())).await, Err(refused));
        let mut patience = Patience::to("ask");
        patience.after(Failure::Passing("hung up".into())).await.unwrap();
        patience.until = Instant::now();
        let over = patience.after(Failure::Passing("hung up".into())).await.unwrap_err();
        assert_eq!(over, Error::Unavailable("to ask: hung up".into()));
    }
}
