use proptest::prelude::*;

use super::*;
use crate::record::EventTime;

fn window(now: &str) -> Window {
    Window::around(EventTime(now.parse::<Timestamp>().unwrap().as_millisecond()))
}

fn calendar(events: &str) -> String {
    format!("BEGIN:VCALENDAR\r\nVERSION:2.0\r\n{}END:VCALENDAR\r\n", events.replace('\n', "\r\n"))
}

/// Turns by start, in UTC, and the problems.
fn shown(text: &str, now: &str) -> (Vec<String>, Vec<String>) {
    let read = read(text, &zone_named("Europe/Berlin").unwrap(), window(now)).unwrap();
    let mut turns = read.turns;
    turns.sort_by_key(|turn| turn.starts_at_ms);
    let time = |ms| Timestamp::from_millisecond(ms).unwrap().strftime("%m-%dT%H:%M").to_string();
    let who = |turn: &Turn| if turn.who.is_empty() { turn.text.clone() } else { turn.who.join("+") };
    let shown = turns.iter().map(|t| format!("{}/{} {}", time(t.starts_at_ms), time(t.ends_at_ms), who(t)));
    (shown.collect(), read.problems)
}

/// Folded summary, a bare address, one event a shift: as PagerDuty's schedule feeds are.
#[test]
fn a_feed_of_pagerduty() {
    let text = calendar(
        "PRODID:-//PagerDuty//On-Call Schedule//EN\nX-WR-CALNAME:On Call Schedule\nBEGIN:VEVENT\nUID:week-1\nDTSTAMP:20261101T000000Z\n\
         SUMMARY:On Call - Jane Doe - On-Call\n  Team\nATTENDEE:jane@example.com\nDTSTART:20261119T150000Z\nDTEND:20261126T150000Z\nEND:VEVENT\n\
         BEGIN:VEVENT\nUID:week-2\nSUMMARY:On Call - Ann Other\nATTENDEE:ann@example.com\nDTSTART:20261126T150000Z\nDTEND:20261203T150000Z\nEND:VEVENT\n",
    );
    let (turns, problems) = shown(&text, "2026-11-26T12:00Z");
    assert_eq!(turns, ["11-19T15:00/11-26T15:00 jane@example.com", "11-26T15:00/12-03T15:00 ann@example.com"]);
    assert_eq!(problems, Vec::<String>::new());
    let texts = read(&text, &TimeZone::UTC, window("2026-11-26T12:00Z")).unwrap().turns;
    assert_eq!(texts[0].text, "On Call - Jane Doe - On-Call Team");
}

/// A weekly event over the end of summer time, one week left out, one moved, one cancelled: as Google Calendar exports a series.
#[test]
fn a_series_of_google_calendar() {
    let text = calendar(
        "BEGIN:VTIMEZONE\nTZID:Europe/Berlin\nBEGIN:STANDARD\nDTSTART:19701025T030000\nRRULE:FREQ=YEARLY;BYMONTH=10;BYDAY=-1SU\nEND:STANDARD\nEND:VTIMEZONE\n\
         BEGIN:VEVENT\nUID:a@google.com\nDTSTART;TZID=Europe/Berlin:20260105T090000\nDTEND;TZID=Europe/Berlin:20260112T090000\n\
         RRULE:FREQ=WEEKLY;INTERVAL=2;UNTIL=20261130T225959Z\nEXDATE;TZID=Europe/Berlin:20261026T090000\nSUMMARY:Maria\n\
         ATTENDEE;CUTYPE=INDIVIDUAL;PARTSTAT=ACCEPTED;CN=\"Maria; M\":mailto:maria@example.com\nATTENDEE;CUTYPE=ROOM:mailto:room@example.com\n\
         BEGIN:VALARM\nTRIGGER:-PT10M\nSUMMARY:not this\nEND:VALARM\nEND:VEVENT\n\
         BEGIN:VEVENT\nUID:a@google.com\nRECURRENCE-ID;TZID=Europe/Berlin:20261109T090000\nDTSTART;TZID=Europe/Berlin:20261110T090000\n\
         DTEND;TZID=Europe/Berlin:20261116T090000\nSUMMARY:Peter\nEND:VEVENT\n\
         BEGIN:VEVENT\nUID:a@google.com\nRECURRENCE-ID:20261123T080000Z\nDTSTART:20261123T080000Z\nSTATUS:CANCELLED\nEND:VEVENT\n\
         BEGIN:VEVENT\nUID:b@google.com\nDTSTART;TZID=Europe/Berlin:20261109T090000\nDTEND;TZID=Europe/Berlin:20261110T090000\nSUMMARY:Zoe\nEND:VEVENT\n",
    );
    let (turns, problems) = shown(&text, "2026-10-12T12:00Z");
    let expected =
        ["10-12T07:00/10-19T07:00 maria@example.com", "11-09T08:00/11-10T08:00 Zoe", "11-10T08:00/11-16T08:00 Peter"];
    assert_eq!((turns, problems), (expected.map(str::to_owned).to_vec(), Vec::new()));
    // The week after the clocks were changed begins at nine, too.
    let (turns, _) = shown(&text.replace("EXDATE", "X-EXDATE"), "2026-10-12T12:00Z");
    assert_eq!(turns[1], "10-26T08:00/11-02T08:00 maria@example.com");
}

