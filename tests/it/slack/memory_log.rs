//! A log in memory: one partition a topic, one member, atomic transactions, and a commit at which the process dies.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use fairlead::codec::Formats;
use fairlead::event::{Fact, FactKind, SlackAction, SlackOutcome};
use fairlead::log::{Committed, Error, Log, Polled, Reader, Watermarks};
use fairlead::record::{Batch, EventTime, Headers, NewRecord, Offset, Partition, Record, Topic, TopicPartition};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    Before,
    After,
}

/// The process dies once, at this commit; or it lives on in doubt, and its partition is taken away and given back meanwhile.
#[derive(Clone, Copy, Debug)]
pub struct Kill {
    pub commit: u32,
    pub when: When,
    pub in_doubt: bool,
}

/// What survives a death.
pub struct Disk(Mutex<Kept>);

type KeyAndValue = (Vec<u8>, Vec<u8>);

#[derive(Default)]
struct Kept {
    topics: BTreeMap<String, Vec<KeyAndValue>>,
    committed: BTreeMap<String, i64>,
    commits: u32,
    kill: Option<Kill>,
}

impl Disk {
    pub fn new(kill: Option<Kill>) -> Self {
        Self(Mutex::new(Kept { kill, ..Kept::default() }))
    }

    pub fn append(&self, topic: &str, key: &[u8], value: &[u8]) {
        let mut kept = self.0.lock().unwrap();
        kept.topics.entry(topic.to_owned()).or_default().push((key.to_vec(), value.to_vec()));
    }

    pub fn append_actions(&self, topic: &str, actions: &[SlackAction]) {
        for action in actions {
            let mut value = Vec::new();
            Formats::shipped().encode_fact(&Fact::SlackAction(action.clone()), &mut value).unwrap();
            self.append(topic, action.incident_id.as_bytes(), &value);
        }
    }

    pub fn values(&self, topic: &str) -> Vec<Vec<u8>> {
        let kept = self.0.lock().unwrap();
        kept.topics.get(topic).into_iter().flatten().map(|(_, value)| value.clone()).collect()
    }

    pub fn outcomes(&self, topic: &str) -> Vec<SlackOutcome> {
        let formats = Formats::shipped();
        let decode = |value: &Vec<u8>| match formats.decode_fact(FactKind::SlackOutcome, value).unwrap() {
            Fact::SlackOutcome(outcome) => outcome,
            other => panic!("no outcome: {other:?}"),
        };
        self.values(topic).iter().map(decode).collect()
    }

    pub fn committed(&self, topic: &str) -> i64 {
        self.0.lock().unwrap().committed.get(topic).copied().unwrap_or(0)
    }
}

pub struct MemoryLog {
    disk: Arc<Disk>,
    rebalances: VecDeque<Polled>,
    reading: Option<(Topic, usize)>,
    open: Vec<NewRecord>,
}

fn partition() -> Vec<TopicPartition> {
    vec![TopicPartition::new(&"app.slack-actions".into(), Partition(0))]
}

impl MemoryLog {
    pub fn join(disk: &Arc<Disk>) -> Self {
        let rebalances = VecDeque::from([Polled::Assigned(partition())]);
        Self { disk: disk.clone(), rebalances, reading: None, open: Vec::new() }
    }

    fn read_from(&self, topic: &Topic, from: usize, batch: &mut Batch) -> usize {
        let kept = self.disk.0.lock().unwrap();
        let records = kept.topics.get(topic.as_str()).map(Vec::as_slice).unwrap_or_default();
        for (index, (key, value)) in records.iter().enumerate().skip(from) {
            batch.push(&Record {
                topic,
                partition: Partition(0),
                offset: Offset(i64::try_from(index).unwrap()),
                timestamp: EventTime(0),
                key: Some(key),
                value: Some(value),
                headers: Headers::NONE,
            });
        }
        records.len()
    }
}

