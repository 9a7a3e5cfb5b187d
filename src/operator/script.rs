//! One-line scripts for the operators' tests: facts and times in, what was told out.
//!
//! `12:30 fire a1 level=high mention=owner code=503` tells at 12 min 30 s that alert a1 fires; `resolve a1` ends its episode;
//! `deploy d1 version=v2`;
//! `incident i1 v=2 change=escalated onset=10:00 suspects=v2:87,v1:20`; `respond r1 acknowledge=i1 by=paula`;
//! `run r1 of=i1 status=started`; `cause i9 from=payments v=1`; `wait` lets time pass. A key that names no field becomes a label, or with `@` an annotation.
//! Running a script proves on the way that every state survives its Avro schema and that every deadline passes.

use std::collections::BTreeMap;

use super::{Operator, step};
use crate::codec::{Format, Formats, SchemaId, avro};
use crate::event::{
    ActionRun, Alert, AlertStatus, AlertTrend, Attention, Cause, Deploy, DeployKind, DeployOutcome, Fact, Helped,
    Incident, IncidentAlert, IncidentChange, IncidentState, Level, LogEntry, Mention, Muted, Response, Suspect,
};
use crate::record::EventTime;

#[expect(clippy::large_enum_variant, reason = "a test's line is short-lived")]
pub enum Line {
    Fact(Fact<'static>),
    Wait,
}

/// What one operator told, and what it remembers by key in the end.
pub struct Run<S> {
    pub told: Vec<(EventTime, &'static str, Fact<'static>)>,
    pub states: BTreeMap<String, S>,
}

pub fn run<O: Operator>(operator: &O, script: &str) -> Run<O::State>
where
    O::State: std::fmt::Debug,
{
    feed(operator, lines(script))
}

pub fn feed<O: Operator>(operator: &O, lines: impl IntoIterator<Item = (EventTime, Line)>) -> Run<O::State>
where
    O::State: std::fmt::Debug,
{
    let mut run = Run { told: Vec::new(), states: BTreeMap::new() };
    let schema = Schema::of::<O>();
    for (at, line) in lines {
        fire_due(operator, &schema, &mut run, at);
        let Line::Fact(fact) = line else { continue };
        let key = fact.key().to_owned();
        let Ok(input) = O::Input::try_from(fact) else { panic!("{} does not read this fact", O::KIND) };
        let state = run.states.remove(&key).unwrap_or_default();
        let (state, events) = step(operator, state, &input, at);
        remember::<O>(&schema, &mut run, key, state, events, at);
    }
    run
}

/// Fires what is due until `at`, the earliest first.
fn fire_due<O: Operator>(operator: &O, schema: &Schema, run: &mut Run<O::State>, at: EventTime)
where
    O::State: std::fmt::Debug,
{
    for _ in 0..10_000 {
        let deadlines = run.states.iter().filter_map(|(key, state)| Some((operator.deadline(state)?, key.clone())));
        let Some((deadline, key)) = deadlines.min().filter(|(deadline, _)| *deadline <= at) else { return };
        let state = run.states.remove(&key).unwrap_or_default();
        let events = operator.due(&state, deadline);
        let state = events.iter().fold(state, O::evolve);
        let next = operator.deadline(&state);
        assert!(next.is_none_or(|next| next > deadline), "a deadline that passed must move on or end: {state:?}");
        remember::<O>(schema, run, key, state, events, deadline);
    }
    panic!("deadlines without end");
}

fn remember<O: Operator>(
    schema: &Schema,
    run: &mut Run<O::State>,
    key: String,
    state: O::State,
    events: Vec<O::Event>,
    at: EventTime,
) where
    O::State: std::fmt::Debug,
{
    let published = events.into_iter().filter_map(O::publish);
    run.told.extend(published.map(|(port, fact)| (at, port, fact)));
    let mut bytes = Vec::new();
    schema.format.encode(&state, &mut bytes).expect("the state fits its schema");
    let read: O::State = schema.formats.decode(&bytes, &schema.format.name).expect("the state can be read again");
    assert_eq!(read, state);
    let mut by_name = Vec::new();
    avro::encode(&schema.by_name, &state, &mut by_name).expect("the state fits its schema");
    assert!(bytes.ends_with(&by_name), "its fields are not in the schema's order");
    if state != O::State::default() {
        run.states.insert(key, state);
    }
}

/// The schema of a state, parsed once.
struct Schema {
    by_name: serde_avro_fast::Schema,
    format: Format,
    formats: Formats,
}

impl Schema {
    fn of<O: Operator>() -> Self {
        let mut formats = Formats::default();
        let format = Format::new(SchemaId(1), O::STATE_SCHEMA).expect("the state's schema parses");
        formats.read_with(format.clone());
        let by_name = O::STATE_SCHEMA.parse().expect("the state's schema parses");
        Self { by_name, format, formats }
    }
}

/// Asserts that the serde defaults of a state are its schema's: an empty JSON object and an Avro default must agree.
pub fn defaults_agree<O: Operator>()
where
    O::State: std::fmt::Debug,
{
    let schema: serde_json::Value = serde_json::from_str(O::STATE_SCHEMA).expect("schemas are JSON");
    let fields = schema["fields"].as_array().expect("a record");
    let defaults: serde_json::Map<_, _> = fields
        .iter()
        .map(|field| (field["name"].as_str().expect("a name").to_owned(), field["default"].clone()))
        .collect();
    let written: O::State = serde_json::from_value(defaults.into()).expect("the schema's defaults are a state");
    let unsaid: O::State = serde_json::from_str("{}").expect("every field of a state has a default");
    assert_eq!((&written, &unsaid), (&O::State::default(), &O::State::default()));
}

pub fn lines(script: &str) -> Vec<(EventTime, Line)> {
    let mut episodes = BTreeMap::new();
    let lines = script.lines().map(str::trim).filter(|line| !line.is_empty());
    lines.map(|line| read_line(line, &mut episodes)).collect()
}

pub fn minutes(text: &str) -> EventTime {
    let (minutes, seconds) = text.split_once(':').expect("a time is minutes:seconds");
    EventTime(minutes.parse::<i64>().expect("minutes") * 60_000 + seconds.parse::<i64>().expect("seconds") * 1_000)
}

/// As scripts spell a time.
pub fn clock(at: EventTime) -> String {
    format!("{}:{:02}", at.0.div_euclid(60_000), at.0.rem_euclid(60_000) / 1_000)
}

fn read_line(line: &str, episodes: &mut BTreeMap<String, i64>) -> (EventTime, Line) {
    let mut words = line.split_whitespace();
    let at = minutes(words.next().expect("a time"));
    let verb = words.next().expect("a verb");
    let id = words.next().unwrap_or_default().to_owned();
    let fields: Vec<_> = words.map(|word| word.split_once('=').expect("name=value")).collect();
    let fact = match verb {
        "fire" => {
            let starts = *episodes.entry(id.clone()).or_insert(at.0);
            Fact::Alert(alert(id, starts, AlertStatus::Firing, at, &fields))
        }
        "resolve" => {
            let starts = episodes.remove(&id).unwrap_or(at.0);
            Fact::Alert(alert(id, starts, AlertStatus::Resolved, at, &fields))
        }
        "deploy" => Fact::Deploy(deploy(id, at, &fields)),
        "incident" => Fact::Incident(incident(id, at, &fields)),
        "respond" => Fact::Response(response(id, at, &fields)),
        "run" => Fact::ActionRun(run_of(id, at, &fields)),
        "cause" => Fact::Cause(cause(id, at, &fields)),
        "wait" => return (at, Line::Wait),
        other => panic!("no such verb: {other}"),
    };
    (at, Line::Fact(fact))
}

fn symbol<T: serde::de::DeserializeOwned>(word: &str) -> T {
    serde_json::from_value(word.into()).expect("a symbol of its enum")
}

fn alert(id: String, starts_at_ms: i64, status: AlertStatus, at: EventTime, fields: &[(&str, &str)]) -> Alert<'static> {
    let mut alert = Alert {
        source: "script".into(),
        fingerprint: id.clone().into(),
        starts_at_ms,
        ends_at_ms: (status == AlertStatus::Resolved).then_some(at.0),
        status,
        service: "shop".into(),
        name: id.into(),
        environment: None,
        namespace: None,
        labels: Default::default(),
        annotations: Default::default(),
        value: None,
        generator_url: None,
        level: None,
        mention: Mention::Nobody,
        level_reason: None,
        episode: None,
        muted_until_ms: None,
        muted_by: None,
    };
    let (mut labels, mut annotations) = (Vec::new(), Vec::new());
    for &(name, value) in fields {
        let text = || value.to_owned().into();
        match name {
            "name" => alert.name = text(),
            "source" => alert.source = text(),
            "service" => alert.service = text(),
            "env" => alert.environment = Some(text()),
            "ns" => alert.namespace = Some(text()),
            "level" => alert.level = Some(symbol::<Level>(value)),
            "mention" => alert.mention = symbol(value),
            "episode" => {
                // Its source tells no start.
                alert.episode = Some(text());
                alert.starts_at_ms = at.0;
            }
            "value" => alert.value = Some(value.parse().expect("a number")),
            "starts" => alert.starts_at_ms = minutes(value).0,
            _ => match name.strip_prefix('@') {
                Some(annotation) => annotations.push((annotation.to_owned().into(), text())),
                None => labels.push((name.to_owned().into(), text())),
            },
        }
    }
    alert.labels = labels.into_iter().collect();
    alert.annotations = annotations.into_iter().collect();
    alert
}

