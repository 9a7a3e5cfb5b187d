//! Hand-overs through the whole: a topology with rotations, from the fact to what Slack is told, over crashes.

#[cfg(feature = "runtime")]
mod killed;

use std::collections::BTreeSet;

use fairlead::event::{Fact, FactKind, Rotation, Shift, SlackAction, SlackActionKind};
use fairlead::record::{EventTime, Topic};
use fairlead::topology::catalog::catalog;
use fairlead::topology::compile::{Compiled, compile};
use fairlead::topology::driver::TopologyDriver;
use fairlead::topology::plan::Topology;
use fairlead::topology::spec::SourceFile;

const ROTATIONS: &str = "
rotations:
  primary: { url: '${env:ROTA_URL}', people: { maria: U0MARIA }, channel: '#oncall', group: S0SREONCALL }
  second: { file: second.ics, channel: '#oncall', mention: false }
";

fn compiled(rotations: &str) -> Compiled {
    let app = include_str!("../../topology/app.yaml").replace("  # rotations: oncall", "  rotations: oncall");
    let files = [
        ("app.yaml", app.as_str()),
        ("topics.yaml", include_str!("../../topology/topics.yaml")),
        ("oncall.yaml", include_str!("../../topology/oncall.yaml")),
        ("handover.yaml", include_str!("../../topology/rotations.yaml")),
        ("rotations.yaml", rotations),
    ];
    let file = |(name, text): (&str, &str)| SourceFile { name: name.to_owned(), text: text.to_owned() };
    compile(&files.map(file), &catalog())
}

fn topology() -> Topology {
    compiled(ROTATIONS).topology.expect("the shipped topology takes rotations")
}

#[test]
fn what_is_wrong_with_rotations_is_told_once_at_its_place() {
    let told =
        |rotations: &str| -> Vec<String> { compiled(rotations).problems.iter().map(ToString::to_string).collect() };
    assert_eq!(told(ROTATIONS), Vec::<String>::new());
    let wrong = "
rotations:
  a: { plan: { people: [mario], start: 2026-11-30 09:00 }, people: { maria: U0MARIA }, zone: Europe/Berlinn }
  b: { url: 'https://a.example/secret.ics', chanel: '#oncall' }
  c: { plan: { people: [U0MARIA], start: tomorrow } }
";
    assert_eq!(
        told(wrong),
        [
            "rotations.yaml:3:68: rotations.a.people: `mario` of the plan has no Slack id; did you mean `maria`?; add `mario: U…`",
            "rotations.yaml:3:94: rotations.a.zone: `Europe/Berlinn` is no zone of the tz database; write Europe/Berlin",
            "rotations.yaml:4:13: rotations.b.url: a secret must not stand in a file; write `${env:NAME}` or `${file:PATH}`",
            "rotations.yaml:4:45: `chanel` is unknown; did you mean `channel`?",
            "rotations.yaml:5:42: rotations.c.plan.start: `tomorrow` is no time on the wall; write 2026-11-30 09:00",
        ]
    );
}

fn shift(from: i64, to: i64, name: &str) -> Shift {
    let person = format!("U0{}", name.to_uppercase());
    Shift { starts_at_ms: from * 60_000, ends_at_ms: to * 60_000, person, name: name.to_owned() }
}

fn rotation(name: &str, at: i64, shifts: Vec<Shift>) -> (EventTime, Fact<'static>) {
    let at = EventTime(at * 60_000);
    let known_until_ms = at.plus_ms(30 * 86_400_000).0;
    (at, Fact::Rotation(Rotation { name: name.to_owned(), read_at_ms: at.0, known_until_ms, shifts }))
}

fn facts() -> Vec<(EventTime, Fact<'static>)> {
    let day =
        |names: [&str; 3]| (0..).zip(names).map(|(at, name)| shift(at * 480, (at + 1) * 480, name)).collect::<Vec<_>>();
    vec![
        rotation("primary", 10, day(["maria", "peter", "zoe"])),
        rotation("second", 10, day(["zoe", "maria", "peter"])),
        rotation("primary", 11, day(["maria", "peter", "zoe"])),
        rotation("primary", 600, day(["maria", "ann", "zoe"])),
    ]
}

/// All actions of a run, in the order of ids, which a replay of its journal says too; it may die after every commit.
fn told(topology: &Topology, batch: usize, dies: bool) -> Vec<SlackAction> {
    let mut driver = TopologyDriver::new(topology, batch).unwrap();
    for (at, fact) in facts() {
        driver.send(&Topic::from("oncall.rotations.v1"), &fact, at).unwrap();
    }
    while driver.step(EventTime(3 * 86_400_000)).unwrap() {
        if dies {
            driver.crash().unwrap();
        }
    }
    assert_eq!(driver.written(), driver.replay().unwrap());
    let facts = driver.facts(&Topic::from("oncall.slack-actions.v1"), FactKind::SlackAction).unwrap();
    let action = |(_, fact)| match fact {
        Fact::SlackAction(action) => action,
        other => panic!("{other:?}"),
    };
    let mut told: Vec<_> = facts.into_iter().map(action).collect();
    told.sort_by(|one, other| one.id.cmp(&other.id));
    told
}

#[test]
fn hand_overs_are_told_once_whatever_dies_and_however_the_input_is_cut() {
    let topology = topology();
    let first = told(&topology, 3, false);
    let ids: BTreeSet<_> = first.iter().map(|action| &action.id).collect();
    assert_eq!(ids.len(), first.len());
    let groups: Vec<_> = first.iter().filter(|action| action.kind == SlackActionKind::SetGroup).collect();
    let users: Vec<_> = groups.iter().map(|action| (action.version, action.users.join(","))).collect();
    assert_eq!(users, [(1, "U0MARIA"), (2, "U0PETER"), (3, "U0ANN"), (4, "U0ZOE")].map(|(v, who)| (v, who.to_owned())));
    // At the first telling, at each of two boundaries, at the change in between, and when nobody comes after the last.
    assert_eq!(first.iter().filter(|action| action.incident_id.starts_with("handover-primary-")).count(), 5);
    let second: Vec<_> = first.iter().filter(|action| action.incident_id.starts_with("handover-second-")).collect();
    assert_eq!(second.len(), 4);
    assert!(second.iter().all(|action| !action.text.contains("<@")));
    for batch in [1, 2, 5] {
        assert_eq!(told(&topology, batch, true), first, "batches of {batch}");
    }
}
