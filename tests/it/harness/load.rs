//! Seeded load: alerts and deploys of services that are busy and of services that are seen once, and some rubbish.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fairlead::codec::Formats;
use fairlead::event::{Alert, AlertStatus, Deploy, DeployKind, DeployOutcome, Fact, Labels, Mention};
use rdkafka::ClientContext;
use rdkafka::producer::{BaseRecord, DeliveryResult, Producer, ProducerContext, ThreadedProducer};

use super::site::Site;

/// splitmix64.
pub struct Random(pub u64);

impl Random {
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Sent {
    pub alerts: u64,
    pub deploys: u64,
    pub rubbish: u64,
    /// Services that were left with a firing alert.
    pub left_firing: u64,
}

/// Sends until it is stopped.
pub struct Load {
    stop: Arc<AtomicBool>,
    schema: Arc<AtomicU32>,
    thread: JoinHandle<Sent>,
}

impl Load {
    pub fn start(site: &Site, seed: u64, pause_ms: u64) -> Load {
        Load::start_with(site, seed, pause_ms, "")
    }

    /// `summary` is what every alert says of itself: with a long one states are large.
    pub fn start_with(site: &Site, seed: u64, pause_ms: u64, summary: &str) -> Load {
        let (mut sender, stop) = (Sender::new(site, seed, summary), Arc::new(AtomicBool::new(false)));
        let (stopped, schema) = (stop.clone(), sender.schema.clone());
        let thread = std::thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                sender.send_something();
                std::thread::sleep(Duration::from_millis(1 + sender.random.below(2 * pause_ms)));
            }
            sender.finish()
        });
        Load { stop, schema, thread }
    }

    /// From now on alerts bear the id of this schema, which says the same in other words.
    pub fn write_alerts_with(&self, schema: u32) {
        self.schema.store(schema, Ordering::Relaxed);
    }

    /// Lets what shall end do so, and says what was sent.
    pub fn finish(self) -> Sent {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}

/// One request at a time: else librdkafka takes what broke off for stored when what came after it is.
fn producer(site: &Site) -> ThreadedProducer<Told> {
    let mut config = site.endpoints.connection.producer();
    config.set("max.in.flight.requests.per.connection", "1");
    config.create_with_context(Told).unwrap()
}

/// A record that was not delivered would be missed later, for no fault of fairlead.
struct Told;

impl ClientContext for Told {}

impl ProducerContext for Told {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if let Err((error, _)) = result {
            eprintln!("the load was not delivered: {error}");
        }
    }
}

struct Sender {
    random: Random,
    formats: Formats,
    producer: ThreadedProducer<Told>,
    alerts: String,
    deploys: String,
    summary: String,
    /// What alerts are written with; 0 for what the site has registered.
    schema: Arc<AtomicU32>,
    /// When each alert that fires began, by service and fingerprint.
    firing: BTreeMap<(String, String), i64>,
    fresh: u64,
    sent: Sent,
    last_ms: i64,
}

impl Sender {
    fn new(site: &Site, seed: u64, summary: &str) -> Self {
        Self {
            random: Random(seed),
            formats: site.formats.clone(),
            producer: producer(site),
            alerts: site.topic("alerts").to_string(),
            deploys: site.topic("deploys").to_string(),
            summary: summary.to_owned(),
            schema: Arc::default(),
            firing: BTreeMap::new(),
            fresh: 0,
            sent: Sent::default(),
            last_ms: 0,
        }
    }

    fn send_something(&mut self) {
        match self.random.below(20) {
            0 => self.rubbish(),
            1 | 2 => self.fresh_service(),
            3 => {
                let service = format!("busy-{}", self.random.below(6));
                self.deploy(&service);
            }
            4..8 => self.end_one_of_a_fresh_service(),
            _ => {
                let (service, number) = (format!("busy-{}", self.random.below(6)), self.random.below(5));
                let fingerprint = format!("{service}-{number}");
                // Sometimes only repeated.
                let fires =
                    !self.firing.contains_key(&(service.clone(), fingerprint.clone())) || self.random.below(4) == 0;
                self.alert(&service, &fingerprint, fires);
            }
        }
    }

    /// A deploy, and one to three alerts.
    fn fresh_service(&mut self) {
        let service = format!("fresh-{}", self.fresh);
        self.fresh += 1;
        self.deploy(&service);
        for number in 0..=self.random.below(3) {
            self.alert(&service, &format!("{service}-{number}"), true);
        }
    }

    fn end_one_of_a_fresh_service(&mut self) {
        let firing: Vec<_> = self.firing.keys().filter(|(service, _)| service.starts_with("fresh")).cloned().collect();
        if let Some(longest) = firing.first() {
            self.alert(&longest.0, &longest.1, false);
        }
    }

