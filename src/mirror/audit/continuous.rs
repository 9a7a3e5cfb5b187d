//! Audits all the time: a thread for each flow, which shares the partitions of the topic of ranges with those of other processes.
//!
//! Invariant: a partition is audited by whoever the group says; when that changes both may tell of the same ranges, which says the same
//! twice. A failure begins anew from what was told. It never stops a mirror: what differs is logged, counted and on the topic.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use prometheus::{IntCounterVec, Opts, Registry};
use tokio::runtime::Handle;

use super::{Auditor, LastAudits, Publisher, Wanted};
use crate::clock::Clock;
use crate::codec::Formats;
use crate::event::{Audit, AuditVerdict};
use crate::log::Polled;
use crate::log::kafka::Membership;
use crate::mirror::provision::{Error, FlowConfig};
use crate::mirror::told;
use crate::record::Topic;
use crate::runtime::SchemaSource;

/// Between two rounds, of one that has seen all.
const EVERY: Duration = Duration::from_secs(10);
/// Between a failure and the next beginning.
const PAUSE: Duration = Duration::from_secs(5);
const SLICE: Duration = Duration::from_millis(50);
/// A round ends well within the time that a member may be silent.
const RANGES_A_ROUND: i64 = 2_000;

/// One flow that is audited.
pub struct Work {
    pub flow: FlowConfig,
    /// Where audits are told.
    pub topic: String,
    /// The audits' schema among them.
    pub formats: Formats,
    pub schemas: SchemaSource,
    pub group: String,
    /// Tells the processes of one application apart.
    pub instance: String,
    /// One a process.
    pub transactional_id: String,
    pub clock: Clock,
}

/// How many audits came to what.
#[derive(Clone)]
pub struct Counters(IntCounterVec);

impl Counters {
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let help = Opts::new("fairlead_mirror_audits_total", "Audits of mirrored ranges, by verdict");
        let family = IntCounterVec::new(help, &["flow", "verdict"])?;
        registry.register(Box::new(family.clone()))?;
        Ok(Self(family))
    }
}

/// A thread that audits. Ends when it is dropped.
pub struct Continuous {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Continuous {
    /// To be called in the async runtime.
    pub fn start(work: Work, counters: &Counters) -> Result<Self, std::io::Error> {
        let stop = Arc::new(AtomicBool::new(false));
        let (told, counters, handle) = (stop.clone(), counters.clone(), Handle::current());
        let run = move || {
            while !told.load(Ordering::Relaxed) {
                if let Err(error) = serve(&work, &counters, &handle, &told) {
                    tracing::warn!(flow = work.flow.name, %error, "audits begin anew");
                    pause(&told);
                }
            }
        };
        let thread = std::thread::Builder::new().name("mirror-audit".to_owned()).spawn(run)?;
        Ok(Self { stop, thread: Some(thread) })
    }
}

impl Drop for Continuous {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("audits of a mirror had panicked");
        }
    }
}

fn pause(stop: &AtomicBool) {
    let until = Instant::now() + PAUSE;
    while Instant::now() < until && !stop.load(Ordering::Relaxed) {
        std::thread::sleep(SLICE);
    }
}

/// As long as it is a member.
fn serve(work: &Work, counters: &Counters, handle: &Handle, stop: &AtomicBool) -> Result<(), Error> {
    let ranges = Topic::from(&*work.flow.mirror.offsets);
    let instance = format!("{}.{}", work.group, work.instance);
    let mut member = Membership::join(&work.flow.target.connection, &work.group, &ranges, Some(&instance))?;
    let (mut own, mut audits, mut due) = (BTreeSet::new(), None, Instant::now());
    while !stop.load(Ordering::Relaxed) {
        match member.poll(SLICE)? {
            Polled::Records { .. } => {}
            Polled::Assigned(partitions) => {
                own = partitions.iter().map(|partition| partition.partition.0).collect::<BTreeSet<_>>();
                // Others may have told of ranges of what is new here.
                (audits, due) = (None, Instant::now());
            }
            Polled::Revoked(_) | Polled::Lost(_) => {
                own.clear();
                member.release()?;
            }
        }
        if own.is_empty() || Instant::now() < due {
            continue;
        }
        if audits.is_none() {
            audits = Some(begin(work)?);
        }
        let Some((auditor, publisher)) = &mut audits else { continue };
        let wanted = Wanted { topic: None, shards: Some(own.clone()), ranges_max: Some(RANGES_A_ROUND) };
        let found = handle.block_on(told::unless(stop, auditor.round(&wanted)))??;
        publisher.publish(&found)?;
        found.iter().for_each(|audit| tell(audit, counters));
        due = Instant::now() + if auditor.is_behind() { Duration::ZERO } else { EVERY };
    }
    Ok(())
}

fn begin(work: &Work) -> Result<(Auditor, Publisher), Error> {
    let publisher = Publisher::new(&work.flow, &work.topic, work.formats.clone(), &work.transactional_id)?;
    let mut last = LastAudits::new(&work.flow, &work.topic, work.schemas.clone())?;
    last.read_on(work.flow.mirror.shards.into())?;
    let mut auditor = Auditor::new(work.flow.clone(), work.schemas.clone(), work.clock.clone())?;
    auditor.go_on_after(last.ends());
    Ok((auditor, publisher))
}

fn tell(audit: &Audit, Counters(counters): &Counters) {
    let verdict = match audit.verdict {
        AuditVerdict::Equal => "equal",
        AuditVerdict::Different => "different",
        AuditVerdict::Unknown => "unknown",
    };
    counters.with_label_values(&[&*audit.flow, verdict]).inc();
    if audit.verdict == AuditVerdict::Different {
        let difference = audit.difference.as_deref().unwrap_or_default();
        tracing::error!(partition = audit.flow_partition, difference, "source and copy differ");
    }
}
