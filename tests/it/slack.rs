//! The Slack sink against the stand-in for Slack: its ledger on a counted clock, all of it over real HTTP with a log in memory that
//! dies where a test wants it to, and on a real Kafka.

mod charts;
mod killed;
mod memory_log;
mod on_kafka;
mod randomised;
mod sim;

use std::sync::Arc;
use std::time::{Duration, Instant};

use fairlead::clock::Clock;
use fairlead::codec::{Format, Formats, SchemaId};
use fairlead::embedded::slack::workspace::EventKind;
use fairlead::embedded::slack::{Control, FakeSlack, Fault, Workspace};
use fairlead::event::{Level, SlackAction, SlackActionKind, SlackOutcome, SlackStatus};
use fairlead::log::client::Connection;
use fairlead::record::{EventTime, Topic};
use fairlead::sink::slack::{SlackSink, SlackSinkConfig, Token};
use fairlead::topology::dead_letter;

use memory_log::{Disk, Kill, MemoryLog, When};

const TOKEN: &str = "xoxb-test";
/// A quarter of a minute of settling takes 75 ms.
const SPEED: u32 = 200;

fn clock() -> Clock {
    Clock::compressed(EventTime(1_700_000_000_000), SPEED)
}

async fn fake(clock: &Clock) -> FakeSlack {
    FakeSlack::start(Workspace::new(TOKEN, &["oncall"]), clock.clone()).await.unwrap()
}

fn dead_letter_format() -> Format {
    Format::new(SchemaId(1_000), dead_letter::SCHEMA).unwrap()
}

fn config(fake: &FakeSlack, clock: &Clock, application: &str, instance: &str) -> SlackSinkConfig {
    SlackSinkConfig {
        connection: Connection::default(),
        application: application.to_owned(),
        instance: instance.to_owned(),
        actions: Topic(format!("{application}.slack-actions").into()),
        outcomes: Topic(format!("{application}.slack-outcomes").into()),
        dead_letters: Topic(format!("{application}.dead-letters").into()),
        dead_letter_format: dead_letter_format(),
        base_url: fake.base_url(),
        token: Token(TOKEN.to_owned()),
        call_timeout: Duration::from_millis(400),
        settle: Duration::from_secs(15),
        clock: clock.clone(),
    }
}

fn action(incident: &str, kind: SlackActionKind, version: i32, terminal: bool) -> SlackAction {
    let what = match kind {
        SlackActionKind::Reply => "reply",
        SlackActionKind::Log => "log",
        SlackActionKind::PostRoot | SlackActionKind::UpdateRoot => "root",
        SlackActionKind::SetGroup => "group",
    };
    SlackAction {
        id: format!("{incident}/{version}/{what}"),
        incident_id: incident.to_owned(),
        version,
        kind,
        channel: "#oncall".to_owned(),
        level: Level::High,
        text: format!("{incident} {what} {version}"),
        blocks: r#"[{"type":"section","text":{"type":"mrkdwn","text":"*state*"}}]"#.to_owned(),
        terminal,
        broadcast: kind == SlackActionKind::Reply,
        created_at_ms: 1_700_000_000_000,
        users: Vec::new(),
    }
}

/// An incident from its first alert to its end.
fn incident(name: &str) -> Vec<SlackAction> {
    vec![
        action(name, SlackActionKind::PostRoot, 1, false),
        action(name, SlackActionKind::UpdateRoot, 2, false),
        action(name, SlackActionKind::Reply, 2, false),
        action(name, SlackActionKind::UpdateRoot, 3, true),
        action(name, SlackActionKind::Reply, 3, false),
        action(name, SlackActionKind::Log, 2, false),
        action(name, SlackActionKind::Log, 3, false),
    ]
}

/// Actions of an incident.
const ACTIONS: usize = 7;

/// Polls until it is so; a test that waits in vain fails with what it last saw.
async fn until<T>(what: &str, mut look: impl FnMut() -> Result<T, String>) -> T {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        match look() {
            Ok(found) => return found,
            Err(seen) if Instant::now() > deadline => panic!("{what}: {seen}"),
            Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
        }
    }
}

/// One root that shows the end, both replies and one log that shows the end in its thread, each posted once.
fn assert_told_once(fake: &FakeSlack, name: &str, case: &str) {
    let (messages, posted) = fake.inspect(|workspace, now| {
        let posted: Vec<_> = workspace
            .events()
            .filter(|event| event.kind == EventKind::Posted)
            .map(|event| event.text.clone())
            .collect();
        (workspace.messages("oncall", now), posted)
    });
    let of_incident = |text: &str| text.starts_with(&format!("{name} "));
    let roots: Vec<_> = messages.iter().filter(|(_, m)| m.thread.is_none() && of_incident(&m.text)).collect();
    let shown: Vec<_> = roots.iter().map(|(_, root)| root.text.as_str()).collect();
    assert_eq!(shown, [format!("{name} root 3")], "{case}");
    assert_eq!(roots[0].1.blocks.len(), 1, "{case}: blocks survive the rewrite");
    let in_thread = messages.iter().filter(|(_, m)| m.thread == Some(roots[0].0)).map(|(_, m)| m.text.as_str());
    let (logs, replies): (Vec<_>, Vec<_>) = in_thread.partition(|text| text.contains(" log "));
    assert_eq!(replies, [format!("{name} reply 2"), format!("{name} reply 3")], "{case}");
    assert_eq!(logs, [format!("{name} log 3")], "{case}");
    assert_eq!(posted.iter().filter(|text| of_incident(text)).count(), 4, "{case}: {posted:?}");
}

