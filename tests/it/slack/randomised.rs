//! Thousands of actions, a death at every step of the journal, every fault of the stand-in, all drawn from a seed: in the end each
//! incident has one root, and it shows the end; what was logged of it has one message in that root's thread, and it shows the end.
//!
//! `FAIRLEAD_SEED` repeats a run, `FAIRLEAD_ACTIONS` makes it longer.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use fairlead::event::{Level, SlackAction, SlackActionKind, SlackStatus};
use fairlead::record::EventTime;

use super::sim::{Counts, Random, START, Sim};

const ACTIONS: u64 = 10_000;
const INCIDENTS_PER_ROUND: u64 = 60;
const CHANNELS: u64 = 20;
/// Of a thousand calls, so many meet a fault of the weather.
const FAULTS_PER_MILLE: u32 = 150;
const DEATHS_PER_MILLE: u64 = 8;

/// When each action comes, in this order.
fn story(random: &mut Random) -> Vec<(EventTime, SlackAction)> {
    let mut story = Vec::new();
    for number in 0..INCIDENTS_PER_ROUND {
        let incident = format!("i{number}");
        let channel = format!("#c{}", random.below(CHANNELS));
        let level = [Level::Low, Level::Medium, Level::High, Level::Critical][random.below(4) as usize];
        let mut at = START.plus_ms(random.ms(0, 240_000));
        let versions = 2 + random.below(5) as i32;
        // Some resolve, open again and resolve again.
        let also_terminal = random.below(2 * versions as u64) as i32;
        for version in 1..=versions {
            let terminal = version == versions || (version > 1 && version == also_terminal);
            let kind = if version == 1 { SlackActionKind::PostRoot } else { SlackActionKind::UpdateRoot };
            let action = |kind, what: &str, terminal| SlackAction {
                id: format!("{incident}-v{version}-{what}"),
                incident_id: incident.clone(),
                version,
                kind,
                channel: channel.clone(),
                level,
                text: format!("{incident} {what} {version}"),
                blocks: r#"[{"type":"divider"}]"#.to_owned(),
                terminal,
                broadcast: kind == SlackActionKind::Reply && version % 2 == 0,
                created_at_ms: at.0,
                users: Vec::new(),
            };
            story.push((at, action(kind, "root", terminal)));
            if version > 1 && (terminal || random.below(2) == 0) {
                story.push((at, action(SlackActionKind::Reply, "reply", false)));
            }
            if random.below(2) == 0 {
                story.push((at, action(SlackActionKind::Log, "log", false)));
            }
            let pause_ms = if random.below(3) == 0 { 90_000 } else { 4_000 };
            at = at.plus_ms(random.ms(1, pause_ms));
        }
    }
    story.sort_by_key(|(at, _)| *at);
    story
}

fn round(seed: u64) -> Sim {
    let channels: Vec<_> = (0..CHANNELS).map(|number| format!("c{number}")).collect();
    let mut sim = Sim::new(seed, &channels);
    let story = story(&mut sim.random);
    sim.weather(FAULTS_PER_MILLE);
    sim.death_per_mille = DEATHS_PER_MILLE;
    for (at, action) in story {
        sim.run(Some(at));
        sim.tell(action);
        if sim.random.below(50) == 0 {
            sim.reassign();
        }
    }
    sim.run(Some(sim.now.plus_ms(300_000)));
    sim.weather(0);
    sim.death_per_mille = 0;
    sim.run(None);
    sim
}

/// The newest version of each incident's root or log, and its text.
fn last(sim: &Sim, what: &str) -> BTreeMap<String, (i32, String)> {
    let mut last = BTreeMap::<String, (i32, String)>::new();
    for action in sim.actions().filter(|action| action.id.ends_with(what)) {
        let entry = last.entry(action.incident_id.clone()).or_default();
        *entry = entry.clone().max((action.version, action.text.clone()));
    }
    last
}