    fn alert(&mut self, service: &str, fingerprint: &str, fires: bool) {
        let (now, id) = (self.now_ms(), (service.to_owned(), fingerprint.to_owned()));
        let starts_at_ms = *self.firing.entry(id.clone()).or_insert(now);
        if !fires {
            self.firing.remove(&id);
        }
        self.sent.alerts += 1;
        let value = self.random.below(100) as f64;
        let mut alert = alert(service, fingerprint, starts_at_ms, (!fires).then_some(now), value);
        alert.annotations = [("summary".into(), self.summary.as_str().into())].into_iter().collect();
        self.fact(&self.alerts, &Fact::Alert(alert), now);
    }

    fn deploy(&mut self, service: &str) {
        let now = self.now_ms();
        self.sent.deploys += 1;
        let deploy = Deploy {
            id: format!("{service}-{}", self.sent.deploys).into(),
            source: "load".into(),
            service: service.into(),
            environment: Some("production".into()),
            kind: DeployKind::Deploy,
            outcome: DeployOutcome::Succeeded,
            version: "1".into(),
            revision: None,
            actor: None,
            url: None,
            started_at_ms: Some(now - 2_000),
            finished_at_ms: Some(now - 1_000),
        };
        self.fact(&self.deploys, &Fact::Deploy(deploy), now);
    }

    fn rubbish(&mut self) {
        let now = self.now_ms();
        self.sent.rubbish += 1;
        let topic = if self.random.below(3) == 0 { self.deploys.clone() } else { self.alerts.clone() };
        let key = format!("busy-{}", self.random.below(6)).into_bytes();
        let (key, value) = match self.random.below(6) {
            0 => (None, Some(b"without a key".to_vec())),
            1 => (Some(key), None),
            2 => (Some(key), Some(b"no envelope".to_vec())),
            3 => (Some(key), Some(b"\0\x7f\xff\xff\xffno such schema".to_vec())),
            4 => {
                // A fact of another service than its key.
                let mut bytes = Vec::new();
                self.formats.encode_fact(&Fact::Alert(alert("busy-x", "x", now, None, 0.0)), &mut bytes).unwrap();
                (Some(key), Some(bytes))
            }
            _ => (Some(key), Some(Vec::new())),
        };
        self.write(&topic, key, value, now);
    }

    fn fact(&self, topic: &str, fact: &Fact<'_>, now: i64) {
        let mut value = Vec::new();
        self.formats.encode_fact(fact, &mut value).unwrap();
        let schema = self.schema.load(Ordering::Relaxed);
        if schema > 0 && matches!(fact, Fact::Alert(_)) {
            value[1..5].copy_from_slice(&schema.to_be_bytes());
        }
        self.write(topic, Some(fact.key().as_bytes().to_vec()), Some(value), now);
    }

    fn write(&self, topic: &str, key: Option<Vec<u8>>, value: Option<Vec<u8>>, now: i64) {
        let mut record: BaseRecord<'_, [u8], [u8]> = BaseRecord::to(topic).timestamp(now);
        (record.key, record.payload) = (key.as_deref(), value.as_deref());
        self.producer.send(record).map_err(|(error, _)| error).unwrap();
    }

    /// Never twice the same, so that the order of records is the order of time.
    fn now_ms(&mut self) -> i64 {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as i64;
        self.last_ms = now.max(self.last_ms + 1);
        self.last_ms
    }

    /// All that fires on busy services ends, and half of the rest; then, once that must have resolved, every partition hears
    /// of one more alert, so that time has passed for it.
    fn finish(mut self) -> Sent {
        let firing: Vec<_> = self.firing.keys().cloned().collect();
        for (number, (service, fingerprint)) in firing.iter().enumerate() {
            if service.starts_with("busy") || number % 2 == 0 {
                self.alert(service, fingerprint, false);
            }
        }
        self.producer.flush(Duration::from_secs(60)).unwrap();
        std::thread::sleep(Duration::from_millis(1_500));
        for _ in 0..40 {
            self.fresh_service();
        }
        self.sent.left_firing =
            self.firing.keys().map(|(service, _)| service).collect::<std::collections::BTreeSet<_>>().len() as u64;
        self.producer.flush(Duration::from_secs(60)).unwrap();
        self.sent
    }
}

pub fn alert<'a>(
    service: &'a str,
    fingerprint: &'a str,
    starts_at_ms: i64,
    ends_at_ms: Option<i64>,
    value: f64,
) -> Alert<'a> {
    Alert {
        source: "load".into(),
        fingerprint: fingerprint.into(),
        starts_at_ms,
        ends_at_ms,
        status: if ends_at_ms.is_none() { AlertStatus::Firing } else { AlertStatus::Resolved },
        service: service.into(),
        name: "HighErrorRatio".into(),
        environment: Some("production".into()),
        namespace: None,
        labels: Labels::default(),
        annotations: Labels::default(),
        value: Some(value),
        generator_url: None,
        level: None,
        mention: Mention::Nobody,
        level_reason: None,
        episode: None,
        muted_until_ms: None,
        muted_by: None,
    }
}
