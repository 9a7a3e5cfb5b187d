//! What is told of samples, in which order and under which name; what is remembered, and what is forgotten.

use super::super::script::{self, Line, Run};
use super::*;
use crate::event::AlertStatus;
use crate::trend::chart::{Chart, PARTS, TOP};

const SERIES: &str = r#"disk_used_percent{env="production",instance="db-1",job="node",namespace="storage"}"#;
const MINUTE_MS: i64 = 60_000;

fn trend(yaml: &str) -> Trend {
    let trend: Trend = serde_saphyr::from_str(yaml).unwrap();
    assert_eq!(trend.problems(), Vec::<String>::new());
    trend
}

fn full() -> Trend {
    trend(
        "
        rules:
        - name: disk-full
          alert: DiskFull
          select: disk_used_percent{instance=~\"db.*\"}
          detect: { forecast: { above: 90, horizon_secs: 3600 } }
          recovering_secs: 600
        ",
    )
}

fn sample(series: &str, at_ms: i64, value: f64) -> Line {
    Line::Fact(Fact::Sample(Sample { series: series.to_owned().into(), at_ms, value }))
}

/// A sample a minute, its record at the same time.
fn minutes(values: impl IntoIterator<Item = f64>) -> Vec<(EventTime, Line)> {
    let line = |(minute, value): (i64, f64)| (EventTime(minute * MINUTE_MS), sample(SERIES, minute * MINUTE_MS, value));
    (0..).zip(values).map(line).collect()
}

fn told(run: &Run<State>) -> Vec<String> {
    let line = |(at, port, fact): &(EventTime, &str, Fact<'static>)| match fact {
        Fact::Alert(alert) => {
            let trend = alert.annotations.get("trend").unwrap();
            assert_eq!(alert.status == AlertStatus::Resolved, trend == "ended");
            format!("{} {port} {} {trend}", script::clock(*at), alert.name)
        }
        _ => format!("{} {port}", script::clock(*at)),
    };
    run.told.iter().map(line).collect()
}

/// Rises by half a percent a minute from 50 for an hour and stays for ten minutes, falls to 20.
fn filling() -> Vec<f64> {
    let value = |minute: i64| match minute {
        0..60 => 50.0 + minute as f64 / 2.0,
        60..70 => 80.0,
        _ => 20.0,
    };
    (0..120).map(value).collect()
}

#[test]
fn one_detection_an_episode_with_all_that_an_alert_has() {
    let run = script::feed(&full(), minutes(filling()));
    let alerts: Vec<&Alert<'_>> = run
        .told
        .iter()
        .map(|(_, port, fact)| match fact {
            Fact::Alert(alert) if *port == "detection" => alert,
            _ => panic!("{port}"),
        })
        .collect();
    let words: Vec<_> = alerts.iter().map(|alert| alert.annotations.get("trend").unwrap()).collect();
    assert_eq!((words[0], words[words.len() - 1]), ("began", "ended"));
    assert_eq!(words.iter().filter(|word| **word == "began").count(), 1);
    let [began, .., ended] = &alerts[..] else { panic!("{words:?}") };
    assert!(began.starts_at_ms < 60 * MINUTE_MS);
    for alert in &alerts {
        assert_eq!((&*alert.source, &*alert.name, &*alert.service), ("trend", "DiskFull", "node"));
        assert_eq!((&alert.fingerprint, alert.starts_at_ms), (&began.fingerprint, began.starts_at_ms));
        assert_eq!((alert.environment.as_deref(), alert.namespace.as_deref()), (Some("production"), Some("storage")));
        assert_eq!(
            (alert.labels.get("alertname"), alert.labels.get("metric")),
            (Some("DiskFull"), Some("disk_used_percent"))
        );
        assert_eq!(alert.labels.get("instance"), Some("db-1"));
    }
    let began_summary = began.annotations.get("summary").unwrap();
    assert!(began_summary.starts_with("disk used 5"), "{began_summary}");
    assert!(began_summary.contains("crosses 90 % in about"), "{began_summary}");
    let seconds = began.annotations.get("crosses_in_secs").map(|secs| secs.parse::<i64>().unwrap());
    assert!(seconds.is_some_and(|secs| (600..=3600).contains(&secs)), "{seconds:?}");
    assert!(began.annotations.get("sparkline").is_some_and(|line| line.ends_with('█')));
    // The threshold is above all that was told, and the line leads there.
    let chart = |alert: &Alert<'_>| Chart::parse(alert.annotations.get("chart").unwrap()).unwrap();
    let (begins, ends) = (chart(began), chart(ended));
    assert_eq!((begins.threshold(), begins.forecast().map(|forecast| forecast.level)), (Some(TOP), Some(TOP)));
    let ahead = seconds.unwrap() as f64 / 3600.0 * 24.0 * f64::from(PARTS);
    assert!((f64::from(begins.forecast().unwrap().ahead) - ahead).abs() <= 1.0, "{begins:?}, {ahead}");
    assert!(begins.columns().iter().flatten().is_sorted() && begins.columns().len() > 2, "{begins:?}");
    assert_eq!(ends.forecast(), None);
    assert_eq!(ended.annotations.get("crosses_in_secs"), None);
    assert!(began.value.is_some_and(|value| (50.0..80.0).contains(&value)));
    assert!(ended.annotations.get("summary").unwrap().contains("well again"));
    assert_eq!((ended.status, ended.value), (AlertStatus::Resolved, Some(20.0)));
    assert!(ended.ends_at_ms.is_some_and(|at| at > 70 * MINUTE_MS));
}

#[test]
fn what_no_rule_selects_leaves_no_state_and_is_counted() {
    let lines = [
        (EventTime(0), sample("up{instance=\"db-1\"}", 0, 1.0)),
        (EventTime(0), sample("disk_used_percent{instance=\"web\"}", 0, 1.0)),
        (EventTime(0), sample("disk_used_percent{", 0, 1.0)),
        (EventTime(0), sample(SERIES, FUTURE_MS + 1, 1.0)),
        (EventTime(0), sample(SERIES, 0, f64::NAN)),
    ];
    let run = script::feed(&full(), lines);
    assert!(run.states.is_empty());
    assert_eq!(told(&run), vec!["0:00 dropped"; 5]);
}

/// The samples that a rule never sees change nothing of what is told.
#[test]
fn late_doubled_stale_and_senseless_samples_are_dropped_by_their_reason() {
    let calm = script::feed(&full(), minutes(filling()));
    let mut lines = Vec::new();
    for (at, line) in minutes(filling()) {
        lines.push((at, line));
        let stale = f64::from_bits(0x7ff0_0000_0000_0002);
        let wrong = [
            (at.0, 99.0),
            (at.0 - MINUTE_MS, 99.0),
            (at.0 + 1, f64::NAN),
            (at.0 + 1, stale),
            (at.0 + 1, f64::INFINITY),
        ];
        lines.extend(wrong.map(|(at_ms, value)| (at, sample(SERIES, at_ms, value))));
    }
    let told_of =
        |run: &Run<State>| told(run).into_iter().filter(|line| !line.ends_with("dropped")).collect::<Vec<_>>();
    let wild = script::feed(&full(), lines);
    assert_eq!(told_of(&calm), told_of(&wild));
    assert_eq!(calm.states, wild.states);
    let [operator, state] = [full(), full()].map(|trend| (trend, State::default()));
    let first = operator.0.decide(&state.1, &Sample { series: SERIES.into(), at_ms: 5, value: 1.0 }, EventTime(5));
    let known = first.iter().fold(state.1, Trend::evolve);
    let late = operator.0.decide(&known, &Sample { series: SERIES.into(), at_ms: 5, value: 1.0 }, EventTime(5));
    let reasons: Vec<_> = late.iter().filter_map(Trend::rule).map(|reason| &**reason).collect();
    assert_eq!((reasons, late.iter().any(Trend::remembers)), (vec!["late"], false));
}

#[test]
fn silence_ends_what_is_open_and_a_week_of_it_forgets_the_series() {
    let mut lines = minutes(filling().into_iter().take(60));
    lines.push((EventTime(200 * MINUTE_MS), Line::Wait));
    let run = script::feed(
        &full(),
        minutes(filling().into_iter().take(60)).into_iter().chain([(EventTime(200 * MINUTE_MS), Line::Wait)]),
    );
    assert_eq!(told(&run).last().unwrap(), "119:00 detection DiskFull ended");
    let Some((_, _, Fact::Alert(ended))) = run.told.last() else { panic!() };
    let summary = ended.annotations.get("summary").unwrap();
    assert!(
        summary.starts_with("nothing told for 60 min; it was: ")
            || summary.starts_with("nothing told for 1 h; it was: "),
        "{summary}"
    );
    assert_eq!(run.states.len(), 1);
    lines.push((EventTime(8 * 24 * 60 * MINUTE_MS), Line::Wait));
    assert!(script::feed(&full(), lines).states.is_empty());
}

const GONE: &str = "
    rules:
    - { name: gone, select: disk_used_percent, service: storage, detect: { absence: { after_secs: 600 } }, for_secs: 60, recovering_secs: 60 }
";

#[test]
fn absence_is_told_at_its_deadline_repeated_and_ended_by_samples() {
    let mut lines = minutes([1.0, 1.0]);
    lines.push((EventTime(75 * MINUTE_MS), sample(SERIES, 75 * MINUTE_MS, 1.0)));
    lines.push((EventTime(76 * MINUTE_MS), sample(SERIES, 76 * MINUTE_MS, 1.0)));
    lines.push((EventTime(77 * MINUTE_MS), sample(SERIES, 77 * MINUTE_MS, 1.0)));
    let run = script::feed(&trend(GONE), lines);
    assert_eq!(
        told(&run),
        [
            "12:00 detection gone began",
            "72:00 detection gone goes_on",
            "75:00 detection gone recovering",
            "76:00 detection gone ended"
        ]
    );
    let Fact::Alert(began) = &run.told[0].2 else { panic!() };
    assert_eq!((&*began.service, began.starts_at_ms, began.value), ("storage", 12 * MINUTE_MS, None));
    let forgotten = script::feed(
        &trend(GONE),
        minutes([1.0]).into_iter().chain([(EventTime(8 * 24 * 60 * MINUTE_MS), Line::Wait)]),
    );
    assert!(forgotten.states.is_empty() && told(&forgotten).last().unwrap().ends_with("ended"));
}

/// Samples that come a day after they were measured are absent only if they come late by the clock of their records.
#[test]
fn what_comes_late_as_a_whole_is_not_absent() {
    let day = 24 * 60 * MINUTE_MS;
    let late = |minute: i64| (EventTime(day + minute * MINUTE_MS), sample(SERIES, minute * MINUTE_MS, 1.0));
    let run = script::feed(&trend(GONE), (0..60).map(late));
    assert_eq!(told(&run), Vec::<String>::new());
}

#[test]
fn a_counter_that_starts_anew_and_gaps_of_it_are_no_detection() {
    let rate = trend(
        "rules: [{ name: burst, select: requests_total, counter: true, detect: { forecast: { above: 100, horizon_secs: 60 } } }]",
    );
    let series = "requests_total{job=\"web\"}";
    // A request a second; started anew at 30; nothing told from 60 to 90.
    let total = |minute: i64| (if minute < 30 { minute } else { minute - 30 } * 60) as f64;
    let minutes = (0..120).filter(|minute| !(60..90).contains(minute));
    let lines =
        minutes.map(|minute| (EventTime(minute * MINUTE_MS), sample(series, minute * MINUTE_MS, total(minute))));
    let run = script::feed(&rate, lines);
    assert_eq!(told(&run), Vec::<String>::new());
    assert_eq!(run.states.len(), 1);
}

/// What is decided after a change of the rules, from a state that older ones left.
fn goes_on(before: &Trend, after: &Trend) -> (Vec<String>, usize) {
    let fed = script::feed(before, minutes(filling().into_iter().take(60)));
    let state = fed.states.into_values().next().unwrap();
    let at = EventTime(60 * MINUTE_MS);
    let events = after.decide(&state, &Sample { series: SERIES.into(), at_ms: at.0, value: 80.0 }, at);
    let state = events.iter().fold(state, Trend::evolve);
    let watched = state.known().map_or(0, |known| known.watched.len());
    let alert = |event| match Trend::publish(event) {
        Some((_, Fact::Alert(alert))) => Some(format!("{} {}", alert.name, alert.annotations.get("summary").unwrap())),
        _ => None,
    };
    (events.into_iter().filter_map(alert).collect(), watched)
}

#[test]
fn other_rules_end_what_they_no_longer_mean_and_keep_what_they_still_do() {
    let same = "name: disk-full, alert: DiskFull, detect: { forecast: { above: 90, horizon_secs: 3600 } }";
    let more = trend(&format!(
        "rules: [{{ name: other, select: disk_used_percent, detect: {{ shift: {{}} }} }}, {{ {same}, select: disk_used_percent }}]"
    ));
    assert_eq!(goes_on(&full(), &more), (vec![], 2));
    let none = trend("rules: [{ name: other, select: up, detect: { shift: {} } }]");
    let (told, watched) = goes_on(&full(), &none);
    assert!(
        told.len() == 1 && told[0].starts_with("DiskFull its rule is for this series no more; it was: "),
        "{told:?}"
    );
    assert_eq!(watched, 0);
    // The same name and selector, another detector: its memory does not fit.
    let shift =
        trend("rules: [{ name: disk-full, select: 'disk_used_percent{instance=~\"db.*\"}', detect: { shift: {} } }]");
    let (told, watched) = goes_on(&full(), &shift);
    assert!(told.len() == 1 && told[0].starts_with("DiskFull its rule was changed; it was: "), "{told:?}");
    assert_eq!(watched, 1);
}

#[test]
fn wrong_rules_are_told_each_with_its_place() {
    let wrong: Trend = serde_saphyr::from_str(
        "
        silent_secs: 0
        forget_after_secs: 1
        rules:
        - { name: a, detect: { shift: {} } }
        - { name: b, select: 'up{service=\"\",job=\"\"}', detect: { absence: { after_secs: 0 } } }
        - { name: a, select: up, alert: '', detect: { shift: {} } }
        ",
    )
    .unwrap();
    let problems = wrong.problems();
    for (told, part) in problems.iter().zip([
        "rules[0]: rule `a`: says of no series",
        "rules[1]: rule `b`: absence: after_secs",
        "rules[1]: rule `b`: selects series without `service`",
        "rules[2]: rule `a`: alert is empty",
        "rules[2]: rule `a`: the name is taken",
        "silent_secs: must be at least 1",
    ]) {
        assert!(told.starts_with(part), "{told} is not {part}");
    }
    assert_eq!(problems.len(), 6, "{problems:?}");
}

#[test]
fn the_schema_says_the_same_defaults() {
    script::defaults_agree::<Trend>();
}
