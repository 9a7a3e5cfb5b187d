//! A secured Apache Kafka: every way to log in, and what is said when one is shut.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use fairlead::clock::Clock;
use fairlead::codec::Formats;
use fairlead::event::Fact;
use fairlead::ingest::send::{Sender, Sending};
use fairlead::log::admin::{TopicPlan, ensure_topics};
use fairlead::log::client::Connection;
use fairlead::log::kafka::{Identity, KafkaLog, KafkaWriter};
use fairlead::log::{Committed, Error, Log, Polled};
use fairlead::record::{Batch, NewRecord, Offset, Partition, Topic, TopicPartition};
use fairlead::topology::graph::acls::{Operation, Pattern, Resource};

use crate::harness::acls::Rule;
use crate::harness::apache::{Kafka, unique};
use crate::harness::issuer::{Issuer, SECRET};
use crate::harness::until;

/// Of the user `fairlead` (tests/kafka/start.sh).
const PASSWORD: &str = "fairlead-secret";

fn connection(properties: &[(&str, &str)]) -> Connection {
    let kafka = Kafka::secured();
    let mut connection = Connection::new(kafka.secure_bootstrap());
    let ca = kafka.ca_pem().to_str().unwrap().to_owned();
    connection.properties =
        BTreeMap::from([("security.protocol".into(), "sasl_ssl".into()), ("ssl.ca.location".into(), ca)]);
    connection.properties.extend(properties.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    connection
}

fn by_password(mechanism: &str, password: &str) -> Connection {
    connection(&[("sasl.mechanism", mechanism), ("sasl.username", "fairlead"), ("sasl.password", password)])
}

fn by_token(issuer: &Issuer, secret: &str) -> Connection {
    connection(&[
        ("sasl.mechanism", "OAUTHBEARER"),
        ("sasl.oauthbearer.method", "oidc"),
        ("sasl.oauthbearer.token.endpoint.url", issuer.url()),
        ("sasl.oauthbearer.client.id", "fairlead"),
        ("sasl.oauthbearer.client.secret", secret),
        ("sasl.oauthbearer.scope", "kafka"),
    ])
}

/// All of the project's clients of one connection, with rights for names that begin with their topic's.
struct Site {
    topic: TopicPartition,
    log: KafkaLog,
    writer: KafkaWriter,
    sender: Sender,
    written: i64,
}

impl Site {
    /// Creates the topic, joins the group.
    fn open(connection: &Connection) -> Site {
        let name = unique("secured");
        let rule = |resource, operation| {
            let (principal, pattern, name) = ("User:fairlead".to_owned(), Pattern::Prefixed, name.clone());
            Rule { principal, resource, pattern, name, operation }
        };
        Kafka::secured().grant(&[
            rule(Resource::Topic, Operation::Create),
            rule(Resource::Topic, Operation::Read),
            rule(Resource::Topic, Operation::Write),
            rule(Resource::Group, Operation::Read),
            rule(Resource::TransactionalId, Operation::Write),
        ]);
        let plan = TopicPlan { name: name.clone(), partitions: 1, replication: None, config: BTreeMap::new() };
        assert_eq!(block_on(ensure_topics(connection, &[plan])).unwrap(), std::slice::from_ref(&name));
        let topic = Topic::from(&*name);
        let identity = |role: &str| Identity {
            group: name.clone(),
            transactional_id: format!("{name}.{role}"),
            instance_id: None,
            writes: vec![topic.clone()],
        };
        let mut log = KafkaLog::join(connection, &identity("member"), std::slice::from_ref(&topic)).unwrap();
        let writer = KafkaWriter::new(connection, &identity("writer")).unwrap();
        let (alerts, deploys, timeout) = (topic.clone(), topic.clone(), Duration::from_secs(10));
        let sending = Sending {
            connection: connection.clone(),
            alerts,
            deploys,
            raw: None,
            silences: None,
            responses: None,
            samples: None,
            timeout,
        };
        let sender = Sender::new(sending, Arc::new(Formats::shipped())).unwrap();
        let topic = TopicPartition::new(&topic, Partition(0));
        until("an assignment", || match log.poll(Duration::from_millis(50), 1 << 20, &mut Batch::default()).unwrap() {
            Polled::Assigned(_) => {
                log.assign(&[vec![(topic.clone(), Offset(0))]]).unwrap();
                Some(())
            }
            _ => None,
        });
        Site { topic, log, writer, sender, written: 0 }
    }

    /// A record in a transaction, one of the HTTP endpoints', and both read and their offset committed with a third.
    fn write_and_read(&mut self) {
        let topic = self.topic.topic.clone();
        let record = |value: &[u8]| NewRecord {
            topic: topic.clone(),
            partition: Some(Partition(0)),
            timestamp: Clock::wall().now(),
            key: None,
            value: Some(value.to_vec()),
            headers: Vec::new(),
        };
        let writer = &mut self.writer;
        until("a transaction", || {
            let done = writer.begin().and_then(|()| writer.produce(&record(b"in a transaction")));
            is_done(done.and_then(|()| writer.commit())).or_else(|| {
                writer.abort().unwrap();
                writer.renew().unwrap();
                None
            })
        });
        let stored = block_on(self.sender.send(&[deploy()], Clock::wall().now())).unwrap();
        let (next, mut batch) = (Offset(stored[0].offset.0 + 1), Batch::default());
        until("what was written", || {
            self.log.poll(Duration::from_millis(50), 1 << 20, &mut batch).unwrap();
            batch.iter().any(|record| record.offset.0 + 1 == next.0).then_some(())
        });
        let committed = Committed { offset: next, metadata: self.written.to_string() };
        let (log, offsets) = (&mut self.log, [(self.topic.clone(), committed.clone())]);
        until("a transaction of a member", || {
            let done = log.begin().and_then(|()| log.produce(&record(b"of a member")));
            is_done(done.and_then(|()| log.commit(&offsets))).or_else(|| {
                log.abort().unwrap();
                log.renew_producer().unwrap();
                None
            })
        });
        assert_eq!(self.log.committed(std::slice::from_ref(&self.topic)).unwrap(), [Some(committed)]);
        self.written += 1;
    }
}

/// A broker that cuts off whose token was renewed late breaks the transaction: it is done again.
fn is_done(done: Result<(), Error>) -> Option<()> {
    match done {
        Ok(()) => Some(()),
        Err(Error::Abort(_) | Error::UnknownOutcome(_)) => None,
        Err(error) => panic!("{error}"),
    }
}

fn deploy() -> Fact<'static> {
    Fact::Deploy(serde_json::from_str(include_str!("../../schemas/examples/deploy/minimal.json")).unwrap())
}

