//! The registry is away or not well, at the start and later, while records come in that are written with a schema which this process
//! has not met: the log says so, all records wait, and no good one becomes a dead letter.

use axum::Router;
use axum::http::StatusCode;
use axum::http::header::CONNECTION;
use fairlead::event::FactKind;
use fairlead::topology::plan::Content;
use serde_json::{Value, json};

use super::assert_model_saw;
use crate::harness::load::Load;
use crate::harness::registry::Client;
use crate::harness::site::Site;

/// In the registry's place something answers so, until the process has logged both texts in one line.
fn unwell(site: &Site, status: StatusCode, body: &'static str, told: &str) {
    let answer = async move || (status, [(CONNECTION, "close")], body);
    let listener = site.runtime.block_on(tokio::net::TcpListener::bind(site.registry_address)).unwrap();
    let server = site.runtime.spawn(async move { axum::serve(listener, Router::new().fallback(answer)).await });
    site.wait_for("the answer to be told", || is_told(site, &[told, status.as_str()]));
    server.abort();
    // Only then is its port free.
    site.runtime.block_on(server).unwrap_err();
}

fn is_told(site: &Site, parts: &[&str]) -> bool {
    site.log_of("a").lines().any(|line| parts.iter().all(|part| line.contains(part)))
}

/// Registers the alerts' schema in other words, as a newer sender does; its id.
fn register_newer(site: &Site) -> u32 {
    let subjects = site.topology.subjects();
    let alerts = subjects.iter().find(|subject| matches!(subject.content, Content::Fact(FactKind::Alert))).unwrap();
    let mut schema: Value = serde_json::from_str(alerts.schema_json).unwrap();
    schema["doc"] = "As a newer sender says it.".into();
    let client = Client::new(&format!("http://{}", site.registry_address));
    let path = format!("/subjects/{}/versions", alerts.name);
    let (status, answer) = client.call("POST", &path, Some(&json!({ "schema": schema.to_string() }))).unwrap();
    assert_eq!(status, 200, "{answer}");
    answer["id"].as_u64().unwrap().try_into().unwrap()
}

#[test]
fn a_registry_that_is_away_or_unwell_is_waited_for_and_no_good_record_becomes_a_dead_letter() {
    let mut site = Site::new();
    let load = Load::start(&site, 17, 20);
    site.stop_registry();
    let mut process = site.start("a");
    let (waits, address) = ("the registry does not answer yet", site.registry_address.to_string());
    site.wait_for("the refused connection to be told", || is_told(&site, &[waits, &address, "Connection refused"]));
    unwell(&site, StatusCode::INTERNAL_SERVER_ERROR, r#"{"error_code":50001,"message":"no leader"}"#, waits);
    unwell(&site, StatusCode::SERVICE_UNAVAILABLE, "starting", waits);
    assert!(process.is_running(), "{}", site.logs());
    site.start_registry();
    site.wait_for("incidents", || site.ends(&site.topic("incidents")) > 0);

    let newer = register_newer(&site);
    site.stop_registry();
    load.write_alerts_with(newer);
    let waits = "cannot be asked for";
    site.wait_for("the silent registry to be told", || is_told(&site, &[waits, &address, "Connection refused"]));
    let stalled = site.ends(&site.topology.names.journal());
    unwell(&site, StatusCode::INTERNAL_SERVER_ERROR, r#"{"error_code":50001,"message":"no leader"}"#, waits);
    unwell(&site, StatusCode::FORBIDDEN, r#"{"error_code":40301,"message":"forbidden"}"#, waits);
    // As a proxy says it; the registry itself would have said 40403.
    unwell(&site, StatusCode::NOT_FOUND, "no such page", waits);
    assert!(process.is_running(), "{}", site.logs());
    assert_eq!(site.ends(&site.topology.names.journal()), stalled, "all records wait");
    site.start_registry();

    let sent = load.finish();
    site.wait_until_all_is_committed();
    assert!(process.is_running(), "{}", site.logs());
    assert_model_saw(&site, sent);
}
