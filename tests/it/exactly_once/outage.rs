//! The broker is away for longer than a session, a transaction and a record of ingest may take (6 s, 10 s, 10 s), while alerts are
//! posted to the whole application: senders are told to come again, what was acknowledged is there, nothing is doubled, and the
//! process goes on by itself. `FAIRLEAD_OUTAGE_SECS=70` makes it longer than librdkafka's socket timeout too.
//!
//! Not here: a broker that is killed (`killed_broker`).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use fairlead::event::{Fact, FactKind};
use fairlead::log::kafka::KafkaReader;
use fairlead::log::scan::scan;
use fairlead::record::{Offset, Partition, TopicPartition};

use crate::harness::apache::Kafka;
use crate::harness::load::Load;
use crate::harness::site::{PARTITIONS, Site};
use crate::ingest::outage::{Tally, keep_sending};

const SENDERS: u32 = 2;
const INGEST: &str = "http: { listen: '127.0.0.1:0' }
ingest: { alerts: APP.alerts.v1, deploys: APP.deploys.v1, open: true }
";

const SESSION_MS: u32 = 6_000;

fn outage() -> Duration {
    let told = std::env::var("FAIRLEAD_OUTAGE_SECS").ok().and_then(|text| text.parse().ok());
    Duration::from_secs(told.unwrap_or(15))
}

/// How often each alert that was posted is on the topic.
fn stored(site: &Site) -> BTreeMap<String, u32> {
    let (mut reader, mut stored) = (KafkaReader::new(&site.endpoints.connection, "stored").unwrap(), BTreeMap::new());
    for partition in (0..PARTITIONS).map(Partition) {
        let place = TopicPartition::new(&site.topic("alerts"), partition);
        let end = reader.watermarks(&place).unwrap().high;
        scan(&mut reader, &place, Offset(0), end, |record| {
            let value = record.value.unwrap_or_default();
            if let Ok(Fact::Alert(alert)) = site.formats.decode_fact(FactKind::Alert, value)
                && alert.name.starts_with("alert-")
            {
                *stored.entry(format!("{}/{}", alert.service, alert.name)).or_default() += 1;
            }
            std::ops::ControlFlow::Continue(())
        })
        .unwrap();
    }
    stored
}

#[test]
fn a_broker_that_is_away_for_longer_than_a_session_and_a_transaction_costs_nothing_that_was_acknowledged() {
    let kafka = Kafka::start_own(&[]);
    let site = Site::on(kafka.bootstrap(), SESSION_MS, INGEST);
    let mut process = site.start("a");
    site.wait_for("the application to listen", || site.log_of("a").contains("fairlead runs address="));
    let log = site.log_of("a");
    let address = log.split("fairlead runs address=").nth(1).and_then(|rest| rest.split_whitespace().next()).unwrap();
    let url = format!("http://{address}/api/v2/alerts");
    let (load, tally) = (Load::start(&site, 19, 30), Arc::new(Tally::default()));
    let client = reqwest::Client::new();
    let senders: Vec<_> = (0..SENDERS)
        .map(|sender| site.runtime.spawn(keep_sending(client.clone(), url.clone(), sender, tally.clone())))
        .collect();
    let commits = || site.ends(&site.topology.names.journal());
    let goes_on = |site: &Site, what: &str| {
        let (acknowledged, committed) = (tally.acknowledged.load(Ordering::SeqCst), commits());
        site.wait_for(what, || {
            tally.acknowledged.load(Ordering::SeqCst) > acknowledged + 20 && commits() > committed + 10
        });
    };
    goes_on(&site, "alerts are taken and processed");

    let (began, refused) = (Instant::now(), tally.refused.load(Ordering::SeqCst));
    kafka.freeze();
    site.wait_for("every sender is told to come again", || tally.refused.load(Ordering::SeqCst) >= refused + SENDERS);
    std::thread::sleep(outage().saturating_sub(began.elapsed()));
    assert!(process.is_running(), "{}", site.logs());
    kafka.thaw();
    goes_on(&site, "it goes on after a frozen broker");
    // At most once a minute, if the group takes the member that comes back for its twin.
    let (joined, most) = (site.joined_anew("a"), 1 + outage().as_secs() / 60);
    println!("joined anew: {joined}");
    assert!(joined as u64 <= most, "{}", site.logs());

    tally.stop.store(true, Ordering::SeqCst);
    let mut acknowledged = std::collections::BTreeSet::new();
    for sender in senders {
        let names = site.runtime.block_on(sender).expect("a sender ends well");
        acknowledged.extend(names.iter().flat_map(|name| [format!("checkout/{name}"), format!("payments/{name}")]));
    }
    load.finish();
    site.wait_until_all_is_committed();
    assert!(process.is_running(), "{}", site.logs());
    site.prove_sound();
    // What was refused was sent again until it was taken, so it may be there once more for each refusal, and never without one.
    let (stored, refused) = (stored(&site), tally.refused.load(Ordering::SeqCst));
    assert!(stored.keys().eq(&acknowledged), "stored and acknowledged differ");
    let again: u32 = stored.values().map(|times| times - 1).sum();
    assert!(again <= 2 * refused, "{again} alerts are there again, {refused} requests were refused");
    process.end();
}
