//! Logging in to a secured Apache Kafka: every way in, and what is said when one is shut.

use std::path::Path;

use fairlead::log::admin::ensure_topics;
use fairlead::log::client::Connection;

use crate::harness::apache::Kafka;

fn connection(kafka: &Kafka, mechanism: &str, password: &str, ca: &Path) -> Connection {
    let mut connection = Connection::new(kafka.secure_bootstrap());
    let properties = [
        ("security.protocol", "sasl_ssl"),
        ("sasl.mechanism", mechanism),
        ("sasl.username", "fairlead"),
        ("sasl.password", password),
        ("ssl.ca.location", ca.to_str().unwrap()),
    ];
    connection.properties.extend(properties.map(|(name, value)| (name.to_owned(), value.to_owned())));
    connection
}

#[tokio::test(flavor = "multi_thread")]
async fn every_password_mechanism_logs_in_and_what_is_wrong_is_told_without_the_secret() {
    let kafka = Kafka::start_own(&["--secure"]);
    let ca = kafka.ca_pem();
    for mechanism in ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] {
        ensure_topics(&connection(&kafka, mechanism, "fairlead-secret", &ca), &[]).await.unwrap();
        let refused = ensure_topics(&connection(&kafka, mechanism, "guessed", &ca), &[]).await.unwrap_err();
        let told = refused.to_string();
        assert!(told.contains("cannot be logged into") && told.contains("sasl.mechanism"), "{mechanism}: {told}");
        assert!(!told.contains("guessed"), "{told}");
    }
    // The broker's certificate was not signed by this one.
    let other = Path::new("/etc/ssl/certs/ca-certificates.crt");
    let refused = ensure_topics(&connection(&kafka, "PLAIN", "fairlead-secret", other), &[]).await.unwrap_err();
    assert!(refused.to_string().contains("check ssl.ca.location"), "{refused}");
    let unknown = ensure_topics(&connection(&kafka, "GSSAPI", "fairlead-secret", &ca), &[]).await.unwrap_err();
    assert!(unknown.to_string().contains("this build speaks PLAIN"), "{unknown}");
}
