//! One simulated group member with its transactional producer, and a reader.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;

use super::group::Event;
use super::{Cluster, Late, Sim};
use crate::log::{Committed, Error, Log, Polled, Reader, Watermarks};
use crate::record::{Batch, Headers, NewRecord, Offset, Record, TopicPartition};

/// Records that one poll brings of one partition, at most.
const FETCH: u64 = 8;

pub struct SimLog {
    sim: Sim,
    name: String,
    id: String,
    number: u32,
    epoch: u32,
    topics: Vec<crate::record::Topic>,
    positions: BTreeMap<TopicPartition, Offset>,
    paused: BTreeSet<TopicPartition>,
    hazard: bool,
    /// The connection broke after the last commit.
    broke: bool,
    /// Counts down at the beginning and the end of every call; at nothing left this member is dead.
    lives: Rc<Cell<Option<u32>>>,
}

impl SimLog {
    pub(super) fn join(sim: Sim, name: &str, id: &str, topics: &[crate::record::Topic]) -> Self {
        let (number, epoch) = {
            let mut cluster = sim.0.borrow_mut();
            let now = cluster.clock.elapsed();
            cluster.group.join(name, topics, now);
            cluster.members += 1;
            let number = cluster.members;
            (number, cluster.init(id, number))
        };
        Self {
            sim,
            name: name.to_owned(),
            id: id.to_owned(),
            number,
            epoch,
            topics: topics.to_vec(),
            positions: BTreeMap::new(),
            paused: BTreeSet::new(),
            hazard: false,
            broke: false,
            lives: Rc::default(),
        }
    }

    /// Set to a number, the member dies after that many half calls.
    pub fn lives(&self) -> Rc<Cell<Option<u32>>> {
        self.lives.clone()
    }

    /// Does a call: it may die before or after it, and the cluster may not answer.
    fn call<T>(&mut self, act: impl FnOnce(&mut Self, &mut Cluster) -> Result<T, Error>) -> Result<T, Error> {
        self.live()?;
        let sim = self.sim.clone();
        let mut cluster = sim.0.borrow_mut();
        cluster.tick();
        let unavailable = cluster.faults.unavailable;
        if cluster.happens(unavailable) {
            return Err(Error::Unavailable("a fault".to_owned()));
        }
        let answer = act(self, &mut cluster)?;
        self.live()?;
        Ok(answer)
    }

    fn live(&self) -> Result<(), Error> {
        match self.lives.get() {
            None => return Ok(()),
            Some(0) => return Err(Error::Fatal("killed".to_owned())),
            Some(left) => self.lives.set(Some(left - 1)),
        }
        Ok(())
    }

    fn check_epoch(&self, cluster: &mut Cluster) -> Result<(), Error> {
        let producer = cluster.producer(&self.id);
        if producer.owner != self.number {
            return Err(Error::Fenced(self.id.clone()));
        }
        if producer.epoch != self.epoch {
            return Err(Error::UnknownOutcome("the coordinator aborted a transaction that took too long".to_owned()));
        }
        Ok(())
    }

    fn fetch(&mut self, cluster: &mut Cluster, bytes_max: usize, batch: &mut Batch) -> Result<bool, Error> {
        let mut drained = true;
        for (partition, position) in &mut self.positions {
            if self.paused.contains(partition) {
                continue;
            }
            let max = if batch.bytes() < bytes_max { 1 + cluster.random.below(FETCH) as usize } else { 0 };
            let log = cluster.log(partition)?;
            let (records, next) = log.read(*position, max);
            records.iter().for_each(|(offset, record)| push(batch, partition, *offset, record));
            *position = next;
            drained &= log.read(next, 1).0.is_empty();
        }
        Ok(drained)
    }
}

impl Drop for SimLog {
    fn drop(&mut self) {
        if self.lives.get() != Some(0) {
            self.sim.0.borrow_mut().group.leave(&self.name);
        }
    }
}

impl Log for SimLog {
    fn poll(&mut self, wait: Duration, bytes_max: usize, batch: &mut Batch) -> Result<Polled, Error> {
        self.call(|member, cluster| {
            let (now, counts) = (cluster.clock.elapsed(), cluster.counts());
            match cluster.group.poll(&member.name, now, &counts) {
                Event::Assigned(partitions) => return Ok(Polled::Assigned(partitions)),
                Event::Revoked(partitions) => return Ok(Polled::Revoked(partitions)),
                Event::Lost => return Ok(Polled::Lost(member.positions.keys().cloned().collect())),
                Event::Deaf => return Ok(Polled::Records { drained: !member.positions.is_empty() }),
                Event::None => {}
            }
            let drained = member.fetch(cluster, bytes_max, batch)?;
            if batch.is_empty() {
                cluster.clock.sleep(wait);
            }
            Ok(Polled::Records { drained: drained && !member.positions.is_empty() })
        })
    }

    fn assign(&mut self, groups: &[Vec<(TopicPartition, Offset)>]) -> Result<(), Error> {
        self.call(|member, _| {
            (member.positions, member.paused) = (groups.iter().flatten().cloned().collect(), BTreeSet::new());
            Ok(())
        })
    }

    fn release(&mut self) -> Result<(), Error> {
        self.call(|member, cluster| {
            member.positions.clear();
            let now = cluster.clock.elapsed();
            cluster.group.released(&member.name, &member.topics, now);
            Ok(())
        })
    }

    fn pause(&mut self, partitions: &[TopicPartition]) -> Result<(), Error> {
        self.call(|member, _| {
            member.paused.extend(partitions.iter().cloned());
            Ok(())
        })
    }

    fn resume(&mut self, partitions: &[TopicPartition]) -> Result<(), Error> {
        self.call(|member, _| {
            member.paused.retain(|paused| !partitions.contains(paused));
            Ok(())
        })
    }

