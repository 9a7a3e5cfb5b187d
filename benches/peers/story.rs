//! A richer story than the backlog's, for the proof that both engines say the same: repetitions, flaps, ends, reopenings, forgotten
//! incidents, rollbacks, failed deploys, other environments, dropped alerts.
//!
//! Both engines read it while it is told, one round of all services at a time, and each round waits until both have committed the
//! one before. Event times lie ahead of the clock, so that only records make deadlines pass; and on a grid of minutes, as all deadlines
//! do: so no result depends on how far one topic is read before the other, and every difference is a difference in what was decided.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use fairlead::event::{DeployKind, DeployOutcome, Fact, FactKind};

use crate::load::{self, ALERTS, DEPLOYS};
use crate::mix;
use crate::process::Process;
use crate::progress::Progress;
use crate::site::Site;
use rdkafka::producer::Producer;

const MINUTE_MS: u64 = 60_000;
const PATIENCE: Duration = Duration::from_secs(120);

/// Minutes between one round and the next: most repeat, some are long enough for an incident to end (5) and to be forgotten (30).
/// Together less than an hour, for no broker takes records from farther ahead.
const GAPS: [u64; 19] = [1, 1, 1, 2, 1, 6, 1, 1, 1, 1, 6, 1, 1, 1, 1, 1, 31, 1, 1];

pub fn rounds() -> u64 {
    GAPS.len() as u64 + 1
}

/// Tells it to both engines; `groups` are theirs.
pub fn tell(site: &Site, keys: u64, groups: &[String], engines: &mut [&mut Process]) -> Result<()> {
    let producer = load::producer(site.bootstrap())?;
    let followed = groups
        .iter()
        .map(|group| Progress::of(site.bootstrap(), group, [ALERTS, DEPLOYS]))
        .collect::<Result<Vec<_>>>()?;
    let mut minute_ms = load::now_ms() + MINUTE_MS;
    for round in 0..rounds() {
        for key in 0..keys {
            let (service, round_of_key) = mix::service(round * keys + key, keys);
            let at_ms = minute_ms + key * MINUTE_MS / keys;
            let fact = varied(mix::fact(&service, round_of_key, at_ms), round_of_key);
            let topic = if fact.kind() == FactKind::Deploy { DEPLOYS } else { ALERTS };
            load::send(&producer, &site.formats, topic, &fact, at_ms)?;
        }
        producer.flush(Duration::from_secs(60))?;
        for progress in &followed {
            until_committed(progress, engines)?;
        }
        minute_ms += GAPS.get(usize::try_from(round)?).unwrap_or(&0) * MINUTE_MS;
    }
    Ok(())
}

fn until_committed(progress: &Progress, engines: &mut [&mut Process]) -> Result<()> {
    let (began, end) = (Instant::now(), progress.end()?);
    while progress.committed()? < end {
        engines.iter_mut().try_for_each(|engine| engine.ensure_alive())?;
        ensure!(began.elapsed() < PATIENCE, "a round is not committed within {PATIENCE:?}; see engine.log");
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

/// What the mix does not tell of.
fn varied(fact: Fact<'_>, round: u64) -> Fact<'_> {
    match fact {
        Fact::Deploy(mut deploy) => {
            match round % 7 {
                0 | 1 => deploy.kind = DeployKind::Rollback,
                2 => deploy.outcome = DeployOutcome::Failed,
                3 => (deploy.outcome, deploy.finished_at_ms) = (DeployOutcome::Running, None),
                4 => deploy.environment = Some("staging".into()),
                // The one before is told again.
                5 => deploy.id = format!("run-{}", round.saturating_sub(5)).into(),
                _ => {}
            }
            Fact::Deploy(deploy)
        }
        Fact::Alert(mut alert) => {
            match round % 11 {
                0 => (alert.name, alert.fingerprint) = ("Watchdog".into(), "watchdog".into()),
                1 => (alert.environment, alert.fingerprint) = (Some("staging".into()), "staging".into()),
                2 => alert.namespace = None,
                3 => alert.value = Some(f64::NAN),
                _ => {}
            }
            Fact::Alert(alert)
        }
        other => other,
    }
}
