//! Both sides of ranges on real Kafkas, read again: gaps of transactions, spoilt copies, records that are gone.

use fairlead::clock::Clock;
use fairlead::codec::Formats;
use fairlead::event::{Audit, AuditVerdict};
use fairlead::mirror::audit::{Auditor, Continuous, Counters, LastAudits, Wanted, Work};
use fairlead::mirror::provision::FlowConfig;

use super::clusters::{Clusters, block_on, schemas};
use crate::harness::until;

fn audit(auditor: &mut Auditor) -> Vec<Audit> {
    block_on(auditor.round(&Wanted::default())).unwrap()
}

#[test]
fn an_audit_tells_equal_from_spoilt_and_gone() {
    let clusters = Clusters::new("audit");
    let flow = clusters.flow("");
    for noun in ["fine", "spoilt"] {
        clusters.create(noun, 1, &[]);
        let topic = clusters.topic(noun);
        clusters.write(&clusters.source, &topic, 1, &["a", "b"], true);
        clusters.write(&clusters.source, &topic, 1, &["never"], false);
        clusters.write(&clusters.source, &topic, 1, &["c"], true);
    }
    block_on(clusters.provision("").refresh()).unwrap();
    let end = clusters.copy(&flow, "fine", 0, 0, <[u8]>::to_vec);
    clusters.copy(&flow, "spoilt", 0, 0, |value| if value == b"c" { b"C".to_vec() } else { value.to_vec() });
    let mut auditor = Auditor::new(flow.clone(), schemas(), Clock::wall()).unwrap();
    let audits = audit(&mut auditor);
    assert_eq!(audits.len(), 2, "{audits:?}");
    let fine = &audits[0];
    assert_eq!(
        (fine.verdict, fine.records, fine.source_records, fine.target_records),
        (AuditVerdict::Equal, 3, Some(3), Some(3))
    );
    assert_eq!((fine.source_start, fine.source_end, fine.ranges), (0, end, 1));
    assert_eq!(audits[1].verdict, AuditVerdict::Different);
    assert!(audits[1].difference.as_deref().unwrap().contains("hold different records"), "{audits:?}");

    assert_eq!(audit(&mut auditor), [], "nothing new was copied");
    clusters.write(&clusters.source, &clusters.topic("fine"), 1, &["d"], true);
    let second = clusters.copy(&flow, "fine", 0, end, <[u8]>::to_vec);
    let news = audit(&mut auditor);
    assert_eq!(
        news.iter().map(|audit| (audit.source_start, audit.source_end, audit.verdict)).collect::<Vec<_>>(),
        [(end, second, AuditVerdict::Equal)]
    );

    let gone = [((clusters.topic("fine"), 0), 1)].into();
    block_on(clusters.at_source().delete_records(&gone)).unwrap();
    let wanted = Wanted { topic: Some(clusters.topic("fine")), ..Wanted::default() };
    let mut anew = Auditor::new(flow, schemas(), Clock::wall()).unwrap();
    let audits = block_on(anew.round(&wanted)).unwrap();
    assert_eq!((audits.len(), audits[0].verdict, audits[0].ranges), (1, AuditVerdict::Unknown, 2));
    assert!(audits[0].difference.as_deref().unwrap().starts_with("source offset 0 is gone"), "{audits:?}");
}

/// Audits until it is dropped.
fn continuous(clusters: &Clusters, flow: &FlowConfig, counters: &Counters) -> Continuous {
    let group = format!("{}.mirror-audit", clusters.name);
    let work = Work {
        flow: flow.clone(),
        topic: flow.mirror.audits.clone().unwrap(),
        formats: Formats::shipped(),
        schemas: schemas(),
        transactional_id: format!("{group}.1"),
        group,
        instance: "1".to_owned(),
        clock: Clock::wall(),
    };
    block_on(async { Continuous::start(work, counters) }).unwrap()
}

#[test]
fn audits_are_told_all_the_time_and_a_restart_goes_on_behind_them() {
    let clusters = Clusters::new("continuous");
    let audits = format!("migration.audits-{}.v1", clusters.name);
    let more = format!(r#", "audits": "{audits}""#);
    let flow = clusters.flow(&more);
    clusters.create("a", 1, &[]);
    clusters.write(&clusters.source, &clusters.topic("a"), 1, &["x", "y"], true);
    block_on(clusters.provision(&more).refresh()).unwrap();
    let registry = prometheus::Registry::new();
    let counters = Counters::register(&registry).unwrap();
    let mut told = LastAudits::new(&flow, &audits, schemas()).unwrap();
    let mut audited_to = |end: i64| {
        until("the audit", || {
            told.read_on(2).unwrap();
            told.last().values().find(|audit| audit.source_end == end).cloned()
        })
    };
    let first = clusters.copy(&flow, "a", 0, 0, <[u8]>::to_vec);
    let running = continuous(&clusters, &flow, &counters);
    let audit = audited_to(first);
    assert_eq!((audit.source_start, audit.verdict, audit.records), (0, AuditVerdict::Equal, 2));
    drop(running);
    clusters.write(&clusters.source, &clusters.topic("a"), 1, &["z"], true);
    let second = clusters.copy(&flow, "a", 0, first, |_| b"spoilt".to_vec());
    let _running = continuous(&clusters, &flow, &counters);
    let audit = audited_to(second);
    assert_eq!((audit.source_start, audit.verdict, audit.ranges), (first, AuditVerdict::Different, 1));
    until("the counter", || {
        let told = prometheus::TextEncoder::new().encode_to_string(&registry.gather()).unwrap();
        told.contains(r#"fairlead_mirror_audits_total{flow="flow",verdict="different"} 1"#).then_some(())
    });
}
