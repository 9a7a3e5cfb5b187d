//! One flow in one process: the group says which shards are its own; for each of them a worker runs, and after a failure the next one.
//!
//! Invariant: a worker is stopped and joined before its shard is given back, unless it is lost already; then the fence keeps it from
//! committing. A worker that was fenced is not followed by another before the group was heard: a twin may have the shard.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::worker::{Memory, Worker};
use super::{Ended, Shared};
use crate::log::kafka::Membership;
use crate::log::{Error, Polled};
use crate::runtime::failpoint;

/// Between a failure and the next beginning.
const PAUSE: Duration = Duration::from_secs(1);
/// A paused member hears with its next heartbeat that it is none any more.
const VERDICT: Duration = Duration::from_secs(5);
const SLICE: Duration = Duration::from_millis(50);

/// Until told to stop, or until the flow stops for good; then it waits to be told, and the process says that it is not ready.
pub fn run(shared: &Arc<Shared>) {
    let name = &shared.flow.name;
    while !shared.must_stop() {
        match serve(shared) {
            Ok(()) => return,
            Err(ended) if ended.is_final() => {
                let why = ended.to_string();
                tracing::error!(
                    flow = name,
                    why,
                    "the mirror has stopped: nothing more is copied until this is decided"
                );
                shared.metrics.stopped.set(1);
                if let Ok(mut stopped) = shared.stopped.lock() {
                    *stopped = Some(why);
                }
                break;
            }
            Err(ended) => tracing::warn!(flow = name, %ended, "the mirror joins its group anew"),
        }
        shared.ready.store(false, Ordering::Relaxed);
        pause(shared, PAUSE);
    }
    shared.ready.store(false, Ordering::Relaxed);
    while !shared.must_stop() {
        std::thread::sleep(SLICE);
    }
}

fn pause(shared: &Shared, time: Duration) {
    let until = Instant::now() + time;
    while Instant::now() < until && !shared.must_stop() {
        std::thread::sleep(SLICE);
    }
}

/// As long as it is a member.
fn serve(shared: &Arc<Shared>) -> Result<(), Ended> {
    let flow = &shared.flow;
    let instance = format!("{}.{}", flow.name, flow.instance);
    let mut member = Membership::join(&flow.to, &flow.group, &flow.offsets, Some(&instance))?;
    let mut shards = Shards { shared: shared.clone(), own: BTreeMap::new(), heard: false };
    while !shared.must_stop() {
        match member.poll(SLICE)? {
            Polled::Records { .. } => {}
            Polled::Assigned(partitions) => {
                let numbers: Vec<i32> = partitions.iter().map(|partition| partition.partition.0).collect();
                tracing::info!(flow = flow.name, shards = ?numbers, "these shards are this process's now");
                shards.heard = true;
                shards.own.extend(numbers.into_iter().map(|number| (number, Shard::default())));
            }
            gone @ (Polled::Revoked(_) | Polled::Lost(_)) => {
                let lost = matches!(gone, Polled::Lost(_));
                tracing::info!(flow = flow.name, lost, "the shards are given back: the group divides them anew");
                shards.stop();
                member.release()?;
            }
        }
        shards.tend()?;
    }
    shards.stop();
    Ok(())
}

struct Shards {
    shared: Arc<Shared>,
    own: BTreeMap<i32, Shard>,
    /// The group has said what is this process's, if only that nothing is.
    heard: bool,
}

#[derive(Default)]
struct Shard {
    running: Option<Running>,
    not_before: Option<Instant>,
    memory: Memory,
}

struct Running {
    stop: Arc<AtomicBool>,
    copies: Arc<AtomicBool>,
    thread: JoinHandle<(Memory, Result<(), Ended>)>,
}

impl Shards {
    /// Those that have ended begin anew.
    fn tend(&mut self) -> Result<(), Ended> {
        let mut ready = self.heard;
        for (number, shard) in &mut self.own {
            if shard.running.as_ref().is_some_and(|running| running.thread.is_finished()) {
                shard.reap(*number, &self.shared)?;
            }
            if shard.running.is_none() && shard.not_before.is_none_or(|at| Instant::now() >= at) {
                shard.start(*number, &self.shared)?;
            }
            ready &= shard.running.as_ref().is_some_and(|running| running.copies.load(Ordering::Relaxed));
        }
        self.shared.ready.store(ready, Ordering::Relaxed);
        self.shared.first.store(self.own.contains_key(&0), Ordering::Relaxed);
        Ok(())
    }

    fn stop(&mut self) {
        self.shared.ready.store(false, Ordering::Relaxed);
        self.shared.first.store(false, Ordering::Relaxed);
        let running: Vec<_> = std::mem::take(&mut self.own).into_values().filter_map(|shard| shard.running).collect();
        running.iter().for_each(|running| running.stop.store(true, Ordering::Relaxed));
        for running in running {
            match running.thread.join() {
                Ok((_, Ok(()))) => {}
                Ok((_, Err(ended))) => {
                    tracing::warn!(%ended, "a shard of a mirror had failed when it was told to stop")
                }
                Err(_) => tracing::error!("a shard of a mirror had panicked when it was told to stop"),
            }
        }
    }
}

impl Drop for Shards {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Shard {
    fn start(&mut self, number: i32, shared: &Arc<Shared>) -> Result<(), Ended> {
        let (stop, copies) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let (shared, told, works) = (shared.clone(), stop.clone(), copies.clone());
        let mut memory = std::mem::take(&mut self.memory);
        let work = move || {
            if std::env::var_os("FAILPOINTS").is_some() {
                failpoint::arm();
            }
            let ended = Worker::start(&shared, number, &mut memory, &told).and_then(|mut worker| {
                works.store(true, Ordering::Relaxed);
                worker.run()
            });
            (memory, ended)
        };
        let thread = std::thread::Builder::new().name(format!("mirror-{number}")).spawn(work);
        let thread = thread.map_err(|error| Error::Unavailable(format!("no thread for a shard: {error}")))?;
        self.running = Some(Running { stop, copies, thread });
        Ok(())
    }

    fn reap(&mut self, number: i32, shared: &Shared) -> Result<(), Ended> {
        let Some(Running { thread, .. }) = self.running.take() else { return Ok(()) };
        let (memory, ended) =
            thread.join().map_err(|_| Error::Fatal(format!("shard {number} panicked; the log says where")))?;
        self.memory = memory;
        let Err(ended) = ended else { return Ok(()) };
        if ended.is_final() {
            return Err(ended);
        }
        let is_fenced = matches!(ended, Ended::Log(Error::Fenced(_)));
        tracing::warn!(flow = shared.flow.name, shard = number, %ended, "a shard begins anew from what the target holds");
        shared.metrics.restarts.inc();
        self.not_before = Some(Instant::now() + if is_fenced { VERDICT } else { PAUSE });
        Ok(())
    }
}