/// Several names in one summary, hours of the day, days of the week: as Grafana OnCall exports a rotation.
#[test]
fn daily_and_hourly_rules_with_days_of_the_week() {
    let text = calendar(
        "BEGIN:VEVENT\nUID:1\nDTSTART:20261123T080000Z\nDURATION:PT9H\nRRULE:FREQ=WEEKLY;WKST=SU;BYDAY=MO,WE,FR;COUNT=4\nSUMMARY:maria,peter\nEND:VEVENT\n\
         BEGIN:VEVENT\nUID:2\nDTSTART;VALUE=DATE:20261128\nRRULE:FREQ=DAILY;UNTIL=20261129\nSUMMARY:zoe\nEND:VEVENT\n",
    );
    let (turns, problems) = shown(&text, "2026-11-23T12:00Z");
    assert_eq!(
        turns,
        [
            "11-23T08:00/11-23T17:00 maria,peter",
            "11-25T08:00/11-25T17:00 maria,peter",
            "11-27T08:00/11-27T17:00 maria,peter",
            "11-27T23:00/11-28T23:00 zoe",
            "11-28T23:00/11-29T23:00 zoe",
            "11-30T08:00/11-30T17:00 maria,peter",
        ]
    );
    assert_eq!(problems, Vec::<String>::new());
}

#[test]
fn a_local_time_that_is_not_there_is_taken_later_and_one_that_is_there_twice_the_first_time() {
    let shift = |start: &str, end: &str| {
        calendar(&format!(
            "BEGIN:VEVENT\nUID:1\nDTSTART:{start}\nDTEND:{end}\nRRULE:FREQ=DAILY;COUNT=2\nSUMMARY:m\nEND:VEVENT\n"
        ))
    };
    let (spring, _) = shown(&shift("20270327T023000", "20270328T023000"), "2027-03-27T00:00Z");
    assert_eq!(spring, ["03-27T01:30/03-28T01:30 m", "03-28T01:30/03-29T00:30 m"]);
    let (autumn, _) = shown(&shift("20261024T023000", "20261025T023000"), "2026-10-24T12:00Z");
    assert_eq!(autumn, ["10-24T00:30/10-25T00:30 m", "10-25T00:30/10-26T01:30 m"]);
}