impl Log for MemoryLog {
    fn poll(&mut self, wait: Duration, _: usize, batch: &mut Batch) -> Result<Polled, Error> {
        if let Some(rebalance) = self.rebalances.pop_front() {
            return Ok(rebalance);
        }
        if let Some((topic, from)) = self.reading.clone() {
            let next = self.read_from(&topic, from, batch);
            self.reading = Some((topic, next));
        }
        if batch.is_empty() {
            std::thread::sleep(wait.min(Duration::from_millis(5)));
        }
        Ok(Polled::Records { drained: true })
    }

    fn assign(&mut self, groups: &[Vec<(TopicPartition, Offset)>]) -> Result<(), Error> {
        self.seek(&groups.concat())
    }

    fn release(&mut self) -> Result<(), Error> {
        self.reading = None;
        Ok(())
    }

    fn pause(&mut self, _: &[TopicPartition]) -> Result<(), Error> {
        Ok(())
    }

    fn resume(&mut self, _: &[TopicPartition]) -> Result<(), Error> {
        Ok(())
    }

    fn seek(&mut self, starts: &[(TopicPartition, Offset)]) -> Result<(), Error> {
        self.reading = starts.first().map(|(of, from)| (of.topic.clone(), usize::try_from(from.0).unwrap()));
        Ok(())
    }

    fn committed(&mut self, partitions: &[TopicPartition]) -> Result<Vec<Option<Committed>>, Error> {
        let kept = self.disk.0.lock().unwrap();
        let committed = |of: &TopicPartition| {
            let offset = Offset(*kept.committed.get(of.topic.as_str())?);
            Some(Committed { offset, metadata: String::new() })
        };
        Ok(partitions.iter().map(committed).collect())
    }

    fn watermarks(&mut self, partition: &TopicPartition) -> Result<Watermarks, Error> {
        let end = self.read_from(&partition.topic, usize::MAX, &mut Batch::default());
        Ok(Watermarks { low: Offset(0), high: Offset(i64::try_from(end).unwrap()) })
    }

    fn begin(&mut self) -> Result<(), Error> {
        self.open.clear();
        Ok(())
    }

    fn produce(&mut self, record: &NewRecord) -> Result<(), Error> {
        self.open.push(record.clone());
        Ok(())
    }

    fn commit(&mut self, offsets: &[(TopicPartition, Committed)]) -> Result<(), Error> {
        let mut kept = self.disk.0.lock().unwrap();
        kept.commits += 1;
        let kill = kept.kill.filter(|kill| kill.commit == kept.commits);
        if kill.is_none_or(|kill| kill.when == When::After) {
            for record in self.open.drain(..) {
                let (key, value) = (record.key.unwrap_or_default(), record.value.unwrap_or_default());
                kept.topics.entry(record.topic.to_string()).or_default().push((key, value));
            }
            for (of, committed) in offsets {
                kept.committed.insert(of.topic.to_string(), committed.offset.0);
            }
        }
        match kill {
            Some(Kill { in_doubt: false, .. }) => Err(Error::Fatal("killed".to_owned())),
            Some(_) => {
                self.rebalances = [Polled::Lost(partition()), Polled::Assigned(partition())].into();
                Err(Error::UnknownOutcome("no answer".to_owned()))
            }
            None => Ok(()),
        }
    }

    fn abort(&mut self) -> Result<(), Error> {
        self.open.clear();
        Ok(())
    }

    /// The coordinator is away for as long as the group has something to tell.
    fn renew_producer(&mut self) -> Result<(), Error> {
        match self.rebalances.is_empty() {
            true => self.abort(),
            false => Err(Error::Unavailable("no coordinator".to_owned())),
        }
    }

    fn must_renew(&self) -> bool {
        false
    }

    fn in_doubt(&mut self) -> bool {
        false
    }
}

impl Reader for MemoryLog {
    fn read(
        &mut self,
        partition: &TopicPartition,
        from: Offset,
        _: usize,
        _: Duration,
        batch: &mut Batch,
    ) -> Result<Offset, Error> {
        let next = self.read_from(&partition.topic, usize::try_from(from.0).unwrap(), batch);
        Ok(Offset(i64::try_from(next).unwrap()))
    }
}
