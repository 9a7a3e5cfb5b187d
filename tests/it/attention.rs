//! Causes and symptoms over the whole shipped topology: of what is open somebody is always told, whatever happens in which order, and
//! what services say of each other comes to rest.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use fairlead::event::{
    Alert, AlertStatus, Cause, Fact, FactKind, Incident, IncidentState, Level, Mention, MuteKind, Response,
    ResponseVerb,
};
use fairlead::record::{EventTime, Topic};
use fairlead::topology::catalog::catalog;
use fairlead::topology::compile::compile;
use fairlead::topology::driver::TopologyDriver;
use fairlead::topology::plan::Topology;
use fairlead::topology::problem::Problem;
use fairlead::topology::spec::SourceFile;
use proptest::prelude::*;

/// The front depends on the middle, and both on the back.
const SERVICES: [&str; 3] = ["back", "middle", "front"];
const CATALOGUE: &str = "
services:
  back: {}
  middle: { depends_on: [back] }
  front: { depends_on: [middle, back] }
";
const MINUTE_MS: i64 = 60_000;

fn files(catalogue: &str, oncall: impl Fn(&str) -> String) -> Vec<SourceFile> {
    let files = [
        ("app.yaml", include_str!("../../topology/app.yaml").to_owned()),
        ("topics.yaml", include_str!("../../topology/topics.yaml").to_owned()),
        ("oncall.yaml", oncall(include_str!("../../topology/oncall.yaml")) + catalogue),
    ];
    files.map(|(name, text)| SourceFile { name: name.to_owned(), text }).into()
}

static TOPOLOGY: LazyLock<Topology> = LazyLock::new(|| {
    // A planned window of the back.
    let window =
        "maintenance:\n        - { name: w, services: [back], from: 1970-01-01T01:00Z, to: 1970-01-01T01:20Z }";
    let compiled = compile(&files(CATALOGUE, |text| text.replace("maintenance: []", window)), &catalog());
    compiled.topology.unwrap_or_else(|| panic!("{:#?}", compiled.problems))
});

#[derive(Clone, Debug)]
enum Happening {
    Alert { service: usize, alert: usize, severity: usize, firing: bool },
    Answer { service: usize, verb: usize, minutes: i64 },
}

fn any_happening() -> impl Strategy<Value = Happening> {
    let alert = (0..3usize, 0..2usize, 0..3usize, prop::bool::weighted(0.6))
        .prop_map(|(service, alert, severity, firing)| Happening::Alert { service, alert, severity, firing });
    let answer = (0..3usize, 0..6usize, 1..60i64).prop_map(|(service, verb, minutes)| Happening::Answer {
        service,
        verb,
        minutes,
    });
    prop_oneof![3 => alert, 2 => answer]
}

fn minute(minutes: i64) -> EventTime {
    EventTime(minutes * MINUTE_MS)
}

fn alert(service: usize, alert: usize, severity: usize, firing: bool, at: EventTime) -> Fact<'static> {
    let severity = ["critical", "high", "warning"][severity];
    Fact::Alert(Alert {
        source: "test".into(),
        fingerprint: format!("{service}-{alert}").into(),
        starts_at_ms: at.0,
        ends_at_ms: (!firing).then_some(at.0),
        status: if firing { AlertStatus::Firing } else { AlertStatus::Resolved },
        service: SERVICES[service].into(),
        name: "Errors".into(),
        environment: None,
        namespace: None,
        labels: [("severity".into(), severity.into())].into_iter().collect(),
        annotations: Default::default(),
        value: None,
        generator_url: None,
        level: None,
        mention: Mention::Nobody,
        level_reason: None,
        // Its start is the first telling's.
        episode: Some("e".into()),
        muted_until_ms: None,
        muted_by: None,
    })
}

