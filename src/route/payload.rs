//! The alerts of a payload in whichever format an endpoint takes: each is asked, and the first that finds alerts in it is believed.

use serde_json::{Value, json};

use crate::event::{Alert, Fact};
use crate::ingest::{Endpoint, Reading, Refusal, Rules, json};
use crate::record::EventTime;

pub struct Payload {
    /// Who takes it.
    pub endpoint: Endpoint,
    pub alerts: Vec<Alert<'static>>,
    /// Elements of it that are not taken.
    pub refused: Vec<Refusal>,
}

/// Why each path that was asked finds no alert in it.
#[derive(Debug)]
pub struct NoAlerts(pub Vec<(String, String)>);

/// `only`: no other path is asked. A single alert as the API takes it may stand without its array.
pub fn read(body: &[u8], only: Option<&str>, rules: &Rules, now: EventTime) -> Result<Payload, NoAlerts> {
    let mut refusals = Vec::new();
    for path in paths(rules).into_iter().filter(|path| only.is_none_or(|only| only == path)) {
        match ask(&path, body, rules, now) {
            Ok(payload) => return Ok(payload),
            Err(why) => refusals.push((path, why)),
        }
    }
    let api = Endpoint::AlertmanagerApi.path();
    if let Ok(one @ Value::Object(_)) = json::parse(body)
        && one.get("labels").is_some()
        && only.is_none_or(|only| only == api)
        && let Ok(payload) = ask(api, json!([one]).to_string().as_bytes(), rules, now)
    {
        return Ok(payload);
    }
    Err(NoAlerts(refusals))
}

/// Of all endpoints, those of configured mappings last.
pub fn paths(rules: &Rules) -> Vec<String> {
    let pattern = Endpoint::Json.path();
    let of_mappings = rules.json.keys().map(|name| pattern.replace("{name}", name));
    let others = Endpoint::ALL.into_iter().map(|endpoint| endpoint.path().to_owned()).filter(|path| path != pattern);
    others.chain(of_mappings).collect()
}

fn ask(path: &str, body: &[u8], rules: &Rules, now: EventTime) -> Result<Payload, String> {
    let header = |name: &str| (name == "content-type").then_some("application/json");
    let endpoint = Endpoint::at(path).ok_or_else(|| "there is no such endpoint".to_owned())?;
    let format = endpoint.format(path, header).map_err(|_| "it needs headers that a file has not".to_owned())?;
    let Reading { facts, refused, .. } = format.read(body, rules, now).map_err(|refusal| refusal.to_string())?;
    let alerts = facts.into_iter().filter_map(|fact| match fact {
        Fact::Alert(alert) => Some(alert),
        _ => None,
    });
    let alerts: Vec<_> = alerts.collect();
    match refused.first() {
        _ if !alerts.is_empty() => Ok(Payload { endpoint, alerts, refused }),
        Some(refusal) => Err(refusal.to_string()),
        None => Err("there is no alert in it".to_owned()),
    }
}
