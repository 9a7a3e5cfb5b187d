//! What rules cost an alert: the same five of the ingress as mappings and as expressions, in the level operator with the memory of
//! its episode, and the expressions alone.
//!
//! `cargo bench --bench rules -- [ALERTS]` prints nanoseconds an alert.

use std::time::Instant;

use fairlead::event::Alert;
use fairlead::expression::{Expression, Scope, Trend};
use fairlead::operator::level::{Levels, State};
use fairlead::operator::{Operator, step};
use fairlead::record::EventTime;

const MAPPINGS: &str = r#"
rules:
  - { name: test, when: { environments: [test] }, drop: it is a test }
  - { name: flood, when: { alerts: [Ingress5xx], matchers: ['code="503"'], value_above: 1200 }, level: critical, mention: sre }
  - { name: many, when: { alerts: [Ingress5xx], matchers: ['code="503"'], value_above: 1000 }, level: high, mention: owner }
  - { name: closed, when: { alerts: [Ingress5xx], matchers: ['code="503"', 'flag="UC"'] }, level: high, mention: owner }
  - { name: other, when: { matchers: ['code=~"50.+"'] }, level: medium }
"#;

const EXPRESSIONS: [&str; 5] = [
    r#"alert.environment == "test""#,
    r#"alert.name == "Ingress5xx" && alert.labels["code"] == "503" && alert.value > 1200.0"#,
    r#"alert.name == "Ingress5xx" && alert.labels["code"] == "503" && alert.value > 1000.0"#,
    r#"alert.name == "Ingress5xx" && alert.labels["code"] == "503" && alert.labels["flag"] == "UC""#,
    r#"alert.labels["code"].matches("^50.+$")"#,
];

const ALERT: &str = r#"{
    "source": "bench", "fingerprint": "f1", "starts_at_ms": 0, "ends_at_ms": null, "status": "firing", "service": "checkout",
    "name": "Ingress5xx", "environment": "production", "namespace": "shop", "value": 900.0, "generator_url": null,
    "labels": {"alertname": "Ingress5xx", "code": "503", "flag": "UF", "pod": "web-7", "severity": "warning"}
}"#;

fn main() {
    let alerts = std::env::args().skip(1).find_map(|argument| argument.parse().ok()).unwrap_or(1_000_000);
    let alert: Alert<'_> = serde_json::from_str(ALERT).expect("an alert");
    let mappings: Levels = serde_saphyr::from_str(MAPPINGS).expect("rules");
    let mut expressed = mappings.clone();
    for (rule, expression) in expressed.rules.iter_mut().zip(EXPRESSIONS) {
        rule.when = serde_json::from_value(expression.into()).expect("an expression");
    }
    assert!(expressed.problems().is_empty(), "{:?}", expressed.problems());
    println!("level operator, mappings     {:>6.0} ns an alert", levelled(&mappings, &alert, alerts));
    println!("level operator, expressions  {:>6.0} ns an alert", levelled(&expressed, &alert, alerts));
    let expressions = EXPRESSIONS.map(|text| Expression::from(text.to_owned()));
    let scope = Scope { alert: &alert, repeats: 3, trend: Trend::Rising };
    let hold = |_| expressions.iter().filter(|expression| expression.holds(std::hint::black_box(&scope))).count();
    println!("the five expressions alone   {:>6.0} ns an alert", nanos(alerts, hold));
}

fn levelled(levels: &Levels, alert: &Alert<'_>, alerts: u64) -> f64 {
    let mut state = State::default();
    nanos(alerts, |at| {
        let (next, events) = step(levels, std::mem::take(&mut state), alert, EventTime(at as i64 * 60_000));
        state = next;
        events.len()
    })
}

fn nanos(alerts: u64, mut one: impl FnMut(u64) -> usize) -> f64 {
    let began = Instant::now();
    let told: usize = (0..alerts).map(&mut one).sum();
    assert!(told > 0);
    began.elapsed().as_nanos() as f64 / alerts as f64
}