#[test]
fn extra_dates_and_zones_with_a_prefix_or_none() {
    let text = calendar(
        "BEGIN:VEVENT\nUID:1\nDTSTART;TZID=/mozilla.org/20050126_1/America/New_York:20261124T090000\nDTEND;TZID=/mozilla.org/20050126_1/America/New_York:20261124T170000\n\
         RDATE;TZID=America/New_York:20261126T090000,20261127T090000\nSUMMARY:ny\nEND:VEVENT\n\
         BEGIN:VEVENT\nUID:2\nDTSTART;TZID=W. Europe Standard Time:20261125T090000\nDTEND;TZID=W. Europe Standard Time:20261125T170000\nSUMMARY:outlook\nEND:VEVENT\n",
    );
    let (turns, problems) = shown(&text, "2026-11-24T12:00Z");
    assert_eq!(
        turns,
        [
            "11-24T14:00/11-24T22:00 ny",
            "11-25T08:00/11-25T16:00 outlook",
            "11-26T14:00/11-26T22:00 ny",
            "11-27T14:00/11-27T22:00 ny"
        ]
    );
    assert_eq!(problems.len(), 2, "{problems:?}");
    assert!(problems[0].contains("`W. Europe Standard Time` is no zone"), "{problems:?}");
}

#[test]
fn what_cannot_be_read_is_told_and_the_rest_is_read() {
    let event = |lines: &str| format!("BEGIN:VEVENT\nSUMMARY:bad\n{lines}\nEND:VEVENT\n");
    let bad = [
        "DTSTART:soon\nDTEND:20261125T000000Z",
        "DTEND:20261125T000000Z",
        "DTSTART:20261125T000000Z\nDTEND:20261124T000000Z",
        "DTSTART:20261125T000000Z",
        "DTSTART:20261125T000000Z\nDTEND:20261126T000000Z\nRRULE:FREQ=SECONDLY",
        "DTSTART:20261125T000000Z\nDTEND:20261126T000000Z\nRRULE:FREQ=SOMETIMES",
        "DTSTART:20261125T000000Z\nDTEND:20261126T000000Z\nRRULE:FREQ=DAILY;UNTIL=never",
    ];
    for lines in bad {
        let good = "BEGIN:VEVENT\nSUMMARY:m\nDTSTART:20261125T000000Z\nDTEND:20261126T000000Z\nEND:VEVENT\n";
        let (turns, problems) = shown(&calendar(&(event(lines) + good)), "2026-11-25T00:00Z");
        assert_eq!(turns, ["11-25T00:00/11-26T00:00 m"], "{lines}");
        assert!(problems.iter().any(|told| told.starts_with("event `bad`: left out: ")), "{lines}: {problems:?}");
    }
}

#[test]
fn what_is_no_whole_calendar_is_refused() {
    let read = |text: &str| read(text, &TimeZone::UTC, window("2026-11-25T00:00Z"));
    let whole = calendar("BEGIN:VEVENT\nDTSTART:20261125T000000Z\nDTEND:20261126T000000Z\nEND:VEVENT\n");
    assert!(read(&whole).is_ok());
    for text in [
        "",
        "<html>please log in</html>",
        "BEGIN:VEVENT\nEND:VEVENT\n",
        &whole[..whole.len() - 20],
        &whole[..whole.len() / 2],
    ] {
        let told = read(text).unwrap_err();
        assert!(told.contains("no whole calendar") || told.contains("damaged"), "{text}: {told}");
    }
    assert!(read("BEGIN:VCALENDAR\nEND:VEVENT\n").unwrap_err().contains("damaged"));
    let many = "BEGIN:VEVENT\nDTSTART:20261125T000000Z\nDTEND:20261126T000000Z\nRRULE:FREQ=DAILY\nEND:VEVENT\n"
        .repeat(RULES_MAX + 1);
    assert!(read(&calendar(&many)).unwrap_err().contains("recurring"));
}

#[test]
fn rules_that_recur_for_ever_or_never_are_cut() {
    let rule = |rule: &str| {
        format!("BEGIN:VEVENT\nSUMMARY:m\nDTSTART:20100101T000000Z\nDTEND:20100101T010000Z\nRRULE:{rule}\nEND:VEVENT\n")
    };
    let (turns, problems) = shown(&calendar(&rule("FREQ=DAILY")), "2026-11-25T00:00Z");
    assert_eq!((turns.len(), problems.len()), (36, 0));
    let (turns, problems) = shown(&calendar(&rule("FREQ=HOURLY")), "2026-11-25T00:00Z");
    assert_eq!((turns.len(), problems.len()), (0, 1));
    assert!(problems[0].contains("steps"), "{problems:?}");
    for never in [
        "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30",
        "FREQ=DAILY;BYMONTH=2;BYMONTHDAY=31",
        "FREQ=HOURLY;BYHOUR=1;BYMONTHDAY=31;BYMONTH=4",
    ] {
        assert_eq!(shown(&calendar(&rule(never)), "2026-11-25T00:00Z").0, Vec::<String>::new());
    }
}