fn answer(
    id: usize,
    service: usize,
    verb: usize,
    until: EventTime,
    incident: Option<String>,
    at: EventTime,
) -> Fact<'static> {
    use ResponseVerb::{Acknowledge, Silence, Snooze, Unacknowledge, Unsilence, Unsnooze};
    let verb = [Acknowledge, Unacknowledge, Snooze, Unsnooze, Silence, Unsilence][verb];
    Fact::Response(Response {
        id: format!("r{id}"),
        service: SERVICES[service].to_owned(),
        incident_id: incident,
        version: 0,
        verb,
        by: "U0PAULA".to_owned(),
        by_name: None,
        at_ms: at.0,
        until_ms: Some(until.0),
        assignee: None,
        action: None,
        silence_id: Some("s".to_owned()),
        fingerprints: vec![format!("{service}-0")],
        comment: None,
    })
}

/// The last snapshot of each incident.
fn incidents(driver: &TopologyDriver) -> BTreeMap<String, Incident> {
    let facts = driver.facts(&Topic::from("oncall.incidents.v1"), FactKind::Incident).unwrap();
    let mut last: BTreeMap<String, Incident> = BTreeMap::new();
    for (_, fact) in facts {
        let Fact::Incident(incident) = fact else { panic!("{fact:?}") };
        let version = incident.version;
        let before = last.insert(incident.id.clone(), incident);
        assert!(before.is_none_or(|before| before.version < version), "versions grow");
    }
    last
}

fn causes(driver: &TopologyDriver) -> Vec<Cause> {
    let facts = driver.facts(&Topic::from("oncall.causes.v1"), FactKind::Cause).unwrap();
    let cause = |fact| if let Fact::Cause(cause) = fact { cause } else { panic!("{fact:?}") };
    facts.into_iter().map(|(_, fact)| cause(fact)).collect()
}

fn muted(incident: &Incident) -> Option<MuteKind> {
    incident.attention.as_ref().expect("filled").muted.as_ref().map(|muted| muted.kind)
}

/// Whether people hear of it, or of what it is a symptom of, or knew of that before.
fn somebody_hears(incident: &Incident, all: &BTreeMap<String, Incident>) -> bool {
    match muted(incident) {
        None | Some(MuteKind::Maintenance) => true,
        Some(MuteKind::Snoozed | MuteKind::Silenced) => false,
        Some(MuteKind::Symptom) => {
            let reason = &incident.attention.as_ref().unwrap().muted.as_ref().unwrap().reason;
            let cause = all.values().find(|one| reason.ends_with(&one.id)).expect("its cause is known");
            cause.state == IncidentState::Open && cause.level >= incident.level && somebody_hears(cause, all)
        }
    }
}

/// Lets it all happen, a minute apart, and then time pass.
fn happen(happenings: &[Happening], batch: usize) -> TopologyDriver {
    let mut driver = TopologyDriver::new(&TOPOLOGY, batch).unwrap();
    let (alerts, responses) = (Topic::from("oncall.alerts.v1"), Topic::from("oncall.responses.v1"));
    for (id, happening) in happenings.iter().enumerate() {
        let at = minute(50 + id as i64);
        match *happening {
            Happening::Alert { service, alert: number, severity, firing } => {
                driver.send(&alerts, &alert(service, number, severity, firing, at), at).unwrap();
            }
            Happening::Answer { service, verb, minutes } => {
                let all = incidents(&driver);
                let of = all.values().rev().find(|one| one.service == SERVICES[service]).map(|one| one.id.clone());
                let fact = answer(id, service, verb, at.plus_ms(minutes * MINUTE_MS), of, at);
                driver.send(&responses, &fact, at).unwrap();
            }
        }
        driver.run(at).unwrap();
    }
    driver
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_order_of_things_leaves_a_cause_and_its_symptom_untold(
        happenings in prop::collection::vec(any_happening(), 1..40),
        batch in 1..4usize,
    ) {
        let mut driver = happen(&happenings, batch);
        let end = 50 + happenings.len() as i64;
        for later in 0..20 {
            driver.run(minute(end + later * 7)).unwrap();
            let all = incidents(&driver);
            for one in all.values().filter(|one| one.state == IncidentState::Open) {
                prop_assert!(muted(one) != Some(MuteKind::Symptom) || somebody_hears(one, &all), "{:?} of {:#?}", one.id, all);
            }
        }
        // What nobody tells of any more has ended, by its source's silence at the latest, and so have all causes.
        driver.run(minute(end + 2_000)).unwrap();
        prop_assert!(incidents(&driver).values().all(|one| one.state == IncidentState::Resolved));
        let mut open: BTreeMap<(String, String), bool> = BTreeMap::new();
        for cause in causes(&driver) {
            let before = open.insert((cause.service, cause.incident_id), cause.open);
            prop_assert!(cause.open || before == Some(true), "closed only what was open");
        }
        prop_assert!(open.values().all(|open| !open));
        prop_assert_eq!(driver.replay().unwrap(), driver.written());
    }
}