    fn seek(&mut self, starts: &[(TopicPartition, Offset)]) -> Result<(), Error> {
        self.call(|member, _| {
            member.positions.extend(starts.iter().cloned());
            Ok(())
        })
    }

    fn committed(&mut self, partitions: &[TopicPartition]) -> Result<Vec<Option<Committed>>, Error> {
        self.call(|_, cluster| {
            let no_offsets = cluster.faults.no_offsets;
            if cluster.happens(no_offsets) {
                return Ok(vec![None; partitions.len()]);
            }
            if let Some(told) = &cluster.group.told {
                return Ok(partitions.iter().map(|partition| told.get(partition).cloned()).collect());
            }
            if partitions.iter().any(|partition| cluster.group.is_pending(partition)) {
                return Err(Error::Unavailable("the offsets are not stable yet".to_owned()));
            }
            Ok(partitions.iter().map(|partition| cluster.group.committed(partition).cloned()).collect())
        })
    }

    fn watermarks(&mut self, partition: &TopicPartition) -> Result<Watermarks, Error> {
        self.call(|_, cluster| Ok(Watermarks { low: Offset(0), high: cluster.log(partition)?.high() }))
    }

    fn begin(&mut self) -> Result<(), Error> {
        self.call(|member, cluster| {
            member.check_epoch(cluster)?;
            cluster.deliver_late_of(&member.id);
            Ok(())
        })
    }

    fn produce(&mut self, record: &NewRecord) -> Result<(), Error> {
        self.call(|member, cluster| {
            member.check_epoch(cluster)?;
            let undelivered = cluster.faults.undelivered;
            if cluster.happens(undelivered) {
                return Err(Error::Abort("a record was not delivered".to_owned()));
            }
            let (partition, now) = (cluster.partition_of(record)?, cluster.clock.elapsed());
            let producer = cluster.producer(&member.id);
            producer.since.get_or_insert(now);
            producer.partitions.insert(partition.clone());
            cluster.log(&partition)?.append(record.clone(), Some(&member.id));
            Ok(())
        })
    }

    fn commit(&mut self, offsets: &[(TopicPartition, Committed)]) -> Result<(), Error> {
        self.call(|member, cluster| {
            member.check_epoch(cluster)?;
            if !cluster.group.is_current(&member.name, offsets.iter().map(|(partition, _)| partition.clone())) {
                return Err(Error::Abort("another generation of the group".to_owned()));
            }
            let written = cluster.group.write_offsets(&member.id, offsets);
            let now = cluster.clock.elapsed();
            let producer = cluster.producer(&member.id);
            producer.since.get_or_insert(now);
            producer.offsets = written;
            let unknown = || Error::UnknownOutcome("no answer to the end of the transaction".to_owned());
            let (lost_request, lost_answer) = (cluster.faults.lost_request, cluster.faults.lost_answer);
            if cluster.happens(lost_request) {
                return Err(unknown());
            }
            let dropped_markers = cluster.faults.dropped_markers;
            if cluster.happens(dropped_markers) {
                cluster.leave_open(&member.id);
                member.broke = true;
                return Ok(());
            }
            cluster.end(&member.id, true);
            let repeated_end = cluster.faults.repeated_end;
            if cluster.happens(repeated_end) {
                let due = cluster.clock.elapsed() + Duration::from_millis(cluster.random.below(200));
                cluster.late.push((due, Late::End { id: member.id.clone(), epoch: member.epoch, commit: true }));
                member.hazard = true;
            }
            if cluster.happens(lost_answer) { Err(unknown()) } else { Ok(()) }
        })
    }

    fn abort(&mut self) -> Result<(), Error> {
        self.call(|member, cluster| {
            member.check_epoch(cluster)?;
            cluster.end(&member.id, false);
            Ok(())
        })
    }

    fn renew_producer(&mut self) -> Result<(), Error> {
        self.call(|member, cluster| {
            if cluster.producer(&member.id).owner != member.number {
                return Err(Error::Fenced(member.id.clone()));
            }
            (member.hazard, member.broke) = (false, false);
            member.epoch = cluster.init(&member.id, member.number);
            Ok(())
        })
    }

    fn must_renew(&self) -> bool {
        self.hazard && !self.sim.0.borrow().faults.hides_hazards
    }

    fn in_doubt(&mut self) -> bool {
        self.broke && !self.sim.0.borrow().faults.hides_hazards
    }
}

pub struct SimReader(pub(super) Sim);

impl Reader for SimReader {
    fn read(
        &mut self,
        partition: &TopicPartition,
        from: Offset,
        bytes_max: usize,
        wait: Duration,
        batch: &mut Batch,
    ) -> Result<Offset, Error> {
        let mut cluster = self.0.0.borrow_mut();
        cluster.tick();
        let short_read = cluster.faults.short_read;
        let max = match batch.bytes() < bytes_max {
            true if cluster.happens(short_read) => 1,
            true => 1 + cluster.random.below(64) as usize,
            false => 0,
        };
        let log = cluster.log(partition)?;
        let (records, next) = log.read(from, max);
        records.iter().for_each(|(offset, record)| push(batch, partition, *offset, record));
        if next == from {
            cluster.clock.sleep(wait);
        }
        Ok(next)
    }
}

fn push(batch: &mut Batch, partition: &TopicPartition, offset: Offset, record: &NewRecord) {
    batch.push(&Record {
        topic: &partition.topic,
        partition: partition.partition,
        offset,
        timestamp: record.timestamp,
        key: record.key.as_deref(),
        value: record.value.as_deref(),
        headers: Headers::NONE,
    });
    for header in &record.headers {
        batch.push_header_to_last(&header.name, header.value.as_deref());
    }
}