fn any_rule() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        "(FREQ=(DAILY|WEEKLY|MONTHLY|YEARLY|HOURLY))",
        "(INTERVAL=[0-9]{1,3})",
        "(COUNT=[0-9]{1,5})",
        "(BYDAY=(-?[1-5])?(MO|TU|SU)(,FR)?)",
        "(BYMONTHDAY=-?[0-9]{1,2})",
        "(BYMONTH=[0-9]{1,2})",
        "(BYSETPOS=-?[0-9])",
        "(WKST=(SU|MO))",
        "(UNTIL=20[0-9]{6}(T[0-2][0-9]0000Z?)?)",
        "[A-Z=;,0-9]{0,10}",
    ];
    prop::collection::vec(part, 1..5).prop_map(|parts| parts.join(";"))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn no_text_is_too_strange(
        lines in prop::collection::vec(prop_oneof![
            Just("BEGIN:VCALENDAR".to_owned()), Just("END:VCALENDAR".to_owned()),
            Just("BEGIN:VEVENT".to_owned()), Just("END:VEVENT".to_owned()), "\\PC{0,40}",
            any_rule().prop_map(|rule| format!("RRULE:{rule}")),
            "(DTSTART|DTEND|EXDATE|RDATE|RECURRENCE-ID)(;TZID=(Europe/Berlin|\"x\"))?:[0-9]{4}(0[1-9]|1[0-2])[0-3][0-9](T[0-2][0-9][0-5]000Z?)?",
            "DURATION:-?P[0-9]{0,9}[WDTHMS]?",
        ], 0..30),
    ) {
        let text = lines.join("\n");
        _ = read(&text, &TimeZone::UTC, window("2026-11-25T00:00Z"));
        _ = read(&calendar(&format!("BEGIN:VEVENT\n{text}\nEND:VEVENT\n")), &TimeZone::UTC, window("2026-11-25T00:00Z"));
    }

    /// Any rule, in any zone: turns touch the window, have a length, and begin at the first one's time on the wall.
    #[test]
    fn turns_of_a_rule_are_where_they_should_be(rule in any_rule(), zone in prop::sample::select(vec!["Europe/Berlin", "America/Sao_Paulo"]), hour in 4..22i8, days in 1..9i64) {
        let start: DateTime = format!("2026-09-21T{hour:02}:00").parse().unwrap();
        let end = start.checked_add(Span::new().days(days)).unwrap();
        let time = |local: DateTime| local.strftime("%Y%m%dT%H%M%S").to_string();
        let text = calendar(&format!("BEGIN:VEVENT\nUID:1\nDTSTART;TZID={zone}:{}\nDTEND;TZID={zone}:{}\nRRULE:FREQ=WEEKLY;{rule}\nEND:VEVENT\n", time(start), time(end)));
        let (tz, window) = (zone_named(zone).unwrap(), window("2026-11-01T00:00Z"));
        prop_assume!(!rule.contains("HOURLY"));
        let Ok(calendar) = read(&text, &TimeZone::UTC, window) else { return Ok(()) };
        for turn in calendar.turns {
            prop_assert!(turn.ends_at_ms > window.from_ms && turn.starts_at_ms < window.until_ms);
            let local = |ms| tz.to_datetime(Timestamp::from_millisecond(ms).unwrap());
            let (from, to) = (local(turn.starts_at_ms), local(turn.ends_at_ms));
            prop_assert_eq!((from.hour(), to.hour(), from.date().until(to.date()).unwrap().get_days()), (hour, hour, i32::try_from(days).unwrap()));
        }
    }
}
