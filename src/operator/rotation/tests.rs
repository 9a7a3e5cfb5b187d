use proptest::prelude::*;

use super::*;
use crate::operator::script::{Line, Run, clock, defaults_agree, feed, minutes};

fn operator() -> HandOver {
    let yaml = "rotations: { primary: { url: x, channel: '#oncall', group: S0SRE, people: {} }, quiet: { url: x }, \
                shy: { url: x, channel: '#oncall', mention: false } }";
    serde_saphyr::from_str(yaml).unwrap()
}

/// `at primary known=… 0:00-60:00=maria …`: at that time the calendar says these shifts; a name in capitals has no Slack id.
fn line(text: &str) -> (EventTime, Line) {
    let mut words = text.split_whitespace();
    let at = minutes(words.next().unwrap());
    let Some(name) = words.next() else { return (at, Line::Wait) };
    let mut rotation =
        Rotation { name: name.to_owned(), read_at_ms: at.0, known_until_ms: 100 * DAY_MS, shifts: Vec::new() };
    for word in words {
        match word.split_once('=').unwrap() {
            ("known", until) => rotation.known_until_ms = minutes(until).0,
            ("read", read) => rotation.read_at_ms = minutes(read).0,
            (times, name) => {
                let (from, to) = times.split_once('-').unwrap();
                let is_known = name.chars().any(char::is_lowercase);
                let person = if is_known { format!("U{}", name.to_uppercase()) } else { String::new() };
                let (starts_at_ms, ends_at_ms) = (minutes(from).0, minutes(to).0);
                rotation.shifts.push(Shift { starts_at_ms, ends_at_ms, person, name: name.to_owned() });
            }
        }
    }
    rotation.shifts.sort();
    (at, Line::Fact(Fact::Rotation(rotation)))
}

fn run(script: &str) -> Run<State> {
    feed(&operator(), script.lines().map(str::trim).filter(|line| !line.is_empty()).map(line))
}

/// Messages with their moments, times left out, and the group's members.
fn told(script: &str) -> Vec<String> {
    let shown = |(at, _, fact): &(EventTime, &str, Fact<'_>)| {
        let Fact::SlackAction(action) = fact else { panic!("only actions are told") };
        assert_eq!(action.created_at_ms.max(at.0), action.created_at_ms);
        let rotation = of_root(&action.incident_id);
        assert_eq!(
            rotation.is_some_and(|name| operator().rotations.contains_key(name)),
            action.kind == SlackActionKind::PostRoot
        );
        match action.kind {
            SlackActionKind::SetGroup => {
                format!("{} {} v{} {}", clock(*at), action.channel, action.version, action.users.join(","))
            }
            _ => format!("{} {}", clock(*at), plain(&action.text)),
        }
    };
    run(script).told.iter().map(shown).collect()
}

/// `<!date^60^…|1970-01-01 00:01 UTC>` as `00:01`.
fn plain(text: &str) -> String {
    let mut parts = text.split("<!date^");
    let mut out = parts.next().unwrap().to_owned();
    for part in parts {
        let (token, rest) = part.split_once('>').unwrap();
        out += token.rsplit(' ').nth(1).unwrap();
        out += rest;
    }
    out
}

#[test]
fn a_hand_over_mentions_who_comes_on_and_sets_the_group() {
    let script = "
        10:00 primary 0:00-60:00=maria 60:00-120:00=peter 120:00-180:00=maria
        130:00";
    assert_eq!(
        told(script),
        [
            "10:00 📟 *On call for primary*: <@UMARIA>, until 01:00\nNext: peter",
            "10:00 S0SRE v1 UMARIA",
            "60:00 📟 *On call for primary*: <@UPETER>, after maria, until 02:00\nNext: maria",
            "60:00 S0SRE v2 UPETER",
            "120:00 📟 *On call for primary*: <@UMARIA>, after peter, until 03:00\nNobody comes after that, as far as the calendar says",
            "120:00 S0SRE v3 UMARIA",
        ]
    );
}

