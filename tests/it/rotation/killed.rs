//! The real process on a real Kafka, killed again and again around hand-overs that come every few seconds: each is told once,
//! and the user group holds who is on call.

use std::time::Duration;

use fairlead::clock::Clock;
use fairlead::embedded::registry::Registry;
use fairlead::embedded::slack::workspace::EventKind;
use fairlead::embedded::slack::{Control, FakeSlack, Fault, Workspace};
use jiff::Timestamp;

use crate::harness::apache::{Kafka, unique};
use crate::harness::process::Process;
use crate::harness::{registry, until};

const TOKEN: &str = "xoxb-a-token-of-the-test";
const SHIFTS: i64 = 5;
const SHIFT_SECS: i64 = 8;
const PEOPLE: [&str; 2] = ["maria", "peter"];

fn topology(slack: &FakeSlack, registry: &Registry) -> String {
    let text = format!(
        "application: APP
http: {{ listen: '127.0.0.1:0' }}
kafka: {{ bootstrap_servers: '{}', properties: {{ session.timeout.ms: '6000', heartbeat.interval.ms: '1000' }} }}
registry: {{ url: '{}' }}
ingest: {{ alerts: APP.alerts.v1, deploys: APP.deploys.v1, rotations: APP.rotations.v1, token: '${{env:TEST_TOKEN}}' }}
slack: {{ actions: APP.actions.v1, outcomes: APP.outcomes.v1, token: '${{env:TEST_TOKEN}}', url: '{}' }}
rotations:
  primary: {{ file: rota.ics, every_secs: 10, people: {{ maria: U0MARIA, peter: U0PETER }}, channel: '#oncall', group: S0SRE }}
topics:
  APP.alerts.v1: {{ fact: alert, partitions: 1 }}
  APP.deploys.v1: {{ fact: deploy, partitions: 1 }}
  APP.rotations.v1: {{ fact: rotation, partitions: 1, cleanup: compact }}
  APP.actions.v1: {{ fact: slack_action, partitions: 2 }}
  APP.outcomes.v1: {{ fact: slack_outcome, partitions: 2 }}
operators:
  rotation: {{ inputs: {{ rotation: APP.rotations.v1 }}, outputs: {{ action: APP.actions.v1 }} }}
",
        Kafka::shared(),
        registry.url(),
        slack.base_url()
    );
    text.replace("APP", &unique("rota"))
}

/// One shift after the other, from `begin` on; the last has no end in sight.
fn calendar(begin: Timestamp) -> String {
    let time =
        |secs: i64| Timestamp::from_second(begin.as_second() + secs).unwrap().strftime("%Y%m%dT%H%M%SZ").to_string();
    let mut text = "BEGIN:VCALENDAR\r\n".to_owned();
    for number in 0..SHIFTS {
        let end = if number == SHIFTS - 1 { 30 * 86_400 } else { (number + 1) * SHIFT_SECS };
        let (from, to, who) = (time(number * SHIFT_SECS), time(end), PEOPLE[usize::try_from(number).unwrap() % 2]);
        text += &format!(
            "BEGIN:VEVENT\r\nUID:{number}\r\nDTSTART:{from}\r\nDTEND:{to}\r\nSUMMARY:On Call - {who}\r\nEND:VEVENT\r\n"
        );
    }
    text + "END:VCALENDAR\r\n"
}

#[test]
fn a_hand_over_is_told_once_over_kills_and_the_group_holds_who_is_on_call() {
    let outer = tokio::runtime::Runtime::new().unwrap();
    let slack = outer.block_on(FakeSlack::start(Workspace::new(TOKEN, &["oncall"]), Clock::wall())).unwrap();
    slack.control(Control::Group { group: "S0SRE".into(), users: vec!["U0OLD".into()] }).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let registry = registry::start(&dir.path().join("registry"));
    let files = dir.path().join("topology");
    std::fs::create_dir(&files).unwrap();
    std::fs::write(files.join("all.yaml"), topology(&slack, &registry)).unwrap();
    let start = || Process::start(dir.path(), &files, "1", &[("TEST_TOKEN", TOKEN)]);
    // Nobody is on call until the process has started; what is changed then is read within the ten seconds of `every_secs`.
    let in_secs = |secs: i64| Timestamp::from_second(Timestamp::now().as_second() + secs).unwrap();
    let write = |begin: Timestamp| std::fs::write(files.join("rota.ics"), calendar(begin)).unwrap();
    write(in_secs(3_600));
    let mut process = start();
    let messages = || slack.inspect(|workspace, now| workspace.messages("oncall", now));
    until("it says that nobody is on call", || (!messages().is_empty()).then_some(()));
    let begin = in_secs(25);
    write(begin);
    for number in 0..SHIFTS {
        let boundary = begin.as_second() + number * SHIFT_SECS;
        let sleep = |until_ms: i64| {
            let left = until_ms - Timestamp::now().as_millisecond();
            std::thread::sleep(Duration::from_millis(u64::try_from(left).unwrap_or(0)));
        };
        if number == 2 {
            slack.control(Control::Arm { method: "chat.postMessage".into(), times: 1, fault: Fault::Drop }).unwrap();
            slack
                .control(Control::Arm { method: "usergroups.users.update".into(), times: 1, fault: Fault::Drop })
                .unwrap();
        }
        // Before it, in the middle of it, and after it.
        sleep(boundary * 1_000 + [-400, 20, 120, 300, 700][usize::try_from(number).unwrap() % 5]);
        process.kill();
        process = start();
    }
    let of_shifts = || messages().into_iter().filter(|(_, message)| message.text.contains("<@")).collect::<Vec<_>>();
    until("every hand-over is told", || (of_shifts().len() >= usize::try_from(SHIFTS).unwrap()).then_some(()));
    until("the group holds the last", || {
        slack.inspect(|workspace, _| workspace.group("S0SRE") == Some(&["U0MARIA".to_owned()])).then_some(())
    });
    // What is told twice would be by now.
    std::thread::sleep(Duration::from_secs(3));
    let told: Vec<_> = of_shifts().into_iter().map(|(_, message)| message.text).collect();
    for (number, text) in told.iter().enumerate() {
        let who = PEOPLE[number % 2].to_uppercase();
        assert!(text.contains(&format!("<@U0{who}>")), "{number}: {told:#?}");
    }
    assert_eq!(told.len(), usize::try_from(SHIFTS).unwrap(), "{told:#?}");
    let posted =
        slack.inspect(|workspace, _| workspace.events().filter(|event| event.kind == EventKind::Posted).count());
    assert_eq!(posted, messages().len(), "something was posted and removed again");
    process.end();
}