fn assert_converged(sim: &mut Sim, case: &str) {
    assert_eq!(sim.unfinished(), 0, "{case}: actions without an outcome");
    let (last, last_log) = (last(sim, "root"), last(sim, "log"));
    let (mut roots, mut logs) = (BTreeMap::<String, Vec<String>>::new(), BTreeMap::<String, Vec<String>>::new());
    let mut by_action: BTreeMap<(String, bool), usize> = BTreeMap::new();
    for number in 0..CHANNELS {
        let messages = sim.workspace.messages(&format!("c{number}"), sim.now.0);
        let there: BTreeSet<_> = messages.iter().map(|(ts, _)| *ts).collect();
        // A thread whose root was deleted is out of everybody's sight.
        for (_, message) in messages.into_iter().filter(|(_, m)| m.thread.is_none_or(|root| there.contains(&root))) {
            let incident = message.text.split(' ').next().unwrap().to_owned();
            let id = message.metadata.as_ref().and_then(|metadata| metadata["event_payload"]["id"].as_str());
            let id = id.expect("every message says which action it is");
            // A log that found its thread gone has become the root, keeps its name, and is told again in its own thread.
            let became_root = message.thread.is_none() && id.ends_with("-log");
            *by_action.entry((id.to_owned(), became_root)).or_default() += 1;
            match message.thread {
                None => roots.entry(incident).or_default().push(message.text),
                Some(_) if message.text.contains(" log ") => logs.entry(incident).or_default().push(message.text),
                Some(_) => {}
            }
        }
    }
    for (shown, last) in [(roots, last), (logs, last_log)] {
        for (incident, (_, text)) in &last {
            let shown = shown.get(incident).cloned().unwrap_or_default();
            assert_eq!(shown, [text.as_str()], "{case}: {incident}\n{}", sim.history(incident));
        }
        assert_eq!(shown.len(), last.len(), "{case}");
    }
    for ((id, _), count) in by_action {
        let incident = id.split('-').next().unwrap();
        assert_eq!(count, 1, "{case}: messages of {id}\n{}", sim.history(incident));
    }
    let told: BTreeSet<_> = sim
        .journal()
        .filter(|outcome| matches!(outcome.status, SlackStatus::Done | SlackStatus::Superseded))
        .map(|outcome| outcome.action_id.as_str())
        .collect();
    let untold: Vec<_> = sim.actions().filter(|action| !told.contains(action.id.as_str())).map(|a| &a.id).collect();
    assert!(untold.is_empty(), "{case}: {untold:?}");
}

#[test]
fn whatever_fails_and_wherever_it_dies_each_incident_has_one_root_that_shows_its_end() {
    let told = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let (seed, wanted) = (told("FAIRLEAD_SEED").unwrap_or(now), told("FAIRLEAD_ACTIONS").unwrap_or(ACTIONS));
    println!("FAIRLEAD_SEED={seed}");
    let (began, mut random) = (Instant::now(), Random(seed));
    let (mut actions, mut incidents, mut statuses) = (0, 0, BTreeMap::<_, u64>::new());
    let (mut sum, mut faults) = (Counts::default(), BTreeMap::<&str, u64>::new());
    let mut simulated_ms = 0;
    while actions < wanted {
        let mut sim = round(random.below(u64::MAX));
        assert_converged(&mut sim, &format!("seed {seed}, after {actions} actions"));
        actions += sim.actions().count() as u64;
        incidents += INCIDENTS_PER_ROUND;
        simulated_ms += sim.now.since_ms(START);
        sim.journal().for_each(|outcome| *statuses.entry(format!("{:?}", outcome.status)).or_default() += 1);
        sim.workspace.faults_met().iter().for_each(|(name, count)| *faults.entry(name).or_default() += count);
        sim.counts.deaths.iter().for_each(|(step, count)| *sum.deaths.entry(*step).or_default() += count);
        sim.counts.calls.iter().for_each(|(method, count)| *sum.calls.entry(method).or_default() += count);
        sim.counts.answers.iter().for_each(|(kind, count)| *sum.answers.entry(kind).or_default() += count);
        sum.reassigned += sim.counts.reassigned;
        sum.removed += sim.counts.removed;
    }
    println!(
        "{actions} actions of {incidents} incidents: each has one root, which shows its last state, and one log if it had any; 0 doubles"
    );
    println!("deaths {:?}, partitions reassigned {}", sum.deaths, sum.reassigned);
    println!("faults {faults:?}");
    println!("calls {:?}, answers {:?}", sum.calls, sum.answers);
    println!("journal {statuses:?}; {} doubles and given-up roots removed on the way", sum.removed);
    println!("{} simulated hours in {:?}", simulated_ms / 3_600_000, began.elapsed());
    assert_eq!(sum.deaths.len(), 6, "it died at every step: {:?}", sum.deaths);
    assert_eq!(faults.len(), 9, "every fault was met: {faults:?}");
}