#[test]
fn the_same_shifts_again_or_an_older_reading_change_nothing() {
    let once = "10:00 primary 0:00-60:00=maria 60:00-120:00=peter\n70:00";
    let again = "10:00 primary 0:00-60:00=maria 60:00-120:00=peter\n10:00 primary 0:00-60:00=maria 60:00-120:00=peter
                 60:00 primary 0:00-60:00=maria 60:00-120:00=peter\n61:00 primary read=5:00 0:00-120:00=zoe\n70:00";
    assert_eq!(told(once), told(again));
    assert_eq!(told(once).len(), 4);
}

#[test]
fn a_changed_calendar_is_told_at_once_if_others_are_on_call_now() {
    let script = "
        10:00 primary 0:00-60:00=maria 60:00-120:00=peter
        20:00 primary 0:00-60:00=maria 60:00-120:00=zoe
        30:00 primary 0:00-30:00=maria 30:00-60:00=peter 60:00-120:00=zoe
        40:00 primary 0:00-60:00=maria 60:00-120:00=zoe
        50:00";
    assert_eq!(
        told(script)[2..],
        [
            "30:00 📟 *On call for primary*: <@UPETER>, after maria now, for the calendar has changed, until 01:00\nNext: zoe",
            "30:00 S0SRE v2 UPETER",
            "40:00 📟 *On call for primary*: <@UMARIA>, after peter now, for the calendar has changed, until 01:00\nNext: zoe",
            "40:00 S0SRE v3 UMARIA",
        ]
    );
}

#[test]
fn with_nobody_on_call_the_group_keeps_the_last_and_it_is_said() {
    let script = "10:00 primary 0:00-20:00=maria 40:00-60:00=PETER\n70:00";
    assert_eq!(
        told(script),
        [
            "10:00 📟 *On call for primary*: <@UMARIA>, until 00:20\nNobody comes after that, as far as the calendar says",
            "10:00 S0SRE v1 UMARIA",
            "20:00 ⚠️ *On call for primary*: nobody, until 00:40\nNext: PETER\nThe user group keeps whom it holds, for Slack takes no empty one",
            "40:00 📟 *On call for primary*: PETER, until 01:00\nNobody comes after that, as far as the calendar says\n\
             Without a Slack id in the topology, and so not mentioned and in no group: PETER\n\
             The user group keeps whom it holds, for Slack takes no empty one",
            "60:00 ⚠️ *On call for primary*: nobody\nNobody comes next, as far as the calendar says\n\
             The user group keeps whom it holds, for Slack takes no empty one",
        ]
    );
}

#[test]
fn who_stays_on_is_not_mentioned_again() {
    let script = "10:00 primary 0:00-60:00=maria 0:00-30:00=peter 30:00-60:00=zoe\n50:00";
    assert_eq!(
        told(script)[1..],
        [
            "10:00 S0SRE v1 UMARIA,UPETER",
            "30:00 📟 *On call for primary*: maria, <@UZOE>, after peter, until 01:00\nNobody comes after that, as far as the calendar says",
            "30:00 S0SRE v2 UMARIA,UZOE",
        ]
    );
}

#[test]
fn a_calendar_that_runs_out_is_said_once_until_it_was_well_again() {
    let day = 24 * 60;
    let script = format!(
        "0:00 primary known={}:00 0:00-{}:00=maria\n{}:00\n{}:00 primary known={}:00 0:00-{}:00=maria\n{}:00 primary known={}:00 0:00-{}:00=maria\n{}:00",
        10 * day,
        90 * day,
        4 * day,
        5 * day,
        11 * day,
        90 * day,
        6 * day,
        30 * day,
        90 * day,
        29 * day,
    );
    let warnings: Vec<_> =
        told(&script).into_iter().filter(|told| told.contains("the calendar is known until")).collect();
    assert_eq!(warnings.len(), 2, "{warnings:?}");
    assert!(warnings[0].starts_with(&format!("{}:00 ⚠️ *On call for primary*", 3 * day)), "{warnings:?}");
    assert!(warnings[1].starts_with(&format!("{}:00 ", 23 * day)), "{warnings:?}");
}