fn deploy(id: String, at: EventTime, fields: &[(&str, &str)]) -> Deploy<'static> {
    let mut deploy = Deploy {
        version: id.clone().into(),
        id: id.into(),
        source: "script".into(),
        service: "shop".into(),
        environment: None,
        kind: DeployKind::Deploy,
        outcome: DeployOutcome::Succeeded,
        revision: None,
        actor: None,
        url: None,
        started_at_ms: None,
        finished_at_ms: Some(at.0),
    };
    for &(name, value) in fields {
        match name {
            "version" => deploy.version = value.to_owned().into(),
            "service" => deploy.service = value.to_owned().into(),
            "env" => deploy.environment = Some(value.to_owned().into()),
            "actor" => deploy.actor = Some(value.to_owned().into()),
            "kind" => deploy.kind = symbol(value),
            "outcome" => deploy.outcome = symbol(value),
            "started" => deploy.started_at_ms = Some(minutes(value).0),
            "finished" => deploy.finished_at_ms = (value != "never").then(|| minutes(value).0),
            other => panic!("a deploy has no {other}"),
        }
    }
    deploy
}

/// `verb=what it is about`: an incident, or a silence. `until` is a time.
fn response(id: String, at: EventTime, fields: &[(&str, &str)]) -> Response {
    let (verb, about) = *fields.first().expect("a verb");
    let silences = matches!(verb, "silence" | "unsilence");
    let mut response = Response {
        id,
        service: "shop".to_owned(),
        incident_id: (!silences).then(|| about.to_owned()),
        version: 0,
        verb: symbol(verb),
        by: "U0PAULA".to_owned(),
        by_name: Some("paula".to_owned()),
        at_ms: at.0,
        until_ms: None,
        assignee: None,
        action: None,
        silence_id: silences.then(|| about.to_owned()),
        fingerprints: Vec::new(),
        comment: None,
    };
    for &(name, value) in &fields[1..] {
        match name {
            "service" => response.service = value.to_owned(),
            "v" => response.version = value.parse().expect("a version"),
            "by" => response.by_name = Some(value.to_owned()),
            "until" => response.until_ms = Some(minutes(value).0),
            "to" => response.assignee = Some(value.to_owned()),
            "action" => response.action = Some(value.to_owned()),
            "of" => response.fingerprints = value.split(',').map(str::to_owned).collect(),
            "comment" => response.comment = Some(value.to_owned()),
            other => panic!("a response has no {other}"),
        }
    }
    response
}

