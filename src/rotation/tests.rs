use super::*;

fn rota(yaml: &str) -> Rota {
    serde_saphyr::from_str(yaml).unwrap()
}

fn at(text: &str) -> EventTime {
    EventTime(text.parse::<jiff::Timestamp>().unwrap().as_millisecond())
}

fn feed(events: &[(&str, &str, &str, &str)]) -> String {
    let event = |(start, end, summary, attendees): &(&str, &str, &str, &str)| {
        let attendees: String = attendees.split_whitespace().map(|who| format!("ATTENDEE:mailto:{who}\n")).collect();
        format!("BEGIN:VEVENT\nDTSTART:{start}\nDTEND:{end}\nSUMMARY:{summary}\n{attendees}END:VEVENT\n")
    };
    format!("BEGIN:VCALENDAR\n{}END:VCALENDAR\n", events.iter().map(event).collect::<String>())
}

#[test]
fn people_are_found_by_address_by_name_in_the_text_and_by_id() {
    let rota = rota("url: x\npeople: { maria@example.com: U0MARIA, Peter: U0PETER, pete: U0PETE }");
    let day = ("20261125T000000Z", "20261126T000000Z");
    let who = |summary: &str, attendees: &str| {
        let text = feed(&[(day.0, day.1, summary, attendees)]);
        let reading = rota.read("primary", Some(&text), at("2026-11-25T00:00Z")).unwrap();
        let shifts: Vec<_> = reading.rotation.shifts.into_iter().map(|s| format!("{}={}", s.name, s.person)).collect();
        (shifts.join(" "), reading.problems.len())
    };
    let told = |shifts: &str, problems| (shifts.to_owned(), problems);
    assert_eq!(who("On Call", "Maria@Example.com"), told("maria@example.com=U0MARIA", 0));
    assert_eq!(who("On Call - PETER - Team", "boss@example.com"), told("Peter=U0PETER", 0));
    assert_eq!(who("[L1] peter,pete", ""), told("pete=U0PETE Peter=U0PETER", 0));
    assert_eq!(who("x", "U0ZOE"), told("U0ZOE=U0ZOE", 0));
    assert_eq!(who("x", "maria@example.com zoe@example.com"), told("zoe@example.com= maria@example.com=U0MARIA", 1));
    assert_eq!(who("Petersburg", ""), told("Petersburg=", 1));
    assert_eq!(who("", ""), told("somebody without a name=", 1));
}

#[test]
fn a_feed_is_known_until_its_last_shift_and_a_plan_as_far_as_one_looks() {
    let now = at("2026-11-25T12:00Z");
    let url = rota("url: x\npeople: { maria: U0MARIA }");
    let text = feed(&[("20261125T000000Z", "20261126T000000Z", "maria", "")]);
    assert_eq!(url.read("a", Some(&text), now).unwrap().rotation.known_until_ms, at("2026-11-26T00:00Z").0);
    assert_eq!(url.read("a", Some(&feed(&[])), now).unwrap().rotation.known_until_ms, now.0);
    let plan =
        rota("plan: { people: [maria], start: 2026-11-02 09:00 }\npeople: { maria: U0MARIA }\nzone: Europe/Berlin");
    let reading = plan.read("a", None, now).unwrap();
    assert_eq!(reading.rotation.known_until_ms, Window::around(now).until_ms);
    assert_eq!(reading.rotation.shifts.len(), 6);
    assert!(url.read("a", None, now).is_err());
}

#[test]
fn shifts_are_sorted_and_bounded() {
    let many: Vec<_> = (0..SHIFTS_MAX + 100).map(|n| format!("{n:03}")).collect();
    let many: Vec<_> =
        many.iter().rev().map(|name| ("20261125T000000Z", "20261126T000000Z", name.as_str(), "")).collect();
    let reading = rota("url: x").read("a", Some(&feed(&many)), at("2026-11-25T00:00Z")).unwrap();
    assert_eq!(reading.rotation.shifts.len(), SHIFTS_MAX);
    assert!(reading.rotation.shifts.is_sorted());
    assert_eq!(reading.rotation.known_until_ms, at("2026-11-25T00:00Z").0);
}

#[test]
fn what_is_wrong_with_a_section_is_told_with_its_place_and_mend() {
    let yaml = "
a: { plan: { people: [maria, petra], start: 2026-11-30 09:00, days: 0 }, people: { maria: maria }, zone: Berlin, every_secs: 1 }
b: { file: x, url: y, group: '#sre', channel: Oncall }
c: { url: x, group: S0SRE }
d: { url: x, group: S0SRE, channel: '#oncall' }
";
    let rotations: Rotations = serde_saphyr::from_str(yaml).unwrap();
    let told = problems(&rotations);
    let places: Vec<_> = told.iter().map(|problem| problem.split(": ").next().unwrap()).collect();
    assert_eq!(
        places,
        [
            "rotations.a.zone",
            "rotations.a.every_secs",
            "rotations.a.people.maria",
            "rotations.a.plan.days",
            "rotations.a.people",
            "rotations.b",
            "rotations.b.group",
            "rotations.b.channel",
            "rotations.d.group",
        ]
    );
    assert!(told[4].contains("`petra` of the plan has no Slack id"), "{told:?}");
}