#[test]
fn what_has_no_channel_is_not_told_and_nobody_is_mentioned_against_the_configuration() {
    assert_eq!(told("10:00 quiet 0:00-60:00=maria\n70:00"), Vec::<String>::new());
    assert_eq!(told("10:00 unknown 0:00-60:00=maria\n70:00"), Vec::<String>::new());
    let shy = told("10:00 shy 0:00-60:00=maria 60:00-90:00=peter\n70:00");
    assert_eq!(shy.len(), 2);
    assert!(shy.iter().all(|told| !told.contains("<@")), "{shy:?}");
}

#[test]
fn the_defaults_of_state_and_schema_agree() {
    defaults_agree::<HandOver>();
}

/// Slack's tokens in a text, without their brackets.
fn tokens(text: &str) -> Vec<&str> {
    text.split('<').skip(1).map(|rest| rest.split_once('>').map_or(rest, |(token, _)| token)).collect()
}

fn any_rotation() -> impl Strategy<Value = (i64, Vec<(i64, i64, usize)>)> {
    (0..100i64, prop::collection::vec((0..200i64, 1..60i64, 0..6usize), 0..8))
}

const NAMES: [&str; 6] = ["maria", "<!channel>", "<@U0ALL> &amp;", "x\n<!here|here>", "zoe", "<!subteam^S1>"];

proptest! {
    /// Whatever calendars say and whenever: what is told depends on nothing but the facts; ids are told once; nobody is mentioned but who
    /// comes on, by the id of `people`; and in the end the group holds who is on call, or who was last.
    #[test]
    fn laws(mut facts in prop::collection::vec(any_rotation(), 1..8)) {
        facts.sort_by_key(|(at, _)| *at);
        let lines = || facts.iter().map(|(at, shifts)| {
            let at = EventTime(at * 60_000);
            let shift = |(from, long, who): &(i64, i64, usize)| Shift {
                starts_at_ms: from * 60_000, ends_at_ms: (from + long) * 60_000,
                person: if *who % 2 == 0 { format!("U{who}") } else { String::new() }, name: NAMES[*who].to_owned(),
            };
            let mut shifts: Vec<_> = shifts.iter().map(shift).collect();
            shifts.sort();
            (at, Line::Fact(Fact::Rotation(Rotation { name: "primary".into(), read_at_ms: at.0, known_until_ms: 100 * DAY_MS, shifts })))
        }).chain([(EventTime(300 * 60_000), Line::Wait)]);
        let (run, again) = (feed(&operator(), lines()), feed(&operator(), lines()));
        prop_assert_eq!(&run.told, &again.told);
        let mut ids = std::collections::BTreeSet::new();
        let mut members = Vec::new();
        let mut version = 0;
        for (at, _, fact) in &run.told {
            let Fact::SlackAction(action) = fact else { panic!() };
            prop_assert!(ids.insert(action.id.clone()), "{} twice", action.id);
            // By the calendar before or after what was told in this very moment.
            let last = |before: i64| facts.iter().map(|(told, _)| told * 60_000).filter(|told| *told <= before).max();
            let said = facts.iter().filter(|(told, _)| [last(at.0), last(at.0 - 1)].contains(&Some(told * 60_000)));
            let on_call: Vec<_> = said
                .flat_map(|(_, shifts)| shifts)
                .filter(|(from, long, _)| (from * 60_000..(from + long) * 60_000).contains(&at.0))
                .map(|(.., who)| format!("U{who}"))
                .collect();
            if action.kind == SlackActionKind::SetGroup {
                prop_assert!(action.version > version && !action.users.is_empty() && action.users.is_sorted());
                prop_assert!(action.users.iter().all(|user| on_call.contains(user)));
                (version, members) = (action.version, action.users.clone());
            }
            for token in tokens(&action.text) {
                let mention = token.strip_prefix('@');
                prop_assert!(token.starts_with("!date^") || mention.is_some_and(|id| on_call.iter().any(|on| on == id)), "{token}");
            }
            prop_assert!(action.text.chars().count() < 3_000);
        }
        let state = &run.states["primary"];
        prop_assert!(state.on_call.is_empty() && state.members == members);
    }
}