fn run_of(id: String, at: EventTime, fields: &[(&str, &str)]) -> ActionRun {
    let field = |wanted: &str| fields.iter().find(|(name, _)| *name == wanted).map(|(_, value)| *value);
    ActionRun {
        id,
        service: field("service").unwrap_or("shop").to_owned(),
        incident_id: field("of").expect("of=incident").to_owned(),
        action: field("action").unwrap_or("restart").to_owned(),
        by: "paula".to_owned(),
        status: symbol(field("status").expect("status=how far it is")),
        at_ms: at.0,
        result: field("result").map(str::to_owned),
        output: None,
    }
}

fn cause(id: String, at: EventTime, fields: &[(&str, &str)]) -> Cause {
    let field = |wanted: &str| fields.iter().find(|(name, _)| *name == wanted).map(|(_, value)| *value);
    Cause {
        service: field("service").unwrap_or("shop").to_owned(),
        cause_service: field("from").expect("from=service").to_owned(),
        incident_id: id,
        version: field("v").map_or(1, |text| text.parse().expect("a version")),
        open: field("open").is_none_or(|text| text.parse().expect("true or false")),
        level: symbol(field("level").unwrap_or("high")),
        at_ms: at.0,
    }
}

fn trend(line: &str) -> AlertTrend {
    let (sparkline, chart) = line.split_once('/').unwrap_or((line, ""));
    AlertTrend {
        sparkline: sparkline.trim_start_matches('~').to_owned(),
        recovering: line.starts_with('~'),
        chart: chart.to_owned(),
    }
}

