//! Every way to log in, what is said when one is shut, and rights: listed, created, missing.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use fairlead::log::client::Connection;
use fairlead::wire::{Acl, AclOperation, Admin, Error, PatternKind, Permission, ResourceKind};

use super::{block_on, create, new_topic, refused, until};
use crate::harness::apache::{Kafka, unique};
use crate::harness::issuer::{Issuer, SECRET};

/// Of the user `fairlead` (tests/kafka/start.sh).
const PASSWORD: &str = "fairlead-secret";

/// Read, and so Describe, on what begins with a name.
pub fn rule(principal: &str, name: &str) -> Acl {
    Acl {
        resource: ResourceKind::Topic,
        pattern: PatternKind::Prefixed,
        name: name.into(),
        principal: principal.into(),
        host: "*".into(),
        operation: AclOperation::Read,
        permission: Permission::Allow,
    }
}

fn connection(properties: &[(&str, &str)]) -> Connection {
    let kafka = Kafka::secured();
    let mut connection = Connection::new(kafka.secure_bootstrap());
    let ca = kafka.ca_pem().to_str().unwrap().to_owned();
    connection.properties =
        BTreeMap::from([("security.protocol".into(), "sasl_ssl".into()), ("ssl.ca.location".into(), ca)]);
    connection.properties.extend(properties.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    connection
}

fn by_password(mechanism: &str, user: &str, password: &str) -> Connection {
    connection(&[("sasl.mechanism", mechanism), ("sasl.username", user), ("sasl.password", password)])
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

/// The plaintext listener's: its anonymous user may do everything.
fn administrator() -> Admin {
    super::admin(Kafka::secured().bootstrap())
}

/// A topic that the user `fairlead` may read, by name and nothing else.
fn readable() -> String {
    let (admin, name) = (administrator(), unique("wire"));
    create(&admin, &new_topic(&name, 1));
    let rule = rule("User:fairlead", &name);
    assert_eq!(block_on(admin.create_acls(std::slice::from_ref(&rule))), Ok(vec![Ok(())]));
    until("the rule", || block_on(admin.acls()).unwrap().unwrap().contains(&rule).then_some(()));
    name
}

#[test]
fn every_mechanism_logs_in() {
    let name = readable();
    let seen = |connection: &Connection| {
        let topics = block_on(Admin::new(connection).unwrap().topics(None)).unwrap();
        assert!(topics.iter().any(|topic| topic.name == name), "{topics:?}");
    };
    for mechanism in ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] {
        seen(&by_password(mechanism, "fairlead", PASSWORD));
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let issuer = runtime.block_on(Issuer::start(Duration::from_secs(3)));
    let admin = Admin::new(&by_token(&issuer, SECRET)).unwrap();
    // The broker cuts off who has not logged in anew when the token expires: connections are renewed before.
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(7) {
        assert!(runtime.block_on(admin.topics(None)).unwrap().iter().any(|topic| topic.name == name));
        std::thread::sleep(Duration::from_millis(100));
    }
    assert!(issuer.granted() >= 2, "{} tokens", issuer.granted());
}

#[test]
fn what_shuts_the_way_in_is_told_at_once_and_without_the_secret() {
    let shut = |connection: &Connection, told: &[&str]| {
        let began = Instant::now();
        let error = match Admin::new(connection) {
            Ok(admin) => block_on(admin.cluster()).unwrap_err(),
            Err(error) => error,
        };
        let text = error.to_string();
        assert!(matches!(error, Error::Unusable(_)), "{text}");
        told.iter().for_each(|told| assert!(text.contains(told), "{told}: {text}"));
        assert!(!text.contains("guessed"), "{text}");
        assert!(began.elapsed() < Duration::from_secs(10), "{:?}: {text}", began.elapsed());
    };
    for mechanism in ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] {
        shut(&by_password(mechanism, "fairlead", "guessed"), &["cannot be logged into", "check sasl.mechanism"]);
    }
    let mut distrusts = by_password("PLAIN", "fairlead", PASSWORD);
    distrusts.properties.remove("ssl.ca.location");
    shut(&distrusts, &["cannot be logged into", "check ssl.ca.location"]);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let issuer = runtime.block_on(Issuer::start(Duration::from_secs(60)));
    shut(&by_token(&issuer, "guessed"), &["refuses client `fairlead`", "client.secret"]);
}

#[test]
fn a_missing_right_is_named() {
    let name = readable();
    let stranger = Admin::new(&by_password("PLAIN", "stranger", "stranger-secret")).unwrap();
    let denied = |error: Error, right: &str| {
        assert!(matches!(error, Error::Denied { .. }), "{error}");
        assert!(error.to_string().contains(&format!("kafka denies {right}; grant it")), "{error}");
    };
    let names = [name.clone()];
    assert_eq!(block_on(stranger.topics(None)), Ok(vec![]));
    denied(block_on(stranger.topics(Some(&names))).unwrap_err(), &format!("Describe on topic {name}"));
    denied(block_on(stranger.topic_configs(&names)).unwrap_err(), &format!("DescribeConfigs on topic {name}"));
    denied(block_on(stranger.group_offsets(&names)).unwrap_err(), &format!("Describe on group {name}"));
    denied(block_on(stranger.acls()).unwrap_err(), "Describe on cluster kafka-cluster");
    let outcomes = block_on(stranger.create_topics(&[new_topic("wire-of-a-stranger", 1)], false)).unwrap();
    assert_eq!(refused(&outcomes, &"wire-of-a-stranger".into()), "TOPIC_AUTHORIZATION_FAILED");
    let refusal = outcomes["wire-of-a-stranger"].as_ref().unwrap_err();
    assert!(refusal.message.contains("Create on topic wire-of-a-stranger"), "{refusal}");
    assert_eq!(block_on(stranger.groups()), Ok(vec![]));
}

#[test]
fn rules_are_created_once_and_read_back_as_they_are() {
    let (admin, name) = (administrator(), unique("wire"));
    let literal = Acl { pattern: PatternKind::Literal, name: "*".into(), ..rule("User:some:one", "") };
    let group = Acl { resource: ResourceKind::Group, permission: Permission::Deny, ..rule("User:a", &name) };
    let wrong = Acl { operation: AclOperation::Other(99), ..rule("User:a", &name) };
    let outcomes = block_on(admin.create_acls(&[literal.clone(), group.clone(), literal.clone(), wrong])).unwrap();
    assert_eq!(outcomes.iter().map(Result::is_ok).collect::<Vec<_>>(), [true, true, true, false], "{outcomes:?}");
    let all = until("the rules", || block_on(admin.acls()).unwrap().filter(|all| all.contains(&group)));
    assert_eq!(all.iter().filter(|acl| **acl == literal).count(), 1);
}