#[test]
fn a_symptom_waits_for_the_end_of_its_cause_and_is_told_if_it_is_still_there() {
    let fires = |service, severity| Happening::Alert { service, alert: 0, severity, firing: true };
    let ends = |service| Happening::Alert { service, alert: 0, severity: 0, firing: false };
    let mut driver = happen(&[fires(0, 0), fires(1, 1), fires(2, 2), ends(0)], 2);
    driver.run(minute(80)).unwrap();
    let all = incidents(&driver);
    let of = |service: &str| all.values().find(|one| one.service == service).unwrap();
    assert_eq!(of("back").state, IncidentState::Resolved);
    assert_eq!((muted(of("middle")), of("middle").level), (None, Level::High));
    assert_eq!(muted(of("front")), Some(MuteKind::Symptom), "of the middle, now");
    let story: Vec<_> = driver
        .facts(&Topic::from("oncall.incidents.v1"), FactKind::Incident)
        .unwrap()
        .into_iter()
        .filter_map(|(at, fact)| match fact {
            Fact::Incident(one) if one.service == "middle" => {
                Some((at.0 / MINUTE_MS, one.change, one.mention, muted(&one)))
            }
            _ => None,
        })
        .collect();
    use fairlead::event::IncidentChange::{Opened, Unattended, Unmuted};
    assert_eq!(
        story,
        [
            (51, Opened, Mention::Nobody, Some(MuteKind::Symptom)),
            (58, Unmuted, Mention::Owner, None),
            (63, Unattended, Mention::Owner, None),
            (73, Unattended, Mention::Sre, None),
        ]
    );
    // That of the back opened to two and closed, that of the middle opened to one.
    assert_eq!(causes(&driver).len(), 5);
}

#[test]
fn what_services_say_of_each_other_comes_to_rest_and_only_because_of_that_is_no_warning() {
    let problems = |catalog: &[_]| -> Vec<String> {
        compile(&files(CATALOGUE, str::to_owned), catalog).problems.iter().map(Problem::to_string).collect()
    };
    assert_eq!(problems(&catalog()), [""; 0]);
    let mut restless = catalog();
    restless.iter_mut().for_each(|kind| kind.come_to_rest = &[]);
    let found = problems(&restless);
    assert!(
        matches!(&found[..], [one] if one.contains("`attention`, `dependents` feed each other through topics")),
        "{found:#?}"
    );
}

#[test]
fn a_catalogue_that_leads_back_to_itself_is_refused() {
    let cycle = CATALOGUE.replace("back: {}", "back: { depends_on: [front] }");
    let compiled = compile(&files(&cycle, str::to_owned), &catalog());
    assert!(compiled.topology.is_none());
    let found: Vec<_> = compiled.problems.iter().map(Problem::to_string).collect();
    assert!(
        found.iter().any(|one| one.contains("back → front → middle → back") || one.contains("cannot depend on itself")),
        "{found:#?}"
    );
}
