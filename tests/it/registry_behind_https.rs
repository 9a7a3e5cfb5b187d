//! A registry behind HTTPS, a private authority and a login: the settings that reach it, and what is said when one is wrong.

use std::path::Path;
use std::process::{Command, Output};

use fairlead::app::{Endpoints, Serving, schemas, source};
use fairlead::topology::plan::Topology;
use tempfile::TempDir;

use crate::harness::registry::{Client, Gateway, certificate, start};

const OPERATORS: &str = include_str!("../../topology/oncall.yaml");
const TOPICS: &str = include_str!("../../topology/topics.yaml");

/// A topology whose registry section says `registry`. No Kafka answers where it looks for one.
fn files(registry: &str) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let app = format!(
        "application: https\nkafka: {{ bootstrap_servers: '127.0.0.1:1' }}\nregistry: {{ {registry} }}\nhttp: {{ listen: '127.0.0.1:0' }}\n"
    );
    for (name, text) in [("app.yaml", app.as_str()), ("oncall.yaml", OPERATORS), ("topics.yaml", TOPICS)] {
        std::fs::write(dir.path().join(name), text).unwrap();
    }
    dir
}

fn load(dir: &Path) -> Topology {
    let compiled = source::load(dir).unwrap();
    compiled.topology.unwrap_or_else(|| panic!("{:?}", compiled.problems))
}

fn settings(url: &str, ca_pem: &Path, password: &Path) -> String {
    let (name, _) = Gateway::LOGIN;
    let (ca_pem, password) = (ca_pem.display(), password.display());
    format!("url: '{url}', username: {name}, password: '${{file:{password}}}', ca_pem: '${{file:{ca_pem}}}'")
}

/// The start is over within seconds, for what is wrong does not pass.
fn run(registry: &str) -> Output {
    let (dir, home) = (files(registry), tempfile::tempdir().unwrap());
    let mut command = Command::new("timeout");
    command.args(["--signal=KILL", "30", env!("CARGO_BIN_EXE_fairlead"), "run", "--topology"]).arg(dir.path());
    command.current_dir(home.path()).env("NO_COLOR", "1").env_remove("RUST_LOG").output().unwrap()
}

fn assert_told(registry: &str, parts: &[&str]) {
    let ended = run(registry);
    let told = String::from_utf8_lossy(&ended.stderr);
    assert_eq!(ended.status.code(), Some(1), "{told}");
    for part in parts {
        assert!(told.contains(part), "`{part}` is missing in: {told}");
    }
    assert!(!told.contains("a-guess") && !told.contains(Gateway::LOGIN.1), "a secret is told: {told}");
}

#[test]
fn settings_reach_it_and_a_wrong_authority_or_password_is_told_at_the_start() {
    let data = tempfile::tempdir().unwrap();
    let registry = start(&data.path().join("registry"));
    let gateway = Gateway::start(&registry.url());
    let (right, wrong) = (data.path().join("right"), data.path().join("wrong"));
    std::fs::write(&right, format!("{}\n", Gateway::LOGIN.1)).unwrap();
    std::fs::write(&wrong, "a-guess").unwrap();
    let other = tempfile::tempdir().unwrap();
    let other_ca = certificate(other.path());

    assert_told(
        &settings(&gateway.url, &gateway.ca_pem, &wrong),
        &[&gateway.url, "refuses the login", "401 Unauthorized", "registry.username and registry.password"],
    );
    let untrusted = [gateway.url.as_str(), "is not trusted", "certificate verify failed", "registry.ca_pem"];
    assert_told(&settings(&gateway.url, &other_ca, &right), &untrusted);
    assert_told(&format!("url: '{}'", gateway.url), &untrusted);
    // A certificate for another name is none, whoever signed it.
    let by_name = gateway.url.replace("127.0.0.1", "localhost");
    assert_told(&settings(&by_name, &gateway.ca_pem, &right), &["is not trusted", "the name in registry.url"]);
    assert_told(&settings(&gateway.url, &right, &right), &["registry.ca_pem holds no certificate"]);
    assert_told(&settings(&gateway.url, &data.path().join("none"), &right), &["registry.ca_pem", "cannot be read"]);
    let subjects = || Client::new(&registry.url()).call("GET", "/subjects", None).unwrap().1;
    assert_eq!(subjects(), serde_json::json!([]), "nothing was registered on the way");

    let dir = files(&settings(&gateway.url, &gateway.ca_pem, &right));
    let topology = load(dir.path());
    let endpoints = Endpoints::resolve(&topology.settings, Serving::default()).unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(schemas::register(&topology, &endpoints)).unwrap();
    let expected: std::collections::BTreeSet<_> =
        topology.subjects().into_iter().map(|subject| subject.name.to_string()).collect();
    let found = subjects().as_array().unwrap().iter().map(|name| name.as_str().unwrap().to_owned()).collect();
    assert_eq!(expected, found);
    runtime.block_on(schemas::look_up(&topology, &endpoints)).unwrap();
}

#[test]
fn a_name_without_a_password_is_a_problem_of_the_file() {
    for half in ["username: fairlead", "password: '${env:SECRET}'"] {
        let problems = source::load(files(&format!("url: 'https://registry', {half}")).path()).unwrap().problems;
        let told = format!("{problems:?}");
        assert!(told.contains("`username` and `password` go together"), "{half}: {told}");
    }
}