fn block_on<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}

#[test]
fn every_client_works_over_every_mechanism() {
    std::thread::scope(|scope| {
        for mechanism in ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] {
            scope.spawn(move || Site::open(&by_password(mechanism, PASSWORD)).write_and_read());
        }
        scope.spawn(tokens_are_renewed_before_they_expire);
    });
}

/// The broker cuts off who has not logged in anew when the token expires.
fn tokens_are_renewed_before_they_expire() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    // The member asks for a new one when it is polled: what it is not polled for, a writer that is renewed, must take less than a quarter.
    let life = Duration::from_secs(10);
    let issuer = runtime.block_on(Issuer::start(life));
    let mut site = Site::open(&by_token(&issuer, SECRET));
    site.write_and_read();
    // One token serves all clients of the connection.
    let (began, granted) = (Instant::now(), issuer.granted());
    until("two renewals", || {
        site.log.poll(Duration::from_millis(50), 1 << 20, &mut Batch::default()).unwrap();
        (issuer.granted() >= granted + 2).then_some(())
    });
    assert!(began.elapsed() > life.mul_f32(0.7), "renewed {} times within {:?}", granted, began.elapsed());
    site.write_and_read();
}

#[test]
fn what_shuts_the_way_in_is_told_without_the_secret() {
    let refused = |connection: &Connection, told: &[&str]| {
        let began = Instant::now();
        let error = block_on(ensure_topics(connection, &[])).unwrap_err().to_string();
        told.iter().for_each(|told| assert!(error.contains(told), "{told}: {error}"));
        assert!(!error.contains("guessed"), "{error}");
        assert!(began.elapsed() < Duration::from_secs(10), "{:?}: {error}", began.elapsed());
    };
    std::thread::scope(|scope| {
        for mechanism in ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] {
            let told = ["cannot be logged into", "check sasl.mechanism"];
            scope.spawn(move || refused(&by_password(mechanism, "guessed"), &told));
        }
        let dir = tempfile::tempdir().unwrap();
        let other = other_authority(dir.path().join("other.pem"));
        let mut distrusts = by_password("PLAIN", PASSWORD);
        distrusts.properties.insert("ssl.ca.location".into(), other.to_str().unwrap().into());
        refused(&distrusts, &["cannot be logged into", "check ssl.ca.location"]);
    });
    refused(&by_password("GSSAPI", PASSWORD), &["this build speaks PLAIN"]);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let issuer = runtime.block_on(Issuer::start(Duration::from_secs(60)));
    refused(&by_token(&issuer, "guessed"), &["refuses client `fairlead`", "invalid_client", "client.secret"]);
    assert_eq!(issuer.granted(), 0);
    let mut extended = by_token(&issuer, SECRET);
    extended.properties.insert("sasl.oauthbearer.extensions".into(), "logicalCluster=guessed".into());
    refused(&extended, &["kafka.properties.sasl.oauthbearer.extensions is not supported"]);
}

/// Another authority than the one that signed the broker's certificate.
fn other_authority(path: PathBuf) -> PathBuf {
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=another"])
        .args(["-keyout", "/dev/null", "-out"])
        .arg(&path)
        .stderr(Stdio::null())
        .status();
    assert!(made.expect("openssl can be run; install it with: apt-get install -y openssl").success());
    path
}