/// Runs the sink on this log, again after each death, until every action has its outcome.
async fn run_to_the_end(disk: &Arc<Disk>, fake: &FakeSlack, clock: &Clock, actions: i64, case: &str) {
    let start = || {
        let (config, disk) = (config(fake, clock, "app", "a"), disk.clone());
        let registry = prometheus::Registry::new();
        let join = move || Ok((MemoryLog::join(&disk), MemoryLog::join(&disk)));
        SlackSink::start_on(config, Formats::shipped(), &registry, join).unwrap()
    };
    let mut sink = start();
    until(case, || {
        if !sink.is_running() {
            sink = start();
        }
        let committed = disk.committed("app.slack-actions");
        if committed == actions { Ok(()) } else { Err(format!("committed {committed}, {}", fake.threads())) }
    })
    .await;
    let _ = tokio::task::spawn_blocking(move || sink.stop()).await.unwrap();
}

fn faults() -> Vec<(&'static str, Fault)> {
    let of = |fault: Fault| [("chat.postMessage", fault.clone()), ("chat.update", fault)];
    let refuse = |code: &str| Fault::Refuse { code: code.to_owned() };
    [
        of(Fault::Drop),
        of(Fault::Fail),
        of(Fault::Late { delay_ms: 10_000 }),
        of(Fault::RateLimit { retry_after_s: 5 }),
        of(Fault::Freeze),
        of(refuse("internal_error")),
        of(refuse("token_revoked")),
    ]
    .concat()
}

async fn one_case(fault: Option<(&'static str, Fault)>, kill: Option<Kill>) {
    let case = format!("fault {fault:?}, killed {kill:?}");
    let clock = clock();
    let fake = fake(&clock).await;
    if let Some((method, fault)) = fault {
        fake.control(Control::Arm { method: method.to_owned(), times: 1, fault }).unwrap();
    }
    let disk = Arc::new(Disk::new(kill));
    disk.append_actions("app.slack-actions", &incident("inc"));
    run_to_the_end(&disk, &fake, &clock, ACTIONS as i64, &case).await;
    assert_told_once(&fake, "inc", &case);
    let outcomes = disk.outcomes("app.slack-outcomes");
    assert_every_effect_was_intended(&outcomes, &case);
}

fn assert_every_effect_was_intended(outcomes: &[SlackOutcome], case: &str) {
    let before = |index: usize, id: &str| {
        outcomes[..index].iter().any(|o: &SlackOutcome| o.action_id == id && o.status == SlackStatus::Intended)
    };
    for (index, outcome) in outcomes.iter().enumerate().filter(|(_, o)| o.status == SlackStatus::Done) {
        assert!(before(index, &outcome.action_id), "{case}: {} was done but not intended", outcome.action_id);
    }
    let done = outcomes.iter().filter(|o| o.status == SlackStatus::Done).count();
    assert!(done >= 4, "{case}: {done} actions done");
}

/// Every fault, alone and with the process killed before or after each of its commits.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn whatever_fails_and_wherever_it_is_killed_an_incident_has_one_root_that_shows_its_end() {
    let faults: Vec<_> = std::iter::once(None).chain(faults().into_iter().map(Some)).collect();
    let killed = |commit| [When::Before, When::After].map(|when| Some(Kill { commit, when, in_doubt: false }));
    let kills = (1..=6).flat_map(killed);
    let kills: Vec<_> = std::iter::once(None).chain(kills).collect();
    let mut cases: Vec<_> =
        faults.iter().flat_map(|fault| kills.iter().map(move |kill| (fault.clone(), *kill))).collect();
    while !cases.is_empty() {
        let rest = cases.split_off(cases.len().min(12));
        let running: Vec<_> = cases.into_iter().map(|(fault, kill)| tokio::spawn(one_case(fault, kill))).collect();
        for case in running {
            case.await.unwrap();
        }
        cases = rest;
    }
}