/// With one alert, or those of `alerts`, which fire until the incident is resolved; `alerts=a1,a2:s1:90:00` names one that a silence
/// mutes until a time; `trend=~▁█` is a sparkline, and that it recovers; `trend=▁█/01…` has a chart too.
fn incident(id: String, at: EventTime, fields: &[(&str, &str)]) -> Incident {
    let field = |wanted: &str| fields.iter().find(|(name, _)| *name == wanted).map(|(_, value)| *value);
    let known = [
        "v",
        "service",
        "env",
        "change",
        "level",
        "mention",
        "opened",
        "onset",
        "suspects",
        "summary",
        "runbook",
        "alerts",
        "flaps",
        "trend",
        "acked",
        "assigned",
        "muted",
        "escalations",
        "log",
        "helped",
    ];
    assert!(fields.iter().all(|(name, _)| known.contains(name)), "an incident has {known:?}");
    let time = |name| field(name).map_or(at.0, |text| minutes(text).0);
    let change = symbol(field("change").unwrap_or("opened"));
    let resolved = change == IncidentChange::Resolved;
    let level = symbol(field("level").unwrap_or("high"));
    let own = format!("{id}-a");
    let alert = |word: &str| IncidentAlert {
        fingerprint: word.split(':').next().unwrap_or_default().to_owned(),
        name: "Errors".to_owned(),
        status: if resolved { AlertStatus::Resolved } else { AlertStatus::Firing },
        level,
        starts_at_ms: time("onset"),
        ends_at_ms: resolved.then_some(at.0),
        repeats: 1,
        value: None,
        summary: field("summary").unwrap_or("errors").to_owned(),
        generator_url: None,
        muted_until_ms: word.splitn(3, ':').nth(2).map(|until| minutes(until).0),
        muted_by: word.split(':').nth(1).map(str::to_owned),
        trend: field("trend").map(trend),
    };
    Incident {
        id,
        version: field("v").map_or(1, |text| text.parse().expect("a version")),
        service: field("service").unwrap_or("shop").to_owned(),
        environment: field("env").map(str::to_owned),
        group: Vec::new(),
        state: if resolved { IncidentState::Resolved } else { IncidentState::Open },
        change,
        level,
        level_reason: "as the script says".to_owned(),
        mention: symbol(field("mention").unwrap_or("nobody")),
        opened_at_ms: time("opened"),
        changed_at_ms: at.0,
        resolved_at_ms: resolved.then_some(at.0),
        reopened: 0,
        flaps: field("flaps").map_or(0, |text| text.parse().expect("a number")),
        alerts: field("alerts").unwrap_or(&own).split(',').map(alert).collect(),
        alerts_omitted: 0,
        suspects: field("suspects").map(suspects).unwrap_or_default(),
        runbook_url: field("runbook").map(str::to_owned),
        dashboard_url: None,
        attention: attention(at, field),
    }
}

/// `acked=paula`, `muted=snoozed`, `log=first,second` and so on; none of them, and nobody says anything of attention.
fn attention<'a>(at: EventTime, field: impl Fn(&str) -> Option<&'a str>) -> Option<Attention> {
    let text = |name| field(name).map(str::to_owned);
    let muted = |kind| Muted { kind: symbol(kind), until_ms: None, reason: "as the script says".to_owned() };
    let entry = |text: &str| LogEntry { at_ms: at.0, by: None, text: text.to_owned() };
    let helped = |text: &str| Helped { incident_id: "earlier".to_owned(), resolved_at_ms: 0, text: text.to_owned() };
    let attention = Attention {
        acknowledged_by: text("acked"),
        acknowledged_at_ms: field("acked").map(|_| at.0),
        assignee: text("assigned"),
        muted: field("muted").map(muted),
        escalations: field("escalations").map_or(0, |text| text.parse().expect("a number")),
        log: field("log").map(|log| log.split(',').map(entry).collect()).unwrap_or_default(),
        helped: field("helped").map(|helps| helps.split(',').map(helped).collect()).unwrap_or_default(),
        ..Attention::default()
    };
    (attention != Attention::default()).then_some(attention)
}

fn suspects(text: &str) -> Vec<Suspect> {
    let suspect = |word: &str| {
        let (version, score) = word.split_once(':').expect("version:score");
        Suspect {
            deploy_id: version.to_owned(),
            service: "shop".to_owned(),
            version: version.to_owned(),
            revision: None,
            actor: None,
            url: None,
            effective_at_ms: 0,
            score: score.parse().expect("a score"),
            reasons: vec!["it failed (+20)".to_owned()],
        }
    };
    text.split(',').map(suspect).collect()
}