/// Its calls go on meanwhile, and the answers find a sink that has started over.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_sink_whose_partition_goes_and_comes_while_a_commit_is_in_doubt_tells_nothing_twice() {
    let doubts =
        (1..=6).flat_map(|commit| [When::Before, When::After].map(|when| Kill { commit, when, in_doubt: true }));
    let cases: Vec<_> = doubts.map(|doubt| tokio::spawn(one_case(None, Some(doubt)))).collect();
    for case in cases {
        case.await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deleted_root_is_replaced_and_the_thread_goes_on_there() {
    let clock = clock();
    let fake = fake(&clock).await;
    let disk = Arc::new(Disk::new(None));
    let mut actions = incident("inc");
    let later = actions.split_off(3);
    disk.append_actions("app.slack-actions", &actions);
    run_to_the_end(&disk, &fake, &clock, 3, "before").await;
    fake.control(Control::DeleteRoots { channel: "oncall".to_owned() }).unwrap();
    disk.append_actions("app.slack-actions", &later);
    run_to_the_end(&disk, &fake, &clock, ACTIONS as i64, "after").await;
    let messages = fake.inspect(|workspace, now| workspace.messages("oncall", now));
    let roots: Vec<_> = messages.iter().filter(|(_, m)| m.thread.is_none()).collect();
    assert_eq!(roots.iter().map(|(_, m)| m.text.as_str()).collect::<Vec<_>>(), ["inc root 3"]);
    assert!(messages.iter().any(|(_, m)| m.text == "inc reply 3" && m.thread == Some(roots[0].0)));
}

/// What it shows has to be read again from its topic, for the sink that told it is gone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reply_that_finds_its_thread_gone_becomes_a_root_that_shows_the_incident() {
    let clock = clock();
    let fake = fake(&clock).await;
    let disk = Arc::new(Disk::new(None));
    let actions = incident("inc");
    disk.append_actions("app.slack-actions", &actions[..1]);
    run_to_the_end(&disk, &fake, &clock, 1, "before").await;
    fake.control(Control::DeleteRoots { channel: "oncall".to_owned() }).unwrap();
    disk.append_actions("app.slack-actions", &actions[2..3]);
    let (config, of_sink) = (config(&fake, &clock, "app", "a"), disk.clone());
    let join = move || Ok((MemoryLog::join(&of_sink), MemoryLog::join(&of_sink)));
    let sink = SlackSink::start_on(config, Formats::shipped(), &prometheus::Registry::new(), join).unwrap();
    until("the root shows the incident", || {
        let messages = fake.inspect(|workspace, now| workspace.messages("oncall", now));
        match messages.iter().map(|(_, message)| message.text.as_str()).collect::<Vec<_>>()[..] {
            ["inc root 1"] => Ok(()),
            _ => Err(fake.threads()),
        }
    })
    .await;
    tokio::task::spawn_blocking(move || sink.stop()).await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_storm_in_one_channel_loses_nothing_and_is_never_told_to_slow_down() {
    // A busy machine delays calls so that they bunch: a real second must be much.
    let clock = Clock::compressed(EventTime(1_700_000_000_000), 40);
    let fake = fake(&clock).await;
    let disk = Arc::new(Disk::new(None));
    let names: Vec<_> = (0..30).map(|number| format!("i{number}")).collect();
    for name in &names {
        disk.append_actions("app.slack-actions", &incident(name));
    }
    let registry = prometheus::Registry::new();
    let (config, of_sink) = (config(&fake, &clock, "app", "a"), disk.clone());
    let join = move || Ok((MemoryLog::join(&of_sink), MemoryLog::join(&of_sink)));
    let sink = SlackSink::start_on(config, Formats::shipped(), &registry, join).unwrap();
    until("the storm is told", || match disk.committed("app.slack-actions") {
        210 => Ok(()),
        other => Err(format!("committed {other}")),
    })
    .await;
    names.iter().for_each(|name| assert_told_once(&fake, name, "storm"));
    let metrics = prometheus::TextEncoder::new().encode_to_string(&registry.gather()).unwrap();
    assert!(!metrics.contains("rate_limited"), "{metrics}");
    assert!(metrics.contains(r#"fairlead_slack_outcomes_total{status="superseded"} 60"#), "{metrics}");
    assert!(!metrics.contains(TOKEN));
    tokio::task::spawn_blocking(move || sink.stop()).await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_action_that_cannot_be_read_becomes_a_dead_letter_and_the_next_one_is_told() {
    let clock = clock();
    let fake = fake(&clock).await;
    let disk = Arc::new(Disk::new(None));
    disk.append("app.slack-actions", b"inc", b"\0\0\0\x03\xe7no such schema");
    disk.append("app.slack-actions", b"inc", b"no envelope");
    disk.append_actions("app.slack-actions", &incident("inc"));
    run_to_the_end(&disk, &fake, &clock, 2 + ACTIONS as i64, "dead letters").await;
    assert_told_once(&fake, "inc", "dead letters");
    let mut formats = Formats::default();
    formats.read_with(Format::new(SchemaId(1_000), dead_letter::SCHEMA).unwrap());
    let name = &dead_letter_format().name;
    let letters: Vec<dead_letter::DeadLetter> =
        disk.values("app.dead-letters").iter().map(|value| formats.decode(value, name).unwrap()).collect();
    let why: Vec<_> = letters.iter().map(|letter| (letter.offset, letter.reason)).collect();
    assert_eq!(why, [(0, dead_letter::Reason::UnknownSchema), (1, dead_letter::Reason::NoEnvelope)]);
}
